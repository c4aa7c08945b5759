"""Texts as every embedding model can take them."""


def sound(text: str) -> str:
    """Return `text` without what a C string or UTF-8 can't hold: a NUL would end it, and a lone surrogate has no bytes."""
    return text.replace("\0", " ").encode("utf-8", "replace").decode("utf-8")

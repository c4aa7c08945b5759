"""Texts that people give us: measured, and refused when they can't be stored.

Postgres has no place for U+0000 in a text, and a lone surrogate is no character of any encoding. Both are refused with the field's name;
taking them out would make passage offsets point beside the text that was sent.
"""

from collections.abc import Sequence

from shared_kernel.errors import FieldError, InvalidInput

_SURROGATES = range(0xD800, 0xE000)


def problem_with(field: str, value: str, *, minimum: int = 0, maximum: int) -> FieldError | None:
    """Say what is wrong with `value`, or `None`. Lengths are in characters, blanks at either end not counted for the minimum."""
    if "\0" in value or any(ord(c) in _SURROGATES for c in value):
        return FieldError(field, "invalid_characters", "must not contain U+0000 or lone surrogates")
    if len(value) > maximum:
        return FieldError(field, "too_long", f"must have at most {maximum} characters, has {len(value)}")
    if len(value.strip()) < minimum:
        return FieldError(field, "too_short", "must not be empty" if minimum == 1 else f"must have at least {minimum} characters")
    return None


def refuse(problems: Sequence[FieldError | None]) -> None:
    """Raise `InvalidInput` with every problem that is there."""
    found = [p for p in problems if p is not None]
    if found:
        raise InvalidInput(*found)

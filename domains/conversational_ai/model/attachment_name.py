"""What a file is called that somebody saves."""

from pathlib import PurePath
from typing import Final
from urllib.parse import quote

_LENGTH: Final = 200
_UNQUOTED: Final = frozenset('"\\')


def attachment_name(name: str) -> str:
    """Return `name` as a file may be called anywhere: without folders and what does not print, at most 200 characters, its ending kept."""
    path = PurePath("".join(c for c in name.replace("\\", "/") if c.isprintable()))
    ending = path.suffix[:20]
    stem = path.name.removesuffix(path.suffix).strip(" .")[: _LENGTH - len(ending)]
    return (stem or "file") + ending


def attachment(name: str) -> str:
    """Return the `Content-Disposition` with which a browser saves `name` and never shows it (RFC 6266)."""
    named = attachment_name(name)
    plain = "".join(c if c.isascii() and c not in _UNQUOTED else "_" for c in named)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(named, safe='')}"

"""The text of a page in whatever charset it was sent."""

import re
from typing import Final

_MARKS: Final = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_META: Final = re.compile(rb"<meta[^>]{1,200}?charset\s*=\s*[\"']?\s*([\w:.+-]{1,40})", re.IGNORECASE)
_HEAD: Final = 4_096
#: Charsets of the web (WHATWG Encoding), as far as Python knows them. Its other codecs are no charsets, and some take forever.
_KNOWN: Final = re.compile(
    r"utf-?8|utf-?16(?:[lb]e)?|iso-?8859-?(?:[1-9]|1[013-6])|windows-?(?:125[0-8]|874)|koi8-?[ru]|macintosh|gbk|gb2312|gb18030|big5"
    r"|euc-?(?:jp|kr)|iso-?2022-?jp|shift[_-]?jis"
)
_WINDOWS: Final = frozenset({"ascii", "us-ascii", "latin1", "latin-1", "iso-8859-1", "iso8859-1", "iso88591"})
"""Names under which browsers read Windows-1252, of which these are a part."""


def decoded(content: bytes, said: str | None) -> str:
    """Return the text: by its byte order mark, else as the answer `said`, else as the page says, else UTF-8 or Windows-1252."""
    for mark, charset in _MARKS:
        if content.startswith(mark):
            return content.decode(charset, errors="replace")
    meta = _META.search(content[:_HEAD])
    for name in (said, meta[1].decode("ascii") if meta else None):
        known = _known(name)
        if known is not None:
            return content.decode(known, errors="replace")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def _known(name: str | None) -> str | None:
    found = (name or "").strip("\"' ").lower()
    if found in _WINDOWS:
        return "cp1252"
    return found if _KNOWN.fullmatch(found) else None

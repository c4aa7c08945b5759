"""The text of a page in whatever charset it was sent."""

import re
from typing import Final

_MARKS: Final = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_META: Final = re.compile(rb"<meta[^>]{1,200}?charset\s*=\s*[\"']?\s*([\w:.+-]{1,40})", re.IGNORECASE)
_HEAD: Final = 4_096
#: Charsets of the web (WHATWG Encoding), their names without hyphens and underscores, and what Python calls them. Where browsers read a
#: larger charset by that name, so do we. Python's other codecs are no charsets, and some take forever.
_KNOWN: Final = {
    **{
        name.replace("-", ""): name
        for name in (
            *("utf-8", "utf-16", "utf-16-le", "utf-16-be", "koi8-r", "koi8-u", "macintosh", "gbk", "gb2312", "gb18030", "big5"),
            *("euc-jp", "euc-kr", "iso-2022-jp", "shift-jis"),
            *(f"iso-8859-{part}" for part in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)),
            *(f"windows-{page}" for page in range(1250, 1259)),
        )
    },
    **dict.fromkeys(("ascii", "usascii", "latin1", "iso88591"), "windows-1252"),
    "iso88599": "windows-1254",
    **dict.fromkeys(("tis620", "iso885911", "windows874"), "cp874"),
}


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
    return _KNOWN.get((name or "").strip("\"' ").lower().replace("-", "").replace("_", ""))

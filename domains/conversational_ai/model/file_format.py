"""Which format a file has: its bytes decide. The name only says which kind of text a text is."""

import re
from enum import StrEnum
from pathlib import PurePath

from domains.conversational_ai.model.unreadable_file import EmptyFile, EncryptedFile, UnsupportedFile

_HEAD = 64 * 1024
_OLD_OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_WIDE = (b"\xff\xfe", b"\xfe\xff")
_OTHER = (b"{\\rtf", b"%!PS", b"\x1f\x8b", b"GIF8", b"BM")
_NO_TEXT = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
#: Comments are taken whole and once: whoever writes many must not have every way to divide them tried.
_HTML = re.compile(
    rb"\s*+(?:<\?xml[^>]*+>\s*+)?+(?>(?><!--.*?-->)\s*+)*+<(?:!doctype\s+html|html|head|body)[\s>]", re.IGNORECASE | re.DOTALL
)


class FileFormat(StrEnum):
    """A format that can be read."""

    PDF = "pdf"
    DOCX = "docx"
    PPTX = "pptx"
    XLSX = "xlsx"
    HTML = "html"
    MARKDOWN = "markdown"
    CSV = "csv"
    TEXT = "text"
    WEB_PAGE = "web_page"
    """HTML as a site serves it: its main text alone is read. No bytes say so, only who fetched them."""


_INSIDE = {b"word/document": FileFormat.DOCX, b"ppt/presentation": FileFormat.PPTX, b"xl/workbook": FileFormat.XLSX}
_PASSWORD = "EncryptedPackage".encode("utf-16-le")
_LONGEST = max(len(_PASSWORD), *map(len, _INSIDE))


class FileInspection:
    """Looks at a file as it goes by, without keeping it."""

    def __init__(self) -> None:
        self._head = b""
        self._tail = b""
        self._inside: FileFormat | None = None
        self._password = False
        self._blank = True

    def see(self, piece: bytes) -> None:
        """Look at the next piece."""
        self._head += piece[: _HEAD - len(self._head)]
        self._blank = self._blank and not piece.strip(b"\x00 \t\r\n\xef\xbb\xbf\xff\xfe")
        window = self._tail + piece
        if self._inside is None and self._head.startswith(b"PK"):
            self._inside = next((found for name, found in _INSIDE.items() if name in window), None)
        self._password = self._password or _PASSWORD in window
        self._tail = window[-_LONGEST:]

    def format(self, name: str) -> FileFormat:
        """Return the format of a file of that name. Raises `EmptyFile`, `EncryptedFile`, `UnsupportedFile`."""
        head = self._head
        if self._blank:
            raise EmptyFile
        if head.startswith(_OLD_OFFICE):
            if self._password:
                raise EncryptedFile
            raise UnsupportedFile("This is a file of an old Office program. Save it as DOCX, XLSX or PPTX")
        if b"%PDF-" in head[:1024]:
            return FileFormat.PDF
        if head.startswith(b"PK"):
            if self._inside is None:
                raise UnsupportedFile("This is an archive, not a document. Upload the files in it")
            return self._inside
        if head.startswith(_OTHER) or (not head.startswith(_WIDE) and _NO_TEXT.search(head)):
            raise UnsupportedFile
        return _text(head, PurePath(name.lower()).suffix)


def _text(head: bytes, suffix: str) -> FileFormat:
    if _HTML.match(head.removeprefix(b"\xef\xbb\xbf")) or (suffix in {".html", ".htm", ".xhtml"} and b"<" in head):
        return FileFormat.HTML
    if suffix in {".csv", ".tsv"}:
        return FileFormat.CSV
    return FileFormat.MARKDOWN if suffix in {".md", ".markdown", ".mdx"} else FileFormat.TEXT

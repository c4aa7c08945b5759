"""Bodies of answers, unpacked piece by piece, of which no more comes out than is allowed."""

import zlib
from collections.abc import AsyncIterator
from typing import Final

from domains.conversational_ai.model.unreadable_page import UnsupportedPage

ACCEPTED: Final = "gzip, deflate"
_GZIP_OR_ZLIB: Final = zlib.MAX_WBITS | 32
_RAW: Final = -zlib.MAX_WBITS
_PIECE: Final = 64 * 1024
_ENCODINGS: Final = frozenset({"gzip", "x-gzip", "deflate"})


async def unpacked(content: AsyncIterator[bytes], encoding: str, most: int) -> tuple[bytes, bool]:
    """Return at most `most` bytes of the body, and whether that is all of it.

    Raises `UnsupportedPage` for an unknown `encoding`, `ValueError` for a broken body.
    """
    found = bytearray()
    async for piece in _pieces(content, encoding.strip().lower()):
        room = most - len(found)
        found += piece[:room]
        if len(piece) > room:
            return bytes(found), False
    return bytes(found), True


async def _pieces(content: AsyncIterator[bytes], encoding: str) -> AsyncIterator[bytes]:
    if encoding in {"", "identity"}:
        async for packed in content:
            yield packed
        return
    if encoding not in _ENCODINGS:
        raise UnsupportedPage(f"The page is packed as {encoding[:40]}, which nobody asked for")
    stream, begun = zlib.decompressobj(_GZIP_OR_ZLIB), False
    async for packed in content:
        rest = packed
        if not begun and encoding == "deflate" and not _is_zlib(packed):
            stream = zlib.decompressobj(_RAW)  # what many servers mean by deflate
        begun = True
        while rest and not stream.eof:
            try:
                yield stream.decompress(rest, _PIECE)
            except zlib.error as error:
                raise ValueError("the body is packed wrongly") from error
            rest = stream.unconsumed_tail
        if stream.eof:  # whatever follows is not read
            return
    if begun:
        raise ValueError("the body ends too early")


def _is_zlib(packed: bytes) -> bool:
    """Tell whether it begins as RFC 1950 says: deflate in the low four bits, and a multiple of 31."""
    return len(packed) > 1 and packed[0] & 0x0F == zlib.DEFLATED and (packed[0] << 8 | packed[1]) % 31 == 0

"""Bodies of answers, unpacked piece by piece, of which no more comes out than is allowed."""

import zlib
from collections.abc import AsyncIterator
from typing import Final

from domains.conversational_ai.model.unreadable_page import UnsupportedPage

ACCEPTED: Final = "gzip, deflate"
_GZIP_OR_ZLIB: Final = zlib.MAX_WBITS | 32
_RAW: Final = -zlib.MAX_WBITS
_PIECE: Final = 64 * 1024
_SIGN_BYTES: Final = 2
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


def _pieces(content: AsyncIterator[bytes], encoding: str) -> AsyncIterator[bytes]:
    if encoding in {"", "identity"}:
        return content
    if encoding not in _ENCODINGS:
        raise UnsupportedPage(f"The page is packed as {encoding[:40]}, which nobody asked for")
    return _inflated(content, encoding)


async def _inflated(content: AsyncIterator[bytes], encoding: str) -> AsyncIterator[bytes]:
    stream: zlib._Decompress | None = None
    rest = b""
    async for packed in content:
        rest += packed
        if stream is None:
            if len(rest) < _SIGN_BYTES:
                continue
            stream = _stream(encoding, rest)
        while rest and not stream.eof:
            yield _some(stream, rest)
            rest = stream.unconsumed_tail
        if stream.eof:  # whatever follows is not read
            return
    while stream is not None and not stream.eof and (held_back := _some(stream, b"")):
        yield held_back
    if rest or (stream is not None and not stream.eof):
        raise ValueError("the body ends too early")


def _some(stream: "zlib._Decompress", packed: bytes) -> bytes:
    try:
        return stream.decompress(packed, _PIECE)
    except zlib.error as error:
        raise ValueError("the body is packed wrongly") from error


def _stream(encoding: str, begins: bytes) -> "zlib._Decompress":
    """Return what unpacks it: many servers mean the bare stream by `deflate`, without what RFC 1950 puts around it."""
    bare = encoding == "deflate" and not _is_zlib(begins)
    return zlib.decompressobj(_RAW if bare else _GZIP_OR_ZLIB)


def _is_zlib(packed: bytes) -> bool:
    """Tell whether it begins as RFC 1950 says: deflate in the low four bits, and a multiple of 31."""
    return packed[0] & 0x0F == zlib.DEFLATED and (packed[0] << 8 | packed[1]) % 31 == 0

"""Bodies as they come: packed, in pieces, in any charset, and made to do harm."""

import gzip
import hashlib
import tracemalloc
import zlib
from collections.abc import AsyncIterator

import pytest

from adapters.web_pages.charsets import decoded
from adapters.web_pages.unpacking import unpacked
from domains.conversational_ai.model.unreadable_page import UnsupportedPage

TEXT = "Le forfait Pro coûte 49 € — déjà payé, à l’année. " * 40
FRENCH = TEXT.encode()


async def in_pieces(content: bytes, size: int = 7) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


def raw_deflate(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("", FRENCH),
        ("identity", FRENCH),
        ("gzip", gzip.compress(FRENCH, mtime=0)),
        (" X-GZIP ", gzip.compress(FRENCH, mtime=0)),
        ("gzip", gzip.compress(FRENCH, mtime=0) + b"what follows is not read"),
        ("deflate", zlib.compress(FRENCH)),
        ("deflate", raw_deflate(FRENCH)),
    ],
)
async def test_what_was_packed_is_unpacked(encoding: str, body: bytes) -> None:
    for size in (1, 7, 10_000):
        assert await unpacked(in_pieces(body, size), encoding, len(FRENCH)) == (FRENCH, True)
        assert await unpacked(in_pieces(body, size), encoding, len(FRENCH) - 1) == (FRENCH[:-1], False)


@pytest.mark.parametrize("size", [0, 1, 258, 65_535, 65_536, 65_537, 131_072, 131_330, 1_000_003])
async def test_nothing_is_held_back_at_the_end(size: int) -> None:
    for content in (bytes(size), hashlib.shake_256(b"noise").digest(size)):
        for packed, encoding in ((raw_deflate(content), "deflate"), (zlib.compress(content), "deflate"), (gzip.compress(content), "gzip")):
            assert await unpacked(in_pieces(packed, 16_384), encoding, size + 1) == (content, True)


async def test_of_a_bomb_no_more_comes_out_than_is_allowed() -> None:
    bomb = gzip.compress(bytes(300_000_000))
    tracemalloc.start()
    found, is_all = await unpacked(in_pieces(bomb, 64 * 1024), "gzip", 1_000_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (len(found), is_all) == (1_000_000, False)
    assert peak < 5_000_000


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "compress"])
async def test_a_packing_that_nobody_asked_for_is_refused(encoding: str) -> None:
    with pytest.raises(UnsupportedPage):
        await unpacked(in_pieces(FRENCH), encoding, 1_000_000)


@pytest.mark.parametrize("body", [b"nothing packed", gzip.compress(FRENCH, mtime=0)[:-20]])
async def test_a_broken_body_is_no_page(body: bytes) -> None:
    with pytest.raises(ValueError, match="the body"):
        await unpacked(in_pieces(body), "gzip", 1_000_000)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (TEXT.encode(), None),
        (TEXT.encode(), "utf-8"),
        (TEXT.encode("utf-8-sig"), "windows-1252"),
        (TEXT.encode("utf-16"), None),
        (TEXT.encode("cp1252"), None),
        (TEXT.encode("cp1252"), "ISO-8859-1"),
        (TEXT.encode("utf-16-le"), "utf-16le"),
        (TEXT.encode("utf-16-le"), "utf16le"),
        (TEXT.encode("cp1254"), "iso-8859-9"),
        (TEXT.encode(), "no-such-charset"),
        (TEXT.encode(), "punycode"),
    ],
)
def test_letters_are_read_as_they_were_sent(content: bytes, said: str | None) -> None:
    assert decoded(content, said) == TEXT


@pytest.mark.parametrize(
    "said",
    [
        f"{name}{mark}{number}"
        for name, numbers in (("iso-8859", range(1, 17)), ("windows", (874, *range(1250, 1259))))
        for number in numbers
        for mark in ("", "-", "_")
    ]
    + ["koi8r", "koi8u", "eucjp", "euckr", "iso2022jp", "shift_jis", "x" * 500],
)
def test_no_spelling_of_a_charset_is_more_than_can_be_read(said: str) -> None:
    """Some spellings that sites use are none of Python's."""
    assert decoded(b"word", said) == "word"


def test_latin_9_is_read_by_each_of_its_names() -> None:
    for said in ("iso885915", "ISO_8859-15", "iso8859-15"):
        assert decoded("À 3 € l'œuvre".encode("iso-8859-15"), said) == "À 3 € l'œuvre"


def test_thai_is_read_by_each_of_its_names() -> None:
    for said in ("windows-874", "iso-8859-11", "tis-620"):
        assert decoded("ภาษาไทย".encode("cp874"), said) == "ภาษาไทย"


def test_a_page_says_its_charset_itself_where_the_answer_does_not() -> None:
    page = "<html><head><meta http-equiv=content-type content='text/html; charset=koi8-r'></head>Привет</html>"
    assert decoded(page.encode("koi8-r"), None) == page
    assert "Привет" not in decoded(page.encode("koi8-r"), "windows-1251")

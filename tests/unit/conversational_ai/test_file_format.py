"""Which format a file has."""

import time

import pytest

from domains.conversational_ai.model.file_format import FileFormat, FileInspection


def format_of(content: bytes, name: str = "file.txt") -> FileFormat:
    inspection = FileInspection()
    inspection.see(content)
    return inspection.format(name)


@pytest.mark.parametrize(
    "content",
    [
        b"<!DOCTYPE html><p>Hello",
        b"\xef\xbb\xbf \n<html>",
        b'<?xml version="1.0"?>\n<!-- one --> <!-- two\nlines --><body>',
        b"<!-- <!-- --><HEAD >",
    ],
)
def test_a_page_is_known_by_how_it_begins(content: bytes) -> None:
    assert format_of(content) is FileFormat.HTML


@pytest.mark.parametrize("content", [b"<!-- only a comment -->", b"<!-- <html> ", b"text <html>", b"<htmlx>"])
def test_what_begins_otherwise_is_text(content: bytes) -> None:
    assert format_of(content) is FileFormat.TEXT


@pytest.mark.parametrize("content", [b"<!--a-->" * 8_000 + b"x", b"<!--" * 16_000, b" " * 64_000 + b"x", b"<?xml " + b">" * 60_000])
def test_no_beginning_takes_long(content: bytes) -> None:
    """A file of 330 bytes, forty comments, stopped the process for hours."""
    began = time.perf_counter()
    assert format_of(content) is FileFormat.TEXT
    assert time.perf_counter() - began < 1

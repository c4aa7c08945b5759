"""Cutting a source into passages.

A passage should be about one thing, be readable alone, and fit the embedding model. Documents are cut first at their headings, then, where
a section is too long, at the last paragraph, line, sentence or word that fits. Passages of one section
overlap a little, so that a sentence at a seam is whole in at least one of them.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from domains.conversational_ai.model.citation import Locator
from domains.conversational_ai.model.document import BlockKind, DocumentText

#: Characters. 900 and 150 were measured to be good for multilingual-e5-small on French and English help texts.
SIZE = 900
OVERLAP = 150

#: Each part of a long answer keeps at least this many characters beside its repeated question.
LEAST_ANSWER_PART = 300

HEADING_LENGTH = 200

#: Where a text may be cut, best first; the cut is after the match.
_SEAMS = (re.compile(r"\n[ \t\r]*\n"), re.compile(r"\n"), re.compile(r"[.!?…][\"'»”)\]]*\s|[。\uff01\uff1f]"), re.compile(r"\s"))


@dataclass(frozen=True, slots=True)
class Chunk:
    """One cut piece: `text` is exactly what stands at the locator's offsets."""

    text: str
    locator: Locator


@dataclass(frozen=True, slots=True)
class _Section:
    start: int
    end: int
    heading: str | None


def chunks_of_document(document: DocumentText, *, size: int = SIZE, overlap: int = OVERLAP) -> list[Chunk]:
    """Cut the document into pieces of at most `size` characters, in order, that leave out nothing but blanks.

    A piece is located by its offsets, the heading above it and the page on which it begins. Raises `ValueError` unless
    0 <= overlap <= size / 2 and size >= 2.
    """
    if not 0 <= overlap <= size // 2 or size < 2:  # noqa: PLR2004 - a piece must be able to grow past its overlap
        raise ValueError("overlap must be between 0 and half the size")
    begins = [block.start for block in document.blocks]
    return [
        Chunk(
            document.text[start:end],
            Locator(
                page=document.blocks[max(bisect_right(begins, start) - 1, 0)].page,
                heading=section.heading,
                start=start,
                end=end,
            ),
        )
        for section in _sections(document)
        for start, end in _pieces(document.text, section.start, section.end, size, overlap)
    ]


def chunks_of_pair(question: str, answer: str, *, offset: int, size: int = SIZE, overlap: int = OVERLAP) -> list[Chunk]:
    """Make one piece of a question and its answer, or, where the answer is too long, several that all carry the question.

    The pair stands at `offset` of its source's text: the question, a line feed, the answer. The first piece begins with the question, the
    others have it as their heading. A piece is longer than `size` only when the question leaves less than `LEAST_ANSWER_PART` characters.
    """
    whole = f"{question}\n{answer}"
    if len(whole) <= size:
        return [Chunk(whole, Locator(start=offset, end=offset + len(whole)))]
    room = max(size - len(question) - 1, LEAST_ANSWER_PART)
    begins = len(question) + 1
    found = []
    for ordinal, (start, end) in enumerate(_pieces(whole, begins, len(whole), room, min(overlap, room // 3))):
        first = 0 if ordinal == 0 else start
        heading = None if ordinal == 0 else question
        found.append(Chunk(whole[first:end], Locator(start=offset + first, end=offset + end, heading=heading)))
    return found


def _sections(document: DocumentText) -> Iterator[_Section]:
    """Yield the sections between headings; a heading with nothing below it goes with the section that follows."""
    start, heading, has_body = 0, None, False
    for block in document.blocks:
        if block.kind is BlockKind.HEADING:
            if has_body:
                yield _Section(start, block.start, heading)
                start, has_body = block.start, False
            heading = document.title_of(block)[:HEADING_LENGTH]
        else:
            has_body = True
    if start < len(document.text):
        yield _Section(start, len(document.text), heading)


def _pieces(text: str, start: int, end: int, size: int, overlap: int) -> Iterator[tuple[int, int]]:
    """Yield the offsets of the pieces of `text[start:end]`, blanks at their ends left out.

    Each piece begins after the one before it began: a cut is more than half a size on, and the overlap is at most half a size.
    """
    start, end = _trimmed(text, start, end)
    reached = start
    while start < end:
        if end - start <= size:
            yield start, end
            return
        cut = _cut(text, start + size // 2, start + size)
        begins, ends = _trimmed(text, start, cut)
        if ends > reached:  # else only blanks follow the overlap
            yield begins, ends
            reached = ends
        start, end = _trimmed(text, _overlapping_start(text, cut, overlap), end)


def _cut(text: str, least: int, most: int) -> int:
    """Return the best place to cut in (least, most]."""
    for seam in _SEAMS:
        places = [m.end() for m in seam.finditer(text, least, most) if m.end() > least]
        if places:
            return places[-1]
    return most


def _overlapping_start(text: str, cut: int, overlap: int) -> int:
    """Return where the next piece begins: at the first sentence, else word, of the last `overlap` characters before the cut."""
    for seam in _SEAMS[1:]:
        found = seam.search(text, cut - overlap, cut)
        if found and found.end() < cut:
            return found.end()
    return cut - overlap if overlap and not text[cut - 1].isspace() and not text[cut - overlap].isspace() else cut


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end

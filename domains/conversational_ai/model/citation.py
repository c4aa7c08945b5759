"""Citations: which passage an answer stands on, with a quote that is found verbatim at its locator."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

_MARK = re.compile(r"\[(\d{1,3})\]")
_SENTENCE = re.compile(r"[^.!?\n]+(?:[.!?]+(?=\s|$)|\n|$)|[^\n]+", re.UNICODE)
_WORD = re.compile(r"\w+", re.UNICODE)
_QUOTE_LENGTH = 400


@dataclass(frozen=True, slots=True)
class Locator:
    """Where a text stands in its source: page from 1, nearest heading, and character offsets (end exclusive)."""

    page: int | None = None
    heading: str | None = None
    start: int | None = None
    end: int | None = None


@dataclass(frozen=True, slots=True)
class CitablePassage:
    """A retrieved passage under the number that an answer cites it by.

    `score` is its similarity to the question in meaning, `sparse` the score of the words they share, and `fused` that of both, by which the
    passages of one question are ordered.
    """

    number: int
    passage_id: UUID
    source_id: UUID
    title: str
    text: str
    locator: Locator
    score: float
    sparse: float = 0.0
    fused: float = 0.0


@dataclass(frozen=True, slots=True)
class Citation:
    """One passage that an answer cites. `quote` is part of the source, verbatim, at `locator`; `number` is the mark in the answer."""

    number: int
    source_id: UUID
    title: str
    locator: Locator
    quote: str
    score: float


def cite(answer: str, passages: Sequence[CitablePassage]) -> tuple[Citation, ...]:
    """Return one citation per passage whose mark `[n]` stands in `answer`, in the order of first marks.

    The quote is the sentence of the passage that shares most words with what stands before its mark, with its neighbours where those words
    say all of them; marks that follow each other stand for the same words. Marks without a passage are ignored.
    """
    by_number = {p.number: p for p in passages}
    found: dict[int, Citation] = {}
    claim, previous_end = "", 0
    for mark in _MARK.finditer(answer):
        number = int(mark.group(1))
        passage = by_number.get(number)
        if passage is None:
            continue
        since = _MARK.sub(" ", answer[previous_end : mark.start()])
        claim = since if _WORD.search(since) else claim
        if number not in found:
            found[number] = _citation(passage, claim)
        previous_end = mark.end()
    return tuple(found.values())


def without_marks(text: str) -> str:
    """Return a source's text with its own `[n]` as `(n)`: its footnotes, or its malice, must not read as citations of an answer."""
    return _MARK.sub(r"(\1)", text)


def _citation(passage: CitablePassage, claim: str) -> Citation:
    start, end = _best_sentences(passage.text, claim)
    base = passage.locator.start
    located = Locator(
        page=passage.locator.page,
        heading=passage.locator.heading,
        start=None if base is None else base + start,
        end=None if base is None else base + end,
    )
    return Citation(passage.number, passage.source_id, passage.title, located, passage.text[start:end], round(passage.score, 4))


def _best_sentences(text: str, claim: str) -> tuple[int, int]:
    """Return where what the claim stands on begins and ends: the best sentence, with those beside it that the claim says whole."""
    wanted = _words(claim)
    sentences = [(start, end, words) for start, end in _sentences(text) if (words := _words(text[start:end]))]
    if not sentences:
        return 0, min(len(text), _QUOTE_LENGTH)
    # of equals the first
    first = last = max(range(len(sentences)), key=lambda i: len(sentences[i][2] & wanted) / len(sentences[i][2]) ** 0.5)
    if sentences[first][2] <= wanted:
        while first > 0 and sentences[first - 1][2] <= wanted and sentences[last][1] - sentences[first - 1][0] <= _QUOTE_LENGTH:
            first -= 1
        while (
            last + 1 < len(sentences) and sentences[last + 1][2] <= wanted and sentences[last + 1][1] - sentences[first][0] <= _QUOTE_LENGTH
        ):
            last += 1
    start, end = sentences[first][0], sentences[last][1]
    return start, min(end, start + _QUOTE_LENGTH)


def _sentences(text: str) -> Iterator[tuple[int, int]]:
    for match in _SENTENCE.finditer(text):
        start, end = match.start(), match.end()
        while start < end and text[start].isspace():
            start += 1
        while end > start and text[end - 1].isspace():
            end -= 1
        yield start, end


def _words(text: str) -> set[str]:
    folded = unicodedata.normalize("NFKD", text.casefold())
    return set(_WORD.findall("".join(c for c in folded if not unicodedata.combining(c))))

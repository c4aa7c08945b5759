"""Citations: which passage an answer stands on, with a quote that is found verbatim at its locator."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from domains.conversational_ai.model.wrapped_lines import goes_on

_MARK = re.compile(r"\[(\d{1,3})\]")
_SENTENCE = re.compile(r".+?(?:[.!?…]+(?=\s)|$)", re.DOTALL)
_WORD = re.compile(r"\w+", re.UNICODE)
_QUOTE_LENGTH = 400
_SAID = 0.8
"""A sentence with this part of its words in a claim is said by it."""


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

    The quote is the sentence of the passage that shares most words with what stands before its mark, with its neighbours that are said
    there too; marks that follow each other stand for the same words. Marks without a passage are ignored.
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
    start, end = _best_quote(passage.text, claim)
    base = passage.locator.start
    located = Locator(
        page=passage.locator.page,
        heading=passage.locator.heading,
        start=None if base is None else base + start,
        end=None if base is None else base + end,
    )
    return Citation(passage.number, passage.source_id, passage.title, located, passage.text[start:end], round(passage.score, 4))


def _best_quote(text: str, claim: str) -> tuple[int, int]:
    """Return where the sentence stands that says most of `claim`, with the sentences around it that are said too."""
    wanted = _words(claim)
    spans = [(start, end, _words(text[start:end])) for start, end in _sentences(text)]
    if not spans:
        return 0, min(len(text), _QUOTE_LENGTH)
    best = max(range(len(spans)), key=lambda i: len(spans[i][2] & wanted) / (len(spans[i][2]) ** 0.5))
    first = last = best
    while last + 1 < len(spans) and _is_said(spans[last + 1][2], wanted) and spans[last + 1][1] - spans[first][0] <= _QUOTE_LENGTH:
        last += 1
    while first > 0 and _is_said(spans[first - 1][2], wanted) and spans[last][1] - spans[first - 1][0] <= _QUOTE_LENGTH:
        first -= 1
    start, end = spans[first][0], spans[last][1]
    return start, min(end, start + _QUOTE_LENGTH)


def _is_said(words: set[str], wanted: set[str]) -> bool:
    return len(words & wanted) >= _SAID * len(words)


def _sentences(text: str) -> Iterator[tuple[int, int]]:
    """Yield where each sentence of `text` starts and ends; one that was wrapped goes over several lines."""
    for start, end in _paragraphs(text):
        for match in _SENTENCE.finditer(text, start, end):
            said = match[0].strip()
            if _WORD.search(said):
                begins = match.start() + len(match[0]) - len(match[0].lstrip())
                yield begins, begins + len(said)


def _paragraphs(text: str) -> Iterator[tuple[int, int]]:
    begun: int | None = None
    place = end = 0
    last = ""
    for raw in text.split("\n"):
        line = raw.strip()
        if begun is None or not goes_on(last, line):
            if begun is not None:
                yield begun, end
            begun = place
        place, end, last = place + len(raw) + 1, place + len(raw), line
    if begun is not None:
        yield begun, end


def _words(text: str) -> set[str]:
    folded = unicodedata.normalize("NFKD", text.casefold())
    return set(_WORD.findall("".join(c for c in folded if not unicodedata.combining(c))))

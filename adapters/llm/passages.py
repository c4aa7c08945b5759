"""A passage taken apart into what can be quoted: sentences and short lists, with the question or heading they stand under."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from adapters.llm.vocabulary import terms

# The second form is for text whose spaces were lost: "depuis 2014.Il est commun".
_SENTENCE_END: Final = re.compile(
    r"[.!?…][\"»”')\]]*\s+(?=[\"«“(\[]*\s?[A-ZÀ-ÖØ-Þ0-9])|(?<=[a-zà-ÿ0-9)][a-zà-ÿ0-9)])[.!?](?=[A-ZÀ-ÖØ-Þ][a-zà-ÿ'’]* )"
)
_ABBREVIATION: Final = re.compile(
    r"(?:^|[\s(])(?:M|MM|Mme|Mlle|Me|Dr|Pr|Mr|Mrs|Ms|St|Ste|No|art|cf|p|pp|e\.g|i\.e|ex|vs|env|approx|fig|Art|[A-Z])\.\s*$"
)
_HEADING: Final = re.compile(r"#{1,6}\s+(.*?)\s*#*$")
_ITEM: Final = re.compile(r"(?:[-*•–]|\d{1,2}[.)])\s+")
_RULE: Final = re.compile(r"[|:\-=*_ ]+$")
_LABEL: Final = re.compile(r"(?:q|question|a|r|answer|réponse|reponse)\s?[:.]\s+", re.IGNORECASE)
_LONGEST_LIST: Final = 700


@dataclass(frozen=True, slots=True)
class Unit:
    """Something that can be quoted: its text as it stands, what it is about, and what it stands under."""

    index: int
    text: str
    terms: frozenset[str]
    question: int | None
    question_terms: frozenset[str]
    heading_terms: frozenset[str]
    is_fragment: bool


def _sentences(paragraph: str) -> Iterator[str]:
    start = 0
    for match in _SENTENCE_END.finditer(paragraph):
        if not _ABBREVIATION.search(paragraph, start, match.end()):
            yield paragraph[start : match.end()].strip()
            start = match.end()
    if rest := paragraph[start:].strip():
        yield rest


def _goes_on(line: str) -> bool:
    """Whether a line was wrapped in the middle of a sentence."""
    return bool(line) and line[-1] not in ".!?…:;|" and "\n" not in line and not line.startswith("#")


def _lines(text: str) -> list[str]:
    """Return the text's lines, a sentence that was wrapped over several being one; lists stay with the line that announces them."""
    lines: list[str] = []
    for raw in text.splitlines():
        line = raw.strip()
        previous = lines[-1] if lines else ""
        is_item = _ITEM.match(line) is not None
        if is_item and (previous.endswith(":") or "\n" in previous) and len(previous) + len(line) < _LONGEST_LIST:
            lines[-1] = f"{previous}\n{line}"
        elif line and line[0].islower() and _goes_on(previous):
            lines[-1] = f"{previous} {line}"
        else:
            lines.append(line)
    return lines


@lru_cache(maxsize=512)
def units(text: str) -> tuple[Unit, ...]:
    """Return what can be quoted from a passage, in reading order.

    A line that is a question, or a Markdown heading, is not quoted: it says what the lines below it answer.
    """
    found: list[Unit] = []
    question: int | None = None
    question_terms = heading_terms = frozenset[str]()
    for number, line in enumerate(_lines(text)):
        if not line or _RULE.match(line):
            continue
        if heading := _HEADING.match(line):
            heading_terms, question, question_terms = frozenset(terms(heading[1])), None, frozenset()
            continue
        if line.endswith("?") and "\n" not in line and not any(True for _ in _SENTENCE_END.finditer(line)):
            question, question_terms = number, frozenset(terms(line))
            continue
        label = _LABEL.match(line)
        body = line[label.end() :] if label else line
        for sentence in [body] if "\n" in body else _sentences(body):
            quoted = sentence if "\n" in sentence else sentence[match.end() :] if (match := _ITEM.match(sentence)) else sentence
            if quoted and not quoted.endswith("?"):
                is_fragment = quoted[0].islower() or quoted[-1] in ",:;"
                found.append(Unit(len(found), quoted, frozenset(terms(quoted)), question, question_terms, heading_terms, is_fragment))
    return tuple(found)

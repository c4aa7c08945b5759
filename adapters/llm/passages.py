"""A passage taken apart into what can be quoted: sentences and short lists, with the question or heading they stand under."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import zip_longest
from typing import Final

from adapters.llm.vocabulary import terms
from domains.conversational_ai.model.wrapped_lines import goes_on

# The second form is for text whose spaces were lost: "depuis 2014.Il est commun".
_SENTENCE_END: Final = re.compile(
    r"[.!?…][\"»”')\]]*\s+(?=[\"«“(\[]*\s?[A-ZÀ-ÖØ-Þ0-9])|(?<=[a-zà-ÿ0-9)][a-zà-ÿ0-9)])[.!?](?=[A-ZÀ-ÖØ-Þ][a-zà-ÿ'’]* )"
)
_ABBREVIATION: Final = re.compile(
    r"(?:^|[\s(])(?:M|MM|Mme|Mlle|Me|Dr|Pr|Mr|Mrs|Ms|St|Ste|No|art|cf|p|pp|e\.g|i\.e|ex|vs|env|approx|fig|Art|[A-Z])\.\s*$"
)
_HEADING: Final = re.compile(r"#{1,6}\s+(.*?)\s*#*$")
_ITEM: Final = re.compile(r"(?:[-*•–]|\d{1,2}[.)])\s+")
_ROW: Final = re.compile(r"\|.*\|$")
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


def _lines(text: str) -> list[str]:
    """Return the text's lines, a sentence that was wrapped over several being one; lists stay with the line that announces them."""
    lines: list[str] = []
    for raw in text.splitlines():
        line = raw.strip()
        previous = lines[-1] if lines else ""
        is_item = _ITEM.match(line) is not None
        if is_item and (previous.endswith(":") or "\n" in previous) and len(previous) + len(line) < _LONGEST_LIST:
            lines[-1] = f"{previous}\n{line}"
        elif "\n" not in previous and goes_on(previous, line):
            lines[-1] = f"{previous} {line}"
        else:
            lines.append(line)
    return lines


def _row(cells: tuple[str, ...], columns: tuple[str, ...]) -> str:
    """Return a row as a line that reads well: each cell under its column's name, where there is one."""
    named = zip_longest(columns[: len(cells)], cells, fillvalue="")
    return " · ".join(f"{column}: {cell}" if column else cell for column, cell in named if cell)


@lru_cache(maxsize=512)
def units(text: str) -> tuple[Unit, ...]:
    """Return what can be quoted from a passage, in reading order.

    A line that is a question, or a Markdown heading, is not quoted: it says what the lines below it answer. A row of a table is told with
    the names of its columns.
    """
    found: list[Unit] = []
    columns: tuple[str, ...] = ()
    question: int | None = None
    question_terms = heading_terms = frozenset[str]()
    lines = _lines(text)
    for number, line in enumerate(lines):
        if not line or _RULE.match(line):
            continue
        if _ROW.match(line):
            cells = tuple(cell.strip() for cell in line[1:-1].split("|"))
            if number + 1 < len(lines) and _RULE.match(lines[number + 1]):
                columns = cells
            elif row := _row(cells, columns):
                found.append(Unit(len(found), row, frozenset(terms(row)), question, question_terms, heading_terms, is_fragment=False))
            continue
        columns = ()
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

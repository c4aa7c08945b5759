"""Lines that were wrapped: where a text was broken to fit a width, a sentence goes on below."""

import re
from collections.abc import Iterator, Sequence

_ITEM = re.compile(r"(?:[-*•–]|\d{1,2}[.)])\s+")
_ENDS = frozenset(".!?…:;|")
_OPENS = frozenset('(«“"0123456789')
_LONG = 40
"""Characters: a shorter line says nothing of its width, and a number or a quotation below it may begin something else."""
_FULL = 0.8
"""A line that fills this part of its page's width mostly had no room for the next word."""


def goes_on(line: str, following: str) -> bool:
    """Tell whether a sentence goes on from `line` to `following`, the line below it, both without blanks at their ends."""
    if not _may_go_on(line, following):
        return False
    return following[0].islower() or (len(line) >= _LONG and following[0] in _OPENS)


def unwrapped(lines: Sequence[str]) -> Iterator[str]:
    """Yield the lines of one page with each sentence on one line, as far as the page tells: a line as wide as the page goes on as well."""
    width = max((len(line.strip()) for line in lines), default=0)
    held: str | None = None
    last = ""
    for line in map(str.strip, lines):
        if held and (goes_on(last, line) or (max(_LONG, _FULL * width) <= len(last) and _may_go_on(last, line))):
            held = held + line if last.endswith("-") else f"{held} {line}"
        else:
            if held is not None:
                yield held
            held = line
        last = line
    if held is not None:
        yield held


def _may_go_on(line: str, following: str) -> bool:
    """Headings, items of lists and rows of tables stand alone, and a sentence ends with its mark."""
    if not line or not following or line[-1] in _ENDS:
        return False
    return line[0] not in "#|" and following[0] not in "#|" and _ITEM.match(following) is None

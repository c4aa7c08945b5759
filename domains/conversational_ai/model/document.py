"""A document: the text that was read from a file, and what its parts are.

The text is Markdown, as far as the file has a form; headings, tables and code stand in it as Markdown writes them. Locators point into it.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

#: Its end is cut off by hand (`_words`): an expression would try every way to divide a long run of blanks.
_HEADING = re.compile(r" {0,3}(?P<marks>#{1,6})[ \t]++(?P<title>\S.*)")
_FENCE = re.compile(r" {0,3}(```|~~~)")


class BlockKind(StrEnum):
    """What a part of a document is."""

    HEADING = "heading"
    TEXT = "text"
    TABLE = "table"
    CODE = "code"


@dataclass(frozen=True, slots=True)
class Block:
    """A part of the text: offsets (end exclusive), a heading's level from 1, and the page from 1 where the file has pages."""

    start: int
    end: int
    kind: BlockKind
    level: int | None = None
    page: int | None = None


@dataclass(frozen=True, slots=True)
class DocumentText:
    """A text with its blocks, in order, none over another; between them are blanks alone. Raises `ValueError` otherwise.

    `title` is what the document calls itself, where it says so beside its text.
    """

    text: str
    blocks: tuple[Block, ...]
    title: str | None = None

    def __post_init__(self) -> None:
        reached = 0
        for block in self.blocks:
            if block.start < reached or block.end <= block.start or self.text[reached : block.start].strip():
                raise ValueError(f"the block at {block.start} does not follow what ends at {reached}")
            reached = block.end
        if reached > len(self.text) or self.text[reached:].strip():
            raise ValueError("the blocks do not cover the text")

    @classmethod
    def of_markdown(cls, text: str, *, title: str | None = None) -> "DocumentText":
        """Return `text` with the blocks that Markdown sees in it."""
        return cls(text, tuple(_blocks(text, 0, None)), title)

    @classmethod
    def of_pages(cls, pages: Iterable[tuple[int, str]]) -> "DocumentText":
        """Return the pages, each Markdown under its number, as one text with an empty line between them."""
        texts: list[str] = []
        blocks: list[Block] = []
        offset = 0
        for number, text in pages:
            blocks += _blocks(text, offset, number)
            texts.append(text)
            offset += len(text) + 2
        return cls("\n\n".join(texts), tuple(blocks))

    @classmethod
    def of_table(cls, text: str) -> "DocumentText":
        """Return `text` as one table, a row on each line."""
        stripped = text.strip()
        start = len(text) - len(text.lstrip())
        return cls(text, (Block(start, start + len(stripped), BlockKind.TABLE),) if stripped else ())

    def title_of(self, heading: Block) -> str:
        """Return a heading's words without its marks."""
        found = _HEADING.match(self.text[heading.start : heading.end])
        return _words(found["title"]) if found else self.text[heading.start : heading.end].strip()

    def page_at(self, offset: int) -> int | None:
        """Return the page on which the character at `offset` stands."""
        page = None
        for block in self.blocks:
            if block.start > offset:
                break
            page = block.page
        return page

    def encoded(self) -> bytes:
        """Return it as JSON in UTF-8."""
        return json.dumps(
            {"text": self.text, "blocks": [[b.start, b.end, b.kind, b.level, b.page] for b in self.blocks], "title": self.title},
            ensure_ascii=False,
        ).encode()

    @classmethod
    def decoded(cls, stored: bytes) -> "DocumentText":
        """Return what was `encoded`. Raises `ValueError` for anything else."""
        try:
            content = json.loads(stored)
            blocks = tuple(Block(start, end, BlockKind(kind), level, page) for start, end, kind, level, page in content["blocks"])
            return cls(content["text"], blocks, content.get("title"))
        except (KeyError, TypeError) as error:
            raise ValueError("this is no document's text") from error


def _words(title: str) -> str:
    """Return a heading's words without the marks that may close it too (CommonMark, section 4.2)."""
    bare = title.rstrip(" \t")
    return bare.rstrip("#").rstrip(" \t") or bare[:1]


def _blocks(text: str, offset: int, page: int | None) -> Iterator[Block]:
    """Yield the blocks of Markdown that stands at `offset` of its document."""
    open_start, open_end, open_kind = 0, 0, BlockKind.TEXT
    fence: str | None = None
    position = 0
    for line in text.splitlines(keepends=True):
        start, position = position, position + len(line)
        end = start + len(line.rstrip())
        fenced = _FENCE.match(line)
        was_in_code = fence is not None
        if fenced and fence in (None, fenced[1]):
            fence = None if fence else fenced[1]
        in_code = was_in_code or fence is not None
        heading = None if in_code else _HEADING.match(line.rstrip("\r\n"))
        kind = BlockKind.CODE if in_code else BlockKind.TABLE if line.lstrip().startswith("|") else BlockKind.TEXT
        blank = end == start
        begins_code = in_code and not was_in_code
        if open_end and (heading or begins_code or (blank and not in_code) or kind is not open_kind):
            yield Block(offset + open_start, offset + open_end, open_kind, page=page)
            open_end = 0
        if heading:
            yield Block(offset + start, offset + end, BlockKind.HEADING, len(heading["marks"]), page)
        elif not blank:
            open_start, open_end, open_kind = (open_start if open_end else start), end, kind
            if was_in_code and fence is None:
                yield Block(offset + open_start, offset + open_end, open_kind, page=page)
                open_end = 0
    if open_end:
        yield Block(offset + open_start, offset + open_end, open_kind, page=page)

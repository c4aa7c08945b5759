"""A passage: the piece of a source that is searched for, shown and cited."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from domains.conversational_ai.model.citation import Locator
from domains.conversational_ai.model.words import spaced

#: A name for how a passage's text is put together to be embedded: a change of it is a new name.
EMBEDDED_WITH: Final = "opening-1"

#: Characters of its section's beginning that a passage is embedded with; 80 to 300 were measured to differ little.
OPENING_LENGTH: Final = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """One piece of one version of a source.

    `text` is exactly what stands at the locator's offsets of the source's text. `ordinal` counts from 0. `embedding_model` is `None` until
    the passage is in the index.
    """

    id: UUID
    organization_id: UUID
    knowledge_base_id: UUID
    source_id: UUID
    source_version: int
    ordinal: int
    text: str
    locator: Locator
    embedding_model: str | None = None

    @property
    def content_hash(self) -> bytes:
        """SHA-256 of the text in UTF-8."""
        return hashlib.sha256(self.text.encode()).digest()

    @property
    def text_to_analyse(self) -> str:
        """The text under its heading: the words that it is found by."""
        return _below(self.locator.heading, self.text)


@dataclass(frozen=True, slots=True)
class PlacedPassage:
    """A passage and how the section that it stands in begins: `opening` is empty for the passage that begins it.

    Passages of one section stand next to each other and have one heading.
    """

    passage: Passage
    opening: str

    @property
    def text_to_embed(self) -> str:
        """The text below its section's heading and opening: alone, what continues a section often does not say what it is about.

        Spaces that were lost when it was written or read are put back.
        """
        return spaced(_below(self.passage.locator.heading, f"{self.opening}\n{self.passage.text}" if self.opening else self.passage.text))


def opening_of(section: str) -> str:
    """Return the first `OPENING_LENGTH` characters of a section, up to a word's end where there is one."""
    start = section[: OPENING_LENGTH + 1].rstrip()
    return start if len(start) <= OPENING_LENGTH else (start[:-1].rpartition(" ")[0].rstrip() or start[:-1])


def placed(passages: Iterable[Passage]) -> list[PlacedPassage]:
    """Place all passages of a source, in order."""
    found: list[PlacedPassage] = []
    before: Passage | None = None
    opening = ""
    for passage in passages:
        begins = before is None or passage.locator.heading != before.locator.heading
        found.append(PlacedPassage(passage, "" if begins else opening))
        opening, before = opening_of(passage.text) if begins else opening, passage
    return found


def _below(heading: str | None, text: str) -> str:
    return text if heading is None or heading in text else f"{heading}\n{text}"

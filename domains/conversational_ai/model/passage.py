"""A passage: the piece of a source that is searched for, shown and cited."""

import hashlib
from dataclasses import dataclass
from uuid import UUID

from domains.conversational_ai.model.citation import Locator


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
    def text_to_embed(self) -> str:
        """The text under its heading: what stands alone in a document often says little without it."""
        heading = self.locator.heading
        return self.text if heading is None or heading in self.text else f"{heading}\n{self.text}"

"""Opening a source at a place of its text, as a citation does."""

from dataclasses import dataclass
from uuid import UUID

from domains.conversational_ai.model.document import DocumentText
from domains.conversational_ai.model.knowledge_source import KeptContent
from domains.conversational_ai.ports.knowledge_reading import KnowledgeReading
from domains.conversational_ai.ports.object_store import ObjectStore, SourceObjects, whole
from shared_kernel.errors import Conflict, FieldError, InvalidInput, NotFound
from shared_kernel.principal import Principal

MOST_CHARACTERS = 100_000


class NotReadYet(Conflict):
    """The file or page waits to be read, or could not be."""

    code = "source_not_read"
    title = "The text of this file is not there: it waits to be read, or could not be"


@dataclass(frozen=True, slots=True, kw_only=True)
class GetSourceContent:
    """Read the text from `start` up to `end`, which may lie behind its end."""

    knowledge_base_id: UUID
    source_id: UUID
    start: int
    end: int
    requested_by: Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceExcerpt:
    """A part of a source's text with the offsets where it really begins and ends, the whole text's length, and its first page."""

    text: str
    start: int
    end: int
    length: int
    page: int | None


@dataclass(frozen=True, slots=True)
class GetSourceContentHandler:
    """Reads what sources say."""

    reading: KnowledgeReading
    objects: ObjectStore

    async def __call__(self, query: GetSourceContent) -> SourceExcerpt:
        """Return at most 100,000 characters of the text that passages are found in, else of the one that waits to be.

        Raises `NotFound`, `InvalidInput`, and `NotReadYet` for a file or page that has no text.
        """
        if not 0 <= query.start <= query.end:
            raise InvalidInput(FieldError("start", "out_of_range", "must be between 0 and end"))
        if query.end - query.start > MOST_CHARACTERS:
            raise InvalidInput(FieldError("end", "out_of_range", f"must be at most {MOST_CHARACTERS} characters after start"))
        document = await self._document(query)
        start, end = (min(at, len(document.text)) for at in (query.start, query.end))
        return SourceExcerpt(text=document.text[start:end], start=start, end=end, length=len(document.text), page=document.page_at(start))

    async def _document(self, query: GetSourceContent) -> DocumentText:
        content = await self.reading.content(query.requested_by, query.knowledge_base_id, query.source_id)
        if not isinstance(content, KeptContent):
            return DocumentText.of_markdown(content.text)
        kept = SourceObjects(query.requested_by.tenant, query.knowledge_base_id, query.source_id)
        try:
            return DocumentText.decoded(await whole(await self.objects.get(kept.text(content.upload_id))))
        except NotFound:
            raise NotReadYet from None

"""Taking a source home, as a file."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

from domains.conversational_ai.model.knowledge_source import FileContent
from domains.conversational_ai.ports.knowledge_reading import KnowledgeReading
from domains.conversational_ai.ports.object_store import ObjectStore, SourceObjects, pieces
from shared_kernel.principal import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class GetSourceFile:
    """Read all of a source."""

    knowledge_base_id: UUID
    source_id: UUID
    requested_by: Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """A file's name, its size in bytes, and what is in it, piece by piece."""

    name: str
    size_bytes: int
    content: AsyncIterator[bytes]


@dataclass(frozen=True, slots=True)
class GetSourceFileHandler:
    """Hands sources out."""

    reading: KnowledgeReading
    objects: ObjectStore

    async def __call__(self, query: GetSourceFile) -> SourceFile:
        """Return the file as it was uploaded, byte for byte; a text, or questions and answers, as a Markdown file of the source's name.

        Raises `NotFound`.
        """
        content = await self.reading.content(query.requested_by, query.knowledge_base_id, query.source_id)
        if isinstance(content, FileContent):
            kept = SourceObjects(query.requested_by.tenant, query.knowledge_base_id, query.source_id).original(content.upload_id)
            return SourceFile(name=content.name, size_bytes=content.size_bytes, content=await self.objects.get(kept))
        source = await self.reading.source(query.requested_by, query.knowledge_base_id, query.source_id)
        text = content.text.encode()
        return SourceFile(name=f"{source.name}.md", size_bytes=len(text), content=pieces(text))

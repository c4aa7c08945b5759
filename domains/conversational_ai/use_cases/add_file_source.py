"""Adding a file to answer from."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath
from uuid import UUID

from domains.conversational_ai.model.knowledge_source import NAME_LENGTH
from domains.conversational_ai.model.languages import KnowledgeLanguage
from domains.conversational_ai.ports.knowledge_reading import KnowledgeReading, KnowledgeSourceRow
from domains.conversational_ai.ports.object_store import SourceObjects
from domains.conversational_ai.use_cases.add_knowledge_source import AddKnowledgeSource, AddKnowledgeSourceHandler
from domains.conversational_ai.use_cases.store_upload import Upload, UploadStorage
from shared_kernel.identifiers import new_id
from shared_kernel.principal import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What its sender says of a file, known when it has arrived."""

    name: str | None = None
    language: KnowledgeLanguage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AddFileSource:
    """Add a file to a base. Without a name it has the file's; without a language it is in the base's."""

    knowledge_base_id: UUID
    upload: Upload
    described: Callable[[], Described]
    requested_by: Principal


@dataclass(frozen=True, slots=True)
class AddFileSourceHandler:
    """Adds files."""

    storage: UploadStorage
    reading: KnowledgeReading
    add: AddKnowledgeSourceHandler

    async def __call__(self, command: AddFileSource) -> KnowledgeSourceRow:
        """Keep the file, then add it as a source with its document and its bytes of storage, atomically.

        When it can't be added nothing of it stays. Raises `NotFound` for the base before anything is read, `InvalidInput`, `QuotaExceeded`.
        """
        tenant = command.requested_by.tenant
        await self.reading.base(command.requested_by, command.knowledge_base_id)
        kept = SourceObjects(tenant, command.knowledge_base_id, new_id())
        content = await self.storage.keep(command.upload, kept)
        try:
            described = command.described()
            return await self.add(
                AddKnowledgeSource(
                    source_id=kept.source_id,
                    knowledge_base_id=command.knowledge_base_id,
                    name=described.name if described.name is not None else named_for(content.name),
                    content=content,
                    language=described.language,
                    requested_by=command.requested_by,
                )
            )
        except BaseException:
            await self.storage.forget(kept, content.upload_id)
            raise


def named_for(file_name: str) -> str:
    """Return a source's name for a file: the file's, without folders, of a length that a name may have."""
    name = "".join(c for c in PurePath(file_name.replace("\\", "/")).name if c.isprintable()).strip()[:NAME_LENGTH]
    return name if len(name) > 1 else "File"

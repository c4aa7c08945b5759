"""Replacing what a source says."""

from dataclasses import dataclass
from uuid import UUID

from contracts.billing.commands import Quotas
from domains.conversational_ai.model.knowledge_source import SourceContent
from domains.conversational_ai.ports.agents_and_knowledge import AgentsAndKnowledgeTransactions
from domains.conversational_ai.ports.knowledge_reading import KnowledgeReading, KnowledgeSourceRow
from domains.conversational_ai.ports.object_store import SourceObjects
from domains.conversational_ai.use_cases.source_storage import give_back_storage, take_storage
from domains.conversational_ai.use_cases.store_upload import Upload, UploadStorage
from shared_kernel.clock import Clock
from shared_kernel.principal import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaceSourceContent:
    """Let a source say something else: a new text, other pairs, or another file."""

    knowledge_base_id: UUID
    source_id: UUID
    content: SourceContent | Upload
    requested_by: Principal


@dataclass(frozen=True, slots=True)
class ReplaceSourceContentHandler:
    """Replaces content."""

    transactions: AgentsAndKnowledgeTransactions
    quotas: Quotas
    reading: KnowledgeReading
    storage: UploadStorage
    clock: Clock

    async def __call__(self, command: ReplaceSourceContent) -> KnowledgeSourceRow:
        """Store the new content; what the source said before is found until the new one is indexed whole.

        The storage that the old content took is given back, what the new one needs is taken. Raises `NotFound`, `InvalidInput`,
        `QuotaExceeded`.
        """
        await self.reading.source(command.requested_by, command.knowledge_base_id, command.source_id)
        kept = SourceObjects(command.requested_by.tenant, command.knowledge_base_id, command.source_id)
        if not isinstance(command.content, Upload):
            return await self._replace(command, command.content)
        content = await self.storage.keep(command.content, kept)
        try:
            return await self._replace(command, content)
        except BaseException:
            await self.storage.forget(kept, content.upload_id)
            raise

    async def _replace(self, command: ReplaceSourceContent, content: SourceContent) -> KnowledgeSourceRow:
        at = self.clock.now()
        async with self.transactions(command.requested_by) as tx:
            source = await tx.sources.get(command.knowledge_base_id, command.source_id)
            await give_back_storage(self.quotas, tx.unit, source, at=at)
            source.replace(content, at=at)
            await tx.sources.replace(source, content)
            await take_storage(self.quotas, tx.unit, source, at=at)
        return KnowledgeSourceRow.of(source)

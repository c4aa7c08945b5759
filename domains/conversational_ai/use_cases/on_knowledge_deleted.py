"""Removing deleted knowledge for good, in the background."""

from dataclasses import dataclass

from contracts.conversational_ai.events import KnowledgeBaseDeleted, KnowledgeSourceDeleted, KnowledgeSourceVersionRetired
from domains.conversational_ai.ports.agents_and_knowledge import AgentsAndKnowledgeTransactions
from domains.conversational_ai.ports.object_store import ObjectStore, SourceObjects
from domains.conversational_ai.ports.passage_index import PassageIndex
from shared_kernel.errors import NotFound
from shared_kernel.events import Delivery
from shared_kernel.principal import Principal


@dataclass(frozen=True, slots=True)
class ForgetSource:
    """Removes a deleted source's vectors and files, then its passages and content. Indexing that still runs cleans up after itself."""

    transactions: AgentsAndKnowledgeTransactions
    index: PassageIndex
    objects: ObjectStore

    async def __call__(self, event: KnowledgeSourceDeleted, delivery: Delivery) -> None:
        """Remove it. Raises `Unavailable` when index or object store do not answer; doing it again changes nothing."""
        system = Principal.system(delivery.organization_id)
        await self.index.remove_source(system.tenant, event.source_id)
        await self.objects.delete_below(SourceObjects(system.tenant, event.knowledge_base_id, event.source_id).all)
        async with self.transactions(system, completes=delivery) as tx:
            await tx.sources.forget(event.source_id)


@dataclass(frozen=True, slots=True)
class ForgetOldContent:
    """Removes what a source was before its content was replaced: vectors, files, passages, content."""

    transactions: AgentsAndKnowledgeTransactions
    index: PassageIndex
    objects: ObjectStore

    async def __call__(self, event: KnowledgeSourceVersionRetired, delivery: Delivery) -> None:
        """Remove it. Raises `Unavailable` when index or object store do not answer; doing it again changes nothing.

        The source is locked meanwhile: a newer content, whose vectors would be removed too, can't come in between. When one is there
        already, its own end removes this one.
        """
        system = Principal.system(delivery.organization_id)
        kept = SourceObjects(system.tenant, event.knowledge_base_id, event.source_id)
        try:
            async with self.transactions(system, completes=delivery) as tx:
                source = await tx.sources.get(event.knowledge_base_id, event.source_id)
                if source.content_version != event.content_version:
                    return
                await self.index.remove_source(system.tenant, source.id, except_version=source.content_version)
                for upload_id in await tx.sources.uploads_before(source.id, source.content_version):
                    await self.objects.delete_below(kept.upload(upload_id))
                await tx.sources.forget_before(source.id, source.content_version)
        except NotFound:  # deleted: the whole of it is removed by another
            async with self.transactions(system, completes=delivery):
                return


@dataclass(frozen=True, slots=True)
class ForgetKnowledgeBase:
    """Removes a deleted base's vectors and files, then its sources with their passages and content."""

    transactions: AgentsAndKnowledgeTransactions
    index: PassageIndex
    objects: ObjectStore

    async def __call__(self, event: KnowledgeBaseDeleted, delivery: Delivery) -> None:
        """Remove it. Raises `Unavailable` when index or object store do not answer; doing it again changes nothing."""
        system = Principal.system(delivery.organization_id)
        await self.index.remove_knowledge_base(system.tenant, event.knowledge_base_id)
        await self.objects.delete_below(SourceObjects(system.tenant, event.knowledge_base_id, event.knowledge_base_id).of_base)
        async with self.transactions(system, completes=delivery) as tx:
            await tx.sources.forget_base(event.knowledge_base_id)

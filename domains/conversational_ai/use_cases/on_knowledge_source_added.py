"""Indexing a source, in the background."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from contracts.billing.errors import QuotaExceeded
from domains.conversational_ai.model.chunking import Chunk, chunks_of_document
from domains.conversational_ai.model.knowledge_source import KeptContent, SourceContent, SourceStep, passages_of
from domains.conversational_ai.model.passage import PlacedPassage
from domains.conversational_ai.model.unreadable_file import Unreadable
from domains.conversational_ai.ports.agents_and_knowledge import AgentsAndKnowledgeTransactions
from domains.conversational_ai.ports.object_store import ObjectStore, SourceObjects
from domains.conversational_ai.ports.passage_index import PassageIndex
from domains.conversational_ai.use_cases.current_content import Content, Overtaken, current, wanted
from domains.conversational_ai.use_cases.passage_vectors import PassageVectors
from domains.conversational_ai.use_cases.source_documents import SourceDocuments
from shared_kernel.clock import Clock
from shared_kernel.errors import AlreadyDelivered, LuneoError, NotFound
from shared_kernel.events import Delivery
from shared_kernel.identifiers import new_id
from shared_kernel.principal import Principal

BATCH = 16


@dataclass(frozen=True, slots=True)
class IndexSource:
    """Makes a source's passages findable."""

    transactions: AgentsAndKnowledgeTransactions
    vectors: PassageVectors
    index: PassageIndex
    objects: ObjectStore
    documents: SourceDocuments
    clock: Clock

    async def __call__(self, event: Content, delivery: Delivery) -> None:
        """Read a file or a page, cut the content into passages once, then embed and index them in batches, keeping each batch's progress.

        - Whoever continues after a kill begins with the first batch that was not kept; indexing a passage twice changes nothing.
        - The source is found, as ready, only when all of it is indexed; that, its event and the delivery's end are one transaction.
        - Until then what was found before its content was replaced is found. Content that is replaced meanwhile is left alone.
        - Content that is found behind newer one that was given up is indexed anew without a word: the source is about the newer one.
        - A source or base that is deleted meanwhile stops the work, and what was indexed is taken out again.
        - What can't be read, or does not fit into the plan, fails at once: trying again would not help.
        - What else goes wrong is shown on the source and raised, so that the delivery is tried again, or given up.
        """
        system = Principal.system(delivery.organization_id)
        try:
            await self._index(event, delivery, system)
        except AlreadyDelivered:
            raise
        except Overtaken:
            await self._leave(event, delivery, system)
        except NotFound:
            await self._clean_up(event, delivery, system)
        except (Unreadable, QuotaExceeded) as refusal:
            async with self.transactions(system, completes=delivery) as tx:
                source = await tx.sources.get(event.knowledge_base_id, event.source_id)
                if source.content_version == event.content_version:
                    source.failed(refusal.detail, code=refusal.code, at=self.clock.now())
        except Exception as error:
            await self._show(error, event, system)
            raise

    async def _leave(self, event: Content, delivery: Delivery, system: Principal) -> None:
        """Take out what was indexed after the content was replaced; before the new one is found, its own end will."""
        try:
            async with self.transactions(system, completes=delivery) as tx:
                source = await tx.sources.get(event.knowledge_base_id, event.source_id)
                if source.indexed_version == source.content_version:
                    await self.index.remove_source(system.tenant, source.id, except_version=source.content_version)
        except NotFound:
            await self._clean_up(event, delivery, system)

    async def _clean_up(self, event: Content, delivery: Delivery, system: Principal) -> None:
        """Take out what was indexed and kept of a source that was deleted meanwhile."""
        await self.index.remove_source(system.tenant, event.source_id)
        await self.objects.delete_below(SourceObjects(system.tenant, event.knowledge_base_id, event.source_id).all)
        async with self.transactions(system, completes=delivery):
            return

    async def _index(self, event: Content, delivery: Delivery, system: Principal) -> None:
        model = self.vectors.model
        await self._cut(event, system)
        await self.index.prepare()
        while batch := await self._next(event, system, model):
            await self.index.upsert(system.tenant, await self.vectors.of_passages(batch))
            async with self.transactions(system) as tx:
                source = await wanted(tx, event)
                await tx.passages.mark_indexed([p.passage.id for p in batch], embedding_model=model)
                if source.content_version == event.content_version:
                    done, total = await tx.passages.count(source.id, event.content_version, embedding_model=model)
                    source.indexing(done=done, total=total, at=self.clock.now())
        async with self.transactions(system, completes=delivery) as tx:
            source = await wanted(tx, event)
            if source.content_version == event.content_version:
                _, total = await tx.passages.count(source.id, event.content_version, embedding_model=model)
                source.indexed(passages=total, model=model, at=self.clock.now())

    async def _cut(self, event: Content, system: Principal) -> None:
        """Write the passages unless an earlier attempt did."""
        async with self.transactions(system) as tx:
            source = await wanted(tx, event)
            if source.content_version != event.content_version:  # found once already: its passages are there
                return
            done, total = await tx.passages.count(source.id, event.content_version, embedding_model=self.vectors.model)
            source.begin(at=self.clock.now())
            if total:
                source.indexing(done=done, total=total, at=self.clock.now())
                return
            content = await tx.sources.content(source)
            if not isinstance(content, KeptContent):
                source.reaches(SourceStep.CUTTING, at=self.clock.now())
        chunks = await self._chunks(event, system, content)
        async with self.transactions(system) as tx:
            source = await current(tx, event)
            done, total = await tx.passages.count(source.id, event.content_version, embedding_model=self.vectors.model)
            if not total:
                passages = passages_of(source, chunks, new_id)
                await tx.passages.write(passages)
                total = len(passages)
            source.indexing(done=done, total=total, at=self.clock.now())

    async def _chunks(self, event: Content, system: Principal, content: SourceContent) -> Sequence[Chunk]:
        """Cut the content; a thread does it, since a long document takes seconds."""
        if isinstance(content, KeptContent):
            return await asyncio.to_thread(chunks_of_document, await self.documents.read(event, content, system))
        return await asyncio.to_thread(content.chunks)

    async def _next(self, event: Content, system: Principal, model: str) -> list[PlacedPassage]:
        async with self.transactions(system) as tx:
            source = await wanted(tx, event)
            return list(await tx.passages.next_to_index(source.id, event.content_version, embedding_model=model, limit=BATCH))

    async def _show(self, error: Exception, event: Content, system: Principal) -> None:
        try:
            async with self.transactions(system) as tx:
                source = await current(tx, event)
                source.stumbled(f"{_reason(error)}; it will be tried again", at=self.clock.now())
        except (LuneoError, Overtaken) as second:
            error.add_note(f"and the source could not say so: {second}")

    async def give_up(self, event: Content, delivery: Delivery, error: Exception | None) -> None:
        """Leave the source failed, with the reason: what went wrong at last, or (`None`) that each worker died over it.

        Nothing happens to a source that was deleted, or is found after all.
        """
        try:
            async with self.transactions(Principal.system(delivery.organization_id)) as tx:
                source = await current(tx, event)
                source.failed(_reason(error), code=error.code if isinstance(error, LuneoError) else None, at=self.clock.now())
        except (NotFound, Overtaken):
            return


def _reason(error: Exception | None) -> str:
    """Return what people are told: our own errors speak for themselves, a defect's words are not for them."""
    if isinstance(error, LuneoError):
        return error.detail
    what = "failed" if error else "was interrupted each time it was tried,"
    return f"Indexing {what} for a reason on our side"

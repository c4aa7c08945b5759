"""Indexing a source, in the background."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from contracts.conversational_ai.events import KnowledgeSourceAdded, KnowledgeSourceOutdated, KnowledgeSourceReplaced
from domains.conversational_ai.model.chunking import Chunk, chunks_of_document
from domains.conversational_ai.model.knowledge_source import FileContent, KnowledgeSource, SourceContent, SourceStep, passages_of
from domains.conversational_ai.model.passage import PlacedPassage
from domains.conversational_ai.model.unreadable_file import UnreadableFile
from domains.conversational_ai.ports.agents_and_knowledge import AgentsAndKnowledge, AgentsAndKnowledgeTransactions
from domains.conversational_ai.ports.document_parsing import DocumentParsing
from domains.conversational_ai.ports.object_store import ObjectStore, SourceObjects, pieces
from domains.conversational_ai.ports.passage_index import PassageIndex
from domains.conversational_ai.use_cases.passage_vectors import PassageVectors
from shared_kernel.clock import Clock
from shared_kernel.errors import AlreadyDelivered, LuneoError, NotFound, Unavailable
from shared_kernel.events import Delivery
from shared_kernel.identifiers import new_id
from shared_kernel.principal import Principal

BATCH = 16

Content = KnowledgeSourceAdded | KnowledgeSourceReplaced | KnowledgeSourceOutdated
"""What a version of a source's content waits for."""


class _Overtaken(Exception):
    """The content was replaced by a newer one: that has a delivery of its own."""


@dataclass(frozen=True, slots=True)
class IndexSource:
    """Makes a source's passages findable."""

    transactions: AgentsAndKnowledgeTransactions
    vectors: PassageVectors
    index: PassageIndex
    objects: ObjectStore
    parsing: DocumentParsing
    clock: Clock

    async def __call__(self, event: Content, delivery: Delivery) -> None:
        """Read a file, cut the content into passages once, then embed and index them in batches, keeping each batch's progress.

        - Whoever continues after a kill begins with the first batch that was not kept; indexing a passage twice changes nothing.
        - The source is found, as ready, only when all of it is indexed; that, its event and the delivery's end are one transaction.
        - Until then what was found before its content was replaced is found. Content that is replaced meanwhile is left alone.
        - A source or base that is deleted meanwhile stops the work, and what was indexed is taken out again.
        - A file that can't be read fails at once: trying again would not help.
        - What else goes wrong is shown on the source and raised, so that the delivery is tried again, or given up.
        """
        system = Principal.system(delivery.organization_id)
        try:
            await self._index(event, delivery, system)
        except AlreadyDelivered:
            raise
        except _Overtaken:
            async with self.transactions(system, completes=delivery):
                return
        except NotFound:
            await self.index.remove_source(system.tenant, event.source_id)
            await self.objects.delete_below(_objects(event, system).all)
            async with self.transactions(system, completes=delivery):
                return
        except UnreadableFile as refusal:
            async with self.transactions(system, completes=delivery) as tx:
                source = await tx.sources.get(event.knowledge_base_id, event.source_id)
                if source.content_version == event.content_version:
                    source.failed(refusal.detail, code=refusal.code, at=self.clock.now())
        except Exception as error:
            await self._show(error, event, system)
            raise

    async def _index(self, event: Content, delivery: Delivery, system: Principal) -> None:
        model = self.vectors.model
        await self._cut(event, system)
        await self.index.prepare()
        while batch := await self._next(event, system, model):
            await self.index.upsert(system.tenant, await self.vectors.of_passages(batch))
            async with self.transactions(system) as tx:
                source = await _current(tx, event)
                await tx.passages.mark_indexed([p.passage.id for p in batch], embedding_model=model)
                done, total = await tx.passages.count(source, embedding_model=model)
                source.indexing(done=done, total=total, at=self.clock.now())
        async with self.transactions(system, completes=delivery) as tx:
            source = await _current(tx, event)
            _, total = await tx.passages.count(source, embedding_model=model)
            source.indexed(passages=total, model=model, at=self.clock.now())

    async def _cut(self, event: Content, system: Principal) -> None:
        """Write the passages unless an earlier attempt did."""
        async with self.transactions(system) as tx:
            source = await _current(tx, event)
            done, total = await tx.passages.count(source, embedding_model=self.vectors.model)
            source.begin(at=self.clock.now())
            if total:
                source.indexing(done=done, total=total, at=self.clock.now())
                return
            content = await tx.sources.content(source)
            source.reaches(SourceStep.PARSING if isinstance(content, FileContent) else SourceStep.CUTTING, at=self.clock.now())
        chunks = await self._chunks(event, system, content)
        async with self.transactions(system) as tx:
            source = await _current(tx, event)
            done, total = await tx.passages.count(source, embedding_model=self.vectors.model)
            if not total:
                passages = passages_of(source, chunks, new_id)
                await tx.passages.write(passages)
                total = len(passages)
            source.indexing(done=done, total=total, at=self.clock.now())

    async def _chunks(self, event: Content, system: Principal, content: SourceContent) -> Sequence[Chunk]:
        """Cut the content; a thread does it, since a long document takes seconds."""
        if not isinstance(content, FileContent):
            return await asyncio.to_thread(content.chunks)
        kept = _objects(event, system)
        try:
            original = await self.objects.get(kept.original(content.upload_id))
        except NotFound:
            raise Unavailable("The uploaded file is not in the object store") from None
        document = await self.parsing.parse(original, content.format)
        await self.objects.put(kept.text(content.upload_id), pieces(document.encoded()))
        async with self.transactions(system) as tx:
            (await _current(tx, event)).reaches(SourceStep.CUTTING, at=self.clock.now())
        return await asyncio.to_thread(chunks_of_document, document)

    async def _next(self, event: Content, system: Principal, model: str) -> list[PlacedPassage]:
        async with self.transactions(system) as tx:
            source = await _current(tx, event)
            return list(await tx.passages.next_to_index(source, embedding_model=model, limit=BATCH))

    async def _show(self, error: Exception, event: Content, system: Principal) -> None:
        try:
            async with self.transactions(system) as tx:
                source = await _current(tx, event)
                source.stumbled(f"{_reason(error)}; it will be tried again", at=self.clock.now())
        except (LuneoError, _Overtaken) as second:
            error.add_note(f"and the source could not say so: {second}")

    async def give_up(self, event: Content, delivery: Delivery, error: Exception | None) -> None:
        """Leave the source failed, with the reason: what went wrong at last, or (`None`) that each worker died over it.

        Nothing happens to a source that was deleted, or is found after all.
        """
        try:
            async with self.transactions(Principal.system(delivery.organization_id)) as tx:
                source = await _current(tx, event)
                source.failed(_reason(error), at=self.clock.now())
        except (NotFound, _Overtaken):
            return


async def _current(tx: AgentsAndKnowledge, event: Content) -> KnowledgeSource:
    """Return the source. Raises `NotFound`, and `_Overtaken` when its content is a newer one than the event's."""
    source = await tx.sources.get(event.knowledge_base_id, event.source_id)
    if source.content_version != event.content_version:
        raise _Overtaken
    return source


def _objects(event: Content, system: Principal) -> SourceObjects:
    return SourceObjects(system.tenant, event.knowledge_base_id, event.source_id)


def _reason(error: Exception | None) -> str:
    """Return what people are told: our own errors speak for themselves, a defect's words are not for them."""
    if isinstance(error, LuneoError):
        return error.detail
    what = "failed" if error else "was interrupted each time it was tried,"
    return f"Indexing {what} for a reason on our side"

"""Indexing a source, in the background."""

from dataclasses import dataclass

from contracts.conversational_ai.events import KnowledgeSourceAdded, KnowledgeSourceOutdated
from domains.conversational_ai.model.knowledge_source import passages_of
from domains.conversational_ai.model.passage import Passage
from domains.conversational_ai.ports.agents_and_knowledge import AgentsAndKnowledgeTransactions
from domains.conversational_ai.ports.passage_index import PassageIndex
from domains.conversational_ai.use_cases.passage_vectors import PassageVectors
from shared_kernel.clock import Clock
from shared_kernel.errors import AlreadyDelivered, LuneoError, NotFound
from shared_kernel.events import Delivery
from shared_kernel.identifiers import new_id
from shared_kernel.principal import Principal

BATCH = 16

_ToIndex = KnowledgeSourceAdded | KnowledgeSourceOutdated


@dataclass(frozen=True, slots=True)
class IndexSource:
    """Makes a source's passages findable."""

    transactions: AgentsAndKnowledgeTransactions
    vectors: PassageVectors
    index: PassageIndex
    clock: Clock

    async def __call__(self, event: _ToIndex, delivery: Delivery) -> None:
        """Cut the source into passages once, then embed and index them in batches, keeping each batch's progress.

        - Whoever continues after a kill begins with the first batch that was not kept; indexing a passage twice changes nothing.
        - The source is found, as ready, only when all of it is indexed; that, its event and the delivery's end are one transaction.
        - A source or base that is deleted meanwhile stops the work, and what was indexed is taken out again.
        - What goes wrong is shown on the source and raised, so that the delivery is tried again, or given up.
        """
        system = Principal.system(delivery.organization_id)
        try:
            await self._index(event, delivery, system)
        except AlreadyDelivered:
            raise
        except NotFound:
            await self.index.remove_source(system.tenant, event.source_id)
            async with self.transactions(system, completes=delivery):
                return
        except Exception as error:
            await self._show(error, event, system)
            raise

    async def _index(self, event: _ToIndex, delivery: Delivery, system: Principal) -> None:
        model = self.vectors.model
        await self._cut(event, system)
        await self.index.prepare()
        while batch := await self._next(event, system, model):
            await self.index.upsert(system.tenant, await self.vectors.of_passages(batch))
            async with self.transactions(system) as tx:
                source = await tx.sources.get(event.knowledge_base_id, event.source_id)
                await tx.passages.mark_indexed([p.id for p in batch], embedding_model=model)
                done, total = await tx.passages.count(source, embedding_model=model)
                source.indexing(done=done, total=total, at=self.clock.now())
        async with self.transactions(system, completes=delivery) as tx:
            source = await tx.sources.get(event.knowledge_base_id, event.source_id)
            _, total = await tx.passages.count(source, embedding_model=model)
            source.indexed(passages=total, model=model, at=self.clock.now())

    async def _cut(self, event: _ToIndex, system: Principal) -> None:
        """Write the passages unless an earlier attempt did."""
        async with self.transactions(system) as tx:
            source = await tx.sources.get(event.knowledge_base_id, event.source_id)
            done, total = await tx.passages.count(source, embedding_model=self.vectors.model)
            if not total:
                passages = passages_of(source, await tx.sources.content(source), new_id)
                await tx.passages.write(passages)
                total = len(passages)
            source.begin(at=self.clock.now())
            source.indexing(done=done, total=total, at=self.clock.now())

    async def _next(self, event: _ToIndex, system: Principal, model: str) -> list[Passage]:
        async with self.transactions(system) as tx:
            source = await tx.sources.get(event.knowledge_base_id, event.source_id)
            return list(await tx.passages.next_to_index(source, embedding_model=model, limit=BATCH))

    async def _show(self, error: Exception, event: _ToIndex, system: Principal) -> None:
        try:
            async with self.transactions(system) as tx:
                source = await tx.sources.get(event.knowledge_base_id, event.source_id)
                source.stumbled(f"{_reason(error)}; it will be tried again", at=self.clock.now())
        except LuneoError as second:
            error.add_note(f"and the source could not say so: {second}")

    async def give_up(self, event: _ToIndex, delivery: Delivery, error: Exception | None) -> None:
        """Leave the source failed, with the reason: what went wrong at last, or (`None`) that each worker died over it.

        Nothing happens to a source that was deleted, or is found after all.
        """
        try:
            async with self.transactions(Principal.system(delivery.organization_id)) as tx:
                source = await tx.sources.get(event.knowledge_base_id, event.source_id)
                source.failed(_reason(error), at=self.clock.now())
        except NotFound:
            return


def _reason(error: Exception | None) -> str:
    """Return what people are told: our own errors speak for themselves, a defect's words are not for them."""
    if isinstance(error, LuneoError):
        return error.detail
    what = "failed" if error else "was interrupted each time it was tried,"
    return f"Indexing {what} for a reason on our side"

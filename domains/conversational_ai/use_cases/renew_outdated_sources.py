"""Index anew what an earlier version, or another model, indexed."""

from dataclasses import dataclass

from domains.conversational_ai.ports.agents_and_knowledge import AgentsAndKnowledgeTransactions
from domains.conversational_ai.ports.outdated_sources import OutdatedSources
from domains.conversational_ai.ports.passage_index import PassageIndex
from domains.conversational_ai.use_cases.passage_vectors import PassageVectors
from shared_kernel.clock import Clock
from shared_kernel.errors import NotFound
from shared_kernel.principal import Principal

_BATCH = 100


@dataclass(frozen=True, slots=True)
class RenewOutdatedSourcesHandler:
    """Runs each minute in the scheduler."""

    outdated: OutdatedSources
    transactions: AgentsAndKnowledgeTransactions
    vectors: PassageVectors
    index: PassageIndex
    clock: Clock

    async def __call__(self) -> int:
        """Let outdated sources be indexed in the background, each in its own organisation's transaction; return how many.

        A source that is deleted or renewed meanwhile is left alone. The index is made ready first, so that what is asked meanwhile finds
        nothing instead of failing. Raises `Unavailable` when the index does not answer.
        """
        model = self.vectors.model
        found = await self.outdated.find(model=model, limit=_BATCH)
        if found:
            await self.index.prepare()
        renewed = 0
        for organization_id, base_id, source_id in found:
            try:
                async with self.transactions(Principal.system(organization_id)) as tx:
                    source = await tx.sources.get(base_id, source_id)
                    renewed += source.renew(model, at=self.clock.now())
            except NotFound:
                continue
        return renewed

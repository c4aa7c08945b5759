"""Taking an agent out of service."""

from dataclasses import dataclass
from uuid import UUID

from contracts.billing.commands import Quotas
from contracts.billing.metrics import Metric
from domains.conversational_ai.ports.agents_and_knowledge import AgentsAndKnowledgeTransactions
from shared_kernel.clock import Clock
from shared_kernel.principal import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveAgent:
    """Take the agent out of service for good. With `expected_version` only if nobody saved since that version was read."""

    agent_id: UUID
    expected_version: int | None = None
    requested_by: Principal


@dataclass(frozen=True, slots=True)
class ArchiveAgentHandler:
    """Archives agents."""

    transactions: AgentsAndKnowledgeTransactions
    quotas: Quotas
    clock: Clock

    async def __call__(self, command: ArchiveAgent) -> None:
        """Archive the agent and free its place in the plan and its slug; its conversations stay readable.

        Raises `NotFound`, `Conflict` for another version.
        """
        at = self.clock.now()
        async with self.transactions(command.requested_by) as tx:
            agent = await tx.agents.get(command.agent_id)
            agent.must_be_at(command.expected_version)
            agent.archive(at=at)
            await self.quotas.give_back(tx.unit, metric=Metric.AGENTS, quantity=1, cause_id=agent.id, at=at)

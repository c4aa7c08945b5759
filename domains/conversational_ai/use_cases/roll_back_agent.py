"""Going back to an earlier version."""

from dataclasses import dataclass
from uuid import UUID

from domains.conversational_ai.model.agent import OfferedModels
from domains.conversational_ai.ports.agent_reading import AgentRow
from domains.conversational_ai.ports.agents_and_knowledge import AgentsAndKnowledgeTransactions
from shared_kernel.clock import Clock
from shared_kernel.principal import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class RollBackAgent:
    """Make the published version `number` live again. With `expected_version` only if nobody saved since that version was read."""

    agent_id: UUID
    number: int
    expected_version: int | None = None
    requested_by: Principal


@dataclass(frozen=True, slots=True)
class RollBackAgentHandler:
    """Rolls agents back."""

    transactions: AgentsAndKnowledgeTransactions
    models: OfferedModels
    clock: Clock

    async def __call__(self, command: RollBackAgent) -> AgentRow:
        """Let the earlier version answer from now on; the draft and the later versions stay.

        Raises `NotFound` for the agent or the version, `Conflict` when the agent has another version,
        `InvalidInput` when the model of the one to go back to is no longer offered.
        """
        async with self.transactions(command.requested_by) as tx:
            agent = await tx.agents.get(command.agent_id)
            agent.must_be_at(command.expected_version)
            version = await tx.agents.get_version(command.agent_id, command.number)
            agent.roll_back(version, models=self.models, at=self.clock.now())
        return AgentRow.of(agent)

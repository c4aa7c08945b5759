"""Editing an agent's draft."""

from dataclasses import dataclass, field
from uuid import UUID

from domains.conversational_ai.model.agent import AgentChanges, OfferedModels
from domains.conversational_ai.ports.agent_reading import AgentRow
from domains.conversational_ai.ports.agents_and_knowledge import AgentsAndKnowledgeTransactions
from domains.conversational_ai.ports.answer_schemas import AnswerSchemas
from shared_kernel.clock import Clock
from shared_kernel.principal import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class EditAgent:
    """Change what is given. With `expected_version` only if nobody saved since that version was read."""

    agent_id: UUID
    name: str | None = None
    slug: str | None = None
    description: str | None = None
    settings: AgentChanges = field(default_factory=AgentChanges)
    expected_version: int | None = None
    requested_by: Principal


@dataclass(frozen=True, slots=True)
class EditAgentHandler:
    """Edits agents."""

    transactions: AgentsAndKnowledgeTransactions
    models: OfferedModels
    schemas: AnswerSchemas
    clock: Clock

    async def __call__(self, command: EditAgent) -> AgentRow:
        """Edit the draft; what is live stays as it was published.

        Raises `NotFound`, `Conflict` for another version, `SlugTaken`, `InvalidInput` naming the fields.
        """
        if (answer_format := command.settings.get("response_format")) is not None:
            self.schemas.must_be_schema(answer_format)
        async with self.transactions(command.requested_by) as tx:
            agent = await tx.agents.get(command.agent_id)
            agent.must_be_at(command.expected_version)
            agent.edit(
                name=command.name,
                slug=command.slug,
                description=command.description,
                changes=command.settings,
                models=self.models,
                at=self.clock.now(),
            )
        return AgentRow.of(agent)

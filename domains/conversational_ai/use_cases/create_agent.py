"""Making an agent."""

from dataclasses import dataclass, field
from typing import cast
from uuid import UUID

from contracts.billing.commands import Quotas
from contracts.billing.metrics import Metric
from domains.conversational_ai.model.agent import Agent, AgentChanges, AgentSettings, OfferedModels, free_slug, slug_from
from domains.conversational_ai.model.agent_template import DEFAULT_TEMPLATE, template_named
from domains.conversational_ai.model.languages import Language
from domains.conversational_ai.ports.agent_reading import AgentRow
from domains.conversational_ai.ports.agents_and_knowledge import AgentsAndKnowledgeTransactions
from domains.conversational_ai.ports.answer_schemas import AnswerSchemas
from shared_kernel.clock import Clock
from shared_kernel.identifiers import new_id
from shared_kernel.principal import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateAgent:
    """Make an agent from a template, with what `settings` says instead; without a `slug` one is made from the name."""

    name: str
    slug: str | None = None
    description: str = ""
    template_slug: str = DEFAULT_TEMPLATE
    settings: AgentChanges = field(default_factory=AgentChanges)
    knowledge_base_ids: tuple[UUID, ...] = ()
    requested_by: Principal


@dataclass(frozen=True, slots=True)
class CreateAgentHandler:
    """Makes agents."""

    transactions: AgentsAndKnowledgeTransactions
    quotas: Quotas
    models: OfferedModels
    schemas: AnswerSchemas
    clock: Clock

    async def __call__(self, command: CreateAgent) -> AgentRow:
        """Make a draft; it takes one of the plan's agents.

        The template's words are in the first of the agent's languages. Without a model it gets the installation's default.
        Raises `InvalidInput` naming the fields, `SlugTaken` for a slug that was asked for, `NotFound` for a knowledge base,
        `QuotaExceeded`.
        """
        organization_id, at, agent_id = command.requested_by.tenant, self.clock.now(), new_id()
        languages = command.settings.get("languages") or (Language.FRENCH,)
        template = template_named(command.template_slug)
        chosen = cast("AgentChanges", {**template.settings_in(languages[0]), **command.settings})
        settings = AgentSettings(model=self.models.default).changed(chosen)
        if settings.response_format is not None:
            self.schemas.must_be_schema(settings.response_format)
        async with self.transactions(command.requested_by) as tx:
            slug = command.slug
            if slug is None:
                wanted = slug_from(command.name)
                slug = free_slug(wanted, await tx.agents.slugs_like(wanted))
            agent = Agent.create(
                agent_id,
                organization_id=organization_id,
                name=command.name,
                slug=slug,
                description=command.description,
                template_slug=template.slug,
                settings=settings,
                models=self.models,
                at=at,
            )
            if command.knowledge_base_ids:
                await tx.knowledge_bases.hold(command.knowledge_base_ids)
                agent.answer_from(command.knowledge_base_ids, at=at)
            tx.agents.add(agent)
            await self.quotas.take(tx.unit, metric=Metric.AGENTS, quantity=1, cause="agent", cause_id=agent_id, at=at)
        return AgentRow.of(agent)

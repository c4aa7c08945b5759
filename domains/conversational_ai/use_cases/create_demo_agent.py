"""The agent of the demo organisation, which answers questions about Luneo itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from contracts.billing.commands import Quotas
from contracts.billing.metrics import Metric
from domains.conversational_ai.model.agent import Agent, AgentChanges, AgentSettings, OfferedModels
from domains.conversational_ai.model.agent_template import DEFAULT_TEMPLATE, template_named
from domains.conversational_ai.model.knowledge_base import KnowledgeBase
from domains.conversational_ai.model.knowledge_source import KnowledgeSource, QuestionsContent, TextContent
from domains.conversational_ai.model.languages import KnowledgeLanguage, Language
from domains.conversational_ai.ports.agents_and_knowledge import AgentsAndKnowledge, AgentsAndKnowledgeTransactions
from shared_kernel.clock import Clock
from shared_kernel.identifiers import new_id
from shared_kernel.principal import Principal

AGENT_NAME = "Luneo guide"
AGENT_SLUG = "luneo-guide"
KNOWLEDGE_BASE_NAME = "Luneo documentation"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSource:
    """One piece of Luneo's own documentation."""

    name: str
    language: KnowledgeLanguage
    content: TextContent | QuestionsContent


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateDemoAgent:
    """Make the agent of the demo organisation, with `sources` as its knowledge."""

    sources: Sequence[DemoSource]
    requested_by: Principal


@dataclass(frozen=True, slots=True)
class CreateDemoAgentHandler:
    """Makes the demo agent."""

    transactions: AgentsAndKnowledgeTransactions
    quotas: Quotas
    models: OfferedModels
    clock: Clock

    async def __call__(self, command: CreateDemoAgent) -> UUID:
        """Make and publish the agent with its knowledge, all or nothing; return its id. When it is there already, only that.

        Raises `QuotaExceeded` when the organisation's plan has no room.
        """
        async with self.transactions(command.requested_by) as tx:
            there = await tx.agents.with_slug(AGENT_SLUG)
            if there is not None:
                return there.id
            base = await self._knowledge(command, tx)
            return await self._agent(command, base, tx)

    async def _knowledge(self, command: CreateDemoAgent, tx: AgentsAndKnowledge) -> KnowledgeBase:
        at = self.clock.now()
        base = KnowledgeBase.create(
            new_id(),
            organization_id=command.requested_by.tenant,
            name=KNOWLEDGE_BASE_NAME,
            description="Luneo's own documentation, in French and English",
            language=KnowledgeLanguage.ENGLISH,
            at=at,
        )
        tx.knowledge_bases.add(base)
        await self.quotas.take(tx.unit, metric=Metric.KNOWLEDGE_BASES, quantity=1, cause="knowledge_base", cause_id=base.id, at=at)
        for piece in command.sources:
            source = KnowledgeSource.add(
                new_id(),
                organization_id=base.organization_id,
                knowledge_base_id=base.id,
                name=piece.name,
                language=piece.language,
                content=piece.content,
                at=at,
            )
            await tx.sources.add(source, piece.content)
            await self.quotas.take(tx.unit, metric=Metric.DOCUMENTS, quantity=1, cause="knowledge_source", cause_id=source.id, at=at)
            await self.quotas.take(
                tx.unit, metric=Metric.STORAGE_GB, quantity=source.size_bytes, cause="knowledge_source", cause_id=source.id, at=at
            )
        return base

    async def _agent(self, command: CreateDemoAgent, base: KnowledgeBase, tx: AgentsAndKnowledge) -> UUID:
        at = self.clock.now()
        template = template_named(DEFAULT_TEMPLATE)
        settings = AgentSettings(model=self.models.default).changed(template.settings_in(Language.FRENCH))
        agent = Agent.create(
            new_id(),
            organization_id=command.requested_by.tenant,
            name=AGENT_NAME,
            slug=AGENT_SLUG,
            description="Answers questions about Luneo, in French and English.",
            template_slug=template.slug,
            settings=settings.changed(_DEMO_SETTINGS),
            models=self.models,
            at=at,
        )
        agent.answer_from([base.id], at=at)
        published = agent.publish(by=None, models=self.models, at=at)
        tx.agents.add(agent)
        if published is not None:
            await tx.agents.add_version(published)
        await self.quotas.take(tx.unit, metric=Metric.AGENTS, quantity=1, cause="agent", cause_id=agent.id, at=at)
        return agent.id


_DEMO_SETTINGS = AgentChanges(
    languages=(Language.FRENCH, Language.ENGLISH),
    greeting="Bonjour ! Je connais bien Luneo. Que voulez-vous savoir ? · Hello! I know Luneo well. What would you like to know?",
    fallback_message=(
        "Je n'ai rien trouvé à ce sujet dans la documentation de Luneo. Essayez avec d'autres mots. · "
        "I found nothing about that in Luneo's documentation. Try other words."
    ),
    suggested_questions=(
        "Combien coûte Luneo ?",
        "Comment créer un agent ?",
        "How does streaming resume work?",
        "What can each role do?",
    ),
)

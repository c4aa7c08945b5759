"""Whether the content that a delivery is about is still wanted."""

from contracts.conversational_ai.events import KnowledgeSourceAdded, KnowledgeSourceOutdated, KnowledgeSourceReplaced
from domains.conversational_ai.model.knowledge_source import KnowledgeSource
from domains.conversational_ai.ports.agents_and_knowledge import AgentsAndKnowledge

Content = KnowledgeSourceAdded | KnowledgeSourceReplaced | KnowledgeSourceOutdated
"""What a version of a source's content waits for."""


class Overtaken(Exception):
    """The content was replaced by a newer one: that has a delivery of its own."""


async def wanted(tx: AgentsAndKnowledge, event: Content) -> KnowledgeSource:
    """Return the source also for content that is still found because the newer one is not. Raises as `current` does."""
    source = await tx.sources.get(event.knowledge_base_id, event.source_id)
    if event.content_version not in {source.content_version, source.indexed_version}:
        raise Overtaken
    return source


async def current(tx: AgentsAndKnowledge, event: Content) -> KnowledgeSource:
    """Return the source. Raises `NotFound`, and `Overtaken` when its content is a newer one than the event's."""
    source = await tx.sources.get(event.knowledge_base_id, event.source_id)
    if source.content_version != event.content_version:
        raise Overtaken
    return source

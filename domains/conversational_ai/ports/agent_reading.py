"""Agents as they are shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from domains.conversational_ai.model.agent import Agent, AgentSettings, AgentStatus
from shared_kernel.pagination import Page, PageRequest
from shared_kernel.principal import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRow:
    """An agent with its draft. `version` counts saves, for optimistic edits; `published_version` is the live one."""

    id: UUID
    name: str
    slug: str
    description: str
    template_slug: str | None
    status: AgentStatus
    settings: AgentSettings
    published_version: int | None
    published_at: datetime | None
    unpublished_changes: bool
    knowledge_base_ids: tuple[UUID, ...]
    created_at: datetime
    updated_at: datetime
    version: int

    @classmethod
    def of(cls, agent: Agent) -> "AgentRow":
        """Return what is shown of `agent`."""
        return cls(
            id=agent.id,
            name=agent.name,
            slug=agent.slug,
            description=agent.description,
            template_slug=agent.template_slug,
            status=agent.status,
            settings=agent.draft,
            published_version=agent.published_number,
            published_at=agent.published_at,
            unpublished_changes=agent.unpublished_changes,
            knowledge_base_ids=agent.knowledge_base_ids,
            created_at=agent.created_at,
            updated_at=agent.updated_at,
            version=agent.version,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentVersionRow:
    """A published version; `live` marks the one that answers."""

    number: int
    settings: AgentSettings
    published_at: datetime
    published_by: UUID | None
    live: bool


class AgentReading(Protocol):
    """Reads agents for the principal's organisation."""

    async def agents(self, principal: Principal, page: PageRequest) -> Page[AgentRow]:
        """Return agents, newest first, without archived ones. Raises `InvalidInput` for a cursor that is not ours."""
        ...

    async def agent(self, principal: Principal, agent_id: UUID) -> AgentRow:
        """Return one agent. Raises `NotFound`."""
        ...

    async def published(self, principal: Principal) -> Sequence[AgentRow]:
        """Return all published agents, newest first."""
        ...

    async def published_as(self, principal: Principal, name: str) -> AgentRow:
        """Return the published agent whose id or slug is `name`; an id goes first. Raises `NotFound`."""
        ...

    async def versions(self, principal: Principal, agent_id: UUID, page: PageRequest) -> Page[AgentVersionRow]:
        """Return an agent's published versions, newest first. Raises `NotFound`, `InvalidInput` for a cursor that is not ours."""
        ...

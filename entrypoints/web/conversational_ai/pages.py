"""The chat, the knowledge, and the first steps. The scripts of these pages talk to the API; the pages themselves are the frame."""

from uuid import UUID

from dishka import FromDishka
from dishka.integrations.litestar import inject
from litestar import Response, get, head
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.types import ControllerRouterHandler

from contracts.identity.permissions import Permission
from contracts.identity.queries import Authentication
from domains.conversational_ai.model.agent import AgentStatus
from domains.conversational_ai.model.agent_template import TEMPLATES
from domains.conversational_ai.model.languages import Language
from domains.conversational_ai.ports.agent_reading import AgentReading
from domains.conversational_ai.ports.conversations import ConversationReading
from domains.identity.ports.reading import IdentityReading
from entrypoints.http.identity.sessions import SessionAnswers
from entrypoints.http.routing import public, requires
from entrypoints.web.bundle import FOLDER
from entrypoints.web.rendering import PageRequest, bundle_of, language_of, may_resume, rendered
from entrypoints.web.visitors import Visitor, person_behind, visitor_of
from shared_kernel.pagination import MAXIMUM_LIMIT
from shared_kernel.pagination import PageRequest as ListPage
from shared_kernel.principal import Principal

_STARTING_POINTS = ("support-agent", "faq-agent")
"""The templates that the first steps offer, the usual one first; the API has all of them."""


@get("/", opt=public("a welcome to those who are not signed in"), include_in_schema=False)
@inject
async def index(  # noqa: PLR0917 - passed by name
    request: PageRequest,
    authentication: FromDishka[Authentication],
    answers: FromDishka[SessionAnswers],
    identity: FromDishka[IdentityReading],
    agents: FromDishka[AgentReading],
    agent: FromQuery[UUID | None] = None,
) -> Response[str]:
    """Show the chat to those who are signed in and have an agent, the first steps to those who have none, the door to everybody else."""
    if bundle_of(request).entry("page") is None:
        return rendered(request, "not_built.html", folder=str(FOLDER))
    principal = await person_behind(request, authentication, secure=answers.secure)
    if principal is None:
        return rendered(request, "resume.html", next="/") if may_resume(request) else rendered(request, "welcome.html")
    visitor = await visitor_of(principal, identity)
    if visitor.organization is None or visitor.suspended:
        return rendered(request, "no_place.html", own_language=visitor.locale, visitor=visitor, section="")
    return await _chat(request, principal, visitor, agents, agent_id=agent)


@head("/", opt=public("where the address leads"), include_in_schema=False)
async def index_alone() -> None:
    """Tell by the status alone that the address answers."""


@get("/conversations/{conversation_id:uuid}", opt=requires(Permission.CONVERSATIONS_VIEW), include_in_schema=False)
@inject
async def conversation_page(  # noqa: PLR0917 - passed by name
    request: PageRequest,
    conversation_id: FromPath[UUID],
    principal: NamedDependency[Principal],
    identity: FromDishka[IdentityReading],
    agents: FromDishka[AgentReading],
    conversations: FromDishka[ConversationReading],
) -> Response[str]:
    """Show one conversation. Another organisation's is not there."""
    found = await conversations.conversation(principal, conversation_id)
    return await _chat(request, principal, await visitor_of(principal, identity), agents, agent_id=found.agent_id, conversation_id=found.id)


@get("/knowledge", opt=requires(Permission.KNOWLEDGE_VIEW), include_in_schema=False)
@inject
async def knowledge_page(
    request: PageRequest, principal: NamedDependency[Principal], identity: FromDishka[IdentityReading]
) -> Response[str]:
    """Show what agents know."""
    visitor = await visitor_of(principal, identity)
    return rendered(request, "knowledge.html", "knowledge", own_language=visitor.locale, visitor=visitor, section="knowledge")


async def _chat(
    request: PageRequest,
    principal: Principal,
    visitor: Visitor,
    reading: AgentReading,
    *,
    agent_id: UUID | None,
    conversation_id: UUID | None = None,
) -> Response[str]:
    every = (await reading.agents(principal, ListPage(limit=MAXIMUM_LIMIT))).items
    published = [agent for agent in every if agent.status is AgentStatus.PUBLISHED]
    if not published and conversation_id is None:
        return _first_steps(request, visitor)
    agent = next((agent for agent in published if agent.id == agent_id), None)
    if agent is None and conversation_id is None:
        agent = published[0]
    return rendered(
        request,
        "chat.html",
        "chat",
        own_language=visitor.locale,
        visitor=visitor,
        section="chat",
        agents=published,
        agent=agent,
        conversation_id=conversation_id,
    )


def _first_steps(request: PageRequest, visitor: Visitor) -> Response[str]:
    by_slug = {template.slug: template for template in TEMPLATES}
    language = Language(language_of(request, visitor.locale).value)
    offered = [(slug, by_slug[slug].texts[language]) for slug in _STARTING_POINTS]
    return rendered(
        request, "start.html", "start", own_language=visitor.locale, visitor=visitor, section="chat", templates=offered, answers_in=language
    )


route_handlers: list[ControllerRouterHandler] = [index, index_alone, conversation_page, knowledge_page]

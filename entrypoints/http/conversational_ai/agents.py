"""Agents and their templates."""

from typing import Any, cast
from uuid import UUID

from dishka import FromDishka
from dishka.integrations.litestar import inject
from litestar import Response, delete, get, patch, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.types import ControllerRouterHandler
from msgspec import UNSET

from contracts.http.conversational_ai import (
    AgentBody,
    AgentChangesBody,
    AgentList,
    AgentSettingsBody,
    AgentTemplateBody,
    AgentTemplateList,
    AgentVersionBody,
    AgentVersionList,
    AttachKnowledgeBody,
    CreateAgentBody,
    EditAgentBody,
    ResponseFormatBody,
    RetrievalBody,
    RollBackBody,
    ShownJsonSchemaBody,
    ShownResponseFormatBody,
    TemplateTextsBody,
)
from contracts.identity.permissions import Permission
from domains.conversational_ai.model.agent import AgentChanges, AgentSettings, Tone
from domains.conversational_ai.model.agent_template import DEFAULT_TEMPLATE, TEMPLATES
from domains.conversational_ai.model.answer_format import FIELD, AnswerFormat
from domains.conversational_ai.model.languages import Language
from domains.conversational_ai.ports.agent_reading import AgentReading, AgentRow
from domains.conversational_ai.use_cases.archive_agent import ArchiveAgent, ArchiveAgentHandler
from domains.conversational_ai.use_cases.attach_knowledge import AttachKnowledge, AttachKnowledgeHandler
from domains.conversational_ai.use_cases.create_agent import CreateAgent, CreateAgentHandler
from domains.conversational_ai.use_cases.edit_agent import EditAgent, EditAgentHandler
from domains.conversational_ai.use_cases.publish_agent import PublishAgent, PublishAgentHandler
from domains.conversational_ai.use_cases.roll_back_agent import RollBackAgent, RollBackAgentHandler
from entrypoints.http.etags import IfMatch, etag, expected_version
from entrypoints.http.paging import page_of, page_request
from entrypoints.http.routing import requires
from shared_kernel.errors import FieldError, InvalidInput
from shared_kernel.pagination import DEFAULT_LIMIT
from shared_kernel.principal import Principal

_TAGS = ["Agents"]
_PLAIN = (
    "instructions",
    "custom_instructions",
    "greeting",
    "fallback_message",
    "model",
    "temperature",
    "top_p",
    "frequency_penalty",
    "presence_penalty",
    "max_tokens",
    "context_window",
    "escalation_threshold",
)


@get("/agent-templates", opt=requires(Permission.AGENTS_VIEW), tags=_TAGS, sync_to_thread=False)
def list_templates(cursor: FromQuery[str | None] = None, limit: FromQuery[int] = DEFAULT_LIMIT) -> AgentTemplateList:
    """List what agents can start from, in every language."""
    page = page_of(TEMPLATES, page_request(cursor, limit), key=lambda template: template.slug)
    return AgentTemplateList(
        items=[
            AgentTemplateBody(
                slug=template.slug,
                category=template.category,
                tone=template.tone,
                texts={
                    language: TemplateTextsBody(
                        name=texts.name,
                        description=texts.description,
                        instructions=texts.instructions,
                        greeting=texts.greeting,
                        fallback_message=texts.fallback_message,
                    )
                    for language, texts in template.texts.items()
                },
            )
            for template in page.items
        ],
        next_cursor=page.next_cursor,
    )


@post("/agents", status_code=201, opt=requires(Permission.AGENTS_CREATE), tags=_TAGS)
@inject
async def create_agent(
    data: JSONBody[CreateAgentBody], principal: NamedDependency[Principal], handler: FromDishka[CreateAgentHandler]
) -> Response[AgentBody]:
    """Make an agent, as a draft, from a template. It takes one of the plan's agents."""
    return _agent(
        await handler(
            CreateAgent(
                name=data.name,
                slug=data.slug or None,
                description=data.description or "",
                template_slug=DEFAULT_TEMPLATE if data.template_slug is UNSET else data.template_slug,
                settings=_changes(data),
                knowledge_base_ids=tuple(data.knowledge_base_ids or ()),
                requested_by=principal,
            )
        )
    )


@get("/agents", opt=requires(Permission.AGENTS_VIEW), tags=_TAGS)
@inject
async def list_agents(
    principal: NamedDependency[Principal],
    reading: FromDishka[AgentReading],
    cursor: FromQuery[str | None] = None,
    limit: FromQuery[int] = 20,
) -> AgentList:
    """List agents, newest first."""
    page = await reading.agents(principal, page_request(cursor, limit))
    return AgentList(items=[_body(row) for row in page.items], next_cursor=page.next_cursor)


@get("/agents/{agent_id:uuid}", opt=requires(Permission.AGENTS_VIEW), tags=_TAGS)
@inject
async def get_agent(
    agent_id: FromPath[UUID], principal: NamedDependency[Principal], reading: FromDishka[AgentReading]
) -> Response[AgentBody]:
    """Return one agent with its draft."""
    return _agent(await reading.agent(principal, agent_id))


@patch("/agents/{agent_id:uuid}", opt=requires(Permission.AGENTS_EDIT), tags=_TAGS)
@inject
async def edit_agent(
    agent_id: FromPath[UUID],
    data: JSONBody[EditAgentBody],
    principal: NamedDependency[Principal],
    handler: FromDishka[EditAgentHandler],
    if_match: IfMatch = None,
) -> Response[AgentBody]:
    """Change an agent's draft; what is published stays as it is. `If-Match` guards against overwriting somebody else's change."""
    return _agent(
        await handler(
            EditAgent(
                agent_id=agent_id,
                name=None if data.name is UNSET else data.name,
                slug=None if data.slug is UNSET else data.slug,
                description=None if data.description is UNSET else data.description,
                settings=_changes(data),
                expected_version=expected_version(if_match),
                requested_by=principal,
            )
        )
    )


@delete("/agents/{agent_id:uuid}", status_code=204, opt=requires(Permission.AGENTS_DELETE), tags=_TAGS)
@inject
async def archive_agent(
    agent_id: FromPath[UUID], principal: NamedDependency[Principal], handler: FromDishka[ArchiveAgentHandler], if_match: IfMatch = None
) -> None:
    """Take an agent out of service for good; its conversations stay readable and its place in the plan is free."""
    await handler(ArchiveAgent(agent_id=agent_id, expected_version=expected_version(if_match), requested_by=principal))


@post("/agents/{agent_id:uuid}/publish", status_code=200, opt=requires(Permission.AGENTS_PUBLISH), tags=_TAGS)
@inject
async def publish_agent(
    agent_id: FromPath[UUID],
    principal: NamedDependency[Principal],
    handler: FromDishka[PublishAgentHandler],
    if_match: IfMatch = None,
) -> Response[AgentBody]:
    """Make the draft the version that answers. A 422 names every field that is not ready."""
    expected = expected_version(if_match)
    return _agent(await handler(PublishAgent(agent_id=agent_id, expected_version=expected, requested_by=principal)))


@get("/agents/{agent_id:uuid}/versions", opt=requires(Permission.AGENTS_VIEW), tags=_TAGS)
@inject
async def list_versions(
    agent_id: FromPath[UUID],
    principal: NamedDependency[Principal],
    reading: FromDishka[AgentReading],
    cursor: FromQuery[str | None] = None,
    limit: FromQuery[int] = 20,
) -> AgentVersionList:
    """List an agent's published versions, newest first."""
    page = await reading.versions(principal, agent_id, page_request(cursor, limit))
    return AgentVersionList(
        items=[
            AgentVersionBody(
                version=row.number,
                settings=AgentSettingsBody(**_settings(row.settings)),
                published_at=row.published_at,
                published_by=row.published_by,
                live=row.live,
            )
            for row in page.items
        ],
        next_cursor=page.next_cursor,
    )


@post("/agents/{agent_id:uuid}/rollback", status_code=200, opt=requires(Permission.AGENTS_PUBLISH), tags=_TAGS)
@inject
async def roll_back_agent(
    agent_id: FromPath[UUID],
    data: JSONBody[RollBackBody],
    principal: NamedDependency[Principal],
    handler: FromDishka[RollBackAgentHandler],
    if_match: IfMatch = None,
) -> Response[AgentBody]:
    """Let an earlier published version answer again; the draft stays."""
    expected = expected_version(if_match)
    return _agent(await handler(RollBackAgent(agent_id=agent_id, number=data.version, expected_version=expected, requested_by=principal)))


@put("/agents/{agent_id:uuid}/knowledge-bases", opt=requires(Permission.AGENTS_EDIT), tags=_TAGS)
@inject
async def attach_knowledge(
    agent_id: FromPath[UUID],
    data: JSONBody[AttachKnowledgeBody],
    principal: NamedDependency[Principal],
    handler: FromDishka[AttachKnowledgeHandler],
    if_match: IfMatch = None,
) -> Response[AgentBody]:
    """Answer from exactly these knowledge bases, at once and without publishing."""
    return _agent(
        await handler(
            AttachKnowledge(
                agent_id=agent_id,
                knowledge_base_ids=tuple(data.knowledge_base_ids),
                expected_version=expected_version(if_match),
                requested_by=principal,
            )
        )
    )


def _changes(data: AgentChangesBody) -> AgentChanges:
    given: dict[str, Any] = {name: value for name in _PLAIN if (value := getattr(data, name)) is not UNSET}
    if data.languages is not UNSET:
        given["languages"] = tuple(Language(code) for code in data.languages)
    if data.suggested_questions is not UNSET:
        given["suggested_questions"] = tuple(data.suggested_questions)
    if data.fallback_models is not UNSET:
        given["fallback_models"] = tuple(data.fallback_models)
    if data.response_format is not UNSET:
        given["response_format"] = _answer_format(data.response_format)
    if data.tone is not UNSET:
        given["tone"] = Tone(data.tone)
    if data.retrieval is not UNSET:
        chosen = {"retrieval_passages": data.retrieval.passages, "retrieval_cut_off": data.retrieval.cut_off}
        given |= {name: value for name, value in chosen.items() if value is not UNSET}
    return cast("AgentChanges", given)


def _answer_format(wanted: ResponseFormatBody) -> AnswerFormat | None:
    if wanted.type == "text":
        return None
    if wanted.json_schema is None:
        raise InvalidInput(FieldError(FIELD, "missing", "is required for type json_schema"))
    agreed = wanted.json_schema
    return AnswerFormat(agreed.schema, agreed.name, agreed.description, agreed.strict)


def _shown_format(agreed: AnswerFormat | None) -> ShownResponseFormatBody:
    if agreed is None:
        return ShownResponseFormatBody(type="text")
    schema = ShownJsonSchemaBody(name=agreed.name, schema=dict(agreed.schema or {}), description=agreed.description, strict=agreed.strict)
    return ShownResponseFormatBody(type="json_schema", json_schema=schema)


def _settings(settings: AgentSettings) -> dict[str, Any]:
    return {
        **{name: getattr(settings, name) for name in _PLAIN},
        "languages": list(settings.languages),
        "suggested_questions": list(settings.suggested_questions),
        "fallback_models": list(settings.fallback_models),
        "tone": settings.tone,
        "response_format": _shown_format(settings.response_format),
        "retrieval": RetrievalBody(passages=settings.retrieval_passages, cut_off=settings.retrieval_cut_off),
    }


def _body(row: AgentRow) -> AgentBody:
    return AgentBody(
        **_settings(row.settings),
        id=row.id,
        name=row.name,
        slug=row.slug,
        description=row.description,
        template_slug=row.template_slug,
        status=row.status,
        published_version=row.published_version,
        published_at=row.published_at,
        unpublished_changes=row.unpublished_changes,
        knowledge_base_ids=list(row.knowledge_base_ids),
        created_at=row.created_at,
        updated_at=row.updated_at,
        version=row.version,
    )


def _agent(row: AgentRow) -> Response[AgentBody]:
    return Response(_body(row), headers=etag(row.version))


route_handlers: list[ControllerRouterHandler] = [
    list_templates,
    create_agent,
    list_agents,
    get_agent,
    edit_agent,
    archive_agent,
    publish_agent,
    list_versions,
    roll_back_agent,
    attach_knowledge,
]

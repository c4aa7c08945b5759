"""Conversations, messages and turns."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec
from dishka import FromDishka
from dishka.integrations.litestar import inject
from litestar import Request, Response, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.response import Stream
from litestar.types import ControllerRouterHandler
from msgspec import UNSET

from contracts.http.base import Money
from contracts.http.conversations import (
    AskBody,
    CitationBody,
    ConversationBody,
    ConversationList,
    LocatorBody,
    MessageBody,
    MessageList,
    SelectBranchBody,
    StartConversationBody,
    StoredMessageBody,
    ToolCallBody,
    TurnAnswer,
    TurnBody,
    TurnProblem,
    UsageBody,
)
from contracts.idempotency import RequestKey
from contracts.identity.permissions import Permission
from domains.conversational_ai.model.citation import Citation
from domains.conversational_ai.model.turn import Answer, Failure, TokenUsage, TurnOutcome, TurnRecord, TurnState
from domains.conversational_ai.ports.conversations import ConversationOrder, ConversationReading, ConversationSummary
from domains.conversational_ai.ports.turns import Turns
from domains.conversational_ai.use_cases.ask_question import AskedTurn, AskQuestion, AskQuestionHandler
from domains.conversational_ai.use_cases.follow_turn import FollowTurnHandler
from domains.conversational_ai.use_cases.regenerate_answer import RegenerateAnswer, RegenerateAnswerHandler
from domains.conversational_ai.use_cases.select_branch import SelectBranch, SelectBranchHandler
from domains.conversational_ai.use_cases.start_conversation import StartConversation, StartConversationHandler
from domains.conversational_ai.use_cases.stop_turn import StopTurn, StopTurnHandler
from domains.conversational_ai.use_cases.turn_fields import problem_fields
from entrypoints.http.conversational_ai.event_stream import HEADERS, MEDIA_TYPE, wire
from entrypoints.http.idempotency import OWN_IDEMPOTENCY, key_of, request_digest
from entrypoints.http.paging import page_request
from entrypoints.http.routing import requires
from shared_kernel.errors import FieldError, InvalidInput, Unavailable
from shared_kernel.principal import Principal

_TAGS = ["Conversations"]
_ASK_AGAIN_SECONDS = 2
_LOOK_AGAIN_SECONDS = 1


class TurnNotAnswered(Unavailable):
    """A turn ended without a whole answer; carries the code of what went wrong."""

    def __init__(self, failure: Failure, **extra: object) -> None:
        super().__init__(failure.detail, **extra)
        self.code = failure.code  # type: ignore[misc]
        self.title = failure.title  # type: ignore[misc]

    @classmethod
    def because(cls, failure: Failure, headers: Mapping[str, str], *, answered: bool = False) -> "TurnNotAnswered":
        """Return the problem, which says when to send the request again where that asks anew.

        After a part of an answer (`answered`) it would only be told again.
        """
        again = {"retry_after": _ASK_AGAIN_SECONDS} if failure.retryable and not answered else {}
        return cls(failure, headers=headers, **again)


@post("/conversations", status_code=201, opt=requires(Permission.CONVERSATIONS_REPLY), tags=_TAGS)
@inject
async def start_conversation(
    data: JSONBody[StartConversationBody], principal: NamedDependency[Principal], handler: FromDishka[StartConversationHandler]
) -> ConversationBody:
    """Start a conversation with a published agent; 409 `agent_not_published` for a draft or an archived one.

    It counts against the quota when its first turn is answered.
    """
    conversation = await handler(
        StartConversation(agent_id=data.agent_id, language=data.language, visitor_id=data.visitor_id, requested_by=principal)
    )
    return ConversationBody(
        id=conversation.id,
        agent_id=conversation.agent_id,
        channel=conversation.channel,
        language=conversation.language,
        visitor_id=conversation.visitor_id,
        status="open",
        title=None,
        created_at=conversation.created_at,
        last_message_at=None,
    )


@get("/conversations", opt=requires(Permission.CONVERSATIONS_VIEW), tags=_TAGS)
@inject
async def list_conversations(  # noqa: PLR0917 - passed by name
    principal: NamedDependency[Principal],
    reading: FromDishka[ConversationReading],
    cursor: FromQuery[str | None] = None,
    limit: FromQuery[int] = 20,
    agent_id: FromQuery[UUID | None] = None,
    order: FromQuery[ConversationOrder] = ConversationOrder.CREATED,
) -> ConversationList:
    """List conversations, newest first; with `order=last_used` those in which something was said, the one with the latest message first.

    A `cursor` belongs to the order that gave it.
    """
    page = await reading.conversations(principal, page_request(cursor, limit), agent_id=agent_id, order=order)
    return ConversationList(items=[_conversation(c) for c in page.items], next_cursor=page.next_cursor)


@get("/conversations/{conversation_id:uuid}", opt=requires(Permission.CONVERSATIONS_VIEW), tags=_TAGS)
@inject
async def get_conversation(
    conversation_id: FromPath[UUID], principal: NamedDependency[Principal], reading: FromDishka[ConversationReading]
) -> ConversationBody:
    """Return one conversation."""
    return _conversation(await reading.conversation(principal, conversation_id))


@get("/conversations/{conversation_id:uuid}/messages", opt=requires(Permission.CONVERSATIONS_VIEW), tags=_TAGS)
@inject
async def list_messages(  # noqa: PLR0917 - passed by name
    conversation_id: FromPath[UUID],
    principal: NamedDependency[Principal],
    reading: FromDishka[ConversationReading],
    cursor: FromQuery[str | None] = None,
    limit: FromQuery[int] = 20,
    branches: FromQuery[bool] = False,  # noqa: FBT002 - a query parameter has a name
) -> MessageList:
    """List the messages of a conversation's current branch, oldest first; with `branches=true` also what left it."""
    page = await reading.messages(principal, conversation_id, page_request(cursor, limit), branches=branches)
    items = [
        StoredMessageBody(
            id=m.id,
            role=m.role,
            content=m.content,
            citations=[citation_body(c) for c in m.citations],
            confidence=None,
            turn_id=m.turn_id,
            complete=m.complete,
            created_at=m.created_at,
            parent_id=m.parent_id,
            siblings=list(m.siblings),
            current=m.current,
        )
        for m in page.items
    ]
    return MessageList(items=items, next_cursor=page.next_cursor)


@put("/conversations/{conversation_id:uuid}/branch", opt=requires(Permission.CONVERSATIONS_REPLY), tags=_TAGS)
@inject
async def select_branch(
    conversation_id: FromPath[UUID],
    data: JSONBody[SelectBranchBody],
    principal: NamedDependency[Principal],
    handler: FromDishka[SelectBranchHandler],
    reading: FromDishka[ConversationReading],
) -> ConversationBody:
    """Let the conversation go on from the branch of a message, down to where that branch last led; 409 while a turn runs.

    `GET …/messages?branches=true` lists what there is, with the `siblings` of each message.
    """
    await handler(SelectBranch(conversation_id=conversation_id, message_id=data.message_id, requested_by=principal))
    return _conversation(await reading.conversation(principal, conversation_id))


@post(
    "/conversations/{conversation_id:uuid}/messages",
    status_code=200,
    opt={**requires(Permission.CONVERSATIONS_REPLY, confirmed_inside=True), OWN_IDEMPOTENCY: True},
    tags=_TAGS,
)
@inject
async def ask(
    conversation_id: FromPath[UUID],
    data: JSONBody[AskBody],
    request: Request[Principal, Any, Any],
    principal: NamedDependency[Principal],
    handler: FromDishka[AskQuestionHandler],
) -> Response[Any]:
    """Send a message and get the agent's answer: whole as JSON, or as server-sent events with `Accept: text/event-stream`.

    The turn goes on when the client leaves; `GET /turns/{id}/events` resumes its stream.
    """
    streamed = _wants_stream(request)
    asked = await handler(
        AskQuestion(
            conversation_id=conversation_id,
            content=data.content,
            client_message_id=data.client_message_id,
            idempotency_key=await _key(request),
            edit_of=data.edit_of,
            streamed=streamed,
            requested_by=principal,
        )
    )
    return await _answer(asked, streamed=streamed)


@post(
    "/turns/{turn_id:uuid}/regenerate",
    status_code=200,
    opt={**requires(Permission.CONVERSATIONS_REPLY), OWN_IDEMPOTENCY: True},
    tags=_TAGS,
)
@inject
async def regenerate(
    turn_id: FromPath[UUID],
    request: Request[Principal, Any, Any],
    principal: NamedDependency[Principal],
    handler: FromDishka[RegenerateAnswerHandler],
) -> Response[Any]:
    """Answer the question of a turn anew, as a turn of its own: as JSON or as server-sent events, like a message.

    The new answer takes the place of the earlier one and of what came after it; they stay in the record.
    """
    streamed = _wants_stream(request)
    asked = await handler(RegenerateAnswer(turn_id=turn_id, idempotency_key=await _key(request), streamed=streamed, requested_by=principal))
    return await _answer(asked, streamed=streamed)


@get("/turns/{turn_id:uuid}", opt=requires(Permission.CONVERSATIONS_VIEW), tags=_TAGS)
@inject
async def get_turn(turn_id: FromPath[UUID], principal: NamedDependency[Principal], turns: FromDishka[Turns]) -> TurnBody:
    """Return a turn with its answer, usage and the time of each step."""
    return _turn(await turns.get(principal, turn_id))


@get("/turns/{turn_id:uuid}/events", opt=requires(Permission.CONVERSATIONS_VIEW), tags=_TAGS, media_type=MEDIA_TYPE)
@inject
async def turn_events(
    turn_id: FromPath[UUID],
    request: Request[Principal, Any, Any],
    principal: NamedDependency[Principal],
    follow: FromDishka[FollowTurnHandler],
) -> Stream:
    """Follow a turn's events, after the one that `Last-Event-ID` names; works on every replica and after the turn has ended."""
    return Stream(wire(await follow(principal, turn_id, after=_last_event_id(request))), media_type=MEDIA_TYPE, headers=HEADERS)


@post("/turns/{turn_id:uuid}/stop", status_code=202, opt=requires(Permission.CONVERSATIONS_REPLY), tags=_TAGS)
@inject
async def stop_turn(turn_id: FromPath[UUID], principal: NamedDependency[Principal], handler: FromDishka[StopTurnHandler]) -> TurnBody:
    """Stop a running turn: what was said so far is kept and metered. A turn that has ended stays as it is."""
    return _turn(await handler(StopTurn(turn_id=turn_id, requested_by=principal)))


async def _key(request: Request[Principal, Any, Any]) -> RequestKey | None:
    key = key_of(request.headers)
    return None if key is None else RequestKey(key, request_digest(request.scope["path"], await request.body()))


async def _answer(asked: AskedTurn, *, streamed: bool) -> Response[Any]:
    headers = {"Luneo-Turn": str(asked.turn_id), **({"Idempotent-Replayed": "true"} if asked.repeated else {})}
    if streamed:
        return Stream(wire(asked.events), media_type=MEDIA_TYPE, headers={**HEADERS, **headers})
    return Response(await _whole(asked, headers), headers=headers, media_type="application/json")


def _wants_stream(request: Request[Principal, Any, Any]) -> bool:
    accept = request.headers.get("accept", "").lower()
    return MEDIA_TYPE in accept and ("q=0" not in accept or not _refused(MEDIA_TYPE, accept))


def _refused(media_type: str, accept: str) -> bool:
    """Tell whether `accept` gives the media type the weight 0 (RFC 9110, section 12.4.2)."""
    for choice in accept.split(","):
        name, *parameters = (part.strip() for part in choice.split(";"))
        if name == media_type:
            return any(p.startswith("q=0") and not p.removeprefix("q=").strip("0.") for p in parameters)
    return False


def _last_event_id(request: Request[Principal, Any, Any]) -> int:
    value = request.headers.get("last-event-id", "0")
    if not value.isascii() or not value.isdigit() or len(value) > 9:  # noqa: PLR2004 - far more events than a turn can have
        raise InvalidInput(FieldError("Last-Event-ID", "invalid", "must be the id of an event of this turn"))
    return int(value)


async def _whole(asked: AskedTurn, headers: Mapping[str, str]) -> TurnAnswer:
    """Wait for the turn's end and return its answer. Raises the turn's problem, with `headers`, when it failed."""
    outcome = await _ended(asked, headers)
    return TurnAnswer(
        turn_id=asked.turn_id,
        conversation_id=asked.conversation_id,
        status=outcome.state.value,
        message=_message(outcome.answer) if outcome.answer else None,
        usage=_usage(outcome.answer.usage) if outcome.answer else None,
    )


async def answer_of(asked: AskedTurn, headers: Mapping[str, str]) -> Answer:
    """Wait for the turn's end and return what was said. Raises `TurnNotAnswered` with `headers`, also when it was stopped before a word."""
    outcome = await _ended(asked, headers)
    if outcome.answer is None:
        raise TurnNotAnswered(
            Failure("turn_stopped", "The answer was stopped", "It was stopped before a word", retryable=False), headers=headers
        )
    return outcome.answer


async def _ended(asked: AskedTurn, headers: Mapping[str, str]) -> TurnOutcome:
    outcome = await asked.outcome()
    if outcome.failure is not None:
        raise TurnNotAnswered.because(outcome.failure, headers, answered=outcome.answer is not None)
    if outcome.state is TurnState.RUNNING:
        raise Unavailable("The turn's end is not known yet", headers=headers, retry_after=_LOOK_AGAIN_SECONDS)
    return outcome


def _message(answer: Answer) -> MessageBody:
    return MessageBody(
        id=answer.message_id,
        role="assistant",
        content=answer.content,
        citations=[citation_body(citation) for citation in answer.citations],
        confidence=None,
        complete=answer.complete,
        tool_calls=[ToolCallBody(id=c.id, name=c.name, arguments=c.arguments) for c in answer.tool_calls] or UNSET,
    )


def citation_body(citation: Citation) -> CitationBody:
    """Return a citation as clients see it."""
    place = citation.locator
    return CitationBody(
        number=citation.number,
        source_id=citation.source_id,
        title=citation.title,
        locator=LocatorBody(page=place.page, heading=place.heading, start=place.start, end=place.end),
        quote=citation.quote,
        score=citation.score,
    )


def _usage(usage: TokenUsage) -> UsageBody:
    cost = Money(amount=usage.cost, currency=usage.currency)
    return UsageBody(tokens_in=usage.tokens_in, tokens_out=usage.tokens_out, estimated=usage.estimated, cost=cost)


def _conversation(conversation: ConversationSummary) -> ConversationBody:
    return ConversationBody(
        id=conversation.id,
        agent_id=conversation.agent_id,
        channel=conversation.channel,
        language=conversation.language,
        visitor_id=conversation.visitor_id,
        status=conversation.status,
        title=conversation.title,
        created_at=conversation.created_at,
        last_message_at=conversation.last_message_at,
    )


def _turn(record: TurnRecord) -> TurnBody:
    answer, failure = record.answer, record.outcome.failure
    return TurnBody(
        turn_id=record.id,
        conversation_id=record.conversation_id,
        status=record.state.value,
        message=_message(answer) if answer else None,
        usage=_usage(answer.usage) if answer else None,
        model=answer.model if answer else None,
        provider=answer.provider if answer else None,
        problem=msgspec.convert(problem_fields(failure), TurnProblem) if failure else None,
        steps=dict(record.steps),
        started_at=record.started_at,
        ended_at=record.ended_at,
    )


route_handlers: list[ControllerRouterHandler] = [
    start_conversation,
    list_conversations,
    get_conversation,
    list_messages,
    select_branch,
    ask,
    regenerate,
    get_turn,
    turn_events,
    stop_turn,
]

"""OpenAI's API: an agent is a model, a completion is a turn. It translates; the turn is asked as everywhere else."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from dishka import FromDishka
from dishka.integrations.litestar import inject
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.response import Stream
from litestar.types import ControllerRouterHandler

from contracts.http.base import Problem
from contracts.http.conversations import CitationBody, TurnProblem
from contracts.http.openai import (
    AnsweredBody,
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionRequest,
    ChunkChoice,
    ChunkDelta,
    CompletionAnswer,
    CompletionChoice,
    CompletionMessage,
    CompletionUsage,
    ModelBody,
    ModelList,
)
from contracts.idempotency import RequestKey
from contracts.identity.permissions import Permission
from domains.conversational_ai.model.turn import Answer, Failure, OneOff, PastMessage, Wishes
from domains.conversational_ai.ports.agent_reading import AgentReading, AgentRow
from domains.conversational_ai.ports.conversations import ConversationReading
from domains.conversational_ai.ports.turn_event_log import TERMINAL_EVENTS, LoggedEvent
from domains.conversational_ai.use_cases.ask_question import AskedTurn, AskQuestion, AskQuestionHandler
from entrypoints.http.conversational_ai.conversations import TurnNotAnswered, answer_of, citation_body
from entrypoints.http.conversational_ai.event_stream import HEADERS, MEDIA_TYPE
from entrypoints.http.idempotency import OWN_IDEMPOTENCY, key_of, request_digest
from entrypoints.http.openai_errors import openai_error
from entrypoints.http.problems import TYPE_BASE
from entrypoints.http.routing import requires
from shared_kernel.clock import Clock
from shared_kernel.errors import FieldError, InvalidInput, NotFound
from shared_kernel.principal import Principal

_TAGS = ["OpenAI-compatible"]
_ACCESS = requires(Permission.CONVERSATIONS_REPLY)
_MAXIMUM_GUIDANCE = 20_000
_MAXIMUM_TEMPERATURE = 2.0
_MAXIMUM_USER = 512
_KEEP_OPEN = b": keep open\n\n"
_DONE = b"data: [DONE]\n\n"


class ModelNotFound(NotFound):
    """No published agent has that id or slug."""

    code = "model_not_found"
    title = "There is no such model"


@get("/v1/models", opt=_ACCESS, tags=_TAGS)
@inject
async def list_models(principal: NamedDependency[Principal], agents: FromDishka[AgentReading]) -> ModelList:
    """List the published agents as models."""
    return ModelList(object="list", data=[_model(row) for row in await agents.published(principal)])


@get("/v1/models/{model:str}", opt=_ACCESS, tags=_TAGS)
@inject
async def get_model(model: FromPath[str], principal: NamedDependency[Principal], agents: FromDishka[AgentReading]) -> ModelBody:
    """Return one published agent, by id or slug, as a model."""
    return _model(await _agent(agents, principal, model))


@post("/v1/chat/completions", status_code=200, opt={**_ACCESS, OWN_IDEMPOTENCY: True}, tags=_TAGS)
@inject
async def create_chat_completion(  # noqa: PLR0917 - Litestar calls it by name
    data: JSONBody[ChatCompletionRequest],
    request: Request[Principal, Any, Any],
    principal: NamedDependency[Principal],
    agents: FromDishka[AgentReading],
    conversations: FromDishka[ConversationReading],
    handler: FromDishka[AskQuestionHandler],
    clock: FromDishka[Clock],
) -> Response[Any]:
    """Ask an agent as OpenAI's clients ask a model: whole, or as chunks with `stream`.

    The turn goes on when the client leaves. Errors, also inside a stream, are told as OpenAI tells them.
    """
    wishes, (history, question) = _wishes(data), _messages(data.messages)
    agent = await _agent(agents, principal, data.model)
    if data.conversation_id is not None:
        conversation = await conversations.conversation(principal, data.conversation_id)
        if conversation.agent_id != agent.id:
            raise InvalidInput(FieldError("conversation_id", "invalid", "is a conversation with another agent"))
    key, created = key_of(request.headers), clock.now()
    asked = await handler(
        AskQuestion(
            conversation_id=data.conversation_id,
            one_off=None if data.conversation_id else OneOff(agent_id=agent.id, history=history),
            content=question,
            wishes=wishes,
            idempotency_key=None if key is None else RequestKey(key, request_digest(request.scope["path"], await request.body())),
            streamed=bool(data.stream),
            requested_by=principal,
        )
    )
    headers = {"Luneo-Turn": str(asked.turn_id), **({"Idempotent-Replayed": "true"} if asked.repeated else {})}
    told = _Completion(data, asked, created)
    if not data.stream:
        return Response(told.whole(await answer_of(asked, headers)), headers=headers, media_type="application/json")
    begun = await _begun(asked.events, headers)
    return Stream(_wire(begun, asked.events, told), media_type=MEDIA_TYPE, headers={**HEADERS, **headers})


def _wishes(data: ChatCompletionRequest) -> Wishes:
    """Return what the caller wants of the answer. Raises `InvalidInput`."""
    if data.n is not None and data.n != 1:
        raise InvalidInput(FieldError("n", "unsupported_value", "an agent gives one answer: leave n out, or say 1"))
    if data.temperature is not None and not 0 <= data.temperature <= _MAXIMUM_TEMPERATURE:
        raise InvalidInput(FieldError("temperature", "invalid", "must be between 0 and 2"))
    for field in ("max_tokens", "max_completion_tokens"):
        if (limit := getattr(data, field)) is not None and limit < 1:
            raise InvalidInput(FieldError(field, "invalid", "must be at least 1"))
    if data.user is not None and len(data.user) > _MAXIMUM_USER:
        raise InvalidInput(FieldError("user", "invalid", f"must be at most {_MAXIMUM_USER} characters"))
    guidance = "\n\n".join(_text(m, i) for i, m in enumerate(data.messages) if m.role in {"system", "developer"})
    if len(guidance) > _MAXIMUM_GUIDANCE:
        raise InvalidInput(FieldError("messages", "invalid", f"system messages may have {_MAXIMUM_GUIDANCE} characters in all"))
    return Wishes(
        guidance=guidance,
        temperature=data.temperature,
        max_tokens=data.max_completion_tokens or data.max_tokens,
        end_user=data.user or None,
    )


def _messages(messages: Sequence[CompletionMessage]) -> tuple[tuple[PastMessage, ...], str]:
    """Return what was said before, and the question: the last message. Raises `InvalidInput`."""
    said = [(i, m) for i, m in enumerate(messages) if m.role in {"user", "assistant"}]
    if not said or said[-1][1].role != "user":
        raise InvalidInput(FieldError("messages", "invalid", "must end with a message of the user"))
    *before, (last, question) = said
    history = [PastMessage(m.role, text) for i, m in before if (text := _text(m, i))]
    return tuple(history), _text(question, last)


def _text(message: CompletionMessage, index: int) -> str:
    content = message.content
    if content is None or isinstance(content, str):
        return content or ""
    for part in content:
        if part.type != "text" or part.text is None:
            raise InvalidInput(FieldError(f"messages[{index}].content", "unsupported_value", "agents read parts of type text alone"))
    return "\n".join(part.text or "" for part in content)


async def _agent(agents: AgentReading, principal: Principal, name: str) -> AgentRow:
    try:
        return await agents.published_as(principal, name)
    except NotFound as error:
        raise ModelNotFound(f"The model {name!r} does not exist: it is the id or the slug of a published agent") from error


def _model(row: AgentRow) -> ModelBody:
    return ModelBody(id=row.slug, object="model", created=_seconds(row.published_at or row.created_at), owned_by="luneo", name=row.name)


def _seconds(at: datetime) -> int:
    return int(at.timestamp())


class _Usage(msgspec.Struct):
    tokens_in: int
    tokens_out: int


class _Message(msgspec.Struct):
    citations: list[CitationBody]
    complete: bool


class _Told(msgspec.Struct):
    """What an event of a turn may say."""

    text: str = ""
    message: _Message | None = None
    usage: _Usage | None = None
    finish_reason: str = "stop"
    problem: TurnProblem | None = None


_TOLD = msgspec.json.Decoder(_Told)
_ENCODE = msgspec.json.Encoder().encode


class _Completion:
    """One completion, whole or in chunks."""

    def __init__(self, data: ChatCompletionRequest, asked: AskedTurn, created: datetime) -> None:
        self.id = f"chatcmpl-{asked.turn_id}"
        self.created = _seconds(created)
        self.model = data.model
        self._turn_id = asked.turn_id
        self._conversation_id: UUID | None = data.conversation_id
        self._tells_usage = bool(data.stream_options and data.stream_options.include_usage)
        self._opened = False

    def whole(self, answer: Answer) -> ChatCompletion:
        """Return the whole completion."""
        message = CompletionAnswer(role="assistant", content=answer.content, refusal=None)
        finish_reason = answer.finish_reason or "stop"
        return ChatCompletion(
            id=self.id,
            object="chat.completion",
            created=self.created,
            model=self.model,
            choices=[CompletionChoice(index=0, message=message, logprobs=None, finish_reason=finish_reason)],
            usage=_usage(answer.usage.tokens_in, answer.usage.tokens_out),
            luneo=self._ours([citation_body(c) for c in answer.citations]),
        )

    def chunks(self, event: LoggedEvent) -> bytes:
        """Return what is sent for an event of the turn: nothing for most."""
        if event.name == "answer.delta":
            return self._role() + self._chunk(ChunkDelta(content=_TOLD.decode(event.data).text))
        if event.name in {"answer.completed", "turn.stopped"}:
            return self._end(_TOLD.decode(event.data))
        if event.name == "turn.failed" and (problem := _TOLD.decode(event.data).problem) is not None:
            _, error = openai_error(_problem(problem))
            return b"data: " + _ENCODE(error) + b"\n\n"
        return b""

    def _role(self) -> bytes:
        if self._opened:
            return b""
        self._opened = True
        return self._chunk(ChunkDelta(role="assistant", content=""))

    def _end(self, told: _Told) -> bytes:
        citations = told.message.citations if told.message else []
        end = self._role() + self._chunk(ChunkDelta(), finish_reason=told.finish_reason, luneo=self._ours(citations))
        if self._tells_usage:
            used = told.usage or _Usage(0, 0)
            end += self._data(choices=[], usage=_usage(used.tokens_in, used.tokens_out))
        return end + _DONE

    def _ours(self, citations: list[CitationBody]) -> AnsweredBody:
        return AnsweredBody(conversation_id=self._conversation_id, turn_id=self._turn_id, citations=citations)

    def _chunk(self, delta: ChunkDelta, finish_reason: str | None = None, **ours: Any) -> bytes:  # noqa: ANN401 - `luneo` or nothing
        choices = [ChunkChoice(index=0, delta=delta, logprobs=None, finish_reason=finish_reason)]
        return self._data(choices=choices, usage=None if self._tells_usage else msgspec.UNSET, **ours)

    def _data(self, **fields: Any) -> bytes:  # noqa: ANN401 - fields of a chunk
        chunk = ChatCompletionChunk(id=self.id, object="chat.completion.chunk", created=self.created, model=self.model, **fields)
        return b"data: " + _ENCODE(chunk) + b"\n\n"


def _usage(tokens_in: int, tokens_out: int) -> CompletionUsage:
    return CompletionUsage(prompt_tokens=tokens_in, completion_tokens=tokens_out, total_tokens=tokens_in + tokens_out)


def _problem(problem: TurnProblem) -> Problem:
    return Problem(
        type=TYPE_BASE + problem.code, title=problem.title, status=problem.status, detail=problem.detail, code=problem.code, request_id=""
    )


async def _begun(events: AsyncIterator[tuple[LoggedEvent, ...]], headers: Mapping[str, str]) -> list[LoggedEvent]:
    """Return the events up to the first that says something: a turn that fails before it can still be answered with a status.

    Raises `TurnNotAnswered`.
    """
    begun: list[LoggedEvent] = []
    async for batch in events:
        begun.extend(batch)
        if any(e.name == "answer.delta" or e.name in TERMINAL_EVENTS for e in batch):
            break
    if begun and begun[-1].name == "turn.failed" and not any(e.name == "answer.delta" for e in begun):
        told = _TOLD.decode(begun[-1].data).problem
        if told is not None:
            raise TurnNotAnswered.because(Failure(told.code, told.title, told.detail, told.retryable), headers)
    return begun


async def _wire(begun: list[LoggedEvent], events: AsyncIterator[tuple[LoggedEvent, ...]], told: _Completion) -> AsyncIterator[bytes]:
    """Yield the chunks: those of events that came together leave together."""
    if first := b"".join(told.chunks(e) for e in begun):
        yield first
    if begun and begun[-1].name in TERMINAL_EVENTS:
        return
    async for batch in events:
        sent = b"".join(told.chunks(e) for e in batch)
        if sent or not batch:
            yield sent or _KEEP_OPEN


route_handlers: list[ControllerRouterHandler] = [list_models, get_model, create_chat_completion]

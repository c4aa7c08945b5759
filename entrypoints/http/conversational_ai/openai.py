"""OpenAI's API: an agent is a model, a completion is a turn. It translates; the turn is asked as everywhere else."""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
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
from contracts.http.conversations import CitationBody, ToolCallBody, TurnProblem
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
    CompletionToolCall,
    CompletionUsage,
    FunctionCall,
    ModelBody,
    ModelList,
    NamedTool,
    OfferedTool,
    ResponseFormat,
)
from contracts.idempotency import RequestKey
from contracts.identity.permissions import Permission
from domains.conversational_ai.model.agent import SAMPLING
from domains.conversational_ai.model.answer_format import AnswerFormat
from domains.conversational_ai.model.tool_call import Tool, ToolCall, ToolChoice
from domains.conversational_ai.model.turn import Answer, Failure, OneOff, PastMessage, Wishes
from domains.conversational_ai.ports.agent_reading import AgentReading, AgentRow
from domains.conversational_ai.ports.answer_schemas import AnswerSchemas
from domains.conversational_ai.ports.conversations import ConversationReading
from domains.conversational_ai.ports.turn_event_log import TERMINAL_EVENTS, LoggedEvent
from domains.conversational_ai.use_cases.ask_question import AskedTurn, AskQuestion, AskQuestionHandler
from entrypoints.http.conversational_ai.conversations import TurnNotAnswered, answer_of, citation_body
from entrypoints.http.conversational_ai.event_stream import HEADERS, MEDIA_TYPE
from entrypoints.http.idempotency import OWN_IDEMPOTENCY, key_of, request_digest
from entrypoints.http.openai_errors import openai_error
from entrypoints.http.problems import TYPE_BASE
from entrypoints.http.routing import requires
from shared_kernel.errors import FieldError, InvalidInput, NotFound
from shared_kernel.principal import Principal

_TAGS = ["OpenAI-compatible"]
_ACCESS = requires(Permission.CONVERSATIONS_REPLY)
_MAXIMUM_GUIDANCE = 20_000
_MAXIMUM_USER = 512
_MAXIMUM_STOPS, _MAXIMUM_STOP = 4, 200
_MAXIMUM_TOOLS, _MAXIMUM_TOOLS_BYTES = 128, 100_000
_MAXIMUM_CONTINUATION = 200_000
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
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
    schemas: FromDishka[AnswerSchemas],
) -> Response[Any]:
    """Ask an agent as OpenAI's clients ask a model: whole, or as chunks with `stream`.

    The turn goes on when the client leaves. Errors, also inside a stream, are told as OpenAI tells them.
    """
    history, question, continuation = _messages(data.messages)
    wishes = replace(_wishes(data), continuation=continuation)
    if wishes.answer_format is not None:
        schemas.must_be_schema(wishes.answer_format)
    agent = await _agent(agents, principal, data.model)
    if data.conversation_id is not None:
        if data.tools or continuation:
            raise InvalidInput(FieldError("tools", "unsupported_value", "a kept conversation holds no calls: leave conversation_id out"))
        conversation = await conversations.conversation(principal, data.conversation_id)
        if conversation.agent_id != agent.id:
            raise InvalidInput(FieldError("conversation_id", "invalid", "is a conversation with another agent"))
    key = key_of(request.headers)
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
    told = _Completion(data, asked)
    if not data.stream:
        return Response(told.whole(await answer_of(asked, headers)), headers=headers, media_type="application/json")
    begun = await _begun(asked.events, headers)
    return Stream(_wire(begun, asked.events, told), media_type=MEDIA_TYPE, headers={**HEADERS, **headers})


def _wishes(data: ChatCompletionRequest) -> Wishes:
    """Return what the caller wants of the answer. Raises `InvalidInput`."""
    if data.n is not None and data.n != 1:
        raise InvalidInput(FieldError("n", "unsupported_value", "an agent gives one answer: leave n out, or say 1"))
    if data.logprobs or data.top_logprobs:
        raise InvalidInput(FieldError("logprobs", "unsupported_value", "an agent tells no log probabilities: leave logprobs out"))
    for field, (least, most) in SAMPLING.items():
        if (value := getattr(data, field)) is not None and not least <= value <= most:
            raise InvalidInput(FieldError(field, "invalid", f"must be between {least} and {most}"))
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
        top_p=data.top_p,
        frequency_penalty=data.frequency_penalty,
        presence_penalty=data.presence_penalty,
        max_tokens=data.max_completion_tokens or data.max_tokens,
        end_user=data.user or None,
        stop=_stop(data.stop),
        answer_format=_answer_format(data.response_format),
        plain_text=data.response_format is not None and data.response_format.type == "text",
        tools=_tools(data.tools or ()),
        tool_choice=_tool_choice(data),
        parallel_tool_calls=data.parallel_tool_calls if data.tools else None,
    )


def _stop(stop: str | list[str] | None) -> tuple[str, ...]:
    stops = (stop,) if isinstance(stop, str) else tuple(stop or ())
    if len(stops) > _MAXIMUM_STOPS or not all(1 <= len(s) <= _MAXIMUM_STOP for s in stops):
        raise InvalidInput(FieldError("stop", "invalid", f"must be at most {_MAXIMUM_STOPS} texts of 1 to {_MAXIMUM_STOP} characters"))
    return stops


def _answer_format(asked: ResponseFormat | None) -> AnswerFormat | None:
    if asked is None or asked.type == "text":
        return None
    if asked.type == "json_object":
        return AnswerFormat()
    wanted = asked.json_schema
    if wanted is None:
        raise InvalidInput(FieldError("response_format.json_schema", "missing", "is required for type json_schema"))
    return AnswerFormat(wanted.schema, wanted.name, wanted.description, wanted.strict)


def _tools(offered: Sequence[OfferedTool]) -> tuple[Tool, ...]:
    if len(offered) > _MAXIMUM_TOOLS:
        raise InvalidInput(FieldError("tools", "invalid", f"may be {_MAXIMUM_TOOLS}"))
    if len(_ENCODE(offered)) > _MAXIMUM_TOOLS_BYTES:
        raise InvalidInput(FieldError("tools", "invalid", f"may have {_MAXIMUM_TOOLS_BYTES} bytes in all"))
    functions = [t.function for t in offered]
    return tuple(Tool(_named(f.name, f"tools[{i}].function.name"), f.description, f.parameters, f.strict) for i, f in enumerate(functions))


def _named(name: str, field: str) -> str:
    if not _NAME.fullmatch(name):
        raise InvalidInput(FieldError(field, "invalid", "must be 1 to 64 letters, digits, underscores and dashes"))
    return name


def _tool_choice(data: ChatCompletionRequest) -> ToolChoice | None:
    chosen = data.tool_choice
    if chosen is None or (chosen == "none" and not data.tools):
        return None
    if not data.tools:
        raise InvalidInput(FieldError("tool_choice", "invalid", "needs tools to choose from"))
    if not isinstance(chosen, NamedTool):
        return ToolChoice(chosen)
    if chosen.function.name not in {t.function.name for t in data.tools}:
        raise InvalidInput(FieldError("tool_choice", "invalid", "names a function that is not among the tools"))
    return ToolChoice("function", chosen.function.name)


_Said = tuple[PastMessage, ...]


def _messages(messages: Sequence[CompletionMessage]) -> tuple[_Said, str, _Said]:
    """Return what was said before, the question (the last message of the user), and the calls and answers of functions after it.

    Raises `InvalidInput`.
    """
    said = [(i, m) for i, m in enumerate(messages) if m.role not in {"system", "developer"}]
    _check_calls(said)
    last = next((n for n in reversed(range(len(said))) if said[n][1].role == "user"), None)
    if last is None or said[-1][1].role not in {"user", "tool"}:
        raise InvalidInput(FieldError("messages", "invalid", "must end with a message of the user, or with what its functions answered"))
    past = [_past(m, i) for i, m in said]
    continuation = tuple(past[last + 1 :])
    if sum(len(p.content) for p in continuation) > _MAXIMUM_CONTINUATION:
        raise InvalidInput(FieldError("messages", "invalid", f"functions may answer {_MAXIMUM_CONTINUATION} characters in all"))
    return tuple(p for p in past[:last] if p.content or p.tool_calls or p.role == "tool"), past[last].content, continuation


def _check_calls(said: Sequence[tuple[int, CompletionMessage]]) -> None:
    """Every call is answered right after it, and nothing else is. Raises `InvalidInput`."""
    waiting: set[str] = set()
    for i, m in said:
        if m.role == "tool":
            if m.tool_call_id not in waiting:
                raise InvalidInput(FieldError(f"messages[{i}].tool_call_id", "invalid", "must name a call that waits for its answer"))
            waiting.remove(m.tool_call_id)
        elif waiting:
            break
        elif m.role == "assistant":
            waiting = {call.id for call in m.tool_calls or ()}
    if waiting:
        raise InvalidInput(FieldError("messages", "invalid", f"hold no answer to the calls {', '.join(sorted(waiting))}"))


def _past(message: CompletionMessage, index: int) -> PastMessage:
    asked = (message.tool_calls or ()) if message.role == "assistant" else ()
    calls = tuple(ToolCall(c.id, c.function.name, c.function.arguments) for c in asked)
    return PastMessage(message.role, _text(message, index), calls, message.tool_call_id if message.role == "tool" else None)


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
    tool_calls: list[ToolCallBody] = []


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

    def __init__(self, data: ChatCompletionRequest, asked: AskedTurn) -> None:
        self.id = f"chatcmpl-{asked.turn_id}"
        self.created = _seconds(asked.asked_at)
        self.model = data.model
        self._turn_id = asked.turn_id
        self._conversation_id: UUID | None = data.conversation_id
        self._tells_usage = bool(data.stream_options and data.stream_options.include_usage)
        self._opened = False

    def whole(self, answer: Answer) -> ChatCompletion:
        """Return the whole completion."""
        calls = [_call(c.id, c.name, c.arguments) for c in answer.tool_calls]
        content = None if calls and not answer.content else answer.content
        message = CompletionAnswer(role="assistant", content=content, refusal=None, tool_calls=calls or msgspec.UNSET)
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
        calls = told.message.tool_calls if told.message else []
        end = self._role()
        if calls:
            end += self._chunk(ChunkDelta(tool_calls=[_call(c.id, c.name, c.arguments, index=i) for i, c in enumerate(calls)]))
        end += self._chunk(ChunkDelta(), finish_reason=told.finish_reason, luneo=self._ours(citations))
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


def _call(identifier: str, name: str, arguments: str, *, index: int | msgspec.UnsetType = msgspec.UNSET) -> CompletionToolCall:
    return CompletionToolCall(id=identifier, type="function", function=FunctionCall(name=name, arguments=arguments), index=index)


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

"""The OpenAI-compatible API under `/v1`: OpenAI's chat completions and models, as far as they concern an agent.

Source: the OpenAI API reference, "Chat Completions" and "Models". Unknown fields are ignored here, so that any client of that API works.
"""

from typing import Any, ClassVar, Literal
from uuid import UUID

import msgspec

from contracts.http.base import Example, Request, Response
from contracts.http.conversations import CitationBody


class LenientRequest(Request, frozen=True, forbid_unknown_fields=False):
    """A request body under `/v1`: what it does not know, it ignores."""


class ContentPart(LenientRequest, frozen=True):
    """A part of a message; only those of type `text` are understood."""

    type: str
    text: str | None = None


class CalledFunction(LenientRequest, frozen=True):
    """What a call names: a function and its arguments, JSON in a text."""

    name: str
    arguments: str


class AskedToolCall(LenientRequest, frozen=True):
    """A call that the assistant asked for earlier."""

    id: str
    function: CalledFunction


class CompletionMessage(LenientRequest, frozen=True):
    """One message. Of role `tool` it is what a function answered to the call `tool_call_id`."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[ContentPart] | None = None
    tool_calls: list[AskedToolCall] | None = None
    tool_call_id: str | None = None


class OfferedFunction(LenientRequest, frozen=True):
    """A function that the caller runs. `parameters` is a JSON Schema."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class OfferedTool(LenientRequest, frozen=True):
    """A tool: a function."""

    type: Literal["function"]
    function: OfferedFunction


class NamedFunction(LenientRequest, frozen=True):
    """The name of an offered function."""

    name: str


class NamedTool(LenientRequest, frozen=True):
    """The tool that must be called."""

    type: Literal["function"]
    function: NamedFunction


class AnswerSchema(LenientRequest, frozen=True):
    """The JSON Schema that the answer is to have."""

    name: str
    schema: dict[str, Any]
    description: str | None = None
    strict: bool | None = None


class ResponseFormat(LenientRequest, frozen=True):
    """What the answer is to be."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: AnswerSchema | None = None


class StreamOptions(LenientRequest, frozen=True):
    """`include_usage` asks for one last chunk with the tokens."""

    include_usage: bool | None = None


class ChatCompletionRequest(LenientRequest, frozen=True):
    """A chat completion. `model` is an agent's id or slug.

    With `conversation_id` the last message is asked in that conversation, whose stored messages are the history; without, those given are.

    `temperature` (0–2), `top_p` (0–1), `frequency_penalty` and `presence_penalty` (-2–2) are the agent's where they are left out. There are
    no `logprobs` of an answer.
    """

    EXAMPLE: ClassVar[Example] = {"model": "support", "messages": [{"role": "user", "content": "How much is the Pro plan?"}]}

    model: str
    messages: list[CompletionMessage]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: float | None = None
    top_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None
    user: str | None = None
    stop: str | list[str] | None = None
    response_format: ResponseFormat | None = None
    tools: list[OfferedTool] | None = None
    tool_choice: Literal["auto", "none", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    conversation_id: UUID | None = None


class AnsweredBody(Response, frozen=True):
    """What is ours of a completion: the turn, its conversation when it has one, and what the answer stands on."""

    conversation_id: UUID | None
    turn_id: UUID
    citations: list[CitationBody]


class FunctionCall(Response, frozen=True):
    """What is to be called; `arguments` is JSON as the model wrote it."""

    EXAMPLE: ClassVar[Example] = {"name": "weather", "arguments": '{"city":"Paris"}'}

    name: str
    arguments: str


class CompletionToolCall(Response, frozen=True):
    """A call that the caller is asked to make; `index` is there in chunks."""

    EXAMPLE: ClassVar[Example] = {"id": "call_1"}

    id: str
    type: Literal["function"]
    function: FunctionCall
    index: int | msgspec.UnsetType = msgspec.UNSET


class CompletionAnswer(Response, frozen=True):
    """The agent's message."""

    EXAMPLE: ClassVar[Example] = {"content": "The Pro plan costs 49 euros each month [1].", "refusal": None}

    role: Literal["assistant"]
    content: str | None
    refusal: str | None
    tool_calls: list[CompletionToolCall] | msgspec.UnsetType = msgspec.UNSET


class CompletionChoice(Response, frozen=True):
    """The one choice. `finish_reason` is `stop`, `length`, `content_filter` or `tool_calls`."""

    EXAMPLE: ClassVar[Example] = {"index": 0, "finish_reason": "stop"}

    index: int
    message: CompletionAnswer
    logprobs: None
    finish_reason: str


class CompletionUsage(Response, frozen=True):
    """Tokens of prompt and answer."""

    EXAMPLE: ClassVar[Example] = {"prompt_tokens": 412, "completion_tokens": 18, "total_tokens": 430}

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ChatCompletion(Response, frozen=True):
    """A whole completion; `created` is in seconds since 1970."""

    EXAMPLE: ClassVar[Example] = {"id": "chatcmpl-0192f0c1-7a4e-7c3b-9d52-5b8f0e6a1c2d", "created": 1774949400, "model": "support"}

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: CompletionUsage
    luneo: AnsweredBody


class ChunkDelta(Response, frozen=True, omit_defaults=True):
    """What a chunk adds to the message."""

    role: Literal["assistant"] | None = None
    content: str | None = None
    tool_calls: list[CompletionToolCall] | None = None


class ChunkChoice(Response, frozen=True):
    """The one choice in a chunk; the last has the `finish_reason`."""

    index: int
    delta: ChunkDelta
    logprobs: None
    finish_reason: str | None


class ChatCompletionChunk(Response, frozen=True):
    """One piece of a streamed completion. `luneo` is in the one with the finish reason."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: CompletionUsage | msgspec.UnsetType | None = msgspec.UNSET
    luneo: AnsweredBody | msgspec.UnsetType = msgspec.UNSET


class ModelBody(Response, frozen=True):
    """A published agent as a model: `id` is its slug, `created` when it was published, `name` is what people call it."""

    EXAMPLE: ClassVar[Example] = {"id": "support", "created": 1774949400, "owned_by": "luneo", "name": "Support"}

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    name: str


class ModelList(Response, frozen=True):
    """Every published agent, the newest first."""

    object: Literal["list"]
    data: list[ModelBody]


class OpenAIErrorBody(Response, frozen=True):
    """What went wrong; `code` is OpenAI's where it has one for that, else ours."""

    EXAMPLE: ClassVar[Example] = {
        "message": "The model 'nobody' does not exist: it is the id or the slug of a published agent",
        "type": "invalid_request_error",
        "param": "model",
        "code": "model_not_found",
    }

    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIError(Response, frozen=True):
    """An error under `/v1`."""

    error: OpenAIErrorBody

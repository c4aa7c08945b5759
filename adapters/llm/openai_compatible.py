"""Any server that speaks the OpenAI chat completions API.

The request goes by aiohttp, body and answer by msgspec. The `openai` client would add 0.7 ms of CPU to each turn for little: there is
one request, its errors, and retries that need to know whether a visitor has read something already.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Final, Self
from urllib.request import getproxies_environment

import aiohttp
import msgspec
import stamina

from adapters.llm.circuit_breaker import RetryBudget
from adapters.llm.event_stream import CompletionReader
from adapters.llm.links import UnlinkedAnswer
from adapters.llm.prompt import chat_messages
from domains.conversational_ai.model.answer_format import AnswerFormat
from domains.conversational_ai.model.tool_call import ToolChoice
from domains.conversational_ai.ports.generative_model import (
    AnswerDelta,
    AnswerFinished,
    ChatMessage,
    FinishReason,
    ModelAnsweredNonsense,
    ModelError,
    ModelRateLimited,
    ModelRefused,
    ModelRequest,
    ModelTimedOut,
    ModelUnavailable,
    Role,
    TokenPrice,
    UnknownModel,
)
from domains.conversational_ai.ports.tokenizer import Tokenizer
from shared_kernel.retry_after import seconds_to_wait

_TRANSPORT_ERRORS: Final = (aiohttp.ClientError, OSError)  # TimeoutError is an OSError
_KEEP_ALIVE_SECONDS: Final = 60
_MAX_PROBLEM_BYTES: Final = 1 << 16
_MAX_LIST_BYTES: Final = 1 << 24
_DRAIN_SECONDS: Final = 0.05
_FIRST_WAIT_SECONDS: Final = 0.2
_LONGEST_WAIT_SECONDS: Final = 4.0
_HURRIED_SECONDS: Final = 1.0
_RETRIED_CLIENT_ERRORS: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_EARLY})
_LEAST_CHARACTERS: Final = 2_000
_CHARACTERS_PER_TOKEN: Final = 8  # no language needs so many on average
_MOST_TOKENS: Final = 10_000_000  # no model reads or says so much at once
_FUNCTION: Final = "function"
_NO_CREDIT: Final = frozenset({"insufficient_quota", "billing_hard_limit_reached"})


class _StreamOptions(msgspec.Struct):
    include_usage: bool


class _Function(msgspec.Struct, omit_defaults=True):
    name: str
    arguments: str | None = None
    description: str | None = None
    parameters: Mapping[str, object] | None = None
    strict: bool | None = None


class _Called(msgspec.Struct, omit_defaults=True):
    function: _Function
    type: str
    id: str | None = None


class _Message(msgspec.Struct, omit_defaults=True):
    role: Role
    content: str
    tool_calls: list[_Called] | None = None
    tool_call_id: str | None = None


class _Schema(msgspec.Struct, omit_defaults=True):
    name: str
    schema: Mapping[str, object]
    description: str | None = None
    strict: bool | None = None


class _Format(msgspec.Struct, omit_defaults=True):
    type: str
    json_schema: _Schema | None = None


class _Body(msgspec.Struct, omit_defaults=True):
    model: str
    messages: list[_Message]
    stream: bool
    stream_options: _StreamOptions | None = None
    temperature: float | None = None
    top_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    user: str | None = None
    stop: tuple[str, ...] | None = None
    response_format: _Format | None = None
    tools: list[_Called] | None = None
    tool_choice: str | _Called | None = None
    parallel_tool_calls: bool | None = None


class _ListedModel(msgspec.Struct):
    id: str


class _ModelList(msgspec.Struct):
    data: list[_ListedModel]


_BODY: Final = msgspec.json.Encoder()


class OpenAICompatibleModel:
    """Streams answers from one provider.

    `prices` names the models that this provider serves and what their tokens cost. Times are in seconds: `connect_timeout` to get a
    connection, `idle_timeout` between two pieces (and to the first), `total_timeout` for one answer with all its retries.

    A request is tried again, at most `max_retries` times, only while no text of the answer has been yielded, only for errors that
    may pass, only within `total_timeout`, and only while `retry_budget` allows it. A `Retry-After` of up to `longest_retry_after` is
    honoured; a longer one ends the tries. While the request has fallbacks left nobody waits long: then a time-out, or a `Retry-After` of
    more than a second, ends them too.

    `provider_names` says what the provider calls a model whose name here is another, as when two providers have the same one.

    `names_completion_tokens` sends the limit as `max_completion_tokens`, as OpenAI's reasoning models want it. `asks_for_usage` is
    switched off for servers that refuse `stream_options`; tokens are then estimated by `tokenizer`.
    """

    def __init__(
        self,
        *,
        name: str,
        base_url: str,
        api_key: str | None,
        prices: Mapping[str, TokenPrice],
        tokenizer: Tokenizer,
        connect_timeout: float = 5.0,
        idle_timeout: float = 30.0,
        total_timeout: float = 110.0,
        max_retries: int = 2,
        longest_retry_after: float = 10.0,
        max_connections: int = 200,
        names_completion_tokens: bool = False,
        asks_for_usage: bool = True,
        provider_names: Mapping[str, str] | None = None,
        retry_budget: RetryBudget | None = None,
    ) -> None:
        self.name = name
        self._prices = dict(prices)
        self._tokenizer = tokenizer
        self._total_timeout = total_timeout
        self._retries = max_retries
        self._longest_retry_after = longest_retry_after
        self._names_completion_tokens = names_completion_tokens
        self._asks_for_usage = asks_for_usage
        self._provider_names = dict(provider_names or {})
        self._retry_budget = retry_budget or RetryBudget(1.0)
        self._url = f"{base_url.rstrip('/')}/chat/completions"
        self._list_url = f"{base_url.rstrip('/')}/models"
        self._headers = {
            "authorization": f"Bearer {api_key or 'none'}",
            "content-type": "application/json",
            "accept": "text/event-stream",
            "accept-encoding": "identity",
            "user-agent": "Luneo",
        }
        self._timeout = aiohttp.ClientTimeout(total=None, connect=connect_timeout, sock_read=idle_timeout)
        self._max_connections = max_connections
        self._opened: aiohttp.ClientSession | None = None

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models that this provider serves."""
        return tuple(self._prices)

    def price(self, model: str) -> TokenPrice:
        """Return what tokens of `model` cost. Raises `UnknownModel`."""
        try:
            return self._prices[model]
        except KeyError:
            raise UnknownModel(f"the provider {self.name} has no model {model!r}") from None

    async def stream(self, request: ModelRequest) -> AsyncGenerator[AnswerDelta | AnswerFinished]:
        """Yield the answer as it comes; chunks that arrived together leave together.

        Where passages were read, links of the model's own making are taken out (`adapters.llm.links`). A provider that goes on far beyond
        `max_tokens` is cut off there, as an answer of finish reason `LENGTH`. Token counts that cannot be are taken as missing.
        Raises `UnknownModel`, or the `ModelError` that says what the provider did.
        """
        self.price(request.model)
        messages = chat_messages(request)
        body = self._body(request, messages)
        deadline = asyncio.get_running_loop().time() + self._total_timeout
        answer = await self._begun(body, deadline, hurried=bool(request.fallbacks))
        said: list[str] = []
        unlinked = UnlinkedAnswer(request)
        room = max(request.max_tokens * _CHARACTERS_PER_TOKEN, _LEAST_CHARACTERS)
        try:
            text: str | None = answer.first_text
            while text is not None:
                room -= len(text)
                if room < 0:
                    text = text[:room]
                said.append(text)
                if shown := unlinked.take(text):
                    yield AnswerDelta(shown)
                if room < 0:
                    break
                text = await answer.next_text()
            finish_reason = answer.reader.end() if room >= 0 else FinishReason.LENGTH
            if shown := unlinked.rest():
                yield AnswerDelta(shown)
            called = answer.reader.tool_calls
            if called and not request.tools:
                raise ModelAnsweredNonsense("the provider calls functions that it was not told of")
        finally:
            await answer.close()
        usage = answer.reader.usage
        if usage is not None and 0 < usage.prompt_tokens <= _MOST_TOKENS and 0 <= usage.completion_tokens <= _MOST_TOKENS:
            tokens_in, tokens_out, estimated = usage.prompt_tokens, usage.completion_tokens, False
        else:
            tokens_in = sum(self._tokenizer.count(message.content) for message in messages)
            tokens_out, estimated = self._tokenizer.count("".join((*said, *(c.arguments for c in called)))), True
        yield AnswerFinished(finish_reason, tokens_in, tokens_out, estimated, request.model, self.name, called)

    async def check(self) -> str:
        """Ask for the list of models, which costs nothing; return what the provider says of the key and of `models`.

        Raises `ModelRefused` when it refuses the key or has no such list, `ModelUnavailable` when it does not answer so.
        """
        try:
            async with self._session.get(self._list_url, headers=self._headers, allow_redirects=False) as response:
                status, body = response.status, await response.content.read(_MAX_LIST_BYTES)
        except _TRANSPORT_ERRORS as error:
            raise _model_error(error) from error
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise ModelRefused(f"the provider refuses the key ({status})", status=status)
        if status == HTTPStatus.NOT_FOUND:
            raise ModelRefused(f"there is nothing at {self._list_url} ({status})", status=status)
        if status != HTTPStatus.OK:
            raise ModelUnavailable(f"the provider answered {status} at {self._list_url}")
        try:
            listed = {model.id for model in msgspec.json.decode(body, type=_ModelList).data}
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return "takes the key"
        unlisted = [name for name in self._prices if self._provider_names.get(name, name) not in listed]
        return (
            f"takes the key, but does not list {', '.join(unlisted)}" if unlisted else f"takes the key and lists {', '.join(self._prices)}"
        )

    async def aclose(self) -> None:
        """Close all connections."""
        if self._opened is not None:
            await self._opened.close()
            self._opened = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.aclose()

    def _body(self, request: ModelRequest, messages: list[ChatMessage]) -> bytes:
        return _BODY.encode(
            _Body(
                model=self._provider_names.get(request.model, request.model),
                messages=[_message(message) for message in messages],
                stream=True,
                stream_options=_StreamOptions(include_usage=True) if self._asks_for_usage else None,
                temperature=request.temperature,
                top_p=request.top_p,
                frequency_penalty=request.frequency_penalty,
                presence_penalty=request.presence_penalty,
                max_tokens=None if self._names_completion_tokens else request.max_tokens,
                max_completion_tokens=request.max_tokens if self._names_completion_tokens else None,
                user=request.end_user,
                stop=request.stop or None,
                response_format=_format(request.answer_format),
                tools=[_Called(_Function(t.name, None, t.description, t.parameters, t.strict), _FUNCTION) for t in request.tools] or None,
                tool_choice=_choice(request.tool_choice),
                parallel_tool_calls=request.parallel_tool_calls,
            )
        )

    async def _begun(self, body: bytes, deadline: float, *, hurried: bool) -> "_Answer":
        """Return an answer that has its first text, or its whole body without any, trying again where that may help."""
        self._retry_budget.requested()
        wait_before_retry = self._wait_before_retry(deadline, hurried=hurried)
        try:
            return await self._attempt(body, deadline)  # most often that is all, and the machinery of tries costs more than the request
        except ModelError as error:
            wait = wait_before_retry(error)
            if wait is False:
                raise
            await asyncio.sleep(wait if wait is not True else random.uniform(_FIRST_WAIT_SECONDS, 2 * _FIRST_WAIT_SECONDS))  # noqa: S311 - jitter
        async for attempt in stamina.retry_context(
            on=wait_before_retry,
            attempts=self._retries,
            timeout=self._total_timeout,
            wait_initial=_FIRST_WAIT_SECONDS,
            wait_max=_LONGEST_WAIT_SECONDS,
            wait_jitter=_FIRST_WAIT_SECONDS,
        ):
            with attempt:
                return await self._attempt(body, deadline)
        raise ModelUnavailable  # pragma: no cover - the last attempt returns or raises

    def _wait_before_retry(self, deadline: float, *, hurried: bool) -> Callable[[Exception], bool | float]:
        longest = min(self._longest_retry_after, _HURRIED_SECONDS) if hurried else self._longest_retry_after
        left = self._retries

        def wait(error: Exception) -> bool | float:
            nonlocal left
            if left == 0 or not isinstance(error, ModelError) or not error.retryable or (hurried and isinstance(error, ModelTimedOut)):
                return False
            asked = error.extra.get("retry_after")
            seconds = max(asked, 0.001) if isinstance(asked, float) else 0.0
            if seconds > longest or asyncio.get_running_loop().time() + seconds >= deadline or not self._retry_budget.takes():
                return False
            left -= 1
            return seconds or True

        return wait

    async def _attempt(self, body: bytes, deadline: float) -> "_Answer":
        try:
            async with asyncio.timeout_at(deadline):
                response = await self._session.post(self._url, data=body, headers=self._headers, allow_redirects=False)
                if response.status != HTTPStatus.OK:
                    raise await _status_error(response)
        except _TRANSPORT_ERRORS as error:
            raise _model_error(error) from error
        answer = _Answer(response, deadline)
        try:
            while (text := await answer.next_text()) == "":
                continue
            answer.first_text = text
            if text is None:
                answer.reader.end()
        except BaseException:
            await answer.close()
            raise
        return answer

    @property
    def _session(self) -> aiohttp.ClientSession:
        """The connections to the provider; they belong to the event loop of the first request."""
        if self._opened is None:
            self._opened = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._max_connections, keepalive_timeout=_KEEP_ALIVE_SECONDS),
                timeout=self._timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=bool(getproxies_environment()),  # looking for a proxy at each request is not free
            )
        return self._opened


class _Answer:
    """One response whose body is being read.

    The deadline is one timer for the whole answer, which closes the response: a timer per piece costs more than the piece.
    """

    __slots__ = ("_expired", "_response", "_timer", "first_text", "reader")

    def __init__(self, response: aiohttp.ClientResponse, deadline: float) -> None:
        self._response = response
        self._expired = False
        self._timer = asyncio.get_running_loop().call_at(deadline, self._expire)
        self.reader = CompletionReader()
        self.first_text: str | None = None

    async def next_text(self) -> str | None:
        """Return the text of what arrived next (it may be empty), None at the end; raises `ModelError`."""
        if self.reader.done:
            await self._drain()
            return None
        self._check_time()
        try:
            piece = await self._response.content.readany()
        except _TRANSPORT_ERRORS as error:
            self._check_time()
            raise _model_error(error) from error
        if not piece:
            self._check_time()
            return None
        return self.reader.feed(piece)

    def _expire(self) -> None:
        self._expired = True
        self._response.close()

    def _check_time(self) -> None:
        if self._expired:
            raise ModelTimedOut("the provider took too long for the whole answer")

    async def _drain(self) -> None:
        """Read the few bytes that end the body, so that the connection can serve the next request."""
        if self._response.content.at_eof():
            return
        with suppress(*_TRANSPORT_ERRORS):
            async with asyncio.timeout(_DRAIN_SECONDS):
                while await self._response.content.readany():
                    continue

    async def close(self) -> None:
        """Give the connection back, or close it when the body was not read to its end."""
        self._timer.cancel()
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()


def _message(message: ChatMessage) -> _Message:
    calls = [_Called(_Function(call.name, call.arguments), _FUNCTION, call.id) for call in message.tool_calls]
    return _Message(message.role, message.content, calls or None, message.tool_call_id)


def _format(asked: AnswerFormat | None) -> _Format | None:
    if asked is None:
        return None
    if asked.schema is None:
        return _Format("json_object")
    return _Format("json_schema", _Schema(asked.name, asked.schema, asked.description, asked.strict))


def _choice(asked: ToolChoice | None) -> str | _Called | None:
    if asked is None or asked.mode != _FUNCTION:
        return None if asked is None else asked.mode
    return _Called(_Function(asked.name), _FUNCTION)


def _model_error(error: BaseException) -> ModelError:
    """Say what happened in our words. What the provider said stays in the cause: it may repeat parts of a key or of the prompt."""
    if isinstance(error, TimeoutError):
        return ModelTimedOut("the provider took too long to connect or to send the next piece of its answer")
    return ModelUnavailable("the connection to the provider failed")


class _Problem(msgspec.Struct):
    code: str | int | None = None


class _Refusal(msgspec.Struct):
    error: _Problem


async def _status_error(response: aiohttp.ClientResponse) -> ModelError:
    status, wait = response.status, seconds_to_wait(response.headers)
    code = None
    with suppress(msgspec.MsgspecError, UnicodeDecodeError):
        code = msgspec.json.decode(await response.content.read(_MAX_PROBLEM_BYTES), type=_Refusal).error.code
    response.close()
    if status == HTTPStatus.TOO_MANY_REQUESTS and code not in _NO_CREDIT:
        return ModelRateLimited("the provider takes no more requests at the moment", retry_after=wait)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _RETRIED_CLIENT_ERRORS:
        return ModelUnavailable(f"the provider answered {status}", retry_after=wait)
    return ModelRefused(f"the provider answered {status}", status=status)

"""The generative model that words an answer.

Only the orchestrator's use cases hold this port. A request says everything the model may know; the answer comes back as a
stream of text that ends with exactly one `AnswerFinished`, or with a `ModelError`. There is no third way for it to end: an
answer that was cut short never looks like a whole one.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Protocol

from domains.conversational_ai.model.answer_format import AnswerFormat
from domains.conversational_ai.model.tool_call import Tool, ToolCall, ToolChoice
from shared_kernel.errors import Unavailable
from shared_kernel.money import Money

MICROS_PER_UNIT = 1_000_000
TOKENS_PER_PRICE = 1_000_000


class Role(StrEnum):
    """Who speaks in a message."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One earlier message of the conversation; of role `TOOL` it answers the call `tool_call_id`."""

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


@dataclass(frozen=True, slots=True)
class ReferencePassage:
    """One retrieved passage: data to answer from, never an instruction to follow.

    `number` (from 1, unique in a request) is how an answer cites it: `[1]`. `score` is the similarity to the question, higher is
    nearer; 1 is the same text. A question-and-answer pair has the question as its first line and the answer below.
    """

    number: int
    text: str
    title: str
    score: float
    heading: str | None
    language: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """All that a model is told for one answer.

    `messages` are the earlier ones, oldest first, without the `question`. `language` is an ISO 639-1 code. `temperature`, `top_p` and
    the penalties are left to the provider where they are None. `max_tokens` bounds the answer. `fallback` is what to say when the
    passages hold no answer (empty: the model words it). `end_user` is an opaque, stable pseudonym that a provider may use against abuse.
    `fallbacks` are the models to ask instead, in this order, while nobody has said anything. `guidance` is what the calling application
    adds: it may narrow the instructions and gives way to them. `continuation` is what came after the question: calls of `tools` and
    their answers. A model that cannot do what `answer_format` or `tool_choice` demands raises `ModelCannot`.
    """

    model: str
    instructions: str
    messages: tuple[ChatMessage, ...]
    question: str
    passages: tuple[ReferencePassage, ...]
    language: str
    temperature: float | None
    max_tokens: int
    fallback: str
    end_user: str | None
    fallbacks: tuple[str, ...] = ()
    top_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    guidance: str = ""
    continuation: tuple[ChatMessage, ...] = ()
    stop: tuple[str, ...] = ()
    answer_format: AnswerFormat | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None


class FinishReason(StrEnum):
    """Why an answer ended: complete, at `max_tokens`, cut off by the provider's filter, or waiting for functions to be called."""

    STOP = "stop"
    LENGTH = "length"
    CONTENT_FILTER = "content_filter"
    TOOL_CALLS = "tool_calls"


@dataclass(frozen=True, slots=True)
class AnswerBegun:
    """Who answers; comes first or not at all. Without it the requested model does."""

    model: str
    provider: str


@dataclass(frozen=True, slots=True)
class AnswerDelta:
    """The next piece of the answer's text; never empty."""

    text: str


@dataclass(frozen=True, slots=True)
class AnswerFinished:
    """The end of an answer.

    `tokens_in` and `tokens_out` are the provider's figures, or ours when `estimated`. `model` is the name of the model that answered
    (one that `price` knows), the requested one or a fallback; `provider` is who has it.
    """

    finish_reason: FinishReason
    tokens_in: int
    tokens_out: int
    estimated: bool
    model: str
    provider: str
    tool_calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, slots=True)
class TokenPrice:
    """What one model's tokens cost.

    Prices are integers in micro-units of the currency (0.000001 EUR) per million tokens, so 0.075 USD per million is 75 000.
    `minor_units` is how many minor units make one unit of the currency: 100 for EUR and USD, 1 for JPY.
    Raises `ValueError` for a negative price, a `minor_units` below 1 or a wrong currency code.
    """

    currency: str
    input_micros: int
    output_micros: int
    minor_units: int = 100

    def __post_init__(self) -> None:
        Money(0, self.currency)
        if self.input_micros < 0 or self.output_micros < 0 or self.minor_units < 1:
            raise ValueError("a token price is not negative, and a currency has at least one minor unit")

    def cost_micros(self, tokens_in: int, tokens_out: int) -> int:
        """Cost in micro-units of the currency, rounded up to a whole one: what to store and to add up."""
        return -(-(tokens_in * self.input_micros + tokens_out * self.output_micros) // TOKENS_PER_PRICE)

    def cost(self, tokens_in: int, tokens_out: int) -> Money:
        """Cost in minor units, half a unit rounded up, to show beside one answer.

        Most single answers cost less than a cent: totals are made by adding `cost_micros` and rounding once, never by adding these.
        """
        exact = (tokens_in * self.input_micros + tokens_out * self.output_micros) * self.minor_units
        divisor = TOKENS_PER_PRICE * MICROS_PER_UNIT
        return Money((2 * exact + divisor) // (2 * divisor), self.currency)


class GenerativeModel(Protocol):
    """Words an answer from a request."""

    def stream(self, request: ModelRequest) -> AsyncGenerator[AnswerBegun | AnswerDelta | AnswerFinished]:
        """Yield the answer's text as it comes, then one `AnswerFinished`, last; a model with fallbacks first says who answers.

        Close the generator (`aclose`) to stop an answer early; that also frees its connection.
        Raises a `ModelError` at any point instead of `AnswerFinished`; text that was already yielded is then an incomplete answer.
        """
        ...

    def price(self, model: str) -> TokenPrice:
        """Return what tokens of `model` cost. Raises `UnknownModel`."""
        ...


class ModelError(Unavailable):
    """The model did not give a whole answer. `retryable` says whether the same request may succeed later."""

    code: ClassVar[str] = "model_error"
    title: ClassVar[str] = "The model did not answer"
    retryable: ClassVar[bool] = False


class ModelUnavailable(ModelError):
    """The provider can't be reached, is overloaded or failed inside."""

    code = "model_unavailable"
    title = "The model's provider is not available"
    retryable = True


class ModelRateLimited(ModelError):
    """The provider takes no more requests now; `retry_after` is how many seconds it asked to wait, when it said so."""

    code = "model_rate_limited"
    title = "The model's provider takes no more requests at the moment"
    retryable = True

    def __init__(self, detail: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(detail, retry_after=retry_after)
        self.retry_after = retry_after


class ModelRefused(ModelError):
    """The provider refused the request: a wrong key, no credit, no such model there, a prompt that is too long."""

    code = "model_refused"
    title = "The model's provider refused the request"


class ModelAnsweredNonsense(ModelError):
    """The provider broke its own protocol: broken JSON, a stream cut short, no finish reason, an error inside, an empty answer."""

    code = "model_answered_nonsense"
    title = "The model's provider sent an answer that can't be used"
    retryable = True


class ModelWithheld(ModelError):
    """The provider's filter withheld the whole answer: the same question will hardly fare better."""

    code = "model_withheld"
    title = "The model's provider withheld the answer"


class ModelCannot(ModelError):
    """The model has no such ability as the request demands."""

    code = "model_cannot"
    title = "The model cannot answer in this way"


class ModelTimedOut(ModelError):
    """The provider was too slow: to connect, to send the next piece, or in all."""

    code = "model_timed_out"
    title = "The model's provider took too long"
    retryable = True


class UnknownModel(ModelError):
    """No configured provider has a model of this name."""

    code = "model_unknown"
    title = "There is no such model"

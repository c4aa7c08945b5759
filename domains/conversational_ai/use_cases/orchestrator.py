"""The orchestrator: one pipeline of named, timed steps from an opened turn to its end.

It alone holds the port of the generative model. No transaction is open while it retrieves or generates.
"""

import asyncio
import hashlib
import json
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, aclosing
from dataclasses import dataclass, field, replace
from types import TracebackType
from uuid import UUID

from contracts.billing.errors import ReservationNotOpen
from domains.conversational_ai.model.answer_format import AnswerFormat, AnswerFormatViolated
from domains.conversational_ai.model.citation import CitablePassage, cite, without_marks
from domains.conversational_ai.model.context import packed
from domains.conversational_ai.model.language import language_of
from domains.conversational_ai.model.tool_call import ToolCall
from domains.conversational_ai.model.turn import (
    Answer,
    Failure,
    OpenedTurn,
    PastMessage,
    TokenUsage,
    TurnEnd,
    TurnInterrupted,
    TurnNoLongerRunning,
    TurnOutcome,
    TurnState,
    TurnTookTooLong,
)
from domains.conversational_ai.ports.answer_schemas import AnswerSchemas
from domains.conversational_ai.ports.generative_model import (
    AnswerBegun,
    AnswerDelta,
    AnswerFinished,
    ChatMessage,
    FinishReason,
    GenerativeModel,
    ModelAnsweredNonsense,
    ModelRequest,
    ModelWithheld,
    ReferencePassage,
    Role,
)
from domains.conversational_ai.ports.retrieval import Retrieval
from domains.conversational_ai.ports.tokenizer import Tokenizer
from domains.conversational_ai.ports.turn_observer import TurnObserver
from domains.conversational_ai.ports.turns import Turns
from domains.conversational_ai.use_cases.turn_fields import completed_fields, message_fields, passage_fields, problem_fields, usage_fields
from domains.conversational_ai.use_cases.turn_stream import TurnStream
from shared_kernel.clock import Clock
from shared_kernel.errors import LuneoError, Unavailable
from shared_kernel.identifiers import id_after

_HISTORY_TOKENS = 3_000
_CONTEXT_TOKENS = 4_000
_RETRY_SECONDS = 0.25
_RETRY_SECONDS_MAXIMUM = 5.0
_NOT_AS_AGREED = "Your answer has not the form that was asked for."
_NOTHING = TokenUsage()
_Teller = Callable[[str, Mapping[str, object]], None]
_WHOLE = frozenset({FinishReason.STOP, FinishReason.TOOL_CALLS})
_DEFECT = Failure("internal_error", "Something went wrong on our side", "The turn could not be finished", retryable=True)


@dataclass(slots=True)
class TurnControl:
    """Who may still interrupt a running turn: nobody any more once it is `finishing`. `stop_asked` tells a stop from a shutdown.

    A task that is cancelled before it began never runs at all: until the turn has `begun`, an interruption is only noted.
    """

    begun: bool = False
    interrupted: bool = False
    stop_asked: bool = False
    finishing: bool = False


@dataclass(slots=True)
class _Progress:
    """What is known of the answer so far; `spent` is what an attempt before took."""

    parts: list[str] = field(default_factory=list)
    begun: AnswerBegun | None = None
    finished: AnswerFinished | None = None
    spent: TokenUsage = _NOTHING
    passages: Sequence[CitablePassage] = ()
    steps: dict[str, float] = field(default_factory=dict)
    request: ModelRequest | None = None
    started: float = field(default_factory=time.perf_counter)

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """What the answer asks to be called, in text that can be stored."""
        calls = self.finished.tool_calls if self.finished else ()
        return tuple(ToolCall(_storable(c.id), _storable(c.name), _storable(c.arguments)) for c in calls)

    @property
    def text(self) -> str:
        return "".join(self.parts)


@dataclass(frozen=True, slots=True)
class Orchestrator:
    """Answers opened turns. `turn_seconds` is the hard limit of one; `pause` waits so many seconds before an end is written again."""

    turns: Turns
    retrieval: Retrieval
    model: GenerativeModel
    tokenizer: Tokenizer
    schemas: AnswerSchemas
    observer: TurnObserver
    clock: Clock
    turn_seconds: float
    pause: Callable[[float], Awaitable[object]] = asyncio.sleep

    async def answer(self, turn: OpenedTurn, stream: TurnStream, control: TurnControl) -> TurnOutcome:
        """Run the steps retrieve, compose, generate and settle, streaming on the way; never raises. Return what became of the turn.

        The stream's terminal event is sent after the end was written. Cancelling the task ends the turn with what there is when
        a stop was asked for,
        else as interrupted.
        """
        with self.observer.turn(turn):
            return await self._run(turn, stream, control)

    async def _run(self, turn: OpenedTurn, stream: TurnStream, control: TurnControl) -> TurnOutcome:
        progress = _Progress()
        control.begun = True
        stream.send("turn.started", {"conversation_id": turn.question.conversation_id})
        state, failure = TurnState.COMPLETED, None
        try:
            if control.interrupted:
                raise asyncio.CancelledError  # noqa: TRY301 - as if it had come a moment later
            async with asyncio.timeout(self.turn_seconds):
                await self._produce(turn, stream, progress)
        except TimeoutError:
            state, failure = TurnState.FAILED, _failure(TurnTookTooLong(), retryable=True)
        except asyncio.CancelledError:
            _uncancel()
            state = TurnState.STOPPED if control.stop_asked else TurnState.FAILED
            failure = None if control.stop_asked else _failure(TurnInterrupted(), retryable=True)
        except LuneoError as error:
            state, failure = TurnState.FAILED, _failure(error, retryable=bool(getattr(error, "retryable", isinstance(error, Unavailable))))
        except Exception as error:  # noqa: BLE001 - whatever happens, the books are closed and the visitor is told
            self.observer.defect(error)
            state, failure = TurnState.FAILED, _DEFECT
        control.finishing = True
        return await self._finish(turn, stream, progress, state, failure)

    async def _produce(self, turn: OpenedTurn, stream: TurnStream, progress: _Progress) -> None:
        language = turn.language or language_of(turn.question.content, turn.agent.languages)
        with self._step("retrieve", progress):
            progress.passages = await self._retrieve(turn)
        stream.send("retrieval.completed", {"passages": [passage_fields(p) for p in progress.passages]})
        with self._step("compose", progress):
            request = self._compose(turn, progress.passages, language)
            progress.request = request
        with self._step("generate", progress):
            if request.answer_format is None:
                await self._generate(request, stream.send, progress)
            else:
                await self._generate_formed(request, request.answer_format, stream, progress)

    async def _retrieve(self, turn: OpenedTurn) -> Sequence[CitablePassage]:
        if not turn.agent.knowledge_base_ids:
            return ()
        found = await self.retrieval.passages(
            turn.question.asked_by.tenant,
            turn.agent.knowledge_base_ids,
            turn.question.content,
            limit=turn.agent.passages,
            cut_off=turn.agent.cut_off,
        )
        return packed(found, budget=_CONTEXT_TOKENS, count=self.tokenizer.count)

    def _compose(self, turn: OpenedTurn, passages: Sequence[CitablePassage], language: str) -> ModelRequest:
        """Say everything the model may know: instructions in the system role, retrieved text as reference material beside the question."""
        messages: list[ChatMessage] = []
        budget, wishes = _HISTORY_TOKENS, turn.question.wishes
        for past in reversed(_history(turn)):
            budget -= self.tokenizer.count("".join((past.content, *(call.arguments for call in past.tool_calls))))
            if budget < 0:
                break
            messages.append(_message(past))
        while messages and messages[-1].role is Role.TOOL:
            messages.pop()  # its call was further back than the agent looks
        return ModelRequest(
            model=_model(turn),
            instructions=_instructions(turn),
            guidance=wishes.guidance.strip(),
            continuation=tuple(_message(past) for past in wishes.continuation),
            stop=wishes.stop,
            answer_format=None if wishes.plain_text else wishes.answer_format or turn.agent.answer_format,
            tools=wishes.tools,
            tool_choice=wishes.tool_choice,
            parallel_tool_calls=wishes.parallel_tool_calls,
            messages=tuple(reversed(messages)),
            question=turn.question.content,
            passages=tuple(ReferencePassage(p.number, without_marks(p.text), p.title, p.score, p.locator.heading, None) for p in passages),
            language=language,
            temperature=_given(wishes.temperature, turn.agent.temperature),
            max_tokens=min(turn.agent.max_tokens, wishes.max_tokens or turn.agent.max_tokens),
            fallback=_fallback(turn, language),
            end_user=_pseudonym(turn.question.asked_by.tenant, wishes.end_user) if wishes.end_user else None,
            fallbacks=() if turn.question.asked_by.sandbox else turn.agent.fallback_models,
            top_p=_given(wishes.top_p, turn.agent.top_p),
            frequency_penalty=_given(wishes.frequency_penalty, turn.agent.frequency_penalty),
            presence_penalty=_given(wishes.presence_penalty, turn.agent.presence_penalty),
        )

    async def _generate_formed(self, request: ModelRequest, form: AnswerFormat, stream: TurnStream, progress: _Progress) -> None:
        """Generate an answer of the form, and once more when the first has it not; nothing of it is told before it has.

        Calls of functions are no answer yet: they have no form. Raises `AnswerFormatViolated`.
        """
        await self._generate(request, _held_back, progress)
        if not progress.tool_calls and (faults := self.schemas.faults(form, progress.text)):
            await self._generate_again(_to_be_put_right(request, form, progress.text, faults), progress)
            if not progress.tool_calls and (faults := self.schemas.faults(form, progress.text)):
                raise AnswerFormatViolated(" ".join(faults))
        if text := progress.text:
            stream.send("answer.delta", {"text": text})

    async def _generate_again(self, request: ModelRequest, progress: _Progress) -> None:
        """Generate another answer in the place of one that has not the form; the tokens of both count.

        When nothing comes of it the first answer stays what there is: it was paid.
        """
        first = progress.parts, progress.begun, progress.finished, progress.request
        by = progress.finished or progress.begun
        progress.spent = self._usage(progress, by.model if by else request.model)
        progress.parts, progress.begun, progress.finished, progress.request = [], None, None, request
        try:
            await self._generate(request, _held_back, progress)
        finally:
            if not progress.text.strip() and not progress.tool_calls:
                progress.parts, progress.begun, progress.finished, progress.request = first
                progress.spent = _NOTHING

    async def _generate(self, request: ModelRequest, tell: _Teller, progress: _Progress) -> None:
        with self.observer.generation(request.model, max_tokens=request.max_tokens) as ended:
            async with aclosing(self.model.stream(request)) as answer:
                async for event in answer:
                    if isinstance(event, AnswerDelta):
                        text = _storable(event.text)
                        progress.parts.append(text)
                        tell("answer.delta", {"text": text})
                    elif isinstance(event, AnswerBegun):
                        progress.begun = event
                    else:
                        progress.finished = event
                        ended(
                            provider=event.provider,
                            finish_reason=event.finish_reason,
                            tokens_in=event.tokens_in,
                            tokens_out=event.tokens_out,
                        )
        if not progress.text.strip() and not progress.tool_calls:
            if progress.finished is not None and progress.finished.finish_reason is FinishReason.CONTENT_FILTER:
                raise ModelWithheld
            raise ModelAnsweredNonsense("The model said nothing")

    async def _finish(
        self, turn: OpenedTurn, stream: TurnStream, progress: _Progress, state: TurnState, failure: Failure | None
    ) -> TurnOutcome:
        try:
            end = await self._settle(turn, stream, progress, state, failure)
        except (TurnNoLongerRunning, ReservationNotOpen, Unavailable) as error:
            # somebody else ended it (a sweeper, or the reservation expired): what is stored counts, and the visitor is told so
            return _told(stream, _failure(error, retryable=True))
        except Exception as error:  # noqa: BLE001 - same as above
            self.observer.defect(error)
            await self._give_up(turn, stream)
            return _told(stream, _DEFECT)
        self.observer.ended(end, time.perf_counter() - progress.started)
        return TurnOutcome(end.state, end.answer, end.failure)

    async def _settle(
        self, turn: OpenedTurn, stream: TurnStream, progress: _Progress, state: TurnState, failure: Failure | None
    ) -> TurnEnd:
        """Write the end and tell it."""
        answer = self._answer(turn, progress, state)
        complete = state is TurnState.COMPLETED
        shown = {"message": message_fields(answer), "usage": usage_fields(answer.usage)} if answer else {}
        end = TurnEnd(
            turn_id=turn.question.turn_id,
            conversation_id=turn.question.conversation_id,
            state=state,
            answer=answer,
            failure=failure,
            question_id=turn.question.message_id,
            branch_from=turn.question.branch_from,
            steps={name: round(seconds * 1000, 2) for name, seconds in progress.steps.items()},
            last_sequence=stream.last_sequence + (2 if complete else 1),
            ended_at=self.clock.now(),
        )
        with self.observer.step("settle"):
            await self._write(end, turn)
        if complete:
            stream.send("answer.completed", completed_fields(answer) if answer else shown)
            stream.send("turn.completed", {"conversation_id": turn.question.conversation_id})
        elif failure is None:
            stream.send("turn.stopped", shown)
        else:
            stream.send("turn.failed", {"problem": problem_fields(failure), **shown})
        return end

    async def _give_up(self, turn: OpenedTurn, stream: TurnStream) -> None:
        """End a turn whose answer cannot be stored: nothing of it is kept, nothing is charged."""
        end = TurnEnd(
            turn_id=turn.question.turn_id,
            conversation_id=turn.question.conversation_id,
            state=TurnState.FAILED,
            answer=None,
            failure=_DEFECT,
            last_sequence=stream.last_sequence + 1,
            ended_at=self.clock.now(),
        )
        try:
            await self._write(end, turn)
        except Exception as error:  # noqa: BLE001 - the sweeper will find it
            self.observer.defect(error)

    async def _write(self, end: TurnEnd, turn: OpenedTurn) -> None:
        """Write the end, again and again while the database does not answer, until the reservation expires.

        A repetition after a lost acknowledgement finds the turn ended the same way and is done.
        """
        delay, repeated = _RETRY_SECONDS, False
        while True:
            try:
                try:
                    await self.turns.end(end, turn.question.asked_by)
                except (TurnNoLongerRunning, ReservationNotOpen):
                    if repeated and (await self.turns.get(turn.question.asked_by, end.turn_id)).ended_at == end.ended_at:
                        return
                    raise
            except Unavailable:
                if self.clock.now() >= turn.question.expires_at:
                    raise
                await self.pause(delay)
                delay, repeated = min(delay * 2, _RETRY_SECONDS_MAXIMUM), True
            else:
                return

    def _answer(self, turn: OpenedTurn, progress: _Progress, state: TurnState) -> Answer | None:
        """Return the message to store: none when nothing was said, since a turn without an answer costs nothing."""
        text = progress.text
        if not text.strip() and not progress.tool_calls:
            return None
        finished = progress.finished
        by = finished or progress.begun or AnswerBegun(_model(turn), "")
        return Answer(
            message_id=id_after(turn.question.message_id),
            content=text,
            citations=cite(_read(text, progress.request), progress.passages),
            usage=self._usage(progress, by.model),
            model=by.model,
            provider=by.provider,
            complete=state is TurnState.COMPLETED and (finished is None or finished.finish_reason in _WHOLE),
            finish_reason=finished.finish_reason.value if finished else None,
            tool_calls=progress.tool_calls,
        )

    def _usage(self, progress: _Progress, model: str) -> TokenUsage:
        """Return what the answer of `model` took, with the attempt before."""
        finished, spent = progress.finished, progress.spent
        if finished is not None:
            tokens_in, tokens_out, estimated = finished.tokens_in, finished.tokens_out, finished.estimated
        else:
            tokens_in, tokens_out, estimated = self.tokenizer.count(_prompt(progress.request)), self.tokenizer.count(progress.text), True
        price = self.model.price(model)
        return TokenUsage(
            spent.tokens_in + tokens_in,
            spent.tokens_out + tokens_out,
            spent.estimated or estimated,
            spent.cost_micros + price.cost_micros(tokens_in, tokens_out),
            price.currency,
        )

    def _step(self, name: str, progress: _Progress) -> "_Step":
        return _Step(self.observer.step(name), name, progress)


class _Step(AbstractContextManager[None]):
    """A named step: observed, and timed for the turn's own record."""

    __slots__ = ("_name", "_observed", "_progress", "_started")

    def __init__(self, observed: AbstractContextManager[None], name: str, progress: _Progress) -> None:
        self._observed = observed
        self._name = name
        self._progress = progress

    def __enter__(self) -> None:
        self._observed.__enter__()
        self._started = time.perf_counter()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._progress.steps[self._name] = time.perf_counter() - self._started
        self._observed.__exit__(kind, error, traceback)


def _prompt(request: ModelRequest | None) -> str:
    """Return all that the model was given to read, to be counted when it did not say itself."""
    if request is None:
        return ""
    return "\n".join(
        (
            request.instructions,
            request.guidance,
            *(m.content for m in (*request.messages, *request.continuation)),
            *(p.text for p in request.passages),
            request.question,
        )
    )


def _read(text: str, request: ModelRequest | None) -> str:
    """Return what people read of an answer, which is where it cites: of JSON the texts inside, since a list `[1]` is no mark."""
    if request is None or request.answer_format is None:
        return text
    try:
        return "\n".join(_texts(json.loads(text)))
    except (ValueError, RecursionError):
        return text


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _model(turn: OpenedTurn) -> str:
    """Return the model to ask: a sandbox key never spends money."""
    return "local" if turn.question.asked_by.sandbox else turn.agent.model


def _held_back(_name: str, _fields: Mapping[str, object]) -> None:
    """Tell nobody yet."""


def _to_be_put_right(request: ModelRequest, form: AnswerFormat, answer: str, faults: Sequence[str]) -> ModelRequest:
    """Return the request that shows the model its answer, and says what is wrong with it."""
    wanted = "one JSON object" if form.schema is None else f"one JSON object that fits this JSON Schema: {json.dumps(form.schema)}"
    told = " ".join((_NOT_AS_AGREED, *faults, f"Answer again with nothing but {wanted}"))
    shown = (ChatMessage(Role.ASSISTANT, answer), ChatMessage(Role.USER, told))
    return replace(request, continuation=(*request.continuation, *shown))


def _given(wished: float | None, agents: float | None) -> float | None:
    return agents if wished is None else wished


def _storable(text: str) -> str:
    """Return a model's text without what neither UTF-8 nor Postgres can hold: NUL, and halves of surrogate pairs."""
    if text.isascii() and "\x00" not in text:
        return text
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


def _instructions(turn: OpenedTurn) -> str:
    parts = (turn.agent.instructions, turn.agent.custom_instructions, f"Tone: {turn.agent.tone}." if turn.agent.tone else "")
    return "\n\n".join(part.strip() for part in parts if part.strip())


def _history(turn: OpenedTurn) -> Sequence[PastMessage]:
    """Return what was said before: stored, or as the caller of a one-off question tells it, as much as the agent looks back."""
    if turn.question.one_off is None:
        return turn.history
    told, window = turn.question.one_off.history, turn.agent.context_window
    return told[max(len(told) - window, 0) :]


def _message(past: PastMessage) -> ChatMessage:
    return ChatMessage(Role(past.role), past.content, past.tool_calls, past.tool_call_id)


def _pseudonym(organization_id: UUID, end_user: str) -> str:
    """Return a name that says nothing of the person, and stays the same."""
    return hashlib.sha256(organization_id.bytes + end_user.encode("utf-8", "replace")).hexdigest()[:32]


def _fallback(turn: OpenedTurn, language: str) -> str:
    """Return what to say when nothing was found: the agent's own words in its main language, else the model's."""
    main = turn.agent.languages[0] if turn.agent.languages else language
    return turn.agent.fallback if language == main else ""


def _uncancel() -> None:
    task = asyncio.current_task()
    while task is not None and task.cancelling():
        task.uncancel()


def _told(stream: TurnStream, failure: Failure) -> TurnOutcome:
    """Tell of a turn that failed without an answer."""
    stream.send("turn.failed", {"problem": problem_fields(failure)})
    return TurnOutcome(TurnState.FAILED, failure=failure)


def _failure(error: LuneoError, *, retryable: bool) -> Failure:
    return Failure(error.code, error.title, error.detail, retryable)

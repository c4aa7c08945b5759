"""Turns in metrics, traces and logs."""

import logging
import time
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from types import TracebackType

import structlog

from domains.conversational_ai.model.turn import OpenedTurn, TurnEnd, TurnState
from domains.conversational_ai.ports.turn_observer import GenerationEnded
from entrypoints.observability.metrics import Metrics
from entrypoints.observability.tracing import (
    AGENT_ID,
    CONVERSATION_ID,
    FINISH_REASONS,
    INPUT_TOKENS,
    MAX_TOKENS,
    ORGANIZATION_ID,
    OUTPUT_TOKENS,
    PROVIDER_NAME,
    TURN_ID,
    AttributeValue,
    Span,
    is_tracing,
    model_span,
    span,
)


class _Step(AbstractContextManager[None]):
    """A block that is timed and traced; a generator would cost more than what it measures."""

    __slots__ = ("_metrics", "_name", "_span", "_started")

    def __init__(self, metrics: Metrics, name: str) -> None:
        self._metrics = metrics
        self._name = name

    def __enter__(self) -> None:
        self._span = span(f"turn.{self._name}")
        self._span.__enter__()
        self._started = time.perf_counter()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._metrics.turn_step_took(self._name, time.perf_counter() - self._started)
        self._span.__exit__(kind, error, traceback)


class _Generation(AbstractContextManager[GenerationEnded]):
    """A traced call of the model."""

    def __init__(self, traced: AbstractContextManager[Span]) -> None:
        self._traced = traced

    def __enter__(self) -> GenerationEnded:
        current = self._traced.__enter__()

        def ended(*, provider: str, finish_reason: str, tokens_in: int, tokens_out: int) -> None:
            current.set_attribute(PROVIDER_NAME, provider)
            current.set_attribute(FINISH_REASONS, (str(finish_reason),))
            current.set_attribute(INPUT_TOKENS, tokens_in)
            current.set_attribute(OUTPUT_TOKENS, tokens_out)

        return ended

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._traced.__exit__(kind, error, traceback)


def _unheard(*, provider: str, finish_reason: str, tokens_in: int, tokens_out: int) -> None:
    """Hear how an answer ended while nobody traces it."""


_UNTRACED = nullcontext(None)
_UNTRACED_GENERATION: AbstractContextManager[GenerationEnded] = nullcontext(_unheard)


class _Turn(AbstractContextManager[None]):
    """A traced turn, which the observer's `ended` describes."""

    def __init__(self, turn: OpenedTurn) -> None:
        question = turn.question
        described: dict[str, AttributeValue] = {
            TURN_ID: str(question.turn_id),
            CONVERSATION_ID: str(question.conversation_id),
            ORGANIZATION_ID: str(question.asked_by.tenant),
            AGENT_ID: str(turn.agent.id),
            "luneo.agent_version": turn.agent.version,
        }
        self._traced = span("turn", **described)

    def __enter__(self) -> None:
        self._told = _traced_turn.set(self._traced.__enter__())

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        _traced_turn.reset(self._told)
        self._traced.__exit__(kind, error, traceback)


_traced_turn: ContextVar[Span] = ContextVar("traced_turn")


class ObservedTurns:
    """Implements `TurnObserver`."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._log = structlog.get_logger("luneo.turns").bind()  # a lazy logger is made anew for each line

    def turn(self, turn: OpenedTurn) -> AbstractContextManager[object]:
        """Trace the turn, when tracing is on."""
        return _Turn(turn) if is_tracing() else _UNTRACED

    def generation(self, model: str, *, max_tokens: int) -> AbstractContextManager[GenerationEnded]:
        """Trace the call of the model as the conventions for generative AI ask, when tracing is on."""
        if not is_tracing():
            return _UNTRACED_GENERATION
        return _Generation(model_span("chat", model=model, **{MAX_TOKENS: max_tokens}))

    def step(self, name: str) -> AbstractContextManager[None]:
        """Time one step, and trace it when tracing is on."""
        return _Step(self._metrics, name)

    def ended(self, end: TurnEnd, seconds: float) -> None:
        """Count the turn and its tokens, and log it; of a completed turn the line of its request is enough, unless somebody debugs."""
        self._metrics.turn_ended(end.state.value)
        if end.answer is not None:
            usage = end.answer.usage
            self._metrics.tokens_used(tokens_in=usage.tokens_in, tokens_out=usage.tokens_out, estimated=usage.estimated)
        if is_tracing() and (traced := _traced_turn.get(None)) is not None:
            traced.set_attribute("luneo.turn_state", end.state.value)
            if end.failure is not None:
                traced.failed(end.failure.code)
        if end.state is TurnState.COMPLETED and not self._log.is_enabled_for(logging.DEBUG):
            return
        write = self._log.debug if end.state is TurnState.COMPLETED else self._log.info
        write(
            "turn",
            turn_id=str(end.turn_id),
            outcome=end.state.value,
            code=end.failure.code if end.failure else None,
            milliseconds=round(seconds * 1000, 1),
        )

    def defect(self, error: Exception) -> None:
        """Log a defect of ours with its trace."""
        self._log.error("turn_defect", exc_info=error)

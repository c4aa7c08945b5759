"""Turns in metrics, traces and logs."""

import logging
import time
from contextlib import AbstractContextManager
from types import TracebackType

import structlog

from domains.conversational_ai.model.turn import TurnEnd, TurnState
from entrypoints.observability.metrics import Metrics
from entrypoints.observability.tracing import span


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


class ObservedTurns:
    """Implements `TurnObserver`."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._log = structlog.get_logger("luneo.turns").bind()  # a lazy logger is made anew for each line

    def step(self, name: str) -> AbstractContextManager[None]:
        """Time one step, and trace it when tracing is on."""
        return _Step(self._metrics, name)

    def ended(self, end: TurnEnd, seconds: float) -> None:
        """Count the turn and its tokens, and log it; of a completed turn the line of its request is enough, unless somebody debugs."""
        self._metrics.turn_ended(end.state.value)
        if end.answer is not None:
            usage = end.answer.usage
            self._metrics.tokens_used(tokens_in=usage.tokens_in, tokens_out=usage.tokens_out, estimated=usage.estimated)
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

"""Turns in metrics, traces and logs."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from domains.conversational_ai.model.turn import TurnEnd, TurnState
from entrypoints.observability.metrics import Metrics
from entrypoints.observability.tracing import span

_logger = structlog.get_logger("luneo.turns")


class ObservedTurns:
    """Implements `TurnObserver`."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time one step, and trace it when tracing is on."""
        started = time.perf_counter()
        try:
            with span(f"turn.{name}"):
                yield
        finally:
            self._metrics.turn_step_took(name, time.perf_counter() - started)

    def ended(self, end: TurnEnd, seconds: float) -> None:
        """Count the turn and its tokens, and log it; of a completed turn the line of its request is enough, unless somebody debugs."""
        self._metrics.turn_ended(end.state.value)
        if end.answer is not None:
            usage = end.answer.usage
            self._metrics.tokens_used(tokens_in=usage.tokens_in, tokens_out=usage.tokens_out, estimated=usage.estimated)
        write = _logger.debug if end.state is TurnState.COMPLETED else _logger.info
        write(
            "turn",
            turn_id=str(end.turn_id),
            outcome=end.state.value,
            code=end.failure.code if end.failure else None,
            milliseconds=round(seconds * 1000, 1),
        )

    def defect(self, error: Exception) -> None:
        """Log a defect of ours with its trace."""
        _logger.error("turn_defect", exc_info=error)

"""Who watches turns: metrics and traces."""

from contextlib import AbstractContextManager
from typing import Protocol

from domains.conversational_ai.model.turn import OpenedTurn, TurnEnd


class GenerationEnded(Protocol):
    """Hears how a model's answer ended: who gave it, why it ended, and the tokens it took."""

    def __call__(self, *, provider: str, finish_reason: str, tokens_in: int, tokens_out: int) -> None:
        """Hear it."""
        ...


class TurnObserver(Protocol):
    """Hears of each step and each end; costs microseconds and never raises."""

    def turn(self, turn: OpenedTurn) -> AbstractContextManager[object]:
        """Return a context manager around the whole turn: its steps and its end are inside."""
        ...

    def step(self, name: str) -> AbstractContextManager[None]:
        """Return a context manager around one named step."""
        ...

    def generation(self, model: str, *, max_tokens: int) -> AbstractContextManager[GenerationEnded]:
        """Return a context manager around one call of `model`; what it gives is told how the answer ended, when it has an end."""
        ...

    def ended(self, end: TurnEnd, seconds: float) -> None:
        """Hear how a turn ended and how long it took."""
        ...

    def defect(self, error: Exception) -> None:
        """Hear of an error that nobody expected: a defect of ours, to be logged with its trace."""
        ...

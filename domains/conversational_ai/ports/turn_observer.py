"""Who watches turns: metrics and traces."""

from contextlib import AbstractContextManager
from typing import Protocol

from domains.conversational_ai.model.turn import TurnEnd


class TurnObserver(Protocol):
    """Hears of each step and each end; costs microseconds and never raises."""

    def step(self, name: str) -> AbstractContextManager[None]:
        """Return a context manager around one named step."""
        ...

    def ended(self, end: TurnEnd, seconds: float) -> None:
        """Hear how a turn ended and how long it took."""
        ...

    def defect(self, error: Exception) -> None:
        """Hear of an error that nobody expected: a defect of ours, to be logged with its trace."""
        ...

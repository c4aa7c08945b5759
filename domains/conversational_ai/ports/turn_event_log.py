"""The hour-long memory of what a turn streamed, for a client that comes back on another replica."""

from collections.abc import AsyncGenerator, Sequence
from typing import Final, NamedTuple, Protocol
from uuid import UUID

from shared_kernel.errors import LuneoError

TERMINAL_EVENTS: Final = frozenset({"turn.completed", "turn.stopped", "turn.failed", "handoff.requested"})
"""The last event of a turn has one of these names."""


class TurnEventsMissing(LuneoError):
    """The log does not hold the event that should come next; what was stored of the answer must be shown instead."""

    code = "turn_events_missing"
    title = "A part of the turn's events is no longer kept"

    def __init__(self, *, expected: int, found: int) -> None:
        super().__init__(expected=expected, found=found)
        self.expected = expected
        self.found = found


class LoggedEvent(NamedTuple):
    """One event of a turn: `sequence` counts from 1 without gaps, `data` is the encoded JSON object as it was sent."""

    sequence: int
    name: str
    data: bytes


class TurnEventLog(Protocol):
    """Keeps a turn's events for an hour after its last one. Every method raises `Unavailable` when the store does not answer."""

    async def append(self, organization_id: UUID, turn_id: UUID, events: Sequence[LoggedEvent]) -> None:
        """Add `events`, in order; those that are there already are left as they are."""
        ...

    def read(self, organization_id: UUID, turn_id: UUID, after: int, *, idle_seconds: float = 30.0) -> AsyncGenerator[LoggedEvent, None]:
        """Yield the events after sequence `after` (0 for all), then follow the turn live.

        Ends after a terminal event, or when nothing came for `idle_seconds`: the last event yielded tells which.
        Raises `TurnEventsMissing` when the next event is not the successor of the last.
        """
        ...

    async def exists(self, organization_id: UUID, turn_id: UUID) -> bool:
        """Tell whether the log holds anything of this turn of this organisation."""
        ...


class TurnEventSink(Protocol):
    """Where a running turn leaves its events on their way to the log: costs microseconds, never waits, never raises."""

    def put(self, organization_id: UUID, turn_id: UUID, event: LoggedEvent) -> None:
        """Hand over `event`. It is lost to the log, and counted as lost, when the store is gone; readers then see the gap."""
        ...

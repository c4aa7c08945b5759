"""`TurnEventLog` and `TurnEventSink` in memory."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from uuid import UUID

from domains.conversational_ai.ports.turn_event_log import TERMINAL_EVENTS, LoggedEvent, TurnEventsMissing
from shared_kernel.errors import Unavailable


class InMemoryTurnEventLog:
    """A dictionary of lists; is also the sink. `gone = True` makes it refuse as a dead store does."""

    def __init__(self) -> None:
        self._events: dict[tuple[UUID, UUID], list[LoggedEvent]] = {}
        self._arrived: dict[tuple[UUID, UUID], asyncio.Event] = {}
        self.gone = False

    async def append(self, organization_id: UUID, turn_id: UUID, events: Sequence[LoggedEvent]) -> None:
        """Add `events` that are newer than the last."""
        self._answer()
        for event in events:
            self._add(organization_id, turn_id, event)

    def put(self, organization_id: UUID, turn_id: UUID, event: LoggedEvent) -> None:
        """Add `event` at once, or lose it while `gone`."""
        if not self.gone:
            self._add(organization_id, turn_id, event)

    async def read(
        self, organization_id: UUID, turn_id: UUID, after: int, *, idle_seconds: float = 30.0
    ) -> AsyncGenerator[LoggedEvent, None]:
        """Yield the events after `after`, then follow."""
        last = after
        arrived = self._arrived.setdefault((organization_id, turn_id), asyncio.Event())
        while True:
            self._answer()
            arrived.clear()
            for event in [event for event in self._events.get((organization_id, turn_id), []) if event.sequence > last]:
                if event.sequence != last + 1:
                    raise TurnEventsMissing(expected=last + 1, found=event.sequence)
                last = event.sequence
                yield event
                if event.name in TERMINAL_EVENTS:
                    return
            try:
                await asyncio.wait_for(arrived.wait(), idle_seconds)
            except TimeoutError:
                return

    async def exists(self, organization_id: UUID, turn_id: UUID) -> bool:
        """Tell whether anything was added for the turn."""
        self._answer()
        return (organization_id, turn_id) in self._events

    def forget(self) -> None:
        """Lose everything, as an emptied store does."""
        self._events.clear()

    def _add(self, organization_id: UUID, turn_id: UUID, event: LoggedEvent) -> None:
        events = self._events.setdefault((organization_id, turn_id), [])
        if not events or event.sequence > events[-1].sequence:
            events.append(event)
            self._arrived.setdefault((organization_id, turn_id), asyncio.Event()).set()

    def _answer(self) -> None:
        if self.gone:
            raise Unavailable

"""The events of one turn as they are streamed: numbered, encoded once, followed by any number of readers."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from uuid import UUID

from domains.conversational_ai.ports.turn_event_log import TERMINAL_EVENTS, LoggedEvent

HEARTBEAT_SECONDS = 10.0
TurnEventListener = Callable[[LoggedEvent], None]


class TurnStream:
    """Keeps a running turn's events in memory and wakes whoever follows them.

    `listener` hears every event at once (it feeds the log that other replicas read).
    """

    def __init__(self, turn_id: UUID, listener: TurnEventListener) -> None:
        self.turn_id = turn_id
        self._listener = listener
        self._prefix = f'{{"turn_id":"{turn_id}","sequence":'
        self._events: list[LoggedEvent] = []
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def last_sequence(self) -> int:
        """The number of the newest event; 0 before the first."""
        return len(self._events)

    @property
    def closed(self) -> bool:
        """Whether the terminal event was sent."""
        return bool(self._events) and self._events[-1].name in TERMINAL_EVENTS

    def send(self, name: str, fields: Mapping[str, object] | None = None) -> None:
        """Add an event; `fields` are JSON values beside `turn_id` and `sequence`."""
        sequence = len(self._events) + 1
        rest = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))[1:] if fields else "}"
        data = f"{self._prefix}{sequence}{',' if fields else ''}{rest}".encode()
        event = LoggedEvent(sequence, name, data)
        self._events.append(event)
        self._listener(event)
        for waiting in self._waiting:
            _wake(waiting)
        self._waiting.clear()

    async def follow(self, after: int = 0) -> AsyncIterator[tuple[LoggedEvent, ...]]:
        """Yield the events after sequence `after`, all that are there at once together, until the terminal one.

        Yields an empty tuple whenever nothing came for `HEARTBEAT_SECONDS`.
        """
        position = max(after, 0)
        while True:
            if position < len(self._events):
                batch = tuple(self._events[position:])
                position = len(self._events)
                yield batch
                if batch[-1].name in TERMINAL_EVENTS:
                    return
                continue
            if self.closed:
                return
            loop = asyncio.get_running_loop()
            waiting: asyncio.Future[None] = loop.create_future()
            self._waiting.add(waiting)
            heartbeat = loop.call_later(HEARTBEAT_SECONDS, _wake, waiting)
            try:
                await waiting
            finally:
                heartbeat.cancel()
                self._waiting.discard(waiting)
            if position == len(self._events):
                yield ()


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)

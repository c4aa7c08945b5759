"""The events of one turn as they are streamed: numbered, encoded once and only for who reads them, followed by any number of readers."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from json.encoder import encode_basestring
from uuid import UUID

from domains.conversational_ai.ports.turn_event_log import TERMINAL_EVENTS, LoggedEvent

HEARTBEAT_SECONDS = 10.0
TurnEventListener = Callable[[LoggedEvent], None]


_ENCODED = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str).encode
_NO_FIELDS: Mapping[str, object] = {}


class TurnStream:
    """Keeps a running turn's events in memory and wakes whoever follows them.

    `listener` hears every event at once (it feeds the log that other replicas read).
    """

    def __init__(self, turn_id: UUID, listener: TurnEventListener | None = None, *, heartbeat_seconds: float = HEARTBEAT_SECONDS) -> None:
        self.turn_id = turn_id
        self._listener = listener
        self._heartbeat_seconds = heartbeat_seconds
        self._prefix = ""
        self._sent: list[tuple[str, Mapping[str, object]]] = []
        self._encoded: list[LoggedEvent] = []
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def last_sequence(self) -> int:
        """The number of the newest event; 0 before the first."""
        return len(self._sent)

    @property
    def closed(self) -> bool:
        """Whether the terminal event was sent."""
        return bool(self._sent) and self._sent[-1][0] in TERMINAL_EVENTS

    def send(self, name: str, fields: Mapping[str, object] = _NO_FIELDS) -> None:
        """Add an event; `fields` are JSON values, or identifiers, beside `turn_id` and `sequence`, and are not changed any more."""
        self._sent.append((name, fields))
        if self._listener is not None:
            self._listener(self._events()[-1])
        for waiting in self._waiting:
            _wake(waiting)
        self._waiting.clear()

    def _events(self) -> list[LoggedEvent]:
        """Return all events, encoding those that nobody has read yet."""
        if not self._prefix:
            self._prefix = f'{{"turn_id":"{self.turn_id}","sequence":'
        for sequence in range(len(self._encoded) + 1, len(self._sent) + 1):
            name, fields = self._sent[sequence - 1]
            # most values are texts, and those are encoded without an encoder for each
            members = [f',"{key}":{encode_basestring(v) if v.__class__ is str else _ENCODED(v)}' for key, v in fields.items()]
            self._encoded.append(LoggedEvent(sequence, name, f"{self._prefix}{sequence}{''.join(members)}}}".encode()))
        return self._encoded

    async def follow(self, after: int = 0) -> AsyncIterator[tuple[LoggedEvent, ...]]:
        """Yield the events after sequence `after`, all that are there at once together, until the terminal one.

        Yields an empty tuple whenever nothing came for `heartbeat_seconds`.
        """
        loop = asyncio.get_running_loop()
        position, waiting, due = max(after, 0), loop.create_future(), 0.0
        heartbeat: asyncio.TimerHandle | None = None

        def beat() -> None:
            """Wake the reader when it is due; one timer for all its waits costs less than one for each."""
            nonlocal heartbeat
            if due > loop.time():
                heartbeat = loop.call_at(due, beat)
            else:
                heartbeat = None
                _wake(waiting)

        try:
            while True:
                if position < len(self._sent):
                    batch = tuple(self._events()[position:])
                    position = len(self._sent)
                    yield batch
                    if batch[-1].name in TERMINAL_EVENTS:
                        return
                    continue
                if self.closed:
                    return
                due = loop.time() + self._heartbeat_seconds
                if heartbeat is None:
                    heartbeat = loop.call_at(due, beat)
                waiting = loop.create_future()
                self._waiting.add(waiting)
                await waiting
                if position == len(self._sent):
                    yield ()
        finally:
            if heartbeat is not None:
                heartbeat.cancel()
            self._waiting.discard(waiting)


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)

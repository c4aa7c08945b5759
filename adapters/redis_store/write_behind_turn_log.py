"""The running turn's side of the log: a queue in memory and one writer behind it."""

import asyncio
from collections.abc import Callable
from typing import Final
from uuid import UUID

from adapters.redis_store.turn_event_log import RedisTurnEventLog
from domains.conversational_ai.ports.turn_event_log import TERMINAL_EVENTS, LoggedEvent
from shared_kernel.errors import Unavailable

_PENDING_MAXIMUM: Final = 50_000


class WriteBehindTurnLog:
    """Collects the events of all turns of this process and writes them together, one round trip per flush.

    A flush comes `flush_seconds` after the first waiting event, or at once when a turn ends. While Redis is gone, or when more than
    50,000 events wait, events are dropped and `on_dropped` hears how many: the stream to the local subscriber does not notice, and a reader
    elsewhere sees the gap. Belongs to the event loop it is first used in.
    """

    def __init__(self, log: RedisTurnEventLog, *, flush_seconds: float = 0.05, on_dropped: Callable[[int], None] | None = None) -> None:
        self._log = log
        self._flush_seconds = flush_seconds
        self._on_dropped = on_dropped
        self._pending: list[tuple[UUID, UUID, LoggedEvent]] = []
        self._due = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._writer: asyncio.Task[None] | None = None
        self._closing = False

    def put(self, organization_id: UUID, turn_id: UUID, event: LoggedEvent) -> None:
        """Hand over `event`."""
        if len(self._pending) >= _PENDING_MAXIMUM or self._closing:
            self._dropped(1)
            return
        self._pending.append((organization_id, turn_id, event))
        if event.name in TERMINAL_EVENTS:
            self._due.set()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._flush_seconds, self._due.set)
        if self._writer is None:
            self._writer = asyncio.get_running_loop().create_task(self._write(), name="turn-log-writer")

    async def aclose(self) -> None:
        """Write what waits and take nothing more."""
        self._closing = True
        self._due.set()
        if self._writer is not None:
            await self._writer

    async def _write(self) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            pending, self._pending = self._pending, []
            batches: dict[tuple[UUID, UUID], list[LoggedEvent]] = {}
            for organization_id, turn_id, event in pending:
                batches.setdefault((organization_id, turn_id), []).append(event)
            try:
                await self._log.append_all(batches)
            except Unavailable:
                self._dropped(len(pending))
            if self._closing and not self._pending:
                return

    def _dropped(self, count: int) -> None:
        if self._on_dropped is not None:
            self._on_dropped(count)

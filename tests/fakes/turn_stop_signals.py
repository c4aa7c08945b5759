"""`TurnStopSignals` in memory."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

from domains.conversational_ai.ports.turn_stop_signals import StopRequest
from shared_kernel.errors import Unavailable


class InMemoryTurnStopSignals:
    """A queue for each subscriber."""

    def __init__(self) -> None:
        self._subscribers: list[asyncio.Queue[StopRequest]] = []
        self.gone = False

    async def request_stop(self, organization_id: UUID, turn_id: UUID) -> None:
        """Hand the request to every subscriber."""
        if self.gone:
            raise Unavailable
        for subscriber in self._subscribers:
            subscriber.put_nowait(StopRequest(organization_id, turn_id))

    async def subscribe_stops(self) -> AsyncIterator[StopRequest]:
        """Yield each request made from now on."""
        requests: asyncio.Queue[StopRequest] = asyncio.Queue()
        self._subscribers.append(requests)
        try:
            while True:
                yield await requests.get()
        finally:
            self._subscribers.remove(requests)

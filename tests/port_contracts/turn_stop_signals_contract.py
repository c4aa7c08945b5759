"""What every `TurnStopSignals` does."""

import asyncio
from contextlib import AbstractAsyncContextManager

from domains.conversational_ai.ports.turn_stop_signals import StopRequest, TurnStopSignals
from shared_kernel.identifiers import new_id


class TurnStopSignalsContract:
    """Subclass and say how to open one."""

    def open(self) -> AbstractAsyncContextManager[TurnStopSignals]:
        """Return the adapter, ready, for the length of the block."""
        raise NotImplementedError

    async def test_every_subscriber_hears_every_request(self) -> None:
        async with self.open() as signals:
            wanted = StopRequest(new_id(), new_id())

            async def first_wanted() -> None:
                async for request in signals.subscribe_stops():
                    if request == wanted:
                        return

            subscribers = [asyncio.create_task(first_wanted()) for _ in range(2)]
            async with asyncio.timeout(3):
                while not all(subscriber.done() for subscriber in subscribers):
                    await signals.request_stop(new_id(), wanted.turn_id)
                    await signals.request_stop(wanted.organization_id, wanted.turn_id)
                    await asyncio.wait(subscribers, timeout=0.01)

"""What every `WakeUps` does."""

import asyncio
from contextlib import AbstractAsyncContextManager

from contracts.wake_ups import WakeUps


class WakeUpsContract:
    """Subclass and say how to open one."""

    def open(self) -> AbstractAsyncContextManager[WakeUps]:
        """Return the adapter, ready, for the length of the block."""
        raise NotImplementedError

    async def test_a_waiter_is_woken_long_before_its_timer(self) -> None:
        async with self.open() as wake_ups:
            while await wake_ups.wait("relay", 0.05):  # a new subscription may wake once
                continue
            waiter = asyncio.create_task(wake_ups.wait("relay", 5))
            await asyncio.sleep(0)
            wake_ups.notify("other")
            wake_ups.notify("relay")
            assert await asyncio.wait_for(waiter, 1)

    async def test_a_nudge_between_two_waits_is_kept_and_the_timer_ends_the_next(self) -> None:
        async with self.open() as wake_ups:
            while await wake_ups.wait("relay", 0.05):
                continue
            wake_ups.notify("relay")
            assert await wake_ups.wait("relay", 1)
            while await wake_ups.wait("relay", 0.1):  # the same nudge may come back over the wire
                continue
            assert not await wake_ups.wait("relay", 0.01)

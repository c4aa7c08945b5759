"""`WakeUps` in memory."""

import asyncio


class InMemoryWakeUps:
    """An event per channel."""

    def __init__(self) -> None:
        self._noticed: dict[str, asyncio.Event] = {}

    def notify(self, channel: str) -> None:
        """Wake who waits on `channel`."""
        self._noticed.setdefault(channel, asyncio.Event()).set()

    async def wait(self, channel: str, timeout_seconds: float) -> bool:
        """Sleep until notified."""
        noticed = self._noticed.setdefault(channel, asyncio.Event())
        try:
            await asyncio.wait_for(noticed.wait(), timeout_seconds)
        except TimeoutError:
            return False
        noticed.clear()
        return True

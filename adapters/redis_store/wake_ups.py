"""Nudges over Redis publish/subscribe."""

import asyncio
from collections.abc import Coroutine
from typing import Final

from adapters.redis_store.connection import RedisConnection
from shared_kernel.errors import Unavailable

_COALESCED_SECONDS: Final = 0.02


class RedisWakeUps:
    """At most one message per channel in 20 ms, the first at once; waiters of the same process are woken without Redis.

    Belongs to the event loop it is first used in.
    """

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection
        self._sent_at: dict[str, float] = {}
        self._scheduled: dict[str, asyncio.TimerHandle] = {}
        self._noticed: dict[str, asyncio.Event] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def notify(self, channel: str) -> None:
        """Wake who waits on `channel`, here at once and elsewhere within 20 ms."""
        if channel in self._noticed:
            self._noticed[channel].set()
        if channel in self._scheduled or not self._connection.is_up:
            return
        loop = asyncio.get_running_loop()
        due = self._sent_at.get(channel, 0.0) + _COALESCED_SECONDS
        self._scheduled[channel] = loop.call_at(max(due, loop.time()), self._send, channel)

    async def wait(self, channel: str, timeout_seconds: float) -> bool:
        """Sleep until notified; also returns `True` after each new subscription, since a nudge may have been missed before it."""
        if channel not in self._noticed:
            self._noticed[channel] = asyncio.Event()
            self._start(self._listen(channel))
        noticed = self._noticed[channel]
        try:
            await asyncio.wait_for(noticed.wait(), timeout_seconds)
        except TimeoutError:
            return False
        noticed.clear()
        return True

    async def aclose(self) -> None:
        """Send and hear nothing more."""
        for timer in self._scheduled.values():
            timer.cancel()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _send(self, channel: str) -> None:
        del self._scheduled[channel]
        self._sent_at[channel] = asyncio.get_running_loop().time()
        self._start(self._publish(channel))

    async def _publish(self, channel: str) -> None:
        try:
            await self._connection.run(lambda redis: redis.publish(self._connection.key("wake", channel), b"1"))
        except Unavailable:
            return  # the waiters' timers are the guarantee

    async def _listen(self, channel: str) -> None:
        async for _ in self._connection.messages(self._connection.key("wake", channel)):
            self._noticed[channel].set()

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

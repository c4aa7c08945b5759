"""One way to Redis (or Valkey) per event loop: short time-outs, and a breaker that makes a dead Redis cost microseconds."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar
from uuid import UUID

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MaxConnectionsError, ReadOnlyError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.maint_notifications import MaintNotificationsConfig

from shared_kernel.errors import Unavailable

T = TypeVar("T")

BLOCK_SECONDS_MAXIMUM = 5.0
"""The longest that a blocking command may wait inside Redis."""

_GONE = (RedisConnectionError, RedisTimeoutError, ReadOnlyError, OSError)
_log = logging.getLogger(__name__)


class RedisUnavailable(Unavailable):
    """Redis does not answer, or not in time."""

    title = "The shared store does not answer"


class RedisConnection:
    """The connections of one event loop to one Redis; make one per loop and close it in that loop.

    Commands have `timeout_seconds` and are never retried. The first that fails for want of a connection opens the breaker: until Redis
    answers a ping again, asked every `probe_seconds` by a task in the background, every call is refused at once with `RedisUnavailable`, so
    no turn waits for a dead Redis. `on_availability` hears each change (for a gauge).

    `url` is `redis://[user:password@]host:port/db`, `rediss://…` with TLS, or `unix://…`. Keys begin with `luneo:<environment>:`.
    """

    def __init__(
        self,
        url: str,
        *,
        environment: str,
        timeout_seconds: float = 0.5,
        probe_seconds: float = 1.0,
        maximum_connections: int = 64,
        maximum_followers: int = 512,
        on_availability: Callable[[bool], None] | None = None,
    ) -> None:
        self._environment = environment
        self._probe_seconds = probe_seconds
        self._on_availability = on_availability
        self._commands = _client(url, timeout_seconds, timeout_seconds, maximum_connections)
        self._followers = _client(url, timeout_seconds, timeout_seconds + BLOCK_SECONDS_MAXIMUM, maximum_followers)
        self._up = asyncio.Event()
        self._up.set()
        self._probe: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def is_up(self) -> bool:
        """Whether Redis answered when it was last asked."""
        return self._up.is_set()

    async def until_up(self) -> None:
        """Wait until Redis answers; returns at once while it does."""
        await self._up.wait()

    def key(self, *parts: object) -> str:
        """Return the key or channel `luneo:<environment>:<parts, joined by colons>`."""
        return ":".join(("luneo", self._environment, *map(str, parts)))

    def tenant_key(self, organization_id: UUID, *parts: object) -> str:
        """Return the key of something that belongs to one organisation."""
        return self.key("org", organization_id, *parts)

    async def run(self, operation: Callable[["Redis"], Awaitable[T]]) -> T:
        """Return what `operation` returns for the client of short commands; raises `RedisUnavailable` for every failure."""
        return await self._guarded(operation, self._commands)

    async def follow(self, operation: Callable[["Redis"], Awaitable[T]]) -> T:
        """Do as `run` does with a command that blocks inside Redis, for `BLOCK_SECONDS_MAXIMUM` at most."""
        return await self._guarded(operation, self._followers)

    async def messages(self, channel: str) -> AsyncIterator[bytes | None]:
        """Yield what is published on `channel` for ever, reconnecting by itself.

        Yields `None` after each subscription that Redis confirmed: what was published before it may have been missed.
        """
        while True:
            await self.until_up()
            try:
                async with self._followers.pubsub() as subscription:
                    await subscription.subscribe(channel)
                    while True:
                        message = await subscription.get_message(timeout=BLOCK_SECONDS_MAXIMUM)
                        if message is None:
                            # a silent peer may be a dead one: this fails when it is
                            await subscription.ping()
                        elif message["type"] == "subscribe":
                            yield None
                        elif message["type"] == "message":
                            yield bytes(message["data"])
            except (RedisError, OSError) as error:
                if self._closed or _is_being_cancelled():
                    # the client reports a cancelled read as a lost connection: going on would outlive the cancellation
                    raise asyncio.CancelledError from error
                self._lost(error)
                if self.is_up:  # full pool: the breaker stays closed, but this loop must not spin
                    await asyncio.sleep(self._probe_seconds)

    async def aclose(self) -> None:
        """Close every connection and stop asking; whoever still listens is cancelled."""
        self._closed = True
        if self._probe is not None:
            self._probe.cancel()
            await asyncio.gather(self._probe, return_exceptions=True)
        for client in (self._commands, self._followers):
            await client.aclose()
            await client.connection_pool.aclose()

    async def _guarded(self, operation: Callable[["Redis"], Awaitable[T]], client: "Redis") -> T:
        if not self._up.is_set():
            raise RedisUnavailable
        try:
            return await operation(client)
        except (RedisError, OSError) as error:
            self._lost(error)
            raise RedisUnavailable from error

    def _lost(self, error: Exception) -> None:
        if self._closed or isinstance(error, MaxConnectionsError) or not isinstance(error, _GONE) or not self._up.is_set():
            return
        self._up.clear()
        # the message of a connection error names the host and no credentials
        _log.warning("redis is gone, working without it: %s", type(error).__name__)
        if self._on_availability is not None:
            self._on_availability(False)
        self._probe = asyncio.get_running_loop().create_task(self._probe_until_up(), name="redis-probe")

    async def _probe_until_up(self) -> None:
        lost_at = time.monotonic()
        while True:
            await asyncio.sleep(self._probe_seconds)
            try:
                for client in (self._commands, self._followers):
                    await client.connection_pool.disconnect(inuse_connections=False)
                await self._commands.ping()
            except (RedisError, OSError):
                continue
            break
        self._up.set()
        _log.warning("redis is back after %.1f s", time.monotonic() - lost_at)
        if self._on_availability is not None:
            self._on_availability(True)


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _client(url: str, connect_seconds: float, answer_seconds: float, maximum_connections: int) -> "Redis":
    pool: ConnectionPool = ConnectionPool.from_url(
        url,
        max_connections=maximum_connections,
        protocol=3,
        socket_connect_timeout=connect_seconds,
        socket_timeout=answer_seconds,
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 0),
        # a managed service's feature; asking for it costs a round trip per connection elsewhere
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )
    return Redis(connection_pool=pool)

"""The relay: from the deliveries in Postgres to the workers' queues."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

import structlog

from contracts.wake_ups import WakeUps
from entrypoints.observability.metrics import Metrics
from shared_kernel.clock import Clock
from shared_kernel.errors import Unavailable

RELAY_CHANNEL = "relay"
_BATCH = 100
_TIMER_SECONDS = 1.0
_RETRY_SECONDS = 1.0
_LAG_SECONDS = 5.0
_logger = structlog.get_logger("luneo.relay")


class ClaimedDelivery(Protocol):
    """A delivery to send."""

    @property
    def id(self) -> UUID: ...  # noqa: D102 - see the protocol
    @property
    def organization_id(self) -> UUID | None: ...  # noqa: D102
    @property
    def queue(self) -> str: ...  # noqa: D102


class ClaimableDeliveries(Protocol):
    """Where deliveries wait."""

    async def claim(self, now: datetime, *, limit: int = 100) -> "list[ClaimedDelivery]":
        """Take what is due."""
        ...

    async def unsend(self, ids: list[UUID], at: datetime) -> None:
        """Put back what could not be sent."""
        ...

    async def lag(self, now: datetime) -> tuple[float, int]:
        """Return the age of the oldest due delivery in seconds, and the number of dead letters."""
        ...


class Relay:
    """Runs in any number of replicas: claims skip what another one holds."""

    def __init__(
        self,
        *,
        deliveries: ClaimableDeliveries,
        send: Callable[[str, UUID, UUID | None], None],
        wake_ups: WakeUps,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._deliveries = deliveries
        self._send = send
        self._wake_ups = wake_ups
        self._clock = clock
        self._metrics = metrics
        self._next_lag = 0.0

    async def run(self) -> None:
        """Relay until cancelled. Wakes when told, at the latest every second; outlives Postgres and Redis going away."""
        while True:
            try:
                sent = await self.relay_once()
                await self._measure()
            except Unavailable as error:
                _logger.warning("relay_waits", reason=error.detail)
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            if sent < _BATCH:
                await self._wake_ups.wait(RELAY_CHANNEL, _TIMER_SECONDS)

    async def relay_once(self) -> int:
        """Send one batch of what is due; return how many were claimed. What the broker does not take becomes due again."""
        claimed = await self._deliveries.claim(self._clock.now(), limit=_BATCH)
        if not claimed:
            return 0
        unsent = await asyncio.to_thread(self._send_all, claimed)
        if unsent:
            await self._deliveries.unsend(unsent, self._clock.now() + timedelta(seconds=_RETRY_SECONDS))
        return len(claimed)

    def _send_all(self, claimed: list[ClaimedDelivery]) -> list[UUID]:
        for position, delivery in enumerate(claimed):
            try:
                self._send(delivery.queue, delivery.id, delivery.organization_id)
            except Exception as error:  # noqa: BLE001 - whatever the broker raises, it did not take it
                _logger.warning("broker_refused", error=type(error).__name__)
                return [d.id for d in claimed[position:]]
        return []

    async def _measure(self) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._next_lag:
            return
        self._next_lag = now + _LAG_SECONDS
        lag, dead = await self._deliveries.lag(self._clock.now())
        self._metrics.relay_lags(lag)
        self._metrics.dead_letters_are(dead)

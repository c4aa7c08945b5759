"""Runs the consumer of one delivery, exactly once in effect."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import structlog
from dishka import AsyncContainer

from entrypoints.observability.logging import logged_with
from entrypoints.observability.metrics import Metrics
from shared_kernel.clock import Clock
from shared_kernel.errors import AlreadyDelivered, LuneoError, Unavailable
from shared_kernel.events import Delivery, Event

_logger = structlog.get_logger("luneo.consumers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A consumer hears an event: `handler` is called with the event and its delivery.

    `ordered` consumers get an aggregate's events strictly one after the other; `queue` is the worker queue that carries them.
    """

    consumer: str
    event: type[Event]
    handler: type[Any]
    queue: str = "default"
    ordered: bool = False


class LoadedDelivery(Protocol):
    """A delivery with its event."""

    @property
    def delivery(self) -> Delivery: ...  # noqa: D102
    @property
    def event_type(self) -> str: ...  # noqa: D102
    @property
    def payload(self) -> dict[str, Any]: ...  # noqa: D102


class ReceivedDeliveries(Protocol):
    """The deliveries as their consumers see them."""

    async def load(self, delivery_id: UUID, organization_id: UUID | None) -> LoadedDelivery | None:
        """Return it, or `None` when there is nothing to do."""
        ...

    async def finish(self, delivery: Delivery, now: datetime) -> None:
        """Mark it done."""
        ...

    async def fail(self, delivery: Delivery, error: str, now: datetime) -> bool:
        """Try again later; return whether it was given up."""
        ...


class Dispatcher:
    """Finds a delivery's handler, runs it, and writes down how it went."""

    def __init__(
        self,
        *,
        container: AsyncContainer,
        subscriptions: Mapping[str, Subscription],
        decode: Callable[[Mapping[str, Any], type[Event]], Event],
        deliveries: ReceivedDeliveries,
        clock: Clock,
        metrics: Metrics,
        wake_relay: Callable[[], None],
    ) -> None:
        self._container = container
        self._subscriptions = subscriptions
        self._decode = decode
        self._deliveries = deliveries
        self._clock = clock
        self._metrics = metrics
        self._wake_relay = wake_relay

    async def __call__(self, delivery_id: UUID, organization_id: UUID | None) -> None:
        """Deliver. Never raises: what fails is tried again later, and listed as a dead letter in the end."""
        with logged_with(organization_id=organization_id):
            try:
                loaded = await self._deliveries.load(delivery_id, organization_id)
                if loaded is not None:
                    await self._deliver(loaded)
            except Unavailable as error:
                _logger.warning("delivery_postponed", reason=error.detail)

    async def _deliver(self, loaded: LoadedDelivery) -> None:
        delivery = loaded.delivery
        try:
            subscription = self._subscriptions[f"{delivery.consumer} {loaded.event_type}"]
            event = self._decode(loaded.payload, subscription.event)
            handler = await self._container.get(subscription.handler)
            await handler(event, delivery)
            await self._deliveries.finish(delivery, self._clock.now())
        except AlreadyDelivered:
            self._metrics.delivered(delivery.consumer, "duplicate")
        except Exception as error:
            dead = await self._deliveries.fail(delivery, _described(error), self._clock.now())
            self._metrics.delivered(delivery.consumer, "dead" if dead else "retry")
            expected = isinstance(error, Unavailable)
            _logger.warning(
                "delivery_failed", consumer=delivery.consumer, attempt=delivery.attempt, dead=dead, exc_info=None if expected else error
            )
        else:
            self._metrics.delivered(delivery.consumer, "done")
            self._wake_relay()


def _described(error: Exception) -> str:
    return f"{error.code}: {error.detail}" if isinstance(error, LuneoError) else type(error).__name__

"""Runs the consumer of one delivery, exactly once in effect."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, runtime_checkable
from uuid import UUID

import structlog
from dishka import AsyncContainer

from entrypoints.observability.logging import logged_with
from entrypoints.observability.metrics import Metrics
from entrypoints.observability.tracing import ORGANIZATION_ID, AttributeValue, consumer_span
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


class BegunDelivery(Protocol):
    """A delivery with its event, which this worker holds for one attempt."""

    @property
    def delivery(self) -> Delivery: ...  # noqa: D102
    @property
    def event_type(self) -> str: ...  # noqa: D102
    @property
    def payload(self) -> dict[str, Any]: ...  # noqa: D102
    @property
    def is_last_attempt(self) -> bool: ...  # noqa: D102
    @property
    def is_over(self) -> bool: ...  # noqa: D102


class ReceivedDeliveries(Protocol):
    """The deliveries as their consumers see them."""

    async def begin(self, delivery_id: UUID, organization_id: UUID | None, now: datetime) -> BegunDelivery | None:
        """Begin an attempt, or return `None` when there is nothing to do."""
        ...

    async def extend(self, delivery: Delivery, now: datetime) -> bool:
        """Hold it for longer; return whether it was still held."""
        ...

    async def finish(self, delivery: Delivery, now: datetime) -> None:
        """Mark it done."""
        ...

    async def fail(self, delivery: Delivery, error: str, now: datetime) -> None:
        """Try again later."""
        ...

    async def bury(self, delivery: Delivery, error: str, now: datetime) -> None:
        """Give it up."""
        ...


@runtime_checkable
class GivesUp(Protocol):
    """A handler that has something to say when its delivery is given up."""

    async def give_up(self, event: Any, delivery: Delivery, error: Exception | None) -> None:  # noqa: ANN401 - the handler's own event
        """Tell whoever waits for the effect that it will not come, because of `error`, or because every worker died (`None`).

        To be called again when its own worker dies: doing it twice changes nothing.
        """
        ...


class LeaseLost(Exception):
    """Another worker may have the delivery: this one was taken for dead."""


class Dispatcher:
    """Finds a delivery's handler, runs it, and writes down how it went.

    While a handler runs, the delivery is held by a beat every `beat_seconds`, however long the work takes; a worker that dies falls silent.
    """

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
        beat_seconds: float,
    ) -> None:
        self._container = container
        self._subscriptions = subscriptions
        self._decode = decode
        self._deliveries = deliveries
        self._clock = clock
        self._metrics = metrics
        self._wake_relay = wake_relay
        self._beat_seconds = beat_seconds

    async def __call__(self, delivery_id: UUID, organization_id: UUID | None) -> None:
        """Deliver. Never raises: what fails is tried again later, and listed as a dead letter in the end."""
        with logged_with(organization_id=organization_id):
            try:
                begun = await self._deliveries.begin(delivery_id, organization_id, self._clock.now())
                if begun is None:
                    return
                with consumer_span(f"deliver {begun.delivery.consumer}", **_described_delivery(begun)) as traced:
                    outcome = await (self._give_up(begun, None) if begun.is_over else self._deliver(begun))
                    traced.set_attribute("luneo.delivery.outcome", outcome)
                    if outcome not in {"done", "duplicate"}:
                        traced.failed(outcome)
                if outcome != "untold":
                    self._metrics.delivered(begun.delivery.consumer, outcome)
            except Unavailable as error:
                _logger.warning("delivery_postponed", reason=error.detail)

    async def _deliver(self, begun: BegunDelivery) -> str:
        """Return what became of it."""
        delivery = begun.delivery
        try:
            async with self._held(delivery):
                handler, event = await self._handler_of(begun)
                await handler(event, delivery)
            await self._deliveries.finish(delivery, self._clock.now())
        except AlreadyDelivered:
            return "duplicate"
        except LeaseLost:
            _logger.warning("delivery_lost", consumer=delivery.consumer, attempt=delivery.attempt)
            return "lost"
        except Exception as error:
            expected = isinstance(error, Unavailable)
            _logger.warning(
                "delivery_failed",
                consumer=delivery.consumer,
                attempt=delivery.attempt,
                last=begun.is_last_attempt,
                reason=_described(error),
                exc_info=None if expected else error,
            )
            if begun.is_last_attempt:
                return await self._give_up(begun, error)
            await self._deliveries.fail(delivery, _described(error), self._clock.now())
            return "retry"
        self._wake_relay()
        return "done"

    async def _give_up(self, begun: BegunDelivery, error: Exception | None) -> str:
        """Make it a dead letter once its handler has told so; when that fails, another worker tries when the lease is over."""
        delivery = begun.delivery
        try:
            await self._tell(begun, error)
        except Unavailable:
            raise
        except Exception as untold:
            _logger.warning("delivery_not_given_up", consumer=delivery.consumer, attempt=delivery.attempt, exc_info=untold)
            return "untold"
        await self._deliveries.bury(delivery, "WorkerDied" if error is None else _described(error), self._clock.now())
        _logger.warning("delivery_given_up", consumer=delivery.consumer, attempt=delivery.attempt)
        return "dead"

    async def _tell(self, begun: BegunDelivery, error: Exception | None) -> None:
        try:
            handler, event = await self._handler_of(begun)
        except (KeyError, ValueError):  # nobody subscribes to it any more, or nobody can read it: there is nobody who could tell
            return
        if isinstance(handler, GivesUp):
            await handler.give_up(event, begun.delivery, error)

    async def _handler_of(self, begun: BegunDelivery) -> tuple[Any, Event]:
        subscription = self._subscriptions[f"{begun.delivery.consumer} {begun.event_type}"]
        return await self._container.get(subscription.handler), self._decode(begun.payload, subscription.event)

    @asynccontextmanager
    async def _held(self, delivery: Delivery) -> AsyncIterator[None]:
        """Hold the delivery as long as the block runs; end the block and raise `LeaseLost` when it is held no more."""
        ended, limit = asyncio.Event(), asyncio.timeout(None)
        try:
            async with limit:
                beating = asyncio.create_task(self._beat(delivery, ended, limit), name="delivery-beat")
                try:
                    yield
                finally:
                    ended.set()
                    await beating
        except TimeoutError:
            if not limit.expired():
                raise
            raise LeaseLost from None

    async def _beat(self, delivery: Delivery, ended: asyncio.Event, limit: asyncio.Timeout) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), self._beat_seconds)
                return
            try:
                held = await self._deliveries.extend(delivery, self._clock.now())
            except Unavailable as error:  # nobody can take it either
                _logger.warning("delivery_beat_missed", reason=error.detail)
                continue
            if not held:
                limit.reschedule(asyncio.get_running_loop().time())
                return


def _described_delivery(begun: BegunDelivery) -> dict[str, AttributeValue]:
    delivery = begun.delivery
    described: dict[str, AttributeValue] = {
        "luneo.delivery.id": str(delivery.id),
        "luneo.delivery.attempt": delivery.attempt,
        "luneo.event.id": str(delivery.event_id),
        "luneo.event.type": begun.event_type,
    }
    if delivery.organization_id is not None:
        described[ORGANIZATION_ID] = str(delivery.organization_id)
    return described


def _described(error: Exception) -> str:
    return f"{error.code}: {error.detail}" if isinstance(error, LuneoError) else type(error).__name__

"""The broker that carries deliveries to workers. It may lose everything: the deliveries in Postgres are the truth."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from uuid import UUID

import dramatiq
from dramatiq import Worker
from dramatiq.asyncio import get_event_loop_thread
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import AsyncIO, Middleware

ACTOR = "deliver"
Deliver = Callable[[UUID, UUID | None], Awaitable[None]]


class DeliveryBroker:
    """Queues of delivery ids on Redis. Every call blocks: use it from a thread."""

    def __init__(self, redis_url: str, queues: Iterable[str], *, namespace: str = "luneo:jobs") -> None:
        self._broker = RedisBroker(  # type: ignore[no-untyped-call] # dramatiq leaves its brokers untyped
            url=redis_url,
            namespace=namespace,
            middleware=[AsyncIO()],
            socket_timeout=5,
            socket_connect_timeout=2,
            maintenance_chance=100_000,
        )
        self._queues = tuple(queues)
        for queue in self._queues:
            self._broker.declare_queue(queue)

    def send(self, queue: str, delivery_id: UUID, organization_id: UUID | None) -> None:
        """Hand a delivery to some worker. Raises `dramatiq.errors.ConnectionError` or a Redis error while Redis is gone."""
        message: dramatiq.Message[Any] = dramatiq.Message(
            queue_name=queue,
            actor_name=f"{ACTOR}_{queue}",
            args=(str(delivery_id), str(organization_id) if organization_id else None),
            kwargs={},
            options={},
        )
        self._broker.enqueue(message)

    def worker(self, deliver: Deliver, *, threads: int, close: Callable[[], Awaitable[None]]) -> Worker:
        """Return a worker of all queues; `deliver` runs on its own event loop, at most `threads` at once, and `close` there at the end."""

        async def run(delivery_id: str, organization_id: str | None) -> None:
            await deliver(UUID(delivery_id), UUID(organization_id) if organization_id else None)

        for queue in self._queues:
            dramatiq.actor(actor_name=f"{ACTOR}_{queue}", queue_name=queue, broker=self._broker)(run)
        self._broker.add_middleware(_ClosingOnItsLoop(close))
        return Worker(self._broker, queues=set(self._queues), worker_threads=threads, worker_timeout=1000)

    def close(self) -> None:
        """Close the connections."""
        self._broker.close()


class _ClosingOnItsLoop(Middleware):
    """Closes what deliveries used when the last has ended, on the event loop that it belongs to.

    Added after `AsyncIO`, hence called before it stops that loop.
    """

    def __init__(self, close: Callable[[], Awaitable[None]]) -> None:
        self._close = close

    def after_worker_shutdown(self, broker: dramatiq.Broker, worker: Worker) -> None:  # noqa: ARG002 - dramatiq names them
        thread = get_event_loop_thread()
        if thread is not None:
            thread.run_coroutine(self._close())

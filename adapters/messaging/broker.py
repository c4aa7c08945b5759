"""The broker that carries deliveries to workers. It may lose everything: the deliveries in Postgres are the truth."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any
from uuid import UUID

import dramatiq
import structlog
from dramatiq import Worker
from dramatiq.asyncio import get_event_loop_thread
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import AsyncIO

_logger = structlog.get_logger("luneo.deliveries")
ACTOR = "deliver"
DEFAULT_THREADS = 4
Deliver = Callable[[UUID, UUID | None], Awaitable[None]]


class DeliveryBroker:
    """Queues of delivery ids on Redis. Every call blocks: use it from a thread."""

    def __init__(self, redis_url: str, queues: Iterable[str], *, namespace: str = "luneo:jobs") -> None:
        self._loop = _OneLoop()
        self._brokers = {queue: self._broker(redis_url, namespace, queue) for queue in queues}

    def _broker(self, redis_url: str, namespace: str, queue: str) -> RedisBroker:
        broker = RedisBroker(  # type: ignore[no-untyped-call] # dramatiq leaves its brokers untyped
            url=redis_url,
            namespace=namespace,
            middleware=[self._loop],
            socket_timeout=5,
            socket_connect_timeout=2,
            maintenance_chance=100_000,
        )
        broker.declare_queue(queue)
        return broker

    def send(self, queue: str, delivery_id: UUID, organization_id: UUID | None) -> None:
        """Hand a delivery to some worker. Raises `dramatiq.errors.ConnectionError` or a Redis error while Redis is gone."""
        message: dramatiq.Message[Any] = dramatiq.Message(
            queue_name=queue,
            actor_name=f"{ACTOR}_{queue}",
            args=(str(delivery_id), str(organization_id) if organization_id else None),
            kwargs={},
            options={},
        )
        self._brokers[queue].enqueue(message)

    def workers(self, deliver: Deliver, *, threads: Mapping[str, int], close: Callable[[], Awaitable[None]]) -> "DeliveryWorkers":
        """Return a worker for each queue, so that none waits behind another's long work.

        `deliver` runs on one event loop of its own, at most `threads[queue]` at once; `close` is called there when the last has ended.
        """

        async def run(delivery_id: str, organization_id: str | None) -> None:
            await deliver(UUID(delivery_id), UUID(organization_id) if organization_id else None)

        for queue, broker in self._brokers.items():
            dramatiq.actor(actor_name=f"{ACTOR}_{queue}", queue_name=queue, broker=broker)(run)
        self._loop.close_with(close)
        return DeliveryWorkers(
            tuple(
                Worker(broker, queues={queue}, worker_threads=threads.get(queue, DEFAULT_THREADS), worker_timeout=1000)
                for queue, broker in self._brokers.items()
            ),
            self._loop,
        )

    def close(self) -> None:
        """Close the connections."""
        for broker in self._brokers.values():
            broker.close()


class DeliveryWorkers:
    """The workers of all queues. Every call blocks: use it from a thread."""

    def __init__(self, workers: Sequence[Worker], loop: "_OneLoop") -> None:
        self._workers = workers
        self._loop = loop

    def start(self) -> None:
        """Start taking deliveries."""
        for worker in self._workers:
            worker.start()

    def stop(self, timeout_milliseconds: int) -> None:
        """Take no more; return when those that run have ended, or after the time-out. Never raises: Redis may be gone."""
        with ThreadPoolExecutor(len(self._workers)) as stopping:
            list(stopping.map(lambda worker: self._stop(worker, timeout_milliseconds), self._workers))

    def _stop(self, worker: Worker, timeout_milliseconds: int) -> None:
        try:
            worker.stop(timeout_milliseconds)
        except Exception as error:  # noqa: BLE001 - what dramatiq could not give back is in Postgres; the process must end all the same
            _logger.warning("worker_stopped_without_redis", reason=type(error).__name__)
            self._loop.after_worker_shutdown(worker.broker, worker)


class _OneLoop(AsyncIO):
    """One event loop for all workers of this process: started with the first, closed after the last."""

    def __init__(self) -> None:
        super().__init__()
        self._running = 0
        self._counting = Lock()
        self._close: Callable[[], Awaitable[None]] | None = None

    def close_with(self, close: Callable[[], Awaitable[None]]) -> None:
        """Call `close` on the loop before it ends."""
        self._close = close

    def before_worker_boot(self, broker: dramatiq.Broker, worker: Worker) -> None:
        with self._counting:
            self._running += 1
            if self._running == 1:
                super().before_worker_boot(broker, worker)  # type: ignore[no-untyped-call] # dramatiq leaves its middleware untyped

    def after_worker_shutdown(self, broker: dramatiq.Broker, worker: Worker) -> None:
        with self._counting:
            self._running -= 1
            if self._running:
                return
            thread = get_event_loop_thread()
            try:
                if thread is not None and self._close is not None:
                    thread.run_coroutine(self._close())
            except Exception as error:  # noqa: BLE001 - nothing is delivered any more, and a loop that goes on would keep the process alive
                _logger.warning("worker_closed_with_an_error", reason=type(error).__name__)
            finally:
                super().after_worker_shutdown(broker, worker)  # type: ignore[no-untyped-call]

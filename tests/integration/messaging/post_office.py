"""Deliveries on Postgres with consumers whose effect is a row, and a broker that the test holds in its hand."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar
from uuid import UUID

import psycopg
from dishka import AsyncContainer, Provider, Scope, make_async_container
from psycopg.rows import dict_row

from adapters.postgres.database import Database
from adapters.postgres.governance.appending import PostgresAuditTrail
from adapters.postgres.messaging.deliveries import BEAT_SECONDS, ReceivedDeliveries, RelayedDeliveries
from adapters.postgres.messaging.outbox import EventRecord, Outbox, decode_event
from adapters.postgres.roles import DatabaseRole
from adapters.postgres.unit_of_work import Sessions, UnitsOfWork
from entrypoints.composition.foundation import subscribers_of
from entrypoints.consumers.dispatcher import Dispatcher, Subscription
from entrypoints.consumers.relay import Relay
from entrypoints.observability.metrics import Metrics
from shared_kernel.events import Delivery, Event
from shared_kernel.identifiers import new_id
from shared_kernel.principal import Principal
from tests.fakes.wake_ups import InMemoryWakeUps
from tests.port_contracts.quotas import MovableClock


@dataclass(frozen=True, slots=True, kw_only=True)
class ThingHappened(Event):
    """An event of these tests."""

    TYPE: ClassVar[str] = "tests.thing_happened.v1"

    thing_id: UUID
    version: int


@dataclass
class Fates:
    """What is in store for events, by thing and version: `poison` fails, what has a gate waits before it; `given_up` has been told."""

    poison: set[tuple[UUID, int]] = field(default_factory=set)
    gates: dict[tuple[UUID, int], asyncio.Event] = field(default_factory=dict)
    given_up: list[tuple[UUID, int, Exception | None]] = field(default_factory=list)


class Bookkeeping:
    """A consumer whose effect is one row per delivery, in the transaction that completes it."""

    NAME: ClassVar[str] = "tests.ordered"

    def __init__(self, units: UnitsOfWork, fates: Fates) -> None:
        self._units = units
        self._fates = fates

    async def __call__(self, event: ThingHappened, delivery: Delivery) -> None:
        """Write the row, or fail after having written it."""
        gate = self._fates.gates.get((event.thing_id, event.version))
        if gate is not None:
            await gate.wait()
        async with self._units.open(Principal.system(delivery.organization_id), completes=delivery) as scope:
            await scope.execute(
                "insert into public.effects (organization_id, consumer, thing_id, version) values (%s, %s, %s, %s)",
                (delivery.organization_id, delivery.consumer, event.thing_id, event.version),
            )
            if (event.thing_id, event.version) in self._fates.poison:
                raise ValueError("password=hunter2")

    async def give_up(self, event: ThingHappened, _: Delivery, error: Exception | None) -> None:
        """Remember it."""
        self._fates.given_up.append((event.thing_id, event.version, error))


class Notifying(Bookkeeping):
    """The same without an order."""

    NAME: ClassVar[str] = "tests.unordered"


SUBSCRIPTIONS = (
    Subscription(consumer=Bookkeeping.NAME, event=ThingHappened, handler=Bookkeeping, ordered=True),
    Subscription(consumer=Notifying.NAME, event=ThingHappened, handler=Notifying, queue="mail"),
)


@dataclass
class PostOffice:
    """Publish, relay, hand over; `sent` is what the broker took, `broker_gone` makes it refuse."""

    superuser_url: str
    database: Database
    relayed: RelayedDeliveries
    received: ReceivedDeliveries
    outbox: Outbox
    units: UnitsOfWork
    clock: MovableClock
    metrics: Metrics
    container: AsyncContainer
    fates: Fates
    sent: list[tuple[str, UUID, UUID | None]] = field(default_factory=list)
    broker_gone: bool = False
    relay: Relay = field(init=False)
    dispatcher: Dispatcher = field(init=False)

    def __post_init__(self) -> None:
        self.relay = Relay(deliveries=self.relayed, send=self._send, wake_ups=InMemoryWakeUps(), clock=self.clock, metrics=self.metrics)  # type: ignore[arg-type]
        self.dispatcher = self.worker()

    def worker(self, *, beat_seconds: float = BEAT_SECONDS) -> Dispatcher:
        """One more worker."""
        return Dispatcher(
            container=self.container,
            subscriptions={f"{s.consumer} {s.event.TYPE}": s for s in SUBSCRIPTIONS},
            decode=decode_event,
            deliveries=self.received,
            clock=self.clock,
            metrics=self.metrics,
            wake_relay=lambda: None,
            beat_seconds=beat_seconds,
        )

    def _send(self, queue: str, delivery_id: UUID, organization_id: UUID | None) -> None:
        if self.broker_gone:
            raise ConnectionError("redis is gone")
        self.sent.append((queue, delivery_id, organization_id))

    async def run(self, statement: Any, parameters: Any = None) -> list[dict[str, Any]]:
        """Run a statement as the superuser."""
        async with await psycopg.AsyncConnection.connect(self.superuser_url, autocommit=True, row_factory=dict_row) as connection:
            cursor = await connection.execute(statement, parameters)
            return await cursor.fetchall() if cursor.description else []

    async def publish(self, organization_id: UUID, thing_id: UUID, *versions: int) -> None:
        """Write events of an aggregate, each in a transaction of its own."""
        principal = Principal.system(organization_id)
        for version in versions:
            record = EventRecord(
                event=ThingHappened(thing_id=thing_id, version=version),
                aggregate="thing",
                aggregate_id=thing_id,
                aggregate_version=version,
                ordinal=0,
            )
            async with self.database.pipeline(principal) as pipeline:
                await self.outbox.write(pipeline.connection, principal, (record,), self.clock.now())

    async def hand_over(self) -> int:
        """Give what the broker holds to a worker, one after the other; return how many there were."""
        taken, self.sent = self.sent, []
        for _, delivery_id, organization_id in taken:
            await self.dispatcher(delivery_id, organization_id)
        return len(taken)

    async def die_over_everything(self) -> int:
        """Give what the broker holds to workers that die over it; return how many there were."""
        taken, self.sent = self.sent, []
        for _, delivery_id, organization_id in taken:
            await self.received.begin(delivery_id, organization_id, self.clock.now())
        return len(taken)

    async def until_quiet(self) -> None:
        """Relay and hand over until nothing is due now."""
        while await self.relay.relay_once():
            await self.hand_over()

    async def effects(self, thing_id: UUID, consumer: str = Bookkeeping.NAME) -> list[int]:
        """The versions whose effect was made, in the order they were made."""
        rows = await self.run("select version from public.effects where thing_id = %s and consumer = %s order by id", (thing_id, consumer))
        return [row["version"] for row in rows]

    async def states(self, consumer: str = Bookkeeping.NAME) -> Counter[str]:
        """How many deliveries are in which state."""
        rows = await self.run("select state from messaging.deliveries where consumer = %s", (consumer,))
        return Counter(row["state"] for row in rows)


@asynccontextmanager
async def open_post_office(database_url: str, superuser_url: str) -> AsyncIterator[PostOffice]:
    """Open a post office on an emptied database."""
    database, relay = Database(database_url, size=6), Database(database_url, DatabaseRole.RELAY, size=3)
    sessions, clock, fates, metrics = Sessions(database_url), MovableClock(), Fates(), Metrics()
    outbox = Outbox(subscribers_of(SUBSCRIPTIONS))
    units = UnitsOfWork(sessions, outbox, PostgresAuditTrail(), clock, lambda: None)
    unpoisoned = Fates(gates=fates.gates)
    provider = Provider(scope=Scope.APP)
    provider.provide(lambda: Bookkeeping(units, fates), provides=Bookkeeping)
    provider.provide(lambda: Notifying(units, unpoisoned), provides=Notifying)
    container = make_async_container(provider)
    await database.open()
    await relay.open()
    office = PostOffice(
        superuser_url, database, RelayedDeliveries(relay), ReceivedDeliveries(database), outbox, units, clock, metrics, container, fates
    )
    await office.run(
        """
        create table if not exists public.effects (
          id bigint generated always as identity primary key, organization_id uuid, consumer text, thing_id uuid, version int)
        """
    )
    await office.run("grant usage on schema public to luneo_app; grant insert on public.effects to luneo_app")
    await office.run("truncate messaging.events cascade; truncate public.effects")
    try:
        yield office
    finally:
        await container.close()
        await sessions.close()
        await relay.close()
        await database.close()


def someone() -> tuple[UUID, UUID]:
    """An organisation and one of its things."""
    return new_id(), new_id()

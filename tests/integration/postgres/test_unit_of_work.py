"""The unit of work: everything of a change, or nothing of it."""

import asyncio
from collections.abc import AsyncIterator
from contextvars import Context
from dataclasses import dataclass, replace
from typing import Any, ClassVar, LiteralString
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Text, Uuid, select
from sqlalchemy.orm import registry

from adapters.crypto.aes_sealing import AesSealing
from adapters.postgres.database import Database
from adapters.postgres.governance.appending import PostgresAuditTrail
from adapters.postgres.idempotency import PostgresIdempotentEffects
from adapters.postgres.messaging.deliveries import ReceivedDeliveries
from adapters.postgres.messaging.outbox import Outbox, Subscriber
from adapters.postgres.unit_of_work import Sessions, UnitOfWorkScope, UnitsOfWork
from contracts.idempotency import IdempotencyInProgress, IdempotencyKeyReused, StoredAnswer
from shared_kernel.aggregate import Aggregate, AuditNote
from shared_kernel.clock import SystemClock
from shared_kernel.errors import AlreadyDelivered, Conflict, PermissionDenied, Unavailable
from shared_kernel.events import Event
from shared_kernel.identifiers import new_id
from shared_kernel.principal import Principal, PrincipalKind


@dataclass(frozen=True, slots=True, kw_only=True)
class JarFilled(Event):
    """Something happened to a jar."""

    TYPE: ClassVar[str] = "test.jar_filled.v1"

    amount: int


@dataclass(eq=False, kw_only=True)
class Jar(Aggregate):
    """An aggregate of this test alone."""

    AGGREGATE: ClassVar[str] = "jar"

    id: UUID
    label: str
    amount: int = 0
    version: int = 1

    def fill(self, amount: int) -> None:
        self.amount += amount
        self.record(JarFilled(amount=amount))
        self.note(AuditNote(action="jar.filled", after={"amount": self.amount}))


_metadata = MetaData()
_jars = Table(
    "test_jars",
    _metadata,
    Column("id", Uuid, primary_key=True),
    Column("label", Text, nullable=False, unique=True),
    Column("amount", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    schema="messaging",
)
registry(metadata=_metadata).map_imperatively(Jar, _jars, version_id_col=_jars.c.version)

ORGANIZATION = new_id()
CALLER = Principal(PrincipalKind.USER, new_id(), ORGANIZATION)


class House:
    """Units of work on this module's database, and a look at what they wrote."""

    def __init__(self, database_url: str, superuser_url: str) -> None:
        self.superuser_url = superuser_url
        self.woken = 0
        self.sessions = Sessions(database_url, size=10)
        outbox = Outbox({JarFilled.TYPE: [Subscriber("test.count", "default", ordered=True)]})
        self.units = UnitsOfWork(self.sessions, outbox, PostgresAuditTrail(), SystemClock(), self._wake)
        self.effects = PostgresIdempotentEffects(self.units, AesSealing([b"k" * 32]), SystemClock())

    def _wake(self) -> None:
        self.woken += 1

    def rows(self, statement: LiteralString, *parameters: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.superuser_url, autocommit=True) as connection:
            return connection.execute(statement, parameters).fetchall()

    def counts(self) -> tuple[int, ...]:
        return self.rows(
            "select (select count(*) from messaging.test_jars), (select count(*) from messaging.events),"
            " (select count(*) from messaging.deliveries), (select count(*) from governance.audit_entries)"
        )[0]

    async def make(self, label: str, amount: int = 1) -> Jar:
        jar = Jar(id=new_id(), label=label)
        async with self.units.open(CALLER) as scope:
            jar.fill(amount)
            scope.add(jar)
        return jar


async def load(scope: UnitOfWorkScope, jar_id: UUID) -> Jar:
    return await scope.get(select(Jar).where(_jars.c.id == jar_id))


@pytest.fixture
async def house(database_url: str, superuser_url: str) -> AsyncIterator[House]:
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        connection.execute("drop table if exists messaging.test_jars")
        connection.execute(
            "create table messaging.test_jars (id uuid primary key, label text not null unique, amount int not null, version int not null)"
        )
        connection.execute("grant all on messaging.test_jars to luneo_app")
    house = House(database_url, superuser_url)
    yield house
    await house.sessions.close()


async def test_a_change_its_event_its_deliveries_and_its_audit_entry_are_written_together(house: House) -> None:
    before = house.counts()
    jar = await house.make("together", 3)
    assert tuple(b - a for a, b in zip(before, house.counts(), strict=True)) == (1, 1, 1, 1)
    assert house.woken == 1
    event = house.rows("select organization_id, type, aggregate_version, payload from messaging.events where aggregate_id = %s", jar.id)
    assert event == [(ORGANIZATION, "test.jar_filled.v1", 1, {"amount": 3})]


async def test_an_error_inside_leaves_nothing_behind(house: House) -> None:
    before = house.counts()
    jar = Jar(id=new_id(), label="broken")

    async def fail() -> None:
        async with house.units.open(CALLER) as scope:
            jar.fill(1)
            scope.add(jar)
            await scope.session.flush()
            raise LookupError("whatever")

    with pytest.raises(LookupError):
        await fail()
    assert house.counts() == before
    assert house.woken == 0


async def test_a_failing_save_leaves_nothing_behind(house: House) -> None:
    await house.make("unique")
    before = house.counts()
    with pytest.raises(Exception, match="test_jars_label_key"):
        await house.make("unique")
    assert house.counts() == before


async def test_who_saves_second_is_told_so(house: House) -> None:
    jar = await house.make("raced")

    async def slower() -> None:
        async with house.units.open(CALLER) as scope:
            mine = await load(scope, jar.id)
            async with house.units.open(CALLER) as other:
                (await load(other, jar.id)).fill(10)
            mine.fill(1)

    with pytest.raises(Conflict):
        await slower()
    assert house.rows("select amount, version from messaging.test_jars where id = %s", jar.id) == [(11, 2)]


async def test_events_of_one_aggregate_carry_its_versions_in_order(house: House) -> None:
    jar = await house.make("ordered")
    for amount in (2, 3):
        async with house.units.open(CALLER) as scope:
            (await load(scope, jar.id)).fill(amount)
    found = house.rows("select aggregate_version, payload->>'amount' from messaging.events where aggregate_id = %s order by 1", jar.id)
    assert found == [(1, "1"), (2, "2"), (3, "3")]


async def test_a_delivery_is_completed_once_with_its_effect(house: House, database_url: str) -> None:
    jar = await house.make("delivered")
    delivery_id = house.rows("select id from messaging.deliveries where aggregate_id = %s", jar.id)[0][0]
    database = Database(database_url, size=1)
    await database.open()
    loaded = await ReceivedDeliveries(database).begin(delivery_id, ORGANIZATION, SystemClock().now())
    assert loaded is not None
    async with house.units.open(CALLER, completes=loaded.delivery) as scope:
        (await load(scope, jar.id)).fill(5)

    async def again() -> None:
        async with house.units.open(CALLER, completes=loaded.delivery) as scope:
            (await load(scope, jar.id)).fill(5)

    with pytest.raises(AlreadyDelivered):
        await again()
    assert house.rows("select amount from messaging.test_jars where id = %s", jar.id) == [(6,)]
    assert await ReceivedDeliveries(database).begin(delivery_id, ORGANIZATION, SystemClock().now()) is None
    await database.close()


async def test_an_effect_and_its_answer_are_kept_together(house: House) -> None:
    answer = StoredAnswer(status=201, headers=(("content-type", "application/json"),), body=b'{"key":"lun_live_secret"}')
    async with house.effects.begin(CALLER, key="once", request_digest=b"d") as effect:
        assert effect.first_answer is None
        await house.make("keyed")
        await effect.keep(answer)
    async with house.effects.begin(CALLER, key="once", request_digest=b"d") as effect:
        assert effect.first_answer == answer
    stored = bytes(house.rows("select body from luneo.idempotent_requests where key = 'once'")[0][0])
    assert b"lun_live" not in stored
    assert house.rows("select count(*) from messaging.test_jars where label = 'keyed'") == [(1,)]


async def test_the_effect_of_a_persons_key_is_in_the_organisation_that_it_chooses_and_in_no_other(house: House) -> None:
    person = replace(CALLER, organization_id=None)
    answer = StoredAnswer(status=201, headers=(), body=b"{}")
    before = house.counts()

    async def spanning() -> None:
        async with house.effects.begin(person, key="spans", request_digest=b"d"):
            await house.make("one's own")
            async with house.units.open(replace(CALLER, organization_id=new_id())):
                raise AssertionError("a second organisation was let in")

    with pytest.raises(PermissionDenied):
        await spanning()
    assert house.counts() == before
    async with house.effects.begin(person, key="chooses", request_digest=b"d") as effect:
        jar = await house.make("chosen")
        await effect.keep(answer)
    for table in ("messaging.events", "messaging.deliveries"):
        rows = house.rows(f"select organization_id from {table} where aggregate_id = %s", jar.id)  # noqa: S608 - the two names above
        assert rows == [(ORGANIZATION,)]
    trail = house.rows("select organization_id, actor_id from governance.audit_entries where target_id = %s", jar.id)
    assert trail == [(ORGANIZATION, CALLER.id)]
    async with house.effects.begin(person, key="chooses", request_digest=b"d") as effect:
        assert effect.first_answer == answer
    for stranger in (CALLER, replace(person, id=new_id())):
        async with house.effects.begin(stranger, key="chooses", request_digest=b"d") as effect:
            assert effect.first_answer is None


async def test_an_undone_effect_frees_its_key(house: House) -> None:
    async def undone() -> None:
        async with house.effects.begin(CALLER, key="free", request_digest=b"d"):
            await house.make("undone")
            raise LookupError("refused")

    with pytest.raises(LookupError):
        await undone()
    assert house.rows("select count(*) from messaging.test_jars where label = 'undone'") == [(0,)]
    async with house.effects.begin(CALLER, key="free", request_digest=b"d") as effect:
        assert effect.first_answer is None


async def test_a_key_in_use_is_refused_and_a_key_for_another_request_too(house: House) -> None:
    async def claim(key: str, digest: bytes) -> None:
        async with house.effects.begin(CALLER, key=key, request_digest=digest):
            raise LookupError("claimed")

    async with house.effects.begin(CALLER, key="busy", request_digest=b"d") as effect:
        with pytest.raises(IdempotencyInProgress):  # as another request sees it: in a context of its own
            await asyncio.get_running_loop().create_task(claim("busy", b"d"), context=Context())
        await effect.keep(StoredAnswer(status=200, headers=(), body=b"{}"))
    with pytest.raises(IdempotencyKeyReused):
        await claim("busy", b"other")


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    house = House("postgresql://nobody:x@127.0.0.1:1/none", "")
    with pytest.raises(Unavailable):
        await house.make("nowhere")
    await house.sessions.close()

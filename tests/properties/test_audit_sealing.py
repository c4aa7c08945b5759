"""Sealing as a state machine, on our fake and on Postgres: the same promises hold on both.

Transactions interleave, append, commit and roll back; sealers run, pause with their transaction open, and crash before it ends; the
clock jumps both ways. Afterwards each committed entry is sealed exactly once, in a chain that verifies on line and from an exported file.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeVar, cast
from uuid import UUID, uuid4

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from adapters.postgres.database import Database
from adapters.postgres.governance.appending import PostgresAuditTrail
from adapters.postgres.governance.readers import PostgresRecordedTrail
from adapters.postgres.governance.transactions import PostgresSealing
from adapters.postgres.messaging.outbox import Outbox
from adapters.postgres.roles import DatabaseRole
from adapters.postgres.unit_of_work import Sessions, UnitOfWorkScope, UnitsOfWork
from contracts.governance.commands import AuditedChange, AuditTrail
from domains.governance.model.trail_file import verify_file
from domains.governance.ports.recorded_trail import RecordedTrail
from domains.governance.ports.sealing import SealingTransaction, SealingTransactions
from domains.governance.use_cases.export_audit_trail import ExportAuditTrail, ExportAuditTrailHandler
from domains.governance.use_cases.seal_audit_trail import NOTHING_SEALED, SealAuditTrail, SealAuditTrailHandler
from domains.governance.use_cases.verify_audit_trail import VerifyAuditTrail, VerifyAuditTrailHandler
from shared_kernel.aggregate import AuditNote
from shared_kernel.clock import SystemClock
from shared_kernel.principal import Origin, Principal, PrincipalKind
from shared_kernel.unit_of_work import UnitOfWork
from tests.fakes.governance import InMemoryAuditDatabase, InMemoryAuditTrail, InMemoryRecordedTrail, InMemorySealing, InMemoryUnit

T = TypeVar("T")


class Crash(Exception):
    """The sealer's process dies."""


class World(Protocol):
    """Where the machine runs."""

    @property
    def trail(self) -> AuditTrail: ...
    @property
    def recorded(self) -> RecordedTrail: ...
    @property
    def sealing(self) -> SealingTransactions: ...
    async def begin(self, principal: Principal) -> UnitOfWork: ...
    async def end(self, unit: Any, *, commit: bool) -> None: ...
    async def erase(self, entry_id: UUID) -> None: ...
    async def close(self) -> None: ...


class InMemoryWorld:
    def __init__(self) -> None:
        self._database = InMemoryAuditDatabase()
        self.trail = InMemoryAuditTrail(self._database)
        self.recorded = InMemoryRecordedTrail(self._database)
        self.sealing = InMemorySealing(self._database)

    async def begin(self, principal: Principal) -> InMemoryUnit:
        return self._database.begin(principal)

    async def end(self, unit: InMemoryUnit, *, commit: bool) -> None:
        if commit:
            self._database.commit(unit)
        else:
            self._database.rollback(unit)

    async def erase(self, entry_id: UUID) -> None:
        self._database.erase_personal_values(entry_id)

    async def close(self) -> None:
        """Nothing is open."""


class PostgresWorld:
    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._app = Database(dsn, DatabaseRole.APP, size=1)
        self._platform = Database(dsn, DatabaseRole.PLATFORM, size=3)
        self.trail = PostgresAuditTrail()
        self.recorded = PostgresRecordedTrail(self._app)
        self.sealing = PostgresSealing(self._platform)
        self._sessions = Sessions(dsn, size=8)
        self._units = UnitsOfWork(self._sessions, Outbox({}), self.trail, SystemClock(), lambda: None)

    async def open(self) -> None:
        await self._app.open()
        await self._platform.open()

    async def begin(self, principal: Principal) -> UnitOfWorkScope:
        return await self._units.open(principal).__aenter__()

    async def end(self, unit: UnitOfWorkScope, *, commit: bool) -> None:
        given_up = None if commit else LookupError("given up")
        await unit.__aexit__(type(given_up) if given_up else None, given_up, None)

    async def erase(self, entry_id: UUID) -> None:
        async with self._platform.connection() as connection:
            await connection.execute("delete from governance.audit_personal_values where entry_id = %s", (entry_id,))

    async def close(self) -> None:
        await self._app.close()
        await self._platform.close()
        await self._sessions.close()


@dataclass
class CrashingSealing:
    """Opens the sealer's transactions and ends the process just before they are kept."""

    inner: SealingTransactions

    def __call__(self) -> AbstractAsyncContextManager[SealingTransaction]:
        return _Crashing(self.inner())


@dataclass
class _Crashing:
    inner: AbstractAsyncContextManager[SealingTransaction]

    async def __aenter__(self) -> SealingTransaction:
        return await self.inner.__aenter__()

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        crash = Crash()
        await self.inner.__aexit__(Crash, crash, None)
        raise crash


@dataclass
class PausingSealing:
    """Opens the sealer's transactions and holds each, finished but not kept, until told to go on."""

    inner: SealingTransactions
    finished: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    def __call__(self) -> AbstractAsyncContextManager[SealingTransaction]:
        return _Pausing(self.inner(), self)


@dataclass
class _Pausing:
    inner: AbstractAsyncContextManager[SealingTransaction]
    outer: PausingSealing

    async def __aenter__(self) -> SealingTransaction:
        return await self.inner.__aenter__()

    async def __aexit__(self, *error: Any) -> None:  # noqa: PYI036 - passed on as they are
        self.outer.finished.set()
        await self.outer.go_on.wait()
        await self.inner.__aexit__(*error)


@dataclass
class OpenTransaction:
    unit: UnitOfWork
    marks: list[str] = field(default_factory=list)


class Sealing(RuleBasedStateMachine):
    """The machine; `world` says where."""

    def __init__(self, world: World, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.world = world
        self.loop = loop
        self.time = datetime(2026, 11, 22, tzinfo=UTC)
        self.organizations = [uuid4(), uuid4()]
        self.open: dict[int, OpenTransaction] = {}
        self.unsealed = False
        self.committed: dict[UUID, list[str]] = {organization: [] for organization in self.organizations}
        self.appended = 0
        self.paused: tuple[PausingSealing, asyncio.Task[Any]] | None = None

    def now(self) -> datetime:
        return self.time

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(coroutine)

    def principal(self, organization_id: UUID) -> Principal:
        return Principal(PrincipalKind.USER, uuid4(), organization_id, origin=Origin("203.0.113.9", "Firefox", "req"))

    @rule(slot=st.integers(0, 3), count=st.integers(1, 3))
    def write(self, slot: int, count: int) -> None:
        """Append in one of four transactions, two per organisation, that may run at once."""
        if slot not in self.open:
            unit = self.run(self.world.begin(self.principal(self.organizations[slot % 2])))
            self.open[slot] = OpenTransaction(unit)
        transaction = self.open[slot]
        changes = []
        for _ in range(count):
            self.appended += 1
            mark = f"mark-{self.appended}"
            transaction.marks.append(mark)
            note = AuditNote(
                action=mark, after={"n": self.appended, "rate": 0.1 * self.appended}, personal={"email": f"{mark}@example.org"}
            )
            changes.append(AuditedChange(note=note, target="thing", target_id=uuid4(), at=self.time))
        self.run(self.world.trail.append(transaction.unit, changes))
        self.unsealed = True

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def commit(self, data: st.DataObject) -> None:
        slot = data.draw(st.sampled_from(sorted(self.open)))
        transaction = self.open.pop(slot)
        self.run(self.world.end(transaction.unit, commit=True))
        self.committed[self.organizations[slot % 2]] += transaction.marks

    @precondition(lambda self: len(self.open) > 1)
    @rule(data=st.data())
    def roll_back(self, data: st.DataObject) -> None:
        transaction = self.open.pop(data.draw(st.sampled_from(sorted(self.open))))
        self.run(self.world.end(transaction.unit, commit=False))

    @precondition(lambda self: self.unsealed)
    @rule(limit=st.integers(1, 6))
    def seal(self, limit: int) -> None:
        sealed = self.run(SealAuditTrailHandler(self.world.sealing, self)(SealAuditTrail(limit=limit)))
        self.unsealed = bool(self.open) or sealed != NOTHING_SEALED or self.paused is not None
        if self.paused is not None:
            assert sealed == NOTHING_SEALED

    @precondition(lambda self: self.unsealed)
    @rule()
    def sealer_crashes(self) -> None:
        async def crash() -> None:
            try:
                await SealAuditTrailHandler(CrashingSealing(self.world.sealing), self)(SealAuditTrail())
            except Crash:
                return

        self.run(crash())

    @precondition(lambda self: self.unsealed and self.paused is None)
    @rule()
    def sealer_pauses(self) -> None:
        async def pause() -> tuple[PausingSealing, asyncio.Task[Any]]:
            pausing = PausingSealing(self.world.sealing)
            task = asyncio.create_task(SealAuditTrailHandler(pausing, self)(SealAuditTrail(limit=3)))
            await pausing.finished.wait()
            return pausing, task

        self.paused = self.run(pause())

    @precondition(lambda self: self.paused is not None)
    @rule()
    def sealer_goes_on(self) -> None:
        assert self.paused is not None
        pausing, task = self.paused
        self.paused = None
        pausing.go_on.set()
        self.loop.run_until_complete(task)

    @rule(minutes=st.integers(-600, 600))
    def clock_jumps(self, minutes: int) -> None:
        self.time += timedelta(minutes=minutes)

    @precondition(lambda self: any(self.committed.values()))
    @rule(which=st.integers(0, 1))
    def a_person_is_erased(self, which: int) -> None:
        principal = self.principal(self.organizations[which])
        entries = self.run(self.trail_of(principal))
        if entries:
            self.run(self.world.erase(entries[0][0]))

    @precondition(lambda self: any(self.committed.values()))
    @rule(which=st.integers(0, 1))
    def the_trail_verifies_at_any_moment(self, which: int) -> None:
        self.verified(self.organizations[which])

    async def trail_of(self, principal: Principal) -> list[tuple[UUID, str]]:
        entries = await self.world.recorded.entries(principal, after=(0, UUID(int=0)), below=None, limit=10_000)
        return [(entry.id, entry.action) for entry in entries]

    def verified(self, organization_id: UUID) -> tuple[int, int]:
        principal = self.principal(organization_id)
        report = self.run(VerifyAuditTrailHandler(self.world.recorded)(VerifyAuditTrail(requested_by=principal)))
        assert report.fault is None

        async def exported() -> bytes:
            handler = ExportAuditTrailHandler(self.world.recorded, self)
            return b"".join([piece async for piece in handler(ExportAuditTrail(requested_by=principal))])

        assert verify_file(self.run(exported()).splitlines()) == report
        return report.sealed_count, report.unsealed_count

    def teardown(self) -> None:
        if self.paused is not None:
            self.sealer_goes_on()
        for transaction in self.open.values():
            self.run(self.world.end(transaction.unit, commit=False))
        while self.run(SealAuditTrailHandler(self.world.sealing, self)(SealAuditTrail(limit=4))) != NOTHING_SEALED:
            pass
        for organization_id, marks in self.committed.items():
            assert self.verified(organization_id) == (len(marks), 0)
            principal = self.principal(organization_id)
            recorded = self.run(self.trail_of(principal))
            assert sorted(mark for _, mark in recorded) == sorted(marks)
            seals = self.run(self.world.recorded.seals(principal, after=0, limit=10_000))
            assert [entry_id for seal in seals for entry_id, _ in seal.entry_hashes()] == [entry_id for entry_id, _ in recorded]


def test_every_committed_entry_is_sealed_once_in_memory() -> None:
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        run_state_machine_as_test(
            cast("Any", lambda: Sealing(InMemoryWorld(), loop)),
            settings=settings(max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)),
        )


def test_every_committed_entry_is_sealed_once_in_postgres(database_url: str) -> None:
    with asyncio.Runner() as runner:
        world = PostgresWorld(database_url)
        runner.run(world.open())
        try:
            run_state_machine_as_test(
                cast("Any", lambda: Sealing(world, runner.get_loop())),
                settings=settings(max_examples=30, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)),
            )
        finally:
            runner.run(world.close())

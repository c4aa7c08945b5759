"""The trail on Postgres: who may touch it, what concurrency does to it, and what tampering leaves behind."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import LiteralString
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import errors

from adapters.postgres.database import Database
from adapters.postgres.governance.appending import PostgresAuditTrail
from adapters.postgres.governance.readers import PostgresAuditedOrganizations, PostgresRecordedTrail
from adapters.postgres.governance.transactions import PostgresSealing
from adapters.postgres.messaging.outbox import Outbox
from adapters.postgres.roles import DatabaseRole
from adapters.postgres.unit_of_work import Sessions, UnitsOfWork
from contracts.governance.commands import AuditedChange
from domains.governance.model.trail_file import verify_file
from domains.governance.model.verification import FaultKind, TrailReport
from domains.governance.ports.recorded_trail import EntryFilter
from domains.governance.ports.sealing import TransactionNumbersWentBack
from domains.governance.use_cases.export_audit_trail import ExportAuditTrail, ExportAuditTrailHandler
from domains.governance.use_cases.seal_audit_trail import NOTHING_SEALED, SealAuditTrail, SealAuditTrailHandler
from domains.governance.use_cases.verify_audit_trail import VerifyAuditTrail, VerifyAuditTrailHandler
from shared_kernel.aggregate import AuditNote
from shared_kernel.clock import SystemClock
from shared_kernel.errors import InvalidInput
from shared_kernel.pagination import PageRequest
from shared_kernel.principal import Origin, Principal, PrincipalKind


class Trail:
    def __init__(self, app: Database, platform: Database, superuser: str) -> None:
        self.app = app
        self.platform = platform
        self.superuser = superuser
        self.audit = PostgresAuditTrail()
        self.recorded = PostgresRecordedTrail(app)
        self.seal_handler = SealAuditTrailHandler(PostgresSealing(platform), SystemClock())
        self.organization = uuid4()

    def principal(self, organization: UUID | None = None) -> Principal:
        origin = Origin("203.0.113.7", "Firefox", "req-1")
        return Principal(PrincipalKind.USER, uuid4(), organization or self.organization, role="owner", origin=origin)

    async def record(self, action: str = "agent.published", *, organization: UUID | None = None, count: int = 1) -> None:
        async with self.app.pipeline(self.principal(organization)) as pipeline:
            await self.audit.append(pipeline, [change(action) for _ in range(count)])

    async def seal(self) -> int:
        """Seal until nothing is left; other transactions of this server may hold the horizon back for a moment."""
        sealed = 0
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            batch = await self.seal_handler(SealAuditTrail())
            sealed += batch.entries
            if batch == NOTHING_SEALED and await self.waiting() == 0:
                return sealed
        raise AssertionError("the horizon did not move within 10 s")

    async def waiting(self) -> int:
        return (await self.verify()).unsealed_count

    async def verify(self, head: str | None = None, organization: UUID | None = None) -> TrailReport:
        query = VerifyAuditTrail(requested_by=self.principal(organization), expected_head=head)
        return await VerifyAuditTrailHandler(self.recorded)(query)

    async def exported(self) -> list[bytes]:
        handler = ExportAuditTrailHandler(self.recorded, SystemClock())
        return b"".join([piece async for piece in handler(ExportAuditTrail(requested_by=self.principal()))]).splitlines()

    def tamper(self, statement: LiteralString, *parameters: object) -> None:
        with psycopg.connect(self.superuser, autocommit=True) as connection:
            connection.execute("set session_replication_role = replica")  # foreign keys don't stand in a forger's way
            assert connection.execute(statement, parameters).rowcount >= 1


def change(action: str = "agent.published") -> AuditedChange:
    note = AuditNote(action=action, before={"n": 1}, after={"n": 2.5, "name": "é\0"}, personal={"email": "ada@example.org"})
    return AuditedChange(note=note, target="agent", target_id=uuid4(), at=datetime.now(UTC))


@pytest.fixture
async def trail(database_url: str, superuser_url: str) -> AsyncIterator[Trail]:
    app, platform = Database(database_url, size=4), Database(database_url, DatabaseRole.PLATFORM, size=2)
    await app.open()
    await platform.open()
    yield Trail(app, platform, superuser_url)
    await app.close()
    await platform.close()


async def test_entries_join_a_pipeline_with_its_tenant_and_transaction(trail: Trail) -> None:
    await trail.record(count=3)
    entries = await trail.recorded.entries(trail.principal(), after=(0, UUID(int=0)), below=None, limit=10)
    assert len(entries) == 3
    assert len({entry.transaction for entry in entries}) == 1
    assert {entry.organization_id for entry in entries} == {trail.organization}
    assert entries[0].after == {"n": 2.5, "name": "é\ufffd"}
    assert entries[0].personal["email"].value == "ada@example.org"
    assert entries[0].request_id == "req-1"


async def test_entries_join_a_unit_of_work_and_vanish_with_it(trail: Trail, database_url: str) -> None:
    sessions = Sessions(database_url)
    units = UnitsOfWork(sessions, Outbox({}), trail.audit, SystemClock(), lambda: None)
    try:
        async with units.open(trail.principal()) as unit:
            await trail.audit.append(unit, [change("kept")])

        async def fail() -> None:
            async with units.open(trail.principal()) as unit:
                await trail.audit.append(unit, [change("lost")])
                raise LookupError

        with pytest.raises(LookupError):
            await fail()
    finally:
        await sessions.close()
    entries = await trail.recorded.entries(trail.principal(), after=(0, UUID(int=0)), below=None, limit=10)
    assert [entry.action for entry in entries] == ["kept"]


async def test_people_without_an_organisation_have_a_trail_of_their_own(trail: Trail) -> None:
    anonymous = Principal.anonymous(Origin("203.0.113.8"))
    async with trail.app.pipeline(anonymous) as pipeline:
        await trail.audit.append(pipeline, [change("user.signed_up")])
    await trail.record()
    await trail.seal()
    report = await VerifyAuditTrailHandler(trail.recorded)(VerifyAuditTrail(requested_by=anonymous))
    assert (report.ok, report.sealed_count) == (True, 1)
    assert set(await PostgresAuditedOrganizations(trail.platform).with_a_trail()) >= {None, trail.organization}


@pytest.mark.parametrize("table", ["audit_entries", "audit_personal_values", "audit_seals"])
async def test_the_app_may_neither_change_nor_delete(trail: Trail, table: str) -> None:
    await trail.record()
    async with trail.app.connection() as connection:
        for statement in (
            f"update governance.{table} set organization_id = null",  # noqa: S608 - the parameter above
            f"delete from governance.{table}",  # noqa: S608 - the parameter above
            f"truncate governance.{table}",
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                await connection.execute(statement.encode())


async def test_the_app_may_not_choose_the_transaction_number(trail: Trail) -> None:
    async with trail.app.connection() as connection:
        with pytest.raises(errors.InsufficientPrivilege):
            await connection.execute(
                "insert into governance.audit_entries "
                "(id, transaction, recorded_at, actor_kind, action, target, target_id, before, after, commitments)"
                " values (uuidv7(), '1', now(), 'user', 'x', 'x', uuidv7(), '{}', '{}', '{}')"
            )


async def test_the_app_may_not_seal(trail: Trail) -> None:
    async with trail.app.connection() as connection:
        with pytest.raises(errors.InsufficientPrivilege):
            await connection.execute(
                "insert into governance.audit_seals values ('', null, 1, '1', '', '', '', now())",
            )


async def test_a_late_committer_is_neither_skipped_nor_reordered(trail: Trail) -> None:
    late = trail.app.connection()
    connection = await late.__aenter__()
    try:
        await connection.execute("begin")
        await connection.execute("select set_config('luneo.organization_id', %s, true)", (str(trail.organization),))
        await connection.execute(
            "insert into governance.audit_entries "
            "(id, organization_id, recorded_at, actor_kind, action, target, target_id, before, after, commitments)"
            " values (uuidv7(), %s, now(), 'user', 'late.committed', 'x', uuidv7(), '{}', '{}', '{}')",
            (trail.organization,),
        )
        await trail.record("early.committed")
        await trail.seal_handler(SealAuditTrail())
        assert (await trail.verify()).sealed_count == 0
        assert (await trail.verify()).unsealed_count == 1
        await connection.execute("commit")
    finally:
        await late.__aexit__(None, None, None)
    await trail.seal()
    entries = await trail.recorded.entries(trail.principal(), after=(0, UUID(int=0)), below=None, limit=10)
    assert [entry.action for entry in entries] == ["late.committed", "early.committed"]
    seals = await trail.recorded.seals(trail.principal(), after=0, limit=10)
    assert [entry_id for seal in seals for entry_id, _ in seal.entry_hashes()] == [entry.id for entry in entries]
    assert (await trail.verify()).ok


async def test_two_sealers_never_work_at_once(trail: Trail) -> None:
    await trail.record()
    async with PostgresSealing(trail.platform)() as first:
        assert await first.next_batch(10) is not None
        async with PostgresSealing(trail.platform)() as second:
            assert await second.next_batch(10) is None


async def test_sealers_racing_seal_everything_once(trail: Trail) -> None:
    for _ in range(10):
        await asyncio.gather(trail.record(), trail.record(), trail.seal_handler(SealAuditTrail()), trail.seal_handler(SealAuditTrail()))
    await trail.seal()
    assert (await trail.verify()).sealed_count == 20


async def test_erasing_a_persons_values_leaves_the_proof_whole(trail: Trail) -> None:
    await trail.record()
    await trail.seal()
    async with trail.platform.connection() as connection:
        erased = await connection.execute(
            "delete from governance.audit_personal_values where organization_id = %s and field = 'email'", (trail.organization,)
        )
        assert erased.rowcount == 1
    assert (await trail.verify()).ok
    assert verify_file(await trail.exported()).ok


async def test_entries_are_listed_by_pages_and_filtered(trail: Trail) -> None:
    for action in ("agent.created", "agent.published", "agent.created"):
        await trail.record(action)
    await trail.record(organization=uuid4())
    everything = EntryFilter()
    first = await trail.recorded.newest(trail.principal(), everything, PageRequest(limit=2))
    assert [entry.action for entry in first.items] == ["agent.created", "agent.published"]
    second = await trail.recorded.newest(trail.principal(), everything, PageRequest(cursor=first.next_cursor, limit=2))
    assert [entry.action for entry in second.items] == ["agent.created"]
    assert second.next_cursor is None
    filtered = await trail.recorded.newest(trail.principal(), EntryFilter(action="agent.published", target="agent"), PageRequest())
    assert len(filtered.items) == 1
    with pytest.raises(InvalidInput):
        await trail.recorded.newest(trail.principal(), everything, PageRequest(cursor="!"))


@pytest.fixture
async def sealed(trail: Trail) -> Trail:
    for _ in range(3):
        await trail.record(count=2)
        await trail.seal()
    assert (await trail.verify()).sealed_sequence == 3
    return trail


async def found(trail: Trail, head: str | None = None) -> tuple[FaultKind, int | None, UUID | None]:
    online = await trail.verify(head)
    assert verify_file(await trail.exported(), expected_head=head) == online
    assert online.fault is not None
    return online.fault.kind, online.fault.sequence, online.fault.entry_id


async def second_batch(trail: Trail) -> UUID:
    seals = await trail.recorded.seals(trail.principal(), after=1, limit=1)
    return next(seals[0].entry_hashes())[0]


@pytest.mark.parametrize(
    "assignment",
    [
        "action = 'agent.deleted'",
        "after = '{\"n\": 3}'",
        "before = '{}'",
        "actor_id = uuidv7()",
        "actor_kind = 'system'",
        "actor_role = null",
        "recorded_at = recorded_at - interval '1 microsecond'",
        "target = 'key'",
        "target_id = uuidv7()",
        "request_id = null",
        "commitments = commitments - 'email'",
    ],
)
async def test_a_changed_field_is_found(sealed: Trail, assignment: LiteralString) -> None:
    victim = await second_batch(sealed)
    sealed.tamper(f"update governance.audit_entries set {assignment} where id = %s", victim)  # noqa: S608 - the parameters above
    assert await found(sealed) == (FaultKind.ENTRY_CHANGED, 2, victim)


async def test_an_altered_personal_value_is_found(sealed: Trail) -> None:
    victim = await second_batch(sealed)
    sealed.tamper("update governance.audit_personal_values set value = 'eve@example.org' where entry_id = %s and field = 'email'", victim)
    online = await sealed.verify()
    assert online.fault is not None
    assert (online.fault.kind, online.fault.entry_id) == (FaultKind.PERSONAL_VALUE_CHANGED, victim)


async def test_a_deleted_entry_is_found(sealed: Trail) -> None:
    victim = await second_batch(sealed)
    sealed.tamper("delete from governance.audit_entries where id = %s", victim)
    assert await found(sealed) == (FaultKind.ENTRY_MISSING, 2, victim)


async def test_an_inserted_entry_is_found(sealed: Trail) -> None:
    victim, forged = await second_batch(sealed), uuid4()
    sealed.tamper(
        "insert into governance.audit_entries select (jsonb_populate_record(e, jsonb_build_object('id', %s::text))).* "
        "from governance.audit_entries e where id = %s",
        str(forged),
        victim,
    )
    assert await found(sealed) == (FaultKind.ENTRY_ADDED, 2, forged)


async def test_an_entry_that_changed_its_organisation_is_missing_from_its_own(sealed: Trail) -> None:
    victim = await second_batch(sealed)
    sealed.tamper("update governance.audit_entries set organization_id = uuidv7() where id = %s", victim)
    assert await found(sealed) == (FaultKind.ENTRY_MISSING, 2, victim)


@pytest.mark.parametrize(
    "assignment",
    [
        "merkle_root = seal_hash",
        "leaves = substr(leaves, 1, 48)",
        "sealed_at = now()",
        "sealed_below = (sealed_below::text::bigint - 1)::text::xid8",
    ],
)
async def test_a_changed_seal_is_found(sealed: Trail, assignment: LiteralString) -> None:
    sealed.tamper(f"update governance.audit_seals set {assignment} where organization_id = %s and sequence = 2", sealed.organization)  # noqa: S608 - the parameters above
    assert await found(sealed) == (FaultKind.SEAL_CHANGED, 2, None)


async def test_a_removed_seal_is_found(sealed: Trail) -> None:
    sealed.tamper("delete from governance.audit_seals where organization_id = %s and sequence = 2", sealed.organization)
    assert await found(sealed) == (FaultKind.SEAL_MISSING, 2, None)


async def test_dropping_the_last_seal_is_found_with_the_published_head(sealed: Trail) -> None:
    published = (await sealed.verify()).head
    sealed.tamper("delete from governance.audit_seals where organization_id = %s and sequence = 3", sealed.organization)
    assert await found(sealed, published) == (FaultKind.HEAD_MISSING, 2, None)
    await sealed.seal()  # sealing again does not bring the published head back
    assert await found(sealed, published) == (FaultKind.HEAD_MISSING, 3, None)


async def test_fifty_thousand_entries_are_sealed_with_a_handful_of_statements(trail: Trail) -> None:
    await trail.record(count=10)
    await trail.seal()
    trail.tamper(
        "insert into governance.audit_entries "
        "(id, organization_id, recorded_at, actor_kind, action, target, target_id, before, after, commitments) "
        "select uuidv7(), %s, now(), 'user', 'bulk.written', 'thing', uuidv7(), '{}', '{\"n\": 1}', '{}' from generate_series(1, 50000)",
        trail.organization,
    )
    began = time.perf_counter()
    assert await trail.seal_handler(SealAuditTrail()) != NOTHING_SEALED
    elapsed = time.perf_counter() - began
    report = await trail.verify()
    assert (report.ok, report.sealed_count) == (True, 50_010)
    assert elapsed < 10, "a rate of a few thousand entries per second even on a busy machine"


async def test_sealing_says_when_the_transaction_numbers_went_back(trail: Trail) -> None:
    await trail.record()
    await trail.seal()
    trail.tamper("update governance.audit_seals set sealed_below = '9000000000000000' where organization_id = %s", trail.organization)
    with pytest.raises(TransactionNumbersWentBack, match="pg_resetwal"):
        await trail.seal_handler(SealAuditTrail())
    trail.tamper("delete from governance.audit_seals where organization_id = %s", trail.organization)

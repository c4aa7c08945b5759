import io
import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from contracts.governance.commands import AuditedChange
from contracts.identity.permissions import Permission
from domains.governance.model.audit_entry import ORIGIN_ADDRESS, ORIGIN_USER_AGENT, PersonalValue
from domains.governance.model.audit_seal import NO_HEAD, seal
from domains.governance.model.trail_file import LONGEST_LINE, lines_of, verify_file
from domains.governance.model.verification import Fault, FaultKind
from domains.governance.ports.sealing import TransactionNumbersWentBack
from domains.governance.use_cases.export_audit_trail import ExportAuditTrail, ExportAuditTrailHandler
from domains.governance.use_cases.list_audit_events import ListAuditEvents, ListAuditEventsHandler
from domains.governance.use_cases.seal_audit_trail import NOTHING_SEALED, SealAuditTrail, SealAuditTrailHandler
from domains.governance.use_cases.verify_audit_trail import VerifyAuditTrail, VerifyAuditTrailHandler
from shared_kernel.aggregate import AuditNote
from shared_kernel.errors import InvalidInput
from shared_kernel.pagination import PageRequest
from shared_kernel.principal import Origin, Principal, PrincipalKind
from tests.fakes.governance import InMemoryAuditDatabase, InMemoryAuditTrail, InMemoryRecordedTrail, InMemorySealing

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
ORGANIZATION = uuid4()
OTHER = uuid4()


class World:
    def __init__(self) -> None:
        self.database = InMemoryAuditDatabase()
        self.trail = InMemoryAuditTrail(self.database)
        self.recorded = InMemoryRecordedTrail(self.database)
        self.time = NOW
        self.seal = SealAuditTrailHandler(InMemorySealing(self.database), self)
        self.verify = VerifyAuditTrailHandler(self.recorded)
        self.export = ExportAuditTrailHandler(self.recorded, self)
        self.list = ListAuditEventsHandler(self.recorded)

    def now(self) -> datetime:
        return self.time

    async def record(self, action: str = "agent.published", *, organization: UUID | None = ORGANIZATION, count: int = 1) -> None:
        with self.database.transaction(principal(organization)) as unit:
            await self.trail.append(unit, [change(action) for _ in range(count)])


def principal(organization: UUID | None = ORGANIZATION, *permissions: Permission) -> Principal:
    return Principal(
        PrincipalKind.USER,
        uuid4(),
        organization,
        permissions=frozenset(permissions),
        role="owner",
        origin=Origin("203.0.113.7", "Firefox", "req-1"),
    )


def change(action: str = "agent.published") -> AuditedChange:
    note = AuditNote(
        action=action, before={"status": "draft"}, after={"status": "live", "price": 1.5}, personal={"email": "ada@example.org"}
    )
    return AuditedChange(note=note, target="agent", target_id=uuid4(), at=NOW)


async def lines(pieces: AsyncIterator[bytes]) -> list[bytes]:
    return b"".join([piece async for piece in pieces]).splitlines(keepends=True)


async def test_an_entry_holds_commitments_instead_of_personal_values() -> None:
    world = World()
    await world.record()
    (entry,) = world.database.entries.values()
    assert set(entry.commitments) == {"email", ORIGIN_ADDRESS, ORIGIN_USER_AGENT}
    assert "ada@example.org" not in str(entry.sealed_content())
    assert "203.0.113.7" not in str(entry.sealed_content())


def test_the_same_value_is_committed_to_differently_each_time() -> None:
    assert PersonalValue.of("ada@example.org").commitment != PersonalValue.of("ada@example.org").commitment


async def test_what_is_committed_is_sealed_once_and_verifies() -> None:
    world = World()
    await world.record(count=3)
    await world.record(organization=OTHER)
    await world.record(organization=None)
    assert (await world.seal(SealAuditTrail())).entries == 5
    assert await world.seal(SealAuditTrail()) == NOTHING_SEALED
    for organization, count in ((ORGANIZATION, 3), (OTHER, 1), (None, 1)):
        report = await world.verify(VerifyAuditTrail(requested_by=principal(organization)))
        assert (report.ok, report.sealed_sequence, report.sealed_count, report.unsealed_count) == (True, 1, count, 0)


async def test_each_seal_names_the_one_before() -> None:
    world = World()
    for _ in range(3):
        await world.record()
        await world.seal(SealAuditTrail())
    hashes = [s.seal_hash for s in world.database.seals]
    assert [s.previous_hash for s in world.database.seals] == [bytes(32), *hashes[:-1]]
    report = await world.verify(VerifyAuditTrail(requested_by=principal()))
    assert report.head == hashes[-1].hex()


async def test_an_entry_waits_while_an_older_transaction_runs_and_keeps_its_place() -> None:
    world = World()
    older = world.database.begin(principal())
    await world.trail.append(older, [change("older.begun")])
    await world.record("younger.committed")
    assert await world.seal(SealAuditTrail()) == NOTHING_SEALED
    world.database.commit(older)
    assert (await world.seal(SealAuditTrail())).entries == 2
    first, _ = world.database.seals[0].entry_hashes()
    assert world.database.entries[first[0]].action == "older.begun"


async def test_a_batch_is_cut_between_transactions_never_inside_one() -> None:
    world = World()
    await world.record(count=5)
    await world.record(count=2)
    assert [(await world.seal(SealAuditTrail(limit=3))).entries for _ in range(3)] == [5, 2, 0]
    assert (await world.verify(VerifyAuditTrail(requested_by=principal()))).ok


async def test_a_large_batch_is_hashed_beside_the_event_loop_with_the_same_result() -> None:
    world = World()
    await world.record(count=600)
    assert (await world.seal(SealAuditTrail())).entries == 600
    assert (await world.verify(VerifyAuditTrail(requested_by=principal()))).sealed_count == 600


async def test_a_second_sealer_leaves_the_work_to_the_first() -> None:
    world = World()
    await world.record()
    world.database.being_sealed = True
    assert await world.seal(SealAuditTrail()) == NOTHING_SEALED


async def test_sealing_refuses_to_go_on_after_the_transaction_numbers_went_back() -> None:
    world = World()
    await world.record()
    await world.seal(SealAuditTrail())
    world.database.next_number = 3
    with pytest.raises(TransactionNumbersWentBack):
        await world.seal(SealAuditTrail())


async def test_an_erased_personal_value_leaves_the_proof_whole() -> None:
    world = World()
    await world.record()
    await world.seal(SealAuditTrail())
    world.database.erase_personal_values(next(iter(world.database.entries)))
    assert (await world.verify(VerifyAuditTrail(requested_by=principal()))).ok


def test_a_batch_lies_after_the_seal_before_it_and_below_its_bound() -> None:
    with pytest.raises(ValueError, match="at least one"):
        seal(ORGANIZATION, NO_HEAD, [], sealed_below=1, at=NOW)


async def sealed_world() -> World:
    world = World()
    for _ in range(3):
        await world.record(count=2)
        await world.seal(SealAuditTrail())
    await world.record()
    return world


async def found(world: World, head: str | None = None) -> Fault | None:
    online = await world.verify(VerifyAuditTrail(requested_by=principal(), expected_head=head))
    manager = principal(ORGANIZATION, Permission.SETTINGS_MANAGE)
    offline = verify_file(await lines(world.export(ExportAuditTrail(requested_by=manager))), expected_head=head)
    assert offline == online
    return online.fault


async def test_a_whole_trail_verifies_on_line_and_from_its_file_and_counts_what_waits() -> None:
    world = await sealed_world()
    assert await found(world, world.database.seals[1].seal_hash.hex()) is None
    report = await world.verify(VerifyAuditTrail(requested_by=principal()))
    assert (report.sealed_sequence, report.sealed_count, report.unsealed_count, report.sealed_at) == (3, 6, 1, NOW)


async def test_the_file_verifies_without_personal_values_too() -> None:
    world = await sealed_world()
    file = await lines(world.export(ExportAuditTrail(requested_by=principal())))
    assert b"ada@example.org" not in b"".join(file)
    assert verify_file(file).ok


async def test_each_kind_of_tampering_is_found_and_named() -> None:
    world = await sealed_world()
    entries, seals = world.database.entries, world.database.seals
    second_batch = [e for e in entries.values() if seals[0].sealed_below <= e.transaction < seals[1].sealed_below]
    victim = second_batch[0]

    entries[victim.id] = replace(victim, after={"status": "draft"})
    assert _named(await found(world)) == (FaultKind.ENTRY_CHANGED, 2, victim.id)
    del entries[victim.id]
    assert _named(await found(world)) == (FaultKind.ENTRY_MISSING, 2, victim.id)
    forged = replace(victim, id=uuid4())
    entries.update({victim.id: victim, forged.id: forged})
    assert _named(await found(world)) == (FaultKind.ENTRY_ADDED, 2, forged.id)
    del entries[forged.id]
    altered = PersonalValue(victim.personal["email"].salt, "eve@example.org")
    entries[victim.id] = replace(victim, personal={**victim.personal, "email": altered})
    assert _named(await found(world)) == (FaultKind.PERSONAL_VALUE_CHANGED, 2, victim.id)
    entries[victim.id] = victim

    second = seals[1]
    for changed in (
        replace(second, merkle_root=bytes(32)),
        replace(second, leaves=second.leaves[:-1] + b"x"),
        replace(second, leaves=b""),
        replace(second, sealed_at=NOW + timedelta(days=1)),
        replace(second, sealed_below=second.sealed_below + 1),
    ):
        seals[1] = changed
        assert _named(await found(world)) == (FaultKind.SEAL_CHANGED, 2, None)
    seals[1] = seal(ORGANIZATION, seals[0].head, [replace(e, action="x") for e in second_batch], sealed_below=second.sealed_below, at=NOW)
    entries.update({e.id: replace(e, action="x") for e in second_batch})
    assert _named(await found(world)) == (FaultKind.CHAIN_BROKEN, 3, None)
    entries.update({e.id: e for e in second_batch})
    del seals[1]
    assert _named(await found(world)) == (FaultKind.SEAL_MISSING, 2, None)
    seals.insert(1, second)
    assert await found(world) is None


async def test_cutting_off_the_end_of_the_chain_is_found_with_the_published_head() -> None:
    world = await sealed_world()
    published = (await world.verify(VerifyAuditTrail(requested_by=principal()))).head
    del world.database.seals[-1]
    assert _named(await found(world, published)) == (FaultKind.HEAD_MISSING, 2, None)


async def test_cutting_off_the_end_is_found_without_it_when_another_trail_was_sealed_since() -> None:
    world = await sealed_world()
    await world.record(organization=OTHER)
    await world.seal(SealAuditTrail())
    mine = [s for s in world.database.seals if s.organization_id == ORGANIZATION]
    world.database.seals.remove(mine[-1])
    fault = await found(world)
    assert fault is not None
    assert (fault.kind, fault.sequence) == (FaultKind.ENTRY_UNSEALED, 4)


def _named(fault: Fault | None) -> tuple[FaultKind, int | None, UUID | None]:
    assert fault is not None
    return fault.kind, fault.sequence, fault.entry_id


async def test_a_damaged_file_is_said_to_be_damaged() -> None:
    world = await sealed_world()
    whole = await lines(world.export(ExportAuditTrail(requested_by=principal())))
    for damaged in (
        [],
        whole[:-1],
        whole[1:],
        [*whole, whole[1]],
        [whole[0], b"{", *whole[1:]],
        [whole[0], b"[]", *whole[1:]],
        [whole[0], b'{"type":"other"}', *whole[1:]],
        [whole[0], b'{"type":"entry"}', *whole[1:]],
        [whole[0], b'{"type":"seal"}', *whole[1:]],
        [b'{"type":"trail","format":"luneo.audit-trail.v1"}', *whole[1:]],
        [*whole[:-2], whole[-1]],
        [whole[0], whole[1].replace(b'{"action":', b'{"action":"evil.action","action":'), *whole[2:]],
        [whole[0], whole[1].replace(b'"after":{', b'"after":{"status":"draft",'), *whole[2:]],
        [whole[0].replace(b'{"exported_at":', b'{"exported_at":"1970-01-01T00:00:00.000000Z","exported_at":'), *whole[1:]],
        [*whole[:-1], whole[-1].replace(b'{"entries":', b'{"entries":0,"entries":')],
        [*whole[:-1], whole[-1].replace(b"{", b'{"remark":"seen and approved",')],
        [whole[0], b"[" * 100_000, *whole[1:]],
        [whole[0], b'{"type":"entry","after":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001, *whole[1:]],
        [whole[0], b" " * LONGEST_LINE + whole[1], *whole[2:]],
        [re.sub(rb'"exported_at":"[^"]*"', b'"exported_at":"yesterday"', whole[0]), *whole[1:]],
        [re.sub(rb'"sealed_below":"[^"]*"', b'"sealed_below":" 1_0"', whole[0]), *whole[1:]],
    ):
        report = verify_file(damaged)
        assert report.fault is not None
        assert report.fault.kind is FaultKind.FILE_DAMAGED


def test_a_line_without_end_is_not_read_as_a_whole() -> None:
    endless = io.BytesIO(b"[" * (2 * LONGEST_LINE))
    report = verify_file(lines_of(endless))
    assert report.fault is not None
    assert report.fault.kind is FaultKind.FILE_DAMAGED
    assert endless.tell() == LONGEST_LINE + 1


async def test_no_line_of_a_file_may_say_what_no_hash_covers() -> None:
    world = await sealed_world()
    whole = await lines(world.export(ExportAuditTrail(requested_by=principal())))
    for number, line in enumerate(whole):
        for added in ({"remark": "seen and approved"}, {"format": "luneo.audit-entry.v0"}, {"Action": "agent.deleted"}):
            said = json.dumps({**json.loads(line), **added}).encode()
            report = verify_file([*whole[:number], said, *whole[number + 1 :]])
            assert report.fault is not None, said
            assert report.fault.kind is FaultKind.FILE_DAMAGED


async def test_entries_are_listed_newest_first_by_pages_and_filtered() -> None:
    world = World()
    for action in ("agent.created", "agent.published", "agent.created"):
        await world.record(action)
    await world.record(organization=OTHER)
    manager = principal(ORGANIZATION, Permission.SETTINGS_MANAGE)
    first = await world.list(ListAuditEvents(requested_by=manager, page=PageRequest(limit=2)))
    assert [e.action for e in first.items] == ["agent.created", "agent.published"]
    second = await world.list(ListAuditEvents(requested_by=manager, page=PageRequest(cursor=first.next_cursor, limit=2)))
    assert [e.action for e in second.items] == ["agent.created"]
    assert second.next_cursor is None
    assert second.items[0].personal["email"].value == "ada@example.org"
    created = await world.list(ListAuditEvents(requested_by=manager, action="agent.created"))
    assert len(created.items) == 2
    with pytest.raises(InvalidInput):
        await world.list(ListAuditEvents(requested_by=manager, page=PageRequest(cursor="nonsense")))


async def test_personal_values_are_shown_to_those_who_manage_settings_alone() -> None:
    world = World()
    await world.record()
    page = await world.list(ListAuditEvents(requested_by=principal(ORGANIZATION, Permission.SETTINGS_VIEW)))
    assert page.items[0].personal == {}

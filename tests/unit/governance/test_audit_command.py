import argparse
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from contracts.governance.commands import AuditedChange
from domains.governance.use_cases.export_audit_trail import ExportAuditTrail, ExportAuditTrailHandler
from domains.governance.use_cases.seal_audit_trail import SealAuditTrail, SealAuditTrailHandler
from domains.governance.use_cases.verify_audit_trail import VerifyAuditTrailHandler
from entrypoints.cli.audit import add_arguments, verify, verify_exported
from shared_kernel.aggregate import AuditNote
from shared_kernel.clock import SystemClock
from shared_kernel.principal import Principal
from tests.fakes.governance import InMemoryAuditDatabase, InMemoryAuditTrail, InMemoryRecordedTrail, InMemorySealing


async def recorded(*organizations: Principal) -> InMemoryAuditDatabase:
    database = InMemoryAuditDatabase()
    for principal in organizations:
        with database.transaction(principal) as unit:
            change = AuditedChange(note=AuditNote(action="a.b"), target="a", target_id=uuid4(), at=datetime.now(UTC))
            await InMemoryAuditTrail(database).append(unit, [change])
    await SealAuditTrailHandler(InMemorySealing(database), SystemClock())(SealAuditTrail())
    return database


async def test_every_trail_is_verified(capsys: pytest.CaptureFixture[str]) -> None:
    database = await recorded(Principal.system(uuid4()), Principal.system(None))
    trail = InMemoryRecordedTrail(database)
    assert await verify(VerifyAuditTrailHandler(trail), trail) == 0
    assert capsys.readouterr().out.count("ok    ") == 2
    database.entries.clear()
    assert await verify(VerifyAuditTrailHandler(trail), trail) == 1
    assert capsys.readouterr().out.count("entry_missing at seal 1") == 2


async def test_nothing_recorded_is_no_fault_and_a_head_needs_its_organisation(capsys: pytest.CaptureFixture[str]) -> None:
    trail = InMemoryRecordedTrail(InMemoryAuditDatabase())
    assert await verify(VerifyAuditTrailHandler(trail), trail) == 0
    assert await verify(VerifyAuditTrailHandler(trail), trail, head="00") == 2
    assert "name its --organization" in capsys.readouterr().out


async def test_an_exported_file_is_verified_without_a_database(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    principal = Principal.system(uuid4())
    database = await recorded(principal)
    handler = ExportAuditTrailHandler(InMemoryRecordedTrail(database), SystemClock())
    file = tmp_path / "trail.jsonl"
    file.write_bytes(b"".join([piece async for piece in handler(ExportAuditTrail(requested_by=principal))]))
    head = database.seals[0].seal_hash.hex()
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    given = parser.parse_args(["--file", str(file), "--head", head])
    assert verify_exported(given.file, given.head) == 0
    assert head in capsys.readouterr().out
    file.write_bytes(file.read_bytes().replace(b'"a.b"', b'"a.c"'))
    assert verify_exported(file, None) == 1
    assert "entry_changed" in capsys.readouterr().out

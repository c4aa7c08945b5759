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
from entrypoints.cli.main import main
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
    assert await verify(VerifyAuditTrailHandler(trail), trail, head="00" * 32) == 2
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


async def test_an_organisation_without_a_trail_is_not_whole(capsys: pytest.CaptureFixture[str]) -> None:
    known = Principal.system(uuid4())
    trail = InMemoryRecordedTrail(await recorded(known))
    assert await verify(VerifyAuditTrailHandler(trail), trail, organization=known.organization_id) == 0
    capsys.readouterr()
    assert await verify(VerifyAuditTrailHandler(trail), trail, organization=uuid4()) == 1
    printed = capsys.readouterr().out
    assert "there is no trail of it" in printed
    assert "ok " not in printed


async def test_a_file_must_be_the_trail_of_the_organisation_that_was_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    principal = Principal.system(uuid4())
    handler = ExportAuditTrailHandler(InMemoryRecordedTrail(await recorded(principal)), SystemClock())
    file = tmp_path / "trail.jsonl"
    file.write_bytes(b"".join([piece async for piece in handler(ExportAuditTrail(requested_by=principal))]))
    assert main(["audit", "verify", "--file", str(file), "--organization", str(principal.organization_id)]) == 0
    capsys.readouterr()
    other = uuid4()
    assert main(["audit", "verify", "--file", str(file), "--organization", str(other)]) == 1
    assert f"not the trail of organisation {other}" in capsys.readouterr().out


@pytest.mark.parametrize("head", ["", "00", "12cc23a3…", "g" * 64, "0" * 65])
def test_what_cannot_be_a_head_is_a_wrong_command(head: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["audit", "verify", "--file", "trail.jsonl", "--head", head])
    assert refused.value.code == 2
    assert "64 hexadecimal digits" in capsys.readouterr().err

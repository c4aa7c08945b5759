"""`luneo audit verify`: prove that trails were not rewritten, on line or from an exported file."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from domains.governance.model.trail_file import lines_of, verify_file
from domains.governance.model.verification import TrailReport, published_head
from domains.governance.ports.recorded_trail import AuditedOrganizations
from domains.governance.use_cases.verify_audit_trail import VerifyAuditTrail, VerifyAuditTrailHandler
from shared_kernel.errors import InvalidInput
from shared_kernel.principal import Principal

BROKEN = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `luneo audit verify`."""
    parser.add_argument("--organization", type=UUID, help="verify this organisation's trail; without it, every trail")
    parser.add_argument("--file", type=Path, help="verify an exported trail (JSON lines) instead of the database")
    parser.add_argument("--head", type=_head, help="a head that was published earlier, in hexadecimal: the chain must hold it")


def _head(text: str) -> str:
    try:
        return published_head(text)
    except InvalidInput as error:
        raise argparse.ArgumentTypeError(error.errors[0].detail) from None


def verify_exported(file: Path, head: str | None, organization: UUID | None = None) -> int:
    """Verify an exported trail and print what was found; needs no database.

    Returns the exit status: 0 when the trail is whole, 1 when it is not, or is not the trail of `organization`.
    """
    with file.open("rb") as opened:
        report = verify_file(lines_of(opened), expected_head=head)
    status = _print([report])
    if organization is not None and report.organization_id != organization and status == 0:
        print(f"BROKEN the file is not the trail of organisation {organization}")
        return BROKEN
    return status


async def verify(
    handler: VerifyAuditTrailHandler, organizations: AuditedOrganizations, *, organization: UUID | None = None, head: str | None = None
) -> int:
    """Verify one trail, or every trail, in the database and print what was found.

    Returns the exit status: 0 when all are whole, 1 when one is not, or nothing was ever recorded for the organisation that was named: its
    founding is, so there is something to explain. A head names one chain, so it needs an organisation.
    """
    if head is not None and organization is None:
        print("--head belongs to one trail: name its --organization")
        return 2
    trails = await organizations.with_a_trail()
    if organization is not None:
        if organization not in trails:
            print(f"BROKEN organisation {organization}: there is no trail of it; its id is wrong, or its entries and seals are gone")
            return BROKEN
        trails = [organization]
    reports = [
        await handler(VerifyAuditTrail(requested_by=Principal.system(trail, name="operator"), expected_head=head)) for trail in trails
    ]
    return _print(reports)


def _print(reports: Sequence[TrailReport]) -> int:
    if not reports:
        print("nothing was recorded yet")
    for report in reports:
        print(_described(report))
    return 0 if all(report.ok for report in reports) else BROKEN


def _described(report: TrailReport) -> str:
    trail = f"organisation {report.organization_id}" if report.organization_id else "people without an organisation"
    sealed = f"sealed up to {report.sealed_sequence} ({report.sealed_count} entries, {report.sealed_at or 'never'})"
    lines = [f"{'ok    ' if report.ok else 'BROKEN'} {trail}: {sealed}, {report.unsealed_count} waiting"]
    if report.head is not None:
        lines.append(f"       head {report.head}")
    fault = report.fault
    if fault is not None:
        where = "" if fault.sequence is None else f" at seal {fault.sequence}"
        which = "" if fault.entry_id is None else f", entry {fault.entry_id}"
        lines.append(f"       {fault.kind}{where}{which}: {fault.detail}")
    return "\n".join(lines)

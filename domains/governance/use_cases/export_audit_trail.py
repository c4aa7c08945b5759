"""Give a customer their trail, to keep and to verify without us."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from contracts.identity.permissions import Permission
from domains.governance.model.audit_entry import AuditEntry
from domains.governance.model.trail_file import TrailFileHeader, entry_line, header_line, last_line, seal_line
from domains.governance.ports.recorded_trail import RecordedTrail
from domains.governance.use_cases.reading_trails import entries_beyond, sealed_batches
from shared_kernel.clock import Clock
from shared_kernel.principal import Principal

MAY_SEE_PERSONAL_VALUES = Permission.SETTINGS_MANAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportAuditTrail:
    """Export the trail of the caller's organisation."""

    requested_by: Principal


@dataclass(frozen=True, slots=True)
class ExportAuditTrailHandler:
    """Streams the trail as JSON lines; memory holds one batch at a time."""

    trail: RecordedTrail
    clock: Clock

    async def __call__(self, query: ExportAuditTrail) -> AsyncIterator[bytes]:
        """Yield pieces of the file, whole lines each (`domains.governance.model.trail_file` says what is in them).

        Personal values are in it only for callers who may manage settings; the proof holds without them.
        """
        principal = query.requested_by
        sealed_below = await self.trail.sealed_below(principal)
        yield header_line(
            TrailFileHeader(organization_id=principal.organization_id, sealed_below=sealed_below, exported_at=self.clock.now())
        )
        entries = seals = last = 0
        async for seal, sealed in sealed_batches(self.trail, principal):
            yield b"".join([*[entry_line(shown_to(principal, entry)) for entry in sealed], seal_line(seal)])
            last = seal.sealed_below
            seals += 1
            entries += len(sealed)
        async for page in entries_beyond(self.trail, principal, transaction=last):
            yield b"".join([entry_line(shown_to(principal, entry)) for entry in page])
            entries += len(page)
        yield last_line(entries=entries, seals=seals)


def shown_to(principal: Principal, entry: AuditEntry) -> AuditEntry:
    """Return the entry as `principal` may see it: personal values only with the permission to manage settings."""
    return entry if MAY_SEE_PERSONAL_VALUES in principal.permissions else replace(entry, personal={})

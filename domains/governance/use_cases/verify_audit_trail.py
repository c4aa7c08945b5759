"""Prove that a trail was not rewritten, or say where it was."""

from dataclasses import dataclass

from domains.governance.model.verification import TrailReport, TrailVerifier
from domains.governance.ports.recorded_trail import RecordedTrail
from domains.governance.use_cases.reading_trails import entries_beyond, sealed_batches
from shared_kernel.principal import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyAuditTrail:
    """Verify the trail of the caller's organisation; `expected_head`, in hexadecimal, is a head that was published earlier."""

    requested_by: Principal
    expected_head: str | None = None


@dataclass(frozen=True, slots=True)
class VerifyAuditTrailHandler:
    """Reads the whole trail once, in pages."""

    trail: RecordedTrail

    async def __call__(self, query: VerifyAuditTrail) -> TrailReport:
        """Return what was found: whether the trail is whole and up to where, or the first fault.

        - Every leaf is computed again from its row, every root from its leaves, every seal from its fields and the seal before it.
        - A personal value that was erased is no fault; one that does not open its commitment is.
        - What is committed and not sealed yet is counted, not proven.

        Raises `InvalidInput` for an `expected_head` that can't be one.
        """
        sealed_below = await self.trail.sealed_below(query.requested_by)
        verifier = TrailVerifier(query.requested_by.organization_id, expected_head=query.expected_head)
        last = 0
        async for seal, entries in sealed_batches(self.trail, query.requested_by):
            verifier.check_seal(seal, entries)
            last = seal.sealed_below
            if verifier.fault is not None:
                return verifier.report()
        async for page in entries_beyond(self.trail, query.requested_by, transaction=last):
            verifier.check_unsealed(page, sealed_below=sealed_below)
        return verifier.report()

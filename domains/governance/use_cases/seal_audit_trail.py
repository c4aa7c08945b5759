"""Seal what was committed."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from uuid import UUID

from domains.governance.model.audit_entry import AuditEntry
from domains.governance.model.audit_seal import NO_HEAD, AuditSeal, Head, seal
from domains.governance.ports.sealing import Batch, SealingTransactions
from shared_kernel.clock import Clock

BATCH_LIMIT = 10_000
_IN_A_THREAD_FROM = 500  # hashing fewer takes less than 20 ms


@dataclass(frozen=True, slots=True, kw_only=True)
class SealAuditTrail:
    """Seal one batch of at most about `limit` entries."""

    limit: int = BATCH_LIMIT


@dataclass(frozen=True, slots=True)
class SealedBatch:
    """What one pass did: how many entries it sealed, and the new head of each chain that grew, in hexadecimal, to be published."""

    entries: int
    heads: Mapping[UUID | None, str]


NOTHING_SEALED = SealedBatch(0, {})


@dataclass(frozen=True, slots=True)
class SealAuditTrailHandler:
    """Seals committed entries, one seal per organisation and batch. Run by the scheduler twice a second, in any number of replicas."""

    sealing: SealingTransactions
    clock: Clock

    async def __call__(self, command: SealAuditTrail) -> SealedBatch:
        """Seal the next batch; return what was sealed, nothing when there is nothing or another sealer is at work.

        - An entry is sealed once no transaction older than its own is running: nothing can come before it any more.
        - Entries are sealed in order of transaction, then id, whatever the clock said.
        - All organisations' seals of a batch are kept together or not at all, so a crash leaves nothing half sealed.
        - The database's transaction number, not the time, is what the order hangs on: raises `TransactionNumbersWentBack` when it was
          reset.
        """
        async with self.sealing() as tx:
            batch = await tx.next_batch(command.limit)
            if batch is None:
                return NOTHING_SEALED
            heads = await tx.heads(sorted({entry.organization_id for entry in batch.entries}, key=str))
            at = self.clock.now()
            if len(batch.entries) < _IN_A_THREAD_FROM:
                seals = _seals(batch, heads, at)
            else:
                seals = await asyncio.to_thread(_seals, batch, heads, at)
            await tx.add(seals)
        return SealedBatch(len(batch.entries), {made.organization_id: made.seal_hash.hex() for made in seals})


def _seals(batch: Batch, heads: Mapping[UUID | None, Head], at: datetime) -> list[AuditSeal]:
    def trail(entry: AuditEntry) -> str:
        return str(entry.organization_id)

    in_trails = groupby(sorted(batch.entries, key=trail), key=trail)  # sorting is stable: the order inside a trail stays
    seals: list[AuditSeal] = []
    for _, group in in_trails:
        entries = list(group)
        organization_id = entries[0].organization_id
        seals.append(seal(organization_id, heads.get(organization_id, NO_HEAD), entries, sealed_below=batch.sealed_below, at=at))
    return seals

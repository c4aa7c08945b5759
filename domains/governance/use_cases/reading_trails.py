"""A trail read once from its beginning, in pieces that fit into memory."""

from collections.abc import AsyncIterator, Sequence
from uuid import UUID

from domains.governance.model.audit_entry import AuditEntry
from domains.governance.model.audit_seal import AuditSeal
from domains.governance.ports.recorded_trail import Position, RecordedTrail
from shared_kernel.principal import Principal

PAGE = 5_000
_SEALS_PAGE = 200
BEGINNING: Position = (0, UUID(int=0))


async def sealed_batches(trail: RecordedTrail, principal: Principal) -> AsyncIterator[tuple[AuditSeal, Sequence[AuditEntry]]]:
    """Yield each seal with the entries found in its range, in order.

    Seals are read before their entries: whatever a later transaction adds lies beyond the seals that were read. Small batches share one
    read.
    """
    entries = _Reader(trail, principal)
    below = 0
    sequence = 0
    while seals := await trail.seals(principal, after=sequence, limit=_SEALS_PAGE):
        sequence = seals[-1].sequence
        furthest = max(seal.sealed_below for seal in seals)
        for seal in seals:
            below = max(below, seal.sealed_below)
            yield seal, await entries.take_below(below, read_ahead=furthest)


async def entries_beyond(trail: RecordedTrail, principal: Principal, *, transaction: int) -> AsyncIterator[Sequence[AuditEntry]]:
    """Yield the entries from `transaction` on, a page at a time, in order."""
    position: Position = (transaction, UUID(int=0))
    while page := await trail.entries(principal, after=position, below=None, limit=PAGE):
        yield page
        position = (page[-1].transaction, page[-1].id)


class _Reader:
    """Entries in order, read ahead by pages."""

    def __init__(self, trail: RecordedTrail, principal: Principal) -> None:
        self._trail = trail
        self._principal = principal
        self._position = BEGINNING
        self._ahead: list[AuditEntry] = []

    async def take_below(self, below: int, *, read_ahead: int) -> list[AuditEntry]:
        taken: list[AuditEntry] = []
        while True:
            end = next((index for index, entry in enumerate(self._ahead) if entry.transaction >= below), None)
            if end is not None:
                taken += self._ahead[:end]
                del self._ahead[:end]
                return taken
            taken += self._ahead
            self._ahead = list(await self._trail.entries(self._principal, after=self._position, below=read_ahead, limit=PAGE))
            if not self._ahead:
                return taken
            self._position = (self._ahead[-1].transaction, self._ahead[-1].id)

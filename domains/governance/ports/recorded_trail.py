"""Reading what was recorded."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from domains.governance.model.audit_entry import AuditEntry
from domains.governance.model.audit_seal import AuditSeal
from shared_kernel.pagination import Page, PageRequest
from shared_kernel.principal import Principal

Position = tuple[int, UUID]
"""Where an entry stands in its trail: transaction and id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryFilter:
    """Which entries: every condition that is not `None` must hold."""

    action: str | None = None
    target: str | None = None
    target_id: UUID | None = None


class RecordedTrail(Protocol):
    """One organisation's entries and seals; which one, the principal says."""

    async def sealed_below(self, principal: Principal) -> int:
        """Return the transaction number that the sealer has passed, whatever organisation it sealed there; 0 before its first seal."""
        ...

    async def seals(self, principal: Principal, *, after: int, limit: int) -> Sequence[AuditSeal]:
        """Return at most `limit` seals with a sequence above `after`, in order."""
        ...

    async def entries(self, principal: Principal, *, after: Position, below: int | None, limit: int) -> Sequence[AuditEntry]:
        """Return at most `limit` entries beyond the position `after`, in order, with personal values.

        Only those of transactions below `below`; `None` means all.
        """
        ...

    async def newest(self, principal: Principal, which: EntryFilter, page: PageRequest) -> Page[AuditEntry]:
        """Return one page of entries, newest first, with their personal values. Raises `InvalidInput` for a cursor it did not give."""
        ...


class AuditedOrganizations(Protocol):
    """Who has a trail. For the operator's tools, across organisations."""

    async def with_a_trail(self) -> Sequence[UUID | None]:
        """Return every organisation with entries or seals; `None` is the trail of people who have no organisation yet."""
        ...

"""What other contexts ask of governance inside their own transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from shared_kernel.aggregate import AuditNote
from shared_kernel.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditedChange:
    """One change to be remembered: what an aggregate noted, on which object, when (UTC)."""

    note: AuditNote
    target: str
    target_id: UUID
    at: datetime


class AuditTrail(Protocol):
    """The append-only record of who did what."""

    async def append(self, unit: UnitOfWork, changes: Sequence[AuditedChange]) -> None:
        """Append `changes`, made by the unit's principal, to its organisation's trail; they become permanent when `unit` commits."""
        ...

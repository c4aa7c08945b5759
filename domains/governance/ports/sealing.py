"""What the sealer needs: one transaction that sees committed entries of all organisations."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from domains.governance.model.audit_entry import AuditEntry
from domains.governance.model.audit_seal import AuditSeal, Head


@dataclass(frozen=True, slots=True)
class Batch:
    """All committed entries, of every organisation, from where sealing had got to up to the transaction `sealed_below`.

    They are ordered by transaction and id. No transaction below `sealed_below` is running any more, so nothing can appear there later.
    """

    entries: Sequence[AuditEntry]
    sealed_below: int


class TransactionNumbersWentBack(Exception):
    """The database counts transactions from a lower number than it had sealed: it was restored from a logical dump."""


class SealingTransaction(Protocol):
    """The sealer's transaction; what it adds is kept when the block is left without an error."""

    async def next_batch(self, limit: int) -> Batch | None:
        """Return the next batch, or `None` when there is nothing to seal or another sealer is at work.

        A batch has at most `limit` entries unless a single transaction wrote more: transactions are never split.
        Raises `TransactionNumbersWentBack`.
        """
        ...

    async def heads(self, organization_ids: Sequence[UUID | None]) -> dict[UUID | None, Head]:
        """Return the head of each of these organisations' chains; those without a seal are left out."""
        ...

    async def add(self, seals: Sequence[AuditSeal]) -> None:
        """Add the seals."""
        ...


class SealingTransactions(Protocol):
    """Opens the sealer's transactions."""

    def __call__(self) -> AbstractAsyncContextManager[SealingTransaction]:
        """Return a transaction to be entered with `async with`."""
        ...

"""Governance without a database: transactions with numbers, a snapshot's horizon, and a trail.

It keeps what Postgres promises: a transaction has a number from its first write on; its entries are seen by others once it commits; the
horizon is the
smallest number that is still running.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from uuid import UUID

from contracts.governance.commands import AuditedChange
from domains.governance.model.audit_entry import AuditEntry, new_entry
from domains.governance.model.audit_seal import AuditSeal, Head
from domains.governance.ports.recorded_trail import EntryFilter, Position
from domains.governance.ports.sealing import Batch, TransactionNumbersWentBack
from shared_kernel.identifiers import new_id
from shared_kernel.pagination import ForeignCursor, Page, PageRequest
from shared_kernel.principal import Principal
from shared_kernel.unit_of_work import UnitOfWork


@dataclass(eq=False)
class InMemoryUnit:
    """An open transaction of one tenant."""

    principal: Principal
    number: int | None = None
    entries: list[AuditEntry] = field(default_factory=list)


@dataclass
class InMemoryAuditDatabase:
    """Committed entries and seals of all organisations, and the transactions that run."""

    entries: dict[UUID, AuditEntry] = field(default_factory=dict)
    seals: list[AuditSeal] = field(default_factory=list)
    next_number: int = 700
    running: list[InMemoryUnit] = field(default_factory=list)
    being_sealed: bool = False

    def begin(self, principal: Principal) -> InMemoryUnit:
        unit = InMemoryUnit(principal)
        self.running.append(unit)
        return unit

    def commit(self, unit: InMemoryUnit) -> None:
        self.running.remove(unit)
        self.entries.update({entry.id: entry for entry in unit.entries})

    def rollback(self, unit: InMemoryUnit) -> None:
        self.running.remove(unit)

    @contextmanager
    def transaction(self, principal: Principal) -> Iterator[InMemoryUnit]:
        unit = self.begin(principal)
        try:
            yield unit
        except BaseException:
            self.rollback(unit)
            raise
        self.commit(unit)

    @property
    def horizon(self) -> int:
        return min((unit.number for unit in self.running if unit.number is not None), default=self.next_number)

    @property
    def sealed_below(self) -> int:
        return max((seal.sealed_below for seal in self.seals), default=0)

    def erase_personal_values(self, entry_id: UUID) -> None:
        self.entries[entry_id] = replace(self.entries[entry_id], personal={})


@dataclass
class InMemoryAuditTrail:
    """Implements `AuditTrail`."""

    database: InMemoryAuditDatabase

    async def append(self, unit: UnitOfWork, changes: Sequence[AuditedChange]) -> None:
        assert isinstance(unit, InMemoryUnit)
        for change in changes:
            if unit.number is None:
                unit.number = self.database.next_number
                self.database.next_number += 1
            new = new_entry(new_id(), unit.principal, change)
            assert isinstance(new.before, dict)
            assert isinstance(new.after, dict)
            unit.entries.append(
                AuditEntry(
                    id=new.id,
                    organization_id=unit.principal.organization_id,
                    transaction=unit.number,
                    recorded_at=new.at,
                    actor_kind=str(unit.principal.kind),
                    actor_id=unit.principal.id,
                    actor_role=unit.principal.role,
                    action=new.action,
                    target=new.target,
                    target_id=new.target_id,
                    before=new.before,
                    after=new.after,
                    commitments=new.commitments,
                    request_id=new.request_id,
                    personal=new.personal,
                )
            )


@dataclass
class InMemorySealing:
    """Implements `SealingTransactions`."""

    database: InMemoryAuditDatabase

    def __call__(self) -> AbstractAsyncContextManager["InMemorySealingTransaction"]:
        return self._open()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator["InMemorySealingTransaction"]:
        transaction = InMemorySealingTransaction(self.database)
        try:
            yield transaction
            self.database.seals += transaction.added
        finally:
            if transaction.holds_the_lock:
                self.database.being_sealed = False


@dataclass
class InMemorySealingTransaction:
    """Implements `SealingTransaction`."""

    database: InMemoryAuditDatabase
    added: list[AuditSeal] = field(default_factory=list)
    holds_the_lock: bool = False

    async def next_batch(self, limit: int) -> Batch | None:
        if self.database.being_sealed:
            return None
        self.database.being_sealed = self.holds_the_lock = True
        sealed, horizon = self.database.sealed_below, self.database.horizon
        if horizon < sealed:
            raise TransactionNumbersWentBack
        ready = _in_order(e for e in self.database.entries.values() if sealed <= e.transaction < horizon)
        if len(ready) > limit:
            horizon = max(ready[limit].transaction, ready[0].transaction + 1)
            ready = [e for e in ready if e.transaction < horizon]
        return Batch(ready, horizon) if ready else None

    async def heads(self, organization_ids: Sequence[UUID | None]) -> dict[UUID | None, Head]:
        return {seal.organization_id: seal.head for seal in self.database.seals if seal.organization_id in organization_ids}

    async def add(self, seals: Sequence[AuditSeal]) -> None:
        self.added += seals


@dataclass
class InMemoryRecordedTrail:
    """Implements `RecordedTrail` and `AuditedOrganizations`."""

    database: InMemoryAuditDatabase

    async def sealed_below(self, principal: Principal) -> int:  # noqa: ARG002 - the port's signature
        return self.database.sealed_below

    async def seals(self, principal: Principal, *, after: int, limit: int) -> Sequence[AuditSeal]:
        mine = [s for s in self.database.seals if s.organization_id == principal.organization_id and s.sequence > after]
        return sorted(mine, key=lambda s: s.sequence)[:limit]

    async def entries(self, principal: Principal, *, after: Position, below: int | None, limit: int) -> Sequence[AuditEntry]:
        return [e for e in self._mine(principal) if (e.transaction, e.id) > after and (below is None or e.transaction < below)][:limit]

    async def newest(self, principal: Principal, which: EntryFilter, page: PageRequest) -> Page[AuditEntry]:
        try:
            before = None if page.cursor is None else UUID(page.cursor)
        except ValueError:
            raise ForeignCursor from None
        found = [
            e
            for e in sorted(self._mine(principal), key=lambda e: e.id, reverse=True)
            if (before is None or e.id < before)
            and which.action in {None, e.action}
            and which.target in {None, e.target}
            and which.target_id in {None, e.target_id}
        ]
        items = tuple(found[: page.limit])
        return Page(items, str(items[-1].id) if len(found) > page.limit else None)

    async def with_a_trail(self) -> Sequence[UUID | None]:
        return sorted(
            {e.organization_id for e in self.database.entries.values()} | {s.organization_id for s in self.database.seals}, key=str
        )

    def _mine(self, principal: Principal) -> list[AuditEntry]:
        return _in_order(e for e in self.database.entries.values() if e.organization_id == principal.organization_id)


def _in_order(entries: Iterator[AuditEntry]) -> list[AuditEntry]:
    return sorted(entries, key=lambda e: (e.transaction, e.id))

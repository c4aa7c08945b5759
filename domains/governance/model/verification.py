"""Verifying a trail: pure, so that an auditor can do it from an exported file, without us."""

import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from domains.governance.model.audit_entry import AuditEntry
from domains.governance.model.audit_seal import NO_HEAD, AuditSeal, Head
from shared_kernel.errors import FieldError, InvalidInput

_HEAD = re.compile(r"[0-9a-fA-F]{64}")


class FaultKind(StrEnum):
    """What is wrong with a trail."""

    ENTRY_CHANGED = "entry_changed"
    ENTRY_MISSING = "entry_missing"
    ENTRY_ADDED = "entry_added"
    ENTRY_UNSEALED = "entry_unsealed"
    PERSONAL_VALUE_CHANGED = "personal_value_changed"
    SEAL_CHANGED = "seal_changed"
    SEAL_MISSING = "seal_missing"
    CHAIN_BROKEN = "chain_broken"
    HEAD_MISSING = "head_missing"
    FILE_DAMAGED = "file_damaged"


@dataclass(frozen=True, slots=True)
class Fault:
    """The first thing that is wrong: its kind, the seal's number where it shows, the entry when it is one entry, and the rest in words."""

    kind: FaultKind
    sequence: int | None = None
    entry_id: UUID | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrailReport:
    """What verification found.

    Everything up to `sealed_sequence` (`sealed_count` entries, sealed at `sealed_at`) is proven when `fault` is `None`; `unsealed_count`
    entries are committed
    and wait for the next seal. `head` is the newest verified seal's hash: whoever keeps it can later prove that nothing before it was
    rewritten.
    """

    organization_id: UUID | None
    fault: Fault | None
    sealed_sequence: int
    sealed_count: int
    sealed_at: datetime | None
    unsealed_count: int
    head: str | None

    @property
    def ok(self) -> bool:
        """Whether the trail is whole."""
        return self.fault is None


def published_head(text: str) -> str:
    """Return the head that `text` names. Raises `InvalidInput` for what can be none: reporting it as missing would accuse a whole trail."""
    if _HEAD.fullmatch(text) is None:
        raise InvalidInput(FieldError("head", "invalid", "a head is 64 hexadecimal digits"))
    return text.lower()


class TrailVerifier:
    """Verifies one trail: takes its seals in order, each with the entries of its range, then the entries that no seal covers.

    It keeps the first fault only: what comes after a broken link proves nothing. With `expected_head`, a hash published earlier, that seal
    must be in the chain: without one, cutting off the end of the chain cannot be told from its not having been written yet.
    Raises `InvalidInput` for what can't be a head.
    """

    def __init__(self, organization_id: UUID | None, *, expected_head: str | None = None) -> None:
        self._organization_id = organization_id
        self._expected_head = None if expected_head is None else published_head(expected_head)
        self._head_seen = expected_head is None
        self._previous: Head = NO_HEAD
        self._sealed_count = 0
        self._sealed_at: datetime | None = None
        self._unsealed_count = 0
        self.fault: Fault | None = None

    def check_seal(self, seal: AuditSeal, entries: Iterable[AuditEntry]) -> None:
        """Verify the next seal with the entries found in its range."""
        if self.fault is not None:
            return
        self.fault = self._fault_of_seal(seal) or self._fault_of_entries(seal, entries)
        if self.fault is None:
            self._previous = seal.head
            self._sealed_count += seal.count
            self._sealed_at = seal.sealed_at
            self._head_seen = self._head_seen or seal.seal_hash.hex() == self._expected_head

    def check_unsealed(self, entries: Iterable[AuditEntry], *, sealed_below: int) -> None:
        """Verify the entries beyond the last seal.

        `sealed_below` is where the sealer itself has got to: below it nothing can be unsealed.
        """
        if self.fault is not None:
            return
        for entry in entries:
            if entry.organization_id != self._organization_id:
                self.fault = Fault(FaultKind.ENTRY_ADDED, None, entry.id, "the entry belongs to another organisation")
            elif entry.transaction < sealed_below:
                self.fault = Fault(
                    FaultKind.ENTRY_UNSEALED,
                    self._previous.sequence + 1,
                    entry.id,
                    "no seal covers the entry although the sealer has passed it: its seal was removed, or the entry was added afterwards",
                )
            else:
                self._unsealed_count += 1
                self.fault = _fault_of_personal_values(entry, None)
            if self.fault is not None:
                return

    def report(self) -> TrailReport:
        """Return what was found."""
        fault = self.fault
        if fault is None and not self._head_seen:
            detail = "the published head is not in the chain: seals were removed or rewritten"
            fault = Fault(FaultKind.HEAD_MISSING, self._previous.sequence, None, detail)
        return TrailReport(
            organization_id=self._organization_id,
            fault=fault,
            sealed_sequence=self._previous.sequence,
            sealed_count=self._sealed_count,
            sealed_at=self._sealed_at,
            unsealed_count=self._unsealed_count,
            head=self._previous.seal_hash.hex() if self._previous.sequence else None,
        )

    def _fault_of_seal(self, seal: AuditSeal) -> Fault | None:
        expected = self._previous.sequence + 1
        if seal.sequence > expected:
            return Fault(FaultKind.SEAL_MISSING, expected, None, f"the chain goes from seal {expected - 1} to seal {seal.sequence}")
        if seal.organization_id != self._organization_id or seal.sequence < expected or not seal.is_intact():
            return Fault(FaultKind.SEAL_CHANGED, seal.sequence, None, "the seal's hash does not cover its content")
        if not hmac.compare_digest(seal.previous_hash, self._previous.seal_hash) or seal.sealed_below <= self._previous.sealed_below:
            return Fault(FaultKind.CHAIN_BROKEN, seal.sequence, None, f"the seal does not follow seal {expected - 1}")
        return None

    def _fault_of_entries(self, seal: AuditSeal, entries: Iterable[AuditEntry]) -> Fault | None:
        sealed = dict(seal.entry_hashes())
        for entry in entries:
            expected = sealed.pop(entry.id, None)
            if expected is None:
                return Fault(FaultKind.ENTRY_ADDED, seal.sequence, entry.id, "the entry was not there when its batch was sealed")
            if not hmac.compare_digest(entry.leaf_hash(), expected):
                return Fault(FaultKind.ENTRY_CHANGED, seal.sequence, entry.id, "the entry is not what was sealed")
            altered = _fault_of_personal_values(entry, seal.sequence)
            if altered is not None:
                return altered
        if sealed:
            detail = f"{len(sealed)} sealed entries are gone from the batch"
            return Fault(FaultKind.ENTRY_MISSING, seal.sequence, next(iter(sealed)), detail)
        return None


def _fault_of_personal_values(entry: AuditEntry, sequence: int | None) -> Fault | None:
    field = entry.altered_personal_field()
    if field is None:
        return None
    return Fault(FaultKind.PERSONAL_VALUE_CHANGED, sequence, entry.id, f"the value of {field} does not open its commitment")

"""Seals: one per organisation and batch, each naming the one before."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from uuid import UUID

from domains.governance.model.audit_entry import AuditEntry
from domains.governance.model.canonical_json import canonical_json, time_text, uuid_text
from domains.governance.model.merkle_tree import merkle_root

SEAL_FORMAT = "luneo.audit-seal.v1"
NO_SEAL_BEFORE = bytes(32)
_ID_BYTES = 16
_HASH_BYTES = 32
_LEAF_BYTES = _ID_BYTES + _HASH_BYTES


@dataclass(frozen=True, slots=True)
class Head:
    """The newest seal of a chain: its number, its hash, and the transaction number below which everything is sealed."""

    sequence: int
    seal_hash: bytes
    sealed_below: int


NO_HEAD = Head(0, NO_SEAL_BEFORE, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSeal:
    """The proof of one batch.

    It covers every entry of `organization_id` whose transaction lies from the previous seal's `sealed_below` up to this one's, exclusive.

    `leaves` holds each entry's id (16 bytes) and leaf hash (32 bytes) in order of transaction and id: it lets verification name the entry
    that is wrong, and
    is itself bound by `merkle_root`.
    """

    organization_id: UUID | None
    sequence: int
    sealed_below: int
    leaves: bytes
    merkle_root: bytes
    previous_hash: bytes
    seal_hash: bytes
    sealed_at: datetime

    @property
    def count(self) -> int:
        """How many entries the batch holds."""
        return len(self.leaves) // _LEAF_BYTES

    @property
    def head(self) -> Head:
        """What the next seal follows."""
        return Head(self.sequence, self.seal_hash, self.sealed_below)

    def entry_hashes(self) -> Iterator[tuple[UUID, bytes]]:
        """Return each sealed entry's id and leaf hash, in order."""
        for start in range(0, len(self.leaves), _LEAF_BYTES):
            middle = start + _ID_BYTES
            yield UUID(bytes=self.leaves[start:middle]), self.leaves[middle : start + _LEAF_BYTES]

    def is_intact(self) -> bool:
        """Return whether the seal's hash covers its fields and its root covers its leaves."""
        if not self.leaves or len(self.leaves) % _LEAF_BYTES:
            return False
        return self.merkle_root == merkle_root([leaf for _, leaf in self.entry_hashes()]) and self.seal_hash == _seal_hash(
            organization_id=self.organization_id,
            sequence=self.sequence,
            sealed_below=self.sealed_below,
            count=self.count,
            root=self.merkle_root,
            previous_hash=self.previous_hash,
            sealed_at=self.sealed_at,
        )


def seal(organization_id: UUID | None, previous: Head, entries: Sequence[AuditEntry], *, sealed_below: int, at: datetime) -> AuditSeal:
    """Close a batch.

    `entries`, in order of transaction and id, are all of the organisation's from `previous` up to the transaction `sealed_below`.

    Raises `ValueError` for an empty batch, or one that does not lie after `previous`.
    """
    if not entries:
        raise ValueError("a seal covers at least one entry")
    if not previous.sealed_below <= entries[0].transaction <= entries[-1].transaction < sealed_below:
        raise ValueError("a batch lies after the seal before it and below its own bound")
    hashes = [entry.leaf_hash() for entry in entries]
    root = merkle_root(hashes)
    sequence = previous.sequence + 1
    return AuditSeal(
        organization_id=organization_id,
        sequence=sequence,
        sealed_below=sealed_below,
        leaves=b"".join([entry.id.bytes + digest for entry, digest in zip(entries, hashes, strict=True)]),
        merkle_root=root,
        previous_hash=previous.seal_hash,
        seal_hash=_seal_hash(
            organization_id=organization_id,
            sequence=sequence,
            sealed_below=sealed_below,
            count=len(entries),
            root=root,
            previous_hash=previous.seal_hash,
            sealed_at=at,
        ),
        sealed_at=at,
    )


def _seal_hash(
    *, organization_id: UUID | None, sequence: int, sealed_below: int, count: int, root: bytes, previous_hash: bytes, sealed_at: datetime
) -> bytes:
    content = {
        "format": SEAL_FORMAT,
        "organization_id": uuid_text(organization_id),
        "sequence": sequence,
        "sealed_below": str(sealed_below),
        "count": count,
        "merkle_root": root.hex(),
        "previous_hash": previous_hash.hex(),
        "sealed_at": time_text(sealed_at),
    }
    return sha256(canonical_json(content)).digest()

"""Merkle trees as Certificate Transparency hashes them (RFC 6962, section 2.1)."""

from collections.abc import Sequence
from hashlib import sha256

_LEAF = b"\x00"
_NODE = b"\x01"


def leaf_hash(content: bytes) -> bytes:
    """Return the hash of a leaf: SHA-256 over 0x00 and `content`, so that a leaf can never pass for an inner node."""
    return sha256(_LEAF + content).digest()


def merkle_root(leaf_hashes: Sequence[bytes]) -> bytes:
    """Return the root over `leaf_hashes` in order; SHA-256 of nothing for none.

    Level by level: an odd last hash goes up unchanged, which gives RFC 6962's split at the largest power of two below the length.
    """
    if not leaf_hashes:
        return sha256().digest()
    level = list(leaf_hashes)
    while len(level) > 1:
        above = [sha256(_NODE + left + right).digest() for left, right in zip(level[::2], level[1::2], strict=False)]
        if len(level) % 2:
            above.append(level[-1])
        level = above
    return level[0]

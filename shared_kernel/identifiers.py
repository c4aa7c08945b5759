"""UUID version 7 identifiers (RFC 9562, section 5.7), monotonic within a process."""

import os
import threading
import time
from uuid import UUID

_VERSION_7 = 7
_VARIANT = 0b10
_lock = threading.Lock()
_last_timestamp_ms = 0
_last_random = 0
_RANDOM_BITS = 74
_LOW_BITS = 62
_LOW_MASK = (1 << _LOW_BITS) - 1


def new_id() -> UUID:
    """Return a new UUIDv7.

    The first 48 bits are Unix milliseconds, the other 74 free bits random. Two ids made by one process in the same
    millisecond, or after the clock moved back, still sort in the order they were made: the random part is incremented
    (RFC 9562, section 6.2, method 2).
    """
    global _last_timestamp_ms, _last_random  # noqa: PLW0603 - the counter is the process's own
    with _lock:
        timestamp_ms = time.time_ns() // 1_000_000
        if timestamp_ms > _last_timestamp_ms:
            _last_timestamp_ms = timestamp_ms
            # the top bit stays free so that increments cannot overflow within a millisecond
            _last_random = int.from_bytes(os.urandom(10)) >> 7
        else:
            _last_random += 1 + int.from_bytes(os.urandom(3))
            if _last_random >= 1 << _RANDOM_BITS:
                _last_timestamp_ms += 1
                _last_random = int.from_bytes(os.urandom(10)) >> 7
        timestamp_ms, random = _last_timestamp_ms, _last_random
    return _uuid(timestamp_ms << _RANDOM_BITS | random)


def id_after(earlier: UUID) -> UUID:
    """Return a new UUIDv7 that sorts after `earlier`, also when that was made by a process whose clock is ahead of ours.

    `earlier` is a UUIDv7 too.
    """
    later = new_id()
    if later > earlier:
        return later
    value = earlier.int
    counted = (value >> 80) << _RANDOM_BITS | (value >> 64 & 0xFFF) << _LOW_BITS | value & _LOW_MASK
    return _uuid(counted + 1 + int.from_bytes(os.urandom(3)))


def _uuid(counted: int) -> UUID:
    """Return the UUIDv7 of 48 bits of milliseconds with 74 random ones below."""
    timestamp_ms, random = counted >> _RANDOM_BITS, counted & ((1 << _RANDOM_BITS) - 1)
    return UUID(int=timestamp_ms << 80 | _VERSION_7 << 76 | (random >> _LOW_BITS) << 64 | _VARIANT << _LOW_BITS | random & _LOW_MASK)

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
    high = random >> 62
    low = random & ((1 << 62) - 1)
    return UUID(int=timestamp_ms << 80 | _VERSION_7 << 76 | high << 64 | _VARIANT << 62 | low)

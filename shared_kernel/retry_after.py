"""How long a server asks to wait before the next try."""

import math
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def seconds_to_wait(headers: Mapping[str, str]) -> float | None:
    """Return how many seconds an answer's headers ask to wait (RFC 9110, and OpenAI's milliseconds), or None.

    `headers` are found by their names in lower case.
    """
    for header, divisor in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = headers.get(header)
        if value is None:
            continue
        with suppress(ValueError):
            seconds = float(value) / divisor
            if math.isfinite(seconds):
                return max(seconds, 0.0)
        with suppress(ValueError, TypeError):
            return max((parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds(), 0.0)
    return None

"""`RateLimits` in memory, with a clock that the test moves."""

from adapters.redis_store.local_rate_limits import LocalRateLimits


class InMemoryRateLimits(LocalRateLimits):
    """Counts in this process by `seconds`, which only moves when a test adds to it."""

    def __init__(self) -> None:
        super().__init__(now=lambda: self.seconds)
        self.seconds = 1000.0

"""Rate limits within one process: what holds while Redis is gone."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from contracts.rate_limits import RateDecision, RateRule

MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class Permits:
    """How many requests of a rule were `granted` at once (0 when it is refused), and the decision after the last of them."""

    granted: int
    decision: RateDecision


class LocalRateLimits:
    """The generic cell rate algorithm (ITU-T I.371, GCRA) over a bounded table.

    One number per key, the theoretical arrival time: when the key's whole limit will be free again. At most `maximum_keys` are kept; past
    it the one that was longest not counted is forgotten, which takes more distinct callers than that within one window.
    `now` returns seconds and never goes back.
    """

    def __init__(self, *, maximum_keys: int = 50_000, now: Callable[[], float] = time.monotonic) -> None:
        self._arrivals: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._maximum_keys = maximum_keys
        self._now = now

    async def check(self, rules: Sequence[RateRule]) -> RateDecision:
        """Count one request in this process."""
        return self.decide(rules)

    def decide(self, rules: Sequence[RateRule]) -> RateDecision:
        """Count one request in this process, without waiting."""
        if not rules:
            raise ValueError("a request must be counted against at least one rule")
        now = int(self._now() * MICROSECONDS)
        planned: list[tuple[int, RateRule]] = []
        refused: tuple[int, int, RateRule] | None = None
        for rule in rules:
            arrival = max(self._arrivals.get((rule.name, rule.key), 0), now) + interval(rule)
            planned.append((arrival, rule))
            wait = arrival - rule.window_seconds * MICROSECONDS - now
            if wait > 0 and (refused is None or wait > refused[0]):
                refused = (wait, arrival - interval(rule) - now, rule)
        if refused is not None:
            wait, reset, rule = refused
            return decision(rule, allowed=False, remaining=0, reset=reset, retry=wait)
        for arrival, rule in planned:
            self._remember((rule.name, rule.key), arrival)
        remaining, arrival, rule = min(
            (((rule.window_seconds * MICROSECONDS - (arrival - now)) // interval(rule), arrival, rule) for arrival, rule in planned),
            key=lambda candidate: candidate[0],
        )
        return decision(rule, allowed=True, remaining=remaining, reset=arrival - now, retry=0)

    async def take(self, rule: RateRule, *, permits: int, returned: int) -> Permits:
        """Put `returned` requests back, then count up to `permits` of them in this process: at least one, or none."""
        now, key = int(self._now() * MICROSECONDS), (rule.name, rule.key)
        free_at = max(self._arrivals.pop(key, 0) - returned * interval(rule), now)
        granted = min((rule.window_seconds * MICROSECONDS - (free_at - now)) // interval(rule), permits)
        if granted < 1:
            self._remember(key, free_at)
            retry = free_at + interval(rule) - rule.window_seconds * MICROSECONDS - now
            return Permits(0, decision(rule, allowed=False, remaining=0, reset=free_at - now, retry=retry))
        arrival = free_at + granted * interval(rule)
        self._remember(key, arrival)
        remaining = (rule.window_seconds * MICROSECONDS - (arrival - now)) // interval(rule)
        return Permits(granted, decision(rule, allowed=True, remaining=remaining, reset=arrival - now, retry=0))

    async def give_back(self, rules: Sequence[RateRule]) -> None:
        """Take one request of this process back."""
        self.forgive(rules)

    def forgive(self, rules: Sequence[RateRule]) -> None:
        """Take one request of this process back, without waiting."""
        if not rules:
            raise ValueError("a request must be taken back from at least one rule")
        for rule in rules:
            arrival = self._arrivals.pop((rule.name, rule.key), 0) - interval(rule)
            if arrival > int(self._now() * MICROSECONDS):
                self._remember((rule.name, rule.key), arrival)

    def _remember(self, key: tuple[str, str], arrival: int) -> None:
        self._arrivals[key] = arrival
        self._arrivals.move_to_end(key)
        if len(self._arrivals) > self._maximum_keys:
            self._arrivals.popitem(last=False)


def interval(rule: RateRule) -> int:
    """Return how many microseconds it takes until one more request is allowed."""
    return max(rule.window_seconds * MICROSECONDS // rule.limit, 1)


def decision(rule: RateRule, *, allowed: bool, remaining: int, reset: int, retry: int) -> RateDecision:
    """Return the decision by `rule`; `reset` and `retry` are in microseconds."""
    return RateDecision(
        allowed=allowed,
        policy=rule.name,
        limit=rule.limit,
        window_seconds=rule.window_seconds,
        remaining=remaining,
        reset_seconds=math.ceil(reset / MICROSECONDS),
        retry_after=math.ceil(retry / MICROSECONDS),
    )

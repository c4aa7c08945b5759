"""Rate limits that all replicas share, taken from the shared store several at a time for callers that come often."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from adapters.redis_store.local_rate_limits import MICROSECONDS, Permits, decision, interval
from contracts.rate_limits import RateDecision, RateLimits, RateRule

_LEASE_SECONDS: Final = 1.0
_SHARE: Final = 100
"""A lease is at most this part of a limit; a smaller limit is asked for at each request."""


class SharedRateLimits(RateLimits, Protocol):
    """Where permits are leased from."""

    async def take(self, rule: RateRule, *, permits: int, returned: int) -> Permits:
        """Put `returned` permits back, then take up to `permits`, at least one or none. Always answers, as `check` does."""
        ...


@dataclass(slots=True)
class _Lease:
    """`left` of `size` permits are this process's until `ends` (seconds of the clock); `decision` is what was told of the last of them."""

    decision: RateDecision
    size: int = 0
    left: int = 0
    ends: float = -math.inf
    renewing: bool = False


class LeasedRateLimits:
    """Asks `shared` once for several requests of a caller, instead of once for each.

    Applies to a request under one rule of at least 100. The first lease is one permit; one that was used up within its second is followed
    by one twice as large, up to a hundredth of the limit, one that was not by one as large as its use. What was not used is put back when
    the caller comes again. Every permit was counted by `shared` before it is given out, so the replicas together let through what the rule
    says; a put-back may come late, which lets through, or holds back, at most one lease per process.

    At most `maximum_keys` leases are kept; past it the oldest is forgotten with what is left of it. `now` returns seconds and never goes
    back.
    """

    def __init__(self, shared: SharedRateLimits, *, maximum_keys: int = 10_000, now: Callable[[], float] = time.monotonic) -> None:
        self._shared = shared
        self._maximum_keys = maximum_keys
        self._now = now
        self._leases: OrderedDict[RateRule, _Lease] = OrderedDict()

    async def check(self, rules: Sequence[RateRule]) -> RateDecision:
        """Count one request; see `RateLimits.check`."""
        if len(rules) != 1 or rules[0].limit < _SHARE:
            return await self._shared.check(rules)
        rule = rules[0]
        lease = self._leases.get(rule) or self._first(rule)
        if lease.left > 0 and self._now() < lease.ends:
            lease.left -= 1
            return _now_of(lease, rule)
        if lease.renewing:  # who comes meanwhile asks for one
            return await self._shared.check(rules)
        return await self._renewed(rule, lease)

    async def give_back(self, rules: Sequence[RateRule]) -> None:
        """Take one request back; see `RateLimits.give_back`."""
        await self._shared.give_back(rules)

    def _first(self, rule: RateRule) -> _Lease:
        lease = self._leases[rule] = _Lease(decision(rule, allowed=True, remaining=rule.limit, reset=0, retry=0))
        if len(self._leases) > self._maximum_keys:
            self._leases.popitem(last=False)
        return lease

    async def _renewed(self, rule: RateRule, lease: _Lease) -> RateDecision:
        """Take a new lease and the first permit of it."""
        wanted = lease.size * 2 if lease.left == 0 and self._now() < lease.ends else lease.size - lease.left
        returned, lease.left, lease.renewing = lease.left, 0, True
        try:
            taken = await self._shared.take(rule, permits=min(max(wanted, 1), rule.limit // _SHARE), returned=returned)
        finally:
            lease.renewing = False
        if taken.decision.allowed:
            lease.size, lease.left, lease.ends, lease.decision = (
                taken.granted,
                taken.granted - 1,
                self._now() + _LEASE_SECONDS,
                taken.decision,
            )
        return _now_of(lease, rule) if taken.decision.allowed else taken.decision


def _now_of(lease: _Lease, rule: RateRule) -> RateDecision:
    """Return the decision with what is left of the lease counted as free: for the caller it is."""
    last = lease.decision
    if lease.left == 0:
        return last
    sooner = lease.left * interval(rule) // MICROSECONDS
    return RateDecision(
        last.allowed,
        last.policy,
        last.limit,
        last.window_seconds,
        remaining=last.remaining + lease.left,
        reset_seconds=max(last.reset_seconds - sooner, 0),
        retry_after=last.retry_after,
    )

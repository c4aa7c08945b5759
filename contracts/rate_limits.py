"""How often something may be done: the rules that an entrance states and the decision it gets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from shared_kernel.errors import LuneoError


@dataclass(frozen=True, slots=True)
class RateRule:
    """At most `limit` at once for one `key`, given back evenly over `window_seconds`.

    `name` is the policy's name in the headers (`login`, `api_key`). `key` says who is counted: the organisation's id, alone or followed by
    `:` and more, or anything else (an address, an e-mail), which stores keep as a hash only. Raises `ValueError` below one.
    """

    name: str
    key: str
    limit: int
    window_seconds: int

    def __post_init__(self) -> None:
        if self.limit < 1 or self.window_seconds < 1:
            raise ValueError("limit and window must be at least 1")


@dataclass(frozen=True, slots=True)
class RateDecision:
    """Whether the request may go on, and the rule that decided: the one refused the longest, else the one nearest to its limit.

    `remaining` is what this rule still allows at once. `reset_seconds` is how long until all of `limit` is there again, `retry_after` how
    long until one more is allowed (0 when this one was); both in whole seconds, rounded up.
    """

    allowed: bool
    policy: str
    limit: int
    window_seconds: int
    remaining: int
    reset_seconds: int
    retry_after: int


class RateLimited(LuneoError):
    """Too many requests: what `decision` says. `extra` holds `retry_after` in seconds."""

    code = "rate_limited"
    title = "Too many requests"

    def __init__(self, decision: RateDecision) -> None:
        super().__init__(
            f"At most {decision.limit} requests in {decision.window_seconds} s ({decision.policy})", retry_after=decision.retry_after
        )
        self.decision = decision


class RateLimits(Protocol):
    """Counts what all replicas let through."""

    async def check(self, rules: Sequence[RateRule]) -> RateDecision:
        """Count one request against all `rules`, or against none of them when one refuses it.

        Always answers: without the shared store each replica limits for itself. Raises `ValueError` without rules.
        """
        ...

    async def give_back(self, rules: Sequence[RateRule]) -> None:
        """Take one counted request back from all `rules`: it was not of the kind that they limit (a login that succeeded).

        Never gives more than was taken. Raises `ValueError` without rules.
        """
        ...

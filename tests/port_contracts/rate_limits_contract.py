"""What every `RateLimits` does."""

import asyncio
from contextlib import AbstractAsyncContextManager

import pytest

from contracts.rate_limits import RateLimits, RateRule
from shared_kernel.identifiers import new_id


def rule(limit: int = 3, *, name: str = "messages", key: str | None = None, window: int = 60) -> RateRule:
    """Return a rule for a caller that nobody else is."""
    return RateRule(name, key or f"{new_id()}:agent", limit, window)


class RateLimitsContract:
    """Subclass and say how to open one."""

    def open(self) -> AbstractAsyncContextManager[RateLimits]:
        """Return the adapter, ready, for the length of the block."""
        raise NotImplementedError

    async def test_the_limit_is_let_through_and_not_one_more(self) -> None:
        async with self.open() as limits:
            rules = [rule(3)]
            remaining = [(await limits.check(rules)).remaining for _ in range(3)]
            assert remaining == [2, 1, 0]
            refused = await limits.check(rules)
            assert (refused.allowed, refused.policy, refused.limit, refused.window_seconds) == (False, "messages", 3, 60)
            assert refused.remaining == 0
            assert 1 <= refused.retry_after <= 20, "a third of the window gives one back"
            assert refused.retry_after <= refused.reset_seconds <= 60

    @pytest.mark.parametrize(("limit", "window"), [(7, 60), (1, 1), (1000, 7), (13, 3600), (60, 60)])
    async def test_odd_limits_let_exactly_that_many_through_at_once(self, limit: int, window: int) -> None:
        async with self.open() as limits:
            rules = [rule(limit, window=window * 1000)]
            assert all([(await limits.check(rules)).allowed for _ in range(limit)])
            assert not (await limits.check(rules)).allowed

    async def test_a_refused_request_counts_against_no_rule(self) -> None:
        async with self.open() as limits:
            narrow, wide = rule(1, name="narrow"), rule(10, name="wide")
            first = await limits.check([wide, narrow])
            assert (first.allowed, first.policy, first.remaining) == (True, "narrow", 0)
            for _ in range(20):
                assert (await limits.check([wide, narrow])).policy == "narrow"
            assert (await limits.check([wide])).remaining == 8

    async def test_of_two_refusals_the_longer_one_is_told(self) -> None:
        async with self.open() as limits:
            short, long = rule(1, name="short", window=10), rule(1, name="long", window=100)
            await limits.check([short, long])
            refused = await limits.check([short, long])
            assert refused.policy == "long"
            assert 90 <= refused.retry_after <= 100

    async def test_keys_and_names_are_counted_apart(self) -> None:
        async with self.open() as limits:
            organization = str(new_id())
            for one in (
                rule(1, key=organization),
                rule(1, key=organization, name="other"),
                rule(1, key=f"{organization}:a"),
                rule(1, key=f"{organization}:b"),
                rule(1, key=f"203.0.113.7 {organization}"),
                rule(1, key=f"sömeone@example.org {organization}"),
            ):
                assert (await limits.check([one])).allowed
                assert not (await limits.check([one])).allowed

    async def test_many_at_once_do_not_pass_the_limit(self) -> None:
        async with self.open() as limits:
            rules = [rule(10)]
            decisions = await asyncio.gather(*(limits.check(rules) for _ in range(40)))
            assert sum(decision.allowed for decision in decisions) == 10

    async def test_what_is_given_back_may_be_taken_again_and_no_more_than_was_taken(self) -> None:
        async with self.open() as limits:
            rules = [rule(3, window=3000)]
            await limits.give_back(rules)
            await limits.check(rules)
            await limits.check(rules)
            await limits.give_back(rules)
            assert [(await limits.check(rules)).allowed for _ in range(3)] == [True, True, False]
            for _ in range(5):
                await limits.give_back(rules)
            assert [(await limits.check(rules)).allowed for _ in range(4)] == [True, True, True, False]
            with pytest.raises(ValueError, match="at least one rule"):
                await limits.give_back([])

    async def test_a_request_without_rules_is_a_mistake(self) -> None:
        async with self.open() as limits:
            with pytest.raises(ValueError, match="rule"):
                await limits.check([])

"""Leases of a rate limit never let more through than the rule and one lease per process, and hold nobody back who keeps it."""

from hypothesis import given
from hypothesis import strategies as st

from adapters.redis_store.leased_rate_limits import LeasedRateLimits
from contracts.rate_limits import RateRule
from tests.fakes.rate_limits import InMemoryRateLimits

_RULE = RateRule("account", "user:somebody", 600, 60)
_LEASE = _RULE.limit // 100
_PROCESSES = 3
_SECONDS_PER_REQUEST = _RULE.window_seconds / _RULE.limit


def processes() -> tuple[InMemoryRateLimits, list[LeasedRateLimits]]:
    """Return what is shared, with its clock, and the processes that lease from it by the same clock."""
    shared = InMemoryRateLimits()
    return shared, [LeasedRateLimits(shared, now=lambda: shared.seconds) for _ in range(_PROCESSES)]


@given(
    st.lists(
        st.tuples(st.integers(0, _PROCESSES - 1), st.integers(1, 80), st.sampled_from([0.0, 0.01, 0.3, 0.99, 1.0, 1.7, 20.0])), max_size=60
    )
)
async def test_no_more_gets_through_than_the_rule_and_one_lease_per_process(bursts: list[tuple[int, int, float]]) -> None:
    shared, limits = processes()
    began = shared.seconds
    allowed = 0
    for process, requests, pause in bursts:
        allowed += sum([(await limits[process].check([_RULE])).allowed for _ in range(requests)])
        assert allowed <= _RULE.limit + (shared.seconds - began) / _SECONDS_PER_REQUEST + _PROCESSES * _LEASE
        shared.seconds += pause


@given(st.integers(1, 3), st.floats(0.0, 0.9))
async def test_who_keeps_the_rule_is_never_held_back(requests_per_second: int, phase: float) -> None:
    shared, limits = processes()
    shared.seconds += phase
    for _ in range(300):
        for process in limits:
            for _ in range(requests_per_second):
                assert (await process.check([_RULE])).allowed, "three processes at 3 requests per second are 9 of 10 allowed"
        shared.seconds += 1.0


async def test_a_burst_asks_less_and_less_often_and_a_small_limit_each_time() -> None:
    shared, (limits, *_) = processes()
    asked = 0

    class Counted(InMemoryRateLimits):
        async def take(self, rule: RateRule, *, permits: int, returned: int):  # type: ignore[no-untyped-def]  # noqa: ANN202
            nonlocal asked
            asked += 1
            return await shared.take(rule, permits=permits, returned=returned)

    limits = LeasedRateLimits(Counted(), now=lambda: shared.seconds)
    remaining = [(await limits.check([_RULE])).remaining for _ in range(31)]
    assert remaining == list(range(599, 568, -1)), "what is told counts down as if each request had been asked for"
    assert asked == len([1, 2, 4, 6, 6, 6, 6])

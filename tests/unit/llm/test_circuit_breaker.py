from dataclasses import dataclass, field

from adapters.llm.circuit_breaker import CircuitBreaker, CircuitState, RetryBudget


@dataclass
class Watched:
    """A breaker that opens after three failures in ten seconds for five, its clock and the states it went through."""

    seconds: float = 100.0
    states: list[CircuitState] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.breaker = CircuitBreaker(failures=3, window=10, pause=5, on_state=self.states.append, now=lambda: self.seconds)

    def fails(self, times: int = 1) -> None:
        for _ in range(times):
            assert self.breaker.admits()
            self.breaker.failed()


def test_it_opens_after_so_many_failures_within_the_window() -> None:
    watched = Watched()
    watched.fails(2)
    assert watched.breaker.admits()
    watched.fails()
    assert not watched.breaker.admits()
    assert watched.breaker.seconds_left == 5
    assert watched.states == [CircuitState.OPEN]


def test_failures_further_apart_than_the_window_do_not_add_up() -> None:
    watched = Watched()
    for _ in range(6):
        watched.fails()
        watched.seconds += 5.1
    assert watched.breaker.admits()


def test_a_provider_that_mostly_answers_stays_in_use() -> None:
    watched = Watched()
    for _ in range(20):
        watched.fails()
        watched.breaker.succeeded()
        watched.breaker.succeeded()
    assert watched.states == []


def test_one_probe_is_let_through_and_closes_it_when_it_is_answered() -> None:
    watched = Watched()
    watched.fails(3)
    watched.seconds += 5
    assert [watched.breaker.admits() for _ in range(3)] == [True, False, False]
    assert watched.breaker.state is CircuitState.HALF_OPEN
    watched.breaker.succeeded()
    assert [watched.breaker.admits() for _ in range(3)] == [True, True, True]
    assert watched.states == [CircuitState.OPEN, CircuitState.HALF_OPEN, CircuitState.CLOSED]
    watched.fails(2)
    assert watched.breaker.admits(), "it begins anew"


def test_a_probe_that_fails_opens_it_again() -> None:
    watched = Watched()
    watched.fails(3)
    watched.seconds += 5
    watched.fails()
    watched.seconds += 4.9
    assert not watched.breaker.admits()
    watched.seconds += 0.2
    assert watched.breaker.admits()


def test_a_probe_that_was_given_up_lets_the_next_one_be_it() -> None:
    watched = Watched()
    watched.fails(3)
    watched.seconds += 5
    assert watched.breaker.admits()
    watched.breaker.given_up()
    assert [watched.breaker.admits(), watched.breaker.admits()] == [True, False]


def test_repetitions_are_a_share_of_the_requests_once_the_free_ones_are_used() -> None:
    refusals: list[None] = []
    budget = RetryBudget(0.2, on_refused=lambda: refusals.append(None), now=lambda: 0.0)
    assert sum(budget.takes() for _ in range(50)) == 10
    repeated = 0
    for _ in range(1_000):
        budget.requested()
        repeated += budget.takes()
    assert 195 <= repeated <= 200
    assert len(refusals) == 40 + 1_000 - repeated


def test_a_quiet_installation_may_repeat_ten_times_a_minute() -> None:
    seconds = 0.0
    budget = RetryBudget(0.0, now=lambda: seconds)
    assert sum(budget.takes() for _ in range(50)) == 10
    seconds = 30.0
    assert sum(budget.takes() for _ in range(50)) == 5
    seconds = 3_600.0
    assert sum(budget.takes() for _ in range(50)) == 10, "what is not used is not kept for ever"

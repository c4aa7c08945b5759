"""When a provider is left alone: a circuit breaker, and a budget for repeated requests.

Both belong to one process and one provider, and cost less than a microsecond.
"""

import time
from collections.abc import Callable
from enum import StrEnum
from typing import Final


class CircuitState(StrEnum):
    """Requests pass while it is closed and are refused while it is open; half-open, one of them is let through to find out."""

    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"


class CircuitBreaker:
    """Keeps requests from a provider that fails.

    It opens when, within `window` seconds of a first failure, there are `failures` of them and no more successes than failures: a busy
    provider that drops one request in a hundred stays in use. After `pause` seconds one request is let through as a probe: its first text
    closes the breaker, its failure opens it for another `pause`, and a probe that was given up lets the next request be one.
    """

    def __init__(
        self,
        *,
        failures: int = 5,
        window: float = 30.0,
        pause: float = 15.0,
        on_state: Callable[[CircuitState], object] = lambda _: None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._failures = failures
        self._window = window
        self._pause = pause
        self._on_state = on_state
        self._now = now
        self._state = CircuitState.CLOSED
        self._since = 0.0
        self._failed = 0
        self._succeeded = 0
        self._opened_at = 0.0
        self._probing = False

    @property
    def state(self) -> CircuitState:
        """Whether requests pass."""
        return self._state

    @property
    def seconds_left(self) -> float:
        """How long it refuses yet."""
        return max(0.0, self._opened_at + self._pause - self._now()) if self._state is CircuitState.OPEN else 0.0

    def admits(self) -> bool:
        """Tell whether a request may go now; who is told so says afterwards how it went."""
        if self._state is CircuitState.CLOSED:
            return True
        if self._state is CircuitState.OPEN and self.seconds_left == 0.0:
            self._become(CircuitState.HALF_OPEN)
        if self._state is CircuitState.OPEN or self._probing:
            return False
        self._probing = True
        return True

    def succeeded(self) -> None:
        """Hear that the provider answers."""
        if self._state is CircuitState.CLOSED:
            self._succeeded += 1
        elif self._state is CircuitState.HALF_OPEN:
            self._probing, self._failed = False, 0
            self._become(CircuitState.CLOSED)

    def failed(self) -> None:
        """Hear that the provider failed a request that it should have answered."""
        now = self._now()
        if self._state is CircuitState.HALF_OPEN:
            self._open(now)
        elif self._state is CircuitState.CLOSED:
            if self._failed == 0 or now - self._since > self._window:
                self._since, self._failed, self._succeeded = now, 0, 0
            self._failed += 1
            if self._failed >= self._failures and self._failed >= self._succeeded:
                self._open(now)

    def given_up(self) -> None:
        """Hear that a request ended without telling anything of the provider."""
        self._probing = False

    def _open(self, now: float) -> None:
        self._opened_at, self._probing, self._failed = now, False, 0
        self._become(CircuitState.OPEN)

    def _become(self, state: CircuitState) -> None:
        self._state = state
        self._on_state(state)


_RESERVE: Final = 10.0
_RESERVE_SECONDS: Final = 60.0


class RetryBudget:
    """Bounds the requests that are repeated to a share of all, so that a provider in trouble is not asked several times as much.

    Each request earns `share` of a repetition, and beside that ten a minute are free, which lets a quiet installation repeat. What is
    not used is kept up to a hundred times the share, at least ten.
    """

    def __init__(self, share: float, *, on_refused: Callable[[], object] = lambda: None, now: Callable[[], float] = time.monotonic) -> None:
        self._share = share
        self._most = max(_RESERVE, 100 * share)
        self._on_refused = on_refused
        self._now = now
        self._balance = _RESERVE
        self._counted_at = now()

    def requested(self) -> None:
        """Count a request."""
        self._balance = min(self._most, self._balance + self._share)

    def takes(self) -> bool:
        """Take one repetition from the budget; tell whether there was one."""
        now = self._now()
        self._balance = min(self._most, self._balance + (now - self._counted_at) * _RESERVE / _RESERVE_SECONDS)
        self._counted_at = now
        if self._balance < 1:
            self._on_refused()
            return False
        self._balance -= 1
        return True

"""Metrics for Prometheus. No label names an organisation or a person, and none can grow without bound."""

import time
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    start_http_server,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
"""The media type of what `Metrics.render` returns."""

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_VALUES_MAXIMUM: Final = 300
_OTHER: Final = "other"
_CIRCUIT: Final = {"closed": 0.0, "half_open": 0.5, "open": 1.0}
_REQUEST_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_STEP_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 120)


class _Bounded:
    """Lets the first `_VALUES_MAXIMUM` distinct values of a label through and calls the rest `other`."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def __call__(self, value: str) -> str:
        if value in self._seen:
            return value
        if len(self._seen) >= _VALUES_MAXIMUM:
            return _OTHER
        self._seen.add(value)
        return value


class Metrics:
    """The figures of one process; make one per process and give its methods to whom they concern."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # a second series for each counter, which nobody reads
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        route = ("method", "route", "status")
        self._requests = Counter("luneo_http_requests", "HTTP requests answered", route, registry=registry)
        self._request_seconds = Histogram(
            "luneo_http_request_seconds", "Time to answer an HTTP request", route, buckets=_REQUEST_SECONDS, registry=registry
        )
        self._step_seconds = Histogram(
            "luneo_turn_step_seconds", "Time in a step of a turn", ("step",), buckets=_STEP_SECONDS, registry=registry
        )
        self._turns = Counter("luneo_turns", "Turns ended", ("outcome",), registry=registry)
        self._tokens = Counter("luneo_model_tokens", "Tokens metered", ("direction", "estimated"), registry=registry)
        self._circuits = Gauge(
            "luneo_model_circuit_open", "1 while a model provider is left alone, 0.5 while it is probed", ("provider",), registry=registry
        )
        self._fallbacks = Counter(
            "luneo_model_fallbacks", "Questions put to another model than the agent's", ("model", "fallback"), registry=registry
        )
        self._retries_refused = Counter(
            "luneo_model_retries_refused", "Repetitions that a provider's retry budget refused", ("provider",), registry=registry
        )
        self._rate_limited = Counter("luneo_rate_limited", "Requests refused by a rate limit", ("policy",), registry=registry)
        self._rate_limit_fallbacks = Counter(
            "luneo_rate_limit_fallbacks", "Requests limited within the process, without Redis", registry=registry
        )
        self._relay_lag = Gauge("luneo_relay_lag_seconds", "Age of the oldest delivery that is due and not sent", registry=registry)
        self._deliveries = Counter("luneo_deliveries", "Deliveries of events to consumers", ("consumer", "outcome"), registry=registry)
        self._dead_letters = Gauge("luneo_dead_letters", "Deliveries that were given up and wait for a person", registry=registry)
        self._seal_lag = Gauge(
            "luneo_audit_seal_lag_seconds", "Time since what was committed was last sealed; 0 without a scheduler", registry=registry
        )
        self._redis_up = Gauge("luneo_redis_up", "1 while Redis answers", registry=registry)
        self._redis_up.set(1)
        self._turn_log_dropped = Counter(
            "luneo_turn_log_dropped_events", "Turn events that did not reach the shared log", registry=registry
        )
        self._answered: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._steps: dict[str, Histogram] = {}
        self._outcomes: dict[str, Counter] = {}
        self._tokens_in_out = {
            estimated: tuple(self._tokens.labels(direction, str(estimated).lower()) for direction in ("in", "out"))
            for estimated in (False, True)
        }
        self._bounded: dict[str, _Bounded] = {
            label: _Bounded() for label in ("route", "step", "outcome", "policy", "consumer", "delivery_outcome", "model")
        }

    def request_answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request; `route` is the template (`/agents/{id}`), never the path."""
        known = self._answered.get((method, route, status))
        if known is None:  # finding a child by its labels costs more than using it
            labels = (method if method in _METHODS else _OTHER, self._bounded["route"](route), str(status))
            known = self._requests.labels(*labels), self._request_seconds.labels(*labels)
            if _OTHER not in labels:
                self._answered[method, route, status] = known
        count, histogram = known
        count.inc()
        histogram.observe(seconds)

    def turn_step_took(self, step: str, seconds: float) -> None:
        """Note how long a step of a turn took."""
        histogram = self._steps.get(step)
        if histogram is None:
            name = self._bounded["step"](step)
            histogram = self._step_seconds.labels(name)
            if name != _OTHER:
                self._steps[step] = histogram
        histogram.observe(seconds)

    def turn_ended(self, outcome: str) -> None:
        """Count a turn that completed, was stopped, failed, or went to a person."""
        outcome = self._bounded["outcome"](outcome)
        if outcome not in self._outcomes:
            self._outcomes[outcome] = self._turns.labels(outcome)
        self._outcomes[outcome].inc()

    def tokens_used(self, *, tokens_in: int, tokens_out: int, estimated: bool) -> None:
        """Count the tokens of a turn."""
        counters = self._tokens_in_out[estimated]
        counters[0].inc(tokens_in)
        counters[1].inc(tokens_out)

    def model_circuit_is(self, provider: str, state: str) -> None:
        """Set whether `provider` is asked: `closed`, `half_open` or `open`."""
        self._circuits.labels(provider).set(_CIRCUIT[state])

    def model_fell_back(self, model: str, fallback: str) -> None:
        """Count a question for `model` that `fallback` was asked instead; both are names from the settings."""
        self._fallbacks.labels(self._bounded["model"](model), self._bounded["model"](fallback)).inc()

    def model_retry_refused(self, provider: str) -> None:
        """Count a repetition that the provider's budget refused."""
        self._retries_refused.labels(provider).inc()

    def rate_limited(self, policy: str) -> None:
        """Count a refusal by the rate limit `policy`."""
        self._rate_limited.labels(self._bounded["policy"](policy)).inc()

    def rate_limit_fell_back(self) -> None:
        """Count a request that was limited without Redis."""
        self._rate_limit_fallbacks.inc()

    def relay_lags(self, seconds: float) -> None:
        """Set how old the oldest delivery is that is due."""
        self._relay_lag.set(seconds)

    def delivered(self, consumer: str, outcome: str) -> None:
        """Count a delivery by how it went."""
        self._deliveries.labels(self._bounded["consumer"](consumer), self._bounded["delivery_outcome"](outcome)).inc()

    def dead_letters_are(self, count: int) -> None:
        """Set how many deliveries were given up."""
        self._dead_letters.set(count)

    def audit_was_sealed(self) -> None:
        """Note that the sealer finished a pass just now."""
        finished = time.monotonic()
        self._seal_lag.set_function(lambda: time.monotonic() - finished)

    def redis_is(self, up: bool) -> None:
        """Set whether Redis answers."""
        self._redis_up.set(1 if up else 0)

    def turn_events_dropped(self, count: int) -> None:
        """Count turn events that the shared log did not get."""
        self._turn_log_dropped.inc(count)

    def render(self) -> bytes:
        """Return all figures in Prometheus's text format (`CONTENT_TYPE`)."""
        return generate_latest(self.registry)

    def serve(self, host: str, port: int) -> None:
        """Answer scrapes on `host`:`port` from a thread, for a process without an HTTP API of its own."""
        start_http_server(port, host, self.registry)

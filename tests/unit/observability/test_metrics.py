"""Metrics are counted, rendered, and bounded."""

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from entrypoints.observability.metrics import Metrics


def sample(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_each_figure_is_rendered() -> None:
    metrics = Metrics()
    metrics.request_answered("GET", "/agents/{id}", 200, 0.003)
    metrics.turn_step_took("retrieval", 0.01)
    metrics.turn_ended("completed")
    metrics.tokens_used(tokens_in=10, tokens_out=5, estimated=True)
    metrics.model_circuit_is("openai", "half_open")
    metrics.model_fell_back("gpt-5", "local")
    metrics.model_retry_refused("openai")
    metrics.rate_limited("login")
    metrics.rate_limit_fell_back()
    metrics.relay_lags(1.5)
    metrics.delivered("billing", "done")
    metrics.dead_letters_are(2)
    metrics.audit_was_sealed()
    metrics.redis_is(False)
    metrics.turn_events_dropped(7)
    assert sample(metrics, "luneo_http_requests_total", method="GET", route="/agents/{id}", status="200") == 1
    assert sample(metrics, "luneo_http_request_seconds_count", method="GET", route="/agents/{id}", status="200") == 1
    assert sample(metrics, "luneo_model_tokens_total", direction="in", estimated="true") == 10
    assert 0 < (sample(metrics, "luneo_audit_seal_lag_seconds") or 0) < 60
    assert sample(metrics, "luneo_model_circuit_open", provider="openai") == 0.5
    assert sample(metrics, "luneo_model_fallbacks_total", model="gpt-5", fallback="local") == 1
    assert sample(metrics, "luneo_dead_letters") == 2
    assert sample(metrics, "luneo_redis_up") == 0
    families = {family.name for family in text_string_to_metric_families(metrics.render().decode())}
    ours = {name for name in families if name.startswith("luneo_")}
    assert len(ours) == 16
    assert "process_resident_memory_bytes" in families


def test_every_figure_is_fed_by_somebody() -> None:
    root = Path(__file__).parents[3]
    sources = "".join(
        path.read_text(encoding="utf-8")
        for folder in ("adapters", "entrypoints")
        for path in (root / folder).rglob("*.py")
        if path.name != "metrics.py"
    )
    figures = [name for name in vars(Metrics) if not name.startswith("_") and name not in {"render", "serve"}]
    assert figures
    assert [name for name in figures if not re.search(rf"metrics\.{name}\b", sources)] == []


def test_no_label_grows_without_bound_or_names_a_tenant() -> None:
    metrics = Metrics()
    for number in range(2000):
        metrics.request_answered(f"METHOD{number}", f"/path/{number}", 404, 0.001)
        metrics.delivered(f"consumer{number}", "done")
    series = [line for line in metrics.render().decode().splitlines() if line.startswith("luneo_http_requests_total")]
    assert len(series) <= 301
    assert sample(metrics, "luneo_http_requests_total", method="other", route="other", status="404") == 1700
    assert b"organization" not in metrics.render()


@pytest.mark.parametrize("count", [1, 2])
def test_two_processes_figures_are_their_own(count: int) -> None:
    several = [Metrics() for _ in range(count)]
    several[0].turn_ended("failed")
    assert sample(several[0], "luneo_turns_total", outcome="failed") == 1
    assert all(sample(other, "luneo_turns_total", outcome="failed") is None for other in several[1:])

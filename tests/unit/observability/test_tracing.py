"""Tracing is free when off, and says nothing that people wrote when on."""

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes as conventions

from entrypoints.observability import tracing
from entrypoints.observability.tracing import configure_tracing, model_span, shut_down_tracing, span


@pytest.fixture
def exported() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    configure_tracing(endpoint=None, processor=SimpleSpanProcessor(exporter), service_version="1.0")
    yield exporter
    shut_down_tracing()


def test_off_imports_nothing_and_costs_next_to_nothing() -> None:
    script = (
        "import sys; from entrypoints.observability.tracing import configure_tracing, span\n"
        "configure_tracing(endpoint=None)\n"
        "with span('x', a=1) as s: s.set_attribute('b', 2)\n"
        "sys.exit(any(m.startswith('opentelemetry') for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
    started = time.perf_counter()
    for _ in range(10_000):
        with span("turn.step", step="retrieval") as current:
            current.set_attribute("passages", 3)
    assert (time.perf_counter() - started) / 10_000 < 10e-6


def test_on_spans_nest_and_carry_what_they_are_given(exported: InMemorySpanExporter) -> None:
    with span("turn", turn_id="t") as outer, model_span("chat", model="gpt-5") as inner:
        outer.set_attribute("steps", 2)
        inner.set_attribute(tracing.PROVIDER_NAME, "openai")
        inner.set_attribute(tracing.INPUT_TOKENS, 12)
    model, turn = exported.get_finished_spans()
    assert (turn.name, dict(turn.attributes or {})) == ("turn", {"turn_id": "t", "steps": 2})
    assert model.name == "chat gpt-5"
    assert model.parent is not None
    assert model.parent.span_id == turn.context.span_id
    assert dict(model.attributes or {}) == {
        conventions.GEN_AI_OPERATION_NAME: "chat",
        conventions.GEN_AI_PROVIDER_NAME: "openai",
        conventions.GEN_AI_REQUEST_MODEL: "gpt-5",
        conventions.GEN_AI_USAGE_INPUT_TOKENS: 12,
    }


def test_our_names_are_those_of_the_conventions() -> None:
    ours = (
        tracing.RESPONSE_MODEL,
        tracing.FINISH_REASONS,
        tracing.OUTPUT_TOKENS,
        tracing.MAX_TOKENS,
        tracing.CONVERSATION_ID,
        tracing.AGENT_ID,
        tracing.TOOL_NAME,
    )
    assert ours == (
        conventions.GEN_AI_RESPONSE_MODEL,
        conventions.GEN_AI_RESPONSE_FINISH_REASONS,
        conventions.GEN_AI_USAGE_OUTPUT_TOKENS,
        conventions.GEN_AI_REQUEST_MAX_TOKENS,
        conventions.GEN_AI_CONVERSATION_ID,
        conventions.GEN_AI_AGENT_ID,
        conventions.GEN_AI_TOOL_NAME,
    )


def test_an_exception_leaves_its_type_only(exported: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError, match="zoe"), span("turn"):
        raise ValueError("zoe@example.org wrote something")
    (turn,) = exported.get_finished_spans()
    assert not turn.status.is_ok
    assert dict(turn.attributes or {}) == {"error.type": "ValueError"}
    assert "zoe" not in turn.to_json()

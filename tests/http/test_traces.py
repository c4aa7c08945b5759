"""What a trace shows of a turn over HTTP, and of the deliveries behind it."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from entrypoints.composition.processes import run_background
from entrypoints.observability.tracing import configure_tracing, shut_down_tracing, span
from tests.fixtures.app import Site, open_site, site_settings
from tests.integration.redis_store.valkey import Valkey

QUESTION = "How much is the Pro plan?"
ELSEWHERE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def exported() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    configure_tracing(endpoint=None, processor=SimpleSpanProcessor(exporter))
    yield exporter
    shut_down_tracing()


def parent_of(span: ReadableSpan, spans: dict[str, ReadableSpan]) -> str | None:
    """The name of the span's parent."""
    return next((s.name for s in spans.values() if span.parent is not None and s.context.span_id == span.parent.span_id), None)


async def test_a_turn_is_one_trace_from_the_request_to_the_model(site: Site, exported: InMemorySpanExporter) -> None:
    shop = await site.shop()
    exported.clear()
    headers = {"accept": "text/event-stream", "traceparent": ELSEWHERE}
    answer = await shop.owner("POST", f"/conversations/{shop.conversation_id}/messages", {"content": QUESTION}, **headers)
    assert answer.status_code == 200
    finished = exported.get_finished_spans()
    spans = {span.name: span for span in finished}
    assert len(spans) == len(finished)
    assert {f"{span.context.trace_id:032x}" for span in finished} == {ELSEWHERE[3:35]}
    request = "POST /api/v1/conversations/{conversation_id}/messages"
    assert {name: parent_of(span, spans) for name, span in spans.items()} == {
        request: None,
        "turn": request,
        "turn.retrieve": "turn",
        "turn.compose": "turn",
        "turn.generate": "turn",
        "chat scripted": "turn.generate",
        "turn.settle": "turn",
    }
    served, turn, model = spans[request], spans["turn"], spans["chat scripted"]
    assert (served.kind, model.kind) == (SpanKind.SERVER, SpanKind.CLIENT)
    assert dict(served.attributes or {}) == {
        "http.request.method": "POST",
        "http.route": "/api/v1/conversations/{conversation_id}/messages",
        "http.response.status_code": 200,
        "luneo.request_id": answer.headers["x-request-id"],
        "luneo.organization_id": str(shop.owner.organization_id),
    }
    assert dict(turn.attributes or {}) == {
        "luneo.turn_id": answer.headers["luneo-turn"],
        "gen_ai.conversation.id": shop.conversation_id,
        "luneo.organization_id": str(shop.owner.organization_id),
        "gen_ai.agent.id": shop.agent_id,
        "luneo.agent_version": 1,
        "luneo.turn_state": "completed",
    }
    described = dict(model.attributes or {})
    tokens = described.pop("gen_ai.usage.input_tokens"), described.pop("gen_ai.usage.output_tokens")
    assert all(isinstance(count, int) and count > 0 for count in tokens)
    assert described.pop("gen_ai.request.max_tokens")
    assert described == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "scripted",
        "gen_ai.request.model": "scripted",
        "gen_ai.response.finish_reasons": ("stop",),
    }
    told = "".join(span.to_json() for span in finished)
    assert "Pro plan" not in told
    assert "49 euros" not in told


async def test_a_request_to_nowhere_has_a_span_without_a_route_and_probes_have_none(site: Site, exported: InMemorySpanExporter) -> None:
    assert (await site.client.get("/health/live")).status_code == 200
    assert (await site.client.request("BREW", "/nowhere/zoe")).status_code in {404, 405}
    (span,) = exported.get_finished_spans()
    assert span.name == "HTTP"
    assert span.attributes is not None
    assert span.attributes["http.request.method"] == "_OTHER"
    assert "http.route" not in span.attributes


async def test_a_delivery_is_a_trace(site: Site, exported: InMemorySpanExporter) -> None:
    shop = await site.shop()
    deliveries = [span for span in exported.get_finished_spans() if span.kind is SpanKind.CONSUMER]
    assert deliveries
    indexing = next(
        s for s in deliveries if s.attributes and s.attributes["luneo.event.type"] == "conversational_ai.knowledge_source_added.v1"
    )
    assert indexing.parent is None
    assert indexing.attributes is not None
    assert indexing.attributes["luneo.delivery.outcome"] == "done"
    assert indexing.attributes["luneo.delivery.attempt"] == 1
    assert indexing.attributes["luneo.organization_id"] == str(shop.owner.organization_id)


async def test_what_waits_is_sent_when_the_api_ends(
    database_url: str, superuser_url: str, app_valkey: Valkey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter = InMemorySpanExporter()
    configure_tracing(endpoint=None, processor=BatchSpanProcessor(exporter, schedule_delay_millis=3_600_000))
    async with open_site(site_settings(database_url, app_valkey.url, tmp_path), superuser_url, monkeypatch) as site:
        await site.client.get("/api/v1/agents")
        assert not exporter.get_finished_spans()
    assert [span.name for span in exporter.get_finished_spans()] == ["GET /api/v1/agents"]


async def test_what_waits_is_sent_when_a_background_process_ends(database_url: str, app_valkey: Valkey, tmp_path: Path) -> None:
    exporter = InMemorySpanExporter()
    configure_tracing(endpoint=None, processor=BatchSpanProcessor(exporter, schedule_delay_millis=3_600_000))
    with span("work"):
        pass
    before = signal.getsignal(signal.SIGTERM)
    running = asyncio.create_task(run_background(site_settings(database_url, app_valkey.url, tmp_path, metrics_port=0), frozenset()))
    async with asyncio.timeout(20):
        while signal.getsignal(signal.SIGTERM) is before and not running.done():  # noqa: ASYNC110 - it tells nobody when it hears signals
            await asyncio.sleep(0.01)
        if not running.done():
            os.kill(os.getpid(), signal.SIGTERM)
        await running
    assert [sent.name for sent in exporter.get_finished_spans()] == ["work"]

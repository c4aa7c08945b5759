"""Traces by OpenTelemetry, off unless an endpoint is configured.

Off, nothing of OpenTelemetry is imported and a span is one shared object. Spans carry identifiers and figures, never what people wrote; an
exception leaves its type only.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    from opentelemetry.trace import Tracer

AttributeValue: TypeAlias = str | bool | int | float | Sequence[str]

# OpenTelemetry semantic conventions for generative AI (https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/)
OPERATION_NAME: Final = "gen_ai.operation.name"
PROVIDER_NAME: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
RESPONSE_MODEL: Final = "gen_ai.response.model"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
CONVERSATION_ID: Final = "gen_ai.conversation.id"
AGENT_ID: Final = "gen_ai.agent.id"
TOOL_NAME: Final = "gen_ai.tool.name"
_ERROR_TYPE: Final = "error.type"


class Span(Protocol):
    """The part of a span that we use."""

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        """Add a figure or an identifier that is known later than the span's start."""
        ...


class _NoSpan:
    """What a span is while tracing is off."""

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        """Forget it."""


_OFF: Final[AbstractContextManager[Span]] = nullcontext(_NoSpan())


class _State:
    tracer: "Tracer | None" = None
    provider: "TracerProvider | None" = None


def configure_tracing(
    *,
    endpoint: str | None,
    service_name: str = "luneo",
    service_version: str = "",
    headers: Mapping[str, str] | None = None,
    sampled_share: float = 1.0,
    processor: "SpanProcessor | None" = None,
) -> None:
    """Send spans to the OTLP/HTTP collector at `endpoint` (`https://host:4318/v1/traces`); with neither it nor a `processor`, stay off.

    `sampled_share` is 0 to 1 of the traces that begin here; those that begin elsewhere keep the choice made there. `processor` replaces the
    exporter.
    """
    if endpoint is None and processor is None:
        return
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - off must cost no import
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased  # noqa: PLC0415

    if processor is None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

        processor = BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, headers=dict(headers or {})))
    provider = TracerProvider(
        resource=Resource.create({"service.name": service_name, "service.version": service_version}),
        sampler=ParentBased(TraceIdRatioBased(sampled_share)),
    )
    provider.add_span_processor(processor)
    _State.provider = provider
    _State.tracer = provider.get_tracer("luneo", service_version)


def shut_down_tracing() -> None:
    """Send what waits and turn tracing off."""
    provider, _State.provider, _State.tracer = _State.provider, None, None
    if provider is not None:
        provider.shutdown()


def span(name: str, **attributes: AttributeValue) -> AbstractContextManager[Span]:
    """Return a block that is traced as `name`; about a microsecond while tracing is off."""
    if _State.tracer is None:
        return _OFF
    return _recorded(_State.tracer, name, attributes, model=False)


def model_span(operation: str, *, provider: str, model: str, **attributes: AttributeValue) -> AbstractContextManager[Span]:
    """Return a block for a call of a model, named and described as the GenAI conventions ask (`chat gpt-5`)."""
    if _State.tracer is None:
        return _OFF
    described = {OPERATION_NAME: operation, PROVIDER_NAME: provider, REQUEST_MODEL: model, **attributes}
    return _recorded(_State.tracer, f"{operation} {model}", described, model=True)


@contextmanager
def _recorded(tracer: "Tracer", name: str, attributes: Mapping[str, AttributeValue], *, model: bool) -> Iterator[Span]:
    from opentelemetry.trace import SpanKind, StatusCode  # noqa: PLC0415 - off must cost no import

    kind = SpanKind.CLIENT if model else SpanKind.INTERNAL
    # what an exception says may quote a person: its type is enough
    with tracer.start_as_current_span(
        name, kind=kind, attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield current
        except BaseException as error:
            current.set_attribute(_ERROR_TYPE, type(error).__qualname__)
            current.set_status(StatusCode.ERROR)
            raise

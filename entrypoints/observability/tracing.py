"""Traces by OpenTelemetry, off unless an endpoint is configured.

Off, nothing of OpenTelemetry is imported and a span is one shared object. Spans carry identifiers and figures, never what people wrote; an
exception leaves its type only.

A request's span is the parent of the turn that it begins, though the turn may outlive it; the turn's is the parent of its steps, and
the step `generate` of the model's. Each delivery to a consumer is a trace of its own.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    from opentelemetry.trace import Span as OtelSpan
    from opentelemetry.trace import SpanKind, Tracer

AttributeValue: TypeAlias = str | bool | int | float | Sequence[str]

# OpenTelemetry semantic conventions for generative AI (https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/)
OPERATION_NAME: Final = "gen_ai.operation.name"
PROVIDER_NAME: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
MAX_TOKENS: Final = "gen_ai.request.max_tokens"
RESPONSE_MODEL: Final = "gen_ai.response.model"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
CONVERSATION_ID: Final = "gen_ai.conversation.id"
AGENT_ID: Final = "gen_ai.agent.id"
TOOL_NAME: Final = "gen_ai.tool.name"
_ERROR_TYPE: Final = "error.type"
# …and for HTTP (https://opentelemetry.io/docs/specs/semconv/http/http-spans/)
_HTTP_METHOD: Final = "http.request.method"
_HTTP_ROUTE: Final = "http.route"
_HTTP_STATUS: Final = "http.response.status_code"
_KNOWN_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"})
_SERVER_ERROR: Final = 500
TURN_ID: Final = "luneo.turn_id"
ORGANIZATION_ID: Final = "luneo.organization_id"


class Span(Protocol):
    """The part of a span that we use."""

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        """Add a figure or an identifier that is known later than the span's start."""
        ...

    def failed(self, error_type: str) -> None:
        """Mark what the span describes as failed, for a reason of few values."""
        ...


class _NoSpan:
    """What a span is while tracing is off."""

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        """Forget it."""

    def failed(self, error_type: str) -> None:
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


def is_tracing() -> bool:
    """Return whether spans are recorded: what describes them need not be made otherwise."""
    return _State.tracer is not None


def span(name: str, **attributes: AttributeValue) -> AbstractContextManager[Span]:
    """Return a block that is traced as `name`; about a microsecond while tracing is off."""
    if _State.tracer is None:
        return _OFF
    from opentelemetry.trace import SpanKind  # noqa: PLC0415 - off must cost no import

    return _recorded(_State.tracer, name, attributes, SpanKind.INTERNAL)


def model_span(operation: str, *, model: str, **attributes: AttributeValue) -> AbstractContextManager[Span]:
    """Return a block for a call of a model, named and described as the GenAI conventions ask (`chat gpt-5`)."""
    if _State.tracer is None:
        return _OFF
    from opentelemetry.trace import SpanKind  # noqa: PLC0415 - off must cost no import

    described = {OPERATION_NAME: operation, REQUEST_MODEL: model, **attributes}
    return _recorded(_State.tracer, f"{operation} {model}", described, SpanKind.CLIENT)


def consumer_span(name: str, **attributes: AttributeValue) -> AbstractContextManager[Span]:
    """Return a block for the handling of something that arrived."""
    if _State.tracer is None:
        return _OFF
    from opentelemetry.trace import SpanKind  # noqa: PLC0415 - off must cost no import

    return _recorded(_State.tracer, name, attributes, SpanKind.CONSUMER)


class RequestSpan:
    """One HTTP request from now until `answered`, which must be called by the task that made it. To be made only while tracing.

    A caller's `traceparent` (W3C Trace Context) makes it part of the caller's trace.
    """

    def __init__(self, method: str, headers: Iterable[tuple[bytes, bytes]]) -> None:
        from opentelemetry import context, trace  # noqa: PLC0415 - off must cost no import
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

        self._method = method if method in _KNOWN_METHODS else "_OTHER"
        given = {k.decode("latin-1"): v.decode("latin-1") for k, v in headers if k in {b"traceparent", b"tracestate"}}
        parent = TraceContextTextMapPropagator().extract(given)
        tracer = _State.tracer or trace.NoOpTracer()
        self._span = tracer.start_span(self._name, parent, kind=trace.SpanKind.SERVER, attributes={_HTTP_METHOD: self._method})
        self._token = context.attach(trace.set_span_in_context(self._span, parent))

    def answered(self, route: str | None, status: int, **attributes: AttributeValue) -> None:
        """End it. `route` is the template of the path, or `None` when nothing stands there."""
        from opentelemetry import context  # noqa: PLC0415 - off must cost no import
        from opentelemetry.trace import StatusCode  # noqa: PLC0415

        context.detach(self._token)
        self._span.set_attributes({_HTTP_STATUS: status, **attributes})
        if route is not None:
            self._span.update_name(f"{self._name} {route}")
            self._span.set_attribute(_HTTP_ROUTE, route)
        if status >= _SERVER_ERROR:
            self._span.set_attribute(_ERROR_TYPE, str(status))
            self._span.set_status(StatusCode.ERROR)
        self._span.end()

    @property
    def _name(self) -> str:
        return "HTTP" if self._method == "_OTHER" else self._method


class _Recorded:
    """A span that is being recorded."""

    def __init__(self, current: "OtelSpan") -> None:
        self._current = current

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        self._current.set_attribute(key, value)

    def failed(self, error_type: str) -> None:
        from opentelemetry.trace import StatusCode  # noqa: PLC0415 - off must cost no import

        self._current.set_attribute(_ERROR_TYPE, error_type)
        self._current.set_status(StatusCode.ERROR)


@contextmanager
def _recorded(tracer: "Tracer", name: str, attributes: Mapping[str, AttributeValue], kind: "SpanKind") -> Iterator[Span]:
    # what an exception says may quote a person: its type is enough
    with tracer.start_as_current_span(
        name, kind=kind, attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as current:
        recorded = _Recorded(current)
        try:
            yield recorded
        except BaseException as error:
            recorded.failed(type(error).__qualname__)
            raise

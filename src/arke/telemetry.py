"""OpenTelemetry, where it is configured: the settings' `[telemetry]`, and the standard variables `OTEL_*`.

Only here and in `arke.api.otlp` its library is imported, and only where it is to be used.
"""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal

from arke import __version__
from arke.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.sdk.resources import Resource

    from arke.settings import Telemetry
    from arke.tracing import Tracer

ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
SAMPLER: Final = "OTEL_TRACES_SAMPLER"
SERVICE: Final = "arke"
TOLD_WITHIN_S: Final = 2.0
"""How long a collector may take, unless the environment says: so long it may also hold a stop up."""


def told_where(settings: Telemetry, signal: Literal["traces", "metrics"]) -> bool:
    """Whether somebody wants this signal."""
    named = (ENDPOINT, f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT")
    wanted = bool(settings.endpoint) or any(os.environ.get(name) for name in named)
    off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    nowhere = os.environ.get(f"OTEL_{signal.upper()}_EXPORTER", "otlp") == "none"
    return wanted and not off and not nowhere


def endpoint_of(settings: Telemetry, signal: Literal["traces", "metrics"]) -> str | None:
    """Where a signal goes; None: where the environment says."""
    return f"{settings.endpoint.rstrip('/')}/v1/{signal}" if settings.endpoint else None


def timeout_s(signal: Literal["traces", "metrics"]) -> float | None:
    """None: what the environment says."""
    names = ("OTEL_EXPORTER_OTLP_TIMEOUT", f"OTEL_EXPORTER_OTLP_{signal.upper()}_TIMEOUT")
    return None if any(os.environ.get(name) for name in names) else TOLD_WITHIN_S


def check_telemetry(settings: Telemetry) -> None:
    """Raises SettingsError where it is wanted and its library is not there."""
    if told_where(settings, "traces") or told_where(settings, "metrics"):
        try:
            import opentelemetry.exporter.otlp.proto.http  # noqa: F401
        except ImportError:
            raise SettingsError(
                "telemetry.endpoint, or OTEL_EXPORTER_OTLP_ENDPOINT: OpenTelemetry needs the extra arke[otel]"
            ) from None


def resource() -> Resource:
    """Who tells: `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` say more than we do."""
    from opentelemetry.sdk.resources import Resource

    given: dict[str, Any] = {"service.version": __version__, "process.pid": os.getpid()}
    if not os.environ.get("OTEL_SERVICE_NAME"):
        given["service.name"] = SERVICE
    return Resource.create(given)


@cache
def tracer_of(settings: Telemetry) -> Tracer | None:
    """The tracer of this process; None where nobody wants traces."""
    if not told_where(settings, "traces"):
        return None
    check_telemetry(settings)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

    # Whoever sends a traceparent does not decide how much is taken down: at the public door that is anybody.
    sampler = None if os.environ.get(SAMPLER) else TraceIdRatioBased(1 / settings.one_in)
    provider = TracerProvider(sampler=sampler, resource=resource())
    exporter = OTLPSpanExporter(endpoint_of(settings, "traces"), timeout=timeout_s("traces"))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return _Tracer(provider.get_tracer(SERVICE, __version__), settings.traceparent == "send")


class _Tracer:
    """See `arke.tracing.Tracer`."""

    def __init__(self, tracer: Any, tells_destinations: bool) -> None:
        from opentelemetry.context import Context
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self.tells_destinations = tells_destinations
        self._tracer = tracer
        self._kinds = {
            "server": SpanKind.SERVER,
            "client": SpanKind.CLIENT,
            "internal": SpanKind.INTERNAL,
        }
        self._nothing = Context()
        self._extract = TraceContextTextMapPropagator().extract

    def begin(self, kind: Literal["server", "client", "internal"], traceparent: str = "") -> _Span | None:
        context = self._nothing
        if traceparent:
            context = self._extract({"traceparent": traceparent}, context)
        span = self._tracer.start_span("", context, self._kinds[kind])
        return _Span(span) if span.is_recording() else None


class _Span:
    """See `arke.tracing.Span`."""

    def __init__(self, span: Any) -> None:
        self._span = span

    @property
    def traceparent(self) -> str:
        context = self._span.get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-01"

    def end(self, name: str, attributes: Mapping[str, str | int | float], *, failed: bool = False) -> None:
        from opentelemetry.trace import StatusCode

        self._span.update_name(name)
        self._span.set_attributes(attributes)
        if failed:
            self._span.set_status(StatusCode.ERROR)
        self._span.end()

"""OpenTelemetry: what a collector is told, and that it is told nothing about people."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from arke.errors import SettingsError
from arke.settings import Settings, Telemetry
from arke.telemetry import check_telemetry, tracer_of
from e2e.catalogs import DPID, catalog, destination, device, visit
from e2e.engine_process import OPEN, EngineProcess, request
from e2e.receiver_thread import ReceiverThread
from patience import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ACME = 423
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector:
    """A server that takes OTLP over HTTP, and keeps what it is told."""

    def __init__(self) -> None:
        self.bodies: list[tuple[str, bytes]] = []
        self.headers: list[dict[str, str]] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                collector.headers.append({name.lower(): value for name, value in self.headers.items()})
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.bodies.append((self.path, body))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> Collector:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def spans(self) -> list[Any]:
        told = [body for path, body in self.bodies if path == "/v1/traces"]
        return [
            span
            for body in told
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def metrics(self) -> dict[str, Any]:
        told = [body for path, body in self.bodies if path == "/v1/metrics"]
        return {
            metric.name: metric
            for body in told
            for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as running:
        yield running


def latencies(collector: Collector) -> int:
    """How many there are in what it was told last."""
    found = collector.metrics().get("arke_delivery_latency_seconds")
    return sum(point.count for point in found.histogram.data_points) if found is not None else 0


def facts(span: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


def settings(endpoint: str, *more: str) -> str:
    options = [f'endpoint = "{endpoint}"', "one_in = 1", "metrics_every_s = 1", *more]
    return OPEN + "\n[telemetry]\n" + "\n".join(options) + "\n"


def told_a_visitor(engine: EngineProcess, receiver: ReceiverThread) -> None:
    """One event, by a sender who traces too, and its message."""
    engine.apply(catalog([destination(ACME, receiver.url, receiver.ca_file)]))
    body = msgspec.json.encode(visit(1, "camera"))
    parent = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
    assert request(engine.intake, "POST", "/v1/events", body, parent).status == 200
    assert request(engine.intake, "GET", f"/event?d_uuid={device(1)}").status == 200
    assert request(engine.intake, "BOB12345", "/secret-path-of-bob").status in (400, 404, 405)
    wait_until(lambda: receiver.segments_of("p1"), "the message")


def test_what_a_collector_is_told(collector: Collector, tmp_path: Path) -> None:
    """By the settings; and what is left to say is said at the end."""
    environ = {"OTEL_BSP_SCHEDULE_DELAY": "50", "OTEL_EXPORTER_OTLP_HEADERS": "x-team=ads"}
    with (
        ReceiverThread() as receiver,
        EngineProcess(tmp_path, settings=settings(collector.url), environ=environ) as engine,
    ):
        told_a_visitor(engine, receiver)
        wait_until(lambda: latencies(collector) > 0, "the metrics")
        wait_until(lambda: any(one.name == "deliver" for one in collector.spans()), "the delivery")
        engine.stop()
        assert not any("traceparent" in dict(one.request.headers) for one in receiver.messages())
    spans = collector.spans()
    names = Counter(span.name for span in spans)
    assert {"POST /v1/events", "GET /event", "group", "deliver"} <= names.keys()
    assert set(names) <= {"POST /v1/events", "GET /event", "group", "deliver", "_OTHER other"}
    (events,) = [span for span in spans if span.name == "POST /v1/events"]
    assert (events.trace_id.hex(), events.parent_span_id.hex()) == (TRACE, CALLER)
    assert facts(events) == {
        "arke.door": "intake",
        "http.request.method": "POST",
        "http.route": "/v1/events",
        "http.response.status_code": 200,
    }
    (told,) = [span for span in spans if span.name == "deliver"][:1]
    assert facts(told)["arke.destination"] == ACME
    assert facts(told)["arke.answer"] == "200"
    assert told.start_time_unix_nano < told.end_time_unix_nano
    metrics = collector.metrics()
    (events_taken,) = metrics["arke_events"].sum.data_points
    assert events_taken.as_int + events_taken.as_double >= 1
    assert metrics["arke_events"].sum.is_monotonic
    (latency,) = metrics["arke_delivery_latency_seconds"].histogram.data_points
    assert latency.count == sum(latency.bucket_counts)
    assert len(latency.bucket_counts) == len(latency.explicit_bounds) + 1
    assert metrics["arke_delivery_latency_seconds"].unit == "s"
    everything = b"".join(body for _, body in collector.bodies)
    assert b"arke" in everything
    for secret in (device(1), "p1", "camera", "bob", "BOB12345", str(DPID)):
        assert secret.encode() not in everything, f"{secret} was told"
    assert all(one.get("x-team") == "ads" for one in collector.headers)


def test_destinations_are_told_where_it_is_asked_for(collector: Collector, tmp_path: Path) -> None:
    """By the standard variables, and with signatures that hold as before."""
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_TRACES_SAMPLER": "always_on",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_SERVICE_NAME": "ours",
    }
    given = settings("", 'traceparent = "send"')
    with (
        ReceiverThread() as receiver,
        EngineProcess(tmp_path, settings=given, environ=environ) as engine,
    ):
        told_a_visitor(engine, receiver)
        engine.stop()
        sent = {dict(one.request.headers)["traceparent"] for one in receiver.messages()}
    deliveries = [span for span in collector.spans() if span.name == "deliver"]
    assert sent == {f"00-{one.trace_id.hex()}-{one.span_id.hex()}-01" for one in deliveries}
    assert not collector.metrics()
    assert any(b"ours" in body for _, body in collector.bodies)


def test_a_collector_that_is_away_holds_nothing_up(tmp_path: Path) -> None:
    with (
        ReceiverThread() as receiver,
        EngineProcess(tmp_path, settings=settings("http://127.0.0.1:9")) as engine,
    ):
        told_a_visitor(engine, receiver)
        assert engine.stop() == 0


def test_where_nobody_listens_nothing_is_loaded() -> None:
    assert tracer_of(Telemetry()) is None
    loaded = "import sys, arke.serve, arke.worker, arke.app; arke.shard_app.https_wire(arke.app.Settings())"
    done = subprocess.run(
        [sys.executable, "-c", f"{loaded}; print([one for one in sys.modules if 'opentelemetry' in one])"],
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_the_library_has_to_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http", None)
    check_telemetry(Settings().telemetry)
    with pytest.raises(SettingsError, match=r"arke\[otel\]"):
        check_telemetry(Telemetry(endpoint="http://127.0.0.1:4318"))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    with pytest.raises(SettingsError, match=r"arke\[otel\]"):
        check_telemetry(Telemetry())
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    check_telemetry(Telemetry())

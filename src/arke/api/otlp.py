"""The metrics for OpenTelemetry: the very figures that Prometheus gets, pushed to a collector."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from arke import __version__
from arke.api.metrics import registry_of
from arke.errors import Unavailable
from arke.log import get_logger
from arke.telemetry import SERVICE, endpoint_of, resource, timeout_s

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client import Metric as Family
    from prometheus_client.samples import Sample

    from arke.doors.refusals import Refusals
    from arke.operations.status import StatusOperations
    from arke.settings import Telemetry

UNITS = {"seconds": "s", "bytes": "By", "ratio": "1"}
SUMMED = AggregationTemporality.CUMULATIVE

log = get_logger("telemetry")


class MetricsPusher:
    """Tells a collector every now and then. What it cannot be told is not kept: the next figures say more."""

    def __init__(self, settings: Telemetry, status: StatusOperations, doors: Refusals) -> None:
        self._status = status
        self._doors = doors
        self._exporter = OTLPMetricExporter(endpoint_of(settings, "metrics"), timeout=timeout_s("metrics"))
        self._resource = resource()
        self._began = time.time_ns()

    async def push(self) -> None:
        try:
            scrape = await self._status.scrape()
        except Unavailable as error:
            log.warning("metrics_not_pushed", code=error.code)
            return
        families = list(registry_of(scrape, self._doors).collect())
        data = metrics_data(families, self._resource, self._began, time.time_ns())
        await asyncio.to_thread(self._exporter.export, data)

    def close(self) -> None:
        self._exporter.shutdown()


def metrics_data(families: Iterable[Family], told_by: Any, began: int, now: int) -> MetricsData:
    """Prometheus' families in the form of OpenTelemetry. Times in nanoseconds since 1970."""
    metrics = [
        Metric(
            one.name, one.documentation, UNITS.get(one.name.rpartition("_")[2], ""), _data(one, began, now)
        )
        for one in families
        if one.samples
    ]
    scope = ScopeMetrics(InstrumentationScope(SERVICE, __version__), metrics, "")
    return MetricsData([ResourceMetrics(told_by, [scope], "")])


def _data(family: Family, began: int, now: int) -> Sum | Gauge | Histogram:
    if family.type == "histogram":
        return Histogram(_histogram_points(family.samples, began, now), SUMMED)
    points = [NumberDataPoint(one.labels, began, now, one.value) for one in family.samples]
    return Sum(points, SUMMED, is_monotonic=True) if family.type == "counter" else Gauge(points)


def _histogram_points(samples: Iterable[Sample], began: int, now: int) -> list[HistogramDataPoint]:
    """Buckets as counts of their own; those of Prometheus have all that is within them."""
    within: dict[tuple[tuple[str, str], ...], list[tuple[float, int]]] = {}
    totals: dict[tuple[tuple[str, str], ...], float] = {}
    for one in samples:
        place = tuple((name, value) for name, value in one.labels.items() if name != "le")
        if one.name.endswith("_bucket"):
            within.setdefault(place, []).append((float(one.labels["le"]), int(one.value)))
        elif one.name.endswith("_sum"):
            totals[place] = one.value
    points = []
    for place, buckets in within.items():
        counts = [high - low for low, high in pairwise([0, *(count for _, count in buckets)])]
        bounds = [bound for bound, _ in buckets[:-1]]
        least, most = float("inf"), float("-inf")
        point = HistogramDataPoint(
            dict(place), began, now, sum(counts), totals[place], counts, bounds, least, most
        )
        points.append(point)
    return points

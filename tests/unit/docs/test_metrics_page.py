"""docs/reference/metrics.md lists the metrics that a scrape shows, with type and labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from arke.api.metrics import render_metrics
from arke.doors.refusals import Refusals
from arke.engine.batches import RunFacts
from arke.engine.sources.reading import PartitionStatus, SourceStatus
from arke.histogram import Histogram
from arke.operations.nodes import NodeStatus
from arke.operations.status import DestinationStatus, OwnStatus, Scrape, SharedIds, Status
from arke.shard.protocol import NOTHING_COUNTED
from arke.transport.ports import Rebalances
from unit.docs.pages import code, page, rows

if TYPE_CHECKING:
    from collections.abc import Iterable


def scraped() -> dict[str, tuple[str, str]]:
    """Each sample's name with its type and labels."""
    run = RunFacts(
        destination=423,
        number=1,
        trigger="schedule",
        mode="changes",
        slot=1,
        at=1,
        finished_at=2,
        abandoned=False,
        share=1.0,
        users=1,
        acknowledged=1,
        owed=0,
        messages=1,
        messages_acknowledged=1,
    )
    destination = DestinationStatus(423, "Acme", answers={"200": 1}, p50_ms=1.0, p99_ms=2.0, batch=run)
    status = Status(
        ready=True,
        catalog_version=1,
        backfilled=1.0,
        shards=1,
        profiles=1,
        events=1,
        changes=1,
        queued=0,
        destinations=[destination],
        refused_by_code={"bad_json": 1},
        ids_dropped={"303": 1},
        shared_ids=[SharedIds(12345, 1, 1_001)],
        sources=[
            SourceStatus(
                topic="clicks",
                group="arke-clicks",
                format="arke",
                lag=1,
                events=1,
                refused=1,
                skipped=1,
                problem="",
                left={},
                partitions=[PartitionStatus(0, "node", 1, 1, 1, 1, 1)],
            )
        ],
    )
    node = NodeStatus([], NOTHING_COUNTED, {3: 7}, Rebalances(), 0, [])
    doors = Refusals()
    doors.note("intake", "bad_request")
    doors.answered.add("intake", "/event", 200, 0.01)
    own = OwnStatus(status, node, leads=True, unowned=0)
    scrape = Scrape(status, {423: Histogram()}, Histogram(), own)
    return {
        family.name if family.type == "histogram" else sample.name: (family.type, labels_of(sample.labels))
        for family in text_string_to_metric_families(render_metrics(scrape, doors).decode())
        for sample in family.samples
    }


def labels_of(labels: Iterable[str]) -> str:
    return ", ".join(f"`{label}`" for label in sorted(labels, reverse=True) if label != "le")


def test_the_page_lists_the_metrics_that_exist() -> None:
    told = {code(cells[0]): (cells[1], cells[2]) for cells in rows(page("metrics.md").split("\n## ")[0])}
    assert told == scraped()

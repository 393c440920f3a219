"""docs/reference/metrics.md lists the metrics that a scrape shows, with type and labels."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from arke.api.metrics import render_metrics
from arke.engine.batches import RunFacts
from arke.engine.sources.reading import PartitionStatus, SourceStatus
from arke.operations.nodes import NodeStatus
from arke.operations.status import DestinationStatus, OwnStatus, SharedIds, Status
from arke.shard.protocol import NOTHING_COUNTED
from arke.transport.ports import Rebalances
from unit.docs.pages import code, page, rows


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
    node = NodeStatus([], NOTHING_COUNTED, {3: 7}, Rebalances(), 0)
    own = OwnStatus(status, node, leads=True, unowned=0)
    return {
        sample.name: (family.type, ", ".join(f"`{label}`" for label in sorted(sample.labels, reverse=True)))
        for family in text_string_to_metric_families(
            render_metrics(status, {("intake", "bad_request"): 1}, own).decode()
        )
        for sample in family.samples
    }


def test_the_page_lists_the_metrics_that_exist() -> None:
    told = {code(cells[0]): (cells[1], cells[2]) for cells in rows(page("metrics.md"))}
    assert told == scraped()

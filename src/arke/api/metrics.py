"""Prometheus figures, gathered from the shards when somebody asks."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.utils import floatToGoString

from arke import __version__
from arke.histogram import BOUNDS_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from prometheus_client.core import Metric

    from arke.doors.refusals import Refusals
    from arke.histogram import Histogram
    from arke.operations.jobs import RunFacts
    from arke.operations.status import DestinationStatus, OwnStatus, Scrape

DESTINATION_COUNTERS = {
    "messages": "Messages whose delivery ended, acknowledged or owed",
    "acknowledged": "Messages acknowledged",
    "users": "User entries in those messages",
    "users_acknowledged": "User entries acknowledged",
    "retries": "Second attempts",
    "sloppy": "Answers that were not well-formed HTTP and counted by their status",
    "unanswered": "Attempts that got no answer",
    "users_unanswered": "User entries in those attempts, which may have been taken in or not",
    "nothing_to_tell": "Devices set off that had nothing to say (no partner id, or not sampled)",
}
DESTINATION_GAUGES = {
    "owed": "Devices owed after both attempts failed",
    "backlog": "Journal positions not yet behind the lane",
}

SOURCE_COUNTERS: Final = {
    "events": "Events of a topic that were taken, of all time",
    "refused": "Events of a topic that were not taken, of all time",
    "skipped": "Offsets that the topic did not have any more when they were to be read, of all time",
}

BATCH_GAUGES: Final[dict[str, tuple[str, Callable[[RunFacts], float | None]]]] = {
    "number": ("Number of the newest batch run", lambda run: run.number),
    "begun_timestamp_seconds": ("When the newest batch run began", lambda run: run.at),
    "finished_timestamp_seconds": ("When it finished; absent while it runs", lambda run: run.finished_at),
    "done_ratio": ("About how much of it is done, 0 to 1", lambda run: run.share),
    "users": ("User entries it has told", lambda run: run.users),
    "users_acknowledged": ("Those acknowledged", lambda run: run.acknowledged),
    "users_owed": ("Those owed after both attempts failed", lambda run: run.owed),
}


REBALANCES: Final[dict[str, str]] = {
    "assigned": "Shards that were assigned to this node",
    "taken": "Shards that it has taken from the store, each under a new epoch",
    "revoked": "Shards that it has given up for others",
    "lost": "Shards that it has dropped, for its lease or its session was over",
    "fenced": "Shards of which the store said that another node had taken them",
}


class _Figures:
    """A collector over what an engine, or a node of a cluster, has counted."""

    def __init__(self, scrape: Scrape, doors: Refusals | None) -> None:
        self._scrape = scrape
        self._status = scrape.status
        self._doors = doors
        self._own = scrape.own

    def collect(self) -> Iterator[Metric]:
        status = self._status
        yield GaugeMetricFamily("arke_ready", "1 if events can be stored", value=int(status.ready))
        yield GaugeMetricFamily("arke_profiles", "Stored profiles of devices", value=status.profiles)
        yield GaugeMetricFamily("arke_people", "Stored profiles of people", value=status.people)
        yield InfoMetricFamily("arke_build", "What runs", value={"version": __version__})
        yield GaugeMetricFamily("arke_queued_commands", "Commands waiting for a group", value=status.queued)
        yield GaugeMetricFamily("arke_catalog_version", "Catalog in force", value=status.catalog_version)
        yield GaugeMetricFamily(
            "arke_backfilled_ratio", "Share of profiles evaluated under the catalog", value=status.backfilled
        )
        yield CounterMetricFamily("arke_events", "Events made durable", value=status.events)
        yield CounterMetricFamily("arke_changes", "Membership changes", value=status.changes)
        yield GaugeMetricFamily(
            "arke_events_under_way", "Events let in, not answered", value=status.under_way
        )
        yield GaugeMetricFamily("arke_events_room", "Events that may be under way", value=status.room)
        yield from self._intake()
        yield CounterMetricFamily(
            "arke_identity_takeovers_refused",
            "Ids that stayed with their device: another had taken as many as it may a day",
            value=status.takeovers_refused,
        )
        ids = GaugeMetricFamily(
            "arke_shared_ids", "Ids that very many devices shared lately", labels=["data_source"]
        )
        devices = GaugeMetricFamily(
            "arke_shared_id_devices", "Devices that shared one of them on a day", labels=["data_source"]
        )
        for one in status.shared_ids:
            ids.add_metric([str(one.data_source)], one.ids)
            devices.add_metric([str(one.data_source)], one.devices)
        yield ids
        yield devices
        yield CounterMetricFamily(
            "arke_privacy_requests_large",
            "Privacy requests about suspiciously many ids",
            value=status.privacy_requests_large,
        )
        loading = status.loading
        yield GaugeMetricFamily(
            "arke_loading_lines_done",
            "Lines loaded of the data file under way",
            value=loading.lines if loading else 0,
        )
        yield GaugeMetricFamily(
            "arke_loading_lines",
            "Lines it has; 0 while none is loaded",
            value=loading.total if loading else 0,
        )
        if self._doors is not None:
            yield from self._requests(self._doors)
        yield _histogram(
            "arke_group_commit_duration_seconds",
            "How long the store took to commit a group",
            [],
            [((), self._scrape.commits)],
        )
        yield from self._sources()
        yield from self._destinations(status.destinations)
        if self._own is not None:
            yield from self._node(self._own)

    def _requests(self, doors: Refusals) -> Iterator[Metric]:
        refused = CounterMetricFamily("arke_refused", "What a door refused, by kind", labels=["door", "kind"])
        for (door, kind), count in doors.counts().items():
            refused.add_metric([door, kind], count)
        yield refused
        yield _histogram(
            "arke_http_request_duration_seconds",
            "How long requests took, but for those that a door refused",
            ["door", "route", "status"],
            doors.answered.counted().items(),
        )

    def _node(self, own: OwnStatus) -> Iterator[Metric]:
        yield GaugeMetricFamily("arke_node_leads", "1 on the node that leads", value=int(own.leads))
        yield GaugeMetricFamily("arke_node_shards", "Shards that this node owns", value=len(own.node.shards))
        for name, text in REBALANCES.items():
            value = getattr(own.node.rebalances, name)
            yield CounterMetricFamily(f"arke_node_shards_{name}", text, value=value)
        lag = GaugeMetricFamily(
            "arke_log_lag_messages", "Messages of the log that a shard has not taken", labels=["shard"]
        )
        for shard, messages in sorted(own.node.behind.items()):
            lag.add_metric([str(shard)], messages)
        yield lag
        yield GaugeMetricFamily(
            "arke_log_gaps",
            "Shards of this node that stand still, as messages of their log are gone",
            value=len(own.node.gaps),
        )
        yield CounterMetricFamily(
            "arke_log_messages_refused",
            "Messages of the log, or events in them, that could not be read",
            value=own.node.refused_messages,
        )
        if own.unowned is not None:
            yield GaugeMetricFamily(
                "arke_cluster_shards_unowned", "Shards that no node owns", value=own.unowned
            )

    def _sources(self) -> Iterator[Metric]:
        """Of all nodes, but for `held_up`, which is of this one."""
        names = ["topic", "group", "partition"]
        lag = GaugeMetricFamily(
            "arke_source_lag_offsets", "Offsets of a topic that are not taken", labels=names
        )
        totals = {
            name: CounterMetricFamily(f"arke_source_{name}", text, labels=names)
            for name, text in SOURCE_COUNTERS.items()
        }
        held_up = GaugeMetricFamily(
            "arke_source_held_up", "1 if nothing moves on: `arke source status` says why", labels=names[:2]
        )
        for one in self._status.sources:
            held_up.add_metric([one.topic, one.group], int(bool(one.problem)))
            for part in one.partitions:
                place = [one.topic, one.group, str(part.partition)]
                lag.add_metric(place, part.lag)
                for name, counter in totals.items():
                    counter.add_metric(place, getattr(part, name))
        yield lag
        yield from totals.values()
        yield held_up

    def _intake(self) -> Iterator[Metric]:
        status = self._status
        by_code = {
            "events_refused": ("Events that were not taken, by code", status.refused_by_code),
            "ids_dropped": ("Ids that were left out of events, by code", status.ids_dropped),
        }
        for name, (text, counts) in by_code.items():
            counter = CounterMetricFamily(f"arke_{name}", text, labels=["code"])
            for code, count in sorted(counts.items()):
                counter.add_metric([code], count)
            yield counter
        yield CounterMetricFamily(
            "arke_events_repeated", "Events whose event_id had counted", value=status.repeated
        )
        yield CounterMetricFamily(
            "arke_events_late", "Events of people who had withdrawn since, not taken", value=status.late
        )
        yield GaugeMetricFamily(
            "arke_keys_unasked", "Keys that no rule asks for, in a sample", value=len(status.unasked_keys)
        )
        yield GaugeMetricFamily(
            "arke_traits_never_realised",
            "Traits that nobody has realised since their rule is as it is",
            value=status.traits_never_realised,
        )

    def _destinations(self, destinations: list[DestinationStatus]) -> Iterator[Metric]:
        for name, text in DESTINATION_COUNTERS.items():
            counter = CounterMetricFamily(f"arke_destination_{name}", text, labels=["destination"])
            for destination in destinations:
                counter.add_metric([str(destination.id)], getattr(destination, name))
            yield counter
        for name, text in DESTINATION_GAUGES.items():
            gauge = GaugeMetricFamily(f"arke_destination_{name}", text, labels=["destination"])
            for destination in destinations:
                gauge.add_metric([str(destination.id)], getattr(destination, name) or 0)
            yield gauge
        circuit = GaugeMetricFamily(
            "arke_destination_circuit_open", "1 while the circuit is open", labels=["destination"]
        )
        answers = CounterMetricFamily(
            "arke_destination_answers", "Deliveries by their final answer", labels=["destination", "answer"]
        )
        for destination in destinations:
            circuit.add_metric([str(destination.id)], int(destination.circuit == "open"))
            for answer, count in destination.answers.items():
                answers.add_metric([str(destination.id), answer], count)
        yield _histogram(
            "arke_delivery_latency_seconds",
            "From event to acknowledgement, of each user entry that was told as it happened",
            ["destination"],
            [((str(number),), latency) for number, latency in self._scrape.latency.items()],
        )
        yield circuit
        yield answers
        yield from self._batches([row.batch for row in destinations if row.batch is not None])

    def _batches(self, runs: list[RunFacts]) -> Iterator[Metric]:
        for name, (text, value) in BATCH_GAUGES.items():
            gauge = GaugeMetricFamily(f"arke_destination_batch_{name}", text, labels=["destination"])
            for run in runs:
                if (found := value(run)) is not None:
                    gauge.add_metric([str(run.destination)], found)
            yield gauge


def _histogram(
    name: str, text: str, labels: Sequence[str], counted: Iterable[tuple[Sequence[str], Histogram]]
) -> Metric:
    """Buckets as Prometheus has them: each with all that stayed within its bound."""
    family = HistogramMetricFamily(name, text, labels=labels)
    bounds = [*map(floatToGoString, BOUNDS_S), "+Inf"]
    for place, durations in counted:
        within = zip(bounds, accumulate(durations.counts), strict=True)
        family.add_metric(place, list(within), sum_value=durations.total_s)
    return family


def registry_of(scrape: Scrape, doors: Refusals | None) -> CollectorRegistry:
    """All figures. `doors`: what they have counted; None: there are none."""
    registry = CollectorRegistry()
    registry.register(_Figures(scrape, doors))
    ProcessCollector(registry=registry)
    return registry


def render_metrics(scrape: Scrape, doors: Refusals | None) -> bytes:
    """The Prometheus text format."""
    return generate_latest(registry_of(scrape, doors))

"""A cluster: its PostgreSQL, its log, its nodes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from arke.cluster_app import check_cluster, cluster_status
from arke.doctor.finding import doubtful, fine, wrong
from arke.errors import ArkeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arke.doctor.finding import Finding
    from arke.settings import Settings

LEAST_IN_SYNC: Final = 2


def cluster(settings: Settings) -> Iterator[Finding]:
    try:
        topic = asyncio.run(check_cluster(settings))
    except ArkeError as error:
        yield wrong("cluster", str(error), "see [cluster] and [kafka] in arke.toml, then `arke cluster init`")
    else:
        if topic is not None:
            copies = f"{topic.partitions} partitions in {topic.copies} copies"
            if topic.min_insync < LEAST_IN_SYNC:
                do = "with min.insync.replicas 2 no single broker's disk takes answered events with it"
                yield doubtful("cluster", f"the topic has {copies}, and min.insync.replicas 1", do)
            else:
                yield fine("cluster", f"the topic has {copies}")
    try:
        found = asyncio.run(cluster_status(settings))
    except ArkeError as error:
        yield wrong("cluster", str(error), "see cluster.store in arke.toml, and whether PostgreSQL is up")
        return
    for server in found.servers:
        if server.problem is not None:
            yield wrong(
                "cluster", f"server {server.name}: {server.problem}", "see that it is up, and its DSN"
            )
    if found.unowned:
        yield wrong(
            "cluster",
            f"{len(found.unowned)} of {len(found.shards)} shards have no owner",
            "start workers (`arke up --role worker`); their events wait in the log",
        )
    if found.leader is None:
        yield wrong("cluster", "no node leads", "start a node of the role admin or all")
    for node in found.nodes:
        if not node.figures.ready:
            yield doubtful("cluster", f"node {node.name} is not ready", "see its log")
    nodes = ", ".join(f"{node.name} ({node.role})" for node in found.nodes) or "none"
    yield fine("cluster", f"{len(found.shards)} shards; nodes: {nodes}")

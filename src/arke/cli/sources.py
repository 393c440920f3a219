"""`arke source`: topics that events are read from."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

from arke.cli.declared import Option, Subject
from arke.cli.options import DATA, Config, Data, Insecure, Json, Token, Url, client, whole
from arke.wording import many

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arke.engine.sources.reading import SourceStatus

MOST_LISTED = 1_000

source_app = Subject("source", "Topics of Kafka that events are read from (intake.kafka).")


@source_app.named("status")
def source_status(
    data: Data = DATA,
    config: Config = None,
    url: Url = None,
    token: Token = None,
    insecure: Insecure = False,
    json: Json = False,
) -> None:
    """Show how far each partition is read, by which node, and what keeps it."""
    import msgspec

    found = client(data, url, token, config, insecure=insecure).status().sources
    if json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
        return
    for one in found:
        sys.stdout.write(source_lines(one) + "".join(_partition_lines(one)))
    if not found:
        sys.stdout.write("no topic was ever read: see intake.kafka in the settings\n")


@source_app.named("refused")
def source_refused(
    data: Data = DATA,
    config: Config = None,
    url: Url = None,
    token: Token = None,
    insecure: Insecure = False,
    limit: Annotated[int, Option("--limit", parser=whole(1, MOST_LISTED), help="So many of them.")] = 100,
    json: Json = False,
) -> None:
    """Show the newest events of topics that were not taken, where they are, and why."""
    import msgspec

    found = client(data, url, token, config, insecure=insecure).refused_of_sources(limit)
    if json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
        return
    for one in found:
        item = f", event {one.item}" if one.item > 0 else ""
        sys.stdout.write(
            f"{one.at} {one.topic} partition {one.partition} offset {one.offset}{item}: {one.code}: {one.message}\n"
        )
    if not found:
        sys.stdout.write("nothing was refused\n")


def source_lines(one: SourceStatus) -> str:
    """A source in a line or two, as `arke status` has it."""
    skipped = f", {one.skipped:,} offsets were gone before they were read" if one.skipped else ""
    idle = [str(part.partition) for part in one.partitions if not part.reader]
    left = ", ".join(f"{name} x {count:,}" for name, count in sorted(one.left.items()))
    return (
        f"source {one.topic} (group {one.group}): {many(one.events, 'event')} taken, {one.refused:,} refused, "
        f"{many(one.lag, 'message')} behind{skipped}\n"
        + (f"  held up: {one.problem}\n" if one.problem else "")
        + (f"  no node reads partition {', '.join(idle)}\n" if idle else "")
        + (f"  parts that nothing stands for: {left}\n" if left else "")
    )


def _partition_lines(one: SourceStatus) -> Iterator[str]:
    for part in one.partitions:
        yield (
            f"  partition {part.partition}: next offset {'none' if part.next is None else part.next}, "
            f"{part.lag:,} behind, read by {part.reader or 'nobody'}\n"
        )

"""`arke up` and `arke status`: run the engine, and see how it is."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated

from click.exceptions import Exit

from arke.cli.completion import few
from arke.cli.declared import Option
from arke.cli.options import DATA, Config, Data, Insecure, Json, Token, Url, client, label, one_of, whole
from arke.cli.sources import source_lines
from arke.cluster.role import ROLES, Role
from arke.domain.digits import MAX_PORT
from arke.wording import many

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from arke.intake.settings import ConsentRules
    from arke.operations.jobs import RunFacts
    from arke.operations.nodes import ClusterFacts
    from arke.operations.status import DestinationStatus, Status
    from arke.settings import Settings
    from arke.shard.protocol import LastRefusal
    from arke.transport.starting import Starter

LISTED = 20
"""Keys and traits that a line names."""


def up(
    config: Config = None,
    data: Data = DATA,
    intake_port: Annotated[
        int | None,
        Option(
            "--intake-port",
            parser=whole(0, MAX_PORT),
            help="Port of the intake, over the setting; 0: any free one.",
        ),
    ] = None,
    admin_port: Annotated[
        int | None,
        Option(
            "--admin-port",
            parser=whole(0, MAX_PORT),
            help="Port of the admin API, over the setting; 0: any.",
        ),
    ] = None,
    shards: Annotated[
        int | None,
        Option(
            "--shards",
            parser=whole(1, 64),
            help="Processes to use; fixed when the data directory is new.",
        ),
    ] = None,
    role: Annotated[
        Role,
        Option(
            "--role",
            metavar="|".join(ROLES),
            parser=one_of(*ROLES),
            help="What this node of a cluster does (cluster.store).",
            complete=few(*ROLES),
        ),
    ] = "all",
    json: Json = False,
) -> None:
    """Run the engine (intake, evaluation, delivery, admin API) until Ctrl-C, which stops it cleanly."""
    from arke.log import configure_logging
    from arke.settings import find_settings, with_options

    configure_logging()
    settings = with_options(
        find_settings(config), intake_port=intake_port, admin_port=admin_port, shards=shards
    )
    with _starter(settings) as starter:
        from arke.checking import catalog_checkers
        from arke.serve import serve

        serve(data, settings, catalog_checkers(), role, starter=starter, as_json=json)


def _starter(settings: Settings) -> AbstractContextManager[Starter | None]:
    """Forked from this process while it has nothing yet but what shards need too: what an engine needs beside that
    is imported later. Shards of a cluster are in their node's process.
    """
    if settings.cluster.store:
        return nullcontext()
    from arke.starter import forked

    return forked()


def status(
    data: Data = DATA,
    config: Config = None,
    url: Url = None,
    token: Token = None,
    insecure: Insecure = False,
    json: Json = False,
) -> None:
    """Show the health and figures of an engine."""
    import msgspec

    figures = client(data, url, token, config, insecure=insecure).status()
    if json:
        sys.stdout.write(msgspec.json.encode(figures).decode() + "\n")
    else:
        _show(figures)
    if not figures.ready:
        raise Exit(1)


def _show(figures: Status) -> None:
    ready = "ready" if figures.ready else "NOT READY"
    people = f", and {figures.people:,} of people" if figures.people else ""
    sys.stdout.write(
        f"{ready}, catalog version {figures.catalog_version}, {many(figures.shards, 'shard')}\n"
        f"{many(figures.profiles, 'profile')} stored{people}; since the start {many(figures.events, 'event')}, "
        f"{many(figures.changes, 'membership change')}\n"
    )
    if figures.away:
        sys.stdout.write(f"without these shards, which do not answer: {_some(figures.away)}\n")
    if figures.cluster is not None:
        _show_cluster(figures.cluster)
    if figures.refused:
        sys.stdout.write(
            f"overload: {many(figures.refused, 'event')} refused with 429; {figures.under_way:,} under way, "
            f"room for {figures.room:,}\n"
        )
    _show_intake(figures)
    if figures.backfilled < 1:
        sys.stdout.write(
            f"backfill: {figures.backfilled:.0%} of the stored profiles are evaluated under this catalog\n"
        )
    if figures.takeovers_refused:
        sys.stdout.write(f"{many(figures.takeovers_refused, 'takeover')} of ids refused at the public door\n")
    for one in figures.shared_ids:
        sys.stdout.write(
            f"data source {one.data_source}: {many(one.ids, 'id')} that up to {many(one.devices, 'device')} "
            "shared on a day: most likely what a tag sends for everybody; `deny` it in the catalog\n"
        )
    for source in figures.sources:
        sys.stdout.write(source_lines(source))
    sys.stdout.write(_consent(figures.consent))
    if figures.audit is not None:
        sys.stdout.write(
            f"audit: {figures.audit.entries:,} entries, the last one's seal {figures.audit.seal or 'none'}\n"
        )
    if (loading := figures.loading) is not None:
        of = f" of {loading.total:,}" if loading.total else ""
        sys.stdout.write(f"loading {loading.file}: {loading.lines:,}{of} lines\n")
    if figures.privacy_requests_large:
        sys.stdout.write(
            f"{figures.privacy_requests_large:,} privacy requests about unusually many ids: `arke privacy list`\n"
        )
    for row in figures.destinations:
        sys.stdout.write("".join(f"{line}\n" for line in _destination(row)))


def _destination(row: DestinationStatus) -> Iterator[str]:
    latency = ""
    if row.p50_ms is not None:
        latency = f"; event to answer p50 {row.p50_ms:.0f} ms, p99 {row.p99_ms:.0f} ms"
    yield f"destination {label(row.id, row.name)}: circuit {row.circuit}{_pause(row.pause_s)}"
    yield (
        f"  {many(row.messages, 'message')} with {many(row.users, 'user')}, {row.acknowledged:,} acknowledged, "
        f"{row.retries:,} retries{latency}"
    )
    yield f"  owed {many(row.owed, 'device')}{_next(row.owed_next)}, {row.backlog:,} journal entries behind"
    if row.answers:
        yield "  answers " + ", ".join(
            f"{answer} x {count:,}" for answer, count in sorted(row.answers.items())
        )
    if row.refused is not None:
        yield _refused(row.id, row.refused)
    if row.sloppy:
        yield f"  {row.sloppy:,} answers were not well-formed HTTP; their status counted"
    if row.batch is not None:
        yield f"  batch {_batch(row.batch)}"


def _show_cluster(cluster: ClusterFacts) -> None:
    late = sum(not node.ready for node in cluster.nodes)
    nodes = many(len(cluster.nodes), "node") + (f", {late} NOT READY" if late else "")
    sys.stdout.write(
        f"cluster: {nodes}, {cluster.leader or 'nobody'} leads; {cluster.behind:,} messages of the log wait, "
        f"at most {cluster.behind_most:,} of a shard\n"
    )
    if cluster.unowned:
        sys.stdout.write(f"shards without an owner: {_some(cluster.unowned)}\n")
    if cluster.gaps:
        sys.stdout.write(f"messages of the log are gone, these shards STAND STILL: {_some(cluster.gaps)}\n")
    if cluster.refused_messages:
        sys.stdout.write(
            f"{many(cluster.refused_messages, 'message')} of the log could not be read: `arke cluster status`\n"
        )


def _refused(destination: int, refused: LastRefusal) -> str:
    times = f", {refused.times:,} times in a row" if refused.times > 1 else ""
    return (
        f"  refused last at {refused.at}: {refused.answer}{times}: "
        f"`arke undelivered refusals --destination {destination}`"
    )


def _pause(pause_s: float) -> str:
    return f", to be left alone for {pause_s:.0f} s" if pause_s else ""


def _next(at: str | None) -> str:
    return f", sent again from {at}" if at is not None else ""


def _show_intake(figures: Status) -> None:
    """What did not count, and what may be spelt otherwise in rules than in events."""
    for title, counts in (
        ("events refused", figures.refused_by_code),
        ("ids left out of events", figures.ids_dropped),
        ("parts of calls that nothing stands for", figures.parts_left),
    ):
        if counts:
            by_code = ", ".join(f"{code} x {count:,}" for code, count in sorted(counts.items()))
            sys.stdout.write(f"{title}: {by_code}\n")
    if figures.repeated:
        sys.stdout.write(f"{many(figures.repeated, 'event')} had counted before (event_id)\n")
    if figures.late:
        sys.stdout.write(f"{figures.late:,} events of people who had withdrawn since were not taken\n")
    if figures.unasked_keys:
        sys.stdout.write(f"keys that no rule asks for: {_some(figures.unasked_keys)}\n")
    if figures.never_realised:
        more = figures.traits_never_realised - len(figures.never_realised)
        sys.stdout.write(
            f"traits never realised by their present rule: {_some(figures.never_realised, more)}\n"
        )


def _some(names: Sequence[str | int], more: int = 0) -> str:
    """The first few, and how many there are besides."""
    more += max(0, len(names) - LISTED)
    return ", ".join(map(str, names[:LISTED])) + (f" and {more:,} more" if more else "")


def _consent(rules: ConsentRules) -> str:
    vendor = "TC strings are not decoded"
    if rules.tcf_vendor is not None:
        vendor = f"TCF vendor {rules.tcf_vendor}, purposes {', '.join(map(str, rules.tcf_purposes))}"
    honoured = f"honours {', '.join(rules.honour)}" if rules.honour else "opt-outs of the US are not honoured"
    return f"consent: {vendor}; {honoured}\n"


def _batch(run: RunFacts) -> str:
    state = "finished" if run.finished_at is not None else f"running, about {run.share:.0%} done"
    if run.abandoned:
        state = "abandoned"
    told = f"{many(run.users, 'user')} told = {run.acknowledged:,} acknowledged + {run.owed:,} owed"
    return f"{run.number} {state}: {told}"

"""`arke batch`, `arke resync`, `arke undelivered`: what destinations are told at once, and are owed."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

from click.exceptions import Exit

from arke.cli.declared import Option, Subject
from arke.cli.options import DATA, Config, Data, Dest, Insecure, Json, OnlyDest, Token, Url, client, label
from arke.cli.progress import LongWork
from arke.wording import many

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from arke.operations.jobs import DestinationBatches, OwedDevice, Refused, RunFacts

batch_app = Subject("batch", "Batches: run one now; what ran and what is due.")


@batch_app.named("run")
def run(
    destination: Dest,
    data: Data = DATA,
    config: Config = None,
    url: Url = None,
    token: Token = None,
    insecure: Insecure = False,
    json: Json = False,
) -> None:
    """Run a destination's batch now: the net changes since its last one, and what it is owed."""
    _run(destination, data, config, url, token, insecure=insecure, json=json, resync=False)


@batch_app.named("status")
def status(
    data: Data = DATA,
    config: Config = None,
    url: Url = None,
    token: Token = None,
    insecure: Insecure = False,
    json: Json = False,
) -> None:
    """Show which batches ran, run and are due."""
    import msgspec

    found = client(data, url, token, config, insecure=insecure).batches()
    if json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
        return
    for destination in found:
        sys.stdout.write("".join(f"{line}\n" for line in _lines(destination)))


def resync(
    destination: Dest,
    restate: Annotated[
        bool,
        Option(
            "--restate",
            help="Also a 0 for every mapped alias that does not hold: for a destination of which nobody knows any "
            "more what it was told.",
        ),
    ] = False,
    data: Data = DATA,
    config: Config = None,
    url: Url = None,
    token: Token = None,
    insecure: Insecure = False,
    json: Json = False,
) -> None:
    """Send a destination the full current state."""
    _run(destination, data, config, url, token, insecure=insecure, json=json, resync=True, restate=restate)


def _run(
    destination: int,
    data: Path,
    config: Path | None,
    url: str | None,
    token: str | None,
    *,
    insecure: bool,
    json: bool,
    resync: bool,
    restate: bool = False,
) -> None:
    """Exit code 1 where something is owed, or the destination left the catalog before the end."""
    import msgspec

    engine = client(data, url, token, config, insecure=insecure)
    with LongWork("sending", quiet=json) as work:

        def tell(now: RunFacts) -> None:
            so_far = f"{now.acknowledged:,} acknowledged, {now.owed:,} owed"
            work.tell(f"batch {now.number}: {so_far}", now.share, 1)

        facts = engine.run_batch(destination, tell, resync=resync, restate=restate)
    if json:
        sys.stdout.write(msgspec.json.encode(facts).decode() + "\n")
    else:
        sys.stdout.write(_line(facts) + "\n")
    if facts.owed or facts.abandoned:
        raise Exit(1)


def _lines(batches: DestinationBatches) -> Iterator[str]:
    due = "no schedule" if batches.next_due is None else f"next due {_moment(batches.next_due)}"
    if not batches.enabled:
        due = "switched off"
    every = ""
    if batches.every_s is not None:
        every = f" (every {batches.every_s // 3600} h at {batches.at} {batches.timezone})"
    yield f"destination {label(batches.destination, batches.name)}: {due}{every}"
    for facts in batches.runs:
        yield f"  {_line(facts)}"


def _line(facts: RunFacts) -> str:
    """One run: `batch 3 (schedule, changes) 2026-01-02 02:00:00 to 02:00:04: 120 users = 119 ... `"""
    if facts.finished_at is None:
        span = f"{_moment(facts.at)}, running, {facts.share:.0%}"
    else:
        span = f"{_moment(facts.at)} to {_moment(facts.finished_at)}"
    how = ", ".join(dict.fromkeys(word for word in (facts.trigger, facts.mode) if word))
    return (
        f"batch {facts.number} ({how}) {span}: "
        f"{many(facts.users, 'user')} = {facts.acknowledged:,} acknowledged + {facts.owed:,} owed, in "
        f"{many(facts.messages, 'message')}, {facts.messages_acknowledged:,} acknowledged"
        + ("; abandoned: the destination was removed" if facts.abandoned else "")
    )


def _moment(ts: int) -> str:
    return datetime.fromtimestamp(ts, UTC).strftime("%Y-%m-%d %H:%M:%S")


undelivered_app = Subject("undelivered", "What destinations should know and have not acknowledged.")


def _again(owed: OwedDevice) -> str:
    """How often it was tried, and when it is sent again by itself."""
    said = [f"{owed.tries:,} messages"] if owed.tries > 1 else []
    said += [f"again from {owed.next}"] if owed.next is not None else []
    return f" ({', '.join(said)})" if said else ""


@undelivered_app.named("list")
def list_owed(
    destination: OnlyDest = None,
    data: Data = DATA,
    config: Config = None,
    url: Url = None,
    token: Token = None,
    insecure: Insecure = False,
    json: Json = False,
) -> None:
    """List what is owed, with its reason."""
    import msgspec

    count = 0
    for owed in client(data, url, token, config, insecure=insecure).undelivered(destination):
        count += 1
        if json:
            sys.stdout.write(msgspec.json.encode(owed).decode() + "\n")
            continue
        segments = ", ".join(f"{alias}={status}" for alias, status in owed.segments.items())
        ids = ", ".join(owed.ids)
        sys.stdout.write(
            f"{owed.destination} {owed.uuid} [{ids}] {segments} since {owed.since}{_again(owed)}: {owed.reason}\n"
        )
    if not json:
        sys.stdout.write(f"{count:,} owed\n")


@undelivered_app.named("refusals")
def refusals(
    destination: OnlyDest = None,
    data: Data = DATA,
    config: Config = None,
    url: Url = None,
    token: Token = None,
    insecure: Insecure = False,
    json: Json = False,
) -> None:
    """Show what destinations said of the messages that they refused last, since the engine started."""
    import msgspec

    found = client(data, url, token, config, insecure=insecure).refusals(destination)
    if json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
        return
    for one in found:
        sys.stdout.write("".join(f"{line}\n" for line in _refused_lines(one)))
    if not found:
        sys.stdout.write("nothing was refused since the engine started\n")


def _refused_lines(one: Refused) -> Iterator[str]:
    """`423 2026-01-02T02:00:04Z 400: message 5f.. (realtime) with 3 users, 2 attempts`, and what was said."""
    times = f" ({one.times:,} times since {one.first_at})" if one.times > 1 else ""
    yield (
        f"{one.destination} {one.at} {one.answer}{times}: message {one.message} ({one.kind}) with "
        f"{many(one.users, 'user')}, {many(one.attempts, 'attempt')}"
    )
    if one.detail:
        yield f"  {one.detail}"
    if one.oauth is not None:
        said = ": ".join(text for text in (one.oauth.error, one.oauth.error_description) if text)
        yield f"  the token server answered {one.oauth.status}{f', {said}' if said else ''}"
    if one.body:
        yield f"  {one.body}{' ...' if one.cut else ''}"


@undelivered_app.named("replay")
def replay(
    destination: OnlyDest = None,
    data: Data = DATA,
    config: Config = None,
    url: Url = None,
    token: Token = None,
    insecure: Insecure = False,
    json: Json = False,
) -> None:
    """Send what is owed, as current state."""
    import msgspec

    engine = client(data, url, token, config, insecure=insecure)
    with LongWork("sending what is owed", quiet=json):
        report = engine.replay(destination)
    if json:
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
    else:
        sys.stdout.write(f"{many(report.devices, 'device')} on the way again\n")
        if report.owed:
            sys.stdout.write(f"{report.owed:,} still owed: `arke undelivered list` says why\n")
    if report.owed:
        raise Exit(1)

"""What the demo says in the end: messages that arrived, why a user was told, the figures, the verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from rich.box import SIMPLE_HEAD
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from arke.demo.destinations import Sample
    from arke.demo.summary import Summary
    from arke.operations.explain import Explanation


def print_report(console: Console, summary: Summary) -> None:
    for number, sample in enumerate(summary.messages, 1):
        console.print(Rule(f"message {number} of {len(summary.messages)}: {sample.shows}", align="left"))
        console.print(_message(sample), soft_wrap=True, highlight=False)
    if summary.explanation is not None:
        console.print(Rule("why: what `arke explain` says of that last user", align="left"))
        console.print(
            "\n".join(_explained(summary.explanation)), soft_wrap=True, highlight=False, markup=False
        )
    console.print(Rule("summary", align="left"))
    console.print(_figures(summary))
    console.print(_destinations(summary))
    _verdict(console, summary)


def _message(sample: Sample) -> Text:
    """The request as it was sent; only the body's line breaks are added, to read it by."""
    text = Text(f"POST {sample.target} HTTP/1.1   ({sample.destination})\n", style="bold")
    for name, value in sample.headers:
        text.append(f"{name}: {value}\n", style="dim")
    text.append("\n" + msgspec.json.format(sample.body, indent=2), style="default")
    text.append(
        f"\n(sent without these line breaks: {len(sample.body.encode()):,} bytes, verified on arrival)\n",
        style="dim",
    )
    return text


def _explained(facts: Explanation) -> Iterator[str]:
    yield f"device {facts.uuid}, known as {', '.join(facts.ids) or 'nothing else'}"
    for trait in facts.traits:
        yield f"  trait    {trait.id} {trait.name}: {trait.count} x, last {trait.last}"
    for segment in facts.segments:
        yield f"  segment  {'in ' if segment.status else 'out'} {segment.id} {segment.name}: {segment.why}"
    for destination in facts.destinations:
        yield f"  partner  {destination.name}: {destination.state}: {destination.why}"
        for partner in destination.ids:
            told = ", ".join(f"{alias}={status}" for alias, status in partner.told.items())
            answers = ", ".join(f"{attempt.at} -> {attempt.answer}" for attempt in partner.tries)
            yield f"             {partner.dpid}:{partner.id} was told {told}; {answers}"


def _figures(summary: Summary) -> Table:
    events, memberships, books = summary.events, summary.memberships, summary.reconciliation
    codes = ", ".join(f"{code} {count:,}" for code, count in events.rejected_by_code.items())
    unanswered = f" + {events.unanswered:,} unanswered" if events.unanswered else ""
    rows = {
        "visitors": f"{summary.visitors:,} on {summary.devices:,} devices; {events.opt_outs:,} opted out",
        "events": f"{events.sent:,} sent = {events.accepted:,} accepted + {events.rejected:,} rejected"
        f"{unanswered}; {events.per_second:,} a second for {events.seconds:g} s",
        "rejected": codes or "none",
        "memberships": f"{memberships.changes:,} changed = {memberships.gained:,} gained + "
        f"{memberships.lost:,} lost; {memberships.held:,} held now",
        "counted": f"{events.counted:,} looks, carts and purchases of the accepted; {books.counted:,} of them in "
        "profiles",
        "replay": f"{summary.replayed_devices:,} devices that were owed something were told again",
        "reconciled": f"{books.lines:,} lines (destination, id, segment), {books.inside:,} of them inside: "
        f"{books.differing + books.strays:,} differ between profiles, ledger and destinations",
    }
    if summary.killed is not None:
        killed = summary.killed
        rows["memberships"] = f"{memberships.held:,} held now"
        rows["killed"] = (
            f"{killed.name}, which owned {killed.shards} shards: others did {killed.seconds:g} s later"
        )
    table = Table.grid(padding=(0, 2))
    for label, value in rows.items():
        table.add_row(Text(label, style="bold"), Text(value))
    return table


def _destinations(summary: Summary) -> Table:
    """A column a destination and one for all; the rows are the sums."""
    rows = summary.destinations
    table = Table("", box=SIMPLE_HEAD)
    for row in rows:
        table.add_column(row.name, justify="right")
    table.add_column("all", justify="right", style="bold")
    sent = {
        "messages sent": [row.messages for row in rows],
        "  acknowledged": [row.acknowledged for row in rows],
        "  failed twice": [row.failed for row in rows],
        "sent a second time": [row.retries for row in rows],
        "attempts without an answer": [row.unanswered for row in rows],
        "requests it counted": [row.receiver_requests for row in rows],
        "users told": [row.users_acknowledged for row in rows],
    }
    taken = {
        "requests it counted": [row.receiver_requests for row in rows],
        "  accepted": [row.receiver_accepted for row in rows],
        "  refused": [row.receiver_refused for row in rows],
        "users it took": [row.receiver_users for row in rows],
    }
    owed = {
        "owed when traffic ended": [row.owed_before_replay for row in rows],
        "owed after the replay": [row.owed_after_replay for row in rows],
    }
    for label, counts in ((sent if summary.killed is None else taken) | owed).items():
        table.add_row(label, *(f"{count:,}" for count in (*counts, sum(counts))))
    table.add_row("event to 200, p50", *(_ms(row.p50_ms) for row in rows), _ms(summary.p50_ms))
    table.add_row("event to 200, p99", *(_ms(row.p99_ms) for row in rows), _ms(summary.p99_ms))
    return table


def _verdict(console: Console, summary: Summary) -> None:
    if summary.ok:
        console.print(f"[bold green]It adds up.[/] {summary.wall_s:g} s in all.", highlight=False)
    else:
        console.print("[bold red]It does not add up:[/]")
        for problem in summary.problems:
            console.print(f"  {problem}", markup=False, highlight=False, soft_wrap=True)
    if summary.kept is not None:
        store = "" if summary.killed is not None else "the store, "
        asked = (
            "" if summary.killed is not None else f"\nAsk it: arke explain --data {summary.kept}/data UUID"
        )
        console.print(
            f"Kept in {summary.kept}: the catalog, {store}the CAs, and every request that arrived.{asked}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f} ms"

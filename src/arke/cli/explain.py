"""`arke explain`: everything about one device, its segments' rules with their true and false parts marked."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import click
from click.exceptions import Exit

from arke.cli.declared import Argument, Option
from arke.cli.options import DATA, Config, Data, Insecure, Json, Token, Url, client, label

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arke.operations.explain import DestinationFacts, Explanation
    from arke.operations.marks import RulePart


SUPPRESSED = (
    "on the suppression list since a privacy request: events and files that name it are refused until "
    "`arke privacy lift`"
)


def explain(
    uuid: Annotated[str | None, Argument(metavar="[UUID]", help="The device.")] = None,
    id: Annotated[
        str | None,
        Option("--id", metavar="DPID:ID", help="Find the device, or the person, by a partner id."),
    ] = None,
    data: Data = DATA,
    config: Config = None,
    url: Url = None,
    token: Token = None,
    insecure: Insecure = False,
    json: Json = False,
) -> None:
    """Say why a user is (not) in each segment, what was sent where and when, and what was answered."""
    import msgspec

    if (uuid is None) == (id is None):
        raise click.BadParameter("give either a UUID or --id DPID:ID")
    facts = client(data, url, token, config, insecure=insecure).explain(uuid, id)
    if json:
        sys.stdout.write(msgspec.json.encode(facts).decode() + "\n")
    else:
        sys.stdout.write("\n".join(_lines(facts, uuid or id or "")) + "\n")
    if not facts.known:
        raise Exit(1)


def _lines(facts: Explanation, asked: str) -> Iterator[str]:
    if not facts.known:
        yield f"{asked}: {_nothing_kept(facts)}"
        return
    kind = "person" if facts.person else "device"
    yield f"{kind} {facts.uuid}" + ("  (opted out)" if facts.opted_out else "")
    seen = f"last seen {facts.seen}" if facts.seen else "known from files, not seen yet"
    if facts.person:
        seen = "by what files and events say of the person: no device speaks"
    if facts.suppressed:
        yield f"  {SUPPRESSED}"
    yield f"  {seen}" + (f" in regions {', '.join(map(str, facts.regions))}" if facts.regions else "")
    yield "  ids " + (", ".join(facts.ids) or "none but the UUID itself")
    yield ""
    yield "traits" + ("" if facts.traits else ": none")
    for trait in facts.traits:
        until = f"until {trait.expires}" if trait.expires else "for good"
        yield f"  {label(trait.id, trait.name)}: {trait.count:,} x, last {trait.last}, held {until}"
    yield ""
    yield "segments" + ("" if facts.segments else ": none")
    for segment in facts.segments:
        mark = "in " if segment.status else "out"
        yield f"  {mark} {label(segment.id, segment.name)}: {segment.why}"
        if segment.rule is not None:
            yield f"      rule      {segment.rule}"
        if segment.marks is not None:
            yield from _marks(segment.marks, "        ")
        if segment.changed is not None:
            yield f"      changed   {segment.changed}, verified {segment.verified}"
    yield ""
    yield "destinations" + ("" if facts.destinations else ": none")
    for destination in facts.destinations:
        yield from _destination(destination)
    yield ""
    yield "time line, newest first"
    for moment in facts.timeline.moments:
        told = f", as {', '.join(moment.ids)}, message {moment.message}" if moment.kind == "sent" else ""
        yield f"  {moment.at}  {moment.text}{told}"
    for gone in facts.timeline.gone:
        yield f"  not kept: {gone}"


def _marks(part: RulePart, margin: str) -> Iterator[str]:
    """A line a part: `true` or `false`, what it asks, and what was found."""
    mark = "true  " if part.true else "false "
    more = f" ({part.left_out:,} more not shown)" if part.left_out else ""
    if part.parts:
        yield f"{margin}{mark}{part.kind.upper()}{more}"
        for one in part.parts:
            yield from _marks(one, margin + "  ")
        return
    names = ", ".join(label(trait.id, trait.name) for trait in part.traits if trait.name)
    yield f"{margin}{mark}{part.text}  {part.why}{f' ({names})' if names else ''}"


def _nothing_kept(facts: Explanation) -> str:
    if facts.suppressed:
        return f"nothing is kept; {SUPPRESSED}"
    return "never seen by this engine" + (f": {facts.why}" if facts.why else "")


def _destination(destination: DestinationFacts) -> Iterator[str]:
    again = f", sent again from {destination.owed_next}" if destination.owed_next is not None else ""
    yield f"  {label(destination.id, destination.name)}: {destination.state}: {destination.why}{again}"
    for account in destination.accounts:
        yield f"      segment {account.segment}: {account.bucket.replace('_', ' ')}: {account.why}"
    for partner in destination.ids:
        told = ", ".join(f"{alias}={status}" for alias, status in partner.told.items()) or "nothing"
        yield f"      {partner.dpid}:{partner.id} was told {told}"
        for attempt in partner.tries:
            yield f"        {attempt.at} {attempt.kind} message {attempt.message} -> {attempt.answer}"

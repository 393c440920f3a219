"""`arke reconcile`: every user of a segment in exactly one bucket."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Final

from arke.cli.declared import Option
from arke.cli.options import DATA, Config, Data, Dest, Insecure, Json, Segment, Token, Url, client
from arke.cli.progress import LongWork
from arke.wording import many

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from arke.operations.reconciliation import Counting, Statement
    from arke.shard.tally import Counts

REASONS_SHOWN: Final = 5
"""Of a bucket, the most frequent."""


def reconcile(
    segment: Segment,
    destination: Dest,
    at_once: Annotated[
        bool,
        Option("--at-once", help="Of a large store: the last count, or a sample. Do not count all."),
    ] = False,
    users: Annotated[
        str | None,
        Option(metavar="BUCKET", help="Name up to five users of this bucket, instead of the statement."),
    ] = None,
    data: Data = DATA,
    config: Config = None,
    url: Url = None,
    token: Token = None,
    insecure: Insecure = False,
    json: Json = False,
) -> None:
    """Put every user of a segment into exactly one bucket: acknowledged, owed, no partner id, and so on."""
    import msgspec

    engine = client(data, url, token, config, insecure=insecure)
    if users is not None:
        samples = engine.sampled_users(destination, users, segment)
        if json:
            sys.stdout.write(msgspec.json.encode(samples).decode() + "\n")
        else:
            sys.stdout.write("".join(f"{one}\n" for one in samples.uuids))
        return
    errors = []
    with LongWork("looking", quiet=json) as work:

        def tell(now: Counting) -> None:
            work.tell(f"{now.looked_at:,} of {now.stored:,} profiles", now.share, 1)
            if now.error is not None:
                errors.append(now.error)

        statement = engine.reconcile(segment, destination, tell, at_once=at_once)
    for error in errors:
        sys.stderr.write(f"arke: not all were counted: {error}\n")
    if json:
        sys.stdout.write(msgspec.json.encode(statement).decode() + "\n")
        return
    sys.stdout.write("".join(f"{line}\n" for line in _lines(statement)))


def _lines(statement: Statement) -> Iterator[str]:
    about = "" if statement.exact else "about "
    yield (
        f"segment {statement.segment} at destination {statement.destination}: "
        f"{about}{_users(statement.users)}{_grounds(statement)}"
    )
    yield from _buckets(statement.buckets, statement.reasons, statement)
    if statement.left:
        yield f"out of it, and told 1 before: {about}{_users(sum(statement.left.values()))}"
        yield from _buckets(statement.left, statement.left_reasons, statement, "left:")
    if statement.away:
        yield f"{many(len(statement.away), 'shard')} did not answer: their users are missing"
    if statement.exact and statement.members not in (None, statement.users):
        yield f"the segment has {many(statement.members, 'member')} by now"


def _users(count: int) -> str:
    return f"{count:,} user{'' if count == 1 else 's'}"


def _grounds(statement: Statement) -> str:
    if statement.basis == "sample":
        return f" (estimated from {statement.looked_at:,} of {statement.stored:,} profiles)"
    if statement.basis == "count":
        return f" (counted at {statement.at}; {many(statement.changed, 'change')} recorded meanwhile)"
    return ""


def _buckets(
    buckets: Mapping[str, int], reasons: Counts, statement: Statement, prefix: str = ""
) -> Iterator[str]:
    for bucket, users in buckets.items():
        low_high = statement.ranges.get(prefix + bucket)
        between = f"  {low_high[0]:,} to {low_high[1]:,}" if low_high is not None else ""
        yield f"  {bucket.replace('_', ' '):<22}{users:>13,}{between}"
        most = sorted(reasons[bucket].items(), key=lambda item: -item[1])
        for reason, count in most[:REASONS_SHOWN]:
            yield f"    {count:>12,}  {reason}"
        if len(most) > REASONS_SHOWN:
            yield f"    {sum(count for _, count in most[REASONS_SHOWN:]):>12,}  for other reasons"

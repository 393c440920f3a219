"""What the endpoints of the admin API are asked with: the parameters in a path and behind its `?`."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from arke.api.subjects import SUBJECTS
from arke.operations.catalog import MAX_SAMPLE
from arke.operations.paging import MOST, PAGE

Cursor = Annotated[
    str | None, Meta(description="Where to go on: as the answer before says in its header Link.")
]
Search = Annotated[
    str | None, Meta(description="Only those whose name or id has this text.", examples=["acme"])
]
Limit = Annotated[int, Meta(ge=1, le=MOST, description="At most so many entries.")]


class Paged(msgspec.Struct, frozen=True):
    """A page of a list."""

    cursor: Cursor = None
    limit: Limit = PAGE


class PagedWide(msgspec.Struct, frozen=True):
    """A page of a list that is seldom long."""

    cursor: Cursor = None
    limit: Limit = MOST


class Searched(msgspec.Struct, frozen=True):
    """A page of what has a text in it."""

    search: Annotated[
        str | None, Meta(description="Only those whose name, id or code has this text.", examples=["camera"])
    ] = None
    cursor: Cursor = None
    limit: Limit = PAGE


class SearchedDestinations(msgspec.Struct, frozen=True):
    """A page of destinations that have a text in them."""

    search: Search = None
    cursor: Cursor = None
    limit: Limit = PAGE


class SearchedBatches(msgspec.Struct, frozen=True):
    """The same of their batches, whose list is seldom long."""

    search: Search = None
    cursor: Cursor = None
    limit: Limit = MOST


class CatalogName(msgspec.Struct, frozen=True):
    """A catalog that is only looked at."""

    name: Annotated[str, Meta(description="The file's name in messages.")] = "catalog"


class AnyVersion(msgspec.Struct, frozen=True):
    """A catalog that was applied."""

    version: Annotated[int | None, Meta(description="Default: the one in force.")] = None


class OneVersion(msgspec.Struct, frozen=True):
    """A catalog that was applied."""

    version: Annotated[int, Meta(title="the version", description="The catalog's version.")]


class Difference(msgspec.Struct, frozen=True):
    """From one catalog to another."""

    old: Annotated[int, Meta(description="The version to begin with.", examples=[1])]
    new: Annotated[int | None, Meta(description="The version to come to; default: the one in force.")] = None
    cursor: Cursor = None
    limit: Limit = PAGE


class OneSubject(msgspec.Struct, frozen=True):
    """What some endpoints are about."""

    subject: Annotated[
        str,
        Meta(
            description="One of the subjects that /schema lists.",
            extra_json_schema={"enum": [one.name for one in SUBJECTS]},
        ),
    ]


class OneSegment(msgspec.Struct, frozen=True):
    """A segment of the catalog in force."""

    id: Annotated[int, Meta(title="the segment", description="The segment's id.")]


class DestinationInPath(msgspec.Struct, frozen=True):
    """A destination of the catalog in force."""

    id: Annotated[int, Meta(title="the destination", description="The destination's id.")]


class DestinationMappings(msgspec.Struct, frozen=True):
    """A page of what a destination takes."""

    id: Annotated[int, Meta(title="the destination", description="The destination's id.")]
    cursor: Cursor = None
    limit: Limit = PAGE


class Newest(msgspec.Struct, frozen=True):
    """How many of the newest."""

    limit: Annotated[int, Meta(ge=1, le=1_000, description="At most so many.")] = 100


class Device(msgspec.Struct, frozen=True):
    """Who is meant: exactly one of both."""

    uuid: Annotated[str | None, Meta(description="38 decimal digits.")] = None
    id: Annotated[str | None, Meta(description="DPID:ID.", examples=["12345:abc"])] = None


class HowLong(msgspec.Struct, frozen=True):
    """For how long."""

    seconds: Annotated[int, Meta(ge=1, le=600, description="End after so many seconds.")] = 10


class AnyDestination(msgspec.Struct, frozen=True):
    """One destination, or all."""

    destination: Annotated[int | None, Meta(description="Only this destination.", examples=[423])] = None


class OneDestination(msgspec.Struct, frozen=True):
    """One destination."""

    destination: Annotated[int, Meta(description="The destination's id.", examples=[423])]


class Resync(OneDestination, frozen=True):
    """Which destination, and whether it also gets a 0 for every mapped alias that does not hold."""

    restate: Annotated[
        bool,
        Meta(
            description="Also a 0 for every mapped alias that does not hold, told before or not.",
            examples=[True],
        ),
    ] = False


class OneBatch(msgspec.Struct, frozen=True):
    """A batch of a destination."""

    number: Annotated[int, Meta(title="the batch", description="The batch's number.")]
    destination: Annotated[int, Meta(description="The destination's id.", examples=[423])]


class Segments(msgspec.Struct, frozen=True):
    """Some segments, or all."""

    segments: Annotated[
        str | None, Meta(description="Only these, by id, with commas.", examples=["14356,12176"])
    ] = None


class SegmentAt(msgspec.Struct, frozen=True):
    """A segment at a destination."""

    segment: Annotated[int, Meta(description="The segment's id.", examples=[14356])]
    destination: Annotated[int, Meta(description="The destination's id.", examples=[423])]


class TwoSegments(msgspec.Struct, frozen=True):
    """Two segments."""

    one: Annotated[int, Meta(description="A segment's id.", examples=[14356])]
    other: Annotated[int, Meta(description="Another's.", examples=[12176])]


class Bucket(msgspec.Struct, frozen=True):
    """A bucket of a destination's users."""

    destination: Annotated[int, Meta(description="The destination's id.", examples=[423])]
    bucket: Annotated[str, Meta(description="The bucket's name.", examples=["no_partner_id"])]
    segment: Annotated[int | None, Meta(description="Only of this segment.", examples=[14356])] = None


class Sample(msgspec.Struct, frozen=True):
    """How much to look at."""

    sample: Annotated[
        Annotated[int, Meta(ge=1, le=MAX_SAMPLE)] | None,
        Meta(description="Look at no more profiles than this."),
    ] = None


class Span(msgspec.Struct, frozen=True):
    """Which figures, and of when."""

    series: Annotated[
        str | None,
        Meta(description="Only these, comma separated.", examples=["users_acknowledged,latency_p99"]),
    ] = None
    destination: Annotated[int | None, Meta(description="Of this destination.", examples=[423])] = None
    segment: Annotated[int | None, Meta(description="Of this segment.", examples=[14356])] = None
    since: Annotated[
        str | None,
        Meta(
            description="From then on, RFC 3339 or seconds since 1970; default: a day before the end.",
            examples=["2026-01-31T08:00:00Z"],
        ),
    ] = None
    until: Annotated[str | None, Meta(description="Until then; default: now.")] = None
    step: Annotated[
        int | None, Meta(description="Seconds between two values, a multiple of 60.", examples=[300])
    ] = None


class CatalogFile(msgspec.Struct, frozen=True):
    """How to take a catalog."""

    dry_run: Annotated[bool, Meta(description="Only plan and forecast.")] = False
    name: Annotated[str, Meta(description="The file's name in messages.")] = "catalog"
    folder: Annotated[
        str | None, Meta(description="Where relative paths count from; on the Unix socket only.")
    ] = None


class Version(msgspec.Struct, frozen=True):
    """Which catalog to go back to."""

    version: Annotated[int | None, Meta(description="Default: the one before.")] = None
    dry_run: Annotated[bool, Meta(description="Only plan and forecast.")] = False


class DataFile(msgspec.Struct, frozen=True):
    """How to take a data file."""

    name: Annotated[str, Meta(description="The file's name.", examples=["ftp_dpm_12345_1777600000.sync"])]
    columns: Annotated[str | None, Meta(description="The text of a table's columns file.")] = None
    check: Annotated[bool, Meta(description="Only say whether such a file would be taken.")] = False


class OneFile(msgspec.Struct, frozen=True):
    """A file that was sent."""

    id: Annotated[str, Meta(description="The id that sending it was answered with.")]


class Before(msgspec.Struct, frozen=True):
    """A page of privacy requests."""

    before: Annotated[int | None, Meta(description="Only requests with lower numbers.")] = None
    cursor: Cursor = None
    limit: Limit = MOST


class OneRequest(msgspec.Struct, frozen=True):
    """A privacy request."""

    number: Annotated[int, Meta(title="the privacy request", description="The request's number.")]


class TokenWanted(msgspec.Struct, frozen=True):
    """A token to be made."""

    scope: Annotated[str, Meta(description="Scopes, comma separated.", examples=["ingest,operate"])] = ""
    name: Annotated[str, Meta(description="What it is for.")] = ""
    expires: Annotated[str | None, Meta(description="Its lifetime; default: for ever.", examples=["90d"])] = (
        None
    )


class OneToken(msgspec.Struct, frozen=True):
    """A token that exists."""

    id: Annotated[str, Meta(description="The token's id.")]


class After(msgspec.Struct, frozen=True):
    """A page of the audit."""

    after: Annotated[int, Meta(description="Only entries with higher numbers.")] = 0
    cursor: Cursor = None
    limit: Limit = MOST

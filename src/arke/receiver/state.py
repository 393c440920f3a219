"""A reference store: who is in which segment now, applied so that repeats and late messages do no harm.

The rule a destination must get right: messages come at least once, and a late one may overtake a newer one.
So a line is applied only if its (DateTime, ProcessTime) is not older than what is already known for the same
(destination, id type, id, segment). DateTime leads: a batch may carry an older truth in a newer request.
"""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from arke.receiver.message import Message

_KNOWN = """
    SELECT active, date_time_s, process_time_s FROM membership
    WHERE destination_id = ? AND id_type = ? AND id = ? AND segment_id = ?
"""
_UPSERT = """
    INSERT INTO membership VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET active = excluded.active, date_time_s = excluded.date_time_s,
        process_time_s = excluded.process_time_s, aam_uuid = excluded.aam_uuid
"""
_LOOKUP = """
    SELECT destination_id, id_type, id, segment_id, active, date_time_s, process_time_s, aam_uuid
    FROM membership WHERE id = ? OR aam_uuid = ? ORDER BY destination_id, id_type, id, segment_id
"""


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """What a message changed: users that entered or left a segment, lines that were known or too late."""

    entered: int = 0
    left: int = 0
    unchanged: int = 0
    stale: int = 0


class Membership(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one id in one segment."""

    destination_id: str
    user_dpid: int | None
    id: str
    segment_id: str
    active: bool
    date_time: datetime
    process_time: datetime
    aam_uuid: str


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes of the store: distinct ids, and lines that say active and inactive."""

    ids: int
    active: int
    inactive: int


class AudienceState:
    """Memberships in SQLite: in memory, or in the file at `path`.

    One connection writes, from the thread that made it. With `synchronous="full"` a return from `apply` means
    durable, and only then may a receiver answer 200; "normal" survives a killed process but not a power cut.
    """

    def __init__(
        self, path: Path | str | None = None, *, synchronous: Literal["full", "normal"] = "full"
    ) -> None:
        if path is not None:  # who is in which segment: for this user alone
            Path(path).touch(mode=0o600)
        self._connection = sqlite3.connect(":memory:" if path is None else path, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute(f"PRAGMA synchronous = {'FULL' if synchronous == 'full' else 'NORMAL'}")
        self._connection.executescript(files("arke.receiver").joinpath("state.sql").read_text("utf-8"))

    def apply(self, *messages: Message) -> Applied:
        """Apply messages in order, all in one transaction (group them to share the cost of a commit)."""
        totals = {"entered": 0, "left": 0, "unchanged": 0, "stale": 0}
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            for message in messages:
                self._apply_one(message, totals)
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")
        return Applied(**totals)

    def _apply_one(self, message: Message, totals: dict[str, int]) -> None:
        id_type = "" if message.user_dpid is None else str(message.user_dpid)
        process_time_s = int(message.process_time.timestamp())
        for user, segment, active in message.entries():
            key = (message.destination_id, id_type, user.partner_id, segment.segment_id)
            date_time_s = int(segment.date_time.timestamp())
            known = self._connection.execute(_KNOWN, key).fetchone()
            if known is not None and (date_time_s, process_time_s) < (known[1], known[2]):
                totals["stale"] += 1
                continue
            was_active = known is not None and bool(known[0])
            totals[_outcome(was_active, active)] += 1
            self._connection.execute(_UPSERT, (*key, int(active), date_time_s, process_time_s, user.aam_uuid))

    def lookup(self, id: str) -> list[Membership]:  # noqa: A002 - the word of the domain
        """Everything known of a partner id or a UUID."""
        return [_membership(row) for row in self._connection.execute(_LOOKUP, (id, id))]

    def segments_of(self, id: str, *, destination_id: str | None = None) -> set[str]:  # noqa: A002
        """The segments this id is in now."""
        return {
            line.segment_id
            for line in self.lookup(id)
            if line.active and destination_id in {None, line.destination_id}
        }

    def counts(self) -> Counts:
        """Sizes of the store (reads all of it: for inspection, not for every request)."""
        ids, active, lines = self._connection.execute(
            "SELECT (SELECT count(*) FROM (SELECT DISTINCT id_type, id FROM membership)),"
            " coalesce(sum(active), 0), count(*) FROM membership"
        ).fetchone()
        return Counts(ids=ids, active=active, inactive=lines - active)

    def close(self) -> None:
        self._connection.close()


def _outcome(was_active: bool, active: bool) -> str:
    if was_active == active:
        return "unchanged"
    return "entered" if active else "left"


def _membership(row: Iterable[str | int]) -> Membership:
    destination_id, id_type, id_, segment_id, active, date_time_s, process_time_s, aam_uuid = row
    return Membership(
        destination_id=str(destination_id),
        user_dpid=int(id_type) if id_type else None,
        id=str(id_),
        segment_id=str(segment_id),
        active=bool(active),
        date_time=datetime.fromtimestamp(int(date_time_s), UTC),
        process_time=datetime.fromtimestamp(int(process_time_s), UTC),
        aam_uuid=str(aam_uuid),
    )

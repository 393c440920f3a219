"""The journal's records as they are stored: those of before are read, and a version before reads these."""

from __future__ import annotations

import msgspec

from arke.domain.change import Change, JournalRecord, Turned

CHANGES = (Change(10, 1, "rule"),)


class Before(msgspec.Struct, array_like=True, frozen=True):
    """A record as versions before had it, without packed changes."""

    seq: int
    at: int
    uid: int
    changes: tuple[Change, ...]
    destinations: tuple[int, ...]
    kind: str
    catch_up: tuple[int, ...]


def test_a_record_of_before_has_no_packed_changes() -> None:
    stored = msgspec.msgpack.encode(Before(5, 100, 7, CHANGES, (1, 2), "sweep", (2,)))
    record = msgspec.msgpack.decode(stored, type=JournalRecord)
    assert record == JournalRecord(5, 100, 7, CHANGES, (1, 2), "sweep", (2,))


def test_a_version_before_reads_what_it_knows() -> None:
    """A worker that is not upgraded yet, in a cluster: its lanes go by the device and the destinations."""
    record = JournalRecord(5, 100, 7, CHANGES, (1, 2), "sweep", (2,), (Turned(0, b"\1", b""),))
    before = msgspec.msgpack.decode(msgspec.msgpack.encode(record), type=Before)
    assert before == Before(5, 100, 7, CHANGES, (1, 2), "sweep", (2,))

"""The reference store: at-least-once and out-of-order messages end in the right audience."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from arke.receiver import Applied, AudienceState, Message, SegmentStatus, User, parse
from unit.receiver.samples import PUBLISHED

if TYPE_CHECKING:
    from pathlib import Path

START = datetime(2026, 1, 1, tzinfo=UTC)


def message(
    active: bool, *, verified_s: int, sent_s: int = 100, dpid: int | None = 1, id_: str = "u"
) -> Message:
    segment = SegmentStatus(segment_id="S", active=active, date_time=START + timedelta(seconds=verified_s))
    return Message(
        process_time=START + timedelta(seconds=sent_s),
        client_id="c",
        destination_id="423",
        user_dpid=dpid,
        users=(User(aam_uuid="1" * 38, data_partner_uuid=id_, segments=(segment,)),),
    )


def test_the_sample_ends_in_the_audiences_it_names() -> None:
    state = AudienceState()
    assert state.apply(parse(PUBLISHED)) == Applied(entered=3, unchanged=1)
    assert state.segments_of("4250948725049857") == {"14356"}
    assert state.segments_of("848457757347734") == {"10329", "23954"}
    assert state.segments_of("19393572368547369350319949416899715727") == {"14356"}  # by UUID as well
    assert state.segments_of("848457757347734", destination_id="999") == set()
    assert state.counts().ids == 2
    state.close()


def test_the_same_message_again_changes_nothing() -> None:
    state = AudienceState()
    state.apply(parse(PUBLISHED))
    before = [state.lookup(id_) for id_ in ("4250948725049857", "848457757347734")]
    assert state.apply(parse(PUBLISHED)) == Applied(unchanged=4)
    assert [state.lookup(id_) for id_ in ("4250948725049857", "848457757347734")] == before
    state.close()


def test_every_order_of_arrival_ends_the_same() -> None:
    """1, then 0, then 1 again; a batch's older truth in a newer request does not win."""
    history = [
        message(True, verified_s=10, sent_s=11),
        message(False, verified_s=20, sent_s=21),
        message(True, verified_s=10, sent_s=40),  # the batch, later, with an older verification
    ]
    for order in itertools.permutations(history):
        state = AudienceState()
        for item in order:
            state.apply(item)
        assert state.segments_of("u") == set()
        state.close()


def test_the_request_time_decides_between_equal_verification_times() -> None:
    state = AudienceState()
    state.apply(message(False, verified_s=10, sent_s=12))
    assert state.apply(message(True, verified_s=10, sent_s=11)) == Applied(stale=1)
    assert state.apply(message(True, verified_s=10, sent_s=13)) == Applied(entered=1)
    state.close()


def test_ids_of_different_types_are_different_users() -> None:
    state = AudienceState()
    state.apply(message(True, verified_s=1, dpid=20914), message(False, verified_s=2, dpid=20915))
    assert [(line.user_dpid, line.active) for line in state.lookup("u")] == [(20914, True), (20915, False)]
    state.close()


def test_a_file_keeps_the_state(tmp_path: Path) -> None:
    file = tmp_path / "state.db"
    first = AudienceState(file)
    first.apply(parse(PUBLISHED))
    first.close()
    second = AudienceState(file)
    assert second.segments_of("4250948725049857") == {"14356"}
    second.close()


def test_a_failure_in_the_middle_of_a_group_leaves_nothing_of_it() -> None:
    state = AudienceState()
    bad = message(True, verified_s=1, id_="\ud800")  # cannot be stored as text
    with pytest.raises(UnicodeEncodeError):
        state.apply(message(True, verified_s=1), bad)
    assert state.lookup("u") == []
    assert state.apply(message(True, verified_s=1)) == Applied(entered=1)
    state.close()


def test_a_kept_state_is_for_its_user_alone(tmp_path: Path) -> None:
    """Who is in which segment."""
    AudienceState(tmp_path / "state.db").close()
    assert (tmp_path / "state.db").stat().st_mode & 0o077 == 0

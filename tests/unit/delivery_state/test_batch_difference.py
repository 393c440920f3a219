"""What a batch tells an id of one alias, from the truth, what it was told, and what the last batch left it with."""

from __future__ import annotations

import pytest

from arke.domain.catalog import Catalog, Destination, Mapping, Segment
from arke.domain.ledger import MAYBE_0, MAYBE_1, TOLD_0, TOLD_1, LedgerEntry, Try
from arke.domain.membership import Membership
from arke.domain.profile import PartnerId, Profile
from arke.domain.recording import after_batch, record
from arke.telling.routing import Routing
from arke.telling.tellings import Asked, acknowledged, tellings

NOW = 20_000 * 86_400
COOKIES = 12345
OTHER_DPID = 777
KEY = (COOKIES, "a")
ATTEMPT = Try(NOW, "m", "200", "batch").stored()

SAID, DROPPED, NOTHING = "said", "dropped", "nothing"


def destination(**options: object) -> Destination:
    return Destination(
        id=1,
        url="https://dsp.example.com/",
        client_id="c",
        user_dpids=(COOKIES,),
        segments=(Mapping(segment=10),),
        **options,  # type: ignore[arg-type]
    )


def asked(
    holds: bool,
    told: int | None,
    batched: bool,
    *,
    how: Asked = "batch",
    segment: Segment | None = None,
    one: Destination | None = None,
    owns: bool = True,
    uncertain: bool = False,
) -> tuple[str, str | None]:
    """Whether alias 10 is said, dropped or neither, and with which status."""
    catalog = Catalog(segments=(segment or Segment(id=10),), destinations=(one or destination(),))
    profile = Profile("0" * 38, evaluated=NOW)
    profile.memberships = {10: Membership(int(holds), NOW - 9, NOW - 9, "rule")}
    profile.ids = [PartnerId(COOKIES, "a", 0, NOW)] if owns else []
    ledger = {}
    if told is not None or batched:
        ledger[KEY] = LedgerEntry(
            1, {} if told is None else {"10": told}, [], 0, {"10": 1} if batched else {}
        )
    route = Routing(catalog, {}, 1, NOW).routes[1]
    found = tellings(route, profile, ledger, asked=how, uncertain=uncertain)
    if not found:
        return NOTHING, None
    (telling,) = found
    states = telling.entry.segments
    if states:
        assert telling.ones == ("10",) * states[0].active
        assert telling.zeros == ("10",) * (not states[0].active)
        return SAID, str(int(states[0].active))
    return DROPPED, None if telling.dropped == ("10",) else "?"


EVERYTHING_TOLD = [None, TOLD_0, TOLD_1, MAYBE_0, MAYBE_1]


@pytest.mark.parametrize("told", EVERYTHING_TOLD)
def test_a_gain_since_the_last_batch_is_told_whatever_real_time_said(told: int | None) -> None:
    assert asked(True, told, False) == (SAID, "1")


@pytest.mark.parametrize("told", EVERYTHING_TOLD)
def test_a_loss_since_the_last_batch_is_told_whatever_real_time_said(told: int | None) -> None:
    assert asked(False, told, True) == (SAID, "0")


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (TOLD_1, (NOTHING, None)),
        (None, (SAID, "1")),
        (TOLD_0, (SAID, "1")),
        (MAYBE_0, (SAID, "1")),
        (MAYBE_1, (SAID, "1")),
    ],
)
def test_what_holds_as_before_is_told_if_it_is_not_acknowledged(
    told: int | None, expected: tuple[str, str | None]
) -> None:
    assert asked(True, told, True) == expected


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (None, (NOTHING, None)),
        (TOLD_0, (NOTHING, None)),
        (TOLD_1, (SAID, "0")),
        (MAYBE_0, (SAID, "0")),
        (MAYBE_1, (SAID, "0")),
    ],
)
def test_what_does_not_hold_as_before_is_told_if_it_may_be_believed(
    told: int | None, expected: tuple[str, str | None]
) -> None:
    assert asked(False, told, False) == expected


@pytest.mark.parametrize("told", EVERYTHING_TOLD)
@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("holds", [True, False])
def test_nothing_is_said_of_a_paused_segment(told: int | None, batched: bool, holds: bool) -> None:
    assert asked(holds, told, batched, segment=Segment(id=10, paused=True)) == (NOTHING, None)


def test_a_loss_that_no_zero_may_tell_is_dropped() -> None:
    one = destination(supports_unsegment=False)
    assert asked(False, TOLD_1, True, one=one) == (DROPPED, None)
    assert asked(False, TOLD_1, False, one=one) == (NOTHING, None)
    assert asked(True, TOLD_1, False, one=one) == (SAID, "1")


def test_an_id_that_is_gone_hears_of_what_it_was_left_with() -> None:
    assert asked(True, TOLD_0, True, owns=False) == (SAID, "0")
    assert asked(True, TOLD_0, False, owns=False) == (NOTHING, None)


def test_a_resync_tells_all_that_holds_and_no_settled_zero() -> None:
    assert asked(True, TOLD_1, True, how="resync") == (SAID, "1")
    assert asked(False, TOLD_1, False, how="resync") == (SAID, "0")
    assert asked(False, TOLD_0, False, how="resync") == (NOTHING, None)


def test_after_a_crash_a_loss_is_told_that_nothing_speaks_of() -> None:
    assert asked(False, None, False, how="resync", uncertain=True) == (SAID, "0")


def test_real_time_knows_nothing_of_batches() -> None:
    assert asked(True, TOLD_1, True, how="realtime") == (SAID, "1")
    assert asked(False, TOLD_0, True, how="realtime") == (NOTHING, None)


def test_an_acknowledged_batch_leaves_the_truth() -> None:
    """What it told and what it dropped; aliases it did not speak of stay."""
    entry = LedgerEntry(1, {}, [], 0, {"10": 1, "11": 1, "12": 1})
    after = after_batch(entry, ["13"], ["11"], ["12"])
    assert after.batched == {"10": 1, "13": 1}


@pytest.mark.parametrize("acknowledged", [True, False])
def test_real_time_and_failures_leave_it_as_it_is(acknowledged: bool) -> None:
    before = LedgerEntry(1, {"10": TOLD_1}, [], 0, {"10": 1})
    after = record(before, [], ["10"], ATTEMPT, acknowledged=acknowledged, seq=2)
    assert after.batched == {"10": 1}


@pytest.mark.parametrize(
    ("holds", "told", "expected"),
    [(True, TOLD_1, True), (True, MAYBE_1, False), (True, None, False), (False, MAYBE_0, False)],
)
def test_a_telling_is_acknowledged_once_all_of_it_is_acknowledged(
    holds: bool, told: int | None, expected: bool
) -> None:
    catalog = Catalog(segments=(Segment(id=10),), destinations=(destination(),))
    profile = Profile("0" * 38, evaluated=NOW)
    profile.memberships = {10: Membership(int(holds), NOW - 9, NOW - 9, "rule")}
    profile.ids = [PartnerId(COOKIES, "a", 0, NOW)]
    entry = LedgerEntry(1, {"10": told}, []) if told is not None else None
    ledger = {KEY: entry} if entry is not None else {}
    (telling,) = tellings(Routing(catalog, {}, 1, NOW).routes[1], profile, ledger)
    assert acknowledged(telling, entry) is expected

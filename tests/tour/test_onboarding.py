"""Onboarding files: who is realised, replaced, skipped, and when destinations hear of it (dossier 15)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from arke.errors import ScriptError
from tour.stage import COOKIES, DEVICE, OTHER, destination, segment, tellings, trait

if TYPE_CHECKING:
    from typing import Any

    from tour.stage import Stage

CRM = 777
"""A cross-device data source."""
A, B, C, D, E = range(1, 6)


def onboarded(*numbers: int, **options: Any) -> list[dict[str, Any]]:
    return [trait(number, kind="onboarded", data_source=COOKIES, **options) for number in numbers]


def five(stage: Stage, *destinations: dict[str, Any], **parts: Any) -> None:
    """Traits a to e of the cookies, a segment each, mapped under its own number."""
    numbers = (A, B, C, D, E)
    stage.catalog(
        *(destinations or (destination(*numbers),)),
        traits=onboarded(*numbers),
        segments=[segment(number, f"{number}T") for number in numbers],
        **parts,
    )


def known(stage: Stage, at: str = "05-01 00:00:00", device: str = DEVICE, cookie: str = "abc") -> None:
    stage.see(at, device, ids=[(COOKIES, cookie)])


def name(ending: str = "sync", source: object = COOKIES, time: int = 1777600000) -> str:
    return f"ftp_dpm_{source}_{time}.{ending}"


def test_nothing_is_sent_until_the_device_is_seen(stage: Stage) -> None:
    """A file is no sighting: real time hears of it with the next event."""
    five(stage)
    known(stage)
    stage.onboard("05-02 00:00:00", name(), "abc\td_sid=1")
    stage.advance("05-02 12:00:00")
    known(stage, "05-03 00:00:00")
    assert tellings(stage.play()) == [("05-03 00:00:00.100", {"1": "1"})]
    assert stage.summary.complaints == []


def test_a_file_that_is_not_there_is_a_mistake_of_the_script(stage: Stage) -> None:
    """Like a catalog that is not there: the run ends with its line, rather than going on without the file."""
    five(stage)
    stage.line("05-02 00:00:00", onboard={"file": name()})
    with pytest.raises(ScriptError, match=rf"script\.ndjson:1: onboard: .*{name()} does not exist"):
        stage.play()


@pytest.mark.parametrize(
    ("second", "held"),
    [
        ("sync", {"1": "1", "2": "1", "3": "1", "4": "1", "5": "1"}),
        ("overwrite", {"1": "0", "2": "0", "3": "1", "4": "1", "5": "1"}),
    ],
)
def test_sync_adds_and_overwrite_replaces(stage: Stage, second: str, held: dict[str, str]) -> None:
    """a, b, c and then c, d, e: all five, or the last three."""
    five(stage)
    known(stage)
    stage.onboard("05-02 00:00:00", name(), "abc\td_sid=1,d_sid=2,d_sid=3")
    known(stage, "05-02 01:00:00")
    stage.onboard("05-02 02:00:00", name(second, time=1777600001), "abc\td_sid=3,d_sid=4,d_sid=5")
    known(stage, "05-02 03:00:00")
    assert [telling[1] for telling in tellings(stage.play())] == [{"1": "1", "2": "1", "3": "1"}, held]


def test_overwrite_leaves_alone_who_is_not_in_the_file(stage: Stage) -> None:
    """Only users of the file are replaced, and of them only traits of the target data source."""
    traits = [*onboarded(A, B), trait(C, kind="onboarded", data_source=501)]
    segments = [segment(number, f"{number}T") for number in (A, B, C)]
    stage.catalog(destination(A, B, C), traits=traits, segments=segments)
    known(stage)
    known(stage, "05-01 00:00:00", OTHER, "xyz")
    stage.onboard("05-02 00:00:00", name(), "abc\td_sid=1", "xyz\td_sid=1")
    stage.onboard("05-02 00:00:00", name(source=f"{COOKIES}_501"), "abc\td_sid=3")
    stage.onboard("05-02 00:00:01", name("overwrite"), "abc\td_sid=2")
    known(stage, "05-03 00:00:00")
    known(stage, "05-03 00:01:00", OTHER, "xyz")
    assert [telling[1] for telling in tellings(stage.play())] == [{"2": "1", "3": "1"}, {"1": "1"}]


def test_a_users_lines_of_one_overwrite_add_up(stage: Stage) -> None:
    """The first line replaces; those that follow, however far behind, add."""
    five(stage)
    known(stage)
    stage.onboard("05-02 00:00:00", name(), "abc\td_sid=5")
    others = [f"nobody-{number}\td_sid=1" for number in range(2_500)]
    stage.onboard("05-02 00:00:01", name("overwrite"), "abc\td_sid=1", *others, "abc\td_sid=2,d_unsid=1")
    known(stage, "05-03 00:00:00")
    assert tellings(stage.play()) == [("05-03 00:00:00.100", {"1": "1", "2": "1"})]


@pytest.mark.parametrize("removal", ["d_unsid=1", "1:0", "1:-1"])
def test_a_trait_is_removed_in_three_ways(stage: Stage, removal: str) -> None:
    five(stage)
    known(stage)
    stage.onboard("05-02 00:00:00", name(), "abc\td_sid=1, d_sid=2")
    known(stage, "05-02 01:00:00")
    stage.onboard("05-02 02:00:00", name(time=1777600001), f"abc\t{removal}")
    known(stage, "05-02 03:00:00")
    assert [telling[1] for telling in tellings(stage.play())] == [
        {"1": "1", "2": "1"},
        {"1": "0", "2": "1"},
    ]


def test_signals_of_a_file_and_of_an_event_do_not_meet(stage: Stage) -> None:
    """Onboarded traits go by codes and rules over a file's signals; rule-based ones by events alone."""
    stage.catalog(
        destination(A, B, C),
        traits=[
            trait(A, kind="onboarded", data_source=COOKIES, rule='product == "tablet"'),
            trait(B, kind="onboarded", data_source=COOKIES, integration_code="52"),
            trait(C, rule='product == "tablet"'),
        ],
        segments=[segment(number, f"{number}T") for number in (A, B, C)],
    )
    known(stage)
    known(stage, "05-01 00:00:00", OTHER, "xyz")
    stage.onboard("05-02 00:00:00", name(), 'abc\t"product" = tablet,52')
    stage.see("05-03 00:00:00", DEVICE)
    stage.see("05-03 00:01:00", OTHER, signals={"product": "tablet", "ic": "52"})
    assert [telling[1] for telling in tellings(stage.play())] == [{"1": "1", "2": "1"}, {"3": "1"}]


def test_the_same_file_twice_changes_nothing(stage: Stage) -> None:
    """Not even the time of realisation: a trait of two days lapses two days after the file's first load."""
    stage.catalog(destination(A), traits=onboarded(A, ttl_days=2), segments=[segment(A, "1T")])
    known(stage)
    stage.onboard("05-02 00:00:00", name(), "abc\td_sid=1")
    stage.onboard("05-03 12:00:00", name())
    known(stage, "05-03 23:00:00")
    known(stage, "05-04 00:00:00")
    assert [telling[1] for telling in tellings(stage.play())] == [{"1": "1"}, {"1": "0"}]


def test_a_cookie_that_is_not_synced_is_skipped_for_good(stage: Stage) -> None:
    five(stage)
    stage.onboard("05-02 00:00:00", name(), "abc\td_sid=1")
    known(stage, "05-03 00:00:00")
    known(stage, "05-03 01:00:00")
    assert stage.play() == []
    (complaint,) = stage.summary.complaints
    assert complaint.endswith("1 line not stored: no_matching_id")


def test_a_person_who_is_not_synced_waits_for_it(stage: Stage) -> None:
    """What a file says of a customer id is kept, and told with the first event of every device that the id reaches
    later.
    """
    sources = [{"id": CRM, "kind": "cross_device"}]
    stage.catalog(
        destination(A, B, user_dpids=[COOKIES]),
        traits=[trait(number, kind="onboarded", data_source=CRM) for number in (A, B)],
        segments=[segment(A, "1T"), segment(B, "2T")],
        sources=sources,
    )
    stage.onboard("05-02 00:00:00", name(source=CRM), "jane\td_sid=1,d_sid=2")
    stage.onboard("05-02 01:00:00", name(source=CRM, time=1777600001), "jane\td_unsid=2")
    stage.see("05-03 00:00:00", DEVICE, ids=[(COOKIES, "abc"), (CRM, "jane")])
    stage.see("05-03 01:00:00", DEVICE)
    stage.see("05-04 00:00:00", OTHER, ids=[(COOKIES, "xyz"), (CRM, "jane")])
    stage.see("05-04 01:00:00", OTHER)
    assert tellings(stage.play()) == [
        ("05-03 00:00:00.100", {"1": "1"}),
        ("05-04 00:00:00.100", {"1": "1"}),  # the id moved here with what it was told: trigger 4
    ]


def test_who_opted_out_stays_out(stage: Stage) -> None:
    """Whatever a file says, by UUID or by partner id."""
    five(stage)
    known(stage)
    known(stage, "05-01 00:00:00", OTHER, "xyz")
    stage.opt_out("05-02 00:00:00", uuid=DEVICE)
    stage.opt_out("05-02 00:00:00", id=f"{COOKIES}:xyz")
    stage.onboard("05-03 00:00:00", name(), "abc\td_sid=1", "xyz\td_sid=1")
    stage.onboard("05-03 00:00:00", name(source=f"0_{COOKIES}"), f"{DEVICE}\td_sid=1")
    known(stage, "05-04 00:00:00")
    known(stage, "05-04 00:00:00", OTHER, "xyz")
    assert stage.play() == []
    assert [text.rsplit(": ", 2)[1:] for text in stage.summary.complaints] == [
        ["2 lines not stored", "opted_out"],
        ["1 line not stored", "opted_out"],
        *[["the person has opted out", "nothing was stored"]] * 2,
    ]


def test_an_id_sync_file_links_ids_that_are_told_next_time(stage: Stage) -> None:
    """The device gets its partner id by a file: its next sighting tells the destination that takes such ids."""
    stage.catalog(
        destination(A, user_dpids=[COOKIES]),
        traits=[trait(A)],
        segments=[segment(A, "1T")],
        sources=[{"id": 888}],
    )
    stage.see("05-01 00:00:00", DEVICE, A, ids=[(888, "own")])
    stage.onboard("05-02 00:00:00", f"adobe_id_888_{COOKIES}_1777600000.sync", "own\tabc")
    stage.see("05-03 00:00:00", DEVICE)
    (request,) = stage.play()
    assert (request.clock, request.users) == ("05-03 00:00:00.100", {"abc": {"1": "1"}})


def test_memberships_come_from_tables(stage: Stage) -> None:
    """An external segment is told by a column of 1 and 0."""
    stage.catalog(destination(A), segments=[segment(A)])
    for table in ("first.csv", "second.csv"):
        (stage.folder / f"{table}.columns.yaml").write_text(
            f"id: {{column: cookie, dpid: {COOKIES}}}\nmemberships: {{churn: {A}}}\n"
        )
    known(stage)
    stage.onboard("05-02 00:00:00", "first.csv", "cookie,note,churn", 'abc,"hello, world",1')
    known(stage, "05-02 01:00:00")
    stage.onboard("05-02 02:00:00", "second.csv", "cookie,note,churn", "abc,,0")
    known(stage, "05-02 03:00:00")
    assert [telling[1] for telling in tellings(stage.play())] == [{"1": "1"}, {"1": "0"}]

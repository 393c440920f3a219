"""What is said of people rather than devices is kept at their homes, whether or not a device is known
(FIELD C1, C2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tour.stage import ACME, COOKIES, DEVICE, OTHER, destination, segment, trait

if TYPE_CHECKING:
    from tour.stage import Request, Stage

CRM, MAILS, EXTERNAL, BOUGHT, LISTED = 778, 779, 9, 1, 2
SOURCES = [{"id": CRM, "kind": "cross_device"}, {"id": MAILS, "kind": "cross_device"}]
FILE = "ftp_dpm_{source}_{time}.sync"
MAY_2 = 1777680000
"""2026-05-02 00:00:00 UTC."""


def play_by(stage: Stage, *dpids: int, **options: Any) -> None:
    """One destination that takes these ids; segment 9 is external, 1 follows from a signal, 2 from a file."""
    stage.catalog(
        destination(EXTERNAL, BOUGHT, LISTED, user_dpids=list(dpids), **options),
        traits=[trait(BOUGHT), trait(LISTED, kind="onboarded", data_source=CRM)],
        segments=[segment(EXTERNAL, ttl_days=30), segment(BOUGHT, "1T"), segment(LISTED, "2T")],
        sources=SOURCES,
    )


def of_person(stage: Stage, at: str, person: str = "h1", dpid: int = CRM, **said: Any) -> None:
    """An event that names nobody but a person."""
    stage.line(at, event={"ids": [{"dpid": dpid, "id": person}], **said})


def file(stage: Stage, at: str, *lines: str, number: int = 0) -> None:
    stage.onboard(at, FILE.format(source=CRM, time=MAY_2 + number), *lines)


def told(requests: list[Request]) -> list[tuple[str, str, dict[str, dict[str, str]]]]:
    return [(request.clock[:11], request.kind, request.users) for request in requests]


def zeros(requests: list[Request]) -> list[Request]:
    return [one for one in requests if any("0" in said.values() for said in one.users.values())]


@pytest.mark.parametrize(
    ("said", "number"),
    [({"memberships": {"9": 1}}, "9"), ({"traits": [1]}, "1"), ({"signals": {"c_trait": "1"}}, "1")],
    ids=["membership", "declared trait", "signals"],
)
def test_a_login_does_not_take_away_what_an_event_said_of_the_person(
    stage: Stage, said: dict[str, Any], number: str
) -> None:
    """The case of C1, and for traits as for memberships: told at once, and true of the browser that logs in."""
    play_by(stage, CRM, COOKIES)
    of_person(stage, "05-01 12:00:00", **said)
    stage.see("05-01 13:00:00", DEVICE, ids=[(COOKIES, "abc"), (CRM, "h1")])
    requests = stage.play()
    assert told(requests)[0] == ("05-01 12:00", "realtime", {"h1": {number: "1"}})
    assert zeros(requests) == []
    assert ("05-01 13:00", "realtime", {"abc": {number: "1"}}) in told(requests), "the login itself tells"
    assert stage.summary.owed == 0


def test_an_event_about_a_person_makes_up_no_device(stage: Stage) -> None:
    """A destination of UUIDs hears nothing, one of customer ids the same user twice."""
    play_by(stage, 0, CRM)
    of_person(stage, "05-01 12:00:00", memberships={"9": 1})
    of_person(stage, "05-01 13:00:00", signals={"c_trait": "1"})
    requests = stage.play()
    assert told(requests) == [
        ("05-01 12:00", "realtime", {"h1": {"9": "1"}}),
        ("05-01 13:00", "realtime", {"h1": {"9": "1", "1": "1"}}),
    ]
    uuids = {request.message["Users"][0]["AAM_UUID"] for request in requests}
    assert len(uuids) == 1
    assert all(len(uuid) == 38 and uuid.isdigit() for uuid in uuids)


def test_what_is_said_of_a_person_reaches_all_devices(stage: Stage) -> None:
    """The one that speaks tells at once; the others with their next sighting; also a third one that comes later."""
    play_by(stage, COOKIES)
    third = "00000000000000000000000000000000000003"
    stage.see("05-01 11:00:00", DEVICE, ids=[(COOKIES, "phone"), (CRM, "h1")])
    stage.see("05-01 11:10:00", OTHER, ids=[(COOKIES, "laptop"), (CRM, "h1")])
    of_person(stage, "05-01 12:00:00", memberships={"9": 1}, signals={"c_trait": "1"})
    stage.see("05-01 13:00:00", DEVICE)
    stage.see("05-01 14:00:00", third, ids=[(COOKIES, "tv"), (CRM, "h1")])
    both = {"9": "1", "1": "1"}
    assert told(stage.play()) == [
        ("05-01 12:00", "realtime", {"laptop": both}),
        ("05-01 13:00", "realtime", {"phone": both}),
        ("05-01 14:00", "realtime", {"tv": both}),
    ]


def test_a_realisation_counts_once_however_often_a_person_logs_in(stage: Stage) -> None:
    """Also where the device only counts it by then, and the home still has its time."""
    stage.catalog(
        destination(3, 2, user_dpids=[COOKIES]),
        traits=[trait(1)],
        segments=[
            segment(1, "frequency([1T] <= 1D) >= 1"),
            segment(2, "frequency([1T]) >= 2"),
            segment(3, "frequency([1T]) >= 3"),
        ],
        sources=SOURCES,
    )
    of_person(stage, "05-01 12:00:00", traits=[1])
    ids = [(COOKIES, "abc"), (CRM, "h1")]
    stage.see("05-03 13:00:00", DEVICE, ids=ids, signals={"c_trait": "1"})
    stage.see("05-04 13:00:00", DEVICE, ids=ids)
    of_person(stage, "05-05 13:00:00")
    stage.see("05-06 14:00:00", DEVICE, ids=ids)
    assert {str(users) for _, _, users in told(stage.play())} == {"{'abc': {'2': '1'}}"}


def counting(stage: Stage, *recencies: str) -> str:
    """A catalog with a segment for each of these frequencies of trait 1, from 1 on, told under cookies."""
    rules = [f"frequency([1T]{recency}" for recency in recencies]
    return stage.catalog(
        destination(*range(1, len(rules) + 1), user_dpids=[COOKIES]),
        traits=[trait(1)],
        segments=[segment(number, rule) for number, rule in enumerate(rules, 1)],
        sources=SOURCES,
    )


def test_a_login_loses_no_time_that_a_wider_window_asks_for(stage: Stage) -> None:
    """Five on the device, of which none had to be summarised, are five in 30 days, though the home, under the
    window of the catalog before, only counts by then what it had a day later. Nothing grows with the logins.
    """
    counting(stage, " <= 1D) >= 9")
    for hour in range(5):
        stage.see(f"05-01 1{hour}:00:00", DEVICE, 1, ids=[(COOKIES, "abc")])
    for day in (2, 4):
        of_person(stage, f"05-0{day} 12:00:00", signals={"c_trait": "1"})
    stage.apply("05-04 13:00:00", counting(stage, " <= 1D) >= 9", " <= 30D) >= 5", ") >= 8"))
    stage.see("05-04 14:00:00", DEVICE)
    for day in (5, 6, 7):
        stage.see(f"05-0{day} 14:00:00", DEVICE, ids=[(CRM, "h1")])
        of_person(stage, f"05-0{day} 15:00:00")
    requests = stage.play()
    assert requests[0].clock == "05-04 14:00:00.100"
    assert {str(users) for _, _, users in told(requests)} == {"{'abc': {'2': '1'}}"}


def test_a_login_brings_the_times_that_a_wider_window_asks_for(stage: Stage) -> None:
    """The other way round: the device only counts what it had, and the home has the times of five before."""
    counting(stage, " <= 1D) >= 9")
    for hour in range(5):
        of_person(stage, f"05-01 1{hour}:00:00", signals={"c_trait": "1"})
    for day in (2, 4):
        stage.see(f"05-0{day} 12:00:00", DEVICE, 1, ids=[(COOKIES, "abc")])
    stage.apply("05-04 13:00:00", counting(stage, " <= 1D) >= 9", " <= 30D) >= 6", ") >= 8"))
    for day in (5, 6, 7):
        stage.see(f"05-0{day} 14:00:00", DEVICE, ids=[(CRM, "h1")])
        of_person(stage, f"05-0{day} 15:00:00")
    requests = stage.play()
    assert requests[0].clock == "05-05 14:00:00.100"
    assert {str(users) for _, _, users in told(requests)} == {"{'abc': {'2': '1'}}"}


def test_a_login_loses_no_time_that_a_first_window_asks_for(stage: Stage) -> None:
    """Nobody asked for a window, so the home has 16 times of its 40; the device's six are older than those."""
    counting(stage, ") >= 90")
    for hour in range(6):
        stage.see(f"05-01 1{hour}:00:00", DEVICE, 1, ids=[(COOKIES, "abc")])
    for minute in range(10, 50):
        of_person(stage, f"05-02 12:{minute}:00", signals={"c_trait": "1"})
    stage.apply("05-03 12:00:00", counting(stage, ") >= 90", " <= 30D) >= 6", " <= 30D) >= 22"))
    stage.see("05-03 13:00:00", DEVICE)
    for day in (4, 5):
        stage.see(f"05-0{day} 14:00:00", DEVICE, ids=[(CRM, "h1")])
    both = {"2": "1", "3": "1"}
    assert told(stage.play())[:2] == [
        ("05-03 13:00", "realtime", {"abc": {"2": "1"}}),
        ("05-04 14:00", "realtime", {"abc": both}),
    ]


def test_what_was_declared_over_after_it_had_lapsed_reaches_the_next_device(stage: Stage) -> None:
    """The person's membership lapses after 30 days and is declared 0 then; a browser with an older 1 logs in."""
    play_by(stage, COOKIES)
    of_person(stage, "05-01 12:00:00", memberships={"9": 1})
    stage.see("06-02 12:00:00", DEVICE, ids=[(COOKIES, "abc")], memberships={"9": 1})
    of_person(stage, "06-03 12:00:00", memberships={"9": 0})
    stage.see("06-04 12:00:00", DEVICE, ids=[(CRM, "h1")])
    assert told(stage.play()) == [
        ("06-02 12:00", "realtime", {"abc": {"9": "1"}}),
        ("06-04 12:00", "realtime", {"abc": {"9": "0"}}),
    ]


def test_a_removal_reaches_everybody_and_nobody_gets_it_back(stage: Stage) -> None:
    """An explicit 0 is filed as a 1 is: a device that comes afterwards is not in it."""
    play_by(stage, CRM, COOKIES)
    of_person(stage, "05-01 12:00:00", memberships={"9": 1})
    stage.see("05-01 13:00:00", DEVICE, ids=[(COOKIES, "a"), (CRM, "h1")])
    of_person(stage, "05-01 14:00:00", memberships={"9": 0})
    stage.see("05-01 15:00:00", OTHER, ids=[(COOKIES, "b"), (CRM, "h1")])
    requests = stage.play()
    assert [users for at, _, users in told(requests) if at == "05-01 14:00"] == [
        {"h1": {"9": "0"}},
        {"a": {"9": "0"}},
    ]
    assert [users for at, _, users in told(requests) if at == "05-01 15:00"] == []


def test_it_holds_as_long_as_it_was_said(stage: Stage) -> None:
    """`ts` counts, not when the browser came: the time to live ends 30 days after it, by the batch."""
    play_by(stage, CRM, realtime=True, batch={"every": "24h", "at": "02:00"})
    of_person(stage, "05-01 12:00:00", memberships={"9": 1}, ts="2026-04-30T12:00:00Z")
    stage.see("05-10 12:00:00", DEVICE, ids=[(CRM, "h1")])
    stage.advance("06-01 00:00:00")
    requests = stage.play(schedule=True)
    assert [(at, users) for at, _, users in told(zeros(requests))] == [("05-31 02:00", {"h1": {"9": "0"}})]


def test_an_older_word_does_not_overrule_a_newer_one(stage: Stage) -> None:
    """A late event about the person says 1 as of an hour before the device said 0."""
    play_by(stage, CRM)
    stage.see("05-01 12:00:00", DEVICE, ids=[(CRM, "h1")], memberships={"9": 0})
    of_person(stage, "05-01 13:00:00", memberships={"9": 1}, ts="2026-05-01T11:00:00Z")
    stage.see("05-01 14:00:00", OTHER, ids=[(CRM, "h1")])
    assert [users for at, _, users in told(stage.play()) if at == "05-01 13:00"] == []


def test_counts_go_along_and_nothing_counts_twice(stage: Stage) -> None:
    """Two purchases told by a server and one on the browser are three, however often the person comes again."""
    stage.catalog(
        destination(BOUGHT, user_dpids=[COOKIES]),
        traits=[trait(BOUGHT)],
        segments=[segment(BOUGHT, "frequency([1T]) >= 4")],
        sources=SOURCES,
    )
    for at in ("05-01 12:00:00", "05-01 12:30:00"):
        of_person(stage, at, signals={"c_trait": "1"})
    stage.see("05-01 13:00:00", DEVICE, 1, ids=[(COOKIES, "abc"), (CRM, "h1")])
    stage.see("05-01 13:10:00", OTHER, ids=[(CRM, "h1")])
    stage.see("05-01 13:20:00", DEVICE, ids=[(CRM, "h1")])
    stage.see("05-01 14:00:00", DEVICE, 1)
    assert told(stage.play()) == [("05-01 14:00", "realtime", {"abc": {"1": "1"}})]


def test_a_list_of_people_who_never_visited_is_told_by_the_batch(stage: Stage) -> None:
    """The case of C2: hashed e-mails, a destination keyed by them, and no device anywhere."""
    play_by(stage, CRM, batch={"every": "24h", "at": "02:00"})
    file(stage, "05-02 00:00:00", "jane\td_sid=2", "john\td_sid=2")
    file(stage, "05-02 12:00:00", "john\td_unsid=2", number=1)
    stage.advance("05-04 00:00:00")
    assert told(stage.play(schedule=True)) == [
        ("05-02 02:00", "batch", {"jane": {"2": "1"}, "john": {"2": "1"}}),
        ("05-03 02:00", "batch", {"john": {"2": "0"}}),
    ]


def test_after_120_days_of_silence_a_person_is_out(stage: Stage) -> None:
    """As a device is that nobody named."""
    play_by(stage, CRM, batch={"every": "24h", "at": "02:00"})
    file(stage, "05-02 00:00:00", "jane\td_sid=2")
    stage.advance("09-05 00:00:00")
    assert [(at, users) for at, _, users in told(stage.play(schedule=True))] == [
        ("05-02 02:00", {"jane": {"2": "1"}}),
        ("08-30 02:00", {"jane": {"2": "0"}}),
    ]


def test_the_device_that_logs_in_speaks_and_nothing_is_told_twice(stage: Stage) -> None:
    """The ledger goes along: the next batch has nothing to say, and an exit on the device is exact."""
    play_by(stage, CRM, realtime=False, batch={"every": "24h", "at": "02:00"})
    file(stage, "05-02 00:00:00", "jane\td_sid=2")
    stage.see("05-02 12:00:00", DEVICE, ids=[(CRM, "jane")])
    file(stage, "05-04 00:00:00", "jane\td_unsid=2", number=1)
    stage.advance("05-06 00:00:00")
    assert told(stage.play(schedule=True)) == [
        ("05-02 02:00", "batch", {"jane": {"2": "1"}}),
        ("05-04 02:00", "batch", {"jane": {"2": "0"}}),
    ]


def test_when_the_last_device_is_deleted_the_home_speaks_again(stage: Stage) -> None:
    """The device's own memberships are taken back; what was said of the person holds on."""
    play_by(stage, CRM)
    of_person(stage, "05-01 12:00:00", memberships={"9": 1})
    stage.see("05-01 13:00:00", DEVICE, 1, ids=[(CRM, "h1")])
    stage.line("05-01 14:00:00", privacy={"action": "delete", "uuid": DEVICE})
    of_person(stage, "05-01 15:00:00", memberships={"9": 0})
    assert told(stage.play()) == [
        ("05-01 12:00", "realtime", {"h1": {"9": "1"}}),
        ("05-01 13:00", "realtime", {"h1": {"9": "1", "1": "1"}}),
        ("05-01 14:00", "privacy", {"h1": {"9": "0", "1": "0"}}),
        ("05-01 14:00", "realtime", {"h1": {"9": "1"}}),
        ("05-01 15:00", "realtime", {"h1": {"9": "0"}}),
    ]


@pytest.mark.parametrize("action", ["delete", "opt_out"])
def test_a_request_by_the_persons_id_reaches_the_home(stage: Stage, action: str) -> None:
    """0 for what was told, then nothing is taken under the id, by no door."""
    play_by(stage, CRM, batch={"every": "24h", "at": "02:00"})
    file(stage, "05-02 00:00:00", "jane\td_sid=2")
    stage.line("05-02 12:00:00", privacy={"action": action, "id": f"{CRM}:jane"})
    of_person(stage, "05-02 13:00:00", "jane", memberships={"9": 1})
    file(stage, "05-02 14:00:00", "jane\td_sid=2", number=1)
    stage.advance("05-05 00:00:00")
    assert told(stage.play(schedule=True)) == [
        ("05-02 02:00", "batch", {"jane": {"2": "1"}}),
        ("05-02 12:00", "privacy", {"jane": {"2": "0"}}),
    ]


def test_people_of_two_data_sources_have_a_home_each(stage: Stage) -> None:
    """An event that names both is about both."""
    play_by(stage, CRM, MAILS, number=ACME)
    ids = [{"dpid": CRM, "id": "h1"}, {"dpid": MAILS, "id": "m1"}]
    stage.line("05-01 12:00:00", event={"ids": ids, "memberships": {"9": 1}})
    stage.see("05-01 13:00:00", DEVICE, ids=[(MAILS, "m1")])
    requests = stage.play()
    first = [users for at, _, users in told(requests) if at == "05-01 12:00"]
    assert sorted(first, key=str) == [{"h1": {"9": "1"}}, {"m1": {"9": "1"}}]
    assert zeros(requests) == []

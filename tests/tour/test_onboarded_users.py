"""Onboarding files: who is in what by a file, told by the batch, and in real time when the device is next seen."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tour.command_stage import (
    CommandStage,
    batch_only,
    date_text,
    heard_live,
    items,
    lines_of,
    nights,
    of_kind,
    stamps,
    with_batch,
)
from tour.stage import COOKIES, DEVICE, GAID, OTHER, segment, trait

CRM, FOREIGN = 777, 888
PHONE = "0f0e0d0c-0b0a-4908-8706-050403020100"


def onboarded(number: int, source: int = COOKIES, **options: Any) -> dict[str, Any]:
    return trait(number, kind="onboarded", data_source=source, **options)


def five_traits(scene: CommandStage, *, source: int = COOKIES, **options: Any) -> None:
    """Traits 1 to 5 of one data source, each with a segment of the same number, all mapped."""
    scene.catalog(
        with_batch(1, 2, 3, 4, 5, **options),
        traits=[onboarded(number, source) for number in range(1, 6)],
        segments=[segment(number, f"{number}T") for number in range(1, 6)],
        sources=[{"id": CRM, "kind": "cross_device"}, {"id": FOREIGN}],
    )


def name(at: str, kind: str, dpid: object = COOKIES, prefix: str = "ftp_dpm_") -> str:
    """A file name with the time stamp of `at`, ten digits."""
    stamp = int(datetime.fromisoformat(f"2026-{at}").replace(tzinfo=UTC).timestamp())
    return f"{prefix}{dpid}_{stamp}.{kind}"


def load(scene: CommandStage, at: str, kind: str, *rows: str, dpid: object = COOKIES) -> None:
    """The file arrives at the second its name says."""
    scene.load(at, name(at, kind, dpid), rows)


def told(*segments: int, status: str = "1", partner_id: str = "a") -> dict[tuple[str, str], str]:
    return {(partner_id, str(number)): status for number in segments}


def test_a_file_is_told_by_the_batch_alone(scene: CommandStage) -> None:
    """Loading sends nothing; the next batch does, with the loading as its DateTime."""
    five_traits(scene)
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")])
    load(scene, "05-01 13:00:00", "sync", "a\td_sid=1,d_sid=2")
    scene.advance("05-01 14:00:00")
    scene.batch("05-01 15:00:00")
    scene.batch("05-01 16:00:00")
    requests = scene.requests()
    assert {request.kind for request in requests} == {"batch"}
    assert nights(requests) == [("05-01 15:00", told(1, 2))]
    assert set(stamps(requests).values()) == {date_text("05-01 13:00:00")}


def test_a_device_that_is_seen_before_the_batch_is_told_at_once(scene: CommandStage) -> None:
    """Real time catches up at the sighting; the batch repeats it."""
    five_traits(scene)
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")])
    load(scene, "05-01 13:00:00", "sync", "a\td_sid=1,d_sid=2")
    scene.see("05-01 14:00:00")
    scene.see("05-01 14:30:00")
    scene.batch("05-01 15:00:00")
    requests = scene.requests()
    assert heard_live(requests) == [("05-01 14:00:00", told(1, 2))]
    assert nights(requests) == [("05-01 15:00", told(1, 2))]


def test_a_device_that_is_seen_after_the_batch_hears_nothing_again(scene: CommandStage) -> None:
    """Everything was told and acknowledged (SPEC section 3: nothing else is sent)."""
    five_traits(scene)
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")])
    load(scene, "05-01 13:00:00", "sync", "a\td_sid=1")
    scene.batch("05-01 15:00:00")
    scene.see("05-01 16:00:00")
    assert heard_live(scene.requests()) == []


def test_sync_adds(scene: CommandStage) -> None:
    """1,2,3 and then 3,4,5 makes 1 to 5 (dossier 15)."""
    five_traits(scene)
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")])
    load(scene, "05-01 13:00:00", "sync", "a\td_sid=1,d_sid=2,d_sid=3")
    scene.batch("05-01 14:00:00")
    load(scene, "05-01 15:00:00", "sync", "a\td_sid=3,d_sid=4,d_sid=5")
    scene.batch("05-01 16:00:00")
    assert nights(scene.requests()) == [("05-01 14:00", told(1, 2, 3)), ("05-01 16:00", told(4, 5))]


def test_overwrite_replaces(scene: CommandStage) -> None:
    """1,2,3 and then 3,4,5 leaves 3,4,5; who is not in the file is not touched."""
    five_traits(scene)
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")])
    scene.see("05-01 12:00:00", OTHER, ids=[(COOKIES, "b")])
    load(scene, "05-01 13:00:00", "sync", *lines_of("ab", "d_sid=1,d_sid=2,d_sid=3"))
    scene.batch("05-01 14:00:00")
    load(scene, "05-01 15:00:00", "overwrite", "a\td_sid=3,d_sid=4,d_sid=5")
    scene.batch("05-01 16:00:00")
    assert nights(scene.requests())[1:] == [("05-01 16:00", told(1, 2, status="0") | told(4, 5))]


def test_overwrite_spares_the_traits_of_other_sources_and_of_rules(scene: CommandStage) -> None:
    """It replaces the traits of the file's data source; clicks and other owners' files stay."""
    scene.catalog(
        with_batch(1, 2, 3, 4),
        traits=[onboarded(1), onboarded(2), onboarded(3, FOREIGN), trait(4, data_source=COOKIES)],
        segments=[segment(number, f"{number}T") for number in (1, 2, 3, 4)],
        sources=[{"id": FOREIGN}],
    )
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a"), (FOREIGN, "f")], signals={"c_trait": "4"})
    load(scene, "05-01 13:00:00", "sync", "a\td_sid=1")
    load(scene, "05-01 13:10:00", "sync", "f\td_sid=3", dpid=FOREIGN)
    scene.batch("05-01 14:00:00")
    load(scene, "05-01 15:00:00", "overwrite", "a\td_sid=2")
    scene.batch("05-01 16:00:00")
    assert nights(scene.requests()) == [
        ("05-01 14:00", told(1, 3, 4)),
        ("05-01 16:00", told(1, status="0") | told(2)),
    ]


@pytest.mark.parametrize("remove", ["d_unsid=1", "1:0", "1:-1"])
def test_items_that_remove(scene: CommandStage, remove: str) -> None:
    """Three spellings; the other traits stay, and one that was never held is no harm."""
    five_traits(scene)
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")])
    scene.see("05-01 12:00:00", OTHER, ids=[(COOKIES, "b")])
    load(scene, "05-01 13:00:00", "sync", "a\td_sid=1,d_sid=2")
    scene.batch("05-01 14:00:00")
    load(scene, "05-01 15:00:00", "sync", *lines_of("ab", remove))
    scene.batch("05-01 16:00:00")
    assert nights(scene.requests())[1:] == [("05-01 16:00", told(1, status="0"))]


def test_d_unsid_is_ignored_in_an_overwrite(scene: CommandStage) -> None:
    """`d_sid=1,d_unsid=1` in an .overwrite file: 1 is held."""
    five_traits(scene)
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")])
    load(scene, "05-01 13:00:00", "overwrite", "a\td_sid=1,d_unsid=1")
    scene.batch("05-01 14:00:00")
    assert nights(scene.requests()) == [("05-01 14:00", told(1))]


def test_integration_codes(scene: CommandStage) -> None:
    """Bare values and `ic=` name traits by integration code; a bare number is a code, not a trait's number."""
    scene.catalog(
        with_batch(1, 2, 3),
        traits=[
            onboarded(1, integration_code="gold"),
            onboarded(2, integration_code="3"),
            onboarded(3),
        ],
        segments=[segment(number, f"{number}T") for number in (1, 2, 3)],
    )
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")])
    load(scene, "05-01 13:00:00", "sync", "a\tic=gold,3")
    scene.batch("05-01 14:00:00")
    assert nights(scene.requests()) == [("05-01 14:00", told(1, 2))]


def test_the_time_to_live_counts_from_the_loading(scene: CommandStage) -> None:
    """Two days after the file was loaded, to the second; a second file starts them anew."""
    scene.catalog(with_batch(1), traits=[onboarded(1, ttl_days=2)], segments=[segment(1, "1T")])
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")])
    load(scene, "05-01 13:00:00", "sync", "a\td_sid=1")
    load(scene, "05-02 13:00:00", "sync", "a\td_sid=1")
    scene.batch("05-02 14:00:00")
    scene.batch("05-04 12:59:59")
    scene.batch("05-04 13:00:00")
    requests = scene.requests()
    assert nights(requests) == [("05-02 14:00", told(1)), ("05-04 13:00", told(1, status="0"))]
    assert stamps(requests[-1:]) == {("a", "1"): date_text("05-04 13:00:00")}


def test_an_onboarded_trait_counts_once(scene: CommandStage) -> None:
    """Three files, two lines each: one realisation."""
    scene.catalog(
        with_batch(10, 20),
        traits=[onboarded(1)],
        segments=[segment(10, "FREQUENCY([1T]) >= 2"), segment(20, "FREQUENCY([1T]) == 1")],
    )
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")])
    for day in ("01", "02", "03"):
        load(scene, f"05-{day} 13:00:00", "sync", "a\td_sid=1", "a\td_sid=1")
    scene.batch("05-03 14:00:00")
    assert nights(scene.requests()) == [("05-03 14:00", {("a", "20"): "1"})]


def test_a_file_and_a_click_together(scene: CommandStage) -> None:
    """A segment over an onboarded and a rule-based trait: the click completes it, in real time."""
    scene.catalog(with_batch(10), traits=[onboarded(1), trait(2)], segments=[segment(10, "1T AND 2T")])
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")])
    load(scene, "05-01 13:00:00", "sync", "a\td_sid=1")
    scene.see("05-01 14:00:00", signals={"c_trait": "2"})
    assert heard_live(scene.requests()) == [("05-01 14:00:00", {("a", "10"): "1"})]


def test_an_id_that_is_not_synced_is_skipped(scene: CommandStage) -> None:
    """A cookie nobody has: its line is lost, also when the id is synced later; the other line counts."""
    five_traits(scene)
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")])
    load(scene, "05-01 13:00:00", "sync", "stranger\td_sid=1", "a\td_sid=2")
    scene.see("05-01 14:00:00", OTHER, ids=[(COOKIES, "stranger")])
    scene.batch("05-01 15:00:00")
    requests = scene.requests()
    assert items(of_kind(requests, "batch")) == told(2)
    assert heard_live(requests) == []


def test_a_cross_device_id_waits_for_its_sync(scene: CommandStage) -> None:
    """A customer's line is kept until a device comes with the id: the next batch tells that device's ids."""
    five_traits(scene, source=CRM)
    load(scene, "05-01 13:00:00", "sync", "anna\td_sid=1", dpid=CRM)
    scene.batch("05-01 14:00:00")
    scene.see("05-02 12:00:00", ids=[(CRM, "anna"), (COOKIES, "a")])
    scene.batch("05-02 14:00:00")
    assert nights(scene.requests()) == [("05-02 14:00", told(1))]


def test_a_customer_of_two_devices(scene: CommandStage) -> None:
    """The line reaches both."""
    five_traits(scene, source=CRM)
    scene.see("05-01 12:00:00", ids=[(CRM, "anna"), (COOKIES, "a")])
    scene.see("05-01 12:00:00", OTHER, ids=[(CRM, "anna"), (COOKIES, "b")])
    load(scene, "05-01 13:00:00", "sync", "anna\td_sid=1", dpid=CRM)
    scene.batch("05-01 14:00:00")
    assert nights(scene.requests()) == [("05-01 14:00", told(1) | told(1, partner_id="b"))]


def test_a_customer_id_is_what_the_destination_is_sent(scene: CommandStage) -> None:
    """`user_dpids` of a cross-device source: one item for the person, however many devices say it."""
    five_traits(scene, source=CRM, user_dpids=[CRM])
    scene.see("05-01 12:00:00", ids=[(CRM, "anna")])
    load(scene, "05-01 13:00:00", "sync", "anna\td_sid=1", dpid=CRM)
    scene.batch("05-01 14:00:00")
    (request,) = scene.requests()
    assert (request.message["User_DPID"], request.users) == (str(CRM), {"anna": {"1": "1"}})


def test_a_file_of_advertising_ids_names_whose_traits(scene: CommandStage) -> None:
    """`ftp_dpm_20914_12345_TIME.sync`: ids of the phone, traits of the target data source."""
    five_traits(scene, user_dpids=[COOKIES, GAID])
    scene.see("05-01 12:00:00", ids=[(GAID, PHONE)])
    load(scene, "05-01 13:00:00", "sync", f"{PHONE}\td_sid=1", dpid=f"{GAID}_{COOKIES}")
    scene.batch("05-01 14:00:00")
    assert nights(scene.requests()) == [("05-01 14:00", told(1, partner_id=PHONE))]


def test_traits_of_another_source_fail_validation(scene: CommandStage) -> None:
    """A file of one data source cannot realise the traits of another."""
    scene.catalog(
        with_batch(1, 2),
        traits=[onboarded(1), onboarded(2, FOREIGN)],
        segments=[segment(1, "1T"), segment(2, "2T")],
        sources=[{"id": FOREIGN}],
    )
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")])
    load(scene, "05-01 13:00:00", "sync", "a\td_sid=1,d_sid=2")
    scene.batch("05-01 14:00:00")
    assert nights(scene.requests()) == [("05-01 14:00", told(1))]


def test_the_same_file_twice_changes_nothing(scene: CommandStage) -> None:
    """Not the memberships, not their time-to-live: it is the same file, not news."""
    scene.catalog(with_batch(1), traits=[onboarded(1, ttl_days=2)], segments=[segment(1, "1T")])
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")])
    load(scene, "05-01 13:00:00", "sync", "a\td_sid=1")
    scene.line("05-02 13:00:00", onboard={"file": name("05-01 13:00:00", "sync")})
    scene.batch("05-02 14:00:00")
    scene.batch("05-03 13:00:00")
    assert nights(scene.requests()) == [("05-02 14:00", told(1)), ("05-03 13:00", told(1, status="0"))]


def test_packed_and_split_files(scene: CommandStage) -> None:
    """`.sync.1.gz` and `.sync.2.gz` of one time stamp are two parts of one file."""
    five_traits(scene)
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")])
    scene.see("05-01 12:00:00", OTHER, ids=[(COOKIES, "b")])
    scene.load("05-01 13:00:00", name("05-01 13:00:00", "sync.1.gz"), ["a\td_sid=1"])
    scene.load("05-01 13:00:01", name("05-01 13:00:00", "sync.2.gz"), ["b\td_sid=2"])
    scene.batch("05-01 14:00:00")
    assert nights(scene.requests()) == [("05-01 14:00", told(1) | told(2, partner_id="b"))]


def test_windows_line_ends_empty_items_and_blank_lines(scene: CommandStage) -> None:
    """As in files that are really sent: CR LF, two commas in a row, an empty line, spaces after the last line."""
    five_traits(scene)
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")])
    scene.see("05-01 12:00:00", OTHER, ids=[(COOKIES, "b")])
    load(scene, "05-01 13:00:00", "sync", "a\td_sid=1,,d_sid=2\r", "\r", "", "b\td_sid=3\r")
    scene.batch("05-01 14:00:00")
    assert nights(scene.requests()) == [("05-01 14:00", told(1, 2) | told(3, partner_id="b"))]


def test_a_bad_line_costs_only_itself(scene: CommandStage) -> None:
    """No tab, an empty id, an item without sense: the lines around them count."""
    five_traits(scene)
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")])
    scene.see("05-01 12:00:00", OTHER, ids=[(COOKIES, "b")])
    load(scene, "05-01 13:00:00", "sync", "a\td_sid=1", "no tab here", "\td_sid=1", "b\td_sid=2")
    scene.batch("05-01 14:00:00")
    assert nights(scene.requests()) == [("05-01 14:00", told(1) | told(2, partner_id="b"))]


def test_an_id_sync_file_links_ids(scene: CommandStage) -> None:
    """`adobe_id_0_12345_TIME.sync`, UUID to cookie: the batch tells the new id what its device is in."""
    scene.catalog(with_batch(1), segments=[segment(1)])
    scene.see("05-01 12:00:00", memberships={"1": 1})
    scene.load(
        "05-01 13:00:00", name("05-01 13:00:00", "sync", f"0_{COOKIES}", "adobe_id_"), [f"{DEVICE}\ta"]
    )
    scene.batch("05-01 14:00:00")
    assert nights(scene.requests()) == [("05-01 14:00", told(1))]


def test_an_id_sync_file_moves_an_id(scene: CommandStage) -> None:
    """The newest mapping wins: the id goes to the device the file says, and is told what that one is in."""
    scene.catalog(batch_only(1, 2), segments=[segment(1), segment(2)])
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    scene.see("05-01 12:00:00", OTHER, memberships={"2": 1})
    scene.batch("05-01 12:30:00")
    scene.load("05-01 13:00:00", name("05-01 13:00:00", "sync", f"0_{COOKIES}", "adobe_id_"), [f"{OTHER}\ta"])
    scene.batch("05-01 14:00:00")
    assert nights(scene.requests())[1:] == [("05-01 14:00", told(1, status="0") | told(2))]


def test_an_id_sync_between_two_sources(scene: CommandStage) -> None:
    """`adobe_id_12345_888_TIME.sync`: whoever is known by the first id gets the second."""
    scene.catalog(batch_only(1, user_dpids=[FOREIGN]), segments=[segment(1)], sources=[{"id": FOREIGN}])
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    scene.load(
        "05-01 13:00:00", name("05-01 13:00:00", "sync", f"{COOKIES}_{FOREIGN}", "adobe_id_"), ["a\tf"]
    )
    scene.batch("05-01 14:00:00")
    assert nights(scene.requests()) == [("05-01 14:00", told(1, partner_id="f"))]


def test_a_file_counts_as_news_of_a_device(scene: CommandStage) -> None:
    """120 days count from the last event or file that spoke of the device."""
    scene.catalog(with_batch(1), traits=[onboarded(1, ttl_days=0)], segments=[segment(1, "1T")])
    scene.see("01-01 12:00:00", ids=[(COOKIES, "a")])
    load(scene, "01-31 12:00:00", "sync", "a\td_sid=1")
    scene.batch("02-01 12:00:00")
    scene.batch("05-31 11:59:59")
    scene.batch("05-31 12:00:00")
    assert nights(scene.requests()) == [
        ("02-01 12:00", told(1)),
        ("05-31 12:00", told(1, status="0")),
    ]

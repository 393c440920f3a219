"""What a batch tells: the net change per (partner id, segment) since the one before, whatever real time sent."""

from __future__ import annotations

from tour.command_stage import (
    CommandStage,
    batch_only,
    heard_live,
    items,
    nights,
    of_kind,
    stamps,
    with_batch,
)
from tour.stage import ACME, COOKIES, DEVICE, GAID, OTHER, destination, segment, trait

SEGMENTS = [segment(1), segment(2)]
PHONE = "0f0e0d0c-0b0a-4908-8706-050403020100"


def device(number: int) -> str:
    return f"{number:038d}"


def test_what_real_time_told_comes_again(scene: CommandStage) -> None:
    """Same endpoint, same items, kind `batch`."""
    scene.catalog(with_batch(1), segments=SEGMENTS)
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    scene.batch("05-01 13:00:00")
    live, batch = scene.requests()
    assert (live.kind, batch.kind) == ("realtime", "batch")
    assert (live.users, batch.users) == ({"a": {"1": "1"}}, {"a": {"1": "1"}})
    assert {name: live.headers[name] for name in ("Host", "Content-Type")} == {
        name: batch.headers[name] for name in ("Host", "Content-Type")
    }


def test_the_body_of_a_batch_is_the_same_message(scene: CommandStage) -> None:
    """Key order and spelling, strings, ProcessTime of the run, DateTime of the last verification."""
    scene.catalog(with_batch(1), segments=SEGMENTS)
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1}, region=6)
    scene.batch("05-01 13:00:00")
    (request,) = of_kind(scene.requests(), "batch")
    assert request.body == (
        '{"ProcessTime":"Fri May 01 13:00:00 UTC 2026","User_DPID":"12345","Client_ID":"74323",'
        '"AAM_Destination_Id":"423","User_count":"1","Users":[{"AAM_UUID":"' + DEVICE + '",'
        '"DataPartner_UUID":"a","AAM_Regions":["6"],"Segments":[{"Segment_ID":"1","Status":"1",'
        '"DateTime":"Fri May 01 12:00:00 UTC 2026"}]}]}'
    )


def test_only_changes_since_the_last_batch(scene: CommandStage) -> None:
    """A user in two segments who gains a third is in the batch with the third alone; real time says all three."""
    scene.catalog(with_batch(1, 2, 3), segments=[*SEGMENTS, segment(3)])
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1, "2": 1})
    scene.batch("05-01 13:00:00")
    scene.see("05-01 14:00:00", memberships={"3": 1, "1": 0})
    scene.batch("05-01 15:00:00")
    scene.batch("05-01 16:00:00")
    requests = scene.requests()
    assert heard_live(requests)[1][1] == {("a", "1"): "0", ("a", "2"): "1", ("a", "3"): "1"}
    assert nights(requests) == [
        ("05-01 13:00", {("a", "1"): "1", ("a", "2"): "1"}),
        ("05-01 15:00", {("a", "1"): "0", ("a", "3"): "1"}),
    ]


def test_a_batch_with_nothing_to_say_sends_nothing(scene: CommandStage) -> None:
    """Devices are seen, nothing changes: no empty message."""
    scene.catalog(batch_only(1), segments=SEGMENTS)
    scene.batch("05-01 11:00:00")
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"2": 1})
    scene.batch("05-01 13:00:00")
    assert scene.requests() == []


def test_the_first_batch_of_a_destination_is_full(scene: CommandStage) -> None:
    """Devices that were in the segment long before the destination came are in its first batch, unseen."""
    scene.catalog(batch_only(1, number=1), segments=SEGMENTS)
    two = scene.catalog(batch_only(1, number=1), with_batch(1, 2, number=2), segments=SEGMENTS)
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    scene.see("05-01 12:00:01", OTHER, ids=[(COOKIES, "b")], memberships={"2": 1})
    scene.batch("05-01 13:00:00", 1)
    scene.apply("05-02 12:00:00", two)
    scene.batch("05-02 13:00:00", 2)
    scene.batch("05-02 14:00:00", 2)
    requests = [request for request in scene.requests() if request.destination == 2]
    assert nights(requests) == [("05-02 13:00", {("a", "1"): "1", ("b", "2"): "1"})]
    assert heard_live(requests) == []


def test_gained_and_lost_in_between_is_nothing(scene: CommandStage) -> None:
    """The destination was never told of it, or was told both: there is no net change."""
    scene.catalog(batch_only(1, number=1), with_batch(1, number=2), segments=SEGMENTS)
    for number in (1, 2):
        scene.batch("05-01 11:00:00", number)
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    scene.see("05-01 12:10:00", memberships={"1": 0})
    for number in (1, 2):
        scene.batch("05-01 13:00:00", number)
    assert of_kind(scene.requests(), "batch") == []


def test_lost_and_gained_again_in_between_is_nothing(scene: CommandStage) -> None:
    """In at both ends."""
    scene.catalog(batch_only(1), segments=SEGMENTS)
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    scene.batch("05-01 13:00:00")
    scene.see("05-01 14:00:00", memberships={"1": 0})
    scene.see("05-01 15:00:00", memberships={"1": 1})
    scene.batch("05-01 16:00:00")
    assert nights(scene.requests()) == [("05-01 13:00", {("a", "1"): "1"})]


def test_a_gain_told_in_real_time_and_lost_by_time_is_taken_back(scene: CommandStage) -> None:
    """Between two batches in and out, but real time told the 1 and nobody told the 0: the batch does."""
    scene.catalog(with_batch(10), traits=[trait(1, ttl_days=1)], segments=[segment(10, "1T")])
    scene.batch("05-01 11:00:00")
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    scene.batch("05-03 13:00:00")
    assert nights(scene.requests()) == [("05-03 13:00", {("a", "10"): "0"})]


def test_every_id_that_was_told_1_gets_the_0(scene: CommandStage) -> None:
    """Two cookies and the UUID itself: three items a batch, in messages of one id type each."""
    scene.catalog(
        with_batch(10, user_dpids=[COOKIES, 0]), traits=[trait(1, ttl_days=1)], segments=[segment(10, "1T")]
    )
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a"), (COOKIES, "b")], signals={"c_trait": "1"})
    scene.batch("05-01 13:00:00")
    scene.batch("05-03 00:00:00")
    batches = of_kind(scene.requests(), "batch")
    told = [
        (request.clock[:11], request.message["User_DPID"], *sorted(items([request]).items()))
        for request in batches
    ]
    assert sorted(told) == [
        (minute, dpid, *(((partner_id, "10"), status) for partner_id in ids))
        for minute, status in (("05-01 13:00", "1"), ("05-03 00:00", "0"))
        for dpid, ids in (("0", [DEVICE]), (str(COOKIES), ["a", "b"]))
    ]


def test_a_new_partner_id_is_a_change_of_its_own(scene: CommandStage) -> None:
    """The other id has no news and is not in the batch."""
    scene.catalog(batch_only(1), segments=SEGMENTS)
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    scene.batch("05-01 13:00:00")
    scene.see("05-01 14:00:00", ids=[(COOKIES, "b")])
    scene.batch("05-01 15:00:00")
    assert nights(scene.requests())[1:] == [("05-01 15:00", {("b", "1"): "1"})]


def test_an_id_that_changed_hands_is_told_what_its_new_device_is_in(scene: CommandStage) -> None:
    """It was told 1 for one segment and its new device is in the other; the old device's id has no news."""
    scene.catalog(batch_only(1, 2), segments=SEGMENTS)
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a"), (COOKIES, "b")], memberships={"1": 1})
    scene.see("05-01 12:00:01", OTHER, memberships={"2": 1})
    scene.batch("05-01 13:00:00")
    scene.see("05-01 14:00:00", OTHER, ids=[(COOKIES, "b")])
    scene.batch("05-01 15:00:00")
    assert nights(scene.requests()) == [
        ("05-01 13:00", {("a", "1"): "1", ("b", "1"): "1"}),
        ("05-01 15:00", {("b", "1"): "0", ("b", "2"): "1"}),
    ]


def test_a_segment_mapped_twice_is_told_once_per_alias(scene: CommandStage) -> None:
    """Free text for an alias, in the batch as in real time."""
    twice = ({"segment": 1, "alias": "first"}, {"segment": 1, "alias": "the second"})
    scene.catalog(batch_only(*twice), segments=SEGMENTS)
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    scene.batch("05-01 13:00:00")
    assert nights(scene.requests()) == [("05-01 13:00", {("a", "first"): "1", ("a", "the second"): "1"})]


def test_a_message_holds_at_most_so_many_users(scene: CommandStage) -> None:
    """25 users, 10 a message by default: 10, 10 and 5, everybody once, and User_count says it."""
    scene.catalog(batch_only(1), segments=SEGMENTS)
    for number in range(25):
        scene.see("05-01 12:00:00", device(number), ids=[(COOKIES, f"a{number}")], memberships={"1": 1})
    scene.batch("05-01 13:00:00")
    requests = scene.requests()
    assert sorted(len(request.users) for request in requests) == [5, 10, 10]
    assert [request.message["User_count"] for request in requests] == [
        str(len(request.users)) for request in requests
    ]
    assert items(requests) == {(f"a{number}", "1"): "1" for number in range(25)}


def test_max_users_per_request_holds_for_the_batch(scene: CommandStage) -> None:
    """`max_users_per_request: 3` and seven users."""
    scene.catalog(batch_only(1, max_users_per_request=3), segments=SEGMENTS)
    for number in range(7):
        scene.see("05-01 12:00:00", device(number), ids=[(COOKIES, f"a{number}")], memberships={"1": 1})
    scene.batch("05-01 13:00:00")
    assert sorted(len(request.users) for request in scene.requests()) == [1, 3, 3]


def test_one_id_type_a_message(scene: CommandStage) -> None:
    """Cookies and advertising ids of the same device go in two messages."""
    scene.catalog(batch_only(1, user_dpids=[COOKIES, GAID]), segments=SEGMENTS)
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a"), (GAID, PHONE)], memberships={"1": 1})
    scene.batch("05-01 13:00:00")
    told = {request.message["User_DPID"]: request.users for request in scene.requests()}
    assert told == {str(COOKIES): {"a": {"1": "1"}}, str(GAID): {PHONE: {"1": "1"}}}


def test_who_has_no_id_for_the_destination_is_not_in_its_batch(scene: CommandStage) -> None:
    """No id synced, no data; the id synced later is told by the batch after it."""
    scene.catalog(batch_only(1), segments=SEGMENTS)
    scene.see("05-01 12:00:00", memberships={"1": 1})
    scene.batch("05-01 13:00:00")
    scene.see("05-01 14:00:00", ids=[(COOKIES, "a")])
    scene.batch("05-01 15:00:00")
    assert nights(scene.requests()) == [("05-01 15:00", {("a", "1"): "1"})]


def test_a_batch_only_destination_hears_nothing_in_real_time(scene: CommandStage) -> None:
    """`realtime: false`, beside one that hears at once."""
    scene.catalog(batch_only(1, number=1), destination(1, number=2, batch=False), segments=SEGMENTS)
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    scene.see("05-05 12:00:00")
    scene.see("05-05 13:00:00", memberships={"1": 0})
    requests = scene.requests()
    assert {(request.destination, request.kind) for request in requests} == {(2, "realtime")}


def test_without_unsegment_there_are_no_zeros(scene: CommandStage) -> None:
    """`supports_unsegment: false`: losses are left out, and a batch of losses alone is not sent."""
    scene.catalog(batch_only(1, 2, supports_unsegment=False), segments=SEGMENTS)
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    scene.see("05-01 12:00:01", OTHER, ids=[(COOKIES, "b")], memberships={"1": 1})
    scene.batch("05-01 13:00:00")
    scene.see("05-01 14:00:00", memberships={"1": 0, "2": 1})
    scene.see("05-01 14:00:01", OTHER, memberships={"1": 0})
    scene.batch("05-01 15:00:00")
    assert nights(scene.requests())[1:] == [("05-01 15:00", {("a", "2"): "1"})]


def test_the_sample_is_the_same_in_the_batch(scene: CommandStage) -> None:
    """`sample_rate_denominator: 4`: the batch tells exactly those whom real time told."""
    scene.catalog(with_batch(1, sample_rate_denominator=4), segments=SEGMENTS)
    for number in range(80):
        scene.see("05-01 12:00:00", device(number), ids=[(COOKIES, f"a{number}")], memberships={"1": 1})
    scene.batch("05-01 13:00:00")
    requests = scene.requests()
    live, batch = items(of_kind(requests, "realtime")), items(of_kind(requests, "batch"))
    assert live == batch
    assert 5 <= len(live) <= 40


def test_every_destination_has_its_own_last_batch(scene: CommandStage) -> None:
    """One runs twice, the other once: each from its own last run."""
    scene.catalog(batch_only(1, number=1), batch_only(1, number=2), segments=SEGMENTS)
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    scene.batch("05-01 13:00:00", 1)
    scene.see("05-01 14:00:00", OTHER, ids=[(COOKIES, "b")], memberships={"1": 1})
    scene.batch("05-01 15:00:00", 1)
    scene.batch("05-01 15:00:00", 2)
    told = [(request.destination, items([request])) for request in scene.requests()]
    assert told == [
        (1, {("a", "1"): "1"}),
        (1, {("b", "1"): "1"}),
        (2, {("a", "1"): "1", ("b", "1"): "1"}),
    ]


def test_the_stamp_of_a_loss_is_when_it_was_lost(scene: CommandStage) -> None:
    """DateTime of a 0 is not when the batch ran."""
    scene.catalog(batch_only(10), traits=[trait(1), trait(2)], segments=[segment(10, "1T AND NOT 2T")])
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    scene.batch("05-01 13:00:00")
    scene.see("05-01 14:00:00", signals={"c_trait": "2"})
    scene.see("05-01 15:00:00")
    scene.batch("05-01 20:00:00")
    (last,) = scene.requests()[1:]
    assert stamps([last]) == {("a", "10"): "Fri May 01 14:00:00 UTC 2026"}


def test_a_batch_does_not_put_off_real_time(scene: CommandStage) -> None:
    """A gain after the batch is told at once, all segments, as if there were no batch."""
    scene.catalog(with_batch(1, 2), segments=SEGMENTS)
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    scene.batch("05-01 13:00:00", ACME)
    scene.see("05-01 13:00:01", memberships={"2": 1})
    assert heard_live(scene.requests())[1:] == [("05-01 13:00:01", {("a", "1"): "1", ("a", "2"): "1"})]


def test_the_same_script_gives_the_same_bytes_with_batches(scene: CommandStage) -> None:
    """Same input, same output, to the byte (SPEC section 9)."""
    scene.catalog(with_batch(1, 2), segments=SEGMENTS)
    for number in range(30):
        ids = [(COOKIES, f"a{number}")]
        scene.see("05-01 12:00:00", device(number), ids=ids, memberships={"1": 1, "2": number % 2})
    scene.advance("05-03 12:00:00")
    assert scene.requests(schedule=True) == scene.requests(schedule=True)

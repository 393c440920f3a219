"""Deletion and opt-out: every id that was told 1 gets a 0 at once, then the device is nobody, for good."""

from __future__ import annotations

import pytest

from tour.command_stage import CommandStage, batch_only, heard_live, items, of_kind, with_batch
from tour.stage import COOKIES, DEVICE, OTHER, Request, segment, trait

CRM = 777
SEGMENTS = [segment(1), segment(2), segment(3, "5T")]
ACTIONS = ("delete", "opt_out")
SOURCES = [{"id": CRM, "kind": "cross_device"}]
TRAITS = [trait(5, kind="onboarded", data_source=COOKIES)]
FILE = f"ftp_dpm_{COOKIES}_1777640000.sync"

both = pytest.mark.parametrize("action", ACTIONS)


def begin(scene: CommandStage) -> None:
    """One destination with real time and batch, one with the batch alone; `a` and `b` are the same device."""
    scene.catalog(
        with_batch(1, 2, 3, number=1, linger="5s"),
        batch_only(2, number=2),
        segments=SEGMENTS,
        traits=TRAITS,
        sources=SOURCES,
    )
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a"), (COOKIES, "b")], memberships={"1": 1, "2": 1})
    scene.see("05-01 12:00:01", OTHER, ids=[(COOKIES, "c")], memberships={"1": 1, "2": 1})
    for number in (1, 2):
        scene.batch("05-01 12:30:00", number)


def after(requests: list[Request], clock: str) -> list[Request]:
    return [request for request in requests if request.clock >= clock]


@both
def test_zeros_at_once_to_every_id(scene: CommandStage, action: str) -> None:
    """Kind `privacy`, no lingering, batch-only destinations too, each what it was told."""
    begin(scene)
    scene.privacy("05-01 13:00:00", action, uuid=DEVICE)
    scene.advance("05-01 14:00:00")
    requests = after(scene.requests(), "05-01 13")
    assert {request.kind for request in requests} == {"privacy"}
    assert {request.clock[:14] for request in requests} == {"05-01 13:00:00"}
    told = {number: [one for one in requests if one.destination == number] for number in (1, 2)}
    assert items(told[1]) == {(one, alias): "0" for one in "ab" for alias in "12"}
    assert items(told[2]) == {(one, "2"): "0" for one in "ab"}


@both
def test_by_partner_id(scene: CommandStage, action: str) -> None:
    """`id: "DPID:ID"`: the device the id belongs to, with all its ids; others are not touched."""
    begin(scene)
    scene.privacy("05-01 13:00:00", action, id=f"{COOKIES}:b")
    scene.see("05-01 14:00:00", OTHER, memberships={"2": 0})
    requests = after(scene.requests(), "05-01 13")
    privacy = [request for request in requests if request.kind == "privacy"]
    assert {one for request in privacy for one in request.users} == {"a", "b"}
    assert heard_live(requests) == [("05-01 14:00:05", {("c", "1"): "1", ("c", "2"): "0"})]


@both
def test_then_nothing_ever_again(scene: CommandStage, action: str) -> None:
    """Events by UUID and by id, files, batches, catalog edits, 200 days: silence about the device."""
    begin(scene)
    scene.privacy("05-01 13:00:00", action, uuid=DEVICE)
    scene.see("05-01 14:00:00", memberships={"1": 1})
    scene.load("05-01 16:00:00", FILE, ["a\td_sid=5", "b\td_sid=5"])
    scene.advance("05-05 12:00:00")
    scene.see("05-05 13:00:00", memberships={"1": 1, "2": 1})
    scene.advance("11-20 12:00:00")
    requests = after(scene.requests(schedule=True), "05-01 13:00:06")
    assert [request for request in requests if DEVICE in request.body] == []
    assert {one for request in requests for one in request.users} <= {"c"}


@both
def test_an_id_that_was_named_is_nobody_from_then_on(scene: CommandStage, action: str) -> None:
    """Asked for by id: that id on an event, alone or with a new UUID, links nothing and tells nothing."""
    begin(scene)
    scene.privacy("05-01 13:00:00", action, id=f"{COOKIES}:a")
    scene.see("05-02 14:00:00", None, ids=[(COOKIES, "a")], memberships={"1": 1})
    scene.see("05-02 15:00:00", "7" * 38, ids=[(COOKIES, "a")], memberships={"1": 1})
    scene.load("05-02 16:00:00", FILE, ["a\td_sid=5"])
    scene.advance("05-05 12:00:00")
    requests = after(scene.requests(schedule=True), "05-01 13:00:06")
    assert [request.users for request in requests if "a" in request.users] == []


@both
def test_what_lingers_is_not_sent(scene: CommandStage, action: str) -> None:
    """A message still waiting for company when the request comes: none of its 1s leaves any more."""
    begin(scene)
    scene.see("05-01 12:59:58", memberships={"1": 0})
    scene.privacy("05-01 13:00:00", action, uuid=DEVICE)
    scene.advance("05-01 13:10:00")
    requests = [request for request in after(scene.requests(), "05-01 12:59") if request.destination == 1]
    assert {request.kind for request in requests} == {"privacy"}
    assert set(items(requests).values()) == {"0"}


@both
def test_what_was_never_told_is_not_mentioned(scene: CommandStage, action: str) -> None:
    """A destination that was told nothing of the device hears nothing of its leaving."""
    begin(scene)
    scene.see("05-01 12:40:00", "7" * 38, ids=[(COOKIES, "z")])
    scene.privacy("05-01 13:00:00", action, uuid="7" * 38)
    scene.privacy("05-01 13:00:00", action, uuid="8" * 38)
    assert after(scene.requests(), "05-01 12:40") == []


@both
def test_a_zero_that_fails_goes_with_the_next_batch(scene: CommandStage, action: str) -> None:
    """Two requests at once, then owed, and told by the next batch at the latest; once it is taken, never again."""
    begin(scene)
    scene.respond("05-01 12:50:00", 503, 2, destination=1)
    scene.privacy("05-01 13:00:00", action, uuid=DEVICE)
    scene.batch("05-01 15:00:00", 1)
    scene.batch("05-01 16:00:00", 1)
    requests = [request for request in after(scene.requests(), "05-01 13") if request.destination == 1]
    assert [request.status for request in requests] == [503, 503, 200]
    assert [request.clock[:11] for request in requests[:2]] == ["05-01 13:00", "05-01 13:00"]
    assert requests[2].clock[:11] <= "05-01 15:00"
    assert items(requests[-1:]) == {(one, alias): "0" for one in "ab" for alias in "12"}


@both
def test_a_destination_without_unsegment_is_spared(scene: CommandStage, action: str) -> None:
    """It could not read a 0; nothing else is said of the device either."""
    scene.catalog(with_batch(1, supports_unsegment=False), segments=SEGMENTS[:1])
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    scene.batch("05-01 12:30:00")
    scene.privacy("05-01 13:00:00", action, uuid=DEVICE)
    scene.advance("05-09 13:00:00")
    assert after(scene.requests(schedule=True), "05-01 13") == []


@both
def test_between_gain_and_batch(scene: CommandStage, action: str) -> None:
    """A batch-only destination that was not yet told of the gain is never told of it."""
    scene.catalog(batch_only(1), segments=SEGMENTS[:1])
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    scene.privacy("05-01 13:00:00", action, uuid=DEVICE)
    scene.batch("05-01 14:00:00")
    assert scene.requests() == []


def test_deletion_by_customer_id_reaches_all_devices(scene: CommandStage) -> None:
    """A declared id of a cross-device source: every linked device is deleted (dossier 17)."""
    begin(scene)
    for device in (DEVICE, OTHER):
        scene.see("05-01 12:40:00", device, ids=[(CRM, "anna")])
    scene.privacy("05-01 13:00:00", "delete", id=f"{CRM}:anna")
    scene.advance("05-09 12:00:00")
    requests = after(scene.requests(schedule=True), "05-01 13")
    assert {request.kind for request in requests} == {"privacy"}
    first = [request for request in requests if request.destination == 1]
    assert items(first) == {(one, alias): "0" for one in "abc" for alias in "12"}


def test_opt_out_by_customer_id_reaches_the_last_device(scene: CommandStage) -> None:
    """The customer id and the device linked last; the other device goes on (dossier 17)."""
    begin(scene)
    scene.see("05-01 12:40:00", OTHER, ids=[(CRM, "anna")])
    scene.see("05-01 12:41:00", DEVICE, ids=[(CRM, "anna")])
    scene.privacy("05-01 13:00:00", "opt_out", id=f"{CRM}:anna")
    scene.see("05-01 14:00:00", OTHER, memberships={"2": 0})
    requests = after(scene.requests(), "05-01 13")
    privacy = of_kind(requests, "privacy")
    assert {one for request in privacy for one in request.users} == {"a", "b"}
    assert [told for _, told in heard_live(requests)] == [{("c", "1"): "1", ("c", "2"): "0"}]


def test_a_customer_id_the_destination_is_sent(scene: CommandStage) -> None:
    """`user_dpids` of a cross-device source: the 0 goes to the person's id."""
    scene.catalog(with_batch(1, user_dpids=[CRM]), segments=SEGMENTS[:1], sources=SOURCES)
    scene.see("05-01 12:00:00", ids=[(CRM, "anna")], memberships={"1": 1})
    scene.privacy("05-01 13:00:00", "delete", id=f"{CRM}:anna")
    assert items(of_kind(scene.requests(), "privacy")) == {("anna", "1"): "0"}


@both
def test_the_same_request_twice(scene: CommandStage, action: str) -> None:
    """The second has nothing left to do."""
    begin(scene)
    scene.privacy("05-01 13:00:00", action, uuid=DEVICE)
    scene.privacy("05-01 14:00:00", action, uuid=DEVICE)
    scene.privacy("05-01 14:00:00", action, id=f"{COOKIES}:a")
    assert after(scene.requests(), "05-01 13:01") == []


@both
def test_others_are_told_as_ever(scene: CommandStage, action: str) -> None:
    """The night after: the other device's news, and not a word about the one that left."""
    begin(scene)
    scene.privacy("05-01 13:00:00", action, uuid=DEVICE)
    scene.see("05-01 14:00:00", OTHER, memberships={"2": 0})
    for number in (1, 2):
        scene.batch("05-01 15:00:00", number)
    runs = after(scene.requests(), "05-01 15")
    assert [(request.destination, items([request])) for request in runs] == [
        (1, {("c", "2"): "0"}),
        (2, {("c", "2"): "0"}),
    ]

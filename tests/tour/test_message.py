"""The message, field for field: it is the one Audience Manager published in 2016."""

from __future__ import annotations

import json

from tour.stage import ACME, COOKIES, GAID, IDFA, Stage, destination, segment, trait

FIRST = "19393572368547369350319949416899715727"
SECOND = "05782407504875424568547369233199468997"
"""The sample's second UUID has 43 digits, which is no UUID; this one has 38 and keeps the leading zero."""

SAMPLE = {
    "ProcessTime": "Wed Jul 27 16:17:42 UTC 2016",
    "User_DPID": "12345",
    "Client_ID": "74323",
    "AAM_Destination_Id": "423",
    "User_count": "2",
    "Users": [
        {
            "AAM_UUID": FIRST,
            "DataPartner_UUID": "4250948725049857",
            "AAM_Regions": ["9"],
            "Segments": [
                {"Segment_ID": "14356", "Status": "1", "DateTime": "Wed Jul 27 16:17:22 UTC 2016"},
                {"Segment_ID": "12176", "Status": "0", "DateTime": "Wed Jul 27 16:17:22 UTC 2016"},
            ],
        },
        {
            "AAM_UUID": SECOND,
            "DataPartner_UUID": "848457757347734",
            "AAM_Regions": ["9"],
            "Segments": [
                {"Segment_ID": "10329", "Status": "1", "DateTime": "Wed Jul 27 16:17:21 UTC 2016"},
                {"Segment_ID": "23954", "Status": "1", "DateTime": "Wed Jul 27 16:17:21 UTC 2016"},
            ],
        },
    ],
}


def published_sample(stage: Stage) -> str:
    """Play the two users of the published sample; returns the body of the message they end up in."""
    numbers = (10329, 12176, 14356, 23954)
    stage.catalog(
        destination(*numbers, linger="21s"),
        segments=[segment(number) for number in numbers],
    )
    at = "2016-07-27T16:{}Z"

    def see(minute: str, uuid: str, memberships: dict[str, int], **event: object) -> None:
        line = {"at": at.format(minute), "event": {"uuid": uuid, "memberships": memberships, **event}}
        stage._lines.append(json.dumps(line))

    see("00:00", FIRST, {"12176": 1}, ids=[{"dpid": 12345, "id": "4250948725049857"}], region=9)
    see("17:21", FIRST, {"14356": 1})
    see("17:21", SECOND, {"10329": 1, "23954": 1}, ids=[{"dpid": 12345, "id": "848457757347734"}], region=9)
    see("17:22", FIRST, {"12176": 0, "14356": 1})
    _, message = stage.play()
    return message.body


def test_it_is_the_published_sample(stage: Stage) -> None:
    """Two users in one message, with the ids, statuses and times of the sample; every scalar is a string."""
    assert json.loads(published_sample(stage)) == SAMPLE


def test_keys_come_in_the_order_of_the_sample_and_nothing_is_wasted(stage: Stage) -> None:
    """Compact UTF-8: exactly the sample without its white space, byte for byte."""
    assert published_sample(stage) == json.dumps(SAMPLE, separators=(",", ":"))


def test_an_alias_is_free_text_in_utf_8(stage: Stage) -> None:
    """The mapping's alias is the Segment_ID, whatever it says; without one it is the segment's own id."""
    alias = 'Käufer "A/B" \U0001f4f7'
    stage.catalog(
        destination({"segment": 1, "alias": alias}, 2), traits=[trait(1)], segments=_both_by_trait_1()
    )
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    (request,) = stage.play()
    assert request.told == {alias: "1", "2": "1"}
    assert "Käufer" in request.body
    assert "\U0001f4f7" in request.body
    assert request.headers["Content-Type"] == "application/json"


def test_auto_alias_takes_the_integration_code(stage: Stage) -> None:
    """`auto_alias: integration_code`; a segment without one is sent under its id."""
    stage.catalog(
        destination(1, 2, auto_alias="integration_code"),
        traits=[trait(1)],
        segments=[segment(1, "1T", integration_code="crm-7"), segment(2, "1T")],
    )
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    (request,) = stage.play()
    assert request.told == {"crm-7": "1", "2": "1"}


def test_a_segment_mapped_twice_is_sent_once_per_alias(stage: Stage) -> None:
    """Both aliases get the 1, and both get the 0."""
    stage.catalog(
        destination({"segment": 1, "alias": "gold"}, {"segment": 1, "alias": "silver"}),
        segments=[segment(1)],
    )
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    stage.see("05-01 12:01:00", memberships={"1": 0})
    gain, loss = stage.play()
    assert gain.told == {"gold": "1", "silver": "1"}
    assert loss.told == {"gold": "0", "silver": "0"}


def test_one_message_carries_one_id_type(stage: Stage) -> None:
    """A device with a cookie and two advertising ids is told under each of them, in a message per DPID.

    The messages come in the order of `user_dpids`.
    """
    gaid, idfa = "38400000-8cf0-11bd-b23e-10b96e40000d", "6D92078A-8246-4BA4-AE5B-76104861E7DC"
    stage.catalog(destination(1, user_dpids=[IDFA, COOKIES, GAID]), segments=[segment(1)])
    stage.see("05-01 12:00:00", ids=[(GAID, gaid), (COOKIES, "a"), (IDFA, idfa)], memberships={"1": 1})
    requests = stage.play()
    assert [(request.message["User_DPID"], list(request.users)) for request in requests] == [
        ("20915", [idfa]),
        ("12345", ["a"]),
        ("20914", [gaid]),
    ]


def test_every_partner_id_of_the_type_is_told(stage: Stage) -> None:
    """Two cookies of one data source are two users of one message; an id the destination takes none of stays."""
    stage.catalog(
        destination(1), segments=[segment(1)], sources=[{"id": 777, "name": "not for this destination"}]
    )
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a"), (777, "x"), (COOKIES, "b")], memberships={"1": 1})
    (request,) = stage.play()
    assert request.users == {"a": {"1": "1"}, "b": {"1": "1"}}
    assert request.message["User_count"] == "2"
    assert len({user["AAM_UUID"] for user in request.message["Users"]}) == 1


def test_dpid_0_is_the_device_itself(stage: Stage) -> None:
    """A destination with `user_dpids: [0]` is told UUIDs; no id has to be synced."""
    stage.catalog(destination(1, user_dpids=[0]), segments=[segment(1)])
    stage.see("05-01 12:00:00", FIRST, memberships={"1": 1})
    (request,) = stage.play()
    assert request.message["User_DPID"] == "0"
    assert list(request.users) == [FIRST]


def test_without_a_partner_id_nothing_is_sent(stage: Stage) -> None:
    """No id synced, no message."""
    stage.catalog(destination(1), segments=[segment(1)])
    stage.see("05-01 12:00:00", memberships={"1": 1})
    assert stage.play() == []
    assert stage.summary.owed == 0


def test_an_unknown_id_makes_a_device(stage: Stage) -> None:
    """An event without a UUID gets a new one of 38 digits, and later events with the id are the same device."""
    stage.catalog(destination(1, 2), segments=[segment(1), segment(2)])
    stage.see("05-01 12:00:00", None, ids=[(COOKIES, "a")], memberships={"1": 1})
    stage.see("05-01 12:01:00", None, ids=[(COOKIES, "a")], memberships={"2": 1})
    first, second = stage.play()
    assert second.told == {"1": "1", "2": "1"}
    (made,) = {request.message["Users"][0]["AAM_UUID"] for request in (first, second)}
    assert len(made) == 38
    assert made.isdigit()


def test_regions_are_where_the_device_was_seen(stage: Stage) -> None:
    """Left out where none is known; each region once, as strings. A new region alone sends nothing."""
    stage.catalog(destination(1, 2), segments=[segment(1), segment(2)])
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    for number, region in enumerate((9, 6, 9)):
        stage.see(f"05-01 12:01:0{number}", region=region)
    stage.see("05-01 12:02:00", memberships={"2": 1})
    first, second = stage.play()
    assert "AAM_Regions" not in first.message["Users"][0]
    assert second.message["Users"][0]["AAM_Regions"] == ["9", "6"]


def test_the_destination_names_itself(stage: Stage) -> None:
    """AAM_Destination_Id and Client_ID are the destination's own, spelt as in the sample."""
    stage.catalog(
        destination(1), destination(1, number=7, client_id="other", linger="0ms"), segments=[segment(1)]
    )
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    found = {
        (request.message["AAM_Destination_Id"], request.message["Client_ID"]) for request in stage.play()
    }
    assert found == {(str(ACME), "74323"), ("7", "other")}


def _both_by_trait_1() -> list[dict[str, object]]:
    return [segment(1, "1T"), segment(2, "1T")]

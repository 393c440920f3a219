"""Which of the messages that arrived the demo shows: small ones of each kind, and one it can still explain."""

from __future__ import annotations

import json

from arke.demo.destinations import KINDS, Received, Samples
from arke.receiver import parse
from arke.receiver.http import Request


def received(*users: tuple[str, str]) -> Received:
    """A message: each user with the `Status` values it is told, one letter a segment."""
    body = json.dumps(
        {
            "ProcessTime": "Sun Nov 22 10:18:17 UTC 2026",
            "User_DPID": "12345",
            "Client_ID": "74323",
            "AAM_Destination_Id": "423",
            "User_count": str(len(users)),
            "Users": [
                {
                    "AAM_UUID": uuid,
                    "DataPartner_UUID": f"partner-{uuid}",
                    "AAM_Regions": ["6"],
                    "Segments": [
                        {"Segment_ID": str(n), "Status": status, "DateTime": "Sun Nov 22 10:18:17 UTC 2026"}
                        for n, status in enumerate(statuses)
                    ],
                }
                for uuid, statuses in users
            ],
        }
    ).encode()
    request = Request(method="POST", target="/", headers=(), body=body, peer="")
    return Received("aurora", parse(body), request)


def shown(samples: Samples) -> list[tuple[str, str]]:
    return [(sample.shows, json.loads(sample.body)["Users"][0]["AAM_UUID"]) for sample in samples.chosen()]


def test_the_best_of_each_kind_is_shown() -> None:
    samples = Samples()
    for message in (
        received(("1", "1")),
        received(("2", "11")),
        received(("3", "1"), ("4", "1")),
        received(("5", "1"), ("6", "1"), ("7", "1")),
        received(("8", "1"), ("9", "0")),
        received(("10", "0")),
        received(("11", "01")),
        received(("12", "10")),
    ):
        samples.offer(message)
    assert shown(samples) == list(zip(KINDS, ("2", "5", "11"), strict=True))


def test_another_user_takes_the_place_of_one_that_cannot_be_explained_any_more() -> None:
    samples = Samples()
    for uuid in ("11", "12", "13"):
        samples.offer(received((uuid, "01")))
    samples.offer(received(("14", "1")))
    assert samples.examples() == ["11", "12", "13"]
    samples.show("13")
    assert shown(samples)[-1] == (KINDS[2], "13")
    assert len(shown(samples)) == 3


def test_of_many_messages_a_few_are_kept() -> None:
    samples = Samples()
    for number in range(1_000):
        samples.offer(received((str(number), "01")))
    assert samples.examples() == [str(number) for number in range(16)]
    assert len(samples.chosen()) == 3

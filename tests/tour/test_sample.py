"""`sample_rate_denominator`: one user in n, always the same; who falls out of the sample still hears the end."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from tour.stage import COOKIES, Request, Stage, destination, segment, tellings, trait

if TYPE_CHECKING:
    from pathlib import Path

TRAITS = [trait(1), trait(2), trait(3)]
SEGMENTS = [segment(10, "1T AND NOT 3T"), segment(20, "2T")]
DEVICES = [f"{number:038d}" for number in range(1, 100)]


def drawn(uuid: str) -> int:
    digest = hashlib.blake2b(uuid.encode(), digest_size=8, salt=b"arke sample").digest()
    return int.from_bytes(digest, "big")


SAMPLED = next(uuid for uuid in DEVICES if drawn(uuid) % 4 == 0)
OUTSIDE = next(uuid for uuid in DEVICES if drawn(uuid) % 4)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def of_batches(requests: list[Request]) -> list[Request]:
    return [request for request in requests if request.kind == "batch"]


def test_the_sample(stage: Stage) -> None:
    """Devices outside it are told nothing, neither in real time nor by a batch."""
    stage.catalog(destination(10, sample_rate_denominator=4), traits=TRAITS, segments=SEGMENTS)
    stage.see("05-01 09:00:00", SAMPLED, 1, ids=[(COOKIES, "in")])
    stage.see("05-01 09:00:00", OUTSIDE, 1, ids=[(COOKIES, "out")])
    stage.see("05-01 10:00:00", OUTSIDE, 3)
    stage.batch("05-01 11:00:00")
    assert [request.users for request in stage.play()] == [{"in": {"10": "1"}}] * 2


def test_a_device_that_falls_out_of_the_sample(stage: Stage) -> None:
    """It is not told of gains any more, but what it was told 1 gets the 0 when that is lost: SPEC section 4."""
    stage.catalog(destination(10, 20), traits=TRAITS, segments=SEGMENTS)
    smaller = stage.catalog(destination(10, 20, sample_rate_denominator=4), traits=TRAITS, segments=SEGMENTS)
    stage.see("05-01 09:00:00", OUTSIDE, 1, ids=[(COOKIES, "a")])
    stage.apply("05-01 10:00:00", smaller)
    stage.see("05-01 11:00:00", OUTSIDE, 2)
    stage.see("05-01 12:00:00", OUTSIDE, 3)
    stage.see("05-01 13:00:00", OUTSIDE)
    assert tellings(stage.play()) == [
        ("05-01 09:00:00.100", {"10": "1"}),
        ("05-01 12:00:00.100", {"10": "0"}),
    ]


def test_a_batch_after_the_sample_shrank(stage: Stage) -> None:
    """It takes nothing back that still holds, and tells the loss of what does not."""
    stage.catalog(destination(10, 20, realtime=False), traits=TRAITS, segments=SEGMENTS)
    smaller = stage.catalog(
        destination(10, 20, realtime=False, sample_rate_denominator=4), traits=TRAITS, segments=SEGMENTS
    )
    stage.see("05-01 09:00:00", OUTSIDE, 1, ids=[(COOKIES, "a")])
    stage.batch("05-01 10:00:00")
    stage.apply("05-01 11:00:00", smaller)
    stage.see("05-01 12:00:00", OUTSIDE, 2)
    stage.batch("05-01 13:00:00")
    stage.see("05-01 14:00:00", OUTSIDE, 3)
    stage.batch("05-01 15:00:00")
    stage.batch("05-01 16:00:00")
    assert tellings(of_batches(stage.play())) == [
        ("05-01 10:00:00.000", {"10": "1"}),
        ("05-01 15:00:00.000", {"10": "0"}),
    ]


def test_an_id_that_moves_to_a_device_outside_the_sample(stage: Stage) -> None:
    """What the id was told, and its new device is not in, is taken back at once."""
    stage.catalog(destination(10, sample_rate_denominator=4), traits=TRAITS, segments=SEGMENTS)
    stage.see("05-01 09:00:00", SAMPLED, 1, ids=[(COOKIES, "a")])
    stage.see("05-01 10:00:00", OUTSIDE, ids=[(COOKIES, "a")])
    told = stage.play()
    assert tellings(told) == [("05-01 09:00:00.100", {"10": "1"}), ("05-01 10:00:00.100", {"10": "0"})]
    assert told[-1].message["Users"][0]["AAM_UUID"] == OUTSIDE

"""A batch's devices in a lane's window: they do not hold the cursor, and real time takes precedence."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from arke.delivery.open_device import BATCH, Part
from arke.delivery.window import Window
from arke.domain.message import UserEntry
from arke.telling.records import Telling

if TYPE_CHECKING:
    from arke.delivery.open_device import OpenDevice

DPID = 12345


def built(window: Window, device: OpenDevice) -> None:
    """Buffer one entry for the device."""
    user = UserEntry(f"{device.uid:038d}", f"p{device.uid}", (), ())
    window.read([device])
    window.built(device)
    window.put(device, [Part(device, Telling(DPID, user.partner_id, user, (), ()), b"{}", None)])


def news(window: Window, seq: int, uid: int, *, catch_up: bool = False) -> str:
    window.read_seq = seq
    return window.take(seq, uid, "realtime", 0.0, 0.0, 0.1, catch_up=catch_up)


def sent(window: Window, *, behind: str) -> list[list[int]]:
    """The devices of each message that leaves now."""
    return [
        [part.device.uid for part in parts]
        for _, parts in window.messages(0.0, 2, all_of_them=False, behind=behind)
    ]


def test_a_batch_does_not_hold_the_cursor() -> None:
    window = Window(7)
    device = window.admit_behind(1, BATCH, 5, 0.0)
    assert (device.first, device.last, device.deadline) == (8, 7, inf)
    assert window.cursor == 7
    built(window, device)
    assert window.cursor == 7


def test_it_covers_the_run_even_where_the_lane_is_behind() -> None:
    assert Window(3).admit_behind(1, BATCH, 9, 0.0).last == 9


def test_it_waits_for_a_full_message() -> None:
    """No linger, and none of it among real time's messages or deadlines."""
    window = Window(0)
    for uid in range(3):
        built(window, window.admit_behind(uid, BATCH, 0, 0.0))
    assert (window.buffered, window.buffered_behind(2), window.deadlines()) == (0, 2, [])
    assert sent(window, behind="") == []
    assert sent(window, behind=BATCH) == [[0, 1]]
    flushed = [parts for _, parts in window.messages(0.0, 2, all_of_them=True, behind=BATCH)]
    assert [part.device.uid for part in flushed[0]] == [2]


def test_news_takes_a_device_that_waits_over() -> None:
    """It is real time's from then on, and holds the cursor from its position."""
    window = Window(7)
    built(window, window.admit_behind(1, BATCH, 7, 0.0))
    assert news(window, 9, 1, catch_up=True) == BATCH
    device = window.device(1)
    assert device is not None
    assert (device.kind, device.first, device.last, device.catch_up) == ("realtime", 9, 9, True)
    assert window.is_waiting(1)
    assert window.cursor == 8
    assert not news(window, 10, 1)
    assert not device.catch_up


def test_news_about_a_device_under_way_holds_the_cursor() -> None:
    """Also at a position that the run covers: it is told again, and a crash must find it."""
    window = Window(3)
    built(window, window.admit_behind(1, BATCH, 9, 0.0))
    built(window, window.admit_behind(2, BATCH, 9, 0.0))
    assert sent(window, behind=BATCH) == [[1, 2]]
    assert not news(window, 5, 1, catch_up=True)
    device = window.device(1)
    assert device is not None
    assert (device.kind, device.again, device.again_catch_up) == (BATCH, 5, True)
    assert window.cursor == 4
    assert window.anything_sending()

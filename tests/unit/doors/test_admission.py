"""Who may be connected, and who makes room."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from arke.doors.bounds import Admission

if TYPE_CHECKING:
    from arke.doors.bounds import Share


class Somebody:
    """A guest that keeps the order in which guests had to go."""

    def __init__(self, name: str, bucket: str | None, gone: list[str]) -> None:
        self.name = name
        self.bucket = bucket
        self.place: Share | None = None
        self.busy = False
        self._gone = gone

    def make_room(self) -> None:
        self._gone.append(self.name)


def test_the_one_idle_longest_makes_room() -> None:
    gone: list[str] = []
    admission = Admission(3, 3)
    a, b, c, d, e = (Somebody(name, name, gone) for name in "abcde")
    for guest in (a, b, c):
        assert admission.enter(guest) is None
    admission.busy(a)
    admission.busy(b)
    admission.idle(a)
    assert admission.enter(d) is None
    assert admission.enter(e) is None
    assert gone == ["c", "a"]
    admission.busy(d)
    admission.busy(e)
    assert admission.enter(Somebody("f", "f", gone)) == "overloaded"
    admission.leave(b)
    assert admission.enter(Somebody("g", "g", gone)) is None
    assert len(admission) == 3


def test_an_address_makes_room_among_its_own() -> None:
    gone: list[str] = []
    admission = Admission(100, 2)
    other = Somebody("other", "other", gone)
    assert admission.enter(other) is None
    for name in ("1", "2", "3"):
        assert admission.enter(Somebody(name, "one", gone)) is None
    assert gone == ["1"]
    busy = [Somebody(name, "two", gone) for name in ("4", "5")]
    for guest in busy:
        assert admission.enter(guest) is None
        admission.busy(guest)
    assert admission.enter(Somebody("6", "two", gone)) == "too_many_connections"
    for number in range(10):  # a proxy
        assert admission.enter(Somebody(f"p{number}", None, gone)) is None
    assert gone == ["1"]


def test_an_address_with_one_place_gives_it_to_the_newest() -> None:
    gone: list[str] = []
    admission = Admission(10, 1)
    for name in ("1", "2", "3"):
        assert admission.enter(Somebody(name, "one", gone)) is None
    assert gone == ["1", "2"]
    assert len(admission) == 1


moves = st.lists(
    st.tuples(st.sampled_from(["enter", "busy", "idle", "leave"]), st.integers(0, 11)), max_size=120
)


@given(moves)
def test_the_bounds_hold_whatever_happens(steps: list[tuple[str, int]]) -> None:
    gone: list[str] = []
    admission = Admission(6, 3)
    inside: dict[str, Somebody] = {}
    for number, (move, which) in enumerate(steps):
        if move == "enter":
            guest = Somebody(str(number), [None, "a", "b"][which % 3], gone)
            if admission.enter(guest) is None:
                inside[guest.name] = guest
            for name in gone:
                assert not inside.pop(name).busy
            gone.clear()
        elif inside:
            guest = list(inside.values())[which % len(inside)]
            getattr(admission, move)(guest)
            guest.busy = move == "busy"
            if move == "leave":
                del inside[guest.name]
                admission.leave(guest)
        assert len(admission) == len(inside) <= 6
        for bucket in ("a", "b"):
            assert sum(guest.bucket == bucket for guest in inside.values()) <= 3
    for guest in inside.values():
        admission.leave(guest)
    assert len(admission) == 0
    assert not admission._places
    assert not admission._idle


def test_visitors_behind_a_proxy_are_counted_by_request() -> None:
    admission = Admission(10, 2)
    assert admission.ask("a")
    assert admission.ask("a")
    assert not admission.ask("a")
    assert admission.ask("b")
    admission.answered("a")
    assert admission.ask("a")
    for visitor in ("a", "a", "b"):
        admission.answered(visitor)
    assert not admission._asking

"""Who may be connected, and who makes room."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from arke.clock import ManualClock
from arke.doors.admission import LOOKS, Admission

if TYPE_CHECKING:
    from arke.doors.admission import Refusal, Share

MOMENT_S = 1.0


class Somebody:
    """A guest that keeps the order in which guests had to go."""

    def __init__(self, name: str, bucket: str | None, gone: list[str]) -> None:
        self.name = name
        self.bucket = bucket
        self.place: Share | None = None
        self.busy = False
        self.used = False
        self._gone = gone

    def in_use(self) -> bool:
        return self.used

    def make_room(self, why: Refusal) -> None:
        self.why = why
        self._gone.append(self.name)


class Room(Admission):
    """Admission, and the clock by which those who wait have their moment."""

    def __init__(self, connections: int, per_address: int) -> None:
        self.clock = ManualClock()
        super().__init__(connections, per_address, MOMENT_S, self.clock.now)

    def later(self) -> None:
        """The moment of all who are there is over."""
        self.clock.set(self.clock.now() + MOMENT_S)


def test_the_one_idle_longest_makes_room() -> None:
    gone: list[str] = []
    admission = Room(3, 3)
    a, b, c, d, e = (Somebody(name, name, gone) for name in "abcde")
    for guest in (a, b, c):
        assert admission.enter(guest) is None
    admission.busy(a)
    admission.busy(b)
    admission.idle(a)
    admission.later()
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
    admission = Room(100, 2)
    other = Somebody("other", "other", gone)
    assert admission.enter(other) is None
    one = [Somebody(name, "one", gone) for name in ("1", "2", "3")]
    for guest in one:
        admission.later()
        assert admission.enter(guest) is None
    assert gone == ["1"]
    assert one[0].why == "too_many_connections"
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
    admission = Room(10, 1)
    for name in ("1", "2", "3"):
        admission.later()
        assert admission.enter(Somebody(name, "one", gone)) is None
    assert gone == ["1", "2"]
    assert len(admission) == 1


def test_who_waits_has_a_moment() -> None:
    """From the beginning, and from each answer."""
    gone: list[str] = []
    admission = Room(2, 2)
    a, b = (Somebody(name, name, gone) for name in "ab")
    for guest in (a, b):
        assert admission.enter(guest) is None
    assert admission.enter(Somebody("c", "c", gone)) == "overloaded"
    admission.busy(a)
    admission.later()
    admission.idle(a)
    assert admission.enter(Somebody("d", "d", gone)) is None
    assert admission.enter(Somebody("e", "e", gone)) == "overloaded"
    admission.later()
    for name in "fg":
        assert admission.enter(Somebody(name, name, gone)) is None
    assert gone == ["b", "a", "d"]


def test_who_is_in_use_is_not_turned_out() -> None:
    """His wait begins anew, and only so many are looked at."""
    gone: list[str] = []
    admission = Room(LOOKS + 2, LOOKS + 2)
    guests = [Somebody(str(number), "one", gone) for number in range(LOOKS + 2)]
    for guest in guests:
        assert admission.enter(guest) is None
    admission.later()
    guests[0].used = True
    new = Somebody("new", "one", gone)
    assert admission.enter(new) is None
    assert gone == ["1"]
    for guest in (*guests, new):
        guest.used = True
    admission.later()
    new.used = False
    assert admission.enter(Somebody("newer", "one", gone)) == "too_many_connections"
    assert admission.enter(Somebody("newer", "one", gone)) is None
    assert gone == ["1", "new"]


moves = st.lists(
    st.tuples(st.sampled_from(["enter", "busy", "idle", "leave", "later", "use"]), st.integers(0, 11)),
    max_size=120,
)


@given(moves)
def test_the_bounds_hold_whatever_happens(steps: list[tuple[str, int]]) -> None:
    gone: list[str] = []
    admission = Room(6, 3)
    inside: dict[str, Somebody] = {}
    for number, (move, which) in enumerate(steps):
        if move == "enter":
            guest = Somebody(str(number), [None, "a", "b"][which % 3], gone)
            if admission.enter(guest) is None:
                inside[guest.name] = guest
            for name in gone:
                turned_out = inside.pop(name)
                assert not turned_out.busy
                assert not turned_out.used
            gone.clear()
        elif move == "later":
            admission.later()
        elif inside and move == "use":
            guest = list(inside.values())[which % len(inside)]
            guest.used = not guest.used
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
    assert not admission._waiting


def test_visitors_behind_a_proxy_are_counted_by_request() -> None:
    admission = Room(10, 2)
    assert admission.ask("a")
    assert admission.ask("a")
    assert not admission.ask("a")
    assert admission.ask("b")
    admission.answered("a")
    assert admission.ask("a")
    for visitor in ("a", "a", "b"):
        admission.answered(visitor)
    assert not admission._asking

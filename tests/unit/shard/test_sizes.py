"""What a group adds to the sizes of segments and takes away from them."""

from __future__ import annotations

from random import Random

from arke.domain.change import Change
from arke.domain.membership import Membership
from arke.domain.memberships import PACKED_FROM, changes_of, packed, turn
from arke.domain.profile import PartnerId, Profile
from arke.shard.sizes import ALL, NONE, SizeTally

JOINED, LEFT = Change(10, 1, "rule"), Change(10, 0, "rule")
HOME = "12345:anna"


def profile(key: str, *segments: int, arriving: bool | None = None) -> Profile:
    """In these segments; a home whose id another device speaks for is `arriving`."""
    made = Profile(key, memberships={number: Membership(1, 1, 1, "rule") for number in segments})
    if arriving is not None:
        made.ids = [PartnerId(12345, "anna", 0, 1, arriving=arriving)]
    return made


def tally(counted_to: int = ALL, **devices: tuple[int, Profile]) -> SizeTally:
    return SizeTally({found.uuid: (uid, found) for uid, found in devices.values()}, counted_to)


def test_devices_join_and_leave() -> None:
    sizes = tally()
    sizes.change(1, [JOINED, Change(20, 1, "rule")])
    sizes.change(2, [JOINED])
    sizes.change(1, [LEFT])
    sizes.leave(3, profile("3" * 38, 20, 30))
    assert sizes.grown(()) == {10: 1, 30: -1}


def test_packed_changes_count_as_those_that_they_are() -> None:
    """Hundreds of devices that join and leave the same segments, on three pages."""
    rng = Random(5)
    packed_sizes, sizes = tally(300), tally(300)
    for uid in range(400):
        memberships = packed({number: Membership(number % 2, 1, 1, "rule") for number in range(PACKED_FROM)})
        assert memberships is not None
        turned = [turn(memberships, page, rng.getrandbits(60) & rng.getrandbits(60), 2) for page in (0, 1, 7)]
        packed_sizes.change(uid, [JOINED], turned)
        sizes.change(uid, [JOINED, *changes_of(turned)])
    grown = packed_sizes.grown(())
    assert grown == sizes.grown(())
    assert min(grown.values()) < 0 < max(grown.values())


def test_nothing_is_said_of_devices_that_are_not_counted_yet() -> None:
    sizes = tally(5)
    sizes.change(5, [JOINED])
    sizes.change(6, [JOINED, JOINED])
    sizes.leave(7, profile("7" * 38, 10))
    assert sizes.grown(()) == {10: 1}


def test_the_walk_counts_each_once_and_from_then_on_they_are_followed() -> None:
    sizes = tally(NONE)
    sizes.change(5, [JOINED])  # which the walk then meets
    sizes.walk({5: profile("5" * 38, 10), 6: profile("6" * 38, 10, 20)}, 6)
    sizes.change(6, [LEFT])
    sizes.change(7, [JOINED])
    assert (sizes.grown(()), sizes.counted_to) == ({10: 1, 20: 1}, 6)


def test_a_person_counts_while_nobody_speaks_for_them() -> None:
    """A device that speaks for a person takes the person's home out, and the home is back once it does not."""
    home = profile(HOME, 10, arriving=False)
    sizes = tally(home=(4, home))
    home.ids = profile(HOME, arriving=True).ids
    assert sizes.grown(()) == {10: -1}
    silent = profile(HOME, 10, arriving=True)
    sizes = tally(home=(4, silent))
    silent.ids = home.ids = profile(HOME, arriving=False).ids
    silent.segments[20] = Membership(1, 1, 1, "rule")
    sizes.change(4, [Change(20, 1, "rule")])
    assert sizes.grown(()) == {10: 1, 20: 1}


def test_a_home_that_is_erased_or_comes_to_be_counted() -> None:
    assert tally(home=(4, profile(HOME, 10, arriving=False))).grown([4]) == {10: -1}
    sizes = tally(NONE, home=(4, profile(HOME, 10, arriving=False)))
    sizes.walk({4: profile(HOME, 10, arriving=False)}, 9)
    assert sizes.grown(()) == {10: 1}

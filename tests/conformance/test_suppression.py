"""What every suppression list does: hashes only, with who wants each there, and the way off."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from arke.errors import StoreUnavailable

if TYPE_CHECKING:
    from arke.storage.ports.directory import Directory

UUID = "1" * 38


async def test_suppression_keeps_hashes_only(directory: Directory) -> None:
    suppression, hash_of = directory.suppression, directory.hashes.digest
    hashes, edition = await suppression.suppress({1: ["1:somebody", "1:else"]}, 100)
    assert await suppression.hashes() == hashes == {hash_of("1:somebody"), hash_of("1:else")}
    assert await suppression.suppress({2: ["1:somebody"]}, 200) == ({hash_of("1:somebody")}, edition + 1)
    assert all(b"somebody" not in digest for digest in await suppression.hashes())


async def test_a_request_that_is_lifted_takes_off_what_it_alone_wanted(directory: Directory) -> None:
    """What another request wants stays until that one is lifted too; devices among them are remembered."""
    suppression, hash_of = directory.suppression, directory.hashes.digest
    await suppression.suppress({1: [UUID, "1:a", "1:both"], 2: ["1:both"]}, 100)
    both, device = hash_of("1:both"), hash_of(UUID)
    assert await suppression.wanted_by(both) == [1, 2]
    lifted = await suppression.lift_request(1, 200)
    assert (lifted.gone, lifted.kept) == ({device, hash_of("1:a")}, {both})
    assert (await suppression.hashes(), await suppression.lifted()) == ({both}, {device: 200})
    assert await suppression.lift_request(1, 300) == (set(), set())
    assert await suppression.lift_request(2, 300) == ({both}, set())
    assert await suppression.hashes() == set()
    await suppression.suppress({3: [UUID]}, 400)
    assert await suppression.lifted() == {}


async def test_a_request_that_has_ended_wants_nothing_more(directory: Directory) -> None:
    """What it wanted may have been lifted since: a node that slept does not know."""
    suppression = directory.suppression
    ended, goes_on = await directory.requests.open([b"one", b"two"], 100)
    await suppression.suppress({ended: ["1:a"], goes_on: ["1:a"]}, 100)
    await directory.requests.finish({ended: b"done"}, [], [], 200)
    before = await suppression.hashes(), await suppression.edition()
    with pytest.raises(StoreUnavailable, match=f"request {ended} has ended"):
        await suppression.suppress({goes_on: ["1:b"], ended: ["1:c"]}, 300)
    assert (await suppression.hashes(), await suppression.edition()) == before


async def test_every_change_makes_another_edition(directory: Directory) -> None:
    suppression, hash_of = directory.suppression, directory.hashes.digest
    editions = [await suppression.edition()]
    editions.append((await suppression.suppress({1: [UUID, "1:a"]}, 100)).edition)
    await suppression.lift(hash_of("1:a"), [1], 200, device=False)
    editions.append(await suppression.edition())
    await suppression.lift_request(1, 300)
    editions.append(await suppression.edition())
    assert editions == [1, 2, 3, 4]


async def test_what_is_lifted_by_name_is_off_the_list_whoever_wanted_it(directory: Directory) -> None:
    suppression, hash_of = directory.suppression, directory.hashes.digest
    await suppression.suppress({1: [UUID, "1:a"], 2: [UUID, "1:a"]}, 100)
    assert await suppression.lift(hash_of("1:a"), [1, 2], 200, device=False)
    assert not await suppression.lift(hash_of("1:a"), [1, 2], 200, device=False)
    assert await suppression.lift(hash_of(UUID), [1, 2], 200, device=True)
    assert (await suppression.hashes(), await suppression.lifted()) == (set(), {hash_of(UUID): 200})
    assert await suppression.lift_request(1, 300) == (set(), set())


async def test_a_lift_by_name_leaves_what_a_request_wants_that_came_meanwhile(directory: Directory) -> None:
    """Whoever lifts has looked at some requests; another node takes one more before the lift."""
    suppression, digest = directory.suppression, directory.hashes.digest(UUID)
    await suppression.suppress({1: [UUID], 2: [UUID]}, 100)
    looked_at = await suppression.wanted_by(digest)
    await suppression.suppress({3: [UUID]}, 150)
    assert not await suppression.lift(digest, looked_at, 200, device=True)
    assert (await suppression.hashes(), await suppression.lifted()) == ({digest}, {})
    assert await suppression.wanted_by(digest) == [3]
    assert await suppression.lift(digest, [3], 300, device=True)
    assert (await suppression.hashes(), await suppression.lifted()) == (set(), {digest: 300})

"""The race to the addresses of one host: head starts, families by turns, the last winner first."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import pytest

from arke.delivery.https.addresses import Progress, RecentAddresses, first_to_connect, interleaved
from arke.delivery.https.failure import PostFailed
from arke.virtual_time import VirtualTimeLoop, run_virtual

if TYPE_CHECKING:
    from arke.delivery.https.connection import Connection

NEVER_S = 1e6
REFUSED = ("connect", "connect_refused")


class Made:
    """A connection that stands."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.aborted = False

    def abort(self) -> None:
        self.aborted = True


class Hosts:
    """Addresses with the time TCP takes there and the time TLS takes; a text is a failure at that moment."""

    def __init__(self, **hosts: tuple[float | str, float | str]) -> None:
        self._hosts = hosts
        self.tried: list[tuple[float, str]] = []
        self.made: list[Made] = []

    async def attempt(self, address: str, progress: Progress) -> Connection:
        loop = asyncio.get_running_loop()
        self.tried.append((round(loop.time(), 3), address))
        tcp, tls = self._hosts[address]
        await self._spend(tcp, "connect")
        progress.connected = True
        await self._spend(tls, "tls")
        self.made.append(Made(address))
        return cast("Connection", self.made[-1])

    async def _spend(self, what: float | str, stage: str) -> None:
        if isinstance(what, str):
            await asyncio.sleep(float(what))
            raise PostFailed("tls" if stage == "tls" else "connect", f"{stage}_failed", "failed")
        await asyncio.sleep(what)


def race(hosts: Hosts, *addresses: str, timeout_s: float = 3.0) -> tuple[str, float]:
    """Who won, and when."""

    loop = VirtualTimeLoop()

    async def main() -> tuple[str, float]:
        async with asyncio.timeout(timeout_s):
            won = await first_to_connect(addresses, hosts.attempt)
        return cast("Made", won).address, round(loop.time(), 3)

    return run_virtual(main(), loop)


def test_the_first_that_answers_in_time_is_alone() -> None:
    hosts = Hosts(a=(0.2, 0.04), b=(0.01, 0.01))
    assert race(hosts, "a", "b") == ("a", 0.24)
    assert hosts.tried == [(0.0, "a")]


def test_each_silent_address_costs_a_head_start() -> None:
    hosts = Hosts(a=(NEVER_S, 0), b=(NEVER_S, 0), c=(NEVER_S, 0), d=(NEVER_S, 0), e=(0.02, 0.03))
    assert race(hosts, "a", "b", "c", "d", "e") == ("e", 1.05)
    assert [at for at, _ in hosts.tried] == [0.0, 0.25, 0.5, 0.75, 1.0]


def test_a_refusal_lets_the_next_begin_at_once() -> None:
    hosts = Hosts(a=("0.01", 0), b=("0.01", 0), c=(0.01, 0.01))
    assert race(hosts, "a", "b", "c") == ("c", 0.04)


def test_a_slow_address_may_still_win() -> None:
    """The head start ends, and the first goes on beside the second; what loses is dropped."""
    hosts = Hosts(a=(0.3, 0.1), b=(0.5, 0.5))
    assert race(hosts, "a", "b") == ("a", 0.4)
    assert hosts.tried == [(0.0, "a"), (0.25, "b")]


def test_one_that_is_silent_in_tls_is_passed() -> None:
    """It has taken the connection, so it gets a second more."""
    assert race(Hosts(a=(0.01, NEVER_S), b=(0.01, 0.01)), "a", "b") == ("b", 1.27)


def test_one_that_fails_in_tls_is_passed_at_once() -> None:
    assert race(Hosts(a=(0.01, "0.01"), b=(0.01, 0.01)), "a", "b") == ("b", 0.04)


def test_two_that_stand_at_the_same_moment_leave_one() -> None:
    hosts = Hosts(a=(0.25, 0.25), b=(0.125, 0.125))
    assert race(hosts, "a", "b")[1] == 0.5
    assert [made.aborted for made in hosts.made].count(False) == 1


def test_the_failure_that_came_furthest_is_told() -> None:
    """A certificate that is wrong says more than another address that refuses."""
    with pytest.raises(PostFailed) as failed:
        race(Hosts(a=("0.01", 0), b=(0.01, "0.01"), c=("0.01", 0)), "a", "b", "c")
    assert failed.value.failure.cause == "tls_failed"


def test_the_deadline_ends_all_attempts() -> None:
    hosts = Hosts(a=(NEVER_S, 0), b=(NEVER_S, 0))
    with pytest.raises(TimeoutError):
        race(hosts, "a", "b", timeout_s=3.0)
    assert hosts.made == []


def test_families_take_turns() -> None:
    """Beginning with the one that the system prefers; an address is tried once."""
    assert interleaved(["::1", "::2", "::2", "1.1.1.1", "2.2.2.2", "3.3.3.3"]) == [
        "::1", "1.1.1.1", "::2", "2.2.2.2", "3.3.3.3",
    ]  # fmt: skip
    assert interleaved(["1.1.1.1", "::1"]) == ["1.1.1.1", "::1"]
    assert interleaved([]) == []


def test_the_address_that_worked_last_goes_first_while_it_is_one_of_the_host_s() -> None:
    worked, where = RecentAddresses(), ("dsp.test", 443)
    addresses = ["a", "b", "c"]
    worked.to_front(where, addresses)
    assert addresses == ["a", "b", "c"]
    worked.note(where, "c")
    worked.to_front(where, addresses)
    assert addresses == ["c", "a", "b"]
    moved = ["x", "y"]
    worked.to_front(where, moved)
    assert moved == ["x", "y"]

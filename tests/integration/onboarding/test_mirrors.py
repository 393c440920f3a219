"""`mode: mirror`: the file is the whole audience, so who was in by it and is absent leaves."""

from __future__ import annotations

import asyncio
import gzip
import io
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from arke.errors import InvalidInput
from arke.onboarding import loading
from arke.shard.protocol import AskProfile
from integration.onboarding.desk import COOKIES, CRM, open_desk

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from integration.onboarding.desk import Desk

PEOPLE = ("a", "b", "c", "d", "e", "f")
LIST = f"id: {{column: cookie, dpid: {COOKIES}}}\nmode: mirror\nalways: {{traits: [1], memberships: {{101: 1}}}}\n"
FLAGS = f"id: {{column: cookie, dpid: {COOKIES}}}\nmode: mirror\nmemberships: {{churn: 101}}\nmirror_guard: 100%\n"
ANY = "mirror_guard: 100%\n"


def ids(text: str) -> bytes:
    return "\n".join(["cookie", *text, ""]).encode()


async def members(desk: Desk, segment: int = 101) -> str:
    """The people whom the segment has."""
    found = ""
    for number, person in enumerate(PEOPLE, 1):
        profile = await desk.profile(number)
        if segment in profile.segments and profile.segments[segment].status == 1:
            found += person
    return found


def with_people(folder: Path, play: Callable[[Desk], Awaitable[None]]) -> None:
    async def main() -> None:
        async with open_desk(folder) as desk:
            for number, person in enumerate(PEOPLE, 1):
                await desk.see(number, (COOKIES, person))
            await play(desk)

    asyncio.run(main())


def test_who_is_absent_leaves(tmp_path: Path) -> None:
    """Its trait and its membership; and the same file again changes nothing."""

    async def play(desk: Desk) -> None:
        first = await desk.load("monday.csv", ids("abcdef"), LIST)
        assert (first.kind, first.stored, first.left) == ("mirror", 6, 0)
        second = await desk.load("tuesday.csv", ids("abcde"), LIST)
        assert (second.stored, second.left) == (5, 2), "of a trait and of a segment"
        assert "2 ids left that came in by an earlier file" in "\n".join(second.lines())
        assert await members(desk) == "abcde"
        assert await desk.traits(5) == {1}
        assert await desk.traits(6) == set()
        again = await desk.load("tuesday.csv", ids("abcde"), LIST)
        assert (again.repeated, again.left) == (True, 2)
        assert (await desk.load("wednesday.csv", ids("fabcde"), LIST)).left == 0
        assert await members(desk) == "abcdef"

    with_people(tmp_path, play)


def test_what_came_another_way_stays(tmp_path: Path) -> None:
    """Only who was in by this feed leaves."""

    async def play(desk: Desk) -> None:
        await desk.load("other.csv", ids("f"), LIST.replace("mode: mirror\n", ""))
        await desk.load("one.csv", ids("abcde"), LIST)
        assert (await desk.load("two.csv", ids("abcd"), LIST)).left == 2
        assert await members(desk) == "abcdf"

    with_people(tmp_path, play)


def test_another_feed_keeps_them_in(tmp_path: Path) -> None:
    """Also against a zero in this one; once it lets go as well, they leave."""

    async def play(desk: Desk) -> None:
        shop, web = f"{LIST}feed: shop\n{ANY}", f"{LIST}feed: web\n{ANY}"
        await desk.load("shop1.csv", ids("abc"), shop)
        await desk.load("web1.csv", ids("cd"), web)
        assert (await desk.load("shop2.csv", ids("a"), shop)).left == 4
        assert await members(desk) == "acd"
        assert await desk.traits(3) == {1}
        await desk.load("zeros.csv", b"cookie,churn\na,1\nc,0\n", f"{FLAGS}feed: third\n")
        assert await members(desk) == "acd"
        await desk.load("web2.csv", ids("d"), web)
        await desk.load("shop3.csv", ids("b"), shop)
        assert await members(desk) == "abd", "the third feed still has a"

    with_people(tmp_path, play)


@pytest.mark.parametrize("content", [ids(""), ids("ab"), ids("xyzwvu")])
def test_a_much_smaller_file_changes_nothing(tmp_path: Path, content: bytes) -> None:
    """Nor one of as many lines about others. It may be allowed once."""

    async def play(desk: Desk) -> None:
        await desk.load("one.csv", ids("abcdef"), LIST)
        refused = await desk.load("two.csv", content, LIST)
        assert (refused.state, refused.reason, refused.left) == ("failed", "mirror_guard", 0)
        assert refused.message is not None
        gone = 4 if content == ids("ab") else 6
        assert f"{gone} of 6 ids would leave trait 1 (" in refused.message
        assert "more than the 20% that may" in refused.message
        assert await members(desk) == "abcdef"
        assert (await desk.load("one.csv", ids("abcdef"), LIST)).repeated
        if content != ids("xyzwvu"):
            allowed = await desk.load("two.csv", content, LIST + ANY)
            assert (allowed.state, allowed.left) == ("done", 2 * gone)
            assert await members(desk) == "abcdef"[: 6 - gone]

    with_people(tmp_path, play)


def test_the_share_that_may_leave(tmp_path: Path) -> None:
    async def play(desk: Desk) -> None:
        await desk.load("one.csv", ids("abcdef"), LIST)
        assert (await desk.load("two.csv", ids("abcd"), LIST)).reason == "mirror_guard"
        assert (await desk.load("two.csv", ids("abcd"), f"{LIST}mirror_guard: 34%\n")).left == 4
        assert (await desk.load("three.csv", ids("ab"), f"{LIST}mirror_guard: 1\n")).reason == "mirror_guard"
        assert (await desk.load("three.csv", ids("ab"), f"{LIST}mirror_guard: 2\n")).left == 4

    with_people(tmp_path, play)


def test_an_older_file_that_comes_late_is_refused(tmp_path: Path) -> None:
    """By the time in its name, where there is one."""

    async def play(desk: Desk) -> None:
        await desk.load("people_2026-11-28.csv", ids("abcde"), LIST)
        await desk.load("people_2026-11-29.csv", ids("abcd"), LIST)
        late = await desk.load("people_2026-11-27T23:00.csv", ids("abcdef"), LIST)
        assert (late.state, late.reason) == ("failed", "older")
        assert late.message is not None
        assert "2026-11-27T23:00:00" in late.message
        assert (await desk.load("people_2026-11-28.csv", ids("abcde"), LIST)).repeated
        assert await members(desk) == "abcd"

    with_people(tmp_path, play)


def test_a_file_without_a_time_says_what_holds_now(tmp_path: Path) -> None:
    """Its content may come back: it is not taken for the load of that day."""

    async def play(desk: Desk) -> None:
        await desk.load("people.csv", ids("abcde"), LIST)
        await desk.load("people.csv", ids("abcd"), LIST)
        back = await desk.load("people.csv", ids("abcde"), LIST)
        assert (back.repeated, back.stored) == (False, 5)
        assert await members(desk) == "abcde"

    with_people(tmp_path, play)


def test_zeros_leave_and_cells_that_cannot_be_read_stay(tmp_path: Path) -> None:
    async def play(desk: Desk) -> None:
        await desk.load("one.csv", b"cookie,churn\na,1\nb,1\nc,1\nd,1\n", FLAGS)
        receipt = await desk.load("two.csv", b"cookie,churn\na,1\nb,0\nc,?\n", FLAGS)
        assert (receipt.bad_cells, receipt.left) == (1, 2)
        assert await members(desk) == "ac"

    with_people(tmp_path, play)


def as_parquet(text: str) -> bytes:
    sink = io.BytesIO()
    parquet.write_table(pa.table({"cookie": [*text]}), sink)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("ending", "packed"),
    [("csv.gz", lambda text: gzip.compress(ids(text))), ("parquet", as_parquet)],
)
def test_packed_and_parquet(tmp_path: Path, ending: str, packed: Callable[[str], bytes]) -> None:
    async def play(desk: Desk) -> None:
        await desk.load(f"one.{ending}", packed("abcdef"), LIST)
        assert (await desk.load(f"two.{ending}", packed("a"), LIST)).reason == "mirror_guard"
        assert (await desk.load(f"two.{ending}", packed("abcde"), LIST)).left == 2
        assert await members(desk) == "abcde"

    with_people(tmp_path, play)


def test_people_leave_at_home_and_on_their_devices(tmp_path: Path) -> None:
    """A device that another person in the file has as well stays in."""
    columns = f"id: {{column: cookie, dpid: {CRM}}}\nmode: mirror\nalways: {{memberships: {{101: 1}}}}\n{ANY}"

    async def play(desk: Desk) -> None:
        await desk.see(1, (CRM, "jane"), (CRM, "john"))
        await desk.see(2, (CRM, "john"))
        await desk.load("one.csv", b"cookie\njane\njohn\nnobody-yet\n", columns)
        assert await members(desk) == "ab"
        receipt = await desk.load("two.csv", b"cookie\njane\n", columns)
        assert receipt.left == 2
        assert await members(desk) == "a"
        for person, status in (("jane", 1), ("john", 0), ("nobody-yet", 0)):
            home = f"{CRM}:{person}"
            dossier = await desk.engine.shards.ask_about(home, AskProfile(home))
            assert dossier.profile is not None
            assert dossier.profile.segments[101].status == status, person

    with_people(tmp_path, play)


@pytest.mark.parametrize("step", range(1, 9))
def test_a_crash_anywhere_comes_to_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """The write to the directory that fails may be any; the file is loaded again, after another was refused."""

    async def play(desk: Desk) -> None:
        await desk.load("one.csv", ids("abcdef"), LIST)
        monkeypatch.setattr(loading, "COMMIT_LINES", 1)
        database = desk.loader._files._database  # type: ignore[attr-defined]
        write, writes = database.write, 0

        async def fails(*given: Any, **named: Any) -> Any:
            nonlocal writes
            writes += 1
            if writes == step:
                raise OSError("the power is gone")
            return await write(*given, **named)

        monkeypatch.setattr(database, "write", fails)
        with pytest.raises(OSError, match="power"):
            await desk.load("two.csv", ids("abcde"), LIST)
        monkeypatch.setattr(database, "write", write)
        assert (await desk.load("small.csv", ids("a"), LIST)).reason == "mirror_guard"
        receipt = await desk.load("two.csv", ids("abcde"), LIST)
        assert (receipt.state, receipt.stored, receipt.left) == ("done", 5, 2)
        assert await members(desk) == "abcde"
        assert await desk.traits(6) == set()

    with_people(tmp_path, play)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("mode: mirror\nsignals: {what: c_x}\n", "a mirror needs traits or memberships"),
        ("mode: mirror\nalways: {traits: {1: 0}}\n", "the file of a mirror says who is in"),
        ("mode: mirror\nalways: {traits: [1]}\nmirror_guard: many\n", "mirror_guard"),
        ("always: {traits: [1]}\nmirror_guard: 30%\n", "`mirror_guard` goes with `mode: mirror`"),
        ("always: {traits: [1]}\nfeed: shop\n", "`feed` goes with `mode: mirror`"),
    ],
)
def test_columns_files_that_cannot_mirror(tmp_path: Path, more: str, message: str) -> None:
    async def play(desk: Desk) -> None:
        with pytest.raises(InvalidInput, match=message):
            await desk.load("one.csv", ids("a"), f"id: {{column: cookie, dpid: {COOKIES}}}\n{more}")

    with_people(tmp_path, play)


@pytest.mark.parametrize("content", [b"", b"\n"], ids=["no bytes", "a blank line"])
def test_a_list_of_nobody_without_a_head_is_for_the_guard(tmp_path: Path, content: bytes) -> None:
    """Refused until it is said that it is meant, as one that has a head and no row."""
    columns = f"id: {{column: 0, dpid: {COOKIES}}}\nheader: false\nmode: mirror\n"
    columns += "always: {memberships: {101: 1}}\n"

    async def play(desk: Desk) -> None:
        assert (await desk.load("saturday.csv", content, columns + ANY)).reason == "empty"
        await desk.load("monday.csv", b"a\nb\n", columns)
        refused = await desk.load("tuesday.csv", content, columns)
        assert (refused.state, refused.reason) == ("failed", "mirror_guard")
        assert "2 of 2 ids would leave segment 101" in refused.message
        assert await members(desk) == "ab"
        done = await desk.load("tuesday.csv", content, columns + ANY)
        assert (done.state, done.left) == ("done", 2)
        assert await members(desk) == ""

    with_people(tmp_path, play)

"""Files loaded into real stores: receipts that add up, and what profiles hold afterwards."""

from __future__ import annotations

import asyncio
import gzip
from typing import TYPE_CHECKING, Any

import pytest

from arke.checking import catalog_checkers
from arke.clock import SystemClock
from arke.errors import InvalidInput, Unavailable
from arke.onboarding.reading import CHUNK_LINES, Chunk, Reading
from arke.operations.privacy import PrivacyAsk
from arke.operations.subjects import Operations
from arke.shard.commands import MAX_FILE_LINES, FileDevice, Link
from arke.shard.handlers import HANDLERS, files
from integration.onboarding.desk import COOKIES, CRM, device, open_desk
from patience import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path

    from arke.shard.group import Group
    from integration.onboarding.desk import Desk

AT = 1777600000
FILE = f"ftp_dpm_{COOKIES}_{AT}.sync"


def test_a_file_with_quirks_is_read_as_it_is_meant(tmp_path: Path) -> None:
    """CRLF, two commas in a row, spaces, pipes and colons in values, a blank line, no final line end."""
    content = (
        b'abc\td_sid=1,"city" = "New York|NY: a"\r\n'
        b"\r\n"
        b"abc\td_sid=2,,d_sid=3,28:5\r\n"
        b"xyz\td_sid=4, d_sid=6, colour=red\r\n"
        b"nobody\td_sid=1\r\n"
        b"abc,d_sid=1\r\n"
        b"xyz\tcolour=red\r\n"
        b"abc\td_sid=5"
    )

    async def play(desk: Desk) -> None:
        await desk.see(1, (COOKIES, "abc"))
        await desk.see(2, (COOKIES, "xyz"))
        receipt = await desk.load(FILE, content)
        assert (receipt.received, receipt.stored) == (7, 4)
        assert receipt.errors == {"no_matching_id": 1, "format": 1, "no_trait": 1}
        assert (receipt.devices, receipt.realised, receipt.removed) == (2, 6, 0)
        assert (receipt.signals, receipt.unused) == (4, 3)
        assert (receipt.invalid_traits, receipt.invalid_lines) == (1, 1)
        assert [sample.line for sample in receipt.samples["format"]] == [6]
        assert await desk.traits(1) == {1, 2, 3, 5, 7}
        assert await desk.traits(2) == {4}
        assert (await desk.profile(1)).segments[100].status == 1

    run(tmp_path, play)


def test_a_device_at_which_a_shard_fails_costs_only_its_own_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told apart from those that went to the shard with it."""
    become_like = files._become_like

    def defect(group: Group, uid: int, named: FileDevice, *rest: Any) -> None:
        if named.uuid in (device(7), device(20)):
            raise KeyError(named.uuid)
        become_like(group, uid, named, *rest)

    async def play(desk: Desk) -> None:
        monkeypatch.setattr(files, "_become_like", defect)
        lines = [f"{device(number)}\td_sid=1\n" for number in (*range(1, 31), 7)]
        receipt = await desk.load(f"ftp_dpm_0_{COOKIES}_{AT}.sync", "".join(lines).encode())
        assert (receipt.state, receipt.received, receipt.stored, receipt.devices) == ("done", 31, 28, 28)
        assert receipt.errors == {"internal": 3}
        assert sorted(sample.line for sample in receipt.samples["internal"]) == [7, 20, 31]
        assert await desk.traits(8) == {1}

    run(tmp_path, play)


@pytest.mark.parametrize("of_ids", [False, True])
def test_a_shard_that_fails_at_every_device_refuses_no_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of_ids: bool
) -> None:
    """The load ends for now; once it is mended the file goes on from where it was."""
    name = f"adobe_id_0_{COOKIES}_{AT}.sync" if of_ids else f"ftp_dpm_0_{COOKIES}_{AT}.sync"
    lines = [f"{device(number)}\t{f'x{number}' if of_ids else 'd_sid=1'}\n" for number in range(1, 100)]

    def defect(*_: object) -> None:
        raise KeyError

    async def play(desk: Desk) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(files, "_become_like", defect)
            patched.setitem(HANDLERS, Link, defect)
            for _ in range(2):
                with pytest.raises(Unavailable, match="in a row met a defect"):
                    await desk.load(name, "".join(lines).encode())
        receipt = await desk.load(name, "".join(lines).encode())
        assert (receipt.state, receipt.received, receipt.stored, receipt.errors) == ("done", 99, 99, {})

    run(tmp_path, play)


def test_a_defect_costs_the_file_and_not_the_loader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file given again goes on from where it was."""

    def defect(_: Reading) -> Chunk:
        raise KeyError("abc")

    async def play(desk: Desk) -> None:
        await desk.see(1, (COOKIES, "abc"))
        with monkeypatch.context() as patched:
            patched.setattr(Reading, "chunk", defect)
            receipt = await desk.load(FILE, b"abc\td_sid=1\n")
        assert (receipt.state, receipt.reason, receipt.received) == ("failed", "internal", 0)
        assert "abc" not in receipt.message
        (listed,) = await desk.loader.newest(1 << 40, 9)
        assert (listed.receipt, listed.done) == (receipt, False)
        receipt = await desk.load(FILE, b"abc\td_sid=1\n")
        assert (receipt.state, receipt.stored, receipt.repeated) == ("done", 1, False)

    run(tmp_path, play)


def test_the_status_tells_how_far_a_file_is(tmp_path: Path) -> None:
    count = 2 * CHUNK_LINES + CHUNK_LINES // 2
    content = b"abc\td_sid=1\n" * count
    seen: list[tuple[str, int, int]] = []

    async def play(desk: Desk) -> None:
        operations = Operations(desk.engine, SystemClock(), catalog_checkers())

        def look(*_: int) -> None:
            loading = desk.engine.files.loading
            assert loading is not None
            seen.append((loading.file, loading.lines, loading.total))

        path = tmp_path / FILE
        path.write_bytes(content)
        assert (await operations.status.read()).loading is None
        receipt = await desk.loader.load(path, FILE, progress=look)
        assert receipt.received == count
        assert (await operations.status.read()).loading is None

    run(tmp_path, play)
    assert seen == [(FILE, lines, count) for lines in (0, CHUNK_LINES, 2 * CHUNK_LINES, count)]


def test_a_user_has_two_hundred_lines_a_file_and_the_next_file_as_many(tmp_path: Path) -> None:
    """The first ones count, however they are spread over chunks; the others are counted as over the limit."""
    others = b"".join(b"other-%d\td_sid=1\n" % number for number in range(CHUNK_LINES))
    first = b"abc\td_sid=1\n" * (MAX_FILE_LINES - 1) + others
    content = first + b"abc\td_sid=2\n" + b"abc\td_sid=3\n" * 7

    async def play(desk: Desk) -> None:
        await desk.see(1, (COOKIES, "abc"))
        receipt = await desk.load(FILE, content)
        assert receipt.stored == MAX_FILE_LINES
        assert receipt.errors == {"over_limit": 7, "no_matching_id": CHUNK_LINES}
        assert receipt.devices == 1
        assert await desk.traits(1) == {1, 2}
        again = await desk.load(f"ftp_dpm_{COOKIES}_{AT + 1}.sync", b"abc\td_sid=3\n")
        assert again.stored == 1
        assert await desk.traits(1) == {1, 2, 3}

    run(tmp_path, play)


def test_overwrite_says_how_many_traits_made_way(tmp_path: Path) -> None:
    async def play(desk: Desk) -> None:
        await desk.see(1, (COOKIES, "abc"))
        await desk.load(FILE, b"abc\td_sid=1,d_sid=2,d_sid=3\n")
        receipt = await desk.load(f"ftp_dpm_{COOKIES}_{AT}.overwrite", b"abc\td_sid=3,d_sid=4\n")
        assert (receipt.realised, receipt.removed) == (2, 2)
        assert await desk.traits(1) == {3, 4}

    run(tmp_path, play)


def test_the_same_file_twice_says_so_and_does_nothing(tmp_path: Path) -> None:
    """By name and content: another content of the same name is another file."""

    async def play(desk: Desk) -> None:
        await desk.see(1, (COOKIES, "abc"))
        first = await desk.load(FILE, b"abc\td_sid=1\n")
        before = await desk.profile(1)
        second = await desk.load(FILE, b"abc\td_sid=1\n")
        assert (first.repeated, second.repeated) == (False, True)
        assert (second.stored, second.begun) == (1, first.begun)
        assert await desk.profile(1) == before
        assert not (await desk.load(FILE, b"abc\td_sid=2\n")).repeated
        assert await desk.traits(1) == {1, 2}

    run(tmp_path, play)


def test_the_same_file_goes_on_after_its_load_was_cut_short(tmp_path: Path) -> None:
    """What is done again is not counted again: lines of a user, devices, traits that made way."""
    lines = [b"abc\td_sid=%d\n" % (1 + number % 3) for number in range(MAX_FILE_LINES + 5)]
    content = b"".join(lines) + b"xyz\td_sid=4\n"
    name = f"ftp_dpm_{COOKIES}_{AT}.overwrite"

    async def play(desk: Desk) -> None:
        await desk.see(1, (COOKIES, "abc"))
        await desk.see(2, (COOKIES, "xyz"))
        await desk.load(FILE, b"abc\td_sid=5\nxyz\td_sid=5\n")
        path = tmp_path / name
        path.write_bytes(content)
        files = desk.engine.directory.files
        advance, cut = files.advance, asyncio.Event()

        async def load() -> None:
            await desk.loader.load(path, name, progress=lambda *_: cut.set())

        def die(*_: object) -> None:
            raise Unavailable("cut short")

        files.advance = die  # type: ignore[method-assign,assignment]
        with pytest.raises(Unavailable):
            await load()
        files.advance = advance  # type: ignore[method-assign]
        assert await desk.traits(1) == {1, 2, 3}, "the shards have it, the directory does not know yet"
        receipt = await desk.load(name, content)
        assert (receipt.stored, receipt.errors) == (MAX_FILE_LINES + 1, {"over_limit": 5})
        assert (receipt.devices, receipt.removed) == (2, 2)
        assert (await desk.traits(1), await desk.traits(2)) == ({1, 2, 3}, {4})

    run(tmp_path, play)


def test_what_is_said_of_a_person_reaches_devices_now_and_later(tmp_path: Path) -> None:
    """A cross-device id that no device has is stored and not refused."""
    name = f"ftp_dpm_{CRM}_{AT}.sync"

    async def play(desk: Desk) -> None:
        await desk.see(1, (CRM, "jane"))
        receipt = await desk.load(name, b"jane\t52\njohn\tic=52\n")
        assert (receipt.stored, receipt.devices, receipt.errors) == (2, 1, {})
        assert await desk.traits(1) == {6}
        await desk.see(2, (CRM, "john"))
        await desk.see(3, (CRM, "jane"))
        await desk.engine.joins.until_idle(10.0)
        assert (await desk.traits(2), await desk.traits(3)) == ({6}, {6})
        overwrite = await desk.load(f"ftp_dpm_{CRM}_{AT}.overwrite", b"john\td_sid=999\n")
        assert overwrite.errors == {"no_trait": 1}

    run(tmp_path, play)


def test_an_access_request_shows_what_is_filed_and_a_deletion_forgets_it(tmp_path: Path) -> None:
    """A customer id that no device has: what a file said of it is kept, shown, and gone when it is deleted."""

    async def play(desk: Desk) -> None:
        await desk.load(f"ftp_dpm_{CRM}_{AT}.sync", b"jane\t52\n")
        operations = Operations(desk.engine, SystemClock(), catalog_checkers())
        ask = PrivacyAsk(id=f"{CRM}:jane")
        (found,) = await operations.privacy.access(ask, actor="local")
        assert [(one.dpid, one.id, list(one.traits)) for one in found.filed] == [(CRM, "jane", [6])]
        delete = PrivacyAsk(action="delete", id=f"{CRM}:jane")
        (report,) = await operations.privacy.request(delete, actor="local")
        async with asyncio.timeout(PATIENCE_S):
            while (await operations.privacy.show(report.number)).state != "done":
                await asyncio.sleep(0.02)
        (found,) = await operations.privacy.access(ask, actor="local")
        assert (found.filed, found.suppressed) == ([], True)

    run(tmp_path, play)


def test_a_person_linked_by_an_id_sync_file_hears_what_was_filed(tmp_path: Path) -> None:
    async def play(desk: Desk) -> None:
        await desk.see(1, (COOKIES, "abc"))
        await desk.load(f"ftp_dpm_{CRM}_{AT}.sync", b"jane\t52\n")
        receipt = await desk.load(
            f"adobe_id_{COOKIES}_{CRM}_{AT}.sync", b"abc\tjane\r\nxyz\tjohn \r\nshort\r\n"
        )
        assert (receipt.received, receipt.stored, receipt.linked) == (3, 1, 2)
        assert receipt.errors == {"format": 2}
        await desk.engine.joins.until_idle(10.0)
        profile = await desk.profile(1)
        assert set(profile.traits) == {6}
        assert [(partner.dpid, partner.id) for partner in profile.ids] == [(COOKIES, "abc"), (CRM, "jane")]
        assert profile.heard > 0

    run(tmp_path, play)


def test_an_id_sync_file_moves_ids_as_an_event_does(tmp_path: Path) -> None:
    """The newest mapping wins: the cookie leaves the device that had it."""

    async def play(desk: Desk) -> None:
        await desk.see(1, (COOKIES, "abc"))
        receipt = await desk.load(f"adobe_id_0_{COOKIES}_{AT}.sync", f"{device(2)}\tabc\n".encode())
        assert receipt.stored == 1
        await desk.engine.drain(10.0)
        assert [partner.id for partner in (await desk.profile(1)).ids] == []
        assert [partner.id for partner in (await desk.profile(2)).ids] == ["abc"]
        assert await desk.owner(COOKIES, "abc") == device(2)

    run(tmp_path, play)


def test_people_in_the_first_column_are_resolved_and_warned_about(tmp_path: Path) -> None:
    async def play(desk: Desk) -> None:
        await desk.see(1, (CRM, "jane"))
        receipt = await desk.load(f"c2c_id_{CRM}_888_{AT}.sync", b"jane\thash-of-jane\njohn\thash-of-john\n")
        assert "ids of people" in receipt.warnings[0]
        assert (receipt.stored, receipt.errors) == (1, {"no_matching_id": 1})
        assert await desk.owner(888, "hash-of-jane") == device(1)
        assert await desk.owner(888, "hash-of-john") is None

    run(tmp_path, play)


def test_who_opted_out_is_refused_in_every_kind_of_file(tmp_path: Path) -> None:
    async def play(desk: Desk) -> None:
        await desk.see(1, (COOKIES, "abc"))
        await desk.see(2, (COOKIES, "xyz"))
        await desk.engine.opt_outs.opt_out(device(1), (), public=False)
        receipt = await desk.load(FILE, b"abc\td_sid=1\nxyz\td_sid=1\n")
        assert (receipt.stored, receipt.errors) == (1, {"opted_out": 1})
        ids = await desk.load(f"adobe_id_{COOKIES}_888_{AT}.sync", b"abc\tnew\n")
        assert (ids.stored, ids.errors) == (0, {"opted_out": 1})
        assert await desk.traits(1) == set()

    run(tmp_path, play)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        (f"{FILE}.gz", gzip.compress(b"abc\td_sid=1\n" * 9, mtime=0)[:-4], "truncated"),
        (FILE, b"\n\n  \n", "empty"),
        (FILE, b"", "empty"),
    ],
)
def test_a_file_that_cannot_be_loaded_fails_and_changes_nothing(
    tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    async def play(desk: Desk) -> None:
        await desk.see(1, (COOKIES, "abc"))
        receipt = await desk.load(name, content)
        assert (receipt.state, receipt.reason) == ("failed", reason)
        assert await desk.traits(1) == set()

    run(tmp_path, play)


@pytest.mark.parametrize("name", ["ftp_dpm_4711_1777600000.sync", "adobe_id_0_4711_1777600000.sync"])
def test_ids_of_a_data_source_that_no_catalog_has_are_refused(tmp_path: Path, name: str) -> None:
    async def play(desk: Desk) -> None:
        with pytest.raises(InvalidInput, match="no data source 4711 in the catalog"):
            await desk.load(name, b"abc\td_sid=1\n")

    run(tmp_path, play)


def run(folder: Path, play: object) -> None:
    """Play against a fresh engine of two shards."""

    async def main() -> None:
        async with open_desk(folder) as desk:
            await play(desk)  # type: ignore[operator]

    asyncio.run(main())

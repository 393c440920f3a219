"""The starter: what a process forked from it begins with, how its end is heard of, and what if it is gone."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import resource
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from arke.errors import ShardDown
from arke.settings import Answers, Settings
from arke.shard.commands import Seen
from arke.transport import remote_shard
from arke.transport.remote_shard import RemoteShard
from arke.transport.starting import Process, Said, Start, Starter
from conformance.test_event_log import CatchUp, sight, taken
from e2e.engine_process import called
from patience import PATIENCE_S, eventually, wait_until
from servers.process import children

if TYPE_CHECKING:
    from collections.abc import Coroutine

FACTS = """
import atexit, json, os, random, resource, signal, sys, threading
import arke.starter

def facts(connection, store, settings, level):
    files = {number: os.readlink(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")
             if os.path.exists(f"/proc/self/fd/{number}")}
    said = {
        "pid": os.getpid(),
        "name": open("/proc/self/comm").read().strip(),
        "arguments": open("/proc/self/cmdline").read().strip("\\0").split("\\0"),
        "files": files,
        "threads": threading.active_count(),
        "ignored": [number for number in (2, 15) if signal.getsignal(number) is signal.SIG_IGN],
        "blocked": len(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "children": signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL,
        "wakeup": signal.set_wakeup_fd(-1),
        "limit": resource.getrlimit(resource.RLIMIT_NOFILE),
        "random": random.random(),
        "group": os.getpgid(0),
        "folder": os.getcwd(),
        "given": os.environ.get("GIVEN"),
        "asked": [str(store), settings.region, level],
    }
    connection.sendall(json.dumps(said).encode())
    atexit.register(connection.shutdown, 1)
    sys.exit(7)

arke.starter.run = facts
arke.starter.main()
"""

NO_ROOM = """
import errno, os
import arke.starter

def fork():
    raise OSError(errno.EAGAIN, "")

os.fork = fork
arke.starter.main()
"""


def play(steps: Coroutine[Any, Any, None]) -> None:
    asyncio.run(steps)


async def begun(starter: Starter, store: str = "/data/shard-07.db") -> tuple[Process, socket.socket]:
    """A process that was asked for, and our end of its socket."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = await starter.begin(Start(store, Settings(region=6), 30), theirs.fileno())
    ours.settimeout(PATIENCE_S)
    return process, ours


def told(connection: socket.socket) -> dict[str, Any]:
    body = b""
    while more := connection.recv(1 << 16):
        body += more
    found: dict[str, Any] = json.loads(body)
    return found


def test_a_process_begins_as_one_of_its_own_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIVEN", "to all")

    async def steps() -> None:
        with (tmp_path / "ours").open("w") as ours, Starter([sys.executable, "-c", FACTS]) as starter:
            os.set_inheritable(ours.fileno(), True)
            found = []
            for number in (7, 8):
                process, connection = await begun(starter, f"/data/shard-0{number}.db")
                with connection:
                    await process.started()
                    found.append(facts := told(connection))
                assert facts.pop("pid") == process.pid
                assert await process.ended(PATIENCE_S)
                assert process.returncode == 7
            first, second = found
            assert first.pop("random") != second.pop("random")
            assert (first["name"], second["name"]) == ("arke-shard-07", "arke-shard-08")
            assert first["arguments"] == ["arke.worker", "--store", "/data/shard-07.db"]
            assert first["files"].pop("0") == "/dev/null"
            files = [name for number, name in first["files"].items() if int(number) > 2]
            assert len(files) == 1
            assert files[0].startswith("socket:")
            assert (first["threads"], first["blocked"], first["wakeup"]) == (1, 0, -1)
            assert first["ignored"] == [signal.SIGINT, signal.SIGTERM]
            assert first["children"]
            hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            assert first["limit"] == [hard, hard]
            assert (first["group"], first["folder"]) == (os.getpgid(0), str(tmp_path))
            assert first["given"] == "to all"
            assert first["asked"] == ["/data/shard-07.db", 6, 30]

    play(steps())


def test_how_a_process_ended_is_told(tmp_path: Path) -> None:
    async def steps() -> None:
        with Starter() as starter:
            killed, connection = await begun(starter, str(tmp_path / "shard-00.db"))
            with connection:
                await killed.started()
                assert not await killed.ended(0.0)
                killed.kill()
                assert await killed.ended(PATIENCE_S)
            assert killed.returncode == -signal.SIGKILL
            killed.kill()  # whoever has the number by now is left alone
            done, connection = await begun(starter, str(tmp_path / "shard-01.db"))
            await done.started()
            connection.close()
            assert await done.ended(PATIENCE_S)
            assert done.returncode == 0
            refused, connection = await begun(starter, str(tmp_path / "nowhere" / "shard-02.db"))
            with connection:
                await refused.started()
                assert await refused.ended(PATIENCE_S)
            assert refused.returncode == 1

    play(steps())


MASKED = """
import asyncio, signal, socket, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
from arke.settings import Settings
from arke.starter import forked
from arke.transport.starting import Start

async def main(starter):
    ours, theirs = socket.socketpair()
    with theirs:
        process = await starter.begin(Start(sys.argv[1], Settings(), 30), theirs.fileno())
    await process.started()
    ours.close()
    print(await process.ended(float(sys.argv[2])), process.returncode)

with forked() as starter:
    asyncio.run(main(starter))
"""


def test_how_a_process_ended_is_told_whatever_is_blocked(tmp_path: Path) -> None:
    command = [sys.executable, "-c", MASKED, str(tmp_path / "shard-00.db"), str(PATIENCE_S)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "True 0\n"


def test_what_the_starter_said_before_it_was_told_something_is_heard() -> None:
    async def steps() -> None:
        line, starters_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        process = Process(line)
        process.kill()
        starters_end.send(msgspec.msgpack.encode(Said(ended=-9)))
        starters_end.close()  # with what it was told unread
        assert await process.ended(PATIENCE_S)
        assert process.returncode == -9

    play(steps())


def test_more_is_asked_at_once_than_the_starter_has_room_for(tmp_path: Path) -> None:
    async def steps() -> None:
        before = starters()
        settings = Settings(
            region=6, answers=Answers(origins=tuple(f"https://{n}.example" for n in range(2_000)))
        )
        with Starter() as starter:
            first, connection = await begun(starter, str(tmp_path / "shard-00.db"))
            await first.started()
            (pid,) = starters() - before
            os.kill(pid, signal.SIGSTOP)
            pairs = [socket.socketpair() for _ in range(8)]
            asking = [
                asyncio.create_task(
                    starter.begin(
                        Start(str(tmp_path / f"shard-{n + 1:02}.db"), settings, 30), pair[1].fileno()
                    )
                )
                for n, pair in enumerate(pairs)
            ]
            await asyncio.sleep(0.05)
            assert not all(task.done() for task in asking)
            os.kill(pid, signal.SIGCONT)
            processes = [first, *await asyncio.gather(*asking)]
            for process in processes[1:]:
                await process.started()
            for one in (connection, *(end for pair in pairs for end in pair)):
                one.close()
            for process in processes:
                assert await process.ended(PATIENCE_S)
                assert process.returncode == 0

    play(steps())


def test_that_there_is_no_process_is_said_with_its_reason() -> None:
    async def steps() -> None:
        with Starter([sys.executable, "-c", NO_ROOM]) as starter:
            process, connection = await begun(starter)
            with connection:
                with pytest.raises(BlockingIOError, match=os.strerror(errno.EAGAIN)):
                    await process.started()
                assert connection.recv(1) == b""
                assert await process.ended(PATIENCE_S)

    play(steps())


def test_a_starter_that_cannot_start_is_a_shard_that_does_not(tmp_path: Path) -> None:
    async def steps() -> None:
        with Starter([sys.executable, "-c", "raise SystemExit(1)"]) as starter:
            shard = RemoteShard(tmp_path / "shard-00.db", Settings(), CatchUp(), starter)
            with pytest.raises(ShardDown, match="does not start"):
                await shard.start()
            await shard.stop()

    play(steps())


def starters() -> set[int]:
    return {child for child in children(os.getpid()) if called(child) == "arke-starter"}


def test_the_starter_holds_nothing_and_leaves_the_end_to_the_engine(tmp_path: Path) -> None:
    async def steps() -> None:
        before = starters()
        with Starter() as starter:
            process, connection = await begun(starter, str(tmp_path / "shard-00.db"))
            with connection:
                await process.started()
                (pid,) = starters() - before
                assert children(pid) == [process.pid]
                assert len(list(Path(f"/proc/{pid}/task").iterdir())) == 1
                files = [
                    str(one.readlink()) for one in Path(f"/proc/{pid}/fd").iterdir() if int(one.name) > 2
                ]
                assert {name.partition(":")[0] for name in files} == {"socket", "anon_inode"}
                assert len(files) == 5, (
                    files
                )  # the engine, the line, its own signals, and what it listens with
                for number in (signal.SIGINT, signal.SIGTERM):
                    os.kill(pid, number)
                another, ours = await begun(starter, str(tmp_path / "shard-01.db"))
                await another.started()
                ours.close()
            for one in (process, another):
                assert await one.ended(PATIENCE_S)
                assert one.returncode == 0
        assert starters() == before

    play(steps())


def test_who_asks_for_a_process_and_goes_away_leaves_it_to_its_socket(tmp_path: Path) -> None:
    async def steps() -> None:
        with Starter() as starter:
            process, connection = await begun(starter, str(tmp_path / "shard-00.db"))
            await process.started()
            process._line.close()
            next_one, next_connection = await begun(starter, str(tmp_path / "shard-01.db"))
            await next_one.started()
            pid = process.pid
            assert pid is not None
            os.kill(pid, 0)
            connection.close()
            await eventually(lambda: not Path(f"/proc/{pid}").exists(), "it to end, and to be reaped")
            next_connection.close()
            assert await next_one.ended(PATIENCE_S)

    play(steps())


def test_shards_outlive_their_starter_and_the_next_one_starts_them_again(tmp_path: Path) -> None:
    async def steps() -> None:
        before = starters()
        with Starter() as starter:
            shard = RemoteShard(tmp_path / "shard-00.db", Settings(), CatchUp(), starter)
            await shard.start()
            assert [type(one) for one in await shard.append([sight(1)])] == [Seen]
            (pid,) = starters() - before
            os.kill(pid, signal.SIGKILL)
            assert [type(one) for one in await shard.append([sight(2)])] == [Seen]
            assert shard.restarts == 0
            assert shard._process is not None
            assert shard._process.pid is not None
            os.kill(shard._process.pid, signal.SIGKILL)
            await eventually(lambda: shard.restarts > 0 and shard._up, "the next process")
            assert [type(one) for one in await shard.append([sight(3)])] == [Seen]
            assert await taken(shard) == 3
            (other,) = starters() - before
            assert other != pid
            await shard.stop()

    play(steps())


def test_a_starter_that_hangs_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def steps() -> None:
        before = starters()
        with Starter() as starter:
            first, connection = await begun(starter, str(tmp_path / "shard-00.db"))
            await first.started()
            (pid,) = starters() - before
            os.kill(pid, signal.SIGSTOP)
            in_vain, shard = (
                RemoteShard(tmp_path / "shard-01.db", Settings(), CatchUp(), starter) for _ in range(2)
            )
            with monkeypatch.context() as patience:
                patience.setattr(remote_shard, "START_TIMEOUT_S", 0.1)
                with pytest.raises(ShardDown, match="does not start"):
                    await in_vain.start()
            await in_vain.stop()
            await shard.start()
            assert [type(one) for one in await shard.append([sight(1)])] == [Seen]
            await shard.stop()
            connection.close()
            assert await first.ended(PATIENCE_S)
            assert first.returncode is None

    play(steps())


def test_a_starter_ends_with_whoever_made_it() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-m", "arke.starter"],
            os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, theirs.fileno(), 3)],
        )
    ours.close()
    wait_until(lambda: os.waitpid(pid, os.WNOHANG) == (pid, 0), "the starter to end")

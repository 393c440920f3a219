"""The data directory belongs to one user alone: what is in it are people, keys and the proof of what was done. One
process at a time has it open. Its socket is reached by a path of any length.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import socket
import stat
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from arke.data_exchange import ARRIVING, broken_off, finish, is_begun
from arke.errors import DataLocked, InvalidInput, StoreUnavailable
from arke.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

DIRECTORY_FILE = "directory.db"
SOCKET_FILE = "engine.sock"
LOCK_FILE = "lock"

PRIVATE_UMASK = 0o077
OTHERS = 0o077
MAY_WRITE = 0o022

START_S = 10.0
"""How long an engine is given to start, or another command to end, before a command says that it cannot go on."""
LOOK_AGAIN_S = 0.05

log = get_logger("engine")

MAX_PATH_BYTES = 107
_RESTORE = "put it back, or restore the newest backup (docs/how-to/back-up.md)"


class DataExposed(InvalidInput):
    """Others may read the data directory, or write to it, or have written to it."""

    code = "data_exposed"


def open_private(data: Path) -> None:
    """Make the directory where there is none, for this user alone, and see to it that it is so. Whatever this
    process writes from here on is for this user alone. Raises DataExposed saying how to mend it.
    """
    os.umask(PRIVATE_UMASK)
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise InvalidInput(f"{data}: the data directory cannot be made: {error.strerror}") from None
    check_private(data)
    if (
        stat.S_IMODE(data.stat().st_mode) & OTHERS
    ):  # as `mkdir` makes them: nobody else can have written to it
        data.chmod(0o700)
        log.warning("data_directory_closed", mode="0700")


def check_private(data: Path) -> None:
    """Whether only its owner could write to the directory, and that is us (or we are root). Raises DataExposed.

    With the directory closed, modes inside are of no consequence; but what others put in while it was open is.
    """
    facts = data.stat()
    mine = {os.geteuid(), 0} if os.geteuid() else {0, facts.st_uid}
    where = shlex.quote(str(data))
    if facts.st_uid not in mine:
        raise DataExposed(
            f"{data}: the data directory belongs to another user: run arke as that one, or `chown` it"
        )
    if stat.S_IMODE(facts.st_mode) & MAY_WRITE:
        raise DataExposed(
            f"{data}: others may write to this data directory (mode {stat.S_IMODE(facts.st_mode):04o}): "
            f"`chmod 700 {where}`, then start again"
        )
    with os.scandir(data) as entries:
        strange = sum(entry.stat(follow_symlinks=False).st_uid not in mine for entry in entries)
    if strange:
        raise DataExposed(
            f"{data}: {strange} files in it belong to other users, who must have put them there: look at them "
            f"(`ls -la {where}`) and remove them"
        )


@contextmanager
def reachable(path: Path) -> Iterator[str]:
    """A name for `path` that fits into a socket address, valid within the block. Raises OSError."""
    if len(os.fsencode(path)) <= MAX_PATH_BYTES:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def is_there(file: Path) -> bool:
    """Whether a file of the store has anything in it: SQLite would begin an empty one anew."""
    try:
        return file.stat().st_size > 0
    except FileNotFoundError:
        return False


def check_directory_file(data: Path) -> None:
    """An engine makes it before any shard's. Raises StoreUnavailable where it is gone: everybody would be new to
    shards that know them. Where files are being exchanged, whoever opens the directory puts it into its place.
    """
    if any(data.glob("shard-*.db")) and not is_there(data / DIRECTORY_FILE) and not is_begun(data):
        raise StoreUnavailable(
            f"{data}: {DIRECTORY_FILE} is missing or empty, and shards are there: {_RESTORE}"
        )


def check_no_shards(data: Path) -> None:
    """For a directory that has none. Raises StoreUnavailable where their files are there all the same: another file
    has taken the directory's place.
    """
    if any(data.glob("shard-*.db")):
        raise StoreUnavailable(f"{data}: {DIRECTORY_FILE} knows nothing of the shards beside it: {_RESTORE}")


def check_shard_files(stores: Sequence[Path]) -> None:
    """Files that an engine has had open. Raises StoreUnavailable for those that are gone: begun anew, their users
    would never hear of what they are out of.
    """
    gone = [store.name for store in stores if not is_there(store)]
    if gone:
        raise StoreUnavailable(f"{stores[0].parent}: missing or empty: {', '.join(gone)}: {_RESTORE}")


class DataLock:
    """Holds a data directory for one process. The kernel lets go when the process ends, however it ends."""

    def __init__(self, data: Path, *, arriving: bool = False) -> None:
        """Wait for another command to end. `arriving`: what is to be in the directory comes next. Raises
        DataExposed, DataLocked, and InvalidInput where a restore was broken off.
        """
        open_private(data)
        self._descriptor = os.open(data / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        end = time.monotonic() + START_S
        while not _lock(self._descriptor):
            running = engine_answers(data)
            if running or time.monotonic() >= end:
                os.close(self._descriptor)
                waited = "" if running else f", and after {START_S:.0f} s no engine answers"
                raise DataLocked(
                    f"{data}: another arke has this data directory open{waited}: "
                    "use it through that one, or stop it"
                )
            time.sleep(LOOK_AGAIN_S)
        try:
            self._settle(data, arriving=arriving)
        except BaseException:
            self.release()
            raise

    def _settle(self, data: Path, *, arriving: bool) -> None:
        """What was to take its place here does, or is not begun without."""
        _finish(data)
        if not arriving and broken_off(data):
            raise InvalidInput(
                f"{data}: a restore into this directory was broken off: do it again, or delete {data / ARRIVING}"
            )

    def release(self) -> None:
        os.close(self._descriptor)


def _finish(data: Path) -> None:
    """Carry through an exchange of files that whoever began it could not end. Raises StoreUnavailable."""
    try:
        finish(data)
    except OSError as error:
        raise StoreUnavailable(f"{data}: {(error.strerror or 'error').lower()}") from None


@contextmanager
def held_still(data: Path) -> Iterator[None]:
    """Within the block nobody has the directory open, nor a shard of it: those outlive a killed engine for as long
    as their last messages take. Nothing in it is changed, but for what was to take its place in it already. Raises
    DataExposed, DataLocked, StoreUnavailable.
    """
    check_private(data)
    with ExitStack() as stack:
        for path in [data / LOCK_FILE, *sorted(data.glob("shard-*.lock"))]:
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            stack.callback(os.close, descriptor)
            if not _lock(descriptor):
                raise DataLocked(
                    f"{data}: an engine, or a command, has this data directory open: stop it first"
                )
        _finish(data)
        yield


def engine_runs(data: Path) -> bool:
    """Whether an engine answers at the directory's socket. Where another process has the directory open, which may
    be an engine that starts, it is given START_S to answer, or to let go.
    """
    end = time.monotonic() + START_S
    while not (runs := engine_answers(data)) and is_locked(data) and time.monotonic() < end:
        time.sleep(LOOK_AGAIN_S)
    return runs


def engine_answers(data: Path) -> bool:
    """Whether an engine listens at the directory's socket right now; a socket file left by a crash does not."""
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with reachable(data / SOCKET_FILE) as name:
            probe.connect(name)
    except OSError:
        return False
    finally:
        probe.close()
    return True


def is_locked(data: Path) -> bool:
    """Whether another process has the directory open."""
    try:
        descriptor = os.open(data / LOCK_FILE, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not _lock(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True

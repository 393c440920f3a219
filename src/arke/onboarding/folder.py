"""A watched folder: what is moved in is loaded, and moved on to `done/` or `failed/` with its receipt.

A file is taken when two looks find it unchanged, in the order of the times in names. It is claimed by moving
it to `loading/`; what is there at the start was left by a crash, and is gone on with.

Whoever may write to the folder need not be trusted with anything else: no link in it is followed, everything is
done by name in folders that are held open, and a receipt is never written over something (decision 0024).
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections import Counter
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import msgspec

from arke.background import POSTPONED, every
from arke.errors import InvalidInput
from arke.log import get_logger
from arke.onboarding.columns_file import SUFFIX, columns_beside
from arke.onboarding.loading import failure
from arke.onboarding.names import parse_name
from arke.onboarding.source import facts_of, open_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from arke.onboarding.loading import Loader
    from arke.onboarding.receipt import Receipt

LOADING, DONE, FAILED = "loading", "done", "failed"
RECEIPT_SUFFIX = ".receipt.json"
PASSED_OVER = (SUFFIX, RECEIPT_SUFFIX, ".part", ".tmp")
"""Endings of files that are no data files, or not yet."""
ACTOR = "folder"
MAX_NAME_BYTES = 230
"""A receipt's name is longer by its ending, and by a number where there are several of a name."""
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

log = get_logger("onboarding")

_Look = dict[str, tuple[int, int]]


class Folders(msgspec.Struct, frozen=True):
    """Descriptors of the watched folder and of those in it, held while files are looked for and moved."""

    root: int
    loading: int
    done: int
    failed: int


class FolderWatch:
    """Watches one folder until it is cancelled."""

    def __init__(self, folder: Path, every_s: float, loader: Loader) -> None:
        self._folder = folder
        self._every_s = every_s
        self._loader = loader
        self._before: _Look = {}
        self._refused: Counter[str] = Counter()

    async def run(self) -> None:
        await every(self._every_s, self._poll)

    async def _poll(self) -> None:
        try:
            await self._round()
        except OSError as error:
            # A folder that is gone may come back: it is looked for again.
            log.error("folder_failed", error=type(error).__name__, reason=error.strerror or "")
        except POSTPONED as error:
            log.warning("load_postponed", code=error.code)

    async def _round(self) -> None:
        """One look, and what it found. A folder that is a link is an OSError."""
        with _opened(self._folder) as folders:
            claimed, stable = await asyncio.to_thread(self._ready, folders)
            for name in claimed:
                await self._load(name, folders)
            for name in stable:
                if await asyncio.to_thread(_claim, name, folders):
                    await self._load(name, folders)

    def _ready(self, folders: Folders) -> tuple[list[str], list[str]]:
        """Files to take now: those that are claimed already, and those that two looks found unchanged."""
        refused: Counter[str] = Counter()
        claimed = _look(folders.loading, refused)
        seen = _look(folders.root, refused)
        stable = [name for name, facts in seen.items() if self._before.get(name) == facts]
        self._before = seen
        for why, count in refused.items():
            if count > self._refused[why]:  # said once, and again when there are more of them
                log.warning("files_passed_over", why=why, files=count)
        self._refused = refused
        return sorted(claimed, key=_order), sorted(stable, key=_order)

    async def _load(self, name: str, folders: Folders) -> None:
        self._before.pop(name, None)
        try:
            columns = columns_beside(name, folders.loading)
            receipt = await self._loader.load(name, name, columns, actor=ACTOR, folder=folders.loading)
        except InvalidInput as error:
            receipt = failure(name, error.code, str(error))
        await asyncio.to_thread(_move_on, name, receipt, folders)


@contextmanager
def _opened(path: Path) -> Iterator[Folders]:
    """The folder with those in it, made where they are missing: as open to others as the folder itself."""
    path.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:

        def held(descriptor: int) -> int:
            stack.callback(os.close, descriptor)
            return descriptor

        root = held(open_folder(path))
        within = []
        for name in (LOADING, DONE, FAILED):
            made = facts_of(name, root) is None
            if made:
                os.mkdir(name, 0o700, dir_fd=root)
            within.append(held(open_folder(name, root)))
            if made:
                os.fchmod(within[-1], _mode(root))
        yield Folders(root, *within)


def _mode(folder: int) -> int:
    return stat.S_IMODE(os.fstat(folder).st_mode)


def _look(folder: int, refused: Counter[str]) -> _Look:
    """Size and time of every file that may be a data file. `refused` counts what nobody should have put here."""
    found: _Look = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name.endswith(PASSED_OVER):
                continue
            facts = facts_of(entry.name, folder)
            if facts is None or stat.S_ISDIR(facts.st_mode):
                continue
            why = _why_not(entry.name, facts)
            if why:
                refused[why] += 1
            else:
                found[entry.name] = (facts.st_size, facts.st_mtime_ns)
    return found


def _why_not(name: str, facts: os.stat_result) -> str:
    """Why a file is left where it is; empty where it is taken. One of two names may be gone with the next look."""
    if len(os.fsencode(name)) > MAX_NAME_BYTES:
        return f"a name of more than {MAX_NAME_BYTES} bytes"
    if not name.isprintable():
        return "control characters in the name, or not UTF-8"
    if not stat.S_ISREG(facts.st_mode):
        return "a link, or another file that is not a regular one"
    return "the same file has another name elsewhere" if facts.st_nlink > 1 else ""


def _claim(name: str, folders: Folders) -> bool:
    """False: somebody has taken the file away."""
    beside = facts_of(name + SUFFIX, folders.root)
    if beside is not None and stat.S_ISREG(beside.st_mode):
        _rename(name + SUFFIX, name + SUFFIX, folders.root, folders.loading)
    return _rename(name, name, folders.root, folders.loading)


def _rename(name: str, new: str, folder: int, target: int) -> bool:
    """False where it has vanished, or there was none."""
    try:
        os.rename(name, new, src_dir_fd=folder, dst_dir_fd=target)
    except FileNotFoundError:
        return False
    return True


def _move_on(name: str, receipt: Receipt, folders: Folders) -> None:
    target = folders.done if receipt.state == "done" else folders.failed
    text = msgspec.json.format(msgspec.json.encode(receipt)) + b"\n"
    new = _with_receipt(name, text, target, _mode(folders.root))
    _rename(name + SUFFIX, new + SUFFIX, folders.loading, target)
    _rename(name, new, folders.loading, target)


def _with_receipt(name: str, text: bytes, folder: int, mode: int) -> str:
    """Write the receipt under the name, or the next one that no earlier file of this name has taken."""
    new, number = name, 1
    while True:
        if facts_of(new, folder) is None:
            try:
                descriptor = os.open(f"{new}{RECEIPT_SUFFIX}", _NEW, 0o600, dir_fd=folder)
                break
            except FileExistsError:
                pass
        number += 1
        new = f"{name}~{number}"
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode & 0o666)
        file.write(text)
    return new


def _order(name: str) -> tuple[int, int, str]:
    try:
        return parse_name(name).order
    except InvalidInput:
        return 0, 0, name

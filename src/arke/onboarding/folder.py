"""A watched folder: what is moved in is loaded, and moved on to `done/` or `failed/` with its receipt.

A file is taken when two looks find it unchanged, in the order of the times in names. It is claimed by moving
it to `loading/`; what is there at the start was left by a crash, and is gone on with.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from arke.errors import InvalidInput, Overloaded, Unavailable
from arke.log import get_logger
from arke.onboarding.columns import SUFFIX, columns_beside
from arke.onboarding.loading import failure
from arke.onboarding.names import parse_name

if TYPE_CHECKING:
    from pathlib import Path

    from arke.onboarding.loading import Loader
    from arke.onboarding.receipt import Receipt

LOADING, DONE, FAILED = "loading", "done", "failed"
RECEIPT_SUFFIX = ".receipt.json"
PASSED_OVER = (SUFFIX, RECEIPT_SUFFIX, ".part", ".tmp")
"""Endings of files that are no data files, or not yet."""
ACTOR = "folder"

log = get_logger("onboarding")

_Look = dict[str, tuple[int, int]]


class FolderWatch:
    """Watches one folder until it is cancelled."""

    def __init__(self, folder: Path, every_s: float, loader: Loader) -> None:
        self._folder = folder
        self._every_s = every_s
        self._loader = loader
        self._before: _Look = {}

    async def run(self) -> None:
        while True:
            try:
                for path in await asyncio.to_thread(self._ready):
                    await self._take(path)
            except OSError as error:
                # A folder that is gone may come back: it is looked for again.
                log.error("folder_failed", error=type(error).__name__, reason=error.strerror or "")
            except (Unavailable, Overloaded) as error:
                log.warning("load_postponed", code=error.code)
            await asyncio.sleep(self._every_s)

    def _ready(self) -> list[Path]:
        """Files to take now: those that are claimed already, then those that two looks found unchanged."""
        for name in (LOADING, DONE, FAILED):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        claimed = _look(self._folder / LOADING)
        seen = _look(self._folder)
        stable = [name for name, facts in seen.items() if self._before.get(name) == facts]
        self._before = seen
        loading = self._folder / LOADING
        return [
            *(loading / name for name in sorted(claimed, key=_order)),
            *(self._folder / name for name in sorted(stable, key=_order)),
        ]

    async def _take(self, path: Path) -> None:
        claimed = self._folder / LOADING / path.name
        if path != claimed and not await asyncio.to_thread(_claim, path, claimed):
            return
        self._before.pop(path.name, None)
        try:
            columns = columns_beside(claimed)
            receipt = await self._loader.load(claimed, claimed.name, columns, actor=ACTOR)
        except InvalidInput as error:
            receipt = failure(claimed.name, error.code, str(error))
        await asyncio.to_thread(self._move_on, claimed, receipt)

    def _move_on(self, claimed: Path, receipt: Receipt) -> None:
        target = self._folder / (DONE if receipt.state == "done" else FAILED)
        name = _free_name(target, claimed.name)
        (target / f"{name}{RECEIPT_SUFFIX}").write_bytes(
            msgspec.json.format(msgspec.json.encode(receipt)) + b"\n"
        )
        beside = claimed.with_name(claimed.name + SUFFIX)
        for source, moved in ((beside, name + SUFFIX), (claimed, name)):
            try:
                source.rename(target / moved)
            except FileNotFoundError:  # it vanished while it was read, or there was none
                continue


def _look(folder: Path) -> _Look:
    """Size and time of every file that may be a data file."""
    found: _Look = {}
    for entry in folder.iterdir():
        if entry.name.startswith(".") or entry.name.endswith(PASSED_OVER):
            continue
        try:
            facts = entry.stat()
            if entry.is_file():
                found[entry.name] = (facts.st_size, facts.st_mtime_ns)
        except FileNotFoundError:
            continue
    return found


def _claim(path: Path, claimed: Path) -> bool:
    """False: somebody has taken the file away."""
    beside = path.with_name(path.name + SUFFIX)
    if beside.is_file():
        beside.rename(claimed.with_name(claimed.name + SUFFIX))
    try:
        path.rename(claimed)
    except FileNotFoundError:
        return False
    return True


def _free_name(folder: Path, name: str) -> str:
    """The name, or the next one that no earlier file of this name has taken."""
    free, number = name, 1
    while (folder / free).exists() or (folder / f"{free}{RECEIPT_SUFFIX}").exists():
        number += 1
        free = f"{name}~{number}"
    return free


def _order(name: str) -> tuple[int, int, str]:
    try:
        return parse_name(name).order
    except InvalidInput:
        return 0, 0, name

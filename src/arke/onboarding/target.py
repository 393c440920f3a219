"""What data files are loaded into: all that loading needs of an engine, and nothing else of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from arke.shard.commands import Failed, Onboarded

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from arke.domain.catalog import Catalog
    from arke.domain.file_lines import DeviceLines, FilePart
    from arke.domain.identity import IdKey


class Target(Protocol):
    """Every call may be repeated. `catalog` is the one in force; `catalog_version` tells whether it has changed."""

    @property
    def catalog(self) -> Catalog: ...

    @property
    def catalog_version(self) -> int: ...

    def known(self, dpid: int) -> bool:
        """Whether ids of this data source may be loaded: 0 are UUIDs."""
        ...

    def of_people(self, dpid: int) -> bool:
        """Whether it is a cross-device data source, whose ids lead to all devices of a person."""
        ...

    async def devices(self, keys: Collection[IdKey]) -> dict[IdKey, tuple[str, ...]]:
        """The devices of each id, for those that are known; of UUIDs, the device itself."""
        ...

    async def devices_of(self, dpid: int, ids: Sequence[str]) -> dict[str, str]:
        """The same for ids of one data source, which is not of people."""
        ...

    async def homes(self, keys: Collection[IdKey]) -> dict[IdKey, str]:
        """The key of each person's home, made now where there is none; who has opted out has none. Lines about a
        person are onboarded there too.
        """
        ...

    @property
    def lists_nobody(self) -> bool:
        """Whether `opted_out` need not be asked: nobody is on the suppression list."""
        ...

    async def opted_out(self, asked: Mapping[IdKey, Sequence[str]]) -> set[IdKey]:
        """Of these ids, each with the devices that it leads to, those that are on the suppression list, or all of
        whose devices are.
        """
        ...

    async def onboard(self, part: FilePart) -> list[tuple[Sequence[DeviceLines], Onboarded | Failed]]:
        """Apply lines to devices; durable on return, and answered piece by piece. A shard that is overloaded or
        away is waited for, a minute at most: then it raises Unavailable, Overloaded. What failed is one device.
        """
        ...

    async def link(self, rows: Sequence[tuple[str | None, tuple[IdKey, ...]]], now: int) -> list[bool | None]:
        """Link the ids of each row to its device: the one it names, else the owner of its first known id, else
        a new one. False: a device has opted out; None: nothing was done because of a defect. Raises as `onboard`.
        """
        ...

    def told_people(self) -> None:
        """Something was said of people, and is durable: devices that have come to them meanwhile are to hear it."""
        ...

    def show(self, file: str, lines: int, total: int) -> None:
        """How far the file is that is being loaded: `lines` of `total` (0: not known yet)."""
        ...

    def ended(self) -> None:
        """No file is being loaded any more."""
        ...

    async def loaded(self, actor: str, detail: str) -> None:
        """Audit that somebody has loaded a file."""
        ...

"""What onboarding files say of devices, as data: lines, by the devices and people whom they name."""

from __future__ import annotations

from typing import NamedTuple

import msgspec


class Said(msgspec.Struct, array_like=True, frozen=True):
    """What a line says of whom it names: onboarded traits that it realises and removes, and the statuses of
    external segments. Many lines say the same, and share one.
    """

    realise: tuple[int, ...] = ()
    remove: tuple[int, ...] = ()
    memberships: dict[int, int] = {}


class DeviceLines(msgspec.Struct, gc=False):
    """The lines about a device, or about the home of a person: their numbers, ascending, and what each says."""

    uuid: str
    lines: list[int]
    said: list[Said]


class FilePart(NamedTuple):
    """Some lines of a file, by the devices that they are about, each of which is there once.

    `file` is the file's number (0: what files have said of a customer id before), `ts` when traits are realised,
    `at` now. `overwrites`: the data source whose traits a device's first line replaces.
    """

    file: int
    ts: int
    at: int
    devices: list[DeviceLines]
    overwrites: int | None = None

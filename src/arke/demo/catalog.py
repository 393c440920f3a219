"""The demo's catalog: the file `catalog.yaml` beside this module, and the ids in it that visitors use."""

from __future__ import annotations

from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

WEB_DPID: Final = 12345
ACCOUNT_DPID: Final = 67890
ANDROID_DPID: Final = 20914
IOS_DPID: Final = 20915

LIKELY_TO_LEAVE: Final = 20006
"""The external segment: told by the shop's warehouse."""

COUNTED: Final = frozenset({1001, 1002, 1004, 1005})
"""Traits of which every look at a camera or a lens, every full cart and every purchase realises one."""

AURORA: Final = 423
BOREALIS: Final = 424
CORONA: Final = 425


def is_counted(signals: Mapping[str, str]) -> bool:
    """Whether an event with these signals realises one of the traits in COUNTED."""
    kind = signals.get("c_event")
    return kind in ("cart", "purchase") or (
        kind == "view" and signals.get("c_category") in ("camera", "lens")
    )


def filled_catalog(folder: Path, addresses: Mapping[str, str]) -> str:
    """The catalog with its folder and each destination's address (`https://host:port`, by name) filled in."""
    places = {"folder": str(folder.absolute()), **addresses}
    # Every placeholder stands in double quotes, where YAML reads what JSON writes.
    quoted = {name: msgspec.json.encode(text).decode()[1:-1] for name, text in places.items()}
    return Template(files("arke.demo").joinpath("catalog.yaml").read_text("utf-8")).substitute(quoted)

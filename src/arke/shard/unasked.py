"""Keys of events that no rule asks for: names only, of a sample, and never more than so many.

Somebody who types a key wrong, in a rule or on a page, sees it here. The count of a name is of sampled events and a
lower bound: a name that comes often stays, however many others come once (Misra and Gries).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from arke.shard.commands import Sight

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from arke.shard.commands import Command

MAX_NAMES: Final = 100
MAX_NAME_CHARS: Final = 64
EVENTS_LOOKED_AT: Final = 4
"""Of each group, the last ones: every event where few come."""
KEYS_LOOKED_AT: Final = 64
"""Of each event."""

_LIKE_AN_ID: Final = re.compile(r"\d{6}|[0-9a-fA-F-]{32}")
"""Telephone numbers, card numbers, hashes and UUIDs: no name of a key, but somebody's data in the wrong place."""
_HEADERS: Final = "h_"
"""Keys that the doors add by themselves begin so."""


class UnaskedKeys:
    """The names seen since the start."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    def look(self, commands: Sequence[Command], asked: Collection[str]) -> None:
        """Sample a group. `asked` are the keys that some rule asks for."""
        for command in commands[-EVENTS_LOOKED_AT:]:
            if isinstance(command, Sight):
                for key in list(command.event.signals)[:KEYS_LOOKED_AT]:
                    if key not in asked and _fit_to_show(key):
                        self._note(key)

    def _note(self, key: str) -> None:
        seen = self._seen
        if key in seen or len(seen) < MAX_NAMES:
            seen[key] = seen.get(key, 0) + 1
        else:  # as often as names were noted at most, so it costs no more than noting them
            self._seen = {name: count - 1 for name, count in seen.items() if count > 1}

    def shown(self, asked: Collection[str]) -> dict[str, int]:
        """Each name with how many sampled events had it, at least; those that are asked for by now are left out."""
        return {name: count for name, count in self._seen.items() if name not in asked}


def _fit_to_show(key: str) -> bool:
    """No header; and nothing that is too long for a name, or looks like somebody's address, number or id."""
    return (
        len(key) <= MAX_NAME_CHARS
        and key.isprintable()
        and "@" not in key
        and not key.startswith(_HEADERS)
        and _LIKE_AN_ID.search(key) is None
    )

"""The nodes of a cluster, as they find each other, and which of them leads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

LEADS_FOR_S: Final = 6.0
"""A leader that has not been heard of for so long leads no more."""


class LoadingFile(msgspec.Struct, frozen=True):
    """A data file that is being loaded, and how far: `lines` of `total` (0: not known yet)."""

    file: str
    lines: int
    total: int


class NodeFigures(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a node says of itself: whether it does its part, and what its intake has done since it started, as in
    `Status`. `behind`: how many messages of the log each of its shards has not taken, for those that have not all.
    `gaps`: its shards that stand still, as messages of their log are gone.
    """

    ready: bool = False
    under_way: int = 0
    room: int = 0
    overloaded: int = 0
    refused_by_code: dict[str, int] = {}
    ids_dropped: dict[str, int] = {}
    parts_left: dict[str, int] = {}
    takeovers_refused: int = 0
    privacy_requests_large: int = 0
    loading: LoadingFile | None = None
    behind: dict[int, int] = {}
    gaps: list[int] = []


class Node(msgspec.Struct, frozen=True):
    """A node under a name that no other process has or had: where other nodes ask it (`host:port`), its role, its
    version of Arke, and the version of the catalog that it goes by. `started` in epoch seconds, `silent_s` how long
    ago it was last heard of: both as the database says.
    """

    name: str
    address: str
    role: str
    version: str
    catalog: int = 0
    started: int = 0
    silent_s: float = 0.0
    figures: NodeFigures = NodeFigures()


class Nodes(Protocol):
    """Every call may suspend and raises StoreUnavailable."""

    async def here(self, node: Node) -> None:
        """A node is there, and as it says."""
        ...

    async def leave(self, name: str) -> None:
        """A node has gone."""
        ...

    async def all(self) -> Sequence[Node]:
        """By name; those that went without a word stay for an hour."""
        ...

    async def owners(self) -> dict[int, str]:
        """The address of the node that owns each shard, for those that somebody owns."""
        ...

    async def owner_names(self) -> dict[int, str]:
        """The name of the node that took each shard last, and has not let it go; it may be there no more."""
        ...

    async def lead(self, name: str) -> int | None:
        """Lead, or go on to, for another LEADS_FOR_S. Returns how often the lead has changed hands; None: another
        node leads.
        """
        ...

    async def resign(self, name: str) -> None:
        """Lead no more: whoever asks next leads at once."""
        ...

    async def leader(self) -> str | None:
        """The name of the node that leads, None while none does."""
        ...

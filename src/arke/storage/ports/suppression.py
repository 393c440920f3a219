"""Who is never to be taken again, as keyed hashes of UUIDs and of `dpid:id`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Lifted(NamedTuple):
    """What became of all that a privacy request had suppressed: `gone` from the list, or `kept` because another
    request wants it there.
    """

    gone: set[bytes]
    kept: set[bytes]


class SuppressionList(Protocol):
    """Hashes, with the privacy requests that want each there. Writes are durable on return; every call may
    suspend and raises StoreUnavailable.
    """

    async def suppress(self, texts: Mapping[int, Iterable[str]], at: int) -> set[bytes]:
        """Never take these UUIDs and `dpid:id` again, by the number of the request that wants it. Returns their
        hashes.
        """
        ...

    async def hashes(self) -> set[bytes]:
        """The whole list."""
        ...

    async def wanted_by(self, digest: bytes) -> list[int]:
        """The requests that want a hash on the list, ascending; 0 stands for those before schema version 2."""
        ...

    async def lift(self, digest: bytes, at: int, *, device: bool) -> bool:
        """Take a hash off the list, whoever wanted it there; False if it is not on it. `device`: it is a UUID's."""
        ...

    async def lift_request(self, number: int, at: int) -> Lifted:
        """Take off the list all that this request, and no other one, wants on it."""
        ...

    async def lifted(self) -> dict[bytes, int]:
        """Hashes of devices that were taken off the list and are not on it again, and when."""
        ...

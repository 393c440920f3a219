"""Catalogs that a shard has compiled beside the one in force, each a `Ruling` that a switch may put there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from arke.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable

    from arke.shard.protocol import AskBehind, AskForecast, Prepare, Switch
    from arke.shard.ruling import Ruling
    from arke.storage.committer import Committer

MOST: Final = 4
"""The newest that are kept: whoever prepared one may be gone."""


class Prepared:
    """By version and mark. `load` compiles what is asked for, and is called where `compiler` runs it."""

    def __init__(self, compiler: Committer, load: Callable[[Prepare], Ruling], restored: int) -> None:
        """`restored` as in `Ruling`."""
        self._compiler = compiler
        self._load = load
        self._restored = restored
        self._rulings: dict[tuple[int, bytes], Ruling] = {}

    async def prepare(self, request: Prepare) -> None:
        ruling = await self._compiler.run(self._load, request)
        ruling.restored = self._restored
        self._rulings[request.version, request.mark] = ruling
        while len(self._rulings) > MOST:
            del self._rulings[next(iter(self._rulings))]

    def ruling(self, request: Switch | AskForecast | AskBehind) -> Ruling:
        """Raises InvalidInput."""
        ruling = self._rulings.get((request.version, request.mark))
        if ruling is None:
            raise InvalidInput(f"catalog version {request.version} was not prepared")
        return ruling

    def drop(self, request: AskForecast) -> None:
        """It was prepared for this question alone."""
        self._rulings.pop((request.version, request.mark), None)

    def switched(self, version: int) -> None:
        """A version is in force: neither it nor an earlier one will be switched to."""
        self._rulings = {key: one for key, one in self._rulings.items() if key[0] > version}

    def close(self) -> None:
        self._compiler.close()

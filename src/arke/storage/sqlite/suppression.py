"""The suppression list in the directory's SQLite file. See `arke.storage.ports.suppression.SuppressionList`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from arke.storage.ports.suppression import Lifted
from arke.storage.statements import statements

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from arke.storage.sqlite.database import Database

SQL = statements(Path(__file__).with_name("queries") / "suppression.sql")


class SqliteSuppression:
    """`hash_of` is the directory's."""

    def __init__(self, database: Database, hash_of: Callable[[str], bytes]) -> None:
        self._database = database
        self._hash_of = hash_of

    async def suppress(self, texts: Mapping[int, Iterable[str]], at: int) -> set[bytes]:
        rows = [
            (number, self._hash_of(text), ":" not in text) for number, some in texts.items() for text in some
        ]
        return await self._database.write(self._suppress, rows, at)

    def _suppress(self, rows: list[tuple[int, bytes, bool]], at: int) -> set[bytes]:
        hashes = {digest for _, digest, _ in rows}
        run = self._database.connection.executemany
        run(SQL["suppress"], ((digest, at) for digest in hashes))
        run(SQL["want"], rows)
        run(SQL["unlift"], ((digest,) for digest in hashes))
        return hashes

    async def hashes(self) -> set[bytes]:
        return {digest for (digest,) in self._database.rows(SQL["hashes"])}

    async def wanted_by(self, digest: bytes) -> list[int]:
        return [number for (number,) in self._database.rows(SQL["wanted_by"], (digest,))]

    async def lift(self, digest: bytes, at: int, *, device: bool) -> bool:
        return await self._database.write(self._lift, digest, at, device=device)

    def _lift(self, digest: bytes, at: int, *, device: bool) -> bool:
        self._database.connection.execute(SQL["unwant"], (digest,))
        return self._take_off(digest, at, device=device)

    def _take_off(self, digest: bytes, at: int, *, device: bool) -> bool:
        run = self._database.connection.execute
        found = list(run(SQL["take_off"], (digest,)))
        if found and device:
            run(SQL["note_lifted"], (digest, at))
        return bool(found)

    async def lift_request(self, number: int, at: int) -> Lifted:
        return await self._database.write(self._lift_request, number, at)

    def _lift_request(self, number: int, at: int) -> Lifted:
        run = self._database.connection.execute
        lifted = Lifted(set(), set())
        for digest, device in list(run(SQL["unwant_request"], (number,))):
            if run(SQL["still_wanted"], (digest,)).fetchone() is not None:
                lifted.kept.add(digest)
            else:
                lifted.gone.add(digest)
                self._take_off(digest, at, device=bool(device))
        return lifted

    async def lifted(self) -> dict[bytes, int]:
        return dict(self._database.rows(SQL["lifted"]))

"""How many ids each device has taken over today, in the directory's SQLite file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.storage.sqlite.connection import store_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import apsw

    from arke.domain.identity import DeviceDay

PRUNED_AT_ONCE = 500
"""Rows of days gone by that go with each write: more than it adds, and no event waits for many."""
_PRUNE = (
    "DELETE FROM takeover WHERE (day, device) IN (SELECT day, device FROM takeover WHERE day < ?1 LIMIT ?2)"
)


class SqliteTakeovers:
    """Uses the directory's connections: a write may run in another thread than the reads."""

    def __init__(
        self,
        connection: apsw.Connection,
        reads: apsw.Connection,
        where: str,
        hash_of: Callable[[str], bytes],
    ) -> None:
        self._connection = connection
        self._reads = reads
        self._where = where
        self._hash_of = hash_of

    def count(self, uuid: str, day: int) -> int:
        sql = "SELECT count FROM takeover WHERE day = ? AND device = ?"
        with store_errors(self._where):
            row = self._reads.execute(sql, (day, self._hash_of(uuid))).fetchone()
        return 0 if row is None else int(row[0])

    def keep(self, counts: Mapping[DeviceDay, int]) -> None:
        """Within the caller's transaction."""
        if not counts:
            return
        self._connection.executemany(
            "INSERT INTO takeover VALUES (?, ?, ?) ON CONFLICT (day, device) DO UPDATE SET "
            "count = max(count, excluded.count)",
            ((day, self._hash_of(uuid), count) for (uuid, day), count in counts.items()),
        )
        self._connection.execute(_PRUNE, (max(day for _, day in counts), PRUNED_AT_ONCE))

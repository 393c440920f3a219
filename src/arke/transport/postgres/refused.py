"""What no log's reader could read, kept in PostgreSQL for a while, whichever log it came from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from arke.errors import StoreUnavailable
from arke.log import get_logger
from arke.storage.sql_files import statements

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.storage.postgres.connection import Connection, Session
    from arke.transport.ports import Unreadable

SQL: Final = statements(Path(__file__).parent / "queries" / "log.sql")
KEPT_S: Final = 7 * 86_400
"""They may be about people, and nobody can tell whom to erase: they stay no longer than the events of a log."""
PRUNED_EVERY_S: Final = 3_600.0

log = get_logger("log")


class PostgresRefused:
    """The table of refused messages, by somebody's session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.count = 0
        """Those that this process could not read."""

    async def refuse(self, unreadable: Sequence[Unreadable]) -> None:
        columns = [list(column) for column in zip(*map(msgspec.structs.astuple, unreadable), strict=True)]

        def work(connection: Connection) -> None:
            with connection.transaction():
                connection.execute(SQL["refuse"], columns)
                connection.execute(SQL["trim_refused"], (KEPT_S,))

        await self._session.run(work)
        self.count += len(unreadable)

    async def prune(self) -> None:
        """Let go of those that were kept for long enough, whether others come or not."""
        try:
            await self._session.run(lambda connection: connection.execute(SQL["trim_refused"], (KEPT_S,)))
        except StoreUnavailable as error:
            log.warning("refused_not_pruned", message=str(error))

"""API tokens in the directory's SQLite file. See `arke.storage.ports.tokens.Tokens`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from arke.domain.token import Token
from arke.errors import InvalidInput
from arke.storage.statements import statements

if TYPE_CHECKING:
    from arke.storage.sqlite.database import Database

SQL = statements(Path(__file__).with_name("queries") / "tokens.sql")
_decode = msgspec.msgpack.Decoder(Token).decode


class SqliteTokens:
    """A token is stored as a message pack."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self) -> list[Token]:
        tokens = [_decode(body) for (body,) in self._database.rows(SQL["all"])]
        return sorted(tokens, key=lambda token: (token.created, token.id))

    async def add(self, token: Token) -> None:
        await self._database.write(self._add, token)

    def _add(self, token: Token) -> None:
        run = self._database.connection.execute
        if run(SQL["taken"], (token.id, token.secret_hash)).fetchone() is not None:
            raise InvalidInput(f"token {token.id} exists already")
        run(SQL["add"], (token.id, token.secret_hash, msgspec.msgpack.encode(token)))

    async def revoke(self, token_id: str, at: int) -> Token:
        return await self._database.write(self._revoke, token_id, at)

    def _revoke(self, token_id: str, at: int) -> Token:
        run = self._database.connection.execute
        row = run(SQL["get"], (token_id,)).fetchone()
        if row is None:
            raise InvalidInput(f"there is no token {token_id!r}: `arke token list` shows them")
        token = _decode(row[0])
        if token.revoked is None:
            token = msgspec.structs.replace(token, revoked=at)
            run(SQL["save"], (msgspec.msgpack.encode(token), token_id))
        return token

    async def find(self, secret_hash: bytes) -> Token | None:
        row = self._database.row(SQL["find"], (secret_hash,))
        return None if row is None else _decode(row[0])

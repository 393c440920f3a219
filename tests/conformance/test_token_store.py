"""What every token store does. An adapter joins by adding its factory to `FACTORIES`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from arke.domain.token import Token
from arke.errors import InvalidInput
from arke.storage.sqlite.connection import MEMORY
from arke.storage.sqlite.directory import SqliteDirectory
from arke.tokens import MemoryTokenStore, TokenStore, digest

Factory = Callable[[], TokenStore]


def in_a_directory() -> TokenStore:
    return SqliteDirectory(MEMORY).tokens


FACTORIES: list[Factory] = [MemoryTokenStore, in_a_directory]


def token(name: str, created: int = 100, expires: int | None = None) -> Token:
    return Token(
        id=f"id-{name}", name=name, scopes=("ingest", "read"), secret_hash=digest(name), created=created,
        expires=expires,
    )  # fmt: skip


@pytest.mark.parametrize("factory", FACTORIES)
class TestTokenStore:
    def test_what_was_added_is_found_by_its_hash(self, factory: Factory) -> None:
        store = factory()
        mine = token("a", expires=500)
        store.add(mine)
        assert store.find(digest("a")) == mine
        assert store.find(digest("b")) is None

    def test_the_list_is_oldest_first_and_keeps_what_is_dead(self, factory: Factory) -> None:
        store = factory()
        for one in (token("late", 300), token("early", 100, expires=101), token("middle", 200)):
            store.add(one)
        store.revoke("id-middle", 250)
        assert [one.name for one in store.list()] == ["early", "middle", "late"]

    def test_revoking_is_kept_and_the_first_time_counts(self, factory: Factory) -> None:
        store = factory()
        store.add(token("a"))
        assert store.revoke("id-a", 250).revoked == 250
        assert store.revoke("id-a", 999).revoked == 250
        found = store.find(digest("a"))
        assert found is not None
        assert found.revoked == 250

    def test_revoking_what_is_not_there_is_an_error(self, factory: Factory) -> None:
        with pytest.raises(InvalidInput, match="no token"):
            factory().revoke("id-a", 1)

    @pytest.mark.parametrize("twin", [token("a"), Token(
        id="other", name="a", scopes=("read",), secret_hash=digest("a"), created=1
    )])  # fmt: skip
    def test_neither_id_nor_hash_can_be_taken_twice(self, factory: Factory, twin: Token) -> None:
        store = factory()
        store.add(token("a"))
        with pytest.raises(InvalidInput, match="exists"):
            store.add(twin)
        assert store.list() == [token("a")]

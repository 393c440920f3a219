"""What every store of API tokens does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from arke.domain.token import Token
from arke.errors import InvalidInput
from arke.tokens import digest

if TYPE_CHECKING:
    from arke.storage.ports.directory import Directory


def token(name: str, created: int = 100, expires: int | None = None) -> Token:
    return Token(
        id=f"id-{name}", name=name, scopes=("ingest", "read"), secret_hash=digest(name), created=created,
        expires=expires,
    )  # fmt: skip


async def test_what_was_added_is_found_by_its_hash(directory: Directory) -> None:
    store = directory.tokens
    mine = token("a", expires=500)
    await store.add(mine)
    assert await store.find(digest("a")) == mine
    assert await store.find(digest("b")) is None


async def test_the_list_is_oldest_first_and_keeps_what_is_dead(directory: Directory) -> None:
    store = directory.tokens
    for one in (token("late", 300), token("early", 100, expires=101), token("middle", 200)):
        await store.add(one)
    await store.revoke("id-middle", 250)
    assert [one.name for one in await store.list()] == ["early", "middle", "late"]


async def test_revoking_is_kept_and_the_first_time_counts(directory: Directory) -> None:
    store = directory.tokens
    await store.add(token("a"))
    assert (await store.revoke("id-a", 250)).revoked == 250
    assert (await store.revoke("id-a", 999)).revoked == 250
    found = await store.find(digest("a"))
    assert found is not None
    assert found.revoked == 250


async def test_revoking_what_is_not_there_is_an_error(directory: Directory) -> None:
    with pytest.raises(InvalidInput, match="no token"):
        await directory.tokens.revoke("id-a", 1)


@pytest.mark.parametrize("twin", [token("a"), Token(
    id="other", name="a", scopes=("read",), secret_hash=digest("a"), created=1
)])  # fmt: skip
async def test_neither_id_nor_hash_can_be_taken_twice(directory: Directory, twin: Token) -> None:
    store = directory.tokens
    await store.add(token("a"))
    with pytest.raises(InvalidInput, match="exists"):
        await store.add(twin)
    assert await store.list() == [token("a")]

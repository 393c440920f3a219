"""API tokens: secrets, scopes, lifetimes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from arke.errors import InvalidInput, Unauthorized
from arke.storage.committer import InlineCommitter
from arke.storage.sqlite.connection import MEMORY
from arke.storage.sqlite.directory import SqliteDirectory
from arke.tokens import authorize as authorize_awaiting
from arke.tokens import digest, mint, parse_lifetime_s

if TYPE_CHECKING:
    from arke.domain.token import Token
    from arke.storage.ports.directory import Tokens

NOW = 1_000_000


def stored(*tokens: Token) -> Tokens:
    store = SqliteDirectory(MEMORY, committer=InlineCommitter()).tokens
    for token in tokens:
        asyncio.run(store.add(token))
    return store


def authorize(store: Tokens, secret: str | None, scope: str, now: float) -> Token:
    return asyncio.run(authorize_awaiting(store, secret, scope, now))


def test_a_secret_is_256_random_bits_and_not_stored() -> None:
    secret, token = mint("loader", ["ingest"], now=NOW)
    assert secret.startswith("arke_")
    assert len(secret) == len("arke_") + 43
    assert token.secret_hash == digest(secret)
    assert secret not in repr(token)
    assert mint("loader", ["ingest"], now=NOW)[0] != secret


@pytest.mark.parametrize(
    ("own", "allowed"),
    [
        (["ingest"], {"ingest"}),
        (["metrics"], {"metrics"}),
        (["read"], {"read", "metrics"}),
        (["operate"], {"operate", "read", "metrics"}),
        (["admin"], {"ingest", "metrics", "read", "operate", "admin"}),
        (["read", "ingest"], {"read", "metrics", "ingest"}),
    ],
)
def test_what_each_scope_implies(own: list[str], allowed: set[str]) -> None:
    secret, token = mint("t", own, now=NOW)
    store = stored(token)
    for scope in ("ingest", "metrics", "read", "operate", "admin"):
        if scope in allowed:
            assert authorize(store, secret, scope, NOW) == token
        else:
            with pytest.raises(Unauthorized) as caught:
                authorize(store, secret, scope, NOW)
            assert caught.value.forbidden


def test_wrong_expired_and_revoked_are_told_apart_by_nobody() -> None:
    expiring, first = mint("a", ["ingest"], now=NOW, lifetime_s=60)
    revoked, second = mint("b", ["ingest"], now=NOW)
    store = stored(first, second)
    assert authorize(store, expiring, "ingest", NOW + 59) == first
    asyncio.run(store.revoke(second.id, NOW))
    messages = set()
    for secret, now in (
        (expiring, NOW + 60),
        (revoked, NOW),
        ("arke_wrong", NOW),
        ("x" * 100_000, NOW),
        ("\ud800", NOW),
    ):
        with pytest.raises(Unauthorized) as caught:
            authorize(store, secret, "ingest", now)
        assert not caught.value.forbidden
        assert secret not in str(caught.value)
        messages.add(str(caught.value))
    assert len(messages) == 1


@pytest.mark.parametrize("nothing", [None, ""])
def test_no_token_is_told_how_to_send_one(nothing: str | None) -> None:
    with pytest.raises(Unauthorized, match="Bearer"):
        authorize(stored(), nothing, "ingest", NOW)


@pytest.mark.parametrize("scopes", [["root"], [], [""], ["ingest", "Read"], ["browser", "admin"]])
def test_unknown_scopes_and_none_are_refused(scopes: list[str]) -> None:
    with pytest.raises(InvalidInput, match="scope"):
        mint("t", scopes, now=NOW)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90d", 7_776_000), ("12h", 43_200), ("30m", 1_800), ("2w", 1_209_600), ("1y", 31_536_000)],
)
def test_lifetimes(text: str, seconds: int) -> None:
    assert parse_lifetime_s(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "90", "d", "-1d", "0d", "1.5d", "90 d", "11y", "90D", "9999999d", "\u0661d"]
)
def test_what_is_not_a_lifetime(text: str) -> None:
    with pytest.raises(InvalidInput, match="90d"):
        parse_lifetime_s(text)

"""Request files of Audience Manager's privacy service, as the dossier (17) tells of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from arke.domain.catalog import Catalog, DataSource
from arke.domain.ids import IdRules
from arke.errors import InvalidInput
from arke.privacy.request_file import MAX_USERS, Wanted, read_id, read_request

UUID = "00000000000000000000000000000000000042"


class Known:
    """A catalog with one integration code."""

    ids = IdRules(Catalog(data_sources=(DataSource(id=12345, integration_code="acme"),)))


def user(*ids: tuple[Any, str, Any], action: str = "delete") -> dict[str, Any]:
    named = [{"namespace": space, "type": kind, "value": value} for space, kind, value in ids]
    return {"key": "David Smith", "action": [action], "userIDs": named}


def read(*users: dict[str, Any], action: str = "delete") -> list[Wanted]:
    return [Wanted(one.uuids, one.ids) for one in read_request(json.dumps({"users": users}), action, Known())]


def test_a_sample_with_its_comment_and_its_odd_regulation() -> None:
    """`//` first, `"[gdpr]"` where JSON would have a list, and much that is of no concern."""
    text = """//Delete request
    // a second line of it
    {"companyContexts": [{"namespace": "imsOrgID", "value": "5AB13068374019BC@AdobeOrg"}],
     "users": [{"key": "David Smith", "action": ["access", "delete"], "userIDs": [
        {"namespace": "0", "value": "00000000000000000000000000000000000042", "type": "namespaceId"},
        {"namespace": "4", "value": "51106012371349541430157290142170842714", "type": "namespaceId"}]}],
     "include": ["AudienceManager"], "regulation": "[gdpr]"}"""
    wanted = Wanted((UUID,), ((4, "51106012371349541430157290142170842714"),), "user 1")
    assert read_request(text, "delete", Known()) == [wanted]
    assert read_request(text, "access", Known()) == [wanted]


@pytest.mark.parametrize(
    ("namespace", "kind", "value", "found"),
    [
        ("0", "namespaceId", UUID, Wanted((UUID,))),
        (0, "namespaceId", UUID, Wanted((UUID,))),
        ("CORE", "standard", UUID, Wanted((UUID,))),
        ("4", "namespaceId", "123", Wanted((), ((4, "123"),))),
        ("4", "namespaceId", 123, Wanted((), ((4, "123"),))),
        ("ECID", "standard", "123", Wanted((), ((4, "123"),))),
        ("12345", "namespaceId", "abc", Wanted((), ((12345, "abc"),))),
        ("99999", "namespaceId", "abc", Wanted((), ((99999, "abc"),))),
        ("acme", "integrationCode", "abc", Wanted((), ((12345, "abc"),))),
        ("DSID_20914", "integrationCode", "x", Wanted((), ((20914, "x"),))),
    ],
)
def test_name_spaces(namespace: str | int, kind: str, value: str | int, found: Wanted) -> None:
    """A data source that has left the catalog is taken too: what it left behind is still there."""
    assert read(user((namespace, kind, value))) == [found]


def test_only_the_users_of_the_asked_action_are_taken() -> None:
    """Each is one request, with all their ids."""
    users = (
        user(("0", "namespaceId", UUID), ("acme", "integrationCode", "a"), ("acme", "integrationCode", "a")),
        user(("acme", "integrationCode", "b"), action="access"),
        user(("acme", "integrationCode", "c"), action="opt-out-of-sale"),
    )
    assert read(*users) == [Wanted((UUID,), ((12345, "a"),))]
    assert read(*users, action="opt_out") == [Wanted((), ((12345, "c"),))]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a privacy request"),
        ("// only a comment", "not a privacy request"),
        ("[" * 100_000, "not a privacy request"),
        ('{"users": 1}', "not a privacy request"),
        ('{"users": []}', "asks for delete for none of its users"),
        (json.dumps({"users": [user()]}), "user 1: needs 1 to 1,000 userIDs, has 0"),
        (json.dumps({"users": [user(("0", "namespaceId", "12"))]}), "user 1, id 1: a UUID has exactly 38"),
        (json.dumps({"users": [user(("nope", "integrationCode", "1"))]}), "names no data source"),
        (json.dumps({"users": [user(("5", "email", "1"))]}), "type must be"),
        (json.dumps({"users": [user(("5", "namespaceId", "a\u0000"))]}), "control character"),
        (json.dumps({"users": [user(("5", "namespaceId", ""))]}), "1 to 512 characters"),
        (
            json.dumps({"users": [user(("20914", "namespaceId", "00000000-0000-0000-0000-000000000000"))]}),
            "nobody's own",
        ),
        (json.dumps({"users": [user(("5", "namespaceId", "1"), action="burn")]}), "not 'burn'"),
        (json.dumps({"users": [user()] * (MAX_USERS + 1)}), "one file may have 10,000"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, message: str) -> None:
    """As a whole: a file of which one user is wrong does nothing."""
    with pytest.raises(InvalidInput, match=message):
        read_request(text, "delete", Known())


def test_an_id_as_people_write_it() -> None:
    """The id may hold colons."""
    assert read_id("12345:a:b", Known.ids) == (12345, "a:b")
    for wrong in ("12345", "x:y", "0:a", "5:", "-1:a", ":a"):
        with pytest.raises(InvalidInput):
            read_id(wrong, Known.ids)

"""The request file of Audience Manager's privacy service (dossier 17), as what is asked of this engine.

The published samples begin with a `//` comment and name the regulation as `"[gdpr]"`; both are taken as they
are. Everything but who is meant, and what is to be done, is of no concern here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from arke.domain.identity import IdKey
from arke.domain.ids import NOBODYS, IdProblem, IdRules, is_uuid, parse_dpid
from arke.errors import InvalidInput
from arke.privacy.request import Asked

if TYPE_CHECKING:
    from arke.intake.ports import NameSpaces
    from arke.privacy.request import Action

MAX_REQUEST_BYTES: Final = 16 * 1024 * 1024
MAX_USERS: Final = 10_000
"""In one file."""
MAX_IDS: Final = 1_000
"""Of one user."""

_CORE: Final = ("0", "CORE")
"""Name spaces of the UUID itself."""
_STANDARD: Final = {"ECID": 4, "GAID": 20914, "IDFA": 20915}
"""Named name spaces that are data sources."""
_MOST_COMMENTS: Final = 1_000
"""Lines of comment before the request."""
_BLANK: Final = re.compile(r"\s*")

_ACTIONS: Final[dict[str, Literal["access", "delete", "opt_out"]]] = {
    "access": "access",
    "delete": "delete",
    "opt-out": "opt_out",
    "opt_out": "opt_out",
    "optout": "opt_out",
    "opt-out-of-sale": "opt_out",
}


class _UserId(msgspec.Struct):
    namespace: str | int
    value: str | int
    type: str = "namespaceId"


class _User(msgspec.Struct, rename={"user_ids": "userIDs"}):
    user_ids: list[_UserId]
    action: list[str] = []
    key: str = ""


class _File(msgspec.Struct):
    users: list[_User]


class Wanted(msgspec.Struct, frozen=True):
    """Whom something is asked for: by UUIDs and by ids, as they are written. `where` says in an error whose these
    are.
    """

    uuids: tuple[str, ...] = ()
    ids: tuple[IdKey, ...] = ()
    where: str = "--id"

    def asked(self, action: Action) -> Asked:
        return Asked(action, self.uuids, self.ids)


def read_request(text: str, action: str, known: NameSpaces) -> list[Wanted]:
    """Everybody for whom the file asks for this action (access, delete, opt_out). Raises InvalidInput."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_REQUEST_BYTES:
        raise InvalidInput(f"a privacy request may have {MAX_REQUEST_BYTES:,} bytes: split the file")
    try:
        file = msgspec.json.decode(_without_comments(text.removeprefix("\ufeff")), type=_File)
    except (msgspec.MsgspecError, RecursionError, UnicodeEncodeError) as error:
        raise InvalidInput(f"this is not a privacy request: {error}") from None
    if len(file.users) > MAX_USERS:
        raise InvalidInput(f"{len(file.users):,} users: one file may have {MAX_USERS:,}; split it")
    found = [
        _wanted(number, user, known)
        for number, user in enumerate(file.users, 1)
        if action in _actions(number, user)
    ]
    if not found:
        raise InvalidInput(f"the request asks for {action.replace('_', '-')} for none of its users")
    return found


def _without_comments(text: str) -> str:
    """Without the comments that it begins with, line by line: a pattern for them all takes memory for each."""
    start = 0
    for _ in range(_MOST_COMMENTS):
        blank = _BLANK.match(text, start)
        start = start if blank is None else blank.end()
        if not text.startswith("//", start):
            break
        end = text.find("\n", start)
        start = len(text) if end < 0 else end + 1
    return text[start:]


def _actions(number: int, user: _User) -> set[str]:
    unknown = [name for name in user.action if name.lower() not in _ACTIONS]
    if unknown or not user.action:
        raise InvalidInput(
            f"user {number}: action must hold access, delete or opt-out"
            + (f", not {unknown[0]!r}" if unknown else "")
        )
    return {_ACTIONS[name.lower()] for name in user.action}


def _wanted(number: int, user: _User, known: NameSpaces) -> Wanted:
    if not user.user_ids or len(user.user_ids) > MAX_IDS:
        raise InvalidInput(f"user {number}: needs 1 to {MAX_IDS:,} userIDs, has {len(user.user_ids):,}")
    uuids: dict[str, None] = {}
    ids: dict[IdKey, None] = {}
    for place, named in enumerate(user.user_ids, 1):
        where = f"user {number}, id {place}"
        if str(named.namespace) in _CORE:
            uuids[check_uuid(str(named.value), where)] = None
        else:
            dpid = _data_source(named, known, where)
            ids[dpid, check_id(known.ids, dpid, str(named.value), where)] = None
    return Wanted(tuple(uuids), tuple(ids), f"user {number}")


def _data_source(named: _UserId, known: NameSpaces, where: str) -> int:
    name = str(named.namespace)
    dpid: int | None = None
    if named.type == "integrationCode":
        dpid = known.ids.codes.get(name)
    elif named.type in ("namespaceId", "standard", "custom", "unregistered"):
        dpid = _STANDARD.get(name, parse_dpid(name))
    else:
        raise InvalidInput(f"{where}: type must be namespaceId, standard or integrationCode")
    if dpid is None:
        raise InvalidInput(f"{where}: {name!r} ({named.type}) names no data source")
    return dpid


def check_id(rules: IdRules, dpid: int, value: str, where: str) -> str:
    """The id as it is written, or InvalidInput. Its data source may have left the catalog, or an earlier version
    taken ids of another form: what was left behind is still there, so whoever can look for it decides.
    """
    found = rules.sought(dpid, value)
    if found is IdProblem.MALFORMED or found in NOBODYS:
        raise InvalidInput(f"{where}: {found.value}")
    return value


def check_uuid(text: str, where: str) -> str:
    """The UUID, or InvalidInput."""
    if not is_uuid(text):
        raise InvalidInput(f"{where}: a UUID has exactly 38 decimal digits")
    return text


def read_id(text: str, rules: IdRules) -> IdKey:
    """`DPID:ID` as people write it. Raises InvalidInput."""
    number, partner_id = split_id(text)
    return number, check_id(rules, number, partner_id, "--id")


def split_id(text: str) -> IdKey:
    """The same, whatever the id is. Raises InvalidInput."""
    dpid, colon, partner_id = text.partition(":")
    number = parse_dpid(dpid)
    if not colon or number is None or not partner_id:
        raise InvalidInput("an id is written DPID:ID, for example 12345:abc")
    return number, partner_id

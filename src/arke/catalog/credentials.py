"""What a destination's requests prove themselves with, as written in a catalog: headers, HTTP Basic, OAuth 2.0."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from arke.catalog.endpoints import read_tls, read_url
from arke.catalog.fields import shown, type_name
from arke.catalog.header_names import name_problem
from arke.catalog.values import secret_reference
from arke.domain.catalog import BasicAuth, OAuth2, Setting, TokenAuth
from arke.domain.secret_text import is_reference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path as FilePath

    from arke.catalog.endpoints import TlsChecker
    from arke.catalog.fields import Fields
    from arke.catalog.values import Confined
    from arke.domain.catalog import Signature

BASIC_AUTH_FIELDS = ("username", "password")
OAUTH2_FIELDS = ("token_url", "credentials", "auth", "params", "tls")
MAX_SETTINGS: Final = 50
"""Headers of a destination, or parameters of a token request."""
MAX_VALUE_LENGTH: Final = 4_096

_CONSTANT = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
_PARAMETER = re.compile(r"[\x21-\x7e]{1,100}")
_WORD = re.compile(r"[a-z]+")
_SECRET_WORDS = (
    *("key", "apikey", "token", "secret", "password", "passwd", "pass", "pwd", "auth", "authorization"),
    *("authentication", "credential", "credentials", "assertion", "signature", "cookie"),
)
_SCHEME = re.compile(r"(?:bearer|basic|token|apikey|digest|negotiate) ", re.IGNORECASE)


def read_headers(
    fields: Fields, signatures: Iterable[Signature], confined: Confined | None
) -> tuple[Setting, ...]:
    """Header fields of every message: constants, and references to secrets."""
    signed = {name.lower() for one in signatures for name in (one.header, one.timestamp_header) if name}
    authorized = next((key for key in ("oauth2", "basic_auth") if fields.has(key)), None)
    seen: set[str] = set()

    def problem(name: str) -> tuple[str, str] | None:
        lower = name.lower()
        twice = lower in seen
        seen.add(lower)
        if twice:
            return f"the header {name} stands twice, in other letters", "give it once"
        if lower in signed:
            return (
                f"the header {name} carries a signature",
                "choose another name, or remove it from signatures",
            )
        if lower == "authorization" and authorized is not None:
            return f"the header {name} is also set by {authorized}", f"keep one: the header, or {authorized}"
        return name_problem(name)

    return _settings(fields, "headers", problem, confined)


def read_basic_auth(fields: Fields, confined: Confined | None) -> BasicAuth | None:
    """A mapping of user name and password, or one reference to `NAME:PASSWORD`."""
    key = "basic_auth"
    if not fields.has(key):
        return None
    if fields.has("oauth2"):
        fields.error(key, "basic_auth and oauth2 both set the header Authorization", "keep one of them")
    if not isinstance(fields.raw(key), dict):
        return BasicAuth(pair=secret_reference(fields, key, confined))
    entry = fields.mapping(key, BASIC_AUTH_FIELDS)
    if entry is None:
        return None
    entry.missing("username", "a name, or a reference to it: env:NAME or file:PATH")
    username = _value(entry, "username", confined) if entry.has("username") else None
    if username is not None and ":" in username and not is_reference(username):
        entry.error("username", "a user name must not hold a colon", "the password goes into password")
    return BasicAuth(username=username or "", password=secret_reference(entry, "password", confined))


def read_oauth2(
    fields: Fields,
    base_dir: FilePath | None,
    checker: Callable[[str], object] | None,
    confined: Confined | None,
    tls_checker: TlsChecker | None = None,
) -> OAuth2 | None:
    entry = fields.mapping("oauth2", OAUTH2_FIELDS)
    if entry is None:
        return None
    auth: TokenAuth = entry.choice("auth", TokenAuth, "basic")
    given = entry.raw("params")
    named = isinstance(given, dict) and "client_id" in given
    credentials = None
    if entry.has("credentials") or not (auth == "body" and named):
        credentials = secret_reference(entry, "credentials", confined)
    return OAuth2(
        token_url=read_url(entry, "token_url", checker),
        credentials=credentials,
        auth=auth,
        params=_params(entry, auth, confined),
        tls=read_tls(entry, base_dir, confined, tls_checker) if entry.has("tls") else None,
    )


def _params(fields: Fields, auth: TokenAuth, confined: Confined | None) -> tuple[Setting, ...]:
    """Fields of the token request's form besides those that the grant and the client have."""
    with_credentials = fields.has("credentials")

    def problem(name: str) -> tuple[str, str] | None:
        if not _PARAMETER.fullmatch(name):
            return f"{shown(name)} is not the name of a parameter", "visible ASCII, as scope or audience"
        if name == "grant_type":
            return "the parameter grant_type is reserved", "it is client_credentials"
        if name in ("client_id", "client_secret"):
            if auth == "basic":
                return f"the parameter {name} needs auth: body", "with auth: basic, credentials say who asks"
            if with_credentials:
                return f"the parameter {name} is reserved", "it is taken from credentials; keep one of both"
        return None

    return _settings(fields, "params", problem, confined)


def _settings(
    fields: Fields,
    key: str,
    problem: Callable[[str], tuple[str, str] | None],
    confined: Confined | None,
) -> tuple[Setting, ...]:
    """A mapping of names of the reader's choice. `problem` says why one cannot be given."""
    given = fields.raw(key)
    entry = fields.mapping(key, [*given] if isinstance(given, dict) else ["name"])
    if entry is None or not isinstance(given, dict):
        return ()
    if len(given) > MAX_SETTINGS:
        fields.error(key, f"{key} has {len(given)} entries; at most {MAX_SETTINGS} are allowed")
        return ()
    found: list[Setting] = []
    for name in given:
        wrong = problem(name)
        if wrong is not None:
            entry.error(name, *wrong)
            continue
        value = _value(entry, name, confined)
        if value is not None:
            found.append(Setting(name=name, value=value))
    return tuple(found)


def _value(fields: Fields, name: str, confined: Confined | None) -> str | None:
    """A constant, or a reference. A constant that may be a secret is refused; no message repeats it."""
    value = fields.raw(name)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        if value is not None:
            fields.error(name, f"{name} must be text, not {type_name(value)}", "put it in quotes")
        return None
    if is_reference(value) or _tells_a_secret(name, value):
        return secret_reference(fields, name, confined) or None
    if len(value) > MAX_VALUE_LENGTH:
        fields.error(name, f"{name} has {len(value)} characters; at most {MAX_VALUE_LENGTH} are allowed")
    elif not _CONSTANT.fullmatch(value):
        hint = "visible ASCII without line breaks, and no blank at its ends"
        fields.error(name, f"the value of {name} cannot be sent", hint)
    else:
        return value
    return None


def _tells_a_secret(name: str, value: str) -> bool:
    words = _WORD.findall(name.lower())
    return bool(words and words[-1].endswith(_SECRET_WORDS)) or bool(_SCHEME.match(value))

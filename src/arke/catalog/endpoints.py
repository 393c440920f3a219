"""How a destination is reached, as written in a catalog: URL, type of the body, TLS files."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Protocol
from urllib.parse import SplitResult, urlsplit

from arke.catalog.fields import shown
from arke.catalog.values import NOT_FROM_AFAR
from arke.domain.catalog import Tls
from arke.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable

    from arke.catalog.fields import Fields
    from arke.catalog.values import Confined

MAX_URL_LENGTH = 2_048

PLACEHOLDER = ".invalid"
"""The end of names that never exist (RFC 2606): a host that somebody has still to write."""

TLS_FIELDS = ("ca_file", "client_cert", "client_key")

_NAME = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_PARAMETER = re.compile(rf';[ ]*({_NAME})=({_NAME}|"[ !#-\[\]-~]*")[ ]*')
_CONTENT_TYPE = re.compile(rf"({_NAME}/{_NAME})[ ]*((?:{_PARAMETER.pattern})*)")
_UTF8 = frozenset({"utf-8", "utf8"})


def placeholder_url(destination: int) -> str:
    """The address of a destination whose own is not known: well formed, and leads nowhere."""
    return f"https://destination-{destination}{PLACEHOLDER}/"


def read_url(fields: Fields, key: str, checker: Callable[[str], object] | None) -> str:
    """An https URL. Messages repeat no part of it: a query or user name may be a secret."""
    url = fields.required_text(key, max_length=MAX_URL_LENGTH)
    if not url:
        return ""
    problem = _url_problem(url)
    if problem is not None:
        fields.error(key, f"{key} {problem[0]}", problem[1])
    elif checker is not None:
        try:
            checker(url)
        except InvalidInput as error:
            fields.error(key, str(error))
    if problem is None and (urlsplit(url).hostname or "").rstrip(".").endswith(PLACEHOLDER):
        message = (
            f"the host of {key} is a placeholder: no name under {PLACEHOLDER} exists, and nothing gets there"
        )
        fields.warn(key, message, "write the endpoint's address")
    return url


def _url_problem(url: str) -> tuple[str, str | None] | None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "is not a valid URL", "https://host/path, with a port from 1 to 65535 where one is needed"
    if parts.scheme == "http":
        return "must be https", "personal data is never sent in clear: write https://"
    if parts.scheme != "https":
        return "must be an https URL", "https://host/path"
    return _authority_problem(url, parts, port)


def _authority_problem(url: str, parts: SplitResult, port: int | None) -> tuple[str, str | None] | None:
    if not parts.hostname or port == 0:
        return "is not a valid URL", "https://host/path, with a port from 1 to 65535 where one is needed"
    if "@" in parts.netloc:
        return (
            "must not hold a user name or password",
            "use basic_auth, oauth2 or signatures",
        )
    if "#" in url:
        return "must not have a fragment", "remove # and what follows"
    if " " in url or "\\" in url:
        return "contains a space or a backslash", "write %20 for a space"
    return None


class FileProblem(Protocol):
    """Something wrong with the file that a field of `tls` names; a doubt is only a warning."""

    @property
    def field(self) -> str: ...
    @property
    def message(self) -> str: ...
    @property
    def hint(self) -> str: ...
    @property
    def doubt(self) -> bool: ...


TlsChecker = Callable[[Tls, "Confined | None"], "Iterable[FileProblem]"]
"""Looks into the files of a profile, which are there; the other argument opens those that came over the network."""


def read_tls(
    fields: Fields, base_dir: FilePath | None, confined: Confined | None, checker: TlsChecker | None = None
) -> Tls:
    """Certificate files; a relative path counts from the catalog file and is stored absolute."""
    entry = fields.mapping("tls", TLS_FIELDS)
    if entry is None:
        return Tls()
    if entry.has("client_key") and not entry.has("client_cert"):
        entry.error("client_key", "client_key needs client_cert", "name the certificate this key belongs to")
    tls = Tls(
        ca_file=_file(entry, "ca_file", base_dir, confined),
        client_cert=_file(entry, "client_cert", base_dir, confined),
        client_key=_file(entry, "client_key", base_dir, confined),
        confined=confined is not None,
    )
    for problem in () if checker is None else checker(tls, confined):
        report = entry.warn if problem.doubt else entry.error
        report(problem.field, problem.message, problem.hint)
    return tls


def _file(fields: Fields, key: str, base_dir: FilePath | None, confined: Confined | None) -> str | None:
    name = fields.text(key, max_length=4_096)
    if name is None:
        return None
    path = FilePath(name)
    if not path.is_absolute():
        if base_dir is None:
            fields.error(
                key,
                f"{key} {shown(name)} is a relative path",
                "this catalog has no folder: write it absolute",
            )
            return None
        path = base_dir.absolute() / path
    if confined is not None:
        if not confined.has_file(str(path)):
            fields.error(key, f"{key}: there is no such file", NOT_FROM_AFAR)
    elif (problem := _unreadable(path)) is not None:
        fields.error(key, f"{key}: {problem[0]}", problem[1])
    return str(path)


def _unreadable(path: FilePath) -> tuple[str, str] | None:
    """What is wrong with a file, and how to mend it."""
    try:
        if not path.is_file():
            return f"there is no file {path}", "a relative path counts from the catalog's own folder"
    except OSError as error:
        return f"the file {path} cannot be read: {error.strerror}", "name one that this user may read"
    if not os.access(path, os.R_OK):
        return f"the file {path} cannot be read", "give this user permission to read it"
    return None


def read_content_type(fields: Fields) -> str:
    """A media type with its parameters, such as `application/json; charset=utf-8`. Bodies are always UTF-8."""
    default = "application/json"
    text = fields.text("content_type")
    if text is None:
        return default
    found = _CONTENT_TYPE.fullmatch(text)
    if found is None:
        hint = "type/subtype, with parameters where they are needed: application/json; charset=utf-8"
        fields.error("content_type", f"{shown(text)} is not a content type", hint)
        return default
    for name, value in _PARAMETER.findall(found[2]):
        charset = value.strip('"')
        if name.lower() == "charset" and charset.lower() not in _UTF8:
            fields.error("content_type", f"the charset cannot be {shown(charset)}", "bodies are UTF-8")
    return text

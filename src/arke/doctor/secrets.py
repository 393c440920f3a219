"""Secrets and certificates that settings and catalog refer to: whether they are there, and how long they last."""

from __future__ import annotations

import re
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from arke.delivery.https.tls_files import file_problems
from arke.delivery.secrets import Secrets
from arke.doctor.finding import doubtful, fine, wrong
from arke.errors import SecretUnresolved
from arke.operations.certificates import NO_CERTIFICATE, SOON_DAYS, days_left, files_of, lasting_of
from arke.wording import many

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arke.delivery.secrets import Confinement
    from arke.doctor.finding import Finding
    from arke.domain.catalog import Destination, Tls
    from arke.settings import Settings

_REFERENCE: Final = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|file:\S.*")


def references(value: Any) -> Iterator[str]:
    """Every reference to a secret in a structure."""
    if isinstance(value, str):
        if _REFERENCE.fullmatch(value):
            yield value
    elif isinstance(value, msgspec.Struct):
        yield from references(msgspec.structs.astuple(value))
    elif isinstance(value, dict):
        yield from references(tuple(value.values()))
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from references(one)


def secrets_of(
    settings: Settings, destinations: list[Destination], confinement: Confinement
) -> Iterator[Finding]:
    """Whether each resolves for this process; the value is shown to nobody."""
    secrets = Secrets(confinement)
    wanted = [("arke.toml", reference, False) for reference in dict.fromkeys(references(settings))]
    for one in destinations:
        named = dict.fromkeys(references(msgspec.structs.replace(one, segments=(), template=None)))
        wanted += [(f"destination {one.id}", reference, one.confined) for reference in named]
    for where, reference, confined in wanted:
        try:
            secrets.value(reference, confined=confined)
        except SecretUnresolved as error:
            do = "give it to the engine, and run this with the engine's environment, as its user"
            yield wrong("secrets", f"{where}: {error}", do)
        else:
            yield from _readable(where, reference)
    if not wanted:
        yield fine("secrets", "none are referred to")


def _readable(where: str, reference: str) -> Iterator[Finding]:
    kind, _, path = reference.partition(":")
    if kind == "file" and stat.S_IMODE(Path(path).stat().st_mode) & stat.S_IROTH:
        yield doubtful("secrets", f"{where}: anybody on this machine may read {path}", f"chmod 600 {path}")
    else:
        yield fine("secrets", f"{where}: {reference} is there")


def certificates_of(
    settings: Settings, destinations: list[Destination], confinement: Confinement
) -> Iterator[Finding]:
    """Files of certificates, with days left."""
    for one in destinations:
        yield from _profile(f"destination {one.id}: tls", one.tls)
        if one.oauth2 is not None and one.oauth2.tls is not None:
            yield from _profile(f"destination {one.id}: oauth2.tls", one.oauth2.tls)
    for file in lasting_of(files_of(settings, destinations), confinement):
        if file.until is not None:
            for where in file.where:
                yield lasting(f"{where} {file.path}", file.until)
        elif file.problem != NO_CERTIFICATE or not file.destinations:
            do = "put it there as PEM text, readable for the engine's user"
            for where in file.where:
                yield wrong("certificates", f"{where} {file.path}: {file.problem}", do)


def _profile(where: str, tls: Tls) -> Iterator[Finding]:
    """What does not work in its files; that one has expired is said with the days."""
    for problem in file_problems(tls):
        if not problem.doubt:
            yield wrong("certificates", f"{where}.{problem.message}", problem.hint)


def lasting(what: str, until: float, *, theirs: bool = False) -> Finding:
    """A certificate that ends at a moment; `theirs`: a partner's server has it."""
    days = days_left(until, time.time())
    renew = "tell the partner" if theirs else "renew it"
    if days < 0:
        return wrong(
            "certificates", f"{what}: expired {many(-days, 'day')} ago", f"{renew}: no message gets through"
        )
    if days < SOON_DAYS:
        return doubtful("certificates", f"{what}: expires in {many(days, 'day')}", renew)
    return fine("certificates", f"{what}: {many(days, 'day')} left")

"""Secrets and certificates that settings and catalog refer to: whether they are there, and how long they last."""

from __future__ import annotations

import re
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from cryptography import x509

from arke.delivery.https.tls_files import file_problems
from arke.delivery.secrets import Secrets
from arke.doctor.finding import doubtful, fine, wrong
from arke.errors import SecretUnresolved

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arke.delivery.secrets import Confinement
    from arke.doctor.finding import Finding
    from arke.domain.catalog import Destination, Tls
    from arke.settings import Settings

SOON_DAYS: Final = 30
DAY_S: Final = 86_400
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


def certificates_of(settings: Settings, destinations: list[Destination]) -> Iterator[Finding]:
    """Files of certificates, with days left."""
    for one in destinations:
        yield from _profile(f"destination {one.id}", one.tls)
    for name, file in (
        ("egress.proxy_ca_file", settings.egress.proxy_ca_file),
        ("cluster.ca_file", settings.cluster.ca_file),
        ("cluster.cert_file", settings.cluster.cert_file),
    ):
        if file:
            yield from _days(name, Path(file))


def _profile(where: str, tls: Tls) -> Iterator[Finding]:
    problems = file_problems(tls)
    for problem in problems:
        yield wrong("certificates", f"{where}: tls.{problem.message}", problem.hint)
    broken = {problem.field for problem in problems}
    for field in ("ca_file", "client_cert"):
        file = getattr(tls, field)
        if file is not None and field not in broken:
            yield from _days(f"{where}: tls.{field}", Path(file))


def _days(where: str, file: Path) -> Iterator[Finding]:
    try:
        found = x509.load_pem_x509_certificates(file.read_bytes())
    except OSError as error:
        why = (error.strerror or "error").lower()
        yield wrong("certificates", f"{where} {file}: {why}", "put it there, readable for the engine's user")
        return
    except ValueError:
        yield wrong("certificates", f"{where} {file}: no usable certificate is in it", "PEM text is needed")
        return
    yield lasting(f"{where} {file}", max(one.not_valid_after_utc.timestamp() for one in found))


def lasting(what: str, until: float, *, theirs: bool = False) -> Finding:
    """A certificate that ends at a moment; `theirs`: a partner's server has it."""
    days = int((until - time.time()) // DAY_S)
    renew = "tell the partner" if theirs else "renew it"
    if days < 0:
        return wrong("certificates", f"{what}: expired {-days} days ago", f"{renew}: no message gets through")
    if days < SOON_DAYS:
        return doubtful("certificates", f"{what}: expires in {days} days", renew)
    return fine("certificates", f"{what}: {days} days left")

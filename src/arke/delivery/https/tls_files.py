"""What is wrong with the files of a TLS profile, found when a catalog is checked and not when a message fails."""

from __future__ import annotations

import os
import ssl
import stat
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, NamedTuple

from arke.delivery.https.held_file import held_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptography.x509 import Certificate

    from arke.delivery.https.held_file import OpensFiles
    from arke.domain.catalog import Tls

MAX_BYTES: Final = 4 * 1024 * 1024
"""All the authorities of a system are a quarter of a megabyte."""

_PEM: Final = "PEM text: -----BEGIN CERTIFICATE-----, base64, -----END CERTIFICATE-----"
_PLAIN_KEY: Final = (
    "Arke asks nobody for a password: openssl pkey -in KEY -out PLAIN, readable by this user only"
)


class FileProblem(NamedTuple):
    """A problem with the file that a field of `tls` names; a doubt does not keep the catalog from being applied."""

    field: str
    message: str
    hint: str
    doubt: bool = False


def file_problems(
    profile: Tls, opens: OpensFiles | None = None, now: float | None = None
) -> list[FileProblem]:
    """What does not work in the files of a profile. `opens` opens those of a catalog that came over the network.

    `now` in epoch seconds. A file that is not there, or cannot be read, is no affair of this function.
    """
    moment = time.time() if now is None else now
    found: list[FileProblem] = []
    with ExitStack() as stack:
        try:
            authorities = held_file(profile.ca_file, opens, stack)
            if authorities is not None:
                found += _authorities(authorities, moment)
            certificate = held_file(profile.client_cert, opens, stack)
            if certificate is not None:
                found += _identity(certificate, held_file(profile.client_key, opens, stack), moment)
        except OSError:
            pass  # one of them is not there, or not for this catalog: said elsewhere
    return found


def _authorities(path: str, now: float) -> Iterator[FileProblem]:
    raw = _read(path)
    if not raw.strip():
        yield FileProblem("ca_file", "ca_file: the file is empty", _PEM)
        return
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cafile=path)
        certificates = _certificates(raw)
    except (ssl.SSLError, ValueError):
        certificates = []
    if not certificates:
        yield FileProblem("ca_file", "ca_file: there is no usable certificate in the file", _PEM)
    elif all(_ends(certificate) <= now for certificate in certificates):
        hint = "no server's certificate will be trusted; ask the partner for the authority's new one"
        yield FileProblem(
            "ca_file", f"ca_file: the certificate expired on {_day(certificates)}", hint, doubt=True
        )


def _identity(certificate_path: str, key_path: str | None, now: float) -> Iterator[FileProblem]:
    raw = _read(certificate_path)
    try:
        certificates = _certificates(raw)
    except ValueError:
        certificates = []
    if not certificates:
        what = "there is no usable certificate in the file" if raw.strip() else "the file is empty"
        yield FileProblem("client_cert", f"client_cert: {what}", _PEM)
        return
    field, key = ("client_cert", raw) if key_path is None else ("client_key", _read(key_path))
    problem = _key_problem(key, field) or _pair_problem(certificate_path, key_path, field)
    if problem is not None:
        yield problem
    elif _ends(certificates[0]) <= now:
        hint = "the partner's server will not accept it: renew it"
        day = _day(certificates[:1])
        yield FileProblem("client_cert", f"client_cert: the certificate expired on {day}", hint, doubt=True)


def _key_problem(raw: bytes, field: str) -> FileProblem | None:
    if not raw.strip():
        return FileProblem(field, f"{field}: the file is empty", "the private key as PEM text")
    if b"PRIVATE KEY-----" not in raw:
        hint = "PEM text: -----BEGIN PRIVATE KEY-----; or name the file that has it as client_key"
        return FileProblem(field, f"{field}: there is no private key in the file", hint)
    if b"ENCRYPTED" in raw:
        return FileProblem(field, f"{field}: the private key is encrypted", _PLAIN_KEY)
    return None


def _pair_problem(certificate_path: str, key_path: str | None, field: str) -> FileProblem | None:
    """What OpenSSL says when it is given both."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_cert_chain(certificate_path, key_path, password="")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            hint = "name the key that this certificate was made for"
            return FileProblem(field, f"{field}: certificate and key do not belong together", hint)
        hint = f"OpenSSL says: {(error.reason or 'nothing').lower().replace('_', ' ')}"
        return FileProblem(field, f"{field}: certificate and key cannot be used", hint)
    return None


def _certificates(raw: bytes) -> list[Certificate]:
    """Raises ValueError where one of them is broken."""
    from cryptography import x509

    if b"-----BEGIN" not in raw:
        return []
    return x509.load_pem_x509_certificates(raw)


def read_certificates(path: str) -> list[Certificate]:
    """Those in a file, in their order; none where it has none. Raises OSError, ValueError where one is broken."""
    return _certificates(_read(path))


def _ends(certificate: Certificate) -> float:
    return certificate.not_valid_after_utc.timestamp()


def _day(certificates: list[Certificate]) -> str:
    """The day on which the last of them expired."""
    return max(certificate.not_valid_after_utc for certificate in certificates).date().isoformat()


def _read(path: str) -> bytes:
    """Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe must not hold up anybody
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise FileNotFoundError
        return file.read(MAX_BYTES)

"""The reference server's TLS: a given certificate or a CA of its own, and bad ones for `tls=` faults."""

from __future__ import annotations

import os
import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from arke.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

    import trustme

_CA_FILE: Final = "ca.pem"
_CA_KEY_FILE: Final = "ca-key.pem"
_WRONG_HOST: Final = "wrong-host.invalid"


class ServerCertificates:
    """Makes the server-side TLS contexts: the good one, and one for each fault (made when first needed)."""

    def __init__(
        self,
        *,
        host: str,
        directory: Path,
        certificate: Path | None = None,
        key: Path | None = None,
        client_ca: Path | None = None,
    ) -> None:
        self._host = host
        self._client_ca = client_ca
        self._faulty: dict[str, ssl.SSLContext] = {}
        self._ca: trustme.CA | None = None
        self.ca_file: Path | None = None
        if certificate is None:
            self._ca, self.ca_file = _own_ca(directory)
            self.good = self._issued(self._ca)
        else:
            self.good = self._loaded(certificate, key)

    def faulty(self, fault: str) -> ssl.SSLContext:
        """The context whose certificate is `expired`, for a `wrong-host`, or of an `unknown-ca`."""
        if fault not in self._faulty:
            self._faulty[fault] = self._make_faulty(fault)
        return self._faulty[fault]

    def _make_faulty(self, fault: str) -> ssl.SSLContext:
        import trustme

        if fault == "unknown-ca":
            return self._issued(trustme.CA(organization_name="A CA nobody trusts"))
        if self._ca is None:
            # With a foreign certificate the only fault seen would be the unknown CA.
            raise InvalidInput(f"tls={fault} needs the receiver's own CA: leave out --cert and --key")
        if fault == "wrong-host":
            return self._context(self._ca.issue_cert(_WRONG_HOST))
        now = datetime.now(UTC)
        return self._context(
            self._ca.issue_cert(
                *_names(self._host), not_before=now - timedelta(days=30), not_after=now - timedelta(days=1)
            )
        )

    def _issued(self, authority: trustme.CA) -> ssl.SSLContext:
        return self._context(authority.issue_cert(*_names(self._host)))

    def _context(self, leaf: trustme.LeafCert) -> ssl.SSLContext:
        context = self._blank()
        leaf.configure_cert(context)
        return context

    def _loaded(self, certificate: Path, key: Path | None) -> ssl.SSLContext:
        context = self._blank()
        try:
            context.load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError) as error:
            raise InvalidInput(f"{certificate}: cannot load the certificate and its key: {error}") from None
        return context

    def _blank(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        # Without resumption every connection shows the certificate, so that a `tls=` fault is always seen.
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
        if self._client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            try:
                context.load_verify_locations(self._client_ca)
            except (OSError, ssl.SSLError) as error:
                raise InvalidInput(f"{self._client_ca}: cannot load the client CA: {error}") from None
        return context


def _names(host: str) -> list[str]:
    names = ["localhost", "127.0.0.1", "::1"]
    return names if host in {*names, "0.0.0.0", "::"} else [*names, host]  # noqa: S104 - compared, not bound


def _own_ca(directory: Path) -> tuple[trustme.CA, Path]:
    """The CA kept in `directory`, made there the first time, so that senders need to be told only once."""
    import trustme

    directory.mkdir(parents=True, exist_ok=True)
    certificate, key = directory / _CA_FILE, directory / _CA_KEY_FILE
    if certificate.exists() and key.exists():
        try:
            return trustme.CA.from_pem(certificate.read_bytes(), key.read_bytes()), certificate
        except ValueError as error:
            raise InvalidInput(f"{certificate}: cannot read the CA kept there: {error}") from None
    authority = trustme.CA(organization_name="Arke reference receiver")
    with os.fdopen(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(authority.private_key_pem.bytes())
    authority.cert_pem.write_to_path(str(certificate))
    return authority, certificate

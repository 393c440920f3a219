"""Certificates for the tests: an authority, good and bad server certificates, and a client certificate."""

from __future__ import annotations

import ssl
import warnings
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import trustme

from arke.domain.catalog import Tls

if TYPE_CHECKING:
    from pathlib import Path

HOST = "dsp.test"


class Certificates:
    """One authority that the client trusts, and everything signed by it or pretending to be."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = trustme.CA()
        self.ca_file = directory / "ca.pem"
        self.authority.cert_pem.write_to_path(str(self.ca_file))
        self.trust = Tls(ca_file=str(self.ca_file))
        self.good = self.server(self.authority.issue_cert(HOST, "127.0.0.1"))
        self.wrong_host = self.server(self.authority.issue_cert("other.test"))
        self.unknown_ca = self.server(trustme.CA().issue_cert(HOST))
        self.expired = self.server(
            self.authority.issue_cert(HOST, not_after=datetime(2020, 1, 1, tzinfo=UTC))
        )

    @staticmethod
    def server(certificate: trustme.LeafCert) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        return context

    def old_tls(self) -> ssl.SSLContext:
        """A server that speaks TLS 1.1 and nothing newer."""
        context = self.server(self.authority.issue_cert(HOST))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = ssl.TLSVersion.TLSv1_1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("ALL:@SECLEVEL=0")
        return context

    def wants_client(self) -> ssl.SSLContext:
        """A server that demands a client certificate from this authority."""
        context = self.server(self.authority.issue_cert(HOST))
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(str(self.ca_file))
        return context

    def client(self, name: str, authority: trustme.CA | None = None) -> Tls:
        """Trust in this authority, with a fresh client certificate and key in files of their own."""
        leaf = (authority or self.authority).issue_cert(f"{name}@client.test", common_name=name)
        certificate, key = self.directory / f"{name}.pem", self.directory / f"{name}.key"
        certificate.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        leaf.private_key_pem.write_to_path(str(key))
        return Tls(ca_file=str(self.ca_file), client_cert=str(certificate), client_key=str(key))

"""Why a post got no answer: every network failure as a reason, a stable cause and a sentence for people."""

from __future__ import annotations

import errno
import socket
import ssl
from typing import TYPE_CHECKING, Final

from arke.delivery.https.ports import Failure, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping


class PostFailed(Exception):
    """Carries a Failure up to the client, where it becomes an Answer. Leaves this package for the probe and the
    doctor alone.
    """

    def __init__(self, reason: Reason, cause: str, detail: str) -> None:
        super().__init__(detail)
        self.failure = Failure(reason, cause, detail)


_CERTIFICATE: Final[Mapping[int, tuple[str, str]]] = {
    # OpenSSL's X509_V_ERR_* codes
    9: ("tls_certificate_not_yet_valid", "the server's certificate is not valid yet"),
    10: ("tls_certificate_expired", "the server's certificate has expired"),
    23: ("tls_certificate_revoked", "the server's certificate is revoked"),
    62: ("tls_hostname_mismatch", "the server's certificate is for another host name"),
    64: ("tls_hostname_mismatch", "the server's certificate is for another address"),
} | dict.fromkeys(
    (2, 18, 19, 20, 21),
    ("tls_unknown_ca", "the server's certificate is signed by an unknown authority; see tls.ca_file"),
)
_HANDSHAKE: Final[Mapping[str, tuple[str, str]]] = (
    dict.fromkeys(
        ("UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION", "NO_PROTOCOLS_AVAILABLE"),
        ("tls_protocol_version", "the server does not speak TLS 1.2 or newer"),
    )
    | dict.fromkeys(
        ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"),
        ("tls_not_tls", "the server does not speak TLS on this port"),
    )
    | dict.fromkeys(
        (
            "TLSV13_ALERT_CERTIFICATE_REQUIRED",
            "TLSV1_ALERT_UNKNOWN_CA",
            "SSLV3_ALERT_BAD_CERTIFICATE",
            "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
            "SSLV3_ALERT_CERTIFICATE_EXPIRED",
        ),
        (
            "tls_client_certificate",
            "the server does not accept our client certificate; see tls.client_cert",
        ),
    )
)
_CONNECT: Final[Mapping[int, tuple[str, str]]] = {
    errno.ECONNREFUSED: ("connect_refused", "connection refused"),
    errno.EHOSTUNREACH: ("connect_unreachable", "no route to the host"),
    errno.ENETUNREACH: ("connect_unreachable", "no route to the network"),
    errno.ETIMEDOUT: ("connect_timed_out", "the system gave up connecting"),
    errno.EMFILE: ("connect_out_of_files", "no file descriptor left; raise the process's limit"),
    errno.ENFILE: ("connect_out_of_files", "no file descriptor left on this machine"),
}


def tls_failure(error: Exception) -> Failure:
    """Classify what went wrong in or after a TLS handshake."""
    if isinstance(error, ssl.SSLCertVerificationError):
        cause, detail = _CERTIFICATE.get(
            error.verify_code,
            ("tls_certificate_invalid", f"the server's certificate is not valid: {error.verify_message}"),
        )
        return Failure("tls", cause, detail)
    if isinstance(error, ssl.SSLError):
        name = error.reason or ""
        cause, detail = _HANDSHAKE.get(name, ("tls_handshake", f"TLS failed ({name or 'closed'})"))
        return Failure("tls", cause, detail)
    return Failure("tls", "tls_closed", "the server closed the connection during the TLS handshake")


def connect_failure(address: str, error: OSError) -> Failure:
    cause, detail = _CONNECT.get(error.errno or 0, ("connect_failed", _system_text(error)))
    return Failure("connect", cause, f"{address}: {detail}")


def dns_failure(host: str, error: OSError) -> Failure:
    if isinstance(error, socket.gaierror):
        if error.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)):
            return Failure("dns", "dns_no_such_name", f"the name {host} has no address")
        return Failure("dns", "dns_failed", f"looking up {host} failed: {error.strerror}")
    return Failure("dns", "dns_failed", f"looking up {host} failed: {_system_text(error)}")


def lost_failure(error: Exception | None, *, started: bool, reused: bool) -> Failure:
    """The connection went away before the response was whole."""
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
        return tls_failure(error)
    if started:
        return Failure("reset", "reset_in_response", "the connection closed in the middle of the response")
    if reused:
        return Failure(
            "reset", "reset_stale", "the server closed the kept-alive connection as it was being reused"
        )
    return Failure("reset", "reset_before_response", "the connection closed before any response")


def timeout_failure(phase: str, timeout_s: float) -> Failure:
    return Failure(
        "timeout", f"timeout_{phase}", f"no whole answer within {timeout_s * 1000:.0f} ms ({phase})"
    )


def _system_text(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__

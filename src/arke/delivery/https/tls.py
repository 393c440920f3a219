"""TLS contexts: verification always on, TLS 1.2 or newer, one per profile, reloaded when its files change."""

from __future__ import annotations

import ssl
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from arke.delivery.https.failure import PostFailed
from arke.delivery.https.held_file import held_file
from arke.delivery.secrets import Confinement
from arke.domain.catalog import Tls
from arke.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

RECHECK_S: Final = 1.0

_log = get_logger("tls")
_Stamps = tuple[tuple[int, int, int], ...]


class TlsContexts:
    """One SSL context per TLS profile.

    Changed files are seen within `recheck_s`. If the new files do not work (a certificate already replaced,
    its key not yet), the last good context stays in use, and the next check tries again.
    Sessions are not resumed: with TLS 1.3 that saves no round trip, and it would skip verification.
    """

    def __init__(
        self,
        confinement: Confinement | None = None,
        *,
        recheck_s: float = RECHECK_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._confinement = confinement or Confinement()
        self._recheck_s = recheck_s
        self._monotonic = monotonic
        self._entries: dict[Tls, _Entry] = {}

    def get(self, profile: Tls) -> ssl.SSLContext:
        """The context of a profile; raises PostFailed when its files cannot be used."""
        now = self._monotonic()
        entry = self._entries.get(profile)
        if entry is not None and now < entry.check_at:
            return entry.context
        if entry is None:
            stamps = _stamps(profile)
            self._entries[profile] = entry = _Entry(build_context(profile, self._confinement), stamps)
        elif _files(profile):
            self._reload(profile, entry)
        entry.check_at = now + self._recheck_s
        return entry.context

    def _reload(self, profile: Tls, entry: _Entry) -> None:
        try:
            stamps = _stamps(profile)
            if stamps != entry.stamps:
                entry.context = build_context(profile, self._confinement)
                entry.stamps = stamps
        except PostFailed as error:
            _log.warning("tls_reload_failed", problem=error.failure.detail)


class _Entry:
    """A context and the state of the files it was built from."""

    __slots__ = ("check_at", "context", "stamps")

    def __init__(self, context: ssl.SSLContext, stamps: _Stamps) -> None:
        self.context = context
        self.stamps = stamps
        self.check_at = 0.0


def build_context(profile: Tls, confinement: Confinement) -> ssl.SSLContext:
    """A client context; with `ca_file` only that authority is trusted, otherwise the system's."""
    if not profile.confined:
        return _context(profile)
    with ExitStack() as stack:
        try:
            held = Tls(
                ca_file=held_file(profile.ca_file, confinement, stack),
                client_cert=held_file(profile.client_cert, confinement, stack),
                client_key=held_file(profile.client_key, confinement, stack),
            )
        except OSError:
            # Not there, or not for a catalog from the network: whoever wrote it does not learn which.
            raise PostFailed("tls", "tls_configuration", "a tls file cannot be used") from None
        return _context(held)


def _context(profile: Tls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies certificate and host name
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if profile.ca_file is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        try:
            context.load_verify_locations(cafile=profile.ca_file)
        except OSError as error:
            raise _unusable("tls.ca_file", profile.ca_file, error) from None
    if profile.client_cert is not None:
        try:
            # An empty password makes an encrypted key an error instead of a prompt on the terminal.
            context.load_cert_chain(profile.client_cert, profile.client_key, password="")
        except OSError as error:
            raise _unusable("tls.client_cert or tls.client_key", profile.client_cert, error) from None
    return context


def _unusable(setting: str, path: str, error: OSError) -> PostFailed:
    if isinstance(error, ssl.SSLError):
        why = {
            "KEY_VALUES_MISMATCH": "certificate and key do not belong together",
            "NO_CERTIFICATE_OR_CRL_FOUND": "no PEM certificate in it",
        }.get(error.reason or "", "not usable PEM, or an encrypted key")
    else:
        why = error.strerror or "cannot be read"
    return PostFailed("tls", "tls_configuration", f"{setting} ({path}): {why}")


def _files(profile: Tls) -> list[str]:
    return [path for path in (profile.ca_file, profile.client_cert, profile.client_key) if path is not None]


def _stamps(profile: Tls) -> _Stamps:
    stamps = []
    for path in _files(profile):
        try:
            status = Path(path).stat()
        except OSError as error:
            raise _unusable("tls file", path, error) from None
        stamps.append((status.st_ino, status.st_mtime_ns, status.st_size))
    return tuple(stamps)

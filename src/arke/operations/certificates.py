"""How long certificates last that settings and catalog name: partners' authorities, and who this engine says it is.

Files are read in a thread, each once however many destinations share it, and what was read is kept for a while: a
page that is shown every few seconds reads none.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from arke.delivery.https.held_file import held_file
from arke.delivery.https.tls_files import read_certificates
from arke.domain.time import DAY_S

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from arke.delivery.secrets import Confinement
    from arke.domain.catalog import Destination, Tls
    from arke.engine.live_catalog import LiveCatalog
    from arke.settings import Settings

SOON_DAYS: Final = 30
"""A certificate that ends within so many days is to be renewed."""
READ_EVERY_S: Final = 60.0
WAIT_S: Final = 0.25
"""How long somebody waits for files to be read, before he gets what was known."""
IDENTITIES: Final = ("cert_file", "client_cert")
"""Names of options whose file begins with the certificate that is shown to others; the chain behind it may last
longer. The other files hold authorities, any of which may be the one that is needed.
"""
AUTHORITIES: Final = ("ca_file",)


class CertificateFile(NamedTuple):
    """A file, and what names it there. `destination`: whose it is, where it is one's."""

    where: str
    path: str
    identity: bool
    confined: bool = False
    destination: int | None = None


class Lasting(msgspec.Struct, frozen=True):
    """A file that is named at one or more places. Its certificate ends at `until`, epoch seconds; None: `problem`
    says why that is not known.
    """

    path: str
    where: list[str]
    destinations: list[int]
    until: float | None
    problem: str = ""


def files_of(settings: Settings, destinations: Iterable[Destination]) -> Iterator[CertificateFile]:
    """Every file with certificates that somebody names."""
    from arke.settings import OPTIONS, value_of

    for name in OPTIONS:
        path = value_of(settings, name)
        if name.endswith((*IDENTITIES, *AUTHORITIES)) and path:
            yield CertificateFile(name, path, name.endswith(IDENTITIES))
    for one in destinations:
        yield from _of_profile(one.id, "tls", one.tls)
        if one.oauth2 is not None and one.oauth2.tls is not None:
            yield from _of_profile(one.id, "oauth2.tls", one.oauth2.tls)


def _of_profile(destination: int, section: str, tls: Tls) -> Iterator[CertificateFile]:
    for field, path in (("ca_file", tls.ca_file), ("client_cert", tls.client_cert)):
        if path is not None:
            where = f"destination {destination}: {section}.{field}"
            yield CertificateFile(where, path, field in IDENTITIES, tls.confined, destination)


def lasting_of(files: Iterable[CertificateFile], confinement: Confinement) -> list[Lasting]:
    """Reads each file, once. Not for an event loop."""
    places: dict[tuple[str, bool, bool], list[CertificateFile]] = {}
    for file in files:
        places.setdefault((file.path, file.identity, file.confined), []).append(file)
    return [_read(named, confinement) for named in places.values()]


def _read(named: list[CertificateFile], confinement: Confinement) -> Lasting:
    first, until, problem = named[0], None, ""
    try:
        with ExitStack() as stack:
            held = held_file(first.path, confinement if first.confined else None, stack)
            ends = [one.not_valid_after_utc.timestamp() for one in read_certificates(held or first.path)]
        if ends:
            until = ends[0] if first.identity else max(ends)
        else:
            problem = NO_CERTIFICATE
    except ValueError:
        problem = NO_CERTIFICATE
    except OSError as error:
        # Whoever wrote a catalog from the network does not learn what there is on this machine.
        problem = "cannot be used" if first.confined else (error.strerror or "cannot be read").lower()
    destinations = [one.destination for one in named if one.destination is not None]
    return Lasting(first.path, [one.where for one in named], destinations, until, problem)


NO_CERTIFICATE: Final = "no usable certificate is in it"


def days_left(until: float, now: float) -> int:
    """Whole days; below 0 where it has ended."""
    return int((until - now) // DAY_S)


class CertificateOperations:
    """Knows how long the certificates last of the settings and of the catalog in force."""

    def __init__(self, live: LiveCatalog, settings: Settings, confinement: Confinement) -> None:
        self._live = live
        self._settings = settings
        self._confinement = confinement
        self._known: list[Lasting] = []
        self._read_at = (-1, 0.0)
        self._reading: asyncio.Task[None] | None = None

    async def read(self) -> list[Lasting]:
        """As it was within the last minute. A file system that does not answer holds up nobody for long."""
        version, at = self._read_at
        if version != self._live.version or time.monotonic() - at >= READ_EVERY_S:
            if self._reading is None or self._reading.done():
                self._reading = asyncio.create_task(self._again(), name="certificates")
            await asyncio.wait([self._reading], timeout=WAIT_S)
        return self._known

    async def _again(self) -> None:
        live = self._live
        version, files = live.version, list(files_of(self._settings, live.catalog.destinations))
        self._known = await asyncio.to_thread(lasting_of, files, self._confinement)
        self._read_at = (version, time.monotonic())

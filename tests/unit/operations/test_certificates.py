"""Certificates that end soon: read off the event loop, now and then, and told to the console and by the doctor."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import trustme

from arke.clock import SystemClock
from arke.delivery.https.tls_files import read_certificates
from arke.delivery.secrets import Confinement
from arke.doctor.secrets import certificates_of
from arke.domain.catalog import Catalog, Destination, OAuth2, Tls
from arke.engine.live_catalog import LiveCatalog
from arke.operations import certificates
from arke.operations.attention import notices
from arke.operations.certificates import CertificateOperations, files_of, lasting_of
from arke.operations.status import Status
from arke.settings import Cluster, Settings

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.x509 import Certificate

QUIET = Status(True, 1, 1, 0, 0, 0, 0, 1.0, [])


def certificate(path: Path, days: float) -> str:
    """A client certificate that ends then, with the authority's behind it, which lasts for long."""
    leaf = trustme.CA().issue_cert("arke.test", not_after=datetime.now(UTC) + timedelta(days=days))
    path.write_bytes(b"".join(blob.bytes() for blob in (*leaf.cert_chain_pems, leaf.private_key_pem)))
    return str(path)


def chain(path: Path, days: float) -> str:
    authority = trustme.CA()
    leaf = trustme.CA(parent_cert=authority).issue_cert(
        "arke.test", not_after=datetime.now(UTC) + timedelta(days=days)
    )
    blobs = (*leaf.cert_chain_pems, authority.cert_pem, leaf.private_key_pem)
    path.write_bytes(b"".join(blob.bytes() for blob in blobs))
    return str(path)


def destination(number: int, tls: Tls, oauth2: OAuth2 | None = None) -> Destination:
    return Destination(id=number, url="https://dsp.test/", client_id="c", tls=tls, oauth2=oauth2)


def told(settings: Settings, *destinations: Destination) -> list[tuple[str, str, int | None]]:
    found = lasting_of(files_of(settings, destinations), Confinement())
    return [(one.level, one.text, one.destination) for one in notices(QUIET, found, SystemClock().now())]


def test_an_identity_ends_with_its_own_certificate_and_not_with_the_chain_behind_it(tmp_path: Path) -> None:
    soon = chain(tmp_path / "soon.pem", 10.5)
    (one,) = told(Settings(), destination(5, Tls(client_cert=soon)))
    assert one[0] == "warn"
    assert one[1].startswith(f"{soon} expires in 10 days, on ")
    assert one[2] == 5


def test_authorities_last_as_long_as_the_last_of_them(tmp_path: Path) -> None:
    both = chain(tmp_path / "both.pem", 10.5)
    assert told(Settings(), destination(5, Tls(ca_file=both))) == []


def test_one_file_of_many_destinations_is_one_notice_and_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = certificate(tmp_path / "gone.pem", -1.5)
    read: list[str] = []

    def noted(path: str) -> list[Certificate]:
        read.append(path)
        return read_certificates(path)

    monkeypatch.setattr(certificates, "read_certificates", noted)
    ((level, text, _),) = told(
        Settings(), *(destination(number, Tls(client_cert=gone)) for number in range(1, 901))
    )
    assert level == "bad"
    assert " expired on " in text
    assert read == [gone]


def test_every_place_that_names_one_is_looked_at(tmp_path: Path) -> None:
    """Those of settings by the names of their options, those for tokens too; one that is not there is told."""
    mine, theirs, token = (certificate(tmp_path / name, 3.5) for name in ("mine", "theirs", "token"))
    settings = Settings(cluster=Cluster(cert_file=mine, ca_file=str(tmp_path / "missing")))
    oauth2 = OAuth2(token_url="https://id.test/", credentials="env:A", tls=Tls(client_cert=token))
    found = told(settings, destination(7, Tls(client_cert=theirs), oauth2))
    assert [(level, text.split(" ")[0], whose) for level, text, whose in found] == [
        ("warn", f"{tmp_path / 'missing'}:", None),
        ("warn", mine, None),
        ("warn", theirs, 7),
        ("warn", token, 7),
    ]


def test_the_doctor_says_the_same(tmp_path: Path) -> None:
    soon, gone = chain(tmp_path / "soon.pem", 10.5), certificate(tmp_path / "gone.pem", -1.5)
    one, other = destination(5, Tls(client_cert=soon)), destination(6, Tls(client_cert=gone))
    found = list(certificates_of(Settings(), [one, other], Confinement()))
    assert [(finding.state, finding.what) for finding in found] == [
        ("doubtful", f"destination 5: tls.client_cert {soon}: expires in 10 days"),
        ("wrong", f"destination 6: tls.client_cert {gone}: expired 2 days ago"),
    ]


def test_what_a_catalog_from_the_network_may_not_name_is_not_told_from_what_is_not_there(
    tmp_path: Path,
) -> None:
    there = certificate(tmp_path / "there.pem", 3)
    texts = {
        told(Settings(), destination(5, Tls(client_cert=path, confined=True)))[0][1].removeprefix(path)
        for path in (there, str(tmp_path / "nowhere.pem"))
    }
    assert texts == {": cannot be used"}


def test_a_page_reads_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are read off the event's loop, once however many ask, and again with another catalog."""
    path = certificate(tmp_path / "mine.pem", 3.5)
    threads: list[int] = []

    def read(path: str) -> list[Certificate]:
        threads.append(threading.get_ident())
        return read_certificates(path)

    monkeypatch.setattr(certificates, "read_certificates", read)
    monkeypatch.setattr(certificates, "WAIT_S", 60.0)
    live = LiveCatalog()
    live.use(1, Catalog(destinations=(destination(5, Tls(client_cert=path)),)))

    async def look() -> None:
        asked = CertificateOperations(live, Settings(), Confinement())
        for _ in range(3):
            answers = await asyncio.gather(*(asked.read() for _ in range(5)))
            assert [[one.path for one in answer] for answer in answers] == [[path]] * 5
        assert len(threads) == 1
        live.use(2, Catalog(destinations=()))
        assert await asked.read() == []

    asyncio.run(look())
    assert threads != [threading.get_ident()]


def test_a_file_system_that_does_not_answer_holds_up_no_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = certificate(tmp_path / "mine.pem", 3.5)
    answers = threading.Event()

    def read(path: str) -> list[Certificate]:
        answers.wait()
        return read_certificates(path)

    monkeypatch.setattr(certificates, "read_certificates", read)
    live = LiveCatalog()
    live.use(1, Catalog(destinations=(destination(5, Tls(client_cert=path)),)))

    async def look() -> None:
        asked = CertificateOperations(live, Settings(), Confinement())
        assert await asked.read() == []
        answers.set()
        monkeypatch.setattr(certificates, "WAIT_S", 60.0)
        assert [one.path for one in await asked.read()] == [path]

    asyncio.run(look())

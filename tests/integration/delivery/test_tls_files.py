"""Certificates and keys that cannot work are refused with the catalog that names them, each at its place."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from arke.app import check_egress
from arke.catalog.load import Examined, examine_text
from arke.checking import catalog_checkers
from arke.delivery.secrets import Confinement
from arke.errors import SettingsError
from arke.settings import Egress

if TYPE_CHECKING:
    from pathlib import Path

    from arke.catalog.values import Confined

CATALOG = """destinations:
  - id: 423
    url: https://dsp.example/aam
    client_id: "1"
    tls: {{ {tls} }}
"""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with good and bad files of every kind."""
    authority = trustme.CA()
    one, other = (authority.issue_cert(f"{name}@client.test") for name in ("one", "other"))
    old = authority.issue_cert("old@client.test", not_after=datetime(2020, 1, 1, tzinfo=UTC))
    certificate = one.cert_chain_pems[0].bytes()
    key = one.private_key_pem.bytes()
    texts = {
        "ca.pem": authority.cert_pem.bytes(),
        "chain.pem": b"Our authorities\n" + authority.cert_pem.bytes() + trustme.CA().cert_pem.bytes(),
        "empty": b"",
        "blank": b" \n\n",
        "text": b"no certificate at all\n",
        "binary": os.urandom(500),
        "cut.pem": authority.cert_pem.bytes()[:200],
        "broken.pem": authority.cert_pem.bytes().replace(b"MII", b"!!!", 1),
        "half.pem": authority.cert_pem.bytes() + certificate[:300],
        "old.pem": old.cert_chain_pems[0].bytes(),
        "old.key": old.private_key_pem.bytes(),
        "one.pem": certificate,
        "one.key": key,
        "both.pem": key + certificate,
        "other.key": other.private_key_pem.bytes(),
        "locked.key": serialization.load_pem_private_key(key, None).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"password"),
        ),
    }
    for name, text in texts.items():
        (tmp_path / name).write_bytes(text)
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


def examined(tls: str, folder: Path, confined: Confined | None = None) -> Examined:
    checkers = catalog_checkers()._replace(confined=confined)
    return examine_text(CATALOG.format(tls=tls), name="c", base_dir=folder, checkers=checkers)


@pytest.mark.parametrize(
    "tls",
    [
        "ca_file: ca.pem",
        "ca_file: chain.pem",
        "ca_file: one.pem",  # whoever signs for himself
        "client_cert: one.pem, client_key: one.key",
        "ca_file: ca.pem, client_cert: both.pem",
    ],
)
def test_files_that_work_are_fine(files: Path, tls: str) -> None:
    found = examined(tls, files)
    assert (found.errors, found.warnings) == ([], [])


BAD = {
    "ca_file: §empty": "ca_file: the file is empty",
    "ca_file: §blank": "ca_file: the file is empty",
    "ca_file: §text": "ca_file: there is no usable certificate",
    "ca_file: §binary": "ca_file: there is no usable certificate",
    "ca_file: §cut.pem": "ca_file: there is no usable certificate",
    "ca_file: §broken.pem": "ca_file: there is no usable certificate",
    "ca_file: §half.pem": "ca_file: there is no usable certificate",
    "ca_file: §one.key": "ca_file: there is no usable certificate",
    "ca_file: §pipe": "ca_file: there is no file",
    "client_cert: §empty, client_key: one.key": "client_cert: the file is empty",
    "client_cert: §text, client_key: one.key": "client_cert: there is no usable certificate",
    "client_cert: §one.key, client_key: one.key": "client_cert: there is no usable certificate",
    "client_cert: one.pem, client_key: §empty": "client_key: the file is empty",
    "client_cert: one.pem, client_key: §one.pem": "client_key: there is no private key in the file",
    "client_cert: one.pem, client_key: §text": "client_key: there is no private key in the file",
    "client_cert: one.pem, client_key: §other.key": "client_key: certificate and key do not belong together",
    "client_cert: one.pem, client_key: §locked.key": "client_key: the private key is encrypted",
    "client_cert: §one.pem": "client_cert: there is no private key in the file",
    "client_cert: one.pem, client_key: §missing": "client_key: there is no file",
}


@pytest.mark.parametrize("marked", BAD)
def test_files_that_cannot_work_are_refused_at_their_place(files: Path, marked: str) -> None:
    """With line, column and a hint."""
    found = examined(marked.replace("§", ""), files)
    assert found.catalog is None
    assert len(found.errors) == 1
    problem = found.errors[0]
    assert BAD[marked] in problem.message
    assert problem.hint
    line = CATALOG.format(tls=marked).splitlines()[4]
    assert (problem.line, problem.column) == (5, line.index("§") + 1)


def test_each_file_has_its_own_problem(files: Path) -> None:
    found = examined("ca_file: empty, client_cert: one.pem, client_key: other.key", files)
    assert [problem.message.partition(":")[0] for problem in found.errors] == ["ca_file", "client_key"]


def test_a_token_server_s_files_are_looked_at_as_well(files: Path) -> None:
    """Those of `oauth2.tls`, at their own place."""
    token = "token_url: https://auth.example/, credentials: env:A, tls: {ca_file: empty}"
    oauth2 = f"ca_file: ca.pem }}\n    oauth2: {{ {token} "
    found = examined(oauth2, files)
    assert [(problem.line, problem.message) for problem in found.errors] == [
        (6, "ca_file: the file is empty")
    ]


@pytest.mark.parametrize(
    ("tls", "field"),
    [("ca_file: old.pem", "ca_file"), ("client_cert: old.pem, client_key: old.key", "client_cert")],
)
def test_what_has_expired_is_a_warning(files: Path, tls: str, field: str) -> None:
    """A catalog that was fine yesterday can still be edited."""
    found = examined(tls, files)
    assert found.errors == []
    assert [problem.message for problem in found.warnings] == [
        f"{field}: the certificate expired on 2020-01-01"
    ]


def test_a_catalog_from_the_network_learns_of_its_own_files_only(files: Path, tmp_path: Path) -> None:
    """What lies outside the folders is not looked into: it is "no such file", whatever is in it."""
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "empty").write_bytes(b"")
    confined = Confinement(folders=[str(inside)])
    for name in ("empty", "one.pem", "missing"):
        found = examined(f"ca_file: {files / name}", files, confined)
        assert [problem.message for problem in found.errors] == ["ca_file: there is no such file"]
    found = examined(f"ca_file: {inside / 'empty'}", files, confined)
    assert [problem.message for problem in found.errors] == ["ca_file: the file is empty"]


def test_the_proxy_s_authority_is_looked_at_when_the_engine_starts(files: Path) -> None:
    check_egress(Egress(proxy_ca_file=str(files / "ca.pem")))
    for name in ("empty", "text", "missing"):
        with pytest.raises(SettingsError, match=rf"^egress.proxy_ca_file \(.*{name}\): "):
            check_egress(Egress(proxy_ca_file=str(files / name)))

"""Names of data files: what each part says, and what is said about wrong ones (dossier 15 and 16)."""

from __future__ import annotations

from typing import Any

import pytest

from arke.errors import InvalidInput
from arke.onboarding.names import FileName, parse_name

AT = 1445374061

GOOD: list[tuple[str, dict[str, Any]]] = [
    (f"ftp_dpm_1234_{AT}.sync", {"kind": "sync", "dpids": (1234,), "target": 1234}),
    (f"ftp_dpm_1234_{AT}.overwrite", {"kind": "overwrite", "dpids": (1234,), "target": 1234}),
    (f"ftp_dpm_20914_501_{AT}.sync", {"kind": "sync", "dpids": (20914,), "target": 501}),
    (f"ftp_dpm_1234_501_{AT}.sync.3", {"kind": "sync", "dpids": (1234,), "target": 501, "split": 3}),
    (f"ftp_dpm_1234_{AT}.sync.gz", {"kind": "sync", "dpids": (1234,), "target": 1234, "packed": True}),
    (
        f"ftp_dpm_1234_{AT}.overwrite.12.gz",
        {"kind": "overwrite", "dpids": (1234,), "target": 1234, "split": 12, "packed": True},
    ),
    (
        f"ftp_dpm_odc_1234_501_{AT}.sync",
        {"kind": "sync", "dpids": (1234,), "target": 501, "typed": True},
    ),
    (f"ftp_dpm_0_501_{AT}.sync", {"kind": "sync", "dpids": (0,), "target": 501}),
    (f"adobe_id_0_12345_{AT}.sync", {"kind": "id_sync", "dpids": (0, 12345)}),
    (
        f"adobe_id_20914_1_2_{AT}.sync.2.gz",
        {"kind": "id_sync", "dpids": (20914, 1, 2), "split": 2, "packed": True},
    ),
    (f"c2c_id_999999_12345_{AT}.sync", {"kind": "id_sync", "dpids": (999999, 12345)}),
]


@pytest.mark.parametrize(("name", "says"), GOOD)
def test_a_name_says(name: str, says: dict[str, Any]) -> None:
    assert parse_name(name) == FileName(name=name, at=AT, **says)


@pytest.mark.parametrize(
    ("name", "form", "packed"),
    [("people.csv", "csv", False), ("a b.csv.gz", "csv", True), ("2026.parquet", "parquet", False)],
)
def test_a_table_says_its_form_alone(name: str, form: Any, packed: bool) -> None:
    assert parse_name(name) == FileName(name=name, kind="table", form=form, packed=packed)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("segments.txt", "no name of a data file"),
        ("", "no name of a data file"),
        ("../evil.csv", "no name of a data file"),
        (f"FTP_DPM_1_{AT}.sync", "no name of a data file"),
        (f"ftp_dpm_1234_{AT}", "no name of a data file"),
        (f"ftp_dpm_1234_{AT}.sync.gz.gz", "no name of a data file"),
        (f"ftp_dpm_{AT}.sync", "needs one data source"),
        (f"ftp_dpm_1_2_3_{AT}.sync", "needs one data source"),
        ("ftp_dpm_1234_144537406.sync", "the last number is the time, 10 digits"),
        (f"ftp_dpm_20915_{AT}.sync", f"ftp_dpm_20915_<TARGET>_{AT}.sync"),
        (f"ftp_dpm_99999999999_{AT}.sync", "at most 2147483647"),
        (f"ftp_dpm_1234_{AT}.sync.gpg", "decrypt the file first"),
        (f"ftp_dpm_1234_{AT}.sync.pgp", "decrypt the file first"),
        (f"adobe_id_12345_{AT}.sync", "two data sources or more"),
        (f"adobe_id_5_5_{AT}.sync", "each once"),
        (f"adobe_id_0_5_{AT}.overwrite", "its name ends with .sync"),
        ("people.parquet.gz", "without .gz"),
        (f"{'n' * 300}.csv", "255 characters"),
    ],
)
def test_a_wrong_name_is_told_what_is_wrong(name: str, why: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_name(name)
    assert why in str(refused.value)


def test_files_are_in_the_order_of_the_times_in_their_names() -> None:
    names = ["ftp_dpm_9_1777600000.sync.2", "ftp_dpm_9_1777600000.sync.10", "ftp_dpm_1_1777600001.sync"]
    mixed = [names[1], names[2], names[0]]
    assert sorted(mixed, key=lambda name: parse_name(name).order) == names

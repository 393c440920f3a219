"""What the name of a data file says: whose ids it holds, whose traits, when, and how it is packed.

`ftp_dpm_<DPID>[_<TARGET>]_<TIME>(.sync|.overwrite)[.<SPLIT>][.gz]`, `ftp_dpm_odc_...` with a column of id
types, `adobe_id_<MASTER>_<DPID>..._<TIME>.sync[.<SPLIT>][.gz]` and `c2c_id_...` (dossier 15 and 16), and
tables (`.csv`, `.csv.gz`, `.parquet`), of which only the columns file tells more. A table's name may say a time:
`people_1777600000.csv`, `people-2026-11-29.csv.gz`, `people_20261129T0200.parquet`, UTC.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime
from typing import Literal

import msgspec

from arke.domain.catalog import GLOBAL_DATA_SOURCES, MAX_ID
from arke.errors import InvalidInput

Kind = Literal["sync", "overwrite", "mirror", "id_sync", "table"]
Form = Literal["lines", "csv", "parquet"]

MAX_NAME_CHARS = 255
SHAPE = "ftp_dpm_<DPID>[_<TARGET>]_<TIME>.sync or .overwrite, adobe_id_<MASTER>_<DPID>_<TIME>.sync"

_TEXT = re.compile(
    r"(?P<prefix>ftp_dpm_odc|ftp_dpm|adobe_id|c2c_id)_(?P<numbers>[0-9]+(?:_[0-9]+)*)"
    r"\.(?P<kind>sync|overwrite)(?:\.(?P<split>[0-9]{1,9}))?(?P<packed>\.gz)?"
)
_TABLE = re.compile(r"[^/]+?\.(?P<form>csv|parquet)(?P<packed>\.gz)?")
_TIME_DIGITS = 10
_SECONDS = re.compile(r"(?<![0-9])1[0-9]{9}(?![0-9])")
_DAY = re.compile(
    r"(?<![0-9])(20[0-9]{2})([-_.]?)(0[1-9]|1[0-2])\2(0[1-9]|[12][0-9]|3[01])"
    r"(?:[T_ .-]?([01][0-9]|2[0-3])[:._-]?([0-5][0-9])(?:[:._-]?([0-5][0-9]))?Z?)?(?![0-9])"
)


class FileName(msgspec.Struct, frozen=True, kw_only=True):
    """A name, taken apart. `dpids`: of an onboarding file the one data source of its ids (0: UUIDs), of an
    id-sync file one a column. `target`: whose traits it realises. `at`: the time in it, epoch seconds.
    `typed`: a column of id types leads.
    """

    name: str
    kind: Kind
    form: Form = "lines"
    dpids: tuple[int, ...] = ()
    target: int = 0
    at: int = 0
    split: int = 0
    packed: bool = False
    typed: bool = False

    @property
    def order(self) -> tuple[int, int, str]:
        """Files of a folder are loaded in this order: by the time in their names, then by split."""
        return self.at, self.split, self.name


def parse_name(name: str) -> FileName:
    """Take a file's name apart. Raises InvalidInput saying what is wrong with it."""
    if not name.isprintable():
        raise InvalidInput("a file's name may hold no control characters, and nothing that is not UTF-8")
    if name.endswith((".pgp", ".gpg")):
        raise InvalidInput(f"{name}: decrypt the file first: Arke keeps no keys for files")
    if len(name) > MAX_NAME_CHARS:
        raise InvalidInput(f"a file's name may have {MAX_NAME_CHARS} characters")
    text = _TEXT.fullmatch(name)
    if text is not None:
        return _text_file(name, text)
    table = _TABLE.fullmatch(name)
    if table is None:
        raise InvalidInput(
            f"{name}: no name of a data file: use {SHAPE}, with .gz where packed; or .csv, .parquet"
        )
    form: Form = "parquet" if table["form"] == "parquet" else "csv"
    if form == "parquet" and table["packed"]:
        raise InvalidInput(f"{name}: a Parquet file is packed inside: send it without .gz")
    packed = table["packed"] is not None
    return FileName(name=name, kind="table", form=form, at=_time_in(name), packed=packed)


def _time_in(name: str) -> int:
    """The time in a table's name, 0 where there is none."""
    seconds = _SECONDS.findall(name)
    if seconds:
        return int(seconds[-1])
    for year, _, month, day, hour, minute, second in reversed(_DAY.findall(name)):
        with suppress(ValueError):  # the 31st of June
            day_told = datetime(int(year), int(month), int(day), tzinfo=UTC)
            return (
                int(day_told.timestamp()) + 3600 * int(hour or 0) + 60 * int(minute or 0) + int(second or 0)
            )
    return 0


def _text_file(name: str, found: re.Match[str]) -> FileName:
    *spaces, time = found["numbers"].split("_")
    if len(time) != _TIME_DIGITS:
        raise InvalidInput(
            f"{name}: the last number is the time, {_TIME_DIGITS} digits of seconds, not {time}"
        )
    dpids = tuple(map(int, spaces))
    if any(dpid > MAX_ID for dpid in dpids):
        raise InvalidInput(f"{name}: a data source's number is at most {MAX_ID}")
    text = FileName(
        name=name,
        kind="sync" if found["kind"] == "sync" else "overwrite",
        dpids=dpids[:1],
        target=dpids[-1] if dpids else 0,
        at=int(time),
        split=int(found["split"] or 0),
        packed=found["packed"] is not None,
        typed=found["prefix"] == "ftp_dpm_odc",
    )
    if found["prefix"] in ("adobe_id", "c2c_id"):
        return _id_sync(text, dpids)
    if not 1 <= len(dpids) <= 2:
        raise InvalidInput(
            f"{name}: needs one data source, or two where the traits are another one's: {SHAPE}"
        )
    if len(dpids) == 1 and dpids[0] in GLOBAL_DATA_SOURCES:
        raise InvalidInput(
            f"{name}: {dpids[0]} is a global data source, whose ids are everybody's: name the one whose traits "
            f"these are, ftp_dpm_{dpids[0]}_<TARGET>_{time}.{text.kind}"
        )
    return text


def _id_sync(text: FileName, dpids: tuple[int, ...]) -> FileName:
    if text.kind != "sync":
        raise InvalidInput(f"{text.name}: an id-sync file adds mappings: its name ends with .sync")
    if len(dpids) < 2 or len(set(dpids)) != len(dpids):
        raise InvalidInput(f"{text.name}: needs two data sources or more, each once, and a time: {SHAPE}")
    return msgspec.structs.replace(text, kind="id_sync", dpids=dpids, target=0)

"""Whatever bytes come, every line that is received is stored or refused, and nothing else happens."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from arke.domain.catalog import Catalog, Trait
from arke.onboarding.columns_file import parse_columns
from arke.onboarding.names import parse_name
from arke.onboarding.reading import Reading
from arke.onboarding.receipt import Tally

CATALOG = Catalog(
    traits=(
        Trait(id=1, kind="onboarded", integration_code="7"),
        Trait(id=2, kind="onboarded", rule='a == "b" OR c >= 1'),
    )
)
COLUMNS = "id: {column: id, dpid: 12345}\ntraits: {a: 1}\nsignals: {b: a}\n"
BYTES = st.text(alphabet='ab7"=,:\t\r\n -d_sid\u00e4\u201c\x00', max_size=200).map(str.encode)
NAMES = st.sampled_from(
    [
        "ftp_dpm_12345_1777600000.sync",
        "ftp_dpm_0_12345_1777600000.overwrite",
        "ftp_dpm_odc_12345_1777600000.sync",
        "adobe_id_12345_777_1777600000.sync",
        "people.csv",
    ]
)


@settings(max_examples=300)
@given(NAMES, st.one_of(BYTES, st.binary(max_size=200)))
def test_lines_are_stored_or_refused(name: str, content: bytes) -> None:
    parsed, columns = parse_name(name), None
    body = b"\n" + content  # a blank line first: what begins like a packed file is another matter
    if parsed.kind == "table":
        columns = parse_columns(COLUMNS, "here")
        parsed = columns.named(parsed)
        body = b"id,a,b\n" + content
    with TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(body + b"\n")
        reading = Reading(path, parsed, columns)
        try:
            reading.start(0, CATALOG)
            tally, said, end = Tally(), 0, False
            while not end:
                chunk = reading.chunk()
                said += len(chunk.statements) + len(chunk.rows)
                tally.add(chunk.tally)
                end = chunk.end
        finally:
            reading.close()
    assert tally.received == said + sum(tally.errors.values())
    heads = parsed.kind in ("sync", "overwrite") and columns is not None
    assert tally.received == sum(bool(line.strip()) for line in body.split(b"\n")[heads:])

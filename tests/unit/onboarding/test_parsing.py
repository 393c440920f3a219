"""From a line to what it says, or to why it is not stored."""

from __future__ import annotations

import random

import pytest

from arke.domain.catalog import Catalog, DataSource, Trait
from arke.domain.file_lines import Said
from arke.domain.ids import IdRules
from arke.onboarding.items import Items, TraitBook
from arke.onboarding.names import parse_name
from arke.onboarding.parsing import IdLines, IdRow, Statement, TraitLines
from arke.onboarding.receipt import SAMPLES, Tally

IDFA = "6D92078A-8246-4BA4-AE5B-76104861E7DC"
GAID = "97987bca-ae59-4c7d-94ba-ee4f19ab8c21"
ZEROS = "00000000-0000-0000-0000-000000000000"
UUID = "59767559181262060060278870901087098252"

CATALOG = Catalog(
    traits=(
        Trait(id=1, kind="onboarded", data_source=501),
        Trait(id=2, kind="onboarded", data_source=501, integration_code="52"),
        Trait(id=3, kind="onboarded", data_source=501, rule='product == "tablet" AND age >= 18'),
        Trait(id=4, kind="onboarded"),
        Trait(id=5, kind="onboarded", data_source=502, integration_code="52"),
        Trait(id=6, kind="rule_based", data_source=501, rule='product == "tablet"'),
    ),
    data_sources=(DataSource(id=1234), DataSource(id=777)),
)
RULES = IdRules(CATALOG)


def read(name: str, *lines: bytes | None) -> tuple[list[Statement], Tally]:
    parse, tally = TraitLines(parse_name(name), TraitBook(CATALOG, 501), RULES), Tally()
    said = [parse(number, line, tally) for number, line in enumerate(lines, 1)]
    return [one for one in said if one is not None], tally


def error_of(name: str, line: bytes | None) -> str:
    told, tally = read(name, line)
    assert not told
    ((kind, count),) = tally.errors.items()
    assert (count, tally.received, tally.samples[kind][0].line) == (1, 1, 1)
    return kind


COOKIES = "ftp_dpm_1234_501_1445374061.sync"


@pytest.mark.parametrize(
    ("name", "line", "kind"),
    [
        (COOKIES, None, "too_long"),
        (COOKIES, b"abc d_sid=1", "format"),
        (COOKIES, b"\td_sid=1", "format"),
        (COOKIES, b"abc\t", "format"),
        (COOKIES, b"abc\t,,", "format"),
        (COOKIES, b"abc\td_sid=1\td_sid=2", "format"),
        (COOKIES, b'abc\ta="b', "format"),
        (COOKIES, b"a:b\td_sid=1", "format"),
        (COOKIES, b"a%3Ab\td_sid=1", "format"),
        (COOKIES, b"a%3ab\td_sid=1", "format"),
        (COOKIES, b"\xff\xfe\td_sid=1", "format"),
        (COOKIES, b"a\x01b\td_sid=1", "format"),
        (COOKIES, b"a" * 513 + b"\td_sid=1", "format"),
        (COOKIES, b"abc\td_sid=999", "no_trait"),
        (COOKIES, b"abc\td_sid=5", "no_trait"),
        (COOKIES, b"abc\td_sid=6", "no_trait"),
        (COOKIES, b"abc\tproduct=phone", "no_trait"),
        ("ftp_dpm_0_501_1445374061.sync", b"abc\td_sid=1", "invalid_uuid"),
        ("ftp_dpm_0_501_1445374061.sync", b"1234\td_sid=1", "invalid_uuid"),
        ("ftp_dpm_20915_501_1445374061.sync", IDFA.lower().encode() + b"\td_sid=1", "invalid_device_id"),
        ("ftp_dpm_20915_501_1445374061.sync", UUID.encode() + b"\td_sid=1", "invalid_device_id"),
        ("ftp_dpm_20914_501_1445374061.sync", IDFA.encode() + b"\td_sid=1", "invalid_device_id"),
        (
            "ftp_dpm_20914_501_1445374061.sync",
            b"00000000-0000-0000-0000-000000000000\td_sid=1",
            "invalid_device_id",
        ),
        ("ftp_dpm_odc_1234_501_1445374061.sync", b"mac\t" + IDFA.encode() + b"\td_sid=1", "format"),
        ("ftp_dpm_1234_501_1445374061.overwrite", b"abc\td_unsid=1", "no_trait"),
    ],
)
def test_a_line_is_not_stored_because(name: str, line: bytes | None, kind: str) -> None:
    assert error_of(name, line) == kind


@pytest.mark.parametrize(
    ("name", "line", "key", "says"),
    [
        (COOKIES, b"abc\td_sid=1,1:0", (1234, "abc"), Said((1,), (1,))),
        (COOKIES, b" abc \t52", (1234, "abc"), Said((2,))),
        (COOKIES, b"abc\tic=52,d_sid=4", (1234, "abc"), Said((2, 4))),
        (COOKIES, b"abc\tproduct=tablet,age=32", (1234, "abc"), Said((3,))),
        (COOKIES, "\u00e4bc\td_sid=1".encode(), (1234, "\u00e4bc"), Said((1,))),
        ("ftp_dpm_0_501_1445374061.sync", UUID.encode() + b"\td_sid=1", (0, UUID), Said((1,))),
        ("ftp_dpm_20915_501_1445374061.sync", IDFA.encode() + b"\td_sid=1", (20915, IDFA), Said((1,))),
        (
            "ftp_dpm_odc_1234_501_1445374061.sync",
            b"idfa\t" + IDFA.encode() + b"\td_sid=1",
            (20915, IDFA),
            Said((1,)),
        ),
        (
            "ftp_dpm_odc_1234_501_1445374061.sync",
            b"GAID\t" + GAID.encode() + b"\td_sid=1",
            (20914, GAID),
            Said((1,)),
        ),
        (
            "ftp_dpm_1234_501_1445374061.overwrite",
            b"abc\td_sid=1,d_unsid=4",
            (1234, "abc"),
            Said((1,)),
        ),
    ],
)
def test_a_line_says(name: str, line: bytes, key: tuple[int, str], says: Said) -> None:
    told, tally = read(name, line)
    assert told == [Statement(key, 1, says)]
    assert (tally.received, tally.errors) == (1, {})


LINES = [
    *(b"abc\td_sid=1", b"Abc-9\t52", b"a@b.example\tproduct=tablet,age=32", b"x/y+z=_\td_sid=4,77,word"),
    *(
        b"abc\td_sid=5",
        b"abc\td_sid=1,d_sid=5",
        b"abc\t",
        b"abc\t,,",
        b"abc",
        b"",
        b"  ",
        b"\t",
        b"\td_sid=1",
        None,
    ),
    *(
        b"a:b\td_sid=1",
        b"a%3ab\td_sid=1",
        b" abc \td_sid=1",
        b"a\x01b\td_sid=1",
        b"\xff\td_sid=1",
        b"-abc\t52",
    ),
    *(
        b"null\td_sid=1",
        b"NULL\td_sid=1",
        b"unknown\td_sid=1",
        b"00000000-0000-0000\td_sid=1",
        b"0-0\td_sid=1",
    ),
    *(b"000000000000a\td_sid=1", b"00\td_sid=1", b"0\td_sid=1", b"{id}\td_sid=1", b"a{{b}}\td_sid=1"),
    *(b"a" * 512 + b"\td_sid=1", b"a" * 513 + b"\td_sid=1", b"abc\td_sid=1\td_sid=2", b'abc\ta="b'),
    *("\u00e4bc\td_sid=1".encode(), "\ufb01n\td_sid=1".encode(), "\u212a1\td_sid=1".encode()),
    *(
        b"d41d8cd98f00b204e9800998ecf8427e\td_sid=1",
        IDFA.encode() + b"\td_sid=1",
        UUID.encode() + b"\td_sid=1",
    ),
]


@pytest.mark.parametrize(
    "name",
    [
        COOKIES,
        "ftp_dpm_1234_501_1445374061.overwrite",
        "ftp_dpm_0_501_1445374061.sync",
        "ftp_dpm_20915_501_1445374061.sync",
        "ftp_dpm_odc_1234_501_1445374061.sync",
        "ftp_dpm_778_501_1445374061.sync",
    ],
)
@pytest.mark.parametrize("seed", range(4))
def test_lines_read_together_are_as_each_by_itself(name: str, seed: int) -> None:
    """Each kind beside others, which are read as they are or not."""
    choice = random.Random(seed)
    parse, together = TraitLines(parse_name(name), TraitBook(CATALOG, 501), RULES), Tally()
    found: list[Statement] = []
    plain, lines = LINES[:6], list[bytes | None]()
    for odd in LINES:
        block = [
            *choice.choices(plain, k=choice.randint(0, 4)),
            odd,
            *choice.choices(plain, k=choice.randint(0, 4)),
        ]
        numbers = range(len(lines) + 1, len(lines) + len(block) + 1)
        found += parse.together(numbers, block, together)
        lines += block
    assert (found, together) == read(name, *lines)


def test_blank_lines_are_not_received() -> None:
    assert read(COOKIES, b"", b"  ", b"\t")[1] == Tally()


def test_signals_and_traits_of_no_use_are_counted() -> None:
    """Traits of another data source fail validation; keys nobody asks for are of no use."""
    told, tally = read(COOKIES, b"abc\td_sid=1,d_sid=5,d_sid=999,colour=red,product=phone,77,word")
    assert told[0].said == Said((1,))
    assert (tally.invalid_traits, tally.invalid_lines) == (2, 1)
    assert (tally.signals, tally.unused) == (4, 3)


def test_samples_hold_numbers_and_reasons_and_nothing_of_the_line() -> None:
    _, tally = read(COOKIES, *[b"secret-id"] * (SAMPLES + 5))
    assert tally.errors == {"format": SAMPLES + 5}
    assert [sample.line for sample in tally.samples["format"]] == list(range(1, SAMPLES + 1))
    assert "secret" not in repr(tally)


def test_rules_of_a_trait_book_follow_its_data_source() -> None:
    """The same code names one trait in one data source and another in the other."""
    assert TraitBook(CATALOG, 502).read(Items(signals={"ic": ["52"]})).said.realise == (5,)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"abc\tjane\t", "ends with a tab or a space"),
        (b"abc\tjane ", "ends with a tab or a space"),
        (b"abc", "1 columns; the name says 2"),
        (b"abc\tjane\tmore", "3 columns; the name says 2"),
        (b"abc\tja:ne", "a colon"),
    ],
)
def test_a_row_of_an_id_sync_file_is_not_processed(line: bytes, why: str) -> None:
    tally = Tally()
    assert IdLines(parse_name("adobe_id_1234_777_1445374061.sync"), RULES)(1, line, tally) is None
    assert why in tally.samples["format"][0].why


@pytest.mark.parametrize(
    ("row", "kept", "refused"),
    [
        (f"{UUID}\tjane\t{ZEROS}", ((0, UUID), (777, "jane")), {}),
        (f"{UUID}\tundefined\t{IDFA}", ((0, UUID), (20915, IDFA)), {}),
        (f"{UUID}\tundefined\t{ZEROS}", None, {"blocked_id": 1}),
        (f"{UUID}\t\t{ZEROS}", None, {"format": 1}),
        (f"{'0' * 37}\tjane\t{IDFA}", None, {"invalid_uuid": 1}),
    ],
)
def test_an_id_that_is_none_costs_its_row_only_where_nothing_is_left_to_link(
    row: str, kept: tuple[tuple[int, str], ...] | None, refused: dict[str, int]
) -> None:
    tally = Tally()
    said = IdLines(parse_name("adobe_id_0_777_20915_1445374061.sync"), RULES)(1, row.encode(), tally)
    assert said == (IdRow(1, kept) if kept is not None else None)
    assert (tally.errors, tally.bad_cells) == (refused, 0 if kept is None else 1)


def test_a_row_of_an_id_sync_file_holds_an_id_a_column() -> None:
    parse = IdLines(parse_name("adobe_id_0_777_20915_1445374061.sync"), RULES)
    row = parse(4, f"{UUID}\tjane doe\t{IDFA}".encode(), Tally())
    assert row == IdRow(4, ((0, UUID), (777, "jane doe"), (20915, IDFA)))
    tally = Tally()
    assert parse(5, f"abc\tjane\t{IDFA}".encode(), tally) is None
    assert tally.errors == {"invalid_uuid": 1}


def test_in_files_too_values_match_by_their_parts_and_rules_name_any_key() -> None:
    rules = ('"my key" == "a, b"', '"my key" == b', "c_utm:source.Prénom == x", "product == tablet")
    traits = tuple(
        Trait(id=number, kind="onboarded", rule=rule, integration_code=str(50 + number))
        for number, rule in enumerate(rules, 1)
    )
    book, tally = TraitBook(Catalog(traits=traits), 501), Tally()
    parse = TraitLines(parse_name(COOKIES), book, RULES)
    for number, (items, realised) in enumerate(
        [
            ('"my key"="a, b"', (1, 2)),
            ("c_utm:source.Prénom=x", (3,)),
            ('"product"="phone,tablet","ic"="51,99"', (1, 4)),
        ],
        1,
    ):
        told = parse(number, f"abc\t{items}".encode(), tally)
        assert told is not None
        assert told.said.realise == realised
    assert (tally.signals, tally.unused) == (4, 0)

"""What an id may be: of the global data sources, under the catalog's forms, and in general (dossier 13)."""

from __future__ import annotations

from hashlib import sha256

import pytest

from arke.domain.catalog import Catalog, DataSource, Destination, IdForm
from arke.domain.ids import IdProblem, IdRules, parse_dpid
from arke.privacy.sought import others_of

UPPER = "AEBE52E7-03EE-455A-B3C4-E57283966239"
LOWER = "e4fe9bde-caa0-47b6-908d-ffba3fa184f2"
ZEROS = "00000000-0000-0000-0000-000000000000"

RULES = IdRules(Catalog(data_sources=(DataSource(id=12345, deny=("abc123", "Void-1")),)))


def formed(form: IdForm, dpid: int = 12345, *deny: str) -> IdRules:
    return IdRules(Catalog(data_sources=(DataSource(id=dpid, id_form=form, deny=deny),)))


@pytest.mark.parametrize(
    ("dpid", "value", "ok"),
    [
        (20915, UPPER, True),
        (20915, UPPER.lower(), False),
        (20915, "1", False),
        (20914, LOWER, True),
        (20914, LOWER.upper(), False),
        (20914, LOWER.replace("-", ""), False),
        (121963, LOWER, True),
        (488258, LOWER, True),
        (1171485, LOWER, True),
        (1171485, "z" + LOWER[1:], False),
        (389146, "AbC123", True),
        (389146, "no spaces", False),
        (963906, LOWER, True),
        (1171489, "\u0661\u0662", False),
    ],
)
def test_each_global_data_source_has_its_form(dpid: int, value: str, ok: bool) -> None:
    assert RULES.read(dpid, value) == (value if ok else IdProblem.DEVICE_FORM)


@pytest.mark.parametrize(
    ("value", "ok"),
    [("a", True), ("x" * 512, True), ("x" * 513, False), ("", False), ("a\nb", False), ("a\x00", False),
     ("é ü", True), ("a\x7f", False), ("a\x01b", False), ("anything goes: %!", True), ("a\ufffcb", True)],
)  # fmt: skip
def test_an_id_has_no_control_characters(value: str, ok: bool) -> None:
    assert RULES.read(12345, value) == (value if ok else IdProblem.MALFORMED)
    assert RULES.read(20915, UPPER + "\n") is IdProblem.MALFORMED


def test_an_id_has_no_character_that_stands_for_others() -> None:
    """By it strangers may have come to be one; whoever looks for an id that was taken before may find it."""
    assert RULES.read(12345, "caf\ufffd") is IdProblem.REPLACED
    assert others_of(RULES, (12345, "caf\ufffd")) == {(12345, "caf\ufffd")}


MD5_OF_NOTHING = "d41d8cd98f00b204e9800998ecf8427e"
SHA1_OF_NOTHING = "da39a3ee5e6b4b0d3255bfef95601890afd80709"
PLACEHOLDERS = (
    "undefined", "null", "NULL", "(null)", "nil", "NaN", "None", "none", "N/A", "#N/A", "\\N", "void", "true",
    "[object Object]", "[object Undefined]", "0", "-1", "0.0", "0x0", "-", "--", "...", "  ", '"null"', "''",
    "{{uid}}", "{{ user.id }}", "${DD_UUID}", "${GDPR_CONSENT_565}", "$UID", "$$ID$$", "$(id)", "%%ID%%", "%ID%",
    "%s", "%1$s", "%recipient.id%", "__ID__", "__UserId__", "[ID]", "[[ID]]", "<id>", "<%= id %>", "<nil>", "{id}",
    "{0}", "{}", "{%id%}", "#{x}", "%{x}", "@{x}", "@@x@@", "##x##", "*|UID|*", "user-${ID}", "a{{b}}c",
    "%7B%7Buid%7D%7D", "%24%7BDD_UUID%7D", "%257B%257Buid%257D%257D", "%25%25DEVICE_ID%25%25",
    "unknown", "Anonymous", "guest", "test", "not_authenticated", "user_id",
    "%%DEVICE_ID%%", "%%ADVERTISING_IDENTIFIER_PLAIN%%", "%ADID%", "%eaid!", "%(uid)s", "$[uid]", "~ID~",
    "!!ID!!",
    "^id^", ":user_id", "__OAID_MD5__", "__mac1__", "((id))", "#<User:0x1>", "${uid", "{{uid", "void 0", "inf",
    "+0",
    "#NUM!", "Array", "function(){}", "async function id() { return 1 }", "() => id", "\u200bnull",
    "undefined\ufeff",
    "\u201cnull\u201d", "\u3000none ", "\uff4e\uff55\uff4c\uff4c", "\u200b",
    ZEROS, "0" * 32, "0" * 38, "0" * 64, "ffffffff-ffff-ffff-ffff-ffffffffffff", "02:00:00:00:00:00",
    "00:00:00:00:00:00", "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", "9774d56d682e549c",
    sha256(b"").hexdigest(), MD5_OF_NOTHING, SHA1_OF_NOTHING, sha256(b"undefined").hexdigest(),
    sha256(b"[object Object]").hexdigest(), sha256(b"0").hexdigest(),
)  # fmt: skip


@pytest.mark.parametrize("text", PLACEHOLDERS)
@pytest.mark.parametrize("dpid", [0, 4, 12345, 20914, 20915, 389146])
def test_a_placeholder_is_nobodys_id(text: str, dpid: int) -> None:
    """In any letter case, whatever the form of the data source. But a device's own UUID may be any 38 digits."""
    if (dpid, text) == (0, "0" * 38):
        assert RULES.read(dpid, text) == text
        return
    for spelling in (text, text.upper(), text.lower()):
        assert RULES.read(dpid, spelling) is IdProblem.NOBODY
        assert RULES.sought(dpid, spelling) is IdProblem.NOBODY


@pytest.mark.parametrize(
    "text",
    ["10", "1", "-5", "007", "00", "000", "0-0",
     "0abc", "0x1f", "a", "x", "n", "na", "test1", "tester", "guest-7", "nullisland",
     "{6d92078a-8246-4ba4-ae5b-76104861e7dc}", "11111111-1111-1111-1111-111111111111", UPPER, LOWER, "ab+c/d==",
     "$2b$10$N9qo8uLOickgx2ZMRZoMye", "$device:18c1-x", "ann@example.com", "100%", "%41bc", "a:b", "1-0",
     "0" * 37 + "1", "f" * 64, "_x_", "__a-b__", "a__b__c", "[1", "user(1)", "#1", "@ann",
     "~ann", "!ann", "ann!", "%ann", "functional(1)", "a=>b", "ab:cd", "\u540d\u524d", "Ünal"],
)  # fmt: skip
def test_what_looks_a_little_like_one_is_an_id(text: str) -> None:
    assert RULES.read(12345, text) == text


def test_a_catalog_denies_ids_in_any_letter_case() -> None:
    assert RULES.read(12345, "ABC123") is IdProblem.DENIED
    assert RULES.read(12345, "void-1") is IdProblem.DENIED
    assert RULES.read(12345, "abc1234") == "abc1234"
    digest = sha256(b"qa@example.com").hexdigest()
    assert formed("email_sha256", 12345, "QA@example.com").read(12345, digest) is IdProblem.DENIED
    assert (
        IdRules(Catalog(data_sources=(DataSource(id=4, deny=("1" * 38,)),))).read(4, "1" * 38)
        is IdProblem.DENIED
    )


@pytest.mark.parametrize(
    ("form", "text", "kept"),
    [
        ("sha256", "AB" * 32, "ab" * 32),
        ("sha256", f" {'ab' * 32} ", "ab" * 32),
        ("sha256", "ab" * 16, None),
        ("sha256", "ann@example.com", None),
        ("md5", "AB" * 16, "ab" * 16),
        ("md5", "ab" * 32, None),
        ("md5", "zz" * 16, None),
        ("email_sha256", "AB" * 32, "ab" * 32),
        ("email_sha256", " Ann@Example.com", sha256(b"ann@example.com").hexdigest()),
        ("email_sha256", "ann", None),
        ("email_sha256", "ann@@example.com", None),
        ("upper", "aBc", "ABC"),
        ("lower", "aBc", "abc"),
        ("uuid", UPPER, UPPER.lower()),
        ("uuid", f"{{{LOWER}}}", LOWER),
        ("uuid", LOWER.replace("-", ""), LOWER),
        ("uuid", "1234", None),
        ("uuid", "z" + LOWER[1:], None),
    ],
)
def test_a_form_has_one_spelling_or_refuses(form: IdForm, text: str, kept: str | None) -> None:
    assert formed(form).read(12345, text) == (IdProblem.FORM if kept is None else kept)


@pytest.mark.parametrize(
    ("dpid", "form", "text", "kept"),
    [
        (20914, "lower", UPPER, UPPER.lower()),
        (20914, "uuid", UPPER, UPPER.lower()),
        (20915, "upper", LOWER, LOWER.upper()),
        (20915, "uuid", LOWER, LOWER.upper()),
        (389146, "lower", "AbC", "abc"),
    ],
)
def test_a_global_source_folds_where_it_is_told_to(dpid: int, form: IdForm, text: str, kept: str) -> None:
    assert formed(form, dpid).read(dpid, text) == kept
    assert formed(form, dpid).read(dpid, "not it!") is IdProblem.DEVICE_FORM


@pytest.mark.parametrize("declared", [(), (DataSource(id=20914), DataSource(id=4))])
def test_a_destination_that_takes_ids_takes_none_of_their_forms_away(
    declared: tuple[DataSource, ...],
) -> None:
    to = Destination(id=1, name="", url="https://dsp.test/", client_id="1", user_dpids=(0, 4, 7, 20914))
    rules = IdRules(Catalog(data_sources=declared, destinations=(to,)))
    assert rules.read(20914, LOWER) == LOWER
    assert rules.read(20914, UPPER) is IdProblem.DEVICE_FORM
    assert rules.read(20914, "garbage") is IdProblem.DEVICE_FORM
    assert rules.read(4, "garbage") is IdProblem.NOT_A_UUID
    assert rules.read(0, "garbage") is IdProblem.NOT_A_UUID
    assert rules.read(7, "garbage") == "garbage"


def test_whoever_looks_for_an_id_of_a_global_source_may_write_it_in_any_case() -> None:
    assert RULES.sought(20914, UPPER) == UPPER.lower()
    assert RULES.sought(20915, LOWER) == LOWER.upper()
    assert RULES.sought(20914, "garbage") is IdProblem.DEVICE_FORM
    assert RULES.sought(12345, UPPER) == UPPER


def test_spellings_under_which_it_may_have_been_kept_before() -> None:
    assert set(formed("sha256").spellings(12345, "ab")) == {"AB"}
    assert RULES.spellings(12345, "ab") == ()
    assert RULES.spellings(20914, LOWER) == (LOWER.upper(),)


@pytest.mark.parametrize("dpid", [0, 4])
def test_the_device_and_the_ecid_are_uuids(dpid: int) -> None:
    assert RULES.read(dpid, "1" * 38) == "1" * 38
    assert RULES.read(dpid, "1" * 37) is IdProblem.NOT_A_UUID
    assert RULES.read(dpid, "\u0661" * 38) is IdProblem.NOT_A_UUID


def test_a_source_is_known_if_the_catalog_or_a_destination_names_it() -> None:
    told = Destination(id=1, url="https://d.example", client_id="c", user_dpids=(0, 77))
    rules = IdRules(Catalog(destinations=(told,)))
    assert [rules.known(dpid) for dpid in (77, 20914, 4, 0, 999)] == [True, True, True, False, False]
    assert rules.read(999, "a") is IdProblem.UNKNOWN_SOURCE


@pytest.mark.parametrize(
    ("text", "dpid"),
    [("1", 1), ("2147483647", 2**31 - 1), ("2147483648", None), ("0", None), ("-1", None), ("+1", None),
     ("1_0", None), ("", None), (" 1", None), ("\u0661", None), ("9" * 5000, None)],
)  # fmt: skip
def test_a_dpid_is_a_plain_positive_number(text: str, dpid: int | None) -> None:
    assert parse_dpid(text) == dpid

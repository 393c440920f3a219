"""A receiver reads every generation of the format, and says where a bad message is wrong."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arke.errors import InvalidInput
from arke.receiver import MessageError, parse
from unit.receiver.samples import PUBLISHED, JsonObject, document, encoded

if TYPE_CHECKING:
    from collections.abc import Callable


def test_the_published_sample_reads_field_for_field() -> None:
    message = parse(PUBLISHED)
    assert message.process_time == datetime(2016, 7, 27, 16, 17, 42, tzinfo=UTC)
    assert (message.user_dpid, message.client_id, message.destination_id) == (12345, "74323", "423")
    assert message.warnings == ()
    first, second = message.users
    assert first.aam_uuid == "19393572368547369350319949416899715727"
    assert first.data_partner_uuid == "4250948725049857"
    assert second.aam_uuid == "0578240750487542456854736923319946899715232"  # 43 digits, leading zero
    assert first.regions == second.regions == (9,)
    assert [
        (entry.user.partner_id, entry.segment.segment_id, entry.active) for entry in message.entries()
    ] == [
        ("4250948725049857", "14356", True),
        ("4250948725049857", "12176", False),
        ("848457757347734", "10329", True),
        ("848457757347734", "23954", True),
    ]
    assert first.segments[0].date_time == datetime(2016, 7, 27, 16, 17, 22, tzinfo=UTC)


def _spell_id_in_capitals(sample: JsonObject) -> None:
    sample["AAM_Destination_ID"] = sample.pop("AAM_Destination_Id")


def _use_numbers(sample: JsonObject) -> None:
    sample.update(User_DPID=12345, AAM_Destination_Id=423, User_count=2, Client_ID=74323)
    for user in sample["Users"]:
        user["AAM_Regions"] = [9]
        user["DataPartner_UUID"] = int(user["DataPartner_UUID"])
        for segment in user["Segments"]:
            segment["Status"] = int(segment["Status"])
            segment["Segment_ID"] = int(segment["Segment_ID"])


def _lower_all_keys(sample: JsonObject) -> None:
    for key in list(sample):
        sample[key.lower()] = sample.pop(key)


def _add_unknown_fields(sample: JsonObject) -> None:
    sample["Consent"] = {"gdpr": [1, 2]}
    sample["Users"][0]["Score"] = 0.5


@pytest.mark.parametrize(
    "change", [_spell_id_in_capitals, _use_numbers, _lower_all_keys, _add_unknown_fields]
)
def test_another_spelling_means_the_same(change: Callable[[JsonObject], None]) -> None:
    """Both spellings of the destination, numbers or strings, any letter case, fields of a newer sender."""
    sample = document()
    change(sample)
    assert parse(encoded(sample)) == parse(PUBLISHED)


def test_a_byte_order_mark_is_skipped() -> None:
    assert parse(b"\xef\xbb\xbf" + PUBLISHED) == parse(PUBLISHED)


def test_the_generation_without_dpid_and_regions_is_read() -> None:
    """The 2015 sample: five users, no User_DPID, no AAM_Regions, ids with a pipe kept whole."""
    sample = document()
    del sample["User_DPID"]
    for user in sample["Users"]:
        del user["AAM_Regions"]
        user["DataPartner_UUID"] = "CAESEabc|VPYFQxyz"
    message = parse(encoded(sample))
    assert message.user_dpid is None
    assert [(user.regions, user.data_partner_uuid) for user in message.users] == [
        ((), "CAESEabc|VPYFQxyz")
    ] * 2


def test_a_blank_partner_id_falls_back_to_the_uuid() -> None:
    """Until 2019 DataPartner_UUID was left blank if the partner had none."""
    sample = document()
    sample["Users"][0]["DataPartner_UUID"] = ""
    del sample["Users"][1]["DataPartner_UUID"]
    first, second = parse(encoded(sample)).users
    assert (first.partner_id, second.partner_id) == (first.aam_uuid, second.aam_uuid)


def test_a_segment_id_may_be_free_text() -> None:
    sample = document()
    sample["Users"][0]["Segments"][0]["Segment_ID"] = "Käufer: high value / 30d"
    assert parse(encoded(sample)).users[0].segments[0].segment_id == "Käufer: high value / 30d"


def test_a_missing_status_means_active() -> None:
    sample = document()
    del sample["Users"][0]["Segments"][1]["Status"]
    assert parse(encoded(sample)).users[0].segments[1].active


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mon Jan 04 00:00:00 UTC 2016", datetime(2016, 1, 4, tzinfo=UTC)),
        ("Mon Jan 4 00:00:00 UTC 2016", datetime(2016, 1, 4, tzinfo=UTC)),
        ("Mon Jan  4 23:59:59 GMT 2016", datetime(2016, 1, 4, 23, 59, 59, tzinfo=UTC)),
        ("mon feb 29 12:00:00 utc 2016", datetime(2016, 2, 29, 12, tzinfo=UTC)),
    ],
)
def test_dates_are_read_as_aware_instants(text: str, expected: datetime) -> None:
    sample = document()
    sample["ProcessTime"] = text
    found = parse(encoded(sample)).process_time
    assert (found, found.tzinfo) == (expected, UTC)


def test_a_wrong_user_count_warns_and_in_strict_mode_refuses() -> None:
    sample = document()
    sample["User_count"] = "3"
    assert parse(encoded(sample)).warnings == ("User_count says 3, but the message holds 2 users",)
    with pytest.raises(MessageError) as caught:
        parse(encoded(sample), strict=True)
    assert caught.value.path == "User_count"
    del sample["User_count"]
    assert parse(encoded(sample)).warnings


def _set(*path: str | int, to: object) -> Callable[[JsonObject], None]:
    def change(sample: JsonObject) -> None:
        place: object = sample
        for step in path[:-1]:
            place = place[step]  # type: ignore[index]
        place[path[-1]] = to  # type: ignore[index]

    return change


def _drop(*path: str | int) -> Callable[[JsonObject], None]:
    def change(sample: JsonObject) -> None:
        place: object = sample
        for step in path[:-1]:
            place = place[step]  # type: ignore[index]
        del place[path[-1]]  # type: ignore[attr-defined]

    return change


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (_set("Users", 1, "Segments", 0, "Status", to="2"), "Users[1].Segments[0].Status"),
        (_set("Users", 1, "Segments", 0, "Status", to=True), "Users[1].Segments[0].Status"),
        (_set("Users", 0, "Segments", 1, "DateTime", to="2016-07-27"), "Users[0].Segments[1].DateTime"),
        (_set("ProcessTime", to="Wed Feb 30 16:17:42 UTC 2016"), "ProcessTime"),
        (_set("ProcessTime", to="Wed Jul 27 16:17:42 CET 2016"), "ProcessTime"),
        (_set("User_DPID", to="acme"), "User_DPID"),
        (_set("User_DPID", to="9" * 5000), "User_DPID"),
        (_set("Users", to={}), "Users"),
        (_set("Users", to=[]), "Users"),
        (_set("Users", 0, to="me"), "Users[0]"),
        (_set("Users", 0, "AAM_UUID", to=1.5e37), "Users[0].AAM_UUID"),
        (_set("Users", 0, "AAM_UUID", to=""), "Users[0].AAM_UUID"),
        (_set("Users", 0, "AAM_Regions", to="9"), "Users[0].AAM_Regions"),
        (_set("Users", 0, "AAM_Regions", to=["9", "x"]), "Users[0].AAM_Regions[1]"),
        (_set("Users", 0, "Segments", 0, "Segment_ID", to=None), "Users[0].Segments[0].Segment_ID"),
        (_set("AAM_Destination_ID", to="424"), "AAM_Destination_ID"),
        (_drop("Client_ID"), "Client_ID"),
        (_drop("AAM_Destination_Id"), "AAM_Destination_Id"),
        (_drop("Users", 0, "Segments"), "Users[0].Segments"),
        (_drop("Users", 1, "Segments", 1, "Segment_ID"), "Users[1].Segments[1].Segment_ID"),
    ],
)
def test_an_error_names_the_place(change: Callable[[JsonObject], None], path: str) -> None:
    sample = document()
    change(sample)
    with pytest.raises(MessageError) as caught:
        parse(encoded(sample))
    assert caught.value.path == path
    assert str(caught.value).startswith(f"{path}: ")
    assert isinstance(caught.value, InvalidInput)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b'{"Users": NaN}',
        b"[" * 500_000,
        b'{"a":' * 20 + b"1" + b"}" * 20,
        b"9" * 6_000,
    ],
    ids=["empty", "cut", "not-utf8", "nan", "deep", "deeper-than-16", "huge-number"],
)
def test_what_is_no_message_is_refused_as_a_whole(body: bytes) -> None:
    with pytest.raises(MessageError) as caught:
        parse(body)
    assert caught.value.path == ""


def test_size_and_number_of_users_are_bounded() -> None:
    with pytest.raises(MessageError, match="at most 100 are read"):
        parse(PUBLISHED, max_body_bytes=100)
    with pytest.raises(MessageError) as caught:
        parse(PUBLISHED, max_users=1)
    assert caught.value.path == "Users"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
_PLACES = st.sampled_from(
    [
        ("ProcessTime",),
        ("User_DPID",),
        ("Client_ID",),
        ("AAM_Destination_Id",),
        ("User_count",),
        ("Users",),
        ("Users", 0),
        ("Users", 0, "AAM_UUID"),
        ("Users", 0, "DataPartner_UUID"),
        ("Users", 0, "AAM_Regions"),
        ("Users", 0, "Segments"),
        ("Users", 0, "Segments", 0),
        ("Users", 0, "Segments", 0, "Segment_ID"),
        ("Users", 0, "Segments", 0, "Status"),
        ("Users", 0, "Segments", 0, "DateTime"),
    ]
)


def _only_message_errors(body: bytes) -> None:
    try:
        message = parse(body)
    except MessageError:
        return
    assert list(message.entries()) is not None
    assert message.users


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b" \n", "the body is empty"),
        (gzip.compress(PUBLISHED), "the body is packed with gzip"),
        (PUBLISHED.decode().encode("utf-16"), "UTF-16"),
        (PUBLISHED.decode().encode("utf-16-le"), "UTF-16"),
        (b"a=b", "JSON is malformed"),
    ],
)
def test_a_body_of_another_form_is_called_so(body: bytes, why: str) -> None:
    with pytest.raises(MessageError, match="not a JSON document: ") as caught:
        parse(body)
    assert why in caught.value.reason


@settings(max_examples=300)
@given(place=_PLACES, value=_JSON)
def test_any_value_anywhere_gives_a_message_or_a_message_error(
    place: tuple[str | int, ...], value: object
) -> None:
    sample = document()
    _set(*place, to=value)(sample)
    try:
        body = msgspec.json.encode(sample)
    except UnicodeEncodeError:  # a lone surrogate has no bytes
        return
    _only_message_errors(body)


@settings(max_examples=300)
@given(
    cut=st.integers(0, len(PUBLISHED)),
    length=st.integers(0, 20),
    replacement=st.binary(max_size=20),
)
def test_mutated_bytes_give_a_message_or_a_message_error(cut: int, length: int, replacement: bytes) -> None:
    _only_message_errors(PUBLISHED[:cut] + replacement + PUBLISHED[cut + length :])

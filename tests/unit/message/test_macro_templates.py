"""Macro templates: the documented examples, every construct, and errors that say where and what to do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arke.delivery.body import TemplateMessage, TemplateUser, compile_template
from arke.delivery.templates.macros import GET_ONLY
from arke.delivery.templates.output import MAX_OUTPUT_BYTES, MAX_TEMPLATE_CHARS
from arke.domain.message import SegmentState, UserEntry
from arke.domain.message_body import well_formed
from arke.errors import RuleError

if TYPE_CHECKING:
    from collections.abc import Callable

FIRST = "19393572368547369350319949416899715727"
SECOND = "0578240750487542456854736923319946899715232"
TEN = '"<seg.traitAlias>"<CLOSE_BRACKET>}; separator=","'


@pytest.fixture
def render(sample: TemplateMessage) -> Callable[[str], str]:
    """A template's text for the sample message, values not escaped."""
    return lambda text: compile_template(text, "macros", content_type="text/plain").render(sample).decode()


def with_partner_id(partner_id: str) -> TemplateMessage:
    entry = UserEntry("1", partner_id, (), (SegmentState("a", True, 0),))
    return TemplateMessage(
        process_ts=0, dpid=1, client_id="c", destination_id=2, users=(TemplateUser(entry=entry),)
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '<PID_ALIAS>|count:<NUM_USERS>|users:[<USER_LIST:{u|<u.aamUuid>:<u.dpUuid>}; separator=", ">]',
            f"74323|count:2|users:[{FIRST}:4250948725049857, {SECOND}:848457757347734]",
        ),
        (
            '<USER_LIST:{u|<u.userAgent>|<u.ip>|<u.timestamp>}; separator=", ">',
            "Firefox|192.0.2.7|1469636257, ||1469636262",
        ),
        (
            'users:[<USER_LIST:{user|<user.dpUuids.1000> AND <user.dpUuids.20914>}; separator=", ">]',
            "users:[dpuuid-1 AND gaid-1,  AND ]",
        ),
    ],
)
def test_the_documented_post_examples(render: Callable[[str], str], text: str, expected: str) -> None:
    """Audience Manager's own examples, with the sample message's values."""
    assert render(text) == expected


def test_the_documented_json_examples(sample: TemplateMessage) -> None:
    """Examples 10 (its missing comma put in) and 11: segments apart from removed ones, and with a status."""
    ten = compile_template(
        '{"Users": [<USER_LIST:{user|<OPEN_BRACKET> "AAM_UUID": "<user.aamUuid>",'
        ' "DataPartner_UUID": "<user.dpUuid>",'
        f' "Segments": [<user.segments:{{seg|<OPEN_BRACKET>"Segment": {TEN}>],'
        f' "Removed_Segments": [<user.removedSegments:{{seg|<OPEN_BRACKET>"Segment": {TEN}>]'
        ' <CLOSE_BRACKET>}; separator=",">]}',
        "macros",
    )
    first, second = json.loads(ten.render(sample))["Users"]
    assert first["Segments"] == [{"Segment": "14356"}]
    assert first["Removed_Segments"] == [{"Segment": "12176"}]
    assert second["Segments"] == [{"Segment": "10329"}, {"Segment": "23954"}]
    assert second["Removed_Segments"] == []
    eleven = compile_template(
        '{"Users": [<USER_LIST:{user|<OPEN_BRACKET>"Segments": [<user.segments:{seg|<OPEN_BRACKET>"Segment":'
        ' "<seg.traitAlias>","Status": "<seg.status>"<CLOSE_BRACKET>}; separator=",">]'
        '<CLOSE_BRACKET>}; separator=",">]}',
        "macros",
    )
    assert json.loads(eleven.render(sample))["Users"][0] == {
        "Segments": [{"Segment": "14356", "Status": "1"}]
    }
    assert ten.warnings == eleven.warnings == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<ORDER_ID> <generation_time> <Process_Time>", "423 1469636260 Wed Jul 27 16:17:42 UTC 2016"),
        ("<OPEN_BRACKET><CLOSE_BRACKET><COMMA><OPEN_CURLY_BRACKET><CLOSE_CURLY_BRACKET>", "{},{}"),
        ("{a} <!not <this>!>b", "{a} b"),
        (r"<\n><\t><\r><\ ><\n\t>", "\n\t\r \n\t"),
        (r"\<PID_ALIAS> \\ \n \}", r"<PID_ALIAS> \ \n }"),
        ("< PID_ALIAS ; separator = \",\" >", "74323"),
        ("<USER_LIST:{u|x}>", "xx"),
        (r'<USER_LIST:{u|x}; separator="\n\"\\">', 'x\n"\\x'),
        (r"<USER_LIST:{u|\}\<}>", "}<}<"),
        ('<USER_LIST:{u|<u.dpUuids; separator="+">}>', "dpuuid-1+gaid-1"),
        ('<USER_LIST:{u|<u.dpUuids:{id|[<id>]}; separator=",">}>', "[dpuuid-1],[gaid-1]"),
        ("<USER_LIST:{u|<u.segments:{s|<u.dpUuid>/<s.traitAlias> }>}>",
         "4250948725049857/14356 848457757347734/10329 848457757347734/23954 "),
        ("<USER_LIST:{u|<u.segments:{s|<s.LegacySegmentId>/<s.segmentid>/<s.NewSegmentId> }>}>",
         "501/501/501 10329/10329/10329 23954/23954/23954 "),
        ("<USER_LIST:{u|<u.removedSegments:{s|<s.status> <s.dateTime>}>}>", "0 Wed Jul 27 16:17:22 UTC 2016"),
        ("<USER_LIST:{u|<if(u.segments && u.removedSegments)><COMMA><else>-<endif>}>", ",-"),
        ("<USER_LIST:{u|<if(!u.removedSegments || u.ip)>a<endif>}>", "aa"),
        ("<USER_LIST:{u|<if( !( u.ip || !u.segments ) )>a<elseif(u.userAgent)>b<else>c<endif>}>", "ba"),
        ("<USER_LIST:{u|<u.removedSegments:{s|<if(s.status)>in<else>out<endif>}>}>", "out"),
        ("<if(NUM_USERS)>{<if(USER_LIST)>y<endif>}<endif>", "{y}"),
        ("<USER_LIST:{USER_LIST|<USER_LIST.dpUuid> }>", "4250948725049857 848457757347734 "),
        ("", ""),
    ],
)  # fmt: skip
def test_constructs(render: Callable[[str], str], text: str, expected: str) -> None:
    assert render(text) == expected


def test_random_differs_between_users_and_messages_but_not_between_renderings(
    sample: TemplateMessage,
) -> None:
    """A retry has to send the same bytes, so `random` is drawn from the message itself."""
    template = compile_template('[<USER_LIST:{u|<u.random>}; separator=",">]', "macros")
    first, second = json.loads(template.render(sample))
    assert first != second
    assert json.loads(template.render(sample)) == [first, second]
    later = msgspec.structs.replace(sample, process_ts=sample.process_ts + 1)
    assert not {first, second} & set(json.loads(template.render(later)))


@pytest.mark.parametrize(
    ("text", "line", "column", "message", "hint"),
    [
        ("x\n  <NUM_USR>", 2, 4, "no macro NUM_USR", "did you mean NUM_USERS?"),
        ("<xyzzy>", 1, 2, "no macro xyzzy", "known: GENERATION_TIME"),
        ("<USER_LIST:{u|\n<u.aamId>}>", 2, 2, "a user has no field aamId", "did you mean aamUuid?"),
        ("<USER_LIST:{u|<u.segments:{s|<s.alias>}>}>", 1, 31, "a segment has no field alias", "traitAlias"),
        ("<USER_LIST:{u|<u.dpUuids:{d|<d.x>}>}>", 1, 30, "a text has no field x", "write <d>"),
        ("<USER_LIST:{u|<u.dpUuids.GAID>}>", 1, 16, "nothing called GAID", "DPID's number"),
        ("<USER_LIST:{u|<u>}>", 1, 16, "u is a whole user", "say which field"),
        ("<USER_LIST:{u|x}><u.ip>", 1, 19, "no macro u", "known"),
        ("<USER_LIST.aamUuid>", 1, 2, "no fields of its own", "USER_LIST:{x|"),
        ("<USER_LIST>", 1, 1, "a list of users, not a text", "<USER_LIST:{x|...<x.field>...}>"),
        ("<PID_ALIAS:{p|<p>}>", 1, 12, "a single value", "write <PID_ALIAS>"),
        ("<PID_ALIAS", 1, 11, "not closed", "ends with >"),
        ("a < b", 1, 5, "no macro b", "known"),
        ("a <1", 1, 4, "name is missing", r"\<"),
        ("<USER_LIST:x>", 1, 12, "body of USER_LIST is missing", "{x|...}"),
        ("<USER_LIST:{|x}>", 1, 13, "name of the item is missing", "{x|"),
        ("<USER_LIST:{u x}>", 1, 14, "no | after u", "{x|"),
        ("<USER_LIST:{u|x", 1, 12, "not closed", "end it with }"),
        ('<USER_LIST:{u|{"a":1}}>', 1, 22, "not closed", "<CLOSE_BRACKET>"),
        ('<USER_LIST:{u|x}; "separator=",">', 1, 19, "expected separator", 'separator=","'),
        ("<USER_LIST:{u|x}; separator=,>", 1, 29, "not a string", 'separator=","'),
        ("<USER_LIST:{u|x}; separator>", 1, 28, "no value", 'separator=","'),
        ("<if(NUM_USERS)>x", 1, 1, "not closed", "<endif>"),
        ("<if(NUM_USERS>x<endif>", 1, 14, "condition is not closed", "<if(a && !b)>"),
        ("<if(NUM_USERS &&)>x<endif>", 1, 17, "name is missing", None),
        ("<if((NUM_USERS)>x<endif>", 1, 16, "condition is not closed", None),
        ("<if(a)>x<endif>", 1, 5, "no macro a", "known"),
        ("x<endif>", 1, 2, "<endif> without", "<if(...)>"),
        ("<if(NUM_USERS)>a<else>b<else>c<endif>", 1, 1, "not closed", "<endif>"),
        ("<USER_LIST:{u|<if(u.ip)>x}>", 1, 15, "not closed", "<CLOSE_BRACKET>"),
        ("<USER_LIST:{u|x<endif>}>", 1, 16, "<endif> without", None),
        ("<!x", 1, 1, "comment is not closed", "!>"),
        ("(" + "<if(NUM_USERS)>" * 60, 1, 741, "nested more than 50", None),
        ("<if(" + "!" * 60 + "NUM_USERS)>", 1, 54, "nested more than 50", None),
        ("x" * (MAX_TEMPLATE_CHARS + 1), 1, 1, "the limit is 65,536", None),
    ],
)
def test_mistakes_are_found_before_use(
    text: str, line: int, column: int, message: str, hint: str | None
) -> None:
    """Each error names its place and, where there is something to say, what to do."""
    with pytest.raises(RuleError) as caught:
        compile_template(text, "macros")
    assert message in caught.value.message
    assert (caught.value.line, caught.value.column) == (line, column)
    assert (hint or "") in (caught.value.hint or "")


@pytest.mark.parametrize("name", GET_ONLY)
def test_macros_for_get_say_what_to_write_instead(name: str) -> None:
    with pytest.raises(RuleError, match=f"{name} is for GET destinations only") as caught:
        compile_template(f"<{name}>", "macros")
    assert "POST body" in (caught.value.hint or "")


@given(partner_id=st.text(st.characters(), max_size=20))
def test_no_id_can_break_out_of_a_json_body(partner_id: str) -> None:
    """Whatever somebody declares as an id stays inside its string, and the body stays UTF-8."""
    template = compile_template('[<USER_LIST:{u|"<u.dpUuid>"}; separator=",">]', "macros")
    (value,) = json.loads(template.render(with_partner_id(partner_id)).decode("utf-8", "strict"))
    assert value == well_formed(partner_id)


def test_values_are_escaped_as_the_content_type_asks() -> None:
    """JSON, XML and form bodies each keep a hostile value inside; other types write it as it is."""
    hostile = with_partner_id('<a href="x">&\'\\\x01 é')

    def body(content_type: str, text: str) -> str:
        return compile_template(text, "macros", content_type=content_type).render(hostile).decode()

    value = "<USER_LIST:{u|<u.dpUuid>}>"
    assert (
        json.loads(body("application/vnd.acme+json; charset=utf-8", f'"{value}"'))
        == '<a href="x">&\'\\\x01 é'
    )
    element = ET.fromstring(body("text/xml", rf'\<u id="{value}">{value}\</u>'))  # noqa: S314 - our own
    assert element.text == element.get("id") == '<a href="x">&\'\\\ufffd é'
    assert body("application/x-www-form-urlencoded", f"id={value}") == (
        "id=%3Ca+href%3D%22x%22%3E%26%27%5C%01+%C3%A9"
    )
    assert body("text/plain", value) == '<a href="x">&\'\\\x01 é'


def test_a_json_destination_with_a_body_that_is_no_json_is_warned_about() -> None:
    """A comma missing between two users is found while the catalog is checked, not by the destination."""
    text = '[<USER_LIST:{u|"<u.dpUuid>"}>]'
    (warning,) = compile_template(text, "macros").warnings
    assert "not JSON" in warning
    assert compile_template(text, "macros", content_type="text/plain").warnings == ()


def test_lists_inside_lists_are_stopped_at_the_work_limit() -> None:
    """Users for each user for each user: a body that would take years is refused while it is compiled."""
    text = ""
    for _ in range(40):
        text = f"<USER_LIST:{{u|{text}}}>"
    with pytest.raises(RuleError, match="too much work"):
        compile_template(text, "macros")


def test_a_body_over_the_limit_is_refused() -> None:
    template = compile_template("<USER_LIST:{u|<u.dpUuid><u.dpUuid>}>", "macros", content_type="text/plain")
    with pytest.raises(RuleError, match="1,048,576 bytes"):
        template.render(with_partner_id("x" * (MAX_OUTPUT_BYTES // 2 + 1)))
    with pytest.raises(RuleError, match="1,048,576 bytes"):
        template.render(with_partner_id("\u20ac" * (MAX_OUTPUT_BYTES // 4)))
    assert len(template.render(with_partner_id("x" * (MAX_OUTPUT_BYTES // 2)))) == MAX_OUTPUT_BYTES


TOKENS = [*'<>{}|:;"\\!&().,=ux1 \n', "<USER_LIST:{u|", "<u.ip>", "<if(", "<endif>", '; separator=",">']


@given(st.lists(st.sampled_from(TOKENS), max_size=30).map("".join))
@settings(max_examples=500)
def test_any_text_compiles_or_is_refused_politely(text: str) -> None:
    """The parser has two outcomes, whatever it is fed; an error's place lies in the text or at its end."""
    error: RuleError | None = None
    try:
        assert isinstance(compile_template(text, "macros").render(with_partner_id("x")), bytes)
    except RuleError as caught:
        error = caught
    if error is not None:
        assert 1 <= error.line <= text.count("\n") + 1
        assert 1 <= error.column <= len(text.split("\n")[error.line - 1]) + 1

"""Jinja2 templates: what they see, how values are written, and errors that say where and what to do."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arke.delivery.body import TemplateMessage, TemplateUser, compile_template
from arke.delivery.templates.output import MAX_OUTPUT_BYTES
from arke.domain.message import SegmentState, UserEntry
from arke.domain.message_body import well_formed
from arke.errors import RuleError

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def render(sample: TemplateMessage) -> Callable[[str], str]:
    """A template's text for the sample message, values not escaped."""
    return lambda text: compile_template(text, "jinja2", content_type="text/plain").render(sample).decode()


def with_partner_id(partner_id: str) -> TemplateMessage:
    entry = UserEntry("1", partner_id, (), (SegmentState("a", True, 0),))
    return TemplateMessage(
        process_ts=0, dpid=1, client_id="c", destination_id=2, users=(TemplateUser(entry=entry),)
    )


def test_everything_a_template_sees_is_plain_data(sample: TemplateMessage) -> None:
    """The documented variables with the sample's values; numbers are numbers."""
    text = (
        '{"m": [{{ process_time | tojson }}, {{ generated_ts }}, {{ user_dpid }}, {{ client_id | tojson }},'
        ' {{ destination_id }}, {{ user_count }}], "u": {{ users | tojson }}}'
    )
    template = compile_template(text, "jinja2")
    body = json.loads(template.render(sample))
    assert template.warnings == ()
    assert body["m"] == ["Wed Jul 27 16:17:42 UTC 2016", 1_469_636_260, 12345, "74323", 423, 2]
    assert 0 <= body["u"][0].pop("random") < 2**31
    assert body["u"][0] == {
        "uuid": "19393572368547369350319949416899715727",
        "partner_id": "4250948725049857",
        "regions": [9],
        "segments": [
            {
                "alias": "14356",
                "segment_id": "501",
                "status": 1,
                "date_time": "Wed Jul 27 16:17:22 UTC 2016",
                "verified_ts": 1_469_636_242,
            },
            {
                "alias": "12176",
                "segment_id": "12176",
                "status": 0,
                "date_time": "Wed Jul 27 16:17:22 UTC 2016",
                "verified_ts": 1_469_636_242,
            },
        ],
        "partner_ids": {"1000": "dpuuid-1", "20914": "gaid-1"},
        "user_agent": "Firefox",
        "ip": "192.0.2.7",
        "seen_ts": 1_469_636_257,
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{% for u in users if u.ip %}{{ loop.length }}:{{ u['ip'] }}{% endfor %}", "1:192.0.2.7"),
        ("{% for u in users %}{{ loop.last and 1 or 0 }}{% endfor %}", "01"),
        ("{% for u in users[5:] %}x{% else %}none{% endfor %}", "none"),
        ("{{ users[0].partner_ids[20914] }} {{ users[-1].partner_ids[20914] | default('-') }}", "gaid-1 -"),
        ("{% set n = users | length + 1 %}{{ n * 7 // 2 % 6 - 1 }}{{ -n }}", "3-3"),
        ("{% for n in range(6, 0, -2) %}{{ n }}{% endfor %}", "642"),
        ("{{ 'a' ~ 1 ~ users[0].ip }}", "a1192.0.2.7"),
        ("{{ client_id[1:3] }}{{ client_id[0] }}", "437"),
        ("{{ 1 if 'ire' in users[0].user_agent else 2 }}", "1"),
        ("{{ 1 if users[0].regions == [9] and not users[-1].ip else 2 }}", "1"),
        ("{{ users | join('+', 'partner_id') }}", "4250948725049857+848457757347734"),
        ("{{ users | join('+', attribute='ip') }}", "192.0.2.7+"),
        ("{{ users[0].segments | rejectattr('status') | map(attribute='alias') | first }}", "12176"),
        ("{{ users[-1].segments | selectattr('alias', 'eq', '23954') | length }}", "1"),
        ("{% for k, v in users[0].partner_ids|items%}{{ k }}{{ v }}{% endfor %}", "1000dpuuid-120914gaid-1"),
        ("{{ ' Ab' | upper | trim }}{{ 'AB' | lower }}{{ 'aXb' | replace('X', '--') }}", "ABaba--b"),
        ("{{ '42' | int + 1 }}{{ 'x' | int }}{{ '-7' | int(3) }}{{ 5 | string }}", "430-75"),
        ("{{ '' | d('e', true) }}{{ users | last | tojson | length > 9 and 'y' }}", "ey"),
        ("{{ {'a': [1, true, none]} | tojson }}{{ [] | tojson(indent=2) }}", '{"a":[1,true,null]}[]'),
        ("{% for u in users %}u{{ ',' if not loop.last }}{% endfor %}", "u,u"),
        ("{# no #}{% raw %}{{ x }}{% endraw %}\n", "{{ x }}\n"),
        ("{{ 1 if users is defined and 3 is odd and 2 is even and none is none else 2 }}", "1"),
    ],
)  # fmt: skip
def test_constructs(render: Callable[[str], str], text: str, expected: str) -> None:
    assert render(text) == expected


@given(partner_id=st.text(st.characters(), max_size=20))
def test_no_id_can_break_out_of_a_json_body(partner_id: str) -> None:
    """Inside quotes and through tojson alike, whatever somebody declares as an id stays a string."""
    body = ESCAPED.render(with_partner_id(partner_id)).decode("utf-8", "strict")
    assert json.loads(body) == [well_formed(partner_id)] * 4


ESCAPED = compile_template(
    '{% set id = users[0].partner_id %}["{{ id }}", {{ id | tojson }}, "{{ "" ~ id }}", "{{ [id] | join }}"]',
    "jinja2",
)


def test_values_are_escaped_as_the_content_type_asks() -> None:
    """JSON in a form is percent-encoded like any value; `safe` is the one way round."""
    hostile = with_partner_id('<"&')
    form = compile_template(
        "{% set id = users[0].partner_id %}p={{ [id] | tojson }}&q={{ id }}&r={{ id | urlencode }}",
        "jinja2",
        content_type="application/x-www-form-urlencoded",
    )
    assert parse_qs(form.render(hostile).decode()) == {"p": ['["<\\"&"]'], "q": ['<"&'], "r": ['<"&']}
    markup = compile_template(
        "<u>{{ users[0].partner_id }}{{ '<br/>' | safe }}</u>", "jinja2", content_type="application/xml"
    )
    assert markup.render(hostile) == b"<u>&lt;&quot;&amp;<br/></u>"


@pytest.mark.parametrize(
    ("text", "line", "message", "hint"),
    [
        ("\n\n{{ user }}", 3, "no variable user", "did you mean users?"),
        ("{% for u in users %}\n{{ u.uid }}{% endfor %}", 2, "no field uid", "lists the fields"),
        ("{{ users[7] }}", 1, "no such item", "lists the fields"),
        ("{{ users['uuid'] }}", 1, "no such item", "lists the fields"),
        ("{{ loop.index }}", 1, "'loop' is undefined", "lists the fields"),
        ("{% for u in users %}", 1, "Unexpected end of template", "closed"),
        ("{{ users | tojsn }}", 1, "no filter tojsn", "did you mean tojson?"),
        ("{{ 1 is sameas 1 }}", 1, "no test sameas", "known"),
        ("{{ users }}", 1, "only texts and whole numbers", "tojson"),
        ("{{ true }}", 1, "only texts and whole numbers", "tojson"),
        ("{{ none }}", 1, "only texts and whole numbers", "tojson"),
        ("{{ 1.5 }}", 1, "only texts and whole numbers", "tojson"),
        ("{{ client_id + 1 }}", 1, "whole numbers", "| int"),
        ("{{ 1 // 0 }}", 1, "ZeroDivisionError", "reference"),
        ("{{ users | join(',') }}", 1, "join needs a text", "tojson"),
        ("{{ users | first('x') }}", 1, "TypeError", "reference"),
        ("{{ [users[0].nope] | tojson }}", 1, "no field nope", None),
        ("{{ users | tojson(indent=900) }}", 1, "indent is out of bounds", "0 to 8"),
        ("{{ users | selectattr('ip', 'gt', 1) | length }}", 1, "truth or equality", "eq"),
        ("{% set users = 1 %}", 1, "the name users is taken", "another"),
        ("{{ 90071992547409930 }}", 1, "number is too large", "text"),
        ("{{ 9007199254740992 * 9007199254740992 }}", 1, "beyond 2^53", "text"),
        ("{% do 1 %}", 1, "unknown tag", "filters"),
        ("{% if users[0].x %}{% endif %}", 1, "no field x", None),
    ],
)
def test_mistakes_are_found_before_use(text: str, line: int, message: str, hint: str | None) -> None:
    with pytest.raises(RuleError) as caught:
        compile_template(text, "jinja2")
    assert message in caught.value.message
    assert caught.value.line == line
    assert (hint or "") in (caught.value.hint or "")


def test_errors_while_sending_do_not_repeat_personal_data() -> None:
    """A template that trips over one user's id says so without the id."""
    text = "{% set d = {'y': 1} %}{% if users | length == 1 %}{{ d[users[0].partner_id] }}{% endif %}"
    template = compile_template(text, "jinja2")
    with pytest.raises(RuleError) as caught:
        template.render(with_partner_id("secret-id"))
    assert "secret-id" not in f"{caught.value} {caught.value.hint}"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_body_over_the_limit_is_refused() -> None:
    template = compile_template("{{ users[0].partner_id }}", "jinja2", content_type="text/plain")
    assert len(template.render(with_partner_id("x" * MAX_OUTPUT_BYTES))) == MAX_OUTPUT_BYTES
    with pytest.raises(RuleError, match="1,048,576 bytes"):
        template.render(with_partner_id("x" * MAX_OUTPUT_BYTES + "x"))
    with pytest.raises(RuleError, match="1,048,576 bytes"):
        template.render(with_partner_id("\u20ac" * (MAX_OUTPUT_BYTES // 2)))


def test_a_template_keeps_nothing_from_one_message_to_the_next(sample: TemplateMessage) -> None:
    """Same message, same bytes, whatever was rendered between; the work of one is not charged to the next."""
    text = "{% for n in range(9000) %}{% for m in range(9) %}{% endfor %}{% endfor %}{{ users | tojson }}"
    template = compile_template(text, "jinja2")
    first = template.render(sample)
    for n in range(20):
        template.render(with_partner_id(str(n)))
    assert template.render(sample) == first


TOKENS = [
    *'{}%#()[]|~.,=+-*/"x1 ',
    "{{ ",
    " }}",
    "{% if users %}",
    "{% endif %}",
    "{% for u in users %}",
    "{% endfor %}",
]
TOKENS += [
    "{% set x = ",
    " %}",
    "users",
    "u.ip",
    "tojson",
    "range",
    "loop",
    " in ",
    " is ",
    " not ",
    "first",
    "none",
]


@given(st.lists(st.sampled_from(TOKENS), max_size=30).map("".join))
@settings(max_examples=300)
def test_any_text_compiles_or_is_refused_politely(text: str) -> None:
    """Compiling has two outcomes, whatever it is fed."""
    with suppress(RuleError):
        assert isinstance(compile_template(text, "jinja2").render(with_partner_id("x")), bytes)

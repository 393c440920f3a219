"""What a wrong catalog is told: each case has one mistake, marked with § where it must be reported."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from arke.catalog.load import load_catalog, parse_catalog
from arke.errors import CatalogError
from unit.catalog.marked import errors_of, unmark

if TYPE_CHECKING:
    from pathlib import Path

SYNTAX = [
    ("", "§", "the catalog is empty"),
    ("", "§# nothing\n", "the catalog is empty"),
    ("list", "§- a", "a mapping of fields must stand here, not a list"),
    ("unclosed", "segments: [{id: 1}\n§", "not valid YAML"),
    ("tab", "segments:\n§\t- {id: 1}", "not valid YAML"),
    ("control", "segments: [{id: 1, name: a§\x07b}]", "a character that YAML does not allow"),
    ("surrogate", "segments: [{id: 1, name: a§\ud800b}]", "a character that YAML does not allow"),
    ("alias", "segments: [&a {id: 1}, §*a]", "an alias (*name) is not allowed"),
    ("tag", "segments: [{id: 1, name: §!!python/object x}]", "a tag (!name) is not allowed"),
    ("tagged list", "segments: §!x [{id: 1}]", "a tag (!name) is not allowed"),
    ("two documents", "segments: []\n§--- \ntraits: []", "a second document begins here"),
    ("same key", "segments:\n  - id: 1\n    name: a\n    §name: b", "'name' stands twice here"),
    ("odd key", "§1: x", "a field's name must be text"),
    ("map as key", "segments: [{§{a}: 1}]", "a field's name must be text"),
    ("deep", "traits: " + "[" * 15 + "§[1" + "]" * 16, "nested more than 16 deep"),
    ("unknown section", "§segmets: []", "unknown field 'segmets'"),
    ("not a list", "segments: §{id: 1}", "segments must be a list, not a mapping"),
    ("not a mapping", "segments: [§5]", "a mapping of fields must stand here, not a whole number"),
]
JSON_SYNTAX = [
    ('{"segments": [{"id": 1}§', "it ends where a comma or ] should stand"),
    ('{"segments": [{"id": 1}] §]', "expected a comma or } here"),
    ('{"segments": [{"id": 1 §2}]}', "expected a comma or } here"),
    ('{"segments": [{"id": §}]}', "expected a value here"),
    ('{"segments": [1, §]}', "expected a value here"),
    ('{"segments" §[]}', "expected a colon"),
    ("{\n  §segments: []}", "nothing valid begins here"),
    ('{"segments": [{"id": 1, "name": §"a\nb"}]}', "nothing valid begins here"),
    ('{"segments": []}\n§{}', "expected nothing more here"),
    ('{"segments": [{"id": 1, §"id": 2}]}', "'id' stands twice here"),
    ('{"segments": [{"id": 1, §"nmae": "é"}]}', "unknown field 'nmae'"),
]
AUDIENCE = [
    ("segments: [{id: §0}]", "id must be at least 1, not 0"),
    ("segments: [{id: §-4}]", "id must be at least 1"),
    ("segments: [{id: §'5'}]", "id must be a whole number, not text (remove the quotes)"),
    ("segments: [{id: §true}]", "id must be a whole number, not true or false"),
    ("segments: [{id: §1.5}]", "id must be a whole number, not a number"),
    ("segments: [{id: §9999999999999999999}]", "id must be from 1 to 2147483647, not a number that large"),
    ("data_sources: [{id: §2147483648}]", "id must be from 1 to 2147483647, not 2147483648"),
    ("segments: [§{name: a}]", "id is missing"),
    ("segments: [{id: 1, §name: }]", "name has no value (give it a value, or leave the field out)"),
    ("segments: [{id: 1, name: §5}]", "name must be text, not a whole number (put it in quotes)"),
    ("segments: [{id: 1, name: §''}]", "name is empty"),
    (f"segments: [{{id: 1, name: §{'n' * 256}}}]", "name has 256 characters; at most 255"),
    ('segments: [{id: 1, name: §"a\\nb"}]', "name contains a line break"),
    ("segments: [{id: 1, ttl_days: §-1}]", "ttl_days must be from 0 to 36500, not -1"),
    ("segments: [{id: 1, paused: §yes}]", "paused must be true or false, not text"),
    ("segments: [{id: 1, paused: §'true'}]", "(without quotes)"),
    ("segments: [{id: 1, §rul: 1T}]", "unknown field 'rul' (did you mean rule?)"),
    ("segments: [{id: 1}, {id: §1}]", "segment 1 is defined twice; first in line 1"),
    ("segments:\n- {id: 1, rule: §12T}", "there is no trait 12 (define it under traits)"),
    (
        "traits: [{id: 1234, kind: onboarded}]\nsegments: [{id: 1, rule: 1234T AND (§1243T OR 1234T)}]",
        "there is no trait 1243 (did you mean 1234T?)",
    ),
    ("data_sources: [{id: §0}]", "id must be at least 1"),
    (
        "data_sources: [{id: 1, id_form: §sha1}]",
        "id_form must be sha256, md5, email_sha256, upper, lower or uuid",
    ),
    (
        "data_sources: [{id: 4, id_form: §lower}]",
        "ids of data source 4 are UUIDs of 38 digits (remove id_form)",
    ),
    ("data_sources: [{id: 20914, id_form: §upper}]", "20914 are UUIDs in lower case (write lower)"),
    ("data_sources: [{id: 20915, id_form: §sha256}]", "20915 are UUIDs in upper case (write upper)"),
    ("data_sources: [{id: 389146, id_form: §md5}]", "389146 are letters, digits and dashes"),
    ("data_sources: [{id: 1, deny: §abc}]", "deny must be a list, not text"),
    (
        "data_sources: [{id: 1, deny: [a, §null]}]",
        "an entry of deny must be text, not nothing (put it in quotes)",
    ),
    (
        "data_sources: [{id: 1, deny: [§true]}]",
        "an entry of deny must be text, not true or false (put it in quotes)",
    ),
    ("data_sources: [{id: 1, deny: [§'']}]", "an entry of deny has 1 to 512 characters"),
    (
        "data_sources: [{id: 1, declared_by: §tokens}]",
        "declared_by must be anyone or token, not 'tokens' (did you mean token?)",
    ),
    ("traits: [{id: 1, kind: onboarded, d_sid: §'true'}]", "d_sid must be true or false, not text"),
    (
        "data_sources: [{id: 1, kind: §cooky}]",
        "kind must be cookie, mobile or cross_device, not 'cooky' (did you",
    ),
    (
        "data_sources:\n- {id: 1, integration_code: a}\n- {id: 2, integration_code: §a}",
        "integration_code 'a' names two data sources; first in line 2",
    ),
    ("traits: [§{id: 1}]", "rule is missing"),
    ("traits: [{id: 1, kind: onboarded, rule: 'ic §~ 1'}]", '"~" is not an operator'),
    (
        "traits: [{id: 1, kind: §onborded}]",
        "kind must be rule_based or onboarded, not 'onborded' (did you mean onb",
    ),
    ("traits: [{id: 1, kind: onboarded}, {id: §1, kind: onboarded}]", "trait 1 is defined twice"),
    ("traits: [{id: 1, kind: onboarded, data_source: §0}]", "data_source must be at least 1"),
    ("traits: [{id: 1, rule: §" + "x" * 131_073 + "}]", "at most 131072"),
]
DESTINATION = [
    ("url: §http://d.example/x", "url must be https"),
    ("url: §ftp://d.example/x", "url must be an https URL"),
    ("url: §'https:///x'", "url is not a valid URL"),
    ("url: §https://d.example:99999/", "url is not a valid URL"),
    ("url: §https://d.example:0/", "url is not a valid URL"),
    ("url: §'https://[::1/'", "url is not a valid URL"),
    ("url: §https://me:pass@d.example/", "url must not hold a user name or password"),
    ("url: §'https://d.example/#a'", "url must not have a fragment"),
    ("url: §'https://d.example/a b'", "url contains a space"),
    ("client_id: §74323", "client_id must be text, not a whole number (put it in quotes)"),
    ("user_dpids: §[]", "user_dpids must not be empty"),
    ("user_dpids: [0, §-1]", "an entry of user_dpids must be at least 0, not -1"),
    ("user_dpids: [0, §0]", "0 stands twice in user_dpids"),
    ("user_dpids: §0", "user_dpids must be a list"),
    ("{realtime: false, batch: §false}", "realtime and batch are both off"),
    ("batch: §daily", "batch must be false or a schedule"),
    ("batch: {every: §23h}", "every must be from 24h to 366d, not 23h"),
    ("batch: {every: §24}", "every must be a duration, not a whole number (a number and a unit"),
    ("batch: {every: §1 day}", "every must be a duration, not '1 day'"),
    ("batch: {at: §24:00}", "at must be an hour of the day (UTC), not '24:00'"),
    ("batch: {at: §2}", "at must be an hour of the day (UTC), not a whole number"),
    ("batch: {timezone: §europe/berlin}", "timezone must be a time zone, not 'europe/berlin'"),
    ("batch: {timezone: §Europe}", "timezone must be a time zone, not 'Europe'"),
    ("batch: {timezone: §../../etc/passwd}", "timezone must be a time zone, not '../../etc/passwd'"),
    ("batch: {timezone: §2}", "timezone must be a time zone, not a whole number"),
    ("batch: {§evry: 24h}", "unknown field 'evry' (did you mean every?)"),
    ("linger: §31s", "linger must be from 0ms to 30s, not 31s"),
    ("max_users_per_request: §0", "max_users_per_request must be from 1 to 1000, not 0"),
    ("max_users_per_request: §1001", "max_users_per_request must be from 1 to 1000"),
    ("success: [200, §302]", "an entry of success must be from 200 to 299, not 302"),
    ("success: §[]", "success must not be empty"),
    ("sample_rate_denominator: §0", "sample_rate_denominator must be from 1"),
    ("on_unmap: §quiet", "on_unmap must be unsegment or silent, not 'quiet'"),
    ("auto_alias: §code", "auto_alias must be segment_id or integration_code"),
    ("template_language: §jinja2", "template_language needs a template"),
    ("template_language: §jinja2", "template_language needs a template"),
    ("content_type: §json", "'json' is not a content type (type/subtype"),
    ("content_type: §'application/json; charset'", "is not a content type"),
    ('content_type: §"application/json\\r\\nX: y"', "content_type contains a line break"),
    (
        "content_type: §'application/json; charset=latin1'",
        "the charset cannot be 'latin1' (bodies are UTF-8)",
    ),
    ("method: §GET", "method must be POST, PUT or PATCH, not 'GET'"),
    ("method: §put", "method must be POST, PUT or PATCH, not 'put'"),
    ("signatures: [{key: 'env:A', encoding: §base32}]", "encoding must be base64 or hex, not 'base32'"),
    ("signatures: [{key: 'env:A', prefix: §'é='}]", "cannot stand before a signature"),
    ('signatures: [{key: "env:A", prefix: §"a\\nb"}]', "prefix contains a line break"),
    ("signatures: [{key: 'env:A', prefix: §'{body}'}]", "prefix has a brace that is no place"),
    ("signatures: [{key: 'env:A', signs: §'{timestamp}'}]", "signs must hold {body} once"),
    ("signatures: [{key: 'env:A', signs: §'{body}{body}'}]", "signs must hold {body} once"),
    ("signatures: [{key: 'env:A', signs: §'{id}.{body}'}]", "signs has a brace that is no place"),
    ("signatures: [{key: 'env:A', signs: §'{timestamp}.{body}'}]", "no header carries it"),
    ("signatures: [{key: 'env:A', timestamp_header: §Host}]", "the header Host is reserved"),
    ("signatures: [{key: 'env:A', timestamp_header: §x-signature}]", "is the header of the signature"),
    ("standard_webhooks: §[]", "standard_webhooks must not be empty"),
    ("standard_webhooks: [{key: 'env:A'}, {key: §'env:A'}]", "the same key stands twice"),
    ("headers: {X-Api-Key: §my-key}", "X-Api-Key must be a reference to a secret (keep the secret in"),
    ("headers: {X-Access: §'Bearer abc'}", "X-Access must be a reference to a secret"),
    ("headers: {Authorization: §'Bearer env:KEY'}", "Authorization must be a reference to a secret"),
    ("headers: {X-A: §'env:1A'}", "X-A must be a reference to a secret"),
    ("headers: {X-A: §true}", "X-A must be text, not true or false (put it in quotes)"),
    ('headers: {X-A: §"a\\r\\nX-B: c"}', "the value of X-A cannot be sent"),
    ("headers: {X-A: §' a'}", "the value of X-A cannot be sent"),
    ("headers: {X-A: §Grüße}", "the value of X-A cannot be sent"),
    (f"headers: {{X-A: §{'a' * 4097}}}", "X-A has 4097 characters; at most 4096"),
    ("headers: {X A: §b}", "'X A' is not a valid header name"),
    ('headers: {"X\\r\\nHost": §b}', "is not a valid header name"),
    ("headers: {host: §b}", "the header host is reserved"),
    ("headers: {Content-Type: §text/plain}", "the header Content-Type is reserved (content_type says it)"),
    ("headers: {Content-Length: §1}", "the header Content-Length is reserved"),
    ("headers: {Transfer-Encoding: §chunked}", "the header Transfer-Encoding is reserved"),
    ("headers: {Expect: §100-continue}", "the header Expect is reserved"),
    ("headers: {Connection: §close}", "the header Connection is reserved"),
    ("headers: {webhook-id: §a}", "is reserved (standard_webhooks sends it)"),
    ("headers: {X-A: b, x-a: §c}", "the header x-a stands twice, in other letters"),
    (
        "signatures: [{key: 'env:A'}], headers: {x-signature: §'env:B'}",
        "the header x-signature carries a signature",
    ),
    (
        "basic_auth: 'env:A', headers: {Authorization: §'env:B'}",
        "the header Authorization is also set by basic_auth",
    ),
    (
        "oauth2: {token_url: 'https://d.example', credentials: 'env:A'}, headers: {authorization: §'env:B'}",
        "the header authorization is also set by oauth2 (keep one",
    ),
    (
        "oauth2: {token_url: 'https://d.example', credentials: 'env:A'}, basic_auth: §'env:B'",
        "basic_auth and oauth2 both set the header Authorization",
    ),
    ("headers: §[X-A]", "a mapping of fields must stand here"),
    ("basic_auth: §user:password", "basic_auth must be a reference to a secret"),
    ("basic_auth: §{username: a}", "password is missing"),
    ("basic_auth: §{password: 'env:A'}", "username is missing"),
    ("basic_auth: {username: a, password: §b}", "password must be a reference to a secret"),
    ("basic_auth: {username: §'a:b', password: 'env:A'}", "a user name must not hold a colon"),
    ("oauth2: {token_url: 'https://d.example', auth: §form}", "auth must be basic or body, not 'form'"),
    ("oauth2: §{token_url: 'https://d.example', auth: body}", "credentials is missing"),
    (
        "oauth2: {token_url: 'https://d.example', credentials: 'env:A', params: {grant_type: §password}}",
        "the parameter grant_type is reserved",
    ),
    (
        "oauth2: {token_url: 'https://d.example', credentials: 'env:A', params: {client_id: §me}}",
        "the parameter client_id needs auth: body",
    ),
    (
        "oauth2: {token_url: 'https://d.example', credentials: 'env:A', auth: body, params: {client_id: §me}}",
        "the parameter client_id is reserved",
    ),
    (
        "oauth2: {token_url: 'https://d.example', auth: body, params: {client_id: me, client_secret: §me}}",
        "client_secret must be a reference to a secret",
    ),
    (
        "oauth2: {token_url: 'https://d.example', credentials: 'env:A', tls: {ca_file: §ca.pem}}",
        "ca_file 'ca.pem' is a relative path",
    ),
    (
        "{template: x, template_language: §jinja}",
        "template_language must be macros or jinja2, not 'jinja' (did you",
    ),
    ("signatures: [§{header: X-A}]", "key is missing (a reference to the secret: env:NAME or file:PATH)"),
    ("signatures: [{key: 'env:A', header: §Host}]", "the header Host is reserved"),
    ("signatures: [{key: 'env:A', header: §CONTENT-length}]", "the header CONTENT-length is reserved"),
    ("signatures: [{key: 'env:A', header: §authorization}]", "the header authorization is reserved"),
    ("signatures: [{key: 'env:A', header: §Content-Type}]", "is reserved"),
    ("signatures: [{key: 'env:A', header: §Transfer-Encoding}]", "is reserved"),
    ("signatures: [{key: 'env:A', header: §Connection}]", "is reserved"),
    ("signatures: [{key: 'env:A', header: §X Signature}]", "'X Signature' is not a valid header name"),
    (
        "signatures: [{key: 'env:A', algorithm: §sha384}]",
        "algorithm must be sha1, sha256, sha512 or md5, not 'sha384'",
    ),
    ("signatures: §[{key: 'env:A'}, {key: 'env:A'}]", "the same signature stands twice"),
    ("oauth2: {token_url: §http://d.example/t, credentials: 'env:A'}", "token_url must be https"),
    ("oauth2: §{credentials: 'env:A'}", "token_url is missing"),
    ("oauth2: §{token_url: 'https://d.example/t'}", "credentials is missing"),
    ("standard_webhooks: §{}", "key is missing"),
    ("tls: {ca_file: §/nowhere/ca.pem}", "ca_file: there is no file /nowhere/ca.pem"),
    (
        f"tls: {{ca_file: §/{'a' * 300}}}",
        f"ca_file: the file /{'a' * 300} cannot be read: File name too long",
    ),
    ("tls: {ca_file: §ca.pem}", "ca_file 'ca.pem' is a relative path"),
    ("tls: {client_key: §/dev/null/k}", "client_key needs client_cert"),
    ("segments: [{segment: §56}]", "there is no segment 56 (did you mean 5?)"),
    ("segments: [{segment: §777}]", "there is no segment 777 (define it under segments)"),
    ("segments: [§{alias: a}]", "segment is missing"),
    ("segments: [{segment: 5, alias: §5}]", "alias must be text, not a whole number (put it in quotes)"),
    (f"segments: [{{segment: 5, alias: §{'a' * 256}}}]", "alias has 256 characters; at most 255"),
    ("segments: [{segment: 5, start: §2026-02-30}]", "start must be a day, not '2026-02-30'"),
    ("segments: [{segment: 5, end: §20260101}]", "end must be a day, not a whole number"),
    (
        "segments: [{segment: 5, start: 2026-01-02, end: §2026-01-02}]",
        "end 2026-01-02 is not after start 2026-01",
    ),
    (
        "segments: [{segment: 5, alias: a}, §{segment: 5, alias: a}]",
        "segment 5 is mapped twice under the alias 'a'",
    ),
    ("segments: [{segment: 5}, §{segment: 5, alias: '5'}]", "segment 5 is mapped twice under the alias '5'"),
    ("§lingr: 1s", "unknown field 'lingr' (did you mean linger?)"),
    ("enabled: §1", "enabled must be true or false, not a whole number"),
]


def check(marked: str, expected: str, name: str = "c.yaml") -> None:
    text, place = unmark(marked)
    problems = errors_of(text, name)
    wanted = [problem for problem in problems if expected in str(problem)]
    assert wanted, problems
    assert (wanted[0].line, wanted[0].column) == place
    assert str(wanted[0]).startswith(f"{name}:{place[0]}:{place[1]}: ")


@pytest.mark.parametrize(("marked", "expected"), [case[1:] for case in SYNTAX])
def test_yaml_that_cannot_be_read(marked: str, expected: str) -> None:
    check(marked, expected)


@pytest.mark.parametrize(("marked", "expected"), JSON_SYNTAX)
def test_json_that_cannot_be_read(marked: str, expected: str) -> None:
    check(marked, expected, "c.json")


@pytest.mark.parametrize(("marked", "expected"), AUDIENCE)
def test_data_sources_traits_and_segments(marked: str, expected: str) -> None:
    check(marked, expected)


@pytest.mark.parametrize(("field", "expected"), DESTINATION)
def test_destinations(field: str, expected: str) -> None:
    fields = field[1:-1] if field.startswith("{") else field
    complete = ", ".join(
        part
        for part in ("id: 1", "url: 'https://d.example'", "client_id: c", fields)
        if part is fields or part.partition(":")[0] != fields.partition(":")[0]
    )
    check(f"segments: [{{id: 5}}]\ndestinations:\n- {{{complete}}}", expected)


def test_every_problem_is_reported_at_once_in_the_order_of_the_file() -> None:
    text = "segments:\n- {id: 0}\n- {id: 2, nam: x}\ndestinations:\n- {id: 1, url: 'http://d.example'}\n"
    with pytest.raises(CatalogError) as raised:
        parse_catalog(text, name="c.yaml", base_dir=None)
    assert [problem.split(": ")[0] for problem in raised.value.problems] == [
        *("c.yaml:2:8", "c.yaml:3:11", "c.yaml:5:3", "c.yaml:5:16")
    ]


@pytest.mark.parametrize(
    ("digits", "given"), [(10, "1e\\+09"), (19, "a number that large"), (400, "a number")]
)
def test_a_rate_of_any_size_is_a_problem(digits: int, given: str) -> None:
    """Also in JSON, where a whole number may be larger than any float."""
    rate = "1" + "0" * (digits - 1)
    url = '"url": "https://d.example"'
    text = f'{{"destinations": [{{"id": 1, "client_id": "c", {url}, "max_requests_per_second": {rate}}}]}}'
    (problem,) = errors_of(text, name="c.json")
    assert re.search(f"max_requests_per_second must be .*{given}", problem.message)


def test_no_more_than_a_hundred_problems_are_reported() -> None:
    assert len(errors_of("segments: [" + "{id: 0}, " * 500 + "]")) == 100


@pytest.mark.parametrize(
    "field",
    [
        "signatures: [{key: CANARY}]",
        "signatures: [{key: [CANARY]}]",
        "signatures: [{key: 'env:CANARY with spaces'}]",
        "oauth2: {token_url: 'https://d.example/CANARY', credentials: CANARY}",
        "oauth2: {token_url: 'http://d.example/?CANARY', credentials: 'env:A'}",
        "standard_webhooks: {key: whsec_CANARY}",
        "standard_webhooks: [{key: 'env:A'}, {key: whsec_CANARY}]",
        "headers: {X-Api-Key: CANARY}",
        "headers: {X-Some: 'Bearer CANARY'}",
        'headers: {X-Some: "CANARY\\n"}',
        "headers: {Authorization: [CANARY]}",
        "basic_auth: 'user:CANARY'",
        "basic_auth: {username: a, password: CANARY}",
        "oauth2: {token_url: 'https://d.example/', credentials: 'env:A', params: {client_secret: CANARY}}",
        "url: 'https://CANARY:CANARY@d.example/'",
        "url: 'http://d.example/?token=CANARY'",
    ],
)
def test_a_literal_secret_is_refused_and_never_repeated(field: str) -> None:
    url = "" if field.startswith("url") else ", url: 'https://d.example'"
    problems = errors_of(f"destinations: [{{id: 1, client_id: c{url}, {field}}}]")
    assert problems
    assert "CANARY" not in "\n".join(map(str, problems))


def test_a_file_that_is_missing_or_no_text_is_a_problem_too(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"none\.yaml:1:1: the file cannot be read: no such file"):
        load_catalog(tmp_path / "none.yaml")
    file = tmp_path / "latin.yaml"
    file.write_bytes(b"segments:\n- {id: 1, name: Caf\xe9}\n")
    with pytest.raises(CatalogError, match=r"latin\.yaml:2:20: this is not UTF-8 text"):
        load_catalog(file)


@pytest.mark.parametrize(
    ("section", "count"), [("traits", 100_000), ("segments", 20_000), ("destinations", 1_000)]
)
def test_more_of_a_kind_than_the_limit_is_refused(section: str, count: int) -> None:
    problems = errors_of(f"{section}: [" + "{}, " * (count + 1) + "]")
    assert len(problems) == 1
    assert f"{count:,}" in problems[0].message

"""Destinations of a catalog file: endpoint, schedule, limits and mappings, each checked on its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from arke.catalog.credentials import read_basic_auth, read_headers, read_oauth2
from arke.catalog.endpoints import read_content_type, read_tls, read_url
from arke.catalog.signatures import read_signatures, read_webhooks
from arke.catalog.values import duration_ms, hour_of_day, iso_day, time_zone
from arke.domain.catalog import BatchSchedule, Destination, HttpMethod, Mapping, Resending
from arke.errors import InvalidInput, RuleError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path as FilePath

    from arke.catalog.endpoints import TlsChecker
    from arke.catalog.fields import Fields
    from arke.catalog.place import Findings
    from arke.catalog.values import Confined

MAX_TEMPLATE_LENGTH = 1_048_576
MAX_ALIAS_LENGTH = 255
MAX_SAMPLE_RATE_DENOMINATOR = 1_000_000_000
MAX_CONCURRENCY = 10_000
MIN_REQUESTS_PER_SECOND = 0.01
MAX_REQUESTS_PER_SECOND = 100_000
MIN_BYTES_PER_REQUEST = 256
MAX_BYTES_PER_REQUEST = 1 << 30

DESTINATION_FIELDS = (
    *("id", "name", "url", "client_id", "user_dpids", "realtime", "batch", "max_users_per_request", "linger"),
    *("signatures", "standard_webhooks", "oauth2", "basic_auth", "headers", "tls", "success"),
    *("template", "template_language", "content_type", "method"),
    *("owed", "max_concurrency", "max_requests_per_second", "max_bytes_per_request"),
    *("sample_rate_denominator", "supports_unsegment", "on_unmap", "auto_alias", "enabled", "segments"),
)
REFERRING_FIELDS = ("signatures", "standard_webhooks", "oauth2", "basic_auth", "headers", "tls")
"""Fields that may refer to secrets and files."""
BATCH_FIELDS = ("every", "at", "timezone")
MAPPING_FIELDS = ("segment", "alias", "start", "end")

TemplateLanguage = Literal["macros", "jinja2"]
OnUnmap = Literal["unsegment", "silent"]
AutoAlias = Literal["segment_id", "integration_code"]


class Checkers(NamedTuple):
    """Checks that the delivery side owns; whoever wires the program passes them in.

    `template(text, language, content_type)` compiles a body template and returns warnings; `url(text)` reads
    an endpoint's address as it will be dialled. Both raise InvalidInput. `json(content_type)`: whether a body of
    this type is JSON. `tls`: a `TlsChecker`. `confined`: the catalog came over the network, and may refer to what
    this allows.
    """

    template: Callable[[str, TemplateLanguage, str], Sequence[str]] | None = None
    url: Callable[[str], object] | None = None
    json: Callable[[str], bool] | None = None
    tls: TlsChecker | None = None
    confined: Confined | None = None


def read_destination(
    fields: Fields, findings: Findings, base_dir: FilePath | None, checkers: Checkers
) -> Destination:
    realtime = fields.flag("realtime", default=True)
    batch = _batch(fields)
    if not realtime and batch is None:
        hint = "set realtime: true, or give batch a schedule; to stop it for a while: enabled: false"
        fields.error(
            "batch", "realtime and batch are both off: the destination would never be sent anything", hint
        )
    template, language, content_type = _template(fields, findings, checkers)
    confined = checkers.confined
    refers = any(fields.has(key) for key in REFERRING_FIELDS)
    signatures = read_signatures(fields, confined)
    return Destination(
        id=fields.required_id("id"),
        url=read_url(fields, "url", checkers.url),
        client_id=fields.required_text("client_id"),
        name=fields.text("name") or "",
        user_dpids=fields.integers("user_dpids", (0,), low=0),
        realtime=realtime,
        batch=batch,
        max_users_per_request=fields.integer("max_users_per_request", 10, low=1, high=1_000),
        linger_ms=duration_ms(fields, "linger", 100, low="0ms", high="30s"),
        signatures=signatures,
        standard_webhooks=read_webhooks(fields, confined),
        oauth2=read_oauth2(fields, base_dir, checkers.url, confined, checkers.tls),
        basic_auth=read_basic_auth(fields, confined),
        headers=read_headers(fields, signatures, confined),
        tls=read_tls(fields, base_dir, confined, checkers.tls),
        method=fields.choice("method", HttpMethod, "POST"),
        success=_success(fields),
        template=template,
        template_language=language,
        content_type=content_type,
        sample_rate_denominator=fields.integer(
            "sample_rate_denominator", 1, low=1, high=MAX_SAMPLE_RATE_DENOMINATOR
        ),
        supports_unsegment=fields.flag("supports_unsegment", default=True),
        on_unmap=fields.choice("on_unmap", OnUnmap, "unsegment"),
        auto_alias=fields.choice("auto_alias", AutoAlias, "segment_id"),
        enabled=fields.flag("enabled", default=True),
        owed=fields.choice("owed", Resending, "auto"),
        max_concurrency=fields.optional_integer("max_concurrency", low=1, high=MAX_CONCURRENCY),
        max_requests_per_second=fields.optional_number(
            "max_requests_per_second", low=MIN_REQUESTS_PER_SECOND, high=MAX_REQUESTS_PER_SECOND
        ),
        max_bytes_per_request=fields.optional_integer(
            "max_bytes_per_request", low=MIN_BYTES_PER_REQUEST, high=MAX_BYTES_PER_REQUEST
        ),
        segments=tuple(_mapping(entry) for entry in fields.mappings("segments", MAPPING_FIELDS)),
        confined=refers and confined is not None,
    )


def _success(fields: Fields) -> tuple[int, ...]:
    """Status codes that count as delivered: 2xx only, since nothing else means that it was taken."""
    return fields.integers("success", (200,), low=200, high=299)


def _batch(fields: Fields) -> BatchSchedule | None:
    value = fields.raw("batch")
    if value is None or value is True:
        return BatchSchedule()
    if value is False:
        return None
    if not isinstance(value, dict):
        fields.error("batch", "batch must be false or a schedule", 'batch: {every: 24h, at: "02:00"}')
        return BatchSchedule()
    entry = fields.mapping("batch", BATCH_FIELDS)
    if entry is None:
        return BatchSchedule()
    every_ms = duration_ms(entry, "every", 86_400_000, low="24h", high="366d")
    return BatchSchedule(
        every_s=every_ms // 1_000,
        at=hour_of_day(entry, "at", "02:00"),
        timezone=time_zone(entry, "timezone", "UTC"),
    )


def _template(
    fields: Fields, findings: Findings, checkers: Checkers
) -> tuple[str | None, TemplateLanguage, str]:
    text = fields.text("template", max_length=MAX_TEMPLATE_LENGTH, one_line=False)
    language: TemplateLanguage = fields.choice("template_language", TemplateLanguage, "macros")
    content_type = read_content_type(fields)
    if not fields.has("template"):
        if fields.has("template_language"):
            hint = "without one the body is Arke's own JSON message"
            fields.error("template_language", "template_language needs a template", hint)
        if checkers.json is not None and not checkers.json(content_type):
            message = f"content_type is {content_type}, but without a template the body is JSON"
            findings.warn(
                fields.at("content_type"), message, "give the destination a template, or a JSON type"
            )
    elif text is not None and checkers.template is not None:
        try:
            warnings = checkers.template(text, language, content_type)
        except RuleError as error:
            findings.error_inside(fields.at("template"), error.line, error.column, error.message, error.hint)
        except InvalidInput as error:
            fields.error("template", str(error))
        else:
            for warning in warnings:
                findings.warn(fields.at("template"), warning)
    return text, language, content_type


def _mapping(fields: Fields) -> Mapping:
    start, end = iso_day(fields, "start"), iso_day(fields, "end")
    if start is not None and end is not None and start >= end:
        fields.error(
            "end", f"end {end} is not after start {start}", "end is the first day it is no longer mapped"
        )
    return Mapping(
        segment=fields.required_id("segment"),
        alias=fields.text("alias", max_length=MAX_ALIAS_LENGTH),
        start=start,
        end=end,
    )

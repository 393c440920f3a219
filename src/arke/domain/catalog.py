"""The catalog: data sources, traits, segments and destinations, as plain data (SPEC section 8)."""

from __future__ import annotations

from typing import Literal

import msgspec

from arke.domain.secret_text import is_reference
from arke.domain.time import day_start_ts

DataSourceKind = Literal["cookie", "mobile", "cross_device"]
Declarer = Literal["anyone", "token"]
IdForm = Literal["sha256", "md5", "email_sha256", "upper", "lower", "uuid"]
TraitKind = Literal["rule_based", "onboarded"]
Resending = Literal["auto", "strict"]
"""Whether what is owed is sent again by itself, or only for another reason."""
HmacAlgorithm = Literal["sha1", "sha256", "sha512", "md5"]
SignatureEncoding = Literal["base64", "hex"]
TokenAuth = Literal["basic", "body"]
HttpMethod = Literal["POST", "PUT", "PATCH"]

MAX_ID = 2**31 - 1
"""The largest number of a data source, trait, segment or destination: all that events and data files can name."""
GLOBAL_DATA_SOURCES = frozenset({4, 20914, 20915, 121963, 389146, 488258, 963906, 1171485, 1171489})
"""Visitor, advertising and television ids that exist for everybody: no catalog has to declare them."""


class Frozen(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Base of all catalog data: immutable, keyword-only, unknown fields refused."""


class DataSource(Frozen, frozen=True):
    """A name space of ids; `id` is its DPID.

    With `declared_by: token` only senders with a token may link its ids to devices. Of each id one spelling is
    kept, which `id_form` says; what is not of that form, or in `deny`, in any letter case, is no id.
    """

    id: int
    name: str = ""
    integration_code: str | None = None
    kind: DataSourceKind = "cookie"
    declared_by: Declarer = "anyone"
    id_form: IdForm | None = None
    deny: tuple[str, ...] = ()


class Trait(Frozen, frozen=True):
    """A rule over the signals of events. An onboarded trait may do without; its rule is over the signals of files.

    A realisation expires after `ttl_days`; 0 means never. `integration_code` names the trait in files (`ic=52`).
    `d_sid` lets senders without a token declare it.
    """

    id: int
    name: str = ""
    data_source: int | None = None
    kind: TraitKind = "rule_based"
    rule: str | None = None
    ttl_days: int = 120
    ignore_case: bool = False
    integration_code: str | None = None
    d_sid: bool = False


class Segment(Frozen, frozen=True):
    """A rule over traits. A segment without a rule is external: its memberships are declared, not computed.

    `ttl_days` applies to external segments only: a membership that is not declared again within it expires; 0
    means never. A `paused` segment gets no new members, and nothing is told of it.
    """

    id: int
    name: str = ""
    rule: str | None = None
    ttl_days: int = 0
    integration_code: str | None = None
    paused: bool = False

    @property
    def external(self) -> bool:
        return self.rule is None


class Mapping(Frozen, frozen=True):
    """One segment mapped to one destination under an alias.

    `start` and `end` are ISO days, each from midnight UTC; the end is exclusive.
    """

    segment: int
    alias: str | None = None
    start: str | None = None
    end: str | None = None

    def active(self, now: float) -> bool:
        """Whether now lies in start <= now < end (SPEC section 12)."""
        if self.start is not None and now < day_start_ts(self.start):
            return False
        return self.end is None or now < day_start_ts(self.end)


TIMESTAMP = "{timestamp}"
BODY = "{body}"


class Signature(Frozen, frozen=True):
    """One signing key, a secret reference, and the header that carries what it signs.

    The HMAC is over `signs`, in which `{body}` is the body and `{timestamp}` the epoch second at which the message
    was made. The header is `prefix`, where `{timestamp}` may stand too, and the HMAC in its `encoding`;
    `timestamp_header` carries that second in a header of its own.
    """

    key: str
    header: str = "X-Signature"
    algorithm: HmacAlgorithm = "sha1"
    encoding: SignatureEncoding = "base64"
    prefix: str = ""
    signs: str = BODY
    timestamp_header: str | None = None


class Tls(Frozen, frozen=True):
    """Paths of a CA file and a client certificate, absolute in the stored form. `confined` as in Destination."""

    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    confined: bool = False


class Setting(Frozen, frozen=True):
    """A name with what is sent under it: a constant, or a reference to a secret."""

    name: str
    value: str

    @property
    def secret(self) -> bool:
        return is_reference(self.value)


class BasicAuth(Frozen, frozen=True):
    """HTTP Basic: `username` and the reference `password`, or the reference `pair` to `NAME:PASSWORD`."""

    username: str = ""
    password: str | None = None
    pair: str | None = None


class OAuth2(Frozen, frozen=True):
    """Client credentials. `credentials` is a secret reference: with `auth: basic` its value follows `Basic `
    verbatim, with `auth: body` it becomes `client_id` and `client_secret` of the form.

    `params` are further fields of the form. `tls` None: the destination's own.
    """

    token_url: str
    credentials: str | None = None
    auth: TokenAuth = "basic"
    params: tuple[Setting, ...] = ()
    tls: Tls | None = None


class BatchSchedule(Frozen, frozen=True):
    """When the daily batch runs: every `every_s` seconds (at least 24 h), at `at` ("HH:MM") by the clocks of
    `timezone` (an IANA name).
    """

    every_s: int = 86_400
    at: str = "02:00"
    timezone: str = "UTC"


class StandardWebhooks(Frozen, frozen=True):
    """Standard Webhooks headers, signed by `key`, a secret reference, and by those of `more` while keys rotate.

    `raw`: a secret's text is the key, whatever it looks like.
    """

    key: str
    raw: bool = False
    more: tuple[StandardWebhooks, ...] = ()

    @property
    def keys(self) -> tuple[StandardWebhooks, ...]:
        return (self, *self.more)


class Destination(Frozen, frozen=True):
    """One endpoint with its mappings. Times in the unit that the name ends with.

    `confined` says that the catalog came over the network, so that secrets and files are looked for only where
    the settings allow it.
    """

    id: int
    url: str
    client_id: str
    name: str = ""
    user_dpids: tuple[int, ...] = (0,)
    realtime: bool = True
    batch: BatchSchedule | None = BatchSchedule()
    max_users_per_request: int = 10
    linger_ms: int = 100
    signatures: tuple[Signature, ...] = ()
    standard_webhooks: StandardWebhooks | None = None
    oauth2: OAuth2 | None = None
    basic_auth: BasicAuth | None = None
    headers: tuple[Setting, ...] = ()
    tls: Tls = Tls()
    method: HttpMethod = "POST"
    success: tuple[int, ...] = (200,)
    template: str | None = None
    template_language: Literal["macros", "jinja2"] = "macros"
    content_type: str = "application/json"
    sample_rate_denominator: int = 1
    supports_unsegment: bool = True
    on_unmap: Literal["unsegment", "silent"] = "unsegment"
    auto_alias: Literal["segment_id", "integration_code"] = "segment_id"
    enabled: bool = True
    owed: Resending = "auto"
    max_concurrency: int | None = None
    max_requests_per_second: float | None = None
    max_bytes_per_request: int | None = None
    segments: tuple[Mapping, ...] = ()
    confined: bool = False

    def alias(self, mapping: Mapping, segment: Segment) -> str:
        """The Segment_ID sent for a mapping: its alias, else what `auto_alias` says."""
        if mapping.alias is not None:
            return mapping.alias
        if self.auto_alias == "integration_code" and segment.integration_code is not None:
            return segment.integration_code
        return str(segment.id)


class Catalog(Frozen, frozen=True):
    """Everything that rules a profile and its deliveries."""

    data_sources: tuple[DataSource, ...] = ()
    traits: tuple[Trait, ...] = ()
    segments: tuple[Segment, ...] = ()
    destinations: tuple[Destination, ...] = ()

"""Every bound of the HTTP edge, with its default and unit."""

from __future__ import annotations

from typing import Literal

import msgspec

from arke.intake.origins import Listeners, Origin


class OptOutSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What `/demoptout` does for callers without a token: whether it opts out only the `device` or also `ids`, how
    often a minute for one address, and from which pages (none listed: from any).
    """

    whom: Literal["device", "ids"] = "device"
    per_minute: int = 60
    origins: frozenset[Origin] = frozenset()


class ConsentRules(msgspec.Struct, frozen=True, kw_only=True):
    """Whose consent is asked for, and which opt-outs are honoured. `tcf_vendor` (None: TC strings are not decoded)
    needs the visitor's agreement to `tcf_purposes`. `honour`: any of "gpc", "us_privacy", "gpp".
    """

    tcf_vendor: int | None = None
    tcf_purposes: tuple[int, ...] = (1, 10)
    honour: tuple[str, ...] = ()


class SegmentRules(msgspec.Struct, frozen=True, kw_only=True):
    """The data sources of `anonymousId` and `userId` (None: that id is left out) and of ids in `context`, by their
    paths; `prefix` stands before the names of properties and traits. `consent` and `consent_categories`: what is
    asked of `context.consent`.
    """

    anonymous_id: int | None = None
    user_id: int | None = None
    context_ids: dict[str, int] = {}
    prefix: str = "c_"
    consent: ConsentRules = ConsentRules()
    consent_categories: tuple[str, ...] = ()


class IntakeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the intake answers and where it draws the line.

    `region` goes out as `dcs_region`. `cookie_domain` is the Domain attribute of the device cookie (None: the
    host that was asked). `memberships` and `listeners`: what the public endpoints tell, and to which
    pages. `bulk_linger_s` is how long a group waits for the next part of a body before it is stored, so that a
    client that trickles lines sees them stored at once.
    """

    region: int = 9
    auth: Literal["token", "open"] = "token"
    memberships: Literal["device", "any", "off"] = "device"
    listeners: Listeners = Listeners()
    cookie_domain: str | None = None
    cookie_max_age_s: int = 180 * 86_400
    opt_out_cookie_max_age_s: int = 10 * 365 * 86_400

    opt_outs: OptOutSettings = OptOutSettings()
    consent: ConsentRules = ConsentRules()
    segment: SegmentRules = SegmentRules()

    max_url_bytes: int = 8 * 1024
    max_form_bytes: int = 32 * 1024
    max_line_bytes: int = 32 * 1024
    max_bulk_bytes: int = 64 * 1024 * 1024
    max_inflate_ratio: int = 100
    max_rejections: int = 1_000

    bulk_group_events: int = 1_000
    bulk_linger_s: float = 0.005
    body_idle_timeout_s: float = 30.0

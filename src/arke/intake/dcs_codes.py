"""The DCS error codes Arke answers with, and their texts (dossier 14)."""

from __future__ import annotations

from typing import Final

import msgspec

MAX_ECHO_CHARS: Final = 80


class DcsError(msgspec.Struct, frozen=True):
    """One entry of `errors` in an answer. Its text may echo what the caller sent: answer it, never log it."""

    code: int
    msg: str


def unspecified(what: str) -> DcsError:
    return DcsError(0, f"Unspecified error: {what}")


def invalid_org(value: str) -> DcsError:
    return DcsError(2, f"Invalid d_orgid value (could not find a config for this org id): {echo(value)}")


TRAITS_NOT_EVALUATED: Final = DcsError(10, "Unable to evaluate traits")


def trait_not_evaluated(why: str) -> DcsError:
    return DcsError(10, f"{TRAITS_NOT_EVALUATED.msg}: {why}")


NO_HOST: Final = DcsError(100, "Could not retrieve host name for the request")


def invalid_ecid(value: str) -> DcsError:
    return DcsError(101, f"Invalid Experience Cloud id passed in {echo(value)}")


def invalid_uuid(value: str) -> DcsError:
    return DcsError(102, f"Invalid aam id passed in request {echo(value)}")


ALL_IDS_INVALID: Final = DcsError(104, "All customer ids are invalid")
OPTED_OUT: Final = DcsError(171, "Encountered opt out tag")


def invalid_id(name_space: str, value: str) -> DcsError:
    return DcsError(300, f"Invalid customer id {echo(name_space)}:{echo(value)}")


def too_many_ids(allowed: int, found: int) -> DcsError:
    return DcsError(
        301,
        f"Maximum number of customer ids exceeded. Maximum allowed is {allowed}. Found is {found}.",
    )


def unauthorized_id(dpid: int, value: str) -> DcsError:
    return DcsError(302, f"Unauthorized customer id {dpid}:{echo(value)}")


def not_yours_to_opt_out(dpid: int, value: str) -> DcsError:
    """The error for an id that may be opted out with a token only."""
    return DcsError(
        302,
        f"Unauthorized customer id {dpid}:{echo(value)}: to opt out by customer id takes a token here; without one "
        "the cookie's device opts out, or that of d_uuid",
    )


OTHER_ORIGIN: Final = unspecified("opt-outs are not taken from this page; nothing was opted out")


def blocked_id(value: str) -> DcsError:
    return DcsError(303, f"Blocked customer id {echo(value)}")


def discarded(value: str) -> DcsError:
    return DcsError(
        309,
        f"Customer id {echo(value)} was discarded because it exceeded the limit of declared customer ids per"
        " request",
    )


def not_taken_over(value: str) -> DcsError:
    return DcsError(
        309,
        f"Customer id {echo(value)} was discarded because it exceeded the limit of ids that a device may take"
        " over from others per day",
    )


def discarded_in_name_space(dpid: int, value: str) -> DcsError:
    return DcsError(
        310,
        "Customer id was discarded because it exceeded the limit for a given namespace. "
        f"Namespace id is {dpid}, customer id is {echo(value)}.",
    )


def invalid_parameters(what: str) -> DcsError:
    return DcsError(311, f"Request contains invalid parameters: {what}")


INVALID_DEVICE_ID: Final = DcsError(312, "Request contains an invalid Global Device ID")
NO_CONSENT: Final = DcsError(315, "Consent string indicates no consent")


def echo(value: str) -> str:
    """What the caller sent, cut short and safe to print."""
    shown = value[:MAX_ECHO_CHARS]
    return shown if shown.isprintable() else "".join(c if c.isprintable() else "?" for c in shown)

"""Whether a visitor lets an event about himself be taken, by what the request says of consent. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from arke.domain.consent import gpp, tcf
from arke.domain.placeholders import is_placeholder
from arke.intake import dcs_codes as codes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from arke.intake.dcs_codes import DcsError
    from arke.intake.settings import ConsentRules

KEYS: Final = frozenset({"gdpr", "gdpr_consent", "us_privacy", "gpp", "gpp_sid"})
"""Parameters that are about consent, whether they are honoured or not."""


class Refusal(msgspec.Struct, frozen=True):
    """Nothing of the request may be stored. `withdraws`: its visitor said no to us in so many words, by a TC string
    that could be read, so that the device opts out.
    """

    error: DcsError
    withdraws: bool = False


_CONSENT_STRING: Final = re.compile(r"[A-Za-z0-9_.~+/= -]+")
"""Base64 in parts. What has another character says nothing."""

_OPTED_OUT: Final = Refusal(codes.OPTED_OUT)
_NO_CONSENT: Final = Refusal(codes.NO_CONSENT)
_DECLINED: Final = Refusal(codes.NO_CONSENT, withdraws=True)


def judge(parameters: Mapping[str, Sequence[str]], rules: ConsentRules, *, gpc: bool) -> Refusal | None:
    """Why the request may not be taken, None where it may. `gpc`: the browser sent `Sec-GPC: 1`.

    An opt-out needs to be said, so what cannot be read of it says nothing. Consent needs to be said too, so what
    cannot be read of that is none.
    """
    if rules.honour and _opts_out(parameters, rules, gpc=gpc):
        return _OPTED_OUT
    if not gdpr_applies(parameters):
        return None
    given = [text for text in _parts(parameters, "gdpr_consent") if _may_be_consent(text)]
    if not given:
        return _NO_CONSENT
    if rules.tcf_vendor is None:
        return None
    try:
        permitted = all(tcf.permits(text, rules.tcf_vendor, rules.tcf_purposes) for text in given)
    except ValueError:
        return _NO_CONSENT
    return None if permitted else _DECLINED


def gdpr_applies(parameters: Mapping[str, Sequence[str]]) -> bool:
    """Whether `gdpr` says that the visitor is under it: by anything but 0, a macro that nobody filled in included.
    Without the parameter, and where it is empty, nobody says so.
    """
    return any(part != "0" for part in _parts(parameters, "gdpr"))


def _parts(parameters: Mapping[str, Sequence[str]], key: str) -> list[str]:
    """All values of a parameter. Who calls with it twice may find both joined by a comma, which is in none."""
    values = parameters.get(key, ())
    return [text for value in values for part in value.split(",") if (text := part.strip())]


def _may_be_consent(text: str) -> bool:
    """Whether it may be a consent string, rather than a macro that nobody filled in, or a piece of one."""
    return _CONSENT_STRING.fullmatch(text) is not None and not (
        is_placeholder(text) or "gdpr_consent" in text.lower()
    )


def _opts_out(parameters: Mapping[str, Sequence[str]], rules: ConsentRules, *, gpc: bool) -> bool:
    honour = rules.honour
    if gpc and "gpc" in honour:
        return True
    if "us_privacy" in honour and any(map(gpp.us_privacy_opts_out, _parts(parameters, "us_privacy"))):
        return True
    strings = _parts(parameters, "gpp") if "gpp" in honour else ()
    applicable = gpp.applicable_sections(",".join(parameters.get("gpp_sid", ()))) if strings else None
    return any(gpp.opts_out(text, applicable, rules.tcf_vendor, rules.tcf_purposes) for text in strings)

"""Whether a visitor lets an event about himself be taken, by what the request says of consent. Pure."""

from __future__ import annotations

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
    given = [text for text in parameters.get("gdpr_consent", ()) if not is_placeholder(text)]
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
    values = parameters.get("gdpr")
    if not values:
        return False
    return any(part.strip() not in ("", "0") for value in values for part in value.split(","))


def _opts_out(parameters: Mapping[str, Sequence[str]], rules: ConsentRules, *, gpc: bool) -> bool:
    honour = rules.honour
    if gpc and "gpc" in honour:
        return True
    if "us_privacy" in honour and any(map(gpp.us_privacy_opts_out, parameters.get("us_privacy", ()))):
        return True
    strings = parameters.get("gpp", ()) if "gpp" in honour else ()
    applicable = gpp.applicable_sections(",".join(parameters.get("gpp_sid", ()))) if strings else None
    return any(gpp.opts_out(text, applicable, rules.tcf_vendor, rules.tcf_purposes) for text in strings)

"""What a call of Segment's API says of consent, in `context.consent`, and whether it may be taken. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from arke.intake import consent
from arke.intake import dcs_codes as codes
from arke.intake.consent import Refusal
from arke.intake.signals import text_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from arke.intake.settings import ConsentRules

CATEGORIES = "categoryPreferences"
"""Where libraries put what a visitor chose: the name of a category, and whether he agrees."""
_NOT_AGREED = Refusal(codes.NO_CONSENT)
_CODES = {codes.OPTED_OUT.code: "opted_out", codes.NO_CONSENT.code: "no_consent"}


def judged(
    context: Mapping[str, Any], rules: ConsentRules, categories: Sequence[str], *, gpc: bool = False
) -> Refusal | None:
    """Why the call may not be taken, None where it may. `gpc`: a browser sent it with `Sec-GPC: 1`.

    `gdpr`, `gdpr_consent`, `us_privacy`, `gpp` and `gpp_sid` are judged as at the public doors. Each of
    `categories` has to be agreed to, in a call that says what its visitor chose.
    """
    said = context.get("consent")
    if not isinstance(said, dict):
        said = {}
    refusal = consent.judge({key: _texts(said.get(key)) for key in consent.KEYS}, rules, gpc=gpc)
    if refusal is None and categories and CATEGORIES in said:
        chosen = said[CATEGORIES]
        agreed = isinstance(chosen, dict) and all(chosen.get(name) is True for name in categories)
        return None if agreed else _NOT_AGREED
    return refusal


def code_of(refusal: Refusal) -> tuple[str, str]:
    """Code and text of a refusal, as senders of calls are told."""
    code = _CODES[refusal.error.code]
    if code == "opted_out":
        return code, "the person has opted out: nothing was stored"
    return code, "the person has not agreed: nothing was stored"


def _texts(value: Any) -> list[str]:
    """The values of a parameter as they would stand in an address: truth values are 1 and 0."""
    if isinstance(value, bool):
        return [str(int(value))]
    if isinstance(value, str | int | float):
        return [text_of(value)]
    if isinstance(value, list):
        return [text for item in value if not isinstance(item, list) for text in _texts(item)]
    return []

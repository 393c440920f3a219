"""What a request says of consent, and what follows: one table."""

from __future__ import annotations

import pytest

from arke.intake.consent import judge
from arke.intake.query import pairs
from arke.intake.settings import ConsentRules
from consent_strings import tc_string

AGREED = tc_string({1, 10}, {565})
DECLINED = tc_string()
VENDOR = ConsentRules(tcf_vendor=565)
NONE = ConsentRules()
ALL = ConsentRules(tcf_vendor=565, honour=("gpc", "us_privacy", "gpp"))


def verdict(text: str, rules: ConsentRules, *, gpc: bool = False) -> str:
    """`taken`, or the code, with `out` where the device opts out."""
    parameters: dict[str, list[str]] = {}
    for key, value in pairs(text.encode()):
        parameters.setdefault(key, []).append(value)
    refusal = judge(parameters, rules, gpc=gpc)
    if refusal is None:
        return "taken"
    return f"{refusal.error.code}{' out' if refusal.withdraws else ''}"


@pytest.mark.parametrize(
    ("text", "undecoded", "decoded"),
    [
        ("", "taken", "taken"),
        ("gdpr=0", "taken", "taken"),
        ("gdpr=", "taken", "taken"),
        ("gdpr=&gdpr_consent=", "taken", "taken"),
        ("gdpr=0,0", "taken", "taken"),
        ("gdpr=0&gdpr=0", "taken", "taken"),
        (f"gdpr=0&gdpr_consent={DECLINED}", "taken", "taken"),
        (f"gdpr_consent={DECLINED}", "taken", "taken"),
        ("gdpr=1", "315", "315"),
        ("gdpr=1&gdpr_consent=", "315", "315"),
        *(
            (f"gdpr={applies}", "315", "315")
            for applies in (
                "true",
                "1,1",
                "0,1",
                "yes",
                "2",
                "false",
                "-1",
                "null",
                "%24%7BGDPR%7D",
                "+1",
                "01",
            )
        ),
        ("gdpr=0&gdpr=1", "315", "315"),
        *(
            (f"gdpr=1&gdpr_consent={macro}", "315", "315")
            for macro in (
                "${GDPR_CONSENT_565}",
                "%24%7BGDPR_CONSENT_565%7D",
                "%25%25GDPR_CONSENT%25%25",
                "[GDPR_CONSENT]",
                "${GDPR_CONSENT_",
                "$%20{GDPR_CONSENT_565}",
                "GDPR_CONSENT_565",
                "<consent",
                "undefined,undefined",
                ",",
                "{{gdpr_consent}}",
                "{gdpr_consent}",
                "undefined",
                "null",
                "0",
                "+",
            )
        ),
        (f"gdpr=true&gdpr_consent={AGREED}", "taken", "taken"),
        (f"gdpr=1&gdpr_consent={AGREED}", "taken", "taken"),
        (f"gdpr=1&gdpr_consent={AGREED}.YAAAAAAAAAA", "taken", "taken"),
        (f"gdpr=1&gdpr_consent={DECLINED}", "taken", "315 out"),
        (f"gdpr=1,1&gdpr_consent={tc_string({1}, {565})}", "taken", "315 out"),
        (f"gdpr=1&gdpr_consent={tc_string({1, 10}, {564})}", "taken", "315 out"),
        (f"gdpr=1&gdpr_consent=${{GDPR_CONSENT_565}}&gdpr_consent={AGREED}", "taken", "taken"),
        (f"gdpr=1&gdpr_consent={AGREED}&gdpr_consent={DECLINED}", "taken", "315 out"),
        (f"gdpr=1&gdpr_consent={AGREED},{DECLINED}", "taken", "315 out"),
        (f"gdpr=1&gdpr_consent={AGREED},{AGREED}", "taken", "taken"),
        (f"gdpr=1&gdpr_consent=%20{AGREED}", "taken", "taken"),
        ("gdpr=1&gdpr_consent=CPabc", "taken", "315"),
        (f"gdpr=1&gdpr_consent={DECLINED[:-10]}", "taken", "315"),
        ("gdpr=1&gdpr_consent=BOEFEAyOEFEAyAHABDENAI4AAAB9vABAASA", "taken", "315"),
    ],
)
def test_consent_under_the_gdpr(text: str, undecoded: str, decoded: str) -> None:
    """Without a vendor a TC string is not looked into; what cannot be read of it is no consent, and no word of the
    visitor's either.
    """
    assert verdict(text, NONE) == undecoded
    assert verdict(text, VENDOR) == decoded


@pytest.mark.parametrize(
    ("text", "gpc", "by"),
    [
        ("", True, "gpc"),
        ("us_privacy=1YYN", False, "us_privacy"),
        ("us_privacy=1YNN&us_privacy=1YYN", False, "us_privacy"),
        ("us_privacy=1YYN,1YYN", False, "us_privacy"),
        ("us_privacy=1YNN,%201yyn", False, "us_privacy"),
        ("gpp=DBABBg~BVqqqqpY.YA,DBABBg~BVqqqqpY.YA", False, "gpp"),
        ("gpp=DBABBg~BVqqqqpY.YA", False, "gpp"),
        ("gpp=DBABBg~BVqqqqpY.YA&gpp_sid=8", False, "gpp"),
        ("gpp=DBABBg~BVqqqqpY.YA&gpp_sid=7%2C8", False, "gpp"),
        ("gpp=DBABBg~BVqqqqpY.YA&gpp_sid=7&gpp_sid=8", False, "gpp"),
        ("gpp=DBABBg~BVqqqqpY.YA&gpp_sid=${GPP_SID}", False, "gpp"),
        ("gpp=DBABBg~BAAAAACA&gpp=DBABBg~BVqqqqpY.YA", False, "gpp"),
    ],
)
def test_opt_outs_hold_where_they_are_honoured(text: str, gpc: bool, by: str) -> None:
    """And nowhere else. They are the browser's word for this request, so the device does not opt out by them."""
    others = {"gpc", "us_privacy", "gpp"} - {by}
    assert verdict(text, NONE, gpc=gpc) == "taken"
    assert verdict(text, ConsentRules(honour=tuple(others)), gpc=gpc) == "taken"
    assert verdict(text, ConsentRules(honour=(by,)), gpc=gpc) == "171"
    assert verdict(text, ALL, gpc=gpc) == "171"


@pytest.mark.parametrize(
    "text",
    [
        "us_privacy=1YNN",
        "us_privacy=${US_PRIVACY}",
        "us_privacy=",
        "gpp=DBABBg~BAAAAACA",
        "gpp=DBABBg~BVqqqqpY.YA&gpp_sid=7",
        "gpp=DBABBg~BVqqqqpY.YA&gpp_sid=-1",
        "gpp=${GPP_STRING_565}",
        "gpp=garbage",
        "gpp=&gpp_sid=",
    ],
)
def test_what_opts_nobody_out(text: str) -> None:
    assert verdict(text, ALL) == "taken"


def test_an_opt_out_ranks_before_consent() -> None:
    assert verdict(f"gdpr=1&gdpr_consent={DECLINED}", ALL, gpc=True) == "171"

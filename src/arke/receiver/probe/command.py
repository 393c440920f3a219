"""Runs the probe as a program: options to a target, a line a check as it ends, or one JSON document."""

from __future__ import annotations

import asyncio
import re
import sys
from typing import TYPE_CHECKING, Any, Final

import msgspec

from arke.delivery.https.endpoint import parse_endpoint
from arke.domain.catalog import OAuth2
from arke.errors import EgressRefused, InvalidInput
from arke.receiver.probe.checks import (
    check_formats,
    check_latency,
    check_plain,
    check_refusals,
    check_take_back,
)
from arke.receiver.probe.conduct import Manner, check_load, check_variants
from arke.receiver.probe.report import Check, ProbeReport
from arke.receiver.probe.session import ProbeSession
from arke.receiver.probe.target import ProbeTarget, target_from_catalog, text_secret
from arke.receiver.references import NO_SCHEME, Scheme, hmac_algorithm, signing_key

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

PLAIN: Final = Manner()
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_MARKS: Final = {"pass": "ok", "warn": "WARN", "fail": "FAIL", "skip": "-"}


def probe_target(
    destination: str,
    *,
    catalog: Path | None,
    known: ProbeTarget | None = None,
    keys: Sequence[str],
    header: str,
    algorithm: str,
    oauth_url: str | None,
    oauth_credentials: str | None,
    allow_cidrs: Sequence[str],
    scheme: Scheme = NO_SCHEME,
    **options: Any,
) -> ProbeTarget:
    """The target an id or a URL names; options given win over what the catalog says. `known`: what a running engine
    says of the id.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if not _HEADER_NAME.fullmatch(header):
        raise InvalidInput("--header takes the name of a header, such as X-Signature")
    if keys:
        chosen = hmac_algorithm(algorithm)
        given["keys"] = tuple(
            signing_key(text, header=header, algorithm=chosen, scheme=scheme) for text in keys
        )
    if (oauth_url is None) != (oauth_credentials is None):
        raise InvalidInput("--oauth-url and --oauth-credentials belong together")
    if oauth_url is not None and oauth_credentials is not None:
        given["token_endpoint"] = parse_endpoint(oauth_url)
        given |= {"credentials": text_secret(oauth_credentials), "param_secrets": ()}
        given["oauth"] = OAuth2(token_url="", credentials="")
    if "://" in destination:
        target = ProbeTarget(endpoint=parse_endpoint(destination), allow_cidrs=tuple(allow_cidrs), **given)
    else:
        if catalog is not None:
            known = target_from_catalog(catalog, destination, allow_cidrs=tuple(allow_cidrs))
        if known is None:
            raise InvalidInput("give an https:// URL, or the id of a destination")
        target = msgspec.structs.replace(known, **given)
    target.policy()  # a wrong range is a wrong option: say so before anything is sent
    target.way_out()
    return target


def run_probe(
    target: ProbeTarget, *, requests: int, patience_s: float, as_json: bool, manner: Manner = PLAIN
) -> bool:
    """Probe and print; whether every check passed."""
    on_check = None if as_json else _print_check
    try:
        report = asyncio.run(
            probe(target, requests=requests, patience_s=patience_s, manner=manner, on_check=on_check)
        )
    except EgressRefused as error:
        raise EgressRefused(f"{error}. For the probe: --allow-cidr") from None
    if as_json:
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
    else:
        failed = sum(check.outcome == "fail" for check in report.checks)
        warned = sum(check.outcome == "warn" for check in report.checks)
        verdict = "passed" if report.passed else f"{failed} failed"
        sys.stdout.write(
            f"\n{report.endpoint}: {verdict}{f', {warned} warnings' if warned else ''}; "
            f"{report.requests} requests were sent, all about made-up users\n"
        )
    return report.passed


def _print_check(check: Check) -> None:
    sys.stdout.write(f"{_MARKS[check.outcome]:>4}  {check.title}\n      {check.explanation}\n")
    sys.stdout.flush()


PATIENCE_S: Final = 10.0
"""How long the probe itself waits: longer than a sender, to tell late from never."""


async def probe(
    target: ProbeTarget,
    *,
    requests: int = 20,
    patience_s: float = PATIENCE_S,
    manner: Manner = PLAIN,
    on_check: Callable[[Check], None] | None = None,
) -> ProbeReport:
    """Run every check. Raises EgressRefused when the address is one that must not be talked to."""
    session = ProbeSession(target, patience_s=patience_s, on_check=on_check)
    try:
        if await check_plain(session):
            await check_formats(session)
            await check_variants(session, manner)
            await check_refusals(session)
            await check_load(session, manner)
            await check_latency(session, requests=requests)
            await check_take_back(session)
        else:
            session.skip_rest("the plain message is not accepted in time; mend that first")
    finally:
        await session.close()
    checks = tuple(session.checks)
    return ProbeReport(
        endpoint=str(target.endpoint),
        checks=checks,
        requests=session.sent,
        passed=all(check.outcome != "fail" for check in checks),
    )

"""`arke check`, `arke apply` and `arke estimate`: a catalog validated, planned and switched to; a rule tried."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import click
from click.exceptions import Exit

from arke.cli.declared import Argument, Option
from arke.cli.options import DATA, Config, Data, Insecure, Json, Token, Url, catalog_text, client, whole
from arke.cli.progress import LongWork

if TYPE_CHECKING:
    from arke.operations.catalog import AppliedReport, Estimate


def check(
    file: Annotated[Path, Argument(metavar="FILE", help="The catalog, YAML or JSON.")],
    json: Json = False,
) -> None:
    """Validate a catalog: every problem with its file, line and column, and how to mend it."""
    import msgspec

    from arke.catalog.load import check_report
    from arke.checking import catalog_checkers

    report = check_report(file, checkers=catalog_checkers())
    if json:
        sys.stdout.write(msgspec.json.encode(report.json).decode() + "\n")
    else:
        stream = sys.stdout if report.ok else sys.stderr
        stream.write("\n".join(report.lines) + "\n")
    if not report.ok:
        raise Exit(2)


def apply(
    file: Annotated[Path | None, Argument(metavar="[FILE]", help="The catalog, YAML or JSON.")] = None,
    dry_run: Annotated[bool, Option("--dry-run", help="Show the plan and change nothing.")] = False,
    rollback: Annotated[
        bool, Option("--rollback", help="Go back to an earlier catalog instead of reading FILE.")
    ] = False,
    to: Annotated[
        int | None,
        Option("--to", parser=whole(), help="With --rollback: the version. Default: the one before."),
    ] = None,
    yes: Annotated[
        bool, Option("--yes", help="Do not ask, however many profiles the catalog moves.")
    ] = False,
    everything: Annotated[bool, Option("--all", help="Show every change, however many there are.")] = False,
    data: Data = DATA,
    config: Config = None,
    url: Url = None,
    token: Token = None,
    insecure: Insecure = False,
    json: Json = False,
) -> None:
    """Show what a catalog changes, and switch to it: all at once or not at all.

    At a terminal it asks first if the catalog would move more than half of the stored profiles, or empty a
    segment.
    """
    import msgspec

    if (file is None) == (not rollback):
        raise click.BadParameter("give either FILE or --rollback")
    engine = client(data, url, token, config, insecure=insecure)

    def work(*, dry_run: bool) -> AppliedReport:
        with LongWork("planning" if dry_run else "planning and switching", quiet=json):
            if file is None:
                return engine.rollback(to, dry_run=dry_run)
            return engine.apply(file, catalog_text(file), dry_run=dry_run)

    asked = (
        not (dry_run or yes or json)
        and _somebody_is_there()
        and _ask(work(dry_run=True), everything=everything)
    )
    report = work(dry_run=dry_run)
    if json:
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
        return
    if not asked:
        _show_plan(report, everything=everything)
    _show_outcome(report)


def _somebody_is_there() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _ask(plan: AppliedReport, *, everything: bool) -> bool:
    """Whether it was asked (and answered with yes). Asks only about a plan that is alarming."""
    if not plan.alarms:
        return False
    _show_plan(plan, everything=everything)
    if not click.confirm("Apply it all the same?"):
        sys.stdout.write("nothing was changed\n")
        raise Exit(1)
    return True


def _show_plan(report: AppliedReport, *, everything: bool) -> None:
    """The plan, or of very many changes what they come to."""
    for warning in (*report.warnings, *report.alarms):
        sys.stderr.write(f"warning: {warning}\n")
    changes = report.dry_run or report.version is not None
    shown = report.lines if everything or not report.summary else report.summary
    for line in shown if changes else ():
        sys.stdout.write(f"{line}\n")
    if changes and len(shown) < len(report.lines):
        sys.stdout.write(f"--all shows all {len(report.lines):,} lines of this plan\n")


def _show_outcome(report: AppliedReport) -> None:
    about = "" if report.profiles_exact else "about "
    touched = f"{about}{report.profiles:,} of {report.profiles_stored:,} stored profiles are concerned"
    if report.dry_run:
        sys.stdout.write(f"dry run: nothing was changed; {touched}\n")
    elif report.version is None:
        sys.stdout.write("nothing to change: this catalog is in force already\n")
    else:
        sys.stdout.write(f"catalog version {report.version} is in force; {touched}\n")


def estimate(
    rule: Annotated[str, Argument(metavar="RULE", help="A segment rule, as a catalog has it.")],
    sample: Annotated[
        int | None,
        Option(
            "--sample",
            parser=whole(1, 1_000_000_000),
            metavar="N",
            help="Look at no more than N profiles. [default: 100000]",
        ),
    ] = None,
    data: Data = DATA,
    config: Config = None,
    url: Url = None,
    token: Token = None,
    insecure: Insecure = False,
    json: Json = False,
) -> None:
    """Say how many stored profiles a segment rule would hold now, over the traits of the catalog in force."""
    import msgspec

    engine = client(data, url, token, config, insecure=insecure)
    with LongWork("looking", quiet=json):
        found = engine.estimate(rule, sample)
    if json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
        return
    for warning in found.warnings:
        sys.stderr.write(f"warning: {warning}\n")
    sys.stdout.write(f"{_sentence(found)}\n")


def _sentence(found: Estimate) -> str:
    share = f" ({found.estimate / found.stored:.2%})" if found.stored else ""
    stored = f"{found.stored:,} stored profiles{share}"
    if found.exact:
        return f"{found.estimate:,} of {stored}: exact, every one was looked at"
    return (
        f"about {found.estimate:,} of {stored}: {found.low:,} to {found.high:,} with 95% confidence, "
        f"from a random sample of {found.looked_at:,}"
    )

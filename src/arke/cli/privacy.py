"""`arke privacy`: access, deletion and opt-out, with proof of what each destination acknowledged."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import click
from click.exceptions import Exit

from arke.cli.declared import Argument, Option, Subject
from arke.cli.options import DATA, Config, Data, Insecure, Json, Token, Url, client, label, seconds, whole
from arke.cli.progress import LongWork
from arke.wording import many

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from arke.operations.privacy import DestinationProof, PrivacyAsk, PrivacyReport

privacy_app = Subject("privacy", "Access, deletion and opt-out, with proof.")

Uuid = Annotated[str | None, Option("--uuid", metavar="UUID", help="This device.")]
Id = Annotated[str | None, Option("--id", metavar="DPID:ID", help="Whoever this id belongs to.")]
File = Annotated[
    Path | None, Option("--file", help="A privacy request as JSON; - for stdin.", dir_okay=False)
]
MOST_WAIT_S = 86_400.0
Wait = Annotated[
    float,
    Option(
        "--wait",
        metavar="SECONDS",
        parser=seconds(0, MOST_WAIT_S),
        help="How long to wait for destinations.",
    ),
]
WAIT_S = 30.0


@privacy_app.named("access")
def access(
    uuid: Uuid = None,
    id: Id = None,
    file: File = None,
    data: Data = DATA,
    config: Config = None,
    url: Url = None,
    token: Token = None,
    insecure: Insecure = False,
    json: Json = False,
) -> None:
    """Print everything kept about a person, as JSON."""
    import msgspec

    found = client(data, url, token, config, insecure=insecure).privacy_access(_ask("access", uuid, id, file))
    text = msgspec.json.encode(found)
    sys.stdout.write((text if json else msgspec.json.format(text, indent=2)).decode() + "\n")
    if not any(one.people or any(device.known for device in one.devices) for one in found):
        sys.stderr.write("arke: nothing is kept about them\n")
        raise Exit(1)


@privacy_app.named("delete")
def delete(
    uuid: Uuid = None,
    id: Id = None,
    file: File = None,
    wait: Wait = WAIT_S,
    data: Data = DATA,
    config: Config = None,
    url: Url = None,
    token: Token = None,
    insecure: Insecure = False,
    json: Json = False,
) -> None:
    """Tell destinations the 0s, then erase the person everywhere."""
    engine = client(data, url, token, config, insecure=insecure)
    with LongWork("waiting for destinations", quiet=json):
        reports = engine.privacy_request(_ask("delete", uuid, id, file), wait)
    _show(reports, json=json)
    _say_who_was_not_known(reports)


@privacy_app.named("opt-out")
def opt_out(
    uuid: Uuid = None,
    id: Id = None,
    file: File = None,
    wait: Wait = WAIT_S,
    data: Data = DATA,
    config: Config = None,
    url: Url = None,
    token: Token = None,
    insecure: Insecure = False,
    json: Json = False,
) -> None:
    """Tell destinations the 0s, then take nothing about the person ever again."""
    engine = client(data, url, token, config, insecure=insecure)
    with LongWork("waiting for destinations", quiet=json):
        reports = engine.privacy_request(_ask("opt_out", uuid, id, file), wait)
    _show(reports, json=json)
    _say_who_was_not_known(reports)


@privacy_app.named("lift")
def lift(
    uuid: Uuid = None,
    id: Annotated[str | None, Option("--id", metavar="DPID:ID", help="This id.")] = None,
    request: Annotated[
        int | None,
        Option("--request", metavar="NUMBER", help="All that this request suppressed.", parser=whole()),
    ] = None,
    data: Data = DATA,
    config: Config = None,
    url: Url = None,
    token: Token = None,
    insecure: Insecure = False,
    json: Json = False,
) -> None:
    """Take events about somebody again: the way back from a suppression."""
    import msgspec

    from arke.operations.privacy import LiftAsk

    if sum(given is not None for given in (uuid, id, request)) != 1:
        raise click.BadParameter("give exactly one of --uuid, --id and --request")
    report = client(data, url, token, config, insecure=insecure).privacy_lift(LiftAsk(uuid, id, request))
    if json:
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
        return
    kept = f"; {report.kept} kept, which other requests suppressed too" if report.kept else ""
    sys.stdout.write(f"{report.lifted} lifted{kept}\n")


@privacy_app.named("list")
def list_requests(
    unfinished: Annotated[bool, Option("--unfinished", help="Only those that have not ended.")] = False,
    before: Annotated[
        int | None,
        Option("--before", metavar="NUMBER", parser=whole(), help="Older ones than this."),
    ] = None,
    data: Data = DATA,
    config: Config = None,
    url: Url = None,
    token: Token = None,
    insecure: Insecure = False,
    json: Json = False,
) -> None:
    """List the newest requests, what each destination acknowledged, and what is missing."""
    reports = client(data, url, token, config, insecure=insecure).privacy_list(before)
    if unfinished:
        reports = [report for report in reports if report.state != "done"]
    _print(reports, json=json)


@privacy_app.named("show")
def show(
    number: Annotated[int, Argument(metavar="NUMBER", parser=whole(), help="The request's number.")],
    data: Data = DATA,
    config: Config = None,
    url: Url = None,
    token: Token = None,
    insecure: Insecure = False,
    json: Json = False,
) -> None:
    """Show one request, with its proof."""
    _show([client(data, url, token, config, insecure=insecure).privacy_show(number)], json=json)


def _ask(action: str, uuid: str | None, id: str | None, file: Path | None) -> PrivacyAsk:
    from arke.operations.privacy import PrivacyAsk

    if sum(given is not None for given in (uuid, id, file)) != 1:
        raise click.BadParameter("give exactly one of --uuid, --id and --file")
    return PrivacyAsk(action, uuid, id, _text(file) if file is not None else None)


def _text(file: Path) -> str:
    from arke.errors import InvalidInput

    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"{file}: cannot read it: {(error.strerror or 'error').lower()}") from None
    except UnicodeDecodeError:
        raise InvalidInput(f"{file}: this is not UTF-8 text") from None


def _show(reports: Sequence[PrivacyReport], *, json: bool) -> None:
    """Print; exit code 1 while anything is missing."""
    _print(reports, json=json)
    if any(report.state != "done" for report in reports):
        sys.stderr.write("arke: not finished; a running engine goes on: see `arke privacy list`\n")
        raise Exit(1)


def _say_who_was_not_known(reports: Sequence[PrivacyReport]) -> None:
    """Exit code 1 where that was anybody: whoever asked may have made a slip."""
    strangers = [report for report in reports if report.nobody]
    for report in strangers:
        free = report.everybodys and not report.suppressed
        what = "it is not suppressed: it is nobody's own" if free else "it is suppressed all the same"
        sys.stderr.write(f"arke: nobody was known by what request {report.number} asked for; {what}\n")
    if strangers:
        raise Exit(1)


def _print(reports: Sequence[PrivacyReport], *, json: bool) -> None:
    import msgspec

    if not reports and not json:
        sys.stdout.write("no requests\n")
    for report in reports:
        if json:
            sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
        else:
            sys.stdout.write("\n".join(_lines(report)) + "\n")


def _lines(report: PrivacyReport) -> Iterator[str]:
    ended = f"done {report.done}" if report.done else f"{report.state}: not finished"
    yield f"request {report.number}: {report.action.replace('_', '-')}, asked {report.asked}, {ended}"
    people = f", {many(report.people, 'person', 'people')}" if report.people else ""
    yield f"  about {', '.join(report.names)} ({many(report.devices, 'device')}{people})"
    if report.nobody or (report.done and not report.devices and not report.people):
        yield "  nobody was known by that"
    for one in report.everybodys:
        why = f"{one.devices:,} devices or more shared it on one day" if one.devices else "a placeholder"
        yield f"  {one.dpid}:{one.id} is not suppressed: {why}; deny it in the catalog"
    if report.lifted is not None:
        yield f"  lifted {report.lifted}: what it alone had suppressed is taken again"
    if report.spared or report.large:
        spared = (
            f", {many(report.spared, 'id')} that had come from other devices left free"
            if report.spared
            else ""
        )
        warning = ": an unusual number, have a look" if report.large else ""
        yield f"  {many(report.suppressed, 'id')} suppressed{spared}{warning}"
    if not report.destinations:
        yield "  no destination had been told anything"
    for destination in report.destinations:
        yield from _destination(destination)
    for place in report.elsewhere:
        until = f" until {place.until}" if place.until is not None else ""
        yield f"  copies may be in {place.where}{until}: {place.why}"


def _destination(proof: DestinationProof) -> Iterator[str]:
    yield f"  {label(proof.destination, proof.name)}: {many(len(proof.acknowledged), 'id')} acknowledged"
    for one in proof.acknowledged:
        yield f"      {one.dpid}:{one.id} by message {one.message} at {one.at} -> {one.answer}"
    if proof.missing_why is not None:
        yield f"      missing: {many(proof.missing, 'id')}: {proof.missing_why}"
    if proof.untold_why is not None:
        yield f"      cannot be told: {many(proof.untold, 'id')}: {proof.untold_why}"

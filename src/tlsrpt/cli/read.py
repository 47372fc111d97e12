"""`tlsrpt read`: read reports from files and explain each; keeps nothing, needs no store."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from tlsrpt.cli import draw
from tlsrpt.cli.options import Settings, json_option, with_settings

if TYPE_CHECKING:
    from tlsrpt.store.values import Arrival, IncomingReport


@click.command()
@click.argument(
    "paths",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, allow_dash=True, path_type=Path),
    metavar="FILE...",
)
@click.option("--strict", is_flag=True, help="Refuse reports that depart from RFC 8460 anywhere.")
@json_option
@with_settings
@click.pass_context
def command(ctx: click.Context, paths: tuple[Path, ...], strict: bool, as_json: bool, settings: Settings) -> None:
    """Read reports and explain them: who saw what, what failed, whose side it is, what to do.

    FILE is a report (.json, .json.gz), a mail (.eml), an mbox, a Maildir, an archive (.zip, .tar.gz), a folder of all
    these, or - for standard input. Nothing is kept; `tlsrpt ingest` keeps.

    Exit 0; 1 when a file named could not be read or holds no TLS report; 2 wrong usage.
    """
    reports = errors = 0
    for path in paths:
        for found in _read_path(path, settings, strict):
            if isinstance(found, _Error):
                errors += 1
                _draw_error(found, as_json)
            elif as_json:
                draw.json_line(report_json(found.incoming) | {"file": found.source})
            else:
                click.echo("\n" if reports else "", nl=False)
                draw_report(found.incoming, found.source)
            reports += isinstance(found, _Found)
    if reports > 1 and not as_json and not settings.quiet:
        click.echo(f"\n{draw.plural(reports, 'report')} read. To keep them and see them together: tlsrpt ingest")
    ctx.exit(1 if errors else 0)


class _Found(NamedTuple):
    source: str
    incoming: IncomingReport


class _Error(NamedTuple):
    source: str
    error: str


def _draw_error(error: _Error, as_json: bool) -> None:
    if as_json:
        draw.json_line({"file": error.source, "error": error.error})
    else:
        click.echo(f"tlsrpt: {draw.printable(error.source)}: {draw.printable(error.error)}", err=True)


def _read_path(path: Path, settings: Settings, strict: bool) -> Iterator[_Found | _Error]:
    """The reports below a path, what could not be read, and for a path without either what it is instead."""
    anything = False
    instead = "nothing in it"
    for arrival in _arrivals(path, settings, strict):
        for incoming in arrival.reports:
            anything = True
            yield _Found(arrival.source, incoming)
        for fault in arrival.faults:
            anything = True
            yield _Error(arrival.source, f"{fault.where}: {fault.reason}" if fault.where else fault.reason)
        instead = arrival.other or instead
    if not anything:
        yield _Error(str(path), "no TLS report in it" if path.is_dir() else f"no TLS report: {instead}")


def _arrivals(path: Path, settings: Settings, strict: bool) -> Iterator[Arrival]:
    from tlsrpt.intake.door import open_document
    from tlsrpt.intake.files import Unreadable, documents, expand_stream
    from tlsrpt.store.values import Arrival, Fault

    limits, now = settings.config.limits, datetime.now(UTC)
    stream = str(path) == "-"
    for item in expand_stream(sys.stdin.buffer, "-", limits) if stream else documents([path], limits):
        if isinstance(item, Unreadable):
            fault = Fault(reason=item.reason)
            yield Arrival(source=item.source, received_at=now, raw=b"", form="body", faults=(fault,))
            continue
        yield open_document(
            item.data or b"",
            source=item.source,
            file_name=item.name,
            limits=limits,
            received_at=now,
            alone_in_zip=item.alone_in_zip,
            strict=strict,
        )


def report_json(incoming: IncomingReport) -> dict[str, Any]:
    """The promised JSON of one report (docs/json.md)."""
    import msgspec

    report = incoming.report
    return {
        "file": None,
        "report_id": report.report_id,
        "organization_name": report.organization_name,
        "contact_info": report.contact_info,
        "date_range": {"start": report.date_range.start_datetime, "end": report.date_range.end_datetime},
        "policies": msgspec.to_builtins(report.policies),
        "report_domains": incoming.report_domains,
        "sessions": {"successful": report.successful, "failed": report.failed},
        "findings": incoming.findings,
        "extra": incoming.extras,
    }


def draw_report(incoming: IncomingReport, title: str) -> None:
    """Print one report, explained."""
    from tlsrpt.cli.incident_text import draw_incident
    from tlsrpt.core.domain import display_domain
    from tlsrpt.insight.single import explain_report

    report = incoming.report
    who = report.organization_name or report.submitter or "an unnamed sender"
    domains = list(dict.fromkeys(display_domain(name) for name in incoming.report_domains)) or ["no domain"]
    draw.heading(title)
    draw.paragraph(f"{who} reports on mail it sent to {', '.join(domains[:6])}, {_window(incoming)}.", "  ")
    draw.paragraph(f"report-id {report.report_id or 'none'}; contact {report.contact_info or 'none'}", "  ")
    click.echo()
    _draw_policies(incoming)
    _draw_totals(incoming)
    found = explain_report(incoming)
    for number, incident in enumerate(found, 1):
        click.echo()
        draw_incident(incident, number, dated=False)
    not_itemised = report.failed - sum(incident.failed for incident in found)
    if not_itemised > 0:
        click.echo()
        draw.paragraph(
            f"{draw.plural(not_itemised, 'failed session')} without details: the report does not say what failed.", "  "
        )
    if incoming.findings:
        click.echo()
        draw.paragraph("The sender departs from RFC 8460 here; the report was read all the same, as said:", "  ")
        draw.findings(incoming.findings, "    ")


def _window(incoming: IncomingReport) -> str:
    window = incoming.report.date_range
    start, end = window.start_datetime.astimezone(UTC), window.end_datetime.astimezone(UTC)
    length = (end - start).total_seconds()
    if start.time().isoformat() == "00:00:00" and 86_300 <= length <= 86_400:
        return f"on {start:%Y-%m-%d} (UTC)"
    return f"from {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"


def _draw_policies(incoming: IncomingReport) -> None:
    from tlsrpt.core.domain import display_domain
    from tlsrpt.core.results import mode_of

    rows: list[list[draw.Cell]] = []
    for entry in incoming.report.policies:
        policy = entry.policy
        mode = mode_of(policy.policy_string or ()) or ""
        hosts = ", ".join(policy.mx_host or ())
        rows.append(
            [
                display_domain(policy.policy_domain),
                policy.policy_type or "not named",
                mode,
                hosts,
                entry.summary.total_successful_session_count,
                entry.summary.total_failure_session_count,
            ]
        )
    if rows:
        draw.table(
            ("  policy domain", "policy", "mode", "MX", "good", "failed"),
            [["  " + str(r[0]), *r[1:]] for r in rows],
            flexible=(0, 3),
        )


def _draw_totals(incoming: IncomingReport) -> None:
    report = incoming.report
    types = {entry.policy.policy_type for entry in incoming.report.policies}
    click.echo()
    if not report.policies:
        draw.paragraph("No policy and no session is reported: nothing was sent, or nothing counted.", "  ")
    elif not report.failed:
        draw.paragraph(f"Nothing failed: {draw.plural(report.successful, 'good session')}.", "  ")
    else:
        total = report.successful + report.failed
        draw.paragraph(
            f"{report.failed:,} of {draw.plural(total, 'session')} failed ({draw.percent(report.failed, total)}).", "  "
        )
    if {"sts", "tlsa"} <= types:
        draw.paragraph("Some senders list the same sessions under sts and tlsa: the sum may count them twice.", "  ")
    if types == {"no-policy-found"}:
        draw.paragraph(
            "The sender found no MTA-STS policy and no TLSA records: it uses TLS where offered, and would deliver in "
            "clear text where not. `tlsrpt policy make` prepares a policy.",
            "  ",
        )

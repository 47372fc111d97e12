"""`tlsrpt show ID`: one report of the store, made readable, or its bytes as they were received."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from tlsrpt.cli import draw
from tlsrpt.cli.options import Settings, json_option, with_settings

if TYPE_CHECKING:
    from tlsrpt.store.answers import StoredReport


@click.command()
@click.argument("id_", metavar="ID", type=click.IntRange(1))
@click.option("--raw", is_flag=True, help="The bytes as received: the whole mail, or the file.")
@json_option
@with_settings
def command(id_: int, raw: bool, as_json: bool, settings: Settings) -> None:
    """One report, made readable. ID is the short id that `tlsrpt reports` shows; report-ids are not unique."""
    from tlsrpt.store.reports import raw_of_report, report_by_id
    from tlsrpt.store.sqlite import open_store

    with open_store(settings.store_url) as store:
        if raw:
            sys.stdout.buffer.write(raw_of_report(store, id_))
            return
        stored = report_by_id(store, id_)
    if as_json:
        draw.json_line(stored_json(stored))
    else:
        _draw(stored)


def stored_json(stored: StoredReport) -> dict[str, Any]:
    """The promised JSON of one stored report (docs/json.md)."""
    from tlsrpt.cli.read import report_json

    return report_json(_incoming(stored)) | {
        "file": stored.source,
        "id": stored.id,
        "source": stored.source,
        "received_at": stored.received_at,
        "headers": stored.headers if stored.form == "message" else None,
        "counted": stored.counted,
        "standing": stored.standing,
        "dkim": stored.dkim,
        "dkim_domain": stored.dkim_domain,
        "conflict_with": stored.conflict_with,
        "conflicts": stored.conflicts,
        "sightings": stored.sightings,
        "raw_kept": stored.raw_kept,
    }


def _incoming(stored: StoredReport) -> Any:
    from tlsrpt.store.values import IncomingReport

    return IncomingReport(
        report=stored.report,
        report_domains=stored.report_domains,
        findings=stored.findings,
        extras=stored.extras,
        where=stored.where,
    )


def _draw(stored: StoredReport) -> None:
    from tlsrpt.cli.incident_text import field
    from tlsrpt.cli.read import draw_report

    draw_report(_incoming(stored), f"Report {stored.id}")
    click.echo()
    field("Came from", f"{stored.source}, {stored.received_at:%Y-%m-%d %H:%M} UTC, {stored.size_bytes:,} bytes", "  ")
    if stored.form == "message":
        headers = stored.headers
        field("Mail", f"From {headers.sender}; Message-ID {headers.message_id}; Date {headers.date}", "  ")
    field("DKIM", _dkim(stored), "  ")
    for seen in stored.sightings:
        field("Came again", f"{seen.source}, {seen.received_at:%Y-%m-%d %H:%M} UTC", "  ")
    if stored.conflict_with:
        field(
            "Conflict",
            f"report {stored.conflict_with} has the same identity and other values; that one counts, this one does not",
            "  ",
        )
    if stored.standing == "foreign":
        field("Not counted", "it is for domains that are not in [domains] own; see `tlsrpt domains`", "  ")
    for other in stored.conflicts:
        field("Conflict", f"report {other} has the same identity and other values; it is not counted", "  ")
    field("Bytes", f"tlsrpt show {stored.id} --raw" if stored.raw_kept else "no longer kept", "  ")


def _dkim(stored: StoredReport) -> str:
    from tlsrpt.cli.reports import DKIM

    if stored.dkim is None:
        mail = stored.form == "message"
        return "nobody looked" if mail else "no mail, no signature: nothing proves who sent it"
    return f"{stored.dkim}: {DKIM[stored.dkim].format(domain=stored.dkim_domain or 'a domain')}"

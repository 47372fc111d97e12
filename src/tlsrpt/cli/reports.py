"""`tlsrpt reports`: the reports kept, as a list to choose from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from tlsrpt.cli import draw
from tlsrpt.cli.options import Period, Settings, csv_option, domain_option, json_option, period_options, with_settings

if TYPE_CHECKING:
    from tlsrpt.store.answers import ReportLine
    from tlsrpt.store.sqlite import Store

PAGE = 500
DKIM = {  # what a verdict says, with the domain of the signature that decided it
    "pass": "signed by {domain}, which proves the sender",
    "pass-other": "signed by {domain}, which proves nothing of the sender",
    "fail": "a signature that is not valid",
    "none": "no signature",
    "error": "not known: the key could not be looked up",
}
STANDINGS = ("counted", "conflict", "foreign")


@click.command()
@domain_option
@click.option("--sender", help="Only from this sender: the domain of its contact address.")
@click.option("--failed", is_flag=True, help="Only with failed sessions.")
@click.option("--conflict", is_flag=True, help="Only where two reports of one identity say different things.")
@click.option("--findings", is_flag=True, help="Only those that depart from RFC 8460.")
@click.option("--dkim", type=click.Choice(list(DKIM)), help="Only with this verdict on who sent it.")
@click.option("--unproven", is_flag=True, help="Only those that no signature of their submitter proves.")
@click.option("--standing", type=click.Choice(STANDINGS), help="Only those that count, or that do not, and why.")
@click.option("--text", help="A part of the report-id, the organisation's name or the contact.")
@click.option("--limit", type=click.IntRange(1), help="At most so many. [default: 50; no limit with --json, --csv]")
@period_options("30d")
@json_option
@csv_option
@with_settings
def command(
    period: Period,
    limit: int | None,
    unproven: bool,
    as_json: bool,
    as_csv: bool,
    settings: Settings,
    **filters: Any,
) -> None:
    """List the reports kept, newest first. The id at the left is for `tlsrpt show`."""
    from tlsrpt.store.sqlite import open_store

    with open_store(settings.store_url) as store:
        most = limit or (None if as_json or as_csv else 50)
        proven = False if unproven else None
        lines = _lines(store, most, since=period.since, until=period.until, proven=proven, **filters)
        if as_json:
            for line in lines:
                draw.json_line(line_json(line))
        elif as_csv:
            _csv(lines)
        else:
            _draw(list(lines), most, settings)


def _lines(store: Store, most: int | None, **filters: Any) -> Iterator[ReportLine]:
    from tlsrpt.store.reports import list_reports

    after: str | None = None
    while most is None or most > 0:
        page = list_reports(store, limit=min(most or PAGE, PAGE), after=after, **filters)
        yield from page.reports
        most = None if most is None else most - len(page.reports)
        after = page.next
        if after is None:
            return


def line_json(line: ReportLine) -> dict[str, Any]:
    """The promised JSON of one report in the list (docs/json.md)."""
    return {
        "id": line.id,
        "report_id": line.report_id,
        "organization_name": line.organization_name,
        "sender": line.sender,
        "domains": line.domains,
        "day": line.day,
        "date_range": {"start": line.start_datetime, "end": line.end_datetime},
        "received_at": line.received_at,
        "sessions": {"successful": line.successful, "failed": line.failed},
        "findings": line.findings,
        "counted": line.standing == "counted",
        "standing": line.standing,
        "conflict_with": line.conflict_with,
        "dkim": line.dkim,
        "dkim_domain": line.dkim_domain,
    }


def _draw(lines: list[ReportLine], most: int | None, settings: Settings) -> None:
    from tlsrpt.core.domain import display_domain

    if not lines:
        draw.paragraph(f"No such report in {settings.store_url}; `tlsrpt store info` says which days there are.")
        return
    rows: list[list[draw.Cell]] = []
    judged = any(line.dkim for line in lines)
    for line in lines:
        domains = [display_domain(name) for name in line.domains]
        more = f" and {len(domains) - 1} more" if len(domains) > 1 else ""
        mark = "" if line.standing == "counted" else line.standing
        rows.append(
            [
                str(line.id),
                str(line.day),
                line.organization_name or line.sender or "not named",
                (domains[0] if domains else "no domain") + more,
                line.successful,
                line.failed,
                line.findings,
                *([(line.dkim or "-").removeprefix("pass-")] if judged else []),
                mark,
            ]
        )
    head = ("id", "day", "sender", "domain", "good", "failed", "notes", *(["DKIM"] if judged else []), "")
    draw.table(head, rows, flexible=(2, 3))
    if len(lines) == most and not settings.quiet:
        click.echo(f"The newest {most}; --limit shows more.")


def _csv(lines: Iterator[ReportLine]) -> None:
    head = ["id", "day", "organization_name", "sender", "report_id", "domains", "successful", "failed", "findings"]

    def row(line: ReportLine) -> list[draw.Cell]:
        return [" ".join(line.domains) if name == "domains" else _plain(getattr(line, name)) for name in head]

    more = ("conflict_with", "standing", "dkim", "dkim_domain")
    draw.csv_rows([*head, *more], ([*row(line), *(_plain(getattr(line, name)) for name in more)] for line in lines))


def _plain(value: Any) -> draw.Cell:
    return value if value is None or isinstance(value, int | str) else str(value)

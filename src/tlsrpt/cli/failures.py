"""`tlsrpt failures`: what fails, grouped into what an administrator would call one incident, in these days alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tlsrpt.cli import draw
from tlsrpt.cli.options import Period, Settings, csv_option, domain_option, json_option, period_options, with_settings

if TYPE_CHECKING:
    from tlsrpt.insight.incident import Incident


@click.command()
@domain_option
@period_options("30d")
@click.option("--all", "everything", is_flag=True, help="Also what is quiet: no longer seen.")
@json_option
@csv_option
@with_settings
def command(
    domain: str | None, period: Period, everything: bool, as_json: bool, as_csv: bool, settings: Settings
) -> None:
    """What fails, since when, where, whose side it is, the likeliest cause and the next step; worst first.

    One result type at one place (MX host, policy host, record) is one incident, however many domains meet it.
    The same incidents as `tlsrpt incidents` has, but only with what these days say of them.
    With --json and --csv quiet ones are always included.
    """
    from tlsrpt.cli.incident_text import draw_incident, incident_json
    from tlsrpt.insight.incidents import find_incidents
    from tlsrpt.store.figures import summary
    from tlsrpt.store.sqlite import open_store

    since, until = period.since, period.until
    with open_store(settings.store_url) as store:
        found = find_incidents(store, domain=domain, since=since, until=until, today=period.today, whole=False)
        reports = summary(store, domain=domain, since=since, until=until).totals.reports
    if as_json:
        for incident in found:
            draw.json_line(incident_json(incident))
        return
    if as_csv:
        _csv(found)
        return
    shown = [incident for incident in found if everything or incident.state != "quiet"]
    quiet = [incident for incident in found if incident.state == "quiet"]
    if not settings.quiet:
        open_ = sum(incident.state in ("open", "unknown") for incident in found)
        watch = sum(incident.state == "watch" for incident in found)
        counts = f"{draw.plural(open_, 'incident')} open, {watch} to watch, {len(quiet)} quiet"
        draw.heading(f"{period.since} to {period.until}: {counts}")
    for number, incident in enumerate(shown, 1):
        click.echo()
        draw_incident(incident, number)
    if quiet and not everything and not settings.quiet:
        _draw_quiet(quiet)
    if not found and not settings.quiet:
        if reports:
            click.echo("No failure was reported in these days.")
        else:
            draw.paragraph(
                f"No report in these days in {settings.store_url}; `tlsrpt store info` says which there are."
            )


def _draw_quiet(quiet: list[Incident]) -> None:
    """What is over, a few words each."""
    click.echo("\nNo longer seen (whole with --all):")
    for incident in quiet[:QUIET_SHOWN]:
        days = f"{incident.first_seen} to {incident.last_seen}" if incident.days > 1 else f"{incident.first_seen}"
        size = f"{draw.plural(incident.failed, 'session')} from {draw.plural(len(incident.senders), 'sender')}"
        draw.paragraph(f"{days} {incident.title}: {incident.place}; {size}", "    ", "  ")
    if len(quiet) > QUIET_SHOWN:
        click.echo(f"  ... and {len(quiet) - QUIET_SHOWN} more")


QUIET_SHOWN = 10
CSV_HEAD = (
    "id",
    "state",
    "result_type",
    "place",
    "place_kind",
    "domains",
    "senders",
    "failed",
    "total",
    "first_seen",
    "last_seen",
    "days",
    "consequence",
    "party",
    "confidence",
    "cause",
    "next_step",
)


def _csv(found: list[Incident]) -> None:
    draw.csv_rows(CSV_HEAD, (_csv_row(incident) for incident in found))


def _csv_row(incident: Incident) -> list[draw.Cell]:
    side = {"party": incident.side.party, "confidence": incident.side.confidence, "cause": incident.causes[0].code}
    lists = {
        "next_step": incident.steps[0],
        "domains": " ".join(incident.domains),
        "senders": "; ".join(incident.senders),
    }
    days = {"first_seen": str(incident.first_seen), "last_seen": str(incident.last_seen)}
    return [{**side, **lists, **days}.get(name) or getattr(incident, name) for name in CSV_HEAD]

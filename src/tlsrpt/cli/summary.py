"""`tlsrpt summary`: sessions and failures, added up by what one asks for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import click

from tlsrpt.cli import draw
from tlsrpt.cli.options import Period, Settings, csv_option, domain_option, json_option, period_options, with_settings

if TYPE_CHECKING:
    from tlsrpt.insight.anomalies import Anomaly
    from tlsrpt.store.answers import By, Summary, SummaryRow

KEYS = ("domain", "day", "sender", "mx", "result", "policy")
NEWS = timedelta(days=7)  # at the end of the days asked for: what stands out there is told
MOST_NEWS = 10
HEADS = {"domain": "domain", "day": "day", "sender": "sender", "mx": "MX host", "result": "result", "policy": "policy"}


class Keys(click.ParamType[tuple[str, ...]]):
    """One or several of KEYS, with commas between."""

    name = "keys"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        keys = tuple(dict.fromkeys(key.strip() for key in value.split(",") if key.strip()))
        for key in keys:
            if key not in KEYS:
                self.fail(f"{key!r} is none of {', '.join(KEYS)}", param, ctx)
        return keys


@click.command()
@domain_option
@period_options("30d")
@click.option(
    "--by", type=Keys(), default="domain", show_default=True, help=f"Rows by {', '.join(KEYS)}; several: a,b."
)
@json_option
@csv_option
@with_settings
def command(
    domain: str | None, period: Period, by: tuple[By, ...], as_json: bool, as_csv: bool, settings: Settings
) -> None:
    """Sessions, success rate, failures by result type and MX host, how many senders saw it, first and last day.

    A session that a sender lists under both sts and tlsa is counted once (a lower bound); where that makes a
    difference, the plain sum as sent stands beside it. Rows by mx or result come from the failure details: one
    session may be in several of them, and some in none ("not itemised"). Days of the last seven on which far more
    failed than on the same weekday before stand at the end.
    """
    from tlsrpt.insight.anomalies import find_anomalies
    from tlsrpt.store.figures import summary
    from tlsrpt.store.sqlite import open_store

    with open_store(settings.store_url) as store:
        answer = summary(store, domain=domain, since=period.since, until=period.until, by=by)
        until, today = period.until, period.today
        since = max(period.since, min(until, today - timedelta(days=1)) - NEWS + timedelta(days=1))
        wanted = as_json or not (as_csv or settings.quiet)
        news = find_anomalies(store, since=since, until=until, today=today, domain=domain) if wanted else []
    if as_json:
        draw.json_line(summary_json(answer, news, period))
    elif as_csv:
        _draw_csv(answer, by)
    else:
        _draw_text(answer, by, period, domain, settings)
        if news:
            _draw_news(news)


def summary_json(answer: Summary, news: Sequence[Anomaly], period: Period) -> dict[str, Any]:
    """The promised JSON (docs/json.md)."""
    return {
        "period": {"since": period.since, "until": period.until},
        "totals": {
            "reports": answer.totals.reports,
            "successful": answer.totals.successful,
            "failed": answer.totals.failed,
            "as_sent": answer.totals.as_sent,
            "senders": answer.senders,
            "first_day": answer.first_day,
            "last_day": answer.last_day,
        },
        "failures": [{"result_type": one.name, "sessions": one.failed} for one in answer.results],
        "mx_hosts": [{"mx": one.name, "sessions": one.failed} for one in answer.mx_hosts],
        "not_itemised": answer.not_itemised,
        "stands_out": [
            {
                "domain": one.domain,
                "day": one.day,
                "sessions": {"failed": one.failed, "total": one.total},
                "proven_failed": one.proven_failed,
                "usual": {"failed": one.usual_failed, "total": one.usual_total, "weeks": one.weeks, "worst": one.worst},
                "chance": one.chance,
                "sentence": one.sentence,
            }
            for one in news
        ],
        "rows": answer.rows,
    }


def _draw_text(answer: Summary, by: tuple[By, ...], period: Period, domain: str | None, settings: Settings) -> None:
    totals = answer.totals
    sessions = totals.successful + totals.failed
    about = f" about {domain}" if domain else ""
    draw.heading(f"{period.since} to {period.until}{about}: {draw.plural(totals.reports, 'report')}")
    if not totals.reports:
        draw.paragraph(
            f"No report in these days in {settings.store_url}; `tlsrpt store info` says which there are.", "  "
        )
        return
    draw.paragraph(
        f"{draw.plural(sessions, 'session')}, {draw.percent(totals.successful, sessions)} good, "
        f"{totals.failed:,} failed; from {draw.plural(answer.senders, 'sender')}; "
        f"first day {answer.first_day}, last day {answer.last_day}",
        "  ",
    )
    sent = totals.as_sent
    if (sent.successful, sent.failed) != (totals.successful, totals.failed):
        draw.paragraph(
            f"Counted once where a sender lists sessions under both sts and tlsa. As sent: {sent.successful:,} good, "
            f"{sent.failed:,} failed.",
            "  ",
        )
    if by:
        click.echo()
        _draw_rows(answer, by)
    if answer.results and not settings.quiet:
        _draw_failed(answer)


def _draw_rows(answer: Summary, by: tuple[By, ...]) -> None:
    from msgspec import UNSET

    head = [HEADS[key] for key in by]
    itemised = any(row.itemised is not UNSET for row in answer.rows)
    head += ["failed", "senders"] if itemised else ["reports", "sessions", "good", "failed", "senders"]
    rows = [[*(_key(row, key) for key in by), *_figures(row, itemised)] for row in answer.rows]
    if "day" not in by:
        head.append("last day")
        rows = [[*cells, str(row.last_day)] for cells, row in zip(rows, answer.rows, strict=True)]
    draw.table(head, rows, flexible=tuple(range(len(by))))


def _figures(row: SummaryRow, itemised: bool) -> list[draw.Cell]:
    if itemised:
        return [row.failed, row.senders]
    good = int(row.successful or 0)
    sessions = good + row.failed
    return [int(row.reports or 0), sessions, draw.percent(good, sessions), row.failed, row.senders]


def _key(row: SummaryRow, key: str) -> str:
    from tlsrpt.core.domain import display_domain

    value = getattr(row, key)
    if key in ("mx", "result") and row.itemised is False:
        return "not itemised"
    if isinstance(value, date):
        return value.isoformat()
    if not value:
        return "no domain" if key == "domain" else "not named"
    return display_domain(value) if key in ("domain", "mx") else str(value)


def _draw_failed(answer: Summary) -> None:
    click.echo()
    rows: list[list[draw.Cell]] = [[one.name or "not named", one.failed] for one in answer.results]
    if answer.not_itemised:
        rows.append(["not itemised", answer.not_itemised])
    draw.table(("failures by result type", "failed sessions"), rows)
    hosts: list[list[draw.Cell]] = [[one.name or "not named by the sender", one.failed] for one in answer.mx_hosts]
    click.echo()
    draw.table(("failures by MX host", "failed sessions"), hosts[:10])
    if len(hosts) > 10:
        click.echo(f"... and {len(hosts) - 10} more: --by mx")
    draw.paragraph("One session may be counted in several rows . What to do: tlsrpt failures")


def _draw_news(news: Sequence[Anomaly]) -> None:
    from tlsrpt.core.domain import display_domain

    click.echo()
    draw.heading("Stands out")
    for one in news[:MOST_NEWS]:
        draw.paragraph(one.sentence, "    ", f"  {one.day} {display_domain(one.domain)}: ")
    if len(news) > MOST_NEWS:
        click.echo(f"  ... and {len(news) - MOST_NEWS} more: --json")


def _draw_csv(answer: Summary, by: tuple[By, ...]) -> None:
    from msgspec import UNSET

    head = [*by, "itemised", "reports", "successful", "failed", "senders", "first_day", "last_day"]

    def plain(value: Any) -> draw.Cell:
        return "" if value is UNSET or value is None else value if isinstance(value, int | str) else str(value)

    draw.csv_rows(head, ([plain(getattr(row, name)) for name in head] for row in answer.rows))

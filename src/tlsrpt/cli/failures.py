"""`tlsrpt failures`: what fails, grouped into what an administrator would call one problem, worst first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tlsrpt.cli import draw
from tlsrpt.cli.options import Period, Settings, csv_option, domain_option, json_option, period_options, with_settings

if TYPE_CHECKING:
    from tlsrpt.insight.problems import Problem


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

    One result type at one place (MX host, policy host, record) is one problem, however many domains meet it.
    With --json and --csv quiet problems are always included.
    """
    from tlsrpt.cli.problem_text import draw_problem, problem_json
    from tlsrpt.insight.problems import problems
    from tlsrpt.store.daily import failure_rows, session_rows
    from tlsrpt.store.sqlite import open_store

    since, until = period.since, period.until
    with open_store(settings.store_url) as store:
        failures = failure_rows(store, domain=domain, since=since, until=until)
        sessions = session_rows(store, domain=domain, since=since, until=until)
    found = problems(failures, sessions, period.today)
    if as_json:
        for problem in found:
            draw.json_line(problem_json(problem))
        return
    if as_csv:
        _csv(found)
        return
    shown = [problem for problem in found if everything or problem.state != "quiet"]
    quiet = [problem for problem in found if problem.state == "quiet"]
    if not settings.quiet:
        open_ = sum(problem.state in ("open", "unknown") for problem in found)
        watch = sum(problem.state == "watch" for problem in found)
        counts = f"{draw.plural(open_, 'problem')} open, {watch} to watch, {len(quiet)} quiet"
        draw.heading(f"{period.since} to {period.until}: {counts}")
    for number, problem in enumerate(shown, 1):
        click.echo()
        draw_problem(problem, number)
    if quiet and not everything and not settings.quiet:
        _draw_quiet(quiet)
    if not found and not settings.quiet:
        if sessions:
            click.echo("No failure was reported in these days.")
        else:
            draw.paragraph(
                f"No report in these days in {settings.store_url}; `tlsrpt store info` says which there are."
            )


def _draw_quiet(quiet: list[Problem]) -> None:
    """What is over, a few words each."""
    click.echo("\nNo longer seen (whole with --all):")
    for problem in quiet[:QUIET_SHOWN]:
        days = f"{problem.first_seen} to {problem.last_seen}" if problem.days > 1 else f"{problem.first_seen}"
        size = f"{draw.plural(problem.failed, 'session')} from {draw.plural(len(problem.senders), 'sender')}"
        draw.paragraph(f"{days} {problem.title}: {problem.place}; {size}", "    ", "  ")
    if len(quiet) > QUIET_SHOWN:
        click.echo(f"  ... and {len(quiet) - QUIET_SHOWN} more")


QUIET_SHOWN = 10
CSV_HEAD = (
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


def _csv(found: list[Problem]) -> None:
    draw.csv_rows(CSV_HEAD, (_csv_row(problem) for problem in found))


def _csv_row(problem: Problem) -> list[draw.Cell]:
    side = {"party": problem.side.party, "confidence": problem.side.confidence, "cause": problem.cause.code}
    lists = {"domains": " ".join(problem.domains), "senders": "; ".join(problem.senders)}
    days = {"first_seen": str(problem.first_seen), "last_seen": str(problem.last_seen)}
    return [{**side, **lists, **days}.get(name) or getattr(problem, name) for name in CSV_HEAD]

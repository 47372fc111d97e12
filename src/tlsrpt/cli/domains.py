"""`tlsrpt domains`: which domains are ours, which of them are reported on, and which others reports came for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from typing import TYPE_CHECKING

import click
from msgspec import Struct

from tlsrpt.cli import draw
from tlsrpt.cli.options import Period, Settings, json_option, period_options, with_settings

if TYPE_CHECKING:
    from tlsrpt.core.owned import Owned
    from tlsrpt.store.answers import ForeignDomain, SummaryRow

MOST = 50  # of a kind that are shown without --all


class Line(Struct, frozen=True, kw_only=True):
    """One domain (docs/json.md)."""

    domain: str  # as A-labels; a pattern where no domain of it was reported on; "" where a report names none
    own: bool
    pattern: str | None  # by which it is ours; None: not by its own name, but by another one in its reports
    reports: int  # of the days asked for; of foreign domains all
    proven: int | None  # signed by their submitter; only told of foreign domains
    senders: int | None
    first_day: date | None
    last_day: date | None
    last_received: datetime | None  # of foreign domains


@click.command()
@click.option("--all", "all_", is_flag=True, help=f"All of them, not only the first {MOST} of each kind.")
@period_options("30d")
@json_option
@with_settings
def command(all_: bool, period: Period, as_json: bool, settings: Settings) -> None:
    """Which domains are ours, which of them had reports, and for which others reports came ("you also receive ...").

    What is ours stands in [domains] own and own_file. Reports for other domains are kept and not counted, until their
    domains are added there.
    """
    from tlsrpt.intake.owning import load_owned
    from tlsrpt.store.figures import summary
    from tlsrpt.store.reports import foreign_domains
    from tlsrpt.store.sqlite import open_store

    owned = load_owned(settings.config.domains)
    with open_store(settings.store_url) as store:
        rows = summary(store, domain=None, since=period.since, until=period.until, by=("domain",)).rows
        others = foreign_domains(store, limit=1_000_000 if all_ or as_json else MOST + 1)
    lines = [*own_lines(owned, rows), *map(_foreign_line, others)]
    if as_json:
        for line in lines:
            draw.json_line(line)
    else:
        _draw(lines, owned, period, all_)


def own_lines(owned: Owned, rows: tuple[SummaryRow, ...]) -> Iterator[Line]:
    """What was reported on, most reports first; then what is ours and was not."""
    used = set()
    for row in sorted(rows, key=lambda row: (-_number(row.reports), str(row.domain))):
        domain = str(row.domain)
        pattern = pattern_of(owned, domain)
        used.add(pattern)
        yield Line(
            domain=domain,
            own=True,
            pattern=pattern,
            reports=_number(row.reports),
            proven=None,
            senders=row.senders,
            first_day=row.first_day,
            last_day=row.last_day,
            last_received=None,
        )
    for pattern in owned.patterns:
        if pattern not in used:
            yield Line(
                domain=pattern,
                own=True,
                pattern=pattern,
                reports=0,
                proven=None,
                senders=0,
                first_day=None,
                last_day=None,
                last_received=None,
            )


def pattern_of(owned: Owned, domain: str) -> str | None:
    """By which pattern a domain is ours; None where by none. The nearest one above it, where several fit."""
    if owned.everything:
        return "any"
    if domain in owned.exact:
        return domain
    above = domain
    while "." in above and owned.owns(domain):
        above = above.partition(".")[2]
        if above in owned.below:
            return f"*.{above}"
    return None


def _number(reports: object) -> int:
    return reports if isinstance(reports, int) else 0


def _foreign_line(one: ForeignDomain) -> Line:
    return Line(
        domain=one.domain,
        own=False,
        pattern=None,
        reports=one.reports,
        proven=one.proven,
        senders=None,
        first_day=None,
        last_day=None,
        last_received=one.last_received,
    )


# --- Drawing --------------------------------------------------------------------------------------------------------


def _draw(lines: list[Line], owned: Owned, period: Period, all_: bool) -> None:
    reported = [line for line in lines if line.own and line.reports]
    silent = [line for line in lines if line.own and not line.reports]
    others = [line for line in lines if not line.own]
    if owned.everything:
        click.echo('Every domain is taken for yours ([domains] own = "any", or left out).')
    else:
        below = len(owned.below)
        click.echo(
            f"Yours: {draw.plural(len(owned.exact), 'domain')}"
            + (f", and all below {draw.plural(below, 'name')}" if below else "")
        )
    days = f"from {period.since} to {period.until}"
    click.echo(f"Reported on {days}: {draw.plural(len(reported), 'domain') if reported else 'none'}")
    if reported:
        click.echo()
        shown = reported if all_ else reported[:MOST]
        rows: list[list[draw.Cell]] = [
            [_name(line.domain), line.reports, line.senders, str(line.last_day), _mark(line)] for line in shown
        ]
        draw.table(("domain", "reports", "senders", "last day", ""), rows, flexible=(0, 4))
        _more(reported, shown)
    if silent:
        click.echo(f"\nYours, and not reported on {days}: {draw.plural(len(silent), 'name')}")
        shown = silent if all_ else silent[:MOST]
        draw.paragraph(", ".join(_name(line.domain) for line in shown), "  ")
        _more(silent, shown)
    if others:
        _draw_others(others, all_)


def _draw_others(others: list[Line], all_: bool) -> None:
    from tlsrpt.cli.toml import quoted

    click.echo("\nYou also receive reports for:\n")
    shown = others if all_ else others[:MOST]
    draw.table(
        ("domain", "reports", "proven", "last received"),
        [[_name(line.domain) or "(none named)", line.reports, line.proven, _day(line)] for line in shown],
    )
    _more(others, shown)
    names = [line.domain for line in shown if line.domain and line.proven] or [line.domain for line in shown]
    wanted = ", ".join(quoted(name) for name in names[:3] if name)
    more = ", ..." if len(names) > 3 else ""
    click.echo()
    draw.paragraph(
        f"They are kept and stand in no figure. Add those that are yours to [domains] own, as in own = [..., {wanted}"
        f"{more}], and reload. Anybody can make a report up; the proven ones are signed by their submitter."
    )


def _more(lines: list[Line], shown: list[Line]) -> None:
    if len(shown) < len(lines):
        click.echo("  ... and more: --all")


def _name(domain: str) -> str:
    from tlsrpt.core.domain import display_domain

    star, dot, name = domain.rpartition("*.")
    return f"{star}{dot}{display_domain(name)}"


def _mark(line: Line) -> str:
    if line.pattern is None:
        return "in reports on a domain of yours"
    return line.pattern if line.pattern.startswith("*") else ""


def _day(line: Line) -> str:
    return f"{line.last_received:%Y-%m-%d}" if line.last_received else ""

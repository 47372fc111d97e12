"""`tlsrpt senders`: who reports, at what rhythm, how late, who fell silent, and what one of them gets wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tlsrpt.cli import draw
from tlsrpt.cli.options import Period, Settings, csv_option, domain_option, json_option, period_options, with_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tlsrpt.insight.coverage import SenderCoverage
    from tlsrpt.store.sqlite import Store

MOST = 50  # that are shown without --all


@click.command()
@click.argument("name", metavar="[NAME]", required=False)
@domain_option
@period_options("90d")
@click.option("--all", "all_", is_flag=True, help=f"All of them, not only the first {MOST}.")
@json_option
@csv_option
@with_settings
def command(
    name: str | None,
    domain: str | None,
    period: Period,
    all_: bool,
    as_json: bool,
    as_csv: bool,
    settings: Settings,
) -> None:
    """Who reports: rhythm, sessions, how late; who fell silent comes first. NAME, or a part of it: one sender, whole.

    A sender is silent when its present break is far longer than any it made before, and nothing of it may still be on
    the way. Figures are of the days asked for; rhythms are judged from 90 days at least.
    """
    if name is not None and as_csv:
        raise click.UsageError("--csv is for the list of senders; one of them is told as text or --json")
    from tlsrpt.cli.sender_text import coverage_json, draw_coverage, write_csv
    from tlsrpt.insight.coverage import find_coverage
    from tlsrpt.store.senders import domains_of_senders
    from tlsrpt.store.sqlite import open_store

    with open_store(settings.store_url) as store:
        found = find_coverage(store, since=period.since, until=period.until, today=period.today, domain=domain)
        if name is not None:
            _one(store, named(found.senders, name), domain, period, as_json, settings)
            return
        counted = domain is None and (as_json or as_csv)  # takes longer than all the rest
        domains = domains_of_senders(store, since=period.since, until=period.until) if counted else {}
    if as_json:
        for sender in found.senders:
            draw.json_line(coverage_json(sender, domains.get(sender.sender)))
    elif as_csv:
        write_csv(found.senders, domains)
    else:
        draw_coverage(found, domain, len(found.senders) if all_ else MOST, settings)


def named(senders: Sequence[SenderCoverage], name: str) -> SenderCoverage:
    """The sender that a person means: by its name, else by a part of it or of its organisation's name."""
    wanted = name.casefold()
    exact = [one for one in senders if one.sender.casefold() == wanted]
    near = [one for one in senders if wanted in f"{one.sender} {one.organization_name or ''}".casefold()]
    if len(exact or near) == 1:
        return (exact or near)[0]
    if not near:
        raise click.BadParameter(f"no sender {name!r} in these days; `tlsrpt senders` lists them", param_hint="NAME")
    some = ", ".join(draw.printable(one.sender, 60) for one in near[:5])
    more = ", ..." if len(near) > 5 else ""
    raise click.BadParameter(f"{name!r} fits several: {some}{more}", param_hint="NAME")


def _one(
    store: Store, sender: SenderCoverage, domain: str | None, period: Period, as_json: bool, settings: Settings
) -> None:
    from tlsrpt.cli.sender_text import draw_sender, sender_json
    from tlsrpt.insight.sender import find_sender

    whole = find_sender(store, sender.sender, since=period.since, until=period.until, today=period.today, domain=domain)
    if as_json:
        draw.json_line(sender_json(whole))
    else:
        draw_sender(whole, period, settings)

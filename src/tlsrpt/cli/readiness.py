"""`tlsrpt readiness`: may a domain move MTA-STS to enforce; with --policies, who may still hold an old policy."""

from __future__ import annotations

import click

from tlsrpt.cli import draw
from tlsrpt.cli.options import DomainName, Period, Settings, json_option, period_options, with_settings


@click.command()
@click.argument("domain", type=DomainName())
@period_options("90d")
@click.option(
    "--policies", is_flag=True, help="Instead: the policies that senders applied, and who may hold an old one."
)
@json_option
@with_settings
def command(domain: str, period: Period, policies: bool, as_json: bool, settings: Settings) -> None:
    """May DOMAIN move MTA-STS from testing to enforce: ready, not ready, not enough seen; with the reasons.

    Judged by the sessions that were reported under MTA-STS: which of them senders would have refused, whether that goes
    on, and whether enough days and senders were seen. With --policies: which policies senders applied and until when an
    old copy may be held, before MX hosts are changed.
    """
    from tlsrpt.cli.readiness_text import draw_policies, draw_readiness
    from tlsrpt.insight.promised_readiness import policies_json, readiness_json
    from tlsrpt.store.sqlite import open_store

    since, until, today = period.since, period.until, period.today
    with open_store(settings.store_url) as store:
        if policies:
            from tlsrpt.insight.policies import find_policies

            seen = find_policies(store, domain, since=since, until=until, today=today)
            if as_json:
                draw.json_line(policies_json(seen))
            else:
                draw_policies(seen, settings)
        else:
            from tlsrpt.insight.readiness import find_readiness

            found = find_readiness(store, domain, since=since, until=until, today=today)
            if as_json:
                draw.json_line(readiness_json(found))
            else:
                draw_readiness(found, settings)

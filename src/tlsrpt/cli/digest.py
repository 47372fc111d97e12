"""`tlsrpt digest`: what changed in a week or a day, what to do, and one line when there is nothing to do."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import click

from tlsrpt.cli import draw
from tlsrpt.cli.options import Period, Settings, domain_option, json_option, make_period, today_option, with_settings

if TYPE_CHECKING:
    from tlsrpt.core.owned import Owned
    from tlsrpt.insight.overview import DomainFigures, Figures, Overview
    from tlsrpt.notify.digest import Digest


@click.command()
@domain_option
@click.option("--weekly", "every", flag_value="week", help="Of a week, held against the week before.")
@click.option("--daily", "every", flag_value="day", help="Of a day. [default: as [digest] every says, else a week]")
@click.option("--since", metavar="DATE|Nd", help="First UTC day, or a number of days, in place of a week or a day.")
@click.option("--until", metavar="DATE|Nd", help="Last UTC day, included. [default: two days ago]")
@today_option
@click.option("--stdout", "to_stdout", is_flag=True, help="Show the text on standard output, send nothing.")
@click.option("--html", type=click.File("wb"), metavar="FILE", help="Write the HTML into a file; - is standard output.")
@json_option
@with_settings
def command(
    domain: str | None,
    every: str | None,
    since: str | None,
    until: str | None,
    today: date,
    to_stdout: bool,
    html: Any,
    as_json: bool,
    settings: Settings,
) -> None:
    """How it stands: what changed in a period, what to do, worst first, and one line when there is nothing to do.

    A period is held against the one before it. It ends two days ago, since reports come a day late or more; incidents
    are told as of today. Without a report in it that is said first.

    Without --stdout, --html and --json it is sent to the addresses in [digest] to, by the mail server of [mail].
    """
    from tlsrpt.insight.overview import find_overview
    from tlsrpt.notify.digest import write_digest
    from tlsrpt.store.sqlite import open_store

    period = _period(every or settings.config.digest.every, since, until, today)
    scope = _scope(domain, settings)
    with open_store(settings.store_url) as store:
        seen = find_overview(store, since=period.since, until=period.until, today=today, scope=scope)
    digest = write_digest(seen)
    if html:
        html.write(digest.html.encode())
    if as_json:
        draw.json_line(digest_json(seen, digest))
    elif to_stdout:
        click.echo(f"Subject: {digest.subject}\n\n{digest.text}", nl=False)
    elif not html:
        _send(digest, settings)


def _send(digest: Digest, settings: Settings) -> None:
    """Send it to those who get it otherwise, too; a person wants it now, and sees what the mail server says."""
    import secrets
    from datetime import UTC, datetime

    from tlsrpt.notify.digest_mail import send_digest

    config = settings.config
    send_digest(digest, config.digest.to, config.mail, datetime.now(UTC), secrets.token_hex(8))
    if not settings.quiet:
        click.echo(f"Sent to {', '.join(map(draw.printable, config.digest.to))}: {digest.subject}")


def _period(every: str, since: str | None, until: str | None, today: date) -> Period:
    """The days asked for; else as the service would send it today."""
    from tlsrpt.notify.schedule import days_told

    first, last = days_told("day" if every == "day" else "week", today)
    return make_period(since or f"{(last - first).days + 1}d", until or last.isoformat(), today)


def _scope(domain: str | None, settings: Settings) -> Owned | None:
    from tlsrpt.core.owned import Owned
    from tlsrpt.notify.schedule import scope_of

    return Owned.of([domain]) if domain else scope_of(settings.config.digest)


def digest_json(seen: Overview, digest: Digest) -> dict[str, Any]:
    """The promised JSON (docs/json.md)."""
    return {
        "period": {"since": seen.since, "until": seen.until},
        "before": {"since": seen.before_since, "until": seen.before_until},
        "scope": seen.scope,
        "verdict": seen.verdict,
        "latest": seen.latest,
        "subject": digest.subject,
        "figures": {"period": _figures(seen.now), "before": _figures(seen.before)},
        "parts": seen.parts,
        "incidents": {
            "open": [one.id for one in seen.open],
            "new": seen.new,
            "again": seen.again,
            "unsure": [one.id for one in seen.unsure],
            "over": [one.id for one in seen.over],
            "aside": seen.aside,
        },
        "domains": [_domain(one) for one in seen.domains],
        "ceased": [
            {"domain": one.domain, "last_day": one.rhythm.last_day, "senders": one.senders} for one in seen.ceased
        ],
        "silent": seen.silent,
        "advice": seen.advice,
        "ready": seen.ready,
        "signed": seen.signed,
    }


def _figures(figures: Figures) -> dict[str, Any]:
    sessions = {"successful": figures.sessions - figures.failed, "failed": figures.failed}
    return {"domains": figures.domains, "senders": figures.senders, **sessions, "as_sent": figures.as_sent}


def _domain(one: DomainFigures) -> dict[str, Any]:
    return {
        "domain": one.domain,
        "successful": one.sessions - one.failed,
        "failed": one.failed,
        "before": {"successful": one.sessions_before - one.failed_before, "failed": one.failed_before},
        "consequence": one.consequence,
        "incidents": one.incidents,
    }

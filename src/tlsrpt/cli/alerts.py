"""`tlsrpt alerts`: who was told what unasked, and what waits; a test message; one look, for where no service runs."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Any

import click
from msgspec import Struct

from tlsrpt.cli import draw
from tlsrpt.cli.options import Day, Settings, json_option, with_settings
from tlsrpt.cli.resolving import name_servers
from tlsrpt.core.errors import ConfigError, TlsrptError

if TYPE_CHECKING:
    from tlsrpt.config import AlertTo, Config
    from tlsrpt.notify.looking import Look
    from tlsrpt.store.sqlite import Store
    from tlsrpt.store.telling import Listed

MOST = 30  # messages that are listed
STATE_COLOUR = {"sent": "green", "waiting": "yellow", "failed": "red", "superseded": "cyan"}


class Tested(Struct, frozen=True, kw_only=True):
    """What became of a test message at one recipient (docs/json.md)."""

    name: str
    way: str  # mail, webhook, apprise; "" where none is given
    sent: bool
    trouble: str = ""
    warnings: tuple[str, ...] = ()


@click.group(invoke_without_command=True)
@click.option("--all", "everything", is_flag=True, help=f"All messages that are kept, not only the last {MOST}.")
@json_option
@with_settings
@click.pass_context
def command(ctx: click.Context, everything: bool, as_json: bool, settings: Settings) -> None:
    """What was told unasked, to whom, and what waits to be sent.

    The service looks and sends by itself; without it, let a timer run `tlsrpt alerts run`.

    Exit 0; 1 when something could not be sent.
    """
    if ctx.invoked_subcommand is not None:
        return
    from tlsrpt.store.sqlite import open_store
    from tlsrpt.store.sqlite_notices import list_notices, outbox_size, read_told

    with open_store(settings.store_url) as store:
        size = outbox_size(store, datetime.now(UTC))
        listed = list_notices(store, 1_000_000 if everything else MOST)
        version, told = read_told(store)
    if as_json:
        draw.json_line(
            {
                "recipients": sorted(settings.config.alerts.named()),
                "looked": version > 0,
                "outbox": size,
                "told": sorted(told.values(), key=lambda each: each.key),
                "messages": listed,
            }
        )
    else:
        _draw_recipients(settings, looked=version > 0)
        _draw_listed(listed)
    ctx.exit(1 if size.failing or size.given_up else 0)


@command.command()
@click.option("--dry-run", is_flag=True, help="Show what would be told, keep and send nothing.")
@click.option("--once", is_flag=True, help="A timer runs `receive --once`: no service has to run.")
@click.option("--today", type=Day(), metavar="DATE", help="Look as of noon of that UTC day (with --dry-run).")
@json_option
@with_settings
@click.pass_context
def run(ctx: click.Context, dry_run: bool, once: bool, today: date | None, as_json: bool, settings: Settings) -> None:
    """Look once: tell what is new, and send what waits. For a timer, where the service does not run.

    Exit 0; 1 when something could not be sent (it is tried again at the next run); 3 the store can't be used.
    """
    if today is not None and not dry_run:
        raise click.UsageError("--today needs --dry-run")
    if not settings.config.alerts.to and not dry_run:
        raise ConfigError("nobody to tell", where="alerts", fix="name one, as in [[alerts.to]]; --dry-run needs none")
    from tlsrpt.notify.looking import keep, look
    from tlsrpt.store.sqlite import open_store

    now = datetime.now(UTC) if today is None else datetime.combine(today, time(12), UTC)
    with open_store(settings.store_url) as store:
        found = look(store, settings.config, now, mx_hosts=_mx_hosts(settings.config), once=once)
        kept = dry_run or keep(store, found, now)
        if not kept:
            click.echo("Somebody else has told something meanwhile; the next run looks again.", err=True)
        sent, failed = (0, 0) if dry_run else _deliver(store, settings)
    if as_json:
        draw.json_line(_look_json(found, sent, failed, dry_run))
    elif dry_run:
        _draw_look(found, settings)
    elif not settings.quiet:
        things = len(found.news.notices) if kept else 0
        told = f"{draw.plural(things, 'thing')} to tell; {draw.plural(sent, 'message')} sent"
        click.echo(f"{told}, {failed:,} not sent yet" if failed else told)
    ctx.exit(1 if failed else 0)


@command.command()
@click.argument("name", required=False)
@json_option
@with_settings
@click.pass_context
def test(ctx: click.Context, name: str | None, as_json: bool, settings: Settings) -> None:
    """Send a test message to everyone who is told, or to NAME alone, and say whether it was taken.

    Also says where an alert depends on mail servers of your own, or on what is failing now.

    Exit 0 all were taken; 1 one was not; 2 nobody of that name.
    """
    named = settings.config.alerts.named()
    if name is not None and name not in named:
        raise click.BadParameter(f"nobody is called {name!r}; there are: {', '.join(named) or 'none'}")
    if not named:
        raise ConfigError("nobody to tell", where="alerts", fix="name one, as in [[alerts.to]]")
    tested = _test(settings, {key: to for key, to in named.items() if name in (None, key)})
    if as_json:
        for one in tested:
            draw.json_line(one)
    else:
        for one in tested:
            state = click.style("sent", fg="green") if one.sent else click.style("not sent", fg="red")
            click.echo(f"{draw.printable(one.name)} ({one.way or 'no way'}): {state}")
            for text in filter(None, (one.trouble, *one.warnings)):
                draw.paragraph(text, "  ")
    ctx.exit(0 if all(one.sent for one in tested) else 1)


# --- What is done -----------------------------------------------------------------------------------------------------


def _deliver(store: Store, settings: Settings) -> tuple[int, int]:
    """Send what is due; what is not taken is told on standard error."""
    from tlsrpt.notify.channels import send
    from tlsrpt.notify.outbox import deliver_due

    def now() -> datetime:
        return datetime.now(UTC)

    return deliver_due(store, lambda delivery: send(settings.config, delivery, now()), now, _Told())


class _Told:
    """A log for people: only what went wrong."""

    def info(self, event: str, /, **fields: object) -> None:
        """Nothing."""

    def warning(self, event: str, /, **fields: object) -> None:
        """What is tried again."""
        click.echo(draw.printable(f"{fields.get('recipient')}: {event}: {fields.get('reason')}"), err=True)

    error = warning


def _mx_hosts(config: Config) -> dict[str, tuple[str, ...]]:
    """The MX hosts of the mail addresses that are told; none where there are none, or no name server."""
    from tlsrpt.notify.routing import mail_domains

    if not mail_domains(config.alerts):
        return {}
    import asyncio

    from tlsrpt.dns.exchange import Exchange, parse_server
    from tlsrpt.dns.resolver import Resolver
    from tlsrpt.notify.looking import find_mx_hosts

    async def find() -> dict[str, tuple[str, ...]]:
        named = config.dns.resolver
        with Exchange() as exchange:
            servers = name_servers((parse_server(named),) if named else ())
            return await find_mx_hosts(config, Resolver(exchange, servers))

    try:
        return asyncio.run(find())
    except ConfigError:  # no name server on this machine
        return {}


def _test(settings: Settings, chosen: dict[str, AlertTo]) -> list[Tested]:
    from tlsrpt.notify.channels import send, way_of
    from tlsrpt.notify.wording import test_message
    from tlsrpt.store.telling import Delivery

    now = datetime.now(UTC)
    risks = _risks(settings, chosen, now)
    tested = []
    for name, to in chosen.items():
        message = test_message(name, now)
        way, trouble = "", ""
        try:
            way = way_of(to)
            for address in to.mail or ("",):
                delivery = Delivery(notice_id=0, recipient=name, address=address, made_at=now, tries=1, message=message)
                send(settings.config, delivery, now)
        except TlsrptError as error:
            trouble = str(error)
        tested.append(Tested(name=name, way=way, sent=not trouble, trouble=trouble, warnings=risks.get(name, ())))
    return tested


def _risks(settings: Settings, chosen: dict[str, AlertTo], now: datetime) -> dict[str, tuple[str, ...]]:
    """Where an alert may not arrive because of what it tells of."""
    from tlsrpt.core.errors import StoreError
    from tlsrpt.insight.incidents import LOOK_BACK, find_incidents
    from tlsrpt.notify.linting import own_mail
    from tlsrpt.notify.routing import depends
    from tlsrpt.store.sqlite import open_store

    today = now.date()
    incidents = []
    try:
        with open_store(settings.store_url) as store:
            incidents = find_incidents(store, since=today - LOOK_BACK, until=today, today=today)
    except StoreError:  # a test of ways works before there is a store
        pass
    hosts = _mx_hosts(settings.config)
    general = [f"{finding.message}: {finding.consequence}; {finding.fix}" for finding in own_mail(settings.config)]
    risks = {}
    for name, to in chosen.items():
        said = [
            f"{address} depends on what is failing now: {incident.headline} (tlsrpt incidents {incident.id})"
            for incident in incidents
            for address in depends(to, incident, hosts)
        ]
        risks[name] = tuple(said[:3] + (general if to.mail else []))
    return risks


# --- How it is drawn --------------------------------------------------------------------------------------------------


def _draw_recipients(settings: Settings, *, looked: bool) -> None:
    named = settings.config.alerts.named()
    if not named:
        draw.paragraph("Nobody is told: name someone in the configuration, as in [[alerts.to]].")
    elif not settings.quiet:
        draw.paragraph(f"Told: {', '.join(named)}.")
        if not looked:
            draw.paragraph("Nobody has looked yet: the service does, or `tlsrpt alerts run`.")


def _draw_listed(listed: list[Listed]) -> None:
    last = None
    for one in listed:
        if one.notice_id != last:
            click.echo()
            draw.paragraph(one.subject, "  ", f"{one.made_at:%Y-%m-%d %H:%M} ", {"bold": True})
            last = one.notice_id
        if not one.recipient:
            draw.paragraph(
                "nobody is told of this: see min_severity, domains and events of [[alerts.to]]", "    ", "  "
            )
            continue
        who = f"{one.recipient} ({one.address})" if one.address else one.recipient
        lead = f"  {one.state}: "
        draw.paragraph(f"{who}{_ending(one)}", "    ", lead, {"fg": STATE_COLOUR[one.state]})


def _ending(one: Listed) -> str:
    if one.sent_at is not None:
        return f", {one.sent_at:%Y-%m-%d %H:%M} UTC"
    if one.due_at is not None:
        return f", at {one.due_at:%Y-%m-%d %H:%M} UTC" + (f"; {one.trouble}" if one.trouble else "")
    return f"; {one.trouble}" if one.trouble else ""


def _draw_look(found: Look, settings: Settings) -> None:
    if not found.routed:
        if not settings.quiet:
            click.echo("Nothing to tell.")
        return
    for message, addresses in found.routed:
        who = ", ".join(f"{one.recipient} {one.address}".strip() for one in addresses)
        draw.heading(message.subject)
        draw.paragraph(f"To: {who or 'nobody: see min_severity, domains and events of [[alerts.to]]'}")
        click.echo()
        click.echo(message.text)


def _look_json(found: Look, sent: int, failed: int, dry_run: bool) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "first": found.news.first,
        "sent": sent,
        "not_sent": failed,
        "messages": [
            {
                "to": [{"name": one.recipient, "address": one.address, "due": one.due} for one in addresses],
                **_held(message),
            }
            for message, addresses in found.routed
        ],
    }


def _held(message: Any) -> dict[str, Any]:
    import msgspec

    held: dict[str, Any] = msgspec.json.decode(message.data)
    return held

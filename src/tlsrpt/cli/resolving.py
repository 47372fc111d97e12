"""Which name servers the verbs ask: `--resolver`, else those of this machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import click

if TYPE_CHECKING:
    from tlsrpt.dns.exchange import Server

P = ParamSpec("P")
R = TypeVar("R")
RESOLV_CONF = Path("/etc/resolv.conf")


class NameServer(click.ParamType["Server"]):
    """ADDRESS or ADDRESS@PORT."""

    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Server:
        from tlsrpt.core.errors import ConfigError
        from tlsrpt.dns.exchange import parse_server

        try:
            return parse_server(str(value))
        except ConfigError as error:
            self.fail(str(error), param, ctx)


def resolver_option(verb: Callable[P, R]) -> Callable[P, R]:
    """`--resolver`: name servers to ask instead of those in resolv.conf; arrives as a tuple."""
    return click.option(
        "--resolver",
        "resolvers",
        type=NameServer(),
        multiple=True,
        metavar="ADDRESS[@PORT]",
        help=f"Name server to ask; may be repeated. [default: those in {RESOLV_CONF}]",
    )(verb)


def name_servers(named: tuple[Server, ...]) -> tuple[Server, ...]:
    """The servers named, else those of this machine.

    Raises:
        ConfigError: there is none.
    """
    from tlsrpt.core.errors import ConfigError
    from tlsrpt.dns.resolver import parse_resolv_conf

    if named:
        return named
    try:
        found = parse_resolv_conf(RESOLV_CONF.read_text("utf-8", "replace"))
    except OSError as error:
        raise ConfigError(f"can't be read: {error.strerror}", where=str(RESOLV_CONF), fix="use --resolver") from error
    if not found:
        raise ConfigError("names no name server", where=str(RESOLV_CONF), fix="use --resolver ADDRESS")
    return found


def mx_hosts(domain: str, servers: tuple[Server, ...]) -> tuple[str, ...]:
    """The hosts that take a domain's mail, as DNS has them now.

    Raises:
        UsageError: DNS could not tell, or the domain takes no mail: then they have to be named.
    """
    import asyncio

    from tlsrpt.check.mail import MailRoute, mail_route
    from tlsrpt.dns.exchange import Exchange
    from tlsrpt.dns.resolver import Resolver

    async def ask() -> MailRoute:
        with Exchange() as exchange:
            return await mail_route(Resolver(exchange, servers), domain)

    route = asyncio.run(ask())
    if not route.hosts:
        why = route.detail or "DNS says that it takes no mail"
        raise click.UsageError(f"name each MX host of {domain} with --mx ({why})")
    return route.hosts

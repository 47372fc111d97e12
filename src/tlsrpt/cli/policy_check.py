"""`tlsrpt policy check`: the MTA-STS policy of a domain, looked at live."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from tlsrpt.cli import draw
from tlsrpt.cli.options import DomainName, json_option
from tlsrpt.cli.record_check import EACH_S, VERDICTS, draw_servers
from tlsrpt.cli.resolving import name_servers, resolver_option

if TYPE_CHECKING:
    from tlsrpt.check.policy import PolicyCheck
    from tlsrpt.dns.exchange import Server


@click.command("check")
@click.argument("domains", nargs=-1, required=True, type=DomainName(), metavar="DOMAIN...")
@resolver_option
@click.option("--private", is_flag=True, help="Connect to policy hosts at private addresses, too.")
@json_option
@click.pass_context
def command(
    ctx: click.Context, domains: tuple[str, ...], resolvers: tuple[Server, ...], private: bool, as_json: bool
) -> None:
    """Look at each DOMAIN's MTA-STS as a sender would: record, policy host, certificate, file, MX hosts.

    Exit 0 ok; 1 findings of severity warning or error; 2 wrong usage; 3 DNS could not tell.
    """
    servers = name_servers(resolvers)
    checks = asyncio.run(_check(domains, servers, private))
    for number, check in enumerate(checks):
        if as_json:
            draw.json_line(check)
            continue
        if number:
            click.echo()
        _draw_check(check)
    codes = {check.exit_code for check in checks}
    ctx.exit(1 if 1 in codes else 3 if 3 in codes else 0)


async def _check(domains: tuple[str, ...], servers: tuple[Server, ...], private: bool) -> list[PolicyCheck]:
    from tlsrpt.check.https import anywhere, is_public, system_trust
    from tlsrpt.check.many import run_in_order
    from tlsrpt.check.policy import check_policy, timed_out
    from tlsrpt.check.surroundings import Surroundings
    from tlsrpt.dns.exchange import Exchange
    from tlsrpt.dns.resolver import Resolver

    around = Surroundings(trust=system_trust(), allowed=anywhere if private else is_public)
    now = datetime.now(UTC)
    checks: list[PolicyCheck] = []

    async def one(domain: str) -> PolicyCheck:
        try:
            async with asyncio.timeout(EACH_S):
                return await check_policy(resolver, domain, around, now)
        except TimeoutError:
            return timed_out(domain, EACH_S)

    with Exchange() as exchange:
        resolver = Resolver(exchange, servers)
        await run_in_order(domains, one, checks.append, at_once=20)
    return checks


def _draw_check(check: PolicyCheck) -> None:
    from tlsrpt.core.domain import display_domain

    words, colour = VERDICTS[check.verdict]
    if check.found is False:
        words = "no MTA-STS record is published"
    click.echo(f"{draw.printable(display_domain(check.domain))}: " + click.style(words, fg=colour, bold=True))
    for text in check.record.input if check.record else ():
        draw.paragraph(text, "    ", first="  ")
    if check.policy is not None:
        click.echo(f"  https://mta-sts.{check.domain}/.well-known/mta-sts.txt")
        for line in check.policy.input[0].splitlines()[:40]:
            click.echo(f"    {draw.printable(line, 200)}")
    if check.mx:
        draw.paragraph(f"MX: {', '.join(check.mx)}", "    ", first="  ")
    click.echo(f"  DNSSEC: {check.dnssec}")
    draw_servers(check.servers, check.record.input if check.record else ())
    if check.findings:
        click.echo()
        draw.findings(check.findings)
    if check.corrected is not None:
        click.echo("\n  Corrected:")
        for line in check.corrected.splitlines():
            click.echo(f"    {draw.printable(line)}")

"""`tlsrpt policy check`: the MTA-STS policy of a domain, looked at live."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING

import click

from tlsrpt.cli import draw
from tlsrpt.cli.looking import VERDICTS, NoDomain, Output, asked, file_option
from tlsrpt.cli.options import csv_option, json_option
from tlsrpt.cli.record_check import EACH_S, draw_servers
from tlsrpt.cli.resolving import name_servers, resolver_option

if TYPE_CHECKING:
    from tlsrpt.check.policy import PolicyCheck
    from tlsrpt.dns.exchange import Server


COLUMNS = ("domain", "verdict", "found", "findings", "mode", "max_age", "record", "mx", "dnssec")


@click.command("check")
@click.argument("domains", nargs=-1, metavar="DOMAIN...")
@file_option
@resolver_option
@click.option("--private", is_flag=True, help="Connect to policy hosts at private addresses, too.")
@csv_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    domains: tuple[str, ...],
    file: IO[str] | None,
    resolvers: tuple[Server, ...],
    private: bool,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Look at each DOMAIN's MTA-STS as a sender would: record, policy host, certificate, file, MX hosts.

    Domains come as arguments, from --file, or from standard input, one a line.

    Exit 0 ok; 1 findings of severity warning or error; 2 wrong usage; 3 DNS could not tell.
    """
    if as_csv and as_json:
        raise click.UsageError("--csv or --json, not both")
    items = list(asked(domains, file))
    output = Output(len(items), _draw_check, COLUMNS, _row, as_csv=as_csv, as_json=as_json)
    asyncio.run(_check(items, name_servers(resolvers), private, output.add))
    ctx.exit(output.end())


async def _check(
    items: Iterable[str | NoDomain],
    servers: tuple[Server, ...],
    private: bool,
    deliver: Callable[[PolicyCheck], None],
) -> None:
    from tlsrpt.check.https import anywhere, is_public, system_trust
    from tlsrpt.check.many import run_in_order
    from tlsrpt.check.policy import check_policy, timed_out
    from tlsrpt.check.surroundings import Surroundings
    from tlsrpt.dns.exchange import Exchange
    from tlsrpt.dns.resolver import Resolver

    around = Surroundings(trust=system_trust(), allowed=anywhere if private else is_public)
    now = datetime.now(UTC)

    async def one(item: str | NoDomain) -> PolicyCheck:
        if not isinstance(item, str):
            return _no_domain(item)
        try:
            async with asyncio.timeout(EACH_S):
                return await check_policy(resolver, item, around, now)
        except TimeoutError:
            return timed_out(item, EACH_S)

    with Exchange() as exchange:
        resolver = Resolver(exchange, servers)
        await run_in_order(items, one, deliver, at_once=20)


def _no_domain(line: NoDomain) -> PolicyCheck:
    from tlsrpt.check.policy import PolicyCheck

    return PolicyCheck(
        input=(),
        verdict="unknown",
        findings=(line.finding,),
        corrected=None,
        domain=line.text,
        name="",
        servers=(),
        found=None,
    )


def _row(check: PolicyCheck) -> list[draw.Cell]:
    return [
        check.domain,
        check.verdict,
        {True: "true", False: "false", None: ""}[check.found],
        " ".join(finding.code for finding in check.findings if finding.severity != "info"),
        check.mode,
        check.max_age,
        " | ".join(check.record.input if check.record else ()),
        " ".join(check.mx),
        check.dnssec,
    ]


def _draw_check(check: PolicyCheck, *, alone: bool) -> None:
    from tlsrpt.core.domain import display_domain

    if not alone:
        click.echo()

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

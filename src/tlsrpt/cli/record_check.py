"""`tlsrpt record check`: the records of one domain or of thousands, looked at live."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING

import click

from tlsrpt.cli import draw
from tlsrpt.cli.looking import VERDICTS, NoDomain, Output, asked, file_option
from tlsrpt.cli.options import csv_option, json_option
from tlsrpt.cli.resolving import name_servers, resolver_option

if TYPE_CHECKING:
    from tlsrpt.check.record import RecordCheck
    from tlsrpt.check.servers import ServerAnswer
    from tlsrpt.check.surroundings import Surroundings
    from tlsrpt.dns.exchange import Server
    from tlsrpt.dns.resolver import Resolver

EACH_S = 90.0
COLUMNS = ("domain", "verdict", "found", "findings", "record", "corrected", "ttl", "dnssec", "cname")
MISPLACED = ("wrong-name", "zone-appended-twice", "at-bare-domain", "at-mx-host")


@click.command("check")
@click.argument("domains", nargs=-1, metavar="DOMAIN...")
@file_option
@resolver_option
@click.option("--record-only", is_flag=True, help="Ask for the record alone, nothing around it.")
@click.option("--probe", is_flag=True, help="Post a sample report to the https endpoints in rua.")
@click.option("--private", is_flag=True, help="Connect to endpoints at private addresses, too.")
@click.option(
    "--at-once", type=click.IntRange(1, 2000), help="Domains side by side. [default: 100; 250 with --record-only]"
)
@csv_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    domains: tuple[str, ...],
    file: IO[str] | None,
    resolvers: tuple[Server, ...],
    record_only: bool,
    probe: bool,
    private: bool,
    at_once: int | None,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Look at the record of each DOMAIN in DNS, at the servers that serve it, and at the places that it names.

    Domains come as arguments, from --file, or from standard input, one a line.

    Exit 0 ok; 1 findings of severity warning or error; 2 wrong usage; 3 DNS could not tell.
    """
    if as_csv and as_json:
        raise click.UsageError("--csv or --json, not both")
    if probe and record_only:
        raise click.UsageError("--probe posts to the endpoints, which --record-only leaves alone")
    items = list(asked(domains, file))
    if len(items) > 100:
        # Nothing here makes reference cycles; looking for them among thousands of tasks takes a third of the time.
        gc.freeze()
        gc.set_threshold(100_000, 50, 50)
    output = Output(len(items), draw_check, COLUMNS, _row, as_csv=as_csv, as_json=as_json)
    asyncio.run(_check(items, name_servers(resolvers), _surroundings(record_only, probe, private), at_once, output.add))
    ctx.exit(output.end())


# --- asking ----------------------------------------------------------------------------------------------------------


def _no_domain(line: NoDomain) -> RecordCheck:
    from tlsrpt.check.record import RecordCheck

    return RecordCheck(
        input=(),
        verdict="unknown",
        findings=(line.finding,),
        corrected=None,
        domain=line.text,
        name="",
        servers=(),
        found=None,
    )


def _surroundings(record_only: bool, probe: bool, private: bool) -> Surroundings | None:
    if record_only:
        return None
    from tlsrpt.check.https import anywhere, is_public, system_trust
    from tlsrpt.check.surroundings import Surroundings

    return Surroundings(
        trust=system_trust(),
        allowed=anywhere if private else is_public,
        probe=_sample_report if probe else None,
    )


def _sample_report(domain: str) -> bytes:
    from tlsrpt.check.probe import trial_report
    from tlsrpt.core.writing import gzip_report

    return gzip_report(trial_report(domain, datetime.now(UTC)))


async def _check(
    items: Iterable[str | NoDomain],
    servers: tuple[Server, ...],
    around: Surroundings | None,
    at_once: int | None,
    deliver: Callable[[RecordCheck], None],
) -> None:
    from tlsrpt.check.many import run_in_order
    from tlsrpt.check.record import check_record, check_record_only, timed_out
    from tlsrpt.dns.exchange import Exchange
    from tlsrpt.dns.resolver import Resolver

    async def one(item: str | NoDomain) -> RecordCheck:
        if not isinstance(item, str):
            return _no_domain(item)
        if around is None:
            return await check_record_only(resolver, item)
        try:
            async with asyncio.timeout(EACH_S):
                return await check_record(resolver, item, around)
        except TimeoutError:
            return timed_out(item, EACH_S)

    with Exchange() as exchange:
        resolver: Resolver = Resolver(exchange, servers)
        await run_in_order(items, one, deliver, at_once=at_once or (250 if around is None else 100))


# --- drawing ---------------------------------------------------------------------------------------------------------


def _row(check: RecordCheck) -> list[draw.Cell]:
    return [
        check.domain,
        check.verdict,
        {True: "true", False: "false", None: ""}[check.found],
        " ".join(finding.code for finding in check.findings if finding.severity != "info"),
        " | ".join(check.input),
        check.corrected,
        check.ttl,
        check.dnssec,
        " ".join(check.cname),
    ]


def draw_check(check: RecordCheck, *, alone: bool) -> None:
    """One domain: the verdict, the record, who says so, what is to be mended."""
    from tlsrpt.cli.lints import draw_place
    from tlsrpt.core.domain import display_domain

    words, colour = VERDICTS[check.verdict]
    if check.found is False:
        words = "no record is published"
    elif check.verdict == "ok" and check.exit_code:
        words, colour = "the record is ok, what is around it is not", "yellow"
    click.echo(f"{draw.printable(display_domain(check.domain))}: " + click.style(words, fg=colour, bold=True))
    elsewhere = next((finding.where for finding in check.findings if finding.code in MISPLACED), None)
    if elsewhere and check.input != check.servers[0].texts:
        click.echo(f"  found at {elsewhere}:")
    for text in check.input:
        draw.paragraph(text, "    ", first="  ")
    if alone:
        _draw_place(check)
    shown = [finding for finding in check.findings if alone or finding.severity != "info"]
    for finding in shown:
        click.echo()
        draw_place(check.input, finding)
        draw.findings([finding])
    if check.corrected is not None:
        click.echo("\n  Corrected, to be published as the only TXT record at " + check.name + ":")
        click.echo(f"    {draw.printable(check.corrected)}")
    if shown:
        click.echo()


def _draw_place(check: RecordCheck) -> None:
    if check.cname:
        draw.paragraph(f"CNAME: {' -> '.join([check.name, *check.cname])}", "    ", first="  ")
    facts = [f"TTL {check.ttl} s"] if check.ttl is not None else []
    facts.append(f"DNSSEC: {check.dnssec}")
    click.echo(f"  {', '.join(facts)}")
    draw_servers(check.servers, check.input)


def draw_servers(servers: tuple[ServerAnswer, ...], texts: tuple[str, ...]) -> None:
    """Who was asked, and what each said; `texts` are the records shown above the table."""
    if servers:
        click.echo()
        head = ("  asked", "address", "answer")
        draw.table(head, [_server_row(server, texts) for server in servers], flexible=(2,))


def _server_row(server: ServerAnswer, texts: tuple[str, ...]) -> list[draw.Cell]:
    words = {"nodata": "nothing there", "nxdomain": "no such name", "failure": f"not known: {server.detail}"}
    said = words.get(server.status) or ""
    if server.cname:
        said = f"CNAME {server.cname}" + (f", {said}" if said and not texts else "")
    elif server.status == "answer":
        said = (
            ("this record" if len(texts) == 1 else "these records")
            if server.texts == texts
            else " and ".join(server.texts)
        )
    name = "the resolver" if server.role == "resolver" else server.server
    return [f"  {name}", server.address, said]

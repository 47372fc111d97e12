"""`tlsrpt policy`: the _mta-sts record and the policy file, linted and made. Offline; `core.mtasts` knows the rules."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any

import click

from tlsrpt.cli import draw
from tlsrpt.cli.forms import draw_forms, form_options
from tlsrpt.cli.lazy import LazyGroup
from tlsrpt.cli.options import DomainName, json_option
from tlsrpt.cli.resolving import mx_hosts, name_servers, resolver_option
from tlsrpt.core.mtasts import MAX_AGE, MAX_POLICY_OCTETS, MODES, Mode
from tlsrpt.core.verdict import Lint

if TYPE_CHECKING:
    from tlsrpt.core.mtasts_setup import PolicyPlan
    from tlsrpt.dns.exchange import Server


class MxPattern(click.ParamType[str]):
    """An MX host, or `*.` and a domain; arrives as lower-case A-labels."""

    name = "host"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        star = "*." if value.startswith("*.") else ""
        return star + DomainName().convert(value.removeprefix("*."), param, ctx)


@click.group(cls=LazyGroup, further={"check": "tlsrpt.cli.policy_check"})
def command() -> None:
    """MTA-STS: the _mta-sts record and the policy file."""


@command.command()
@click.argument("texts", nargs=-1, metavar="TEXT...")
@click.option("--file", "file", type=click.File("rb"), metavar="F", help="Lint the whole of F; - is standard input.")
@click.option("--mx", "hosts", multiple=True, type=DomainName(), metavar="HOST", help="An MX host of the domain.")
@click.option("--zone-text", is_flag=True, help="TEXT is a record written as in a zone file or by dig.")
@json_option
@click.pass_context
def lint(
    ctx: click.Context,
    texts: tuple[str, ...],
    file: IO[bytes] | None,
    hosts: tuple[str, ...],
    zone_text: bool,
    as_json: bool,
) -> None:
    """Say what is wrong with the record or the policy file, and what to write instead.

    A TEXT is a policy file, or one of the TXT records at the _mta-sts name as DNS holds it; which one, its content
    tells. With --mx for each MX host of the domain, the policy is held against them.

    Exit 0 ok; 1 findings; 2 wrong usage.
    """
    from tlsrpt.cli.lints import draw_lints, what_is_given

    texts, file = what_is_given(texts, file)
    given = [_whole(file)] if file is not None else [os.fsencode(text) for text in texts]
    ctx.exit(draw_lints(_lints(given, hosts, zone_text), as_json=as_json))


def _whole(file: IO[bytes]) -> bytes:
    """The file; a record without the newline that ends its line, a policy as it is: there every octet counts."""
    from tlsrpt.core.mtasts import looks_like_policy

    data = file.read(2 * MAX_POLICY_OCTETS)
    return data if looks_like_policy(data.decode("utf-8", "backslashreplace")) else data.rstrip(b"\r\n")


def _lints(given: list[bytes], hosts: tuple[str, ...], zone_text: bool) -> Iterator[Lint]:
    """One result for the records together, one for each policy file."""
    from functools import partial

    from tlsrpt.core.mtasts import lint_policy, looks_like_policy
    from tlsrpt.core.mtasts_setup import fresh_id
    from tlsrpt.core.stsrecord import LABEL, lint_sts_record
    from tlsrpt.core.zonelint import lint_zone_text

    lint_record = partial(lint_sts_record, fresh_id=fresh_id(datetime.now(UTC)))
    decoded = [(data, data.decode("utf-8", "backslashreplace")) for data in given]
    records = [pair for pair in decoded if zone_text or not looks_like_policy(pair[1])]
    if records and zone_text:
        yield lint_zone_text([text for _, text in records], lint_record, LABEL)
    elif records:
        yield lint_record([data for data, _ in records])
    for pair in decoded:
        if pair not in records:
            yield lint_policy(pair[0], mx_hosts=hosts)


@command.command()
@click.argument("domain", type=DomainName())
@click.option(
    "--mx", "hosts", multiple=True, type=MxPattern(), metavar="HOST", help="Each MX host. [default: asked of DNS]"
)
@resolver_option
@click.option("--mode", type=click.Choice(MODES), default="testing", show_default=True, help="testing first.")
@click.option(
    "--max-age",
    type=click.IntRange(0, MAX_AGE),
    metavar="SECONDS",
    help="How long senders keep it. [default: 86400; for enforce 1209600]",
)
@click.option("--id", "policy_id", metavar="ID", help="Letters and digits. [default: the time, UTC]")
@click.option(
    "--old-max-age", type=click.IntRange(0, MAX_AGE), metavar="SECONDS", help="max_age of the policy published now."
)
@click.option(
    "--only",
    type=click.Choice(["record", "file", "nginx", "caddy", "apache"]),
    help="Print this one part and nothing else.",
)
@form_options
@json_option
def make(
    domain: str,
    hosts: tuple[str, ...],
    resolvers: tuple[Server, ...],
    mode: Mode,
    max_age: int | None,
    policy_id: str | None,
    old_max_age: int | None,
    only: str | None,
    places: tuple[str, ...],
    ttl: int,
    as_json: bool,
) -> None:
    """Write the record, the file, what a web server needs, and the steps in their order.

    The MX hosts are those in DNS now, unless --mx names them: name those that are to come as well. Begin with --mode
    testing; --mode none is for leaving.
    """
    from tlsrpt.core.mtasts import StsPolicy
    from tlsrpt.core.mtasts_setup import DEFAULT_MAX_AGE, fresh_id, plan_policy

    if mode != "none" and not hosts:
        hosts = mx_hosts(domain, name_servers(resolvers))
    age = DEFAULT_MAX_AGE[mode] if max_age is None else max_age
    policy = StsPolicy(mode=mode, max_age=age, mx=tuple(dict.fromkeys(hosts)))
    try:
        plan = plan_policy(domain, policy, policy_id=policy_id or fresh_id(datetime.now(UTC)), old_max_age=old_max_age)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--id") from None
    if as_json:
        draw.json_line(plan)
    elif only:
        click.echo(_part(plan, only).removesuffix("\n"))
    else:
        _draw_plan(plan, places, ttl)


def _part(plan: PolicyPlan, only: str) -> str:
    match only:
        case "record":
            return plan.record
        case "file":
            return plan.policy
        case "nginx" | "caddy" | "apache":
            return plan.web_servers[only]
    raise ValueError(only)


def _draw_plan(plan: PolicyPlan, places: tuple[str, ...], ttl: int) -> None:
    from tlsrpt.core.publish import TxtRecord
    from tlsrpt.core.stsrecord import LABEL

    draw.heading(f"Policy file, at {plan.url}")
    click.echo(plan.policy)
    draw.heading(f"TXT record, at {plan.record_name}")
    draw_forms(TxtRecord(label=LABEL, value=plan.record, domain=plan.domain, ttl=ttl), places or ("bind",))
    for server, snippet in plan.web_servers.items():
        click.echo()
        draw.heading(f"{server}: the file stands at {plan.path}")
        click.echo(snippet.removesuffix("\n"))
    _steps("Do this, in this order", plan.steps)
    if plan.steps != plan.leave:
        _steps("Later, to change MX hosts or the policy", plan.change)
        _steps("To leave MTA-STS", plan.leave)


def _steps(head: str, steps: tuple[str, ...]) -> None:
    click.echo()
    draw.heading(head)
    for number, step in enumerate(steps, 1):
        draw.paragraph(step, "   ", first=f"{number}. ")

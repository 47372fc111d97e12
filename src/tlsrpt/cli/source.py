"""`tlsrpt source`: the configured ways in, and whether each can be used."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click
from msgspec import Struct

from tlsrpt.cli import draw
from tlsrpt.cli.options import Settings, json_option, with_settings

if TYPE_CHECKING:
    from tlsrpt.config import AnySource, Placed
    from tlsrpt.store.values import SourceState


class Listed(Struct, frozen=True, kw_only=True):
    """A configured source (docs/json.md)."""

    name: str
    kind: str
    place: str
    running: bool
    state: SourceState | None  # as the service last wrote it down; None: it never did


class Tested(Struct, frozen=True, kw_only=True):
    """What came of testing a source (docs/json.md)."""

    name: str
    kind: str
    place: str
    works: bool
    lines: tuple[str, ...]  # what was seen
    error: str  # why it can't be used, "" where it can
    fix: str


@click.group()
def command() -> None:
    """The ways in that the configuration names: which, and whether each can be used."""


@command.command("list")
@json_option
@with_settings
def list_(as_json: bool, settings: Settings) -> None:
    """Each source, where it takes reports from, and how it does as far as the store knows."""
    from tlsrpt.insight.health import alive

    states, trouble = _states(settings)
    now = datetime.now(UTC)
    running = {state.name for state in alive(list(states.values()), now)}
    listed = [
        Listed(
            name=placed.name,
            kind=placed.kind,
            place=place_of(placed.source),
            running=placed.name in running,
            state=states.get(placed.name),
        )
        for placed in settings.config.source.placed()
    ]
    if as_json:
        for one in listed:
            draw.json_line(one)
        return
    if not listed:
        click.echo("No source is configured; `tlsrpt config example` shows how they are written.")
        return
    draw.table(("source", "kind", "where", "state"), [_row(one, now) for one in listed], flexible=(2, 3))
    if trouble and not settings.quiet:
        click.echo(f"How they do is not known: {trouble}", err=True)


def _states(settings: Settings) -> tuple[dict[str, SourceState], str]:
    """What the service last wrote down, by name; or why that can't be read."""
    from tlsrpt.core.errors import StoreError
    from tlsrpt.store.sqlite import open_store

    try:
        with open_store(settings.store_url) as store:
            return {state.name: state for state in store.source_states()}, ""
    except StoreError as error:
        return {}, draw.printable(str(error))


def _row(one: Listed, now: datetime) -> list[draw.Cell]:
    from tlsrpt.insight.health import ago

    if one.state is None or not one.running:
        return [one.name, one.kind, one.place, "not running"]
    trouble = f": {one.state.trouble}" if one.state.trouble else f" for {ago(now - one.state.since)}"
    return [one.name, one.kind, one.place, one.state.state + trouble]


@command.command()
@click.argument("names", nargs=-1, metavar="NAME...")
@click.option("--all", "all_", is_flag=True, help="Every source of the configuration.")
@click.option(
    "--within",
    "within_s",
    type=click.FloatRange(0, min_open=True),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="For each source.",
)
@json_option
@with_settings
@click.pass_context
def test(
    ctx: click.Context, names: tuple[str, ...], all_: bool, within_s: float, as_json: bool, settings: Settings
) -> None:
    """Look whether sources can be used: log in, count what waits, see whether an address is free. Changes nothing.

    Exit 0 all can; 1 one can't; 2 wrong usage or configuration.
    """
    import asyncio

    sources = {placed.name: placed for placed in settings.config.source.placed()}
    if bool(names) == all_:
        raise click.UsageError("name the sources, or write --all" + (f": {', '.join(sources)}" if sources else ""))
    for name in names:
        if name not in sources:
            known = ", ".join(sources) or "none"
            raise click.UsageError(f"no source is called {draw.printable(name, 100)!r}; there are: {known}")
    works = True

    def tell(tested: Tested) -> None:
        nonlocal works
        works = works and tested.works
        if as_json:
            draw.json_line(tested)
        else:
            _draw(tested)

    chosen = [sources[name] for name in (dict.fromkeys(names) or sources)]
    asyncio.run(_test_all(chosen, settings, within_s, tell))
    if not chosen and not as_json:
        click.echo("No source is configured; `tlsrpt config example` shows how they are written.")
    ctx.exit(0 if works else 1)


async def _test_all(chosen: list[Placed], settings: Settings, within_s: float, tell: Callable[[Tested], None]) -> None:
    """All side by side; told in their order."""
    import asyncio

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_test(one, settings, within_s)) for one in chosen]
        for task in tasks:
            tell(await task)


async def _test(placed: Placed, settings: Settings, within_s: float) -> Tested:
    import asyncio

    from tlsrpt.core.errors import TlsrptError
    from tlsrpt.service.building import build_source

    lines, error, fix = tuple[str, ...](), "", ""
    try:
        async with asyncio.timeout(within_s):
            lines = tuple(await build_source(placed.name, placed.source, settings.config.limits).test())
    except TlsrptError as problem:
        error, fix = ": ".join(filter(None, (problem.where, problem.what))), problem.fix
    except TimeoutError:
        error, fix = f"no answer within {within_s:g} s", "is there a firewall between? --within waits longer"
    return Tested(
        name=placed.name,
        kind=placed.kind,
        place=place_of(placed.source),
        works=not error,
        lines=lines,
        error=error,
        fix=fix,
    )


def _draw(tested: Tested) -> None:
    words, colour = ("can be used", "green") if tested.works else ("can't be used", "red")
    lead = f"{draw.printable(tested.name)} ({tested.kind}, {draw.printable(tested.place)}): "
    click.echo(lead + click.style(words, fg=colour, bold=True))
    for line in (*tested.lines, tested.error, tested.fix and f"Fix: {tested.fix}"):
        if line:
            draw.paragraph(line, "  ")


def place_of(source: AnySource) -> str:
    """Where a source takes reports from, in one line."""
    from tlsrpt.config import GraphSource, HttpsSource, ImapSource, LmtpSource, MaildirSource

    match source:
        case HttpsSource():
            return f"{source.listen}{source.path}"
        case LmtpSource():
            return f"{source.listen} for {', '.join(source.recipients)}"
        case MaildirSource():
            return source.path
        case ImapSource():
            return f"{source.folder} of {source.mailbox or source.user} at {source.host}"
        case GraphSource():
            return f"{source.folder} of {source.mailbox}"
    return f"{source.bucket}/{source.prefix}"

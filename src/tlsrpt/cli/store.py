"""`tlsrpt store`: how much is kept, whether it is sound, a copy of it, a newer schema, and age limits."""

from __future__ import annotations

import re
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import click

from tlsrpt.cli import draw
from tlsrpt.cli.options import Settings, json_option, today_option, with_settings


@click.group()
def command() -> None:
    """The store: size and counts, integrity, an online copy, migration, age limits."""


@command.command()
@json_option
@with_settings
def info(as_json: bool, settings: Settings) -> None:
    """Where it is, how large, what is in it, from when to when."""
    from tlsrpt.store.sqlite import open_store
    from tlsrpt.store.sqlite_upkeep import info as store_info

    with open_store(settings.store_url) as store:
        about = store_info(store)
    if as_json:
        draw.json_line(about)
        return
    days = f"{about.first_day} to {about.last_day}" if about.first_day else "none"
    lines: dict[str, Any] = {
        "store": about.path,
        "schema": about.schema,
        "size": f"{size_text(about.size_bytes)}, of it {size_text(about.packed_bytes)} documents "
        f"({size_text(about.raw_bytes)} as received)",
        "reports": f"{about.reports:,} from {draw.plural(about.senders, 'sender')} about "
        f"{draw.plural(about.domains, 'domain')}",
        "conflicts": f"{about.conflicts:,}",
        "quarantine": f"{about.quarantined:,} waiting",
        "failure rows": f"{about.failure_rows:,}",
        "days": days,
        "last received": f"{about.last_received:%Y-%m-%d %H:%M} UTC" if about.last_received else "never",
    }
    for name, text in lines.items():
        click.echo(f"{name + ':':15}{draw.printable(str(text))}")


@command.command()
@click.option("--raw", is_flag=True, help="Also unpack every kept document and compare its hash.")
@json_option
@with_settings
@click.pass_context
def check(ctx: click.Context, raw: bool, as_json: bool, settings: Settings) -> None:
    """Look for damage: the file, its references, and every tally counted again from the facts. Changes nothing.

    Exit 0 sound; 1 something is wrong.
    """
    from tlsrpt.store.sqlite import open_store
    from tlsrpt.store.sqlite_check import check as store_check

    with open_store(settings.store_url) as store:
        checked = store_check(store, raw=raw)
    if as_json:
        draw.json_line(checked)
    else:
        for problem in checked.problems:
            draw.paragraph(problem, "  ", "")
        verdict = draw.plural(len(checked.problems), "problem") if checked.problems else "sound"
        click.echo(f"{verdict}; {draw.plural(checked.reports, 'report')} counted again")
    ctx.exit(1 if checked.problems else 0)


@command.command()
@click.argument("target", type=click.Path(path_type=Path, dir_okay=False))
@json_option
@with_settings
def backup(target: Path, as_json: bool, settings: Settings) -> None:
    """Copy the store to a new file, while others read and write it."""
    from tlsrpt.store.sqlite import open_store
    from tlsrpt.store.sqlite_upkeep import backup as store_backup

    with open_store(settings.store_url) as store:
        size = store_backup(store, target)
    if as_json:
        draw.json_line({"path": str(target), "size_bytes": size})
    elif not settings.quiet:
        click.echo(f"{draw.printable(str(target))}: {size_text(size)}")


@command.command()
@json_option
@with_settings
def upgrade(as_json: bool, settings: Settings) -> None:
    """Bring the store to this program's schema, after a copy beside it."""
    from tlsrpt.store.sqlite_upkeep import upgrade_store

    done = upgrade_store(settings.store_url)
    if as_json:
        draw.json_line(done)
    elif done.before == done.after:
        click.echo(f"Schema {done.after}: nothing to do.")
    else:
        click.echo(f"Schema {done.before} is now {done.after}; the store as it was: {done.backup}")


@command.command()
@click.option("--raw-older-than", "raw_age", metavar="AGE", help="Forget bytes as received: 90d, 12w, 2y.")
@click.option("--facts-older-than", "facts_age", metavar="AGE", help="Forget reports and failure rows too; sums stay.")
@today_option
@json_option
@with_settings
def prune(raw_age: str | None, facts_age: str | None, today: date, as_json: bool, settings: Settings) -> None:
    """Forget what is old: they hold addresses. Sums stay for ever, and a forgotten report is still known."""
    from tlsrpt.store.sqlite import open_store
    from tlsrpt.store.sqlite_prune import prune as store_prune

    if not raw_age and not facts_age:
        raise click.UsageError("say what: --raw-older-than AGE, --facts-older-than AGE, or both")
    raw_before = _before(raw_age, today, "--raw-older-than")
    facts_before = _before(facts_age, today, "--facts-older-than")
    with open_store(settings.store_url) as store:
        done = store_prune(store, raw_before=raw_before, facts_before=facts_before)
    if as_json:
        draw.json_line(done)
    elif not settings.quiet:
        freed = "the file keeps its size" if done.freed_bytes is None else f"{size_text(done.freed_bytes)} freed"
        click.echo(
            f"Forgot the bytes of {draw.plural(done.documents, 'document')} and the facts of "
            f"{draw.plural(done.reports, 'report')}; {freed}."
        )


def _before(age: str | None, today: date, option: str) -> date | None:
    if age is None:
        return None
    parts = re.fullmatch(r"([1-9][0-9]{0,4})([dwy])", age)
    if not parts:
        raise click.BadParameter(f"{age!r} is no age; write 90d, 12w or 2y", param_hint=option)
    days = int(parts[1]) * {"d": 1, "w": 7, "y": 365}[parts[2]]
    return today - timedelta(days=min(days, (today - date.min).days))


def size_text(size: float) -> str:
    """Bytes in the unit that fits."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            break
        size /= 1024
    return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"

"""`tlsrpt ingest`: take reports in from files, mailboxes and archives, or one message from a mail alias."""

from __future__ import annotations

import gc
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tlsrpt.cli import draw
from tlsrpt.cli.options import Settings, json_option, with_settings

if TYPE_CHECKING:
    from tlsrpt.intake.files import Document, Unreadable
    from tlsrpt.intake.ingest import Item
    from tlsrpt.store.sqlite import Store

SHOWN = 20  # lines on what went wrong; the rest is counted
WORDS = {
    "new": "new",
    "known": "already known",
    "conflict": "conflict",
    "quarantined": "quarantined",
    "other": "no TLS report",
    "unreadable": "unreadable",
}


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(exists=True, allow_dash=True, path_type=Path), metavar="PATH...")
@click.option("--pipe", is_flag=True, help="Keep one message from standard input, for a mail alias; exit 0 or 75.")
@click.option(
    "--jobs",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Processes that read, beside the one that writes.",
)
@json_option
@with_settings
@click.pass_context
def command(
    ctx: click.Context, paths: tuple[Path, ...], pipe: bool, jobs: int, as_json: bool, settings: Settings
) -> None:
    """Take reports in and keep them, each counted once.

    PATH is a mail, an mbox, a Maildir, a report (.json, .json.gz), an archive (.zip, .tar.gz), a folder of all these,
    or - for standard input. What is no TLS report is left alone and counted.

    Exit 0; 1 when something was quarantined or could not be read; 2 wrong usage. With --pipe: 0 kept, 75 not kept.
    """
    if pipe:
        if paths or as_json:
            raise click.UsageError("--pipe reads one message from standard input and prints nothing")
        _pipe(settings)  # whatever goes wrong in there, `main` answers 75
        return
    if not paths:
        raise click.UsageError("name at least one PATH, or - for standard input")
    _rarely_look_for_cycles()
    with _open(settings) as store:
        items = _progress(_items(store, list(paths), settings, jobs), list(paths), settings.quiet or as_json)
        counts = _draw_json(items) if as_json else _draw_text(items, settings)
    ctx.exit(1 if counts["quarantined"] or counts["unreadable"] else 0)


def _rarely_look_for_cycles() -> None:
    """Thousands of rows wait in a batch, none of them in a cycle: to look through them takes a tenth of all time."""
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)


@contextmanager
def _open(settings: Settings) -> Iterator[Store]:
    from tlsrpt.store.sqlite import open_store

    with open_store(settings.store_url, create=True) as store:
        yield store


def _pipe(settings: Settings) -> None:
    from tlsrpt.intake.files import read_bounded
    from tlsrpt.intake.ingest import keep_message

    limits = settings.config.limits
    data = read_bounded(sys.stdin.buffer, limits)
    with _open(settings) as store:
        keep_message(store, data, source="pipe", limits=limits, now=datetime.now(UTC))


def _items(store: Store, paths: list[Path], settings: Settings, jobs: int) -> Iterator[Item]:
    from tlsrpt.intake.files import expand_stream, found
    from tlsrpt.intake.ingest import ingest

    limits = settings.config.limits

    def all_paths() -> Iterator[Document | Unreadable]:
        for path in paths:
            if str(path) == "-":
                yield from expand_stream(sys.stdin.buffer, "-", limits)
            else:
                yield from found([path], limits)

    return ingest(store, all_paths(), limits=limits, now=datetime.now(UTC), jobs=jobs)


def _progress(items: Iterator[Item], paths: list[Path], quiet: bool) -> Iterator[Item]:
    if quiet or not sys.stderr.isatty() or Path("-") in paths:
        yield from items
        return
    from tlsrpt.intake.files import files

    total = sum(Path(file).stat().st_size for path in paths for file in files(str(path)) if Path(file).exists())
    with click.progressbar(length=total, label="Reading", file=sys.stderr, show_eta=False) as bar:
        for item in items:
            bar.update(item.size)
            yield item


def _draw_text(items: Iterator[Item], settings: Settings) -> Counter[str]:
    counts: Counter[str] = Counter()
    told = 0
    for item in items:
        counts[item.outcome] += 1
        bad = item.outcome in ("conflict", "quarantined", "unreadable")
        if settings.verbose or (bad and told < SHOWN and not settings.quiet):
            told += bad
            draw.paragraph(
                f"{WORDS[item.outcome]}: {item.source}" + (f": {item.reason}" if item.reason else ""), "  ", ""
            )
    rest = sum(counts[word] for word in ("conflict", "quarantined", "unreadable")) - told
    if rest > 0 and not settings.quiet and not settings.verbose:
        click.echo(f"... and {draw.plural(rest, 'more such line')}; -v shows all")
    if not settings.quiet:
        _draw_summary(counts, settings)
    return counts


def _draw_summary(counts: Counter[str], settings: Settings) -> None:
    reports = counts["new"] + counts["known"] + counts["conflict"]
    words = [f"{counts[outcome]:,} {WORDS[outcome]}" for outcome in WORDS if counts[outcome]]
    click.echo(f"{draw.plural(reports, 'report')}: {', '.join(words) or 'nothing found'}")
    if counts["quarantined"]:
        click.echo("What could not be read is kept: tlsrpt quarantine list")
    if counts["new"]:
        click.echo("Next: tlsrpt incidents, tlsrpt summary")


def _draw_json(items: Iterator[Item]) -> Counter[str]:
    """One object, written as it comes, so that a long run needs no memory for its items."""
    counts: Counter[str] = Counter()
    click.echo('{"items":[', nl=False)
    comma = ""
    for item in items:
        counts[item.outcome] += 1
        click.echo(comma, nl=False)
        draw.json_line(
            {
                "source": item.source,
                "outcome": item.outcome,
                "report_id": item.report_id,
                "reason": item.reason or None,
                "id": item.id,
            }
        )
        comma = ","
    figures = ",".join(f'"{outcome}":{counts[outcome]}' for outcome in WORDS)
    click.echo(f"],{figures}}}")
    return counts

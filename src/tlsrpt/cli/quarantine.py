"""`tlsrpt quarantine`: TLS reports that could not be read: which, why, their bytes, and another try."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from tlsrpt.cli import draw
from tlsrpt.cli.options import Settings, csv_option, json_option, with_settings

if TYPE_CHECKING:
    from tlsrpt.store.answers import QuarantineEntry
    from tlsrpt.store.sqlite import Store

STATES = ("waiting", "released", "other", "pruned")


@click.group()
def command() -> None:
    """What could not be read is kept here with its bytes and the reason, and can be read again after an upgrade."""


@command.command("list")
@click.option("--state", type=click.Choice([*STATES, "all"]), default="waiting", show_default=True, help="Which ones.")
@json_option
@csv_option
@with_settings
def list_(state: str, as_json: bool, as_csv: bool, settings: Settings) -> None:
    """What is in quarantine, and why; the last one first."""
    from tlsrpt.store.reports import list_quarantine
    from tlsrpt.store.sqlite import open_store

    with open_store(settings.store_url) as store:
        entries = list_quarantine(store, state=None if state == "all" else state)  # type: ignore[arg-type]
    if as_json:
        for entry in entries:
            draw.json_line(entry)
        return
    head = ("id", "received", "state", "source", "reason")
    rows = [(e.id, f"{e.received_at:%Y-%m-%d}", e.state, _place(e), e.reason) for e in entries]
    if as_csv:
        draw.csv_rows(head, rows)
        return
    for entry in entries:
        lead = f"{entry.id}  "
        draw.paragraph(f"{entry.received_at:%Y-%m-%d} {_place(entry)}", "   ", lead, {"bold": True})
        draw.paragraph(f"{entry.state}: {entry.reason}", "   ")
    if not entries:
        click.echo("Nothing in quarantine." if state == "waiting" else f"Nothing in quarantine with state {state}.")
    elif not settings.quiet:
        click.echo("Bytes: tlsrpt quarantine show ID --raw. After an upgrade: tlsrpt quarantine retry")


@command.command()
@click.argument("id_", metavar="ID", type=click.IntRange(1))
@click.option("--raw", is_flag=True, help="The bytes as received.")
@json_option
@with_settings
def show(id_: int, raw: bool, as_json: bool, settings: Settings) -> None:
    """One entry: why it could not be read, where it came from, its bytes."""
    from tlsrpt.store.reports import quarantine_by_id, raw_of_quarantine
    from tlsrpt.store.sqlite import open_store

    with open_store(settings.store_url) as store:
        if raw:
            sys.stdout.buffer.write(raw_of_quarantine(store, id_))
            return
        entry = quarantine_by_id(store, id_)
    if as_json:
        draw.json_line(entry)
        return
    draw.heading(f"Quarantine {entry.id}")
    draw.paragraph(f"{entry.state}: {entry.reason}", "  ")
    draw.paragraph(f"from {_place(entry)}, {entry.received_at:%Y-%m-%d %H:%M} UTC, {entry.size_bytes:,} bytes", "  ")
    click.echo("  The bytes are no longer kept." if not entry.raw_kept else f"  tlsrpt quarantine show {id_} --raw")


@command.command()
@click.argument("ids", metavar="[ID...]", nargs=-1, type=click.IntRange(1))
@json_option
@with_settings
@click.pass_context
def retry(ctx: click.Context, ids: tuple[int, ...], as_json: bool, settings: Settings) -> None:
    """Read quarantined documents again, all that wait or those named; what can be read now is kept and counted.

    Exit 0; 1 when some still can't be read.
    """
    from tlsrpt.store.reports import list_quarantine, quarantine_by_id
    from tlsrpt.store.sqlite import open_store

    still = 0
    with open_store(settings.store_url) as store:
        entries = [quarantine_by_id(store, id_) for id_ in ids] if ids else list_quarantine(store)
        for entry in entries:
            state, reports = _retry(store, entry, settings) if entry.raw_kept else ("pruned", 0)
            still += state == "waiting"
            if as_json:
                draw.json_line({"id": entry.id, "state": state, "reports": reports})
            else:
                draw.paragraph(f"{_place(entry)}: {_OUTCOME[state]}", "   ", f"{entry.id}  ", {"bold": True})
    if not entries and not as_json:
        click.echo("Nothing in quarantine.")
    ctx.exit(1 if still else 0)


_OUTCOME: dict[str, str] = {
    "released": "read, and kept",
    "other": "no TLS report after all",
    "waiting": "still can't be read",
    "pruned": "its bytes are no longer kept",
}


def _retry(store: Store, entry: QuarantineEntry, settings: Settings) -> tuple[str, int]:
    from tlsrpt.intake.door import open_document
    from tlsrpt.store.reports import raw_of_quarantine
    from tlsrpt.store.rows import prepare

    arrival = open_document(
        raw_of_quarantine(store, entry.id),
        source=entry.source,
        file_name=entry.file_name or "",
        limits=settings.config.limits,
        received_at=datetime.now(UTC),
    )
    released = store.release(entry.id, prepare(arrival))
    return released.state, sum(kept.result != "quarantined" for kept in released.kept)


def _place(entry: Any) -> str:
    return f"{entry.source} ({entry.where})" if entry.where else str(entry.source)

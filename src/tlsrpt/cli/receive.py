"""`tlsrpt receive`: the ways in alone, or one look through the mailboxes."""

from __future__ import annotations

from pathlib import Path

import click

from tlsrpt.cli.options import service_options
from tlsrpt.cli.serving import find_config, make_service


@click.command()
@click.argument("names", nargs=-1, metavar="[SOURCE]...")
@click.option("--once", is_flag=True, help="Take in what waits in mailboxes and buckets, and end.")
@service_options
@click.pass_context
def command(
    ctx: click.Context, names: tuple[str, ...], once: bool, config_path: Path | None, store_url: str | None
) -> None:
    """Take reports in, by every source of the configuration or by those named.

    With --once, for cron or a systemd timer: each mailbox, Maildir and bucket is looked through once, and listeners are
    left out.

    Exit 0; 1 with --once when a source could not be looked through; 2 wrong usage or configuration; 3 the store can't
    be used.
    """
    import asyncio

    service = make_service(find_config(config_path), store_url, frozenset(names))
    if once:
        ctx.exit(0 if asyncio.run(service.drain()) else 1)
    asyncio.run(service.run())

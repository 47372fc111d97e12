"""`tlsrpt serve`: the service, day and night."""

from __future__ import annotations

from pathlib import Path

import click

from tlsrpt.cli.options import service_options
from tlsrpt.cli.serving import find_config, make_service


@click.command()
@service_options
def command(config_path: Path | None, store_url: str | None) -> None:
    """Take reports in by every way that the configuration names, and tell people of what is wrong, until told to stop.

    SIGTERM or Ctrl-C stops it in order, SIGHUP reads the configuration again. The log goes to standard error.

    Exit 0 when stopped; 2 wrong usage or configuration; 3 the store can't be used.
    """
    import asyncio

    asyncio.run(make_service(find_config(config_path), store_url, tells=True).run())

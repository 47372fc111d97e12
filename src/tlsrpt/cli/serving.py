"""What `serve` and `receive` share: the configuration as the service wants it; what to write where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from tlsrpt.cli.options import SYSTEM_CONFIG, store_url_of
from tlsrpt.cli.resolving import name_servers

if TYPE_CHECKING:
    from tlsrpt.config import Config
    from tlsrpt.service.running import Service, Settings

_BEGIN = """\
tlsrpt: nothing to do: {why}
To begin, write three lines into {path} (`tlsrpt config example` shows all there is), and start again:
    [[source.https]]
    listen = "127.0.0.1:8460"  # plain HTTP, for a proxy that passes https://HOST/v1/tlsrpt on
    # a mailbox, a Maildir, or a listener for your mail server: [[source.imap]], [[source.maildir]], [[source.lmtp]]
"""


class NothingToDoError(click.UsageError):
    """No configuration, or no source in it; says what to write to begin."""

    def __init__(self, why: str, path: Path) -> None:
        super().__init__(_BEGIN.format(why=why, path=path))

    def show(self, file: IO[Any] | None = None) -> None:
        """The lines as they are: no usage, no hint at --help."""
        click.echo(self.message, err=True, nl=False)


def find_config(path: Path | None) -> Path:
    """The configuration file: the one named, else the system's.

    Raises: NothingToDoError where there is none.
    """
    if path is not None:
        return path
    if not SYSTEM_CONFIG.exists():
        raise NothingToDoError(f"no --config FILE, and no {SYSTEM_CONFIG}", SYSTEM_CONFIG)
    return SYSTEM_CONFIG


def load_settings(path: Path, store_url: str | None, only: frozenset[str]) -> Settings:
    """Read the file as the service wants it.

    Raises:
        ConfigError: it can't be used.
        UsageError: it names no source, or none of the name in `only`.
    """
    from tlsrpt.cli.configuration import read_config
    from tlsrpt.dns.exchange import parse_server
    from tlsrpt.intake.owning import load_owned
    from tlsrpt.service.running import Settings

    config = read_config(path)
    named = config.source.named()
    if not named:
        raise NothingToDoError(f"{path} names no source", path)
    unknown = sorted(only - set(named))
    if unknown:
        raise click.UsageError(f"no source is called {unknown[0]!r}; there are: {', '.join(named)}")
    refuse_unfit_alerts(config, path)
    resolver = config.dns.resolver
    return Settings(
        config=config,
        sources={name: source for name, source in named.items() if not only or name in only},
        owned=load_owned(config.domains),
        store_url=store_url or store_url_of(config),
        name_servers=name_servers((parse_server(resolver),) if resolver else ()),
    )


def refuse_unfit_alerts(config: Config, path: Path) -> None:
    """Raise ConfigError where somebody could not be told: that is better known now than when it matters."""
    if not (config.alerts.to or config.digest.to):
        return
    from tlsrpt.core.errors import ConfigError
    from tlsrpt.notify.linting import lint_alerts

    for finding in lint_alerts(config):
        if finding.severity == "error":
            raise ConfigError(f"{finding.where}: {finding.message}", where=str(path), fix=finding.fix)


def make_service(
    path: Path, store_url: str | None, only: frozenset[str] = frozenset(), *, tells: bool = False
) -> Service:
    """The service that a configuration file describes; a store of an older tlsrpt is brought up to date first.

    Args:
        only: names of the sources to run; empty for all.
        tells: also send alerts and digests.
    Raises:
        ConfigError, UsageError: see `load_settings`; or the extra is missing.
        StoreError: the store can't be used at all.
    """
    from tlsrpt.core.errors import ConfigError

    try:
        from tlsrpt.service.logs import listen_to_libraries, make_log
        from tlsrpt.service.running import Service
        from tlsrpt.service.systemd import notifier
    except ImportError as error:
        raise ConfigError(f"needs {error.name}, which is not installed", fix="pip install 'tlsrpt[receive]'") from error
    from tlsrpt.store.sqlite_upkeep import upgrade_if_there

    settings = load_settings(path, store_url, only)
    log = make_log(settings.config.log)
    listen_to_libraries(log)
    backup = upgrade_if_there(settings.store_url)
    if backup:
        log.info("the store was brought up to date", backup=backup)
    return Service(settings, lambda: load_settings(path, store_url, only), log, notifier(), tells=tells)

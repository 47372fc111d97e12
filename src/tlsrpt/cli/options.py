"""Options that several verbs share, and the settings they make together with the configuration file."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import click
from msgspec import Struct

if TYPE_CHECKING:
    from tlsrpt.config import Config

P = ParamSpec("P")
R = TypeVar("R")
SYSTEM_CONFIG = Path("/etc/tlsrpt/tlsrpt.toml")


class Settings(Struct, frozen=True, kw_only=True):
    """What a verb needs to know of its surroundings."""

    config: Config
    store_url: str
    quiet: bool
    verbose: int


class Period(Struct, frozen=True, kw_only=True):
    """UTC days, both ends included."""

    since: date
    until: date
    today: date


def config_option(verb: Callable[P, R]) -> Callable[P, R]:
    """`--config` as it is, for verbs that read the file themselves."""
    return click.option(
        "--config",
        "config_path",
        type=click.Path(path_type=Path, dir_okay=False),
        envvar="TLSRPT_CONFIG",
        help=f"Configuration file. [default: {SYSTEM_CONFIG}, if there]",
    )(verb)


def service_options(verb: Callable[P, R]) -> Callable[P, R]:
    """`--store` and `--config` as they are."""
    return click.option(
        "--store", "store_url", metavar="URL", envvar="TLSRPT_STORE", help="The store: a path or sqlite:////path.db."
    )(config_option(verb))


def with_settings(verb: Callable[..., R]) -> Callable[..., R]:
    """Give a verb `--config`, `--store`, `-q`, `-v` and pass them, joined with the file, as `settings`."""

    @service_options
    @click.option("-q", "--quiet", is_flag=True, help="Say only what is asked for, no notes.")
    @click.option("-v", "--verbose", count=True, help="Say more.")
    @functools.wraps(verb)
    def wrapped(
        *args: Any, store_url: str | None, config_path: Path | None, quiet: bool, verbose: int, **kwargs: Any
    ) -> R:
        from tlsrpt.cli.configuration import read_config

        if config_path is None and SYSTEM_CONFIG.exists():
            config_path = SYSTEM_CONFIG
        config = read_config(config_path)
        settings = Settings(
            config=config,
            store_url=store_url or store_url_of(config),
            quiet=quiet,
            verbose=verbose,
        )
        return verb(*args, settings=settings, **kwargs)

    return wrapped


def store_url_of(config: Config) -> str:
    """Where reports are kept: as the file says, else in the platform's data directory."""
    return config.store.url or default_store()


def default_store() -> str:
    """Where reports are kept when nothing says otherwise: the platform's data directory."""
    from platformdirs import user_data_path

    return f"sqlite:///{user_data_path('tlsrpt', appauthor=False) / 'tlsrpt.db'}"


def json_option(verb: Callable[P, R]) -> Callable[P, R]:
    """`--json`: machine-readable output, whose keys are a promise (docs/json.md)."""
    return click.option("--json", "as_json", is_flag=True, help="JSON, for programs.")(verb)


def csv_option(verb: Callable[P, R]) -> Callable[P, R]:
    """`--csv`: the table as comma-separated values."""
    return click.option("--csv", "as_csv", is_flag=True, help="Comma-separated values, with a head line.")(verb)


def today_option(verb: Callable[..., R]) -> Callable[..., R]:
    """`--today DATE`, for a store of the past: the day from which `30d` counts back."""
    return click.option(
        "--today",
        type=Day(),
        metavar="DATE",
        default=lambda: os.environ.get("TLSRPT_TODAY") or datetime.now(UTC).date().isoformat(),
        help="The day taken for today (UTC). [default: today]",
    )(verb)


def period_options(default: str = "30d") -> Callable[[Callable[..., R]], Callable[..., R]]:
    """`--since`, `--until`, `--today`, passed on as one `period` of UTC days, both ends included."""

    def decorate(verb: Callable[..., R]) -> Callable[..., R]:
        @click.option(
            "--since",
            metavar="DATE|Nd",
            default=default,
            show_default=True,
            help="First UTC day, or a number of days up to the last: 30d, 12w.",
        )
        @click.option("--until", metavar="DATE|Nd", help="Last UTC day, included. [default: today]")
        @today_option
        @functools.wraps(verb)
        def wrapped(*args: Any, since: str, until: str | None, today: date, **kwargs: Any) -> R:
            return verb(*args, period=make_period(since, until, today), **kwargs)

        return wrapped

    return decorate


def make_period(since: str, until: str | None, today: date) -> Period:
    """The days meant by `--since` and `--until`: a day (2026-03-01) or so many days back (30d: 30 days, today in)."""
    last = _day(until, "--until", today) if until else today
    first = _day(since, "--since", last)
    if first > last:
        raise click.BadParameter(f"{first} is after {last}", param_hint="--since")
    return Period(since=first, until=last, today=today)


def _day(text: str, option: str, last: date) -> date:
    units = {"d": 1, "w": 7}
    if text[:-1].isdecimal() and text[-1:] in units:
        back = min(int(text[:-1][:7]) * units[text[-1]], (last - date.min).days)
        return last - timedelta(days=max(0, back - 1)) if option == "--since" else last - timedelta(days=back)
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no day; write 2026-03-01, 30d or 12w", param_hint=option) from None


class Day(click.ParamType[date]):
    """A UTC day, written 2026-03-01."""

    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        if isinstance(value, date):
            return value
        try:
            return date.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no day; write 2026-03-01", param, ctx)


class DomainName(click.ParamType[str]):
    """A domain as people write it; arrives as lower-case A-labels."""

    name = "domain"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from tlsrpt.core.domain import parse_domain
        from tlsrpt.core.errors import DomainError

        try:
            return parse_domain(value)
        except DomainError as error:
            self.fail(str(error), param, ctx)


def domain_option(verb: Callable[P, R]) -> Callable[P, R]:
    """`--domain`: one domain of ours, as the report's own or as the policy's."""
    return click.option("--domain", type=DomainName(), help="Only this domain (or MX host, for DANE).")(verb)

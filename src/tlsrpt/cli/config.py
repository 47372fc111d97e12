"""`tlsrpt config`: what is wrong with the configuration file, a sample of it, and the one in force."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import click
from msgspec import Struct

from tlsrpt.cli import draw
from tlsrpt.cli.options import SYSTEM_CONFIG, Settings, config_option, json_option, with_settings
from tlsrpt.core.findings import Finding

VERDICTS = {"ok": ("ok", "green"), "warning": ("usable, with a warning", "yellow"), "error": ("not usable", "red")}


class Checked(Struct, frozen=True, kw_only=True):
    """The result of `config check` (docs/json.md)."""

    file: str
    verdict: str
    findings: tuple[Finding, ...]
    sources: tuple[str, ...]  # the names of those that it describes; empty where it can't be read


@click.group()
def command() -> None:
    """The configuration file: check it, see a sample, see what is in force."""


@command.command()
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@json_option
@config_option
@click.pass_context
def check(ctx: click.Context, file: Path | None, config_path: Path | None, as_json: bool) -> None:
    """Say everything that is wrong with the file.

    That is FILE, else --config, else the system's. Keys, values, addresses, and whether the files that it names can be
    read. Nothing is bound or connected to: `tlsrpt source test` does that.

    Exit 0 usable, be it with warnings; 1 not usable; 2 wrong usage, or no file.
    """
    checked = _check(file or config_path or SYSTEM_CONFIG)
    if as_json:
        draw.json_line(checked)
    else:
        _draw(checked)
    ctx.exit(1 if checked.verdict == "error" else 0)


def _check(path: Path) -> Checked:
    from tlsrpt.cli.config_lint import lint_config
    from tlsrpt.cli.configuration import parse, read_text
    from tlsrpt.core.errors import ConfigError

    try:
        text = read_text(path)
    except ConfigError as error:
        if not path.exists():
            raise ConfigError(error.what, where=error.where, fix="`tlsrpt config example` writes one") from error
        finding = Finding(code="file-unreadable", severity="error", where="file", message=error.what, fix=error.fix)
        return Checked(file=str(path), verdict="error", findings=(finding,), sources=())
    parsed = parse(text)
    findings, names = parsed.faults, tuple[str, ...]()
    if parsed.config is not None:
        findings = tuple(lint_config(parsed.config, now=datetime.now(UTC), environment=os.environ))
        names = tuple(placed.name for placed in parsed.config.source.placed())
    severities = {finding.severity for finding in findings}
    verdict = "error" if "error" in severities else "warning" if "warning" in severities else "ok"
    return Checked(file=str(path), verdict=verdict, findings=findings, sources=names)


def _draw(checked: Checked) -> None:
    from msgspec.structs import replace

    from tlsrpt.cli.config_places import line_of

    words, colour = VERDICTS[checked.verdict]
    click.echo(f"{draw.printable(checked.file)}: " + click.style(words, fg=colour, bold=True))
    if checked.sources:
        draw.paragraph(f"{draw.plural(len(checked.sources), 'source')}: {', '.join(checked.sources)}", "  ")
    lines = _lines(Path(checked.file)) if checked.findings else {}
    for finding in checked.findings:
        line = line_of(lines, finding.where)
        click.echo()
        draw.findings([replace(finding, where=f"{finding.where} (line {line})") if line else finding])


def _lines(path: Path) -> dict[str, int]:
    from tlsrpt.cli.config_places import lines_of
    from tlsrpt.cli.configuration import read_text
    from tlsrpt.core.errors import ConfigError

    try:
        return lines_of(read_text(path))
    except ConfigError:
        return {}  # what is wrong with it is among the findings


@command.command()
@click.option("--short", is_flag=True, help="Only what is enough to begin.")
def example(short: bool) -> None:
    """Print a file with every key, its meaning and its default.

    It works as it stands.

    To begin: tlsrpt config example > /etc/tlsrpt/tlsrpt.toml
    """
    from tlsrpt.cli.config_text import beginning, sample

    click.echo(beginning() if short else sample(), nl=False)


@command.command()
@json_option
@with_settings
def show(as_json: bool, settings: Settings) -> None:
    """Print the configuration in force, as a file.

    Defaults and all; secrets are not in it.
    """
    from msgspec.structs import replace

    from tlsrpt.cli.config_text import effective, without_password

    store = replace(settings.config.store, url=without_password(settings.store_url))
    config = replace(settings.config, store=store)
    if as_json:
        draw.json_line(config)
    else:
        click.echo(effective(config), nl=False)

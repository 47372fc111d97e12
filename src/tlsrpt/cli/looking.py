"""Verbs that look at one domain or at thousands: where the domains come from, and how the results go out."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Generic, ParamSpec, Protocol, TypeVar

import click
from msgspec import Struct

from tlsrpt.cli import draw
from tlsrpt.core.findings import Finding

P = ParamSpec("P")
R = TypeVar("R")
VERDICTS = {
    "ok": ("ok", "green"),
    "warning": ("usable, with a warning", "yellow"),
    "ignored": ("ignored: senders act as if nothing were published", "red"),
    "unknown": ("unknown: DNS could not tell", "magenta"),
}


class NoDomain(Struct, frozen=True, kw_only=True):
    """A line of a list that is no domain name."""

    text: str
    finding: Finding


class Checked(Protocol):
    """The result of a check, as far as it is counted here."""

    @property
    def verdict(self) -> str: ...
    @property
    def exit_code(self) -> int: ...


Check = TypeVar("Check", bound=Checked)


def file_option(verb: Callable[P, R]) -> Callable[P, R]:
    """`--file`: domains from a file; without it and without arguments they come from standard input."""
    return click.option(
        "--file", type=click.File("r", errors="replace"), metavar="F", help="Domains, one a line; - is stdin."
    )(verb)


def asked(domains: tuple[str, ...], file: IO[str] | None) -> Iterator[str | NoDomain]:
    """The domains to look at: the arguments, then the lines of the file."""
    from tlsrpt.core.domain import parse_domain
    from tlsrpt.core.errors import DomainError

    for text in domains:
        try:
            yield parse_domain(text)
        except DomainError as error:
            raise click.BadParameter(str(error), param_hint="DOMAIN") from None
    if file is None and not domains:
        if sys.stdin.isatty():
            raise click.UsageError("name a domain, or --file with one a line")
        file = sys.stdin
    for number, line in enumerate(file or (), 1):
        text = line.strip()
        if text and not text.startswith("#"):
            try:
                yield parse_domain(text)
            except DomainError as error:
                why = draw.printable(str(error), 200)
                finding = Finding(code="domain-invalid", severity="error", where=f"line {number}", message=why)
                yield NoDomain(text=draw.printable(text, 255), finding=finding)


class Output(Generic[Check]):
    """Draws each result as it comes, keeps count, and knows the exit code at the end."""

    def __init__(
        self,
        total: int,
        draw_one: Callable[..., None],
        columns: Sequence[str],
        row: Callable[[Check], list[draw.Cell]],
        *,
        as_csv: bool,
        as_json: bool,
    ) -> None:
        self.total, self.as_csv, self.as_json = total, as_csv, as_json
        self.draw_one, self.columns, self.row = draw_one, columns, row
        self.codes: set[int] = set()
        self.counts: Counter[str] = Counter()
        self.progress = total > 1 and sys.stderr.isatty() and not sys.stdout.isatty()
        self.shown_at = 0.0
        self.rows: list[list[draw.Cell]] = []

    def add(self, check: Check) -> None:
        self.codes.add(check.exit_code)
        self.counts[check.verdict] += 1
        if self.as_json:
            draw.json_line(check)
        elif self.as_csv:
            self.rows.append(self.row(check))
        else:
            self.draw_one(check, alone=self.total == 1)
        if self.progress and time.monotonic() - self.shown_at > 0.2:
            self.shown_at = time.monotonic()
            click.echo(f"\r{self.counts.total():,} of {self.total:,} ", nl=False, err=True)

    def end(self) -> int:
        if self.progress:
            click.echo("\r" + " " * 40 + "\r", nl=False, err=True)
        if self.as_csv:
            draw.csv_rows(self.columns, self.rows)
        if self.total > 1 and not (self.as_json or self.as_csv):
            words = [f"{self.counts[verdict]:,} {verdict}" for verdict in VERDICTS if self.counts[verdict]]
            click.echo(f"\n{draw.plural(self.total, 'domain')}: {', '.join(words)}")
        # A fault that is certain says more than an answer that is missing.
        return 1 if 1 in self.codes else 3 if 3 in self.codes else 0

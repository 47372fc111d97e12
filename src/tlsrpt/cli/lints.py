"""Drawing what a linter said, and the exit code that follows: shared by `record`, `policy` and `tlsa`."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import IO

import click

from tlsrpt.cli import draw
from tlsrpt.core.findings import Finding
from tlsrpt.core.text import printable
from tlsrpt.core.verdict import Form, Lint, Place, read_place

LINE_OCTETS = 128 * 1024  # longer lines are cut: no TXT record is half as long, and the linter says so
VERDICTS = {
    "ok": "ok",
    "warning": "usable, with a warning",
    "ignored": "ignored: senders act as if nothing were published",
}
COLOURS = {"ok": "green", "warning": "yellow", "ignored": "red"}
FORMS: dict[Form, str] = {
    "dns": "read as DNS holds it; for text with quotes and escapes of a zone file: --zone-text",
    "zone-text": "read as zone text: quotes and escapes are not part of the value",
    "mta-sts-record": "read as the _mta-sts record, as DNS holds it",
    "mta-sts-policy": "read as a policy file",
    "tlsa": "read as TLSA records of one name",
}


def draw_lints(lints: Iterable[Lint], *, as_json: bool, lines: bool = False) -> int:
    """Draw each result as it comes and return the exit code: 1 once a finding asks for a change.

    Args:
        lines: the inputs are the lines of a file: number them, keep the good ones short, and count them at the end.
    """
    code, counts = 0, Counter[str]()
    for number, lint in enumerate(lints, 1):
        if any(finding.severity != "info" for finding in lint.findings):
            code = 1
        counts[lint.verdict] += 1
        if as_json:
            draw.json_line(lint)
        else:
            _draw_lint(lint, f"line {number}: " if lines else "")
    if lines and not as_json:
        words = [f"{counts[verdict]:,} {verdict}" for verdict in VERDICTS if counts[verdict]]
        click.echo(f"{draw.plural(counts.total(), 'line')}: {', '.join(words) or 'nothing to lint'}")
    return code


def _draw_lint(lint: Lint, lead: str) -> None:
    click.echo(lead + click.style(VERDICTS[lint.verdict], fg=COLOURS[lint.verdict], bold=True))
    if not lead:
        click.echo(f"({FORMS[lint.form]})")
    for finding in lint.findings:
        click.echo()
        draw_place(lint.input, finding)
        draw.findings([finding])
    if lint.corrected is not None:
        click.echo("\nCorrected:")
        for line in lint.corrected.splitlines():
            click.echo(f"  {printable(line)}")
    if lint.findings:
        click.echo()


def draw_place(texts: Sequence[str], finding: Finding) -> None:
    """The text that a finding speaks of, with a caret under the place."""
    place = read_place(finding.where)
    text = _text_at(texts, place) if place else None
    if place is None or text is None:
        return
    at = min(place.column - 1, len(text))
    room = draw.width() - 8
    start = max(0, at - room // 2) if len(text) > room else 0
    shown = printable(text[start : start + room])
    before = printable(text[start:at])
    click.echo(f"    {'…' if start else ''}{shown}{'…' if start + room < len(text) else ''}")
    click.echo(f"    {' ' if start else ''}{' ' * draw.cell_width(before)}" + click.style("^", bold=True))


def _text_at(texts: Sequence[str], place: Place) -> str | None:
    texts = texts[0].split("\n") if place.unit == "line" else texts
    return texts[place.number - 1] if place.number <= len(texts) else None


def what_is_given(texts: tuple[str, ...], file: IO[bytes] | None) -> tuple[tuple[str, ...], IO[bytes] | None]:
    """What is to be linted: a `-` alone is `--file -`, since no record is that short.

    Raises:
        UsageError: neither or both.
    """
    if file is None and texts == ("-",):
        return (), sys.stdin.buffer
    if (file is None) == (not texts):
        raise click.UsageError("give TEXTs, or --file F (or - alone for standard input), and not both")
    return texts, file


def bounded_lines(stream: IO[bytes]) -> Iterator[bytes]:
    """The lines of a stream without their line end; of a line that is too long, what is enough to say so."""
    while line := stream.readline(LINE_OCTETS):
        kept = line
        while not line.endswith(b"\n") and (line := stream.readline(LINE_OCTETS)):
            pass
        yield kept.removesuffix(b"\n").removesuffix(b"\r")

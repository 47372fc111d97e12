"""Drawing on the terminal: tables within its width, JSON Lines, CSV. What comes from outside is made harmless here."""

from __future__ import annotations

import csv
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click
import msgspec

from tlsrpt.core.findings import SENDERS_FAULT, Finding
from tlsrpt.core.text import printable as printable

Cell = str | int | float | None
SEVERITY_COLOUR = {"info": "cyan", "warning": "yellow", "error": "red"}


def width() -> int:
    """Columns to draw in: the terminal's, at most 120; 80 when piped."""
    return min(shutil.get_terminal_size((80, 24)).columns, 120) if sys.stdout.isatty() else 80


def json_line(value: Any) -> None:
    """Print one value as one line of JSON. Characters that could steer a terminal are written as escapes."""
    text = msgspec.json.encode(value).decode()
    if not text.isascii() or "\x7f" in text:
        text = "".join(c if c.isprintable() else _json_escape(c) for c in text)
    click.echo(text)


def _json_escape(char: str) -> str:
    code = ord(char)
    if code > 0xFFFF:
        code -= 0x10000
        return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
    return f"\\u{code:04x}"


def csv_rows(head: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    """Print CSV. A text that a spreadsheet would run as a formula gets an apostrophe before it."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(head)
    for row in rows:
        writer.writerow([_csv_cell(cell) for cell in row])


def _csv_cell(cell: Cell) -> Cell:
    if not isinstance(cell, str):
        return cell
    text = printable(cell)
    return f"'{text}" if text.lstrip()[:1] in ("=", "+", "-", "@") else text


def number(value: int) -> str:
    """A count with its thousands set apart: 12,345."""
    return f"{value:,}"


def percent(part: int, whole: int) -> str:
    """A share; a small one that is not nothing never reads 0 %, and one short of all never reads 100 %."""
    if not whole:
        return "-"
    share = 100 * part / whole
    if 0 < share < 0.1:
        return "<0.1 %"
    if 99.9 < share < 100:
        return ">99.9 %"
    return f"{share:.1f} %"


def plural(count: int, one: str, many: str = "") -> str:
    """1 session, 2 sessions."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def paragraph(text: str, indent: str = "", first: str | None = None, style: Mapping[str, Any] | None = None) -> None:
    """Print a text wrapped to the width, outside text made harmless; `first` leads its first line, in a style."""
    lead = printable(indent if first is None else first)
    lines = textwrap.wrap(
        printable(text),
        width(),
        initial_indent=lead,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    whole = "\n".join(lines) or lead.rstrip()
    if style and whole.startswith(lead):  # styled after wrapping: escapes take no columns
        whole = click.style(lead, **style) + whole[len(lead) :]
    click.echo(whole)


def heading(text: str) -> None:
    """Print a heading: bold on a terminal, underlined when piped."""
    click.secho(printable(text), bold=True)


def table(head: Sequence[str], rows: Sequence[Sequence[Cell]], *, flexible: Sequence[int] = (0,)) -> None:
    """Print a table within the width. Numbers stand to the right; flexible columns are shortened when room lacks."""
    texts = [[_text(cell) for cell in row] for row in rows]
    right = [bool(rows) and all(_is_figure(row[i]) for row in rows) for i in range(len(head))]
    widths = [max([cell_width(head[i]), *(cell_width(row[i]) for row in texts)]) for i in range(len(head))]
    spare = sum(widths) + 2 * (len(widths) - 1) - width()
    for i in sorted(flexible, key=lambda i: -widths[i]) if spare > 0 else ():
        cut = min(spare, max(0, widths[i] - 12))
        widths[i] -= cut
        spare -= cut
    click.secho(_row(list(head), widths, right), bold=True)
    for row in texts:
        click.echo(_row(row, widths, right))


def _row(cells: list[str], widths: list[int], right: list[bool]) -> str:
    return "  ".join(_fit(cell, w, r) for cell, w, r in zip(cells, widths, right, strict=True)).rstrip()


def _is_figure(cell: Cell) -> bool:
    if not isinstance(cell, str):
        return True
    return cell == "-" or cell.removesuffix(" %").lstrip("<>").replace(",", "").replace(".", "").isdecimal()


def _text(cell: Cell) -> str:
    if cell is None:
        return ""
    return number(cell) if isinstance(cell, int) else printable(str(cell))


def _fit(text: str, columns: int, to_right: bool) -> str:
    if cell_width(text) > columns:
        while text and cell_width(text) > columns - 1:
            text = text[:-1]
        text += "…"
    pad = " " * (columns - cell_width(text))
    return pad + text if to_right else text + pad


def cell_width(text: str) -> int:
    """Columns that a text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def findings(items: Sequence[Finding], indent: str = "  ") -> None:
    """Print findings one block each: what and where, what follows, what to do."""
    for item in items:
        lead = f"{indent}{item.severity}: "
        colour = {"fg": SEVERITY_COLOUR[item.severity]}
        paragraph(f"{item.code} at {item.where}: {item.message}", indent + "  ", lead, colour)
        if item.consequence:
            paragraph(item.consequence, indent + "  ")
        if item.fix and item.fix != SENDERS_FAULT:
            paragraph(f"Fix: {item.fix}", indent + "  ")

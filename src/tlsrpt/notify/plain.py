"""Blocks as plain text, for mail and for the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from tlsrpt.core.text import printable
from tlsrpt.notify.blocks import Block, Cell, Footnote, Heading, Item, Named, Paragraph, Table

WIDTH = 72  # as mail is written
_BAR = 20  # characters of the longest bar
_NARROWEST = 12  # of a column that is shortened


def text_of(title: str, blocks: Iterable[Block]) -> str:
    """The whole text, with a line break at its end."""
    lines = [printable(title), "=" * min(WIDTH, len(printable(title))), ""]
    for block in blocks:
        lines += [*_lines(block), ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def _lines(block: Block) -> list[str]:
    match block:
        case Heading():
            text = printable(block.text)
            return [text, "-" * min(WIDTH, len(text))]
        case Paragraph() | Footnote():
            return _wrapped(block.text, "", "")
        case Item():
            lines = _wrapped(block.title, "* ", "  ")
            for name, text in block.said:
                lines += _wrapped(f"{name}: {text}", "  ", "    ")
            return [*lines, f"    {printable(block.command)}"] if block.command else lines
        case Table():
            return _table(block)


def _wrapped(text: str, first: str, indent: str) -> list[str]:
    return textwrap.wrap(
        printable(text),
        WIDTH,
        initial_indent=first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _table(table: Table) -> list[str]:
    """The table as columns; without bars where they leave no room."""
    head = tuple(map(printable, table.head))
    rows = [head, *(tuple(_cell(cell, _BAR) for cell in row) for row in table.rows)]
    if _width(rows) > WIDTH:
        rows = [head, *(tuple(_cell(cell, 0) for cell in row) for row in table.rows)]
    widths = _widths(rows)
    widths[0] = max(_NARROWEST, widths[0] - max(0, _width(rows) - WIDTH))
    lines = [
        "  ".join(_fit(cell, widths[n], n in table.figures) for n, cell in enumerate(row)).rstrip() for row in rows
    ]
    return [*_wrapped(f"{table.caption}:", "", ""), *lines]


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*rows, strict=True)]


def _width(rows: Sequence[Sequence[str]]) -> int:
    widths = _widths(rows)
    return sum(widths) + 2 * (len(widths) - 1)


def _cell(cell: Cell, longest: int) -> str:
    if isinstance(cell, Named):
        return printable(f"{cell.name} ({cell.note})")
    if isinstance(cell, str):
        return printable(cell)
    length = max(1, round(longest * cell.share)) if longest and cell.share > 0 else 0
    return f"{'#' * length} {printable(cell.figure)}".strip()


def _fit(text: str, width: int, to_right: bool) -> str:
    cut = text if len(text) <= width else f"{text[: width - 1]}…"
    return cut.rjust(width) if to_right else cut.ljust(width)

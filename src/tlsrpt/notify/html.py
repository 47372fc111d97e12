"""Blocks as HTML for mail: what mail clients leave of a page is enough for it.

Tables and inline styles only, since many clients strip <style>; no picture, no link, no script, nothing from elsewhere.
Words have no colour of their own and no ground: they take those of the reader's client, light or dark. Colour is in
bars and edges alone, in tones that stand out on white and on black, and says nothing that words beside it do not say.

Built by hand: one page needs no template engine, which would be one more package for who only wants a mail. What is put
into a tag goes through `escaped`, which makes `Html` of a text; all other `Html` is written in this file.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import NewType

from tlsrpt.core.text import printable
from tlsrpt.notify.blocks import Bar, Block, Cell, Footnote, Heading, Item, Named, Paragraph, Table, Tone

Html = NewType("Html", str)

WIDTH_PX = 600
_EDGE = "#8c959f"
_TONE: dict[Tone, str] = {"bad": "#d1242f", "unsure": "#bf8700", "good": "#2da44e"}
_FONT = "font-family:-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif;"
_SIZE = "font-size:15px;line-height:22px;"
_SMALL = "font-size:13px;line-height:19px;"
_MONO = "font-family:ui-monospace,Consolas,Menlo,monospace;"
_WRAP = "word-break:break-word;overflow-wrap:anywhere;"
_LAYOUT = 'role="presentation" cellpadding="0" cellspacing="0" border="0"'


def escaped(text: str) -> Html:
    """A text as text, whatever stands in it: markup, quotes, characters that can't be seen."""
    return Html(escape(printable(text), quote=True))


def page(title: str, preheader: str, blocks: Iterable[Block]) -> Html:
    """A whole page.

    Args:
        preheader: what a list of mails shows beside the subject; not seen in the mail itself.
    """
    return Html(
        f'<!DOCTYPE html>\n<html lang="en" dir="ltr" style="color-scheme:light dark">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="supported-color-schemes" content="light dark">\n'
        f"<title>{escaped(title)}</title>\n</head>\n"
        '<body style="margin:0;padding:0">\n'
        '<div style="display:none;max-height:0;overflow:hidden;mso-hide:all;font-size:1px;line-height:1px">'
        f"{escaped(preheader)}</div>\n"
        f'<table {_LAYOUT} width="100%"><tr><td align="center" style="padding:16px 12px">\n'
        f'<table {_LAYOUT} width="{WIDTH_PX}" style="width:100%;max-width:{WIDTH_PX}px;{_FONT}{_SIZE}text-align:left">'
        f"<tr><td>\n"
        f'<h1 style="margin:0 0 12px;font-size:21px;line-height:28px;{_WRAP}">{escaped(title)}</h1>\n'
        f"{''.join(map(_block, blocks))}</td></tr></table>\n</td></tr></table>\n</body>\n</html>\n"
    )


def _block(block: Block) -> Html:
    match block:
        case Heading():
            style = f"margin:24px 0 8px;padding:0 0 4px;font-size:17px;line-height:24px;border-bottom:1px solid {_EDGE}"
            return Html(f'<h2 style="{style}">{escaped(block.text)}</h2>\n')
        case Paragraph(tone=None):
            return Html(f'<p style="margin:0 0 12px;{_WRAP}">{escaped(block.text)}</p>\n')
        case Paragraph(tone=tone):
            inner = Html(f'<p style="margin:0;{_WRAP}"><strong>{escaped(block.text)}</strong></p>')
            return _edged(inner, tone)
        case Item():
            return _edged(_item(block), block.tone)
        case Table():
            return _table(block)
        case Footnote():
            return Html(f'<p style="margin:12px 0 0;{_SMALL}{_WRAP}">{escaped(block.text)}</p>\n')


def _edged(inner: Html, tone: Tone | None) -> Html:
    """A part with an edge at its left, in its tone."""
    edge = _TONE[tone] if tone else _EDGE
    style = f"border-left:4px solid {edge};padding:4px 0 4px 12px"
    return Html(
        f'<table {_LAYOUT} width="100%" style="margin:0 0 14px"><tr><td style="{style}">{inner}</td></tr></table>\n'
    )


def _item(item: Item) -> Html:
    lines = [Html(f'<h3 style="margin:0 0 4px;{_SIZE}{_WRAP}">{escaped(item.title)}</h3>')]
    lines += [
        Html(f'<p style="margin:0 0 4px;{_WRAP}"><strong>{escaped(name)}:</strong> {escaped(text)}</p>')
        for name, text in item.said
    ]
    if item.command:
        lines.append(Html(f'<p style="margin:0;{_MONO}{_SMALL}{_WRAP}">{escaped(item.command)}</p>'))
    return Html("".join(lines))


def _table(table: Table) -> Html:
    head = "".join(
        f'<th scope="col" style="{_cell_style(n in table.figures)}{_SMALL}">{escaped(text)}</th>'
        for n, text in enumerate(table.head)
    )
    rows = "".join(f"<tr>{_row(row, table.figures)}</tr>\n" for row in table.rows)
    caption = f'<caption style="padding:0 0 4px;text-align:left;{_SMALL}{_WRAP}">{escaped(table.caption)}</caption>'
    return Html(
        '<table cellpadding="0" cellspacing="0" border="0" width="100%"'
        f' style="margin:0 0 14px;border-collapse:collapse">{caption}\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{rows}</tbody></table>\n"
    )


def _row(row: Sequence[Cell], figures: frozenset[int]) -> Html:
    """A row; beside a bar its head keeps its width, however long a name is."""
    width = "width:45%;" if any(isinstance(cell, Bar) for cell in row) else ""
    cells = []
    for n, cell in enumerate(row):
        style = _cell_style(n in figures)
        match cell:
            case Bar():
                cells.append(f'<td style="{style}width:55%">{_bar(cell)}</td>')
            case Named():
                note = f'<br><span style="{_SMALL}">{escaped(cell.note)}</span>'
                wrap = f"{width}{_WRAP}font-weight:normal"
                cells.append(f'<th scope="row" style="{style}{wrap}">{escaped(cell.name)}{note}</th>')
            case _ if n == 0:
                cells.append(f'<th scope="row" style="{style}{width}font-weight:normal">{escaped(cell)}</th>')
            case _:
                cells.append(f'<td style="{style}">{escaped(cell)}</td>')
    return Html("".join(cells))


def _cell_style(figure: bool) -> Html:
    aligned = "text-align:right;" if figure else "text-align:left;"
    return Html(f"padding:4px 8px 4px 0;border-bottom:1px solid {_EDGE};vertical-align:middle;{aligned}")


def _bar(bar: Bar) -> Html:
    """A bar of two cells, the first in its tone; its figure comes after, so that nothing is lost without colours."""
    full = 35  # percent of the cell's width: the rest is the figure's, on a telephone, too
    length = min(full, max(1, round(full * bar.share))) if bar.share > 0 else 0
    filled = f'<td width="{length}%" style="background-color:{_TONE[bar.tone]};height:12px;font-size:1px">&nbsp;</td>'
    return Html(
        f'<table {_LAYOUT} width="100%"><tr>{filled if length else ""}'
        f'<td width="{100 - length}%" style="padding:0 0 0 {8 if length else 0}px;{_SMALL}">'
        f"{escaped(bar.figure)}</td></tr></table>"
    )

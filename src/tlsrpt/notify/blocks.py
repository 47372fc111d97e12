"""What a message consists of, before it is HTML or text: both are drawn from the same blocks and say the same.

Texts come from reports, too, and are hostile: the two that draw (html.py, plain.py) make each of them harmless, and
nobody else has to think of it. Colour and bars only repeat what words and figures beside them say.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Tone = Literal["bad", "unsure", "good"]


class Heading(Struct, frozen=True, kw_only=True):
    """What follows is about this."""

    text: str


class Paragraph(Struct, frozen=True, kw_only=True):
    """A sentence or two; with a tone the one that matters most."""

    text: str
    tone: Tone | None = None


class Item(Struct, frozen=True, kw_only=True):
    """One thing of several: what it is, what is said of it under which name, and a command that tells more."""

    title: str
    said: tuple[tuple[str, str], ...] = ()  # name, sentence
    command: str = ""
    tone: Tone | None = None


class Bar(Struct, frozen=True, kw_only=True):
    """A share of the longest bar of its table, and the figure that it stands for."""

    share: float  # 0 to 1
    figure: str
    tone: Tone = "bad"


class Named(Struct, frozen=True, kw_only=True):
    """What a row is about, and a word on it."""

    name: str
    note: str


Cell = str | Bar | Named


class Table(Struct, frozen=True, kw_only=True):
    """Rows under heads. The first cell of a row is what the row is about."""

    caption: str  # what it shows
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    figures: frozenset[int] = frozenset()  # columns whose cells are figures


class Footnote(Struct, frozen=True, kw_only=True):
    """What explains the rest."""

    text: str


Block = Heading | Paragraph | Item | Table | Footnote

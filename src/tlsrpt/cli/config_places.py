"""In which line of a TOML file a setting stands, for people who look for it. Python's parser does not tell.

Read as files are written by hand: headings and keys at the beginning of a line. What is written otherwise (inline
tables, dotted keys) is found by its table, and where that fails too nothing is said.
"""

from __future__ import annotations

import re
from collections import Counter

_HEADING = re.compile(r"\s*(\[\[?)\s*([A-Za-z0-9_.-]+)\s*\]")
_KEY = re.compile(r"\s*([A-Za-z0-9_-]+)\s*=")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"|\'[^\']*\'')
_LAST = re.compile(r"(?:\[\d+\]|\.[^.\[\]]*)$")
_LONG = re.compile(r'"""|\'\'\'')


def line_of(lines: dict[str, int], where: str) -> int | None:
    """The line of a place such as `source.https[2].listen`, else of its table; None where neither is known."""
    while where:
        if where in lines:
            return lines[where]
        where = _LAST.sub("", where, count=1) if _LAST.search(where) else ""
    return None


def lines_of(text: str) -> dict[str, int]:
    """Each heading and key with its line, counted from 1; tables of which there are many are counted, too."""
    lines: dict[str, int] = {}
    counts: Counter[str] = Counter()
    table, depth, closing = "", 0, ""
    for number, line in enumerate(text.split("\n"), 1):
        if closing:  # within a text of several lines
            _, found, line = line.partition(closing)
            if not found:
                continue
            closing = ""
        elif not depth:
            heading, key = _HEADING.match(line), _KEY.match(line)
            if heading:
                table = _numbered(heading[2], heading[1] == "[[", counts)
                lines.setdefault(table, number)
                continue
            if key:
                lines.setdefault(f"{table}.{key[1]}".lstrip("."), number)
        opening = _LONG.search(line)
        if opening and opening[0] not in line[opening.end() :]:
            line, closing = line[: opening.start()], opening[0]
        plain = _STRING.sub("", line).partition("#")[0]
        depth = max(0, depth + plain.count("[") - plain.count("]"))
    return lines


def _numbered(path: str, many: bool, counts: Counter[str]) -> str:
    """A heading's path with the number of each table of which there are many."""
    counts[path] += many
    numbered = ""
    for name in path.split("."):
        numbered = f"{numbered}.{name}".lstrip(".")
        plain = re.sub(r"\[\d+\]", "", numbered)
        if counts[plain]:
            numbered += f"[{counts[plain]}]"
    return numbered

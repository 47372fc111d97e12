"""Many rows by few statements.

`executemany` steps once a row, and at each step Python's module gives the interpreter up; in the service's writing
thread, beside a busy event loop, it takes up to a switch interval to get it back. One statement of 64 rows steps once.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

_SIZES = (64, 32, 16, 8, 4, 2, 1)  # rows in one statement: few steps for any number, few statements to prepare
_MARKS = " VALUES ("


def insert(db: sqlite3.Connection, statement: str, rows: Sequence[Sequence[Any]]) -> None:
    """Run `INSERT ... VALUES (?, ?, ...)`, whatever follows it, for these rows, in their order."""
    if not rows:
        return
    most = db.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER) // len(rows[0])
    for size, some in _pieces(rows, most):
        db.execute(_for_rows(statement, size), list(chain.from_iterable(some)))


def _pieces(rows: Sequence[Sequence[Any]], most: int) -> Iterator[tuple[int, Sequence[Sequence[Any]]]]:
    at = 0
    for size in _SIZES:
        while size <= most and len(rows) - at >= size:
            yield size, rows[at : at + size]
            at += size


@lru_cache(maxsize=100)
def _for_rows(statement: str, rows: int) -> str:
    head, marks, rest = statement.partition(_MARKS)
    row, closing, tail = rest.partition(")")
    return head + marks + "), (".join([row] * rows) + closing + tail

"""Many rows by few statements: the same rows, in the same order, whatever their number."""

from __future__ import annotations

import sqlite3

from hypothesis import given
from hypothesis import strategies as st

from tlsrpt.store.sqlite_rows import insert


@given(st.integers(0, 300), st.integers(4, 999))
def test_every_row_arrives_once_and_in_order(count: int, variables: int) -> None:
    """SQLite before 3.32 takes 999 values in one statement; a build may take fewer."""
    db = sqlite3.connect(":memory:")
    db.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, variables)
    db.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, a, b, c)")
    rows = [(n % 7, f"row ({n})", None) for n in range(count)]
    insert(db, "INSERT INTO t (a, b, c) VALUES (?, ?, ?)", rows)
    assert db.execute("SELECT a, b, c FROM t ORDER BY n").fetchall() == rows


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 9)), max_size=200))
def test_rows_that_meet_one_that_is_there_add_up_even_within_a_statement(rows: list[tuple[int, int]]) -> None:
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE t (k INTEGER PRIMARY KEY, n)")
    insert(db, "INSERT INTO t (k, n) VALUES (?, ?) ON CONFLICT (k) DO UPDATE SET n = n + excluded.n", rows)
    sums: dict[int, int] = {}
    for key, n in rows:
        sums[key] = sums.get(key, 0) + n
    assert dict(db.execute("SELECT k, n FROM t").fetchall()) == sums

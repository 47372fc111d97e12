"""When reports came in, for `health`: asked by probes, every minute, of stores of any size.

Reports are numbered without gaps in the order in which they are kept, and are never removed (pruning leaves what
recognises them). So a look at a few dozen rows tells how many came since a moment.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from tlsrpt.store.days import from_seconds
from tlsrpt.store.rows import seconds
from tlsrpt.store.sqlite import Store


class Arrivals(Struct, frozen=True, kw_only=True):
    """Reports by when they came; a report that came again is not new."""

    last: datetime | None  # None: there is none at all
    since: tuple[int, ...]  # how many since each of the moments asked for
    foreign: int  # of all there are, those for domains that are not ours


def arrivals(store: Store, since: Sequence[datetime]) -> Arrivals:
    """When the last report came, and how many came since some moments.

    Raises: StoreError, as all that reads.
    """
    with store.snapshot() as db:
        first, last = db.execute("SELECT min(id), max(id) FROM report").fetchone()
        (foreign,) = db.execute("SELECT count(*) FROM report WHERE foreign_ = 1").fetchone()
        if last is None:
            return Arrivals(last=None, since=(0,) * len(since), foreign=0)
        return Arrivals(
            last=from_seconds(_received_at(db, last)),
            since=tuple(last + 1 - _first_since(db, first, last, seconds(moment)) for moment in since),
            foreign=foreign,
        )


def _first_since(db: sqlite3.Connection, first: int, last: int, moment: int) -> int:
    """The first report that came at a moment or later; one more than the last where there is none."""
    low, high = first, last + 1
    while low < high:
        middle = (low + high) // 2
        if _received_at(db, middle) < moment:
            low = middle + 1
        else:
            high = middle
    return low


def _received_at(db: sqlite3.Connection, id_: int) -> int:
    (received_at,) = db.execute("SELECT received_at FROM report WHERE id >= ? ORDER BY id LIMIT 1", (id_,)).fetchone()
    return int(received_at)

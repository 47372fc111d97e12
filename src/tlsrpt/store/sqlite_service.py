"""What the service keeps for itself: where sources go on, how they do, and how much waits in quarantine.

Plain SQL, as all that is asked for every few seconds: `health` runs as a probe, and SQLAlchemy alone would take longer.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence

import msgspec

from tlsrpt.store.days import from_seconds
from tlsrpt.store.rows import seconds, storable
from tlsrpt.store.values import SourceState

_KEEP_PLACE = (  # the store's own clock: nothing is decided by it, it only tells a person what is long forgotten
    "INSERT INTO place (key, value, updated_at) VALUES (?, ?, strftime('%s', 'now'))"
    " ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at"
    " WHERE value <> excluded.value"
)
_COLUMNS = (
    "name, kind, state, trouble, since, last_success, waiting, outcomes, turned_away, updated_at, started_at, host, pid"
)
_KEEP_STATE = (
    f"INSERT OR REPLACE INTO source_state ({_COLUMNS})"  # noqa: S608 (our own names)
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_QUARANTINE_SIZE = (  # a document with two entries waits once
    "SELECT (SELECT count(*) FROM quarantine WHERE state = 'waiting'),"
    " (SELECT coalesce(sum(size_bytes), 0) FROM document"
    " WHERE id IN (SELECT document_id FROM quarantine WHERE state = 'waiting'))"
)


def place(db: sqlite3.Connection, key: str) -> str | None:
    """See `Store.place`."""
    row = db.execute("SELECT value FROM place WHERE key = ?", (storable(key),)).fetchone()
    return None if row is None else row[0]


def keep_place(db: sqlite3.Connection, key: str, value: str) -> None:
    """See `Store.keep_place`."""
    db.execute(_KEEP_PLACE, (storable(key), storable(value)))


def keep_source_states(db: sqlite3.Connection, states: Sequence[SourceState], configured: Collection[str]) -> None:
    """See `Store.keep_source_states`."""
    names = {storable(name) for name in configured} | {storable(state.name) for state in states}
    before = {name for (name,) in db.execute("SELECT name FROM source_state")}
    db.executemany("DELETE FROM source_state WHERE name = ?", [(name,) for name in sorted(before - names)])
    db.executemany(_KEEP_STATE, [_row(state) for state in states])


def source_states(db: sqlite3.Connection) -> list[SourceState]:
    """See `Store.source_states`."""
    return [
        SourceState(
            name=name,
            kind=kind,
            state=state,
            trouble=trouble,
            since=from_seconds(since),
            last_success=None if last_success is None else from_seconds(last_success),
            waiting=waiting,
            outcomes=msgspec.json.decode(outcomes, type=dict[str, int]),
            turned_away=turned_away,
            updated_at=from_seconds(updated_at),
            started_at=None if started_at is None else from_seconds(started_at),
            host=host,
            pid=pid,
        )
        for (
            name,
            kind,
            state,
            trouble,
            since,
            last_success,
            waiting,
            outcomes,
            turned_away,
            updated_at,
            started_at,
            host,
            pid,
        ) in db.execute(f"SELECT {_COLUMNS} FROM source_state ORDER BY name")  # noqa: S608 (our own names)
    ]


def quarantine_size(db: sqlite3.Connection) -> tuple[int, int]:
    """See `Store.quarantine_size`."""
    entries, size_bytes = db.execute(_QUARANTINE_SIZE).fetchone()
    return entries, size_bytes


def _row(state: SourceState) -> tuple[object, ...]:
    return (
        storable(state.name),
        state.kind,
        state.state,
        storable(state.trouble),
        seconds(state.since),
        None if state.last_success is None else seconds(state.last_success),
        state.waiting,
        msgspec.json.encode(state.outcomes).decode(),
        state.turned_away,
        seconds(state.updated_at),
        None if state.started_at is None else seconds(state.started_at),
        storable(state.host),
        state.pid,
    )

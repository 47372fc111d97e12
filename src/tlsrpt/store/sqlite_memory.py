"""What is remembered of incidents: which keys are the same one, since when it is known, what people said of it.

The reports themselves say nearly all of an incident. Memory adds what they can't: an incident keeps its id when it is
told under another name later, its begin when the reports of that time were pruned, and a person's word.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from datetime import date, datetime

from tlsrpt.store.days import from_day, to_day
from tlsrpt.store.rows import seconds, storable
from tlsrpt.store.sqlite import Store
from tlsrpt.store.values import Mark, Memory, Remembered, Sighting

_ALL = "SELECT id, place, title, first_day, last_day, mark, mark_day, note FROM incident"
_KEEP = (
    "INSERT INTO incident (id, place, title, first_day, last_day, mark, note) VALUES (?, ?, ?, ?, ?, 'none', '')"
    " ON CONFLICT (id) DO UPDATE SET place = excluded.place, title = excluded.title,"
    " first_day = min(first_day, excluded.first_day), last_day = max(last_day, excluded.last_day)"
)
_KEEP_KEY = "INSERT INTO incident_key (key, incident_id) VALUES (?, ?) ON CONFLICT (key) DO NOTHING"
_MARK = "UPDATE incident SET mark = ?, mark_day = ?, marked_at = ? WHERE id = ?"
_NOTE = "UPDATE incident SET note = ? WHERE id = ?"


def remembered(store: Store) -> Memory:
    """Everything that is remembered of incidents."""
    with store.snapshot() as db:
        incidents = {row[0]: _remembered(row) for row in db.execute(_ALL)}
        ids = dict(db.execute("SELECT key, incident_id FROM incident_key"))
    return Memory(incidents=incidents, ids=ids)


def remember(store: Store, sightings: Iterable[Sighting]) -> None:
    """Keep what incidents are called now; what was remembered before stays: the first id of a key is its id."""
    with store.writing() as db:
        for sighting in sightings:
            _keep(db, sighting)


def mark(
    store: Store,
    sighting: Sighting,
    mark: Mark | None,
    *,
    now: datetime,
    day: date | None = None,
    note: str | None = None,
) -> None:
    """Keep what a person says of an incident.

    Args:
        mark: none takes an earlier one back; None leaves it.
        day: of `resolved` the last day on which it was seen, of `ignored-until` the first on which it counts again.
        note: None leaves the one that is there.
    """
    if (mark in ("resolved", "ignored-until")) != (day is not None):
        raise ValueError("resolved and ignored-until have a day, nothing else has")
    with store.writing() as db:
        _keep(db, sighting)
        if mark is not None:
            db.execute(_MARK, (mark, None if day is None else to_day(day), seconds(now), sighting.id))
        if note is not None:
            db.execute(_NOTE, (storable(note), sighting.id))


def _keep(db: sqlite3.Connection, sighting: Sighting) -> None:
    first, last = to_day(sighting.first_seen), to_day(sighting.last_seen)
    db.execute(_KEEP, (sighting.id, storable(sighting.place), storable(sighting.title), first, last))
    db.executemany(_KEEP_KEY, [(storable(key), sighting.id) for key in sighting.keys])


def _remembered(row: tuple[str, str, str, int, int, Mark, int | None, str]) -> Remembered:
    id_, place, title, first, last, mark, day, note = row
    return Remembered(
        id=id_,
        place=place,
        title=title,
        first_seen=from_day(first),
        last_seen=from_day(last),
        mark=mark,
        mark_day=None if day is None else from_day(day),
        note=note,
    )

"""Adding to the tallies in SQLite, and taking away what no longer counts (see counting.py for what they say).

Reports that their submitter signed and the others stand in rows of their own, so that every figure can also be told
without the unproven ones. Hardly more rows come of it: what a sender sends is signed always, or never.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence, Set
from typing import Any

from tlsrpt.store.counting import EVERY_DOMAIN, FailureFigures, FailureKey, Kind, Share, TallyFigures, TallyKey
from tlsrpt.store.sqlite_rows import insert

ADD_DOMAIN = "INSERT INTO domain (report_domain) VALUES (?) ON CONFLICT DO NOTHING"
ADD_KIND = (
    "INSERT INTO failure_kind (id, policy_type, policy_mode, policy_domain, result_type, receiving_mx_hostname,"
    " receiving_ip, failure_reason_code) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
ADD_TALLY = (
    "INSERT INTO {table} (domain, day, sender, policy_type, report_domain, proven, reports, mentions, sent_successful,"
    " sent_failed, counted_total, counted_failed, not_itemised) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (domain, day, sender, policy_type, report_domain, proven) DO UPDATE SET"
    " reports = reports + excluded.reports,"
    " mentions = mentions + excluded.mentions, sent_successful = sent_successful + excluded.sent_successful,"
    " sent_failed = sent_failed + excluded.sent_failed, counted_total = counted_total + excluded.counted_total,"
    " counted_failed = counted_failed + excluded.counted_failed, not_itemised = not_itemised + excluded.not_itemised"
)
ADD_FAILURE_TALLY = (
    "INSERT INTO {table} (domain, day, sender, kind_id, report_domain, proven, reports, sent_failed, counted_failed)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (domain, day, sender, kind_id, report_domain, proven) DO UPDATE SET"
    " reports = reports + excluded.reports,"
    " sent_failed = sent_failed + excluded.sent_failed, counted_failed = counted_failed + excluded.counted_failed"
)
# A row that no report is left in must not stay with zeros in it: counted again from the facts there would be none.
_REMOVE_TALLY = (
    "DELETE FROM tally WHERE domain = ? AND day = ? AND sender = ? AND policy_type = ? AND report_domain = ?"
    " AND proven = ? AND mentions = 0"
)
_REMOVE_FAILURE_TALLY = (
    "DELETE FROM failure_tally WHERE domain = ? AND day = ? AND sender = ? AND kind_id = ? AND report_domain = ?"
    " AND proven = ? AND reports = 0"
)
_REMOVE_DOMAIN = (
    "DELETE FROM domain WHERE report_domain = ?1"
    " AND NOT EXISTS (SELECT 1 FROM tally WHERE domain = ?1 AND report_domain = ?1)"
)


class Sums:
    """What a batch of reports adds: a row that many of them meet is written once."""

    def __init__(self, known_kinds: Set[int]) -> None:
        self.kinds: dict[int, Kind] = {}  # that were not known before
        self._known_kinds = known_kinds  # in the store for certain; they are never removed
        self._domains: set[str] = set()
        self._sessions: tuple[dict[TallyKey, TallyFigures], ...] = {}, {}  # of the unproven, of the proven
        self._failures: tuple[dict[FailureKey, FailureFigures], ...] = {}, {}

    def add(self, share: Share, domains: Iterable[str], *, proven: bool) -> None:
        """Count a report that is filed under these domains."""
        self._domains.update(domains)
        for kind in share.kinds:
            if kind[0] not in self._known_kinds:
                self.kinds[kind[0]] = kind
        _add_up(self._sessions[proven], share.tally)
        _add_up(self._failures[proven], share.failures)

    def write(self, db: sqlite3.Connection) -> None:
        """Add all of it to the store's tallies, in the order of their keys: rows of one page come together."""
        insert(db, ADD_DOMAIN, [(domain,) for domain in sorted(self._domains)])
        insert(db, ADD_KIND, sorted(self.kinds.values()))
        for proven, (sessions, failures) in enumerate(zip(self._sessions, self._failures, strict=True)):
            insert(db, ADD_TALLY.format(table="tally"), tally_rows(sorted(sessions.items()), proven))
            insert(db, ADD_FAILURE_TALLY.format(table="failure_tally"), tally_rows(sorted(failures.items()), proven))


def tally_rows(parts: Iterable[tuple[Any, Any]], proven: int) -> list[tuple[Any, ...]]:
    """Keys and figures as rows of either tally."""
    return [(*key, proven, *figures) for key, figures in parts]


def add_share(db: sqlite3.Connection, share: Share, *, proven: bool) -> None:
    """Count one report."""
    sums = Sums(frozenset())
    sums.add(share, _domains(share), proven=proven)
    sums.write(db)


def take_share_away(db: sqlite3.Connection, share: Share, *, proven: bool) -> None:
    """Count one report no longer; `share` is what it was counted with."""
    for parts, add, remove in (
        (share.tally, ADD_TALLY.format(table="tally"), _REMOVE_TALLY),
        (share.failures, ADD_FAILURE_TALLY.format(table="failure_tally"), _REMOVE_FAILURE_TALLY),
    ):
        insert(db, add, [(*key, proven, *(-figure for figure in figures)) for key, figures in parts])
        db.executemany(remove, [(*key, proven) for key, _ in parts])
    db.executemany(_REMOVE_DOMAIN, [(domain,) for domain in _domains(share)])


def _domains(share: Share) -> set[str]:
    """The report domains of a report."""
    return {key[0] for key, _ in share.tally if key[0] == key[4] != EVERY_DOMAIN}


def _add_up(sums: dict[Any, Any], parts: Sequence[tuple[Any, Any]]) -> None:
    for key, figures in parts:
        before = sums.get(key)
        sums[key] = figures if before is None else tuple(map(int.__add__, before, figures))

"""A report's rows in SQLite: writing them, reading back what the tallies need of them, removing them."""

from __future__ import annotations

import sqlite3
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec

from tlsrpt.store.counting import TEXT_LIMIT, Detail, Entry, Share, make_detail, policy_mode, share

ADD_POLICY = (
    "INSERT INTO policy (report_id, n, policy_type, policy_domain, report_domain, policy_string, mx_host, successful,"
    " failed, failure_details) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
ADD_FAILURE = (
    "INSERT INTO failure (report_id, report_domain, day, n, m, policy_type, policy_domain, result_type,"
    " failed_session_count, sending_mta_ip, receiving_mx_hostname, receiving_mx_helo, receiving_ip,"
    " additional_information, failure_reason_code) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
FAILURE_KEY = itemgetter(1, 2, 0, 3, 4)  # of a row for ADD_FAILURE
ADD_FINDING = (
    "INSERT INTO finding (report_id, n, code, severity, where_, message, consequence, fix)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
ADD_FILED = "INSERT INTO filed (report_id, domain, day) VALUES (?, ?, ?)"
FILED_KEY = itemgetter(1, 2, 0)
ADD_SIGHTING = (  # unless it is the very document that the report was kept from
    "INSERT INTO sighting (report_id, sha256, source, file_name, received_at)"
    " SELECT ?1, ?2, ?3, ?4, ?5 FROM report JOIN document ON document.id = report.document_id"
    " WHERE report.id = ?1 AND report.pruned = 0 AND document.sha256 <> ?2"
    " AND (SELECT count(*) FROM sighting WHERE report_id = ?1) < ?6"
    " ON CONFLICT DO NOTHING"
)
MOST_SIGHTINGS = 20  # other documents remembered for one report; a flood of copies leaves no more rows than that

REMOVE_FACTS = (  # policies after what they lead to
    "DELETE FROM failure WHERE report_domain IN (SELECT report_domain FROM policy WHERE report_id = :report)"
    " AND day = :day AND report_id = :report",
    "DELETE FROM filed WHERE domain IN (SELECT report_domain FROM policy WHERE report_id = :report"
    " UNION SELECT substr(policy_domain, 1, 255) FROM policy WHERE report_id = :report UNION SELECT '')"  # TEXT_LIMIT
    " AND day = :day AND report_id = :report",
    "DELETE FROM policy WHERE report_id = :report",
    "DELETE FROM finding WHERE report_id = :report",
)

_POLICIES = (
    "SELECT report_id, n, policy_type, policy_domain, report_domain, policy_string, successful, failed,"
    " failure_details FROM policy WHERE report_id BETWEEN ? AND ? ORDER BY report_id, n"
)
_FAILURES = (
    "SELECT failure.report_id, failure.n, failure.result_type, failure.receiving_mx_hostname, failure.receiving_ip,"
    " failure.failure_reason_code, failure.failed_session_count"
    " FROM (SELECT DISTINCT report_id, report_domain FROM policy WHERE report_id BETWEEN ? AND ?) AS place"
    " JOIN report ON report.id = place.report_id"
    " JOIN failure ON failure.report_domain = place.report_domain AND failure.day = report.day"
    " AND failure.report_id = report.id ORDER BY failure.report_id, failure.n, failure.m"
)


class StoredEntry(NamedTuple):
    """One policy of a kept report: its place, how many failure rows it is said to have, and what counts of it."""

    n: int
    failure_details: int
    entry: Entry


def entries_between(db: sqlite3.Connection, first: int, last: int) -> dict[int, list[StoredEntry]]:
    """The policies of all reports from one id to another, in their order; none for a report without any."""
    details: dict[tuple[int, int], list[Detail]] = {}
    for report_id, n, *values in db.execute(_FAILURES, (first, last)):
        details.setdefault((report_id, n), []).append(make_detail(*values))
    entries: dict[int, list[StoredEntry]] = {}
    for policy in db.execute(_POLICIES, (first, last)):
        report_id, n = policy[:2]
        entries.setdefault(report_id, []).append(
            StoredEntry(n, policy[-1] or 0, _entry(policy, details.get((report_id, n), [])))
        )
    return entries


def stored_share(db: sqlite3.Connection, report_id: int) -> Share:
    """What a kept report adds to the tallies, or has added to them; its facts must not be pruned."""
    sender, day = db.execute("SELECT sender, day FROM report WHERE id = ?", (report_id,)).fetchone()
    entries = entries_between(db, report_id, report_id).get(report_id, [])
    return share(day, sender, [stored.entry for stored in entries])


def _entry(policy: Any, details: list[Detail]) -> Entry:
    _, _, policy_type, policy_domain, report_domain, policy_string, successful, failed, _ = policy
    return Entry(
        (policy_type or "")[:TEXT_LIMIT],
        policy_domain[:TEXT_LIMIT],
        report_domain,
        policy_mode(None if policy_string is None else msgspec.json.decode(policy_string)),
        successful,
        failed,
        details,
    )

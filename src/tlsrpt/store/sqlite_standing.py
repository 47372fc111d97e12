"""Which report counts where several say that they are the same one, and what a report gains by coming again.

DESIGN promise 2: of reports with the same identity and other values one counts. The first stays, unless a later one is
signed by its submitter and the first is not: whoever guesses a report-id must not be able to keep the true report out.
A-14: a report for domains that are not ours stands apart, in no figure, until they are.

What changes a standing is rare, so it is done at once and report by report; `sqlite_keep` sends its rows first.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable

from msgspec import Struct

from tlsrpt.store.counting import Share
from tlsrpt.store.rows import Prepared, PreparedReport
from tlsrpt.store.sqlite_facts import (
    ADD_FAILURE,
    ADD_FILED,
    ADD_FINDING,
    ADD_POLICY,
    ADD_SIGHTING,
    MOST_SIGHTINGS,
    REMOVE_FACTS,
    stored_share,
)
from tlsrpt.store.sqlite_rows import insert
from tlsrpt.store.sqlite_tallies import add_share, take_share_away

VERSIONS = (
    "SELECT identity, content, id, counted, foreign_, pruned, dkim IS 'pass' FROM report"
    " WHERE identity IN ({marks}) ORDER BY id"
)
_COUNT = "UPDATE report SET counted = 1, foreign_ = 0, conflict_with = NULL WHERE id = ?"
_CONFLICT = "UPDATE report SET counted = 0, foreign_ = 0, conflict_with = ?1 WHERE id = ?2"
_CONFLICT_TOO = "UPDATE report SET conflict_with = ? WHERE counted = 0 AND foreign_ = 0 AND conflict_with = ?"
_DESCRIBE = "UPDATE report SET findings = ?, extras = ? WHERE id = ?"
_MOVE = "UPDATE report SET document_id = ?, where_ = ? WHERE id = ?"
_PROVE = "UPDATE report SET dkim = ?, dkim_domain = ? WHERE id = ?"
_FOREIGN = (
    "SELECT some.id, policy.report_domain, policy.policy_domain FROM"
    " (SELECT id FROM report WHERE foreign_ = 1 AND pruned = 0 AND id > ? ORDER BY id LIMIT ?) AS some"
    " LEFT JOIN policy ON policy.report_id = some.id"
)


class Version(Struct):
    """One of the reports of an identity."""

    id: int
    counted: bool
    foreign: bool
    pruned: bool  # its facts are gone: it can't be counted otherwise than it is
    proven: bool


def counted_of(versions: Iterable[Version]) -> Version | None:
    """The one that counts; none as long as all are foreign."""
    return next((version for version in versions if version.counted), None)


def outranks(one: Version, counted: Version) -> bool:
    """Whether a report takes the place of the one that counts so far."""
    return one.proven and not counted.proven and not counted.pruned


def settle(db: sqlite3.Connection, version: Version, versions: Iterable[Version], share: Share) -> Version | None:
    """Give a kept report that is ours and not counted its standing among the others of its identity.

    Args:
        share: what it adds to the tallies if it counts.
    Returns:
        The report that counted until now, where this one has taken its place.
    """
    counted = counted_of(versions)
    version.foreign = False
    if counted is not None and not outranks(version, counted):
        db.execute(_CONFLICT, (counted.id, version.id))
        return None
    if counted is not None:
        take_share_away(db, stored_share(db, counted.id), proven=counted.proven)
        db.execute(_CONFLICT_TOO, (version.id, counted.id))
        db.execute(_CONFLICT, (version.id, counted.id))
        counted.counted = False
    db.execute(_COUNT, (version.id,))
    version.counted = True
    add_share(db, share, proven=version.proven)
    return counted


def gains(version: Version, item: PreparedReport) -> bool:
    """Whether a known report says more by coming again: it is signed now, or ours."""
    return (version.foreign and not item.foreign) or (item.proven and not version.proven and not version.pruned)


def brings_document(version: Version, item: PreparedReport) -> bool:
    """Whether the document in which it came again is to be kept in place of the first: never a lesser proof."""
    return not version.pruned and (item.proven or not version.proven)


def improve(
    db: sqlite3.Connection,
    version: Version,
    versions: Iterable[Version],
    prepared: Prepared,
    item: PreparedReport,
    document_id: int | None,
) -> tuple[Version | None, bytes | None]:
    """Let a known report be what it has come again as: filed as now, with the better proof, counted if it is ours.

    Args:
        document_id: of the document that is to be kept in place of the first; None to keep that.
    Returns:
        The report whose place it takes, and the SHA-256 of a document that was removed, each where there is one.
    """
    removed = None
    share = item.share
    ours = not item.foreign or not version.foreign
    if not version.pruned:
        before = stored_share(db, version.id)
        if version.counted:
            take_share_away(db, before, proven=version.proven)
        if item.foreign and not version.foreign:
            share = before  # filed under a domain of ours already
        else:
            _file_anew(db, version.id, item)
        if document_id is None:
            _note_sighting(db, version.id, prepared.sha256, prepared.source, prepared.file_name, prepared.received_at)
        else:
            removed = _move(db, version.id, document_id, item.report[0])
    if item.proven and not version.proven:
        db.execute(_PROVE, (*item.report[-2:], version.id))
        version.proven = True
    if version.counted:
        add_share(db, share, proven=version.proven)
        return None, removed
    return settle(db, version, versions, share) if ours else None, removed


def adopt(db: sqlite3.Connection, report_id: int) -> bool:
    """Let a foreign report be ours; False where it is not foreign any more."""
    row = db.execute(
        "SELECT identity FROM report WHERE id = ? AND foreign_ = 1 AND pruned = 0", (report_id,)
    ).fetchone()
    if row is None:
        return False
    found = db.execute(VERSIONS.format(marks="?"), row)
    versions = {id_: version_of(id_, *standing) for _, _, id_, *standing in found}
    settle(db, versions[report_id], versions.values(), stored_share(db, report_id))
    return True


def foreign_after(
    db: sqlite3.Connection, last: int, limit: int, is_ours: Callable[[str], bool]
) -> tuple[list[int], int | None]:
    """Those of the next foreign reports whose domains are ours, and where to go on; None at the end."""
    ours: dict[int, bool] = {}
    for id_, report_domain, policy_domain in db.execute(_FOREIGN, (last, limit)):
        # One without policies names no domain; it is ours only where every domain is.
        ours[id_] = ours.get(id_, False) or is_ours(report_domain or "") or is_ours(policy_domain or "")
    return [id_ for id_, is_one in ours.items() if is_one], max(ours) if len(ours) == limit else None


def version_of(id_: int, counted: int, foreign: int, pruned: int, proven: int) -> Version:
    """A row of VERSIONS after identity and content."""
    return Version(id_, bool(counted), bool(foreign), bool(pruned), bool(proven))


def _file_anew(db: sqlite3.Connection, report_id: int, item: PreparedReport) -> None:
    """Its rows as the document that brought it again has them: that may name the domain that it is for (promise 8)."""
    (day,) = db.execute("SELECT day FROM report WHERE id = ?", (report_id,)).fetchone()
    for statement in REMOVE_FACTS:
        db.execute(statement, {"report": report_id, "day": day})
    for statement, rows in (
        (ADD_POLICY, item.policies),
        (ADD_FAILURE, item.failures),
        (ADD_FINDING, item.findings),
        (ADD_FILED, item.filed),
    ):
        insert(db, statement, [(report_id, *row) for row in rows])
    *_, findings, extras, _dkim, _dkim_domain = item.report
    db.execute(_DESCRIBE, (findings, extras, report_id))


def _move(db: sqlite3.Connection, report_id: int, document_id: int, where: str) -> bytes | None:
    """Keep a report's new document and of the old one a note; gives the hash of the old one if it was removed."""
    old_id, *old = db.execute(
        "SELECT document.id, sha256, source, file_name, document.received_at"
        " FROM report JOIN document ON document.id = report.document_id WHERE report.id = ?",
        (report_id,),
    ).fetchone()
    sha256, raw_kept = db.execute(
        "SELECT sha256, raw IS NOT NULL FROM document WHERE id = ?", (document_id,)
    ).fetchone()
    if old_id == document_id or not raw_kept:  # it was here before, and its bytes are pruned
        return None
    db.execute(_MOVE, (document_id, where, report_id))
    db.execute("DELETE FROM sighting WHERE report_id = ? AND sha256 = ?", (report_id, sha256))
    _note_sighting(db, report_id, *old)
    removed = db.execute(
        "DELETE FROM document WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM report WHERE document_id = ?1)"
        " AND NOT EXISTS (SELECT 1 FROM quarantine WHERE document_id = ?1)",
        (old_id,),
    )
    digest: bytes = old[0]
    return digest if removed.rowcount else None


def _note_sighting(
    db: sqlite3.Connection, report_id: int, sha256: bytes, source: str, file_name: str | None, received_at: int
) -> None:
    db.execute(ADD_SIGHTING, (report_id, sha256, source, file_name, received_at, MOST_SIGHTINGS))

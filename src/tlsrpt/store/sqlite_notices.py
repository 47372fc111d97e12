"""What people were told, and the outbox: messages that wait, are claimed by who sends them, and are settled.

A message is kept in the transaction that remembers that it was told, and sent after that. Who sends claims it first,
so that of two processes one does. Killed between sending and settling, the claim lapses and it is sent once more, under
the same Message-ID; a second time nobody knows again, and it is given up rather than told for ever.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta

import msgspec

from tlsrpt.core.errors import StoreError
from tlsrpt.store import sqlite_service
from tlsrpt.store.days import from_seconds
from tlsrpt.store.rows import seconds, storable
from tlsrpt.store.sqlite import Store
from tlsrpt.store.telling import Address, Delivery, DeliveryState, Listed, NoticeKind, OutboxSize, Outgoing, Told

LEASE = timedelta(minutes=10)  # that a claim lasts; far longer than sending one message takes
MOST_LAPSED = 1  # attempts of which nobody knows how they ended, before it is given up
KEPT = timedelta(days=400)  # that a settled message is kept
GIVEN_UP_SHOWN = timedelta(days=7)
UNKNOWN_END = "begun twice, and both times we were stopped before it was known whether it was taken"
_VERSION = "alerts/version"  # in `place`: counts what was told, so that of two who look at once one tells it

_POST = (
    "INSERT INTO notice (token, kind, event, key, severity, made_at, subject, goes_on_from, text_, html, data)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (token) DO NOTHING RETURNING id"
)
_ADDRESS = (
    "INSERT INTO delivery (notice_id, recipient, address, state, tries, lapsed, due_at, trouble)"
    " VALUES (?, ?, ?, 'waiting', 0, 0, ?, '') ON CONFLICT DO NOTHING"
)
_SUPERSEDE = (  # never tried, and the newer one says what is so now
    "UPDATE delivery SET state = 'superseded', settled_at = ?"
    " WHERE state = 'waiting' AND tries = 0 AND recipient = ? AND address = ?"
    " AND notice_id IN (SELECT id FROM notice WHERE key = ? AND id <> ?)"
)
_DUE = (
    "SELECT notice_id, recipient, address, tries, lapsed, claimed_until FROM delivery"
    " WHERE state = 'waiting' AND due_at <= ? AND (claimed_until IS NULL OR claimed_until <= ?)"
    " ORDER BY due_at, notice_id, recipient, address LIMIT 1"
)
_GIVE_UP = (
    "UPDATE delivery SET state = 'failed', lapsed = ?, claimed_until = NULL, settled_at = ?, trouble = ?"
    " WHERE notice_id = ? AND recipient = ? AND address = ?"
)
_CLAIM = (
    "UPDATE delivery SET tries = ?, lapsed = ?, claimed_until = ? WHERE notice_id = ? AND recipient = ? AND address = ?"
)
_SETTLE = (
    "UPDATE delivery SET state = ?, claimed_until = NULL, settled_at = ?, trouble = ?, due_at = coalesce(?, due_at)"
    " WHERE notice_id = ? AND recipient = ? AND address = ?"
)
_MESSAGE = (
    "SELECT token, kind, event, key, severity, made_at, subject, goes_on_from, text_, html, data"
    " FROM notice WHERE id = ?"
)
_LIST = (
    "SELECT n.id, n.kind, n.event, n.key, n.severity, n.subject, n.made_at, coalesce(d.recipient, ''),"
    " coalesce(d.address, ''), coalesce(d.state, 'superseded'), coalesce(d.tries, 0), d.due_at, d.settled_at,"
    " coalesce(d.trouble, '')"
    " FROM (SELECT * FROM notice ORDER BY id DESC LIMIT ?) n LEFT JOIN delivery d ON d.notice_id = n.id"
    " ORDER BY n.id DESC, d.recipient, d.address"
)


def read_told(store: Store) -> tuple[int, dict[str, Told]]:
    """What was told of what, by key, and its version; version 0: nobody ever looked."""
    with store.snapshot() as db:
        version = _version(db)
        values = db.execute("SELECT value FROM told").fetchall()
    told = (msgspec.json.decode(value, type=Told) for (value,) in values)
    return version, {each.key: each for each in told}


def post(
    store: Store,
    messages: Iterable[tuple[Outgoing, Sequence[Address]]],
    *,
    now: datetime,
    told: Iterable[Told] = (),
    forgotten: Collection[str] = (),
    version: int | None = None,
) -> bool:
    """Put messages into the outbox and remember that they were told, in one transaction.

    A message whose token was posted before is left alone. One on the same thing to the same address that still waits
    for its first attempt (quiet hours) is superseded.

    Args:
        told, forgotten: what is remembered from now on, and keys of what no longer is.
        version: of the memory that this was decided from; None where it was not.
    Returns:
        False, and nothing is kept, where somebody else has told something since.
    """
    with store.writing() as db:
        if version is not None:
            if _version(db) != version:
                return False
            sqlite_service.keep_place(db, _VERSION, str(version + 1))
        for message, addresses in messages:
            _post(db, message, addresses, seconds(now))
        for each in told:
            value = storable(msgspec.json.encode(each).decode())
            db.execute("INSERT OR REPLACE INTO told (key, value) VALUES (?, ?)", (storable(each.key), value))
        db.executemany("DELETE FROM told WHERE key = ?", [(storable(key),) for key in forgotten])
        _forget(db, seconds(now - KEPT))
    return True


def claim(store: Store, now: datetime) -> Delivery | None:
    """The next message that is due, for whoever calls this alone, until LEASE is over; None where none is due.

    The caller sends it and then settles it.
    """
    moment = seconds(now)
    with store.writing() as db:
        while (row := db.execute(_DUE, (moment, moment)).fetchone()) is not None:
            notice_id, recipient, address, tries, lapsed, claimed_until = row
            this = (notice_id, recipient, address)
            lapsed += claimed_until is not None
            if lapsed > MOST_LAPSED:
                db.execute(_GIVE_UP, (lapsed, moment, UNKNOWN_END, *this))
                continue
            db.execute(_CLAIM, (tries + 1, lapsed, seconds(now + LEASE), *this))
            message, made_at = _message(db, notice_id)
            return Delivery(
                notice_id=notice_id,
                recipient=recipient,
                address=address,
                made_at=from_seconds(made_at),
                tries=tries + 1,
                message=message,
            )
    return None


def settle(
    store: Store, delivery: Delivery, *, now: datetime, trouble: str = "", again: datetime | None = None
) -> None:
    """Keep how an attempt ended.

    Args:
        trouble: why it was not taken; empty where it was.
        again: when it is tried again; None with a trouble: given up.
    """
    state = "sent" if not trouble else "waiting" if again else "failed"
    due = None if again is None else seconds(again)
    settled = None if state == "waiting" else seconds(now)
    with store.writing() as db:
        this = delivery.notice_id, delivery.recipient, delivery.address
        db.execute(_SETTLE, (state, settled, storable(trouble), due, *this))


def next_due(store: Store) -> datetime | None:
    """When there is something to send again; None where nothing waits."""
    with store.snapshot() as db:
        (due,) = db.execute(
            "SELECT min(max(due_at, coalesce(claimed_until, 0))) FROM delivery WHERE state = 'waiting'"
        ).fetchone()
    return None if due is None else from_seconds(due)


def outbox_size(store: Store, now: datetime) -> OutboxSize:
    """How the outbox stands."""
    since = seconds(now - GIVEN_UP_SHOWN)
    with store.snapshot() as db:
        waiting, failing = db.execute(
            "SELECT count(*), coalesce(sum(trouble <> ''), 0) FROM delivery WHERE state = 'waiting'"
        ).fetchone()
        (given_up,) = db.execute(
            "SELECT count(*) FROM delivery WHERE state = 'failed' AND settled_at >= ?", (since,)
        ).fetchone()
        row = db.execute(
            "SELECT recipient, trouble FROM delivery WHERE trouble <> ''"
            " AND (state = 'waiting' OR (state = 'failed' AND settled_at >= ?)) ORDER BY notice_id DESC LIMIT 1",
            (since,),
        ).fetchone()
    trouble = f"{row[0]}: {row[1]}" if row else ""
    return OutboxSize(waiting=waiting, failing=failing, given_up=given_up, trouble=trouble)


def list_notices(store: Store, most: int) -> list[Listed]:
    """The newest messages, and what became of each at each address, newest first."""
    with store.snapshot() as db:
        rows = db.execute(_LIST, (most,)).fetchall()
    return [_listed(*row) for row in rows]


def _listed(
    notice_id: int,
    kind: NoticeKind,
    event: str,
    key: str,
    severity: str,
    subject: str,
    made_at: int,
    recipient: str,
    address: str,
    state: DeliveryState,
    tries: int,
    due_at: int | None,
    settled_at: int | None,
    trouble: str,
) -> Listed:
    return Listed(
        notice_id=notice_id,
        kind=kind,
        event=event,
        key=key,
        severity=severity,
        subject=subject,
        made_at=from_seconds(made_at),
        recipient=recipient,
        address=address,
        state=state,
        tries=tries,
        due_at=from_seconds(due_at) if due_at is not None and state == "waiting" else None,
        sent_at=from_seconds(settled_at) if settled_at is not None and state == "sent" else None,
        trouble=trouble,
    )


def first_token(store: Store, key: str) -> str:
    """The token of the first message on a thing, for mail programs to show them together; empty where there is none."""
    with store.snapshot() as db:
        row = db.execute(
            "SELECT token FROM notice WHERE key = ? AND kind = 'alert' ORDER BY id LIMIT 1", (storable(key),)
        ).fetchone()
    return row[0] if row else ""


def _version(db: sqlite3.Connection) -> int:
    return int(sqlite_service.place(db, _VERSION) or 0)


def _post(db: sqlite3.Connection, message: Outgoing, addresses: Sequence[Address], now: int) -> None:
    row = db.execute(
        _POST,
        (
            storable(message.token),
            message.kind,
            message.event,
            storable(message.key),
            message.severity,
            now,
            storable(message.subject),
            storable(message.goes_on_from),
            storable(message.text),
            storable(message.html),
            storable(message.data),
        ),
    ).fetchone()
    if row is None:
        return
    for one in addresses:
        db.execute(_ADDRESS, (row[0], storable(one.recipient), storable(one.address), seconds(one.due)))
        if message.key:
            superseded = (now, storable(one.recipient), storable(one.address), storable(message.key), row[0])
            db.execute(_SUPERSEDE, superseded)


def _message(db: sqlite3.Connection, notice_id: int) -> tuple[Outgoing, int]:
    row = db.execute(_MESSAGE, (notice_id,)).fetchone()
    if row is None:
        raise StoreError("a message to be sent is gone", fix="see `tlsrpt store check`")
    token, kind, event, key, severity, made_at, subject, goes_on_from, text, html, data = row
    message = Outgoing(
        token=token,
        kind=kind,
        event=event,
        key=key,
        severity=severity,
        subject=subject,
        text=text,
        html=html,
        data=data,
        goes_on_from=goes_on_from,
    )
    return message, made_at


def _forget(db: sqlite3.Connection, before: int) -> None:
    """Remove old messages that nobody waits for."""
    old = (
        "SELECT id FROM notice WHERE made_at < ? AND NOT EXISTS"
        " (SELECT 1 FROM delivery WHERE notice_id = notice.id AND state = 'waiting')"
    )
    db.execute("DELETE FROM delivery WHERE notice_id IN (" + old + ")", (before,))  # noqa: S608 (our own words)
    db.execute(
        "DELETE FROM notice WHERE made_at < ? AND NOT EXISTS (SELECT 1 FROM delivery WHERE notice_id = notice.id)",
        (before,),
    )

"""Taking documents in: read each through the door, keep them in batches, say what became of each.

Reading and preparing may run in several processes; writing is done by one. A batch is one transaction: what was
yielded as new or known is on the disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import partial
from typing import Literal

from msgspec import Struct

from tlsrpt.core.limits import Limits
from tlsrpt.intake.door import open_document
from tlsrpt.intake.files import Document, Unreadable, opened
from tlsrpt.intake.workers import ordered_map
from tlsrpt.store.rows import Prepared, PreparedFault, prepare
from tlsrpt.store.sqlite import Store
from tlsrpt.store.values import Arrival, Fault

Outcome = Literal["new", "known", "conflict", "quarantined", "other", "unreadable"]
OUTCOMES: tuple[Outcome, ...] = ("new", "known", "conflict", "quarantined", "other", "unreadable")
BATCH_DOCUMENTS = 1000
BATCH_BYTES = 8 * 1024 * 1024


class Item(Struct, frozen=True, kw_only=True):
    """What became of one report, or of one document that gave none."""

    source: str
    outcome: Outcome
    report_id: str | None = None
    reason: str = ""
    id: int | None = None
    size: int = 0


class Worked(Struct, frozen=True, kw_only=True, gc=False):
    """One document after the door: prepared to be kept, or a word on why not."""

    source: str
    prepared: Prepared | None = None
    outcome: Outcome = "other"
    reason: str = ""
    size: int = 0
    weight: int = 0


def ingest(
    store: Store, items: Iterable[Document | Unreadable], *, limits: Limits, now: datetime, jobs: int = 1
) -> Iterator[Item]:
    """Take documents in, in order; each is yielded once it is committed.

    Raises:
        StoreError: the store could not write; what was yielded before is kept, and the rest can be taken in again.
    """
    batch: list[Worked] = []
    weight = 0
    reading = partial(work, limits=limits, now=now)
    for some in ordered_map(reading, items, jobs, item_type=Document | Unreadable, result_type=list[Worked]):
        for worked in some:
            batch.append(worked)
            weight += worked.weight
            if len(batch) >= BATCH_DOCUMENTS or weight >= BATCH_BYTES:
                yield from _keep(store, batch)
                batch, weight = [], 0
    yield from _keep(store, batch)


def work(item: Document | Unreadable, *, limits: Limits, now: datetime) -> list[Worked]:
    """Read what is in a file through the door and make it ready to be kept; no store is touched."""
    return [_read(document, limits, now) for document in opened(item, limits)]


def _read(item: Document | Unreadable, limits: Limits, now: datetime) -> Worked:
    if isinstance(item, Unreadable):
        return Worked(source=item.source, outcome="unreadable", reason=item.reason, size=item.size)
    data = item.data or b""
    arrival = open_document(
        data, source=item.source, file_name=item.name, limits=limits, received_at=now, alone_in_zip=item.alone_in_zip
    )
    if arrival.other is not None:
        return Worked(source=item.source, reason=arrival.other, size=item.size)
    return Worked(source=item.source, prepared=prepare(arrival), size=item.size, weight=len(data))


def keep_message(store: Store, data: bytes, *, source: str, limits: Limits, now: datetime) -> None:
    """Keep one message that exists nowhere else: as reports, else in quarantine with the reason, whatever it is."""
    arrival = open_document(data, source=source, file_name="", limits=limits, received_at=now)
    if arrival.other is not None:
        arrival = Arrival(
            source=arrival.source,
            received_at=now,
            raw=data,
            form=arrival.form,
            headers=arrival.headers,
            faults=(Fault(reason=f"no TLS report: {arrival.other}"),),
        )
    store.keep([prepare(arrival)])


def _keep(store: Store, batch: list[Worked]) -> Iterator[Item]:
    kept = iter(store.keep([worked.prepared for worked in batch if worked.prepared is not None]))
    for worked in batch:
        if worked.prepared is None:
            yield Item(source=worked.source, outcome=worked.outcome, reason=worked.reason, size=worked.size)
            continue
        size = worked.size
        for item, one in zip(worked.prepared.items, next(kept), strict=True):
            broken = isinstance(item, PreparedFault)  # in quarantine, be it since an earlier run
            yield Item(
                source=worked.source,
                outcome="quarantined" if broken else one.result,
                report_id=one.report_id,
                reason=one.reason,
                id=one.id,
                size=size,
            )
            size = 0

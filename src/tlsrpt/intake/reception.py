"""Where every source hands its documents: read, judged, kept, and only then answered.

The door reads what is in a document, DKIM tells who speaks, the owned domains tell whether it is for us, the policy of
the way in tells what an unproven report is worth, and the keeper commits. What is refused or put off is told by an
outcome or an error; nothing between the first byte and the commit is acknowledged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import lru_cache, partial
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from tlsrpt.config import QuarantineConfig
from tlsrpt.core.errors import LimitError, OverloadError, StoreBusyError, StoreError
from tlsrpt.core.findings import Finding
from tlsrpt.core.limits import Limits
from tlsrpt.core.owned import Owned
from tlsrpt.core.text import printable
from tlsrpt.intake.dkim import Signature, Verifier, believed
from tlsrpt.intake.door import open_document
from tlsrpt.intake.keeper import Keeper
from tlsrpt.intake.proof import judge
from tlsrpt.intake.rates import Rates
from tlsrpt.intake.room import Room
from tlsrpt.intake.source import DEFECT, Desk, Log, Status
from tlsrpt.intake.way import Outcome, Taken, Way
from tlsrpt.store.rows import Prepared, PreparedFault, prepare
from tlsrpt.store.values import Arrival, Fault, IncomingReport

T = TypeVar("T")

# Above this a document is read in a thread: the loop must not stand still for a report of 20,000 rows, be it packed
# into 8 KB. Nearly all reports are smaller, and a thread costs more than they do.
SMALL_BYTES = 32 * 1024
SMALL_UNPACKED_BYTES = 64 * 1024  # 10 ms at the worst
READERS = 2
DNS_AGAIN_S = 120
RECOUNT_S = 300.0  # the quarantine is counted anew: people retry and prune
REASON_CHARACTERS = 300


class Judging(Struct, frozen=True, kw_only=True):
    """What a reload may change."""

    owned: Owned
    limits: Limits
    quarantine: QuarantineConfig
    verifier: Verifier  # looks DKIM keys up and verifies


class Reception:
    """Takes documents from all sources, in one event loop.

    Args:
        judging: what is ours, and how much is read; replaced on reload.
        now: the time, UTC; `clock`: steady seconds.
    """

    def __init__(
        self,
        keeper: Keeper,
        *,
        judging: Judging,
        room: Room,
        submitters: Rates,
        log: Log,
        now: Callable[[], datetime],
        clock: Callable[[], float],
    ) -> None:
        self.judging = judging
        self.keeper = keeper
        self.room = room
        self._submitters = submitters
        self._log = log
        self._now = now
        self._clock = clock
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="tlsrpt-reader")
        self._quarantine = _Quarantine()

    def close(self) -> None:
        """End the reading threads."""
        self._readers.shutdown(wait=True, cancel_futures=True)

    def desk(self, status: Status) -> Desk:
        """What the source with this status works with."""
        return Desk(
            take=partial(self._take, status),
            room=self.room,
            status=status,
            place=self._place,
            keep_place=self._keep_place,
            log=self._log,
        )

    async def _place(self, key: str) -> str | None:
        return await self.keeper.run(lambda store: store.place(key))

    async def _keep_place(self, key: str, value: str) -> None:
        await self.keeper.run(lambda store: store.keep_place(key, value))

    async def _take(
        self,
        status: Status,
        data: bytes,
        *,
        way: Way,
        where: str = "",
        file_name: str = "",
        noted: tuple[Finding, ...] = (),
        claims_report: bool = False,
    ) -> Taken:
        """See `way.Take`."""
        try:
            taken = await self._judge(data, way, where, file_name, noted, claims_report)
        except OverloadError:
            status.turned_away += 1
            raise
        except StoreError as error:
            status.turned_away += 1
            if not self.keeper.trouble:  # of which the service tells once; this is about the document alone
                self._log.warning(
                    "document put off", source=way.name, where=where, size_bytes=len(data), reason=str(error)
                )
            raise
        except Exception as error:  # it must not stop what waits behind it in a mailbox
            status.turned_away += 1
            self._log.error(
                DEFECT, source=way.name, where=where, size_bytes=len(data), reason=repr(error), exc_info=True
            )
            raise StoreError("a defect in tlsrpt, which its log has") from error
        status.counts(taken.outcome)
        self._tell(taken, way, where, len(data))
        return taken

    async def _judge(
        self, data: bytes, way: Way, where: str, file_name: str, noted: tuple[Finding, ...], claims_report: bool
    ) -> Taken:
        judging = self.judging
        if len(data) > judging.limits.compressed_bytes:
            return _too_large(len(data), judging.limits)
        read = partial(
            open_document,
            data,
            source=f"{way.name}:{where}" if where else way.name,
            file_name=file_name,
            received_at=self._now(),
        )
        arrival = _read_if_small(read, judging.limits) if len(data) <= SMALL_BYTES else None
        small = arrival is not None
        if arrival is None:
            arrival = await self._in_thread(partial(read, limits=judging.limits))
        if arrival.other is not None:
            what = arrival.other.removeprefix(_NO_REPORT)  # of a text that is no JSON, `core.reading` says it, too
            if not (way.keep_other or (claims_report and data)):
                return Taken(outcome="other", reason=_reason(what))
            arrival = replace(arrival, other=None, faults=(Fault(reason=_NO_REPORT + what),))
        if arrival.reports:
            signatures = await self._signatures(arrival, way)
            look = partial(_look_at_each, arrival, signatures, noted, judging.owned)
            reports = look() if small else await self._in_thread(look)
            unproven = way.unproven != "accept" and [each for each in reports if each.dkim != "pass"]
            if unproven:
                if any(each.dkim == "error" for each in unproven):  # or a hiccup of DNS would bounce honest reports
                    raise OverloadError("the DKIM key could not be looked up", retry_after_s=DNS_AGAIN_S)
                if way.unproven == "refuse":
                    return Taken(outcome="refused", reason=_reason(_unproven(unproven[0], way)))
                faults = [Fault(reason=_unproven(each, way), where=each.where) for each in unproven]
                reports = [each for each in reports if each.dkim == "pass"]
                arrival = replace(arrival, faults=(*arrival.faults, *faults))
            self._submitters.count_all(map(_who_speaks, reports))
            arrival = replace(arrival, reports=tuple(reports))
        prepared = prepare(arrival) if small else await self._in_thread(partial(prepare, arrival))
        return await self._keep(prepared, len(data), way)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._readers, work)

    async def _signatures(self, arrival: Arrival, way: Way) -> tuple[Signature, ...] | None:
        """The DKIM signatures of a mail; None where nobody looks."""
        if arrival.form != "message" or not (way.dkim or way.authserv_id):
            return None
        if way.authserv_id:
            told = believed(arrival.raw, way.authserv_id)
            if told is not None or not way.dkim:
                return told
        return await self.judging.verifier.verify(arrival.raw)

    async def _keep(self, prepared: Prepared, size: int, way: Way) -> Taken:
        faults = [item for item in prepared.items if isinstance(item, PreparedFault)]
        if faults and not await self._has_quarantine_room(size):
            reason = f"{faults[0].reason} (and the quarantine is full)"
            if way.kind == "https":
                return Taken(outcome="unkept", reason=_reason(reason))
            raise StoreBusyError("the quarantine is full", fix="see `tlsrpt quarantine list`, or raise [quarantine]")
        kept = await self.keeper.keep(prepared, size)
        new_faults = sum(one.result == "quarantined" for one in kept)
        if new_faults:
            self._quarantine.add(new_faults, size)
        if faults:
            return Taken(outcome="quarantined", reason=_reason(faults[0].reason), kept=tuple(kept))
        for outcome in ("new", "conflict"):
            for one in kept:
                if one.result == outcome:
                    return Taken(outcome=outcome, reason=_reason(one.reason), kept=tuple(kept))
        return Taken(outcome="known", kept=tuple(kept))

    async def _has_quarantine_room(self, size: int) -> bool:
        quarantine, most = self._quarantine, self.judging.quarantine
        if quarantine.counted_at is None or self._clock() - quarantine.counted_at > RECOUNT_S:
            quarantine.entries, quarantine.bytes = await self.keeper.run(lambda store: store.quarantine_size())
            quarantine.counted_at = self._clock()
        return quarantine.entries < most.entries and quarantine.bytes + size <= most.size_bytes

    def _tell(self, taken: Taken, way: Way, where: str, size: int) -> None:
        say = self._log.warning if taken.outcome in _WARNED else self._log.info
        if not taken.kept:
            say(_EVENTS[taken.outcome], source=way.name, where=where, size_bytes=size, reason=taken.reason)
        for one in taken.kept:
            say(
                _EVENTS[one.result],
                source=way.name,
                where=where,
                size_bytes=size,
                id=one.id,
                report_id=one.report_id,
                reason=_reason(one.reason),
            )


class _Quarantine:
    """How much waits in quarantine, counted up between two looks."""

    def __init__(self) -> None:
        self.entries = 0
        self.bytes = 0
        self.counted_at: float | None = None

    def add(self, entries: int, size: int) -> None:
        self.entries += entries
        self.bytes += size


_EVENTS: dict[str, str] = {
    "new": "report kept",
    "known": "report known already",
    "conflict": "report in conflict with another",
    "quarantined": "report quarantined",
    "other": "no TLS report",
    "too-large": "document too large",
    "refused": "report refused",
    "unkept": "report unreadable and not kept",
}
_NO_REPORT = "no TLS report: "
_WARNED: frozenset[Outcome] = frozenset(("conflict", "quarantined", "too-large", "refused", "unkept"))


def _look_at_each(
    arrival: Arrival, signatures: tuple[Signature, ...] | None, noted: tuple[Finding, ...], owned: Owned
) -> list[IncomingReport]:
    """The reports of a document with all that is known of where they came from."""
    return [_look_at(each, arrival, signatures, noted, owned) for each in arrival.reports]


def _look_at(
    incoming: IncomingReport,
    arrival: Arrival,
    signatures: tuple[Signature, ...] | None,
    noted: tuple[Finding, ...],
    owned: Owned,
) -> IncomingReport:
    foreign = not _is_ours(incoming, owned)
    if signatures is None:
        if not noted and not foreign:
            return incoming
        return replace(incoming, findings=(*noted, *incoming.findings), foreign=foreign)
    proof = judge(incoming.report, arrival.headers, signatures)
    return replace(
        incoming,
        findings=(*noted, *proof.findings, *incoming.findings),
        dkim=proof.verdict,
        dkim_domain=proof.domain,
        foreign=foreign,
    )


def _who_speaks(incoming: IncomingReport) -> str:
    """Whose rate a report counts for. What others send in a name does not use up what is proven to come from it."""
    return f"{incoming.report.submitter} proven" if incoming.dkim == "pass" else incoming.report.submitter


def _is_ours(incoming: IncomingReport, owned: Owned) -> bool:
    """Whether any domain that a report is filed under, or about, is ours (A-14)."""
    if owned.everything:
        return True
    domains = {*incoming.report_domains, *(entry.policy.policy_domain for entry in incoming.report.policies)}
    return any(map(owned.owns, domains))


def _read_if_small(read: Callable[..., Arrival], limits: Limits) -> Arrival | None:
    """What a small document holds; None where it is small only because it is packed, and too much for the loop."""
    try:
        return read(limits=_loop_limits(limits), within_limits=True)
    except LimitError:
        return None


@lru_cache(4)
def _loop_limits(limits: Limits) -> Limits:
    return replace(limits, decompressed_bytes=min(limits.decompressed_bytes, SMALL_UNPACKED_BYTES))


def _too_large(size: int, limits: Limits) -> Taken:
    most = limits.compressed_bytes
    return Taken(outcome="too-large", reason=f"{size:,} bytes, more than limits.compressed_bytes = {most:,}")


def _unproven(report: IncomingReport, way: Way) -> str:
    if report.dkim is None:
        why = "came by HTTPS, which proves no sender" if way.kind == "https" else "its DKIM signature was not looked at"
    else:
        why = {
            "pass-other": f"DKIM: signed by {report.dkim_domain}, not by its submitter",
            "fail": "DKIM: no signature is valid",
            "none": "DKIM: no signature",
        }[report.dkim]
    return f"not proven to come from {report.report.submitter}: {why}"


def _reason(text: str) -> str:
    return printable(text, limit=REASON_CHARACTERS) if text else ""

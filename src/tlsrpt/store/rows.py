"""An arrival made ready for the store: identity, content, compressed bytes, rows, its share in the tallies.

Pure, without SQL, and what comes out pickles: worker processes prepare, one process writes.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from importlib import import_module
from typing import Any, TypeVar, cast

import msgspec
from msgspec import Struct

from tlsrpt.core.findings import Finding
from tlsrpt.core.report import PolicyResult, Report
from tlsrpt.store.counting import TEXT_LIMIT, Detail, Entry, Share, make_detail, policy_mode, share
from tlsrpt.store.values import PROVEN, Arrival, Fault, IncomingReport, MailHeaders

# The largest mailbox providers see some 10^9 sessions a day. Sums of 64 bits then hold nine million reports of a liar
# who always claims the most: no report can make a query overflow (SQLite's sum() raises when it does).
MOST_SESSIONS = 10**12

_EPOCH, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_MICROSECOND = timedelta(microseconds=1)
_GZIP_MAGIC = b"\x1f\x8b"
# PostgreSQL refuses NUL in a text, and no database takes half a surrogate pair.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_PLACE = re.compile(r"policies\[(\d+)\](?:\.failure-details\[(\d+)\])?(?=[.\[]|\Z)")
_encode = msgspec.json.Encoder().encode

T = TypeVar("T")
Row = tuple[Any, ...]


class PreparedReport(Struct, frozen=True, kw_only=True, tag=True, array_like=True, gc=False):
    """One report as rows; what only the store knows (ids, whether it is counted) is not in them."""

    identity: bytes
    content: bytes
    report_id: str | None
    report: Row  # schema.report from where_ to dkim_domain
    policies: tuple[Row, ...]  # schema.policy after report_id
    failures: tuple[Row, ...]  # schema.failure but for report_id
    findings: tuple[Row, ...]  # schema.finding after report_id
    filed: tuple[tuple[str, int], ...]
    domains: tuple[str, ...]
    share: Share
    proven: bool  # signed by its submitter
    foreign: bool  # for domains that are not ours


class PreparedFault(Struct, frozen=True, kw_only=True, tag=True, array_like=True, gc=False):
    """What could not be read; `where` is its own within the document."""

    where: str
    reason: str
    report_id: str | None = None


class Prepared(Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """One document, ready to be kept; without items there is nothing to keep."""

    sha256: bytes
    source: str
    file_name: str | None
    received_at: int
    document: Row  # schema.document after id
    items: tuple[PreparedReport | PreparedFault, ...]  # the arrival's reports, then its faults, in order


def prepare(arrival: Arrival) -> Prepared:
    """Make an arrival ready to be kept.

    A report that can't be kept (more sessions than MOST_SESSIONS, a window outside the years 1970 to 9999) becomes a
    fault: it goes to quarantine, and the other reports of the document are not held up by it.
    """
    places: dict[str, int] = {}
    received_at = seconds(arrival.received_at)
    items: list[PreparedReport | PreparedFault] = []
    for incoming in arrival.reports:
        reason = _unfit(incoming.report)
        if reason:
            items.append(_fault(Fault(reason=reason, where=incoming.where), places, incoming.report.report_id))
        else:
            items.append(_prepare_report(incoming, received_at))
    items.extend(_fault(fault, places) for fault in arrival.faults)
    digest = sha256(arrival.raw).digest()
    packing, packed = ("", b"") if not items else pack(arrival.raw)
    headers = arrival.headers or MailHeaders()
    source, file_name = storable(arrival.source), _storable(arrival.file_name)
    document = (
        digest,
        source,
        arrival.form,
        file_name,
        received_at,
        _storable(headers.sender),
        _storable(headers.report_domain),
        _storable(headers.submitter),
        _storable(headers.message_id),
        _storable(headers.date),
        len(arrival.raw),
        packing,
        packed,
    )
    return Prepared(
        sha256=digest,
        source=source,
        file_name=file_name,
        received_at=received_at,
        document=document,
        items=tuple(items),
    )


def seconds(moment: datetime) -> int:
    """Whole seconds since 1970 UTC, rounded down; any year that a datetime can have."""
    return (moment - _EPOCH) // _SECOND


def storable(text: str) -> str:
    r"""The text as every engine can keep it: NUL and half surrogate pairs as escapes (`\x00`, `\ud800`)."""
    if text.isascii() and "\0" not in text:
        return text
    return _UNSTORABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


@lru_cache(maxsize=1024)  # a domain has a few policies, quoted in every report
def texts(array: str | None) -> tuple[str, ...]:
    """A list of texts, from the JSON array that the tables have it as."""
    return () if array is None else tuple(json.loads(array))


def _storable(text: str | None) -> str | None:
    return None if text is None else storable(text)


def pack(raw: bytes) -> tuple[str, bytes]:
    """Compress a document: how (`deflate` or, as it is, nothing) and the bytes."""
    if raw.startswith(_GZIP_MAGIC):
        return "", raw
    packed = _deflate()(raw)
    return ("deflate", packed) if len(packed) < len(raw) else ("", raw)


@lru_cache(maxsize=1)
def _deflate() -> Callable[[bytes], bytes]:
    """isal's compressor if the extra `speed` is installed, in a quarter of the time, else zlib's."""
    try:
        isal = import_module("isal.isal_zlib")
    except ImportError:
        return zlib_deflate
    return lambda raw: isal.compress(raw, 1, -15)


def zlib_deflate(raw: bytes) -> bytes:
    """Bare deflate with a window of 8 KiB and little memory, for a mail of a few KiB.

    Setting up the usual tables would take longer than compressing it (105 microseconds against 33).
    """
    window, memory = (-13, 6) if len(raw) < 65_536 else (-15, 8)
    deflate = zlib.compressobj(1, zlib.DEFLATED, window, memory)
    return deflate.compress(raw) + deflate.flush()


def unpack(packing: str, packed: bytes) -> bytes:
    """The document as received."""
    return zlib.decompress(packed, -15) if packing == "deflate" else packed


def _unfit(report: Report) -> str:
    """Why a report can't be kept; empty for nearly all."""
    window = report.date_range
    if not (_EPOCH <= window.start_datetime <= _LATEST and _EPOCH <= window.end_datetime <= _LATEST):
        return "the window lies outside the years 1970 to 9999"
    summed = listed = 0
    for entry in report.policies:
        summed += entry.summary.total_successful_session_count + entry.summary.total_failure_session_count
        for detail in entry.failure_details or ():
            listed += detail.failed_session_count
    if max(summed, listed) > MOST_SESSIONS:
        return "more than 1,000,000,000,000 sessions in one report: no sender has that many"
    return ""


def _fault(fault: Fault, places: dict[str, int], report_id: str | None = None) -> PreparedFault:
    """Two faults at one place of a document are told apart by a number."""
    where = storable(fault.where)
    places[where] = times = places.get(where, 0) + 1
    return PreparedFault(
        where=where if times == 1 else f"{where}#{times}",
        reason=storable(fault.reason),
        report_id=_storable(report_id),
    )


def _prepare_report(incoming: IncomingReport, received_at: int) -> PreparedReport:
    report = incoming.report
    extras = incoming.extras
    try:
        content = _content(report, extras)
    except UnicodeEncodeError:  # half a surrogate pair
        content = None
    if content is None:
        report, extras = _clean(report), _clean(extras)
        content = _content(report, extras) or b""
    start = seconds(report.date_range.start_datetime)
    end = seconds(report.date_range.end_datetime)
    day = start // 86_400
    submitter = report.submitter
    sender = storable(submitter)[:TEXT_LIMIT]
    policies: list[Row] = []
    failures: list[Row] = []
    entries: list[Entry] = []
    for n, (entry, report_domain) in enumerate(zip(report.policies, incoming.report_domains, strict=True)):
        policies.append(_policy_row(n, entry, report_domain))
        failures += _failure_rows(n, entry, report_domain, day)
        entries.append(_entry(entry, report_domain))
    findings = tuple(_finding_row(n, finding) for n, finding in enumerate(incoming.findings))
    domains = dict.fromkeys(incoming.report_domains or ("",))
    filed = dict.fromkeys((*domains, *(entry.policy_domain for entry in entries)))
    identity = _identity(report, submitter, start, end)
    return PreparedReport(
        identity=identity,
        content=content,
        report_id=report.report_id,
        report=(
            storable(incoming.where),
            identity,
            content,
            report.organization_name,
            report.contact_info,
            sender,
            report.report_id,
            start,
            end,
            day,
            received_at,
            report.successful,
            report.failed,
            len(findings),
            json.dumps(extras, sort_keys=True) if extras else None,
            incoming.dkim,
            None if incoming.dkim_domain is None else storable(incoming.dkim_domain)[:TEXT_LIMIT],
        ),
        policies=tuple(policies),
        failures=tuple(failures),
        findings=findings,
        filed=tuple((domain, day) for domain in filed),
        domains=tuple(domains),
        share=share(day, sender, entries),
        proven=incoming.dkim == PROVEN,
        foreign=incoming.foreign,
    )


def _policy_row(n: int, entry: PolicyResult, report_domain: str) -> Row:
    policy, details = entry.policy, entry.failure_details
    return (
        n,
        policy.policy_type,
        policy.policy_domain,
        report_domain,
        None if policy.policy_string is None else _encode(policy.policy_string).decode(),
        None if policy.mx_host is None else _encode(policy.mx_host).decode(),
        entry.summary.total_successful_session_count,
        entry.summary.total_failure_session_count,
        None if details is None else len(details),
    )


def _failure_rows(n: int, entry: PolicyResult, report_domain: str, day: int) -> list[Row]:
    policy = entry.policy
    return [
        (
            report_domain,
            day,
            n,
            m,
            policy.policy_type,
            policy.policy_domain,
            detail.result_type,
            detail.failed_session_count,
            detail.sending_mta_ip,
            detail.receiving_mx_hostname,
            detail.receiving_mx_helo,
            detail.receiving_ip,
            detail.additional_information,
            detail.failure_reason_code,
        )
        for m, detail in enumerate(entry.failure_details or ())
    ]


def _finding_row(n: int, finding: Finding) -> Row:
    return (
        n,
        finding.code,
        finding.severity,
        storable(finding.where),
        storable(finding.message),
        storable(finding.consequence),
        storable(finding.fix),
    )


def _entry(entry: PolicyResult, report_domain: str) -> Entry:
    policy = entry.policy
    details: list[Detail] = [
        make_detail(
            detail.result_type,
            detail.receiving_mx_hostname,
            detail.receiving_ip,
            detail.failure_reason_code,
            detail.failed_session_count,
        )
        for detail in entry.failure_details or ()
    ]
    return Entry(
        (policy.policy_type or "")[:TEXT_LIMIT],
        policy.policy_domain[:TEXT_LIMIT],
        report_domain,
        policy_mode(policy.policy_string),
        entry.summary.total_successful_session_count,
        entry.summary.total_failure_session_count,
        details,
    )


def _identity(report: Report, submitter: str, start: int, end: int) -> bytes:
    """Which report it is, from the JSON alone (DESIGN promise 2; F-18, F-26, A-08): not which copy of it."""
    domains = sorted({entry.policy.policy_domain for entry in report.policies})
    return sha256(_encode((submitter.lower(), report.report_id, start, end, domains))).digest()[:16]


def _content(report: Report, extras: dict[str, object]) -> bytes | None:
    """What a report says: a hash of the parsed values, whatever the order of keys, policies and details.

    Returns None where a text holds NUL, which has to be replaced first.
    Raises: UnicodeEncodeError where a text holds half a surrogate pair.
    """
    placed = _extras_by_place(extras, report.policies) if extras else {}
    entries = sorted([_entry_content(entry, i, placed) for i, entry in enumerate(report.policies)])
    window = report.date_range
    head = _encode(
        (
            report.organization_name,
            report.contact_info,
            report.report_id,
            (window.start_datetime - _EPOCH) // _MICROSECOND,
            (window.end_datetime - _EPOCH) // _MICROSECOND,
        )
    )
    whole = b"\0".join((head, *placed.get((None, None), ()), *entries))  # JSON text holds neither \0 nor \n
    return None if b"\\u0000" in whole else sha256(whole).digest()[:16]


Place = tuple[int | None, int | None]


def _entry_content(entry: PolicyResult, i: int, placed: dict[Place, list[bytes]]) -> bytes:
    details = map(_encode, entry.failure_details or ())
    if not placed:  # nearly every report
        return b"\n".join((_encode(entry.policy), _encode(entry.summary), *sorted(details)))
    rows = sorted([detail + b"".join(placed.get((i, j), ())) for j, detail in enumerate(details)])
    return b"\n".join((_encode(entry.policy), _encode(entry.summary), *placed.get((i, None), ()), *rows))


def _extras_by_place(extras: dict[str, object], policies: Sequence[PolicyResult]) -> dict[Place, list[bytes]]:
    """Unknown keys beside the entry or row that they stand in, so that their order means nothing there either."""
    result: dict[Place, list[bytes]] = {}
    for path, value in sorted(extras.items()):
        place: Place = (None, None)
        rest = path
        found = _PLACE.match(path)
        if found is not None and len(found[1]) < 9 and len(found[2] or "") < 9:
            i, j = int(found[1]), None if found[2] is None else int(found[2])
            details = policies[i].failure_details or () if i < len(policies) else ()
            if i < len(policies) and (j is None or j < len(details)):
                place, rest = (i, j), path[found.end() :]
        result.setdefault(place, []).append(json.dumps([rest, value], sort_keys=True).encode())
    return result


def _clean(value: T) -> T:
    """The same value with every text in it storable."""
    result: Any = value
    if isinstance(value, str):
        result = storable(value)
    elif isinstance(value, Struct):
        result = type(value)(**{name: _clean(getattr(value, name)) for name in value.__struct_fields__})
    elif isinstance(value, dict):
        result = {_clean(key): _clean(item) for key, item in value.items()}
    elif isinstance(value, list | tuple):
        result = type(value)(map(_clean, value))
    return cast(T, result)

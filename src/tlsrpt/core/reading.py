"""Bytes from outside -> reports, each with the list of its deviations (RFC 8460 sections 4.4 and 5.2).

The document is told by its content: JSON, gzip, zip, tar, one report or many. A report that keeps to the RFC takes the
fast way (`exact`); any other is read leniently (`lenient`) and every departure is noted as a Finding. Four outcomes:
read, read with findings, a ReportError (a TLS report that can't be read) and none at all (something else).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from tlsrpt.core import exact, unpacking
from tlsrpt.core.errors import LimitError, NoReportError, ReportError, StrictError
from tlsrpt.core.filename import parse_file_name
from tlsrpt.core.findings import DOCUMENT, SENDERS_FAULT, Finding
from tlsrpt.core.jsontext import LARGE, check_size, decode, documents
from tlsrpt.core.lenient import Around, looks_like_report, read_report
from tlsrpt.core.limits import DEFAULT_LIMITS, Limits
from tlsrpt.core.notes import Notes, Place, shown
from tlsrpt.core.report import Report
from tlsrpt.core.unpacking import Budget, Leaf, unpack

_TOP = Place()
_ROWS = ("policies", "failure_details")
_ARCHIVES = ("zip", "tar")
_RFC_KEY = re.compile(r'"(organi[sz]ation[-_]name|date[-_]range|contact[-_]info|report[-_]id|policies)"', re.IGNORECASE)
_START = 64 * 1024  # characters in which a broken text is looked at for what it was


class ReadReport(Struct, frozen=True, kw_only=True, gc=False):
    """One report as read.

    Attributes:
        report: its values.
        findings: one for each kind of deviation, in document order.
        extras: JSON path -> value of each key that the RFC does not know.
        packing: the layers around it, outermost first: ("gzip",), ("zip", "gzip"), ().
        member: its name in an archive, safe to show.
    """

    report: Report
    findings: tuple[Finding, ...] = ()
    extras: dict[str, object] = {}
    packing: tuple[str, ...] = ()
    member: str = ""


class Other(Struct, frozen=True, kw_only=True):
    """A document that is no TLS report: what it is, where it was, and its bytes if it is a mail that may hold one."""

    what: str
    where: str = ""
    mail: bytes = b""


class Document(Struct, frozen=True, kw_only=True):
    """Everything that one document held."""

    reports: tuple[ReadReport, ...] = ()
    faults: tuple[ReportError, ...] = ()  # TLS reports that could not be read; `where` begins with the member
    others: tuple[Other, ...] = ()


def read_document(
    data: bytes,
    *,
    limits: Limits = DEFAULT_LIMITS,
    report_domain: str | None = None,
    submitter: str | None = None,
    file_name: str | None = None,
    strict: bool = False,
    budget: Budget | None = None,
) -> Document:
    """Read all that a document holds: the reports, those that could not be read, and what else there was.

    Never raises for what the bytes hold.

    Args:
        data: the document as sent.
        limits: see Limits.
        report_domain: what TLS-Report-Domain said; completes a report without a policy-domain (F-30).
        submitter: what TLS-Report-Submitter said; names the sender of a report that does not.
        file_name: the name it was sent under; evidence, as above, and for the window (F-23).
        strict: a deviation makes a report a fault (StrictError).
        budget: what other attachments of the same mail have left; None: all that the limits allow.
    """
    budget = budget or Budget(limits)
    usual = None if strict else _usual(data, limits, budget)
    if usual is not None:
        try:
            budget.count_report(usual.report)
        except LimitError as error:
            return Document(faults=(error,))
        return Document(reports=(usual,))
    labelled = bool(report_domain or submitter or (file_name and parse_file_name(file_name)))
    around = Around(report_domain, submitter, parse_file_name(file_name) if file_name else None)
    reports: list[ReadReport] = []
    faults: list[ReportError] = []
    others: list[Other] = []
    for item in _read_each(data, around, labelled, strict, budget):
        if isinstance(item, ReadReport):
            reports.append(item)
        elif isinstance(item, ReportError):
            faults.append(item)
        else:
            others.append(item)
    if not (reports or faults or others):
        others.append(Other(what="an empty archive"))
    reports = [_with_packing(read, alone=len(reports) == 1) for read in reports]
    if strict:
        faults += [_strict_error(read) for read in reports if _deviates(read)]
        reports = [read for read in reports if not _deviates(read)]
    return Document(reports=tuple(reports), faults=tuple(faults), others=tuple(others))


def read_reports(
    data: bytes,
    *,
    limits: Limits = DEFAULT_LIMITS,
    report_domain: str | None = None,
    submitter: str | None = None,
    file_name: str | None = None,
    strict: bool = False,
) -> list[ReadReport]:
    """Read the reports in a document from outside, and note where each departs from the RFC.

    Args: as for `read_document`.
    Returns:
        Each report with one Finding per kind of deviation, in document order; at least one report.
    Raises:
        LimitError: a limit was passed; names it.
        StrictError: with `strict`, a report departs from the RFC; carries the findings.
        ReportError: a TLS report, but nothing of it could be read; `where` is a JSON path.
        NoReportError: no TLS report; `what` says what it is, where that is known.
    """
    usual = None if strict else _usual(data, limits)
    if usual is not None:
        return [usual]
    document = read_document(
        data, limits=limits, report_domain=report_domain, submitter=submitter, file_name=file_name, strict=strict
    )
    if document.faults and (strict or not document.reports):
        raise document.faults[0]
    if not document.reports:
        raise NoReportError(document.others[0].what)
    return list(document.reports)


def parse_report(
    data: bytes,
    *,
    limits: Limits = DEFAULT_LIMITS,
    report_domain: str | None = None,
    submitter: str | None = None,
    file_name: str | None = None,
    strict: bool = False,
) -> ReadReport:
    """Read the one report in a document. As `read_reports`, and a ReportError if there are several."""
    usual = None if strict else _usual(data, limits)
    if usual is not None:
        return usual
    reports = read_reports(
        data, limits=limits, report_domain=report_domain, submitter=submitter, file_name=file_name, strict=strict
    )
    if len(reports) > 1:
        raise ReportError(f"{len(reports)} reports where one was expected", fix="use read_reports")
    return reports[0]


def _usual(data: bytes, limits: Limits, budget: Budget | None = None) -> ReadReport | None:
    """The usual document at once: a small JSON, or gzip of it, that keeps to the RFC in every point."""
    if len(data) > limits.compressed_bytes:
        return None
    if data.startswith(b"{"):
        report = exact.decode(data, limits) if len(data) < LARGE else None
        return None if report is None else ReadReport(report=report)
    content = unpacking.gunzip(data) if data.startswith(unpacking.GZIP_MAGIC) else None
    left = limits.decompressed_bytes if budget is None else budget.left
    if content is None or len(content) >= LARGE or len(content) > left:
        return None
    report = exact.decode(content, limits) if content.startswith(b"{") else None
    if budget is not None and report is not None:
        budget.left = left - len(content)
    return None if report is None else ReadReport(report=report, packing=("gzip",))


def _read_each(
    data: bytes, around: Around, labelled: bool, strict: bool, budget: Budget
) -> Iterator[ReadReport | ReportError | Other]:
    """Everything in a document; after a limit on rows nothing follows, for whoever passed it may go on for long."""
    limits = budget.limits
    for leaf in unpack(data, limits, budget):
        if isinstance(leaf, ReportError):
            yield leaf
            continue
        name = leaf.member.rpartition("/")[2]
        inner = around._replace(file_name=parse_file_name(name)) if name else around
        for item in _read_leaf(leaf, limits, inner, labelled or inner.file_name is not None, strict):
            if isinstance(item, ReadReport):
                try:
                    budget.count_report(item.report)
                except LimitError as error:
                    yield _within(error, leaf)
                    return
            yield item
            if isinstance(item, LimitError) and item.limit in _ROWS:
                return


def _read_leaf(
    leaf: Leaf, limits: Limits, around: Around, labelled: bool, strict: bool
) -> Iterator[ReadReport | ReportError | Other]:
    """Everything in one unpacked document; `labelled`: its name or its mail call it a TLS report."""
    if leaf.damage:
        yield _damaged(leaf, labelled)
        return
    notes = Notes()
    try:
        check_size(leaf.data, limits)
        usual = not strict and leaf.data.startswith(b"{")  # strict: the lenient reader alone sees keys that stand twice
        if usual and (report := exact.decode(leaf.data, limits)) is not None:
            yield ReadReport(report=report, findings=leaf.findings, packing=leaf.packing, member=leaf.member)
            return
        text = decode(leaf.data, notes)
        what = _what_text_is(text)
        if what is not None:
            yield _other(what, leaf)
            return
        values = list(documents(text, notes, limits))
    except LimitError as error:
        yield _within(error, leaf)
        return
    except ReportError as error:
        if labelled or len(set(map(str.lower, _RFC_KEY.findall(text[:_START])))) >= 2 or '"policies"' in text[:_START]:
            yield _within(error, leaf)
        else:
            yield _other(f"no TLS report: {error.what}", leaf)
        return
    for value in values:
        yield from _read_value(value, leaf, notes, limits, around)


def _read_value(
    value: object, leaf: Leaf, text_notes: Notes, limits: Limits, around: Around
) -> Iterator[ReadReport | ReportError | Other]:
    candidates = list(_candidates(value))
    if not candidates:
        yield _other(_what_json_is(value), leaf)
    for candidate, wrapped in candidates:
        notes = Notes()
        if wrapped:
            notes.note(*wrapped)
        try:
            report = read_report(candidate, notes, limits, around)
        except ReportError as error:
            yield _within(error, leaf)
            continue
        yield ReadReport(
            report=report,
            findings=leaf.findings + text_notes.findings() + notes.findings(),
            extras=notes.extras,
            packing=leaf.packing,
            member=leaf.member,
        )


_Note = tuple[str, Place, str, str]


def _candidates(value: object, depth: int = 2) -> Iterator[tuple[dict[str, object], _Note | None]]:
    """The reports in a JSON value: itself, the elements of an array, what a wrapping object or string holds."""
    if isinstance(value, dict):
        if looks_like_report(value):
            yield value, None
        elif depth:
            for key, inner in value.items():
                if isinstance(inner, (dict, list)):
                    for report, _ in _candidates(inner, depth - 1):
                        yield (
                            report,
                            ("wrapper-object", _TOP, f"the report stands under {shown(key)}", "read from there"),
                        )
    elif isinstance(value, list):
        for inner in value:
            if isinstance(inner, (dict, list)) and depth:
                for report, _ in _candidates(inner, depth - 1):
                    yield report, ("type-report", _TOP, "the report stands in an array", "each was read")


# --- what is no report -----------------------------------------------------------------------------------------------


def _damaged(leaf: Leaf, labelled: bool) -> ReportError | Other:
    """A stream that broke off: a TLS report if it began as JSON or was called one, for then it must not be lost."""
    text = decode(leaf.data[:_START], Notes())
    what = _what_text_is(text)
    if text.lstrip()[:1] in ("{", "[") or (labelled and not text):
        return _within(ReportError(leaf.damage, fix="ask the sender to send it again"), leaf)
    if what is not None and text:
        return _other(f"{what}, damaged", leaf)
    return _other(f"no TLS report ({leaf.damage})", leaf)


def _what_text_is(text: str) -> str | None:
    """What a text is that is no JSON; None for one that may be."""
    start = text[:4096].lstrip(" \t\r\n\x00\ufeff,;\x1e")
    if not start:
        return "an empty file"
    if start[0] in '{["':
        return None
    low = start.lower()
    if low.startswith("<"):
        if "<feedback" in low or "policy_published" in low:
            return "a DMARC report"
        return "an HTML page" if "<html" in low or "<!doctype html" in low else "an XML document"
    if low.startswith("%pdf"):
        return "a PDF"
    if re.match(r"(?:from \S|[a-z][a-z0-9-]{1,60}:[ \t\r\n])", low) and re.search(
        r"(?m)^(?:from|to|date|subject|received|message-id|mime-version|return-path|delivered-to):", low
    ):
        return "a mail message"
    if re.match(r"[\d.+-]|true\b|false\b|null\b", low):
        return "no TLS report"
    return "a text" if sum(map(str.isprintable, start[:200])) > 0.9 * len(start[:200]) else "no TLS report"


def _what_json_is(value: object) -> str:
    if isinstance(value, dict):
        keys = {key.lower().replace("-", "_") for key in value if len(key) < 40}
        if keys & {"policy_published", "report_metadata"}:
            return "a DMARC report"
    return "JSON, but no TLS report"


def _other(what: str, leaf: Leaf) -> Other:
    return Other(what=what, where=leaf.member, mail=leaf.data if what == "a mail message" else b"")


def _within(error: ReportError, leaf: Leaf) -> ReportError:
    """The error, with the archive's member in front of its place."""
    error.where = ": ".join(filter(None, (leaf.member, error.where)))
    return error


# --- findings about the document -------------------------------------------------------------------------------------

_NOT_GZIP = {
    "zip": "the report is in a zip, not in gzip (RFC 8460 section 5.2)",
    "tar": "the report is in a tar archive",
    "bzip2": "the report is compressed by bzip2, not by gzip (RFC 8460 section 5.2)",
    "xz": "the report is compressed by xz, not by gzip (RFC 8460 section 5.2)",
    "zlib": "the report is a zlib stream, not gzip (RFC 8460 section 5.2)",
}


def _with_packing(read: ReadReport, *, alone: bool) -> ReadReport:
    """The report with findings on how it was packed; an archive of many reports is somebody's collection, no fault."""
    if read.packing in ((), ("gzip",)) or not (alone or not set(_ARCHIVES) & set(read.packing)):
        return read
    found = [(f"compression-{layer}", _NOT_GZIP[layer]) for layer in _NOT_GZIP if layer in read.packing]
    if read.packing.count("gzip") > 1:
        found.append(("compression-double", f"compressed {read.packing.count('gzip')} times over"))
    findings = tuple(
        Finding(
            code=code,
            severity="warning",
            where=DOCUMENT,
            message=what,
            consequence="unpacked, then read",
            fix=SENDERS_FAULT,
        )
        for code, what in found
    )
    return replace(read, findings=findings + read.findings)


def _deviates(read: ReadReport) -> bool:
    return any(finding.severity != "info" for finding in read.findings)


def _strict_error(read: ReadReport) -> StrictError:
    findings = [finding for finding in read.findings if finding.severity != "info"]
    first = findings[0]
    more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    where = ": ".join(filter(None, (read.member, first.where)))
    return StrictError(f"departs from RFC 8460: {first.message}{more}", findings=findings, where=where)

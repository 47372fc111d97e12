"""The one door for received reports: a document of any kind in, an Arrival out, with all that was noted on the way.

Pure: no source, no store, no clock. Every way in goes through here, so a report is read the same way, is judged the
same way and has the same identity, whether it came as a file, by mail or in a request.
"""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from tlsrpt.core.domain import parse_domain
from tlsrpt.core.errors import DomainError, LimitError, ReportError
from tlsrpt.core.filename import file_name_findings, parse_file_name
from tlsrpt.core.findings import SENDERS_FAULT, Finding
from tlsrpt.core.limits import Limits
from tlsrpt.core.mbox import is_mbox
from tlsrpt.core.message import Headers, Message, Part, header_findings, is_message, label_findings, take_apart
from tlsrpt.core.reading import Document, ReadReport, read_document
from tlsrpt.core.report import Report
from tlsrpt.core.unpacking import Budget
from tlsrpt.store.values import Arrival, Fault, IncomingReport, MailHeaders


class _Inside(Struct):
    """What was found in a document, while it is collected."""

    reports: list[IncomingReport]
    faults: list[Fault]
    other: list[str]
    budget: Budget  # for all of them: a mail of a thousand small bombs is one large bomb
    within_limits: bool  # a limit that is passed is raised, not noted


def open_document(
    data: bytes,
    *,
    source: str,
    file_name: str,
    limits: Limits,
    received_at: datetime,
    alone_in_zip: bool = False,
    strict: bool = False,
    within_limits: bool = False,
) -> Arrival:
    """Read everything in one document: a mail, a report, an archive of reports.

    Args:
        data: the document as received.
        source: where it came from, for people.
        file_name: its own name, evidence where the report itself says less (F-30); "" where it has none.
        alone_in_zip: it was the only file of a zip archive, already unpacked (F-11).
        strict: refuse reports that depart from the RFC.
        within_limits: raise where a limit is passed, for who means to try again under higher ones.
    Returns:
        The reports, the faults (a TLS report that can't be read: for quarantine), or in `other` what it is instead.
    Raises:
        LimitError: with `within_limits` only.
    """
    inside = _Inside(reports=[], faults=[], other=[], budget=Budget(limits), within_limits=within_limits)
    message: Message | None = None
    mail = is_message(data) or is_mbox(data)  # a mail alias of Postfix puts a `From ` line in front
    if mail:
        message = _open_message(data, inside, limits, strict)
    else:
        _open_body(data, inside, file_name, limits, strict, alone_in_zip)
    nothing = not inside.reports and not inside.faults
    return Arrival(
        source=source,
        received_at=received_at,
        raw=data,
        form="message" if mail else "body",
        file_name=file_name or None,
        headers=_mail_headers(message.headers) if message else None,
        reports=tuple(inside.reports),
        faults=tuple(inside.faults),
        other=(inside.other[0] if inside.other else "nothing in it") if nothing else None,
    )


def _open_body(data: bytes, inside: _Inside, file_name: str, limits: Limits, strict: bool, alone_in_zip: bool) -> None:
    document = read_document(data, limits=limits, file_name=file_name or None, strict=strict, budget=inside.budget)
    _mind_limits(inside, document)
    noted = (_ZIPPED,) if alone_in_zip else ()
    for read in document.reports:
        _take_report(inside, _incoming(read, None, file_name or None, noted, read.member), strict)
    inside.faults += [_fault(error) for error in document.faults]
    _take_others(document, inside, limits, strict)


def _take_others(document: Document, inside: _Inside, limits: Limits, strict: bool) -> None:
    """Mails inside of archives are opened too; anything else is remembered by what it is."""
    for other in document.others:
        if other.mail:
            _open_message(other.mail, inside, limits, strict)
        else:
            inside.other.append(other.what)


def _open_message(data: bytes, inside: _Inside, limits: Limits, strict: bool) -> Message | None:
    try:
        message = take_apart(data, limits=limits)
    except LimitError as error:
        if inside.within_limits:
            raise
        inside.faults.append(_fault(error))
        return None
    if message.fault:
        inside.faults.append(Fault(reason=message.fault))
    for part in message.candidates:
        _open_part(part, message, inside, limits, strict)
    inside.other.append(message.kind_hint)
    return message


def _open_part(part: Part, message: Message, inside: _Inside, limits: Limits, strict: bool) -> None:
    where = part.file_name or part.media_type
    header = part.headers.report_domain
    document = read_document(
        part.data,
        limits=limits,
        report_domain=header,
        submitter=part.headers.submitter,
        file_name=part.file_name,
        strict=strict,
        budget=inside.budget,
    )
    _mind_limits(inside, document)
    inside.other += [other.what for other in document.others]  # mails in it are `take_apart`'s business
    if part.returned and (document.reports or document.faults):
        inside.faults.append(Fault(reason="a report of our own that bounced back (F-17); not counted", where=where))
        return
    if message.claims_report or document.reports:
        inside.faults += [_fault(error, where) for error in document.faults]
    else:  # spam carries broken archives too; only a mail that says it brings a TLS report is quarantined for one
        inside.other += [f"an attachment that can't be read: {error.what}" for error in document.faults]
    for read in document.reports:
        noted = (
            *message.findings,
            *part.findings,
            *label_findings(part, read.packing),
            *file_name_findings(part.file_name),
            *header_findings(part.headers, _contact_domain(read.report), _policy_domains(read.report)),
        )
        place = "/".join(filter(None, (where, read.member)))
        _take_report(inside, _incoming(read, header, part.file_name, noted, place), strict)


def _mind_limits(inside: _Inside, document: Document) -> None:
    for error in document.faults if inside.within_limits else ():
        if isinstance(error, LimitError):
            raise error


def _contact_domain(report: Report) -> str | None:
    return report.submitter if "@" in (report.contact_info or "") else None


def _policy_domains(report: Report) -> tuple[str, ...]:
    return tuple(dict.fromkeys(entry.policy.policy_domain for entry in report.policies))


def _take_report(inside: _Inside, incoming: IncomingReport, strict: bool) -> None:
    """Take a report, or in strict mode refuse one that anything was noted about, be it only its wrapping."""
    departures = [finding.code for finding in incoming.findings if finding.severity != "info"] if strict else []
    if departures:
        inside.faults.append(Fault(reason=f"departs from RFC 8460: {', '.join(departures)}", where=incoming.where))
    else:
        inside.reports.append(incoming)


def _fault(error: ReportError, where: str = "") -> Fault:
    reason = error.what + (f"; {error.fix}" if error.fix else "")
    return Fault(reason=reason, where=": ".join(filter(None, (where, error.where))))


def _incoming(
    read: ReadReport, header: str | None, file_name: str | None, noted: tuple[Finding, ...], where: str
) -> IncomingReport:
    return IncomingReport(
        report=read.report,
        report_domains=report_domains(read.report, header, file_name),
        findings=(*noted, *read.findings),
        extras=read.extras,
        where=where,
    )


def report_domains(report: Report, header: str | None, file_name: str | None) -> tuple[str, ...]:
    """For each policy of a report, the domain that it is filed under (DESIGN promise 8).

    TLS-Report-Domain, else the file name's, else the one sts or no-policy-found domain of the report, else the
    policy's own: DANE entries of some senders name the MX host instead of the domain the mail was for (F-31).
    """
    asked = _domain(header)
    if asked is None and file_name:
        named = parse_file_name(file_name)
        asked = _domain(named.domain) if named else None
    if asked is None:
        mail = {
            entry.policy.policy_domain
            for entry in report.policies
            if entry.policy.policy_type in ("sts", "no-policy-found")
        }
        asked = mail.pop() if len(mail) == 1 else None
    return tuple(asked or entry.policy.policy_domain for entry in report.policies)


def _domain(text: str | None) -> str | None:
    if not text:
        return None
    try:
        return parse_domain(text)
    except DomainError:
        return None


def _mail_headers(headers: Headers) -> MailHeaders:
    return MailHeaders(
        sender=headers.sender,
        report_domain=headers.report_domain,
        submitter=headers.submitter,
        message_id=headers.message_id,
        date=headers.date,
    )


_ZIPPED = Finding(
    code="compression-zip",
    severity="warning",
    where="attachment",
    message="the report came in a zip archive",
    consequence="read all the same; RFC 8460 section 5.1 knows .json and .json.gz",
    fix=SENDERS_FAULT,
)

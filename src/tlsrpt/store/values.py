"""What goes into the store and what comes back, as values. No SQL here: the door and the verbs import this cheaply."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from msgspec import Struct

from tlsrpt.core.findings import Finding
from tlsrpt.core.report import Report

Result = Literal["new", "known", "conflict", "quarantined"]
# What DKIM says of who sent a report. Only `pass` proves it; None: nobody looked (a file, a post).
Dkim = Literal[
    "pass",  # a valid signature of the submitter, or of a domain above it
    "pass-other",  # valid signatures, none of them the submitter's
    "fail",  # signatures, none valid
    "none",  # no signature
    "error",  # it can't be told: DNS did not say
]
PROVEN: Dkim = "pass"
Mark = Literal["none", "resolved", "ignored-until"]  # what a person says of an incident


class MailHeaders(Struct, frozen=True, kw_only=True):
    """The headers of a report mail that matter, as sent; None where absent."""

    sender: str | None = None  # From
    report_domain: str | None = None  # TLS-Report-Domain
    submitter: str | None = None  # TLS-Report-Submitter
    message_id: str | None = None
    date: str | None = None


class IncomingReport(Struct, frozen=True, kw_only=True):
    """One report that the door has read, with everything that was noted about it."""

    report: Report
    report_domains: tuple[str, ...]  # one for each entry of report.policies (DESIGN promise 8)
    findings: tuple[Finding, ...] = ()
    extras: dict[str, object] = {}  # JSON path -> value of each key that the RFC does not know
    where: str = ""  # the place in the document: attachment name, archive member
    dkim: Dkim | None = None
    dkim_domain: str | None = None  # d= of the signature that decided it
    foreign: bool = False  # for domains that are not ours: kept, in no figure


class Fault(Struct, frozen=True, kw_only=True):
    """A TLS report in the document that could not be read: it goes to quarantine with the document's bytes."""

    reason: str
    where: str = ""


class Arrival(Struct, frozen=True, kw_only=True):
    """One document as it came from a source: a mail, a file, a request body."""

    source: str  # "file:/var/mail/x.eml", "pipe", ...
    received_at: datetime
    raw: bytes  # as received
    form: Literal["message", "body"]
    file_name: str | None = None
    headers: MailHeaders | None = None
    reports: tuple[IncomingReport, ...] = ()
    faults: tuple[Fault, ...] = ()
    other: str | None = None  # "a DMARC report": no TLS report at all; such an arrival is not kept


class Kept(Struct, frozen=True, kw_only=True):
    """What became of one report, or of one fault, of an arrival."""

    result: Result
    id: int  # of the report, or of the quarantine entry
    report_id: str | None = None
    reason: str = ""  # of a conflict or a quarantine, why a report is in no figure, why it is from now on


class SourceState(Struct, frozen=True, kw_only=True):
    """How one source of the service was doing when the service last wrote it down."""

    name: str  # of the source, as configured
    kind: str  # https, lmtp, imap, ...
    state: str  # starting, working, trouble, stopped
    trouble: str = ""  # one line, while the state is trouble
    since: datetime  # of the state
    last_success: datetime | None = None  # a report was taken, or a mailbox looked through
    waiting: int | None = None  # documents that wait in a mailbox; None where nobody knows
    outcomes: dict[str, int] = {}  # documents by what became of them, since started_at
    turned_away: int = 0
    updated_at: datetime  # older than a few beats of the service: it runs no more
    started_at: datetime | None = None  # of the service's process
    host: str = ""  # where that runs, "" where it did not say
    pid: int | None = None


class FailureRow(Struct, frozen=True, kw_only=True, gc=False):
    """Failed sessions of one kind at one place, as one sender reported them for one UTC day; "" where not named."""

    report_domain: str
    day: date
    sender: str
    policy_type: str
    policy_mode: str = ""  # enforce, testing, none: of an sts policy, as the sender held it
    policy_domain: str = ""
    result_type: str = ""
    mx_host: str = ""
    receiving_ip: str = ""
    reason: str = ""  # failure-reason-code, shortened
    failed: int
    proven: bool = False  # in reports that their submitter signed (DKIM)


class Evidence(Struct, frozen=True, kw_only=True, gc=False):
    """One row of failure-details, as the sender wrote it, with the policy it was under; None where it wrote nothing."""

    report: int  # the short id, for `tlsrpt show`; 0: not kept
    day: date
    sender: str
    report_domain: str
    policy_domain: str
    policy_type: str | None
    result_type: str | None
    failed: int
    mx_host: str | None = None
    helo: str | None = None
    receiving_ip: str | None = None
    sending_mta_ip: str | None = None
    reason: str | None = None
    information: str | None = None  # additional-information: a link, never to be opened unasked
    policy_string: tuple[str, ...] = ()
    policy_mx: tuple[str, ...] = ()  # the hosts that the policy lists, by mx-host or else by policy-string


class Span(Struct, frozen=True, kw_only=True):
    """Some report domains in some UTC days, both included."""

    domains: tuple[str, ...]
    first: date
    last: date


class Beside(Struct, frozen=True, kw_only=True, gc=False):
    """What one sender reported on the domains of a span, within its days and after them."""

    sender: str
    successful: int
    failed: int
    verified_sts: int  # of the successful, as sent: under MTA-STS, where the sender looks at dates, names and chain
    verified_tlsa: int  # of the successful, as sent: under DANE, where it looks at the TLSA records
    latest: date  # the last UTC day with sessions
    later_days: int  # UTC days with sessions after those asked for


class Released(Struct, frozen=True, kw_only=True):
    """What a retry made of a quarantine entry."""

    state: Literal["waiting", "released", "other"]  # of the entry now: still unreadable, read, no TLS report after all
    kept: tuple[Kept, ...]  # of the whole document


class Remembered(Struct, frozen=True, kw_only=True):
    """One incident as remembered."""

    id: str
    place: str
    title: str
    first_seen: date
    last_seen: date
    mark: Mark = "none"
    mark_day: date | None = None  # resolved: seen up to then; ignored-until: the first day on which it counts again
    note: str = ""


class Memory(Struct, frozen=True, kw_only=True):
    """All that is remembered."""

    incidents: dict[str, Remembered] = {}  # by id
    ids: dict[str, str] = {}  # key -> id


class Sighting(Struct, frozen=True, kw_only=True):
    """An incident as it is told now, to be remembered."""

    id: str
    place: str
    title: str
    first_seen: date
    last_seen: date
    keys: tuple[str, ...]

"""A report as the world writes it: JSON values -> Report, with a note for each departure from RFC 8460 section 4.4.

The rule (field-notes-reports.md): what can be had honestly is read, the rest is refused as a whole. A sender, a window,
a policy domain for every entry and counts that are no less than zero must be there; nothing is guessed silently.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import NamedTuple

from msgspec.structs import replace

from tlsrpt.core import forms
from tlsrpt.core.domain import is_domain, parse_domain
from tlsrpt.core.errors import DomainError, LimitError, ReportError
from tlsrpt.core.filename import FileName
from tlsrpt.core.findings import SENDERS_FAULT
from tlsrpt.core.jsontext import Oversized, nested_array
from tlsrpt.core.limits import Limits
from tlsrpt.core.notes import Notes, Place, shown
from tlsrpt.core.report import (
    POLICY_STAGE,
    POLICY_TYPES,
    RESULT_TYPES,
    DateRange,
    FailureDetail,
    Policy,
    PolicyResult,
    Report,
    Summary,
)

_MAX_COUNT = 2**63 - 1
_MOST_UNKNOWN = 1000  # unknown keys of one object that are looked at and kept
_TOP = Place()


class Around(NamedTuple):
    """What came around the document and may complete it: evidence only, the JSON wins (R5.6-01)."""

    report_domain: str | None = None  # TLS-Report-Domain
    submitter: str | None = None  # TLS-Report-Submitter
    file_name: FileName | None = None


# --- keys ------------------------------------------------------------------------------------------------------------


def _squeezed(key: str) -> str:
    """A key without what styles of writing differ in: `receivingMXHostname`, `receiving_mx_host_name`."""
    return re.sub(r"[^a-z0-9]", "", key.lower())


class Keys:
    """The keys of one object of the RFC, and the other names under which they have been sent (F-35)."""

    def __init__(self, known: Iterable[str], others: dict[str, str]) -> None:
        self.known = frozenset(known)
        self._by_squeezed = {_squeezed(key): key for key in self.known}
        for key, names in others.items():
            self._by_squeezed.update(dict.fromkeys(names.split(), key))

    def match(self, key: str) -> str | None:
        """The RFC's key that another key must mean, if it can mean only one."""
        return self._by_squeezed.get(_squeezed(key)) if len(key) <= 64 else None


_REPORT = Keys(
    ("organization-name", "date-range", "contact-info", "report-id", "policies"),
    {
        "organization-name": "organisationname organization organisation orgname org reportingorganization "
        "reportingorganizationname reportingorganisation",
        "date-range": "daterange dates range period reportperiod reportingperiod timerange window",
        "contact-info": "contact contactinformation contactemail contactaddress email emailaddress contactuser",
        "report-id": "reportid reportidentifier id uuid reportuuid",
        "policies": "policy policylist policyresults results",
    },
)
_DATE_RANGE = Keys(
    ("start-datetime", "end-datetime"),
    {
        "start-datetime": "start startdate starttime startdatetimeutc begin begindate begintime begindatetime from "
        "datetimestart datestart datebegin starts",
        "end-datetime": "end enddate endtime enddatetimeutc stop until to finish datetimeend dateend ends",
    },
)
_ENTRY = Keys(
    ("policy", "summary", "failure-details"),
    {
        "policy": "policyinfo policydetails appliedpolicy",
        "summary": "summaries totals total sessionsummary counts",
        "failure-details": "failuredetail failuresdetails failures faileddetails failureinfo details",
    },
)
_POLICY = Keys(
    ("policy-type", "policy-string", "policy-domain", "mx-host"),
    {
        "policy-type": "type policytypes",
        "policy-string": "policystrings string strings policytext",
        "policy-domain": "domain policydomains domainname recipientdomain",
        "mx-host": "mxhosts mxhostpattern mxhostpatterns policymxhost policymxhosts mxpattern mxpatterns mx mxs "
        "mxhostname mxhostnames",
    },
)
_SUMMARY = Keys(
    ("total-successful-session-count", "total-failure-session-count"),
    {
        "total-successful-session-count": "totalsuccessfulsessioncounts totalsuccessfulsessions "
        "totalsuccesssessioncount totalsuccesssessions successfulsessioncount successsessioncount "
        "successfulsessions successfulcount successcount totalsuccessful totalsuccess totalsuccesscount "
        "totalsuccessfulcount successful success",
        "total-failure-session-count": "totalfailuresessioncounts totalfailuresessions totalfailedsessioncount "
        "totalfailedsessions totalfailingsessioncount failuresessioncount failedsessioncount failedsessions "
        "failurecount failedcount totalfailures totalfailure totalfailed totalfailurecount totalfailedcount failed "
        "failures failure",
    },
)
_DETAIL = Keys(
    (
        "result-type",
        "failed-session-count",
        "sending-mta-ip",
        "receiving-mx-hostname",
        "receiving-mx-helo",
        "receiving-ip",
        "additional-information",
        "failure-reason-code",
    ),
    {
        "result-type": "result type resulttypes failuretype errortype",
        "failed-session-count": "failedsessioncounts failedsessionscount failedsessions failuresessioncount "
        "failuresessions failedcount failurecount sessioncount sessions count",
        "sending-mta-ip": "sendingmtaipaddress sendingmta sendingip sendingipaddress sendermtaip senderip sourceip "
        "sendingmtaips",
        "receiving-mx-hostname": "receivingmxhost receivingmxhostnames receivingmx receivinghostname receivinghost "
        "mxhostname mxhost mx receivingmxname",
        "receiving-mx-helo": "receivinghelo mxhelo helo ehlo receivingmxehlo helohostname",
        "receiving-ip": "receivingipaddress receivingmxip receivingmxipaddress receivingmtaip destinationip "
        "receivingaddress",
        "additional-information": "additionalinfo additionalinfouri additionalinformationuri additionaluri infouri",
        "failure-reason-code": "failurereason failurereasoncodes failureerrorcode failurecode failureerror reasoncode "
        "reason errorcode failurereasontext error",
    },
)
# What makes JSON a TLS report, well or badly written: names that other documents do not have.
_TELLING = {key: key for key in map(_squeezed, _REPORT.known)} | {"organisationname": "organizationname"}
_TELLING |= {"begindate": "daterange", "startdatetime": "daterange"}


def looks_like_report(value: object) -> bool:
    """Whether a JSON value is a TLS report, however broken: it has `policies`, or two of the other keys."""
    if not isinstance(value, dict):
        return False
    found = {_TELLING.get(_squeezed(key)) for key in value if len(key) <= 64} - {None}
    return "policies" in found or len(found) >= 2


def _fields(obj: dict[str, object], keys: Keys, notes: Notes, at: Place) -> dict[str, object]:
    """The object's values under the RFC's keys; renamed ones noted, unknown ones noted and kept."""
    if obj.keys() <= keys.known:
        return obj
    fields = {key: value for key, value in obj.items() if key in keys.known}
    unknown = [key for key in obj if key not in keys.known]
    for key in unknown[:_MOST_UNKNOWN]:
        meant = keys.match(key)
        if meant is not None and meant not in fields:
            fields[meant] = obj[key]
            place = at.key(meant)
            if not notes.noted(f"renamed-{meant}", place):
                notes.note(f"renamed-{meant}", place, f"the key is written {shown(key)}", f"read as {meant}")
        else:
            _extra(notes, at, key, obj[key])
    if len(unknown) > _MOST_UNKNOWN:
        what = f"{len(unknown) - _MOST_UNKNOWN} more keys that RFC 8460 does not know in one object"
        notes.note("extra-many-keys", at, what, "not kept; the document as received has them")
    return fields


def _keep(notes: Notes, at: Place, key: str, value: object) -> None:
    notes.keep_extra(at, key, _plain(value))


def _plain(value: object) -> object:
    """A value as any JSON writer takes it: a number that was too large for one is its text."""
    if isinstance(value, Oversized):
        return str.__str__(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return {key: _plain(item) for key, item in value.items()} if isinstance(value, dict) else value


def _extra(notes: Notes, at: Place, key: str, value: object) -> None:
    _keep(notes, at, key, value)
    place = at.key(shown(key, 64).strip('"'))
    if not notes.noted("extra-key", place):
        notes.note("extra-key", place, f"RFC 8460 knows no key {shown(key)} here; it holds {shown(value)}", "kept")


# --- plain values ----------------------------------------------------------------------------------------------------


class _Absent:
    """Stands for a key that is not there, which is not the same as null."""


ABSENT = _Absent()


_FREE = frozenset({"receiving-mx-helo", "failure-reason-code"})  # free text: as sent, be it blank


def _text(fields: dict[str, object], key: str, notes: Notes, at: Place, *, needed: bool = False) -> str | None:
    """A string, or None where there is no value; numbers and single-element arrays are read as what they show."""
    value = fields.get(key, ABSENT)
    if type(value) is str and value and (key in _FREE or not value.isspace()):
        return value
    if value is ABSENT:
        if needed and not notes.noted(f"missing-{key}", at.key(key)):
            notes.note(f"missing-{key}", at.key(key), f"no {key}", "read as unknown")
        return None
    return _odd_text(value, key, notes, at.key(key))


def _odd_text(value: object, key: str, notes: Notes, at: Place) -> str | None:
    if value is None:
        if not notes.noted(f"null-{key}", at):
            notes.note(f"null-{key}", at, f"{key} is null", "read as absent")
        return None
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str) and value[0].strip():
        notes.note(f"type-{key}", at, f"{key} is an array, not a string", f"read as {shown(value[0])}")
        return str.__str__(value[0])
    if isinstance(value, (list, dict)):
        if value:
            _keep(notes, Place(at.path.rpartition(".")[0], ""), key, value)
        notes.note(f"type-{key}", at, f"{key} is {shown(value)}, not a string", "read as absent; kept as it is")
        return None
    if isinstance(value, Oversized) or not isinstance(value, str):
        text = str(value) if not isinstance(value, bool) else shown(value)
        notes.note(f"type-{key}", at, f"{key} is {shown(value)}, not a string", f'read as "{text[:80]}"')
        return str.__str__(text)
    if not notes.noted(f"empty-{key}", at):
        notes.note(f"empty-{key}", at, f"{key} is empty", "an empty string is no value")
    return None


def _stripped(text: str | None, key: str, notes: Notes, at: Place) -> str | None:
    """The text without blanks and line ends around it."""
    if text is None or text == (bare := text.strip()):
        return text
    _note_format(key, text, bare, notes, at.key(key))
    return bare


def _note_format(key: str, sent: str, read: str | None, notes: Notes, at: Place) -> None:
    if notes.noted(f"format-{key}", at):
        return
    read_as = "kept as sent" if read is None else f"read as {shown(read, 120)}"
    notes.note(f"format-{key}", at, f"{key} is {shown(sent, 120)}", read_as)


def _formed(
    text: str | None,
    key: str,
    notes: Notes,
    at: Place,
    exact: Callable[[str], bool],
    loose: Callable[[str], str | None],
) -> str | None:
    """A text in the RFC's form: as sent if it has it, else what it must mean, else as sent; the latter two noted."""
    if text is None or exact(text):
        return text
    meant = loose(text)
    if meant != text:
        _note_format(key, text, meant, notes, at.key(key))
    return text.strip() if meant is None else meant


def _count(fields: dict[str, object], key: str, notes: Notes, at: Place) -> int:
    """A number of sessions (F-27, F-28)."""
    value = fields.get(key, ABSENT)
    if type(value) is int and 0 <= value <= _MAX_COUNT:
        return value
    place = at.key(key)
    if value is ABSENT:
        if not notes.noted(f"missing-{key}", place):
            notes.note(f"missing-{key}", place, f"no {key}", "read as 0")
        return 0
    if value is None or value == "":
        kind, what = ("null", "null") if value is None else ("empty", "empty")
        notes.note(f"{kind}-{key}", place, f"{key} is {what}", "read as 0")
        return 0
    number = _number(value)
    if number is None:
        what = f"{key} is {shown(value)}: no number of sessions (0 to 2^63-1, whole)"
        raise ReportError(what, where=place.path, fix="nothing of this report was counted; tell its sender")
    kind = "a string" if isinstance(value, str) else "no integer"
    notes.note(f"type-{key}", place, f"{key} is {shown(value)}, {kind}", f"read as {number}")
    return number


def _number(value: object) -> int | None:
    """The whole number that a string or a float shows; None for anything else."""
    if isinstance(value, (Oversized, bool)):
        return None
    if isinstance(value, float) and value.is_integer():
        number = int(value)
    elif isinstance(value, str) and re.fullmatch(r"\s*\+?\d{1,19}(?:\.0{1,9})?\s*", value, re.ASCII):
        number = int(value.partition(".")[0])
    else:
        return None
    return number if 0 <= number <= _MAX_COUNT else None


# --- the report ------------------------------------------------------------------------------------------------------


def read_report(value: dict[str, object], notes: Notes, limits: Limits, around: Around) -> Report:
    """Read one report, noting what departs from the RFC.

    Raises:
        ReportError: no sender, no window, no policies, no policy domain, or a count that is none; `where` is a path.
        LimitError: more policies or failure details than allowed.
    """
    dates: dict[str, object] = {}
    if "date-range" not in value and len(value) <= _MOST_UNKNOWN:
        dates = {key: value[key] for key in value if key not in _REPORT.known and _DATE_RANGE.match(key)}
    flat = len({_DATE_RANGE.match(key) for key in dates}) == 2
    fields = _fields({k: v for k, v in value.items() if k not in dates} if flat else value, _REPORT, notes, _TOP)
    if flat:
        fields = {**fields, "date-range": dates}
        notes.note(
            "renamed-date-range", Place("date-range"), f"no date-range, but {' and '.join(dates)}", "read as such"
        )
    organization = _stripped(
        _text(fields, "organization-name", notes, _TOP, needed=True), "organization-name", notes, _TOP
    )
    contact = _contact(fields, notes)
    if organization is None and contact is None:
        organization = _sender_from_around(notes, around)
    return Report(
        organization_name=organization,
        date_range=_date_range(fields, notes, around),
        contact_info=contact,
        report_id=_stripped(_text(fields, "report-id", notes, _TOP, needed=True), "report-id", notes, _TOP),
        policies=_policies(fields, notes, limits, around),
    )


def _contact(fields: dict[str, object], notes: Notes) -> str | None:
    text = _text(fields, "contact-info", notes, _TOP, needed=True)
    return _formed(text, "contact-info", notes, _TOP, forms.is_addr_spec, forms.loose_address)


def _sender_from_around(notes: Notes, around: Around) -> str:
    """Who sent a report that does not say it."""
    name = around.file_name.submitter if around.file_name else ""
    for text, source in (around.submitter or "", "TLS-Report-Submitter"), (name, "the file name"):
        if text.strip():
            place = Place("organization-name", "organization-name")
            message = "neither organization-name nor contact-info say who sent this"
            notes.note("missing-sender", place, message, f"taken from {source}: {shown(text.strip())}")
            return text.strip()
    raise ReportError("neither organization-name nor contact-info say who sent this", where="organization-name")


# --- the window ------------------------------------------------------------------------------------------------------


def _date_range(fields: dict[str, object], notes: Notes, around: Around) -> DateRange:
    at = Place("date-range", "date-range")
    window = _window_object(fields.get("date-range", ABSENT), notes, at)
    start = _moment(window, "start-datetime", notes, at, end=False)
    finish = _moment(window, "end-datetime", notes, at, end=True)
    if start is None or finish is None:
        start, finish = _window_from_around(start, finish, notes, at, around)
    if finish < start:
        notes.note(
            "window-reversed",
            at,
            f"it ends ({finish:%FT%TZ}) before it starts ({start:%FT%TZ})",
            "read the other way round",
        )
        start, finish = finish, start
    if not forms.is_one_day(start, finish):
        notes.note(
            "window-not-one-day",
            at,
            f"from {start:%F %T} to {finish:%F %T} UTC: not one UTC day (RFC 8460 section 4.1)",
            f"kept as sent and filed under {start:%F}; its counts are not spread over days",
        )
    return DateRange(start_datetime=start, end_datetime=finish)


def _window_object(value: object, notes: Notes, at: Place) -> dict[str, object]:
    if isinstance(value, dict):
        return _fields(value, _DATE_RANGE, notes, at)
    if value is ABSENT:
        return {}
    pair: list[object] = []
    if isinstance(value, (list, str)):
        pair = list(value.split("/") if isinstance(value, str) else value)
    if len(pair) == 2:
        notes.note(
            "type-date-range", at, f"date-range is {shown(value)}, not an object", "read as its start and its end"
        )
        return dict(zip(("start-datetime", "end-datetime"), pair, strict=True))
    kind = "null" if value is None else "type"
    notes.note(f"{kind}-date-range", at, f"date-range is {shown(value)}", "read as absent")
    return {}


def _moment(window: dict[str, object], key: str, notes: Notes, at: Place, *, end: bool) -> datetime | None:
    value, place = window.get(key, ABSENT), at.key(key)
    if value is ABSENT:
        if window:
            notes.note(f"missing-{key}", place, f"no {key}")
        return None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        moment = forms.epoch(value)
        read_as = "can't be read as a date" if moment is None else f"read as Unix time: {moment:%FT%TZ}"
        notes.note(f"type-{key}", place, f"{key} is the number {shown(value)}", read_as)
        return moment
    text = _text(window, key, notes, at)
    if text is None:
        return None
    moment = forms.rfc3339(text)
    if moment is None:
        moment = forms.loose_datetime(text, end=end)
        read_as = "can't be read as a date" if moment is None else f"read as {moment:%FT%TZ}"
        notes.note(f"format-{key}", place, f"{key} is {shown(text)}, no RFC 3339 date-time with an offset", read_as)
    return moment


def _window_from_around(
    start: datetime | None, finish: datetime | None, notes: Notes, at: Place, around: Around
) -> tuple[datetime, datetime]:
    """Complete a window from the file name (F-23); a lone start gives the rest of its day."""
    name = around.file_name
    begin = forms.epoch(name.begin) if name and name.begin is not None else None
    until = forms.epoch(name.end) if name and name.end is not None else None
    if begin is not None and until is not None:
        notes.note(
            "missing-date-range", at, "the report does not say the whole of its window", "taken from the file name"
        )
        return start or begin, finish or until
    if start is not None:
        finish = start.replace(hour=23, minute=59, second=59, microsecond=0)
        notes.note(
            "missing-date-range", at, "the report does not say when its window ends", "read as the end of that UTC day"
        )
        return start, finish
    raise ReportError("no window: neither the report nor its file name say which time it covers", where=at.path)


# --- policies --------------------------------------------------------------------------------------------------------


def _policies(fields: dict[str, object], notes: Notes, limits: Limits, around: Around) -> tuple[PolicyResult, ...]:
    at = Place("policies", "policies")
    entries = _policy_list(fields, notes, at)
    if len(entries) > limits.policies:
        raise LimitError(f"more than {limits.policies} policies", limit="policies", where=at.path)
    results: list[PolicyResult] = []
    places: list[Place] = []
    details_left = limits.failure_details
    for number, entry in enumerate(entries):
        place = at.row(number)
        if not isinstance(entry, dict) or not entry:
            what = f"an entry of policies is {shown(entry)}"
            notes.note("skipped-policy", place, what, "left out; the other entries were read", severity="error")
            continue
        result = _entry(entry, notes, place, details_left, limits)
        details_left -= len(result.failure_details or ())
        results.append(result)
        places.append(place)
    if (
        sum(r.summary.total_successful_session_count + r.summary.total_failure_session_count for r in results)
        > _MAX_COUNT
    ):
        raise ReportError("the counts add up to more than 2^63-1", where=at.path)
    return _with_domains(results, places, notes, around)


def _policy_list(fields: dict[str, object], notes: Notes, at: Place) -> list[object]:
    value = fields.get("policies", ABSENT)
    if value is ABSENT:
        raise ReportError("no policies: the report says nothing", where=at.path)
    if isinstance(value, list):
        if not value:
            notes.note("empty-policies", at, "policies is empty", "kept, and counted under no domain")
        return value
    if value is None:
        notes.note("null-policies", at, "policies is null", "read as empty: kept, and counted under no domain")
        return []
    if isinstance(value, dict) and value:
        single = any(_ENTRY.match(key) or _POLICY.match(key) for key in value)
        entries: list[object] = [value] if single else list(value.values())
        if all(isinstance(entry, dict) for entry in entries):
            notes.note("type-policies", at, "policies is an object, not an array", f"read as {len(entries)} of them")
            return entries
    if isinstance(value, str) and (inner := nested_array(value, notes)) is not None:
        notes.note("nested-policies", at, "policies is a string that holds JSON", "unpacked")
        return inner
    raise ReportError(f"policies is {shown(value)}, not an array", where=at.path)


def _entry(entry: dict[str, object], notes: Notes, at: Place, details_left: int, limits: Limits) -> PolicyResult:
    fields = _flattened(entry, notes, at)
    policy = _policy(_object(fields, "policy", notes, at), notes, at.key("policy"))
    details = _details(fields, notes, at, details_left, limits)
    summary = _summary(_object(fields, "summary", notes, at), notes, at, details)
    return PolicyResult(policy=policy, summary=summary, failure_details=details)


def _flattened(entry: dict[str, object], notes: Notes, at: Place) -> dict[str, object]:
    """The entry with policy and summary as objects, where it holds their keys itself, as some exports do."""
    fields = dict(entry)
    for name, keys in ("policy", _POLICY), ("summary", _SUMMARY):
        if name in fields:
            continue
        inner = {k: v for k, v in entry.items() if k not in _ENTRY.known and not _is_section(k) and keys.match(k)}
        if inner:
            place = at.key(name)
            if not notes.noted(f"missing-{name}", place):
                notes.note(f"missing-{name}", place, f"no {name}, but its keys stand one level up", "read from there")
            fields = {k: v for k, v in fields.items() if k not in inner} | {name: inner}
    return _fields(fields, _ENTRY, notes, at)


def _is_section(key: str) -> bool:
    return _ENTRY.match(key) == "failure-details"


def _object(fields: dict[str, object], key: str, notes: Notes, at: Place) -> dict[str, object]:
    """An object of the entry; an absent one is empty, so that each of its keys is noted as missing by its reader."""
    value, place = fields.get(key, ABSENT), at.key(key)
    if isinstance(value, dict):
        return value
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        notes.note(f"type-{key}", place, f"{key} is an array, not an object", "its one element was read")
        return value[0]
    if value is not ABSENT:
        kind = "null" if value is None else "type"
        notes.note(f"{kind}-{key}", place, f"{key} is {shown(value)}, not an object", "read as absent")
        if value is not None:
            _keep(notes, at, key, value)
    return {}


def _policy(obj: dict[str, object], notes: Notes, at: Place) -> Policy:
    fields = _fields(obj, _POLICY, notes, at)
    kind = _word(_text(fields, "policy-type", notes, at, needed=True), "policy-type", POLICY_TYPES, notes, at)
    return Policy(
        policy_type=kind,
        policy_domain=_own_domain(fields, notes, at),
        policy_string=_policy_string(fields, kind, notes, at),
        mx_host=_mx_host(fields, notes, at),
    )


def _word(text: str | None, key: str, known: frozenset[str], notes: Notes, at: Place) -> str | None:
    """A word of a registry: another way of writing it is read as it, an unknown one is kept (F-40, R4.3-14)."""
    if text is None or text in known:
        return text
    plain = re.sub(r"[\s_-]+", "-", text.strip().lower()) if len(text) <= 128 else text
    if plain in known:
        _note_format(key, text, plain, notes, at.key(key))
        return plain
    if not notes.noted(f"unknown-{key}", at.key(key)):
        notes.note(f"unknown-{key}", at.key(key), f"{shown(text)} is no {key} that is registered", "kept, and counted")
    return text.strip()


def _own_domain(fields: dict[str, object], notes: Notes, at: Place) -> str:
    """The policy-domain that the entry itself has, or "" for none; it is completed when all entries are read."""
    if "policy-domain" not in fields:
        return ""  # noted with where it was taken from
    text = _text(fields, "policy-domain", notes, at)
    if text is None or forms.is_host(text):
        return text or ""
    meant = forms.loose_host(text)
    if meant is None:
        notes.note(
            "format-policy-domain",
            at.key("policy-domain"),
            f"policy-domain is {shown(text)}: no domain name",
            "not used",
        )
        return ""
    _note_format("policy-domain", text, meant, notes, at.key("policy-domain"))
    return meant


def _with_domains(
    results: list[PolicyResult], places: list[Place], notes: Notes, around: Around
) -> tuple[PolicyResult, ...]:
    """Give every entry without a policy-domain the one that it must be about (F-30)."""
    if all(result.policy.policy_domain for result in results):
        return tuple(results)
    domain, source = _domain_from_around({r.policy.policy_domain for r in results} - {""}, around)
    completed = []
    for result, place in zip(results, places, strict=True):
        if result.policy.policy_domain:
            completed.append(result)
            continue
        at = place.key("policy").key("policy-domain")
        if domain is None:
            raise ReportError("no policy-domain, and nothing else says which domain this is about", where=at.path)
        notes.note("missing-policy-domain", at, "no policy-domain", f"taken from {source}: {domain}")
        completed.append(replace(result, policy=replace(result.policy, policy_domain=domain)))
    return tuple(completed)


def _domain_from_around(others: set[str], around: Around) -> tuple[str | None, str]:
    name = around.file_name.domain if around.file_name else None
    for text, source in (around.report_domain, "TLS-Report-Domain"), (name, "the file name"):
        try:
            if text and is_domain(domain := parse_domain(text)):
                return domain, source
        except DomainError:
            continue
    return (others.pop(), "the other policies of the report") if len(others) == 1 else (None, "")


def _policy_string(fields: dict[str, object], kind: str | None, notes: Notes, at: Place) -> tuple[str, ...] | None:
    key, place = "policy-string", at.key("policy-string")
    value = fields.get(key, ABSENT)
    if value is ABSENT:
        return None
    exact = forms.is_tlsa_string if kind == "tlsa" else forms.is_policy_line
    if type(value) is list and all(type(item) is str and exact(item) for item in value):
        return tuple(value)
    lines: list[str] = []
    for item in _strings(value, key, notes, place) or ():
        inner = nested_array(item, notes)
        if inner is not None:
            if not notes.noted(f"nested-{key}", place):
                notes.note(
                    f"nested-{key}", place, f"a string that holds JSON: {shown(item)}", f"unpacked into {len(inner)}"
                )
            pieces = [str(piece) for piece in inner if piece is not None and not isinstance(piece, (list, dict))]
        else:
            pieces = [item]
        for piece in pieces:
            cut = forms.policy_lines(piece, kind)
            if len(cut) > 1 and not notes.may_cut(len(cut)):
                cut = [piece]
            if cut != [piece]:
                _note_policy_string(piece, cut, kind, notes, place)
            elif kind == "tlsa" and not exact(piece):
                _note_format(key, piece, None, notes, place)
            lines += cut
    return None if value is None else tuple(lines)


def _note_policy_string(piece: str, cut: list[str], kind: str | None, notes: Notes, at: Place) -> None:
    fix = SENDERS_FAULT
    if kind != "tlsa" and len(cut) == 1:
        fix = (
            "CRLF line ends are legal in a policy file (RFC 8461 section 3.2), the sender should have removed them; "
            "blanks at line ends stand in the domain's own policy file and can be removed there"
        )
    if not notes.noted("format-policy-string", at):
        read_as = f"read as {len(cut)} lines" if len(cut) != 1 else f"read as {shown(cut[0])}"
        notes.note("format-policy-string", at, f"policy-string holds {shown(piece)}", read_as, fix=fix)


def _mx_host(fields: dict[str, object], notes: Notes, at: Place) -> tuple[str, ...] | None:
    key, place = "mx-host", at.key("mx-host")
    value = fields.get(key, ABSENT)
    if value is ABSENT:
        return None
    if type(value) is list and all(type(item) is str and forms.is_mx_pattern(item) for item in value):
        return tuple(value)
    hosts: list[str] = []
    for item in _strings(value, key, notes, place) or ():
        pieces = [piece for piece in re.split(r"[,;\s]+", item) if piece] if type(value) is str else [item]
        if len(pieces) > 1 and not notes.may_cut(len(pieces)):
            pieces = [item]
        for piece in pieces:
            host = _formed(piece, key, notes, at, forms.is_mx_pattern, forms.loose_mx_pattern)
            hosts += [host] if host else []
    return None if value is None else tuple(hosts)


def _strings(value: object, key: str, notes: Notes, at: Place) -> list[str] | None:
    """An array of strings; other shapes are read as one where they can be, and noted."""
    if value is None:
        notes.note(f"null-{key}", at, f"{key} is null", "read as absent")
        return None
    if isinstance(value, dict):
        notes.note(f"type-{key}", at, f"{key} is an object, not an array of strings", "read as one string for each key")
        items: list[object] = [f"{k}: {v}" for k, vs in value.items() for v in (vs if isinstance(vs, list) else [vs])]
    elif isinstance(value, list):
        items = value
    else:
        notes.note(f"type-{key}", at, f"{key} is {shown(value)}, not an array of strings", "read as an array of one")
        items = [value] if value != "" else []
    return [text for item in items if (text := _string(item, key, notes, at)) is not None]


def _string(item: object, key: str, notes: Notes, at: Place) -> str | None:
    if isinstance(item, str) and item.strip():
        return str.__str__(item)
    if item is None or isinstance(item, str):
        kind = "null" if item is None else "empty"
        notes.note(f"{kind}-{key}", at, f"one of {key} is {kind}", "left out")
        return None
    notes.note(f"type-{key}", at, f"one of {key} is {shown(item)}, not a string", "read as text")
    return None if isinstance(item, (list, dict)) else shown(item)


# --- sessions --------------------------------------------------------------------------------------------------------


def _summary(obj: dict[str, object], notes: Notes, at: Place, details: tuple[FailureDetail, ...] | None) -> Summary:
    fields = _fields(obj, _SUMMARY, notes, at.key("summary"))
    successful = _count(fields, "total-successful-session-count", notes, at.key("summary"))
    failed = _count(fields, "total-failure-session-count", notes, at.key("summary"))
    if details:
        _compare_counts(sum(detail.failed_session_count for detail in details), failed, fields, notes, at)
    return Summary(total_successful_session_count=successful, total_failure_session_count=failed)


def _compare_counts(itemised: int, failed: int, fields: dict[str, object], notes: Notes, at: Place) -> None:
    """Note details that do not add up (F-29); details beside a total of 0 are legal (A-18: testing, no policy)."""
    if itemised == failed:
        return
    legal = failed == 0 and "total-failure-session-count" in fields
    notes.note(
        "count-mismatch",
        at.key("failure-details"),
        f"the failure-details add up to {itemised}, the summary says {failed}",
        "the summary stands; one session may be in several rows, or in none (RFC 8460 section 4)",
        severity="info" if legal else "warning",
        fix="" if legal else SENDERS_FAULT,
    )


def _details(
    fields: dict[str, object], notes: Notes, at: Place, details_left: int, limits: Limits
) -> tuple[FailureDetail, ...] | None:
    place = at.key("failure-details")
    value = fields.get("failure-details", ABSENT)
    if value is ABSENT:
        return None
    if value is None:
        notes.note("null-failure-details", place, "failure-details is null", "read as none")
        return None
    if isinstance(value, dict):
        rows: list[object] = [value] if value else []
        notes.note(
            "type-failure-details", place, "failure-details is an object, not an array", f"read as {len(rows)} row"
        )
    elif isinstance(value, list):
        rows = value
    elif isinstance(value, str) and (inner := [] if not value.strip() else nested_array(value, notes)) is not None:
        rows = inner
        kind = "nested" if rows else "type"
        notes.note(
            f"{kind}-failure-details", place, "failure-details is a string, not an array", f"read as {len(rows)} rows"
        )
    else:
        raise ReportError(f"failure-details is {shown(value)}, not an array", where=place.path)
    if len(rows) > details_left:
        what = f"more than {limits.failure_details} failure-details"
        raise LimitError(what, limit="failure_details", where=place.path)
    return tuple(
        detail for number, row in enumerate(rows) if (detail := _detail(row, notes, place, number)) is not None
    )


def _detail(row: object, notes: Notes, at: Place, number: int) -> FailureDetail | None:
    place = at.row(number)
    if not isinstance(row, dict) or not row:
        what = f"an entry of failure-details is {shown(row)}"
        notes.note("skipped-failure-detail", place, what, "left out; the other rows were read", severity="error")
        return None
    fields = _fields(row, _DETAIL, notes, place)
    result_type = _text(fields, "result-type", notes, place, needed=True)
    result_type = _word(result_type, "result-type", RESULT_TYPES, notes, place)
    connected = result_type not in POLICY_STAGE
    sending_ip = _text(fields, "sending-mta-ip", notes, place, needed=connected)
    hostname = _text(fields, "receiving-mx-hostname", notes, place, needed=connected)
    receiving_ip = _text(fields, "receiving-ip", notes, place)
    uri = _text(fields, "additional-information", notes, place)
    return FailureDetail(
        result_type=result_type,
        failed_session_count=_count(fields, "failed-session-count", notes, place),
        sending_mta_ip=_formed(sending_ip, "sending-mta-ip", notes, place, forms.is_ip, forms.loose_ip),
        receiving_mx_hostname=_formed(hostname, "receiving-mx-hostname", notes, place, forms.is_host, forms.loose_host),
        receiving_mx_helo=_text(fields, "receiving-mx-helo", notes, place),
        receiving_ip=_formed(receiving_ip, "receiving-ip", notes, place, forms.is_ip, forms.loose_ip),
        additional_information=_formed(uri, "additional-information", notes, place, forms.is_uri, lambda _: None),
        failure_reason_code=_text(fields, "failure-reason-code", notes, place),
    )

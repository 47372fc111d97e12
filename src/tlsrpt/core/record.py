"""The _smtp._tls TXT record: parse, lint, format (RFC 8460 section 3).

Text in, values and Findings out. Never asks DNS: `check` fetches the text, this room reads it.

    record = "v=TLSRPTv1" 1*(delim field) [delim]
    delim  = *WSP ";" *WSP
    field  = rua / ext                       ; any order, repeats allowed, one rua needed
    rua    = "rua=" uri *(*WSP "," *WSP uri)
    ext    = name "=" value
    name   = first ALPHA or DIGIT, then 0-31 of ALPHA DIGIT "_" "-" "."
    value  = 1 or more of %x21-7E without "=" and ";"

A field called `rua` is one, never an extension of that name: no sender reads it as anything else. What the named
senders do with a fault was read in their source (mox, Stalwart, sys4's tlsrpt-reporter); of others nothing is claimed.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence

from msgspec import Struct

from tlsrpt.core.destinations import (
    Destination,
    DestinationError,
    https_uri,
    is_right,
    is_uri,
    looks_like_destination,
    mailto_uri,
    mend,
    read_destination,
)
from tlsrpt.core.findings import Finding
from tlsrpt.core.text import printable
from tlsrpt.core.txtrecord import (
    EXTENSION,
    MAX_OCTETS,
    MOX,
    SYS4,
    WSP,
    Located,
    Notes,
    Protocol,
    clean,
    distance,
    lowered,
    read_version,
    sorted_findings,
    space_around_equals,
    split_fields,
)
from tlsrpt.core.verdict import Lint, as_text, judge

LABEL = "_smtp._tls"
TEMPLATE = "v=TLSRPTv1; rua=mailto:<address that takes the reports>"
TLSRPT = Protocol("TLSRPT", LABEL, "8460 section 3", "TLSRPTv1", "rua", r"tls|rpt", TEMPLATE)
VERSION = TLSRPT.version
_PREFIX = f"{VERSION};"  # R3-08: without these 11 octets a record is dropped where there are several

# Tags of other records that people bring along: DMARC, MTA-STS, DKIM.
_DMARC = ("p", "sp", "np", "ruf", "fo", "adkim", "aspf", "pct", "rf", "ri", "t", "psd")
_FOREIGN = frozenset((*_DMARC, "id", "mode", "mx", "max_age", "version", "k", "h", "n", "s", "g"))
_NAMES_LIKE_RUA = ("rua", "ruas", "uri", "uris", "url", "report", "reports")
_MAX_SPLIT = 4  # records that one value may have been split into: their order is not kept, all are tried
_MAX_SPLIT_LENGTH = 4096
_MAX_URI = 2048  # beyond it nobody mends what raw commas cut
# White space inside an address or behind its scheme; a run of it is looked at once, from its first character.
_GAPS = re.compile(r"(?:(?<=mailto[:=])|(?<=https[:=]))[ \t]+|(?<![ \t])[ \t]+(?=@)|(?<=@)[ \t]+", re.IGNORECASE)


class Record(Struct, frozen=True, kw_only=True):
    """A record as senders read it.

    Attributes:
        uris: all of `rua`, in order, as published.
        destinations: those that can be used.
        extensions: fields that no standard knows, and no sender reads.
    """

    uris: tuple[str, ...]
    destinations: tuple[Destination, ...]
    extensions: tuple[tuple[str, str], ...] = ()


# --- for senders -----------------------------------------------------------------------------------------------------


def parse_record(text: bytes | str) -> Record | None:
    """Read one record by the grammar, octet for octet; None where it does not fit."""
    raw = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    if len(raw) > MAX_OCTETS or not raw.startswith(VERSION.encode()) or not raw.isascii():
        return None
    head, *fields = raw.decode("ascii").split(";")
    if head.rstrip(WSP) != VERSION or not fields:
        return None
    if not fields[-1].strip(WSP):  # [delim]
        fields.pop()
    elif fields[-1] != fields[-1].rstrip(WSP):
        return None
    return _parse_fields([field.strip(WSP) for field in fields])


def _parse_fields(fields: list[str]) -> Record | None:
    uris: list[str] = []
    extensions: list[tuple[str, str]] = []
    for field in fields:
        name, _, value = field.partition("=")
        if name == "rua":
            listed = value.split(",")
            if value != value.strip(WSP) or not all(is_uri(uri.strip(WSP)) for uri in listed):
                return None
            uris += [uri.strip(WSP) for uri in listed]
        elif EXTENSION.fullmatch(field):
            extensions.append((name, value))
        else:
            return None
    if not uris:
        return None
    destinations = tuple(filter(None, map(read_destination, uris)))
    return Record(uris=tuple(uris), destinations=destinations, extensions=tuple(extensions))


def select_record(texts: Sequence[bytes | str]) -> Record | None:
    """The record that counts of all TXT records at the name, or None (R3-08, R3-09, A-01).

    Args:
        texts: each the joined strings of one record.
    """
    chosen = select_index(texts)
    return None if chosen is None else parse_record(texts[chosen])


def select_index(texts: Sequence[bytes | str]) -> int | None:
    """Which of the TXT records senders would read: the one that begins with `v=TLSRPTv1;`, or the only one there is."""
    if len(texts) == 1:
        return 0
    begun = [index for index, text in enumerate(texts) if _begins(text)]
    return begun[0] if len(begun) == 1 else None


def _begins(text: bytes | str) -> bool:
    return text.startswith(_PREFIX) if isinstance(text, str) else text.startswith(_PREFIX.encode())


# --- for owners ------------------------------------------------------------------------------------------------------


def make_record(mailto: Iterable[str] = (), https: Iterable[str] = ()) -> str:
    """Write the record: `rua` directly after the version, one list, no spaces in it: the form every sender reads.

    Args:
        mailto: mail addresses, in the order wanted; they come first, because some senders use the first one alone.
        https: endpoints.
    Raises:
        DestinationError: one of them is none.
        ValueError: no destination at all.
    """
    return format_record([*map(mailto_uri, mailto), *map(https_uri, https)])


def format_record(uris: Sequence[str], extensions: Sequence[tuple[str, str]] = ()) -> str:
    """Write a record from URIs that are already encoded, each of them once."""
    if not uris:
        raise ValueError("a record needs at least one destination")
    wrong = next((uri for uri in uris if not is_uri(uri)), None)
    if wrong is not None:
        raise DestinationError(f"no URI: {printable(wrong, 80)}")
    fields = [f"rua={','.join(dict.fromkeys(uris))}", *(f"{name}={value}" for name, value in extensions)]
    return "; ".join([VERSION, *fields])


def owner_name(domain: str) -> str:
    """Where the record of a domain belongs."""
    return f"{LABEL}.{domain}"


def misplaced_names(domain: str) -> tuple[str, ...]:
    """Where people publish it by mistake, and no sender looks (field-notes-domains.md D-01 to D-03)."""
    wrong = ("_smtp_tls", "_tls._smtp", "_tlsrpt", "_smtp-tlsrpt", "_smtp_tlsrpt", "smtp._tls", "_smtp._tls.mail")
    return (*(f"{label}.{domain}" for label in wrong), f"{LABEL}.{domain}.{domain}", domain)


# --- lint ------------------------------------------------------------------------------------------------------------


class _Reading(Struct, kw_only=True):
    """One text read as leniently as its meaning stays plain."""

    findings: list[Finding]
    fits: bool  # the grammar accepts it
    usable: bool  # and it names a destination that can be used
    is_ours: bool  # meant as a TLSRPT record, right or wrong
    uris: list[str] = []
    extensions: list[tuple[str, str]] = []
    lost: bool = False  # a destination was meant that can't be known

    @property
    def corrected(self) -> str | None:
        return None if self.lost or not self.uris else format_record(self.uris, self.extensions)


def lint_record(texts: Sequence[bytes | str]) -> Lint:
    """Say everything that is wrong with the TXT records found at one `_smtp._tls` name.

    Args:
        texts: all TXT records at the name as DNS holds them, each with its strings joined.
    Returns:
        One Lint; `where` of its findings is `record N, column M`, in characters, counted from 1.
    Source: RFC 8460 section 3; R3-03 to R3-10, A-01, A-02; field-notes-domains.md (a).
    """
    shown = tuple(map(as_text, texts))
    plain = [text.decode("utf-8", "surrogateescape") if isinstance(text, bytes) else text for text in texts]
    if len(plain) == 1:
        return _lint_one(shown, _read(plain[0], 1))
    return _lint_several(shown, plain)


def _lint_one(shown: tuple[str, ...], reading: _Reading) -> Lint:
    findings = sorted_findings(reading.findings)
    verdict = judge(reading.usable, findings)
    corrected = None if verdict == "ok" else reading.corrected
    return Lint(input=shown, verdict=verdict, findings=findings, corrected=corrected, form="dns")


def _lint_several(shown: tuple[str, ...], texts: list[str]) -> Lint:
    readings = [_read(text, number) for number, text in enumerate(texts, 1)]
    begun = [index for index, text in enumerate(texts) if _begins(text)]
    whole = _joined(texts, readings, begun)
    if whole is not None:
        return _several(shown, False, [_in_two_records(len(texts)), *_extra(whole.findings)], whole.corrected)
    if len(begun) == 1:
        return _lint_chosen(shown, texts, readings, begun[0])
    ours = [reading for reading in readings if reading.is_ours]
    findings = [finding for reading in ours or readings for finding in reading.findings]
    findings += [
        _dropped(index, texts[index], other) for index, other in enumerate(readings) if ours and not other.is_ours
    ]
    if len(begun) > 1:
        findings.append(_several_records(begun))
    else:
        findings.append(_none_begins(len(texts), ours))
    lost = any(reading.lost for reading in ours)
    uris = [uri for reading in ours for uri in reading.uris]
    extensions = list(dict.fromkeys(extension for reading in ours for extension in reading.extensions))
    return _several(shown, False, findings, format_record(uris, extensions) if uris and not lost else None)


def _lint_chosen(shown: tuple[str, ...], texts: list[str], readings: list[_Reading], chosen: int) -> Lint:
    """One record begins as it must and is read; the others are dropped before any syntax is looked at."""
    reading = readings[chosen]
    findings = list(reading.findings)
    for index, other in enumerate(readings):
        if index != chosen:
            findings.append(_dropped(index, texts[index], other))
            findings += lowered(other.findings) if other.is_ours else []
    also = [other for other in readings if other.is_ours and other is not reading]
    uris = [*reading.uris, *(uri for other in also for uri in other.uris)]
    lost = reading.lost or any(other.lost for other in also)
    corrected = format_record(uris, reading.extensions) if uris and not lost else None
    return _several(shown, reading.usable, findings, corrected)


def _several(shown: tuple[str, ...], usable: bool, findings: list[Finding], corrected: str | None) -> Lint:
    ordered = sorted_findings(findings)
    return Lint(input=shown, verdict=judge(usable, ordered), findings=ordered, corrected=corrected, form="dns")


def _joined(texts: list[str], readings: list[_Reading], begun: list[int]) -> _Reading | None:
    """The record that one value was before a tool split it into several (D-22), where that is plain to see."""
    if len(begun) > 1 or not 1 < len(texts) <= _MAX_SPLIT or any(reading.usable for reading in readings):
        return None
    if sum(map(len, texts)) > _MAX_SPLIT_LENGTH:
        return None
    for order in itertools.permutations(texts):
        for between in ("", "; "):
            joined = _read(between.join(order), 1)
            if joined.usable:
                return joined
    return None


def _extra(findings: list[Finding]) -> list[Finding]:
    """What else is to be said of a record that had to be joined first: its columns are no longer those of the input."""
    return [
        Finding(
            code=finding.code,
            severity=finding.severity,
            where="the records joined",
            message=finding.message,
            consequence=finding.consequence,
            fix=finding.fix,
        )
        for finding in findings
        if finding.severity != "info"
    ]


def _in_two_records(count: int) -> Finding:
    return Finding(
        code="one-value-in-two-records",
        severity="error",
        where="all records",
        message=f"one value is split over {count} TXT records",
        consequence="Records have no order and are never joined: none of them is a whole one, no reports are sent.",
        fix="publish one TXT record with the whole value; several strings of one record are joined, several records "
        "are not",
    )


def _several_records(begun: list[int]) -> Finding:
    numbers = ", ".join(str(index + 1) for index in begun)
    return Finding(
        code="two-records" if len(begun) == 2 else "several-records",
        severity="error",
        where="all records",
        message=f"{len(begun)} TLSRPT records at one name (records {numbers})",
        consequence="More than one counts as none (RFC 8460 section 3): no reports are sent.",
        fix="publish one record that names all destinations, and delete the others",
    )


def _none_begins(count: int, ours: list[_Reading]) -> Finding:
    if not count:
        message = f"no TXT record at {LABEL}"
    elif ours:
        message = f"none of the {count} TXT records begins with {_PREFIX}"
    else:
        message = f"none of the {count} TXT records is a TLSRPT record"
    return Finding(
        code="record-missing",
        severity="error",
        where="all records",
        message=message,
        consequence="Of several TXT records only one that begins so is read: no reports are sent."
        if ours
        else "No reports are sent.",
        fix=f"publish one: {TEMPLATE}",
    )


def _dropped(index: int, text: str, other: _Reading) -> Finding:
    what = "was meant as a TLSRPT record too" if other.is_ours else "is no TLSRPT record"
    fix = "put all destinations into one record, and delete this one" if other.is_ours else "move it to its own name"
    return Finding(
        code="second-record-dropped" if other.is_ours else "unrelated-txt-at-name",
        severity="warning",
        where=f"record {index + 1}, column 1",
        message=f"{printable(text, 40) or 'an empty text'} {what}",
        consequence=f"Senders drop it for not beginning with {_PREFIX} before they look at the others.",
        fix=fix + ("" if other.is_ours else "; if it is the rest of a value that was cut, publish both as one record"),
    )


def _read(text: str, number: int) -> _Reading:
    """Read one TXT record: strictly for whether it counts, leniently for what its owner meant."""
    notes = Notes(number)
    if len(text) > MAX_OCTETS:
        notes.add(
            "record-too-long",
            0,
            f"{len(text):,} characters; DNS carries at most {MAX_OCTETS:,} octets in a record",
            "No such record can exist.",
            f"write {TEMPLATE}",
        )
        return _Reading(findings=notes.findings, fits=False, usable=False, is_ours=False, lost=True)
    record = parse_record(text)
    if record is not None and _is_plain(text, record):
        return _Reading(findings=[], fits=True, usable=True, is_ours=True, uris=list(record.uris))
    located = Located.of(text)
    if record is None:
        located = clean(located, notes)
    fields = read_version(located, TLSRPT, notes)
    if fields is None:
        return _other(located, notes)
    reader = _Fields(notes)
    reader.read(split_fields(fields, notes), record_end=located.at[-1])
    usable = record is not None and bool(record.destinations)
    return _finished(notes, reader, record, usable, located)


def _is_plain(text: str, record: Record) -> bool:
    """Whether nothing is to be said, seen at a glance: most records of a long list are so."""
    if record.extensions or not all(map(is_right, record.uris)):
        return False
    bare = text.rstrip(WSP).removesuffix(";").rstrip(WSP)
    return bare.removeprefix(_PREFIX).lstrip(WSP) == f"rua={','.join(record.uris)}"


def _finished(notes: Notes, reader: _Fields, record: Record | None, usable: bool, located: Located) -> _Reading:
    if not usable and not notes.has_errors():
        notes.add(
            "syntax",
            located.start,
            f"{printable(located.text, 60)} does not fit the grammar",
            "Senders may drop the whole record.",
            f"write {TEMPLATE}",
        )
    return _Reading(
        findings=lowered(notes.findings) if usable else notes.findings,
        fits=record is not None,
        usable=usable,
        is_ours=True,
        uris=reader.uris,
        extensions=reader.extensions,
        lost=reader.lost,
    )


def _other(located: Located, notes: Notes) -> _Reading:
    """Another kind of record; where it names a destination of reports (DMARC), that is what goes into the right one."""
    reader = _Fields(Notes(notes.number))
    if located.text.lower().startswith("v=dmarc"):
        rua = [part for part in located.split(";") if part.strip().text.lower().startswith("rua")]
        reader.read([part.strip() for part in rua], record_end=located.at[-1])
    return _Reading(
        findings=notes.findings, fits=False, usable=False, is_ours=False, uris=reader.uris, lost=reader.lost
    )


class _Fields:
    """Reads the fields behind the version: what is right, and what was meant."""

    def __init__(self, notes: Notes) -> None:
        self.notes = notes
        self.uris: list[str] = []
        self.extensions: list[tuple[str, str]] = []
        self.lost = False
        self._rua_at: list[int] = []  # where a right `rua=` begins
        self._meant = False  # a destination was given, in whatever way
        self._foreign: list[tuple[str, int]] = []
        self._unknown: list[tuple[str, int]] = []
        self._ruf: list[Located] = []

    def read(self, fields: list[Located], record_end: int) -> None:
        """Read them all, and note what only shows over the whole record."""
        for index, field in enumerate(fields):
            self._field(field, first=index == 0)
        if not self._rua_at and not self._meant:
            self._no_rua(record_end)
        if len(self._rua_at) > 1:
            self.notes.add(
                "rua-repeated",
                self._rua_at[1],
                f"{len(self._rua_at)} rua fields",
                f"The RFC allows it, but {SYS4} reads only the first.",
                "write one rua with commas between the URIs",
                severity="warning",
            )
        self._other_fields()

    def _field(self, field: Located, *, first: bool) -> None:
        text = field.text
        named = re.match(r"rua(?P<sign>[ \t]*[=:][=:]*|[ \t]+(?=\S+:))", text, re.IGNORECASE)
        if named:
            if text.startswith("rua=") and not named["sign"][1:]:
                if not first and not self._rua_at:
                    self._rua_is_late(field.start)
                self._rua_at.append(field.start)
            else:
                self._misnamed_rua(field, named)
            self._meant = True
            self._destinations(field.cut(named.end()))
        elif looks_like_destination(re.split(r"[\s,]", text, maxsplit=1)[0]):
            self._between(field)
        elif EXTENSION.fullmatch(text):
            self._extension(field)
        else:
            self._broken_field(field)

    def _rua_is_late(self, at: int) -> None:
        self.notes.add(
            "rua-not-second",
            at,
            "rua does not stand directly behind the version",
            f"The RFC allows any order, but {SYS4} finds no rua here and drops the record.",
            "write rua first",
            severity="warning",
        )

    def _misnamed_rua(self, field: Located, named: re.Match[str]) -> None:
        written = printable(field.text[: named.end()].strip(), 20)
        sign = named["sign"]
        if field.text[:3] != "rua":
            self.notes.add(
                "rua-case",
                field.start,
                f"the field is named {printable(field.text[:3])}",
                f"Case counts: to senders this is an unknown field, and without rua there is no record ({MOX} and "
                f"{SYS4} ignore it).",
                "write rua= in lower case",
            )
        if sign.strip(WSP) != "=":
            self.notes.add(
                "rua-misspelt",
                field.start,
                f"{written} instead of rua=",
                "To senders this is no rua, and without one there is no record.",
                "write rua=",
            )
        elif sign != "=":
            space_around_equals(self.notes, field.at[3], TLSRPT, "rua= without spaces")

    def _between(self, field: Located) -> None:
        """A destination that stands where a field should: `rua=mailto:a@b.example;mailto:c@d.example`."""
        if self._rua_at or self._meant:
            self.notes.add(
                "semicolon-between-uris",
                field.start,
                "a semicolon between two destinations",
                f"Not valid: {MOX} drops the record, {SYS4} and Stalwart use only the first destination.",
                "write a comma between them",
            )
        else:
            self.notes.add(
                "rua-missing",
                field.start,
                "a destination without rua= before it",
                f"Without rua there is no record: {MOX} and {SYS4} ignore it.",
                "write rua= before it",
            )
        self._meant = True
        self._destinations(field)

    def _extension(self, field: Located) -> None:
        name, _, value = field.text.partition("=")
        rua_like = name.lower() != "ruf" and any(distance(name.lower(), word) <= 1 for word in _NAMES_LIKE_RUA)
        if rua_like and name.lower() not in _FOREIGN and self._names_destinations(value):
            self.notes.add(
                "rua-misspelt",
                field.start,
                f"a field named {printable(name)} that holds a destination",
                "To senders this is an unknown field: they do not read it.",
                "name it rua" if not self._rua_at else "put its destination into rua",
            )
            self._meant = True
            self._destinations(field.cut(len(name) + 1))
        elif name.lower() == "v":
            self.notes.add(
                "version-repeated",
                field.start,
                f"a second version, {printable(field.text, 30)}",
                "To senders it is an unknown field.",
                "take it out",
                severity="warning",
            )
        elif name in _FOREIGN:
            self._foreign.append((name, field.start))
            if name == "ruf":
                self._ruf.append(field.cut(4))
        else:
            self._unknown.append((name, field.start))
            self.extensions.append((name, value))

    def _names_destinations(self, value: str) -> bool:
        return all(looks_like_destination(part) for part in value.split(","))

    def _broken_field(self, field: Located) -> None:
        name, sign, value = field.text.partition("=")
        if sign and not value.strip(WSP):
            code, message = "field-empty-value", f"the field {printable(name.strip(), 30)} has no value"
        elif sign and (name != name.strip(WSP) or value != value.strip(WSP)):
            space_around_equals(
                self.notes, field.at[len(name)], TLSRPT, f"{printable(name.strip(), 30)}= without spaces"
            )
            return
        elif sign:
            code, message = "field-invalid", f"{printable(field.text, 40)} is no field"
        else:
            code, message = "trailing-text", f"{printable(field.text, 40)} is no field: it has no name and value"
        self.notes.add(
            code,
            field.start,
            message,
            f"Not valid: {MOX} drops the record; {SYS4} and Stalwart may not.",
            "take it out: notes belong into a comment of the zone file",
        )

    def _no_rua(self, end: int) -> None:
        if self._ruf:  # the owner named a place for reports, under the wrong name
            self._meant = True
            self._destinations(self._ruf[0])
        self.notes.add(
            "rua-missing",
            end,
            "no rua: nobody is named who gets the reports",
            f"Without rua there is no record: {MOX} and {SYS4} ignore it.",
            f"write {TEMPLATE}",
        )
        self.lost = self.lost or not self.uris

    def _other_fields(self) -> None:
        if self._foreign:
            names = ", ".join(dict.fromkeys(printable(name) for name, _ in self._foreign))
            self.notes.add(
                "dmarc-tags",
                self._foreign[0][1],
                f"fields of DMARC or another record: {names}",
                "TLSRPT has no such fields; senders ignore them"
                + (f", and before rua they make {SYS4} drop the record." if self._before_rua(self._foreign) else "."),
                "take them out",
                severity="warning",
            )
        if self._unknown:
            names = ", ".join(dict.fromkeys(printable(name) for name, _ in self._unknown[:10]))
            self.notes.add(
                "field-unknown",
                self._unknown[0][1],
                f"fields that no standard knows: {names}",
                "The RFC allows them, and senders ignore them.",
                "if it is part of a URI, write its semicolon as %3B",
                severity="info",
            )

    def _before_rua(self, fields: list[tuple[str, int]]) -> bool:
        return bool(self._rua_at) and fields[0][1] < self._rua_at[0]

    # the value of rua

    def _destinations(self, value: Located) -> None:
        if value.text[:1] in tuple(WSP) and value.text.strip(WSP):
            self.notes.add(
                "space-after-rua-equals",
                value.start,
                "white space behind rua=",
                f"Not valid: {MOX} drops the record.",
                "write the first URI directly behind rua=",
            )
        twice = re.match(r"(?:rua[ \t]*=[ \t]*)+", value.text, re.IGNORECASE)
        if twice:
            self.notes.add("rua-misspelt", value.start, "rua= stands twice", "The value is no URI.", "write rua= once")
            value = value.cut(twice.end())
        elements = self._without_comment(value.strip()).split(",")
        if not any(element.text.strip(WSP) for element in elements):
            self.notes.add(
                "rua-empty",
                value.start,
                "rua has no value",
                f"Not valid, and nobody is named who gets the reports: {MOX} and {SYS4} ignore the record.",
                f"write {TEMPLATE}",
            )
            return
        for index, element in enumerate(elements):
            self._element(element, index, len(elements))

    def _without_comment(self, value: Located) -> Located:
        comment = re.search(r"(?<![ \t])[ \t]+(?:#|//|--|/\*|\()", value.text)
        if comment is None:
            return value
        self._trailing(value.at[comment.end() - 1], value.text[comment.start() :])
        return value.cut(0, comment.start())

    def _trailing(self, at: int, text: str) -> None:
        self.notes.add(
            "trailing-text",
            at,
            f"text behind the URI: {printable(text.strip(), 40)}",
            f"Not valid: {MOX} drops the record; {SYS4} and Stalwart may not.",
            "take it out: notes belong into a comment of the zone file",
        )

    def _element(self, element: Located, index: int, count: int) -> None:
        stripped = element.strip()
        if not stripped.text:
            self.notes.add(
                "uri-empty",
                element.start,
                "a comma with no URI beside it",
                "Not valid: strict senders drop the whole record.",
                "take the comma out",
            )
            return
        if (index and element.text[0] in WSP) or (index < count - 1 and element.text[-1] in WSP):
            self._space_at_comma(element, index)
        if index and self._belongs_to_endpoint(element):
            return
        self._words(self._tight(stripped))

    def _space_at_comma(self, element: Located, index: int) -> None:
        after = index > 0 and element.text[0] in WSP
        self.notes.add(
            "space-after-comma" if after else "space-before-comma",
            element.start if after else element.strip().at[-1],
            f"white space {'behind' if after else 'before'} a comma",
            f"The grammar allows it, but {SYS4} refuses the whole record for it."
            if after
            else "The grammar allows it, yet nothing needs it.",
            "write the URIs with a comma and nothing else between",
            severity="warning",
        )

    def _belongs_to_endpoint(self, element: Located) -> bool:
        """A raw comma inside an https URI: what follows is neither a URI nor an address."""
        last = self.uris[-1] if self.uris else ""
        if not last.startswith("https:") or len(last) > _MAX_URI or element.text != element.text.strip(WSP):
            return False
        if ":" in element.text or "@" in element.text or not is_uri(f"{last}%2C{element.text}"):
            return False
        if last.count("/") < 3 or re.match(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+(/|\Z)", element.text):
            return False
        self.uris[-1] = f"{last}%2C{element.text}"
        self.notes.add(
            "uri-unescaped",
            element.start,
            "a raw comma inside a URI",
            "It ends the URI: the rest is no URI, and strict senders drop the whole record.",
            "write %2C in its place",
        )
        return True

    def _tight(self, element: Located) -> Located:
        """Without white space around the @ and behind the scheme, where the address goes on."""
        loose = list(_GAPS.finditer(element.text))
        if not loose:
            return element
        self.notes.add(
            "space-in-uri",
            element.at[loose[0].start()],
            "white space inside a URI",
            f"Not valid: {MOX} drops the record.",
            "take it out",
        )
        pieces = list(element.text)
        for gap in loose:
            pieces[gap.start() : gap.end()] = [""] * (gap.end() - gap.start())
        return element.mapped(pieces)

    def _words(self, element: Located) -> None:
        """One element of the list; white space in it is always a fault, and more words may be more destinations."""
        words = [element.cut(*match.span()) for match in re.finditer(r"[^ \t]+", element.text)]
        meant = [len(words) == 1 or looks_like_destination(word.text) for word in words]
        if not any(meant) and not any(re.search(r"[@:/.]", word.text) for word in words):
            self._trailing(element.start, element.text)
            return
        if not any(meant):
            meant[0] = True
        for number, word in enumerate(word for word, is_one in zip(words, meant, strict=True) if is_one):
            if number:
                self.notes.add(
                    "comma-missing",
                    word.start,
                    "white space instead of a comma between two destinations",
                    "Not valid: strict senders drop the whole record.",
                    "write a comma between them",
                )
            self._one(word)
        rest = [word for word, is_one in zip(words, meant, strict=True) if not is_one]
        if rest and (field := re.fullmatch(r"(rua|[a-z_]{1,8})=.*", rest[0].text)):
            self.notes.add(
                "semicolon-missing",
                rest[0].start,
                f"no semicolon before {printable(field[1])}=",
                "Not valid: strict senders drop the whole record.",
                "write a semicolon between fields, or take the field out",
            )
        elif rest:
            self._trailing(rest[0].start, rest[0].text if len(rest) == 1 else f"{rest[0].text} ...")

    def _one(self, word: Located) -> None:
        mended = mend(word.text)
        for fault in mended.faults:
            at = word.at[max(word.text.rfind(fault.sign), 0)] if fault.sign else word.start
            self.notes.add(fault.code, at, fault.message, fault.consequence, fault.fix, severity=fault.severity)
        self.uris += mended.uris
        self.lost = self.lost or mended.lost

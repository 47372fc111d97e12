"""The _mta-sts TXT record (RFC 8461 section 3.1): parse, lint, format.

It only says that a policy exists, and by its `id` when it changed. Senders are strict: a record with a fault is none.
What mox, tlspol (postfix-tlspol) and Snawoot (postfix-mta-sts-resolver) do was read in their source.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

from tlsrpt.core.findings import Finding
from tlsrpt.core.text import printable
from tlsrpt.core.txtrecord import (
    EXTENSION,
    MAX_OCTETS,
    WSP,
    Located,
    Notes,
    Protocol,
    clean,
    lowered,
    read_version,
    sorted_findings,
    space_around_equals,
    split_fields,
)
from tlsrpt.core.verdict import Lint, as_text, judge

LABEL = "_mta-sts"
TEMPLATE = "v=STSv1; id=<1 to 32 letters and digits, such as the date and time>"
MTASTS = Protocol("MTA-STS", LABEL, "8461 section 3.1", "STSv1", "id", r"sts", TEMPLATE)
VERSION = MTASTS.version
_PREFIX = f"{VERSION};"
MAX_ID = 32
_ID = re.compile(r"[A-Za-z0-9]{1,32}")


class StsRecord(Struct, frozen=True, kw_only=True):
    """The `_mta-sts` record as senders read it."""

    id: str
    extensions: tuple[tuple[str, str], ...] = ()


def parse_sts_record(text: bytes | str) -> StsRecord | None:
    """Read one record by the grammar; None where it does not fit."""
    raw = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    if len(raw) > MAX_OCTETS or not raw.isascii():
        return None
    head, *fields = raw.decode("ascii").split(";")
    if head.rstrip(WSP) != VERSION or not fields:
        return None
    if not fields[-1].strip(WSP):
        fields.pop()
    elif fields[-1] != fields[-1].rstrip(WSP):
        return None
    pairs = [field.strip(WSP).partition("=") for field in fields]
    ids = [value for name, _, value in pairs if name == "id"]
    others = [(name, value) for name, _, value in pairs if name != "id"]
    if not ids or not all(map(_ID.fullmatch, ids)):
        return None
    if not all(EXTENSION.fullmatch(f"{name}={value}") for name, value in others):
        return None
    return StsRecord(id=ids[0], extensions=tuple(others))


def format_sts_record(policy_id: str) -> str:
    """Write the record with an id of 1 to 32 letters and digits.

    Raises:
        ValueError: it is no such id.
    """
    if not _ID.fullmatch(policy_id):
        raise ValueError(f"no id: {policy_id[:40]!r}; 1 to {MAX_ID} letters and digits")
    return f"{VERSION}; id={policy_id}"


def lint_sts_record(texts: Sequence[bytes | str], *, fresh_id: str | None = None) -> Lint:
    """Say everything that is wrong with the TXT records found at one `_mta-sts` name.

    Args:
        texts: all TXT records at the name as DNS holds them, each with its strings joined.
        fresh_id: an id to propose where none can be read: any new one is right, for ids have no order (S3.1-06).
    """
    shown = tuple(map(as_text, texts))
    plain = [text.decode("utf-8", "surrogateescape") if isinstance(text, bytes) else text for text in texts]
    readings = [_StsReading(text, number) for number, text in enumerate(plain, 1)]
    begun = [reading for reading in readings if reading.begins]
    chosen = readings[0] if len(readings) == 1 else begun[0] if len(begun) == 1 else None
    findings = list(chosen.findings) if chosen else []
    for reading in readings:
        if chosen and reading is not chosen:
            findings.append(_sts_dropped(reading))
        elif not chosen and reading.is_ours:
            findings += reading.findings
    if not chosen:
        findings.append(_sts_not_one(len(readings), begun))
    usable = chosen is not None and chosen.usable
    ordered = sorted_findings(findings)
    verdict = judge(usable, ordered)
    policy_id = chosen.id if chosen else next((r.id for r in reversed(begun or readings) if r.id), None)
    if not policy_id and (chosen is None or chosen.is_ours):
        policy_id = fresh_id
    corrected = None if verdict == "ok" or not policy_id else format_sts_record(policy_id)
    return Lint(input=shown, verdict=verdict, findings=ordered, corrected=corrected, form="mta-sts-record")


def _sts_dropped(reading: _StsReading) -> Finding:
    return Finding(
        code="second-record-dropped" if reading.is_ours else "unrelated-txt-at-name",
        severity="warning",
        where=f"record {reading.number}, column 1",
        message=f"{printable(reading.text, 40) or 'an empty text'} does not begin with {_PREFIX}",
        consequence="Senders drop it and read the other record.",
        fix="delete it" if reading.is_ours else "move it to its own name",
    )


def _sts_not_one(count: int, begun: list[_StsReading]) -> Finding:
    if begun:
        numbers = ", ".join(str(reading.number) for reading in begun)
        return Finding(
            code="two-records" if len(begun) == 2 else "several-records",
            severity="error",
            where="all records",
            message=f"{len(begun)} MTA-STS records at one name (records {numbers})",
            consequence="More than one counts as none (RFC 8461 section 3.1): no policy is seen.",
            fix="keep one; ids have no order, and any id that differs from the last one makes senders fetch the policy",
        )
    return Finding(
        code="record-missing",
        severity="error",
        where="all records",
        message=f"none of the {count} TXT records begins with {_PREFIX}" if count else f"no TXT record at {LABEL}",
        consequence="No policy is seen.",
        fix=f"publish one: {TEMPLATE}",
    )


class _StsReading:
    """One text read strictly for whether it counts, leniently for what was meant."""

    def __init__(self, text: str, number: int) -> None:
        self.text, self.number = text, number
        self.begins = text.startswith(_PREFIX)
        self.notes = Notes(number)
        self.id: str | None = None
        self.is_ours = False
        record = parse_sts_record(text)
        self.usable = record is not None
        if len(text) > MAX_OCTETS:
            self._error(0, "record-too-long", f"{len(text):,} characters; DNS carries at most {MAX_OCTETS:,} octets")
        else:
            self._read(Located.of(text))
        self.findings = lowered(self.notes.findings) if self.usable else self.notes.findings

    def _error(self, at: int, code: str, message: str, fix: str = f"write {TEMPLATE}") -> None:
        self.notes.add(code, at, message, "The record is not valid: no policy is seen.", fix)

    def _read(self, located: Located) -> None:
        if not self.usable:
            located = clean(located, self.notes)
        rest = read_version(located, MTASTS, self.notes)
        if rest is None:
            return
        self.is_ours = True
        seen: list[Located] = []
        unknown: list[Located] = []
        for field in split_fields(rest, self.notes):
            named = re.match(r"id([ \t]*=[ \t]*|:[ \t]*)", field.text, re.IGNORECASE)
            if named:
                self._id_name(field, named[1])
                seen.append(field.cut(named.end()))
            elif EXTENSION.fullmatch(field.text):
                unknown.append(field)
            else:
                self._error(field.start, "field-invalid", f"{printable(field.text, 40)} is no field", "take it out")
        self._ids(seen, located.at[-1])
        self._unknown(unknown)
        if not self.usable and not self.notes.has_errors():
            self._error(located.start, "syntax", f"{printable(located.text, 60)} does not fit the grammar")

    def _id_name(self, field: Located, sign: str) -> None:
        if field.text[:2] != "id":
            self._error(field.start, "id-case", f"the field is named {field.text[:2]}", "write id= in lower case")
        if ":" in sign:
            self._error(field.start, "id-misspelt", "id: instead of id=", "write id=")
        elif sign != "=":
            space_around_equals(self.notes, field.at[2], MTASTS, "id= without spaces")

    def _ids(self, seen: list[Located], end: int) -> None:
        if not seen:
            self._error(end, "id-missing", "no id: senders can't tell one policy from the next")
            return
        if len(seen) > 1:
            self.notes.add(
                "id-repeated",
                seen[1].start,
                f"{len(seen)} id fields",
                "Senders take the first and ignore the rest.",
                "leave one id",
                severity="warning",
            )
        for value in seen:
            self._id_value(value)
        self.id = next(filter(None, (_mended_id(value.text) for value in seen)), None)

    def _id_value(self, value: Located) -> None:
        text = value.text
        if not text:
            self._error(value.start, "id-missing", "id has no value")
            return
        wrong = next((index for index, char in enumerate(text) if not (char.isascii() and char.isalnum())), None)
        if wrong is not None:
            self._error(
                value.at[wrong],
                "id-characters",
                f"{printable(text[wrong])} in the id: only letters and digits are valid",
                "write letters and digits alone",
            )
        if len(text) > MAX_ID:
            self._error(
                value.at[MAX_ID], "id-too-long", f"an id of {len(text)} characters; at most {MAX_ID}", "shorten it"
            )

    def _unknown(self, fields: list[Located]) -> None:
        names = [field.text.partition("=")[0] for field in fields]
        foreign = [name for name in names if name in ("mode", "mx", "max_age", "version", "rua", "v", "p")]
        if foreign:
            self.notes.add(
                "policy-field-in-txt",
                fields[names.index(foreign[0])].start,
                f"{', '.join(dict.fromkeys(foreign))} in the TXT record",
                "It does nothing here: the policy is read from the file alone.",
                "take it out",
                severity="warning",
            )
        elif fields:
            self.notes.add(
                "field-unknown",
                fields[0].start,
                f"fields that no standard knows: {', '.join(names[:10])}",
                "The RFC allows them, and senders ignore them.",
                severity="info",
            )


def _mended_id(text: str) -> str | None:
    """An id with what is not allowed taken out, or, where it then is too long, what stands before it."""
    plain = re.sub(r"[^A-Za-z0-9]", "", text)
    if len(plain) > MAX_ID:
        plain = re.split(r"[^A-Za-z0-9]", text.lstrip("-_. "))[0][:MAX_ID] or plain[:MAX_ID]
    return plain or None

"""A TXT record written as zone text, linted: what DNS would hold of it, and the faults of the writing itself.

The findings of the value keep their place, which is then a place in the text as it was given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from tlsrpt.core.findings import Finding
from tlsrpt.core.text import printable
from tlsrpt.core.txtrecord import Notes, sorted_findings
from tlsrpt.core.verdict import Lint, as_text, judge, place, read_place
from tlsrpt.core.zonetext import STRING_OCTETS, ZoneRecord, parse_zone_text


def lint_zone_text(texts: Sequence[str], lint: Callable[[Sequence[bytes]], Lint], label: str) -> Lint:
    """Lint records at one name, given as zone files and dig write them: quotes, several strings, `\\;`.

    Args:
        texts: one record each, with or without owner, TTL, class and type.
        lint: the linter for the values as DNS holds them.
        label: the owner name before the domain, `_smtp._tls`.
    """
    records, values, places, findings = [], [], [], []
    for number, text in enumerate(texts, 1):
        notes = Notes(number)
        record = parse_zone_text(text)
        value, at = record.data, record.at
        cut = _cut_by_comment(record, text)
        if cut is not None:
            value, at = _whole(text, record.strings[0].start)
            _note_cut(notes, cut, record.data)
        _note_writing(notes, record, text)
        _note_owner(notes, record, label)
        records.append(record)
        values.append(value)
        places.append((*at, len(text)))
        findings += notes.findings
    read = lint(values)
    findings += [_placed(finding, values, places) for finding in read.findings]
    ordered = sorted_findings(findings)
    usable = read.verdict != "ignored" and not any(finding.severity == "error" for finding in ordered)
    return Lint(
        input=tuple(map(as_text, texts)),
        verdict=judge(usable, ordered),
        findings=ordered,
        corrected=read.corrected or (None if usable else _as_it_is(values, read)),
        form="zone-text",
    )


def _as_it_is(values: list[bytes], read: Lint) -> str | None:
    """The value, where only its writing in the zone is at fault."""
    return as_text(values[0]) if read.verdict == "ok" and len(values) == 1 else None


def _cut_by_comment(record: ZoneRecord, text: str) -> int | None:
    """Where a semicolon outside of quotes cuts the value off; None where it begins an ordinary comment."""
    comment = next((trouble.at for trouble in record.troubles if trouble.kind == "comment"), None)
    if comment is None or not record.strings or record.strings[-1].quoted or comment < record.strings[0].start:
        return None
    return comment


def _whole(text: str, start: int) -> tuple[bytes, tuple[int, ...]]:
    """The value that was meant, had it been in quotes."""
    plain = text[start:].replace('"', " ").rstrip()
    record = parse_zone_text(f'"{plain}"')
    return record.data, tuple(start + index - 1 for index in record.at)


def _note_cut(notes: Notes, at: int, served: bytes) -> None:
    notes.add(
        "zone-unquoted",
        at,
        "a semicolon outside of quotes begins a comment in a zone file",
        f"The name server publishes {printable(as_text(served), 60)} alone, and senders drop that.",
        'put the whole value in quotes: "..."',
    )


def _note_writing(notes: Notes, record: ZoneRecord, text: str) -> None:
    for trouble in record.troubles:
        if trouble.kind != "comment":
            what = {
                "quote-open": "a quote is opened and never closed",
                "escape": "a backslash that escapes nothing",
                "parenthesis": "a bracket without its partner",
            }[trouble.kind]
            notes.add(
                "zone-syntax",
                trouble.at,
                what,
                "A name server refuses the zone, or the panel the value.",
                "mend the text",
            )
    for string in record.strings:
        if len(string.data) > STRING_OCTETS:
            notes.add(
                "zone-string-too-long",
                string.start,
                f"one string of {len(string.data)} octets; at most {STRING_OCTETS} fit",
                "A name server refuses the zone.",
                'split it: "..." "..." in one record; the strings are joined with nothing between',
            )
    if record.rtype not in (None, "TXT"):
        notes.add(
            "wrong-type",
            0,
            f"a record of type {record.rtype}",
            "Senders ask for TXT.",
            "publish the value as TXT",
        )


def _note_owner(notes: Notes, record: ZoneRecord, label: str) -> None:
    if record.owner is None:
        return
    owner = record.owner.lower()
    if owner != label and not owner.startswith(f"{label}."):
        notes.add(
            "wrong-name",
            0,
            f"the record stands at {printable(record.owner, 80)}",
            f"Senders look at {label}.<domain> and nowhere else.",
            f"move it to {label}",
        )
    elif owner.count(".") > label.count(".") and not owner.endswith("."):
        notes.add(
            "owner-without-dot",
            0,
            f"the name {printable(record.owner, 80)} lacks its final dot",
            "In a zone file the zone is appended once more, and no sender looks there.",
            f"write {printable(record.owner, 80)}. or {label} alone",
            severity="warning",
        )


def _placed(finding: Finding, values: list[bytes], places: list[tuple[int, ...]]) -> Finding:
    """The finding with its place in the text as it was given."""
    where = read_place(finding.where)
    if where is None:
        return finding
    value = values[where.number - 1].decode("utf-8", "surrogateescape")
    octet = len(value[: where.column - 1].encode("utf-8", "surrogateescape"))
    at = places[where.number - 1]
    return msgspec.structs.replace(finding, where=place(where.number, at[min(octet, len(at) - 1)] + 1))

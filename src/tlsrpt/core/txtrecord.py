"""What the records `_smtp._tls` and `_mta-sts` share: a version, then fields between semicolons, one record at a name.

RFC 8460 section 3 and RFC 8461 section 3.1 use the same frame and the same rule for several records, and people break
both in the same ways: quotes and backslashes of a zone file, characters of the clipboard, a version in the wrong case.
Here a text is cleaned step by step, each step noted, while every character remembers where it stood.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from tlsrpt.core.findings import Finding, Severity
from tlsrpt.core.text import printable
from tlsrpt.core.verdict import place, read_place

MAX_OCTETS = 65_535  # of the data of any DNS record
MAX_ALIKE = 10  # findings of one code for one record; a text of semicolons alone would make thousands
WSP = " \t"
EXT_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}"
EXTENSION = re.compile(rf"({EXT_NAME})=([\x21-\x3A\x3C\x3E-\x7E]+)")
MOX = "mox"
SYS4 = "sys4's tlsrpt-reporter (used with Postfix)"
ZONE_HINT = (
    "take it out of the value; if the text was copied from a zone file or from dig, lint it again with --zone-text"
)


class Protocol(Struct, frozen=True):
    """One of the two records.

    Attributes:
        name: as people call it; `label` is the owner name before the domain.
        word: the version without `v=`.
        field: the field it can't do without; `sign` finds words that were meant as the version.
        template: the record with a placeholder for what only its owner knows.
    """

    name: str
    label: str
    rfc: str
    word: str
    field: str
    sign: str
    template: str

    @property
    def version(self) -> str:
        """The octets that a record begins with."""
        return f"v={self.word}"


class Located(Struct, frozen=True):
    """A text whose characters remember their place in the input: `at` has one place more, for the end."""

    text: str
    at: Sequence[int]

    @classmethod
    def of(cls, text: str) -> Located:
        """A text that is the input itself."""
        return cls(text, range(len(text) + 1))

    @property
    def start(self) -> int:
        """Where it begins in the input."""
        return self.at[0]

    def cut(self, start: int, stop: int | None = None) -> Located:
        """A part of it, by its own indices."""
        end = len(self.text) if stop is None else stop
        return Located(self.text[start:end], self.at[start : end + 1])

    def strip(self, chars: str = WSP) -> Located:
        """Without these characters at both ends."""
        left = len(self.text) - len(self.text.lstrip(chars))
        return self.cut(left, max(left, len(self.text.rstrip(chars))))

    def split(self, separator: str) -> list[Located]:
        """The parts between separators of one character."""
        parts, start = [], 0
        for piece in self.text.split(separator):
            parts.append(self.cut(start, start + len(piece)))
            start += len(piece) + 1
        return parts

    def mapped(self, pieces: Sequence[str]) -> Located:
        """With each character replaced by its piece, which may be empty."""
        places = [place for piece, place in zip(pieces, self.at, strict=False) for _ in piece]
        return Located("".join(pieces), [*places, self.at[-1]])


class Notes:
    """Collects the findings of one record, or of the lines of one file, in the order they are met."""

    def __init__(self, number: int = 1, unit: Literal["record", "line"] = "record") -> None:
        self.number = number
        self.unit = unit
        self.findings: list[Finding] = []
        self._seen: Counter[str] = Counter()

    def add(
        self, code: str, at: int, message: str, consequence: str = "", fix: str = "", *, severity: Severity = "error"
    ) -> None:
        """Note one fault at a character of the input, counted from 0."""
        self._seen[code] += 1
        if self._seen[code] <= MAX_ALIKE:
            where = place(self.number, at + 1, self.unit)
            self.findings.append(
                Finding(code=code, severity=severity, where=where, message=message, consequence=consequence, fix=fix)
            )

    def has_errors(self) -> bool:
        """Whether anything noted so far makes the record unusable."""
        return any(finding.severity == "error" for finding in self.findings)


def sorted_findings(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Findings by record and column; those on a whole record or on all of them come first."""

    def key(finding: Finding) -> tuple[int, int]:
        where = read_place(finding.where)
        return (where.number, where.column) if where else (0, 0)

    return tuple(sorted(findings, key=key))


def lowered(findings: Sequence[Finding]) -> list[Finding]:
    """Findings on something that costs nothing as it stands: an error becomes a warning."""
    return [_as_warning(finding) if finding.severity == "error" else finding for finding in findings]


def _as_warning(finding: Finding) -> Finding:
    return Finding(
        code=finding.code,
        severity="warning",
        where=finding.where,
        message=finding.message,
        consequence=finding.consequence,
        fix=finding.fix,
    )


# --- what paste and quoting leave behind -----------------------------------------------------------------------------

_DOUBLE_QUOTES = "“”„‟«»″＂"
_SINGLE_QUOTES = "‘’‚‛′＇"
_NOT_TYPED = ("octet-not-utf-8", "control-character", "line-end")
_QUOTED_GAP = re.compile(r'"[ \t]*"')  # two strings of one record: joined with nothing between


def clean(text: Located, notes: Notes) -> Located:
    """Take out what the clipboard, a zone file or a panel put in, and note each kind of it."""
    text = _escapes(plain_characters(text, notes), notes)
    text = _quotes(text, notes)
    stripped = text.strip()
    if text.text[:1] in tuple(WSP) and text.text.strip(WSP):
        notes.add(
            "leading-space",
            text.start,
            "white space before the version",
            "A record must begin with the version: senders drop this one, no reports are sent.",
            "take the white space out",
        )
    if len(text.text.rstrip(WSP)) < len(text.text) and stripped.text and not stripped.text.endswith(";"):
        notes.add(
            "trailing-space",
            stripped.at[-1],
            "white space at the very end",
            "The grammar allows it before or after a semicolon only; strict senders drop the whole record.",
            "take the white space out",
        )
    return stripped


def plain_characters(text: Located, notes: Notes) -> Located:
    """With what the clipboard made of spaces, quotes and dashes turned back; letters of other scripts stay."""
    if text.text.isascii() and text.text.isprintable():
        return text
    pieces: list[str] = []
    found: dict[str, list[int]] = {}  # code -> where such characters stand
    for index, char in enumerate(text.text):
        code, piece = _plain(char)
        if code == "line-end" and text.text[index:].strip("\r\n"):
            code, piece = "control-character", " "
        if code:
            found.setdefault(code, []).append(index)
        pieces.append(piece)
    for code, indices in found.items():
        kinds = dict.fromkeys(_named(text.text[index]) for index in indices)
        more = f", {len(indices)} times" if len(indices) > 1 else ""
        notes.add(
            code,
            text.at[indices[0]],
            f"{', '.join(list(kinds)[:5])}{more}" + ("" if code in _NOT_TYPED else ": it comes with copy and paste"),
            "Only plain ASCII is valid: strict senders drop all of it.",
            f"type {'a plain character' if any(pieces[i].strip() for i in indices) else 'a plain space or nothing'} "
            "in its place",
        )
    return text.mapped(pieces)


def _plain(char: str) -> tuple[str, str]:
    """The code of a character that has no place in a record, and what to read instead; ("", char) for others."""
    if " " <= char <= "~" or char == "\t":
        return "", char
    if char in "\r\n":
        return "line-end", ""
    category = unicodedata.category(char)
    if category == "Cc":
        return "control-character", ""
    if category == "Cs":
        return "octet-not-utf-8", ""
    if category in ("Zs", "Zl", "Zp"):
        return "non-ascii-space", " "
    if category == "Cf":
        return "invisible-character", ""
    for quotes, plain in ((_DOUBLE_QUOTES, '"'), (_SINGLE_QUOTES, "'")):
        if char in quotes:
            return "smart-quote", plain
    if category == "Pd":
        return "typographic-dash", "-"
    folded = unicodedata.normalize("NFKC", char)
    if len(folded) == 1 and folded.isascii():
        return "full-width-character", folded
    return "", char


def _named(char: str) -> str:
    if "\udc80" <= char <= "\udcff":
        return f"octet {ord(char) - 0xDC00:#04x}"
    return f"U+{ord(char):04X} {unicodedata.name(char, 'control')}"


def _escapes(text: Located, notes: Notes) -> Located:
    first = text.text.find("\\")
    if first < 0:
        return text
    notes.add(
        "backslash-in-value",
        text.at[first],
        "a backslash stands in the data itself",
        "Zone files and dig write one before a semicolon; in the data it breaks the record, and senders drop it.",
        ZONE_HINT,
    )
    pieces = list(text.text)
    index = first
    while 0 <= index < len(pieces):
        pieces[index] = ""
        digits = text.text[index + 1 : index + 4]
        if re.fullmatch(r"0[3-9][0-9]|1[01][0-9]|12[0-6]", digits):  # \059 is a semicolon
            pieces[index + 1 : index + 4] = [chr(int(digits)), "", ""]
        index = text.text.find("\\", index + 1)
    return text.mapped(pieces)


def _quotes(text: Located, notes: Notes) -> Located:
    marks = [index for index, char in enumerate(text.text) if char == '"']
    ends = [index for index in (0, len(text.text) - 1) if text.text[index : index + 1] in ("'", "`")]
    if not marks and not ends:
        return text
    shown = printable(text.text[min(marks + ends)])
    notes.add(
        "quotes-in-value",
        text.at[min(marks + ends)],
        f"a quote ({shown}) stands in the data itself",
        "Zone files and some panels want quotes around the value; in the data they are part of it, and senders drop "
        "the record. Checkers that strip quotes call it valid.",
        ZONE_HINT,
    )
    pieces = list(text.text)
    for gap in _QUOTED_GAP.finditer(text.text):
        pieces[gap.start() : gap.end()] = [""] * (gap.end() - gap.start())
    for index in (*marks, *ends):
        pieces[index] = ""
    return text.mapped(pieces)


# --- the version -----------------------------------------------------------------------------------------------------

_OTHERS = {
    "dmarc1": ("dmarc-record-here", "a DMARC record"),
    "spf1": ("spf-record-here", "an SPF record"),
    "dkim1": ("dkim-record-here", "a DKIM key"),
    "bimi1": ("bimi-record-here", "a BIMI record"),
    "stsv1": ("mta-sts-record-here", "an MTA-STS record"),
    "tlsrptv1": ("tlsrpt-record-here", "a TLSRPT record"),
}
_VERSION = re.compile(r"v(?P<long>er(?:sion)?)?(?P<gap>[ \t]*[=:][ \t]*)(?P<word>[A-Za-z0-9._-]*)", re.IGNORECASE)


def read_version(text: Located, protocol: Protocol, notes: Notes) -> Located | None:
    """Note what is wrong with the version and what follows it; return the fields after it, None for another record.

    Fields that stood before the version are put after it.
    """
    exact = protocol.version
    if text.text.startswith(exact):
        word = re.compile(r"[A-Za-z0-9._-]*").match(text.text, len(exact))
        stop = word.end() if word else len(exact)
        if stop == len(exact) or text.text[stop : stop + 1] == "=":  # v=TLSRPTv1rua=...: only the semicolon is missing
            return _after_version(text.cut(len(exact)), protocol, notes)
        _misspelt(notes, text, text.text[:stop], protocol)
        return _after_version(text.cut(stop), protocol, notes)
    match = _VERSION.match(text.text)
    if match:
        return _odd_version(text, match, protocol, notes)
    return _version_elsewhere(text, protocol, notes)


def _odd_version(text: Located, match: re.Match[str], protocol: Protocol, notes: Notes) -> Located | None:
    word, gap = match["word"], match["gap"]
    glued = re.fullmatch(rf"(.*?){protocol.field}", word, re.IGNORECASE)
    if glued and text.text[match.end() : match.end() + 1] == "=":
        word = glued[1]
    stop = match.start("word") + len(word)
    if word.lower() != protocol.word.lower():
        if word.lower() in _OTHERS or not _near(word, protocol):
            _other_record(text, word, protocol, notes)
            return None
        _misspelt(notes, text, text.text[:stop], protocol)
    elif word != protocol.word or text.text[0] != "v":
        notes.add(
            "version-case",
            text.start,
            f"the version is written {printable(text.text[:stop])}",
            f"Upper and lower case count (RFC {protocol.rfc}): {MOX} and {SYS4} ignore the record. Checkers that "
            "lower-case first call it valid."
            if protocol.field == "rua"
            else f"Upper and lower case count (RFC {protocol.rfc}): no policy is seen.",
            f"write {protocol.version}",
        )
    elif match["long"] or ":" in gap:
        _misspelt(notes, text, text.text[:stop], protocol)
    if gap.strip() != gap:
        _space_around_equals(notes, text.at[match.start("gap")], protocol, f"{protocol.version} without spaces")
    return _after_version(text.cut(stop), protocol, notes)


def _space_around_equals(notes: Notes, at: int, protocol: Protocol, fix: str) -> None:
    senders = f" {MOX} drops the record." if protocol.field == "rua" else ""
    notes.add(
        "space-around-equals",
        at,
        "white space beside an equals sign",
        f"Drafts allowed it, RFC {protocol.rfc} does not: the record is not valid.{senders}",
        f"write {fix}",
    )


def space_around_equals(notes: Notes, at: int, protocol: Protocol, fix: str) -> None:
    """Note white space beside the equals sign of a field."""
    _space_around_equals(notes, at, protocol, fix)


def _misspelt(notes: Notes, text: Located, written: str, protocol: Protocol) -> None:
    notes.add(
        "version-misspelt",
        text.start,
        f"the version is written {printable(written, 40)}",
        f"Senders look for {protocol.version}; and nothing else: to them there is no {protocol.name} record.",
        f"write {protocol.version}",
    )


def _other_record(text: Located, word: str, protocol: Protocol, notes: Notes) -> None:
    code, what = _OTHERS.get(word.lower(), ("other-text-here", f"a text of another kind (v={printable(word, 30)})"))
    wildcard = "" if code == "dmarc-record-here" else " Often a wildcard TXT answers here, and no record exists."
    notes.add(
        code,
        text.start,
        f"this is {what}, no {protocol.name} record",
        f"Senders drop it: {'no reports are sent' if protocol.field == 'rua' else 'no policy is seen'}.{wildcard}",
        f"publish at {protocol.label}.<domain>: {protocol.template}",
    )


def _version_elsewhere(text: Located, protocol: Protocol, notes: Notes) -> Located | None:
    bare = re.match(rf"{protocol.word}(?![A-Za-z0-9._=-])", text.text, re.IGNORECASE)
    if bare:
        _misspelt(notes, text, bare[0], protocol)
        return _after_version(text.cut(bare.end()), protocol, notes)
    later = re.search(rf"(?<![A-Za-z0-9]){re.escape(protocol.version)}(?![A-Za-z0-9])[ \t]*;?", text.text)
    if later:
        before, after = text.cut(0, later.start()), text.cut(later.end())
        fields = re.search(rf"(?<![A-Za-z]){protocol.field}[ \t]*=|;", before.text, re.IGNORECASE)
        code = "version-not-first" if fields else "text-before-version"
        notes.add(
            code,
            text.at[later.start()] if fields else text.start,
            "the version stands behind other fields" if fields else "text stands before the version",
            f"A record must begin with {protocol.version}; and senders drop this one.",
            f"begin with {protocol.version};"
            + ("" if fields else " (owner name, TTL and type are no part of the value; see --zone-text)"),
        )
        if not fields:
            return after
        kept = [part for part in (before.strip(WSP + ";"), after.strip(WSP + ";")) if part.text]
        if not kept:
            return after
        return Located(
            ";".join(part.text for part in kept),
            [place for part in kept for place in part.at],  # the place after a part stands for the semicolon
        )
    if re.search(rf"(?<![A-Za-z]){protocol.field}[ \t]*=", text.text, re.IGNORECASE) or _MAILTO.match(text.text):
        notes.add(
            "version-missing",
            text.start,
            f"the version {protocol.version} is missing",
            f"A record must begin with it: to senders there is no {protocol.name} record.",
            f"begin with {protocol.version};",
        )
        return text
    _no_record(text, protocol, notes)
    return None


_MAILTO = re.compile(r"mailto[:=]|https://|[^\s@=;,]+@[^\s@=;,]+\Z", re.IGNORECASE)


def _no_record(text: Located, protocol: Protocol, notes: Notes) -> None:
    notes.add(
        "other-text-here" if text.text else "record-empty",
        text.start,
        f"no {protocol.name} record: {printable(text.text, 40)}" if text.text else "the text is empty",
        f"Senders drop it: {'no reports are sent' if protocol.field == 'rua' else 'no policy is seen'}. Often a "
        "wildcard TXT answers here, and no record exists.",
        f"publish at {protocol.label}.<domain>: {protocol.template}",
    )


def _after_version(rest: Located, protocol: Protocol, notes: Notes) -> Located:
    """What follows the separator after the version; notes one that isn't a plain semicolon."""
    gap = rest.text.lstrip(WSP)
    space = len(rest.text) - len(gap)
    if not gap:
        return rest.cut(len(rest.text))
    if gap[0] == ";":
        if space:
            notes.add(
                "space-before-first-semicolon",
                rest.start,
                "white space between the version and its semicolon",
                f"The grammar allows it, but beside other TXT records it is dropped for not beginning with "
                f"{protocol.version};"
                + (f" and {SYS4} drops it always." if protocol.field == "rua" else " (RFC 8461 section 3.1)."),
                f"write {protocol.version}; without the space",
                severity="warning",
            )
        return rest.cut(space + 1)
    wrong = re.match(r"[,:.|/&+]+", gap)
    code = "no-semicolon-after-version"
    if wrong:
        code = "comma-after-version" if wrong[0].startswith(",") else "wrong-separator-after-version"
    notes.add(
        code,
        rest.at[space],
        f"{printable(wrong[0], 5)} instead of a semicolon after the version"
        if wrong
        else "no semicolon after the version",
        f"A record must begin with {protocol.version}; and senders drop this one.",
        f"write {protocol.version}; and then the fields",
    )
    after = rest.cut(space + (wrong.end() if wrong else 0)).strip()
    return after.cut(1) if wrong and after.text.startswith(";") else after


def split_fields(rest: Located, notes: Notes) -> list[Located]:
    """The fields between semicolons, without the white space around them; notes empty ones."""
    parts = [part.strip() for part in rest.split(";")]
    if not parts[-1].text:  # one final semicolon is right
        parts.pop()
    for part in parts:
        if not part.text:
            notes.add(
                "empty-field",
                part.start,
                "two semicolons with nothing between",
                f"Not valid: {MOX} drops the record; {SYS4} and Stalwart may not.",
                "leave one semicolon; one at the very end is fine",
            )
    return [part for part in parts if part.text]


def _near(word: str, protocol: Protocol) -> bool:
    return (
        distance(word.lower(), protocol.word.lower()) <= len(protocol.word) * 2 // 5
        or re.search(protocol.sign, word, re.IGNORECASE) is not None
    )


def distance(left: str, right: str) -> int:
    """Edits between two short words, a swap of neighbours counting as one; at most 99, for long words too."""
    if abs(len(left) - len(right)) > 20 or max(len(left), len(right)) > 64:
        return 99
    before: list[int] = []
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        older, before, row = before, row, [i]
        for j, b in enumerate(right, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == right[j - 2] and left[i - 2] == b:
                cost = min(cost, older[j - 2] + 1)
            row.append(cost)
    return row[-1]

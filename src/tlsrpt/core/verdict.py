"""Lint: what a linter says of one input. One type for the records, the policy file and TLSA.

The verdict speaks of how senders read the input, and of nothing else:

- `ok`: usable, nothing to mend.
- `warning`: usable by the RFC, but a known sender stumbles over it, or it is a trap.
- `ignored`: by the RFC not usable; senders act as if nothing were published.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from tlsrpt.core.findings import Finding

Verdict = Literal["ok", "warning", "ignored"]
Form = Literal["dns", "zone-text", "mta-sts-record", "mta-sts-policy", "tlsa"]


class Lint(Struct, frozen=True, kw_only=True):
    """All that is to be said of one input, in one run.

    Attributes:
        input: the texts as given, one per record; octets that are no UTF-8 are written `\\xNN`.
        verdict: how senders read it.
        findings: every fault, in the order of its place.
        corrected: the whole input as it should be, which lints ok; None when it is ok already, and when the right
            value can't be known from the input (then a finding's `fix` holds a template).
        form: as what the input was read.
    """

    input: tuple[str, ...]
    verdict: Verdict
    findings: tuple[Finding, ...]
    corrected: str | None
    form: Form


class Place(Struct, frozen=True):
    """A place in a lint's input: which text or line, and which character of it, both counted from 1."""

    unit: Literal["record", "line"]
    number: int
    column: int


_PLACE = re.compile(r"(record|line) (\d+), column (\d+)")


def place(number: int, column: int, unit: Literal["record", "line"] = "record") -> str:
    """How a finding names a place: `record 1, column 12`."""
    return f"{unit} {number}, column {column}"


def read_place(where: str) -> Place | None:
    """The place that a finding's `where` names, or None where it speaks of a whole record or file."""
    match = _PLACE.fullmatch(where)
    return Place("line" if match[1] == "line" else "record", int(match[2]), int(match[3])) if match else None


def judge(usable: bool, findings: Iterable[Finding]) -> Verdict:
    """The verdict: ignored unless usable, and ok only when no finding asks for a change."""
    if not usable:
        return "ignored"
    return "warning" if any(finding.severity != "info" for finding in findings) else "ok"


def as_text(data: bytes | str) -> str:
    """A text to read and show: octets that are no UTF-8, and lone surrogates, become `\\xNN` or `\\uNNNN`."""
    if data.isascii():
        return data if isinstance(data, str) else data.decode("ascii")
    if isinstance(data, str):
        escaped = "surrogateescape" if _only_escaped(data) else "backslashreplace"
        data = data.encode("utf-8", escaped)
    return data.decode("utf-8", "backslashreplace")


def _only_escaped(text: str) -> bool:
    """Whether each lone surrogate stands for an octet, as in arguments of the command line."""
    return all(0xDC80 <= ord(c) <= 0xDCFF for c in text if 0xD800 <= ord(c) <= 0xDFFF)

"""What is noted while one report is read: a Finding for each kind of deviation and place, however many rows share it.

A sender that leaves a key out leaves it out of every row. Ten thousand equal findings would bury the other one and
cost an attacker nothing, so equal ones become one that names the first place and counts the rest.
"""

from __future__ import annotations

from typing import NamedTuple

from tlsrpt.core.findings import DOCUMENT, SENDERS_FAULT, Finding, Severity
from tlsrpt.core.text import printable

_MOST = 100  # places told apart in one report; beyond it only codes are, and those are a fixed list
_MOST_EXTRAS = 10_000  # unknown keys kept by path in one report; the raw document has them all
_MOST_PIECES = 100_000  # strings made by cutting others up, in one report: `mx: mx: mx:` would grow fifteenfold


class Place(NamedTuple):
    """A place in the document: its JSON path, and the same path without the numbers, which all its rows share."""

    path: str = ""
    kind: str = ""

    def key(self, name: str) -> Place:
        """The place under a key."""
        return Place(f"{self.path}.{name}" if self.path else name, f"{self.kind}.{name}" if self.kind else name)

    def row(self, number: int) -> Place:
        """The place of one element of an array."""
        return Place(f"{self.path}[{number}]", f"{self.kind}[]")


class Notes:
    """Collects the findings and the unknown keys of one report."""

    def __init__(self) -> None:
        self.extras: dict[str, object] = {}
        self._first: dict[tuple[str, str], Finding] = {}
        self._times: dict[tuple[str, str], int] = {}
        self._pieces_left = _MOST_PIECES

    def note(
        self,
        code: str,
        at: Place,
        message: str,
        read_as: str = "",
        *,
        fix: str = SENDERS_FAULT,
        severity: Severity = "warning",
    ) -> None:
        """Note one deviation; the first of its code and kind of place is kept in full, the others are counted."""
        group = (code, at.kind)
        if group not in self._first and len(self._first) >= _MOST:
            group = (code, "")
        if group in self._first:
            self._times[group] += 1
            return
        self._times[group] = 1
        self._first[group] = Finding(
            code=code, severity=severity, where=at.path or DOCUMENT, message=message, consequence=read_as, fix=fix
        )

    def noted(self, code: str, at: Place) -> bool:
        """Whether this was noted at this kind of place before; if so it is counted, and no message need be made."""
        group = (code, at.kind)
        if group not in self._first:
            return False
        self._times[group] += 1
        return True

    def keep_extra(self, at: Place, key: str, value: object) -> None:
        """Keep a key that the RFC does not know, under its path."""
        path = at.key(printable(key, 200)).path
        if len(self.extras) < _MOST_EXTRAS:
            self.extras[path] = value

    def may_cut(self, pieces: int) -> bool:
        """Whether a string may be cut into so many pieces; a report that needs more of them is an attack."""
        self._pieces_left -= pieces
        return self._pieces_left >= 0

    def findings(self) -> tuple[Finding, ...]:
        """All that was noted, in the order it was first met."""
        return tuple(_counted(finding, self._times[group]) for group, finding in self._first.items())


def _counted(finding: Finding, times: int) -> Finding:
    if times == 1:
        return finding
    return Finding(
        code=finding.code,
        severity=finding.severity,
        where=finding.where,
        message=f"{finding.message} (and likewise in {times - 1} more place{'s' if times > 2 else ''})",
        consequence=finding.consequence,
        fix=finding.fix,
    )


def shown(value: object, limit: int = 80) -> str:
    """A value from outside, short and safe to put into a message; strings in quotes."""
    if isinstance(value, str):
        return f'"{printable(value, limit)}"'
    if isinstance(value, dict):
        return f"an object with {len(value)} keys" if len(value) != 1 else "an object with 1 key"
    if isinstance(value, list):
        return f"an array of {len(value)}"
    return {None: "null", True: "true", False: "false"}.get(value, printable(str(value), limit))  # type: ignore[call-overload, no-any-return]

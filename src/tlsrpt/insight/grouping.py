"""Which reported failures are one problem.

The rule: same place and same fault. The fault is what the sender's reason code says where it says something definite,
else the result type; at a TLSA record all names that senders have for a mismatch are one fault (T-64, D-70).

Then failures that say little find their place among those that say more: a row without a host, or a bare
validation-failure, joins the problem that other senders report for the same domain, under the same kind of policy, in
the same days. It never joins a problem at another host than its own, and what joined this way is counted and told.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import date, timedelta
from functools import lru_cache

from msgspec import Struct

from tlsrpt.core.causes import CAUSES, Cause
from tlsrpt.core.reasons import Reason, decode
from tlsrpt.core.results import causes_under, result_type
from tlsrpt.insight.places import Spot, spot_of
from tlsrpt.store.values import FailureRow

NEAR = timedelta(days=1)  # senders' days differ: windows of some are not UTC days (F-23)
VAGUE_TYPES = {"validation-failure", ""}
TLSA_NAMES = {"certificate-not-trusted", "certificate-host-mismatch"}


class Group(Struct):
    """The rows of one problem."""

    spot: Spot
    fault: str
    rows: list[FailureRow]
    joined: list[FailureRow]  # those of the rows that say too little to belong here by themselves
    cause: Cause | None = None  # said by a sender in so many words

    @property
    def all_rows(self) -> list[FailureRow]:
        """Rows that belong here by themselves, and those that joined."""
        return self.rows + self.joined


class _Told(Struct, frozen=True):
    """What one kind of row says by itself."""

    cause: Cause | None
    fault: str
    says_little: bool


def group_failures(rows: Iterable[FailureRow]) -> list[Group]:
    """Group failures into problems; every row is in exactly one group."""
    groups: dict[tuple[str, str], Group] = {}
    for row in rows:
        told = _told(row.result_type, row.policy_type, row.reason)
        spot = spot_of(row, told.cause)
        fault = "tlsa" if spot.kind == "tlsa-record" else told.fault
        group = groups.setdefault((spot.name, fault), Group(spot=spot, fault=fault, rows=[], joined=[]))
        group.rows.append(row)
        group.cause = group.cause or told.cause
    return _join(list(groups.values()))


def reason_of(row: FailureRow) -> Reason | None:
    """What the row's reason code means, where it is definite: all causes that it speaks for are at one place."""
    reason = decode(row.reason, row.result_type) if row.reason else None
    if reason is None or len({CAUSES[code].place for code in reason.points_to}) > 1:
        return None
    return reason


@lru_cache(maxsize=4096)
def _told(result: str, policy_type: str, reason_text: str) -> _Told:
    """What a row says by these three texts alone (cached: of a million rows few differ in them)."""
    row = FailureRow(
        report_domain="", day=date.min, sender="", policy_type=policy_type, policy_mode="", policy_domain="",
        result_type=result, mx_host="", receiving_ip="", reason=reason_text, failed=0,
    )  # fmt: skip
    reason = reason_of(row)
    registered = result_type(result)
    usual = {cause.code for cause in causes_under(registered, policy_type)} if registered else set()
    fits = [
        CAUSES[code]
        for code in (reason.points_to if reason else ())
        if not CAUSES[code].policy_types or policy_type in CAUSES[code].policy_types
    ]
    cause = next((each for each in fits if each.code in usual), fits[0] if fits else None)
    fault = reason.result_types[0] if reason and cause and reason.result_types else result
    return _Told(cause=cause, fault=fault, says_little=cause is None and result in VAGUE_TYPES)


def _join(groups: list[Group]) -> list[Group]:
    by_domain: dict[str, list[Group]] = defaultdict(list)
    for group in groups:
        if not _says_little(group):
            for domain in {row.report_domain for row in group.rows}:
                by_domain[domain].append(group)
    spans = {id(group): _spans(group) for group in groups}
    left: list[Group] = []
    for group in groups:
        if _says_little(group) or not group.spot.named or _may_be_tlsa(group):
            staying: list[FailureRow] = []
            for row in group.rows:
                home = _home(row, group, by_domain[row.report_domain], spans)
                (home.joined if home else staying).append(row)
            group.rows = staying
        if group.rows:
            left.append(group)
    return left


def _says_little(group: Group) -> bool:
    return group.cause is None and group.fault in VAGUE_TYPES


def _may_be_tlsa(group: Group) -> bool:
    """Certificate failures under DANE without a reason: some senders call a TLSA mismatch so (T-64)."""
    return group.cause is None and group.fault in TLSA_NAMES and group.rows[0].policy_type == "tlsa"


def _spans(group: Group) -> dict[str, tuple[date, date]]:
    """For each domain the days from which and to which the group's own rows reach."""
    days: dict[str, list[date]] = defaultdict(list)
    for row in group.rows:
        days[row.report_domain].append(row.day)
    return {domain: (min(seen) - NEAR, max(seen) + NEAR) for domain, seen in days.items()}


def _home(
    row: FailureRow, own: Group, candidates: list[Group], spans: dict[int, dict[str, tuple[date, date]]]
) -> Group | None:
    """The problem that a row joins: of the same fault if there is one, else, for a vague row, the largest that fits."""
    possible = []
    for group in candidates:
        first, last = spans[id(group)].get(row.report_domain, (date.max, date.min))
        same_fault = group.fault == own.fault
        if group is own or not group.spot.named or not first <= row.day <= last:
            continue
        mismatch = group.fault == "tlsa" and _may_be_tlsa(own) and group.spot.host == own.spot.host
        if not (same_fault or mismatch or _says_little(own)):
            continue
        if row.mx_host and group.spot.kind == "mx" and group.spot.host != row.mx_host:
            continue
        if row.policy_type not in {other.policy_type for other in group.rows}:
            continue
        possible.append((same_fault, sum(other.failed for other in group.rows), group.spot.name, group))
    return max(possible, key=lambda each: each[:3])[3] if possible else None

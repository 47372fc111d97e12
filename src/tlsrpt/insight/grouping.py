"""Which reported failures are one incident.

The rule: same place and same fault. The fault is what the sender's reason code says where it says something definite,
else the result type; at a TLSA record all names that senders have for a mismatch are one fault (T-64, D-70).

Then failures that say little find their place among those that say more: a row without a host, or a bare
validation-failure, joins the incident that other senders report for the same domain, under the same kind of policy, in
the same days. It never joins one at another host than its own, and what joined this way is counted and told.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import date, timedelta
from functools import lru_cache
from typing import Literal, NamedTuple

from msgspec import Struct

from tlsrpt.core.causes import CAUSES, Cause
from tlsrpt.core.mtasts import mx_matches
from tlsrpt.core.reasons import Reason, decode
from tlsrpt.core.results import causes_under, result_type
from tlsrpt.insight.places import Spot, spot_of
from tlsrpt.store.values import Evidence, FailureRow

NEAR = timedelta(days=1)  # senders' days differ: windows of some are not UTC days (F-23)
VAGUE_TYPES = {"validation-failure", ""}
TLSA_NAMES = {"certificate-not-trusted", "certificate-host-mismatch"}
_MAY_BE_POLICY = {"validation-failure", "certificate-host-mismatch"}


class Group(Struct):
    """The rows of one incident."""

    spot: Spot
    fault: str
    rows: list[FailureRow]
    joined: list[FailureRow]  # those of the rows that say too little to belong here by themselves
    cause: Cause | None = None  # said by a sender in so many words, or seen in the policy that it reports
    sample: Sequence[Evidence] = ()  # rows of failure-details, where they were looked at
    joined_keys: dict[str, date] = {}  # of the groups that joined ones come from -> first day

    @property
    def key(self) -> str:
        """Fault and place, in words: the same from day to day."""
        return f"{self.fault} at {self.spot.name}"

    @property
    def all_rows(self) -> list[FailureRow]:
        """Rows that belong here by themselves, and those that joined."""
        return self.rows + self.joined


class _Told(Struct, frozen=True):
    """What one kind of row says by itself."""

    cause: Cause | None
    fault: str
    says_little: bool


Look = Callable[[Sequence[Group]], Sequence[Sequence[Evidence]]]


def group_failures(rows: Iterable[FailureRow], look: Look) -> list[Group]:
    """Group failures into incidents; every row is in exactly one group.

    Args:
        rows: what the store holds for the period.
        look: gives some rows of failure-details behind each group, with the policies that their senders applied.
    """
    groups: dict[tuple[str, str], Group] = {}
    for row in rows:
        told = _told(row.result_type, row.policy_type, row.reason)
        spot = spot_of(row, told.cause)
        fault = "tlsa" if spot.kind == "tlsa-record" else told.fault
        group = groups.get((spot.name, fault))
        if group is None:
            group = groups[spot.name, fault] = Group(spot=spot, fault=fault, rows=[], joined=[])
        group.rows.append(row)
        group.cause = group.cause or told.cause
    found = list(groups.values())
    for group, sample in zip(found, look(found), strict=True):
        group.sample = sample
    return _join(_by_policy(found))


def reason_of(text: str, result: str) -> Reason | None:
    """What a reason code means, where it is definite: all causes that it speaks for are at one place."""
    reason = decode(text, result) if text else None
    if reason is None or len({CAUSES[code].place for code in reason.points_to}) > 1:
        return None
    return reason


def _by_policy(groups: Iterable[Group]) -> list[Group]:
    """Failures at hosts that the senders' own policy does not list, brought together at the policy.

    A mismatch of MX and policy has no result type of its own (D-70): Google says validation-failure and names the host,
    others say certificate-host-mismatch. The policy beside the row tells.
    """
    found: dict[str, Group] = {}
    for group in groups:
        if _may_be_policy(group) and _is_uncovered(group.sample):
            group.cause = CAUSES["mx-not-in-policy"]
            group.spot = spot_of(group.rows[0], group.cause)
            group.fault = _told("validation-failure", "sts", "MX_HOSTS_MISMATCH").fault
        known = found.setdefault(group.key, group)
        if known is not group:
            known.rows += group.rows
            known.cause = known.cause or group.cause
            known.sample = [*known.sample, *group.sample]
    return list(found.values())


def _may_be_policy(group: Group) -> bool:
    told = group.fault in _MAY_BE_POLICY and group.cause is None
    return told and bool(group.spot.host) and group.rows[0].policy_type == "sts"


def _is_uncovered(sample: Sequence[Evidence]) -> bool:
    told = [row for row in sample if row.policy_mx and row.mx_host and row.policy_type == "sts"]
    return bool(told) and not any(covers(row) for row in told)


def covers(row: Evidence) -> bool:
    """Whether the policy that the sender applied lists the host that it met."""
    return any(mx_matches(pattern, row.mx_host or "") for pattern in row.policy_mx)


@lru_cache(maxsize=4096)
def _told(result: str, policy_type: str, reason_text: str) -> _Told:
    """What a row says by these three texts alone (cached: of a million rows few differ in them)."""
    reason = reason_of(reason_text, result)
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
    homes = _homes(groups)
    for group in groups:  # first those that others could join: once they are gone, nothing joins them any more
        if _is_home(group) and (_may_be_tlsa(group) or _is_bare_fetch(group)):
            _move(group, homes)
    for group in groups:
        if not _is_home(group):
            _move(group, homes)
    return [group for group in groups if group.rows]


def _is_home(group: Group) -> bool:
    """Whether it is definite enough to be joined."""
    return group.spot.named and not _says_little(group)


def _move(group: Group, homes: Mapping[_Near, Sequence[_Home]]) -> None:
    """Give each row of a group to the incident that it fits, if there is one."""
    staying: list[FailureRow] = []
    home = None
    for row in group.rows:
        near = homes.get(("domain", row.report_domain), ())
        at_host = homes.get(("mx", row.mx_host), ()) if row.mx_host else ()
        home = _home(row, group, [*near, *at_host])
        if home is None:
            staying.append(row)
        else:
            home.joined.append(row)
            first = min(row.day, home.joined_keys.get(group.key, row.day))
            home.joined_keys = {**home.joined_keys, group.key: first}
    group.rows = staying
    if home is not None and not staying:  # what had joined it goes along
        home.joined += group.joined
        home.joined_keys = {**group.joined_keys, **home.joined_keys}
        group.joined = []


def _says_little(group: Group) -> bool:
    return group.cause is None and group.fault in VAGUE_TYPES


def _is_bare_fetch(group: Group) -> bool:
    """A policy that could not be fetched, for no reason given: others may say why, as a fault of the same host."""
    return group.cause is None and group.fault == "sts-policy-fetch-error"


def _may_be_tlsa(group: Group) -> bool:
    """Certificate failures under DANE without a reason: some senders call a TLSA mismatch so (T-64)."""
    return group.cause is None and group.fault in TLSA_NAMES and group.rows[0].policy_type == "tlsa"


_Near = tuple[Literal["domain", "mx"], str]


class _Home(NamedTuple):
    """An incident that rows of a domain may join, and from when to when it was seen there."""

    group: Group
    policy_types: Collection[str]
    failed: int
    first: date
    last: date


def _homes(groups: Iterable[Group]) -> dict[_Near, list[_Home]]:
    """For each domain, and for each MX host, the incidents that are definite enough to be joined."""
    homes: dict[_Near, list[_Home]] = defaultdict(list)
    for group in groups:
        if not _is_home(group):
            continue
        policy_types = {row.policy_type for row in group.rows}
        failed = sum(row.failed for row in group.rows)
        spans = _spans(group)
        for domain, (first, last) in spans.items():
            homes["domain", domain].append(_Home(group, policy_types, failed, first - NEAR, last + NEAR))
        if group.spot.kind == "mx" and group.spot.host:  # whatever its domain is, mail to the host meets its fault
            first, last = min(span[0] for span in spans.values()), max(span[1] for span in spans.values())
            homes["mx", group.spot.host].append(_Home(group, policy_types, failed, first - NEAR, last + NEAR))
    return homes


def _spans(group: Group) -> dict[str, tuple[date, date]]:
    """For each domain the first and the last day of the group's own rows."""
    spans: dict[str, tuple[date, date]] = {}
    for row in group.rows:
        first, last = spans.get(row.report_domain, (row.day, row.day))
        spans[row.report_domain] = min(first, row.day), max(last, row.day)
    return spans


def _home(row: FailureRow, own: Group, homes: Sequence[_Home]) -> Group | None:
    """The incident that a row joins: of the same fault if there is one, else, if it is vague, the largest that fits."""
    best: tuple[bool, bool, int, str] | None = None
    found: Group | None = None
    for home in homes:
        group = home.group
        if (
            group is own
            or not group.rows
            or not home.first <= row.day <= home.last
            or row.policy_type not in home.policy_types
        ):
            continue
        if _is_bare_fetch(own) and group.spot.name != own.spot.name:
            continue
        same_fault = group.fault == own.fault or _is_bare_fetch(own)
        mismatch = group.fault == "tlsa" and _may_be_tlsa(own) and group.spot.host == own.spot.host
        if not (same_fault or mismatch or _says_little(own)):
            continue
        if row.mx_host and group.spot.kind == "mx" and group.spot.host != row.mx_host:
            continue
        at_the_host = bool(row.mx_host) and group.spot.host == row.mx_host
        here = same_fault, at_the_host, home.failed, group.spot.name
        if best is None or here > best:
            best, found = here, group
    return found

"""What MTA-STS met of a domain: its senders, its days, and the faults for which enforce would lose mail.

Sessions are those under `sts`, as senders sent them (DESIGN promise 7 counts otherwise, for other questions).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta

from msgspec import Struct

from tlsrpt.core.causes import CAUSES, Cause
from tlsrpt.core.reasons import decode
from tlsrpt.core.results import ConsequenceKind, consequence
from tlsrpt.insight.facts import StoreFacts
from tlsrpt.insight.grouping import reason_of
from tlsrpt.insight.incident import Incident, State
from tlsrpt.insight.incidents import LOOK_BACK, explain, find_incidents
from tlsrpt.insight.policies import PolicyVersion
from tlsrpt.insight.rhythm import ENOUGH_DAYS, NEARLY_ALL
from tlsrpt.insight.state import NOISE_SESSIONS, NOISE_SHARE, PASSING
from tlsrpt.store.sqlite import Store
from tlsrpt.store.sqlite_memory import remembered
from tlsrpt.store.sts import StsDay, sts_days, sts_failures
from tlsrpt.store.values import FailureRow

STALE = timedelta(days=7)  # without a report under MTA-STS, what was seen is not how it is
_LOST: frozenset[ConsequenceKind] = frozenset({"refused", "delayed"})


class SenderShare(Struct, frozen=True, kw_only=True):
    """One sender under MTA-STS: its sessions as sent, and those that enforce would have refused or delayed."""

    sender: str
    days: int
    sessions: int
    refused: int
    last_day: date
    loop: bool = False  # one good session a report and no other: the mail that brings the report (D-74)


class Fault(Struct, frozen=True, kw_only=True):
    """An incident for which senders would refuse or delay mail under enforce, as far as MTA-STS meets it."""

    id: str
    title: str
    place: str
    state: State
    first_seen: date
    last_seen: date
    failed: int  # sessions under MTA-STS, of the days asked for
    sessions: int  # that were reported under MTA-STS from its first to its last day
    senders: tuple[str, ...]
    would: ConsequenceKind  # refused, delayed
    noise: bool  # too little to count


class MxHost(Struct, frozen=True, kw_only=True):
    """An MX host that failures were reported of; those that never fail are named by no report."""

    name: str
    last_seen: date
    covered: bool | None  # by the newest policy; None: no policy is quoted


class View(Struct, frozen=True, kw_only=True):
    """What is judged: all of it, or what is signed."""

    sessions: int
    refused: int
    days: tuple[date, ...]  # with a session that was checked
    last_bad: date | None  # of a fault that counts and is over
    senders: tuple[SenderShare, ...]
    faults: tuple[Fault, ...]
    policy_faults: int  # sessions whose sender could not have the policy
    policy_fault: date | None  # the last day with one
    unchecked: bool  # that is so of most sessions of the last days

    @property
    def clean(self) -> tuple[date, ...]:
        return tuple(day for day in self.days if self.last_bad is None or day > self.last_bad)


# --- What enforce would do -------------------------------------------------------------------------------------------


def would_lose(result_type: str, cause: Cause | None) -> ConsequenceKind | None:
    """What enforce makes of a failure that testing lets pass: refused, delayed; None where it changes nothing."""
    under_enforce = consequence(result_type, "sts", "enforce", cause).kind
    under_testing = consequence(result_type, "sts", "testing", cause).kind
    return under_enforce if under_enforce in _LOST and under_testing not in _LOST else None


def _row_loses(row: FailureRow) -> bool:
    reason = reason_of(row.reason, row.result_type)
    cause = CAUSES[reason.points_to[0]] if reason is not None and reason.points_to else None
    return would_lose(row.result_type, cause) is not None


def _without_details(days: Sequence[StsDay], rows: Sequence[FailureRow], domain: str) -> Iterator[FailureRow]:
    """Failed sessions that no row explains (R4-03): nobody knows that enforce would not refuse them."""
    told: Counter[tuple[str, date]] = Counter()
    for row in rows:
        told[row.sender, row.day] += row.failed
    for day in days:
        rest = day.failed - told[day.sender, day.day]
        if rest > 0:
            yield FailureRow(
                report_domain=domain,
                day=day.day,
                sender=day.sender,
                policy_type="sts",
                policy_domain=domain,
                failed=rest,
            )


# --- What was seen ---------------------------------------------------------------------------------------------------


def look(store: Store, domain: str, *, since: date, until: date, today: date, proven_only: bool = False) -> View:
    first, last = since - LOOK_BACK, max(until, today)
    days = sts_days(store, domain, since=first, until=last, proven_only=proven_only)
    rows = sts_failures(store, domain, since=first, until=last, proven_only=proven_only)
    losing = [row for row in rows if _row_loses(row)] + list(_without_details(days, rows, domain))
    within = [row for row in losing if since <= row.day <= until]
    asked = [day for day in days if since <= day.day <= until]
    senders = _senders(asked, within)
    sessions = sum(sender.sessions for sender in senders)
    found = [
        each
        for each in explain(losing, StoreFacts(store, last, proven_only=proven_only), today, remembered(store))
        if each.last_seen >= since and each.first_seen <= until
    ]
    ids = _ids(store, domain, found, since=since, until=until, today=today)
    faults = sorted((_fault(each, ids, asked) for each in found), key=worst_first)
    over = [fault.last_seen for fault in faults if fault.state == "quiet" and not fault.noise]
    loops = {sender.sender for sender in senders if sender.loop}
    without = [row for row in rows if row.result_type.startswith("sts-") and since <= row.day <= until]
    lacking: Counter[tuple[str, date]] = Counter()
    for row in without:
        lacking[row.sender, row.day] += row.failed
    return View(
        sessions=sessions,
        refused=sum(row.failed for row in within),
        days=tuple(
            sorted({day.day for day in asked if day.sender not in loops and day.total > lacking[day.sender, day.day]})
        ),
        last_bad=max(over, default=None),
        senders=tuple(senders),
        faults=tuple(faults),
        policy_faults=sum(row.failed for row in without),
        policy_fault=max((row.day for row in without), default=None),
        unchecked=2 * sum(row.failed for row in without if row.day >= until - STALE)
        > sum(day.total for day in asked if day.day >= until - STALE),
    )


def _senders(days: Iterable[StsDay], losing: Iterable[FailureRow]) -> list[SenderShare]:
    of: dict[str, list[StsDay]] = defaultdict(list)
    for day in days:
        if day.total:
            of[day.sender].append(day)
    lost: Counter[str] = Counter()
    for row in losing:
        lost[row.sender] += row.failed
    found = [
        SenderShare(
            sender=sender,
            days=len(own),
            sessions=sum(day.total for day in own),
            refused=lost[sender],
            last_day=own[-1].day,
            loop=_is_loop(own),
        )
        for sender, own in of.items()
    ]
    return sorted(found, key=lambda each: (-each.sessions, each.sender))


def _is_loop(days: Sequence[StsDay]) -> bool:
    """One good session a report, day after day: as coverage.is_loop has it, for sessions under MTA-STS."""
    span = (days[-1].day - days[0].day).days + 1
    regular = len(days) >= ENOUGH_DAYS and len(days) >= NEARLY_ALL * span
    return regular and all(day.total == day.reports and not day.failed for day in days)


def _ids(
    store: Store, domain: str, found: Sequence[Incident], *, since: date, until: date, today: date
) -> dict[str, str]:
    """Under which id each is told elsewhere, by its keys: there it may be more than what MTA-STS met of it."""
    if not found:
        return {}
    whole = find_incidents(store, since=since, until=until, today=today, domain=domain)
    return {key: each.id for each in reversed(whole) for key in reversed(each.keys)}


def _fault(incident: Incident, ids: dict[str, str], days: Sequence[StsDay]) -> Fault:
    """An incident as MTA-STS meets it; `days` are those asked for."""
    asked = {day.day for day in days}
    failed = sum(failed for day, failed in incident.by_day if day in asked)
    sessions = sum(day.total for day in days)
    would: ConsequenceKind = "delayed" if _passes(incident) else "refused"
    noise = _is_slight(incident) or (would == "delayed" and failed < NOISE_SHARE * sessions)
    return Fault(
        id=next((ids[key] for key in incident.keys if key in ids), incident.id),
        title=incident.title,
        place=incident.place,
        state=incident.state,
        first_seen=incident.first_seen,
        last_seen=incident.last_seen,
        failed=failed,
        sessions=max(failed, sum(day.total for day in days if incident.first_seen <= day.day <= incident.last_seen)),
        senders=incident.senders,
        would=would,
        noise=noise,
    )


def worst_first(fault: Fault) -> tuple[bool, bool, int, str]:
    return fault.noise, fault.state == "quiet", -fault.failed, fault.id


def _passes(incident: Incident) -> bool:
    """Whether every sender says in so many words what passes by itself: a retry then delivers."""
    decoded = [decode(text, incident.result_type) for text in incident.reasons]
    return bool(decoded) and all(
        reason is not None and reason.points_to and CAUSES[reason.points_to[0]].passing for reason in decoded
    )


def _is_slight(incident: Incident) -> bool:
    """D-73, and what it would have called so had it not ended: one sender, one day, hardly a session.

    Of a kind that may pass by itself few sessions or a small share are enough once it is over; of any other, both.
    """
    if incident.state == "watch":
        return True
    if len(incident.senders) > 1 or incident.days > 1:
        return False
    few, small = incident.failed < NOISE_SESSIONS, incident.failed < NOISE_SHARE * incident.total
    may_pass = incident.result_type in PASSING or any(
        cause.code in CAUSES and CAUSES[cause.code].passing for cause in incident.causes
    )
    return (few or small) if incident.state == "quiet" and may_pass else (few and small)


def hosts_of(rows: Iterable[FailureRow], newest: PolicyVersion | None) -> tuple[MxHost, ...]:
    last: dict[str, date] = {}
    for row in rows:
        if row.mx_host:
            last[row.mx_host] = max(row.day, last.get(row.mx_host, row.day))
    return tuple(
        MxHost(name=name, last_seen=day, covered=newest.covers(name) if newest and newest.mx else None)
        for name, day in sorted(last.items())
    )

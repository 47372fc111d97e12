"""Failures, grouped into the problems that an administrator would name, worst first.

Pure over what the store returns. A problem is one fault at one place. Each carries the answer in the order in
which it is needed: what, since when, does it hurt, whose side and why, the likeliest cause, the next step, the proof.
What senders claim is told as reported; nothing here was seen live.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import Literal

from msgspec import Struct

from tlsrpt.core.causes import Cause, Party
from tlsrpt.core.reasons import normalise
from tlsrpt.core.results import (
    ConsequenceKind,
    ResultType,
    causes_under,
    consequence,
    fill,
    result_type,
)
from tlsrpt.insight.grouping import Group, group_failures, reason_of
from tlsrpt.insight.places import PlaceKind
from tlsrpt.store.values import FailureRow, SessionRow

Confidence = Literal["high", "medium", "low"]
State = Literal["open", "watch", "quiet", "unknown"]

NOISE_SESSIONS = 3  # D-73: fewer failed sessions than this, or less than NOISE_SHARE of all, may be nobody's fault
NOISE_SHARE = 0.01
RARE_SHARE = 0.05  # on one day: a fault of the set-up would have met more of the sessions
LATE = timedelta(days=3)  # reports come a day late, some later (F-51): until then "no longer seen" can't be told
CLEAN_DAYS = 2  # reported days without the failure before it is called quiet
STATES: tuple[State, ...] = ("open", "unknown", "watch", "quiet")
CONSEQUENCES: tuple[ConsequenceKind, ...] = ("refused", "delayed", "delivered-clear", "delivered-unverified", "none")


class Blame(Struct, frozen=True, kw_only=True):
    """Whose side it is, how sure that is, and why."""

    party: Party
    confidence: Confidence
    reasons: tuple[str, ...]


class Likely(Struct, frozen=True, kw_only=True):
    """The likeliest cause, and what makes it so."""

    code: str
    title: str
    explanation: str
    why: str


class Problem(Struct, frozen=True, kw_only=True):
    """One fault at one place, over a period."""

    result_type: str  # that names the fault
    result_types: tuple[str, ...]  # under which senders report it, most sessions first
    title: str
    place: str
    place_kind: PlaceKind
    state: State
    state_reason: str
    domains: tuple[str, ...]
    policy_types: tuple[str, ...]
    senders: tuple[str, ...]  # that report it
    others: tuple[str, ...]  # that report on the same domains in the same days, and do not see it
    failed: int
    total: int  # sessions of the senders that report it, to these domains, from first to last seen
    joined: int  # of the failed: those whose report names no host or no definite fault, told by domain and days
    first_seen: date
    last_seen: date
    days: int  # UTC days on which it was reported
    reasons: tuple[str, ...]  # as the senders worded them, most sessions first
    consequence: ConsequenceKind  # the worst
    consequence_text: str
    effects: tuple[tuple[ConsequenceKind, tuple[str, ...]], ...]  # each consequence and its domains, the worst first
    side: Blame
    cause: Likely
    next_step: str
    steps: tuple[str, ...]
    verify: str
    expected: str


class _Sessions:
    """Sessions per (domain, sender), to be asked for a span of days."""

    def __init__(self, rows: Iterable[SessionRow]) -> None:
        self._rows: dict[str, list[SessionRow]] = defaultdict(list)
        for row in rows:
            self._rows[row.report_domain].append(row)

    def of(self, domains: Iterable[str], first: date, last: date) -> list[SessionRow]:
        return [row for domain in domains for row in self._rows.get(domain, ()) if first <= row.day <= last]


def problems(failures: Iterable[FailureRow], sessions: Iterable[SessionRow], today: date) -> list[Problem]:
    """Group failures into problems, worst first.

    Args:
        failures, sessions: what the store holds for the period; sessions of all senders to the domains that failed.
        today: the UTC day to judge from: is it still open?
    """
    known = _Sessions(sessions)
    return sorted((_problem(group, known, today) for group in group_failures(failures)), key=_rank)


def _rank(problem: Problem) -> tuple[int, int, int, str, str]:
    return (
        STATES.index(problem.state),
        CONSEQUENCES.index(problem.consequence),
        -problem.failed,
        problem.place,
        problem.result_type,
    )


def _problem(group: Group, known: _Sessions, today: date) -> Problem:
    rows = group.all_rows
    types = _by_weight((row.result_type, row.failed) for row in group.rows)
    registered = result_type(group.fault) or result_type(types[0])
    first, last = min(row.day for row in rows), max(row.day for row in rows)
    domains = _by_weight((row.report_domain, row.failed) for row in rows)
    senders = _by_weight((row.sender, row.failed) for row in rows)
    around = known.of(domains, first, last)
    failed = sum(row.failed for row in rows)
    total = max(failed, sum(row.successful + row.failed for row in around if row.sender in senders))
    others = _by_weight((row.sender, row.successful) for row in around if row.sender not in senders and row.successful)
    cause, why = _likely(group, registered, others, total)
    effects = _effects(group, cause)
    kind, text = effects[0][:2]
    state, state_reason = _state(group, cause, known, total, today)
    values = _values(group)
    steps = tuple(fill(step, values) for step in cause.steps) if cause else ()
    proof = (cause.verify if cause else None) or (registered.verify if registered else None)
    return Problem(
        result_type=registered.name if registered else types[0],
        result_types=_by_weight((row.result_type, row.failed) for row in rows),
        title=_title(group, registered),
        place=group.spot.name,
        place_kind=group.spot.kind,
        state=state,
        state_reason=state_reason,
        domains=domains,
        policy_types=_by_weight((row.policy_type, row.failed) for row in rows),
        senders=senders,
        others=others,
        failed=failed,
        total=total,
        joined=sum(row.failed for row in group.joined),
        first_seen=first,
        last_seen=last,
        days=len({row.day for row in rows}),
        reasons=_reasons(rows),
        consequence=kind,
        consequence_text=text,
        effects=tuple((each, hit) for each, _, hit in effects),
        side=_side(group, registered, cause, senders, others, around),
        cause=Likely(
            code=cause.code if cause else "unknown",
            title=cause.title if cause else "not known",
            explanation=fill(cause.explanation, values) if cause else "",
            why=why,
        ),
        next_step=steps[0] if steps else "Ask the sender what this result type means.",
        steps=steps,
        verify=fill(proof.command, values) if proof else "",
        expected=fill(proof.expected, values) if proof else "",
    )


def _title(group: Group, registered: ResultType | None) -> str:
    """The fault in plain words: the cause where a sender says it and the type's name is only a collective one."""
    if group.cause and group.fault in ("validation-failure", "tlsa"):
        return group.cause.title
    if registered is None:
        return f"{group.fault or 'no result type'}: not a registered result type"
    return registered.title


def _by_weight(pairs: Iterable[tuple[str, int]]) -> tuple[str, ...]:
    weights: Counter[str] = Counter()
    for name, weight in pairs:
        weights[name] += weight
    return tuple(sorted(weights, key=lambda name: (-weights[name], name)))


def _reasons(rows: Sequence[FailureRow]) -> tuple[str, ...]:
    """One text for each fault that senders word alike but for names and numbers (F-39), most sessions first."""
    groups: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for row in rows:
        if row.reason:
            groups[normalise(row.reason)].append((row.reason, row.failed))
    ranked = sorted(groups.values(), key=lambda pairs: -sum(failed for _, failed in pairs))
    return tuple(_by_weight(pairs)[0] for pairs in ranked)


def _values(group: Group) -> dict[str, str | None]:
    heaviest = max(group.all_rows, key=lambda row: row.failed)
    domain = heaviest.policy_domain if heaviest.policy_type == "sts" else heaviest.report_domain
    return {
        "mx": group.spot.host if group.spot.kind != "policy-host" else heaviest.mx_host,
        "ip": next((row.receiving_ip for row in group.rows if row.receiving_ip), None),
        "domain": domain or heaviest.report_domain,
    }


def _likely(group: Group, registered: ResultType | None, others: Sequence[str], total: int) -> tuple[Cause | None, str]:
    """The likeliest cause: what the senders' words say, else what the pattern says, else the usual one."""
    if group.cause:
        row, reason = next((row, reason) for row in group.rows if (reason := reason_of(row)))
        return group.cause, f'{row.sender} gives the reason "{row.reason[:80]}": {reason.meaning}'
    if registered is None:
        return None, "The result type is not a registered one."
    policy_type = max(group.rows, key=lambda row: row.failed).policy_type
    possible = causes_under(registered, policy_type) or registered.causes
    pattern = _by_pattern(group, others, total)
    for cause in possible:
        if cause.code in pattern:
            return cause, pattern[cause.code]
    return possible[0], "The usual one for this result type; the reports name no definite reason."


def _by_pattern(group: Group, others: Sequence[str], total: int) -> dict[str, str]:
    """What the pattern of who sees it, where and how often, speaks for: cause code -> the evidence."""
    rows = group.all_rows
    hints: dict[str, str] = {}
    senders = {row.sender for row in rows}
    if len(senders) == 1 and others:
        only = next(iter(senders))
        alone = f"Only {only} reports it, {_names(others)} did not in the same days."
        if all(row.policy_type != "tlsa" for row in rows):  # DANE asks no CA
            hints["sender-trust-store"] = f"{alone} The chain may be one that this sender alone does not trust."
        hints["policy-host-blocks"] = f"{alone} A filter before the web server may turn this sender away."
    failed = sum(row.failed for row in rows)
    if len({row.day for row in rows}) == 1 and failed < RARE_SHARE * total:
        hints["handshake-broken-off"] = (
            f"{total - failed:,} other sessions of the same sender worked on that day, so it is nothing that stays."
        )
    addresses = {row.receiving_ip for row in rows if row.receiving_ip}
    if addresses and all(":" in address for address in addresses):
        for code in ("one-node-old-certificate", "starttls-off-on-one-host"):
            hints[code] = "All failures were at IPv6 addresses: the IPv6 side may be served by another machine."
    return hints


def _effects(group: Group, cause: Cause | None) -> list[tuple[ConsequenceKind, str, tuple[str, ...]]]:
    """What happens to mail, the worst first, and for which domains: those under testing fare better than under enforce.

    A domain stands under the worst that it meets; the text is that of the rows with most sessions.
    """
    weights: Counter[tuple[str, str, str, str]] = Counter()
    for row in group.all_rows:
        weights[row.report_domain, row.result_type, row.policy_type, row.policy_mode] += row.failed
    worst: dict[str, tuple[int, int, str]] = {}
    for (domain, result, policy_type, mode), failed in weights.items():
        found = consequence(result, policy_type, mode or None, cause)  # type: ignore[arg-type]
        here = (CONSEQUENCES.index(found.kind), -failed, found.text)
        worst[domain] = min(worst.get(domain, here), here)
    effects = []
    for rank in sorted({each[0] for each in worst.values()}):
        hit = sorted((domain for domain, each in worst.items() if each[0] == rank), key=lambda name: worst[name])
        effects.append((CONSEQUENCES[rank], worst[hit[0]][2], tuple(hit)))
    return effects


def _side(
    group: Group,
    registered: ResultType | None,
    cause: Cause | None,
    senders: Sequence[str],
    others: Sequence[str],
    around: Sequence[SessionRow],
) -> Blame:
    party: Party = cause.party if cause else registered.side.party if registered else "unknown"
    reasons = [registered.side.reason] if registered else []
    if party == "sender":
        return Blame(party=party, confidence="medium" if others else "low", reasons=tuple(reasons) or _alone(senders))
    if len(senders) > 1:
        reasons.append(f"{len(senders)} senders report it independently: {_names(senders)}.")
        confidence: Confidence = "high"
    elif others:
        fine = sum(row.successful for row in around if row.sender in others)
        reasons.append(
            f"Only {senders[0]} reports it; {_names(others)} had {fine:,} good sessions to the same domains "
            "in the same days, so it may also be on that sender's side."
        )
        confidence = "medium" if group.cause else "low"
    else:
        reasons.append(f"No other sender reported on these domains in the same days, so only {senders[0]} speaks.")
        confidence = "medium"
    return Blame(party=party, confidence=confidence, reasons=tuple(reasons))


def _alone(senders: Sequence[str]) -> tuple[str, ...]:
    return (f"Reported by {_names(senders)}.",)


def _state(group: Group, cause: Cause | None, known: _Sessions, total: int, today: date) -> tuple[State, str]:
    senders = {row.sender for row in group.all_rows}
    last = max(row.day for row in group.all_rows)
    later = {
        row.day
        for row in known.of({row.report_domain for row in group.all_rows}, last + timedelta(days=1), today)
        if row.sender in senders
    }
    if len(later) >= CLEAN_DAYS:
        return "quiet", f"The senders that saw it reported {len(later)} later days without it, up to {max(later)}."
    if _is_noise(group, cause, total):
        return "watch", "One sender, one day, few sessions: such failures often pass by themselves. Wait for the next."
    if not later and today - last > LATE:
        return "unknown", f"No later report from the senders that saw it: nobody can tell since {last}."
    return "open", f"Reported until {last}; reports come a day late or more."


def _is_noise(group: Group, cause: Cause | None, total: int) -> bool:
    """D-73: one sender, one day, few sessions or a small share, and a kind of failure that often passes."""
    if len({(row.sender, row.day) for row in group.all_rows}) > 1:
        return False
    passing = group.cause.passing if group.cause else group.fault in PASSING
    failed = sum(row.failed for row in group.all_rows)
    return passing and (failed < NOISE_SESSIONS or failed < NOISE_SHARE * total)


PASSING = {"sts-policy-fetch-error", "validation-failure", "starttls-not-supported"}


def _names(names: Sequence[str]) -> str:
    """Up to three names, the rest counted."""
    shown = ", ".join(names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown

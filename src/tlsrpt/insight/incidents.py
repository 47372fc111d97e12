"""Incidents: failures grouped by cause and place, each with the whole answer, worst first.

`find_incidents` asks a store; `explain` is the pure part of it, over rows in hand. An incident's id comes from what
was seen of it first and stays with it: where senders tell it under another name later, memory says which it was.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta

from tlsrpt.core.causes import Cause
from tlsrpt.core.owned import Owned
from tlsrpt.core.reasons import normalise
from tlsrpt.core.results import ResultType, fill, result_type
from tlsrpt.insight import wording
from tlsrpt.insight.effects import effects_of
from tlsrpt.insight.facts import Facts, StoreFacts
from tlsrpt.insight.grouping import Group, group_failures, reason_of
from tlsrpt.insight.identity import ids_of, keys_of
from tlsrpt.insight.incident import CONSEQUENCES, STATES, Incident, RankedCause, Seen, State
from tlsrpt.insight.places import Spot
from tlsrpt.insight.ranking import Pattern, rank
from tlsrpt.insight.side import side_of
from tlsrpt.insight.state import judge, spells
from tlsrpt.store.daily import failure_rows, rows_without_details
from tlsrpt.store.evidence import Cell
from tlsrpt.store.sqlite import Store
from tlsrpt.store.sqlite_memory import remembered
from tlsrpt.store.values import Beside, Evidence, FailureRow, Mark, Memory, Remembered, Span

LOOK_BACK = timedelta(days=90)  # before the days that are asked for, so that an incident has its begin
CERTIFICATE_FAULTS = frozenset({"certificate-host-mismatch", "certificate-expired", "certificate-not-trusted", "tlsa"})
ADDRESSES_CHECKED = 4  # of an incident, each by a command of its own
WATCHING = "Nothing to do yet: wait for the reports of the next days. It counts when it comes again."
DANE_WORKS = " Sessions under DANE, which goes by the TLSA records instead, are reported as good."
AGAIN = "If it comes again: "
OVER = "Nothing to do: the senders that saw it report without it. Make sure that whoever mended it knows why it broke."
UNNAMED = "Ask the sender what this result type means; its contact address is in its reports."
UNTOLD = "Ask the sender how they failed; its contact address is in its reports. Until then watch the other senders."
WHOLLY = 0.95  # of the sessions failed: the rest are retries, or another host that is rarely tried
RECENT = timedelta(days=14)  # what failed since then counts first in the order


def find_incidents(
    store: Store,
    *,
    since: date,
    until: date,
    today: date,
    domain: str | None = None,
    scope: Owned | None = None,
    proven_only: bool = False,
    evidence: int = 0,
    whole: bool = True,
) -> list[Incident]:
    """The incidents that were seen in some UTC days, worst first.

    Args:
        since, until: an incident counts when it was seen on any of these days; it is told whole, with its begin before
            and what came after.
        today: the UTC day to judge from.
        domain: only as far as this domain met them, as report domain or as policy domain (DESIGN promise 8).
        scope: only as far as these report domains met them; None for all.
        proven_only: leave out what no submitter signed for.
        evidence: rows of failure-details with each, at most.
        whole: no: tell only of the days that were asked for.
    """
    first, last = (since - LOOK_BACK, max(until, today)) if whole else (since, until)
    days = {"since": first, "until": last}
    failures = failure_rows(store, domain=domain, proven_only=proven_only, **days)
    failures += rows_without_details(store, domain=domain, proven_only=proven_only, **days)
    if scope is not None:
        failures = [row for row in failures if scope.owns(row.report_domain)]
    facts = StoreFacts(store, max(last, today), proven_only=proven_only)
    found = explain(failures, facts, today, remembered(store), evidence=evidence)
    return [each for each in found if each.last_seen >= since and each.first_seen <= until]


def explain(
    failures: Iterable[FailureRow],
    facts: Facts,
    today: date,
    memory: Memory | None = None,
    *,
    evidence: int = 0,
) -> list[Incident]:
    """Group failures into incidents and answer for each, worst first; pure over what `facts` gives."""
    memory = memory or Memory()
    groups = group_failures(failures, lambda groups: _samples(groups, facts))
    keys = keys_of(groups)
    ids = ids_of(groups, keys, memory)
    spans = [_span(group) for group in groups]
    found = [
        _incident(group, id_, names, span, around, facts, today, memory.incidents.get(id_), evidence)
        for group, id_, names, span, around in zip(groups, ids, keys, spans, facts.beside(spans), strict=True)
    ]
    return sorted(found, key=lambda each: _order(each, today))


def _order(incident: Incident, today: date) -> tuple[bool, int, int, int, int, str, str]:
    return (
        incident.mark != "none",
        STATES.index(incident.state),
        CONSEQUENCES.index(incident.consequence),
        -sum(failed for day, failed in incident.by_day if day > today - RECENT),
        -incident.failed,
        incident.place,
        incident.id,
    )


# --- one incident ----------------------------------------------------------------------------------------------------


def _incident(
    group: Group,
    id_: str,
    keys: tuple[str, ...],
    span: Span,
    around: Sequence[Beside],
    facts: Facts,
    today: date,
    known: Remembered | None,
    evidence: int,
) -> Incident:
    rows = group.all_rows
    types = _by_weight((row.result_type, row.failed) for row in group.rows)
    registered = result_type(group.fault) or result_type(types[0])
    by_day: Counter[date] = Counter()
    weights: Counter[str] = Counter()
    for row in rows:
        by_day[row.day] += row.failed
        weights[row.sender] += row.failed
    days = sorted(by_day)
    domains, sample = _domains(group, span), group.sample
    failed = sum(weights.values())
    total = max(failed, sum(each.successful + each.failed for each in around if each.sender in weights))
    others = _others(group, weights, around)
    senders = _by_weight(weights.items())
    values = _values(group, sample)
    pattern = Pattern(
        senders=senders,
        others=[each.sender for each in others],
        others_sessions=sum(each.successful for each in others),
        failed=failed,
        total=total,
        days=len(days),
        sample=sample,
        policies=facts.policies(domains[0], days[-1]) if group.cause and group.cause.code == "mx-not-in-policy" else {},
    )
    ranked = rank(group, registered, pattern, values)
    cause = ranked[0][0] if ranked else None
    causes = tuple(each for _, each in ranked) or (_NO_CAUSE if group.fault else _NOT_TOLD,)
    state, state_reason = judge(group, cause, weights, around, total, today)
    known_cause = cause if _is_known(group, cause) else None
    # What one sender met once and not again is seen to pass, so that a retry delivers.
    effects = effects_of(group, cause if state == "watch" else known_cause, domains, facts)
    kind, text = effects[0][:2]
    if group.fault in CERTIFICATE_FAULTS and any(each.verified_tlsa for each in around) and not _under(group, "tlsa"):
        text += DANE_WORKS
    addresses = tuple(sorted({row.receiving_ip for row in sample if row.receiving_ip}))
    steps = tuple(fill(step, values) for step in cause.steps) if cause else (UNNAMED if group.fault else UNTOLD,)
    proof = (cause.verify if cause else None) or (registered.verify if registered else None)
    verify, expected = (
        (_commands(proof.command, values, addresses), fill(proof.expected, values)) if proof else ("", "")
    )
    reasons = _reasons(rows)
    title = _title(group, registered, cause)
    spell = spells(days)
    mark, mark_until, note = _mark(known, days[-1], today)
    return Incident(
        id=id_,
        keys=keys,
        headline=wording.headline(
            senders=senders,
            place=group.spot.name,
            mx=values["mx"] or "",
            domains=effects[0][2],
            policy_domain=values["domain"] or domains[0],
            result=types[0],
            registered=registered,
            cause=known_cause,
            addresses=addresses,
            kind=kind,
            part=failed < WHOLLY * total,
            state=state,
            last=days[-1],
        ),
        title=title,
        result_type=registered.name if registered else types[0],
        result_types=_by_weight((row.result_type, row.failed) for row in rows),
        place=group.spot.name,
        place_kind=group.spot.kind,
        domains=domains,
        policy_types=_by_weight((row.policy_type, row.failed) for row in rows),
        state=state,
        state_reason=state_reason,
        mark=mark,
        mark_until=mark_until,
        note=note,
        first_seen=min(days[0], known.first_seen) if known else days[0],
        last_seen=days[-1],
        days=len(days),
        earlier=tuple(spell[:-1]),
        failed=failed,
        total=total,
        joined=sum(row.failed for row in group.joined),
        proven=sum(row.failed for row in rows if row.proven),
        by_day=tuple(sorted(by_day.items())),
        senders=senders,
        others=tuple(each.sender for each in others),
        seen_by=_seen_by(rows, around, others),
        addresses=addresses,
        sending=tuple(sorted({row.sending_mta_ip for row in sample if row.sending_mta_ip})),
        reasons=reasons,
        consequence=kind,
        consequence_text=text,
        effects=tuple((each, hit) for each, _, hit in effects),
        side=side_of(registered, cause, state, senders, others, said=group.cause is not None and group.cause is cause),
        causes=causes,
        steps=_in_state(state, steps),
        verify=verify,
        expected=expected,
        confirmed=wording.when_confirmed(senders, cached=group.spot.kind in ("policy-host", "sts-record")),
        forward=wording.to_forward(
            first=days[0], last=days[-1], senders=senders, failed=failed, total=total, domains=domains,
            place=group.spot.name, kind=group.spot.kind, types=types, reasons=reasons,
            likely=wording.likeliest(causes), steps=steps, verify=verify, expected=expected,
        ),
        ignore=wording.when_to_ignore(state, cause, failed / max(total, 1), len(senders) == 1 and bool(others)),
        evidence=_best(sample, evidence),
        meaning=f"{registered.meaning} It does not say: {registered.says_not}" if registered else "",
        section=registered.section if registered else "",
    )  # fmt: skip


def _in_state(state: State, steps: tuple[str, ...]) -> tuple[str, ...]:
    """What is to be done: where nothing is at present, that first, and the rest for the case that it comes again."""
    lead = {"watch": WATCHING, "quiet": OVER}.get(state)
    return (lead, f"{AGAIN}{steps[0]}", *steps[1:]) if lead else steps


_NO_CAUSE = RankedCause(code="unknown", title="Not known", explanation="The result type is not a registered one.")
_NOT_TOLD = RankedCause(
    code="unknown", title="Not told", explanation="The reports count these failures and give no details of them."
)


def _is_known(group: Group, cause: Cause | None) -> bool:
    """Whether it is known of the cause that it is the one: a sender says it, or its policy shows it."""
    if cause is None:
        return False
    if cause is group.cause or cause.party == "sender" or cause.code == "policy-copy-old":
        return True
    worded = {(row.reason, row.result_type) for row in group.rows if row.reason}
    return any(cause.code in reason.points_to[:1] for text in worded if (reason := reason_of(*text)))


def _title(group: Group, registered: ResultType | None, cause: Cause | None) -> str:
    """The fault in plain words: the cause where a sender says it and the type's name is only a collective one."""
    if cause is not None and group.cause is not None and group.fault in ("validation-failure", "tlsa"):
        return cause.title
    if not group.fault:
        return "Sessions failed, and no result type says how"
    if registered is None:
        return f"{wording.name(group.fault) or 'no result type'}: not a registered result type"
    return registered.title


def _mark(known: Remembered | None, last: date, today: date) -> tuple[Mark, date | None, str]:
    """What a person said of it, as long as that holds: `resolved` until it is seen again, the other until its day."""
    if known is None:
        return "none", None, ""
    day = known.mark_day
    holds = day is not None and (last <= day if known.mark == "resolved" else today < day)
    return (known.mark, day, known.note) if holds else ("none", None, known.note)


def _samples(groups: Sequence[Group], facts: Facts) -> list[list[Evidence]]:
    """Failure rows behind each group."""
    wanted = [_cells(group) for group in groups]
    found = facts.evidence({cell for cells in wanted for cell in cells})
    samples = []
    for group, cells in zip(groups, wanted, strict=True):
        kinds = {(row.result_type, row.mx_host) for row in group.rows}
        rows = (row for cell in cells for row in found[cell])
        samples.append([row for row in rows if (row.result_type or "", _host(row)) in kinds])
    return samples


def _cells(group: Group) -> list[Cell]:
    """Where to look at a group: its heaviest domain and day, the last day, and the heaviest of another sender."""
    weights: Counter[tuple[str, date, str]] = Counter()
    for row in group.rows:
        weights[row.report_domain, row.day, row.sender] += row.failed
    order = sorted(weights, key=lambda cell: (-weights[cell], cell))
    last = max(day for _, day, _ in order)
    wanted = [order[0], next(cell for cell in order if cell[1] == last)]
    wanted += [cell for cell in order if cell[2] != order[0][2]][:1]
    return list(dict.fromkeys(cell[:2] for cell in wanted))


def _domains(group: Group, span: Span) -> tuple[str, ...]:
    """The domains, without the MX hosts under whose names some senders file what DANE says of mail to them (F-31)."""
    hosts = {row.mx_host or row.policy_domain for row in group.all_rows if row.policy_type == "tlsa"}
    hosts |= {group.spot.host}
    return tuple(domain for domain in span.domains if domain not in hosts) or span.domains


def _span(group: Group) -> Span:
    rows = group.all_rows
    domains = _by_weight((row.report_domain, row.failed) for row in rows)
    return Span(domains=domains, first=min(row.day for row in rows), last=max(row.day for row in rows))


def _best(sample: Iterable[Evidence], most: int) -> tuple[Evidence, ...]:
    """The rows that show most: the heaviest of each report, then the others."""
    rows = sorted(sample, key=lambda row: (-row.failed, -row.day.toordinal(), row.report))
    first = {row.report: row for row in reversed(rows)}
    return tuple(sorted(rows, key=lambda row: first[row.report] is not row)[:most])


def _host(row: Evidence) -> str:
    return (row.mx_host or "").lower().rstrip(".")


def _others(group: Group, weights: Mapping[str, int], around: Iterable[Beside]) -> list[Beside]:
    """Senders that would meet the fault too and do not: at a certificate only those that look at it in the same way.

    Under DANE a date or a name is not looked at, under MTA-STS no TLSA record (RFC 7672 section 3.1,
    RFC 8461 section 4).
    """
    fine = [each for each in around if each.sender not in weights and each.successful]
    if group.fault in CERTIFICATE_FAULTS:
        under = {row.policy_type for row in group.all_rows}
        fine = [
            each
            for each in fine
            if ("tlsa" in under and each.verified_tlsa) or (under != {"tlsa"} and each.verified_sts)
        ]
    return sorted(fine, key=lambda each: (-each.successful, each.sender))


def _seen_by(rows: Sequence[FailureRow], around: Iterable[Beside], others: Sequence[Beside]) -> tuple[Seen, ...]:
    of_sender: dict[str, list[FailureRow]] = defaultdict(list)
    for row in rows:
        of_sender[row.sender].append(row)
    beside = {each.sender: each for each in around}
    seen = []
    for sender, own in of_sender.items():
        failed = sum(row.failed for row in own)
        days = [row.day for row in own]
        there = beside.get(sender)
        seen.append(
            Seen(
                sender=sender,
                failed=failed,
                total=max(failed, there.successful + there.failed if there else 0),
                first_seen=min(days),
                last_seen=max(days),
                latest=there.latest if there else max(days),
            )
        )
    seen.sort(key=lambda each: (-each.failed, each.sender))
    return (
        *seen,
        *(
            Seen(sender=each.sender, failed=0, total=each.successful + each.failed, latest=each.latest)
            for each in others
        ),
    )


def _by_weight(pairs: Iterable[tuple[str, int]]) -> tuple[str, ...]:
    weights: Counter[str] = Counter()
    for name, weight in pairs:
        weights[name] += weight
    return tuple(sorted(weights, key=lambda name: (-weights[name], name)))


def _reasons(rows: Iterable[FailureRow]) -> tuple[str, ...]:
    """One text for each fault that senders word alike but for names and numbers (F-39), most sessions first."""
    groups: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for row in rows:
        if row.reason:
            groups[normalise(row.reason)].append((row.reason, row.failed))
    ranked = sorted(groups.values(), key=lambda pairs: -sum(failed for _, failed in pairs))
    return tuple(_by_weight(pairs)[0] for pairs in ranked)


def _values(group: Group, sample: Iterable[Evidence]) -> dict[str, str | None]:
    """What commands and steps are filled in with."""
    heaviest = max(group.all_rows, key=lambda row: row.failed)
    domain = heaviest.policy_domain if heaviest.policy_type == "sts" else heaviest.report_domain
    addresses = [row.receiving_ip for row in group.rows if row.receiving_ip]
    addresses += [row.receiving_ip for row in sample if row.receiving_ip]
    return {
        "mx": _mx_of(group.spot, heaviest),
        "ip": next(iter(addresses), None),
        "domain": domain or heaviest.report_domain,
    }


def _commands(template: str, values: Mapping[str, str | None], addresses: Sequence[str]) -> str:
    """The check, a line for each address at which it failed: a name leads to any of them."""
    if "-connect {mx}:25" not in template or not addresses:
        return fill(template, values)
    each = template.replace("-connect {mx}:25", "-connect {ip}:25")
    return "\n".join(fill(each, {**values, "ip": address}) for address in addresses[:ADDRESSES_CHECKED])


def _under(group: Group, policy_type: str) -> bool:
    return any(row.policy_type == policy_type for row in group.all_rows)


def _mx_of(spot: Spot, heaviest: FailureRow) -> str:
    return heaviest.mx_host if spot.kind in ("policy-host", "sender") else spot.host

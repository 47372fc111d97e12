"""Incidents: failures grouped by cause and place, each with the whole answer, worst first.

`find_incidents` asks a store; `explain` is the pure part of it, over rows in hand. An incident's id comes from what
was seen of it first and stays with it: where senders tell it under another name later, memory says which it was.
"""

from __future__ import annotations

from base64 import b32encode
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, timedelta
from hashlib import blake2b

from tlsrpt.core.causes import Cause
from tlsrpt.core.owned import Owned
from tlsrpt.core.reasons import normalise
from tlsrpt.core.results import ConsequenceKind, ResultType, consequence, fill, mode_of, result_type
from tlsrpt.insight import wording
from tlsrpt.insight.facts import Facts, StoreFacts
from tlsrpt.insight.grouping import Group, group_failures, reason_of
from tlsrpt.insight.incident import CONSEQUENCES, STATES, Incident, RankedCause, Seen, State
from tlsrpt.insight.places import Spot
from tlsrpt.insight.ranking import Pattern, rank
from tlsrpt.insight.side import side_of
from tlsrpt.insight.state import judge, spells
from tlsrpt.store.daily import failure_rows, rows_without_details
from tlsrpt.store.evidence import Cell
from tlsrpt.store.sqlite import Store
from tlsrpt.store.sqlite_memory import remembered
from tlsrpt.store.values import Beside, Evidence, FailureRow, Mark, Memory, Remembered, Sighting, Span

LOOK_BACK = timedelta(days=90)  # before the days that are asked for, so that an incident has its begin
CERTIFICATE_FAULTS = frozenset({"certificate-host-mismatch", "certificate-expired", "certificate-not-trusted", "tlsa"})
ADDRESSES_CHECKED = 4  # of an incident, each by a command of its own
MODES_SOUGHT = 20  # domains of an incident whose policy is looked for where the failures' reports show none
WATCHING = "Nothing to do yet: wait for the reports of the next days. It counts when it comes again."
DANE_DELIVERS = " Senders that check DANE instead go by the TLSA records, and deliver."
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
    keys = _keys(groups)
    ids = _ids(groups, keys, memory)
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


# --- ids -------------------------------------------------------------------------------------------------------------


def _keys(groups: Sequence[Group]) -> list[tuple[str, ...]]:
    """For each group the keys that it is known by, its own first.

    A key that has a group of its own names no other: what joined from there is only a part of it. A key whose rows
    joined several names the one that they joined first.
    """
    owners = {group.key: (date.min, group.key) for group in groups}
    for group in groups:
        for key, first in group.joined_keys.items():
            owners[key] = min(owners.get(key, (first, group.key)), (first, group.key))
    return [
        (group.key, *(key for key in sorted(group.joined_keys) if key != group.key and owners[key][1] == group.key))
        for group in groups
    ]


def _ids(groups: Sequence[Group], keys: Sequence[Sequence[str]], memory: Memory) -> list[str]:
    """An id for each group: the remembered one of its keys, else one made from the key that was seen first."""
    ids: dict[int, str] = {}
    taken: set[str] = set()
    known_by_own = [(number, id_) for number, group in enumerate(groups) if (id_ := memory.ids.get(group.key))]
    known_by_own.sort(key=lambda each: not _at_its_place(groups[each[0]], memory.incidents.get(each[1])))
    for number, id_ in known_by_own:  # first those that are known by their own key, and of these whose id it is
        if id_ not in taken:
            ids[number] = id_
            taken.add(id_)
    for number, group in enumerate(groups):
        if number in ids:
            continue
        known = next((id_ for key in keys[number] if (id_ := memory.ids.get(key)) and id_ not in taken), None)
        id_ = known or _made_id(_first_key(group, keys[number]), taken)
        ids[number] = id_
        taken.add(id_)
    return [ids[number] for number in range(len(groups))]


def _at_its_place(group: Group, known: Remembered | None) -> bool:
    """Whether an id was told of this very group, not of one that its rows had joined before late reports came."""
    return known is not None and known.place == group.spot.name


def _first_key(group: Group, keys: Sequence[str]) -> str:
    first = {group.key: min(row.day for row in group.rows), **group.joined_keys}
    return min(keys, key=lambda key: (first[key], key != group.key, key))


def _made_id(key: str, taken: set[str]) -> str:
    """Seven letters and digits; 35 bits are enough for a store's incidents, and a clash gets other ones."""
    for salt in range(1000):
        digest = blake2b(
            key.encode("utf-8", "surrogatepass"), digest_size=5, salt=bytes([salt % 256, salt // 256])
        ).digest()
        id_ = b32encode(digest).decode("ascii").lower()[:7]
        if id_ not in taken:
            return id_
    raise AssertionError("a thousand clashes in a row")


def sightings(found: Iterable[Incident]) -> list[Sighting]:
    """Incidents as the store is to remember them."""
    return [
        Sighting(
            id=each.id,
            place=each.place,
            title=each.title,
            first_seen=each.first_seen,
            last_seen=each.last_seen,
            keys=each.keys,
        )
        for each in found
    ]


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
    effects = _effects(group, cause, domains, _modes(group, domains, facts))
    kind, text = effects[0][:2]
    if group.fault in CERTIFICATE_FAULTS and any(each.verified_tlsa for each in around) and not _under(group, "tlsa"):
        text += DANE_DELIVERS
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
            cause=cause if _names_more(group, cause) else None,
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


def _names_more(group: Group, cause: Cause | None) -> bool:
    """Whether it is known of the cause that it is the one: a sender says it, or its policy shows it."""
    if cause is None:
        return False
    if cause is group.cause or cause.party == "sender" or cause.code == "policy-copy-old":
        return True
    worded = {(row.reason, row.result_type): row for row in group.rows if row.reason}
    said = [reason.points_to for row in worded.values() if (reason := reason_of(row))]
    return any(codes[0] == cause.code for codes in said if codes)


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


def _modes(group: Group, domains: Iterable[str], facts: Facts) -> dict[str, str]:
    """For the domains of rows that show no policy: the mode of the newest policy that any sender reported (D-71)."""
    bare = {row.report_domain for row in group.all_rows if _lacks_mode(row)}
    last = max(row.day for row in group.all_rows)
    modes: dict[str, str] = {}
    for domain in [domain for domain in domains if domain in bare][:MODES_SOUGHT]:
        policies = facts.policies(domain, last)
        if policies:
            newest, _ = max(policies.items(), key=lambda each: each[1])
            modes[domain] = mode_of(newest) or ""
    return modes


def _lacks_mode(row: FailureRow) -> bool:
    """Whether a policy was applied that the report does not show; where it could not be had, none was."""
    return row.policy_type == "sts" and not row.policy_mode and not row.result_type.startswith("sts-")


def _effects(
    group: Group, cause: Cause | None, domains: Collection[str], modes: Mapping[str, str]
) -> list[tuple[ConsequenceKind, str, tuple[str, ...]]]:
    """What happens to mail, the worst first, and for which domains: those under testing fare better than under enforce.

    A domain stands under the worst that it meets; the text is that of the rows with most sessions.
    """
    weights: Counter[tuple[str, str, str, str]] = Counter()
    told = frozenset(domains)
    for row in group.all_rows:
        if row.report_domain in told:
            mode = modes.get(row.report_domain, "") if _lacks_mode(row) else row.policy_mode
            weights[row.report_domain, row.result_type, row.policy_type, mode] += row.failed
    worst: dict[str, tuple[int, int, str]] = {}
    for (domain, result, policy_type, mode), failed in weights.items():
        found = consequence(result, policy_type, mode or None, cause)  # type: ignore[arg-type]
        here = (CONSEQUENCES.index(found.kind), -failed, found.text)
        worst[domain] = min(worst.get(domain, here), here)
    effects = []
    for place in sorted({each[0] for each in worst.values()}):
        hit = [domain for domain in domains if domain in worst and worst[domain][0] == place]
        text = worst[min(hit, key=lambda domain: worst[domain])][2]
        effects.append((CONSEQUENCES[place], text, tuple(hit)))
    return effects

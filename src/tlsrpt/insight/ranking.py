"""Which cause is the likeliest, with the evidence for and against each from the very reports.

The usual order of a result type's causes is where it begins. What a sender says in so many words weighs most, then
what its policy shows, then the pattern: who sees it and who does not, where, on how many days, for how many sessions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date

from msgspec import Struct

from tlsrpt.core.causes import CAUSES, Cause
from tlsrpt.core.mtasts import mx_matches, parse_policy_lines
from tlsrpt.core.reasons import decode
from tlsrpt.core.results import ResultType, causes_under, fill
from tlsrpt.insight.grouping import Group, covers
from tlsrpt.insight.incident import RankedCause
from tlsrpt.insight.wording import domain_name, name, names
from tlsrpt.store.values import Evidence

SHOWN = 4
REASONS = 3  # that are told; one wording of each
ALL_SHARE = 0.95  # of the sessions: as good as all
RARE_SHARE = 0.05  # on one day: a fault of the set-up would have met more of them
SAID, SHOWN_BY_POLICY, PATTERN, WEAK = 10.0, 8.0, 3.0, 1.0  # against one place in the usual order: 1

# Causes that meet one sender of many, or that every sender would meet.
_OF_ONE = frozenset(
    {
        "sender-trust-store",
        "sender-resolver",
        "sender-fault",
        "sender-requires-policy",
        "tlsa-missing",
        "starttls-refused",
        "starttls-greylisted",
        "starttls-stripped",
        "policy-host-blocks",
        "policy-host-ipv6",
        "policy-host-tls",
    }
)
_OF_ALL = frozenset(
    {
        "starttls-off",
        "renewal-stopped",
        "renewed-not-reloaded",
        "chain-incomplete",
        "self-signed",
        "private-ca",
        "mx-name-not-in-certificate",
        "mx-is-alias",
        "mx-not-in-policy",
        "policy-file-missing",
        "policy-redirected",
        "policy-certificate-name",
        "policy-certificate-expired",
        "policy-certificate-chain",
        "policy-host-not-in-dns",
        "policy-syntax",
        "policy-wrong-content",
        "policy-mx-lines",
        "policy-max-age",
        "sts-record-invalid",
    }
)
_OF_ONE_ADDRESS = frozenset({"one-node-old-certificate", "starttls-off-on-one-host"})
_OF_ALL_SESSIONS = frozenset(
    {
        "starttls-off",
        "renewal-stopped",
        "renewed-not-reloaded",
        "chain-incomplete",
        "self-signed",
        "private-ca",
    }
)
_OF_SOME_SESSIONS = _OF_ONE_ADDRESS | {"starttls-refused", "starttls-greylisted", "handshake-broken-off"}


class Pattern(Struct, frozen=True, kw_only=True):
    """What is known of who sees an incident, and how much of it."""

    senders: Sequence[str]  # that see it
    others: Sequence[str]  # that would meet it too, and do not
    others_sessions: int
    failed: int
    total: int
    days: int
    sample: Sequence[Evidence]
    policies: Mapping[tuple[str, ...], date] = {}  # MTA-STS policies of the domain that fails most -> first reported


def rank(
    group: Group, registered: ResultType | None, pattern: Pattern, values: Mapping[str, str | None]
) -> list[tuple[Cause, RankedCause]]:
    """Causes, the likeliest first, each with its evidence; empty where the result type is not a registered one."""
    candidates = _candidates(group, registered)
    weights: Counter[str] = Counter()
    speaks_for: dict[str, list[str]] = {code: [] for code in candidates}
    against: dict[str, list[str]] = {code: [] for code in candidates}
    for code, weight, sentence in _signals(group, pattern, candidates):
        weights[code] += weight  # type: ignore[assignment]
        if sentence:
            (speaks_for if weight > 0 else against)[code].append(sentence)
    order = sorted(candidates, key=lambda code: candidates[code] - weights[code])
    return [
        (
            CAUSES[code],
            RankedCause(
                code=code,
                title=CAUSES[code].title,
                explanation=fill(CAUSES[code].explanation, values),
                evidence_for=tuple(speaks_for[code]),
                evidence_against=tuple(against[code]),
            ),
        )
        for code in order[:SHOWN]
    ]


def _candidates(group: Group, registered: ResultType | None) -> dict[str, int]:
    """Codes of the causes that come into question, with their place in the usual order."""
    policy_type = max(group.all_rows, key=lambda row: row.failed).policy_type
    usual = (causes_under(registered, policy_type) or registered.causes) if registered else ()
    codes = [cause.code for cause in usual]
    if group.cause is not None and group.cause.code not in codes:
        codes.append(group.cause.code)
    return {code: place for place, code in enumerate(codes)}


def _signals(group: Group, pattern: Pattern, codes: Iterable[str]) -> Iterator[tuple[str, float, str]]:
    """(cause, weight, sentence): above nothing speaks for it, below against it."""
    codes = list(codes)
    yield from _said(group, codes)
    yield from _by_the_policy(pattern, codes)
    yield from _by_senders(pattern, codes)
    yield from _by_addresses(pattern, codes)
    yield from _by_share(pattern, codes)
    yield from _by_days(pattern, codes)


def _said(group: Group, codes: Sequence[str]) -> Iterator[tuple[str, float, str]]:
    """What senders say in so many words; the first cause that a text speaks for most."""
    texts: Counter[tuple[str, str]] = Counter()
    for row in group.rows:
        if row.reason:
            texts[row.reason, row.result_type] += row.failed
    if group.cause is not None and group.cause.code in codes:
        yield group.cause.code, SAID, ""
    heard: set[str] = set()
    for (text, result), _ in sorted(texts.items(), key=lambda item: (-item[1], item[0])):
        reason = decode(text, result)
        if reason is None or reason.code in heard or not set(reason.points_to) & set(codes):
            continue
        heard.add(reason.code)
        if len(heard) > REASONS:
            return
        sender = next(row.sender for row in group.rows if row.reason == text)
        sentence = f'{name(sender)} gives the reason "{name(text)}": {reason.meaning}'
        for place, code in enumerate(code for code in reason.points_to if code in codes):
            yield code, PATTERN - place * WEAK / 2, sentence
        for code in codes:
            if code not in reason.points_to:
                yield code, -WEAK, ""


def _by_the_policy(pattern: Pattern, codes: Sequence[str]) -> Iterator[tuple[str, float, str]]:
    told = [row for row in pattern.sample if row.policy_mx and row.mx_host and row.policy_type == "sts"]
    if not told or "mx-not-in-policy" not in codes:
        return
    row = told[0]
    listed = f"the policy that {name(row.sender)} applied (mx: {names(row.policy_mx)})"
    host = domain_name(row.mx_host or "")
    if any(map(covers, told)):
        yield "mx-not-in-policy", -SHOWN_BY_POLICY, f"{host} is in {listed}."
        return
    yield "mx-not-in-policy", SHOWN_BY_POLICY, f"{host} is not in {listed}."
    newer = _newer_policy(told, pattern.policies)
    if newer is not None and "policy-copy-old" in codes:
        patterns, day = newer
        yield (
            "policy-copy-old",
            SAID + SHOWN_BY_POLICY + PATTERN,
            f"{host} is not in {listed}, but in a newer policy, first reported on {day} (mx: {names(patterns)}).",
        )


def _newer_policy(
    told: Sequence[Evidence], policies: Mapping[tuple[str, ...], date]
) -> tuple[tuple[str, ...], date] | None:
    """The newest policy of those days, where it lists the hosts that the applied, older one did not."""
    if not policies:
        return None
    lines, day = max(policies.items(), key=lambda each: each[1])
    patterns = parse_policy_lines(lines).mx
    if any(policies.get(row.policy_string, date.min) >= day for row in told):
        return None
    fits = all(any(mx_matches(each, row.mx_host or "") for each in patterns) for row in told)
    return (patterns, day) if fits else None


def _by_senders(pattern: Pattern, codes: Sequence[str]) -> Iterator[tuple[str, float, str]]:
    if len(pattern.senders) > 1:
        many = f"{len(pattern.senders)} senders report it independently: {names(pattern.senders)}."
        for code in codes:
            if code in _OF_ONE:
                yield code, -PATTERN, many
            elif code in _OF_ALL:
                yield code, WEAK, many
    elif pattern.others:
        alone = (
            f"Only {names(pattern.senders)} reports it; {names(pattern.others)} had {pattern.others_sessions:,} good "
            "sessions to the same domains in the same days."
        )
        for code in codes:
            if code in _OF_ONE or code in {"wrong-virtual-host", "intermediate-expired"}:
                yield code, PATTERN + 2 * WEAK if code in _OF_ONE else WEAK, alone
            elif code in _OF_ALL:
                yield code, -PATTERN, alone


def _by_addresses(pattern: Pattern, codes: Sequence[str]) -> Iterator[tuple[str, float, str]]:
    addresses = sorted({row.receiving_ip for row in pattern.sample if row.receiving_ip})
    if not addresses:
        return
    six = [address for address in addresses if ":" in address]
    for code in codes:
        if code not in _OF_ONE_ADDRESS:
            continue
        if len(six) == len(addresses):
            yield (
                code,
                2 * PATTERN,
                f"All failures were at IPv6 addresses ({names(six)}): the IPv6 side may be served by another machine.",
            )
        elif six:
            yield code, -WEAK, f"They failed at IPv4 and at IPv6 addresses: {names(addresses)}."


def _by_share(pattern: Pattern, codes: Sequence[str]) -> Iterator[tuple[str, float, str]]:
    if not pattern.total:
        return
    whole = pattern.failed >= ALL_SHARE * pattern.total
    every = f"{pattern.failed:,} of {pattern.total:,} sessions of the senders that see it failed."
    some = (
        f"{pattern.total - pattern.failed:,} sessions of the same senders worked: with other hosts or addresses, or at "
        "other times (reports do not say with which)."
    )
    for code in codes:
        if whole and code in _OF_ALL_SESSIONS:
            yield code, PATTERN, every
        elif whole and code in _OF_SOME_SESSIONS:
            yield code, -PATTERN, every
        elif not whole and code in _OF_ONE_ADDRESS:
            yield code, WEAK, some
        elif not whole and code == "starttls-off":
            yield code, -WEAK, some


def _by_days(pattern: Pattern, codes: Sequence[str]) -> Iterator[tuple[str, float, str]]:
    for code in codes:
        if not CAUSES[code].passing:
            continue
        if pattern.days > 1:
            yield code, -PATTERN, f"It was reported on {pattern.days} days, and this kind often passes by itself."
        elif pattern.failed < RARE_SHARE * pattern.total:
            yield (
                code,
                2 * PATTERN if code == "handshake-broken-off" else WEAK,
                f"{pattern.total - pattern.failed:,} other sessions of the same sender worked on that day, so it is "
                "nothing that stays.",
            )

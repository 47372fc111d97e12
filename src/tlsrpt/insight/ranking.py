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
from tlsrpt.core.reasons import Reason, decode
from tlsrpt.core.results import ResultType, causes_under, fill
from tlsrpt.insight.grouping import Group, covers
from tlsrpt.insight.incident import RankedCause
from tlsrpt.insight.wording import domain_name, name, names, reason_text
from tlsrpt.store.values import Evidence, FailureRow

SHOWN = 4
REASONS = 3  # that are told; one wording of each
ALL_SHARE = 0.95  # of the sessions: as good as all
FEW_SHARE = 0.5  # who shares no TLS version with a host fails there each time; half, since another host may be tried
RARE_SHARE = 0.05  # on one day: a fault of the set-up would have met more of them
# Against one place in the usual order, which is 1:
SAID, SHOWN_BY_POLICY, PATTERN, WEAK = 10.0, 8.0, 3.0, 1.0
TELLING = 3.0  # failures that others would have had at the same share, for their good sessions to mean something

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
# Causes that part senders: by SNI, by the paths to a root that they know, by how they come.
_OF_SOME = frozenset({"wrong-virtual-host", "intermediate-expired"})
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
    candidates = _candidates(group, registered, pattern)
    told = _reasons(group, candidates)
    for _, _, meant in reversed(told):  # the order of the causes that a text fits is the text's
        candidates |= {code: place for place, code in enumerate(meant)}
    weights: Counter[str] = Counter()
    speaks_for: dict[str, list[str]] = {code: [] for code in candidates}
    against: dict[str, list[str]] = {code: [] for code in candidates}
    for code, weight, sentence in _signals(told, pattern, candidates):
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


def _candidates(group: Group, registered: ResultType | None, pattern: Pattern) -> dict[str, int]:
    """Codes of the causes that come into question, with their place in the usual order."""
    policy_type = max(group.all_rows, key=lambda row: row.failed).policy_type
    usual = (causes_under(registered, policy_type) or registered.causes) if registered else ()
    codes = [cause.code for cause in usual if cause.code != "policy-copy-old" or _newer_policy(pattern)]
    if group.cause is not None and group.cause.code not in codes:
        codes.append(group.cause.code)
    return {code: place for place, code in enumerate(codes)}


def _signals(told: Sequence[_Told], pattern: Pattern, codes: Iterable[str]) -> Iterator[tuple[str, float, str]]:
    """(cause, weight, sentence): above nothing speaks for it, below against it."""
    codes = list(codes)
    yield from _said(told, codes)
    yield from _by_the_policy(pattern, codes)
    yield from _by_greeting(pattern, codes)
    yield from _by_senders(pattern, codes)
    yield from _by_addresses(pattern, codes)
    yield from _by_share(pattern, codes)
    yield from _by_days(pattern, codes)


_Told = tuple[FailureRow, Reason, list[str]]  # who says it first, what it means, the causes in question that it fits


def _reasons(group: Group, codes: Iterable[str]) -> list[_Told]:
    """What senders say in so many words, most sessions first: one wording of each meaning."""
    texts: Counter[tuple[str, str]] = Counter()
    for row in group.rows:
        if row.reason:
            texts[row.reason, row.result_type] += row.failed
    found: dict[str, _Told] = {}
    for text, result in sorted(texts, key=lambda each: (-texts[each], each)):
        reason = decode(text, result)
        meant = [code for code in reason.points_to if code in codes] if reason else []
        if reason is not None and meant and reason.code not in found:
            found[reason.code] = next(row for row in group.rows if row.reason == text), reason, meant
    return list(found.values())[:REASONS]


def _said(told: Iterable[_Told], codes: Sequence[str]) -> Iterator[tuple[str, float, str]]:
    """A text that fits several causes tells them from all others, not apart from each other."""
    for row, reason, meant in told:
        sentence = f'{name(row.sender)} gives the reason "{reason_text(row.reason)}": {reason.meaning}'
        weight = SAID if len({CAUSES[each].stage for each in reason.points_to}) == 1 else WEAK
        for code in codes:
            yield (code, weight, sentence) if code in meant else (code, -WEAK, "")


def _by_the_policy(pattern: Pattern, codes: Sequence[str]) -> Iterator[tuple[str, float, str]]:
    told = _under_sts(pattern.sample)
    if not told or "mx-not-in-policy" not in codes:
        return
    row = told[0]
    listed = f"the policy that {name(row.sender)} applied (mx: {names(row.policy_mx)})"
    host = domain_name(row.mx_host or "")
    if any(map(covers, told)):
        yield "mx-not-in-policy", -SHOWN_BY_POLICY, f"{host} is in {listed}."
        return
    yield "mx-not-in-policy", SHOWN_BY_POLICY, f"{host} is not in {listed}."
    newer = _newer_policy(pattern)
    if newer is not None and "policy-copy-old" in codes:
        patterns, day = newer
        yield (
            "policy-copy-old",
            3 * SAID,  # it says all that speaks for the other, and more
            f"{host} is not in {listed}, but in a newer policy, first reported on {day} (mx: {names(patterns)}).",
        )


def _under_sts(sample: Iterable[Evidence]) -> list[Evidence]:
    return [row for row in sample if row.policy_mx and row.mx_host and row.policy_type == "sts"]


def _newer_policy(pattern: Pattern) -> tuple[tuple[str, ...], date] | None:
    """The newest policy of those days, where it lists the hosts that the applied, older one did not."""
    told = _under_sts(pattern.sample)
    if not pattern.policies or not told or any(map(covers, told)):
        return None
    lines, day = max(pattern.policies.items(), key=lambda each: each[1])
    patterns = parse_policy_lines(lines).mx
    if any(pattern.policies.get(row.policy_string, date.min) >= day for row in told):
        return None
    fits = all(any(mx_matches(each, row.mx_host or "") for each in patterns) for row in told)
    return (patterns, day) if fits else None


def _by_greeting(pattern: Pattern, codes: Sequence[str]) -> Iterator[tuple[str, float, str]]:
    """By the name that the host gave in its EHLO reply: another domain's is a provider's, or a device's in between."""
    others = Counter(
        row.helo.lower().rstrip(".")
        for row in pattern.sample
        if row.helo and row.mx_host and _parent(row.helo) != _parent(row.mx_host)
    )
    if not others or any(
        row.helo and row.mx_host and _parent(row.helo) == _parent(row.mx_host) for row in pattern.sample
    ):
        return
    helo = others.most_common(1)[0][0]
    sentence = f"The host that answered called itself {domain_name(helo)}."
    for code in codes:
        if code in ("mx-is-alias", "starttls-stripped"):
            yield code, 2 * PATTERN, sentence


def _parent(host: str) -> str:
    return host.lower().rstrip(".").partition(".")[2]


def _by_senders(pattern: Pattern, codes: Sequence[str]) -> Iterator[tuple[str, float, str]]:
    alone = len(pattern.senders) == 1
    telling = pattern.others_sessions * pattern.failed >= TELLING * max(pattern.total, 1)
    if pattern.others and telling:
        some = (
            f"Only {names(pattern.senders)} {'reports' if alone else 'report'} it; {names(pattern.others)} had "
            f"{pattern.others_sessions:,} good sessions to the same domains in the same days."
        )
        for code in codes:
            if code in _OF_SOME or (alone and code in _OF_ONE):
                yield code, PATTERN + 2 * WEAK, some
            elif code in _OF_ALL:
                yield code, -PATTERN, some
    if not alone:
        many = f"{len(pattern.senders)} senders report it independently: {names(pattern.senders)}."
        for code in codes:
            if code in _OF_ONE:
                yield code, -PATTERN, many
            elif code in _OF_ALL and not (pattern.others and telling):
                yield code, WEAK, many


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
        elif pattern.failed < FEW_SHARE * pattern.total and code in ("tls-version-or-cipher", "handshake-broken-off"):
            yield code, 3 * PATTERN if code == "handshake-broken-off" else -PATTERN, some


def _by_days(pattern: Pattern, codes: Sequence[str]) -> Iterator[tuple[str, float, str]]:
    for code in codes:
        if not CAUSES[code].passing or (code in _OF_ONE and len(pattern.senders) == 1 and pattern.others):
            continue
        if pattern.days > 1 and pattern.failed >= FEW_SHARE * pattern.total:
            yield code, -PATTERN, f"It was reported on {pattern.days} days, and this kind often passes by itself."
        elif pattern.failed < RARE_SHARE * pattern.total:
            yield (
                code,
                2 * PATTERN if code == "handshake-broken-off" else WEAK,
                f"{pattern.total - pattern.failed:,} other sessions of the same sender worked on that day, so it is "
                "nothing that stays.",
            )

"""How sessions are counted (DESIGN promises 7 and 8): one report's share in the tallies.

A tally row says how many sessions one sender reported for one domain, day and policy type. `domain` is a name that
finds the row, `report_domain` the one that it is filed under:

    domain == report_domain   the usual row. Sums over all of these are sums over everything
    domain != report_domain   the same sessions again, for whoever asks by policy domain (F-31: DANE entries are
                              about an MX host); never added to the usual ones
    domain == "*"             all domains together, so that a total needs no walk through every domain

Figures of a row, each a plain sum over reports:

    sent_successful, sent_failed     as sent, entries added up
    counted_total, counted_failed    what counts: of `sts` against `tlsa` the larger, the type with the smaller gets 0.
                                     Only sums over policy types mean something: the larger total and the larger
                                     failed count may be of different types
    reports     1 in one of the rows that a report has under a domain: sums give the number of reports
    mentions    1 in each of them: reports that have this policy type
    not_itemised  failed sessions that no failure row explains (R4-03)

The store keeps these for reports that their submitter signed (`proven`) apart from those for the others.

A row of the failure tally says the same of failure rows of one kind: how many reports have them, their failed
sessions as sent, and what counts of these by the same rule, for rows that are alike but for the policy.

The same function prepares new reports and recomputes the tallies for `store check`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

EVERY_DOMAIN = "*"  # no domain is called so
TEXT_LIMIT = 255  # characters of a text in a key: a domain has at most 253
REASON_LIMIT = 200

# Queue ids, serial numbers, times: they would make every row its own kind. SMTP and TLS codes are shorter.
_LONG_NUMBER = re.compile(r"[0-9a-fA-F]{16,}|[0-9]{6,}")
_BOTH = frozenset({"sts", "tlsa"})  # may list the same sessions (F-31); every other type is on its own


class Detail(NamedTuple):
    """What the tallies need of a failure row; '' for what the sender left out."""

    result_type: str
    receiving_mx_hostname: str
    receiving_ip: str
    failure_reason_code: str
    failed: int


class Entry(NamedTuple):
    """What the tallies need of one entry of `policies`."""

    policy_type: str
    policy_domain: str
    report_domain: str
    policy_mode: str
    successful: int
    failed: int
    details: Sequence[Detail]


TallyKey = tuple[str, int, str, str, str]  # domain, day, sender, policy_type, report_domain
TallyFigures = tuple[int, int, int, int, int, int, int]
FailureKey = tuple[str, int, str, int, str]  # domain, day, sender, kind_id, report_domain
FailureFigures = tuple[int, int, int]
KindKey = tuple[str, str, str, str, str, str, str]
Kind = tuple[int, str, str, str, str, str, str, str]  # id, then what it is the hash of


class Share(NamedTuple):
    """One report's share in the tallies."""

    tally: list[tuple[TallyKey, TallyFigures]]
    failures: list[tuple[FailureKey, FailureFigures]]
    kinds: list[Kind]


def policy_mode(policy_string: Sequence[str] | None) -> str:
    """The mode of an MTA-STS policy as the sender quotes it (RFC 8461 section 3.2); '' where there is none."""
    for line in policy_string or ():
        key, colon, value = line.partition(":")
        if colon and key.strip().lower() == "mode":
            return value.strip().lower()[:20]
    return ""


def make_detail(
    result_type: str | None, mx: str | None, ip: str | None, reason: str | None, failed_session_count: int
) -> Detail:
    """A failure row as the tallies know it; the host as it is compared, the reason without what differs each time.

    The address only where no host is named: a host behind a balancer has many, and each would be a kind of its own.
    """
    host = (mx or "").lower().rstrip(".")[:TEXT_LIMIT]
    return Detail(
        (result_type or "")[:TEXT_LIMIT],
        host,
        "" if host else (ip or "")[:TEXT_LIMIT],
        _shorten(reason) if reason else "",
        failed_session_count,
    )


@lru_cache(maxsize=1024)  # a sender has a few words of its own
def _shorten(reason: str) -> str:
    return _LONG_NUMBER.sub("#", reason)[:REASON_LIMIT]


def share(day: int, sender: str, entries: Sequence[Entry]) -> Share:
    """What one report adds to the tallies."""
    result = Share([], [], [])
    kinds: dict[int, KindKey] = {}
    usual: list[dict[str, Sums]] = []
    led: set[str] = set()
    for (domain, report_domain), members in _groups(entries).items():
        failures = _count_failures(members, kinds)
        for kind_id, figures in failures.rows:
            result.failures.append(((domain, day, sender, kind_id, report_domain), figures))
        sums = _count_sessions(members, failures.itemised)
        _add_rows(result, (domain, day, sender), report_domain, sums, reports=0 if domain in led else 1)
        led.add(domain)
        if domain == report_domain:
            usual.append(sums)
    _add_rows(result, (EVERY_DOMAIN, day, sender), EVERY_DOMAIN, _together(usual), reports=1)
    result.kinds.extend([(kind_id, *kind) for kind_id, kind in kinds.items()])
    return result


Sums = tuple[int, int, int, int, int]  # sent_successful, sent_failed, counted_total, counted_failed, not_itemised


def _groups(entries: Sequence[Entry]) -> dict[tuple[str, str], Sequence[Entry]]:
    """Entries by domain and report domain, the usual groups first: `reports` stands there where it can."""
    if not entries:
        return {("", ""): ()}  # `policies: []` (F-44): kept, and counted under no domain
    name = entries[0].report_domain
    if all(entry.report_domain == name == entry.policy_domain for entry in entries):
        return {(name, name): entries}  # nearly every report
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        groups.setdefault((entry.report_domain, entry.report_domain), []).append(entry)
    for entry in entries:
        if entry.policy_domain != entry.report_domain:
            groups.setdefault((entry.policy_domain, entry.report_domain), []).append(entry)
    return {key: tuple(members) for key, members in groups.items()}


def _add_rows(
    result: Share, start: tuple[str, int, str], report_domain: str, sums: dict[str, Sums], *, reports: int
) -> None:
    """One row a policy type; the report itself is counted in the first of them."""
    for policy_type, figures in sums.items():
        result.tally.append(((*start, policy_type, report_domain), (reports, 1, *figures)))
        reports = 0


def _together(groups: list[dict[str, Sums]]) -> dict[str, Sums]:
    """The sums of several domains, by policy type."""
    if len(groups) == 1:
        return groups[0]
    result: dict[str, Sums] = {}
    for sums in groups:
        for policy_type, (ok, bad, total, failed, rest) in sums.items():
            before = result.get(policy_type, (0, 0, 0, 0, 0))
            result[policy_type] = (
                before[0] + ok,
                before[1] + bad,
                before[2] + total,
                before[3] + failed,
                before[4] + rest,
            )
    return result


def _count_sessions(entries: Sequence[Entry], itemised: dict[str, int]) -> dict[str, Sums]:
    """Sessions per policy type, for the entries of one report under one domain."""
    sent: dict[str, tuple[int, int]] = {}
    for entry in entries:
        successful, failed = sent.get(entry.policy_type, (0, 0))
        sent[entry.policy_type] = successful + entry.successful, failed + entry.failed
    if not sent:
        return {"": (0, 0, 0, 0, 0)}
    result: dict[str, Sums] = {}
    for policy_type, (successful, failed) in sent.items():
        rest = max(0, failed - itemised.get(policy_type, 0))
        result[policy_type] = (successful, failed, successful + failed, failed, rest)
    if "sts" in result and "tlsa" in result:  # promise 7: a lower bound; where equal, `sts`
        sts, tlsa = result["sts"], result["tlsa"]
        explained = itemised.get("sts", 0) + itemised.get("tlsa", 0)
        by_total, by_failed = sts[2] >= tlsa[2], sts[3] >= tlsa[3]
        rest = max(0, max(sts[3], tlsa[3]) - explained)
        result["sts"] = _as_counted(sts, by_total, by_failed, rest)
        result["tlsa"] = _as_counted(tlsa, not by_total, not by_failed, rest)
    return result


def _as_counted(sums: Sums, has_total: bool, has_failed: bool, rest: int) -> Sums:
    successful, failed, total, _, _ = sums
    return successful, failed, total if has_total else 0, failed if has_failed else 0, rest if has_failed else 0


class _Failures(NamedTuple):
    rows: Iterable[tuple[int, FailureFigures]]  # by kind
    itemised: dict[str, int]  # policy type -> counted failed sessions that rows explain


_NO_FAILURES = _Failures((), {})


def _count_failures(entries: Sequence[Entry], kinds: dict[int, KindKey]) -> _Failures:
    """Failed sessions per kind, for the entries of one report under one domain; notes new kinds in `kinds`."""
    sent: dict[KindKey, int] = {}
    for policy_type, policy_domain, _, mode, _, _, details in entries:
        for result_type, host, ip, reason, failed in details:
            kind = (policy_type, mode, policy_domain, result_type, host, ip, reason)
            sent[kind] = sent.get(kind, 0) + failed
    if not sent:
        return _NO_FAILURES
    # Rows that are alike but for the policy are rare: where there are none, their sessions need not be compared.
    twice = _listed_twice(sent) if len(entries) > 1 and len({kind[3:] for kind in sent}) < len(sent) else ()
    rows: list[tuple[int, FailureFigures]] = []
    itemised: dict[str, int] = {}
    for kind, failed in sent.items():
        counted = 0 if kind in twice else failed
        itemised[kind[0]] = itemised.get(kind[0], 0) + counted
        kind_id = _kind_id(kind)
        kinds[kind_id] = kind
        rows.append((kind_id, (1, failed, counted)))
    return _Failures(rows, itemised)


def _listed_twice(sent: dict[KindKey, int]) -> set[KindKey]:
    """The kinds of `sts` or `tlsa` that the other type lists too, with more sessions or, for `tlsa`, as many."""
    alike: dict[tuple[str, ...], dict[str, int]] = {}  # a row but for its policy -> policy type -> sessions
    for kind, failed in sent.items():
        if kind[0] in _BOTH:
            types = alike.setdefault(kind[3:], {"sts": -1, "tlsa": -1})
            types[kind[0]] = max(types[kind[0]], 0) + failed
    smaller = {seen: "sts" if types["sts"] < types["tlsa"] else "tlsa" for seen, types in alike.items()}
    return {kind for kind in sent if kind[0] == smaller.get(kind[3:])}


@lru_cache(maxsize=10_000)
def _kind_id(kind: KindKey) -> int:
    """63 bits of a hash: the same in every process and engine, so that no writer has to ask for a number first."""
    return int.from_bytes(blake2b("\0".join(kind).encode(), digest_size=8).digest(), "big") >> 1

"""Incidents of a large store against plain SQL sums over the same rows.

A hosting provider's store: 1,000 domains for 90 days, a million reports. Six in ten domains have mail on the hosts
of a few providers, the others on their own. Most are fine; some hundred faults of different kinds and lengths are at
single hosts and policies, some at hosts that many domains share, and now and then one session fails by chance. The
store is made once and kept in bench/data.
"""

from __future__ import annotations

import random
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from msgspec import Struct

from bench.measure import Timing, calls
from tlsrpt.core.report import DateRange, FailureDetail, Policy, PolicyResult, Report, Summary
from tlsrpt.insight.incidents import find_incidents
from tlsrpt.store.rows import Prepared, prepare
from tlsrpt.store.sqlite import open_store
from tlsrpt.store.sqlite_upkeep import upgrade_store
from tlsrpt.store.values import Arrival, IncomingReport

FIRST = date(2026, 1, 1)
DAYS = 90
LAST = FIRST + timedelta(days=DAYS - 1)
A_DAY = 11.1  # reports for each domain
BATCH = 1_000
PROVIDERS = 12
HOSTED = 0.6  # of the domains, on hosts of a provider
CHANCE = 0.001  # of the reports with a session that failed for no lasting reason
# Sender -> chance that it reports on a domain and a day, sessions at most.
SENDERS = {
    **{f"large{n}.example.net": (0.95, 400) for n in range(6)},
    **{f"small{n}.example.org": (0.54, 30) for n in range(10)},
}
# What fails -> how many faults among 1,000 domains, with the reason that some senders give.
AT_ONE_DOMAIN = {
    ("certificate-expired", "certificate has expired"): 90,
    ("certificate-host-mismatch", "x509: certificate is valid for old.example, not {mx}"): 50,
    ("certificate-not-trusted", "unable to get local issuer certificate"): 40,
    ("starttls-not-supported", None): 60,
    ("sts-policy-fetch-error", "HTTP 404"): 40,
    ("sts-webpki-invalid", "certificate has expired"): 20,
    ("validation-failure", "MX host {mx} does not match policy"): 40,
}
AT_A_PROVIDER = {
    ("certificate-expired", "certificate has expired"): 4,
    ("starttls-not-supported", None): 4,
    ("validation-failure", "tls: handshake failure"): 4,
}
LASTING, AT_A_PROVIDER_LASTING = 8, 3  # days, on average


class Site(Struct, frozen=True):
    """A domain and its MX hosts."""

    domain: str
    hosts: tuple[str, ...]
    mode: str


class Trouble(Struct, frozen=True):
    """A fault at one host, or of one domain's policy: from when until when, seen by whom."""

    result_type: str
    reason: str | None
    host: str | None  # None: no host is named
    first: int  # days since FIRST
    last: int
    senders: frozenset[str]
    share: float  # of their sessions


def made(path: Path, reports: int) -> Path:
    """A store of about so many reports, made where there is none, brought to this schema where it is older."""
    if path.exists():
        copy = upgrade_store(str(path)).backup
        if copy:
            Path(copy).unlink()
    else:
        part = path.with_suffix(".part")
        for left in path.parent.glob(part.name + "*"):
            left.unlink()
        with open_store(str(part), create=True) as store:
            batch: list[Prepared] = []
            for arrival in arrivals(max(8, round(reports / DAYS / A_DAY))):
                batch.append(prepare(arrival))
                if len(batch) == BATCH:
                    store.keep(batch)
                    batch.clear()
            store.keep(batch)
        part.rename(path)
    return path


def arrivals(domains: int) -> Iterator[Arrival]:
    rng = random.Random(1)
    sites = [site(rng, n) for n in range(domains)]
    troubles = troubles_of(rng, sites)
    number = 0
    for ahead in range(DAYS):
        start = datetime.combine(FIRST + timedelta(days=ahead), time(), UTC)
        window = DateRange(start_datetime=start, end_datetime=start + timedelta(hours=23, minutes=59, seconds=59))
        for where in sites:
            today = [one for one in troubles[where.domain] if one.first <= ahead <= one.last]
            for sender, (chance, most) in SENDERS.items():
                if rng.random() > chance:
                    continue
                number += 1
                report = Report(
                    organization_name=sender,
                    date_range=window,
                    contact_info=f"tls@{sender}",
                    report_id=f"{number}@{sender}",
                    policies=(entry(rng, where, [one for one in today if sender in one.senders], most),),
                )
                yield Arrival(
                    source="bench",
                    received_at=start + timedelta(days=1, hours=3),
                    raw=b"%d" % number,
                    form="body",
                    reports=(IncomingReport(report=report, report_domains=(where.domain,)),),
                )


def site(rng: random.Random, n: int) -> Site:
    domain = f"ward{n}.example"
    mode = rng.choice(("enforce", "enforce", "testing"))
    if rng.random() < HOSTED:
        provider = min(int(rng.expovariate(0.3)), PROVIDERS - 1)  # a few have most of them
        return Site(domain, tuple(f"in{m}.provider{provider}.example" for m in (1, 2, 3)), mode)
    return Site(domain, tuple(f"in{m}.mail.{domain}" for m in (1, 2)), mode)


def troubles_of(rng: random.Random, sites: list[Site]) -> dict[str, list[Trouble]]:
    """The faults that each domain meets."""
    found: dict[str, list[Trouble]] = defaultdict(list)
    scale = len(sites) / 1_000
    for (result_type, reason), count in AT_ONE_DOMAIN.items():
        for _ in range(round(count * scale) or 1):
            where = rng.choice([one for one in sites if "mail." in one.hosts[0]])
            host = None if result_type.startswith("sts") else rng.choice(where.hosts)
            found[where.domain].append(trouble(rng, result_type, reason, host, LASTING))
    for (result_type, reason), count in AT_A_PROVIDER.items():
        for _ in range(round(count * scale) or 1):
            host = rng.choice([host for one in sites for host in one.hosts if "provider" in host])
            one = trouble(rng, result_type, reason, host, AT_A_PROVIDER_LASTING)
            for where in sites:
                if host in where.hosts:
                    found[where.domain].append(one)
    return found


def trouble(rng: random.Random, result_type: str, reason: str | None, host: str | None, lasting: float) -> Trouble:
    first = rng.randrange(DAYS)
    seeing = frozenset(sender for sender in SENDERS if rng.random() < 0.7) or frozenset(SENDERS)
    said = reason.format(mx=host) if reason else None
    return Trouble(
        result_type, said, host, first, first + int(rng.expovariate(1 / lasting)), seeing, rng.uniform(0.1, 0.9)
    )


def entry(rng: random.Random, where: Site, troubles: list[Trouble], most: int) -> PolicyResult:
    """A sender's sessions of one day under the domain's MTA-STS policy."""
    sessions = rng.randrange(1, most)
    rows = [row(one.result_type, one.reason, one.host, max(1, int(sessions * one.share))) for one in troubles]
    if rng.random() < CHANCE:
        rows.append(row("starttls-not-supported", None, rng.choice(where.hosts), 1))
    failed = sum(one.failed_session_count for one in rows)
    lines = ("version: STSv1", f"mode: {where.mode}", *(f"mx: {host}" for host in where.hosts), "max_age: 604800")
    return PolicyResult(
        policy=Policy(policy_type="sts", policy_domain=where.domain, policy_string=lines, mx_host=where.hosts),
        summary=Summary(total_successful_session_count=max(0, sessions - failed), total_failure_session_count=failed),
        failure_details=tuple(rows) or None,
    )


def row(result_type: str, reason: str | None, host: str | None, failed: int) -> FailureDetail:
    return FailureDetail(
        result_type=result_type,
        failed_session_count=failed,
        sending_mta_ip="192.0.2.7",
        receiving_mx_hostname=host,
        receiving_ip="203.0.113.25" if host else None,
        failure_reason_code=reason,
    )


# Plain sums over the rows that an answer about incidents is made of: sessions of each domain by sender, and failed
# sessions of each kind at each place by domain.
BY_HAND = (
    """select domain, sender, sum(counted_total), sum(counted_failed), max(day) from tally
        where domain in (select report_domain from domain) and day between ? and ? and report_domain = domain
        group by domain, sender""",
    """select domain, result_type, receiving_mx_hostname, failure_reason_code, sum(counted_failed), min(day), max(day)
        from failure_tally join failure_kind on id = kind_id
        where domain in (select report_domain from domain) and day between ? and ? and report_domain = domain
        group by 1, 2, 3, 4""",
)


def time_incidents(path: Path, *, turns: int) -> tuple[dict[str, Timing], int]:
    """Seconds for all incidents of 90 days, in this process, the store being open; and how many incidents those are."""
    first, last = ((day - date(1970, 1, 1)).days for day in (FIRST, LAST))
    bare = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    with open_store(str(path)) as store:

        def ours(_: bytes) -> tuple[int, int]:
            found = find_incidents(store, since=FIRST, until=LAST, today=LAST + timedelta(days=2))
            return len(found), sum(one.failed for one in found)

        def by_hand(_: bytes) -> tuple[int, int]:
            sessions, failures = [bare.execute(sql, (first, last)).fetchall() for sql in BY_HAND]
            return len(sessions), sum(failed for *_, failed, _, _ in failures)

        (count, failed), (_, plain) = ours(b""), by_hand(b"")
        assert failed == plain, "every failed session is in one incident"
        timings = calls({"ours": ours, "by hand": by_hand}, [b""], turns=turns)
    bare.close()
    return timings, count

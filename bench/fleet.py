"""A store of many reports, and the question that an administrator asks of it: ours against SQL written by hand.

The store grows by domains, as a hosting provider's does: 90 days and five reports a day for each. What one ordinary
domain's answer costs should then not depend on how many others there are.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from bench.measure import Timing, calls
from tlsrpt.core.report import DateRange, FailureDetail, Policy, PolicyResult, Report, Summary
from tlsrpt.store.figures import summary
from tlsrpt.store.rows import Prepared, prepare
from tlsrpt.store.sqlite import open_store
from tlsrpt.store.values import Arrival, IncomingReport

FIRST = date(2026, 1, 1)
DAYS = 90
LAST = FIRST + timedelta(days=DAYS - 1)
SENDERS = [f"out{number}.example.net" for number in range(12)]
A_DAY = 5  # reports for each domain
BATCH = 1_000
ORDINARY = "ward7.example"


def fill(path: Path, reports: int) -> None:
    """Make a store of about so many reports: prepared and kept in batches, as `ingest` does."""
    batch: list[Prepared] = []
    with open_store(str(path), create=True) as store:
        for arrival in arrivals(max(8, round(reports / DAYS / A_DAY))):
            batch.append(prepare(arrival))
            if len(batch) == BATCH:
                store.keep(batch)
                batch.clear()
        store.keep(batch)


def arrivals(domains: int) -> Iterator[Arrival]:
    rng = random.Random(1)
    number = 0
    for day in (FIRST + timedelta(days=ahead) for ahead in range(DAYS)):
        start = datetime.combine(day, time(), UTC)
        window = DateRange(start_datetime=start, end_datetime=start + timedelta(hours=23, minutes=59, seconds=59))
        for domain in (f"ward{index}.example" for index in range(domains)):
            for sender in rng.sample(SENDERS, A_DAY):
                number += 1
                report = Report(
                    organization_name=sender,
                    date_range=window,
                    contact_info=f"tls@{sender}",
                    report_id=f"{number}@{sender}",
                    policies=(entry(rng, domain),),
                )
                yield Arrival(
                    source="bench",
                    received_at=start + timedelta(days=1, hours=3),
                    raw=b"%d" % number,
                    form="body",
                    reports=(IncomingReport(report=report, report_domains=(domain,)),),
                )


def entry(rng: random.Random, domain: str) -> PolicyResult:
    """Sessions under an MTA-STS policy; one report in five has failures."""
    rows = tuple(
        FailureDetail(
            result_type=rng.choice(("certificate-expired", "starttls-not-supported", "validation-failure")),
            failed_session_count=rng.randrange(1, 9),
            sending_mta_ip=f"192.0.2.{rng.randrange(1, 255)}",
            receiving_mx_hostname=f"in{rng.randrange(1, 4)}.mail.{domain}",
            receiving_ip="203.0.113.25",
        )
        for _ in range(2 if rng.random() < 0.2 else 0)
    )
    failed = sum(row.failed_session_count for row in rows)
    return PolicyResult(
        policy=Policy(policy_type="sts", policy_domain=domain, mx_host=(f"*.mail.{domain}",)),
        summary=Summary(total_successful_session_count=rng.randrange(500), total_failure_session_count=failed),
        failure_details=rows or None,
    )


# The same answer by hand, from the same tallies: totals, failed sessions by result type, by MX host.
BY_HAND = (
    """select sum(sent_successful), sum(sent_failed), sum(counted_total), sum(counted_failed), sum(reports),
        sum(not_itemised), count(distinct sender), min(day), max(day)
        from tally where domain = ? and day between ? and ?""",
    """select result_type, sum(counted_failed), sum(sent_failed) from failure_tally join failure_kind on id = kind_id
        where domain = ? and day between ? and ? group by 1 order by 2 desc, 1""",
    """select receiving_mx_hostname, sum(counted_failed), sum(sent_failed)
        from failure_tally join failure_kind on id = kind_id
        where domain = ? and day between ? and ? group by 1 order by 2 desc, 1""",
)


def time_summary(path: Path, *, turns: int) -> dict[str, Timing]:
    """Seconds for one answer about an ordinary domain over all 90 days, in this process, the store being open."""
    first, last = ((day - date(1970, 1, 1)).days for day in (FIRST, LAST))
    bare = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    with open_store(str(path)) as store:

        def ours(_: bytes) -> tuple[int, int]:
            answer = summary(store, domain=ORDINARY, since=FIRST, until=LAST)
            return answer.totals.reports, answer.totals.failed

        def by_hand(_: bytes) -> tuple[int, int]:
            totals, *_rest = [bare.execute(sql, (ORDINARY, first, last)).fetchall() for sql in BY_HAND]
            return totals[0][4], totals[0][3]

        assert ours(b"") == by_hand(b"") == (DAYS * A_DAY, ours(b"")[1])
        timings = calls({"ours": ours, "by hand": by_hand}, [b""] * 50, turns=turns)
    bare.close()
    return timings

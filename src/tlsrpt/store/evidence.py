"""Rows of failure-details, as senders wrote them, with the policy each was under: what answers are proved with.

Facts, not tallies: asked for one domain and day at a time, which is one range of the key.
"""

from __future__ import annotations

import json
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, bindparam, select

from tlsrpt.core.mtasts import parse_policy_lines
from tlsrpt.store.days import from_day, to_day
from tlsrpt.store.rows import storable
from tlsrpt.store.schema import failure, filed, policy, report
from tlsrpt.store.sqlite import Store
from tlsrpt.store.values import Evidence

if TYPE_CHECKING:
    Query = Select[*tuple[Any, ...]]

LOOKED_AT = 200  # policies of a domain, newest first, among which the newest MTA-STS policy is sought


def evidence_on(
    store: Store, report_domain: str, day: date, *, limit: int, proven_only: bool = False
) -> list[Evidence]:
    """Failure rows that count, filed under a domain and a UTC day; at most `limit`, in no order that means anything."""
    values = {"domain": storable(report_domain), "day": to_day(day), "limit": limit}
    with store.reading() as db:
        return [_evidence(row) for row in db.execute(failures_with_policies(proven_only), values)]


def recent_policies(store: Store, report_domain: str, until: date) -> dict[tuple[str, ...], date]:
    """MTA-STS policies that senders reported of a domain, in the last reports up to a UTC day.

    Returns:
        The lines of each policy -> the first day on which it was reported, as far back as was looked.
    """
    found: dict[tuple[str, ...], date] = {}
    values = {"domain": storable(report_domain), "until": to_day(until)}
    with store.reading() as db:
        for day, lines in db.execute(policies_newest_first(), values):
            if lines:
                found[_texts(lines)] = from_day(day)
    return found


@lru_cache(maxsize=2)
def failures_with_policies(proven_only: bool) -> Query:
    """Failure rows of one domain and day, of reports that count, each with its policy."""
    f, p, r = failure.c, policy.c, report.c
    wanted = [f.report_domain == bindparam("domain"), f.day == bindparam("day"), r.counted == 1]
    if proven_only:
        wanted.append(r.dkim == "pass")
    return (
        select(failure, r.sender, p.policy_string, p.mx_host)
        .join_from(failure, report, r.id == f.report_id)
        .join(policy, (p.report_id == f.report_id) & (p.n == f.n))
        .where(*wanted)
        .limit(bindparam("limit"))
    )


@lru_cache(maxsize=1)
def policies_newest_first() -> Query:
    """MTA-STS policies in reports that find a domain, the last days' first."""
    return (
        select(filed.c.day, policy.c.policy_string)
        .join_from(filed, policy, policy.c.report_id == filed.c.report_id)
        .where(
            filed.c.domain == bindparam("domain"),
            filed.c.day <= bindparam("until"),
            policy.c.policy_type == "sts",
            policy.c.report_domain == bindparam("domain"),
        )
        .order_by(filed.c.day.desc())
        .limit(LOOKED_AT)
    )


def _evidence(row: Any) -> Evidence:
    lines = _texts(row.policy_string)
    return Evidence(
        report=row.report_id,
        day=from_day(row.day),
        sender=row.sender,
        report_domain=row.report_domain,
        policy_domain=row.policy_domain,
        policy_type=row.policy_type,
        result_type=row.result_type,
        failed=row.failed_session_count,
        mx_host=row.receiving_mx_hostname,
        helo=row.receiving_mx_helo,
        receiving_ip=row.receiving_ip,
        sending_mta_ip=row.sending_mta_ip,
        reason=row.failure_reason_code,
        information=row.additional_information,
        policy_string=lines,
        policy_mx=parse_policy_lines(lines).mx or _texts(row.mx_host) if row.policy_type == "sts" else (),
    )


def _texts(array: str | None) -> tuple[str, ...]:
    return () if array is None else tuple(json.loads(array))

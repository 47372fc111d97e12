"""Rows of failure-details, as senders wrote them, with the policy each was under: what answers are proved with.

Facts, not tallies: asked for one domain and day at a time, which is one range of the key.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, bindparam, func, select

from tlsrpt.core.mtasts import parse_policy_lines
from tlsrpt.store.days import from_day, to_day
from tlsrpt.store.rows import storable, texts
from tlsrpt.store.schema import failure, filed, policy, report
from tlsrpt.store.sqlite import Store
from tlsrpt.store.values import Evidence

if TYPE_CHECKING:
    Query = Select[*tuple[Any, ...]]

LOOKED_AT = 200  # policies of a domain, newest first, among which the newest MTA-STS policy is sought
OF_A_POLICY = 20  # failure rows of one policy in one report that are looked at: one report may have 100,000

Cell = tuple[str, date]  # a report domain and a UTC day


def evidence_on(store: Store, cells: Iterable[Cell], *, proven_only: bool = False) -> dict[Cell, list[Evidence]]:
    """Failure rows of reports that count, by report domain and UTC day; not all, where a report has many."""
    asked = {(storable(domain), to_day(day)): (domain, day) for domain, day in cells}
    found: dict[Cell, list[Evidence]] = {cell: [] for cell in asked.values()}
    with store.reading() as db:
        for row in db.execute(failures_with_policies(proven_only), {"cells": json.dumps(list(asked))}):
            found[asked[row.report_domain, row.day]].append(_evidence(row))
    for rows in found.values():
        rows.sort(
            key=lambda row: (
                row.sender,
                row.mx_host or "",
                row.receiving_ip or "",
                row.sending_mta_ip or "",
                row.reason or "",
                -row.failed,
            )
        )
    return found


def recent_policies(store: Store, report_domain: str, until: date) -> dict[tuple[str, ...], date]:
    """MTA-STS policies that senders reported of a domain, in the last reports up to a UTC day.

    Returns:
        The lines of each policy -> the first day on which it was reported, as far back as was looked.
    """
    found: dict[tuple[str, ...], date] = {}
    values = {"domain": storable(report_domain), "until": to_day(until)}
    with store.reading() as db:
        for lines, day in db.execute(policies_newest_first(), values):
            found.setdefault(texts(lines), from_day(day))
    return found


@lru_cache(maxsize=2)
def failures_with_policies(proven_only: bool) -> Query:
    """Failure rows, each with its policy; cells are [report domain, day] in a JSON array."""
    f, p, r = failure.c, policy.c, report.c
    asked = func.json_each(bindparam("cells")).table_valued("value").c.value
    domain, day = (func.json_extract(asked, f"$[{place}]") for place in range(2))
    wanted = [f.report_domain == domain, f.day == day, f.m < OF_A_POLICY, r.counted == 1]
    if proven_only:
        wanted.append(r.dkim == "pass")
    return (
        select(failure, r.sender, p.policy_string, p.mx_host)
        .join_from(failure, report, r.id == f.report_id)
        .join(policy, (p.report_id == f.report_id) & (p.n == f.n))
        .where(*wanted)
    )


@lru_cache(maxsize=1)
def policies_newest_first() -> Query:
    """MTA-STS policies in the last reports that find a domain, and the first day of each: what came up last first."""
    last = (
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
        .subquery()
        .c
    )
    first = func.min(last.day)
    return (
        select(last.policy_string, first)
        .where(last.policy_string.is_not(None))
        .group_by(last.policy_string)
        .order_by(first.desc(), func.max(last.day).desc(), last.policy_string)
    )


def _evidence(row: Any) -> Evidence:
    lines, listed = _policy(row.policy_type, row.policy_string, row.mx_host)
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
        policy_mx=listed,
    )


@lru_cache(maxsize=1024)
def _policy(
    policy_type: str | None, policy_string: str | None, mx_host: str | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The lines of a policy, and the hosts that it lists where it is one of MTA-STS; the same ones come again."""
    lines = texts(policy_string)
    return lines, (parse_policy_lines(lines).mx or texts(mx_host)) if policy_type == "sts" else ()

"""The MTA-STS policies that senders say they applied: facts, read report by report, for one domain or some days."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from sqlalchemy import Select, bindparam, func, select

from tlsrpt.store.days import from_day, to_day
from tlsrpt.store.rows import storable, texts
from tlsrpt.store.schema import filed, policy, report
from tlsrpt.store.sqlite import Store

if TYPE_CHECKING:
    Query = Select[*tuple[Any, ...]]

_STS = "sts"


class PolicySeen(Struct, frozen=True, kw_only=True, gc=False):
    """A policy as one sender quoted it for one UTC day; no lines where it quoted none."""

    sender: str
    day: date
    policy_string: tuple[str, ...]
    successful: int  # sessions as sent
    failed: int


def policies_seen(
    store: Store, domain: str, *, since: date, until: date, proven_only: bool = False
) -> list[PolicySeen]:
    """The MTA-STS policies that senders reported of one report or policy domain, by day and sender."""
    values = {"domain": storable(domain), "since": to_day(since), "until": to_day(until)}
    with store.reading() as db:
        return [
            PolicySeen(
                sender=sender,
                day=from_day(day),
                policy_string=texts(lines),
                successful=successful,
                failed=failed,
            )
            for sender, day, lines, successful, failed in db.execute(policies_by_day(proven_only), values)
        ]


def policies_on(store: Store, cells: Iterable[tuple[str, date]]) -> dict[str, set[tuple[str, ...]]]:
    """The lines of the MTA-STS policies that were reported of some report domains, of each for one UTC day."""
    asked = [(storable(domain), to_day(day)) for domain, day in cells]
    found: dict[str, set[tuple[str, ...]]] = {}
    with store.reading() as db:
        for domain, lines in db.execute(policies_of_cells(), {"cells": json.dumps(asked)}):
            found.setdefault(domain, set()).add(texts(lines))
    return found


@lru_cache(maxsize=2)
def policies_by_day(proven_only: bool) -> Query:
    """Sessions of one domain by day, sender and quoted policy, in reports that count."""
    p, r = policy.c, report.c
    domain: Any = bindparam("domain")
    wanted = [
        filed.c.domain == domain,
        filed.c.day.between(bindparam("since"), bindparam("until")),
        p.policy_type == _STS,
        (p.report_domain == domain) | (p.policy_domain == domain),
        r.counted == 1,
    ]
    if proven_only:
        wanted.append(r.dkim == "pass")
    keys = filed.c.day, r.sender, p.policy_string
    return (
        select(r.sender, filed.c.day, p.policy_string, func.sum(p.successful), func.sum(p.failed))
        .join_from(filed, report, r.id == filed.c.report_id)
        .join(policy, p.report_id == filed.c.report_id)
        .where(*wanted)
        .group_by(*keys)
        .order_by(*keys)
    )


@lru_cache(maxsize=1)
def policies_of_cells() -> Query:
    """Policies quoted in reports of some report domains and days; cells are [report domain, day] in a JSON array."""
    p = policy.c
    asked = func.json_each(bindparam("cells")).table_valued("value").c.value
    domain, day = (func.json_extract(asked, f"$[{place}]") for place in range(2))
    return (
        select(p.report_domain, p.policy_string)
        .join_from(filed, policy, p.report_id == filed.c.report_id)
        .where(filed.c.domain == domain, filed.c.day == day, p.policy_type == _STS, p.report_domain == filed.c.domain)
        .distinct()
    )

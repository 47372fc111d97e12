"""`summary` and what `insight` is given: from the tallies, and equal to what the reports say."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from tests.store.builders import a_detail, a_report, an_arrival, an_entry, incoming, signed
from tests.store.strategies import reports
from tests.store.test_keep import identity, in_memory
from tlsrpt.core.report import Report
from tlsrpt.store import daily, figures
from tlsrpt.store.answers import By, Failed, Sessions, Totals
from tlsrpt.store.daily import beside, failure_rows
from tlsrpt.store.figures import summary
from tlsrpt.store.rows import prepare
from tlsrpt.store.sqlite import Store, open_store
from tlsrpt.store.values import Span

DAY = date(2026, 3, 1)
MONTH = {"since": DAY, "until": DAY + timedelta(days=30)}
KEYS: tuple[By, ...] = ("domain", "day", "sender", "policy", "mx", "result")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Two domains, two senders, three days; DANE under the MX host, sessions listed twice, rows that do not add up."""
    expired = a_detail("certificate-expired", 3, receiving_mx_hostname="mx1.host.example")
    with open_store(str(tmp_path_factory.mktemp("figures") / "tlsrpt.db"), create=True) as opened:
        documents = [
            a_report(an_entry("sts", successful=7, failed=3, details=(expired,)), an_entry("tlsa", successful=9)),
            a_report(an_entry("sts", successful=20, failed=5, details=(expired,)), day=1, report_id="2"),
            incoming(
                a_report(
                    an_entry("no-policy-found", successful=4),
                    an_entry("tlsa", "mx1.host.example", successful=6, failed=2, details=(a_detail(None, 2),)),
                    contact_info="tls@other.example",
                    day=2,
                ),
                report_domain="meadow.example",
            ),
            a_report(an_entry("sts", "orchard.example", successful=50), contact_info="tls@other.example"),
        ]
        opened.keep([prepare(an_arrival(one)) for one in documents])
        yield opened


def rows(store: Store, *by: By, domain: str | None = None) -> list[tuple[Any, ...]]:
    """Key values, reports, successful, failed, itemised where it applies."""
    found = summary(store, domain=domain, by=by, **MONTH).rows
    return [
        (*(getattr(row, key) for key in by), *(v for v in (row.reports, row.successful, row.failed) if v is not UNSET))
        for row in found
    ]


def test_totals_count_and_show_the_plain_sum_beside(store: Store) -> None:
    """Promise 7 for one domain, for all, and for days."""
    answer = summary(store, domain="meadow.example", **MONTH)
    assert answer.totals == Totals(
        reports=3, successful=37, failed=10, as_sent=Sessions(successful=46, failed=10)
    )  # 7+3 of sts against 9 of tlsa: ten sessions, three failed
    assert (answer.senders, answer.first_day, answer.last_day) == (2, DAY, DAY + timedelta(days=2))
    assert answer.not_itemised == 2
    assert answer.results == (
        Failed(name="certificate-expired", failed=6, as_sent=6),
        Failed(name=None, failed=2, as_sent=2),
    )
    assert answer.mx_hosts[0] == Failed(name="mx1.host.example", failed=6, as_sent=6)
    everything = summary(store, domain=None, **MONTH)
    assert (everything.totals.reports, everything.totals.successful, everything.senders) == (4, 87, 2)
    assert summary(store, domain=None, since=DAY, until=DAY).totals.reports == 2


def test_no_report_is_an_answer_too(store: Store) -> None:
    answer = summary(store, domain="none.example", by=KEYS, **MONTH)
    assert answer.totals == Totals(reports=0, successful=0, failed=0, as_sent=Sessions(successful=0, failed=0))
    assert (answer.rows, answer.senders, answer.first_day, answer.last_day) == ((), 0, None, None)


def test_promise_8_domain_matches_either(store: Store) -> None:
    """Promise 8: the MX host of a DANE entry finds it, and its row says under whom it is filed."""
    assert rows(store, "domain", domain="mx1.host.example") == [("meadow.example", 1, 6, 2)]
    assert rows(store, "domain") == [("meadow.example", 3, 37, 10), ("orchard.example", 1, 50, 0)]


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        (("day",), [(DAY, 1, 7, 3), (DAY + timedelta(1), 1, 20, 5), (DAY + timedelta(2), 1, 10, 2)]),
        (("sender",), [("other.example", 1, 10, 2), ("sender.example", 2, 27, 8)]),
        # a policy type alone, as sent: the entries of sts and tlsa need not add up to the totals
        (("policy",), [("no-policy-found", 1, 4, 0), ("sts", 2, 27, 8), ("tlsa", 2, 15, 2)]),
        (("sender", "policy"), [("other.example", "no-policy-found", 1, 4, 0), ("other.example", "tlsa", 1, 6, 2)]),
    ],
)
def test_rows_by_what_sessions_have(store: Store, by: tuple[By, ...], expected: list[tuple[Any, ...]]) -> None:
    assert rows(store, *by, domain="meadow.example")[: len(expected)] == expected


def test_rows_by_failure_say_what_no_row_explains(store: Store) -> None:
    """R4-03: rows by mx or result need not add up; "not itemised" is the rest."""
    found = summary(store, domain="meadow.example", by=("sender", "result"), **MONTH).rows
    assert [(row.sender, row.result, row.itemised, row.failed) for row in found] == [
        ("other.example", None, True, 2),
        ("sender.example", "certificate-expired", True, 6),
        ("sender.example", None, False, 2),
    ]
    assert all(row.reports is UNSET and row.successful is UNSET for row in found)


@pytest.mark.parametrize("by", [keys for n in range(len(KEYS) + 1) for keys in itertools.combinations(KEYS, n)])
@pytest.mark.parametrize("domain", [None, "meadow.example", "mx1.host.example"])
def test_every_combination_of_keys_adds_up(store: Store, by: tuple[By, ...], domain: str | None) -> None:
    """Combined keys: each row has exactly those keys, each combination comes once, and nothing is lost on the way."""
    answer = summary(store, domain=domain, by=by, **MONTH)
    keys = [tuple(getattr(row, key) for key in (*by, "itemised")) for row in answer.rows]
    assert len(set(keys)) == len(keys)
    for row in answer.rows:
        assert {key for key in KEYS if getattr(row, key) is not UNSET} == set(by)
    if not by:
        return
    failed = sum(row.failed for row in answer.rows)
    assert failed == answer.totals.failed  # here they do: rows and the rest are all that failed
    if "policy" not in by and not {"mx", "result"} & set(by):
        assert sum(row.successful for row in answer.rows) == answer.totals.successful
        assert sum(row.reports for row in answer.rows) == answer.totals.reports
    msgspec.json.encode(answer)


def test_insight_gets_days_and_counted_sessions(store: Store) -> None:
    """What `failures` groups: one row a day, sender and kind; sessions of every domain that had a failure."""
    failures = failure_rows(store, domain=None, **MONTH)
    assert sorted((row.day, row.sender, row.policy_type, row.mx_host, row.failed) for row in failures) == [
        (DAY, "sender.example", "sts", "mx1.host.example", 3),
        (DAY + timedelta(1), "sender.example", "sts", "mx1.host.example", 3),
        (DAY + timedelta(2), "other.example", "tlsa", "", 2),
    ]
    span = Span(domains=("meadow.example",), first=DAY, last=DAY + timedelta(1))
    (around,) = beside(store, [span], today=DAY + timedelta(9))
    assert [(each.sender, each.successful, each.failed, each.latest, each.later_days) for each in around] == [
        ("other.example", 0, 0, DAY + timedelta(2), 1),
        ("sender.example", 27, 8, DAY + timedelta(1), 0),
    ]
    assert {row.policy_domain for row in failure_rows(store, domain="mx1.host.example", **MONTH)} == {
        "mx1.host.example"
    }


@settings(max_examples=50, deadline=None)
@given(st.lists(reports, max_size=5))
def test_totals_are_those_of_the_reports(some: list[Report]) -> None:
    """Against a count by hand over the reports that are counted."""
    with in_memory() as store:
        kept = store.keep([prepare(an_arrival(one)) for one in some])
        counted = [report for report, (one,) in zip(some, kept, strict=True) if one.result == "new"]
        totals = summary(store, domain=None, **MONTH).totals
        assert totals.reports == len(counted)
        assert totals.as_sent == Sessions(
            successful=sum(one.successful for one in counted), failed=sum(one.failed for one in counted)
        )
        for domain in ("meadow.example", "orchard.example"):
            mine = [[e for e in one.policies if e.policy.policy_domain == domain] for one in counted]
            totals = summary(store, domain=domain, **MONTH).totals
            assert totals.reports == sum(map(bool, mine))
            assert totals.as_sent.failed == sum(e.summary.total_failure_session_count for es in mine for e in es)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(reports, st.booleans()), max_size=6, unique_by=lambda one: identity(one[0])))
def test_figures_without_the_unproven_are_those_of_the_proven_alone(some: list[tuple[Report, bool]]) -> None:
    """What readiness and alerts ask a second time; and who signed what changes no figure of all."""
    with in_memory() as mixed, in_memory() as proven_alone, in_memory() as unsigned:
        for report, is_proven in some:
            mixed.keep([prepare(an_arrival(signed(report) if is_proven else incoming(report)))])
            unsigned.keep([prepare(an_arrival(incoming(report)))])
            if is_proven:
                proven_alone.keep([prepare(an_arrival(signed(report)))])
        for domain, by in itertools.product((None, "meadow.example", "mx1.host.example"), COMBINATIONS):
            of_proven = summary(mixed, domain=domain, by=by, proven_only=True, **MONTH)
            assert of_proven == summary(proven_alone, domain=domain, by=by, **MONTH)
            assert summary(mixed, domain=domain, by=by, **MONTH) == summary(unsigned, domain=domain, by=by, **MONTH)
        for domain in (None, "meadow.example", "mx1.host.example"):
            of_proven = failure_rows(mixed, domain=domain, proven_only=True, **MONTH)
            assert sorted(of_proven, key=repr) == sorted(failure_rows(proven_alone, domain=domain, **MONTH), key=repr)
            sums = [Counter(), Counter()]  # type: list[Counter[Any]]
            for total, store in zip(sums, (mixed, unsigned), strict=True):
                for row in failure_rows(store, domain=domain, **MONTH):
                    total[msgspec.structs.replace(row, failed=0, proven=False)] += row.failed
            assert sums[0] == sums[1]


COMBINATIONS: tuple[tuple[By, ...], ...] = (
    (),
    ("domain", "day"),
    ("policy", "sender"),
    ("mx", "result"),
    ("domain", "mx"),
)
QUERIES = [
    pytest.param(lambda *kind: figures.sessions_by(("domain", "day"), *kind), id="by domain"),
    pytest.param(figures.failed_by_type_and_host, id="failures"),
    pytest.param(lambda *kind: figures.failed_by_keys(("mx", "result"), *kind), id="by failure"),
    pytest.param(lambda *kind: figures.not_itemised_by(("domain",), *kind), id="the rest"),
    pytest.param(daily.failures_by_kind, id="failures a day"),
    pytest.param(daily.not_itemised_each, id="without details"),
    pytest.param(lambda each, proven_only: daily.by_sender_beside(proven_only), id="senders beside"),
    pytest.param(lambda each, proven_only: figures.sessions_in_all(proven_only), id="totals"),
]


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("each", [True, False], ids=["each domain", "one domain"])
@pytest.mark.parametrize("proven_only", [False, True], ids=["all", "proven"])
def test_no_question_reads_other_days_or_domains(store: Store, query: Any, each: bool, proven_only: bool) -> None:
    """Flat from 0.1 to 3 million reports: every tally is entered by a range of its key, never scanned."""
    with store.reading() as db:
        sql = str(query(each, proven_only).compile(db.engine))
        plan = [row[3] for row in db.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", (1,) * sql.count("?"))]
    steps = [step for step in plan if "tally" in step or "failed" in step]
    assert steps
    for step in steps:
        assert "SEARCH" in step
        assert "domain=? AND day>? AND day<?" in step

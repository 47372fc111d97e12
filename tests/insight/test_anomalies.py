"""Days that stand out: no cry where nothing changes, always one where much does."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.insight.test_coverage import DAY, keep
from tlsrpt.insight.anomalies import CHANCE, MIN_FAILED, WEEKS, Anomaly, anomalies, dispersion, find_anomalies, tail
from tlsrpt.store.domain_days import DomainDay, days_of_domains, domain_count
from tlsrpt.store.sqlite import Store, open_store

HISTORY = 7 * WEEKS
ASKED = DAY + timedelta(days=HISTORY)


def a_day(n: int, failed: int, total: int = 200, domain: str = "meadow.example", **values: Any) -> DomainDay:
    row: dict[str, Any] = {"proven_total": 0, "proven_failed": 0} | values
    return DomainDay(domain=domain, day=DAY + timedelta(days=n), total=total, failed=failed, **row)


def usual(failed: int = 4, total: int = 200, every: int = 1) -> list[DomainDay]:
    return [a_day(n, failed, total) for n in range(0, HISTORY, every)]


def found(rows: list[DomainDay], looked_at: int = 1) -> list[Anomaly]:
    return anomalies(rows, ASKED, looked_at)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param([*usual(), a_day(HISTORY, 80)], True, id="from 2 % to 40 %"),
        pytest.param([*usual(0), a_day(HISTORY, 40)], True, id="from nothing to 20 %"),
        pytest.param([*usual(0, 20), a_day(HISTORY, 20, 20)], True, id="everything fails on a small domain"),
        pytest.param([*usual(), a_day(HISTORY, 6)], False, id="a little more"),
        pytest.param([*usual(0, 20), a_day(HISTORY, MIN_FAILED - 1, 20)], False, id="a tiny count, however large its share"),
        pytest.param([*usual(100), a_day(HISTORY, 150)], False, id="bad, and usually not much better"),
        pytest.param([*usual(1, 2000), a_day(HISTORY, 19, 2000)], False, id="under one point of a hundred"),
        pytest.param(
            [*usual(0)[:20], a_day(20, 50), *usual(0)[21:], a_day(HISTORY, 80)], False, id="no worse than twice one of the days"
        ),
        pytest.param([*usual()[-21:], a_day(HISTORY, 80)], False, id="three weeks are no history"),
        pytest.param([*usual(0, 4), a_day(HISTORY, 20, 40)], False, id="hardly any sessions before"),
        pytest.param([a_day(HISTORY, 80)], False, id="a new domain"),
        pytest.param(
            [a_day(n, 100 if n % 7 == 0 else 1) for n in range(HISTORY)] + [a_day(HISTORY, 110)], False, id="every Sunday so"
        ),
    ],
)  # fmt: skip
def test_what_stands_out(rows: list[DomainDay], expected: bool) -> None:
    assert bool(found(rows)) is expected


def test_it_is_told_with_its_figures() -> None:
    (one,) = found([*usual(), a_day(HISTORY, 80)], looked_at=30)
    assert (one.domain, one.day, one.failed, one.total) == ("meadow.example", ASKED, 80, 200)
    assert (one.usual_failed, one.usual_total, one.weeks, one.worst) == (32, 1600, 8, 4)
    assert (one.share, one.usual_share) == (0.4, 0.02)
    assert 0 < one.chance <= CHANCE
    assert one.sentence == (
        "80 of 200 sessions failed (40.0 %); on the 8 Sundays before 2.0 %, and 4 on the worst day of 8 weeks."
    )


def test_what_anybody_may_have_made_up_is_said_to_be_so() -> None:
    """Where a domain's reports are signed usually, and those of the day are not."""
    signed = [a_day(n, 4, proven_total=200, proven_failed=4) for n in range(HISTORY)]
    assert found([*signed, a_day(HISTORY, 80)])[0].sentence.endswith("None of it is in signed reports.")
    assert "signed" not in found([*signed, a_day(HISTORY, 80, proven_failed=70)])[0].sentence


def test_clumps_are_seen_in_the_history() -> None:
    """Where failures come by the hundred now and then, a hundred more are no news."""
    clumped = [a_day(n, 30 if n % 5 == 0 else 0, 1000) for n in range(HISTORY)]
    assert dispersion(clumped) > 20
    assert found([*usual(6, 1000), a_day(HISTORY, 65, 1000)])
    assert not found([*clumped, a_day(HISTORY, 65, 1000)])


@pytest.mark.parametrize(("number", "alpha", "beta"), [(20, 0.5, 30.0), (7, 3.5, 2.0), (60, 12.5, 400.0)])
def test_the_tail_is_that_of_the_beta_binomial(number: int, alpha: float, beta: float) -> None:
    """Against the plain sum over all counts, and that they make one together."""

    def log_beta(a: float, b: float) -> float:
        return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)

    each = [
        math.comb(number, k) * math.exp(log_beta(alpha + k, beta + number - k) - log_beta(alpha, beta))
        for k in range(number + 1)
    ]
    assert sum(each) == pytest.approx(1)
    for least in range(number + 2):
        assert tail(least, number, alpha, beta) == pytest.approx(sum(each[least:]), rel=1e-9, abs=1e-12)


@given(
    total=st.integers(40, 100_000),
    history=st.lists(st.tuples(st.integers(0, 2_000), st.floats(0, 0.02)), min_size=HISTORY, max_size=HISTORY),
)
def test_a_big_jump_always_stands_out(total: int, history: list[tuple[int, float]]) -> None:
    """Nine in ten sessions fail where it was one in fifty at most, on a day as large as any before."""
    rows = [a_day(n, int(share * sessions), sessions) for n, (sessions, share) in enumerate(history)]
    enough = [row for row in rows if row.day.weekday() == ASKED.weekday() and row.total >= 10]
    total = max([total, *(row.total for row in rows)])
    if len(enough) >= 5:
        assert found([*rows, a_day(HISTORY, round(0.9 * total), total)], looked_at=1_000)


@given(failed=st.integers(MIN_FAILED, 190), before=st.integers(0, 10))
def test_more_failures_stand_out_more(failed: int, before: int) -> None:
    fewer, more = (found([*usual(before), a_day(HISTORY, n)]) for n in (failed, failed + 10))
    assert not fewer or (more and more[0].chance <= fewer[0].chance)


@pytest.mark.parametrize("clump", [1.0, 2.0, 3.0])
@pytest.mark.parametrize(("total", "share"), [(60, 0.03), (300, 0.01), (60, 0.2), (3_000, 0.001)])
def test_where_nothing_changes_one_answer_in_a_hundred_at_most_names_a_day(
    total: int, share: float, clump: float
) -> None:
    """The promise, over seeded answers of ten domains and thirty days; half the traffic at weekends."""
    rng = random.Random(f"{total}/{share}/{clump}")
    answers = 80
    named = sum(bool(found(list(stationary(rng, total, share, clump)), looked_at=300)) for _ in range(answers))
    assert named <= max(1, CHANCE * answers) + 1  # so few answers allow for one more by chance


def stationary(rng: random.Random, total: int, share: float, clump: float) -> Iterator[DomainDay]:
    """Failing messages by chance, each tried a random number of times, `clump` on average."""
    for domain in range(10):
        for n in range(HISTORY + 30):
            weekend = (DAY + timedelta(days=n)).weekday() > 4
            sessions = max(1, round(total * (0.5 if weekend else 1) * rng.uniform(0.7, 1.3)))
            messages = poisson(rng, sessions * share / clump)
            failed = sum(
                1 + (int(math.log(rng.random()) / math.log(1 - 1 / clump)) if clump > 1 else 0) for _ in range(messages)
            )
            yield a_day(n, min(sessions, failed), sessions, domain=f"d{domain}.example")


def poisson(rng: random.Random, mean: float) -> int:
    """Knuth's way, good for small means."""
    count, product, least = 0, rng.random(), math.exp(-mean)
    while product > least:
        count += 1
        product *= rng.random()
    return count


# --- Over a store ---------------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with open_store(str(tmp_path_factory.mktemp("anomalies") / "tlsrpt.db"), create=True) as opened:
        yield opened


def asked(store: Store, today: int = HISTORY + 1, **values: Any) -> list[tuple[str, date]]:
    """What stands out on the last day before `today`, and the six before."""
    now = DAY + timedelta(days=today)
    answer = find_anomalies(store, **({"since": now - timedelta(days=7), "until": now, "today": now} | values))
    return [(one.domain, one.day) for one in answer]


def test_the_store_gives_what_the_test_needs_and_no_more(store: Store) -> None:
    """One of three domains breaks; another was always bad; asked for all, and for one."""
    for domain, failed in (("meadow.example", 1), ("orchard.example", 60), ("quiet.example", 0)):
        keep(store, "big.example", range(HISTORY), good=200, failed=failed, domain=domain)
    keep(store, "big.example", [HISTORY], good=100, failed=100, domain="meadow.example")
    keep(store, "big.example", [HISTORY], good=200, failed=70, domain="orchard.example")
    assert domain_count(store) == 3
    assert asked(store) == [("meadow.example", ASKED)]
    assert asked(store, domain="meadow.example") == [("meadow.example", ASKED)]
    assert asked(store, domain="orchard.example") == []
    assert asked(store, today=HISTORY) == []  # of today nothing is told: its reports have hardly begun to come
    assert asked(store, proven_only=True) == []


def test_a_sender_that_reports_by_the_week_makes_no_day_stand_out(store: Store) -> None:
    """D-75: seven days of failures stand on the day on which its window begins."""
    keep(store, "big.example", range(HISTORY + 1), good=200, failed=1)
    keep(store, "weekly.example", [7, 21, HISTORY - 14, HISTORY - 7], window=7, good=100)
    keep(store, "weekly.example", [HISTORY], window=7, good=100, failed=300)
    assert asked(store) == []


def test_looking_at_all_at_once_passes_over_no_day(store: Store) -> None:
    """What is left out before the test is what the test would not name."""
    rng = random.Random(3)
    for n in range(8):
        for day in range(HISTORY + 7):
            broken = rng.random() < 0.04
            keep(
                store,
                "big.example",
                [day],
                good=60,
                failed=rng.randrange(40, 90) if broken else rng.randrange(3),
                domain=f"d{n}.example",
            )
    now = DAY + timedelta(days=HISTORY + 7)
    answer = find_anomalies(store, since=ASKED, until=now, today=now)
    names = [f"d{n}.example" for n in range(8)]
    assert answer
    assert answer == anomalies(days_of_domains(store, names, since=DAY, until=now), ASKED, looked_at=8 * 7)

"""What needs a person, out of what was found."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tlsrpt.insight.health import Situation, ago, alive, findings, needs_a_person
from tlsrpt.store.telling import OutboxSize
from tlsrpt.store.values import SourceState

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
GIB = 1024**3


def a_state(name: str = "https", *, state: str = "working", seen_s: float = 10, **values: Any) -> SourceState:
    sign = NOW - timedelta(seconds=seen_s)
    made: dict[str, Any] = {"kind": "https", "since": sign, "last_success": sign, "updated_at": sign} | values
    return SourceState(name=name, state=state, **made)


def a_situation(*states: SourceState, **values: Any) -> Situation:
    usual: dict[str, Any] = {
        "configured": [state.name for state in states],
        "expects_service": bool(states or values.get("configured")),
        "every": {},
        "states": states,
        "last_report": NOW - timedelta(hours=3),
        "in_day": 10,
        "in_week": 70,
        "in_four_weeks_before": 280,
        "quarantined": 0,
        "quarantined_bytes": 0,
        "most_quarantined": 100,
        "most_quarantined_bytes": 1_000,
        "free_bytes": 50 * GIB,
        "disk_bytes": 100 * GIB,
        "foreign": 0,
        "foreign_domains": [],
    }
    return Situation(**(usual | values))


IMAP = {"kind": "imap"}


@pytest.mark.parametrize(
    ("situation", "expected"),
    [
        pytest.param(a_situation(a_state()), [], id="all is well"),
        pytest.param(a_situation(), [], id="no source is configured: nothing has to run"),
        # The service
        pytest.param(a_situation(configured=["https"]), ["service-down"], id="never ran"),
        pytest.param(a_situation(a_state(seen_s=119)), [], id="still fresh"),
        pytest.param(a_situation(a_state(seen_s=121)), ["service-down"], id="no sign of life"),
        pytest.param(a_situation(a_state(state="stopped"), a_state("b", state="trouble")), ["service-down"], id="ended"),
        pytest.param(a_situation(configured=["imap"], expects_service=False), [], id="a timer looks instead"),
        # Its sources
        pytest.param(a_situation(a_state(state="trouble", trouble="no")), ["source-trouble"], id="in trouble"),
        pytest.param(a_situation(a_state(), configured=["https", "b"]), ["source-missing"], id="new one"),
        pytest.param(a_situation(a_state(), a_state("b"), configured=["b"]), ["source-left"], id="one that left"),
        pytest.param(a_situation(a_state(last_success=NOW - timedelta(days=3))), [], id="a listener may wait for days"),
        pytest.param(a_situation(a_state(last_success=NOW - timedelta(hours=7), **IMAP)), ["source-stuck"], id="a mailbox not"),
        pytest.param(a_situation(a_state(last_success=None, since=NOW - timedelta(hours=7), **IMAP)), ["source-stuck"], id="never looked"),
        pytest.param(a_situation(a_state(last_success=None, since=NOW - timedelta(hours=1), **IMAP)), [], id="it may still look"),
        pytest.param(
            a_situation(a_state(last_success=NOW - timedelta(hours=20), **IMAP), every={"https": 6 * 3600.0}),
            [],
            id="one that is looked at four times a day",
        ),
        # Reports
        pytest.param(a_situation(a_state(), in_day=0, in_week=0), ["reports-ceased"], id="they ceased"),
        pytest.param(a_situation(a_state(), in_week=0, in_four_weeks_before=3), [], id="they are always rare"),
        pytest.param(a_situation(a_state(), in_week=0, in_four_weeks_before=0, last_report=None), [], id="none yet"),
        # Room
        pytest.param(a_situation(a_state(), quarantined=89), ["info quarantined"], id="some in quarantine"),
        pytest.param(a_situation(a_state(), quarantined=90), ["quarantine-full"], id="nearly full"),
        pytest.param(a_situation(a_state(), quarantined=1, quarantined_bytes=950), ["quarantine-full"], id="full of bytes"),
        pytest.param(a_situation(a_state(), most_quarantined=0), [], id="none wanted, none there"),
        pytest.param(a_situation(a_state(), free_bytes=GIB), ["disk-full"], id="the disk is nearly full"),
        pytest.param(a_situation(a_state(), free_bytes=3 * GIB, disk_bytes=1000 * GIB), [], id="little of a large one"),
        # Foreign domains
        pytest.param(a_situation(a_state(), foreign=3, foreign_domains=["a.example"]), ["info foreign-domains"], id="others'"),
    ],
)  # fmt: skip
def test_what_needs_a_person_is_said(situation: Situation, expected: list[str]) -> None:
    """What is only worth knowing never makes it unhealthy."""
    said = findings(situation, NOW)
    words = [f"info {one.code}" if one.severity == "info" else one.code for one in said]
    assert words == expected
    assert needs_a_person(said) == any(not word.startswith("info ") for word in words)
    assert all(one.fix for one in said)


def test_one_process_may_end_while_another_runs() -> None:
    """`tlsrpt receive` on two hosts with one store."""
    ended = a_state("a", state="stopped", host="one", pid=1)
    running = a_state("b", host="two", pid=1)
    assert alive([ended, running], NOW) == [running]
    assert [one.code for one in findings(a_situation(ended, running), NOW)] == ["source-missing"]


@pytest.mark.parametrize(
    ("outbox", "codes"),
    [
        (OutboxSize(waiting=3), []),
        (OutboxSize(waiting=3, failing=1, trouble="ops: refused"), ["alerts-failing"]),
        (OutboxSize(failing=1, given_up=2, trouble="ops: refused"), ["alerts-given-up"]),
    ],
)
def test_what_can_not_be_sent_needs_a_person(outbox: OutboxSize, codes: list[str]) -> None:
    """An alert that nobody gets is told where somebody may look."""
    said = findings(a_situation(outbox=outbox), NOW)
    assert [finding.code for finding in said] == codes
    assert needs_a_person(said) is bool(codes)
    assert all("ops: refused" in finding.message for finding in said)


def test_foreign_domains_are_named_up_to_three() -> None:
    names = ["", "a.example", "b.example", "c.example", "d.example"]
    (said,) = findings(a_situation(a_state(), foreign=9, foreign_domains=names), NOW)
    assert said.message.endswith(": a.example, b.example, c.example, ...")


@pytest.mark.parametrize(
    ("span", "said"),
    [
        (timedelta(seconds=-3), "0 s"),
        (timedelta(seconds=119), "119 s"),
        (timedelta(seconds=120), "2 min"),
        (timedelta(minutes=119), "119 min"),
        (timedelta(hours=47), "47 h"),
        (timedelta(hours=48), "2 days"),
        (timedelta(days=4_000), "4,000 days"),
    ],
)
def test_a_span_is_told_in_its_largest_unit(span: timedelta, said: str) -> None:
    assert ago(span) == said

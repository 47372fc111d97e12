"""Which policies senders applied, who may still hold an old one, and until when."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from tests.insight.scenarios import DOMAIN, LAST, MX2, TODAY, Scenario, at_policy, back, prepared, told
from tlsrpt.core.mtasts import MAX_AGE
from tlsrpt.core.sample import StsPolicy, Truth, a_site
from tlsrpt.insight.policies import Policies, find_policies, judge_policies
from tlsrpt.store.policies_seen import PolicySeen
from tlsrpt.store.sqlite import open_store

MX1 = "mx1.orchard.example"
BOTH = f"mx: {MX1}", f"mx: {MX2}"
Look = Callable[..., Policies]


def lines(*mx: str, mode: str = "enforce", max_age: int | None = 604_800) -> tuple[str, ...]:
    hosts = mx or BOTH
    age = () if max_age is None else (f"max_age: {max_age}",)
    return ("version: STSv1", f"mode: {mode}", *hosts, *age)


def quoted(sender: str, first: int, last: int, policy: tuple[str, ...]) -> list[PolicySeen]:
    """One sender quotes a policy from so many days back to so many days back."""
    return [
        PolicySeen(sender=sender, day=back(n), policy_string=policy, successful=9, failed=1)
        for n in range(last, first + 1)
    ]


def judged(*rows: list[PolicySeen], today: date = TODAY) -> Policies:
    return judge_policies(DOMAIN, [row for some in rows for row in some], since=back(89), until=today, today=today)


@pytest.fixture
def seen(tmp_path: Path) -> Look:
    def find(truth: Truth, *, proven_only: bool = False, **how: Any) -> Policies:
        path = tmp_path / "s.db"
        with open_store(str(path), create=True) as store:
            store.keep(prepared(Scenario(name="policies", story="", truth=truth, days=30, form="json.gz", **how)))
            return find_policies(store, DOMAIN, since=back(40), until=TODAY, today=TODAY, proven_only=proven_only)

    return find


OLD, NEW = lines(f"mx: {MX1}"), lines()
CHANGED = structs.replace(
    a_site(DOMAIN, LAST, daily=200),
    sts=(StsPolicy(mode="enforce", mx=(MX1,)), StsPolicy(mode="enforce", mx=(MX1, MX2), since=back(3))),
)


def test_one_policy_is_told_with_its_senders(seen: Look) -> None:
    found = seen(told(policies="testing"))
    assert found.newest is not None
    assert (found.newest.mode, found.newest.mx, found.newest.max_age) == ("testing", (MX1, MX2), 604_800)
    assert (found.newest.first_day, found.newest.last_day) == (back(29), LAST)
    assert len(found.newest.holders) == 4
    assert (found.older, found.change, found.safe_from) == ((), "safe", None)


def test_senders_that_hold_an_old_policy_are_named_with_its_end(seen: Look) -> None:
    """They applied it yesterday and may have fetched it then: until a max_age later."""
    held = at_policy("stale-policy", back(3), senders=("google", "microsoft"))
    found = seen(told(held, sites=(CHANGED,)))
    assert found.newest is not None
    assert found.newest.mx == (MX1, MX2)
    (old,) = found.older
    assert old.lacks == (MX2,)
    assert {one.sender: one.latest for one in old.holders} == {
        "google.com": True,
        "microsoft.com": True,
        "corp.mail.ru": False,
        "plain.example": False,
    }
    assert (found.change, found.safe_from) == ("not-yet", LAST + timedelta(days=8))
    assert "google.com and microsoft.com" in found.headline
    assert [reason.code for reason in found.reasons] == ["newest", "old-policy-held", "old-policy-held"]


def test_when_all_who_report_have_the_new_one_the_others_are_waited_for() -> None:
    """Most senders never report: they may hold it a max_age from the last day on which it could be fetched."""
    found = judged(quoted("a.example", 20, 4, OLD), quoted("a.example", 3, 0, NEW))
    assert (found.change, found.safe_from) == ("not-yet", back(3) + timedelta(days=8))
    assert found.reasons[-1].code == "old-policy-unseen"
    later = judged(quoted("a.example", 20, 4, OLD), quoted("a.example", 3, 0, NEW), today=back(3) + timedelta(days=8))
    assert (later.change, later.safe_from) == ("safe", None)


@pytest.mark.parametrize(
    ("old", "why"),
    [
        pytest.param(lines(f"mx: {MX1}", mode="testing"), "testing refuses nobody", id="testing"),
        pytest.param(lines(*BOTH, "mx: mx3.orchard.example"), "lists more than the newest", id="more hosts"),
        pytest.param(lines("mx: *.orchard.example"), "its pattern covers the newest's hosts", id="a pattern"),
        pytest.param(("version: STSv1", "mode: none", "max_age: 86400"), "none asks for nothing", id="none"),
    ],
)
def test_an_old_policy_that_forbids_nothing_is_not_in_the_way(old: tuple[str, ...], why: str) -> None:
    assert judged(quoted("a.example", 20, 0, old), quoted("b.example", 3, 0, NEW)).change == "safe", why


def test_what_ran_out_is_not_in_the_way() -> None:
    """A sender that ceased to report with the old one in hand has had to give it up."""
    found = judged(quoted("a.example", 30, 20, OLD), quoted("b.example", 25, 0, NEW))
    assert found.change == "safe"
    assert "old-policy-run-out" in [reason.code for reason in found.reasons]


def test_without_a_max_age_it_may_be_held_for_a_year() -> None:
    forever = lines(f"mx: {MX1}", max_age=None)
    found = judged(quoted("a.example", 20, 0, forever), quoted("b.example", 3, 0, NEW))
    assert found.safe_from == LAST + timedelta(days=MAX_AGE // 86_400 + 2)
    assert found.older[0].holders[0].until is None


def test_a_policy_that_was_taken_back_is_not_the_newest() -> None:
    found = judged(quoted("a.example", 20, 10, OLD), quoted("a.example", 9, 8, NEW), quoted("a.example", 7, 0, OLD))
    assert found.newest is not None
    assert found.newest.mx == (MX1,)


def test_an_old_policy_of_a_sender_that_reports_seldom_is_not_the_newest() -> None:
    """It comes up late, and nobody was seen to change to it."""
    found = judged(quoted("a.example", 20, 4, OLD), quoted("a.example", 3, 0, NEW), quoted("weekly.example", 1, 1, OLD))
    third = lines("mx: mx0.orchard.example")
    later = judged(
        quoted("a.example", 20, 4, OLD), quoted("a.example", 3, 0, NEW), quoted("weekly.example", 1, 1, third)
    )
    for each in (found, later):
        assert each.newest is not None
        assert (each.newest.mx, each.change) == ((MX1, MX2), "not-yet")


def test_the_order_of_lines_and_capitals_make_no_other_policy() -> None:
    """F-33: Google wrote max_age before mx; some owners' files have capitals and CR."""
    shuffled = ("version: STSv1", "max_age: 604800", f"mx: {MX2.upper()}", f"mx: {MX1}.\r", "mode: enforce")
    found = judged(quoted("a.example", 3, 0, NEW), quoted("b.example", 3, 0, shuffled))
    assert found.newest is not None
    assert (len(found.newest.holders), found.older) == (2, ())


def test_who_quotes_none_is_named() -> None:
    """Nor can a policy be held that nobody can read: sts-policy-invalid quotes what is wrong (R4.5-02)."""
    broken = ("version: STSv1", "mode: enforced", f"mx: {MX1}")
    found = judged(quoted("a.example", 3, 0, NEW), quoted("b.example", 3, 0, ()), quoted("c.example", 3, 0, broken))
    assert found.not_quoting == ("b.example", "c.example")
    nothing = judged(quoted("b.example", 3, 0, ()))
    assert (nothing.newest, nothing.change) == (None, "not-enough-seen")


def test_signed_reports_alone(seen: Look) -> None:
    assert seen(told(policies="testing"), proven_only=True).newest is not None


def test_unsigned_reports_are_left_out_where_asked(seen: Look) -> None:
    assert seen(told(policies="testing"), proven=False, proven_only=True).newest is None


histories = st.lists(
    st.builds(
        quoted,
        st.sampled_from(["a.example", "b.example", "c.example"]),
        st.integers(0, 30),
        st.integers(0, 10),
        st.sampled_from([OLD, NEW, lines(mode="testing"), lines("mx: *.orchard.example"), ("mode: x",), ()]),
    ),
    max_size=6,
)


@given(histories, st.integers(0, 40))
def test_a_later_day_without_reports_never_makes_a_change_less_safe(rows: list[list[PolicySeen]], wait: int) -> None:
    """Copies run out by themselves; and the day that was named is kept."""
    now, later = judged(*rows), judged(*rows, today=TODAY + timedelta(days=wait))
    if now.change == "safe":
        assert later.change == "safe"
    if now.safe_from is not None:
        assert (later.change == "safe") == (later.today >= now.safe_from)


@given(histories)
def test_every_quoted_policy_is_in_one_version(rows: list[list[PolicySeen]]) -> None:
    found = judged(*rows)
    versions = [*found.older, *([found.newest] if found.newest else [])]
    readable = [row for some in rows for row in some if len(row.policy_string) > 1]
    assert sum(version.sessions for version in versions) == sum(row.successful + row.failed for row in readable)

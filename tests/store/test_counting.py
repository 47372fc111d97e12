"""DESIGN promises 7 and 8: what one report adds to the tallies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsrpt.store.counting import EVERY_DOMAIN, Detail, Entry, Share, make_detail, policy_mode, share

SAME = Detail("certificate-expired", "mx1.meadow.example", "", "", 7)


def an_entry(
    policy_type: str,
    successful: int,
    failed: int,
    *details: Detail,
    policy_domain: str = "meadow.example",
    report_domain: str = "meadow.example",
) -> Entry:
    return Entry(policy_type, policy_domain, report_domain, "", successful, failed, details)


def figures(part: Share, domain: str, report_domain: str | None = None) -> tuple[int, int, int, int, int]:
    """Reports, sent and counted successful and failed, over the policy types of one domain."""
    rows = [row for key, row in part.tally if key[0] == domain and key[4] == (report_domain or domain)]
    reports, sent_ok, sent_bad, total, failed = (sum(row[place] for row in rows) for place in (0, 2, 3, 4, 5))
    return reports, sent_ok, sent_bad, total - failed, failed


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        pytest.param([an_entry("sts", 14, 2)], (1, 14, 2, 14, 2), id="one entry is what it is"),
        pytest.param(
            [an_entry("sts", 7, 0), an_entry("tlsa", 7, 0)], (1, 14, 0, 7, 0), id="F-31: Microsoft lists sessions twice"
        ),
        pytest.param(
            [an_entry("sts", 5, 1), an_entry("sts", 4, 0)], (1, 9, 1, 9, 1), id="F-43: two versions of a policy add up"
        ),
        pytest.param([an_entry("sts", 5, 0), an_entry("no-policy-found", 4, 0)], (1, 9, 0, 9, 0), id="no policy adds"),
        pytest.param(
            [an_entry("tlsa", 5, 0), an_entry("no-policy-found", 4, 1), an_entry("sts", 2, 0)],
            (1, 11, 1, 9, 1),
            id="no policy adds to the larger of the two",
        ),
        pytest.param([an_entry("new", 3, 1), an_entry("sts", 2, 0)], (1, 5, 1, 5, 1), id="unknown type adds"),
        pytest.param([an_entry("", 3, 1), an_entry("sts", 2, 0)], (1, 5, 1, 5, 1), id="no type adds"),
        pytest.param(
            [an_entry("sts", 10, 1), an_entry("tlsa", 2, 6)],
            (1, 12, 7, 5, 6),
            id="sessions: the larger total (11); failed: the larger failed count (6)",
        ),
        pytest.param(
            [an_entry("tlsa", 4, 0), an_entry("tlsa", 4, 0), an_entry("sts", 6, 0)],
            (1, 14, 0, 8, 0),
            id="entries of a type add up before types are compared",
        ),
    ],
)
def test_promise_7_what_counts_for_a_domain(entries: list[Entry], expected: tuple[int, ...]) -> None:
    """Promise 7: of sts against tlsa the larger counts, all else adds, and the plain sum stands beside it."""
    part = share(0, "sender.example", entries)
    assert figures(part, "meadow.example") == expected
    assert figures(part, EVERY_DOMAIN) == expected


def test_promise_8_a_dane_row_is_found_under_both_names() -> None:
    """Promise 8: filed under the report domain, found by the MX host too, counted once (postfix-idx1.eml, F-31)."""
    part = share(
        0,
        "sender.example",
        [an_entry("no-policy-found", 9, 0), an_entry("tlsa", 5, 1, policy_domain="mx1.host.example")],
    )
    assert figures(part, "meadow.example") == (1, 14, 1, 14, 1)
    assert figures(part, "mx1.host.example", "meadow.example") == (1, 5, 1, 5, 1)
    assert figures(part, "mx1.host.example") == (0, 0, 0, 0, 0)
    assert figures(part, EVERY_DOMAIN) == (1, 14, 1, 14, 1)


def test_one_report_about_three_domains_counts_once_in_all_and_once_in_each() -> None:
    """F-43: several policy domains in one report."""
    names = ["a.example", "b.example", "c.example"]
    part = share(0, "sender.example", [an_entry("sts", 5, 0, policy_domain=name, report_domain=name) for name in names])
    assert [figures(part, name)[0] for name in names] == [1, 1, 1]
    assert figures(part, EVERY_DOMAIN) == (1, 15, 0, 15, 0)


def test_a_report_without_policies_is_counted_under_no_domain() -> None:
    """F-44: `policies: []` is kept and counted under no domain."""
    part = share(0, "sender.example", [])
    assert figures(part, "") == (1, 0, 0, 0, 0)
    assert figures(part, EVERY_DOMAIN) == (1, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("entries", "itemised", "rest"),
    [
        pytest.param([an_entry("sts", 1, 7, SAME)], 7, 0, id="all explained"),
        pytest.param([an_entry("sts", 1, 9, SAME)], 7, 2, id="some not"),
        pytest.param([an_entry("sts", 1, 9)], 0, 9, id="nothing explained"),
        pytest.param([an_entry("sts", 1, 5, SAME)], 7, 0, id="R4-03: rows may say more than the summary"),
        pytest.param(
            [an_entry("sts", 1, 7, SAME), an_entry("tlsa", 1, 7, SAME)], 7, 0, id="listed twice, counted once"
        ),
        pytest.param(
            [an_entry("sts", 1, 7, SAME), an_entry("tlsa", 1, 9)], 7, 2, id="the one explains, the other has more"
        ),
        pytest.param(
            [an_entry("sts", 1, 7, SAME), an_entry("no-policy-found", 1, 7, SAME)], 14, 0, id="other types add"
        ),
        pytest.param(
            [an_entry("sts", 0, 4, SAME._replace(failed=4)), an_entry("tlsa", 0, 6, SAME._replace(failed=6))],
            6,
            0,
            id="of rows listed twice the larger",
        ),
    ],
)
def test_failure_rows_count_by_the_same_rule(entries: list[Entry], itemised: int, rest: int) -> None:
    """Promise 7 for failure rows; what no row explains (R4-03) is told per report, never below zero."""
    part = share(0, "sender.example", entries)
    assert sum(figures[2] for key, figures in part.failures) == itemised
    assert sum(row[6] for key, row in part.tally if key[0] == "meadow.example") == rest
    assert sum(row[6] for key, row in part.tally if key[0] == EVERY_DOMAIN) == rest


def test_kinds_tell_apart_what_an_administrator_would() -> None:
    """Type, mode, host, address and reason make a kind; what differs in every session does not."""
    one = make_detail("validation-failure", "MX1.meadow.example.", "192.0.2.1", "tls: handshake 20260301123", 1)
    two = make_detail("validation-failure", "mx1.meadow.example", "192.0.2.1", "tls: handshake 20260301999", 2)
    other = make_detail("validation-failure", "mx2.meadow.example", "192.0.2.1", None, 4)
    part = share(0, "sender.example", [an_entry("sts", 0, 7, one, two, other)])
    assert sorted(figures for _, figures in part.failures) == [(1, 3, 3), (1, 4, 4)]
    assert len(part.kinds) == 2


@pytest.mark.parametrize(
    ("lines", "mode"),
    [
        (("version: STSv1", "mode: testing", "max_age: 1"), "testing"),
        (("mode:enforce",), "enforce"),
        (("Mode : Enforce",), "enforce"),
        (("3 1 1 00",), ""),
        ((), ""),
        (None, ""),
    ],
)
def test_the_mode_is_what_the_sender_quotes(lines: tuple[str, ...] | None, mode: str) -> None:
    """RFC 8461 section 3.2, leniently: a failure in testing mode has another consequence (R4.2-01)."""
    assert policy_mode(lines) == mode


names = st.sampled_from(["a.example", "b.example", "mx.example"])
some_entries = st.lists(
    st.builds(
        Entry,
        policy_type=st.sampled_from(["sts", "tlsa", "no-policy-found", ""]),
        policy_domain=names,
        report_domain=names,
        policy_mode=st.sampled_from(["", "testing"]),
        successful=st.integers(0, 50),
        failed=st.integers(0, 50),
        details=st.lists(
            st.builds(
                Detail,
                result_type=st.sampled_from(["x", "y"]),
                receiving_mx_hostname=st.sampled_from(["", "mx.example"]),
                receiving_ip=st.just(""),
                failure_reason_code=st.just(""),
                failed=st.integers(0, 20),
            ),
            max_size=3,
        ),
    ),
    max_size=5,
)


@given(some_entries)
def test_counted_figures_are_a_bound_that_never_contradicts_itself(entries: list[Entry]) -> None:
    """What counts is never more than what was sent, nor less than any one policy type; success is never negative."""
    part = share(0, "s", entries)
    for domain in {entry.report_domain for entry in entries} | {EVERY_DOMAIN}:
        reports, sent_ok, sent_bad, ok, bad = figures(part, domain)
        assert reports == (1 if entries else int(domain == EVERY_DOMAIN))
        assert ok >= 0
        assert 0 <= bad <= sent_bad
        assert ok + bad <= sent_ok + sent_bad
    for domain in {entry.report_domain for entry in entries}:
        mine = [entry for entry in entries if entry.report_domain == domain]
        _, sent_ok, sent_bad, ok, bad = figures(part, domain)
        assert sent_ok == sum(entry.successful for entry in mine)
        assert sent_bad == sum(entry.failed for entry in mine)
        for policy_type in {entry.policy_type for entry in mine}:
            one = [entry for entry in mine if entry.policy_type == policy_type]
            assert bad >= sum(entry.failed for entry in one)
            assert ok + bad >= sum(entry.successful + entry.failed for entry in one)


@given(some_entries, st.randoms())
def test_the_order_of_entries_means_nothing(entries: list[Entry], random: object) -> None:
    """Except for which row of a report holds its 1 in `reports`: sums are the same."""
    shuffled = list(entries)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, two = share(0, "s", entries), share(0, "s", shuffled)
    assert sorted(one.failures) == sorted(two.failures)
    assert sorted(one.kinds) == sorted(two.kinds)
    assert sorted((key, row[1:]) for key, row in one.tally) == sorted((key, row[1:]) for key, row in two.tally)
    for domain in {key[0] for key, _ in one.tally}:
        assert sum(row[0] for key, row in one.tally if key[0] == domain) == 1

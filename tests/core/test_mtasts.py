"""MTA-STS: the record, the policy file, MX matching, and the order of steps (RFC 8461)."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.test_record import codes, samples
from tlsrpt.core.mtasts import (
    ReportedPolicy,
    StsPolicy,
    format_policy,
    lint_policy,
    looks_like_policy,
    mx_matches,
    parse_policy,
    parse_policy_lines,
)
from tlsrpt.core.mtasts_setup import fresh_id, plan_policy
from tlsrpt.core.stsrecord import StsRecord, format_sts_record, lint_sts_record, parse_sts_record

LAW = settings(max_examples=300, deadline=None)
NOW = datetime(2026, 1, 15, 9, 30, tzinfo=UTC)
GOOD = "version: STSv1\nmode: enforce\nmx: mx1.example.com\nmax_age: 604800\n"

# --- the record ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("texts", "verdict", "corrected"), samples("mta-sts-record"))
def test_each_sample_record_gets_its_verdict_and_correction(texts: list[str], verdict: str, corrected: str) -> None:
    """A new id is right wherever none can be read: ids have no order (S3.1-06)."""
    lint = lint_sts_record(texts, fresh_id=fresh_id(NOW))
    assert (lint.verdict, lint.corrected) == (verdict, None if verdict == "ok" else corrected)


@pytest.mark.parametrize(
    ("texts", "verdict", "code", "corrected"),
    [
        (["v=STSv1; id=a; "], "ok", None, None),
        (["v=STSv1; id=a; x.y=1"], "ok", "field-unknown", None),
        (["v=STSv1 ; id=a"], "warning", "space-before-first-semicolon", "v=STSv1; id=a"),
        (["v=STSv1; id=a; id=b"], "warning", "id-repeated", "v=STSv1; id=a"),
        (["v=STSv1; id=a", "x"], "warning", "unrelated-txt-at-name", "v=STSv1; id=a"),
        (["v=STSv1; id=1.0"], "ignored", "id-characters", "v=STSv1; id=10"),
        (["v=STSv1; id=550e8400-e29b-41d4-a716-446655440000"], "ignored", "id-characters", None),
        (["v=STSv1; id="], "ignored", "id-missing", "v=STSv1; id=20260115T093000"),
        (["v=STSv1; ID=a"], "ignored", "id-case", "v=STSv1; id=a"),
        (["v=STSv1; id = a"], "ignored", "space-around-equals", "v=STSv1; id=a"),
        (["v=STSv2; id=a"], "ignored", "version-misspelt", "v=STSv1; id=a"),
        (["v=MTASTSv1; id=a"], "ignored", "version-misspelt", "v=STSv1; id=a"),
        (["id=a; v=STSv1"], "ignored", "version-not-first", "v=STSv1; id=a"),
        (["id=a"], "ignored", "version-missing", "v=STSv1; id=a"),
        (["v=STSv1 id=a"], "ignored", "no-semicolon-after-version", "v=STSv1; id=a"),
        (['"v=STSv1; id=a"'], "ignored", "quotes-in-value", "v=STSv1; id=a"),
        (["v=STSv1;; id=a"], "ignored", "empty-field", "v=STSv1; id=a"),
        (["v=TLSRPTv1; rua=mailto:tls@example.com"], "ignored", "tlsrpt-record-here", None),
        (["x"], "ignored", "other-text-here", None),
        (["x", "y"], "ignored", "record-missing", "v=STSv1; id=20260115T093000"),
        ([""], "ignored", "record-empty", None),
    ],
)
def test_other_mistakes_in_the_record(texts: list[str], verdict: str, code: str | None, corrected: str | None) -> None:
    """S3.1-01 to S3.1-06; field-notes-domains.md D-30, D-31."""
    lint = lint_sts_record(texts, fresh_id=fresh_id(NOW))
    assert lint.verdict == verdict
    assert code in codes(lint) if code else codes(lint) == []
    assert corrected is None or lint.corrected == corrected


TEXTS = st.one_of(
    st.text(max_size=50),
    st.lists(
        st.sampled_from(["v=STSv1", ";", "; ", "id=", "a1", "-", "=", " ", "mode=none", '"', "\\", "ü", "x=1"]),
        max_size=9,
    ).map("".join),
)


@given(st.lists(TEXTS, max_size=3))
@LAW
def test_lint_of_any_record_ends_with_a_verdict_and_a_right_correction(texts: list[str]) -> None:
    lint = lint_sts_record(texts, fresh_id="1")
    assert (lint.verdict == "ignored") == any(finding.severity == "error" for finding in lint.findings)
    if lint.corrected is not None:
        assert lint_sts_record([lint.corrected]).verdict == "ok"
    if len(texts) == 1:
        assert (parse_sts_record(texts[0]) is None) == (lint.verdict == "ignored")


def test_a_record_is_written_and_read_back() -> None:
    assert parse_sts_record(format_sts_record("20260115T093000")) == StsRecord(id="20260115T093000")
    for wrong in ("", "a-b", "x" * 33, "ü"):
        with pytest.raises(ValueError, match="no id"):
            format_sts_record(wrong)


# --- the policy ------------------------------------------------------------------------------------------------------


def policy_samples() -> list[object]:
    """The samples with the MX hosts that stand before some of them."""
    found = []
    for row in samples("mta-sts-policy"):
        text = str(row.values[0][0])  # type: ignore[index]
        hosts = re.match(r"\{MX ([^}]*)\}\s?", text)
        body = text[hosts.end() :] if hosts else text
        found.append(pytest.param(body, hosts[1].split() if hosts else [], *row.values[1:], id=row.id))
    return found


@pytest.mark.parametrize(("text", "hosts", "verdict", "corrected"), policy_samples())
def test_each_sample_policy_gets_its_verdict(text: str, hosts: list[str], verdict: str, corrected: str) -> None:
    """What can't be known (which MX hosts there are) stays open; all else is corrected."""
    lint = lint_policy(text, mx_hosts=hosts)
    assert lint.verdict == verdict
    if "mx-missing" in codes(lint):
        assert lint.corrected is None
        assert lint_policy(text, mx_hosts=["mx1.example.com"]).corrected == corrected
    elif "mx-host-not-covered" in codes(lint):
        assert lint.corrected == corrected.replace("*.in", "a.in")
    else:
        assert lint.corrected == (None if verdict == "ok" else corrected)


def policy(**lines: str) -> str:
    """A policy with some lines replaced; an empty one is left out."""
    parts = {
        "version": "version: STSv1",
        "mode": "mode: enforce",
        "mx": "mx: mx1.example.com",
        "age": "max_age: 604800",
    }
    return "".join(f"{line}\n" for line in {**parts, **lines}.values() if line)


@pytest.mark.parametrize(
    ("text", "verdict", "code", "corrected"),
    [
        (GOOD.replace("\n", " \t\r\n"), "ok", None, None),
        (policy(mode="mode:enforce"), "ok", None, None),
        (policy(mx="mx: *.Example.COM"), "ok", None, None),
        (GOOD + "x-note: bücher und mehr\n", "ok", "field-unknown", None),
        (GOOD + "\n", "ignored", "blank-line", GOOD),
        (GOOD.replace("\n", "\r\n") + "\r\n", "ignored", "blank-line", GOOD.replace("\n", "\r\n")),
        ("# policy\n" + GOOD, "ignored", "comment", GOOD),
        (policy(mode="mode : enforce"), "ignored", "space-before-colon", GOOD),
        (policy(mode=" mode: enforce"), "ignored", "leading-space", GOOD),
        (policy(mode="mode=enforce"), "ignored", "equals-for-colon", GOOD),
        (policy(mode="Mode: enforce"), "ignored", "key-misspelt", GOOD),
        (policy(mode="mode: report"), "ignored", "mode-unknown", GOOD.replace("enforce", "testing")),
        (policy(mode="mode: enforced"), "ignored", "mode-unknown", GOOD),
        (policy(mode="mode: maybe"), "ignored", "mode-unknown", None),
        (policy(mode=""), "ignored", "mode-missing", None),
        (policy(mode="mode: enforce\nmode: testing"), "warning", "key-repeated", GOOD),
        (policy(version="version: STSV1"), "ignored", "version-case", GOOD),
        (policy(version=""), "ignored", "version-missing", GOOD),
        (policy(age="max-age: 604800"), "ignored", "key-misspelt", GOOD),
        (policy(age="max_age: 604800s"), "ignored", "max-age-not-number", GOOD),
        (policy(age="max_age: 1 week"), "ignored", "max-age-not-number", GOOD),
        (policy(age="max_age: soon"), "ignored", "max-age-not-number", None),
        (policy(age="max_age: 99999999999"), "ignored", "max-age-over-limit", GOOD.replace("604800", "31557600")),
        (policy(age="max_age: 86399"), "warning", "max-age-small", GOOD),
        (policy(age="max_age: 86400"), "ok", None, None),
        (policy(mode="mode: testing", age="max_age: 3600"), "ok", None, None),
        (policy(mode="mode: testing", age="max_age: 3599"), "warning", "max-age-small", None),
        (policy(mode="mode: none", mx="", age="max_age: 60"), "warning", "max-age-small", None),
        (policy(mx="MX: mx1.example.com"), "ignored", "mx-key-misspelt", GOOD),
        (policy(mx="mx: mx1.example.com\nmxs: mx2.example.com"), "warning", "mx-key-misspelt", None),
        (policy(mx="mx: 10 mx1.example.com"), "ignored", "mx-priority", GOOD),
        (policy(mx="mx: mx1.example.com."), "ignored", "mx-trailing-dot", GOOD),
        (policy(mx="mx: mx1.example.com:25"), "ignored", "mx-port", GOOD),
        (policy(mx="mx: .example.com"), "ignored", "mx-leading-dot", GOOD.replace("mx1", "*")),
        (policy(mx="mx: *"), "ignored", "mx-wildcard", None),
        (policy(mx="mx: mx*.example.com"), "ignored", "mx-wildcard", None),
        (policy(mx="mx: mx.bücher.example"), "ignored", "mx-not-ascii", None),
        (policy(mx="mx: 192.0.2.25"), "warning", "mx-is-ip-address", None),
        (policy(mx="mx: mx1.example.com\nmx: 2001:db8::25"), "ignored", "mx-is-ip-address", GOOD),
        (policy(mx="mx: mx1.example.com mx2.example.com"), "ignored", "several-mx-in-one-line", None),
        (policy(mx="mx:\u00a0mx1.example.com"), "ignored", "non-ascii-space", GOOD),
        ("<!doctype html>\n<title>x</title>\n", "ignored", "html-returned", None),
        ('{"version": "STSv1"}', "ignored", "json-returned", None),
        ("", "ignored", "policy-empty", None),
        ("not found", "ignored", "line-invalid", None),
        (GOOD + "x: " + "y" * 70_000, "ignored", "policy-too-large", None),
    ],
)
def test_other_mistakes_in_the_policy(text: str, verdict: str, code: str | None, corrected: str | None) -> None:
    """S3.2-03 to S3.2-06; field-notes-domains.md D-34 to D-39."""
    lint = lint_policy(text)
    assert lint.verdict == verdict
    assert code in codes(lint) if code else codes(lint) == []
    assert corrected is None or lint.corrected == corrected


def test_an_uncovered_mx_host_is_told_by_what_its_mode_makes_of_it() -> None:
    """S4-01, S5-01, D-38: in enforce delivery is refused, in testing it is only reported, none says nothing."""
    text = policy(mx="mx: *.example.com\nmx: old.example.net")
    for mode, said in (("enforce", "Delivery is refused"), ("testing", "report a failure")):
        lint = lint_policy(text.replace("enforce", mode), mx_hosts=["MX1.example.com.", "a.b.example.com"])
        assert [said in f.consequence for f in lint.findings if f.code == "mx-host-not-covered"] == [True]
        assert "mx-pattern-unused" in codes(lint)
        assert lint.corrected is not None
        assert "mx: a.b.example.com\n" in lint.corrected
        assert "mx: *.example.com\n" not in lint.corrected or "mx1" not in lint.corrected
        assert lint_policy(lint.corrected, mx_hosts=["a.b.example.com"]).verdict == "ok"
    assert lint_policy(text.replace("enforce", "none"), mx_hosts=["a.b.example.com"]).verdict == "ok"


@pytest.mark.parametrize(
    ("pattern", "host", "fits"),
    [
        ("mx1.example.com", "MX1.Example.com.", True),
        ("*.example.com", "mx1.example.com", True),
        ("*.example.com", "a.mx1.example.com", False),
        ("*.example.com", "example.com", False),
        ("*.example.com", ".example.com", False),
        ("example.com", "mx1.example.com", False),
        (".example.com", "mx1.example.com", False),
        ("", "", False),
    ],
)
def test_a_star_stands_for_exactly_one_label(pattern: str, host: str, fits: bool) -> None:
    """S4-01, D-38."""
    assert mx_matches(pattern, host) is fits


LINES = st.sampled_from(
    [
        *("version: STSv1", "mode: enforce", "mode: none", "mode: Testing", "max_age: 86400", "max_age: 7d", "x: y"),
        *(
            "mx: a.example",
            "mx: *.b.example",
            "mx: a, b",
            "mx:",
            "nmx: c.example",
            "mx: 192.0.2.1",
            "mx:\u00a0d.example",
        ),
        *("", "# c", "\ufeff", "é: ü"),
    ]
)
POLICIES = st.one_of(
    st.lists(LINES, max_size=8).map("\n".join),
    st.lists(LINES, max_size=4).map(lambda lines: "\r\n".join(["version: STSv1", *lines, "max_age: 86400", ""])),
    st.text(max_size=80),
)


@given(POLICIES, st.lists(st.sampled_from(["a.example", "x.b.example", "192.0.2.1", "ü"]), max_size=2))
@LAW
def test_lint_of_any_policy_ends_with_a_verdict_and_a_right_correction(text: str, hosts: list[str]) -> None:
    lint = lint_policy(text, mx_hosts=hosts)
    assert (lint.verdict == "ignored") == (parse_policy(text.encode()) is None)
    assert (lint.verdict == "ignored") == any(finding.severity == "error" for finding in lint.findings)
    if lint.corrected is not None:
        assert lint_policy(lint.corrected).verdict == "ok", lint.corrected


@given(st.binary(max_size=200))
@LAW
def test_lint_of_any_octets_ends_with_a_verdict(data: bytes) -> None:
    assert (lint_policy(data).verdict == "ignored") == (parse_policy(data) is None)


def test_a_policy_is_written_and_read_back() -> None:
    made = StsPolicy(mode="testing", max_age=86_400, mx=("mx1.example.com", "*.in.example.net"))
    for end in ("\n", "\r\n"):
        text = format_policy(made, line_end=end)  # type: ignore[arg-type]
        assert parse_policy(text.encode()) == made
        assert lint_policy(text).verdict == "ok"
    assert made.covers("a.in.example.net")
    assert not made.covers("in.example.net")
    for wrong in (StsPolicy(mode="enforce", max_age=1), StsPolicy(mode="none", max_age=-1)):
        with pytest.raises(ValueError, match=r"policy|max_age"):
            format_policy(wrong)


def test_the_policy_string_of_a_report_is_read_as_far_as_it_goes() -> None:
    """R4.5-02: lines as served, errors and stray carriage returns included."""
    lines = ("version: STSv1\r", "mode: Enforce\r", "mx: a.example \r", "mx:*.b.example", "max_age: 7d", "", "x")
    assert parse_policy_lines(lines) == ReportedPolicy(mode="enforce", mx=("a.example", "*.b.example"))
    assert parse_policy_lines(("mode: none\nmax_age: 60",)) == ReportedPolicy(mode="none", max_age=60)
    assert parse_policy_lines(()) == ReportedPolicy()


@pytest.mark.parametrize(
    ("text", "is_policy"),
    [
        (GOOD, True),
        ("mode: enforce", True),
        ("\ufeffversion: STSv1", True),
        ("<html>", True),
        ("{}", True),
        ("version=STSv1\nmode=enforce", True),
        ("v=STSv1; id=1", False),
        ('"v=STSv1; id=1"', False),
        (" v = STSv1; id=1", False),
        ("v=STSv1; id=1; mode=enforce\n", False),
        ("google-site-verification=abc", False),
    ],
)
def test_record_and_policy_are_told_apart_by_content(text: str, is_policy: bool) -> None:
    assert looks_like_policy(text) is is_policy


# --- the plan --------------------------------------------------------------------------------------------------------


def plan_steps(mode: str, old_max_age: int | None = None) -> str:
    made = StsPolicy(mode=mode, max_age=86_400, mx=("mx1.example.com",))  # type: ignore[arg-type]
    return "\n".join(plan_policy("example.com", made, policy_id=fresh_id(NOW), old_max_age=old_max_age).steps)


def test_a_plan_lints_ok_and_publishes_the_record_last() -> None:
    """D-33: a record without a policy host makes senders report sts-policy-fetch-error."""
    made = plan_policy(
        "example.com", StsPolicy(mode="testing", max_age=86_400, mx=("mx1.example.com",)), policy_id=fresh_id(NOW)
    )
    assert lint_policy(made.policy, mx_hosts=["mx1.example.com"]).verdict == "ok"
    assert lint_sts_record([made.record]).verdict == "ok"
    assert made.record == "v=STSv1; id=20260115T093000"
    steps = "\n".join(made.steps)
    order = ["certificate", "/.well-known/mta-sts.txt", "curl", "_mta-sts.example.com", "enforce"]
    assert [steps.index(word) for word in order] == sorted(steps.index(word) for word in order)
    assert all("mta-sts.example.com" in snippet for snippet in made.web_servers.values())


def test_the_orders_of_change_and_of_leaving() -> None:
    """D-32: a new MX host waits for the old max_age. D-40: just deleting leaves a cached enforce alive."""
    made = plan_policy("example.com", StsPolicy(mode="none", max_age=86_400), policy_id="1", old_max_age=1_209_600)
    assert made.steps == made.leave
    assert [next(i for i, s in enumerate(made.leave) if w in s) for w in ("mode: none", "new id", "14 days", "remove")] == [
        0, 1, 2, 3,
    ]  # fmt: skip
    assert [next(i for i, s in enumerate(made.change) if w in s) for w in ("file first", "new id", "14 days", "Switch")] == [
        0, 1, 2, 3,
    ]  # fmt: skip
    assert "max_age of the policy published before" in plan_steps("none")

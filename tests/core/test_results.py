"""The result types and causes: complete, consistent, and safe to fill with hostile names."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsrpt.core.results import (
    CAUSES,
    RESULT_TYPES,
    ConsequenceKind,
    Mode,
    Party,
    Place,
    Stage,
    Verify,
    causes_under,
    closest,
    consequence,
    fill,
    mode_of,
    result_type,
    situations,
)

NAMES = {"mx": "mx1.example.com", "ip": "2001:db8::25", "domain": "example.com"}
KINDS = set(get_args(ConsequenceKind))

# R4.3-01 to R4.3-11, with the policy each belongs to.
REGISTRY = {
    "starttls-not-supported": "any",
    "certificate-host-mismatch": "any",
    "certificate-expired": "any",
    "certificate-not-trusted": "any",
    "validation-failure": "any",
    "tlsa-invalid": "tlsa",
    "dnssec-invalid": "tlsa",
    "dane-required": "tlsa",
    "sts-policy-fetch-error": "sts",
    "sts-policy-invalid": "sts",
    "sts-webpki-invalid": "sts",
}


def texts() -> Iterator[tuple[str, str]]:
    """Every text that a person may be shown, with the name it belongs to."""
    for result in RESULT_TYPES.values():
        for text in (result.title, result.meaning, result.side.reason, result.fix, result.says_not):
            yield result.name, text
        for text in result.distinguishes:
            yield result.name, text
        for case in situations(result):
            yield result.name, consequence(result.name, case.policy_type, case.mode).text
    for cause in CAUSES.values():
        for text in (cause.title, cause.explanation, cause.evidence_for, cause.evidence_against, *cause.steps):
            yield cause.code, text


def proofs() -> Iterator[tuple[str, Verify]]:
    for result in RESULT_TYPES.values():
        yield result.name, result.verify
    for cause in CAUSES.values():
        if cause.verify is not None:
            yield cause.code, cause.verify


def test_every_registered_result_type_is_explained_and_no_other() -> None:
    """RFC 8460 section 4.3, R6-03: the registry has these eleven."""
    assert {each.name: each.policy_types for each in RESULT_TYPES.values()} == REGISTRY
    assert all(RESULT_TYPES[name].name == name for name in RESULT_TYPES)


@pytest.mark.parametrize("name", REGISTRY)
def test_a_result_type_says_all_that_an_answer_needs(name: str) -> None:
    """Meaning, side with its reason, where to look, several causes to choose from, proof, mending, limits, source."""
    result = result_type(name)
    assert result is not None
    assert result.side.party in get_args(Party)
    assert result.stage in get_args(Stage)
    assert result.place in get_args(Place)
    assert len(result.causes) >= 3
    assert len(set(result.causes)) == len(result.causes)
    assert result.section.startswith("RFC 8460 section 4.3")
    assert situations(result)


def test_an_unknown_result_type_is_no_error() -> None:
    """R4.3-14: the list may grow; what is unknown is kept and shown, not explained."""
    assert result_type("quantum-not-supported") is None
    assert result_type("Certificate-Expired") is None  # R4.3: lower case, exact
    assert result_type("") is None


@pytest.mark.parametrize("code", CAUSES)
def test_a_cause_has_a_stable_code_evidence_both_ways_and_steps(code: str) -> None:
    cause = CAUSES[code]
    assert cause.code == code
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", code)
    assert cause.party in get_args(Party)
    assert cause.stage in get_args(Stage)
    assert cause.place in get_args(Place)
    assert cause.steps
    assert any(cause in result.causes for result in RESULT_TYPES.values()), "no result type leads to it"


def test_one_fault_has_one_code_whatever_senders_call_it() -> None:
    """D-70, T-64: a TLSA mismatch is validation-failure, certificate-not-trusted or tlsa-invalid, by the sender."""
    named = {each.name for each in RESULT_TYPES.values() if CAUSES["tlsa-key-changed"] in each.causes}
    assert named == {"validation-failure", "certificate-not-trusted", "tlsa-invalid"}


@pytest.mark.parametrize(("name", "text"), list(texts()))
def test_texts_are_whole_and_cite_only_what_readers_have(name: str, text: str) -> None:
    """Readers have the RFCs; they don't have the numbers of our notes."""
    assert text.strip() == text != ""
    assert not re.search(r"\b[ADEFNQRST](\d(\.\d)?)?-\d\d\b", text)
    assert not re.search(r"\{(?!(?:mx|ip|domain|policy_host)\})", text)


@pytest.mark.parametrize(("name", "verify"), list(proofs()))
def test_a_proof_is_a_command_that_a_shell_accepts(name: str, verify: Verify) -> None:
    """With names put in, and every place filled; parsed by a real shell, not run."""
    command = fill(verify.command, NAMES)
    assert "{mx}" not in command
    assert "<MX" not in command
    subprocess.run(["/bin/sh", "-n", "-c", command], check=True, timeout=10)
    assert verify.expected


# --- What happens to the mail ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "policy_type", "mode", "cause", "kind"),
    [
        # S5-01: enforce forbids delivery; testing reports and delivers; none is as no policy.
        pytest.param("certificate-expired", "sts", "enforce", None, "refused", id="enforce forbids"),
        pytest.param("certificate-expired", "sts", "testing", None, "delivered-unverified", id="testing delivers"),
        pytest.param("certificate-expired", "sts", "none", None, "delivered-unverified", id="none delivers"),
        pytest.param("starttls-not-supported", "sts", "enforce", None, "refused", id="enforce without TLS"),
        pytest.param("starttls-not-supported", "sts", "testing", None, "delivered-clear", id="testing in clear"),
        pytest.param("starttls-not-supported", "no-policy-found", None, None, "delivered-clear", id="nothing asks"),
        pytest.param("starttls-not-supported", "sts", "enforce", "starttls-refused", "delayed", id="a passing 454"),
        # without a policy nobody verifies, so a bad certificate is no loss.
        pytest.param("certificate-not-trusted", "no-policy-found", None, None, "delivered-unverified", id="A-18"),
        pytest.param("validation-failure", "sts", "testing", None, "delivered-unverified", id="MX not in policy, testing"),
        pytest.param("validation-failure", "sts", "enforce", "mx-not-in-policy", "refused", id="MX not in policy, enforce"),
        pytest.param("validation-failure", "sts", "enforce", "handshake-broken-off", "delayed", id="a time-out passes"),
        pytest.param(
            "validation-failure", "no-policy-found", None, "tls-version-or-cipher", "delivered-clear", id="no common TLS"
        ),
        pytest.param("validation-failure", "sts", None, None, "refused", id="mode not shown: the worst is said"),
        # S3.3-05: no fetch and no cache: as without MTA-STS; an unexpired cache goes on.
        pytest.param("sts-policy-fetch-error", "sts", None, None, "delivered-unverified", id="no copy held"),
        pytest.param("sts-policy-fetch-error", "sts", "enforce", None, "none", id="enforce copy held"),
        pytest.param("sts-webpki-invalid", "sts", "testing", None, "none", id="testing copy held"),
        pytest.param("sts-policy-fetch-error", "no-policy-found", None, None, "delivered-unverified", id="none found"),
        # R4.5-02: the string shown is the invalid policy itself, so its mode is not in force.
        pytest.param("sts-policy-invalid", "sts", "enforce", None, "delivered-unverified", id="invalid is not in force"),
        # S2-01: DANE decides where both exist.
        pytest.param("sts-policy-fetch-error", "tlsa", None, None, "none", id="DANE decides"),
        # T-10, T-60, T-64: unusable asks for TLS alone; a mismatch forbids delivery.
        pytest.param("tlsa-invalid", "tlsa", None, None, "delivered-unverified", id="T-60"),
        pytest.param("tlsa-invalid", "tlsa", None, "tlsa-unusable", "delivered-unverified", id="none usable"),
        pytest.param("tlsa-invalid", "tlsa", None, "tlsa-key-changed", "refused", id="none matches"),
        pytest.param("tlsa-invalid", "tlsa", None, "tlsa-lookup-failed", "delayed", id="T-62"),
        pytest.param("certificate-not-trusted", "tlsa", None, "tlsa-key-changed", "refused", id="Postfix: mismatch"),
        pytest.param("starttls-not-supported", "tlsa", None, None, "refused", id="T-66"),
        # T-03: bogus means defer, never downgrade.
        pytest.param("dnssec-invalid", "tlsa", None, None, "delayed", id="bogus"),
        pytest.param("validation-failure", "no-policy-found", None, "mx-answer-bogus", "delayed", id="T-63"),
        pytest.param("dane-required", "tlsa", None, None, "refused", id="that sender alone"),
    ],
)  # fmt: skip
def test_the_consequence_follows_from_policy_and_mode(
    result: str, policy_type: str, mode: Mode | None, cause: str | None, kind: ConsequenceKind
) -> None:
    assert consequence(result, policy_type, mode, CAUSES[cause] if cause else None).kind == kind


@given(
    result=st.sampled_from(sorted(REGISTRY)) | st.text(),
    policy_type=st.sampled_from(["tlsa", "sts", "no-policy-found"]) | st.text(),
    mode=st.sampled_from(["enforce", "testing", "none", None]),
    cause=st.sampled_from([None, *CAUSES.values()]),
)
def test_there_is_always_a_consequence(result: str, policy_type: str, mode, cause) -> None:  # type: ignore[no-untyped-def]
    """Unknown types and policies too (R4.3-14): one of five words, and one sentence."""
    answer = consequence(result, policy_type, mode, cause)
    assert answer.kind in KINDS
    assert answer.text.endswith(".")


@pytest.mark.parametrize("name", REGISTRY)
def test_nothing_is_refused_where_nothing_is_enforced(name: str) -> None:
    """Testing must never read as an outage; only what the sender itself demands holds mail up."""
    if name not in {"dane-required", "dnssec-invalid"}:
        for policy_type, mode in (("sts", "testing"), ("sts", "none"), ("no-policy-found", None)):
            kind = consequence(name, policy_type, mode).kind  # type: ignore[arg-type]
            assert kind in {"none", "delivered-unverified", "delivered-clear"}


# --- Finding the way ------------------------------------------------------------------------------------------------


def test_causes_of_another_policy_are_left_out() -> None:
    """No TLSA record explains an MTA-STS failure, and no MTA-STS policy a DANE failure."""
    failure = RESULT_TYPES["validation-failure"]
    under_sts = [cause.code for cause in causes_under(failure, "sts")]
    under_dane = [cause.code for cause in causes_under(failure, "tlsa")]
    assert under_sts[0] == "mx-not-in-policy"
    assert "tlsa-key-changed" not in under_sts
    assert under_dane[0] == "tlsa-key-changed"
    assert "mx-not-in-policy" not in under_dane


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("tlsa-invald", "tlsa-invalid"),
        ("STS_POLICY_FETCH_ERROR", "sts-policy-fetch-error"),
        ("starttls not supported", "starttls-not-supported"),
        ("expired", "certificate-expired"),
        ("webpki", "sts-webpki-invalid"),
        ("potato", None),
        ("", None),
        ("x" * 100_000, None),
    ],
)
def test_a_misspelt_name_finds_its_type(text: str, meant: str | None) -> None:
    assert closest(text) == meant


@pytest.mark.parametrize(
    ("lines", "mode"),
    [
        (["version: STSv1", "mode: enforce", "mx: mx.example.com"], "enforce"),
        (["mode:testing\r"], "testing"),
        (["mode: none", "mode: enforce"], "none"),  # S3.2-06: the first wins
        (["mode: Enforce"], None),  # S3.2-04: case counts
        (["mx: mode"], None),
        ([], None),
    ],
)
def test_the_mode_is_read_from_the_reported_policy(lines: list[str], mode: Mode | None) -> None:
    assert mode_of(lines) == mode


# --- Filling in -----------------------------------------------------------------------------------------------------

TEMPLATE = "a {mx} b {mx}:25 c {ip} d {ip}:25 e {domain} f {policy_host} g"


def test_names_are_put_in() -> None:
    assert fill(TEMPLATE, NAMES) == (
        "a mx1.example.com b mx1.example.com:25 c 2001:db8::25 d '[2001:db8::25]:25' "
        "e example.com f mta-sts.example.com g"
    )
    assert fill("{mx}", {"mx": "MX.Example.COM."}) == "mx.example.com"


@pytest.mark.parametrize(
    "hostile",
    [
        "$(reboot)",
        "a;b",
        "a b",
        "`id`",
        "-o",
        "--",
        "../../etc",
        "mx.example.com\nid",
        "a'b",
        "<b>",
        "x" * 300,
        "",
        "\udc80",
    ],
)
def test_what_is_no_name_leaves_the_place_open(hostile: str) -> None:
    """Promise 4: names come from reports. Nothing but a domain or an address goes into a command."""
    values = {"mx": hostile, "ip": hostile, "domain": hostile, "policy_host": hostile}
    assert fill(TEMPLATE, values) == (
        "a <MX host> b <MX host>:25 c <address> d <address>:25 e <domain> f <policy host> g"
    )


@pytest.mark.parametrize("address", ["fe80::1%$(reboot)", "fe80::1%eth0", "1.2.3", "192.0.2.1; id", "::ffff:1.2.3.4.5"])
def test_an_odd_address_is_not_put_in(address: str) -> None:
    """A scope id may hold anything at all, so it is no address to us."""
    assert fill("{ip}", {"ip": address}) == "<address>"


@given(st.dictionaries(st.sampled_from(["mx", "ip", "domain", "policy_host"]), st.text()))
def test_no_value_can_add_a_word_to_a_command(values: dict[str, str]) -> None:
    command = fill(TEMPLATE, values)
    for place in ("<MX host>", "<address>", "<domain>", "<policy host>"):
        command = command.replace(place, "open")
    assert len(shlex.split(command)) == len(TEMPLATE.split())
    assert re.fullmatch(r"[\w.:\-'\[\] ]*", command, re.ASCII)

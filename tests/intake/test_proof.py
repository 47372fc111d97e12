"""What proves a report: a signature of the name that it is counted under, and nothing else."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.intake.signing import NOW, record, sign
from tests.nameserver import name_server, txt
from tests.strategies import domains, reports, texts
from tlsrpt.core.limits import DEFAULT_LIMITS
from tlsrpt.core.report import DateRange, Policy, PolicyResult, Report, Summary
from tlsrpt.dns.exchange import Exchange, Server
from tlsrpt.dns.resolver import Resolver
from tlsrpt.intake.dkim import Signature, Verifier
from tlsrpt.intake.door import open_document
from tlsrpt.intake.proof import Proof, judge
from tlsrpt.store.values import MailHeaders

DAY = datetime(2026, 3, 1, tzinfo=UTC)
ALL = frozenset(("from", "content-type", "tls-report-domain", "tls-report-submitter"))


def report(
    contact: str | None = "tls@sender.example", organization: str | None = "Sender Inc.", about: str = "ward.example"
) -> Report:
    return Report(
        organization_name=organization,
        date_range=DateRange(start_datetime=DAY, end_datetime=DAY.replace(hour=23)),
        contact_info=contact,
        report_id="7",
        policies=(
            PolicyResult(
                policy=Policy(policy_type="no-policy-found", policy_domain=about),
                summary=Summary(total_successful_session_count=1, total_failure_session_count=0),
            ),
        ),
    )


def headers(
    sender: str | None = "TLS <tls@sender.example>",
    submitter: str | None = "sender.example",
    domain: str | None = "ward.example",
) -> MailHeaders:
    return MailHeaders(sender=sender, submitter=submitter, report_domain=domain)


def passing(domain: str, signed: frozenset[str] = ALL) -> Signature:
    return Signature(domain=domain, verdict="pass", signed=signed)


def failing(domain: str) -> Signature:
    return Signature(domain=domain, verdict="fail", reason="the body was changed on the way (bh=)")


def unclear(domain: str) -> Signature:
    return Signature(domain=domain, verdict="error", reason="no answer")


def codes(proof: Proof) -> list[str]:
    return [finding.code for finding in proof.findings]


def test_the_submitters_signature_proves_the_report() -> None:
    assert judge(report(), headers(), (passing("sender.example"),)) == Proof(verdict="pass", domain="sender.example")


@pytest.mark.parametrize(
    ("contact", "signer", "verdict", "noted"),
    [
        ("tls@corp.mail.example", "corp.mail.example", "pass", []),
        ("tls@corp.mail.example", "mail.example", "pass", ["dkim-inexact"]),  # as Mail.ru: F-05
        ("tls@a.b.c.mail.example", "c.mail.example", "pass", ["dkim-inexact"]),
        ("TLS@Sender.EXAMPLE.", "sender.example", "pass", []),
        ("<tls@sender.example>", "sender.example", "pass", []),
        ("mailto:tls@sender.example", "sender.example", "pass", []),
        ("tls@bücher.example", "xn--bcher-kva.example", "pass", []),
        ("tls@sender.example", "mail.sender.example", "pass-other", ["dkim-other"]),  # may be a customer's
        ("tls@sender.example", "example", "pass-other", ["dkim-other"]),
        ("tls@sender.example", "sender.example.attacker.example", "pass-other", ["dkim-other"]),
        ("tls@sender.example", "nder.example", "pass-other", ["dkim-other"]),
        ("tls@sender.example", "", "pass-other", ["dkim-other"]),
        ("tls@localhost", "localhost", "pass-other", ["dkim-other"]),
        ("tls@[192.0.2.1]", "sender.example", "pass-other", ["dkim-other"]),
    ],
)
def test_whose_signature_proves_a_contact_address(contact: str, signer: str, verdict: str, noted: list[str]) -> None:
    """A-09: the domain itself, or one above it of two labels at least."""
    proof = judge(report(contact), headers(), (passing(signer),))
    assert (proof.verdict, codes(proof)) == (verdict, noted)
    assert proof.domain == (signer or None)


def test_a_signature_of_ones_own_proves_nobody_elses_report() -> None:
    """The attack: From and signature agree with each other, and the JSON names another."""
    attack = headers("a@attacker.example", "attacker.example")
    signature = (passing("attacker.example"),)
    assert judge(report(), attack, signature).verdict == "pass-other"
    assert judge(report(), headers("TLS <tls@sender.example>", "sender.example"), signature).verdict == "pass-other"
    assert judge(report(None, "sender.example"), attack, signature).verdict == "pass-other"
    [finding] = judge(report(), attack, signature).findings
    assert finding.message == "not proven to come from sender.example: signed by attacker.example"


@pytest.mark.parametrize(
    "contact", [None, "", "Postmaster", "https://sender.example/contact", "nobody@", "nobody@ > ."]
)
def test_without_a_contact_address_the_mail_says_who_speaks(contact: str | None) -> None:
    """F-24: contact-info is null from many hosts. The signature proves the mail's domain, not the organisation's name."""
    named = ["dkim-organization-name"]
    for mail in headers(), headers(submitter=None), headers(submitter="Sender Mail Services"), headers(sender="junk"):
        proof = judge(report(contact), mail, (passing("sender.example"),))
        assert (proof.verdict, codes(proof)[:1]) == ("pass", named)
    assert (
        judge(report(contact), headers(submitter="other.example"), (passing("sender.example"),)).verdict == "pass-other"
    )
    assert (
        judge(report(contact), headers("tls@other.example", None), (passing("sender.example"),)).verdict == "pass-other"
    )
    assert (
        judge(report(contact), headers("tls@other.example", "mail"), (passing("sender.example"),)).verdict
        == "pass-other"
    )
    assert judge(report(contact), headers(None, None), (passing("sender.example"),)).verdict == "pass-other"
    assert judge(report(contact), None, (passing("sender.example"),)).verdict == "pass-other"


def test_an_organisation_that_is_a_domain_is_who_must_have_signed() -> None:
    """Stalwart and mox put their host name there (F-25); its report is counted under it."""
    stalwart = report(None, "mx1.sender.example")
    assert codes(judge(stalwart, headers(), (passing("sender.example"),))) == ["dkim-inexact"]
    assert (
        judge(stalwart, headers("a@other.example", "other.example"), (passing("other.example"),)).verdict
        == "pass-other"
    )
    assert judge(stalwart, None, (passing("mx1.sender.example"),)) == Proof(verdict="pass", domain="mx1.sender.example")


@pytest.mark.parametrize(
    ("sender", "domain"),
    [
        ("a@sender.example", "sender.example"),
        ("A <a@Sender.Example>", "sender.example"),
        ("=?utf-8?q?x?= <a@sender.example>", "sender.example"),
        ('"b@attacker.example" <a@sender.example>', "sender.example"),
        ("<b@attacker.example>, <a@sender.example>", "sender.example"),
        ("a@sender.example, b@attacker.example", None),
        ("a@sender.example (<b@attacker.example>)", None),
        ("sender.example", "sender.example"),
        ("", None),
        ("<>", None),
    ],
)
def test_which_domain_a_from_field_names(sender: str, domain: str | None) -> None:
    proof = judge(report(None), headers(sender, None), (passing("sender.example"),))
    assert proof.verdict == ("pass" if domain else "pass-other")
    assert judge(report(None), headers(sender, None), (passing("attacker.example"),)).verdict == "pass-other"


@pytest.mark.parametrize(
    ("signatures", "verdict", "domain"),
    [
        ((), "none", None),
        ((failing("sender.example"),), "fail", "sender.example"),
        ((failing("other.example"),), "fail", "other.example"),
        ((failing("other.example"), failing("sender.example")), "fail", "sender.example"),
        ((failing(""),), "fail", None),
        ((unclear("sender.example"),), "error", "sender.example"),
        ((unclear("other.example"), failing("sender.example")), "error", "other.example"),
        ((passing("other.example"), unclear("sender.example")), "error", "sender.example"),
        ((passing("other.example"), unclear("third.example")), "pass-other", "other.example"),
        ((passing("other.example"), failing("sender.example")), "pass-other", "other.example"),
        ((failing("sender.example"), unclear("sender.example"), passing("sender.example")), "pass", "sender.example"),
        ((passing("list.example"), passing("sender.example")), "pass", "sender.example"),
    ],
)
def test_what_several_signatures_come_to(signatures: tuple[Signature, ...], verdict: str, domain: str | None) -> None:
    """One good signature of the submitter's is enough; one of its that can't be judged leaves it open."""
    proof = judge(report(), headers(), signatures)
    assert (proof.verdict, proof.domain) == (verdict, domain)
    assert codes(proof) == ([] if verdict == "pass" else [f"dkim-{verdict.removeprefix('pass-')}"])


def test_the_closest_signature_decides() -> None:
    below = report("tls@corp.sender.example")
    proof = judge(below, headers(), (passing("sender.example"), passing("corp.sender.example")))
    assert (proof.domain, codes(proof)) == ("corp.sender.example", [])


def test_what_kept_a_report_from_being_proven_is_told() -> None:
    proof = judge(report(), headers(), (failing("list.example"), passing("list.example"), failing("sender.example")))
    [finding] = proof.findings
    assert finding.message == (
        "not proven to come from sender.example: signed by list.example; "
        "the signature of sender.example fails: the body was changed on the way (bh=)"
    )
    assert (finding.severity, finding.where) == ("warning", "message.DKIM-Signature")
    assert "marked as not proven" in finding.consequence
    [finding] = judge(report("tls@[x]"), None, (unclear("a.example"),)).findings
    assert finding.message.endswith("who gives no domain: the signature of a.example is unclear: no answer")


# --- What a signature leaves open -------------------------------------------------------------------------------------


def test_tls_report_fields_that_are_not_signed() -> None:
    """R5.3-04, F-06: Microsoft and Mail.ru leave them out."""
    [finding] = judge(report(), headers(), (passing("sender.example", ALL - {"tls-report-submitter"}),)).findings
    assert (finding.code, finding.severity) == ("dkim-header-unsigned", "info")
    assert "does not cover TLS-Report-Submitter (RFC" in finding.message
    without = ALL - {"tls-report-submitter", "tls-report-domain"}
    [finding] = judge(report(), headers(), (passing("sender.example", without),)).findings
    assert "does not cover TLS-Report-Domain and TLS-Report-Submitter (RFC" in finding.message
    bare = headers(submitter=None, domain=None)
    assert codes(judge(report(), bare, (passing("sender.example", without),))) == []


@pytest.mark.parametrize(
    ("about", "named", "noted"),
    [
        ("ward.example", "Ward.Example.", False),
        ("mx1.ward.example", "ward.example", False),  # DANE rows name MX hosts (F-31)
        ("attacker.example", "ward.example", True),
        ("ward.example", "mx1.ward.example", True),
        ("ward.example", "no domain", True),
    ],
)
def test_a_report_filed_by_a_field_that_anybody_may_have_set(about: str, named: str, noted: bool) -> None:
    """A report about a domain of one's own, sent on with somebody else's domain on top."""
    loose = (passing("sender.example", ALL - {"tls-report-domain"}),)
    found = {each.code: each.severity for each in judge(report(about=about), headers(domain=named), loose).findings}
    assert ("dkim-report-domain-unsigned" in found) == noted
    assert found.get("dkim-report-domain-unsigned", "warning") == "warning"
    assert codes(judge(report(about=about), headers(domain=named), (passing("sender.example"),))) == []


def test_a_mail_of_another_kind_could_be_made_to_look_like_a_report() -> None:
    loose = ALL - {"content-type", "tls-report-submitter"}
    assert "dkim-content-type-unsigned" in codes(judge(report(), headers(), (passing("sender.example", loose),)))
    unsaid = ALL - {"content-type"}  # covers a field that is not there
    proof = judge(report(), headers(submitter=None), (passing("sender.example", unsaid),))
    assert codes(proof) == ["dkim-content-type-unsigned"]
    assert codes(judge(report(), headers(), (passing("sender.example", unsaid),))) == []  # as Google signs


def test_a_body_length_is_noted() -> None:
    """R3-19: allowed only because it covered everything."""
    signature = Signature(domain="sender.example", verdict="pass", signed=ALL, has_length=True)
    assert codes(judge(report(), headers(), (signature,))) == ["dkim-body-length"]


def test_of_a_gateways_word_it_is_not_known_what_was_signed() -> None:
    signature = Signature(domain="sender.example", verdict="pass", told_by="mx.ward.example")
    assert judge(report(), headers(), (signature,)) == Proof(verdict="pass", domain="sender.example")


# --- From the mail to the verdict -------------------------------------------------------------------------------------

DATA = Path(__file__).parent.parent / "data" / "reports"
GOOGLE = (DATA / "google-sts-success.eml").read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
AS_GOOGLE = ("from", "to", "subject", "date", "message-id", "mime-version", "tls-report-domain", "tls-report-submitter")
FORGED = (
    b'{"organization-name":"Google Inc.","date-range":{"start-datetime":"2026-03-01T00:00:00Z","end-datetime":'
    b'"2026-03-01T23:59:59Z"},"contact-info":"tls@google.com","report-id":"forged","policies":[{"policy":{"policy-type":'
    b'"no-policy-found","policy-domain":"ward.example"},"summary":{"total-successful-session-count":0,'
    b'"total-failure-session-count":9}}]}'
)


def proofs(mail: bytes) -> dict[str | None, Proof]:
    """Report-id -> what is proven, of every report that the door finds in a mail."""
    arrival = open_document(mail, source="test", file_name="", limits=DEFAULT_LIMITS, received_at=DAY)

    async def run(port: int) -> tuple[Signature, ...]:
        with Exchange() as exchange:
            resolver = Resolver(exchange, [Server("127.0.0.1", port)])
            return await Verifier(resolver, now=lambda: NOW).verify(arrival.raw)

    zone = {f"s1._domainkey.{name}": {"TXT": [txt(record())]} for name in ("google.com", "attacker.example")}
    with name_server(zone) as server:
        signatures = asyncio.run(run(server.port))
    return {each.report.report_id: judge(each.report, arrival.headers, signatures) for each in arrival.reports}


def test_a_report_as_google_sends_it_is_proven() -> None:
    for mail in (GOOGLE, GOOGLE.replace(b"\r\n", b"\n")):
        [proof] = proofs(sign(mail, domain="google.com", covered=AS_GOOGLE)).values()
        assert proof == Proof(verdict="pass", domain="google.com")


@pytest.mark.parametrize(
    "attack",
    [
        # JSON in the head: the door begins the body there
        b"Content-Type: application/tlsrpt+json\r\n" + FORGED + b"\r\n" + sign(GOOGLE, domain="google.com"),
        # a multipart of one's own around the signed body, whose Content-Type Google does not sign
        b'Content-Type: multipart/mixed; boundary="x"\r\n' + sign(GOOGLE, domain="google.com", covered=AS_GOOGLE)
        + b"\r\n--x\r\nContent-Type: application/tlsrpt+json\r\n\r\n" + FORGED + b"\r\n--x--\r\n",
        # one's own signature on somebody else's report
        sign(b"From: a@attacker.example\r\nContent-Type: application/tlsrpt+json\r\n\r\n" + FORGED, domain="attacker.example"),
        # the signed mail inside of one's own
        b"From: a@google.com\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n--y\r\nContent-Type: application/tlsrpt+json"
        b"\r\n\r\n" + FORGED + b"\r\n--y\r\nContent-Type: message/rfc822\r\n\r\n" + sign(GOOGLE, domain="google.com")
        + b"\r\n--y--\r\n",
    ],
    ids=["head", "appended", "own-signature", "enclosed"],
)  # fmt: skip
def test_a_forged_report_is_read_and_not_proven(attack: bytes) -> None:
    found = proofs(attack)
    assert "forged" in found
    assert all(proof.verdict != "pass" for proof in found.values())


signatures = st.lists(
    st.builds(
        Signature,
        domain=domains() | st.just(""),
        verdict=st.sampled_from(["pass", "fail", "error"]),
        reason=st.just("why"),
        signed=st.frozensets(st.sampled_from(sorted(ALL))),
        has_length=st.booleans(),
    ),
    max_size=4,
).map(tuple)


@given(reports(), st.none() | texts(), st.none() | texts(), st.none() | texts(), signatures)
def test_any_report_has_a_verdict(
    any_report: Report, sender: str | None, submitter: str | None, domain: str | None, some: tuple[Signature, ...]
) -> None:
    """Nothing raises, and only a signature that holds proves anything."""
    proof = judge(any_report, headers(sender, submitter, domain), some)
    assert (proof.verdict == "none") == (not some)
    if proof.verdict in ("pass", "pass-other"):
        assert any(each.verdict == "pass" and each.domain == (proof.domain or "") for each in some)
    if proof.verdict != "pass":
        assert len(proof.findings) == 1

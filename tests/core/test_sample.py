"""core.sample: what the demo, the tests and the benchmarks stand on must itself be true."""

from __future__ import annotations

import email
import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from datetime import date, timedelta
from ipaddress import ip_address, ip_network
from itertools import chain, product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsrpt.core.reading import read_reports
from tlsrpt.core.sample import (
    KINDS,
    PROFILES,
    SIZES,
    Event,
    Policies,
    SampleReport,
    Site,
    StsPolicy,
    Truth,
    a_site,
    all_reports,
    an_event,
    corpus,
    fleet,
    look,
    mail,
    reports,
    single,
    write,
)
from tlsrpt.core.sample.profiles import NOTHING
from tlsrpt.core.sample.seen import covers, seeded, share_out

DIGEST = "edbe952cfc487c3407109b8826453356024365d9e5465bfd2ff49e2c82bd67bf"  # of a small fleet and corpus; changes only when the samples do
DAY = date(2026, 3, 3)  # a Tuesday
UNTIL = date(2026, 3, 31)
POLICIES: tuple[Policies, ...] = ("none", "testing", "enforce", "dane", "both")
DOCUMENTATION = [ip_network(net) for net in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")]
REAL_NAMES = {"google.com", "microsoft.com", "mail.ru", "corp.mail.ru", "socketlabs.com"}


def documents(made: Iterable[SampleReport]) -> list[dict[str, Any]]:
    return [json.loads(write(report, "json")) for report in made]


def told(sender: str, fault: str | None = None, **more: Any) -> list[dict[str, Any]]:
    """The documents that a sender makes about a domain with one fault."""
    truth = single("orchard.example", (PROFILES[sender],), DAY, fault=fault, **more)
    return documents(reports(truth, truth.senders[0], DAY))


def failures(document: dict[str, Any]) -> list[tuple[str, str, str | None]]:
    """(policy-type, result-type, reason) of each failure."""
    return sorted(
        {
            (entry["policy"]["policy-type"], detail["result-type"], detail.get("failure-reason-code"))
            for entry in document["policies"]
            for detail in entry.get("failure-details") or ()
        },
        key=str,
    )


def total(document: dict[str, Any], policy_type: str | None = None) -> tuple[int, int]:
    """Successful and failed sessions, of one policy type or of all."""
    sums = [
        (entry["summary"]["total-successful-session-count"], entry["summary"]["total-failure-session-count"])
        for entry in document["policies"]
        if policy_type in (None, entry["policy"]["policy-type"])
    ]
    return sum(good for good, _ in sums), sum(bad for _, bad in sums)


# --- the same arguments give the same bytes


def test_the_same_seed_gives_the_same_bytes_everywhere() -> None:
    """The digest is fixed, so that another version of Python, or a change here, can't alter samples unnoticed."""
    made = fleet(until=UNTIL, days=9, seed=7)
    digest = hashlib.sha256()
    for report in all_reports(made.truth, made.first, made.last):
        digest.update(write(report, "json"))
        digest.update(f"{report.file_name} {report.nonce} {report.sent_at}".encode())
    for report in corpus(200, until=UNTIL, size="mix", seed=7):
        digest.update(write(report, "json"))
    assert digest.hexdigest() == DIGEST


def test_mails_are_equal_run_by_run_and_differ_by_seed() -> None:
    one, again, other = (
        [mail(report) for report in all_reports(made.truth, made.first, made.last)]
        for made in (fleet(until=UNTIL, days=2, seed=seed) for seed in (1, 1, 2))
    )
    assert one == again
    assert one != other


def test_a_report_does_not_depend_on_what_else_is_generated() -> None:
    """A fleet of one domain, or of fewer days, is a part of the whole fleet."""
    whole = fleet(until=UNTIL, days=12)
    all_of_it = {write(report, "json") for report in all_reports(whole.truth, whole.first, whole.last)}
    part = fleet(until=UNTIL, days=3, domains={"cedar.example"})
    some = [write(report, "json") for report in all_reports(part.truth, part.first, part.last)]
    assert some
    assert all_of_it.issuperset(some)


# --- senders tell the truth


@pytest.mark.parametrize("sender", PROFILES)
def test_the_sums_of_a_report_are_the_sessions_that_took_place(sender: str) -> None:
    """Each session once under the policy used, or once under every policy that applied; none where none is told."""
    for policies, fault in product(POLICIES, [None, *KINDS]):
        truth = single("orchard.example", (PROFILES[sender],), DAY, fault=fault, policies=policies)
        profile, site = truth.senders[0], truth.sites[0]
        seen = look(truth, profile, site, DAY)
        dane = sum(row.sessions for row in seen.rows if row.host.tlsa or any(e.layer == "dane" for e in row.met))
        hides = NOTHING in profile.names.values()
        for document in told(sender, fault, policies=policies)[:1]:
            sums = {kind: sum(total(document, kind)) for kind in ("sts", "tlsa", "no-policy-found")}
            if hides or profile.testing == "unverified":
                assert sum(sums.values()) <= seen.sessions
            elif profile.lists == "used":
                assert sum(sums.values()) == seen.sessions
            else:
                rest = seen.sessions - dane if profile.without_policy and seen.policy is None else 0
                assert sums == {"sts": seen.sessions if seen.policy else 0, "tlsa": dane, "no-policy-found": rest}


@pytest.mark.parametrize("sender", sorted(set(PROFILES) - {"halon", "mox"}))
def test_the_details_add_up_to_the_failures(sender: str) -> None:
    """Except where the sender cuts the list (Halon) or counts testing failures as success (mox)."""
    for fault in KINDS:
        for document in told(sender, fault):
            for entry in document["policies"]:
                counted = sum(detail["failed-session-count"] for detail in entry.get("failure-details") or ())
                assert counted == entry["summary"]["total-failure-session-count"]


def test_every_sender_sees_the_fault_on_the_day_it_began_and_not_before() -> None:
    truth = single("orchard.example", tuple(PROFILES.values()), DAY, fault="certificate-expired")
    for sender in truth.senders:
        before = documents(reports(truth, sender, DAY - timedelta(days=1)))
        assert not any(failures(document) for document in before)
        (document,) = documents(reports(truth, sender, DAY))
        assert failures(document), sender.name


@pytest.mark.parametrize(
    ("sender", "fault", "expected"),
    [
        ("google", "certificate-expired", ("sts", "certificate-expired", None)),
        ("microsoft", "certificate-expired", ("sts", "validation-failure", "VALIDATION_FAILURE")),
        ("stalwart", "certificate-expired", ("sts", "certificate-not-trusted", "invalid peer certificate: Expired")),
        ("postfix", "certificate-expired", ("sts", "certificate-expired", None)),
        ("mox", "certificate-expired", ("sts", "certificate-expired", "")),
        ("plain", "certificate-expired", ("sts", "certificate-expired", "X509_V_ERR_CERT_HAS_EXPIRED")),
        ("google", "mx-not-in-policy", ("sts", "validation-failure", None)),
        ("microsoft", "mx-not-in-policy", ("sts", "validation-failure", "MX_HOSTS_MISMATCH")),
        ("microsoft", "stale-policy", ("sts", "validation-failure", "MX_HOSTS_MISMATCH")),
        ("stalwart", "mx-not-in-policy", ("sts", "validation-failure", "MX not authorized by policy.")),
        ("mox", "mx-not-in-policy", ("sts", "validation-failure", "mtasts-policy-mx-mismatch")),
        ("microsoft", "tlsa-mismatch", ("tlsa", "tlsa-invalid", None)),
        ("stalwart", "tlsa-mismatch", ("tlsa", "certificate-not-trusted", "No matching certificates found.")),
        ("postfix", "tlsa-mismatch", ("tlsa", "certificate-not-trusted", None)),
        ("mox", "tlsa-mismatch", ("tlsa", "validation-failure", "dane-no-match")),
        ("microsoft", "sts-policy-fetch-error", ("sts", "sts-policy-fetch-error", None)),
        ("stalwart", "sts-webpki-invalid", ("sts", "sts-policy-fetch-error", "error sending request for url")),
        ("postfix", "certificate-self-signed", ("sts", "validation-failure", "self-signed_certificate")),
        ("postfix", "handshake-timeout", ("sts", "validation-failure", "tls-handshake-failure")),
        ("mox", "starttls-refused", ("sts", "starttls-not-supported", "smtp-starttls-reply-code-454")),
        ("google", "policy-not-found", ("sts", "sts-policy-fetch-error", None)),
        ("mox", "policy-not-found", ("sts", "sts-policy-fetch-error", "no-policy-served")),
        ("mox", "dnssec-signature-expired", ("tlsa", "dnssec-invalid", "dns-extended-error-7-signature-expired")),
        ("mailru", "handshake-alert", ("sts", "validation-failure", "remote error: tls: internal error")),
    ],
)
def test_each_sender_has_its_own_name_for_a_fault(
    sender: str, fault: str, expected: tuple[str, str, str | None]
) -> None:
    """D-70, F-39: one cause, several names."""
    assert failures(told(sender, fault)[0]) == [expected]


@pytest.mark.parametrize(
    ("sender", "fault", "policies"),
    [
        pytest.param("postfix", "mx-not-in-policy", "enforce", id="Postfix defers before it has a connection"),
        pytest.param("postfix", "certificate-expired", "testing", id="Postfix verifies nothing under testing"),
        pytest.param("postfix", "starttls-not-supported", "none", id="Postfix without a policy"),
        pytest.param("postfix", "sts-policy-fetch-error", "enforce", id="Postfix after a failed fetch"),
        pytest.param("google", "tlsa-mismatch", "both", id="Google does no DANE"),
        pytest.param("stalwart", "certificate-expired", "dane", id="3 1 1: dates don't count (T-11)"),
        pytest.param("google", "certificate-expired", "none", id="no policy: nothing to verify against"),
        pytest.param("google", "late", "enforce", id="late is no failure"),
    ],
)
def test_what_a_sender_does_not_see_it_does_not_tell(sender: str, fault: str, policies: Any) -> None:
    assert not any(failures(document) for document in told(sender, fault, policies=policies))


def test_a_fault_of_one_sender_one_address_or_one_session_stays_there() -> None:
    site = a_site("orchard.example", DAY)
    v6 = site.hosts[1].ipv6
    cases = {
        "one sender": Event(kind="certificate-expired", first=DAY, senders=("plain",)),
        "IPv6 only": Event(kind="starttls-not-supported", first=DAY, addresses=v6),
        "one session": Event(kind="handshake-timeout", first=DAY, sessions=1),
        "a tenth": Event(kind="protocol-version", first=DAY, share=0.1),
    }
    hit = {}
    for name, event in cases.items():
        truth = Truth(sites=(site,), senders=(PROFILES["google"], PROFILES["plain"]), events=(event,), since=DAY)
        views = {sender.name: look(truth, sender, site, DAY) for sender in truth.senders}
        hit[name] = {
            sender: (
                sum(row.sessions for row in seen.rows if row.met),
                {row.receiving_ip for row in seen.rows if row.met},
            )
            for sender, seen in views.items()
        }
    assert hit["one sender"]["google"][0] == 0 < hit["one sender"]["plain"][0]
    assert hit["IPv6 only"]["google"][1] == hit["IPv6 only"]["plain"][1] == set(v6)
    assert hit["one session"]["google"][0] == hit["one session"]["plain"][0] == 1
    assert 0 < hit["a tenth"]["google"][0] < 40


def test_the_name_in_the_greeting_is_told_by_senders_that_give_it() -> None:
    """A filter on the way, or a provider's host behind an alias, greets under another name than the MX has."""
    site = a_site("orchard.example", DAY)
    event = Event(kind="starttls-not-supported", first=DAY, hosts=(site.hosts[1].name,), helo="filter.example")
    truth = Truth(sites=(site,), senders=(PROFILES["google"], PROFILES["plain"]), events=(event,), since=DAY)
    google, plain = (documents(reports(truth, sender, DAY))[0] for sender in truth.senders)
    helos = [
        {detail.get("receiving-mx-helo") for entry in document["policies"] for detail in entry["failure-details"]}
        for document in (google, plain)
    ]
    assert helos == [{None}, {"filter.example"}]


def test_an_event_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="no such kind"):
        Event(kind="certificate-expird", first=DAY)


# --- habits (field-notes-reports.md)


def test_microsoft_lists_the_same_sessions_twice_with_nested_records() -> None:
    """F-31, F-32, F-34."""
    (document,) = told("microsoft", policies="both")
    assert total(document, "sts") == total(document, "tlsa")
    nested = [e["policy"]["policy-string"] for e in document["policies"] if e["policy"]["policy-type"] == "tlsa"]
    assert all(len(strings) == 1 and json.loads(strings[0])[0].startswith("3 1 1 ") for strings in nested)
    assert not any("mx-host" in entry["policy"] for entry in document["policies"])


def test_microsoft_gives_no_host_for_a_policy_mismatch() -> None:
    """D-71."""
    (document,) = told("microsoft", "mx-not-in-policy")
    (detail,) = document["policies"][0]["failure-details"]
    assert set(detail) == {"result-type", "failure-reason-code", "failed-session-count"}


def test_google_leaves_the_sending_address_empty_for_a_policy_mismatch() -> None:
    """F-37."""
    (document,) = told("google", "mx-not-in-policy")
    details = document["policies"][0]["failure-details"]
    assert {detail["sending-mta-ip"] for detail in details} == {""}


def test_postfix_files_dane_under_the_mx_host_and_leaves_the_domain_out_without_a_policy() -> None:
    """F-30, F-31, F-46."""
    (dane,), (none,) = told("postfix", policies="dane"), told("postfix", policies="none")
    assert [e["policy"]["policy-domain"] for e in dane["policies"]] == ["mx1.orchard.example", "mx2.orchard.example"]
    assert [entry["policy"] for entry in none["policies"]] == [{"policy-type": "no-policy-found"}]
    assert list(dane)[-1] == "report-id"
    assert list(dane["policies"][0]) == ["summary", "policy", "failure-details"]


def test_mox_reports_only_failures_and_to_the_mx_host_as_well() -> None:
    """F-31, F-43."""
    assert told("mox", policies="dane") == []
    to_domain, to_host = told("mox", "tlsa-mismatch")
    assert [entry["policy"]["policy-domain"] for entry in to_host["policies"]] == ["orchard.example"]
    assert [entry["policy"]["mx-host"] for entry in to_host["policies"]] == [["mx2.orchard.example"]]
    assert total(to_host)[1] == total(to_domain)[1] > 0


def test_mox_counts_a_failure_under_testing_as_a_success_with_details() -> None:
    """A-18."""
    (document,) = told("mox", "certificate-expired", policies="testing")
    assert total(document)[1] == 0
    assert failures(document)


def test_stalwart_writes_null_and_ends_at_the_next_midnight() -> None:
    """F-22, F-24, F-36."""
    (document,) = told("stalwart", "tlsa-mismatch")
    assert document["contact-info"] is None
    assert document["date-range"]["end-datetime"] == "2026-03-04T00:00:00Z"
    assert {detail["receiving-mx-helo"] for e in document["policies"] for detail in e["failure-details"]} == {None}


def test_newer_stalwart_covers_24_hours_from_the_first_event() -> None:
    """F-23."""
    truth = single("orchard.example", (PROFILES["stalwart-rolling"],), DAY)
    (report,) = reports(truth, truth.senders[0], DAY)
    assert report.start.date() == DAY
    assert report.end - report.start == timedelta(days=1)
    assert report.start.time().isoformat() != "00:00:00"


def test_halon_gives_one_id_to_all_domains_of_a_run_and_ten_rows_at_most() -> None:
    """F-26, F-29."""
    made = fleet(until=UNTIL, days=1)
    halon = [report for report in all_reports(made.truth, UNTIL, UNTIL) if report.profile.name == "halon"]
    assert len(halon) > 3
    assert len({report.report_id for report in halon}) == 1


def test_late_reports_come_days_later_and_silent_senders_send_none() -> None:
    """F-51."""
    on_time, late = (
        next(reports(truth, truth.senders[0], DAY)).sent_at
        for truth in (single("orchard.example", (PROFILES["microsoft"],), DAY, fault=fault) for fault in (None, "late"))
    )
    assert late - on_time == timedelta(days=12)
    assert told("microsoft", "silent") == []


def test_a_loop_of_report_mails_is_one_success_a_day() -> None:
    """F-52."""
    assert total(told("stalwart", "report-loop")[0]) == (1, 0)


@pytest.mark.parametrize("sender", PROFILES)
def test_only_reserved_names_and_addresses_occur(sender: str) -> None:
    """RFC 2606, RFC 5737, RFC 3849; senders that are known by their names keep them."""
    profile = PROFILES[sender]
    assert profile.submitter.endswith(".example") or profile.submitter in REAL_NAMES
    for document in chain.from_iterable(told(sender, fault) for fault in KINDS):
        for detail in chain.from_iterable(entry.get("failure-details") or () for entry in document["policies"]):
            for text in filter(None, (detail.get("sending-mta-ip"), detail.get("receiving-ip"))):
                address = ip_address(text)
                assert any(address in net for net in DOCUMENTATION if net.version == address.version)


# --- as our own reader sees them

_NULLS = {"null-contact-info", "null-additional-information", "null-receiving-mx-helo", "null-failure-reason-code"}
_NULLS |= {"null-sending-mta-ip", "null-receiving-mx-hostname", "null-receiving-ip"}  # where the policy was not had
DEVIATIONS: dict[str, set[str]] = {
    "plain": set(),
    "google": {"empty-sending-mta-ip"},
    "microsoft": {"nested-policy-string", "missing-sending-mta-ip", "missing-receiving-mx-hostname"},
    "mailru": {"missing-sending-mta-ip", "missing-receiving-mx-hostname"},
    "stalwart": _NULLS,
    "stalwart-rolling": _NULLS | {"window-not-one-day"},
    "postfix": {"missing-policy-domain"},
    "mox": {
        "empty-additional-information",
        "empty-failure-reason-code",
        "empty-sending-mta-ip",
        "empty-receiving-mx-hostname",
        "empty-receiving-ip",
        "count-mismatch",
    },
    "halon": {"type-policy-string", "format-policy-string", "missing-sending-mta-ip"},
    "socketlabs": {"renamed-receiving-mx-hostname"},
}


@pytest.mark.parametrize("sender", PROFILES)
def test_each_sender_shows_its_known_deviations_and_no_other(sender: str) -> None:
    """F-22 to F-46: over every fault and every set of policies, each is met at least once."""
    met: set[str] = set()
    for policies, fault in product(POLICIES, [None, *KINDS]):
        truth = single("orchard.example", (PROFILES[sender],), DAY, fault=fault, policies=policies)
        for report in reports(truth, truth.senders[0], DAY):
            (read,) = read_reports(write(report, "json.gz"), report_domain=report.report_domain)
            met |= {finding.code for finding in read.findings}
            assert (read.report.report_id, read.report.contact_info) == (
                report.report_id,
                PROFILES[sender].contact_info,
            )
            assert (read.report.successful, read.report.failed) == total(report.document)
    assert met == DEVIATIONS[sender]


def test_a_corpus_reads_without_a_finding() -> None:
    for report in corpus(100, until=UNTIL, size="mix"):
        (read,) = read_reports(write(report, "json.gz"), report_domain=report.report_domain)
        assert read.findings == ()


# --- mails


@pytest.mark.parametrize("sender", PROFILES)
def test_a_mail_is_a_report_mail_and_carries_its_report(sender: str) -> None:
    """R5.3-01, R5.3-02, R5.1-01; header and body in lines that SMTP can carry."""
    truth = single("orchard.example", (PROFILES[sender],), DAY, fault="certificate-expired")
    (report,) = reports(truth, truth.senders[0], DAY)
    raw = mail(report)
    assert raw.isascii()
    assert all(len(line) <= 998 and b"\n" not in line for line in raw.split(b"\r\n"))
    message = email.message_from_bytes(raw)
    assert not message.defects
    assert (message.get_content_type(), message.get_param("report-type")) == ("multipart/report", "tlsrpt")
    assert message["TLS-Report-Domain"] == "orchard.example"
    assert message["TLS-Report-Submitter"] == PROFILES[sender].submitter
    assert email.utils.parsedate_to_datetime(message["Date"]) == report.sent_at
    _, part = message.get_payload()
    data = part.get_payload(decode=True)
    assert part.get_content_type() == "application/tlsrpt+" + ("json" if sender == "halon" else "gzip")
    assert part.get_filename() == report.file_name
    assert (data if sender == "halon" else gzip.decompress(data)) == write(report, "json")


def test_gzip_holds_no_time_and_no_system() -> None:
    """Else the bytes would differ between versions of Python."""
    truth = single("orchard.example", (PROFILES["plain"],), DAY)
    (report,) = reports(truth, truth.senders[0], DAY)
    assert write(report, "json.gz")[:10] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"


# --- the fleet


@pytest.fixture(scope="module")
def fleet_rows() -> list[tuple[SampleReport, dict[str, Any]]]:
    made = fleet(until=UNTIL)
    return [(report, report.document) for report in all_reports(made.truth, made.first, made.last)]


def test_every_planted_fault_is_in_the_reports_from_its_first_day_to_its_last(
    fleet_rows: list[tuple[SampleReport, dict[str, Any]]],
) -> None:
    made = fleet(until=UNTIL)
    noisy = {(event.first, domain) for event in made.noise for domain in event.domains}
    assert len(made.faults) == 5
    for event in made.faults:
        domains = {site.domain for site in made.truth.sites_of(event)}
        days = {report.day for report, document in fleet_rows if report.report_domain in domains and failures(document)}
        days -= {day for day, domain in noisy if domain in domains}
        last = event.last or UNTIL
        assert min(days) == event.first, event.note
        assert max(days) == last, event.note
        assert len(days) == (last - event.first).days + 1, event.note


def test_the_expired_certificate_strikes_every_domain_of_the_shared_host(
    fleet_rows: list[tuple[SampleReport, dict[str, Any]]],
) -> None:
    hit = Counter(
        report.report_domain
        for report, document in fleet_rows
        if report.profile.name == "google" and ("sts", "certificate-expired", None) in failures(document)
    )
    assert dict(hit) == dict.fromkeys(("orchard.example", "meadow.example", "vineyard.example"), 24)


def test_nothing_fails_where_nothing_is_planted(fleet_rows: list[tuple[SampleReport, dict[str, Any]]]) -> None:
    """A healthy domain is healthy; the one fetch error of cedar.example is declared noise."""
    failed = {report.report_domain for report, document in fleet_rows if total(document)[1]}
    assert failed & set(fleet(until=UNTIL).healthy) == {"cedar.example"}
    cedar = [failures(d) for report, d in fleet_rows if report.report_domain == "cedar.example" and failures(d)]
    assert cedar == [[("sts", "sts-policy-fetch-error", None)]]


def test_a_domain_is_sixty_days_in_testing_and_was_without_policy_before(
    fleet_rows: list[tuple[SampleReport, dict[str, Any]]],
) -> None:
    kinds = {
        report.day: document["policies"][0]["policy"]["policy-type"]
        for report, document in fleet_rows
        if report.report_domain == "grove.example" and report.profile.name == "google"
    }
    assert Counter(kinds.values()) == {"sts": 60, "no-policy-found": 30}
    assert max(day for day, kind in kinds.items() if kind != "sts") == UNTIL - timedelta(days=60)


def test_traffic_rests_at_weekends_and_grows(fleet_rows: list[tuple[SampleReport, dict[str, Any]]]) -> None:
    google = [
        (report.day, sum(total(document)))
        for report, document in fleet_rows
        if report.profile.name == "google" and report.report_domain == "orchard.example"
    ]
    assert len(google) == 90
    weekend = [count for day, count in google if day.weekday() > 4]
    week = [count for day, count in google if day.weekday() <= 4]
    assert sum(weekend) / len(weekend) < 0.5 * sum(week) / len(week)
    assert sum(count for _, count in google[-28:]) > sum(count for _, count in google[:28])


def test_a_fleet_needs_a_day() -> None:
    with pytest.raises(ValueError, match="at least one day"):
        fleet(until=UNTIL, days=0)


# --- the corpus


@pytest.mark.parametrize("size", ["small", "typical", "medium", "large"])
def test_a_corpus_has_the_policies_and_failures_it_says(size: Any) -> None:
    for document in documents(corpus(5, until=UNTIL, size=size)):
        details = [len(entry.get("failure-details", ())) for entry in document["policies"]]
        assert (len(details), sum(details)) == SIZES[size]
        assert (
            sum(
                detail["failed-session-count"]
                for entry in document["policies"]
                for detail in entry.get("failure-details", ())
            )
            == total(document)[1]
        )


def test_no_two_reports_of_a_corpus_are_the_same() -> None:
    made = list(corpus(500, until=UNTIL, domains=2, senders=2, days=2))
    assert len({(report.report_id, report.profile.submitter) for report in made}) == 500
    assert len({report.file_name for report in made}) == 500


def test_a_corpus_is_made_one_by_one() -> None:
    """A million reports cost no more memory than one: the first is there at once."""
    assert next(iter(corpus(10**12, until=UNTIL))).report_domain.endswith(".example")


# --- small parts


@given(
    st.integers(0, 10**9),
    st.lists(st.floats(0.001, 1000), min_size=1, max_size=30),
    st.integers(),
)
def test_sharing_out_loses_and_invents_no_session(count: int, weights: list[float], seed: int) -> None:
    parts = share_out(count, weights, seeded(seed))
    assert sum(parts) == count
    assert min(parts) >= 0


@pytest.mark.parametrize(
    ("pattern", "host", "yes"),
    [
        ("mx1.example.com", "mx1.example.com", True),
        ("*.example.com", "mx1.example.com", True),
        ("*.example.com", "a.mx1.example.com", False),
        ("*.example.com", "example.com", False),
        ("mx1.example.com", "mx2.example.com", False),
    ],
)
def test_a_policy_lists_a_host_by_rfc_8461(pattern: str, host: str, yes: bool) -> None:
    """S4-01."""
    assert covers(StsPolicy(mode="enforce", mx=(pattern,)), host) is yes


def test_an_event_made_for_a_site_strikes_its_last_host() -> None:
    site: Site = a_site("orchard.example", DAY)
    assert an_event("certificate-expired", site, DAY).hosts == ("mx2.orchard.example",)
    assert an_event("sts-policy-fetch-error", site, DAY).hosts == ()

"""Writing reports: what RFC 8460 sections 4.4 and 5.1 say, and what reads back equal."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings
from msgspec.structs import replace

from tests.strategies import reports
from tlsrpt.core.errors import DomainError
from tlsrpt.core.filename import file_name_findings, parse_file_name
from tlsrpt.core.reading import parse_report
from tlsrpt.core.report import DateRange, Report
from tlsrpt.core.writing import file_name, gzip_report, write_report

SAMPLES = Path(__file__).parent.parent / "data" / "reports"
CONFORMANT = ["google-sts-failures.json", "microsoft-policy-fetch-error.json", "three-domains-one-report.json.gz"]


@pytest.mark.parametrize("name", CONFORMANT)
def test_a_report_that_keeps_to_the_rfc_writes_back_to_equal_json(name: str) -> None:
    """All of section 4.4 as typed values: nothing added, nothing lost."""
    raw = (SAMPLES / name).read_bytes()
    text = gzip.decompress(raw) if name.endswith(".gz") else raw
    assert json.loads(write_report(parse_report(raw).report)) == json.loads(text)


def test_keys_stand_in_the_order_of_the_rfc() -> None:
    """Section 4.4's order, so that people and other programs find them where they expect them."""
    written = write_report(parse_report((SAMPLES / "google-sts-failures.json").read_bytes()).report).decode()
    keys = ["organization-name", "date-range", "contact-info", "report-id", "policies", "policy-type", "policy-string"]
    keys += ["policy-domain", "mx-host", "summary", "failure-details", "result-type", "sending-mta-ip", "receiving-ip"]
    places = [written.index(f'"{key}":') for key in keys]
    assert places == sorted(places)
    assert ": " not in written.replace("version: ", "").replace("mode: ", "").replace("mx: ", "").replace(
        "max_age: ", ""
    )


def test_the_window_is_written_in_utc() -> None:
    """A-06: `T00:00:00Z`, whatever offset it was made with."""
    report = parse_report((SAMPLES / "google-sts-failures.json").read_bytes()).report
    zone = timezone(timedelta(hours=2))
    window = DateRange(
        start_datetime=datetime(2026, 3, 2, 2, tzinfo=zone), end_datetime=datetime(2026, 3, 3, 1, 59, 59, tzinfo=zone)
    )
    assert write_report(replace(report, date_range=window)) == write_report(report)
    assert b'"start-datetime":"2026-03-02T00:00:00Z"' in write_report(report)


def test_the_file_name_is_made_of_domains() -> None:
    """R5.1-01 to R5.1-03, A-12: the contact's domain, not the organisation's name, which is free text."""
    report = parse_report((SAMPLES / "google-sts-failures.json").read_bytes()).report
    report = replace(report, organization_name="Bang! Inc.", contact_info="tls@Bücher.example")
    name = file_name(report, "Harbour.Example.", unique_id="001")
    assert name == "xn--bcher-kva.example!harbour.example!1772409600!1772495999!001.json.gz"
    assert file_name(report, "harbour.example", suffix="json").endswith("!1772495999.json")
    assert file_name_findings(name) == ()


def test_a_file_name_that_cannot_be_made_is_refused() -> None:
    """No domain, no name; and a caller's slip is no reason for a wrong one."""
    report = parse_report((SAMPLES / "google-sts-failures.json").read_bytes()).report
    with pytest.raises(DomainError):
        file_name(replace(report, contact_info=None), "harbour.example")
    with pytest.raises(DomainError):
        file_name(report, "../etc")
    with pytest.raises(ValueError, match="suffix"):
        file_name(report, "harbour.example", suffix="zip")
    with pytest.raises(ValueError, match="unique_id"):
        file_name(report, "harbour.example", unique_id="a!b")


@settings(deadline=None)
@given(reports())
def test_equal_reports_give_equal_bytes(report: Report) -> None:
    """Gzip has no time stamp: what is sent again is the same to the byte."""
    assert gzip_report(report) == gzip_report(parse_report(gzip_report(report)).report)
    assert gzip.decompress(gzip_report(report)) == write_report(report)


@settings(deadline=None)
@given(reports())
def test_a_written_file_name_reads_back(report: Report) -> None:
    """Section 5.1, both ways."""
    parsed = parse_file_name(file_name(report, report.policies[0].policy.policy_domain, unique_id="7"))
    assert parsed is not None
    assert parsed.domain == report.policies[0].policy.policy_domain
    assert parsed.begin == int(report.date_range.start_datetime.astimezone(UTC).timestamp())

"""Reading reports from outside: what the world sends is read, and every departure is noted (field-notes-reports.md)."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.strategies import broken_documents, reports
from tlsrpt.core import exact
from tlsrpt.core.errors import LimitError, NoReportError, ReportError, StrictError, TlsrptError
from tlsrpt.core.jsontext import decode, documents
from tlsrpt.core.lenient import Around, read_report
from tlsrpt.core.limits import DEFAULT_LIMITS, Limits
from tlsrpt.core.notes import Notes
from tlsrpt.core.reading import ReadReport, parse_report, read_document, read_reports
from tlsrpt.core.report import POLICY_TYPES, RESULT_TYPES, Report
from tlsrpt.core.writing import gzip_report, write_report

SAMPLES = Path(__file__).parent.parent / "data" / "reports"
INDEX = list(csv.DictReader((SAMPLES / "index.tsv").open(encoding="utf-8"), delimiter="\t"))
DOCUMENTS = [row for row in INDEX if not row["file"].endswith(".eml")]


# Other work on the machine must not fail a law: no time limit for one example.
slowly = settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])


def a_report(**changes: Any) -> dict[str, Any]:
    """A report as plain JSON that keeps to the RFC; a change is given by its path, DROP takes the key out."""
    report: dict[str, Any] = {
        "organization-name": "Sender Example",
        "date-range": {"start-datetime": "2026-03-01T00:00:00Z", "end-datetime": "2026-03-01T23:59:59Z"},
        "contact-info": "tls@sender.example",
        "report-id": "r-1",
        "policies": [an_entry()],
    }
    return report | changes


def an_entry(policy: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "policy": {"policy-type": "sts", "policy-domain": "orchard.example"} | (policy or {}),
        "summary": {"total-successful-session-count": 5, "total-failure-session-count": 2},
        "failure-details": [a_row()],
    }
    return entry | changes


def a_row(**changes: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "result-type": "certificate-expired",
        "sending-mta-ip": "192.0.2.1",
        "receiving-mx-hostname": "mx1.orchard.example",
        "failed-session-count": 2,
    }
    return row | changes


def without(value: dict[str, Any], *path: str | int) -> dict[str, Any]:
    """A copy of a document without one key."""
    copy = json.loads(json.dumps(value))
    place = copy
    for step in path[:-1]:
        place = place[step]
    del place[path[-1]]
    return copy


def read(value: object, **options: Any) -> ReadReport:
    return parse_report(json.dumps(value).encode(), **options)


def codes(value: object, **options: Any) -> list[str]:
    return [finding.code for finding in read(value, **options).findings]


# --- the samples -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", DOCUMENTS, ids=lambda row: str(row["file"]))
def test_each_sample_gives_what_the_index_says(row: dict[str, str]) -> None:
    """Outcome, numbers of reports and policies, both session counts, and each deviation by kind and field."""
    path = SAMPLES / row["file"]
    if row["outcome"] == "quarantine":
        with pytest.raises(ReportError):
            read_reports(path.read_bytes(), file_name=path.name)
        return
    found = read_reports(path.read_bytes(), file_name=path.name)
    got = (
        len(found),
        sum(len(item.report.policies) for item in found),
        sum(item.report.successful for item in found),
        sum(item.report.failed for item in found),
    )
    assert got == tuple(int(row[key]) for key in ("reports", "policies", "successful", "failed"))
    noted = {(finding.code, finding.where) for item in found for finding in item.findings if finding.severity != "info"}
    wanted = [] if row["deviations"] == "-" else [deviation.strip() for deviation in row["deviations"].split(";")]
    for deviation in wanted:
        kind, _, field = deviation.partition(" ")
        name = field.rpartition(".")[2]
        assert any(
            code.startswith(kind) and (name in code or name in where or kind in ("trailing-data", "encoding", "extra"))
            for code, where in noted
        ), f"{deviation} not in {noted}"
    assert len(noted) == len(wanted), f"{noted} but the index names {wanted}"


def test_every_message_says_what_how_it_was_read_and_where() -> None:
    """A finding is for a person: no empty message, no control character, a path that is in the document."""
    for row in DOCUMENTS:
        if row["outcome"].startswith("read"):
            for item in read_reports((SAMPLES / row["file"]).read_bytes(), file_name=row["file"]):
                for finding in item.findings:
                    assert finding.message.isprintable()
                    assert finding.message
                    assert finding.consequence


def test_the_registry_is_the_rfcs() -> None:
    """R4.3-01 to R4.3-11, and the three policy types of section 4.4."""
    assert len(RESULT_TYPES) == 11
    assert {"tlsa", "sts", "no-policy-found"} == POLICY_TYPES


# --- one deviation at a time -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "wanted"),
    [
        pytest.param(a_report(), [], id="nothing odd"),
        pytest.param(without(a_report(), "organization-name"), ["missing-organization-name"], id="no organisation"),
        pytest.param(without(a_report(), "contact-info"), ["missing-contact-info"], id="no contact"),
        pytest.param(without(a_report(), "report-id"), ["missing-report-id"], id="no id"),
        pytest.param(a_report(**{"contact-info": None}), ["null-contact-info"], id="F-24"),
        pytest.param(a_report(**{"contact-info": ""}), ["empty-contact-info"], id="empty contact"),
        pytest.param(a_report(**{"contact-info": "TLS team <tls@sender.example>"}), ["format-contact-info"], id="name"),
        pytest.param(a_report(**{"contact-info": ["tls@sender.example"]}), ["type-contact-info"], id="contact array"),
        pytest.param(a_report(**{"contact-info": "https://x.example/c"}), ["format-contact-info"], id="contact URL"),
        pytest.param(a_report(**{"contact-info": "tls@Sender.EXAMPLE"}), [], id="capitals are legal in an address"),
        pytest.param(a_report(**{"report-id": 17}), ["type-report-id"], id="F-28 id as number"),
        pytest.param(a_report(**{"report-id": " r-1 "}), ["format-report-id"], id="blanks around the id"),
        pytest.param(a_report(note="x"), ["extra-key"], id="F-45"),
        pytest.param(a_report(policies=[]), ["empty-policies"], id="F-44 empty"),
        pytest.param(a_report(policies=None), ["null-policies"], id="null policies"),
        pytest.param(a_report(policies=an_entry()), ["type-policies"], id="policies is one object"),
        pytest.param(a_report(policies=[None, an_entry()]), ["skipped-policy"], id="F-44 null entry"),
        pytest.param(a_report(policies=["x", an_entry()]), ["skipped-policy"], id="an entry that is a string"),
        pytest.param(a_report(policies=json.dumps([an_entry()])), ["nested-policies"], id="policies as a string"),
        pytest.param(
            a_report(policies=[an_entry({"policy-type": "dane-only"})]), ["unknown-policy-type"], id="F-40 policy type"
        ),
        pytest.param(a_report(policies=[an_entry({"policy-type": "STS"})]), ["format-policy-type"], id="capitals"),
        pytest.param(a_report(policies=[an_entry({"policy-type": None})]), ["null-policy-type"], id="null type"),
        pytest.param(a_report(policies=[an_entry({"policy-string": []})]), [], id="F-33 empty array"),
        pytest.param(a_report(policies=[an_entry({"policy-string": None})]), ["null-policy-string"], id="A-04 null"),
        pytest.param(a_report(policies=[an_entry({"policy-string": ""})]), ["type-policy-string"], id="F-33 string"),
        pytest.param(a_report(policies=[an_entry({"policy-string": [""]})]), ["empty-policy-string"], id="empty line"),
        pytest.param(a_report(policies=[an_entry({"policy-string": [7]})]), ["type-policy-string"], id="number line"),
        pytest.param(
            a_report(policies=[an_entry({"policy-string": ["version: STSv1\r"]})]),
            ["format-policy-string"],
            id="F-33 CR",
        ),
        pytest.param(a_report(policies=[an_entry({"mx-host": []})]), [], id="F-34 empty array"),
        pytest.param(
            a_report(policies=[an_entry({"mx-host": "*.orchard.example"})]), ["type-mx-host"], id="F-34 string"
        ),
        pytest.param(a_report(policies=[an_entry({"mx-host": ["MX.Orchard.example"]})]), ["format-mx-host"], id="F-49"),
        pytest.param(a_report(policies=[an_entry({"mx-host": [None]})]), ["null-mx-host"], id="null host"),
        pytest.param(
            a_report(policies=[an_entry({"mx-host-pattern": ["mx1.orchard.example"]})]), ["renamed-mx-host"], id="F-35"
        ),
        pytest.param(a_report(policies=[an_entry({"note": 1})]), ["extra-key"], id="extra in a policy"),
        pytest.param(
            a_report(policies=[an_entry(summary={})]),
            ["missing-total-successful-session-count", "missing-total-failure-session-count", "count-mismatch"],
            id="empty summary",
        ),
        pytest.param(a_report(policies=[an_entry(**{"failure-details": []})]), [], id="F-36 not itemised"),
        pytest.param(a_report(policies=[an_entry(**{"failure-details": None})]), ["null-failure-details"], id="F-36"),
        pytest.param(
            a_report(policies=[an_entry(**{"failure-details": a_row()})]), ["type-failure-details"], id="object"
        ),
        pytest.param(
            a_report(policies=[an_entry(**{"failure-details": [a_row(), None]})]),
            ["skipped-failure-detail"],
            id="null row",
        ),
        pytest.param(
            a_report(policies=[an_entry(**{"failure-details": [a_row(), a_row()]})]), ["count-mismatch"], id="F-29 more"
        ),
        pytest.param(
            a_report(policies=[an_entry(**{"failure-details": [a_row(**{"failed-session-count": 1})]})]),
            ["count-mismatch"],
            id="F-29 fewer",
        ),
    ],
)
def test_a_deviation_is_noted_under_its_kind(document: dict[str, Any], wanted: list[str]) -> None:
    """Each departure from section 4.4 is one finding, and nothing else is noted."""
    assert codes(document) == wanted


@pytest.mark.parametrize(
    ("change", "wanted", "attribute", "value"),
    [
        pytest.param({"result-type": "Certificate_Expired"}, ["format-result-type"], "result_type", "certificate-expired", id="word"),
        pytest.param({"result-type": "tls-too-old"}, ["unknown-result-type"], "result_type", "tls-too-old", id="F-40"),
        pytest.param({"result-type": None}, ["null-result-type"], "result_type", None, id="null type"),
        pytest.param({"result-type": ""}, ["empty-result-type"], "result_type", None, id="empty type"),
        pytest.param({"sending-mta-ip": ""}, ["empty-sending-mta-ip"], "sending_mta_ip", None, id="F-37 empty"),
        pytest.param({"sending-mta-ip": None}, ["null-sending-mta-ip"], "sending_mta_ip", None, id="F-37 null"),
        pytest.param({"sending-mta-ip": "[192.0.2.7]"}, ["format-sending-mta-ip"], "sending_mta_ip", "192.0.2.7", id="F-42 brackets"),
        pytest.param({"sending-mta-ip": "192.0.2.7:25"}, ["format-sending-mta-ip"], "sending_mta_ip", "192.0.2.7", id="F-42 port"),
        pytest.param({"sending-mta-ip": "[2001:db8::1]:25"}, ["format-sending-mta-ip"], "sending_mta_ip", "2001:db8::1", id="v6 port"),
        pytest.param({"sending-mta-ip": "::ffff:192.0.2.7"}, ["format-sending-mta-ip"], "sending_mta_ip", "192.0.2.7", id="F-42 mapped"),
        pytest.param({"sending-mta-ip": "::FFFF:c000:207"}, ["format-sending-mta-ip"], "sending_mta_ip", "192.0.2.7", id="mapped hex"),
        pytest.param({"sending-mta-ip": "192.000.002.007"}, ["format-sending-mta-ip"], "sending_mta_ip", "192.0.2.7", id="R4.4-20 zeros"),
        pytest.param({"sending-mta-ip": "IPv6:2001:db8::1"}, ["format-sending-mta-ip"], "sending_mta_ip", "2001:db8::1", id="literal"),
        pytest.param({"sending-mta-ip": "fe80::1%eth0"}, ["format-sending-mta-ip"], "sending_mta_ip", "fe80::1", id="zone"),
        pytest.param({"sending-mta-ip": "2001:DB8:0:0:0:0:0:1"}, [], "sending_mta_ip", "2001:DB8:0:0:0:0:0:1", id="R4.4-21 any form"),
        pytest.param({"sending-mta-ip": "out.sender.example"}, ["format-sending-mta-ip"], "sending_mta_ip", "out.sender.example", id="F-42 name"),
        pytest.param({"receiving-ip": "300.1.1.1"}, ["format-receiving-ip"], "receiving_ip", "300.1.1.1", id="no address"),
        pytest.param({"receiving-mx-hostname": "MX1.Orchard.example."}, ["format-receiving-mx-hostname"], "receiving_mx_hostname", "mx1.orchard.example", id="F-49"),
        pytest.param({"receiving-mx-hostname": "mx.bücher.example"}, ["format-receiving-mx-hostname"], "receiving_mx_hostname", "mx.xn--bcher-kva.example", id="F-49 U-label"),
        pytest.param({"receiving-mx-hostname": "192.0.2.7"}, ["format-receiving-mx-hostname"], "receiving_mx_hostname", "192.0.2.7", id="address for a name"),
        pytest.param({"receiving-mx-hostname": "not a host"}, ["format-receiving-mx-hostname"], "receiving_mx_hostname", "not a host", id="no name"),
        pytest.param({"receiving-mx-helo": None}, ["null-receiving-mx-helo"], "receiving_mx_helo", None, id="F-36 helo"),
        pytest.param({"receiving-mx-helo": "mx1\r\n250 SIZE"}, [], "receiving_mx_helo", "mx1\r\n250 SIZE", id="A-21 whole EHLO"),
        pytest.param({"additional-information": ""}, ["empty-additional-information"], "additional_information", None, id="mox"),
        pytest.param({"additional-information": "see our page"}, ["format-additional-information"], "additional_information", "see our page", id="E-03"),
        pytest.param({"failure-reason-code": 70}, ["type-failure-reason-code"], "failure_reason_code", "70", id="number"),
        pytest.param({"failed-session-count": "2"}, ["type-failed-session-count"], "failed_session_count", 2, id="F-28 string"),
        pytest.param({"failed-session-count": 2.0}, ["type-failed-session-count"], "failed_session_count", 2, id="F-28 2.0"),
        pytest.param({"failed-session-count": " +2 "}, ["type-failed-session-count"], "failed_session_count", 2, id="sign"),
        pytest.param({"failed-session-count": None}, ["null-failed-session-count", "count-mismatch"], "failed_session_count", 0, id="F-28 null"),
        pytest.param({"receivingMXHeloX": "x"}, ["extra-key"], "receiving_mx_helo", None, id="F-45"),
        pytest.param({"receivingMxHelo": "x"}, ["renamed-receiving-mx-helo"], "receiving_mx_helo", "x", id="camel case"),
        pytest.param({"failure_error_code": "x"}, ["renamed-failure-reason-code"], "failure_reason_code", "x", id="F-35 draft"),
        pytest.param({"additional-info-uri": "x:y"}, ["renamed-additional-information"], "additional_information", "x:y", id="E-06"),
    ],
)  # fmt: skip
def test_a_row_is_read_for_what_it_means(
    change: dict[str, Any], wanted: list[str], attribute: str, value: object
) -> None:
    """A value in an odd form is read in the RFC's where it can mean only one thing, else kept as sent."""
    found = read(a_report(policies=[an_entry(**{"failure-details": [a_row(**change)]})]))
    assert [finding.code for finding in found.findings] == wanted
    assert found.report.policies[0].failure_details is not None
    assert getattr(found.report.policies[0].failure_details[0], attribute) == value


@pytest.mark.parametrize("key", ["sending-mta-ip", "receiving-mx-hostname", "result-type"])
def test_a_row_that_lacks_what_it_must_have_is_noted(key: str) -> None:
    """F-37, F-41: missing where there was a connection."""
    row = a_row()
    del row[key]
    assert codes(a_report(policies=[an_entry(**{"failure-details": [row]})])) == [f"missing-{key}"]


@pytest.mark.parametrize("result", ["sts-policy-fetch-error", "sts-policy-invalid", "sts-webpki-invalid"])
def test_a_policy_stage_failure_has_no_addresses(result: str) -> None:
    """F-38: no connection was made, so none is missing."""
    row = {"result-type": result, "failed-session-count": 2}
    assert codes(a_report(policies=[an_entry(**{"failure-details": [row]})])) == []


@pytest.mark.parametrize(
    ("strings", "kind", "wanted", "code"),
    [
        pytest.param(["version: STSv1 mode: enforce mx: a.example max_age: 86400"], "sts", ["version: STSv1", "mode: enforce", "mx: a.example", "max_age: 86400"], "format", id="all in one"),
        pytest.param("version: STSv1\r\nmode: testing\r\n", "sts", ["version: STSv1", "mode: testing"], "type", id="a string of lines"),
        pytest.param(['["3 1 1 ABCD","2 1 1 EF01"]'], "tlsa", ["3 1 1 ABCD", "2 1 1 EF01"], "nested", id="F-32"),
        pytest.param('["version: STSv1"]', "sts", ["version: STSv1"], "type", id="nested in a string"),
        pytest.param(["3 1 1 ( AB CD )"], "tlsa", ["3 1 1 ABCD"], "format", id="R4.5-01"),
        pytest.param(["3 1 1 ABCD; 2 1 1 EF01"], "tlsa", ["3 1 1 ABCD", "2 1 1 EF01"], "format", id="E-02"),
        pytest.param(["no record"], "tlsa", ["no record"], "format", id="no TLSA"),
        pytest.param(["mx: a.example", "colour: blue", "mode enforce"], "sts", ["mx: a.example", "colour: blue", "mode enforce"], None, id="R4.5-02 errors as served"),
        pytest.param({"version": "STSv1", "mx": ["a.example", "b.example"]}, "sts", ["version: STSv1", "mx: a.example", "mx: b.example"], "type", id="an object"),
    ],
)  # fmt: skip
def test_policy_strings_are_cut_into_lines(strings: object, kind: str, wanted: list[str], code: str | None) -> None:
    """F-32, F-33: whatever shape the sender chose, one line or record is one string."""
    found = read(a_report(policies=[an_entry({"policy-type": kind, "policy-string": strings})]))
    assert list(found.report.policies[0].policy.policy_string or ()) == wanted
    assert [finding.code.partition("-")[0] for finding in found.findings][:1] == ([code] if code else [])


def test_the_owner_is_told_of_blanks_in_the_policy_file() -> None:
    """F-33: the CR comes from the domain owner's own file, so the fix is not the sender's alone."""
    found = read(a_report(policies=[an_entry({"policy-string": ["mode: testing \r"]})]))
    assert "own policy file" in found.findings[0].fix


def test_the_export_of_another_program_is_read_for_what_it_says() -> None:
    """F-35 at its widest: underscores, plurals, policy and summary flattened, dates at the top."""
    document = {
        "organization_name": "Sender Example",
        "begin_date": "2026-03-01T00:00:00Z",
        "end_date": "2026-03-01T23:59:59Z",
        "contact_info": "tls@sender.example",
        "report_id": "r-1",
        "policies": [
            {
                "policy_domain": "orchard.example",
                "policy_type": "sts",
                "successful_session_count": 5,
                "failed_session_count": 2,
                "failure_details": [{key.replace("-", "_"): value for key, value in a_row().items()}],
            }
        ],
    }
    found = read(document)
    assert found.report == read(a_report()).report
    assert {finding.code.partition("-")[0] for finding in found.findings} == {"renamed", "missing"}
    assert found.extras == {}


# --- the window ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "wanted", "noted"),
    [
        pytest.param("2026-03-01T00:00:00Z", datetime(2026, 3, 1, tzinfo=UTC), None, id="RFC 3339"),
        pytest.param("2026-03-01t00:00:00z", datetime(2026, 3, 1, tzinfo=UTC), None, id="lower case is legal"),
        pytest.param("2026-03-01T00:00:00.000Z", datetime(2026, 3, 1, tzinfo=UTC), None, id="fraction"),
        pytest.param("2026-03-01T02:00:00+02:00", datetime(2026, 3, 1, tzinfo=UTC), None, id="offset"),
        pytest.param("2026-03-01T00:00:00", datetime(2026, 3, 1, tzinfo=UTC), "format", id="F-21"),
        pytest.param("2026-03-01 00:00:00Z", datetime(2026, 3, 1, tzinfo=UTC), "format", id="blank"),
        pytest.param("2026-03-01 00:00:00 UTC", datetime(2026, 3, 1, tzinfo=UTC), "format", id="UTC"),
        pytest.param("2026-03-01T00:00:00+0000", datetime(2026, 3, 1, tzinfo=UTC), "format", id="offset without colon"),
        pytest.param("2026-03-01T00:00Z", datetime(2026, 3, 1, tzinfo=UTC), "format", id="no seconds"),
        pytest.param("20260301T000000Z", datetime(2026, 3, 1, tzinfo=UTC), "format", id="basic form"),
        pytest.param("2026-03-01", datetime(2026, 3, 1, tzinfo=UTC), "format", id="day alone"),
        pytest.param("2026-02-28T24:00:00Z", datetime(2026, 3, 1, tzinfo=UTC), "format", id="24:00"),
        pytest.param("Sun, 01 Mar 2026 00:00:00 +0000", datetime(2026, 3, 1, tzinfo=UTC), "format", id="mail date"),
        pytest.param("1772323200", datetime(2026, 3, 1, tzinfo=UTC), "format", id="epoch as text"),
        pytest.param(1772323200, datetime(2026, 3, 1, tzinfo=UTC), "type", id="epoch"),
        pytest.param(1772323200000, datetime(2026, 3, 1, tzinfo=UTC), "type", id="milliseconds"),
    ],
)
def test_a_date_is_read_in_every_form_that_leaves_no_doubt(start: object, wanted: datetime, noted: str | None) -> None:
    """F-21 and its like: read as UTC and noted, never refused."""
    window = {"start-datetime": start, "end-datetime": "2026-03-01T23:59:59Z"}
    found = read(a_report(**{"date-range": window}))
    assert found.report.date_range.start_datetime == wanted
    assert [finding.code for finding in found.findings] == ([f"{noted}-start-datetime"] if noted else [])


@pytest.mark.parametrize(
    "start",
    ["03/01/2026", "yesterday", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00Z", True, {}, 5, 10**400, "9999-12-31T23:59:59-23:59"],
)  # fmt: skip
def test_a_date_that_could_mean_anything_is_refused(start: object) -> None:
    """Nothing is guessed silently: an ambiguous or impossible start leaves no window."""
    window = {"start-datetime": start, "end-datetime": "2026-03-01T23:59:59Z"}
    with pytest.raises(ReportError, match="no window"):
        read(a_report(**{"date-range": window}))


@pytest.mark.parametrize(
    ("start", "end", "noted"),
    [
        pytest.param("2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z", [], id="F-22"),
        pytest.param("2026-03-01T14:23:07Z", "2026-03-02T14:23:07Z", ["window-not-one-day"], id="F-23 Stalwart"),
        pytest.param("2026-03-01T00:00:00Z", "2026-03-07T23:59:59Z", ["window-not-one-day"], id="F-23 weekly"),
        pytest.param("2026-03-01T05:00:00Z", "2026-03-01T06:00:00Z", ["window-not-one-day"], id="hourly"),
        pytest.param("2026-03-01T00:00:00+02:00", "2026-03-01T23:59:59+02:00", ["window-not-one-day"], id="F-23 local"),
        pytest.param("2026-03-02T00:00:00Z", "2026-03-01T00:00:00Z", ["window-reversed"], id="the wrong way round"),
    ],
)
def test_a_window_that_is_not_one_utc_day_is_kept_and_noted(start: str, end: str, noted: list[str]) -> None:
    """R4.1-01, A-06: any span is read; the end may be exclusive."""
    found = read(a_report(**{"date-range": {"start-datetime": start, "end-datetime": end}}))
    assert [finding.code for finding in found.findings] == noted


def test_a_window_can_come_from_the_file_name() -> None:
    """F-23: no date-range, but the stamps in the name."""
    name = "sender.example!orchard.example!1772323200!1772409599!1.json"
    found = read(without(a_report(), "date-range"), file_name=name)
    assert found.report.date_range.start_datetime == datetime(2026, 3, 1, tzinfo=UTC)
    assert [finding.code for finding in found.findings] == ["missing-date-range"]


# --- who and about whom ----------------------------------------------------------------------------------------------


def test_the_policy_domain_is_taken_from_what_is_nearest() -> None:
    """F-30: TLS-Report-Domain, else the file name, else the other policies if all agree, else refused."""
    entry = without(an_entry(), "policy", "policy-domain")
    name = "sender.example!harbour.example!1772323200!1772409599!1.json"
    both = read(a_report(policies=[entry]), report_domain="Meadow.Example", file_name=name)
    assert both.report.policies[0].policy.policy_domain == "meadow.example"
    assert [finding.code for finding in both.findings] == ["missing-policy-domain"]
    assert "TLS-Report-Domain" in both.findings[0].consequence
    by_name = read(a_report(policies=[entry]), report_domain="not a domain", file_name=name)
    assert by_name.report.policies[0].policy.policy_domain == "harbour.example"
    by_others = read(a_report(policies=[an_entry(), entry]))
    assert by_others.report.policies[1].policy.policy_domain == "orchard.example"
    with pytest.raises(ReportError, match="policy-domain") as caught:
        read(a_report(policies=[entry]))
    assert caught.value.where == "policies[0].policy.policy-domain"
    with pytest.raises(ReportError, match="policy-domain"):
        read(a_report(policies=[an_entry(), an_entry({"policy-domain": "other.example"}), entry]))


def test_an_empty_or_impossible_policy_domain_is_no_domain() -> None:
    """F-30: `""` as Postfix's reporter wrote it, and what no name can be."""
    for text, code in (
        ("", "empty-policy-domain"),
        ("not a domain", "format-policy-domain"),
        ("192.0.2.1", "format-policy-domain"),
    ):
        found = read(a_report(policies=[an_entry({"policy-domain": text})]), report_domain="orchard.example")
        assert found.report.policies[0].policy.policy_domain == "orchard.example"
        assert [finding.code for finding in found.findings] == [code, "missing-policy-domain"]


def test_a_sender_is_needed() -> None:
    """Organisation or contact, else the submitter from around the document, else refused."""
    nameless = without(without(a_report(), "organization-name"), "contact-info")
    found = read(nameless, submitter="sender.example")
    assert found.report.organization_name == "sender.example"
    assert "missing-sender" in [finding.code for finding in found.findings]
    with pytest.raises(ReportError, match="who sent this"):
        read(nameless)


# --- counts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "count", [-1, 2.5, True, False, 2**63, 10**30, "-1", "1e3", "many", [1], {}, float("nan"), float("inf")]
)
@pytest.mark.parametrize("key", ["total-successful-session-count", "total-failure-session-count"])
def test_a_count_that_is_none_puts_the_report_into_quarantine(count: object, key: str) -> None:
    """F-28: negative, fraction, boolean, over 2^63-1; `where` is its path."""
    summary = {"total-successful-session-count": 1, "total-failure-session-count": 0} | {key: count}
    with pytest.raises(ReportError) as caught:
        read(a_report(policies=[an_entry(summary=summary, **{"failure-details": []})]))
    assert caught.value.where == f"policies[0].summary.{key}"


def test_the_largest_count_is_read() -> None:
    """F-28: 2^63-1 is a count, as long as the sum is one too."""
    summary = {"total-successful-session-count": 2**63 - 1, "total-failure-session-count": 0}
    found = read(a_report(policies=[an_entry(summary=summary, **{"failure-details": []})]))
    assert found.report.successful == 2**63 - 1
    with pytest.raises(ReportError, match="add up"):
        read(a_report(policies=[an_entry(summary=summary, **{"failure-details": []})] * 2))


def test_details_beside_a_total_of_zero_are_legal() -> None:
    """A-18: testing mode, or no policy: worth knowing, no deviation."""
    summary = {"total-successful-session-count": 9, "total-failure-session-count": 0}
    found = read(a_report(policies=[an_entry(summary=summary)]), strict=True)
    assert [(finding.code, finding.severity) for finding in found.findings] == [("count-mismatch", "info")]


# --- many of one kind ------------------------------------------------------------------------------------------------


def test_equal_deviations_of_many_rows_are_one_finding() -> None:
    """Ten thousand rows without an address are one finding that names the first place and counts the rest."""
    rows = [a_row(**{"sending-mta-ip": ""}) for _ in range(10_000)]
    summary = {"total-successful-session-count": 0, "total-failure-session-count": 20_000}
    found = read(a_report(policies=[an_entry(summary=summary, **{"failure-details": rows})]))
    assert [(finding.code, finding.where) for finding in found.findings] == [
        ("empty-sending-mta-ip", "policies[0].failure-details[0].sending-mta-ip")
    ]
    assert "9999 more" in found.findings[0].message


def test_findings_are_bounded_whatever_a_report_holds() -> None:
    """Each unknown key is a place of its own; an attacker may invent as many as fit."""
    found = read(a_report(**{f"key{n}": n for n in range(20_000)}))
    assert len(found.findings) <= 110
    assert len(found.extras) == 1000
    assert found.findings[-1].message.startswith("19000 more keys")


def test_strings_are_not_cut_into_more_than_a_report_can_need() -> None:
    """`mx: mx: mx:` of 4 bytes each would become strings of 60; beyond 100,000 they stay whole."""
    found = read(a_report(policies=[an_entry({"policy-string": ["mx: " * 16_000]})] * 20))
    lines = sum(len(entry.policy.policy_string or ()) for entry in found.report.policies)
    assert 90_000 < lines <= 100_020


def test_unknown_keys_are_kept_by_path() -> None:
    """F-45: kept, with the path that finds them again."""
    found = read(a_report(generator={"name": "x"}, policies=[an_entry({"note": "lab"})]))
    assert found.extras == {"generator": {"name": "x"}, "policies[0].policy.note": "lab"}


# --- the text --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encode", "code"),
    [
        pytest.param(lambda text: b"\xef\xbb\xbf" + text.encode(), "encoding-bom", id="F-47 BOM"),
        pytest.param(lambda text: text.encode("utf-16"), "encoding-utf-16", id="F-47 UTF-16"),
        pytest.param(lambda text: text.encode("utf-16-be"), "encoding-utf-16", id="UTF-16 without BOM"),
        pytest.param(lambda text: text.encode("utf-16-le"), "encoding-utf-16", id="UTF-16LE without BOM"),
        pytest.param(lambda text: text.encode("utf-32"), "encoding-utf-32", id="UTF-32"),
        pytest.param(lambda text: text.encode("utf-32-be"), "encoding-utf-32", id="UTF-32 without BOM"),
        pytest.param(lambda text: text.encode("latin-1"), "encoding-latin-1", id="F-47 Latin-1"),
        pytest.param(lambda text: text.encode("cp1252"), "encoding-latin-1", id="Windows-1252"),
    ],
)
def test_a_text_is_read_in_any_encoding(encode: Callable[[str], bytes], code: str) -> None:
    """F-47: decoded, and noted."""
    text = json.dumps(a_report(**{"organization-name": "Bücher & Söhne"}), ensure_ascii=False)
    found = parse_report(encode(text))
    assert found.report.organization_name == "Bücher & Söhne"
    assert [finding.code for finding in found.findings] == [code]


def test_characters_that_no_database_takes_are_replaced_and_noted() -> None:
    """A lone surrogate or NUL would break every later step; nothing else of the text is touched."""
    text = json.dumps(a_report(**{"organization-name": "A\ud800B\0C", "x\udc00": ["\0"]}))
    found = parse_report(text.encode())
    assert found.report.organization_name == "A\ufffdB\ufffdC"
    assert {finding.code for finding in found.findings} == {"encoding-character", "extra-key"}
    assert found.extras == {"x\ufffd": ["\ufffd"]} or list(found.extras.values()) == [["\ufffd"]]
    json.dumps(found.extras, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("once", "twice"),
    [
        pytest.param('"report-id": "r-1"', '"report-id": "r-0", "report-id": "r-1"', id="report"),
        pytest.param('"policy-type": "sts"', '"policy-type": "tlsa", "policy-type": "sts"', id="policy"),
        pytest.param('"end-datetime"', '"end-datetime": "2026-03-02T00:00:00Z", "end-datetime"', id="window"),
    ],
)
def test_a_key_that_stands_twice_is_noted(once: str, twice: str) -> None:
    """R4-01: I-JSON has no duplicate keys; readers differ in which one they take."""
    text = write(a_report(note=1)).replace(once, twice)
    assert "format-duplicate-key" in [finding.code for finding in parse_report(text.encode()).findings]


def write(value: object) -> str:
    return json.dumps(value)


@pytest.mark.parametrize(
    ("text", "count", "code"),
    [
        pytest.param(write(a_report()) + "\r\n", 1, None, id="a line end"),
        pytest.param(
            write(a_report()) + "\n" + write(a_report(**{"report-id": "r-2"})),
            2,
            "trailing-data",
            id="F-48 two documents",
        ),
        pytest.param(f"[{write(a_report())},{write(a_report())}]", 2, "type-report", id="an array"),
        pytest.param('{"report": ' + write(a_report()) + "}", 1, "wrapper-object", id="wrapped"),
        pytest.param(write(a_report()) + "garbage", 1, "trailing-data", id="F-48 garbage"),
        pytest.param(write(a_report()) + "\0\0\0", 1, None, id="padded with NULs"),
        pytest.param(write(a_report()) + "}", 1, "trailing-data", id="a brace too many"),
        pytest.param(write(a_report()).replace("Sender Example", "Sender\tExample"), 1, "format-json", id="a raw tab"),
    ],
)
def test_every_whole_document_in_a_text_is_read(text: str, count: int, code: str | None) -> None:
    """F-48: read each whole document; that there is more than one, or something that is none, is noted."""
    found = read_reports(text.encode())
    assert len(found) == count
    assert {finding.code for item in found for finding in item.findings} == ({code} if code else set())


# --- what is no report -----------------------------------------------------------------------------------------------

DMARC = b'<?xml version="1.0"?>\n<feedback><report_metadata><org_name>x</org_name></report_metadata></feedback>'


def zipped(*members: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "what"),
    [
        pytest.param(DMARC, "a DMARC report", id="F-19"),
        pytest.param(gzip.compress(DMARC), "a DMARC report", id="F-19 gzip"),
        pytest.param(zipped(("x.xml", DMARC)), "a DMARC report", id="F-19 zip"),
        pytest.param(b'{"policy_published": {}, "report_metadata": {}}', "a DMARC report", id="DMARC as JSON"),
        pytest.param(b'{"a": 1}', "JSON, but no TLS report", id="other JSON"),
        pytest.param(b"[]", "JSON, but no TLS report", id="empty array"),
        pytest.param(b"", "an empty file", id="nothing"),
        pytest.param(b" \r\n", "an empty file", id="blanks"),
        pytest.param(b"# Read me\nThis is text.", "a text", id="text"),
        pytest.param(b"%PDF-1.7 ...", "a PDF", id="PDF"),
        pytest.param(b"From: a@b.example\r\nSubject: x\r\n\r\nhello", "a mail message", id="mail"),
        pytest.param(b"<!DOCTYPE html><html></html>", "an HTML page", id="HTML"),
        pytest.param(bytes(range(256)), "no TLS report", id="bytes"),
        pytest.param(zipped(), "an empty archive", id="empty zip"),
        pytest.param(b"{broken", "no TLS report: broken JSON at line 1, column 2: expecting property name enclosed in double quotes, near broken", id="broken JSON"),
    ],
)  # fmt: skip
def test_what_is_no_tls_report_is_called_what_it_is(data: bytes, what: str) -> None:
    """F-19: a DMARC report is not a broken TLS report."""
    with pytest.raises(NoReportError) as caught:
        read_reports(data)
    assert caught.value.what == what


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(write(a_report())[:-40].encode(), id="cut off"),
        pytest.param(gzip.compress(write(a_report()).encode())[:-20], id="F-12 early end"),
        pytest.param(gzip.compress(write(a_report()).encode())[:-8] + bytes(8), id="F-12 bad checksum"),
        pytest.param(b'{"policies": {}}', id="policies that are none"),
        pytest.param(write(without(a_report(), "policies")).encode(), id="no policies"),
        pytest.param(write(a_report(policies=7)).encode(), id="policies is a number"),
        pytest.param(
            write(a_report(policies=[an_entry(**{"failure-details": 7})])).encode(), id="details are a number"
        ),
    ],
)
def test_a_tls_report_that_cannot_be_read_is_not_called_something_else(data: bytes) -> None:
    """Quarantined, not dropped as `no report`."""
    with pytest.raises(ReportError):
        read_reports(data)


def test_a_damaged_file_that_was_called_a_report_is_kept() -> None:
    """Nothing could be decompressed, but its name says what it was."""
    data = b"\x1f\x8b\x08" + b"\xff" * 40
    with pytest.raises(NoReportError):
        read_reports(data)
    with pytest.raises(ReportError):
        read_reports(data, file_name="sender.example!orchard.example!1772323200!1772409599!1.json.gz")


# --- strict ----------------------------------------------------------------------------------------------------------


def test_strict_refuses_a_deviation_and_names_them_all() -> None:
    """A StrictError carries every finding."""
    with pytest.raises(StrictError) as caught:
        read(a_report(note=1, **{"contact-info": None}), strict=True)
    assert [finding.code for finding in caught.value.findings] == ["extra-key", "null-contact-info"]
    assert read(a_report(), strict=True).findings == ()


def test_strict_refuses_a_document_for_one_of_its_reports() -> None:
    """In an archive too: nothing is passed over in silence."""
    data = zipped(("a.json", write(a_report()).encode()), ("b.json", write(a_report(note=1)).encode()))
    assert len(read_reports(data)) == 2
    with pytest.raises(StrictError):
        read_reports(data, strict=True)


def test_parse_report_wants_one() -> None:
    with pytest.raises(ReportError, match="2 reports"):
        parse_report((write(a_report()) + write(a_report())).encode())


# --- limits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "limits", "name"),
    [
        pytest.param(a_report(policies=[an_entry()] * 3), Limits(policies=2), "policies", id="policies"),
        pytest.param(a_report(policies=[an_entry()] * 3), Limits(failure_details=2), "failure_details", id="rows"),
        pytest.param(a_report(**{"report-id": "x" * 65}), Limits(string_length=64), "string_length", id="string"),
        pytest.param(a_report(**{"x" * 65: 1}), Limits(string_length=64), "string_length", id="key"),
        pytest.param(a_report(x=[[[[[1]]]]]), Limits(json_depth=5), "json_depth", id="depth"),
        pytest.param(a_report(), Limits(compressed_bytes=100), "compressed_bytes", id="size"),
    ],
)
def test_a_passed_limit_is_named(document: dict[str, Any], limits: Limits, name: str) -> None:
    """Every limit gives a clear error that names it, also where the report is otherwise in order."""
    with pytest.raises(LimitError) as caught:
        read(document, limits=limits)
    assert caught.value.limit == name


def test_a_report_at_its_limits_is_read() -> None:
    """The deepest place of a report is 5; a limit is what may still be had."""
    entry = an_entry({"policy-string": ["version: STSv1"]})
    found = read(
        a_report(policies=[entry] * 2), limits=Limits(policies=2, failure_details=2, json_depth=5, string_length=64)
    )
    assert found.findings == ()


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'{"policies":['])
def test_deep_nesting_is_refused_not_recursed(opening: bytes) -> None:
    """A million brackets must not exhaust the stack."""
    with pytest.raises((LimitError, ReportError, NoReportError)):
        read_reports(opening * 1_000_000)


def test_a_report_of_many_rows_passes_the_default_limits() -> None:
    """F-53: 20,000 rows are a report, not an attack."""
    rows = [a_row(**{"sending-mta-ip": f"192.0.2.{n % 250}"}) for n in range(20_000)]
    summary = {"total-successful-session-count": 0, "total-failure-session-count": 40_000}
    found = read(a_report(policies=[an_entry(summary=summary, **{"failure-details": rows})]))
    assert found.report.failed == 40_000
    assert found.findings == ()


# --- laws ------------------------------------------------------------------------------------------------------------


@slowly
@given(reports())
def test_a_written_report_reads_back_equal(report: Report) -> None:
    """Writing and reading are inverse, and what we write keeps to the RFC: no finding."""
    found = parse_report(write_report(report))
    assert found.report == report
    assert found.findings == ()


@slowly
@given(reports())
def test_the_fast_way_takes_every_good_report(report: Report) -> None:
    """Else the speed that the README shows would be of our own samples only."""
    assert exact.decode(write_report(report), DEFAULT_LIMITS) is not None or b"\\" in write_report(report)


@slowly
@given(reports(), st.booleans())
def test_both_ways_of_reading_agree(report: Report, indent: bool) -> None:
    """What the fast way accepts, the lenient reader reads to the same report without a note."""
    data = write_report(report)
    if indent:
        data = json.dumps(json.loads(data), indent=2).encode()
    fast = exact.decode(data, DEFAULT_LIMITS)
    assert fast is None or (fast, ()) == leniently(data)


@slowly
@given(broken_documents())
def test_both_ways_agree_on_broken_reports(data: bytes) -> None:
    """The fast way accepts nothing that would have to be noted."""
    fast = exact.decode(data, DEFAULT_LIMITS)
    if fast is not None:
        assert (fast, ()) == leniently(data)


def leniently(data: bytes) -> tuple[Report, tuple[object, ...]]:
    notes = Notes()
    (value,) = documents(decode(data, notes), notes, DEFAULT_LIMITS)
    assert isinstance(value, dict)
    report = read_report(value, notes, DEFAULT_LIMITS, Around())
    return report, tuple(finding for finding in notes.findings() if finding.severity != "info")


@slowly
@given(broken_documents())
def test_a_broken_report_gives_sound_values_or_a_documented_error(data: bytes) -> None:
    """Whatever is dropped, nulled, retyped or renamed: counts stay counts, all can be written and encoded."""
    document = read_document(data, report_domain="orchard.example")
    assert document.reports or document.faults or document.others
    for found in document.reports:
        for entry in found.report.policies:
            assert type(entry.summary.total_successful_session_count) is int
            assert entry.policy.policy_domain
            assert min(entry.summary.total_successful_session_count, entry.summary.total_failure_session_count) >= 0
            for row in entry.failure_details or ():
                assert type(row.failed_session_count) is int
                assert row.failed_session_count >= 0
        assert found.report.successful + found.report.failed < 2**63
        again = parse_report(write_report(found.report)) if found.report.policies else found
        assert again.report.policies == found.report.policies
        json.dumps(found.extras, ensure_ascii=False, allow_nan=False).encode()
        for finding in found.findings:
            finding.message.encode()


def outcome_of(data: bytes) -> str:
    """What reading gives, in a word; anything but a documented error propagates."""
    try:
        return f"{len(read_reports(data))} read"
    except (ReportError, NoReportError) as error:
        return str(error)


@slowly
@given(st.binary(max_size=200))
@example(b"\x1f\x8b\x08")
@example(b"PK\x03\x04")
@example(b"{" * 2000)
@example(b"\xff\xfe{\0")
@example(b'{"policies":[]}')
def test_any_bytes_give_a_report_or_a_documented_error(data: bytes) -> None:
    """Never a traceback of anything else."""
    outcome = outcome_of(data)
    assert outcome
    outcome.encode()


@slowly
@given(broken_documents(), st.data())
def test_a_cut_or_flipped_document_gives_a_documented_error(data: bytes, draw: st.DataObject) -> None:
    """Transport damage, in the JSON and in the gzip around it."""
    data = gzip.compress(data, mtime=0) if draw.draw(st.booleans()) else data
    place = draw.draw(st.integers(0, len(data) - 1))
    changed = data[:place] + bytes([data[place] ^ draw.draw(st.integers(1, 255))]) + data[place + 1 :]
    for damaged in data[:place], changed:
        outcome_of(damaged).encode()


@slowly
@given(reports())
def test_packing_does_not_change_a_report(report: Report) -> None:
    """gzip, zip, double gzip: the same report, as promise 2 needs it."""
    plain, packed = write_report(report), gzip_report(report)
    for data in (packed, gzip.compress(packed), zipped(("r.json", plain)), zipped(("r.json.gz", packed))):
        assert [found.report for found in read_reports(data)] == [report]


def test_errors_are_ours() -> None:
    """What `read_reports` raises is one tree."""
    assert issubclass(ReportError, TlsrptError)
    assert issubclass(NoReportError, TlsrptError)


def test_strict_mode_refuses_a_key_that_stands_twice() -> None:
    """R4-01: I-JSON has no duplicate keys. Where they are not looked for, the last value counts, as for every reader."""
    once = json.dumps(a_report())
    twice = once.replace('"report-id":', '"report-id": "first", "report-id":', 1).encode()
    assert parse_report(twice).report == parse_report(once.encode()).report
    with pytest.raises(StrictError) as refused:
        parse_report(twice, strict=True)
    assert "duplicate" in refused.value.findings[0].code

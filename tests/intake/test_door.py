"""The door: every way of sending a report ends in the same Arrival, and nothing is guessed silently."""

from __future__ import annotations

import csv
import gzip
import json
import zipfile
from datetime import UTC, datetime
from email.message import EmailMessage
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsrpt.core.errors import LimitError
from tlsrpt.core.limits import DEFAULT_LIMITS, Limits
from tlsrpt.intake.door import open_document
from tlsrpt.store.rows import prepare
from tlsrpt.store.values import Arrival

SAMPLES = Path(__file__).parents[1] / "data" / "reports"
NOW = datetime(2026, 3, 20, tzinfo=UTC)
INDEX = list(csv.DictReader((SAMPLES / "index.tsv").open(encoding="utf-8"), delimiter="\t"))


def arrive(data: bytes, name: str = "", *, strict: bool = False) -> Arrival:
    return open_document(data, source="test", file_name=name, limits=DEFAULT_LIMITS, received_at=NOW, strict=strict)


def a_report(**changes: object) -> dict[str, object]:
    report: dict[str, object] = {
        "organization-name": "Sender",
        "date-range": {"start-datetime": "2026-03-01T00:00:00Z", "end-datetime": "2026-03-01T23:59:59Z"},
        "contact-info": "tls@sender.example",
        "report-id": "1@sender.example",
        "policies": [
            {
                "policy": {"policy-type": "sts", "policy-domain": "orchard.example"},
                "summary": {"total-successful-session-count": 5, "total-failure-session-count": 0},
            }
        ],
    }
    return report | changes


NAME = "sender.example!orchard.example!1772323200!1772409599.json.gz"


def a_mail(attachment: bytes, name: str = NAME) -> bytes:
    mail = EmailMessage()
    mail["From"] = "tls@sender.example"
    mail["TLS-Report-Domain"] = "orchard.example"
    mail["TLS-Report-Submitter"] = "sender.example"
    mail.set_content("A report.")
    mail.add_attachment(attachment, maintype="application", subtype="tlsrpt+gzip", filename=name)
    mail.replace_header("Content-Type", 'multipart/report; report-type="tlsrpt"')
    mail.set_boundary("b")
    return mail.as_bytes()


@pytest.mark.parametrize("row", INDEX, ids=[row["file"] for row in INDEX])
def test_each_sample_gives_what_the_index_says(row: dict[str, str]) -> None:
    """F-01 to F-53: outcome, reports, policies, sessions, and each deviation by its kind and field."""
    arrival = arrive((SAMPLES / row["file"]).read_bytes(), row["file"])
    outcome = "no-report" if arrival.other else "quarantine" if not arrival.reports else "read"
    assert outcome == row["outcome"].split()[0]
    assert len(arrival.reports) == int(row["reports"])
    assert sum(len(each.report.policies) for each in arrival.reports) == int(row["policies"])
    assert sum(each.report.successful for each in arrival.reports) == int(row["successful"])
    assert sum(each.report.failed for each in arrival.reports) == int(row["failed"])
    noted = {(f.code, f.where) for each in arrival.reports for f in each.findings if f.severity != "info"}
    wanted = [tuple(each.split()) for each in row["deviations"].split(";") if each.strip() not in ("-", "")]
    assert bool(noted) == bool(wanted), noted
    for kind, field in wanted:
        name = field.rpartition(".")[2].lower()
        named = {(code, where) for code, where in noted if name in code or name in where.lower()}
        if name in ("json", "attachment", "policies"):  # the index's words for the whole document or a row of it
            named = noted
        assert any(code.startswith(kind) for code, _ in named), f"{kind} {field} not in {noted}"
    assert all(where for _, where in noted)


def test_a_readable_sample_is_refused_in_strict_mode_exactly_when_it_departs() -> None:
    for row in INDEX:
        if not row["outcome"].startswith("read"):
            continue
        arrival = arrive((SAMPLES / row["file"]).read_bytes(), row["file"], strict=True)
        assert bool(arrival.reports) == (row["outcome"] == "read"), row["file"]
        assert bool(arrival.faults) != bool(arrival.reports), row["file"]


def test_the_same_report_has_one_identity_whichever_way_it_comes() -> None:
    """DESIGN promise 2: plain, compressed, compressed otherwise, zipped, in a mail, in a forwarded mail."""
    plain = json.dumps(a_report()).encode()
    zipped = BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("r.json", plain)
    forwarded = EmailMessage()
    forwarded["From"] = "a@b.example"
    forwarded.set_content("see below")
    inner = EmailMessage()
    inner["From"] = "tls@sender.example"
    inner.add_attachment(gzip.compress(plain), maintype="application", subtype="tlsrpt+gzip", filename="r.json.gz")
    forwarded.add_attachment(inner)
    spaced = json.dumps(dict(reversed(a_report().items())), indent=3).encode()
    ways = [
        plain, spaced, gzip.compress(plain, 1), gzip.compress(plain, 9), gzip.compress(gzip.compress(plain)),
        zipped.getvalue(), a_mail(gzip.compress(plain)), a_mail(plain), forwarded.as_bytes(),
    ]  # fmt: skip
    seen = set()
    for way in ways:
        (item,) = prepare(arrive(way)).items
        seen.add((item.identity, item.content))  # type: ignore[union-attr]
    assert len(seen) == 1


def entry(kind: str, domain: str) -> dict[str, object]:
    return {
        "policy": {"policy-type": kind, "policy-domain": domain},
        "summary": {"total-successful-session-count": 1, "total-failure-session-count": 0},
    }


@pytest.mark.parametrize(
    ("policies", "header", "name", "filed"),
    [
        pytest.param([entry("tlsa", "mx.host.example")], "orchard.example", "", ["orchard.example"], id="header"),
        pytest.param(
            [entry("tlsa", "mx.host.example")], None, "s.example!orchard.example!1772323200!1772409599.json",
            ["orchard.example"], id="file name",
        ),
        pytest.param(
            [entry("tlsa", "mx.host.example"), entry("sts", "orchard.example")], None, "", ["orchard.example"] * 2,
            id="the one sts domain",
        ),
        pytest.param([entry("tlsa", "mx.host.example")], None, "", ["mx.host.example"], id="its own"),
        pytest.param(
            [entry("sts", "a.example"), entry("sts", "b.example")], None, "", ["a.example", "b.example"], id="several"
        ),
        pytest.param([entry("sts", "a.example")], "not a domain!", "", ["a.example"], id="a header that is no domain"),
    ],
)  # fmt: skip
def test_a_policy_is_filed_under_the_domain_that_the_report_is_about(
    policies: list[dict[str, object]], header: str | None, name: str, filed: list[str]
) -> None:
    """DESIGN promise 8, F-31: DANE entries of some senders name the MX host."""
    data = json.dumps(a_report(policies=policies)).encode()
    if header is not None:
        mail = a_mail(gzip.compress(data), "r.json.gz")
        data = mail.replace(b"TLS-Report-Domain: orchard.example", b"TLS-Report-Domain: " + header.encode())
    (incoming,) = arrive(data, name).reports
    assert list(incoming.report_domains) == filed


def test_two_reports_in_one_mail_are_both_read() -> None:
    """F-16."""
    mail = EmailMessage()
    mail["From"] = "a@b.example"
    for n in range(2):
        body = gzip.compress(json.dumps(a_report(**{"report-id": str(n)})).encode())
        mail.add_attachment(body, maintype="application", subtype="tlsrpt+gzip", filename=f"{n}.json.gz")
    assert [each.report.report_id for each in arrive(mail.as_bytes()).reports] == ["0", "1"]


def test_a_broken_attachment_beside_a_good_one_costs_only_itself() -> None:
    mail = EmailMessage()
    mail["From"] = "a@b.example"
    good = gzip.compress(json.dumps(a_report()).encode())
    mail.add_attachment(good, maintype="application", subtype="tlsrpt+gzip", filename="a.json.gz")
    mail.add_attachment(good[:-20], maintype="application", subtype="tlsrpt+gzip", filename="b.json.gz")
    arrival = arrive(mail.as_bytes())
    assert (len(arrival.reports), len(arrival.faults)) == (1, 1)
    assert "b.json.gz" in arrival.faults[0].where


def test_a_bounce_of_our_own_report_is_never_counted() -> None:
    """F-17: the report in it is one that we sent."""
    bounce = EmailMessage()
    bounce["From"] = "MAILER-DAEMON@mx.example"
    bounce.set_content("could not be delivered")
    inner = EmailMessage()
    inner["From"] = "tls@us.example"
    inner.add_attachment(
        gzip.compress(json.dumps(a_report()).encode()),
        maintype="application",
        subtype="tlsrpt+gzip",
        filename="r.json.gz",
    )
    bounce.add_attachment(inner)
    bounce.replace_header("Content-Type", 'multipart/report; report-type="delivery-status"; boundary="x"')
    bounce.set_boundary("x")
    arrival = arrive(bounce.as_bytes())
    assert not arrival.reports
    assert "bounced" in arrival.faults[0].reason


@pytest.mark.parametrize(
    ("data", "what"),
    [
        pytest.param(b"", "empty", id="empty"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + bytes(100), "", id="a picture"),
        pytest.param(b"# README\n\nHello", "", id="a README"),
        pytest.param(b'{"name": "x", "version": 1}', "JSON", id="other JSON"),
        pytest.param(b"From: a@b.example\nSubject: hi\n\nhello\n", "", id="a mail"),
    ],
)
def test_what_is_no_report_is_named_and_not_called_broken(data: bytes, what: str) -> None:
    arrival = arrive(data)
    assert not arrival.reports
    assert not arrival.faults
    assert arrival.other
    assert what.lower() in arrival.other.lower()


@given(st.binary(max_size=2000))
def test_any_bytes_end_in_an_arrival(data: bytes) -> None:
    """No exception, whatever comes; what can't be read has a reason."""
    arrival = arrive(data)
    assert arrival.reports or arrival.other is not None or all(fault.reason for fault in arrival.faults)
    prepare(arrival)


@given(st.sampled_from(INDEX), st.data())
def test_any_damage_to_a_sample_ends_in_an_arrival(row: dict[str, str], data: st.DataObject) -> None:
    """Bytes lost, changed or doubled anywhere in a real document."""
    sample = bytearray((SAMPLES / row["file"]).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, max(0, len(sample) - 1)))
        end = data.draw(st.integers(start, min(len(sample), start + 200)))
        sample[start:end] = data.draw(st.binary(max_size=20) | st.just(bytes(sample[start:end]) * 2))
    prepare(arrive(bytes(sample), row["file"]))


def a_mail_of(attachments: list[bytes]) -> bytes:
    mail = EmailMessage()
    mail["From"] = "tls@sender.example"
    mail.set_content("Reports.")
    for n, attachment in enumerate(attachments):
        mail.add_attachment(attachment, maintype="application", subtype="tlsrpt+gzip", filename=f"{n}.json.gz")
    return mail.as_bytes()


@pytest.mark.parametrize("damaged", [False, True], ids=["whole", "damaged"])
def test_the_attachments_of_a_mail_share_what_may_be_unpacked(damaged: bool) -> None:
    """R7-02: a thousand attachments, each within the limits, would be 64 GB."""
    attachments = [gzip.compress(json.dumps(a_report(blanks=" " * 50_000, n=n)).encode()) for n in range(20)]
    if damaged:
        attachments = [one[:-8] for one in attachments]
    limits = Limits(decompressed_bytes=500_000, ratio=10_000)
    arrival = open_document(a_mail_of(attachments), source="test", file_name="", limits=limits, received_at=NOW)
    refused = [fault for fault in arrival.faults if "once decompressed" in fault.reason]
    assert len(refused) == 11
    assert len(arrival.reports) == (0 if damaged else 9)


def test_mails_in_an_archive_share_it_too() -> None:
    mails = BytesIO()
    with zipfile.ZipFile(mails, "w", zipfile.ZIP_DEFLATED) as archive:
        for n in range(20):
            archive.writestr(f"{n}.eml", a_mail(gzip.compress(json.dumps(a_report(blanks=" " * 50_000, n=n)).encode())))
    limits = Limits(decompressed_bytes=500_000, ratio=10_000)
    arrival = open_document(mails.getvalue(), source="test", file_name="", limits=limits, received_at=NOW)
    assert 0 < len(arrival.reports) < 10
    assert len(arrival.reports) + len(arrival.faults) == 20


def test_a_limit_is_raised_for_who_asks_and_noted_for_the_others() -> None:
    packed = gzip.compress(json.dumps(a_report(blanks=" " * 50_000)).encode())
    limits = Limits(decompressed_bytes=40_000)
    for document in (packed, a_mail(packed), a_mail_of([gzip.compress(b"{}"), packed])):
        with pytest.raises(LimitError):
            open_document(document, source="test", file_name="", limits=limits, received_at=NOW, within_limits=True)
        assert not arrive(document).faults

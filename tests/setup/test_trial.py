"""The trial report: a mail as RFC 8460 wants it, which our own reader takes without a word, and finds again."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from email import message_from_bytes
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tlsrpt.check.probe import PREFIX, trial_report
from tlsrpt.core.limits import DEFAULT_LIMITS
from tlsrpt.intake.door import open_document
from tlsrpt.setup.state import SetupError
from tlsrpt.setup.trial import (
    DkimKey,
    Login,
    Smarthost,
    arrived,
    follow,
    send_by_sendmail,
    send_by_smarthost,
    sign,
    trial_mail,
)

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
REPORT = trial_report("example.com", NOW)


def mail() -> bytes:
    return trial_mail(REPORT, "example.com", "postmaster@example.com", "tls@reports.example", NOW)


def test_the_mail_is_what_the_rfc_says() -> None:
    """R5.3-01 to R5.3-05, Q-01."""
    message = message_from_bytes(mail())
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "tlsrpt"
    assert [part.get_content_type() for part in message.get_payload()] == ["text/plain", "application/tlsrpt+gzip"]  # type: ignore[union-attr]
    assert message["TLS-Report-Domain"] == "example.com"
    assert message["TLS-Report-Submitter"] == "example.com"
    assert message["TLS-Required"] == "No"
    assert str(REPORT.report_id) in str(message["Subject"]).replace("\r\n", "")
    assert b"\n" not in mail().replace(b"\r\n", b"")


def test_our_own_reader_takes_it_without_a_word() -> None:
    """Nothing departs from the RFC, and headers, file name and report agree."""
    arrival = open_document(mail(), source="x", file_name="x.eml", limits=DEFAULT_LIMITS, received_at=NOW)
    assert [incoming.report for incoming in arrival.reports] == [REPORT]
    assert arrival.reports[0].findings == ()
    assert (arrival.faults, arrival.other) == ((), None)


def test_it_says_that_it_is_a_trial_and_changes_no_figure() -> None:
    assert str(REPORT.report_id).startswith(PREFIX)
    assert (REPORT.successful, REPORT.failed) == (0, 0)
    assert REPORT.date_range.day.isoformat() == "2026-03-01"


def test_a_store_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    """An alias makes the store with the first report; to follow is to look, not to make."""
    url = f"sqlite:///{tmp_path / 'tlsrpt.db'}"
    assert arrived(url, "x", NOW.date()) is None
    clock = iter(range(100))
    pauses: list[None] = []
    found = follow(url, "x", NOW.date(), within_s=5, now=lambda: float(next(clock)), pause=lambda: pauses.append(None))
    assert found is None
    assert len(pauses) == 4
    assert list(tmp_path.iterdir()) == []


def test_a_mail_server_that_is_not_there_is_one_clear_error() -> None:
    with pytest.raises(SetupError, match=r"127\.0\.0\.1:1: "):
        send_by_smarthost(mail(), "a@example.com", "b@example.com", Smarthost(host="127.0.0.1", port=1))


def test_a_sendmail_that_refuses_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="--smarthost"):
        send_by_sendmail(mail(), "a@example.com", "b@example.com", tmp_path / "sendmail")
    refusing = tmp_path / "sendmail"
    refusing.write_text("#!/bin/sh\necho no room >&2\nexit 75\n")
    refusing.chmod(0o755)
    with pytest.raises(SetupError, match=r"refused \(75\): no room"):
        send_by_sendmail(mail(), "a@example.com", "b@example.com", refusing)


def test_sendmail_gets_the_mail_and_the_addresses(tmp_path: Path) -> None:
    taking = tmp_path / "sendmail"
    taking.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/args\ncat >{tmp_path}/mail\n')
    taking.chmod(0o755)
    sent = mail()
    send_by_sendmail(sent, "a@example.com", "b@example.com", taking)
    assert (tmp_path / "args").read_text() == "-i -f a@example.com -- b@example.com\n"
    assert (tmp_path / "mail").read_bytes() == sent.replace(b"\r\n", b"\n")


def test_a_password_is_never_shown() -> None:
    assert "secret" not in repr(Smarthost(host="x", login=Login(user="u", password="secret")))  # noqa: S106


def test_the_signature_holds_and_covers_what_it_must() -> None:
    """R3-17, R3-19, R5.3-04: a valid DKIM signature of the sender's domain, both headers in it, no l=."""
    dkim = pytest.importorskip("dkim", reason="dkimpy comes with the extra receive")
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    public = base64.b64encode(private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    signed = sign(mail(), "example.com", DkimKey(selector="s1", pem=pem))
    record = b"v=DKIM1; k=rsa; p=" + public  # dkimpy rejects the legal s=email:tlsrpt
    assert dkim.verify(
        signed, dnsfunc=lambda name, timeout=5: record if name == b"s1._domainkey.example.com." else None
    )
    head = signed.partition(b"\r\nFrom:")[0].replace(b"\r\n ", b"").lower()
    assert b"tls-report-domain" in head
    assert b"tls-report-submitter" in head
    assert b"; l=" not in head
    assert pem.decode() not in repr(DkimKey(selector="s1", pem=pem))

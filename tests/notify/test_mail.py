"""Mail of our own, to a real SMTP server: whole, marked as automatic, and harmless whatever is in it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from tests.notify.receivers import a_mail_server
from tlsrpt.config import MailServer
from tlsrpt.core.errors import ConfigError
from tlsrpt.notify.mail import DeliveryError, Mail, as_bytes, compose, made_id, parse_address, send_mail

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
SERVER = MailServer(host="localhost", sender="tlsrpt@meadow.example", tls="none")


def a_mail(**values: Any) -> Mail:
    return Mail(
        **{
            "to": ("ops@meadow.example",),
            "subject": "opened: mx1.meadow.example",
            "text": "Grüße\n" + "x" * 2000 + "\n",
            "html": "<p>Grüße</p>",
            "message_id": made_id("abc.1", SERVER),
            **values,
        }
    )


def test_it_arrives_whole() -> None:
    with a_mail_server() as (box, server):
        send_mail(server, a_mail(references=made_id("abc.0", server)), NOW)
    (mail,) = box.mails
    assert (box.envelopes[0].mail_from, box.envelopes[0].rcpt_tos) == ("tlsrpt@meadow.example", ["ops@meadow.example"])
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None
    assert html is not None
    assert text.get_content().replace("\r\n", "\n") == a_mail().text
    assert html.get_content().rstrip() == "<p>Grüße</p>"
    assert mail["Message-ID"] == "<abc.1@meadow.example>"
    assert mail["References"] == mail["In-Reply-To"] == "<abc.0@meadow.example>"
    assert mail["Auto-Submitted"] == "auto-generated"  # RFC 3834 section 5
    assert mail["TLS-Required"] == "No"  # RFC 8689


def test_no_text_makes_a_header() -> None:
    """Subjects hold names that senders gave themselves."""
    subject = "a\r\nBcc: all@meadow.example\r\n\r\nbody \x1b[31m \u202e" + "ü" * 300
    mail = compose(SERVER, a_mail(subject=subject, headers=(("X-A", "b\nX-C: d"),)), NOW)
    data = as_bytes(mail)
    assert b"\nBcc" not in data
    assert b"\nX-C" not in data
    assert all(len(line) <= 998 for line in data.split(b"\r\n"))
    assert str(mail["Subject"]).startswith(r"a\r\nBcc: all@meadow.example")


def test_a_long_subject_is_shown_as_it_is() -> None:
    subject = "TLS over: mx1.meadow.example, reported: the MX's certificate has expired and so on"
    with a_mail_server() as (box, server):
        send_mail(server, a_mail(subject=subject), NOW)
    assert f"\r\nSubject: {subject}\r\n".encode() in (box.envelopes[0].content or b"")


def test_no_password_and_no_mail_goes_out_in_clear_text() -> None:
    with pytest.raises(ConfigError, match="clear text"):
        send_mail(msgspec.structs.replace(SERVER, user="me", password_env="X"), a_mail(), NOW)  # noqa: S106
    with pytest.raises(ConfigError, match="clear text"):
        send_mail(msgspec.structs.replace(SERVER, host="mail.meadow.example"), a_mail(), NOW)


def test_a_server_that_offers_no_tls_gets_nothing() -> None:
    """STARTTLS that is left out by somebody on the way must not lead to clear text."""
    with a_mail_server() as (box, server), pytest.raises(DeliveryError, match="STARTTLS"):
        send_mail(msgspec.structs.replace(server, tls="starttls"), a_mail(), NOW)
    assert box.envelopes == []


@pytest.mark.parametrize("answer", ["451 later", "554 never\nnever"])
def test_what_the_server_says_is_told(answer: str) -> None:
    with a_mail_server() as (box, server):
        box.answer = answer.partition("\n")[0]
        with pytest.raises(DeliveryError, match=f"127.0.0.1.*{box.answer}"):
            send_mail(server, a_mail(), NOW)


def test_nobody_there() -> None:
    with a_mail_server() as (_, server):
        pass
    with pytest.raises(DeliveryError, match="not taken"):
        send_mail(server, a_mail(), NOW)


@pytest.mark.parametrize(
    "text",
    ["", "ops", "@a.example", "ops@", "ops@a b", "a b@a.example", "ops@a.example\nBcc: x@a.example", "<o@a.example>"],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="no mail address"):
        parse_address(text)

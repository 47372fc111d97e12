"""A real Postfix takes an alert over STARTTLS and delivers it; where its certificate is not to be trusted it gets none."""

from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_bytes, policy
from pathlib import Path

import msgspec
import pytest

from tests.httpsserver import make_authority
from tests.lab.servers import Postfix, postfix
from tests.notify.test_routing import a_notice
from tlsrpt.config import AlertsConfig, AlertTo, Config, MailServer
from tlsrpt.notify.channels import send
from tlsrpt.notify.mail import DeliveryError
from tlsrpt.notify.wording import message_of
from tlsrpt.store.telling import Delivery

pytestmark = pytest.mark.lab("postfix", "postalias", "postqueue")

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
TO = "ops@reports.example"


def deliver(server: MailServer) -> None:
    config = Config(mail=server, alerts=AlertsConfig(to=(AlertTo(name="ops", mail=(TO,)),)))
    message = message_of([a_notice()], "alert-1", NOW)
    send(config, Delivery(notice_id=1, recipient="ops", address=TO, made_at=NOW, tries=1, message=message), NOW)


def status(server: Postfix) -> str:
    return server.log.wait_for(r"postfix/local.*to=<ops@reports\.example>.*status=").partition("status=")[2]


def test_an_alert_is_delivered_by_a_real_mail_server(lab: Path) -> None:
    inbox = lab / "inbox"
    inbox.mkdir(mode=0o777)
    inbox.chmod(0o777)
    authority = make_authority(lab)
    authority.write("localhost", lab / "crt.pem", lab / "key.pem")
    tls = (
        f"smtpd_tls_cert_file = {lab}/crt.pem\nsmtpd_tls_key_file = {lab}/key.pem\nsmtpd_tls_security_level = encrypt\n"
    )
    with postfix(lab / "postfix", {"ops": f"cat >{inbox}/mail"}, tls) as server:
        mail = MailServer(host="localhost", port=server.port, sender="tlsrpt@reports.example", ca_file=f"{lab}/ca.pem")
        deliver(mail)
        assert status(server).startswith("sent")
        arrived = message_from_bytes((inbox / "mail").read_bytes(), policy=policy.default)
        with pytest.raises(DeliveryError, match="certificate verify failed"):
            deliver(msgspec.structs.replace(mail, ca_file=""))
        with pytest.raises(DeliveryError, match=r"530|STARTTLS"):
            deliver(msgspec.structs.replace(mail, tls="none"))
        assert server.queued() == 0
    assert (
        arrived["Subject"] == "TLS new: mx1.meadow.example, reported: the MX's certificate has expired; mail is refused"
    )
    assert arrived["Auto-Submitted"] == "auto-generated"
    text = arrived.get_body(("plain",))
    assert text is not None
    assert "tlsrpt incidents abc2341" in text.get_content()

"""Each way an alert goes, to a real receiver on loopback; what goes wrong is told, and no secret is."""

from __future__ import annotations

import base64
import hmac
import logging
from datetime import UTC, datetime
from hashlib import sha256
from io import StringIO
from pathlib import Path
from typing import Any

import msgspec
import pytest
from apprise import Apprise

from tests.notify.receivers import a_mail_server, a_web_server
from tests.notify.test_routing import HOSTILE, a_notice
from tlsrpt.config import AlertsConfig, AlertTo, Config, LogConfig, MailServer
from tlsrpt.core.errors import ConfigError, SourceError
from tlsrpt.notify.channels import SCHEMAS, lint_webhook, open_service, send, signature, way_of, without_secrets
from tlsrpt.notify.mail import DeliveryError
from tlsrpt.notify.outbox import NobodyError
from tlsrpt.notify.wording import message_of
from tlsrpt.service.logs import listen_to_libraries, make_log
from tlsrpt.store.telling import Delivery, Outgoing

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
MESSAGE = message_of([a_notice()], "alert-1-abc", NOW, goes_on_from="alert-0-abc")


def a_delivery(message: Outgoing = MESSAGE, address: str = "") -> Delivery:
    return Delivery(notice_id=1, recipient="ops", address=address, made_at=NOW, tries=1, message=message)


def told(to: AlertTo, mail: MailServer | None = None) -> Config:
    return Config(alerts=AlertsConfig(to=(to,)), mail=mail or MailServer())


def by_url(tmp_path: Path, url: str) -> AlertTo:
    file = tmp_path / "url"
    file.write_text(url + "\n")
    return AlertTo(name="ops", url_file=str(file))


def test_mail_arrives_with_what_shows_it_beside_the_first() -> None:
    with a_mail_server() as (box, server):
        send(told(AlertTo(name="ops", mail=("a@b.example",)), server), a_delivery(address="a@b.example"), NOW)
    (mail,) = box.mails
    assert mail["Subject"] == MESSAGE.subject
    assert (mail["Message-ID"], mail["References"]) == ("<alert-1-abc@meadow.example>", "<alert-0-abc@meadow.example>")
    text = mail.get_body(("plain",))
    assert text is not None
    assert "mx1.meadow.example" in text.get_content()


def test_a_digest_goes_to_its_address() -> None:
    digest = Outgoing(token="digest-1", kind="digest", subject="s", text="t\n")  # noqa: S106
    with a_mail_server() as (box, server):
        send(Config(mail=server), a_delivery(digest, "a@b.example"), NOW)
    assert box.envelopes[0].rcpt_tos == ["a@b.example"]


def test_a_webhook_is_posted_the_whole_incident_and_signed(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("whsec_" + base64.b64encode(b"secret").decode())
    with a_web_server() as web:
        send(told(AlertTo(name="ops", webhook=web.url, secret_file=str(key))), a_delivery(), NOW)
    ((path, headers, body),) = web.posts
    sent = msgspec.json.decode(body)
    assert path == "/hook"
    assert (sent["version"], sent["event"], sent["incidents"][0]["id"]) == (1, "opened", "abc2341")
    assert sent["incidents"][0]["sessions"]["failed"] == 7
    signed = f"alert-1-abc.{headers['webhook-timestamp']}.".encode() + body
    mac = base64.b64encode(hmac.new(b"secret", signed, sha256).digest()).decode()
    assert (
        headers["webhook-signature"]
        == f"v1,{mac}"
        == signature(key.read_text(), "alert-1-abc", headers["webhook-timestamp"], body)
    )


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_webhook_that_does_not_take_it_is_tried_again(status: int) -> None:
    """Nothing is followed elsewhere: the body is for this address alone."""
    with a_web_server() as web:
        web.status = status
        with pytest.raises(DeliveryError, match=str(status)):
            send(told(AlertTo(name="ops", webhook=web.url)), a_delivery(), NOW)
    with pytest.raises(DeliveryError, match="refused"):
        send(told(AlertTo(name="ops", webhook=web.url)), a_delivery(), NOW)


@pytest.mark.parametrize(
    "url",
    [
        "http://a.example/",
        "https://",
        "https://u:p@a.example/",
        "ftp://a.example/",
        "https://a.example/ b",
        "https://[",
        "https://a.example:x/",
    ],
)
def test_a_webhook_is_https_unless_it_is_here(url: str) -> None:
    with pytest.raises(ConfigError, match="no https"):
        lint_webhook(url)


def test_apprise_posts_to_a_real_receiver(tmp_path: Path) -> None:
    with a_web_server() as web:
        url = web.url.replace("http://", "json://")
        send(told(by_url(tmp_path, url)), a_delivery(), NOW)
    ((_, _, body),) = web.posts
    sent = msgspec.json.decode(body)
    assert sent["title"] == MESSAGE.subject
    assert "Next step: Compare" in sent["message"]


def test_a_slack_like_service_is_sent_no_mention(tmp_path: Path) -> None:
    """Mattermost's incoming webhook speaks as Slack's does."""
    message = message_of([a_notice(headline=HOSTILE, of={"headline": HOSTILE, "steps": (HOSTILE,)})], "t", NOW)
    with a_web_server() as web:
        host = web.url.removeprefix("http://").removesuffix("/hook")
        send(told(by_url(tmp_path, f"mmost://{host}/3ccdd113474722377935511fc85d3dd4")), a_delivery(message), NOW)
    ((path, _, body),) = web.posts
    assert path == "/hooks/3ccdd113474722377935511fc85d3dd4"
    text = msgspec.json.decode(body)["text"]
    assert not set("<>@[]`") & set(text)


def test_no_secret_is_told_or_logged(tmp_path: Path) -> None:
    """A token stands in the path of most addresses, and libraries log addresses."""
    stream = StringIO()
    handlers = list(logging.getLogger().handlers)
    listen_to_libraries(make_log(LogConfig(form="json", level="debug"), stream))
    try:
        with a_web_server() as web:
            web.status = 500
            url = web.url.replace("http://", "json://me:hunter22@").replace("/hook", "/T0KENT0KEN?+X-Key=s3cr3ts3cr3t")
            with pytest.raises(DeliveryError, match="500") as error:
                send(told(by_url(tmp_path, url)), a_delivery(), NOW)
    finally:
        logging.getLogger().handlers[:] = handlers
    for secret in ("hunter22", "T0KENT0KEN", "s3cr3ts3cr3t"):
        assert secret not in str(error.value)
        assert secret not in stream.getvalue()
    assert without_secrets("no\nhost at https://x/T0KENT0KEN", "slack://T0KENT0KEN") == "no host at https://x/***"


def test_every_service_that_is_named_is_one_of_apprises() -> None:
    services = Apprise().details()["schemas"]
    known = {name for each in services for kind in ("protocols", "secure_protocols") for name in each[kind] or ()}
    assert known >= SCHEMAS


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "syslog://",
        "dbus://",
        "exec://rm",
        "https://hooks.slack.com/services/T1/B1/x",
        "mailto://a:b@c.example",
        "T0KENT0KEN",
        "slack://T0KENT0KEN",
    ],
)
def test_what_is_no_service_for_people_is_refused_without_telling_the_address(url: str) -> None:
    with pytest.raises(ConfigError) as error:
        open_service(url)
    assert "T0KENT0KEN" not in str(error.value)
    assert "passwd" not in str(error.value)


@pytest.mark.parametrize(
    ("to", "says"),
    [
        ({}, "no way to tell it"),
        ({"mail": ("a@b.example",), "webhook": "https://a.example/"}, "mail and webhook"),
        ({"url_env": "X", "webhook": "https://a.example/"}, "webhook and apprise"),
    ],
)
def test_a_recipient_has_one_way(to: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        way_of(AlertTo(**to))


def test_who_is_taken_out_of_the_configuration_is_not_told() -> None:
    for config in (Config(), told(AlertTo(name="ops", mail=("other@b.example",)))):
        with pytest.raises(NobodyError):
            send(config, a_delivery(address="a@b.example"), NOW)


def test_a_secret_that_is_not_there_is_tried_again(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="url"):
        send(told(AlertTo(name="ops", url_file=str(tmp_path / "none"))), a_delivery(), NOW)

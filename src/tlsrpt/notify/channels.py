"""The ways that an alert goes: mail through `[mail]`, a service that Apprise knows, or a webhook.

Of Apprise's services those are taken that pass a text on to people. Addresses of Apprise and keys are secrets: they are
read when they are needed, and what a library says of a failure is told without any part of them.
"""

from __future__ import annotations

import base64
import hmac
import logging
import re
import ssl
from collections.abc import Callable
from datetime import datetime
from hashlib import sha256
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import msgspec

from tlsrpt.config import AlertTo, Config
from tlsrpt.core.errors import ConfigError
from tlsrpt.core.text import printable
from tlsrpt.intake.secrets import read_secret
from tlsrpt.notify.mail import DeliveryError, Mail, made_id, parse_address, send_mail
from tlsrpt.notify.outbox import NobodyError
from tlsrpt.notify.wording import for_chat
from tlsrpt.store.telling import Delivery, Outgoing

WITHIN_S = 20.0  # for a webhook to answer
ANSWER_BYTES = 4096
# Schemas of Apprise that carry a text to people or to a program of theirs. None that runs a program, writes a file or
# speaks to this machine's desktop. mailto:// is left out: mail goes through [mail], with headers of its own.
SCHEMAS = frozenset(
    {
        "discord",
        "form",
        "forms",
        "gchat",
        "gotify",
        "gotifys",
        "json",
        "jsons",
        "matrix",
        "matrixs",
        "mmost",
        "mmosts",
        "ntfy",
        "ntfys",
        "opsgenie",
        "pagerduty",
        "pover",
        "rocket",
        "rockets",
        "signal",
        "signals",
        "slack",
        "splunk",
        "tgram",
        "threema",
        "twilio",
        "victorops",
        "webex",
        "workflow",
        "workflows",
        "wxteams",
        "zulip",
    }
)
_SECRET = re.compile(r"[^/:@?&=,\s]{6,}")  # pieces of an address that may be one


def send(config: Config, delivery: Delivery, now: datetime) -> None:
    """Send one message to one address.

    Raises:
        NobodyError: nobody of that name is told any more.
        ConfigError, SourceError: a setting can't be used, or a secret not be read.
        DeliveryError: it was not taken.
    """
    message = delivery.message
    if message.kind == "digest":
        _send_mail(config, message, delivery.address, now)
        return
    to = config.alerts.named().get(delivery.recipient)
    if to is None:
        raise NobodyError("nobody of this name is in [alerts] any more", where=printable(delivery.recipient, 100))
    match way_of(to):
        case "mail":
            if delivery.address not in to.mail:
                raise NobodyError("this address is not told any more", where=printable(delivery.address, 100))
            _send_mail(config, message, delivery.address, now)
        case "webhook":
            post_json(to, message, now)
        case _:
            send_by_apprise(read_url(to), message)


def way_of(to: AlertTo, where: str = "alerts.to") -> str:
    """mail, webhook or apprise: the one way of a recipient.

    Raises:
        ConfigError: it has none, or several.
    """
    ways = [("mail", bool(to.mail)), ("webhook", bool(to.webhook)), ("apprise", has_url(to))]
    given = [way for way, there in ways if there]
    if len(given) != 1:
        what = f"{' and '.join(given)} are given, and only one can be meant" if given else "no way to tell it is given"
        raise ConfigError(what, where=where, fix="set one of mail, url_file, url_env, url_command, webhook")
    return given[0]


def has_url(to: AlertTo) -> bool:
    """Whether an address of Apprise is named."""
    return bool(to.url_file or to.url_env or to.url_command)


def read_url(to: AlertTo) -> str:
    """The address of Apprise, a secret.

    Raises: see `read_secret`.
    """
    return read_secret("url", file=to.url_file, env=to.url_env, command=to.url_command)


def _send_mail(config: Config, message: Outgoing, address: str, now: datetime) -> None:
    server = config.mail
    mail = Mail(
        to=(parse_address(address),),
        subject=message.subject,
        text=message.text,
        html=message.html,
        message_id=made_id(message.token, server),
        references=made_id(message.goes_on_from, server) if message.goes_on_from else "",
        headers=(("X-Tlsrpt-Event", message.event), ("X-Tlsrpt-Severity", message.severity)),
    )
    send_mail(server, mail, now)


# --- Apprise ----------------------------------------------------------------------------------------------------------


def send_by_apprise(url: str, message: Outgoing) -> None:
    """Send the short form of a message to a service.

    Raises:
        ConfigError: the extra is missing, or the address is none that is taken.
        DeliveryError: it was not taken.
    """
    service = open_service(url)
    from apprise import LogCapture

    with LogCapture(level=logging.WARNING) as said:
        try:
            taken = service.notify(body=for_chat(_short(message)), title=for_chat(message.subject), body_format="text")
        except Exception as error:  # noqa: BLE001 - of 179 plugins; what it holds may be a secret
            raise DeliveryError(f"not sent: {without_secrets(repr(error), url)}") from None
        reason = said.getvalue()
    if not taken:
        raise DeliveryError(f"not taken: {without_secrets(reason, url) or 'no reason given'}")


def open_service(url: str) -> Any:
    """What Apprise makes of an address; nothing is sent.

    Raises:
        ConfigError: see `send_by_apprise`. The address is not in it.
    """
    schema = url.partition("://")[0].lower()
    if schema == "mailto":
        raise ConfigError(
            "mail does not go by Apprise", where="url", fix="write mail = [...], and a server into [mail]"
        )
    if schema not in SCHEMAS:
        said = printable(schema, 30) if "://" in url else "an address without ://"
        raise ConfigError(f"no service that is taken: {said}", where="url", fix=f"one of {', '.join(sorted(SCHEMAS))}")
    try:
        from apprise import Apprise, AppriseAsset
    except ImportError as error:
        raise ConfigError("needs apprise, which is not installed", fix="pip install 'tlsrpt[notify]'") from error
    # What it logs holds addresses, and goes where LogCapture takes it and nowhere else.
    logging.getLogger("apprise").propagate = False
    service = Apprise.instantiate(url, asset=AppriseAsset(app_id="tlsrpt", app_desc="TLS reports", app_url=""))
    if service is None:
        raise ConfigError(
            f"Apprise can make nothing of this address of {schema}",
            where="url",
            fix=f"see its page on {schema} for what the address consists of",
        )
    return service


def without_secrets(text: str, url: str) -> str:
    """What a library says, in one line, without any piece of the address."""
    for piece in sorted(set(_SECRET.findall(url.partition("://")[2])), key=len, reverse=True):
        text = text.replace(piece, "***")
    return printable(" ".join(text.split()), 300)


def _short(message: Outgoing) -> str:
    held = msgspec.json.decode(message.data) if message.data else {}
    return str(held.get("short") or message.text)


# --- Webhook ----------------------------------------------------------------------------------------------------------


def post_json(to: AlertTo, message: Outgoing, now: datetime) -> None:
    """Post a message whole, as JSON; signed as Standard Webhooks has it, where a key is named.

    Raises:
        ConfigError, SourceError: the address or the key can't be used.
        DeliveryError: it was not taken: no answer of 2xx. Nothing else is followed.
    """
    connect, path = _webhook(to.webhook)
    body = (message.data or msgspec.json.encode({"version": 1, "id": message.token}).decode()).encode()
    stamp = str(int(now.timestamp()))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "tlsrpt",
        "webhook-id": message.token,
        "webhook-timestamp": stamp,
    }
    if to.secret_file or to.secret_env or to.secret_command:
        key = read_secret("secret", file=to.secret_file, env=to.secret_env, command=to.secret_command)
        headers["webhook-signature"] = signature(key, message.token, stamp, body)
    connection = connect()
    try:
        connection.request("POST", path, body=body, headers=headers)
        answer = connection.getresponse()
        status, said = answer.status, answer.read(ANSWER_BYTES)
    except (OSError, HTTPException, ValueError) as error:
        raise DeliveryError(f"not taken: {printable(str(error) or repr(error), 200)}", where="webhook") from error
    finally:
        connection.close()
    if not 200 <= status < 300:
        words = printable(said.decode("utf-8", "replace").partition("\n")[0], 200)
        raise DeliveryError(f"not taken: it answered {status} {words}".rstrip(), where="webhook")


def signature(key: str, token: str, stamp: str, body: bytes) -> str:
    """v1 of Standard Webhooks: HMAC-SHA256 over id, time and body. A key is text, or base64 behind `whsec_`.

    Raises:
        ConfigError: what stands behind whsec_ is no base64.
    """
    try:
        secret = base64.b64decode(key[6:], validate=True) if key.startswith("whsec_") else key.encode()
    except ValueError:
        raise ConfigError("what stands behind whsec_ is no base64", where="secret") from None
    mac = hmac.new(secret, f"{token}.{stamp}.".encode() + body, sha256)
    return f"v1,{base64.b64encode(mac.digest()).decode()}"


def lint_webhook(url: str) -> None:
    """Raise ConfigError where nothing can be posted there."""
    _webhook(url)


def _webhook(url: str) -> tuple[Callable[[], HTTPConnection], str]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        good = parts.scheme == "https" or (parts.scheme == "http" and _is_here(host))
    except ValueError:
        good, host, port = False, "", None
    if not good or not host or not (url.isascii() and url.isprintable()) or " " in url or parts.username is not None:
        raise ConfigError(
            "no https:// address without a user in it", where="webhook", fix="write https://HOST/...; http:// only here"
        )
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if parts.scheme == "http":
        return lambda: HTTPConnection(host, port, timeout=WITHIN_S), path
    context = ssl.create_default_context()
    return lambda: HTTPSConnection(host, port, timeout=WITHIN_S, context=context), path


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False

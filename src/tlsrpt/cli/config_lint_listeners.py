"""The lint of listeners: where they listen, behind which proxies, for which recipients, with which certificate."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from ipaddress import ip_network
from pathlib import Path

from tlsrpt.cli.config_lint_files import (
    Found,
    can_be_looked_into,
    fault,
    is_public,
    lint_file,
    lint_secret_at,
    lint_socket_folder,
    note,
    said,
    warning,
)
from tlsrpt.config import HttpsSource, LmtpSource
from tlsrpt.core.errors import ConfigError, TlsrptError
from tlsrpt.core.text import printable
from tlsrpt.intake.certificate import tls_context
from tlsrpt.intake.listening import Listen, parse_listen
from tlsrpt.intake.proxies import Proxies
from tlsrpt.intake.recipients import Recipients

_PAIR = "name the certificate chain and its own private key, both PEM, the key without a password"
SOON = timedelta(days=14)  # a certificate that ends within is told of


def lint_https(where: str, source: HttpsSource, now: datetime) -> Found:
    yield from _proxies(where, source.proxies)
    yield from _certificate(where, source.certificate, source.key, now)
    try:
        listen = parse_listen(source.listen)
    except ConfigError as error:
        yield said("no-address", f"{where}.listen", error)
        return
    yield from _socket(where, listen, source.mode, source.group)
    if source.certificate:
        return
    if is_public(listen) and not source.proxies:
        yield warning(
            "plain-http",
            f"{where}.listen",
            f"plain HTTP on {listen}, which other machines can reach",
            "set certificate and key, or listen on 127.0.0.1 behind a proxy that has them",
            "senders post by HTTPS alone (RFC 8460 section 3), and what is posted in the clear can be read and changed",
        )
    elif not source.proxies and source.per_address:
        proxy = '"unix:"' if listen.path else '"127.0.0.1"' if ":" not in listen.address else '"::1"'
        yield note(
            "proxy-not-named",
            f"{where}.proxies",
            "all posts come from the proxy's address, and per_address counts them as one client's",
            f"write proxies = [{proxy}] if the proxy sets X-Forwarded-For",
        )


def lint_lmtp(where: str, source: LmtpSource, now: datetime) -> Found:
    for n, address in enumerate(source.recipients, 1):
        try:
            Recipients((address,))
        except ConfigError as error:
            yield said("no-recipient", f"{where}.recipients[{n}]", error)
    yield from _certificate(where, source.certificate, source.key, now)
    try:
        listen = parse_listen(source.listen)
    except ConfigError as error:
        yield said("no-address", f"{where}.listen", error)
        return
    yield from _socket(where, listen, source.mode, source.group)
    if not is_public(listen):
        return
    if source.protocol == "lmtp":
        yield warning(
            "lmtp-public",
            f"{where}.listen",
            f"LMTP on {listen}, which other machines can reach",
            'listen on 127.0.0.1 or a socket; for mail from outside write protocol = "smtp"',
            "LMTP is for the mail server beside it (RFC 2033 section 5); whoever reaches the port hands in mail",
        )
    elif not source.certificate:
        yield warning(
            "smtp-without-tls",
            f"{where}.listen",
            f"SMTP on {listen} without STARTTLS",
            "set certificate and key",
            "reports come in the clear, and senders that insist on TLS do not deliver them",
        )


def _proxies(where: str, proxies: Iterable[str]) -> Found:
    for n, entry in enumerate(proxies, 1):
        try:
            Proxies((entry,))
        except ConfigError as error:
            yield fault("no-proxy", f"{where}.proxies[{n}]", error.what, _meant_network(entry) or error.fix)
        if entry in ("0.0.0.0/0", "::/0"):
            yield fault(
                "everybody-believed",
                f"{where}.proxies[{n}]",
                f"{entry} is everybody",
                "name the proxies' own addresses",
                "any client could say that it has another's address, and no limit would hold",
            )


def _meant_network(entry: str) -> str:
    """What was meant by an address of a network with the network's length: 192.0.2.1/24."""
    try:
        return f'write "{ip_network(entry, strict=False)}"'
    except ValueError:
        return ""


def _socket(where: str, listen: Listen, mode: str, group: str) -> Found:
    if not listen.path:
        if group:
            yield warning("group-unused", f"{where}.group", "only a unix socket has a group", "leave it out")
        if not listen.port:
            yield warning("any-port", f"{where}.listen", "port 0 is any free port", "name one that others can know")
        return
    yield from lint_socket_folder(f"{where}.listen", listen)
    if group and not _has_group(group):
        yield fault("no-group", f"{where}.group", f'there is no group "{printable(group, 100)}"', f"groupadd {group}")
    if int(mode, 8) & 0o002:
        yield warning(
            "socket-open",
            f"{where}.mode",
            f"mode {mode} lets every user of this machine hand in reports",
            'write mode = "0660" and group =',
        )


def _has_group(group: str) -> bool:
    import grp

    if group.isascii() and group.isdigit():
        return True
    try:
        grp.getgrnam(group)
    except (KeyError, ValueError):
        return False
    return True


def _certificate(where: str, certificate: str, key: str, now: datetime) -> Found:
    if key and not certificate:
        yield fault("key-alone", f"{where}.key", "a key without its certificate", "set certificate")
    if not certificate:
        return
    found = [
        *(lint_file(f"{where}.certificate", certificate) if key else ()),
        *lint_secret_at(f"{where}.{'key' if key else 'certificate'}", key or certificate, "key"),
    ]
    yield from found
    if not can_be_looked_into(found):
        return
    try:
        tls_context(certificate, key)
    except TlsrptError as error:
        yield fault("certificate-unfit", f"{where}.certificate", f"{error.where}: {error.what}", _PAIR)
        return
    yield from _validity(f"{where}.certificate", certificate, now)


def _validity(where: str, certificate: str, now: datetime) -> Found:
    from cryptography import x509

    try:
        leaf = x509.load_pem_x509_certificates(Path(certificate).read_bytes())[0]
    except ValueError:  # OpenSSL, which serves it, is content
        return
    end = leaf.not_valid_after_utc
    if end <= now:
        yield warning("certificate-ended", where, f"the certificate ended on {end:%Y-%m-%d}", "renew it")
    elif end <= now + SOON:
        yield warning("certificate-ends", where, f"the certificate ends on {end:%Y-%m-%d}", "renew it, and reload")
    elif leaf.not_valid_before_utc > now:
        yield warning("certificate-ended", where, f"the certificate begins on {leaf.not_valid_before_utc:%Y-%m-%d}")

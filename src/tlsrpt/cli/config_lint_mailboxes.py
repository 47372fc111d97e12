"""The lint of mailboxes and buckets: who logs in where, with which secret, and what becomes of what was read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from tlsrpt.cli.config_lint_files import (
    Found,
    fault,
    is_missing,
    lint_authorities,
    lint_command,
    lint_secret,
    lint_secret_at,
    warning,
)
from tlsrpt.config import GraphSource, ImapSource, MaildirSource, OauthConfig, S3Source
from tlsrpt.core.domain import parse_domain
from tlsrpt.core.errors import DomainError
from tlsrpt.core.text import printable


def lint_maildir(where: str, source: MaildirSource) -> Found:
    path = Path(source.path)
    if not path.is_absolute():
        yield fault("relative-path", f"{where}.path", f'"{printable(source.path, 200)}" is relative', "write all of it")
        return
    if is_missing(path):
        yield fault(
            "no-folder",
            f"{where}.path",
            f"the folder {printable(source.path, 200)} does not exist",
            "the mail server makes it with the first mail, or maildirmake does",
        )
    elif not all((path / part).is_dir() for part in ("new", "cur")):
        what = "a file; an mbox is read by `tlsrpt ingest`" if path.is_file() else "no Maildir: it lacks new and cur"
        yield fault("no-maildir", f"{where}.path", f"{printable(source.path, 200)} is {what}", "name the Maildir")
    elif source.after in ("seen", "move", "delete") and not all(
        os.access(path / part, os.W_OK | os.X_OK) for part in ("new", "cur")
    ):
        yield fault(
            "no-access",
            f"{where}.path",
            f"this user may not change {printable(source.path, 200)}",
            'let the service\'s user write there, or write after = "leave"',
        )
    yield from _folders(where, source.after, source.done_folder, source.failed_folder, "")


def lint_imap(where: str, source: ImapSource, environment: Mapping[str, str]) -> Found:
    yield from _host(where, source.host)
    ways = ("password_file", "password_env", "password_command", "token_command", "oauth")
    given = [way for way in ways if getattr(source, way)]
    if not given:
        yield fault("no-login", where, "no way to log in", f"set one of {', '.join(ways)}")
    elif len(given) > 1:
        yield fault("two-logins", where, f"{' and '.join(given)} are given", "leave one of them")
    yield from lint_secret(where, "password", source, environment)
    yield from lint_command(f"{where}.token_command", source.token_command)
    if source.oauth is not None:
        yield from _oauth(f"{where}.oauth", source.oauth, environment)
    if source.mailbox and given and given[0].startswith("password"):
        yield fault(
            "mailbox-unused",
            f"{where}.mailbox",
            "a mailbox apart from the user is opened with a token only",
            "set oauth or token_command, or put the mailbox's name into user as your server wants it",
        )
    if (source.tls, source.port) == ("starttls", 993):
        yield fault(
            "port-unusual",
            f"{where}.port",
            "port 993 has TLS from the first byte",
            'write port = 143, or leave out tls = "starttls"',
        )
    elif (source.tls, source.port) == ("tls", 143):
        yield warning(
            "port-unusual",
            f"{where}.port",
            "port 143 has no TLS from the first byte, mostly",
            'write port = 993, or tls = "starttls"',
        )
    yield from lint_authorities(f"{where}.ca_file", source.ca_file)
    yield from _folders(where, source.after, source.done_folder, source.failed_folder, source.folder)


def lint_graph(where: str, source: GraphSource, environment: Mapping[str, str]) -> Found:
    local, at, domain = source.mailbox.rpartition("@")
    if not at or not local or not domain:
        yield fault(
            "no-mailbox",
            f"{where}.mailbox",
            f'"{printable(source.mailbox, 200)}" is no address',
            'write mailbox = "tls@example.com"',
        )
    yield from _oauth(f"{where}.oauth", source.oauth, environment)
    if source.oauth.provider == "google":
        yield fault("provider-unfit", f"{where}.oauth.provider", "Graph is Microsoft's", 'write provider = "microsoft"')
    yield from _address(f"{where}.endpoint", source.endpoint)
    yield from lint_authorities(f"{where}.ca_file", source.ca_file)
    yield from _folders(where, source.after, source.done_folder, source.failed_folder, source.folder)


def lint_s3(where: str, source: S3Source, environment: Mapping[str, str]) -> Found:
    if source.endpoint:
        yield from _address(f"{where}.endpoint", source.endpoint)
    given = [way for way in ("file", "env", "command") if getattr(source, f"secret_key_{way}")]
    if given and not source.access_key_id:
        yield fault("no-login", f"{where}.access_key_id", "a secret key without its access_key_id", "set access_key_id")
    elif source.access_key_id and not given:
        yield fault("no-login", where, "an access_key_id without its secret key", "set secret_key_file")
    elif len(given) > 1:
        yield fault("two-logins", where, f"secret_key_{' and secret_key_'.join(given)} are given", "leave one of them")
    yield from lint_secret(where, "secret_key", source, environment)
    if source.after == "move":
        for key in ("done_prefix", "failed_prefix"):
            prefix = getattr(source, key)
            if not prefix or prefix == source.prefix:
                yield fault(
                    "moved-nowhere", f"{where}.{key}", "is where the objects are already", f'write {key} = "done/"'
                )


def _oauth(where: str, oauth: OauthConfig, environment: Mapping[str, str]) -> Found:
    ways = ("client_secret_file", "client_secret_env", "client_secret_command")
    given = [way for way in ways if getattr(oauth, way)]
    if oauth.provider == "google":
        if not oauth.key_file:
            yield fault("no-login", where, "Google wants the service account's key", "set key_file")
        else:
            yield from lint_secret_at(f"{where}.key_file", oauth.key_file, "key")
        if given:
            yield warning("secret-unused", f"{where}.{given[0]}", "Google takes the key in key_file", "leave it out")
    else:
        if not given:
            yield fault("no-login", where, "the client's secret is not given", f"set one of {', '.join(ways)}")
        elif len(given) > 1:
            yield fault("two-logins", where, f"{' and '.join(given)} are given", "leave one of them")
        if oauth.provider == "microsoft" and not (oauth.tenant or oauth.token_url):
            yield fault("no-tenant", where, "the tenant is missing", "set tenant: the directory id of the registration")
        if oauth.provider == "other" and not oauth.token_url:
            yield fault("no-token-url", where, "nothing says where tokens are asked for", "set token_url")
    if oauth.token_url:
        yield from _address(f"{where}.token_url", oauth.token_url)
    yield from lint_secret(where, "client_secret", oauth, environment)
    yield from lint_authorities(f"{where}.ca_file", oauth.ca_file)


def _folders(where: str, after: str, done: str, failed: str, folder: str) -> Found:
    if after == "move" and not done:
        yield fault("moved-nowhere", f"{where}.done_folder", 'after = "move" and no folder', "name a folder to move to")
    for key, name in (("done_folder", done), ("failed_folder", failed)):
        if folder and name == folder and after != "leave":
            yield fault(
                "moved-nowhere", f"{where}.{key}", f"{printable(name, 100)} is where reports arrive", "name another"
            )


def _host(where: str, host: str) -> Found:
    bare = host.strip().removeprefix("imaps://").removeprefix("imap://").rstrip("/")
    name, colon, port = bare.rpartition(":")
    if host != bare or (colon and port.isdigit() and ":" not in name):
        bare = name if colon and port.isdigit() and ":" not in name else bare
        more = f" and port = {port}" if colon and port.isdigit() and bare == name else ""
        yield fault(
            "no-host", f"{where}.host", f'"{printable(host, 200)}" is more than a name', f'write host = "{bare}"{more}'
        )
        return
    try:
        ip_address(bare)
    except ValueError:
        try:
            parse_domain(bare)
        except DomainError as error:
            yield fault("no-host", f"{where}.host", error.what, 'write host = "imap.example.com"')


def _address(where: str, url: str) -> Found:
    """An https:// address; http:// on this machine only."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https" and host:
        return
    local = host == "localhost" or host.startswith("127.") or host == "::1"
    if parts.scheme == "http" and local:
        return
    shown = printable(url, 200)
    if parts.scheme == "http" and host:
        message = f'"{shown}" is in the clear: secrets would be read on the way'
        yield fault("plain-http", where, message, f"write https://{printable(host, 100)}")
    else:
        yield fault("no-address", where, f'"{shown}" is no address', "write https://HOST/...")

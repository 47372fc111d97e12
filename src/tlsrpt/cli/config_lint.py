"""What is wrong with a configuration that has the right shape: values that can't work, files that can't be read, traps.

All of it is told at once. Errors are what `serve` would refuse or stumble over; warnings are what works and is not
meant; notes are worth knowing. Files are looked at, nothing is bound, connected to or changed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import datetime
from ipaddress import ip_address

from tlsrpt.cli.config_lint_alerts import lint_alerts
from tlsrpt.cli.config_lint_files import (
    Found,
    fault,
    is_missing,
    is_public,
    lint_file,
    lint_socket_folder,
    note,
    said,
    warning,
)
from tlsrpt.cli.config_lint_listeners import lint_https, lint_lmtp
from tlsrpt.cli.config_lint_mailboxes import lint_graph, lint_imap, lint_maildir, lint_s3
from tlsrpt.config import (
    AnySource,
    Config,
    DomainsConfig,
    GraphSource,
    HttpsSource,
    ImapSource,
    LmtpSource,
    MailConfig,
    MaildirSource,
    S3Source,
)
from tlsrpt.core.errors import ConfigError, DomainError, TlsrptError
from tlsrpt.core.findings import Finding
from tlsrpt.core.owned import Pattern, own_lines, parse_pattern
from tlsrpt.core.text import printable
from tlsrpt.intake.listening import Listen, parse_listen
from tlsrpt.intake.owning import own_file_text

MOST_LINES = 20  # bad lines of own_file that are told one by one


def lint_config(config: Config, *, now: datetime, environment: Mapping[str, str]) -> list[Finding]:
    """Everything there is to say, errors first.

    Args:
        now: to tell whether certificates have ended.
        environment: where `*_env` is looked for.
    """
    found: list[Finding] = [
        *_store(config.store.url),
        *_domains(config.domains),
        *_resolver(config.dns.resolver),
        *_health(config.health.listen),
        *lint_alerts(config, environment),
        *_doubled_places(config),
    ]
    sources = list(config.source.placed())
    if not sources:
        found.append(
            warning(
                "no-source", "source", "no way in is named", "name one, as in [[source.https]]", "serve will not start"
            )
        )
    for placed in sources:
        where, name, source = placed.where, placed.name, placed.source
        about = [*_name(where, name), *_unproven(where, source), *_source(where, source, now, environment)]
        if all(finding.severity != "error" for finding in about):
            about += _build(where, name, source, config)
        found += about
    if os.geteuid() == 0 and any(_files(placed.source) for placed in sources):
        found.append(
            note(
                "checked-as-root",
                "file",
                "checked as root, who may read every file",
                "run the check as the service's user: sudo -u tlsrpt tlsrpt config check",
            )
        )
    return sorted(found, key=lambda finding: ("error", "warning", "info").index(finding.severity))


# --- What there is one of -------------------------------------------------------------------------------------------


def _store(url: str) -> Found:
    from tlsrpt.store.sqlite import sqlite_path

    if not url:
        return
    try:
        path = sqlite_path(url)
    except TlsrptError as error:
        yield said("store-address", "store.url", error)
        return
    if not path.is_absolute():
        yield warning(
            "relative-path",
            "store.url",
            f'"{printable(url, 200)}" is relative',
            "write sqlite:////the/whole/path.db, with four slashes",
            "each command looks for the store in the folder that it is started in",
        )
    elif path.is_dir():
        yield fault("store-address", "store.url", f"{printable(str(path), 200)} is a folder", "name a file in it")
    elif is_missing(path.parent):
        yield note(
            "no-folder",
            "store.url",
            f"the folder {printable(str(path.parent), 200)} does not exist yet",
            "the service makes it if its user may; StateDirectory= of the unit does, too",
        )
    elif path.exists() and not os.access(path, os.W_OK):
        yield fault(
            "no-access",
            "store.url",
            f"this user may not write {printable(str(path), 200)}",
            "run the check as the service's user, and let that own the file",
        )


def _domains(config: DomainsConfig) -> Found:
    own, file = config.own, config.own_file
    if own == "any" and file:
        yield warning(
            "file-unused", "domains.own_file", 'own = "any" takes every domain; the file is not read', "leave one out"
        )
        return
    if own == () and not file:
        yield warning(
            "no-domain",
            "domains.own",
            "the list is empty",
            'name your domains, or write own = "any"',
            "every report is taken for somebody else's and stands in no figure",
        )
    named, below = set[Pattern](), list[tuple[str, str]]()
    for n, text in enumerate(own if isinstance(own, tuple) else (), 1):
        try:
            pattern = parse_pattern(text)
        except DomainError as error:
            yield said("no-domain-name", f"domains.own[{n}]", error)
            continue
        named.add(pattern)
        if pattern.startswith("*."):
            below.append((f"domains.own[{n}]", pattern[2:]))
    if file:
        yield from _own_file(file, named)
    for where, name in below:
        if name not in named:
            yield note(
                "name-not-covered",
                where,
                f"*.{name} is all below {name}, and not {name}",
                f'add "{name}" if it is yours',
            )


def _own_file(file: str, named: set[Pattern]) -> Found:
    where = "domains.own_file"
    found = list(lint_file(where, file))
    yield from found
    if any(finding.severity == "error" for finding in found):
        return
    try:
        lines = list(own_lines(own_file_text(file)))
    except ConfigError as error:
        yield said("no-text", where, error)
        return
    named |= {pattern for _, pattern in lines if isinstance(pattern, str)}
    wrong = [(number, error) for number, error in lines if isinstance(error, DomainError)]
    for number, why in wrong[:MOST_LINES]:
        yield fault("no-domain-name", where, f"{printable(file, 200)} line {number}: {why.what}", why.fix)
    if len(wrong) > MOST_LINES:
        yield fault("no-domain-name", where, f"{len(wrong) - MOST_LINES:,} more lines are no domain names")
    if not lines:
        yield warning("no-domain", where, f"{printable(file, 200)} names no domain", "one domain a line")


def _resolver(text: str) -> Found:
    from tlsrpt.dns.exchange import parse_server

    if text:
        try:
            parse_server(text)
        except ConfigError as error:
            yield said("no-name-server", "dns.resolver", error)


def _health(text: str) -> Found:
    if not text:
        return
    where = "health.listen"
    try:
        listen = parse_listen(text)
    except ConfigError as error:
        yield said("no-address", where, error)
        return
    yield from lint_socket_folder(where, listen)
    if is_public(listen):
        yield warning(
            "health-public",
            where,
            f"{listen} can be reached from other machines",
            "listen on 127.0.0.1, or close the port in the firewall",
            "everybody there learns how many reports come in, from which sources, and when",
        )


def _doubled_places(config: Config) -> Found:
    """Two that want one address, one Maildir or one mailbox."""
    listens: list[tuple[str, Listen]] = []
    places: dict[tuple[str, ...], str] = {}
    for where, text in _listeners(config):
        try:
            listen = parse_listen(text)
        except ConfigError:
            continue  # said elsewhere
        for other_where, other in listens:
            if _collide(listen, other):
                yield fault(
                    "address-taken", f"{where}.listen", f"{listen} is {other_where}.listen's", "give it another port"
                )
        listens.append((where, listen))
    for placed in config.source.placed():
        where, place = placed.where, _place(placed.source)
        if place and place in places:
            yield fault(
                "place-taken",
                where,
                f"reads what {places[place]} reads",
                "leave one out",
                "they would take reports from each other",
            )
        places.setdefault(place, where)


def _listeners(config: Config) -> Iterator[tuple[str, str]]:
    for placed in config.source.placed():
        if isinstance(placed.source, HttpsSource | LmtpSource):
            yield placed.where, placed.source.listen
    if config.health.listen:
        yield "health", config.health.listen


def _collide(one: Listen, other: Listen) -> bool:
    if one.path or other.path:
        return one.path == other.path
    if one.port != other.port or not one.port:
        return False
    first, second = ip_address(one.address), ip_address(other.address)
    return first.version == second.version and (first == second or first.is_unspecified or second.is_unspecified)


def _place(source: AnySource) -> tuple[str, ...]:
    match source:
        case MaildirSource():
            return ("maildir", os.path.normpath(source.path))
        case ImapSource():
            return ("imap", source.host.lower(), source.mailbox or source.user, source.folder)
        case S3Source():
            return ("s3", source.endpoint, source.bucket, source.prefix)
        case GraphSource():
            return ("graph", source.mailbox.lower(), source.folder)
    return ()


# --- What every source has ------------------------------------------------------------------------------------------


def _name(where: str, name: str) -> Found:
    if name.startswith("-") or ":" in name or any(c.isspace() or not c.isprintable() for c in name):
        yield fault(
            "name-unfit",
            f"{where}.name",
            f'"{printable(name, 100)}" can\'t be a name',
            'no blanks, no ":", no "-" at the beginning',
            "names stand in commands and logs",
        )


def _unproven(where: str, source: AnySource) -> Found:
    if source.unproven == "accept":
        return
    then = "go to quarantine" if source.unproven == "quarantine" else "are refused"
    if not isinstance(source, MailConfig):
        yield warning(
            "nothing-proven",
            f"{where}.unproven",
            f"no report by HTTPS is proven (it has no signature), so all of them {then}",
            'write unproven = "accept", or take reports by mail alone',
        )
    elif not source.dkim and not source.authserv_id:
        yield fault(
            "nothing-proven",
            f"{where}.unproven",
            f"dkim = false proves no report, so all of them {then}",
            "write dkim = true, or name your gateway's authserv_id",
        )


def _build(where: str, name: str, source: AnySource, config: Config) -> Found:
    """What the source itself says of its table, and the extras that it needs."""
    from tlsrpt.service.building import build_source

    try:
        build_source(name, source, config.limits)
    except ConfigError as error:
        code = "extra-missing" if "pip install" in error.fix else "source-unfit"
        yield said(code, where, error)


def _source(where: str, source: AnySource, now: datetime, environment: Mapping[str, str]) -> Found:
    match source:
        case HttpsSource():
            yield from lint_https(where, source, now)
        case LmtpSource():
            yield from lint_lmtp(where, source, now)
        case MaildirSource():
            yield from lint_maildir(where, source)
        case ImapSource():
            yield from lint_imap(where, source, environment)
        case S3Source():
            yield from lint_s3(where, source, environment)
        case GraphSource():
            yield from lint_graph(where, source, environment)


def _files(source: AnySource) -> bool:
    """Whether a source reads files that its user has to be able to read."""
    keys = ("certificate", "password_file", "secret_key_file", "ca_file", "path")
    return any(getattr(source, key, "") for key in keys if not (key == "path" and isinstance(source, HttpsSource)))

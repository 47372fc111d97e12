"""What is wrong with whom alerts and digests go to, as Findings, for `config check` and `alerts test`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from tlsrpt.config import AlertsConfig, AlertTo, Config, DigestConfig
from tlsrpt.core.domain import parse_domain
from tlsrpt.core.errors import ConfigError, DomainError
from tlsrpt.core.findings import Finding, Severity
from tlsrpt.core.owned import Owned, Pattern, parse_pattern
from tlsrpt.core.text import printable
from tlsrpt.notify import schedule
from tlsrpt.notify.channels import lint_webhook, way_of
from tlsrpt.notify.mail import lint_server, parse_address
from tlsrpt.notify.routing import scope_of, zone_of


def lint_alerts(config: Config) -> list[Finding]:
    """Everything there is to say, without looking at files, DNS or servers."""
    found = [*_names(config.alerts)]
    for n, (name, to) in enumerate(config.alerts.named().items(), 1):
        found += _recipient(f"alerts.to[{n}]", name, to)
    to_mail = any(to.mail for to in config.alerts.to) or bool(config.digest.to and config.digest.every != "never")
    if to_mail or config.mail.host:
        found += _raised("mail-unfit", "mail", lambda: lint_server(config.mail))
    return [*found, *_digest(config.digest), *own_mail(config)]


def _digest(config: DigestConfig) -> Iterator[Finding]:
    for n, address in enumerate(config.to, 1):
        yield from _raised("no-address", f"digest.to[{n}]", partial(parse_address, address))
    yield from _raised("no-time-zone", "digest.zone", partial(schedule.zone_of, config))
    yield from _raised("no-domain-name", "digest.domains", partial(schedule.scope_of, config))


def own_mail(config: Config) -> list[Finding]:
    """Addresses at our own domains: the fault that an alert tells of may keep it away."""
    own = config.domains.own
    if not isinstance(own, tuple):
        return []
    owned = Owned.made_of([pattern for pattern in map(_pattern, own) if pattern is not None])
    apart = [to for to in config.alerts.to if not to.mail or not all(_is_own(one, owned) for one in to.mail)]
    if apart or not config.alerts.to:
        return []
    message = "every alert goes to a mail address at one of your own domains"
    return [
        _finding(
            "info",
            "alerts-at-home",
            "alerts.to",
            message,
            "name a second one that does not depend on your own servers: a chat, a webhook, an address elsewhere",
            "when your own servers refuse mail, the alert that tells of it may be refused, too",
        )
    ]


def _recipient(where: str, name: str, to: AlertTo) -> Iterator[Finding]:
    yield from _raised("recipient-unfit", where, lambda: way_of(to, where))
    for n, address in enumerate(to.mail, 1):
        yield from _raised("no-address", f"{where}.mail[{n}]", partial(parse_address, address))
    if to.webhook:
        yield from _raised("no-address", f"{where}.webhook", lambda: lint_webhook(to.webhook))
    yield from _raised("no-time-zone", f"{where}.zone", lambda: zone_of(to, where))
    yield from _raised("no-domain-name", f"{where}.domains", lambda: scope_of(to, where))
    if name.startswith("-") or not name.isprintable() or " " in name:
        yield _finding(
            "error", "name-unfit", f"{where}.name", f'"{printable(name, 100)}" can\'t be a name', "no blanks"
        )
    begin, _, end = to.quiet_hours.partition("-")
    if to.quiet_hours and begin == end:
        yield _finding("error", "wrong-value", f"{where}.quiet_hours", "it ends when it begins", 'write "22:00-07:00"')


def _names(alerts: AlertsConfig) -> Iterator[Finding]:
    if len(alerts.named()) < len(alerts.to):
        yield _finding("error", "name-taken", "alerts.to", "two are called alike", "give each a name of its own")


def _raised(code: str, where: str, look: Callable[[], object]) -> Iterator[Finding]:
    try:
        look()
    except ConfigError as error:
        yield _finding("error", code, where, error.what, error.fix)


def _is_own(address: str, owned: Owned) -> bool:
    try:
        return owned.owns(parse_domain(address.rpartition("@")[2]))
    except DomainError:
        return False


def _pattern(text: str) -> Pattern | None:
    try:
        return parse_pattern(text)
    except DomainError:
        return None


def _finding(severity: Severity, code: str, where: str, message: str, fix: str = "", consequence: str = "") -> Finding:
    return Finding(code=code, severity=severity, where=where, message=message, fix=fix, consequence=consequence)

"""Who is told what, and when: by domain, severity and event, not in quiet hours, many at once as one.

An alert that depends on what is failing may not arrive: where a mail address of a recipient is at a domain of the
incident, or served by its MX host, the message says so, and goes to all other recipients that do not depend on it, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from hashlib import blake2b
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tlsrpt.config import AlertsConfig, AlertTo
from tlsrpt.core.domain import is_domain
from tlsrpt.core.errors import ConfigError, DomainError
from tlsrpt.core.owned import Owned, parse_pattern
from tlsrpt.core.text import printable
from tlsrpt.insight.incident import Incident
from tlsrpt.notify.rules import SEVERITIES, Event, News, Notice
from tlsrpt.notify.wording import message_of
from tlsrpt.store.telling import Address, Outgoing

GROUP: Mapping[Event, str] = {"heard": "silent", "well": "trouble"}  # which of `events` an end belongs to
LOSING = frozenset({"refused", "delayed"})  # what mail may not arrive under
Routed = list[tuple[Outgoing, Sequence[Address]]]


def route(
    news: News,
    config: AlertsConfig,
    now: datetime,
    *,
    number: int,
    firsts: Mapping[str, str],
    mx_hosts: Mapping[str, Sequence[str]],
) -> Routed:
    """The messages for some news, and where each goes.

    Args:
        number: of this look, which no other has: messages are named by it.
        firsts: the token of the first message on each key.
        mx_hosts: of the domains of mail addresses, as far as they are known.
    """
    named = config.named()
    wanted: dict[str, list[Notice]] = {
        name: [notice for notice in news.notices if is_for(notice, to)] for name, to in named.items()
    }
    shaky = {name: [n for n in wanted[name] if depends(to, n.incident, mx_hosts)] for name, to in named.items()}
    for name, to in named.items():  # what may not arrive there comes here
        for other, notices in shaky.items():
            if other != name:
                wanted[name] += [n for n in notices if n not in wanted[name] and not depends(to, n.incident, mx_hosts)]
    together: dict[tuple[tuple[int, ...], str], list[str]] = {}  # which notices, with which warning -> recipients
    for name in named:
        indexes = tuple(news.notices.index(notice) for notice in wanted[name])
        hit = [notice.incident for notice in shaky[name] if notice.incident is not None]
        note = _note(
            named[name], hit, mx_hosts, alone=not any(n in wanted[o] for n in shaky[name] for o in named if o != name)
        )
        if len(indexes) > config.at_once or (news.first and len(indexes) > 1):
            together.setdefault((indexes, note), []).append(name)
        else:
            for index in indexes:
                own = note if news.notices[index] in shaky[name] else ""
                together.setdefault(((index,), own), []).append(name)
    routed: Routed = []
    told = {index for indexes, _ in together for index in indexes}
    for (indexes, note), names in together.items():
        if indexes:
            routed.append((_message(news, indexes, note, now, number, firsts), _addresses(names, named, now)))
    for index, notice in enumerate(news.notices):
        if index not in told:  # for `tlsrpt alerts`: nobody was told
            routed.append((_message(news, (news.notices.index(notice),), "", now, number, firsts), ()))
    return routed


def _message(
    news: News, indexes: tuple[int, ...], note: str, now: datetime, number: int, firsts: Mapping[str, str]
) -> Outgoing:
    notices = [news.notices[index] for index in indexes]
    digest = blake2b(repr((indexes, note)).encode(), digest_size=4).hexdigest()
    token = f"alert-{now:%Y%m%d%H%M%S}-{number}-{digest}"
    goes_on_from = firsts.get(notices[0].key, "") if len(notices) == 1 else ""
    return message_of(notices, token, now, goes_on_from=goes_on_from, note=note, first=news.first)


def _addresses(names: Sequence[str], named: Mapping[str, AlertTo], now: datetime) -> list[Address]:
    found = []
    for name in names:
        to = named[name]
        due = due_at(to, now)
        found += [Address(recipient=name, address=address, due=due) for address in to.mail or ("",)]
    return found


# --- Who ----------------------------------------------------------------------------------------------------------


def is_for(notice: Notice, to: AlertTo) -> bool:
    """Whether a recipient wants a notice. What concerns no domain goes to those who are told of all."""
    event = GROUP.get(notice.event, notice.event)
    if to.events and event not in to.events:
        return False
    if SEVERITIES.index(notice.severity) < SEVERITIES.index(to.min_severity):
        return False
    scope = scope_of(to)
    return scope is None or any(map(scope.owns, notice.domains))


def scope_of(to: AlertTo, where: str = "alerts.to") -> Owned | None:
    """The domains that a recipient is told of; None for all.

    Raises:
        ConfigError: a text is no domain.
    """
    if not to.domains:
        return None
    try:
        return Owned.made_of([parse_pattern(text) for text in to.domains])
    except DomainError as error:
        raise ConfigError(error.what, where=f"{where}.domains", fix=error.fix) from error


# --- When ---------------------------------------------------------------------------------------------------------


def due_at(to: AlertTo, now: datetime) -> datetime:
    """When a recipient may be told: now, or at the end of its quiet hours.

    Raises:
        ConfigError: there is no such time zone.
    """
    if not to.quiet_hours:
        return now
    begin, end = (time.fromisoformat(text) for text in to.quiet_hours.split("-"))
    zone = zone_of(to)
    local = now.astimezone(zone)
    clock = local.time()
    quiet = begin <= clock < end if begin <= end else clock >= begin or clock < end
    if not quiet:
        return now
    day = local.date() if clock < end else local.date() + timedelta(days=1)
    return datetime.combine(day, end, zone).astimezone(UTC)


def zone_of(to: AlertTo, where: str = "alerts.to") -> ZoneInfo:
    """The time zone of quiet hours.

    Raises:
        ConfigError: there is none of that name.
    """
    try:
        return ZoneInfo(to.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # ValueError: a path; OSError: a folder of zones
        what = f'no time zone of this name: "{printable(to.zone, 60)}"'
        raise ConfigError(what, where=f"{where}.zone", fix="write one as Europe/Berlin, or UTC") from error


# --- Whether it arrives ---------------------------------------------------------------------------------------------


def mail_domains(config: AlertsConfig) -> set[str]:
    """The domains of all mail addresses that are told."""
    found = {_domain(address) for to in config.to for address in to.mail}
    return {domain for domain in found if is_domain(domain)}


def depends(to: AlertTo, incident: Incident | None, mx_hosts: Mapping[str, Sequence[str]]) -> list[str]:
    """The mail addresses of a recipient that an incident may keep an alert from; none where mail is not refused."""
    if incident is None or incident.state == "quiet":
        return []
    return [address for address in to.mail if _is_hit(_domain(address), incident, mx_hosts)]


def _is_hit(domain: str, incident: Incident, mx_hosts: Mapping[str, Sequence[str]]) -> bool:
    """Whether mail to a domain suffers: as the reports on it say, or, where there are none, those on its MX host."""
    for consequence, domains in incident.effects:
        if domain in domains:
            return consequence in LOSING
    return incident.consequence in LOSING and incident.place in mx_hosts.get(domain, ())


def _domain(address: str) -> str:
    return address.rpartition("@")[2].strip().rstrip(".").lower()


def _note(to: AlertTo, incidents: Sequence[Incident], mx_hosts: Mapping[str, Sequence[str]], *, alone: bool) -> str:
    hit = {address: incident for incident in incidents for address in depends(to, incident, mx_hosts)}
    if not hit:
        return ""
    address, incident = next(iter(hit.items()))
    more = f" and {len(hit) - 1} more" if len(hit) > 1 else ""
    return (
        f"This goes to {address}{more}, whose mail depends on what is failing ({incident.place}): it may not arrive. "
        + ("Nobody else is told of it. " if alone else "Others are told, too. ")
        + "Give alerts a second way that does not depend on your own domains."
    )

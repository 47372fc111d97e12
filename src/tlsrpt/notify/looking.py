"""One look: what is so now is asked of the store, held against what was told, and what is new goes into the outbox.

Memory and messages are kept in one transaction, which somebody else's look in between makes void: of two who look at
the same time one tells. Sending comes after that (`outbox.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from tlsrpt.check.mail import mail_route
from tlsrpt.config import Config
from tlsrpt.dns.resolver import Resolver
from tlsrpt.insight.coverage import find_coverage
from tlsrpt.insight.health import findings
from tlsrpt.insight.identity import sightings
from tlsrpt.insight.incidents import LOOK_BACK, find_incidents
from tlsrpt.insight.situation import find_situation
from tlsrpt.notify.routing import Routed, mail_domains, route
from tlsrpt.notify.rules import News, Seen, find_news
from tlsrpt.store.sqlite import Store
from tlsrpt.store.sqlite_memory import remember
from tlsrpt.store.sqlite_notices import first_token, post, read_told

MxHosts = Mapping[str, Sequence[str]]


class Look(Struct, frozen=True, kw_only=True):
    """What one look found."""

    news: News
    routed: Routed
    version: int  # of the memory that it was held against


def look(store: Store, config: Config, now: datetime, *, mx_hosts: MxHosts, once: bool = False) -> Look:
    """Look, and keep nothing.

    Args:
        mx_hosts: of the domains of mail addresses that are told, as far as they are known.
        once: no service has to run.
    Raises:
        ConfigError: a recipient can't be used.
        StoreError: the store can't be read.
    """
    version, told = read_told(store)
    news = find_news(find_seen(store, config, now, once=once), told, config.alerts, now, first=version == 0)
    firsts = {notice.key: first_token(store, notice.key) for notice in news.notices}
    routed = route(news, config.alerts, now, number=version + 1, firsts=firsts, mx_hosts=mx_hosts)
    return Look(news=news, routed=routed, version=version)


def keep(store: Store, found: Look, now: datetime) -> bool:
    """Keep what a look found: messages and memory. False where somebody else has told something since.

    An incident that is told is remembered as such, too, so that it keeps its id under whatever name it is told later.

    Raises: StoreError, StoreBusyError: no message was kept.
    """
    news = found.news
    if not news.anything:
        return True
    incidents = [notice.incident for notice in news.notices if notice.incident is not None]
    if incidents:
        remember(store, sightings(incidents))
    return post(store, found.routed, now=now, told=news.told, forgotten=news.forgotten, version=found.version)


def find_seen(store: Store, config: Config, now: datetime, *, once: bool = False) -> Seen:
    """What is so now."""
    today = now.date()
    since = today - LOOK_BACK
    situation, _ = find_situation(store, config, now, once=once)
    return Seen(
        incidents=find_incidents(store, since=since, until=today, today=today),
        coverage=find_coverage(store, since=since, until=today, today=today),
        quarantined=situation.quarantined,
        findings=findings(situation, now),
    )


async def find_mx_hosts(config: Config, resolver: Resolver) -> dict[str, tuple[str, ...]]:
    """The hosts that take mail for the addresses that are told, by domain; none where DNS does not say."""
    routes = [await mail_route(resolver, domain) for domain in sorted(mail_domains(config.alerts))]
    return {found.domain: tuple(host.lower().rstrip(".") for host in found.hosts) for found in routes}

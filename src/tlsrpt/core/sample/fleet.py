"""The demo fleet: a small hosting company's domains over some weeks, with faults planted on known days.

The faults that want an answer are in `Fleet.faults`; what looks like a fault and is nobody's is in `Fleet.noise`.
Both are the very events that the reports are made from, so that a test can hold every answer against them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import date, timedelta
from typing import Literal

from msgspec import Struct, structs

from tlsrpt.core.sample.profiles import PROFILES
from tlsrpt.core.sample.truth import Event, Host, Site, StsPolicy, Truth, tlsa_record

SENDERS = ("google", "microsoft", "mailru", "stalwart", "postfix", "mox", "halon", "socketlabs")


class Fleet(Struct, frozen=True, kw_only=True):
    """A truth over the days from `first` to `last`, and what should be found in its reports."""

    truth: Truth
    first: date
    last: date
    healthy: dict[str, str]  # domain -> what should be said of it

    @property
    def faults(self) -> tuple[Event, ...]:
        """What somebody should act on, now or then, as far as it fell into these days."""
        return tuple(event for event in self.truth.events if not event.noise and self._in_time(event))

    @property
    def noise(self) -> tuple[Event, ...]:
        """What looks like a fault and is nobody's."""
        return tuple(event for event in self.truth.events if event.noise and self._in_time(event))

    def _in_time(self, event: Event) -> bool:
        return event.first <= self.last and (event.last is None or event.last >= self.first)


def fleet(*, until: date, days: int = 90, seed: int = 1, domains: Collection[str] | None = None) -> Fleet:
    """The fleet over so many UTC days, the last being `until`; `domains` keeps only these of its domains.

    The faults stand at fixed distances from `until`, so that a shorter fleet holds the later ones.
    """
    if days < 1:
        raise ValueError("a fleet needs at least one day")
    sites = tuple(site for site in _sites(until) if domains is None or site.domain in domains)
    names = {site.domain for site in sites}
    hosts = {host.name for site in sites for host in site.hosts}
    events = tuple(event for event in _events(until) if _possible(event, names, hosts))
    first = until - timedelta(days=days - 1)
    return Fleet(
        truth=Truth(
            sites=sites,
            senders=tuple(PROFILES[name] for name in SENDERS),
            events=events,
            since=until - timedelta(days=89),  # growth from a fixed day: a shorter fleet is the end of a longer one
            seed=seed,
        ),
        first=first,
        last=until,
        healthy={domain: says for domain, says in _HEALTHY.items() if domain in names},
    )


def _possible(event: Event, domains: Collection[str], hosts: Collection[str]) -> bool:
    """Whether an event has a place among these domains and hosts."""
    return (not event.domains or any(name in domains for name in event.domains)) and (
        not event.hosts or any(name in hosts for name in event.hosts)
    )


_HEALTHY = {
    "grove.example": "MTA-STS in testing for 60 days without a failure: ready for enforce",
    "cedar.example": "MTA-STS in enforce and DANE, both healthy",
    "willow.example": "no policy at all; TLS works",
}


def _host(name: str, number: int, *, weight: float = 1.0, ipv6: bool = True, since: date | None = None) -> Host:
    return Host(
        name=name,
        ipv4=(f"198.51.100.{number}",),
        ipv6=(f"2001:db8:25::{number:x}",) if ipv6 else (),
        weight=weight,
        since=since,
    )


def _dane(host: Host) -> Host:
    return structs.replace(host, tlsa=(tlsa_record(host.name),), tlsrpt=True)


def _sites(until: date) -> tuple[Site, ...]:
    shared = (_host("mx1.hosting.example", 11), _host("mx2.hosting.example", 12, weight=0.6))
    shared_mx = tuple(host.name for host in shared)
    foundry = (_host("mx.foundry.example", 31), _host("backup.foundry.example", 32, weight=0.15, ipv6=False))
    quarry = (
        _host("mx1.quarry.example", 41),
        _host("mx3.quarry.example", 43, weight=0.5, since=until - timedelta(days=30)),
    )
    return (
        Site(domain="orchard.example", hosts=shared, sts=(_sts("enforce", shared_mx),), daily=240),
        Site(domain="meadow.example", hosts=shared, sts=(_sts("testing", shared_mx),), daily=90),
        Site(domain="vineyard.example", hosts=shared, sts=(_sts("enforce", shared_mx),), daily=40),
        _own("harbour.example", 21, "enforce", daily=130),
        Site(
            domain="foundry.example",
            hosts=foundry,
            sts=(_sts("testing", tuple(host.name for host in foundry)),),
            daily=60,
        ),
        Site(domain="quarry.example", hosts=quarry, sts=(_sts("testing", ("mx1.quarry.example",)),), daily=75),
        Site(domain="lantern.example", hosts=(_dane(_host("mx.lantern.example", 51)),), daily=110),
        _own("grove.example", 61, "testing", daily=85, since=until - timedelta(days=59)),
        Site(
            domain="cedar.example",
            hosts=(_dane(_host("mx.cedar.example", 71)),),
            sts=(_sts("enforce", ("mx.cedar.example",)),),
            daily=150,
        ),
        Site(domain="willow.example", hosts=(_host("mx.willow.example", 81, ipv6=False),), daily=20),
    )


def _sts(mode: Literal["testing", "enforce"], mx: tuple[str, ...], since: date | None = None) -> StsPolicy:
    return StsPolicy(mode=mode, mx=mx, since=since)


def _own(
    domain: str, number: int, mode: Literal["testing", "enforce"], *, daily: float, since: date | None = None
) -> Site:
    """A domain with one MX host of its own and a policy."""
    host = _host(f"mx.{domain}", number)
    return Site(domain=domain, hosts=(host,), sts=(_sts(mode, (host.name,), since),), daily=daily)


def _events(until: date) -> tuple[Event, ...]:
    def back(days: int) -> date:
        return until - timedelta(days=days)

    return (
        Event(
            kind="certificate-expired",
            first=back(23),
            hosts=("mx2.hosting.example",),
            note="the certificate of mx2.hosting.example expired and was not renewed; it serves three domains",
        ),
        Event(
            kind="sts-policy-fetch-error",
            first=back(41),
            last=back(38),
            domains=("harbour.example",),
            note="the policy of harbour.example could not be fetched for four days; mended",
        ),
        Event(
            kind="starttls-not-supported",
            first=back(52),
            domains=("foundry.example",),
            hosts=("backup.foundry.example",),
            note="backup.foundry.example offers no STARTTLS",
        ),
        Event(
            kind="tlsa-mismatch",
            first=back(16),
            last=back(14),
            domains=("lantern.example",),
            hosts=("mx.lantern.example",),
            note="mx.lantern.example got a new key before its TLSA record was there; mended after three days",
        ),
        Event(
            kind="mx-not-in-policy",
            first=back(30),
            domains=("quarry.example",),
            hosts=("mx3.quarry.example",),
            note="mx3.quarry.example went into the DNS and not into the policy, which is in testing",
        ),
        *_noise(back),
    )


def _noise(back: Callable[[int], date]) -> tuple[Event, ...]:
    return (
        _broken_off(back(63), "google", "harbour.example", "mx.harbour.example"),
        _broken_off(back(33), "microsoft", "orchard.example", "mx1.hosting.example"),
        _broken_off(back(4), "google", "lantern.example", "mx.lantern.example"),
        Event(
            kind="sts-policy-fetch-error",
            first=back(9),
            last=back(9),
            domains=("cedar.example",),
            senders=("microsoft",),
            sessions=2,
            noise=True,
            note="Microsoft could not fetch the policy of cedar.example twice on one day; nobody else had trouble",
        ),
        Event(
            kind="report-loop",
            first=back(400),
            domains=("willow.example",),
            senders=("stalwart",),
            noise=True,
            note="one sender's only session a day is the one that brings our own report",
        ),
        Event(
            kind="late",
            first=back(30),
            last=back(28),
            senders=("microsoft",),
            days_late=12,
            noise=True,
            note="Microsoft's reports on three days came 12 days late",
        ),
        Event(
            kind="silent",
            first=back(19),
            senders=("socketlabs",),
            noise=True,
            note="SocketLabs sends no reports any more",
        ),
    )


def _broken_off(day: date, sender: str, domain: str, host: str) -> Event:
    return Event(
        kind="handshake-timeout",
        first=day,
        last=day,
        domains=(domain,),
        hosts=(host,),
        senders=(sender,),
        sessions=1,
        noise=True,
        note=f"one TLS handshake of {sender} with {host} was broken off",
    )

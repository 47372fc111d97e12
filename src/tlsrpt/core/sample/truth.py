"""What was really so: the domains, their MX hosts and policies, the traffic, and the faults over an interval of days.

One truth is seen by every sender; `seen` works out which sessions met what, and `compose` tells it in the words and
with the habits of each sender. Nothing here knows how a report looks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import date
from random import Random
from typing import Literal

from msgspec import Struct

from tlsrpt.core.sample.profiles import Profile

Layer = Literal["any", "pkix", "policy-host", "policy-text", "dane", "sender"]


class Kind(Struct, frozen=True, kw_only=True):
    """A kind of event: where it bites, and whose it is in truth (which no report says)."""

    layer: Layer  # any: under every policy; pkix: under MTA-STS only; dane: under DANE only
    side: Literal["mx", "policy-host", "dns", "sender", "network", "nobody"]
    says: str


KINDS: dict[str, Kind] = {
    "starttls-not-supported": Kind(layer="any", side="mx", says="the MX host offers no STARTTLS"),
    "starttls-refused": Kind(layer="any", side="mx", says="the MX host answers STARTTLS with a temporary error"),
    "handshake-timeout": Kind(layer="any", side="network", says="the TLS handshake is broken off by a timeout"),
    "protocol-version": Kind(layer="any", side="mx", says="no TLS version in common"),
    "handshake-alert": Kind(layer="any", side="mx", says="the MX host breaks the TLS handshake off with an alert"),
    "certificate-expired": Kind(layer="pkix", side="mx", says="the MX host shows an expired certificate"),
    "certificate-host-mismatch": Kind(layer="pkix", side="mx", says="the certificate does not hold the MX host's name"),
    "certificate-not-trusted": Kind(layer="pkix", side="mx", says="the MX host leaves out an intermediate certificate"),
    "certificate-self-signed": Kind(layer="pkix", side="mx", says="the MX host shows a self-signed certificate"),
    "old-ca-store": Kind(layer="pkix", side="sender", says="the sender's CA store lacks a current root"),
    "sts-policy-fetch-error": Kind(layer="policy-host", side="policy-host", says="the MTA-STS policy can't be fetched"),
    "policy-not-found": Kind(layer="policy-host", side="policy-host", says="there is no MTA-STS policy file (404)"),
    "policy-redirected": Kind(layer="policy-host", side="policy-host", says="the policy host redirects"),
    "policy-forbidden": Kind(layer="policy-host", side="policy-host", says="the policy host turns senders away (403)"),
    "policy-host-no-dns": Kind(layer="policy-host", side="dns", says="the policy host's name does not resolve"),
    "sts-policy-invalid": Kind(layer="policy-host", side="policy-host", says="the MTA-STS policy has a syntax fault"),
    "sts-webpki-invalid": Kind(layer="policy-host", side="policy-host", says="the policy host's certificate is bad"),
    "policy-wrong-content": Kind(
        layer="policy-host", side="policy-host", says="a web page comes instead of the policy"
    ),
    "policy-certificate-name": Kind(
        layer="policy-host", side="policy-host", says="the policy host's certificate is for another name"
    ),
    "mx-not-in-policy": Kind(layer="policy-text", side="policy-host", says="the MTA-STS policy does not list the host"),
    "stale-policy": Kind(layer="policy-text", side="sender", says="the sender still holds the former MTA-STS policy"),
    "tlsa-mismatch": Kind(layer="dane", side="mx", says="no TLSA record fits the certificate"),
    "tlsa-unusable": Kind(layer="dane", side="dns", says="no TLSA record is usable"),
    "dnssec-invalid": Kind(layer="dane", side="dns", says="the DNSSEC signatures do not hold"),
    "dnssec-signature-expired": Kind(layer="dane", side="dns", says="the zone's DNSSEC signatures have expired"),
    "dane-required": Kind(layer="dane", side="sender", says="the sender insists on DANE, which the host does not have"),
    "report-loop": Kind(
        layer="sender", side="sender", says="the only session a day is the one that carries our report"
    ),
    "silent": Kind(layer="sender", side="sender", says="the sender sends no reports"),
    "late": Kind(layer="sender", side="sender", says="the sender's reports come days late"),
}


class Host(Struct, frozen=True, kw_only=True):
    """An MX host with its addresses; reserved ones only (RFC 5737, RFC 3849)."""

    name: str
    ipv4: tuple[str, ...] = ("198.51.100.25",)
    ipv6: tuple[str, ...] = ()
    weight: float = 1.0  # share of the sessions, against the domain's other hosts
    tlsa: tuple[str, ...] = ()  # TLSA records in presentation form, hex in lower case; none: no DANE
    tlsrpt: bool = False  # has a TLSRPT record of its own: some senders report to the host's operator too (R3-02)
    since: date | None = None  # in the DNS from this day on


class StsPolicy(Struct, frozen=True, kw_only=True):
    """One version of a domain's MTA-STS policy (RFC 8461 section 3.2)."""

    mode: Literal["testing", "enforce"]
    mx: tuple[str, ...]
    max_age: int = 604800
    since: date | None = None  # published on this day


class Site(Struct, frozen=True, kw_only=True):
    """A domain that receives mail and reports."""

    domain: str
    hosts: tuple[Host, ...]
    sts: tuple[StsPolicy, ...] = ()  # versions, in the order of their days; none: no MTA-STS
    daily: float = 100.0  # sessions on a weekday, over all senders with a share of 1
    rua: str = ""  # where its reports go; tlsrpt@domain if empty

    @property
    def recipient(self) -> str:
        return self.rua or f"tlsrpt@{self.domain}"

    def policy_on(self, day: date) -> StsPolicy | None:
        """The policy version in force on a day."""
        current = [version for version in self.sts if version.since is None or version.since <= day]
        return current[-1] if current else None

    def policy_before(self, day: date) -> StsPolicy | None:
        """The version before the one in force on a day."""
        current = [version for version in self.sts if version.since is None or version.since <= day]
        return current[-2] if len(current) > 1 else None

    def hosts_on(self, day: date) -> tuple[Host, ...]:
        return tuple(host for host in self.hosts if host.since is None or host.since <= day)


class Event(Struct, frozen=True, kw_only=True):
    """Something that was so from one UTC day to another, at some place, for some senders. Empty fields mean: all."""

    kind: str  # one of KINDS
    first: date
    last: date | None = None  # None: it still is
    domains: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()  # of the MX host: one address of it, or all its IPv6 ones
    senders: tuple[str, ...] = ()  # names of profiles
    share: float = 1.0  # of the sessions that pass the place
    sessions: int | None = None  # at most so many sessions a report, whatever the share
    chance: float = 1.0  # that a sender meets it on a given day at all
    days_late: int = 0  # of kind `late`
    helo: str = ""  # what the MX host greets as where that is not its name, for senders that say so
    noise: bool = False  # nobody need act
    note: str = ""  # in words, for people

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"no such kind of event: {self.kind!r}; known: {', '.join(KINDS)}")

    @property
    def layer(self) -> Layer:
        return KINDS[self.kind].layer

    def is_on(self, day: date) -> bool:
        return self.first <= day and (self.last is None or day <= self.last)

    def concerns(self, sender: str, domain: str) -> bool:
        return (not self.senders or sender in self.senders) and (not self.domains or domain in self.domains)


class Truth(Struct, frozen=True, kw_only=True):
    """Everything that is so: who receives, who sends, what happens, and the seed of all chance."""

    sites: tuple[Site, ...]
    senders: tuple[Profile, ...]
    events: tuple[Event, ...] = ()
    since: date  # growth of the traffic counts from here
    seed: int = 1

    def events_on(self, day: date, sender: str, domain: str) -> list[Event]:
        return [event for event in self.events if event.is_on(day) and event.concerns(sender, domain)]

    def sites_of(self, event: Event) -> Iterator[Site]:
        """The sites that an event can touch."""
        for site in self.sites:
            if event.domains and site.domain not in event.domains:
                continue
            if not event.hosts or any(host.name in event.hosts for host in site.hosts):
                yield site


def seeded(*parts: object) -> Random:
    """A source of chance of its own for whatever the parts name: reports then don't depend on each other's order.

    Seeding with text is hashed and the methods used are stable over Python versions, so equal parts give equal draws.
    """
    return Random("/".join(map(str, parts)))  # noqa: S311  (samples, no secrets)


def tlsa_record(key: str, parameters: str = "3 1 1") -> str:
    """A TLSA record for a made-up key."""
    return f"{parameters} {hashlib.sha256(key.encode()).hexdigest()}"

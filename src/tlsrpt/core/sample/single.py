"""One domain with at most one fault: the smallest truth, for one report on the command line and for scenario tests."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Literal

from msgspec import structs

from tlsrpt.core.sample.profiles import Profile
from tlsrpt.core.sample.seen import WEEKDAYS
from tlsrpt.core.sample.truth import KINDS, Event, Host, Site, StsPolicy, Truth, tlsa_record

Policies = Literal["none", "testing", "enforce", "dane", "both"]


def single(
    domain: str,
    senders: tuple[Profile, ...],
    day: date,
    *,
    fault: str | None = None,
    policies: Policies | None = None,
    sessions: int = 120,
    seed: int = 1,
) -> Truth:
    """A domain with two MX hosts, of which `fault` (a key of KINDS) strikes the second from `day` on.

    Without `policies` it has what the fault needs: DANE for a fault of DANE, MTA-STS in enforce for all others.
    Every sender has about `sessions` sessions on `day`, whatever day of the week that is.
    """
    if policies is None:
        policies = "dane" if fault is not None and KINDS[fault].layer == "dane" else "enforce"
    site = a_site(domain, day, policies=policies, daily=sessions / WEEKDAYS[day.weekday()])
    events = () if fault is None else (an_event(fault, site, day),)
    equal = tuple(structs.replace(sender, share=1.0) for sender in senders)
    return Truth(sites=(site,), senders=equal, events=events, since=day, seed=seed)


def a_site(domain: str, day: date, *, policies: Policies = "enforce", daily: float = 120) -> Site:
    """A domain with `mx1` and `mx2`, both on IPv4 and IPv6; its policy lists both since 30 days, and one before."""
    dane = policies in ("dane", "both")
    hosts = tuple(
        Host(
            name=f"mx{number}.{domain}",
            ipv4=(f"198.51.100.{number}",),
            ipv6=(f"2001:db8:25::{number}",),
            tlsa=(tlsa_record(f"mx{number}.{domain}"),) if dane else (),
            tlsrpt=dane,
        )
        for number in (1, 2)
    )
    mode: Literal["testing", "enforce"] = "testing" if policies == "testing" else "enforce"
    names = tuple(host.name for host in hosts)
    versions = (
        StsPolicy(mode=mode, mx=names[:1]),
        StsPolicy(mode=mode, mx=names, since=day - timedelta(days=30)),
    )
    return Site(domain=domain, hosts=hosts, sts=() if policies in ("none", "dane") else versions, daily=daily)


def an_event(kind: str, site: Site, first: date, last: date | None = None) -> Event:
    """A fault of a kind at a site's last host, or at the domain where the kind has no host."""
    at_host = KINDS[kind].layer in ("any", "pkix", "dane") or kind == "mx-not-in-policy"
    return Event(
        kind=kind,
        first=first,
        last=last,
        domains=(site.domain,),
        hosts=(site.hosts[-1].name,) if at_host else (),
        sessions=1 if kind == "handshake-timeout" else None,
        days_late=12 if kind == "late" else 0,
    )

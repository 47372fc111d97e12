"""What one sender meets at one domain on one UTC day: its sessions, the path of each, and what went wrong there.

Still free of any sender's habits: the rows add up to the sessions, and each names the events it met. `compose` turns
them into a report.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from itertools import accumulate, product
from random import Random

from msgspec import Struct, structs

from tlsrpt.core.sample.profiles import Profile
from tlsrpt.core.sample.truth import Event, Host, Site, StsPolicy, Truth, seeded

# Monday to Sunday: business mail rests at the weekend.
WEEKDAYS = (1.0, 1.08, 1.1, 1.05, 0.92, 0.38, 0.34)
GROWTH_A_DAY = 0.0015
NOISE = 0.15  # a day's traffic varies by so much to either side
IPV6_SHARE = 0.4  # of the sessions where both ends have it


class Row(Struct, frozen=True, kw_only=True):
    """Sessions on one path that met the same events."""

    host: Host
    receiving_ip: str
    sending_ip: str
    sessions: int
    met: tuple[Event, ...] = ()


class Seen(Struct, frozen=True, kw_only=True):
    """A sender's day with a domain: the MTA-STS policy it applied, and its sessions."""

    site: Site
    day: date
    policy: StsPolicy | None
    rows: tuple[Row, ...]
    days_late: int = 0
    silent: bool = False

    @property
    def sessions(self) -> int:
        return sum(row.sessions for row in self.rows)


def look(truth: Truth, sender: Profile, site: Site, day: date) -> Seen:
    """Work out what a sender meets at a site on a day. The same arguments give the same value."""
    chance = seeded(truth.seed, sender.name, site.domain, day)
    count = _traffic(truth, sender, site, day, chance)
    events = [
        event
        for event in truth.events_on(day, sender.name, site.domain)
        if event.chance >= 1 or chance.random() < event.chance
    ]
    kinds = {event.kind for event in events}
    if "report-loop" in kinds:
        count = 1
    rows = _paths(site.hosts_on(day), sender, count, chance)
    for event in events:
        if event.layer not in ("sender", "policy-text"):
            rows = _meet(rows, event, chance)
    return Seen(
        site=site,
        day=day,
        policy=_applied_policy(site, events, day),
        rows=tuple(rows),
        days_late=max((event.days_late for event in events), default=0),
        silent="silent" in kinds,
    )


def _traffic(truth: Truth, sender: Profile, site: Site, day: date, chance: Random) -> int:
    usual = site.daily * sender.share * WEEKDAYS[day.weekday()] * (1 + GROWTH_A_DAY * (day - truth.since).days)
    return int(usual * (1 - NOISE + 2 * NOISE * chance.random()) + chance.random())


def share_out(count: int, weights: Sequence[float], chance: Random) -> list[int]:
    """Share a count out by weights, whole and without loss; small counts fall where chance wants."""
    total = sum(weights)
    marks = [min(1.0, mark / total) for mark in accumulate(weights)]
    marks[-1] = 1.0
    start = chance.random()
    ends = [int(mark * count + start) for mark in marks]
    return [end - begin for begin, end in zip([int(start), *ends], ends, strict=False)]


def _paths(hosts: Sequence[Host], sender: Profile, count: int, chance: Random) -> list[Row]:
    """Share sessions out over MX hosts, address families and pairs of addresses."""
    paths: list[tuple[Host, str, str]] = []
    weights: list[float] = []
    for host in hosts:
        for pairs, part in _address_pairs(host, sender):
            paths += [(host, receiving, sending) for receiving, sending in pairs]
            weights += [host.weight * part / len(pairs)] * len(pairs)
    if not paths:
        return []
    return [
        Row(host=host, receiving_ip=receiving, sending_ip=sending, sessions=sessions)
        for (host, receiving, sending), sessions in zip(paths, share_out(count, weights, chance), strict=True)
        if sessions
    ]


def _address_pairs(host: Host, sender: Profile) -> list[tuple[list[tuple[str, str]], float]]:
    """The pairs of receiving and sending address of each family that both ends have, with the family's share."""
    four = list(product(host.ipv4, (address for address in sender.addresses if ":" not in address)))
    six = list(product(host.ipv6, (address for address in sender.addresses if ":" in address)))
    if four and six:
        return [(four, 1 - IPV6_SHARE), (six, IPV6_SHARE)]
    return [(pairs, 1.0) for pairs in (four, six) if pairs]


def _touches(event: Event, row: Row) -> bool:
    if event.kind in ("tlsa-mismatch", "tlsa-unusable") and not row.host.tlsa:
        return False
    return (not event.hosts or row.host.name in event.hosts) and (
        not event.addresses or row.receiving_ip in event.addresses
    )


def _meet(rows: list[Row], event: Event, chance: Random) -> list[Row]:
    """Split off, of each row that passes the event's place, the sessions that met it."""
    left = event.sessions
    result: list[Row] = []
    for row in rows:
        hit = 0
        if _touches(event, row) and left != 0:
            hit = (
                row.sessions
                if event.share >= 1
                else min(row.sessions, int(row.sessions * event.share + chance.random()))
            )
            if left is not None:
                hit = min(hit, left)
                left -= hit
        if hit:
            result.append(structs.replace(row, sessions=hit, met=(*row.met, event)))
        if hit < row.sessions:
            result.append(structs.replace(row, sessions=row.sessions - hit))
    return result


def _applied_policy(site: Site, events: list[Event], day: date) -> StsPolicy | None:
    """The MTA-STS policy that the sender had in hand, which need not be the one it should have had."""
    policy = site.policy_on(day)
    for event in events:
        if event.kind == "stale-policy":
            policy = site.policy_before(day) or policy
        elif event.kind == "mx-not-in-policy" and policy is not None:
            policy = _without(policy, site.hosts_on(day), event.hosts)
    return policy


def _without(policy: StsPolicy, hosts: Sequence[Host], missing: tuple[str, ...]) -> StsPolicy:
    """A policy that lists the other hosts by name, and these not."""
    missing = missing or tuple(host.name for host in hosts[-1:])
    return structs.replace(
        policy, mx=tuple(host.name for host in hosts if host.name not in missing) or ("invalid.example",)
    )


def covers(policy: StsPolicy, host: str) -> bool:
    """Whether a policy lists an MX host; `*` stands for the leftmost label (RFC 8461 section 4.1)."""
    return any(host == mx or (mx.startswith("*.") and host.partition(".")[2] == mx[2:]) for mx in policy.mx)

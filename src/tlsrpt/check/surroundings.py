"""What stands around a record: can the domain take mail, can its mailboxes, do the endpoints answer, and so on.

None of it changes the verdict on the record; each is a finding beside it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence

from msgspec import Struct

from tlsrpt.check.endpoint import look_at_endpoint
from tlsrpt.check.https import Allowed, is_public
from tlsrpt.check.mail import MailRoute, hosts_without_address, mail_route
from tlsrpt.core.destinations import Destination
from tlsrpt.core.findings import Finding, Severity
from tlsrpt.core.record import LABEL, lint_record, owner_name, parse_record, select_index
from tlsrpt.dns.answers import Answer
from tlsrpt.dns.authority import Voice, ask_server
from tlsrpt.dns.resolver import Resolver

_MAX_DESTINATIONS = 10  # looked at; a record may name thousands


class Surroundings(Struct, frozen=True, kw_only=True):
    """What a check needs beside the resolver.

    Attributes:
        trust: certificates that endpoints are judged by; None: endpoints are not connected to.
        allowed: addresses that may be connected to.
        probe: makes the gzipped report to post to the endpoints of a domain; None: nothing is posted.
        authority_port: where authoritative servers listen; https_port: where policy hosts do.
    """

    trust: ssl.SSLContext | None = None
    allowed: Allowed = is_public
    probe: Callable[[str], bytes] | None = None
    authority_port: int = 53
    https_port: int = 443


def own_route(route: MailRoute, found: bool | None) -> list[Finding]:
    """Whether the domain itself takes mail; without, there is nothing to report on."""
    if not route.refuses:
        return []
    what = {
        "null-mx": ("domain-null-mx", "info", "says by a null MX that it takes no mail (RFC 7505)"),
        "none": ("domain-without-mail", "warning", "has neither MX records nor an address: it can't take mail"),
        "no-domain": ("domain-not-found", "error", "does not exist in DNS"),
    }
    code, severity, message = what[route.route]
    level: Severity = "error" if severity == "error" else "warning" if severity == "warning" and found else "info"
    return [
        Finding(
            code=code,
            severity=level,
            where=route.domain,
            message=f"{route.domain} {message}",
            consequence="There will be nothing to report." if found else "It needs no record as long as that is so.",
            fix="is the name right?" if code == "domain-not-found" else "",
        )
    ]


async def look_around(
    resolver: Resolver,
    domain: str,
    answer: Answer,
    route: MailRoute,
    authority: Voice | None,
    around: Surroundings,
) -> list[Finding]:
    """Look at all that a usable or mendable record leads to.

    Args:
        answer: the record; `authority` is a server of the zone that was reached, if any.
        route: how mail to the domain goes.
    """
    chosen = select_index(answer.texts)
    record = None if chosen is None else parse_record(answer.texts[chosen])
    destinations = record.destinations[:_MAX_DESTINATIONS] if record else ()
    looked = await asyncio.gather(
        _empty_name(resolver, domain, authority),
        look_at_mailboxes(resolver, destinations),
        _endpoints(resolver, domain, destinations, around),
        _dane(resolver, domain, route),
    )
    findings = [finding for found in looked for finding in found]
    if record and len(record.uris) > 1:
        findings.append(_microsoft(record.uris))
    return findings


def _microsoft(uris: Sequence[str]) -> Finding:
    return Finding(
        code="microsoft-first-rua-only",
        severity="info",
        where="rua",
        message=f"{len(uris)} destinations; Microsoft sends to the first alone: {uris[0]}",
        consequence="A sender may choose one of several (RFC 8460 section 3): the others then miss its reports.",
        fix="put the destination that must not miss anything first",
    )


async def _empty_name(resolver: Resolver, domain: str, authority: Voice | None) -> list[Finding]:
    """D-29: a server that denies the empty name between makes resolvers stop there that minimise names (RFC 9156)."""
    name = f"{LABEL.partition('.')[2]}.{domain}"
    if authority is None:
        between = await resolver.lookup(name, "TXT")
    else:
        between = await ask_server(resolver, authority.server, name, "TXT")
    if between.status != "nxdomain":
        return []
    return [
        Finding(
            code="empty-name-denied",
            severity="warning",
            where=name,
            message=f"{between.server} says that {name} does not exist, although {owner_name(domain)} does",
            consequence="Resolvers that ask name by name (RFC 9156) stop there, and their senders see no record.",
            fix="the name server breaks RFC 8020: have it mended, or publish any TXT record at that name",
        )
    ]


async def look_at_mailboxes(resolver: Resolver, destinations: Sequence[Destination]) -> list[Finding]:
    """Whether the domains of the mailboxes can take mail (D-26)."""
    mailboxes = {
        address.rpartition("@")[2]: address for destination in destinations for address in destination.addresses
    }
    found = await asyncio.gather(*(_mailbox(resolver, domain, mailboxes[domain]) for domain in mailboxes))
    return [finding for findings in found for finding in findings]


async def _mailbox(resolver: Resolver, domain: str, address: str) -> list[Finding]:
    route = await mail_route(resolver, domain)
    lost = "Reports to this mailbox are lost."
    if route.route == "unknown":
        message = f"whether {domain} takes mail is not known: {route.detail}"
        return [Finding(code="mailbox-unknown", severity="info", where=address, message=message)]
    if route.refuses:
        why = {"null-mx": "says that it takes no mail (null MX)", "none": "has neither MX records nor an address"}
        return [
            Finding(
                code={"null-mx": "mailbox-null-mx", "none": "mailbox-without-mx"}.get(route.route, "mailbox-no-domain"),
                severity="error",
                where=address,
                message=f"{domain} {why.get(route.route, 'does not exist in DNS')}",
                consequence=lost,
                fix="name a mailbox that takes mail, or give its domain an MX record",
            )
        ]
    missing = await hosts_without_address(resolver, route)
    if not missing:
        return []
    every = len(missing) == len(route.hosts)
    return [
        Finding(
            code="mailbox-mx-without-address",
            severity="error" if every else "warning",
            where=address,
            message=f"MX hosts of {domain} that have no address: {', '.join(missing)}",
            consequence=lost if every else "Reports arrive through the other hosts.",
            fix="mend the MX records",
        )
    ]


async def _endpoints(
    resolver: Resolver, domain: str, destinations: Sequence[Destination], around: Surroundings
) -> list[Finding]:
    trust = around.trust
    if trust is None:
        return []
    uris = [destination.uri for destination in destinations if destination.scheme == "https"]
    report = around.probe(domain) if around.probe and uris else None
    looked = await asyncio.gather(*(look_at_endpoint(resolver, uri, trust, around.allowed, report) for uri in uris))
    return [finding for found in looked for finding in found]


async def _dane(resolver: Resolver, domain: str, route: MailRoute) -> list[Finding]:
    """D-05: some senders report DANE failures to the record at the MX host's own name, too."""
    hosts = [host for host in route.hosts if host != domain]
    tlsa = await asyncio.gather(*(resolver.lookup(f"_25._tcp.{host}", "TLSA") for host in hosts))
    with_dane = [host for host, answer in zip(hosts, tlsa, strict=True) if answer.found and answer.ad]
    records = await asyncio.gather(*(resolver.lookup(owner_name(host), "TXT") for host in with_dane))
    without = [host for host, answer in zip(with_dane, records, strict=True) if answer.absent]
    findings = []
    for host, answer in zip(with_dane, records, strict=True):
        lint = lint_record(answer.texts) if answer.found else None
        if lint is not None and lint.verdict == "ignored":
            findings.append(_host_record_broken(host, [finding.code for finding in lint.findings]))
    if without:
        findings.append(_host_record_missing(without))
    return findings


def _host_record_missing(hosts: Sequence[str]) -> Finding:
    return Finding(
        code="mx-host-without-record",
        severity="info",
        where=owner_name(hosts[0]),
        message=f"MX hosts with DANE and without a TLSRPT record of their own: {', '.join(hosts)}",
        consequence="Some senders (mox) report on DANE to the record at the MX host's name as well; the domain's own "
        "record gets its reports all the same.",
        fix="an extra: publish one there with a mailbox that exists; it is for whoever runs the host",
    )


def _host_record_broken(host: str, codes: Sequence[str]) -> Finding:
    return Finding(
        code="mx-host-record-broken",
        severity="warning",
        where=owner_name(host),
        message=f"the MX host {host} has a TLSRPT record of its own that senders ignore: {', '.join(codes)}",
        consequence="Reports on its DANE records are not sent there.",
        fix=f"tlsrpt record check {host}",
    )

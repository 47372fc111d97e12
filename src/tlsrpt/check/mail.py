"""Whether a domain can take mail, and at which hosts (RFC 5321 section 5.1, RFC 7505)."""

from __future__ import annotations

import asyncio
from typing import Literal

from msgspec import Struct

from tlsrpt.dns.authority import addresses
from tlsrpt.dns.resolver import Resolver
from tlsrpt.dns.wire import MX

Route = Literal["mx", "address", "null-mx", "none", "no-domain", "unknown"]
MAX_HOSTS = 20  # MX hosts looked at


class MailRoute(Struct, frozen=True, kw_only=True):
    """How mail to a domain finds its way.

    Attributes:
        route: by its MX records; by its own address, there being none (N-03); null-mx: it says that it takes no mail
            (N-01); none: neither; no-domain: the name is not there; unknown: DNS could not tell.
        exchangers: MX records, best first.
        detail: for unknown, why.
    """

    domain: str
    route: Route
    exchangers: tuple[MX, ...] = ()
    detail: str = ""

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts that take its mail, each once."""
        if self.route == "address":
            return (self.domain,)
        return tuple(dict.fromkeys(mx.exchange for mx in self.exchangers if mx.exchange != "."))[:MAX_HOSTS]

    @property
    def refuses(self) -> bool:
        """DNS says that no mail can arrive."""
        return self.route in ("null-mx", "none", "no-domain")


async def mail_route(resolver: Resolver, domain: str) -> MailRoute:
    """Look up how mail to a domain finds its way."""
    answer = await resolver.lookup(domain, "MX")
    if answer.unknown:
        return MailRoute(domain=domain, route="unknown", detail=answer.detail)
    if answer.exchangers:
        # RFC 7505: a single record with the root as its exchanger; the preference should be 0, and senders don't look
        null = all(mx.exchange == "." for mx in answer.exchangers)
        return MailRoute(domain=domain, route="null-mx" if null else "mx", exchangers=answer.exchangers)
    if answer.status == "nxdomain":
        return MailRoute(domain=domain, route="no-domain")
    four, six = await asyncio.gather(resolver.lookup(domain, "A"), resolver.lookup(domain, "AAAA"))
    if four.found or six.found:
        return MailRoute(domain=domain, route="address")
    unknown = next((answer for answer in (four, six) if answer.unknown), None)
    if unknown is not None:
        return MailRoute(domain=domain, route="unknown", detail=unknown.detail)
    return MailRoute(domain=domain, route="none")


async def hosts_without_address(resolver: Resolver, route: MailRoute) -> list[str]:
    """The hosts of a route that can't be reached, DNS having no address for them; unknown ones are left out."""

    async def lost(host: str) -> bool:
        if await addresses(resolver, host):
            return False
        four, six = await asyncio.gather(resolver.lookup(host, "A"), resolver.lookup(host, "AAAA"))
        return not four.unknown and not six.unknown

    missing = await asyncio.gather(*(lost(host) for host in route.hosts))
    return [host for host, gone in zip(route.hosts, missing, strict=True) if gone]

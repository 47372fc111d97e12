"""Where a domain stands before anything is done: its record, its zone and who serves it, how mail reaches it."""

from __future__ import annotations

import asyncio

from msgspec import Struct

from tlsrpt.check.mail import MailRoute, mail_route
from tlsrpt.check.record import RecordCheck, check_record_only
from tlsrpt.core.record import LABEL, owner_name
from tlsrpt.dns.answers import Answer
from tlsrpt.dns.authority import Zone, addresses, ask_servers, find_zone
from tlsrpt.dns.exchange import Server
from tlsrpt.dns.providers import KnownProvider, provider_of
from tlsrpt.dns.resolver import Resolver
from tlsrpt.setup.state import SetupError


class Situation(Struct, frozen=True, kw_only=True):
    """What DNS says of a domain.

    Attributes:
        record: what is published now, judged.
        before: every TXT record at the name now, from an authoritative server where one was reached.
        zone: the zone that holds the record's name.
        provider: who serves the zone, where the names of its servers tell.
    """

    domain: str
    record: RecordCheck
    before: tuple[bytes, ...]
    zone: Zone
    provider: KnownProvider | None
    route: MailRoute

    @property
    def label(self) -> str:
        """The record's name below its zone, as panels want it."""
        return owner_name(self.domain).removesuffix(f".{self.zone.apex}") if self.zone.apex else LABEL


async def look(resolver: Resolver, domain: str, *, port: int = 53) -> Situation:
    """Look a domain over.

    Raises:
        SetupError: DNS could not tell what is published, so that nothing can be planned on it.
    """
    name = owner_name(domain)
    zone, record, route = await asyncio.gather(
        find_zone(resolver, name), check_record_only(resolver, domain), mail_route(resolver, domain)
    )
    answer = await current(resolver, zone, name, port)
    if answer.unknown:
        raise SetupError(f"DNS could not tell what is published: {answer.detail}", where=name, fix="try again later")
    if answer.aliases:
        target = answer.aliases[0].target
        raise SetupError(
            f"a CNAME stands there and leads to {target}",
            where=name,
            fix=f"whoever runs {target} publishes the record; to do it yourself, delete the CNAME first",
        )
    return Situation(
        domain=domain,
        record=record,
        before=answer.texts,
        zone=zone,
        provider=provider_of(zone.name_servers),
        route=route,
    )


async def current(resolver: Resolver, zone: Zone, name: str, port: int = 53) -> Answer:
    """The TXT records at a name as an authoritative server has them now, else as the resolver says."""
    voices = await ask_servers(resolver, zone.name_servers, name, "TXT", port=port)
    heard = next((voice.answer for voice in voices if not voice.answer.unknown), None)
    return heard or await resolver.ask_afresh(name, "TXT")


async def primary_server(resolver: Resolver, zone: Zone) -> Server:
    """The server that takes updates of a zone: the one that its SOA record names (RFC 2136 section 4).

    Raises:
        SetupError: it can't be found.
    """
    answer = await resolver.lookup(zone.apex, "SOA")
    names = [record.data.mname for record in answer.records if hasattr(record.data, "mname")]
    known = await addresses(resolver, names[0]) if names else []
    if not known:
        raise SetupError(
            f"the primary server of {zone.apex or 'the zone'} is not known",
            fix="name it: --update-server ADDRESS[@PORT]",
        )
    return Server(known[0])

"""The servers of a zone, each asked itself: where they differ, senders see different records (field notes D-28)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from tlsrpt.dns.answers import Answer, failure, read_answer
from tlsrpt.dns.exchange import AUTHORITATIVE, NoReplyError, Patience, Server
from tlsrpt.dns.resolver import Resolver
from tlsrpt.dns.wire import WireError, encode_question

MAX_SERVERS = 26  # addresses asked: 13 names, both families


class Zone(Struct, frozen=True, kw_only=True):
    """The zone that a name is in.

    Attributes:
        apex: its name; "" when it could not be found.
        name_servers: their names, as its NS records say.
        detail: why it could not be found.
    """

    apex: str
    name_servers: tuple[str, ...] = ()
    detail: str = ""


class Voice(Struct, frozen=True, kw_only=True):
    """What one address of one authoritative server said."""

    name_server: str
    server: Server
    answer: Answer


async def find_zone(resolver: Resolver, name: str) -> Zone:
    """The zone that holds a name: its closest ancestor, or itself, with NS records."""
    at = name
    for _ in range(len(name.split("."))):
        answer = await resolver.lookup(at, "NS")
        if answer.found and not answer.aliases:
            return Zone(apex=at, name_servers=tuple(sorted(answer.names)))
        if answer.unknown:
            return Zone(apex="", detail=answer.detail)
        parent = at.partition(".")[2]
        # A negative answer names the zone by its SOA record: no need to ask for each name between.
        if not answer.aliases and answer.zone and (at == answer.zone or at.endswith("." + answer.zone)):
            parent = answer.zone if answer.zone != at else parent
        if not parent:
            break
        at = parent
    return Zone(apex="", detail="no name up to the root has name servers")


async def addresses(resolver: Resolver, host: str) -> list[str]:
    """The addresses of a host, IPv4 first."""
    four, six = await asyncio.gather(resolver.lookup(host, "A"), resolver.lookup(host, "AAAA"))
    return [*four.names, *six.names]


async def ask_servers(
    resolver: Resolver,
    name_servers: Sequence[str],
    name: str,
    rtype: str,
    *,
    port: int = 53,
    patience: Patience = AUTHORITATIVE,
) -> list[Voice]:
    """Ask every address of the name servers, side by side; one without an address is a failure of its own."""
    found = await asyncio.gather(*(addresses(resolver, host) for host in name_servers))
    places = [
        (host, Server(address, port)) for host, known in zip(name_servers, found, strict=True) for address in known
    ]
    asked = places[:MAX_SERVERS]
    answered = await asyncio.gather(*(ask_server(resolver, server, name, rtype, patience) for _, server in asked))
    voices = [
        Voice(name_server=host, server=server, answer=answer)
        for (host, server), answer in zip(asked, answered, strict=True)
    ]
    lost = [host for host, known in zip(name_servers, found, strict=True) if not known]
    nowhere = [
        Voice(name_server=host, server=Server(""), answer=failure(name, rtype, host, f"{host} has no address"))
        for host in lost
    ]
    return voices + nowhere


async def ask_server(
    resolver: Resolver, server: Server, name: str, rtype: str, patience: Patience = AUTHORITATIVE
) -> Answer:
    """Ask one authoritative server. One that does not serve the zone is a failure, not "not there"."""
    try:
        question = encode_question(name, rtype)
        message = await resolver.exchange.ask(server, question, recursion=False, patience=patience)
    except (NoReplyError, WireError) as error:
        return failure(name, rtype, str(server), f"{server}: {error.what}")
    answer = read_answer(name, rtype, message, str(server))
    if not answer.unknown and not answer.authoritative:
        lame = failure(name, rtype, str(server), f"{server} does not serve this zone (lame delegation)", rcode="LAME")
        return replace(lame, recursive=answer.recursive)
    return answer

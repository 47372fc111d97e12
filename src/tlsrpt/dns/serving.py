"""Waiting until a record is served: every authoritative server, and the resolver, byte for byte as it was written.

A provider's API says "done" before its servers know, and quotes drift on the way (field notes D-80): only what DNS
serves counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from tlsrpt.dns.answers import Answer
from tlsrpt.dns.authority import ask_servers, find_zone
from tlsrpt.dns.resolver import Resolver

_EVERY_S = 1.0


class Served(Struct, frozen=True, kw_only=True):
    """What the servers hold at the end of the waiting.

    Attributes:
        right: servers that serve exactly what was written.
        wrong: servers that answer otherwise, with what they say.
        silent: servers that could not be asked from here.
        late: what the resolver still keeps from before, and for how many seconds; None where it is right, or was the
            only one that could be asked.
    """

    right: tuple[str, ...] = ()
    wrong: tuple[tuple[str, tuple[bytes, ...]], ...] = ()
    silent: tuple[str, ...] = ()
    late: tuple[str, int] | None = None

    @property
    def complete(self) -> bool:
        """Somebody serves it, and nobody something else."""
        return bool(self.right) and not self.wrong


async def wait_until_served(
    resolver: Resolver,
    name: str,
    wanted: tuple[bytes, ...],
    *,
    within_s: float,
    port: int = 53,
    tell: Callable[[Served], None] = lambda _: None,
) -> Served:
    """Ask until every server that can be reached serves these TXT records and no other, or time is up.

    The resolver is asked, too, but may keep an old answer for hours: it is waited for only as long as is left. Where no
    authoritative server can be reached from here, its word alone counts.

    Args:
        tell: is given the state after each round.
    """
    until = asyncio.get_running_loop().time() + within_s
    while True:
        served = await _look(resolver, name, wanted, port)
        tell(served)
        now = asyncio.get_running_loop().time()
        if now >= until or (served.complete and (served.late is None or now + served.late[1] > until)):
            return served
        await asyncio.sleep(min(_EVERY_S, until - now))


async def _look(resolver: Resolver, name: str, wanted: tuple[bytes, ...], port: int) -> Served:
    zone = await find_zone(resolver, name)
    voices = await ask_servers(resolver, zone.name_servers, name, "TXT", port=port)
    said = [(f"{voice.name_server} ({voice.server})", voice.answer) for voice in voices]
    served = _sort(said, wanted)
    fresh = await resolver.ask_afresh(name, "TXT")
    who = f"the resolver {fresh.server}"
    heard = _sort([(who, fresh)], wanted)
    if heard.wrong and (served.right or served.wrong):
        return replace(served, late=(who, fresh.ttl or 0))
    return Served(
        right=(*served.right, *heard.right),
        wrong=(*served.wrong, *heard.wrong),
        silent=(*served.silent, *heard.silent),
    )


def _sort(said: list[tuple[str, Answer]], wanted: tuple[bytes, ...]) -> Served:
    known = [(who, answer) for who, answer in said if not answer.unknown]
    return Served(
        right=tuple(who for who, answer in known if sorted(answer.texts) == sorted(wanted)),
        wrong=tuple((who, answer.texts) for who, answer in known if sorted(answer.texts) != sorted(wanted)),
        silent=tuple(who for who, answer in said if answer.unknown),
    )

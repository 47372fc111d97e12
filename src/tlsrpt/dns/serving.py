"""Waiting until a record is served: every authoritative server, and the resolver, byte for byte as it was written.

A provider's API says "done" before its servers know, and quotes drift on the way (field notes D-80): only what DNS
serves counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from msgspec import Struct

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
    """

    right: tuple[str, ...] = ()
    wrong: tuple[tuple[str, tuple[bytes, ...]], ...] = ()
    silent: tuple[str, ...] = ()

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
    """Ask until every authoritative server that can be reached serves these TXT records and no other, or time is up.

    Where none can be reached from here, the resolver's word counts.

    Args:
        tell: is given the state after each round.
    """
    until = asyncio.get_running_loop().time() + within_s
    while True:
        served = await _look(resolver, name, wanted, port)
        tell(served)
        now = asyncio.get_running_loop().time()
        if served.complete or now >= until:
            return served
        await asyncio.sleep(min(_EVERY_S, until - now))


async def _look(resolver: Resolver, name: str, wanted: tuple[bytes, ...], port: int) -> Served:
    zone = await find_zone(resolver, name)
    voices = await ask_servers(resolver, zone.name_servers, name, "TXT", port=port)
    said = [(f"{voice.name_server} ({voice.server})", voice.answer) for voice in voices]
    served = _sort(said, wanted)
    if served.right or served.wrong:
        return served
    fresh = await resolver.ask_afresh(name, "TXT")
    heard = _sort([(f"the resolver {fresh.server}", fresh)], wanted)
    return Served(right=heard.right, wrong=heard.wrong, silent=(*served.silent, *heard.silent))


def _sort(said: list[tuple[str, Answer]], wanted: tuple[bytes, ...]) -> Served:
    known = [(who, answer) for who, answer in said if not answer.unknown]
    return Served(
        right=tuple(who for who, answer in known if sorted(answer.texts) == sorted(wanted)),
        wrong=tuple((who, answer.texts) for who, answer in known if sorted(answer.texts) != sorted(wanted)),
        silent=tuple(who for who, answer in said if answer.unknown),
    )

"""Publishing in a guided run: carry a change out, wait until it is served, take it back when it came out wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal, Protocol

from msgspec import Struct

from tlsrpt.dns.change import Change, PublishError
from tlsrpt.dns.exchange import Server
from tlsrpt.dns.publish import send_update
from tlsrpt.dns.resolver import Resolver
from tlsrpt.dns.serving import Served, wait_until_served
from tlsrpt.dns.tsig import Key

Outcome = Literal["served", "not-yet", "taken-back"]


class Publisher(Protocol):
    """Whatever can carry out a change: all of it, or nothing."""

    def put(self, change: Change) -> None:
        """Carry it out, or raise PublishError and leave DNS as it was."""


class DynamicUpdate(Struct, frozen=True, kw_only=True):
    """The primary server of the zone, by RFC 2136."""

    server: Server
    key: Key | None

    def put(self, change: Change) -> None:
        """Carry out a change; see `send_update`."""
        send_update(change, self.server, self.key)


class Published(Struct, frozen=True, kw_only=True):
    """How publishing ended, and what the servers held then."""

    outcome: Outcome
    served: Served


async def publish(
    resolver: Resolver,
    publisher: Publisher,
    change: Change,
    *,
    within_s: float,
    port: int = 53,
    tell: Callable[[Served], None] = lambda _: None,
) -> Published:
    """Carry out a change and see it served, byte for byte.

    A server that still has what was there before is only late. One that serves a third thing shows that the value was
    changed on its way (D-80): then the change is taken back.

    Raises:
        PublishError: it was refused; or it had to be taken back and that failed.
    """
    await asyncio.to_thread(publisher.put, change)
    served = await wait_until_served(resolver, change.name, change.after, within_s=within_s, port=port, tell=tell)
    if served.complete:
        return Published(outcome="served", served=served)
    third = [texts for _, texts in served.wrong if sorted(texts) != sorted(change.before)]
    if not third:
        return Published(outcome="not-yet", served=served)
    try:
        await asyncio.to_thread(publisher.put, change.undo)
    except PublishError as error:
        what = f"what is served is not what was written, and taking it back failed: {error.what}"
        raise PublishError(what, where=change.name, fix="look at the zone yourself") from error
    return Published(outcome="taken-back", served=served)

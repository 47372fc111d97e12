"""Our resolver: many look-ups side by side through the resolvers of this machine, kept for a while, asked once each.

It asks recursive servers; where one does no recursion (an authoritative server given with `--resolver`), CNAME records
that lead out of its answer are followed with questions of our own. `authority.py` asks the authoritative servers.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence

import msgspec

from tlsrpt.core.errors import ConfigError
from tlsrpt.dns.answers import CIRCLE, MAX_ALIASES, Answer, failure, read_answer
from tlsrpt.dns.exchange import RESOLVER, Exchange, NoReplyError, Patience, Server, parse_server
from tlsrpt.dns.wire import WireError, encode_question

MAX_KEPT = 50_000  # answers
_LONGEST_S = 3600.0  # an answer is kept so long at most
_FAILURE_S = 10.0  # long enough that one check does not wait twice for the same dead server


def parse_resolv_conf(text: str) -> tuple[Server, ...]:
    """The name servers in a resolv.conf(5), the first three as there; others than IP addresses are left out."""
    servers = []
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            try:
                servers.append(parse_server(words[1]))
            except ConfigError:
                continue
    return tuple(servers[:3])


class Resolver:
    """Look-ups through recursive name servers.

    Args:
        exchange: carries the questions.
        servers: asked in this order; the next one when one fails.
    """

    def __init__(self, exchange: Exchange, servers: Sequence[Server], *, patience: Patience = RESOLVER) -> None:
        if not servers:
            raise ConfigError("no name server to ask", fix="name one: --resolver 192.0.2.53")
        self.exchange = exchange
        self.servers = tuple(servers)
        self._patience = patience
        self._kept: OrderedDict[tuple[str, str], tuple[float, Answer]] = OrderedDict()
        self._asking: dict[tuple[str, str], asyncio.Future[Answer | None]] = {}
        self._validates: bool | None = None

    async def lookup(self, name: str, rtype: str) -> Answer:
        """Look a name up. Never raises for what DNS says or fails to say: see Answer.

        Args:
            name: A-labels; letters of any case.
            rtype: one of the types in `wire.TYPES`.
        """
        key = name.lower(), rtype
        while True:
            now = asyncio.get_running_loop().time()
            kept = self._kept.get(key)
            if kept is not None:
                if kept[0] > now:
                    self._kept.move_to_end(key)
                    return kept[1]
                del self._kept[key]
            asking = self._asking.get(key)
            if asking is None:
                return await self._ask_once(key)
            answer = await asyncio.shield(asking)
            if answer is not None:  # None: whoever was asking was cancelled; ask ourselves
                return answer

    async def _ask_once(self, key: tuple[str, str]) -> Answer:
        loop = asyncio.get_running_loop()
        asking = self._asking[key] = loop.create_future()
        answer: Answer | None = None
        try:
            answer = await self._resolve(*key)
            self._keep(key, answer, loop.time())
            return answer
        finally:
            del self._asking[key]
            asking.set_result(answer)

    async def _resolve(self, name: str, rtype: str) -> Answer:
        answer = await self._ask(name, rtype)
        followed = 0
        while answer.status == "nodata" and answer.aliases and not answer.recursive and rtype != "CNAME":
            followed += 1
            if followed > MAX_ALIASES or answer.owner in {alias.owner for alias in answer.aliases}:
                return failure(name, rtype, answer.server, CIRCLE)
            further = await self._ask(answer.owner, rtype)
            answer = msgspec.structs.replace(further, name=name, aliases=answer.aliases + further.aliases)
        return answer

    async def _ask(self, name: str, rtype: str, *, checking: bool = True) -> Answer:
        try:
            question = encode_question(name, rtype)
        except WireError as error:
            return failure(name, rtype, "", error.what)
        last = failure(name, rtype, "", "")
        for server in self.servers:
            try:
                message = await self.exchange.ask(server, question, checking=checking, patience=self._patience)
            except NoReplyError as error:
                last = failure(name, rtype, str(server), f"{server}: {error.what}")
                continue
            last = read_answer(name, rtype, message, str(server))
            if not last.unknown or last.bogus:
                return last
        return last

    async def ask_afresh(self, name: str, rtype: str) -> Answer:
        """Look a name up without what is kept here; the resolver itself may still keep an old answer."""
        return await self._resolve(name.lower(), rtype)

    async def fails_dnssec(self, name: str, rtype: str) -> bool:
        """Whether a look-up that ended in SERVFAIL works once the resolver does not check DNSSEC."""
        return not (await self._ask(name, rtype, checking=False)).unknown

    async def validates(self) -> bool | None:
        """Whether the resolver validates DNSSEC (it does so for the root zone); None where it can't be learnt."""
        if self._validates is None:
            root = await self.lookup(".", "SOA")
            self._validates = root.ad if root.found else None
        return self._validates

    def _keep(self, key: tuple[str, str], answer: Answer, now: float) -> None:
        lasts_s = _FAILURE_S if answer.unknown else min(_LONGEST_S, answer.ttl or 0)
        if lasts_s > 0:
            self._kept[key] = now + lasts_s, answer
            if len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)

"""Asking name servers: UDP with retries, TCP where an answer was cut, so many at once and no more (RFC 1035, RFC 7766).

Thousands of questions go through few sockets: each socket is connected to one server (the kernel lets only that one
answer, and tells of a closed port at once), carries many questions, and is given up after some, so that the port
changes. Identifiers are random, and an answer must repeat the question (RFC 5452). A socket for each question, as is
usual, would cost as much as all the rest.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import secrets
import socket
from collections import OrderedDict
from collections.abc import Sequence

from msgspec import Struct

from tlsrpt.core.errors import ConfigError, TlsrptError
from tlsrpt.dns.wire import Message, WireError, answers, decode, encode_query

_QUESTIONS_PER_SOCKET = 256
_SERVERS_REMEMBERED = 10_000
_SILENT_S = 60.0  # a server that was silent too often is left alone for so long
_MAX_DATAGRAM = 65_535


class Server(Struct, frozen=True, order=True):
    """A name server: an IP address and a port."""

    address: str
    port: int = 53

    def __str__(self) -> str:
        return self.address if self.port == 53 else f"{self.address}@{self.port}"


class Patience(Struct, frozen=True, kw_only=True):
    """What one server is asked to bear, and what we bear from it.

    Attributes:
        tries_s: how long to wait for an answer before asking again, one number for each try.
        at_once: questions under way at this server.
        silent_after: questions in a row without any answer, after which it is taken for unreachable.
    """

    tries_s: tuple[float, ...] = (1.5, 2.5, 4.0)
    at_once: int = 256
    silent_after: int = 50


RESOLVER = Patience()
# One that can't be reached from here (port 53 is closed in many networks) should cost little.
AUTHORITATIVE = Patience(tries_s=(1.0, 1.5), at_once=20, silent_after=3)


class NoReplyError(TlsrptError):
    """No usable answer came: time-out, refused connection, garbage."""


def parse_server(text: str) -> Server:
    """Read `ADDRESS[@PORT]`, as dig writes it; `[ADDRESS]:PORT` and `ADDRESS#PORT` are understood too.

    Raises:
        ConfigError: it is no IP address, or no port.
    """
    match = re.fullmatch(r"\[?([0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]?(?:(?:[@#]|(?<=\]):)(\d{1,5}))?", text.strip())
    if match:
        try:
            address = ipaddress.ip_address(match[1])
        except ValueError:
            match = None
    if match is None or not 0 < int(match[2] or 53) < 65_536:
        raise ConfigError(f"no name server: {text[:80]!r}", fix="write an IP address, 192.0.2.53 or 192.0.2.53@5353")
    return Server(str(address), int(match[2] or 53))


class _Socket:
    """One UDP socket connected to a server, and the questions that wait for their answers on it."""

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        self.waiting: dict[int, tuple[bytes, asyncio.Future[bytes]]] = {}
        self.used = 0
        self._loop = loop
        family = socket.AF_INET6 if ":" in server.address else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            self._socket.connect((server.address, server.port))
        except OSError:
            self._socket.close()
            raise
        loop.add_reader(self._socket, self._readable)

    def close(self) -> None:
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def wait_for(self, question: bytes) -> tuple[int, asyncio.Future[bytes]]:
        identifier = secrets.randbits(16)
        while identifier in self.waiting:
            identifier = secrets.randbits(16)
        answer = self._loop.create_future()
        self.waiting[identifier] = question, answer
        self.used += 1
        return identifier, answer

    def send(self, query: bytes) -> None:
        self._socket.send(query)

    def _readable(self) -> None:
        while True:
            try:
                wire = self._socket.recv(_MAX_DATAGRAM)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:  # the port is closed, the host or network can't be reached
                for _, answer in self.waiting.values():
                    if not answer.done():
                        answer.set_exception(NoReplyError(error.strerror or str(error)))
                return
            identifier = int.from_bytes(wire[:2])
            question, waiting = self.waiting.get(identifier, (b"", None))
            if waiting is not None and not waiting.done() and answers(wire, question):
                waiting.set_result(wire)


class _Host:
    """What is known of one server during a run."""

    def __init__(self, at_once: int) -> None:
        self.places = asyncio.Semaphore(at_once)
        self.sockets: list[_Socket] = []
        self.under_way = 0
        self.silent = 0
        self.silent_until = 0.0
        self.plain = False  # it can't EDNS


class Exchange:
    """Questions to name servers. One for a run; `close` it, or use it in a `with` block, in the loop that it serves.

    Args:
        at_once: questions under way in all; bounds the sockets that are open.
    """

    def __init__(self, *, at_once: int = 512) -> None:
        self._places = asyncio.Semaphore(at_once)
        self._hosts: OrderedDict[Server, _Host] = OrderedDict()

    def __enter__(self) -> Exchange:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all sockets."""
        for host in self._hosts.values():
            for line in host.sockets:
                line.close()
            host.sockets.clear()
        self._hosts.clear()

    async def ask(
        self,
        server: Server,
        question: bytes,
        *,
        recursion: bool = True,
        checking: bool = True,
        patience: Patience = RESOLVER,
    ) -> Message:
        """Ask one server one question, over UDP, again when nothing comes, and over TCP when the answer was cut.

        Args:
            question: from `encode_question`.
            recursion: ask a resolver; False for an authoritative server.
            checking: False asks a validating resolver for the data even where DNSSEC fails.
        Raises:
            NoReplyError: no usable answer; says why.
        """
        host = self._host(server, patience)
        host.under_way += 1
        try:
            async with host.places, self._places:
                return await self._ask(server, host, question, recursion, checking, patience)
        finally:
            host.under_way -= 1

    async def _ask(
        self, server: Server, host: _Host, question: bytes, recursion: bool, checking: bool, patience: Patience
    ) -> Message:
        now = asyncio.get_running_loop().time
        if now() < host.silent_until:
            raise NoReplyError("did not answer a moment ago")
        try:
            for edns in (False,) if host.plain else (True, False):
                wire = await self._udp(server, host, question, recursion, checking, edns, patience.tries_s)
                if wire[2] & 0x02:
                    wire = await self._tcp(server, question, recursion, checking, edns, sum(patience.tries_s))
                message = decode(wire)
                if message.rcode not in ("FORMERR", "NOTIMP") or not edns:
                    break
                host.plain = True  # RFC 6891 section 7: an old server; ask again without
        except WireError as error:
            raise NoReplyError(error.what) from error
        except NoReplyError:
            host.silent += 1
            if host.silent >= patience.silent_after:
                host.silent_until = now() + _SILENT_S
            raise
        host.silent, host.silent_until = 0, 0.0
        return message

    async def _udp(
        self,
        server: Server,
        host: _Host,
        question: bytes,
        recursion: bool,
        checking: bool,
        edns: bool,
        tries_s: Sequence[float],
    ) -> bytes:
        loop = asyncio.get_running_loop()
        try:
            line = self._socket(server, host, loop)
        except OSError as error:
            raise NoReplyError(error.strerror or str(error)) from error
        identifier, answer = line.wait_for(question)
        query = encode_query(identifier, question, recursion=recursion, checking=checking, edns=edns)
        timer: asyncio.TimerHandle | None = None
        left = iter(tries_s)

        def send() -> None:
            """Send, and again when the time is up; an answer to either will do."""
            nonlocal timer
            wait_s = next(left, None)
            if answer.done():
                return
            if wait_s is None:
                answer.set_exception(NoReplyError(f"no answer within {sum(tries_s):g} s"))
                return
            try:
                line.send(query)
            except (BlockingIOError, InterruptedError):
                pass  # the socket's buffer is full: as if the datagram were lost on its way
            except OSError as error:
                answer.set_exception(NoReplyError(error.strerror or str(error)))
                return
            timer = loop.call_later(wait_s, send)

        send()
        try:
            return await answer
        finally:
            if timer is not None:
                timer.cancel()
            del line.waiting[identifier]
            if not line.waiting:
                host.sockets.remove(line)
                line.close()

    def _socket(self, server: Server, host: _Host, loop: asyncio.AbstractEventLoop) -> _Socket:
        if host.sockets and host.sockets[-1].used < _QUESTIONS_PER_SOCKET:
            return host.sockets[-1]
        line = _Socket(server, loop)
        host.sockets.append(line)
        return line

    async def _tcp(
        self, server: Server, question: bytes, recursion: bool, checking: bool, edns: bool, within_s: float
    ) -> bytes:
        identifier = secrets.randbits(16)
        query = encode_query(identifier, question, recursion=recursion, checking=checking, edns=edns)
        try:
            async with asyncio.timeout(within_s):
                reader, writer = await asyncio.open_connection(server.address, server.port)
                try:
                    writer.write(len(query).to_bytes(2) + query)
                    await writer.drain()
                    wire = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
                finally:
                    writer.close()
        except TimeoutError as error:
            raise NoReplyError(
                f"the answer is too long for UDP, and none came over TCP within {within_s:g} s"
            ) from error
        except (OSError, asyncio.IncompleteReadError) as error:
            raise NoReplyError(f"too long for UDP, and TCP fails: {error}") from error
        if int.from_bytes(wire[:2]) != identifier or not answers(wire, question):
            raise NoReplyError("something else was answered over TCP")
        return wire

    def _host(self, server: Server, patience: Patience) -> _Host:
        host = self._hosts.get(server)
        if host is None:
            host = self._hosts[server] = _Host(patience.at_once)
            if len(self._hosts) > _SERVERS_REMEMBERED:
                self._forget()
        return host

    def _forget(self) -> None:
        """Forget the oldest servers that nobody is asking now."""
        for server in [server for server, host in self._hosts.items() if not host.under_way][:1000]:
            del self._hosts[server]

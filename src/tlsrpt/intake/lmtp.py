"""A listener that a mail server delivers the report address to, by LMTP or SMTP.

A message is answered once it is on the disk, or told to come again. The dialogue is `lmtp_session`'s; here are the
sockets, the time, and the room that is left. One slow or hostile client takes its own connection and nothing else.

Why not aiosmtpd: it answers once however many recipients there are (its issue 517), refuses lines of more than 1,001
bytes, though report mails have them, reads a message line by line, and drops one that is complete when its client has
closed its side. Each can be overridden; what is left of it then is less than what is written here, and slower.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Coroutine
from contextlib import aclosing, suppress

from tlsrpt.config import LmtpSource
from tlsrpt.core.errors import OverloadError, StoreError
from tlsrpt.core.limits import Limits
from tlsrpt.intake import listening
from tlsrpt.intake.accepting import accepted
from tlsrpt.intake.certificate import Certificate
from tlsrpt.intake.lmtp_session import Manners, Reply, Session, Step
from tlsrpt.intake.rates import Rates, client_key
from tlsrpt.intake.recipients import Recipients
from tlsrpt.intake.room import Place
from tlsrpt.intake.source import DEFECT, Desk
from tlsrpt.intake.way import Taken, Way
from tlsrpt.store.values import Result

STOP_S = 5.0  # for messages on their way in to be kept, once we are told to stop
LINGER_S = 5.0  # for a client to take our last words
HANDSHAKE_S = 60.0  # for TLS, at most
MOST_AHEAD_BYTES = 64 * 1024  # that a client may send while its message is being kept
STOPPING = Reply(421, "4.3.2", "the service is being stopped; come again")


class LmtpListener:
    """Takes messages by LMTP or SMTP.

    Raises:
        ConfigError: the configuration names nothing to listen on, or an address that is none.
    """

    def __init__(self, config: LmtpSource, way: Way, limits: Limits) -> None:
        self.way = way
        self._config = config
        self._limits = limits
        self._listen = listening.parse_listen(config.listen)
        self._recipients = Recipients(config.recipients)
        self._certificate = Certificate(config.certificate, config.key, source=way.name)

    async def run(self, desk: Desk) -> None:
        """Listen until cancelled; then let what is on its way in be kept, for a few seconds.

        Raises:
            SourceError: the place is taken or forbidden, or the certificate can't be used.
        """
        config = self._config
        tls = self._certificate.read()
        bound = listening.bind(self._listen, mode=config.mode, group=config.group)
        floor = _Floor(self.way, desk, config, self._manners(tls is not None), tls)
        try:
            desk.status.works()
            async with aclosing(accepted(bound, log=desk.log, name=self.way.name)) as clients:
                async for client in clients:
                    await floor.welcome(client)
        finally:
            listening.close(self._listen, bound)
            await floor.leave()

    def reload(self) -> None:
        """Read the certificate again, for the connections to come.

        Raises:
            SourceError: it can't be used; the old one stays.
        """
        self._certificate.renew()

    async def test(self) -> list[str]:
        """Whether one could listen there.

        Raises:
            SourceError: no, or the certificate can't be used.
        """
        config = self._config
        lines = [listening.try_out(self._listen, mode=config.mode, group=config.group)]
        lines.append(f"{config.protocol.upper()} for {', '.join(config.recipients)}")
        if self._certificate.read() is not None:
            lines.append(f"STARTTLS with {config.certificate}")
        return lines

    def _manners(self, tls: bool) -> Manners:
        return Manners(
            name=socket.gethostname(),
            lmtp=self._config.protocol == "lmtp",
            size_bytes=self._limits.compressed_bytes,
            tls=tls,
            recipients=self._recipients,
        )


class _Floor:
    """What the connections of one listener share."""

    def __init__(self, way: Way, desk: Desk, config: LmtpSource, manners: Manners, tls: ssl.SSLContext | None) -> None:
        self.loop = asyncio.get_running_loop()
        self.way, self.desk, self.manners, self.tls = way, desk, manners, tls
        self.within_s = config.within_s
        self.most = config.connections
        self.rates = Rates(config.per_address, self.loop.time, of="address")
        self.connections: set[_Connection] = set()
        self.work: set[asyncio.Task[None]] = set()
        self.stopping = False
        self._changed = asyncio.Event()

    async def welcome(self, client: socket.socket) -> None:
        """Begin with a client."""
        try:
            await self.loop.connect_accepted_socket(lambda: _Connection(self), client)
        except OSError:  # gone already
            client.close()

    def left(self, connection: _Connection) -> None:
        """A connection has ended."""
        self.connections.discard(connection)
        self._changed.set()

    def start(self, doing: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Begin a work, and hold on to it: the loop does not."""
        work = self.loop.create_task(doing)
        self.work.add(work)
        work.add_done_callback(self._done)
        return work

    def _done(self, work: asyncio.Task[None]) -> None:
        self.work.discard(work)
        self._changed.set()

    async def leave(self) -> None:
        """End every connection: idle ones now, the others once their message is kept, and all of them in the end."""
        self.stopping = True
        try:
            for connection in list(self.connections):
                connection.stop()
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_S):
                    while self.connections or self.work:
                        self._changed.clear()
                        await self._changed.wait()
        finally:
            for connection in list(self.connections):
                connection.stop(at_once=True)
            for work in self.work:
                work.cancel()
        await asyncio.gather(*self.work, return_exceptions=True)


class _Connection(asyncio.Protocol):
    """One client."""

    def __init__(self, floor: _Floor) -> None:
        self._floor = floor
        self._session = Session(floor.manners)
        self._transport: asyncio.Transport | None = None
        self._client = ""
        self._rate_key = ""
        self._place: Place | None = None  # of the message that comes in or is being kept
        self._busy = False  # a message is being kept, or TLS begun
        self._handshake: asyncio.Task[None] | None = None
        self._ending = False
        self._heard_all = False  # the client has closed its side
        self._secure = False
        self._reading = True
        self._choked = False  # the client does not take what we write
        self._full = False  # it has sent far ahead of our answers
        self._deadline: float | None = None  # for the client; None while we are the one who works
        self._timer: asyncio.TimerHandle | None = None

    # --- What asyncio calls -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - of a stream socket
        floor = self._floor
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self._client = str(peer[0]) if isinstance(peer, tuple) and peer else ""
        self._rate_key = client_key(self._client)
        if len(floor.connections) >= floor.most:
            floor.desk.status.turned_away += 1
            self._session.hang_up(Reply(421, "4.7.0", f"{floor.most} connections are open already; come again"))
        else:
            self._session.greet()
        floor.connections.add(self)
        self._timer = floor.loop.call_later(floor.within_s, self._look_at_the_time)
        self._go_on()

    def data_received(self, data: bytes) -> None:
        if self._ending:
            return
        self._session.feed(data)
        if not self._busy:
            self._go_on()
        elif self._session.waiting_bytes > MOST_AHEAD_BYTES:
            self._full = True
            self._mind_reading()

    def eof_received(self) -> bool:
        self._heard_all = True
        return self._busy and not self._secure  # open until the client has its answer; TLS knows no half a close

    def pause_writing(self) -> None:
        self._choked = True
        self._mind_reading()

    def resume_writing(self) -> None:
        self._choked = False
        self._mind_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ending = True
        if self._timer is not None:
            self._timer.cancel()
        if not self._busy:  # else the message is kept all the same: its client will come again, and it is known then
            self._give_place_back()
        self._floor.left(self)

    # --- The dialogue -----------------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        """Do what the session asks for, and write what it says."""
        floor, session, transport = self._floor, self._session, self._transport
        assert transport is not None  # noqa: S101 - there since connection_made
        while True:
            step = session.step()
            if step is Step.BEGIN:
                self._begin()
            elif step is Step.TOO_LARGE:
                floor.desk.status.counts("too-large")
                floor.desk.log.warning("document too large", source=floor.way.name, where=self._client)
            elif step is Step.MESSAGE:
                if self._keep(session.take_message()):
                    break
            elif step is Step.MORE and floor.stopping and not session.receiving:
                session.hang_up(STOPPING)
            else:
                break
        if session.receiving:
            self._hold(session)
        elif not self._busy:
            self._give_place_back()
        said = session.take_said()
        if said:
            transport.write(said)
            if not (session.receiving or self._busy):
                self._deadline = floor.loop.time() + floor.within_s
        if step is Step.TLS:
            self._busy = True
            self._handshake = floor.start(self._speak_tls(transport))
        elif step is Step.END or (self._heard_all and not self._busy):
            self._end(transport)
        elif self._full and not self._busy:
            self._full = False
            self._mind_reading()

    def _begin(self) -> None:
        """Let the client send its message, if there is room for one."""
        floor, session = self._floor, self._session
        self._give_place_back()
        try:
            floor.rates.count(self._rate_key)
        except OverloadError as error:
            floor.desk.status.turned_away += 1
            session.hang_up(Reply(421, "4.7.0", error.what))
            return
        try:
            self._place = floor.desk.room.place()
        except OverloadError as error:
            floor.desk.status.turned_away += 1
            session.refuse(_come_again(error))
            return
        session.begin()
        self._deadline = floor.loop.time() + floor.within_s  # for all of it, however it trickles

    def _hold(self, session: Session) -> None:
        """Have room for what has come of a message so far; without, nothing of it is held any more."""
        if session.dropping:
            self._give_place_back()
            return
        try:
            self._grow(session.held_bytes)
        except OverloadError as error:
            session.drop(_come_again(error))

    def _grow(self, size_bytes: int) -> None:
        """Have room for a message of this size.

        Raises:
            OverloadError: there is none; its place is given back.
        """
        place = self._place
        if place is None or size_bytes <= place.bytes:
            return
        try:
            place.grow(size_bytes - place.bytes)
        except OverloadError:
            self._floor.desk.status.turned_away += 1
            self._give_place_back()
            raise

    def _give_place_back(self) -> None:
        if self._place is not None:
            self._place.leave()
            self._place = None

    def _keep(self, message: bytes) -> bool:
        """Begin to keep a message; whether that is so."""
        try:
            self._grow(len(message))
        except OverloadError as error:
            self._session.answer(_come_again(error))
            return False
        self._busy = True
        self._deadline = None
        self._floor.start(self._keep_and_answer(message))
        return True

    async def _keep_and_answer(self, message: bytes) -> None:
        try:
            reply = await self._kept(message)
        finally:
            self._busy = False
            self._give_place_back()
        if not self._ending:
            self._session.answer(reply)
            self._go_on()

    async def _kept(self, message: bytes) -> Reply:
        """The reply to a message, once it is on the disk or is not going to be."""
        floor = self._floor
        try:
            return reply_to(await floor.desk.take(message, way=floor.way, where=self._client))
        except OverloadError as error:
            return _come_again(error)
        except StoreError as error:
            return Reply(451, "4.3.0", f"{error.what}; come again")
        except Exception:  # one message that we can't bear must not end the others' sessions
            floor.desk.log.error(DEFECT, source=floor.way.name, where=self._client, exc_info=True)
            return Reply(451, "4.3.0", "a defect in tlsrpt; its log says more. Come again")

    async def _speak_tls(self, transport: asyncio.Transport) -> None:
        """Begin TLS; the connection is gone when that fails."""
        floor = self._floor
        assert floor.tls is not None  # noqa: S101 - it was offered
        self._deadline = None
        secured: asyncio.Transport | None = None
        try:
            secured = await floor.loop.start_tls(
                transport, self, floor.tls, server_side=True, ssl_handshake_timeout=min(HANDSHAKE_S, floor.within_s)
            )
        except OSError:  # ssl.SSLError is one
            return
        finally:
            self._busy, self._handshake = False, None
            if secured is None:
                self.connection_lost(None)  # which asyncio does not say in these cases
        if secured is None:
            return
        self._transport, self._secure = secured, True
        self._deadline = floor.loop.time() + floor.within_s
        self._session.secured()
        self._go_on()

    # --- The end ----------------------------------------------------------------------------------------------------

    def stop(self, *, at_once: bool = False) -> None:
        """Hang up: now, or after the message that is on its way in or being kept."""
        transport = self._transport
        if transport is None or self._ending:
            if at_once and transport is not None:
                transport.abort()
        elif self._handshake is not None:
            self._handshake.cancel()
        elif at_once:
            self._hang_up(STOPPING)
        elif not self._busy:
            self._go_on()

    def _hang_up(self, reply: Reply) -> None:
        assert self._transport is not None  # noqa: S101 - there since connection_made
        self._session.hang_up(reply)
        self._transport.write(self._session.take_said())
        self._end(self._transport)

    def _end(self, transport: asyncio.Transport) -> None:
        """Close, once our last words are taken; not for ever, though."""
        self._ending = True
        transport.close()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._floor.loop.call_later(LINGER_S, transport.abort)

    def _look_at_the_time(self) -> None:
        loop = self._floor.loop
        deadline = self._deadline
        if deadline is None or loop.time() < deadline:
            when = loop.time() + self._floor.within_s if deadline is None else deadline
            self._timer = loop.call_at(when, self._look_at_the_time)
            return
        what = "the message took" if self._session.receiving else "no command came for"
        self._hang_up(Reply(421, "4.4.2", f"{what} more than {self._floor.within_s:g} seconds"))

    def _mind_reading(self) -> None:
        """Read only what we can answer."""
        transport, reading = self._transport, not (self._choked or self._full)
        if transport is None or self._ending or reading == self._reading:
            return
        self._reading = reading
        if reading:
            transport.resume_reading()
        else:
            transport.pause_reading()


def reply_to(taken: Taken) -> Reply:
    """What the client is told of a message. A TLS report is never refused for its form: that would bounce."""
    match taken.outcome:
        case "new":
            return Reply(250, "2.0.0", f"kept: report {_ids(taken, 'new')}")
        case "known":
            return Reply(250, "2.0.0", "known already")
        case "conflict":
            return Reply(250, "2.0.0", "kept, in conflict with another report of the same identity")
        case "quarantined":
            return Reply(250, "2.0.0", f"quarantined as {_ids(taken, 'quarantined')}: {taken.reason}")
        case "other":
            return Reply(250, "2.0.0", f"not kept, no TLS report: {taken.reason}")
        case "too-large":
            return Reply(552, "5.3.4", taken.reason)
        case "refused":
            return Reply(550, "5.7.1", taken.reason)
        case "unkept":
            return Reply(451, "4.3.0", taken.reason)


def _ids(taken: Taken, result: Result) -> str:
    """Under which numbers `tlsrpt show` and `tlsrpt quarantine show` have it."""
    return ", ".join(str(one.id) for one in taken.kept if one.result == result)


def _come_again(error: OverloadError) -> Reply:
    return Reply(451, "4.4.5", f"{error.what}; come again")

"""A mailbox by IMAP: reports are taken out of the mail that arrives there, and only once they are kept is it touched.

Messages are worked through by UID, upwards, and the place is kept: up to here everything has been dealt with, but what
is named. So other mail in the same folder is fetched once, a restart begins where the last one ended, and a folder that
may only be read (`after = "leave"`) can be followed. When the server numbers its messages anew (UIDVALIDITY), they are
all looked at again, and their reports are known. What becomes of a message:

- its reports are kept, or known: moved, flagged, deleted or left, as configured;
- a report in it can't be read: it is in quarantine, and the message goes to the failed folder;
- no TLS report, too large, refused by policy: not touched;
- nothing can be kept now (store, flood): not touched, and tried again at the next connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from tlsrpt.config import ImapSource
from tlsrpt.core.errors import ConfigError, OverloadError
from tlsrpt.core.limits import Limits
from tlsrpt.core.text import printable
from tlsrpt.intake.blocking import OneThread
from tlsrpt.intake.imap_login import Login, LoginRefusedError
from tlsrpt.intake.imap_look import Look, Memory, no_move
from tlsrpt.intake.imap_session import LostError, RefusedError, Session
from tlsrpt.intake.source import Desk
from tlsrpt.intake.way import Way

# IDLE is renewed before a NAT or the server forgets the connection; RFC 2177 says 29 minutes at most. Each time the
# folder is looked through, too: some servers don't tell of every message.
IDLE_S = 540.0
SETTLED_S = 60.0  # a connection that lasted so long is made anew without a word: servers end them as they like
# Between logins that are refused: fewer than mail servers and their guards take for an attack.
LOGIN_PAUSE_S = 150.0


class Mailbox:
    """One folder of one mailbox.

    Raises:
        ConfigError: the configuration can't work.
    """

    def __init__(
        self,
        config: ImapSource,
        way: Way,
        limits: Limits,
        *,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if (config.tls, config.port) == ("starttls", 993):
            raise ConfigError("port 993 has TLS from the first byte", fix="set port = 143 for starttls, or leave tls")
        if config.after == "move" and not config.done_folder:
            raise ConfigError("done_folder is empty", fix='name one, or set after = "flag", "delete" or "leave"')
        self.way = way
        self._config, self._limits = config, limits
        self._login = Login(config)
        self._sleep, self._clock = sleep, clock
        user = f"{config.user}/{config.mailbox}" if config.mailbox else config.user
        self._key = f"imap:{user}@{config.host}:{config.port}/{config.folder}"
        self._memory = Memory()

    # What the service calls

    async def run(self, desk: Desk) -> None:
        """See `Source.run`."""
        while True:
            began = self._clock()
            try:
                async with self._session() as (session, thread):
                    await self._watch(session, thread, desk)
            except LostError:
                if self._clock() - began < SETTLED_S:
                    raise
            except LoginRefusedError as error:
                desk.status.fails(str(error))
                await self._sleep(LOGIN_PAUSE_S)
                raise

    async def _watch(self, session: Session, thread: OneThread, desk: Desk) -> None:
        """Look, wait, look again."""
        again = True
        while True:
            try:
                await self._look(session, thread, desk, again=again)
            except OverloadError as error:  # no trouble of the mailbox
                desk.status.works()
                await self._sleep(error.retry_after_s)
                again = True
            else:
                desk.status.works()
                await self._wait(session, thread)
                again = False

    async def drain(self, desk: Desk) -> None:
        """See `Drainable.drain`."""
        async with self._session() as (session, thread):
            await self._look(session, thread, desk, again=True)
            desk.status.works()
            await thread.call(session.close)

    async def test(self) -> list[str]:
        """See `Source.test`: logs in, opens the folder read-only, and lists folders."""
        async with self._session() as (session, thread):
            lines = await thread.call(self._examine, session)
            await thread.call(session.close)
            return lines

    def _examine(self, session: Session) -> list[str]:
        config = self._config
        folder = session.look(readonly=True)
        has = [name for name in ("IDLE", "MOVE", "UIDPLUS") if session.offers(name)]
        lacks = [name for name in ("IDLE", "MOVE", "UIDPLUS") if name not in has]
        offers = f"it offers {', '.join(has) or 'no extensions'}" + (f", and not {', '.join(lacks)}" if lacks else "")
        lines = [
            f"{session.where}: {session.tls}, {printable(self._login.mailbox)} is logged in by {session.mechanism}; "
            + offers,
            f"{printable(session.folder)}: {folder.exists:,} message{'' if folder.exists == 1 else 's'}",
        ]
        if config.idle and "IDLE" in lacks:
            lines.append(f"new mail is looked for every {config.every_s:g} s: the server has no IDLE")
        able = {"move": session.can_move, "delete": session.can_delete}.get(config.after, lambda: True)
        if not able():
            lines.append(no_move(config))
        elif config.after == "move":
            for name in dict.fromkeys((session.done_folder, session.failed_folder)):
                there = "is there" if session.is_there(name) else "is made when it is needed"
                lines.append(f"{printable(name)}: {there}")
        return lines

    # A session

    @contextlib.asynccontextmanager
    async def _session(self) -> AsyncIterator[tuple[Session, OneThread]]:
        """A session that is logged in, and the thread that it belongs to; ended whatever happens."""
        thread = OneThread(f"tlsrpt-{self.way.name}")
        session = Session(self._config, self._login, self._limits)
        try:
            await thread.call(session.open)
            yield session, thread
        finally:
            session.cut()
            thread.end(session.drop)

    async def _wait(self, session: Session, thread: OneThread) -> None:
        """Until there may be new mail."""
        if self._config.idle and await thread.call(session.offers, "IDLE"):
            with contextlib.suppress(RefusedError):  # then as without it
                await thread.call(session.wait, IDLE_S)
                return
        await self._sleep(self._config.every_s)

    async def _look(self, session: Session, thread: OneThread, desk: Desk, *, again: bool = False) -> None:
        look = Look(
            self._config,
            self.way,
            self._limits,
            key=self._key,
            session=session,
            thread=thread,
            desk=desk,
            memory=self._memory,
        )
        await look.through(again=again)

"""The part of the service that tells people: looks when reports came or an hour is over, and sends what waits.

It works in a thread of its own with a store of its own: looking only reads, and what it keeps is one short transaction.
Stopped, it finishes the message that it is at, if that is soon; one that is cut off is sent once more later.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from msgspec import Struct

from tlsrpt.config import Config
from tlsrpt.core.errors import TlsrptError
from tlsrpt.dns.exchange import Exchange, Server
from tlsrpt.dns.resolver import Resolver
from tlsrpt.intake.blocking import OneThread
from tlsrpt.intake.source import DEFECT, Log
from tlsrpt.notify.outbox import deliver_due
from tlsrpt.store.sqlite import Store, open_store
from tlsrpt.store.sqlite_notices import next_due, outbox_size

MxHosts = Mapping[str, Sequence[str]]

TICK_S = 5.0  # between glances at whether there is anything to do
FIRST_S = 60.0  # after the start, for sources to come up
AT_LEAST_S = 3600.0  # between looks, without a report: silence is news, too
LEAVING_S = 5.0  # for a message on its way when we are stopped
BUSY_S = 30.0  # is waited for another process that writes


class Figures(Struct):
    """How telling goes, for metrics; written by one thread, read by another."""

    looked_at: float = 0.0  # seconds since 1970
    sent: int = 0
    not_sent: int = 0  # attempts
    waiting: int = 0
    up: bool = True


class Telling(Struct, frozen=True, kw_only=True):
    """What it works with, as the configuration has it now."""

    config: Config
    store_url: str
    name_servers: tuple[Server, ...]

    @property
    def wanted(self) -> bool:
        """Whether anybody is told anything."""
        return bool(self.config.alerts.to or self.config.digest.to)


class Job(Struct, frozen=True, kw_only=True):
    """What one turn is for. Whatever it is, what is due is sent after it."""

    look: bool = False
    digest: bool = False  # whether one is due
    send: bool = False

    @property
    def anything(self) -> bool:
        """Whether it is worth a turn."""
        return self.look or self.digest or self.send


class Teller:
    """Looks and sends until cancelled.

    Args:
        settings: as they are now; asked at every turn.
        came: a count that grows as reports come in.
    """

    def __init__(self, settings: Callable[[], Telling], came: Callable[[], int], log: Log) -> None:
        self.figures = Figures()
        self._settings = settings
        self._came = came
        self._log = log
        self._halt = threading.Event()
        self._looked = -math.inf  # by the monotonic clock
        self._asked = -math.inf  # whether a digest is due
        self._known = -1  # of what came, at the last look
        self._due: datetime | None = None  # when something is to be sent
        self._told = ""  # the trouble, as last told

    async def run(self, exchange: Exchange) -> None:
        """Look and send until cancelled."""
        began = time.monotonic()
        thread = OneThread("tlsrpt-telling")
        try:
            while True:
                settings = self._settings()
                every_s = settings.config.alerts.every_s
                await asyncio.sleep(min(TICK_S, every_s))
                if not settings.wanted or time.monotonic() - began < min(FIRST_S, every_s):
                    continue
                job = self._job(settings, every_s)
                if job.anything:
                    hosts = await _mx_hosts(settings, exchange) if job.look else {}
                    await self._in(thread, settings, hosts, job)
        finally:
            self._halt.set()
            thread.end(lambda: None)

    def _job(self, settings: Telling, every_s: float) -> Job:
        """What is to be done now."""
        now = time.monotonic()
        since = now - self._looked
        came = since >= every_s and self._came() != self._known
        config = settings.config
        return Job(
            look=bool(config.alerts.to) and (came or since >= AT_LEAST_S),
            digest=bool(config.digest.to) and now - self._asked >= every_s,
            send=self._due is not None and self._due <= _now(),
        )

    async def _in(self, thread: OneThread, settings: Telling, hosts: MxHosts, job: Job) -> None:
        turn = asyncio.ensure_future(thread.call(self._turn, settings, hosts, job))
        try:
            await asyncio.shield(turn)
        except asyncio.CancelledError:
            self._halt.set()
            await asyncio.wait([turn], timeout=LEAVING_S)
            raise

    # --- In the thread ------------------------------------------------------------------------------------------------

    def _turn(self, settings: Telling, hosts: MxHosts, job: Job) -> None:
        """Look, if it is time to, and send. What goes wrong is told once, and tried again at a later turn."""
        if job.look:  # whatever comes of it: a look that fails is not tried again at once
            self._looked, self._known = time.monotonic(), self._came()
        if job.digest:
            self._asked = time.monotonic()
        try:
            with open_store(settings.store_url, timeout_s=BUSY_S) as store:
                if job.look:
                    self._look(store, settings.config, hosts)
                if job.digest:
                    self._digest(store, settings.config)
                self._send(store, settings.config)
        except TlsrptError as error:
            self._note(str(error))
        except Exception as error:  # noqa: BLE001 - reports go on coming in, whatever this is
            if repr(error) != self._told:
                self._log.error(DEFECT, part="alerts", reason=repr(error), exc_info=True)
            self._note(repr(error))
        else:
            self._note("")

    def _look(self, store: Store, config: Config, hosts: MxHosts) -> None:
        from tlsrpt.notify.looking import keep, look  # with SQLAlchemy behind it: not for who is told nothing

        now = _now()
        found = look(store, config, now, mx_hosts=hosts)
        if keep(store, found, now):
            for notice in found.news.notices:
                self._log.info("something to tell", what=notice.event, about=notice.key, severity=notice.severity)
        self.figures.looked_at = now.timestamp()

    def _digest(self, store: Store, config: Config) -> None:
        from tlsrpt.notify.digest_mail import post_due

        until = post_due(store, config.digest, _now())
        if until is not None:
            self._log.info("a digest is due", until=until.isoformat())

    def _send(self, store: Store, config: Config) -> None:
        from tlsrpt.notify.channels import send

        taken, failed = deliver_due(
            store,
            lambda delivery: send(config, delivery, _now()),
            _now,
            self._log,
            going=lambda: not self._halt.is_set(),
        )
        self.figures.sent += taken
        self.figures.not_sent += failed
        self.figures.waiting = outbox_size(store, _now()).waiting
        self._due = next_due(store)

    def _note(self, trouble: str) -> None:
        self.figures.up = not trouble
        if trouble and trouble != self._told:
            self._log.error("nobody can be told", reason=trouble)
        elif self._told and not trouble:
            self._log.info("people are told again")
        self._told = trouble


async def _mx_hosts(settings: Telling, exchange: Exchange) -> MxHosts:
    """For the warning that an address depends on what is failing."""
    if not settings.name_servers:
        return {}
    from tlsrpt.notify.looking import find_mx_hosts

    return await find_mx_hosts(settings.config, Resolver(exchange, settings.name_servers))


def _now() -> datetime:
    return datetime.now(UTC)

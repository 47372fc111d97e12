"""The service: every configured source running, each on its own; reload, health, and an orderly end.

One event loop carries them all. What goes wrong is said once, and once more when it is over; what was not acknowledged
waits where it came from.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import signal
import socket
import time
from collections.abc import Callable, Coroutine, Generator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial

from msgspec import Struct

from tlsrpt.config import AnySource, Config
from tlsrpt.core.errors import OverloadError, SourceError, StoreError, TlsrptError
from tlsrpt.core.owned import Owned
from tlsrpt.dns.exchange import Exchange, Server
from tlsrpt.dns.resolver import Resolver
from tlsrpt.intake.dkim import Verifier
from tlsrpt.intake.keeper import Keeper
from tlsrpt.intake.rates import Rates
from tlsrpt.intake.reception import Judging, Reception
from tlsrpt.intake.room import Room
from tlsrpt.intake.source import DEFECT, Desk, Drainable, Log, Renewable, Source, Status
from tlsrpt.service.building import build_source
from tlsrpt.service.health import Health
from tlsrpt.service.metrics import Metrics
from tlsrpt.service.supervising import keep_running
from tlsrpt.service.systemd import Notifier
from tlsrpt.service.telling import Teller, Telling
from tlsrpt.store.sqlite import Store
from tlsrpt.store.values import SourceState

BEAT_S = 5.0  # between looks at the store's health, and signs of life
STATES_S = 30.0  # between writing down how the sources do
STARTING_S = 10.0  # for sources to bind or connect, or to fail, before we call ourselves started
STOPPING_S = 30.0  # for sources to finish what they are at


class Settings(Struct, frozen=True, kw_only=True):
    """What the service is told from outside; read anew on reload."""

    config: Config
    sources: dict[str, AnySource]  # those to run, by name
    owned: Owned
    store_url: str
    name_servers: tuple[Server, ...]


class Running(Struct, frozen=True):
    """A source at work."""

    config: AnySource
    source: Source
    status: Status
    task: asyncio.Task[None]


def utc_now() -> datetime:
    """The time."""
    return datetime.now(UTC)


class Service:
    """Runs the sources of a configuration.

    Args:
        settings: what to run.
        again: reads the configuration anew, for a reload; raises TlsrptError.
        tells: also send alerts and digests.
    """

    def __init__(
        self, settings: Settings, again: Callable[[], Settings], log: Log, notifier: Notifier, *, tells: bool = False
    ) -> None:
        self._tells = tells
        self.settings = settings
        self._again = again
        self._log = log
        self._notifier = notifier
        self._running: dict[str, Running] = {}
        self._stopping = asyncio.Event()
        self._wake = asyncio.Event()
        self._moved = asyncio.Event()  # a source has changed its state
        self._reload_wanted = False
        self._chance = random.Random()  # noqa: S311 - spreads attempts, protects nothing
        self._started_at = utc_now()
        self._store_trouble = ""  # as last told
        self.keeper = Keeper(settings.store_url)
        self.keeper.on_trouble = self._note_trouble
        self.room = Room(settings.config.receive)
        self._teller = Teller(self._telling, lambda: self.keeper.documents, log)
        self._metrics = Metrics(self.keeper, self.room, lambda: self.statuses, self._teller.figures)
        self._health: asyncio.Task[None] | None = None

    @property
    def statuses(self) -> list[Status]:
        """How each source is doing."""
        return [running.status for running in self._running.values()]

    def ready(self) -> bool:
        """Whether reports can be taken: the store can be written, and we are not on the way out."""
        return not self._store_trouble and not self._stopping.is_set()

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT; SIGHUP reads the configuration again.

        Raises:
            ConfigError: a source can't be made from its configuration. Nothing has been started then.
        """
        sources = self._build(self.settings)
        health = self._build_health(self.settings)
        with self._signals(), Exchange() as exchange:
            reception = self._reception(exchange)
            self.keeper.start()
            beat = self._begin(self._beat())
            await self._show_health(health)
            telling: asyncio.Task[None] | None = None
            try:
                await self._adopt()
                for name, source in sources.items():
                    self._start(name, source, reception)
                await self._first_words()
                await self._keep_states(self.statuses)
                self._log.info("started", sources=", ".join(sources), store=self.settings.store_url)
                self._notifier.ready(self._summary())
                _look_for_cycles_rarely()
                telling = self._begin(self._teller.run(exchange)) if self._tells else None
                await self._wait(exchange, reception)
            finally:
                self._notifier.stopping()
                self._log.info("stopping")
                self.keeper.hurry()
                beside = [task for task in (beat, telling) if task is not None]
                if telling is not None:
                    telling.cancel()
                await self._stop(list(self._running))
                beat.cancel()
                await asyncio.gather(*beside, return_exceptions=True)
                await self._show_health(None)
                await self._keep_states(self.statuses)
                await self.keeper.stop()
                reception.close()
                self._log.info("stopped")

    def _telling(self) -> Telling:
        settings = self.settings
        return Telling(config=settings.config, store_url=self.keeper.url, name_servers=settings.name_servers)

    async def drain(self) -> bool:
        """Take in once what waits in mailboxes and buckets; whether all of them could be looked through."""
        statuses: list[Status] = []
        sources = self._build(self.settings)
        with Exchange() as exchange:
            reception = self._reception(exchange)
            self.keeper.start()
            try:
                await self._adopt()
                for name, source in sources.items():
                    if isinstance(source, Drainable):
                        statuses.append(Status(source.way, utc_now, self._changed))
                        await self._drain(source, reception.desk(statuses[-1]))
                    else:
                        self._log.info("a listener: left out", source=name)
                await self._keep_states(statuses)
            finally:
                await self.keeper.stop()
                reception.close()
        return all(status.state != "trouble" for status in statuses)

    async def _drain(self, source: Drainable, desk: Desk) -> None:
        status = desk.status
        try:
            await source.drain(desk)
        except (SourceError, StoreError, OverloadError) as error:
            status.fails(str(error))
        else:
            self._log.info("looked through", source=status.way.name, **dict(status.outcomes))
            status.stops()

    # --- Starting, reloading, stopping ------------------------------------------------------------------------------

    def _build(self, settings: Settings) -> dict[str, Source]:
        return {name: self._build_one(name, config, settings) for name, config in settings.sources.items()}

    def _build_one(self, name: str, config: AnySource, settings: Settings) -> Source:
        return build_source(name, config, settings.config.limits, ready=self.ready)

    def _build_health(self, settings: Settings) -> Health | None:
        listen = settings.config.health.listen
        return Health(listen, self.ready, self._metrics, self._log) if listen else None

    async def _show_health(self, health: Health | None) -> None:
        """Answer where this one listens, and no longer where the last one did."""
        if self._health is not None:
            self._health.cancel()
            await asyncio.gather(self._health, return_exceptions=True)
        self._health = self._begin(health.run()) if health else None

    def _begin(self, doing: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Begin what goes on beside the sources; should it end by a defect, that is told."""
        task = asyncio.create_task(doing)
        task.add_done_callback(self._tell_defect)
        return task

    def _tell_defect(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._log.error(DEFECT, reason=repr(error), exc_info=(type(error), error, error.__traceback__))

    def _reception(self, exchange: Exchange) -> Reception:
        settings = self.settings
        return Reception(
            self.keeper,
            judging=_judging(settings, exchange),
            room=self.room,
            submitters=Rates(settings.config.receive.per_submitter, time.monotonic, of="submitter"),
            log=self._log,
            now=utc_now,
            clock=time.monotonic,
        )

    def _start(self, name: str, source: Source, reception: Reception) -> None:
        status = Status(source.way, utc_now, self._changed)
        desk = reception.desk(status)
        task = asyncio.create_task(keep_running(source, desk, self._log, chance=self._chance), name=name)
        self._running[name] = Running(self.settings.sources[name], source, status, task)

    async def _first_words(self) -> None:
        """Wait until each source works or has said why not: a supervisor takes us for ready after this."""
        with suppress(TimeoutError):
            async with asyncio.timeout(STARTING_S):
                while any(status.state == "starting" for status in self.statuses):
                    self._moved.clear()
                    await self._moved.wait()

    async def _stop(self, names: list[str]) -> None:
        """Cancel sources and wait until each has finished what it was at."""
        tasks = [self._running[name].task for name in names]
        for task in tasks:
            task.cancel()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=STOPPING_S)
            for task in late:
                self._log.warning("did not stop in time", source=task.get_name())
        for task in tasks:
            if task.done() and not task.cancelled() and task.exception() is not None:
                self._log.error("failed while stopping", source=task.get_name(), reason=repr(task.exception()))

    async def _wait(self, exchange: Exchange, reception: Reception) -> None:
        while not self._stopping.is_set():
            await self._wake.wait()
            self._wake.clear()
            if self._reload_wanted and not self._stopping.is_set():
                self._reload_wanted = False
                self._notifier.reloading()
                await self._reload(exchange, reception)
                self._notifier.ready(self._summary())

    async def _reload(self, exchange: Exchange, reception: Reception) -> None:
        """Take the configuration as it is now: what has not changed runs on undisturbed."""
        before = self.settings
        try:
            settings = await asyncio.to_thread(self._again)  # it may read 100,000 domains
            named = settings.sources
            same = settings.config.limits == before.config.limits
            kept = {name for name, config in named.items() if same and self._runs(name, config)}
            health = self._build_health(settings)
            built = {
                name: self._build_one(name, config, settings) for name, config in named.items() if name not in kept
            }
        except TlsrptError as error:
            self._log.error("not reloaded; all runs on as before", reason=str(error))
            return
        if settings.store_url != before.store_url:
            self._log.error("another store needs a restart; the old one is kept", store=settings.store_url)
        self.settings = settings
        reception.judging = _judging(settings, exchange)
        gone = [name for name in self._running if name not in kept]
        await self._stop(gone)
        for name in gone:
            del self._running[name]
        for name in kept:
            self._renew(self._running[name])
        for name, source in built.items():
            self._start(name, source, reception)
        if settings.config.health != before.config.health:
            await self._show_health(health)
        await self._first_words()
        await self._adopt()
        await self._keep_states(self.statuses)
        self._log.info("reloaded", unchanged=len(kept), stopped=len(gone), started=len(built))

    def _runs(self, name: str, config: AnySource) -> bool:
        return name in self._running and self._running[name].config == config

    def _renew(self, running: Running) -> None:
        """Certificates may be new though the configuration is not."""
        if isinstance(running.source, Renewable):
            try:
                running.source.reload()
            except TlsrptError as error:
                self._log.error("its certificate is kept as it was", source=running.source.way.name, reason=str(error))

    async def _adopt(self) -> None:
        """Count what came for domains that are ours by now."""
        owned = self.settings.owned
        adopted = 0
        after: int | None = 0
        try:
            while after is not None:  # a part at a time: what comes in meanwhile is kept in between
                some, after = await self.keeper.run(partial(Store.adopt_next, is_ours=owned.owns, after=after))
                adopted += some
        except StoreError as error:  # told by the beat; the next start or reload does it
            self._note_trouble(str(error))
            return
        if adopted:
            self._log.info("reports counted whose domains are ours now", reports=adopted)

    @contextmanager
    def _signals(self) -> Generator[None]:
        loop = asyncio.get_running_loop()

        def stop() -> None:
            self._stopping.set()
            self._wake.set()

        def reload() -> None:
            self._reload_wanted = True
            self._wake.set()

        handlers = {signal.SIGTERM: stop, signal.SIGINT: stop, signal.SIGHUP: reload}
        for number, handler in handlers.items():
            loop.add_signal_handler(number, handler)
        try:
            yield
        finally:
            for number in handlers:
                loop.remove_signal_handler(number)

    # --- How it goes ------------------------------------------------------------------------------------------------

    def _changed(self, status: Status) -> None:
        self._moved.set()
        name = status.way.name
        if status.state == "trouble":
            self._log.error("source in trouble", source=name, reason=status.trouble)
        elif status.state == "working":
            self._log.info("source works", source=name)

    def _note_trouble(self, trouble: str) -> None:
        if bool(trouble) != bool(self._store_trouble):
            if trouble:
                self._log.error("the store can't be written; senders are told to come again", reason=trouble)
            else:
                self._log.info("the store can be written again")
        self._store_trouble = trouble

    async def _beat(self) -> None:
        """Watch the store, write down how the sources do, show signs of life."""
        written = 0.0
        told = 0  # of the keeper's failures, at the last beat
        while True:
            failures = self.keeper.failures
            if self._store_trouble or time.monotonic() - written >= STATES_S:
                await self._keep_states(self.statuses)
                written = time.monotonic()
            if self.keeper.failures == failures == told:  # a whole beat without one
                self._note_trouble("")
            told = self.keeper.failures
            self._notifier.alive(self._summary())
            await asyncio.sleep(BEAT_S)

    async def _keep_states(self, statuses: Sequence[Status]) -> None:
        states = [self._state_of(status) for status in statuses]
        configured = self.settings.config.source.named()
        try:
            await self.keeper.run(lambda store: store.keep_source_states(states, configured=configured))
        except StoreError as error:
            self._note_trouble(str(error))

    def _state_of(self, status: Status) -> SourceState:
        return SourceState(
            name=status.way.name,
            kind=status.way.kind,
            state=status.state,
            trouble=status.trouble,
            since=status.since,
            last_success=status.last_success,
            waiting=status.waiting,
            outcomes={str(outcome): count for outcome, count in status.outcomes.items()},
            turned_away=status.turned_away,
            updated_at=utc_now(),
            started_at=self._started_at,
            host=socket.gethostname(),
            pid=os.getpid(),
        )

    def _summary(self) -> str:
        working = sum(status.state == "working" for status in self.statuses)
        documents = sum(sum(status.outcomes.values()) for status in self.statuses)
        return f"{working} of {len(self._running)} sources work, {documents} documents taken"


def _judging(settings: Settings, exchange: Exchange) -> Judging:
    return Judging(
        owned=settings.owned,
        limits=settings.config.limits,
        quarantine=settings.config.quarantine,
        verifier=Verifier(Resolver(exchange, settings.name_servers)),
    )


def _look_for_cycles_rarely() -> None:
    """What reports allocate is in no cycle: to look through it time and again takes a tenth of the time."""
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)

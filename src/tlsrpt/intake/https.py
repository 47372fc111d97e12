"""Reports posted by HTTPS (RFC 8460 section 5.4): a listener, plain behind a proxy or with TLS of its own.

Connections are accepted here and not by uvicorn's server, which serves one application for the whole process: it takes
the signals, wakes ten times a second, exits where a port is taken, and accepts without end: a thousand TLS handshakes
that nobody finishes are a thousand connections that it does not count.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Callable

from tlsrpt.config import HttpsSource
from tlsrpt.core.errors import ConfigError, SourceError
from tlsrpt.core.limits import Limits
from tlsrpt.intake import listening
from tlsrpt.intake.https_connection import Connection, Shared
from tlsrpt.intake.https_endpoint import Endpoint, full
from tlsrpt.intake.proxies import Proxies
from tlsrpt.intake.rates import Rates
from tlsrpt.intake.source import Desk, Log
from tlsrpt.intake.way import Way

SPARE = 50  # connections beyond those served are told 503; beyond these nothing is said
HANDSHAKE_S = 15.0  # for TLS at most
STOP_S = 10.0  # for requests in work to be answered, once we are told to stop
LOOK_S = 1.0  # between looks at slow clients, at most
PAUSE_S = 0.5  # where the system has no more file descriptors
_EXHAUSTED = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))


def _always() -> bool:
    return True


class HttpsListener:
    """Takes reports by POST.

    Args:
        ready: whether the service can take reports just now, for /readyz.
    Raises:
        ConfigError: the configuration names nothing to listen on, or a proxy that is none.
    """

    def __init__(self, config: HttpsSource, way: Way, limits: Limits, *, ready: Callable[[], bool] = _always) -> None:
        if config.key and not config.certificate:
            raise ConfigError("a key needs a certificate", where=f"source {way.name}", fix="set certificate")
        self.way = way
        self._config = config
        self._limits = limits
        self._ready = ready
        self._listen = listening.parse_listen(config.listen)
        self._proxies = Proxies(config.proxies)
        self._tls: ssl.SSLContext | None = None

    async def run(self, desk: Desk) -> None:
        """Listen until cancelled; then answer what is in work, for a few seconds.

        Raises:
            SourceError: the place is taken or forbidden, or the certificate can't be used.
        """
        config = self._config
        self._tls = listening.tls_context(config.certificate, config.key) if config.certificate else None
        rates = Rates(config.per_address, asyncio.get_running_loop().time, of="address")
        most = self._limits.compressed_bytes
        endpoint = Endpoint(config.path, most, self.way, desk, rates, self._proxies, self._ready)
        bound = listening.bind(self._listen, mode=config.mode, group=config.group)
        floor = _Floor(config, self._tls, endpoint, desk.log, self.way)
        try:
            desk.status.works()
            await floor.accept(bound)
        finally:
            listening.close(self._listen, bound)
            await floor.leave()

    def reload(self) -> None:
        """Read the certificate again, for the connections to come.

        Raises:
            SourceError: it can't be used; the old one stays.
        """
        if self._tls is not None:
            listening.load_certificate(self._tls, self._config.certificate, self._config.key)

    async def test(self) -> list[str]:
        """Whether one could listen there.

        Raises:
            SourceError: no, or the certificate can't be used.
        """
        config = self._config
        lines = [listening.try_out(self._listen, mode=config.mode, group=config.group)]
        if config.certificate:
            listening.tls_context(config.certificate, config.key)
            lines.append(f"POST to {config.path}, by HTTPS with {config.certificate}")
        else:
            lines.append(f"POST to {config.path}, by plain HTTP: a proxy in front has to do TLS")
        if self._proxies.any:
            lines.append(f"X-Forwarded-For is believed from {', '.join(config.proxies)}")
        return lines


class _Floor:
    """The connections of one listener, from accepting to the end."""

    def __init__(self, config: HttpsSource, tls: ssl.SSLContext | None, endpoint: Endpoint, log: Log, way: Way) -> None:
        self._loop = asyncio.get_running_loop()
        self._most = config.connections
        self._tls = tls
        self._handshake_s = min(HANDSHAKE_S, config.within_s)
        self._log, self._way = log, way
        self._shared = Shared(endpoint, full, within_s=config.within_s, logger=_defects(log, way))
        self._welcomes: set[asyncio.Task[None]] = set()
        self._look_s = min(LOOK_S, config.within_s / 4)
        self._next_look = self._loop.call_later(self._look_s, self._look)

    async def accept(self, bound: socket.socket) -> None:
        """Accept until cancelled.

        Raises:
            SourceError: nothing can be accepted any more.
        """
        while True:
            try:
                client, _ = await self._loop.sock_accept(bound)
            except OSError as error:
                await self._cannot_accept(error)
                continue
            open_now = len(self._shared.state.connections) + self._shared.arriving
            if open_now >= self._most + SPARE:
                client.close()
            else:
                self._shared.arriving += 1
                welcome = self._loop.create_task(self._welcome(client, spare=open_now >= self._most))
                self._welcomes.add(welcome)
                welcome.add_done_callback(self._welcomes.discard)
            await asyncio.sleep(0)  # a flood of connections must not keep the loop from all else

    async def _cannot_accept(self, error: OSError) -> None:
        if error.errno in _EXHAUSTED:
            self._log.warning("no more connections can be accepted", source=self._way.name, reason=str(error))
            await asyncio.sleep(PAUSE_S)
        elif error.errno in (errno.EBADF, errno.EINVAL, errno.ENOTSOCK):
            raise SourceError(f"can't accept connections: {error.strerror}", where=self._way.name) from error
        # Anything else is about the one that was to be accepted, and is gone by now (accept(2)).

    async def _welcome(self, client: socket.socket, *, spare: bool) -> None:
        limits = {} if self._tls is None else {"ssl_handshake_timeout": self._handshake_s, "ssl_shutdown_timeout": 2.0}
        connection = Connection(self._shared, spare=spare)
        try:
            await self._loop.connect_accepted_socket(lambda: connection, client, ssl=self._tls, **limits)
        except OSError:  # no TLS, or gone in the middle of it: nobody is left to be told
            client.close()
        finally:
            if connection.transport is None:
                self._shared.arriving -= 1

    def _look(self) -> None:
        self._next_look = self._loop.call_later(self._look_s, self._look)
        now = self._loop.time()
        for connection in self._shared.connections():
            connection.look(now)

    async def leave(self) -> None:
        """End every connection: idle ones now, the others once they are answered, and all of them in the end."""
        shared = self._shared
        shared.stopping = True
        try:
            for welcome in self._welcomes:
                welcome.cancel()
            for connection in shared.connections():
                connection.shutdown()
            async with asyncio.timeout(STOP_S):
                while shared.state.connections or shared.state.tasks or self._welcomes:
                    shared.changed.clear()
                    work = {*shared.state.tasks, *self._welcomes}
                    await (asyncio.wait(work) if work else shared.changed.wait())
        except TimeoutError:
            self._log.warning("requests were not answered in time", source=self._way.name)
        finally:
            self._next_look.cancel()
            for connection in shared.connections():
                connection.transport.abort()
            for task in shared.state.tasks:
                task.cancel()


def _defects(log: Log, way: Way) -> logging.Logger:
    """A logger for uvicorn, of whose messages only those about defects are left."""
    logger = logging.Logger(f"tlsrpt.{way.name}", logging.ERROR)
    logger.addHandler(_Forward(log, way))
    return logger


class _Forward(logging.Handler):
    """Hands what uvicorn logs to our log; a request that was cancelled while we stop is no defect."""

    def __init__(self, log: Log, way: Way) -> None:
        super().__init__()
        self._log, self._way = log, way

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError):
            return
        what = record.getMessage().strip()
        self._log.error(
            "a defect in tlsrpt; please report it", source=self._way.name, reason=what, exc_info=record.exc_info
        )

"""The connections of an HTTP listener: accepted, watched and ended here, answered by an ASGI application.

Connections are accepted here and not by uvicorn's server, which serves one application for the whole process: it takes
the signals, wakes ten times a second, exits where a port is taken, and accepts without end: a thousand TLS handshakes
that nobody finishes are a thousand connections that it does not count.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from contextlib import aclosing
from typing import Any

from tlsrpt.intake.accepting import accepted
from tlsrpt.intake.http_connection import Connection, Shared
from tlsrpt.intake.https_endpoint import full
from tlsrpt.intake.source import DEFECT, Log

SPARE = 50  # connections beyond those served are told 503; beyond these nothing is said
HANDSHAKE_S = 15.0  # for TLS at most
STOP_S = 10.0  # for requests in work to be answered, once we are told to stop
LOOK_S = 1.0  # between looks at slow clients, at most


class Floor:
    """The connections of one listener, from accepting to the end.

    Args:
        app: answers requests; ASGI.
        most: connections served at once.
        within_s: for a client to send one request, and to begin the next.
        name: of the listener, in the log.
    """

    def __init__(
        self, app: Any, *, tls: ssl.SSLContext | None = None, most: int, within_s: float, log: Log, name: str
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._most = most
        self._tls = tls
        self._handshake_s = min(HANDSHAKE_S, within_s)
        self._log, self._name = log, name
        self._shared = Shared(app, full, within_s=within_s, logger=_defects(log, name))
        self._welcomes: set[asyncio.Task[None]] = set()
        self._look_s = min(LOOK_S, within_s / 4)
        self._next_look = self._loop.call_later(self._look_s, self._look)

    async def accept(self, bound: socket.socket) -> None:
        """Accept until cancelled.

        Raises:
            SourceError: nothing can be accepted any more.
        """
        async with aclosing(accepted(bound, log=self._log, name=self._name)) as clients:
            async for client in clients:
                open_now = len(self._shared.state.connections) + self._shared.arriving
                if open_now >= self._most + SPARE:
                    client.close()
                else:
                    self._shared.arriving += 1
                    welcome = self._loop.create_task(self._welcome(client, spare=open_now >= self._most))
                    self._welcomes.add(welcome)
                    welcome.add_done_callback(self._welcomes.discard)

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
            self._log.warning("requests were not answered in time", source=self._name)
        finally:
            self._next_look.cancel()
            for connection in shared.connections():
                connection.transport.abort()
            for task in shared.state.tasks:
                task.cancel()


def _defects(log: Log, name: str) -> logging.Logger:
    """A logger for uvicorn, of whose messages only those about defects are left."""
    logger = logging.Logger(f"tlsrpt.{name}", logging.ERROR)
    logger.addHandler(_Forward(log, name))
    return logger


class _Forward(logging.Handler):
    """Hands what uvicorn logs to our log; a request that was cancelled while we stop is no defect."""

    def __init__(self, log: Log, name: str) -> None:
        super().__init__()
        self._log, self._name = log, name

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError):
            return
        what = record.getMessage().strip()
        self._log.error(DEFECT, source=self._name, reason=what, exc_info=record.exc_info)

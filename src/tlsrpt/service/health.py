"""/healthz, /readyz and /metrics: for whoever watches the service, on a listener of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tlsrpt.core.errors import SourceError
from tlsrpt.intake import listening
from tlsrpt.intake.http_floor import Floor
from tlsrpt.intake.source import Log
from tlsrpt.service.metrics import CONTENT_TYPE, Metrics

CONNECTIONS = 50
WITHIN_S = 10.0
AGAIN_S = 10.0  # until a place that was taken is tried again

Send = Callable[[dict[str, Any]], Awaitable[None]]


class Health:
    """Answers about the service.

    Args:
        listen: where; as in the configuration.
        ready: whether reports can be taken just now.
    Raises:
        ConfigError: `listen` is no place to listen.
    """

    def __init__(self, listen: str, ready: Callable[[], bool], metrics: Metrics, log: Log) -> None:
        self.listen = listen
        self._listen = listening.parse_listen(listen)
        self._ready = ready
        self._metrics = metrics
        self._log = log

    async def run(self) -> None:
        """Listen until cancelled; where the place is taken, say so once and try again."""
        told = False
        while True:
            try:
                await self._serve()
            except SourceError as error:
                if not told:
                    self._log.error("health can't be asked", reason=str(error))
                told = True
                await asyncio.sleep(AGAIN_S)

    async def _serve(self) -> None:
        bound = listening.bind(self._listen, mode="0660", group="")
        floor = Floor(self._answer, most=CONNECTIONS, within_s=WITHIN_S, log=self._log, name="health")
        try:
            await floor.accept(bound)
        finally:
            listening.close(self._listen, bound)
            await floor.leave()

    async def _answer(self, scope: dict[str, Any], _receive: object, send: Send) -> None:
        path = scope["path"]
        kind = "text/plain; charset=utf-8"
        if scope["method"] not in ("GET", "HEAD"):
            status, body = 405, b"GET only\n"
        elif path == "/healthz":
            status, body = 200, b"ok\n"
        elif path == "/readyz":
            status, body = (200, b"ok\n") if self._ready() else (503, b"reports can't be taken now\n")
        elif path == "/metrics":
            status, body, kind = 200, self._metrics.text(), CONTENT_TYPE
        else:
            status, body = 404, b"/healthz, /readyz, /metrics\n"
        headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
        if status == 405:
            headers.append((b"allow", b"GET, HEAD"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

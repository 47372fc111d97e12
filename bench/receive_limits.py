"""The limits that the service is measured against: the same server libraries with nothing of ours but the rows.

    python -m bench.receive_limits http|lmtp PORT STORE ROWS

Each document's rows were worked out beforehand; the server finds them by the hash of what came, a thread writes what
waits in one transaction, and then all are answered. No reading, no look-ups, no judging, no log: as fast as it can be.
"""

from __future__ import annotations

import asyncio
import pickle
import queue
import sqlite3
import sys
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from tlsrpt.store.sqlite import connect
from tlsrpt.store.sqlite_rows import insert

Rows = list[tuple[str, list[tuple[Any, ...]]]]  # statement, its rows
Message = MutableMapping[str, Any]


class Writer:
    """Commits in groups, in a thread."""

    def __init__(self, store: Path, rows: dict[bytes, Rows]) -> None:
        self.rows = rows
        self.waiting: queue.SimpleQueue[tuple[asyncio.Future[None], Rows]] = queue.SimpleQueue()
        self.loop = asyncio.get_running_loop()
        sys.setswitchinterval(0.0005)
        threading.Thread(target=self._work, args=(store,), daemon=True).start()

    async def keep(self, document: bytes) -> None:
        future: asyncio.Future[None] = self.loop.create_future()
        self.waiting.put((future, self.rows[sha256(document).digest()]))
        await future

    def _work(self, store: Path) -> None:
        db = connect(store, timeout_s=10)
        while True:
            batch = [self.waiting.get()]
            while len(batch) < 500:
                try:
                    batch.append(self.waiting.get_nowait())
                except queue.Empty:
                    break
            self._commit(db, [rows for _, rows in batch])
            self.loop.call_soon_threadsafe(self._tell, [future for future, _ in batch])

    @staticmethod
    def _commit(db: sqlite3.Connection, batch: list[Rows]) -> None:
        together: dict[str, list[tuple[Any, ...]]] = {}
        for rows in batch:
            for statement, some in rows:
                together.setdefault(statement, []).extend(some)
        db.execute("BEGIN IMMEDIATE")
        for statement, some in together.items():
            insert(db, statement, some)
        db.execute("COMMIT")

    @staticmethod
    def _tell(futures: list[asyncio.Future[None]]) -> None:
        for future in futures:
            future.set_result(None)


async def http(port: int, writer: Writer) -> None:
    """uvicorn, and an application of ten lines."""
    import uvicorn

    async def app(
        scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        await writer.keep(body)
        await send({"type": "http.response.start", "status": 201, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    config = uvicorn.Config(app, port=port, http="httptools", lifespan="off", log_level="error", access_log=False)
    await uvicorn.Server(config).serve()


async def lmtp(port: int, writer: Writer) -> None:
    """aiosmtpd, and a handler of one line."""
    from aiosmtpd.lmtp import LMTP

    class Handler:
        async def handle_DATA(self, server: object, session: object, envelope: Any) -> str:  # noqa: N802
            await writer.keep(envelope.content)
            return "250 kept"

    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: LMTP(Handler(), enable_SMTPUTF8=True), "127.0.0.1", port)
    await server.serve_forever()


async def main() -> None:
    """Serve until killed."""
    protocol, port, store, rows = sys.argv[1:]
    writer = Writer(Path(store), pickle.loads(Path(rows).read_bytes()))  # noqa: S301 - written by bench.receive
    await (http if protocol == "http" else lmtp)(int(port), writer)


if __name__ == "__main__":
    asyncio.run(main())

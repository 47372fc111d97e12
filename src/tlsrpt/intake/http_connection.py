"""One HTTP connection: uvicorn's over httptools, held within bounds that it does not set itself.

uvicorn bounds a body in work (it stops reading) and nothing else: heads and trailers of any size, any number of
requests at once, and clients that send a byte an hour all pass. It would take trailers for headers, leave the body of
a request for an upgrade to be read as the next request, and drop the answer to a client that has closed its side. Here
each of these ends: with an answer where there is one to give, and without where it would take the place of another's.

The parser is strict about what smuggles requests (RFC 9112 section 6.1: both lengths, two lengths, odd ones); a test
holds it to that.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from tlsrpt.core.text import printable

HEAD_BYTES = 16 * 1024  # of target and headers, and of trailers
HEADERS = 100
READ_BYTES = 64 * 1024  # from one connection at a time: asyncio's own 256 KiB from each would be much at once
AHEAD = 16  # requests that may wait behind the one that is being answered
_HEAD_TOO_LARGE = f"a request's head has at most {HEAD_BYTES:,} bytes"
LINGER_S = 2.0  # for a client to take our last words before the connection is cut


class Shared:
    """What the connections of one listener share.

    Args:
        app: answers requests; ASGI.
        full: answers them while there are too many connections.
        within_s: for a client to send one request, and to begin the next.
    """

    def __init__(self, app: Any, full: Any, *, within_s: float, logger: logging.Logger) -> None:
        self.loop = asyncio.get_running_loop()
        self.state = ServerState()
        self.state.default_headers = [(b"x-content-type-options", b"nosniff")]
        self.full = full
        self.within_s = within_s
        self.logger = logger
        self.stopping = False
        self.arriving = 0  # connections that were accepted and are not made yet: TLS takes its time
        self.changed = asyncio.Event()  # a connection has ended
        self.buffer = memoryview(bytearray(READ_BYTES))  # each reads into it and is done with it before the next
        self.config = uvicorn.Config(
            app,
            interface="asgi3",
            lifespan="off",
            http=HttpToolsProtocol,
            ws="none",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            workers=1,
        )
        self.config.load()

    def connections(self) -> list[Connection]:
        """Those that are open now."""
        return [connection for connection in self.state.connections if isinstance(connection, Connection)]


class Connection(HttpToolsProtocol, asyncio.BufferedProtocol):
    """A connection with a client, of `Shared.arriving` until it is made.

    Args:
        spare: beyond the number that is served: told so, and closed.
    """

    def __init__(self, shared: Shared, *, spare: bool = False) -> None:
        super().__init__(shared.config, shared.state, {}, _loop=shared.loop)
        self.logger = shared.logger
        self.access_log = False
        if spare:
            self.app = shared.full
        self._shared = shared
        self._answers = _Joined()
        self._deaf = False  # nothing that still comes is read
        self._in_head = False
        self._read_bytes = 0  # of the last read
        self._first_bytes = 0  # of the read in which the request in hand began
        self._pending_bytes = 0  # came after that, or since the parser last made something of what came
        self._fault: tuple[int, str] | None = None  # why a callback stopped the parser
        self._turn: float | None = None  # since when something is to come from the client; None while it is our turn
        self._stuck: float | None = None  # since when the client does not read
        self._leave_by: float | None = None  # when the connection is cut whatever happens

    # --- What the transport tells ---------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._shared.arriving -= 1
        self._answers.transport = transport
        self._turn = self.loop.time()
        if self._shared.stopping:
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._deaf = True
        super().connection_lost(exc)
        self._shared.changed.set()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._shared.buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._deaf or self.transport.is_closing():
            return
        self._read_bytes = nbytes
        self._pending_bytes += nbytes
        try:
            self.parser.feed_data(self._shared.buffer[:nbytes])
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._refuse(*(self._fault or (400, f"no HTTP request: {printable(str(error), 200)}")))
        else:
            if self._pending_bytes > HEAD_BYTES:
                self._refuse(431, _HEAD_TOO_LARGE)

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client has closed its side. What it has sent to the end is answered, which TLS does not allow for."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete or cycle.more_body or self.scheme == "https":
            return False
        cycle.keep_alive = False
        return True

    # --- What the parser tells ------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._first_bytes, self._pending_bytes = self._read_bytes, 0
        self._turn = self.loop.time()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # a trailer is no header: it comes after whoever vouches for the headers has looked
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        if len(self.headers) > HEADERS:
            self._stop(431, f"a request has at most {HEADERS} headers")
        if self._first_bytes + self._pending_bytes > HEAD_BYTES and self._head_bytes() > HEAD_BYTES:
            self._stop(431, _HEAD_TOO_LARGE)
        if self.parser.get_http_version() not in ("1.1", "1.0"):
            self._stop(505, "HTTP/1.1 is spoken here")
        if self.parser.should_upgrade():  # the parser would take the body for the other protocol
            self._stop(400, "no other protocol is spoken here; ask without Upgrade or CONNECT")
        if len(self.pipeline) >= AHEAD:
            self._stop(429, "too many requests at once")
        self._pending_bytes = 0
        super().on_headers_complete()
        self.cycle.transport = self._answers  # type: ignore[assignment]  # as much of one as it uses

    def on_body(self, body: bytes) -> None:
        self._pending_bytes = 0
        super().on_body(body)

    def on_chunk_header(self) -> None:
        self._pending_bytes = 0

    def on_message_complete(self) -> None:
        self._pending_bytes = 0
        self._turn = None
        super().on_message_complete()

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _stop(self, status: int, text: str) -> None:
        """Stop the parser, from one of its callbacks."""
        self._fault = (status, text)
        raise _Stopped

    # --- Ends -----------------------------------------------------------------------------------------------------

    def on_response_complete(self) -> None:
        """As uvicorn's, which sets a timer each time; `look` needs none."""
        self._answers.flush()
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            task = self.loop.create_task(cycle.run_asgi(app))
            task.add_done_callback(self.tasks.discard)
            self.tasks.add(task)
        elif self._deaf:
            self._linger()
        elif self._turn is None:
            self._turn = self.loop.time()

    def look(self, now: float) -> None:
        """Cut a client that is too slow; called every now and then."""
        within_s = self._shared.within_s
        if self._leave_by is not None:
            if now > self._leave_by:
                self.transport.abort()
        elif self.transport.is_closing():  # and the client does not take what is still to be sent, or TLS's farewell
            self._leave_by = now + LINGER_S
        elif self.flow.write_paused:
            self._stuck = now if self._stuck is None else self._stuck
            if now - self._stuck > within_s:
                self.transport.abort()
        else:
            self._stuck = None
            if self._turn is not None and now - self._turn > within_s:
                self._too_slow()

    def _too_slow(self) -> None:
        cycle = self.cycle
        if self._in_head or (cycle is not None and cycle.more_body and not cycle.response_started):
            self._refuse(408, f"the request did not come within {self._shared.within_s:g} s")
        else:
            self.transport.close()

    def _refuse(self, status: int, text: str) -> None:
        """Read no more of this connection, and say why, once those are answered who came before."""
        self._deaf = True
        self._turn = None
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            self._say(status, text)
        elif self._in_head or not cycle.more_body:
            pass  # the answers before go first; `on_response_complete` ends it without one for this
        elif self.pipeline:
            self.pipeline.popleft()  # the one that was being read
        else:
            cycle.disconnected = True  # whoever reads its body is told that no more comes
            cycle.message_event.set()
            if cycle.response_started:
                self._linger()
            else:
                self._say(status, text)

    def _say(self, status: int, text: str) -> None:
        body = text.encode() + b"\n"
        headers = (
            b"content-type: text/plain; charset=utf-8\r\nx-content-type-options: nosniff\r\nconnection: close\r\n"
            b"content-length: %d\r\n\r\n"
        )
        self.transport.write(STATUS_LINE[status] + headers % len(body) + body)
        self._linger()

    def _linger(self) -> None:
        """Wait a little for the client to close: closed with bytes unread, the kernel would take our answer back."""
        if self.transport.is_closing():
            return
        self._leave_by = self.loop.time() + LINGER_S
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()


class _Joined:
    """Writes the head of an answer together with its body: one system call, one packet. uvicorn writes them apart."""

    __slots__ = ("_held", "transport")

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._held = b""

    def write(self, data: bytes) -> None:
        if self._held:
            data, self._held = self._held + data, b""
        elif data.startswith(b"HTTP/1.1 ") and not data.startswith(b"HTTP/1.1 100"):
            self._held = data
            return
        self.transport.write(data)

    def flush(self) -> None:
        """Write a head that no body follows."""
        if self._held:
            self.write(b"")

    def close(self) -> None:
        self.flush()
        self.transport.close()

    def is_closing(self) -> bool:
        return self.transport.is_closing()


class _Stopped(Exception):  # noqa: N818 - never leaves the parser
    """A callback stops the parser."""

"""An HTTPS listener at work in a thread, and a client that sends it whatever bytes a test wants."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

from tlsrpt.config import HttpsSource, QuarantineConfig, ReceiveConfig
from tlsrpt.core.findings import Finding
from tlsrpt.core.limits import DEFAULT_LIMITS, Limits
from tlsrpt.core.owned import Owned
from tlsrpt.dns.exchange import Exchange, parse_server
from tlsrpt.dns.resolver import Resolver
from tlsrpt.intake.dkim import Verifier
from tlsrpt.intake.https import HttpsListener
from tlsrpt.intake.keeper import Keeper
from tlsrpt.intake.rates import Rates
from tlsrpt.intake.reception import Judging, Reception
from tlsrpt.intake.room import Room
from tlsrpt.intake.source import Desk, Status
from tlsrpt.intake.way import Taken, Way
from tlsrpt.store.values import Kept

PATIENCE_S = 30.0
WAY = Way(name="https", kind="https", dkim=False)
GZIP = b"\x1f\x8b\x08\x00 a report"
JSON = b'{"organization-name": "Example"}'


class Document(NamedTuple):
    """What `take` was given."""

    data: bytes
    where: str
    noted: tuple[Finding, ...]
    claims_report: bool
    file_name: str


class Recorder:
    """A desk's `take` and log that write down what they are given, and answer as told."""

    def __init__(self) -> None:
        self.documents: list[Document] = []
        self.answer: Taken | Exception = Taken(outcome="new", kept=(Kept(result="new", id=1),))
        self.begun = threading.Event()  # a document has come
        self.hold: asyncio.Event | None = None  # until set, nothing is answered
        self.events: list[tuple[str, str, dict[str, object]]] = []

    async def take(
        self,
        data: bytes,
        *,
        way: Way,
        where: str = "",
        file_name: str = "",
        noted: tuple[Finding, ...] = (),
        claims_report: bool = False,
    ) -> Taken:
        assert way is WAY
        self.documents.append(Document(data, where, noted, claims_report, file_name))
        self.begun.set()
        if self.hold is not None:
            await self.hold.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def info(self, event: str, /, **fields: object) -> None:
        self.events.append(("info", event, fields))

    def warning(self, event: str, /, **fields: object) -> None:
        self.events.append(("warning", event, fields))

    def error(self, event: str, /, **fields: object) -> None:
        self.events.append(("error", event, fields))

    @property
    def bodies(self) -> list[bytes]:
        """The documents' bytes."""
        return [document.data for document in self.documents]


async def _no_place(key: str, *_: str) -> None:
    raise AssertionError(f"a listener has no place to keep: {key}")


def a_desk(seen: Recorder, room: Room | None = None, status: Status | None = None) -> Desk:
    """A desk at which the recorder sits."""
    return Desk(
        take=seen.take,
        room=room or Room(ReceiveConfig()),
        status=status or Status(WAY, lambda: datetime.now(UTC), lambda status: None),
        place=_no_place,
        keep_place=_no_place,
        log=seen,
    )


def _reception(keeper: Keeper, room: Room, log: Recorder) -> Reception:
    """The real one, of a service that owns every domain; DNS is never asked: nothing posted is signed."""
    judging = Judging(
        owned=Owned.any(),
        limits=DEFAULT_LIMITS,
        quarantine=QuarantineConfig(),
        verifier=Verifier(Resolver(Exchange(), [parse_server("192.0.2.53")])),
    )
    clock = time.monotonic
    submitters = Rates(0, clock, of="submitter")
    return Reception(
        keeper, judging=judging, room=room, submitters=submitters, log=log, now=lambda: datetime.now(UTC), clock=clock
    )


class At:
    """A listener at work."""

    def __init__(self, listener: HttpsListener, config: HttpsSource, room: Room) -> None:
        self.listener, self.config, self.room, self.store = listener, config, room, ""
        self.seen = Recorder()
        self.loop = asyncio.new_event_loop()
        self.status = Status(WAY, lambda: datetime.now(UTC), self._changed)
        self._working = threading.Event()
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)
        self.ended: Future[None] = Future()

    def _changed(self, status: Status) -> None:
        if status.state == "working":
            self._working.set()

    def _work(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_until_complete(self._run())
        except BaseException as error:  # noqa: BLE001 - raised in the test's thread
            self.ended.set_exception(error)
        else:
            self.ended.set_result(None)
        finally:
            self._working.set()
            self.loop.close()

    async def _run(self) -> None:
        desk = a_desk(self.seen, self.room, self.status)
        reception = None
        if self.store:
            reception = _reception(Keeper(self.store), self.room, self.seen)
            reception.keeper.start()
            desk = reception.desk(self.status)
        self._task = asyncio.ensure_future(self.listener.run(desk))
        try:
            await self._task
        except asyncio.CancelledError:
            assert self._task.cancelled()
        finally:
            if reception is not None:
                await reception.keeper.stop()
                reception.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=PATIENCE_S)
        assert not asyncio.all_tasks() - {asyncio.current_task()}, "tasks were left behind"

    def start(self) -> At:
        self._thread.start()
        assert self._working.wait(PATIENCE_S)
        if self.ended.done():
            self.ended.result()
        return self

    def stop(self) -> None:
        """Ask it to stop, and do not wait."""
        assert self._task is not None
        self.loop.call_soon_threadsafe(self._task.cancel)

    def wait(self) -> None:
        """Until it has ended."""
        self.ended.result(PATIENCE_S)
        self._thread.join(PATIENCE_S)

    def do(self, work: Any) -> Any:
        """Run a coroutine in the listener's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE_S)

    def hold(self) -> None:
        """Let documents wait from now on."""
        self.seen.hold = asyncio.Event()

    def release(self) -> None:
        """Let those that wait go on."""
        assert self.seen.hold is not None
        self.loop.call_soon_threadsafe(self.seen.hold.set)

    def connect(self) -> socket.socket:
        """A connection, plain or TLS without looking at the certificate."""
        listen = self.config.listen
        if listen.startswith("unix:"):
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(PATIENCE_S)
            client.connect(listen.removeprefix("unix:"))
            return client
        client = socket.create_connection((self.host, self.port), PATIENCE_S)
        if not self.config.certificate:
            return client
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context.wrap_socket(client, server_hostname=self.host)

    @property
    def host(self) -> str:
        return self.config.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.config.listen.rpartition(":")[2])

    def ask(self, request: bytes) -> list[Response]:
        """Send bytes, and read all that comes until the server closes."""
        with self.connect() as client:
            client.sendall(request)
            return responses(until_closed(client))

    def post(self, body: bytes = GZIP, *headers: str, path: str = "/v1/tlsrpt", close: bool = True) -> Response:
        """Post a body on a connection of its own; the media type is the RFC's unless one is given."""
        (response,) = self.ask(a_post(body, *headers, *(["Connection: close"] if close else []), path=path))
        return response


class Response(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


def a_post(body: bytes = GZIP, *headers: str, path: str = "/v1/tlsrpt", version: str = "1.1") -> bytes:
    """The bytes of a request."""
    lines = [f"POST {path} HTTP/{version}", "Host: reports.example", f"Content-Length: {len(body)}", *headers]
    if not any(header.lower().startswith("content-type:") for header in headers):
        lines.append("Content-Type: application/tlsrpt+gzip")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def until_closed(client: socket.socket) -> bytes:
    """All that comes until the server closes, a reset counting as a close."""
    data = b""
    while True:
        try:
            piece = client.recv(65536)
        except (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError):
            return data
        if not piece:
            return data
        data += piece


def responses(data: bytes) -> list[Response]:
    """The responses that these bytes are; fails where they are none."""
    found = []
    while data:
        head, separator, data = data.partition(b"\r\n\r\n")
        assert separator, f"no end of a head: {head!r}"
        line, *fields = head.decode("latin-1").split("\r\n")
        assert line.startswith("HTTP/1.1 "), line
        status = int(line[9:12])
        headers = {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}
        assert len(headers) == len(fields), f"a header came twice: {fields}"
        length = int(headers.get("content-length", 0)) if status >= 200 else 0
        assert len(data) >= length, f"the body is cut off: {data!r}"
        found.append(Response(status, headers, data[:length]))
        data = data[length:]
    return found


def free_port(host: str = "127.0.0.1") -> int:
    """A port that was free a moment ago."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def listening_at(
    *,
    listen: str = "",
    limits: Limits = DEFAULT_LIMITS,
    receive: ReceiveConfig | None = None,
    ready: Any = lambda: True,
    reception: str = "",
    **config: Any,
) -> Iterator[At]:
    """A listener for the length of a `with` block.

    Args:
        reception: URL of a store, for a real reception in place of the recorder.
    """
    source = HttpsSource(listen=listen or f"127.0.0.1:{free_port()}", **config)
    at = At(HttpsListener(source, WAY, limits, ready=ready), source, Room(receive or ReceiveConfig()))
    at.store = reception
    at.start()
    try:
        yield at
    finally:
        if not at.ended.done():
            at.stop()
        at.wait()
        assert (at.room.documents, at.room.bytes) == (0, 0), "room was not given back"

"""What is answered to a report that is posted (RFC 8460 section 5.4), as an ASGI application.

The body's own bytes decide what it is; media type and Content-Encoding are only compared with it, and departures noted
(A-22, field-notes-reports.md F-08, F-10). 2xx means that it is on the disk. A sender may not try twice (F-55), so that
whatever can be taken at the first try is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct

from tlsrpt.core import mime
from tlsrpt.core.errors import OverloadError, StoreError
from tlsrpt.core.findings import SENDERS_FAULT, Finding
from tlsrpt.core.message import REPORT_MEDIA_TYPES
from tlsrpt.core.text import printable
from tlsrpt.intake.proxies import Proxies
from tlsrpt.intake.rates import Rates, client_key
from tlsrpt.intake.room import RETRY_AFTER_S, Place
from tlsrpt.intake.source import Desk
from tlsrpt.intake.way import Taken, Way

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Headers = dict[bytes, bytes]

ANSWER_CHARACTERS = 500
SMALL_BYTES = 64 * 1024  # the rest of a body that nobody wants is read over, to keep the connection; more is not
ANNOUNCED_BYTES = 16 * 1024  # of a body that have room before they come; more would be had for a word
LINGER_S = 2.0  # for a client that still sends to take note of the answer

_PURPOSE = "TLS reports (RFC 8460) are posted here, as application/tlsrpt+gzip or application/tlsrpt+json"
_ALLOWED = (b"allow", b"POST, OPTIONS")
_LOOK_ALLOWED = (b"allow", b"GET, HEAD")
_CLOSE = (b"connection", b"close")
_TEXT = (b"content-type", b"text/plain; charset=utf-8")
_JSON = (b"content-type", b"application/json")
_client_key = lru_cache(4_096)(client_key)


class Answer:
    """A response, ready to be sent any number of times."""

    __slots__ = ("_body", "_headers", "_status")

    def __init__(
        self, status: int, outcome: str, text: str, as_json: bool = False, headers: tuple[tuple[bytes, bytes], ...] = ()
    ) -> None:
        text = printable(text, ANSWER_CHARACTERS)
        if status == 204:
            self._body, self._headers = b"", headers
        else:
            body = msgspec.json.encode({"outcome": outcome, "reason": text}) if as_json else text.encode()
            self._body = body + b"\n"
            length = (b"content-length", str(len(self._body)).encode())
            self._headers = (length, _JSON if as_json else _TEXT, *headers)
        self._status = status

    async def send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self._status, "headers": self._headers})
        await send({"type": "http.response.body", "body": self._body})

    async def send_and_close(self, send: Send, receive: Receive) -> None:
        """Answer a client that is still sending, and close.

        The answer goes out at once. What comes is thrown away for a while: were the connection closed with bytes
        unread, the client would be told of a reset instead.
        """
        headers = (*self._headers, _CLOSE)
        await send({"type": "http.response.start", "status": self._status, "headers": headers})
        await send({"type": "http.response.body", "body": self._body, "more_body": True})
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                message = await receive()
                while message["type"] == "http.request" and message["more_body"]:
                    message = await receive()
        await send({"type": "http.response.body", "body": b""})


class Request:
    """A request, and how much of its body has been read."""

    __slots__ = ("_complete", "_receive", "as_json", "headers", "length", "scope")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self.headers: Headers = dict(scope["headers"])
        self._receive = receive
        length = self.headers.get(b"content-length")
        self.length = int(length) if length is not None else None
        self._complete = not self.length and b"transfer-encoding" not in self.headers
        self.as_json = b"application/json" in self.headers.get(b"accept", b"")

    def joined(self, name: bytes) -> str | None:
        """The lines of a header, joined; None where it is absent."""
        if name not in self.headers:
            return None
        return ", ".join(value.decode("latin-1") for each, value in self.scope["headers"] if each == name)

    async def read(self, place: Place, most: int) -> bytes:
        """The body; room for more of it than the place has is taken as it comes.

        Raises:
            TooLargeError, GoneError, OverloadError
        """
        if self.length is not None and self.length > most:
            raise TooLargeError(self.length)
        message = await self._receive()
        pieces: list[bytes] = []
        size = 0
        while True:
            if message["type"] != "http.request":
                raise GoneError
            piece: bytes = message["body"]
            size += len(piece)
            if size > most:
                raise TooLargeError(size)
            if size > place.bytes:
                place.grow(size - place.bytes)
            if not message["more_body"]:
                break
            pieces.append(piece)
            message = await self._receive()
        self._complete = True
        if not pieces:
            return piece
        pieces.append(piece)
        return b"".join(pieces)

    async def answer(self, answer: Answer, send: Send) -> None:
        """Answer; the connection is kept where the next request can be found on it.

        A client that waits for `100 Continue` may leave its body out once it is answered, or not (RFC 9110 section
        10.1.1).
        """
        small = self.length is not None and self.length <= SMALL_BYTES and b"expect" not in self.headers
        if self._complete or small:
            await answer.send(send)
        else:
            await answer.send_and_close(send, self._receive)


class TooLargeError(Exception):
    """More than may be posted; `size` bytes at least."""

    def __init__(self, size: int) -> None:
        self.size = size
        super().__init__(size)


class GoneError(Exception):
    """The client is gone, or was too slow: the connection has answered it."""


class Endpoint:
    """The ASGI application of one listener.

    Args:
        path: where reports are posted to; with and without a final slash.
        most: bytes of a document.
        ready: whether the service can take reports just now.
    """

    def __init__(
        self, path: str, most: int, way: Way, desk: Desk, rates: Rates, proxies: Proxies, ready: Callable[[], bool]
    ) -> None:
        self._path = path.rstrip("/")
        self._most = most
        self._way, self._desk, self._rates, self._proxies, self._ready = way, desk, rates, proxies, ready

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        path = scope["path"]
        if path == self._path or path.rstrip("/") == self._path:
            with suppress(GoneError):
                answer = await self._post(request) if scope["method"] == "POST" else _purpose(request)
                await request.answer(answer, send)
        else:
            await request.answer(self._elsewhere(path, request), send)

    def _elsewhere(self, path: str, request: Request) -> Answer:
        if path in _LOOKS:
            if request.scope["method"] not in ("GET", "HEAD"):
                return Answer(405, "wrong-method", "only GET and HEAD", request.as_json, (_LOOK_ALLOWED,))
            return _OK if path == "/healthz" or self._ready() else _NOT_READY
        if path == "*" and request.scope["method"] == "OPTIONS":
            return _purpose(request)
        return Answer(404, "not-found", "nothing is here", request.as_json)

    async def _post(self, request: Request) -> Answer:
        headers, content_type = request.headers, request.headers.get(b"content-type")
        client = self._client(request)
        try:
            self._rates.count(_client_key(client))
            if content_type is not None and content_type[:10].lower() == b"multipart/":
                return self._is_form(client, request)
            with self._desk.room.place(min(request.length or 0, ANNOUNCED_BYTES)) as place:
                data = await request.read(place, self._most)
                claims, noted = look_at_labels(content_type, headers.get(b"content-encoding"), data)
                return await self._take(data, client, noted, claims, request.as_json)
        except OverloadError as error:
            self._desk.status.turned_away += 1
            return _overload(error, request.as_json)
        except TooLargeError as error:
            return self._is_too_large(error.size, client, request)

    async def _take(self, data: bytes, client: str, noted: tuple[Finding, ...], claims: bool, as_json: bool) -> Answer:
        try:
            taken = await self._desk.take(data, way=self._way, where=client, noted=noted, claims_report=claims)
        except OverloadError as error:  # counted by `take`
            return _overload(error, as_json)
        except StoreError:  # why is no business of a stranger's; the log has it
            text = f"reports can't be kept just now; come again in {RETRY_AFTER_S} s"
            return Answer(503, "unavailable", text, as_json, (_retry_after(RETRY_AFTER_S),))
        return _taken_answer(taken, as_json)

    def _client(self, request: Request) -> str:
        peer = request.scope["client"]
        address = peer[0] if peer is not None else None
        if self._proxies.any:
            told = request.joined(b"x-forwarded-for"), request.joined(b"forwarded")
            return self._proxies.client(address, *told)
        return self._proxies.client(address, None, None)

    def _is_form(self, client: str, request: Request) -> Answer:
        text = "a form is no TLS report; send the report itself as the body: curl --data-binary @FILE"
        self._desk.status.counts("other")
        self._desk.log.info("no TLS report", source=self._way.name, where=client, reason="a form")
        return Answer(400, "other", text, request.as_json)

    def _is_too_large(self, size: int, client: str, request: Request) -> Answer:
        """Not read to its end, so that `take` never sees it: counted and told here."""
        text = f"more than {self._most:,} bytes"
        self._desk.status.counts("too-large")
        fields = {"source": self._way.name, "where": client, "size_bytes": size}
        self._desk.log.warning("document too large", **fields, reason=text)
        return Answer(413, "too-large", text, request.as_json)


async def full(scope: Scope, receive: Receive, send: Send) -> None:
    """The ASGI application of connections beyond those that are served."""
    await _FULL.send(send)


def look_at_labels(
    content_type: bytes | None, content_encoding: bytes | None, data: bytes
) -> tuple[bool, tuple[Finding, ...]]:
    """Whether a body says that it is a TLS report, and how its labels depart from RFC 8460 section 5.4 and from it."""
    actual = "gzip" if data[:2] == b"\x1f\x8b" else "json" if data[:1] == b"{" else ""
    if actual and content_encoding is None and content_type == _EXPECTED[actual]:
        return True, ()
    found: list[Finding] = []
    media_type = mime.media_type(content_type, "")
    if media_type not in REPORT_MEDIA_TYPES:
        found.append(_media_type_finding(media_type, content_type))
    encoding = (content_encoding or b"").strip().lower()
    if encoding and encoding != b"identity":
        found.append(_encoding_finding(encoding))
    elif actual and media_type in REPORT_MEDIA_TYPES and media_type.encode() != _EXPECTED[actual]:
        found.append(_compression_finding(media_type, actual))
    # F-08: `application/tlsrpt`, `application/tlsrpt+x-gzip`, `application/tlsrpt+zip` are wrong, and yet say it.
    return media_type.startswith("application/tlsrpt"), tuple(found)


_EXPECTED = {"gzip": b"application/tlsrpt+gzip", "json": b"application/tlsrpt+json"}


def _media_type_finding(media_type: str, content_type: bytes | None) -> Finding:
    said = media_type or (content_type or b"").decode("latin-1")
    return Finding(
        code="media-type-request",
        severity="warning",
        where="request",
        message=(f"the report's media type is {printable(said, 100)}" if said else "the report has no media type")
        + ", not application/tlsrpt+gzip or application/tlsrpt+json (RFC 8460 section 5.4)",
        consequence="it was recognised by its bytes; other receivers may refuse it",
        fix=SENDERS_FAULT,
    )


def _encoding_finding(encoding: bytes) -> Finding:
    return Finding(
        code="encoding-content",
        severity="info",
        where="request",
        message=f"Content-Encoding is {printable(encoding.decode('latin-1'), 100)}; "
        "RFC 8460 section 5.4 says gzip by the media type",
        consequence="it was not relied on: the body's own bytes decide",
    )


def _compression_finding(media_type: str, actual: str) -> Finding:
    return Finding(
        code="compression-request",
        severity="warning",
        where="request",
        message=f"the report is labelled {media_type}, but it is {'plain JSON' if actual == 'json' else 'gzip'}",
        consequence="it was read as what it is",
        fix=SENDERS_FAULT,
    )


# --- Answers --------------------------------------------------------------------------------------------------------


class _Said(Struct, frozen=True):
    """How an outcome is answered; `{}` stands for its reason."""

    status: int
    text: str


_SAID = {
    "new": _Said(201, "kept"),
    "known": _Said(200, "known already"),
    "conflict": _Said(201, "kept; {}"),
    "quarantined": _Said(400, "set aside for a person to look at: {}"),
    "unkept": _Said(400, "can't be read, and not kept: {}"),
    "other": _Said(400, "no TLS report: {}"),
    "too-large": _Said(413, "too large: {}"),
    "refused": _Said(403, "refused: {}"),
}
_PLAIN = {outcome: Answer(said.status, outcome, said.text) for outcome, said in _SAID.items() if "{}" not in said.text}
_OK = Answer(200, "", "ok")
_NOT_READY = Answer(503, "", "not ready", headers=((b"retry-after", b"30"),))
_FULL = Answer(503, "", "too many connections; come again", headers=((b"retry-after", b"30"), _CLOSE))
_LOOKS = ("/healthz", "/readyz")


def _taken_answer(taken: Taken, as_json: bool) -> Answer:
    if not as_json and taken.outcome in _PLAIN:
        return _PLAIN[taken.outcome]
    said = _SAID[taken.outcome]
    text = taken.reason if as_json else said.text.replace("{}", taken.reason)
    return Answer(said.status, taken.outcome, text, as_json)


def _overload(error: OverloadError, as_json: bool) -> Answer:
    text = f"come again in {error.retry_after_s} s: {error.what}"
    return Answer(429, "overload", text, as_json, (_retry_after(error.retry_after_s),))


def _retry_after(seconds: int) -> tuple[bytes, bytes]:
    return b"retry-after", str(seconds).encode()


def _purpose(request: Request) -> Answer:
    if request.scope["method"] == "OPTIONS":
        return Answer(204, "", "", headers=(_ALLOWED,))
    return Answer(405, "wrong-method", _PURPOSE, request.as_json, (_ALLOWED,))

"""Microsoft Graph as a mailbox's client needs it: requests with a token, as slowly as it asks, and errors in one line.

Graph takes four requests at once for one mailbox and 10,000 in ten minutes, and says with 429 or 503 and Retry-After
when that is passed; requests made before that time count too, so all of them wait.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from typing import Literal, TypeVar
from urllib.parse import urlsplit

import httpx2
import msgspec
from msgspec import Struct

from tlsrpt.core.errors import ConfigError, SourceError
from tlsrpt.core.text import printable
from tlsrpt.intake.oauth import TokenSource
from tlsrpt.intake.outgoing import https_address

T = TypeVar("T")
Method = Literal["GET", "POST", "PATCH", "DELETE"]

AT_ONCE = 4  # requests: Graph's own limit for one mailbox
TRIES = 4
FIRST_WAIT_S = 2.0  # where Graph does not say how long; doubled each time
LONGEST_WAIT_S = 900.0
WITHIN_S = 60.0  # for an answer to begin, or to go on
CONNECT_S = 20.0
JSON_BYTES = 4 * 1024 * 1024  # of an answer: a page of 1,000 messages has some 400 KB
SAID_CHARACTERS = 300
# The message is there, and Graph can't make a mail of it: S/MIME, for one. Trying again gives the same.
NO_MAIL = frozenset(("ErrorMimeContentConversionFailed", "ErrorContentConversionFailed"))


class _Said(Struct):
    code: str = ""
    message: str = ""


class _Refusal(Struct):
    error: _Said = msgspec.field(default_factory=_Said)


class Reply(Struct, frozen=True):
    """What Graph answered."""

    status: int
    body: bytes
    cut: bool  # there was more than was asked for

    @property
    def good(self) -> bool:
        """Whether it did what it was asked to."""
        return 200 <= self.status < 300

    @property
    def code(self) -> str:
        """Graph's name of what went wrong."""
        return self._said().code

    def said(self) -> str:
        """What went wrong, for people."""
        said = self._said()
        told = ": ".join(filter(None, (said.code, said.message.strip().partition("\n")[0].strip())))
        return printable(f"HTTP {self.status}: {told}" if told else f"HTTP {self.status}", SAID_CHARACTERS)

    def _said(self) -> _Said:
        try:
            return msgspec.json.decode(self.body, type=_Refusal).error
        except (msgspec.DecodeError, UnicodeDecodeError):
            return _Said()


class GraphClient:
    """Asks Graph. Use it as a context manager.

    Args:
        tokens: blocks; it is asked in a thread.
        patience_s: how long Graph may ask us to wait at most, before that is an error.
        sleep, clock: seconds.
    """

    def __init__(
        self,
        endpoint: str,
        trust: ssl.SSLContext,
        tokens: TokenSource,
        *,
        patience_s: float = LONGEST_WAIT_S,
        sleep: Callable[[float], Awaitable[object]],
        clock: Callable[[], float],
    ) -> None:
        self._endpoint = endpoint.rstrip("/")
        self._where = urlsplit(endpoint).netloc
        self._tokens = tokens
        self._patience_s = patience_s
        self._sleep = sleep
        self._clock = clock
        self._places = asyncio.Semaphore(AT_ONCE)
        self._not_before = 0.0
        # Redirects are not followed: the token goes where the administrator said, and nowhere else.
        self._client = httpx2.AsyncClient(
            verify=trust,
            timeout=httpx2.Timeout(WITHIN_S, connect=CONNECT_S),
            limits=httpx2.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE),
            follow_redirects=False,
        )

    async def __aenter__(self) -> GraphClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    def understood(self, reply: Reply, kind: type[T]) -> T:
        """The answer, read.

        Raises:
            SourceError: it is something else.
        """
        try:
            return msgspec.json.decode(reply.body, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise SourceError(f"no answer of Graph's: {printable(str(error), 200)}", where=self._where) from error

    async def ask(
        self,
        method: Method,
        path: str,
        *,
        body: object = None,
        most: int = JSON_BYTES,
        more: Callable[[int], None] = lambda size: None,
    ) -> Reply:
        """Ask, again where that helps.

        Args:
            body: what is sent, as JSON.
            most: bytes of the answer that are read.
            more: called with the size of each piece of it before the next is read; may raise.
        Raises:
            SourceError: Graph can't be reached, or takes no token of ours.
        """
        url = self._url(path)
        refused = ""
        for n in range(TRIES):
            await self._wait()
            token = await asyncio.to_thread(self._tokens.token, refused=refused)
            reply, retry_after = await self._once(method, url, token, body, most, more)
            if reply.status == 401:
                if refused:
                    raise SourceError(f"the access token is refused: {reply.said()}", where=self._where)
                refused = token
            elif reply.status in (429, 500, 502, 503, 504) and reply.code not in NO_MAIL and n < TRIES - 1:
                self._slow_down(FIRST_WAIT_S * 2**n if retry_after is None else retry_after, reply)
            else:
                return reply
        raise SourceError(f"the access token is refused: {reply.said()}", where=self._where)

    async def _wait(self) -> None:
        while (wait_s := self._not_before - self._clock()) > 0:
            await self._sleep(wait_s)

    def _slow_down(self, seconds: float, reply: Reply) -> None:
        if seconds > self._patience_s:
            raise SourceError(f"asks to wait {seconds:,.0f} s: {reply.said()}", where=self._where)
        self._not_before = max(self._not_before, self._clock() + seconds)

    async def _once(
        self, method: Method, url: str, token: str, body: object, most: int, more: Callable[[int], None]
    ) -> tuple[Reply, float | None]:
        headers = {"Authorization": f"Bearer {token}", "Prefer": 'IdType="ImmutableId"', "Accept-Encoding": "identity"}
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = msgspec.json.encode(body)
        try:
            async with (
                self._places,
                self._client.stream(method, url, headers=headers, content=content) as response,
            ):
                pieces, size, cut = [], 0, False
                async for piece in response.aiter_raw():
                    more(len(piece))
                    size += len(piece)
                    pieces.append(piece)
                    if size > most:
                        cut = True
                        break
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            said = printable(str(error) or type(error).__name__, SAID_CHARACTERS)
            raise SourceError(f"Graph can't be reached: {said}", where=self._where) from error
        reply = Reply(response.status_code, b"".join(pieces)[:most], cut)
        return reply, _retry_after(response.headers.get("Retry-After"), response.headers.get("Date"))

    def _url(self, path: str) -> str:
        if path.startswith("/"):
            return self._endpoint + path
        ours, theirs = urlsplit(self._endpoint), urlsplit(path)
        if (ours.scheme, ours.netloc.lower()) != (theirs.scheme, theirs.netloc.lower()):
            raise SourceError(f"its next page is elsewhere: {printable(path, 100)}", where=self._where)
        return path


def check_endpoint(endpoint: str) -> str:
    """Graph's address, if it is one that a token may be sent to.

    Raises:
        ConfigError: it is none.
    """
    parts = urlsplit(https_address(endpoint, "endpoint"))
    if parts.query or parts.fragment:
        raise ConfigError(f"endpoint has more than a path: {printable(endpoint, 100)}")
    return endpoint


def _retry_after(text: str | None, date: str | None) -> float | None:
    """Seconds to wait (RFC 9110 section 10.2.3: a number, or a date); None where that is not said."""
    if text is None:
        return None
    if text.isascii() and text.isdigit() and len(text) < 8:
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - parsedate_to_datetime(date or "")).total_seconds())
    except (ValueError, TypeError):
        return None

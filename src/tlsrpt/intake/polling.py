"""What Maildirs, buckets and mailboxes have in common: they are looked through again and again.

Several documents are in work at once. What can't be taken now is put off for a while, and does not stop what waits
behind it. Many such in a row do: the store is down then, and the look ends. What was dealt with and lies where it lay
(other mail; with `after = leave` everything) is remembered within bounds: what is older than a time, and since then by
name.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import struct
from collections.abc import AsyncIterable, Awaitable, Callable, Container, Iterable
from contextlib import suppress
from typing import Protocol, TypeVar

import msgspec
from msgspec import Struct

from tlsrpt.core.errors import OverloadError, RateError, StoreError, TlsrptError
from tlsrpt.intake.room import Place, Room
from tlsrpt.intake.source import Desk

IN_A_ROW = 50  # documents that can't be taken, with none between that can: the look ends
STORE_AGAIN_S = 30.0  # until a document that the store could not take is tried again; longer each time
STORE_LONGEST_S = 600.0
FINISH_S = 5.0  # for what is in work, when a look is broken off
MOST_PUT_OFF = 10_000
MOST_SEEN = 100_000
MOST_WRITTEN = 10_000  # of them, as kept in the store: 160 KB


class Waiting(Protocol):
    """A document that waits."""

    @property
    def key(self) -> str:
        """Its name, for as long as it lies there."""
        ...

    @property
    def when(self) -> float:
        """When it came there, in seconds since 1970, by the clock of whoever keeps it."""
        ...

    @property
    def size(self) -> int:
        """Bytes; 0 where that is not known yet."""
        ...


W = TypeVar("W", bound=Waiting)


class PutOff:
    """Documents that could not be taken, why, and when each is worth another try.

    Args:
        clock: seconds, steady.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._known: dict[str, _Entry] = {}

    def __len__(self) -> int:
        return len(self._known)

    def add(self, key: str, why: TlsrptError, seconds: float) -> None:
        """Leave it alone for so long. Of too many, the first is forgotten, that is: tried earlier."""
        self._known.pop(key, None)
        self._known[key] = _Entry(self._clock() + seconds, seconds, why)
        if len(self._known) > MOST_PUT_OFF:
            del self._known[next(iter(self._known))]

    def longer(self, key: str, why: TlsrptError, first_s: float = STORE_AGAIN_S) -> None:
        """Leave it alone for a while, twice as long each time."""
        known = self._known.get(key)
        before = known.seconds if known is not None else 0.0
        self.add(key, why, min(max(first_s, 2 * before), STORE_LONGEST_S))

    def why(self, key: str) -> TlsrptError | None:
        """What it was put off for, while its time has not come yet."""
        known = self._known.get(key)
        return known.why if known is not None and known.until > self._clock() else None

    def knows(self, key: str) -> bool:
        """Whether it was put off before."""
        return key in self._known

    def forget(self, key: str) -> None:
        """It was dealt with."""
        self._known.pop(key, None)

    def keep(self, keys: Container[str]) -> None:
        """Forget those that are not there any more."""
        for key in [key for key in self._known if key not in keys]:
            del self._known[key]


class _Entry(Struct, frozen=True):
    until: float
    seconds: float
    why: TlsrptError


class _Written(Struct, frozen=True):
    """How `Seen` is kept in the store."""

    until: float
    seen: str  # base64 of _ENTRY, the oldest first


_ENTRY = struct.Struct(">8sd")


class Seen:
    """Which documents were dealt with, within bounded memory.

    Args:
        overlap_s: how much later than its own time a document may turn up and still be found; None: there is no such
            limit, until there are more names than are kept.
    """

    def __init__(self, overlap_s: float | None = None, *, most: int = MOST_SEEN) -> None:
        self._overlap_s = overlap_s
        self._most = most
        self._when: dict[bytes, float] = {}
        self.until = float("-inf")  # whatever is older was dealt with
        self.changed = False  # since it was last written down

    def has(self, document: Waiting) -> bool:
        """Whether it was dealt with."""
        return document.when < self.until or self.has_name(document.key)

    def has_name(self, key: str) -> bool:
        """Whether it was dealt with not long ago; without a look at its time."""
        return _digest(key) in self._when

    def add(self, document: Waiting) -> None:
        """It was dealt with."""
        self._when[_digest(document.key)] = document.when
        self.changed = True

    def whole(self, left: float | None) -> None:
        """Everything there was looked at: what is old enough need not be known by name any more.

        Args:
            left: the time of the oldest that was not dealt with.
        """
        over = len(self._when) - self._most
        if not self._when or (self._overlap_s is None and over <= 0):
            return
        times = sorted(self._when.values())
        until = times[over] if over > 0 else float("-inf")
        if self._overlap_s is not None:
            until = max(until, times[-1] - self._overlap_s)
        self._rise(min(until, left) if left is not None else until)
        if len(self._when) > self._most:  # something old can't be dealt with; the oldest will be read again
            newest = sorted(self._when.items(), key=_time)[-self._most :]
            self._when = dict(newest)

    def _rise(self, until: float) -> None:
        if until > self.until:
            self.until = until
            self._when = {digest: when for digest, when in self._when.items() if when >= until}
            self.changed = True

    def write(self) -> str:
        """As text, for the store."""
        newest = sorted(self._when.items(), key=_time)[-MOST_WRITTEN:]
        packed = b"".join(_ENTRY.pack(digest, when) for digest, when in newest)
        self.changed = False
        until = self.until if self.until > float("-inf") else 0.0
        return msgspec.json.encode(_Written(until, base64.b64encode(packed).decode())).decode()

    def read(self, text: str) -> None:
        """Go on from such a text; one that can't be read is passed over, and everything is looked at again."""
        with suppress(msgspec.MsgspecError, ValueError, struct.error):
            written = msgspec.json.decode(text, type=_Written)
            entries = dict(_ENTRY.iter_unpack(base64.b64decode(written.seen, validate=True)))
            self._when, self.until = entries, written.until
        self.changed = False


def _digest(key: str) -> bytes:
    return hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=8).digest()


def _time(entry: tuple[bytes, float]) -> float:
    return entry[1]


class Look:
    """One look through what waits.

    `trouble` is what a document could not be taken for, `left` the time of the oldest that could not.

    Args:
        most: bytes of a document; larger ones are handled without room for them, for they are not read.
        at_once: documents in work.
    """

    def __init__(self, room: Room, put_off: PutOff, *, most: int, at_once: int) -> None:
        self._room = room
        self._most = most
        self._put_off = put_off
        self._at_once = at_once
        self._running: set[asyncio.Task[None]] = set()
        self._in_a_row = 0
        self.handled = 0  # documents that were dealt with
        self.trouble: TlsrptError | None = None
        self.left: float | None = None

    async def through(self, documents: AsyncIterable[W], handle: Callable[[W, Place], Awaitable[bool]]) -> None:
        """Handle each document, so many at once. What is in work when this is broken off has a few seconds to finish.

        Args:
            handle: takes and acknowledges one document; gives whether it was dealt with. What it raises of
                OverloadError and StoreError puts that one off, everything else ends the look.
        Raises:
            OverloadError, StoreError: nothing can be taken.
        """
        try:
            async for document in documents:
                put_off_for = self._put_off.why(document.key)
                if put_off_for is not None:
                    self.fails(document, put_off_for)
                    continue
                while len(self._running) >= self._at_once:
                    await self._wait()
                try:
                    place = await self._place(document.size if document.size <= self._most else 0)
                except OverloadError as error:  # for this one: what is smaller may find room
                    self._puts_off(document, error)
                else:
                    self._running.add(asyncio.create_task(self._one(document, place, handle)))
            while self._running:
                await self._wait()
        finally:
            if self._running:
                await asyncio.wait(self._running, timeout=FINISH_S)
                for task in self._running:
                    task.cancel()
                await asyncio.gather(*self._running, return_exceptions=True)

    async def _place(self, size: int) -> Place:
        """Room, as soon as work of ours gives some back.

        Raises:
            OverloadError: others have it all.
        """
        while True:
            try:
                return self._room.place(size)
            except OverloadError:
                if not self._running:
                    raise
                await self._wait()

    async def _wait(self) -> None:
        done, self._running = await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
        errors = [error for task in done if (error := task.exception()) is not None]
        if errors:
            raise errors[0]

    async def _one(self, document: W, place: Place, handle: Callable[[W, Place], Awaitable[bool]]) -> None:
        with place:
            try:
                dealt_with = await handle(document, place)
            except (OverloadError, StoreError) as error:
                self._puts_off(document, error)
            else:
                self._in_a_row = 0
                if dealt_with:
                    self.handled += 1
                    self._put_off.forget(document.key)

    def _puts_off(self, document: Waiting, error: OverloadError | StoreError) -> None:
        """It could not be taken; raises the error where that is so for too many in a row."""
        if isinstance(error, RateError):  # others of that sender come first, perhaps many
            self._put_off.longer(document.key, error, float(error.retry_after_s))
        elif isinstance(error, OverloadError):
            self._put_off.add(document.key, error, float(error.retry_after_s))
        else:
            self._put_off.longer(document.key, error)
        self.fails(document, error)
        if isinstance(error, RateError):  # which is no news about the next: it may be another sender's
            return
        self._in_a_row += 1
        if self._in_a_row >= IN_A_ROW:
            raise error

    def fails(self, document: Waiting, trouble: TlsrptError) -> None:
        """It could not be taken, and is left for another look. A person is told of the first that is no overload."""
        self.left = document.when if self.left is None else min(self.left, document.when)
        if self.trouble is None or (isinstance(self.trouble, OverloadError) and not isinstance(trouble, OverloadError)):
            self.trouble = trouble


async def keep_looking(look: Callable[[], Awaitable[TlsrptError | None]], desk: Desk, every_s: float) -> None:
    """Look again and again, until cancelled.

    Args:
        look: one look through everything; gives what some documents could not be taken for.
    Raises: what `look` does, but OverloadError and StoreError, which are waited out here.
    """
    while True:
        pause_s = every_s
        try:
            trouble = await look()
        except OverloadError as error:
            trouble, pause_s = error, max(every_s, float(error.retry_after_s))
        except StoreError as error:
            trouble, pause_s = error, max(every_s, STORE_AGAIN_S)
        # That one submitter, or all of them, send more than is taken at once is no trouble of the source.
        if trouble is None or isinstance(trouble, OverloadError):
            desk.status.works()
        else:
            desk.status.fails(str(trouble))
        await asyncio.sleep(pause_s)


async def each(documents: Iterable[W]) -> AsyncIterable[W]:
    """Documents that are all known already, for `Look.through`."""
    for document in documents:
        yield document

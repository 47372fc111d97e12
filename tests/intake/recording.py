"""A desk for tests of sources: takes documents, remembers them, and answers by what is in them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from tlsrpt.config import ReceiveConfig
from tlsrpt.core.errors import RateError, StoreBusyError
from tlsrpt.core.findings import Finding
from tlsrpt.intake.room import Room
from tlsrpt.intake.source import Desk, Status
from tlsrpt.intake.way import Outcome, Taken, Way

PATIENCE_S = 20.0
WORDS: dict[bytes, Outcome] = {b"DMARC": "other", b"broken": "quarantined", b"forged": "refused", b"odd": "conflict"}


def a_mail(word: str = "report", n: int = 0, *, size: int = 0) -> bytes:
    """A mail; the words of WORDS say what it is, "no store" and "too many" what taking it raises."""
    text = f"From: noreply@sender.example\r\nSubject: {word} {n}\r\n\r\n".encode()
    return text + b"x" * (size - len(text))


class Recorder:
    """Takes what it is given, and wakes whoever waits for something to have happened."""

    def __init__(self, way: Way, receive: ReceiveConfig | None = None) -> None:
        self.taken: list[tuple[bytes, str]] = []
        self.file_names: list[str] = []
        self.places: dict[str, str] = {}
        self.told: list[tuple[str, dict[str, object]]] = []
        self.states: list[str] = []
        self.gate: asyncio.Event | None = None  # documents wait for it
        self.store_is_down = False
        self.before: Callable[[bytes], None] = lambda data: None
        self.in_work = self.most_in_work = 0
        self.room = Room(receive or ReceiveConfig())
        self.status = Status(way, lambda: datetime.now(UTC), self._changed)
        self._happened = asyncio.Event()

    @property
    def desk(self) -> Desk:
        return Desk(
            take=self.take,
            room=self.room,
            status=self.status,
            place=self._place,
            keep_place=self._keep_place,
            log=self,
        )

    @property
    def documents(self) -> list[bytes]:
        return sorted(data for data, _ in self.taken)

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
        self.before(data)
        self.in_work += 1
        self.most_in_work = max(self.most_in_work, self.in_work)
        self._happened.set()
        try:
            if self.gate is not None:
                await self.gate.wait()
            else:
                await asyncio.sleep(0)
            return self._judge(data, where, file_name)
        finally:
            self.in_work -= 1
            self._happened.set()

    def _judge(self, data: bytes, where: str, file_name: str) -> Taken:
        if self.store_is_down or b"no store" in data:
            raise StoreBusyError("the disk is full")
        if b"too many" in data:
            raise RateError("more than 60 a minute from one submitter", retry_after_s=20)
        known = any(data == before for before, _ in self.taken)
        outcome: Outcome = next((found for word, found in WORDS.items() if word in data), "known" if known else "new")
        self.taken.append((data, where))
        self.file_names.append(file_name)
        self.status.counts(outcome)
        return Taken(outcome=outcome)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until it is so; looked at whenever something happens here."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                await self._happened.wait()
                self._happened.clear()

    def _changed(self, status: Status) -> None:
        self.states.append(f"{status.state} {status.trouble}".strip())
        self._happened.set()

    async def _place(self, key: str) -> str | None:
        return self.places.get(key)

    async def _keep_place(self, key: str, value: str) -> None:
        self.places[key] = value
        self._happened.set()

    def info(self, event: str, /, **fields: object) -> None:
        self.told.append((event, fields))
        self._happened.set()

    warning = error = info

"""A source of reports, and what the service that runs it gives it: where to hand documents, where to say how it goes.

`run` is the source's whole life: it binds or connects, hands documents to `desk.take`, and ends only by being cancelled
or by raising. Whoever runs it starts it again, later and later, so a source need not retry what it can't do now: it
raises SourceError and is run anew. One source's trouble is nobody else's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Literal, Protocol, runtime_checkable

from msgspec import Struct

from tlsrpt.intake.room import Room
from tlsrpt.intake.way import Outcome, Take, Way

State = Literal["starting", "working", "trouble", "stopped"]

DEFECT = "a defect in tlsrpt; please report it"  # the event of whatever we did not foresee


class Log(Protocol):
    """The service's log: events with fields."""

    def info(self, event: str, /, **fields: object) -> object:
        """One thing done."""

    def warning(self, event: str, /, **fields: object) -> object:
        """Refused, or will be retried."""

    def error(self, event: str, /, **fields: object) -> object:
        """A person must act."""


class Silent:
    """A log that nobody reads."""

    def info(self, event: str, /, **fields: object) -> None:
        """Nothing."""

    warning = error = info


class Status:
    """How one source is doing; changed by the source and by who runs it, shown by logs, metrics and `health`."""

    def __init__(self, way: Way, now: Callable[[], datetime], changed: Callable[[Status], None]) -> None:
        self.way = way
        self._now = now
        self._changed = changed
        self.state: State = "starting"
        self.since = now()
        self.trouble = ""  # one line, while the state is trouble
        self.outcomes: Counter[Outcome] = Counter()  # documents, since this process started
        self.turned_away = 0  # for lack of room or of a store, or over a rate
        self.last_success: datetime | None = None  # a report was taken, or a mailbox looked through
        self.waiting: int | None = None  # documents that wait in a mailbox; None where nobody knows

    def works(self) -> None:
        """Bound, connected or looked through without trouble."""
        self.last_success = self._now()
        self._become("working", "")

    def fails(self, trouble: str) -> None:
        """It can't be used now; said once, not at every attempt."""
        self._become("trouble", trouble)

    def stops(self) -> None:
        """Ended on purpose."""
        self._become("stopped", "")

    def counts(self, outcome: Outcome) -> None:
        """One more document."""
        self.outcomes[outcome] += 1
        if outcome in ("new", "known", "conflict"):
            self.last_success = self._now()

    def _become(self, state: State, trouble: str) -> None:
        if (state, trouble) != (self.state, self.trouble):
            if state != self.state:
                self.since = self._now()
            self.state, self.trouble = state, trouble
            self._changed(self)


class Desk(Struct, frozen=True, kw_only=True):
    """What a running source works with."""

    take: Take  # hand a document over; counts its outcome in `status` by itself
    room: Room  # for listeners: reserve a document's bytes before reading them
    status: Status
    place: Callable[[str], Awaitable[str | None]]  # what was kept under a key, to go on from there after a restart
    keep_place: Callable[[str, str], Awaitable[None]]  # returns once it is on the disk
    log: Log = Silent()  # for what `take` and `status` don't tell already: a message left alone for its size


class Source(Protocol):
    """One configured way in."""

    way: Way

    async def run(self, desk: Desk) -> None:
        """Take reports in until cancelled.

        Raises:
            SourceError: it can't go on now; it is to be run again after a while.
        """
        ...

    async def test(self) -> list[str]:
        """Look whether it can be used, and change nothing: log in, count. Lines for a person.

        Raises:
            SourceError: it can't; says why and what to do.
        """
        ...


@runtime_checkable
class Renewable(Protocol):
    """A source that reads files which may be new though the configuration is not: a certificate."""

    def reload(self) -> None:
        """Read them again.

        Raises:
            SourceError: they can't be used; it goes on with those that it had.
        """
        ...


@runtime_checkable
class Drainable(Source, Protocol):
    """A source that is looked through and not listened on: a mailbox, a bucket."""

    async def drain(self, desk: Desk) -> None:
        """Take in all that waits, once.

        Raises:
            SourceError, StoreError, OverloadError: what was acknowledged by then is kept.
        """
        ...

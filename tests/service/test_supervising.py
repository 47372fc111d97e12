"""A source's trouble is its own: it is run again, and told once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.service.lines import Lines
from tlsrpt.config import ReceiveConfig
from tlsrpt.core.errors import OverloadError, SourceError
from tlsrpt.intake.room import Room
from tlsrpt.intake.source import Desk, Status
from tlsrpt.intake.way import Taken, Way
from tlsrpt.service.backoff import LONGEST_S, wait_s
from tlsrpt.service.supervising import keep_running

WAY = Way(name="lmtp", kind="lmtp")


class Faulty:
    """A source that does in turn what it is told, then waits to be cancelled."""

    way = WAY

    def __init__(self, *turns: Callable[[Desk], Any]) -> None:
        self.turns = list(turns)

    async def run(self, desk: Desk) -> None:
        if self.turns:
            self.turns.pop(0)(desk)
        else:
            desk.status.works()
            await asyncio.Event().wait()

    async def test(self) -> list[str]:
        return []


def raising(error: Exception) -> Callable[[Desk], None]:
    def turn(_desk: Desk) -> None:
        raise error

    return turn


async def never_taken(*_args: object, **_kwargs: object) -> Taken:
    raise AssertionError


async def no_place(_key: str) -> None:
    return None


async def place_kept(_key: str, _value: str) -> None:
    return None


def run(source: Faulty) -> tuple[list[str], list[float], Lines]:
    """Run until it works; the states it went through, how long was waited each time, what was logged."""
    states: list[str] = []
    waits: list[float] = []
    log = Lines()

    async def all_of_it() -> None:
        working = asyncio.Event()

        def changed(status: Status) -> None:
            states.append(f"{status.state}: {status.trouble}" if status.trouble else status.state)
            if status.state == "working" and not source.turns:
                working.set()

        async def sleep(seconds: float) -> None:
            waits.append(seconds)
            await asyncio.sleep(0)

        status = Status(WAY, lambda: datetime(2026, 11, 1, tzinfo=UTC), changed)
        desk = Desk(take=never_taken, room=Room(ReceiveConfig()), status=status, place=no_place, keep_place=place_kept)
        task = asyncio.create_task(
            keep_running(source, desk, log, chance=random.Random(1), clock=lambda: 0.0, sleep=sleep)
        )
        await asyncio.wait_for(working.wait(), 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(all_of_it())
    return states, waits, log


def test_a_source_is_run_again_later_each_time_and_its_trouble_is_told_once() -> None:
    refused = SourceError("login refused", where="imap.example:993")
    states, waits, _ = run(Faulty(raising(refused), raising(refused), raising(refused)))
    assert states == ["trouble: imap.example:993: login refused", "working", "stopped"]
    assert waits == sorted(waits)
    assert len(waits) == 3


def test_a_defect_of_ours_ends_nothing_and_is_told_in_full() -> None:
    states, _, log = run(Faulty(raising(ZeroDivisionError("here"))))
    assert states[0] == "trouble: unexpected: ZeroDivisionError('here')"
    assert [(level, fields.get("exc_info")) for level, _, fields in log.lines] == [("error", True)]


def test_a_source_that_was_put_off_comes_when_it_was_told_to() -> None:
    _, waits, _ = run(Faulty(raising(OverloadError("too much", retry_after_s=17))))
    assert waits == [17]


def test_a_source_that_ends_by_itself_is_run_again() -> None:
    states, _, _ = run(Faulty(lambda desk: desk.status.works()))
    assert states == ["working", "trouble: ended by itself", "working", "stopped"]


def test_waiting_grows_to_five_minutes_and_is_never_the_same_for_all() -> None:
    chance = random.Random(7)
    waits = [wait_s(failures, chance) for failures in range(1, 40)]
    assert 0.5 <= waits[0] <= 1
    assert all(LONGEST_S / 2 <= wait <= LONGEST_S for wait in waits[12:])
    assert len(set(waits[12:])) > 20
    assert wait_s(10**9, chance) <= LONGEST_S

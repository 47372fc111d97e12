"""One source kept running: started again when it fails, later and later, until it is cancelled."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from random import Random

from tlsrpt.core.errors import OverloadError, TlsrptError
from tlsrpt.intake.source import DEFECT, Desk, Log, Source
from tlsrpt.service.backoff import wait_s

SETTLED_S = 60.0  # a source that ran so long begins counting its failures anew


async def keep_running(
    source: Source,
    desk: Desk,
    log: Log,
    *,
    chance: Random,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> None:
    """Run a source for ever. Nothing that goes wrong in it reaches the caller but cancellation."""
    try:
        await _run_again_and_again(source, desk, log, chance=chance, clock=clock, sleep=sleep)
    finally:
        desk.status.stops()


async def _run_again_and_again(
    source: Source,
    desk: Desk,
    log: Log,
    *,
    chance: Random,
    clock: Callable[[], float],
    sleep: Callable[[float], Awaitable[object]],
) -> None:
    failures = 0
    while True:
        began = clock()
        pause_s: float | None = None
        try:
            await source.run(desk)
            trouble = "ended by itself"
        except OverloadError as error:
            trouble, pause_s = str(error), error.retry_after_s
        except TlsrptError as error:
            trouble = str(error)
        except Exception as error:
            trouble = f"unexpected: {error!r}"
            log.error(DEFECT, source=source.way.name, exc_info=True)
        failures = 1 if clock() - began > SETTLED_S else failures + 1
        desk.status.fails(trouble)
        await sleep(wait_s(failures, chance) if pause_s is None else pause_s)

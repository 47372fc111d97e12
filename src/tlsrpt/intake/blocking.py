"""A thread for what blocks: asyncio hands it calls, one after another, and waits without standing still.

asyncio's own pool is joined when the program ends, however long a connection takes to fail; this one is left behind.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

Call = tuple[asyncio.Future[Any], Callable[[], Any]]
Answer = tuple[asyncio.Future[Any], Any, BaseException | None]


class OneThread:
    """Runs calls in a thread of their own, for the running event loop; `close` it when done.

    It does all that waits, then all are answered: a hop between threads is shared. A hop costs as much as the reading
    of a small file, and more when the machine is busy.
    """

    def __init__(self, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._batches: queue.SimpleQueue[list[Call] | None] = queue.SimpleQueue()
        self._waiting: list[Call] = []
        self._busy = False
        threading.Thread(target=self._work, name=name, daemon=True).start()

    async def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """The function's result, or what it raised. Cancelled, the wait ends; the call itself goes on."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._waiting.append((future, partial(function, *args, **kwargs)))
        if not self._busy:
            self._busy = True
            self._loop.call_soon(self._begin)
        return await future

    def close(self, last: Callable[[], None] | None = None) -> None:
        """End the thread once it is done with what it is at; nobody waits for that, and what was not begun is not.

        Args:
            last: a call before the end; must not raise.
        """
        if last is not None:
            self._batches.put([(self._loop.create_future(), last)])
        self._batches.put(None)

    def _begin(self) -> None:
        calls, self._waiting = self._waiting, []
        self._batches.put(calls)

    def _work(self) -> None:
        while (calls := self._batches.get()) is not None:
            answers = [(future, *_outcome(function)) for future, function in calls]
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._tell, answers)

    def _tell(self, answers: list[Answer]) -> None:
        for future, result, error in answers:
            if future.done():  # whoever waited was cancelled
                continue
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)
        if self._waiting:
            self._begin()
        else:
            self._busy = False


def _outcome(function: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    try:
        return function(), None
    except BaseException as error:  # noqa: BLE001 - carried to who waits for it
        return None, error

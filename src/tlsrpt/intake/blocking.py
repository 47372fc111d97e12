"""A thread for a library that blocks: asyncio hands it calls, one after another, and waits without standing still.

asyncio's own pool is joined when the program ends, however long a connection takes to fail; this one is left behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class OneThread:
    """Runs calls in a thread of their own. `end` it when done; who waits for a call then waits for ever."""

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        threading.Thread(target=self._work, name=name, daemon=True).start()

    async def call(self, function: Callable[..., T], *args: Any) -> T:
        """The function's result, or what it raised. Cancelled, the wait ends; the call itself goes on."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def settle(result: T | None, error: BaseException | None) -> None:
            if future.done():  # cancelled
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)  # type: ignore[arg-type]  # T, where there is no error

        def work() -> None:
            result, problem = None, None
            try:
                result = function(*args)
            except BaseException as error:  # noqa: BLE001 - carried to who waits for it
                problem = error
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(settle, result, problem)

        self._calls.put(work)
        return await future

    def end(self, last: Callable[[], None]) -> None:
        """No more calls after this last one, which must not raise; nobody waits for it."""
        self._calls.put(last)
        self._calls.put(None)

    def _work(self) -> None:
        while (work := self._calls.get()) is not None:
            work()

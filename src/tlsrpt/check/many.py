"""Many checks side by side, their results in the order of the questions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
_AHEAD = 20  # times at_once: results that wait for a slow one before them


async def run_in_order(
    items: Iterable[Item],
    work: Callable[[Item], Awaitable[Result]],
    deliver: Callable[[Result], None],
    *,
    at_once: int,
) -> None:
    """Do the work for each item, so many at once, and deliver the results one by one, in the order of the items."""
    numbered = enumerate(items)
    done: dict[int, Result] = {}
    due = 0
    moved = asyncio.Event()

    async def worker() -> None:
        nonlocal due
        for number, item in numbered:
            while number - due > _AHEAD * at_once:
                moved.clear()
                await moved.wait()
            done[number] = await work(item)
            while due in done:
                deliver(done.pop(due))
                due += 1
            moved.set()

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(worker())
    except BaseExceptionGroup as failed:  # the reader of our output left, say: the first one tells what happened
        raise failed.exceptions[0] from failed

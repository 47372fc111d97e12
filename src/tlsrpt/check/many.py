"""Many checks side by side, their results in the order of the questions."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
_AHEAD = 8  # times at_once: a slow domain holds the results behind it back, not their work


async def run_in_order(
    items: Iterable[Item],
    work: Callable[[Item], Awaitable[Result]],
    deliver: Callable[[Result], None],
    *,
    at_once: int,
) -> None:
    """Do the work for each item, so many at once, and deliver the results one by one, in the order of the items."""
    places = asyncio.Semaphore(at_once)

    async def one(item: Item) -> Result:
        async with places:
            return await work(item)

    async with asyncio.TaskGroup() as group:
        under_way: deque[asyncio.Task[Result]] = deque()
        for item in items:
            under_way.append(group.create_task(one(item)))
            while under_way and (under_way[0].done() or len(under_way) >= _AHEAD * at_once):
                deliver(await under_way.popleft())
        while under_way:
            deliver(await under_way.popleft())

"""Work on a stream of items in several processes: results in order, memory bounded, no worker left behind.

concurrent.futures would do, but its workers outlive a parent that was killed (each holds the others' pipe open), and
`kill -9` is something that we promise to survive. Here a worker ends when its pipe closes, whoever closed it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

Item = TypeVar("Item")
Result = TypeVar("Result")
CHUNK = 64


def ordered_map(work: Callable[[Item], Result], items: Iterable[Item], jobs: int) -> Iterator[Result]:
    """Apply `work` to each item, in `jobs` processes if more than one, and yield the results in the order of the items.

    Each worker holds one chunk at a time, so a pipe never blocks both ways and the memory in use stays small.
    """
    if jobs <= 1:
        yield from map(work, items)
        return
    import multiprocessing  # not for one process: it takes longer to import than a mail to read

    context = multiprocessing.get_context("fork")
    ours: list[Connection] = []
    workers = []
    for _ in range(jobs):
        here, there = context.Pipe()
        worker = context.Process(target=_serve, args=(work, there, [*ours, here]), daemon=True)
        worker.start()
        there.close()
        ours.append(here)
        workers.append(worker)
    try:
        yield from chain.from_iterable(_rounds(ours, items))
    finally:
        for connection in ours:
            connection.close()
        for worker in workers:
            worker.join()


def _rounds(connections: list[Connection], items: Iterable[Item]) -> Iterator[list[Result]]:
    chunks = _chunks(items)
    busy: deque[Connection] = deque()
    for connection, chunk in zip(connections, chunks, strict=False):
        connection.send(chunk)
        busy.append(connection)
    while busy:
        connection = busy.popleft()
        results = connection.recv()
        if isinstance(results, BaseException):
            raise results
        for chunk in islice(chunks, 1):
            connection.send(chunk)  # before we yield: it works while our caller does
            busy.append(connection)
        yield results


def _chunks(items: Iterable[Item]) -> Iterator[list[Item]]:
    stream = iter(items)
    while chunk := list(islice(stream, CHUNK)):
        yield chunk


def _serve(work: Callable[[Item], Result], connection: Connection, others: list[Connection]) -> None:
    for other in others:  # inherited by the fork; open here they would keep a sibling alive
        other.close()
    try:
        while True:
            chunk = connection.recv()
            try:
                connection.send([work(item) for item in chunk])
            except Exception as error:  # noqa: BLE001 - carried home and raised there
                connection.send(error)
                return
    except (EOFError, BrokenPipeError, ConnectionResetError, KeyboardInterrupt):
        return

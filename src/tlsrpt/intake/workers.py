"""Work on a stream of items in several processes: results in order, memory bounded, no worker left behind.

concurrent.futures would do, but its workers outlive a parent that was killed (each holds the others' pipe open), and
`kill -9` is something that we promise to survive. Here a worker ends when its pipe closes, whoever closed it. What
crosses a pipe is MessagePack of the typed values: pickling takes five times as long.
"""

from __future__ import annotations

import os
import pickle
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

Item = TypeVar("Item")
Result = TypeVar("Result")
FIRST = 64  # items that are worked on before a process is started
# A chunk's answer (5 KB a mail) fits into the buffer of a pipe: a worker goes on while our caller is busy, and the
# thread that takes the answers waits for the interpreter.
CHUNK = 16
AHEAD = 32  # chunks that a worker may have been given and not yet answered


def ordered_map(
    work: Callable[[Item], Result], items: Iterable[Item], jobs: int, *, item_type: Any, result_type: Any
) -> Iterator[Result]:
    """Apply `work` to each item in `jobs` other processes, and yield the results in the order of the items.

    The first few items are worked on right here: to start a process takes longer. Each worker has a few chunks ahead,
    so that it works on while our caller is busy; a thread takes what it sends, so that a pipe never blocks both ways.

    Args:
        item_type, result_type: what msgspec is to decode on either side of a pipe.
    """
    stream = iter(items)
    yield from map(work, islice(stream, FIRST))
    chunks = _chunks(stream)
    first = next(chunks, None)
    if first is None:
        return
    import multiprocessing  # not for a few items: it takes longer to import than a mail to read

    context = multiprocessing.get_context("fork")
    ours: list[Connection] = []
    processes = []
    for _ in range(jobs):
        here, there = context.Pipe()
        process = context.Process(target=_serve, args=(work, there, [*ours, here], item_type), daemon=True)
        process.start()
        there.close()
        ours.append(here)
        processes.append(process)
    workers = [_Worker(connection) for connection in ours]  # threads start only after the last fork
    try:
        yield from chain.from_iterable(_rounds(workers, work, chain((first,), chunks), result_type))
    finally:
        for process in processes:
            process.terminate()
        for worker in workers:
            worker.close()
        for process in processes:
            process.join()


class _Worker:
    """Our end of a worker: chunks go in, answers come out in their order."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.waiting = 0
        self._answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()  # AHEAD bounds it
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()

    def send(self, chunk: bytes) -> None:
        self.connection.send_bytes(chunk)
        self.waiting += 1

    def ready(self) -> bool:
        """Whether an answer has come."""
        return not self._answers.empty()

    def load(self) -> int:
        """Chunks that are still to be answered."""
        return self.waiting

    def answer(self) -> bytes:
        """The answer to the chunk that was sent first of those not yet answered; waits for it."""
        self.waiting -= 1
        answer = self._answers.get()
        if not answer:
            raise RuntimeError("a process that reads reports ended unexpectedly; was it killed?")
        return answer

    def close(self) -> None:
        self._thread.join()
        self.connection.close()

    def _receive(self) -> None:
        try:
            while True:
                self._answers.put(self.connection.recv_bytes())
        except (EOFError, OSError):
            self._answers.put(b"")


def _rounds(
    workers: list[_Worker], work: Callable[[Item], Any], chunks: Iterator[list[Item]], result_type: Any
) -> Iterator[list[Any]]:
    """The results of each chunk, in order.

    While every worker has enough and no answer has come, a chunk is done here, if there is a processor for it.
    """
    encode, decode = msgspec.msgpack.encode, msgspec.msgpack.Decoder(list[result_type]).decode
    given: deque[_Worker | list[Any]] = deque()  # who has each chunk, or its results
    room_here = len(workers) < (os.cpu_count() or 1)

    def first() -> list[Any]:
        head = given.popleft()
        return head if isinstance(head, list) else _results(head.answer(), decode)

    for chunk in chunks:
        while given and (isinstance(given[0], list) or given[0].ready()):
            yield first()
        worker = min(workers, key=_Worker.load)
        while worker.waiting >= AHEAD and not room_here:
            yield first()
            worker = min(workers, key=_Worker.load)
        if worker.waiting < AHEAD:
            try:
                worker.send(encode(chunk))
            except BrokenPipeError:  # it failed at an earlier chunk, whose answer says why
                break
            given.append(worker)
        else:
            given.append([work(item) for item in chunk])
        if len(given) > AHEAD * (len(workers) + 1):
            yield first()
    while given:
        yield first()


def _results(answer: bytes, decode: Callable[[bytes], list[Any]]) -> list[Any]:
    if answer[:1] == _FAILED:
        raise pickle.loads(answer[1:])  # noqa: S301 - from our own worker
    return decode(answer[1:])


_DONE, _FAILED = b"d", b"f"


def _chunks(stream: Iterator[Item]) -> Iterator[list[Item]]:
    while chunk := list(islice(stream, CHUNK)):
        yield chunk


def _serve(work: Callable[[Any], Any], connection: Connection, others: list[Connection], item_type: Any) -> None:
    for other in others:  # inherited by the fork; open here they would keep a sibling alive
        other.close()
    encode, decode = msgspec.msgpack.encode, msgspec.msgpack.Decoder(list[item_type]).decode
    try:
        while True:
            chunk = decode(connection.recv_bytes())
            try:
                connection.send_bytes(_DONE + encode([work(item) for item in chunk]))
            except Exception as error:  # noqa: BLE001 - carried home and raised there
                connection.send_bytes(_FAILED + pickle.dumps(error))
                return
    except (EOFError, BrokenPipeError, ConnectionResetError, KeyboardInterrupt):
        return

"""The one thread that writes: it takes what waits, commits it together, then answers everybody.

The store is synchronous and for one thread; the sources live in an event loop. Whoever wants something kept waits here
with the others, so that under load a hundred documents share one commit and its flush to the disk, and without load
nobody waits for company.
"""

from __future__ import annotations

import asyncio
import queue
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from copy import copy
from typing import Any, TypeVar

from msgspec import Struct

from tlsrpt.core.errors import StoreBusyError, StoreError
from tlsrpt.store.rows import Prepared, PreparedReport
from tlsrpt.store.sqlite import Store, open_store
from tlsrpt.store.values import Kept

T = TypeVar("T")

BATCH_DOCUMENTS = 500
BATCH_BYTES = 8 * 1024 * 1024
BATCH_ROWS = 20_000  # under a second; 8 MiB of packed reports can be millions
BUSY_S = 10.0  # is waited for another process that writes; senders are told to come again then
HURRY_S = 0.5  # is waited once we are being stopped: several may have to wait, one after the other

COMPANY_S = 0.004  # less than the flush of most disks; a commit of ten documents costs what one of fifty does

# SQLite's module gives the interpreter up for every step of a statement and has to get it back from the event loop,
# which yields only when this interval is over: 5 ms by default, which made a row under load cost 9 ms.
SWITCH_S = 0.0005


class _Document(Struct):
    """A document that is to be kept, and who waits for it."""

    future: asyncio.Future[Any]
    prepared: Prepared
    size: int


class _Job(Struct):
    """Something else that is to be done with the store, and who waits for it."""

    future: asyncio.Future[Any]
    do: Callable[[Store], Any]


class Keeper:
    """Commits for an event loop, in a thread of its own, between `start` and `stop`.

    Args:
        url: of the store; made where there is none, never migrated.
    """

    def __init__(self, url: str, *, busy_s: float = BUSY_S) -> None:
        self.url = url
        self._busy_s = busy_s
        self._queue: queue.SimpleQueue[_Document | _Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._store: Store | None = None
        self._waits_s = busy_s  # as the open store has it
        self.trouble = ""  # why the last attempt at the store failed; "" where it did not
        self.failures = 0  # attempts that failed: on a full disk some go well in between
        self.on_trouble: Callable[[str], None] = _nothing  # is told of each, in the event loop
        self.batches = 0
        self.documents = 0

    def start(self) -> None:
        """Begin, in the running event loop."""
        sys.setswitchinterval(min(SWITCH_S, sys.getswitchinterval()))
        loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._work, args=(loop,), name="tlsrpt-keeper", daemon=True)
        self._thread.start()

    def hurry(self) -> None:
        """Wait no longer for another process that holds the store: we are about to stop, and senders come again."""
        self._busy_s = min(self._busy_s, HURRY_S)

    async def stop(self) -> None:
        """Finish what waits, close the store, end the thread."""
        self._queue.put(None)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    async def keep(self, prepared: Prepared, size: int) -> list[Kept]:
        """Keep one document; returns what became of its reports and faults once that is on the disk.

        Raises:
            StoreError: it is not kept. StoreBusyError: and trying again may help.
        """
        future = self._future()
        self._queue.put(_Document(future=future, prepared=prepared, size=size))
        kept: list[Kept] = await future
        return kept

    async def run(self, job: Callable[[Store], T]) -> T:
        """Do something else with the store, in the thread, in turn with what is kept.

        Raises: StoreError, and whatever the job raises.
        """
        future = self._future()
        self._queue.put(_Job(future=future, do=job))
        result: T = await future
        return result

    def _future(self) -> asyncio.Future[Any]:
        if self._thread is None or not self._thread.is_alive():
            raise StoreError("the writer has ended", where=self.url, fix="start the service again")
        return asyncio.get_running_loop().create_future()

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        going = True
        company = False
        while going:
            documents, jobs, going = self._gather(company)
            company = len(documents) > 1
            answers: list[tuple[asyncio.Future[Any], Any]] = []
            if documents:
                results = self._keep(documents)
                answers += [(document.future, result) for document, result in zip(documents, results, strict=True)]
            answers += [(job.future, self._do(job.do)) for job in jobs]
            with suppress(RuntimeError):  # the loop is gone: nobody waits any more, and what was kept is kept
                loop.call_soon_threadsafe(self._tell, answers, self.trouble)
        if self._store is not None:
            with suppress(StoreError):  # everything is committed; closing only tidies up
                self._store.close()

    def _gather(self, company: bool) -> tuple[list[_Document], list[_Job], bool]:
        """Wait for something to do; what waits then, up to a batch; and whether to go on after it.

        Args:
            company: the last batch had several documents, so that more are on their way: worth a short wait.
        """
        documents: list[_Document] = []
        jobs: list[_Job] = []
        size = rows = 0
        waiting = self._queue.get()
        if company:
            time.sleep(COMPANY_S)
        while waiting is not None:
            if isinstance(waiting, _Document):
                documents.append(waiting)
                size += waiting.size
                rows += _rows(waiting.prepared)
            else:
                jobs.append(waiting)
            if len(documents) >= BATCH_DOCUMENTS or size >= BATCH_BYTES or rows >= BATCH_ROWS:
                return documents, jobs, True
            try:
                waiting = self._queue.get_nowait()
            except queue.Empty:
                return documents, jobs, True
        return documents, jobs, False

    def _keep(self, documents: list[_Document]) -> list[Any]:
        results = self._do(lambda store: store.keep_each([document.prepared for document in documents]))
        if isinstance(results, BaseException):
            return [results] * len(documents)
        self.batches += 1
        self.documents += len(documents)
        return list(results)

    def _do(self, job: Callable[[Store], Any]) -> Any:
        """The job's result, or its exception; a store that failed is opened anew for the next."""
        try:
            busy_s = self._busy_s
            if self._store is None:
                self._store = open_store(self.url, create=True, timeout_s=busy_s)
            elif busy_s != self._waits_s:
                self._store.wait_for_others(busy_s)
            self._waits_s = busy_s
            result = job(self._store)
        except StoreError as error:
            self.trouble = str(error)
            self.failures += 1
            if self._store is not None and not isinstance(error, StoreBusyError):
                self._store.close()
                self._store = None
            return error
        except Exception as error:  # noqa: BLE001 - it is the caller's, who waits in another thread
            return error
        self.trouble = ""
        return result

    def _tell(self, answers: list[tuple[asyncio.Future[Any], Any]], trouble: str) -> None:
        if trouble:
            self.on_trouble(trouble)
        for future, result in answers:
            if future.done():  # whoever waited was cancelled
                continue
            if isinstance(result, BaseException):
                future.set_exception(copy(result))  # a copy each: raising one writes into it
            else:
                future.set_result(result)


def _rows(prepared: Prepared) -> int:
    """How many rows of policies and failures a document becomes, which is how long it takes to keep."""
    return sum(len(one.policies) + len(one.failures) for one in prepared.items if isinstance(one, PreparedReport))


def _nothing(_trouble: str) -> None:
    """Nobody wants to know."""

"""Work in several processes: in order, bounded, and nobody is left behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tlsrpt.intake.workers import CHUNK, FIRST, ordered_map

INTS = {"item_type": int, "result_type": int}


def double(n: int) -> int:
    if n == 13_000:
        raise ValueError("unlucky")
    return 2 * n


@pytest.mark.parametrize("jobs", [1, 2, 3])
@pytest.mark.parametrize("count", [0, 1, FIRST, FIRST + 5 * CHUNK + 7])
def test_results_come_in_the_order_of_the_items(jobs: int, count: int) -> None:
    """Whichever process did the work."""
    assert list(ordered_map(double, range(count), jobs, **INTS)) == [2 * n for n in range(count)]


def test_items_are_taken_only_as_they_are_needed() -> None:
    """Memory stays bounded: of a long stream no more than a few chunks are ahead of the reader."""
    taken = 0

    def stream() -> Iterator[int]:
        nonlocal taken
        for n in range(1_000_000):
            taken = n
            yield n

    results = ordered_map(double, stream(), 2, **INTS)
    for _ in range(FIRST + 2 * CHUNK):
        next(results)
    results.close()  # type: ignore[attr-defined]
    assert taken < FIRST + 150 * CHUNK


def test_an_error_in_a_worker_is_raised_here() -> None:
    with pytest.raises(ValueError, match="unlucky"):
        list(ordered_map(double, range(20_000), 2, **INTS))


def test_large_items_and_results_do_not_block_the_pipes() -> None:
    items = [bytes(300_000)] * (FIRST + 4 * CHUNK)
    assert list(ordered_map(bytes.upper, items, 2, item_type=bytes, result_type=bytes)) == items


def test_workers_end_when_their_parent_is_killed() -> None:
    """kill -9 of the parent leaves no process behind."""
    program = (
        "import time\n"
        "from tlsrpt.intake.workers import ordered_map\n"
        "import multiprocessing\n"
        "results = ordered_map(abs, iter(range(10**9)), 2, item_type=int, result_type=int)\n"
        "[next(results) for _ in range(1000)]\n"
        "print(*[p.pid for p in multiprocessing.active_children()], flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    workers = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(workers) == 2
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    until = time.monotonic() + 10
    while any(_alive(pid) for pid in workers):
        assert time.monotonic() < until, "a worker outlived its parent"


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False

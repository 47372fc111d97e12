"""Timing, so that a shared machine's moods hit all contenders alike: in turns, and medians of the turns."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct


class Timing(Struct, frozen=True):
    """Seconds of each turn; for processes their processor time too, and the most memory that any turn held."""

    turns_s: tuple[float, ...]
    cpu_s: tuple[float, ...] = ()
    peak_bytes: int = 0

    @property
    def median_s(self) -> float:
        return statistics.median(self.turns_s)

    @property
    def best_s(self) -> float:
        return min(self.turns_s)

    @property
    def median_cpu_s(self) -> float:
        return statistics.median(self.cpu_s)


def calls(
    contenders: Mapping[str, Callable[[bytes], object]], inputs: Sequence[bytes], *, turns: int
) -> dict[str, Timing]:
    """Seconds per input of each function, over all inputs in a turn, the functions taking turns.

    Processor time: none of these functions waits for anything, and on a busy machine the clock on the wall would
    count the neighbours' work.
    """
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(turns + 1):
        for name, function in contenders.items():
            start = time.process_time()
            for one in inputs:
                function(one)
            seconds = (time.process_time() - start) / len(inputs)
            if turn:  # the first turn warms caches and is not counted
                taken[name].append(seconds)
    return {name: Timing(tuple(seconds)) for name, seconds in taken.items()}


class Command(Struct, frozen=True):
    """A process to be timed: what runs, what has to be done before each turn, outside the clock."""

    argv: tuple[str, ...]
    before: Callable[[], None] = lambda: None
    allowed: tuple[int, ...] = (0,)


def processes(contenders: Mapping[str, Command], *, turns: int, warm_up: bool = True) -> dict[str, Timing]:
    """Wall-clock seconds from start to end of each command, taking turns."""
    taken: dict[str, list[_Run]] = {name: [] for name in contenders}
    for turn in range(turns + warm_up):
        for name, command in contenders.items():
            command.before()
            run = _run(command)
            if turn or not warm_up:
                taken[name].append(run)
    return {
        name: Timing(
            tuple(run.wall_s for run in runs),
            tuple(run.cpu_s for run in runs),
            max(run.peak_bytes for run in runs),
        )
        for name, runs in taken.items()
    }


class _Run(Struct, frozen=True):
    wall_s: float
    cpu_s: float  # with that of its children
    peak_bytes: int


def _run(command: Command) -> _Run:
    start = time.perf_counter()
    process = subprocess.Popen(
        command.argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=Path.cwd()
    )
    assert process.stderr is not None
    said = process.stderr.read()
    # wait4 rather than wait: it alone tells this child's own peak. Linux counts in KiB.
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.stderr.close()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in command.allowed:
        raise RuntimeError(f"{' '.join(command.argv)} ended with {process.returncode}:\n{said.decode()[-2000:]}")
    return _Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)

"""DESIGN promise 1: a crash at any point loses nothing that was acknowledged and counts nothing twice."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

from tlsrpt.store.sqlite import open_store
from tlsrpt.store.sqlite_check import check

DOCUMENTS = 240
KILLS = 12

# Keeps all documents in batches and says which batch is on the disk, as a source is told "yours is kept".
WRITER = f"""
import sys
from tests.store.builders import *
from tlsrpt.store.rows import prepare
from tlsrpt.store.sqlite import open_store

documents = [
    prepare(an_arrival(
        a_report(an_entry(failed=2, details=(a_detail(), a_detail())), an_entry("tlsa"), report_id=str(n), day=n % 9),
        raw=b"%d " % n + bytes(range(256)) * 8,
    ))
    for n in range({DOCUMENTS})
]
print("ready", flush=True)
with open_store(sys.argv[1], create=True) as store:
    for start in range(0, len(documents), 5):
        store.keep(documents[start:start + 5])
        print(start + 5, flush=True)
"""


def test_kill_9_at_any_moment_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Promise 1: a real process is killed many times; what it said was kept is there, and once only."""
    path, rng = tmp_path / "tlsrpt.db", random.Random(8460)
    kept = 0
    for _ in range(KILLS):
        acknowledged = _run_and_kill(path, after=rng.choice((0, 0, 0, *range(1, 20))), delay=rng.randrange(800_000))
        kept = max(kept, acknowledged)
        if path.exists() and path.stat().st_size:
            with open_store(str(path), create=True) as store:
                (reports,) = store.connection.execute("SELECT count(*) FROM report").fetchone()
                assert reports >= kept
                assert check(store, raw=True).problems == ()
    finished = subprocess.run([sys.executable, "-c", WRITER, str(path)], capture_output=True, check=True, timeout=120)
    assert finished.stdout.split()[-1] == b"%d" % DOCUMENTS
    with open_store(str(path)) as store:
        assert store.connection.execute("SELECT count(*), sum(counted) FROM report").fetchone() == (DOCUMENTS,) * 2
        assert store.connection.execute("SELECT count(*) FROM failure").fetchone() == (2 * DOCUMENTS,)
        assert check(store, raw=True).problems == ()


def _run_and_kill(path: Path, *, after: int, delay: int) -> int:
    """Start a writer, kill it at some point after so many acknowledged batches; how many documents it acknowledged."""
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    acknowledged = 0
    assert writer.stdout.readline() == b"ready\n"
    for _ in range(after):
        acknowledged = int(writer.stdout.readline() or acknowledged)
    for _ in range(delay):  # somewhere in making the store or in the next batches: never quite the same place
        pass
    writer.send_signal(signal.SIGKILL)
    rest = writer.stdout.read().split()
    writer.wait(timeout=60)
    return int(rest[-1]) if rest and rest[-1].isdigit() else acknowledged

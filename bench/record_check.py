"""`record check` over 10,000 domains beside checkdmarc doing the same look-up, in the same run, in turns.

    python -m bench.record_check [--domains N] [--turns N] [--checkdmarc PYTHON]

A small name server in a process of its own answers at once, or 20 ms late, which is what a resolver on the Internet is.
Ours is the whole command, start to end, with all findings of each record as JSON. checkdmarc is its function in a loop,
without its start, over fewer domains, for it asks one after the other. "limit" is dnspython's async resolver in a bare
script that looks at no record. `--checkdmarc` names a Python that has it, where this one has not.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LATE_S = 0.02
MUST_LATE = 60.0
MUST_AT_ONCE = 1.0

CHECKDMARC = """
import sys, time, json
import dns.resolver
from checkdmarc.smtp_tls_reporting import check_smtp_tls_reporting
resolver = dns.resolver.Resolver(configure=False)
resolver.nameservers, resolver.port = ["127.0.0.1"], int(sys.argv[1])
count = int(sys.argv[2])
start = time.perf_counter()
valid = sum(check_smtp_tls_reporting(f"d{i:05}.example", resolver=resolver)["valid"] for i in range(count))
print(json.dumps([count / (time.perf_counter() - start), valid]))
"""
LIMIT = """
import asyncio, json, sys, time
import dns.asyncresolver
async def main():
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers, resolver.port, resolver.lifetime = ["127.0.0.1"], int(sys.argv[1]), 30
    count, names = int(sys.argv[2]), iter(range(int(sys.argv[2])))
    async def work():
        for i in names:
            await resolver.resolve(f"_smtp._tls.d{i:05}.example", "TXT")
    start = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(250):
            group.create_task(work())
    print(json.dumps([count / (time.perf_counter() - start), count]))
asyncio.run(main())
"""


@contextmanager
def server(late_s: float) -> Iterator[int]:
    """The name server; its port."""
    argv = [sys.executable, "-m", "bench.name_server", str(late_s)]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


def ours(port: int, domains: Path, count: int, *options: str) -> float:
    """Domains a second of the whole command."""
    tlsrpt = str(Path(sys.executable).parent / "tlsrpt")
    argv = [tlsrpt, "record", "check", "--json", "--file", str(domains), "--resolver", f"127.0.0.1@{port}", *options]
    start = time.perf_counter()
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False)
    seconds = time.perf_counter() - start
    verdicts = [json.loads(line)["verdict"] for line in done.stdout.splitlines()]
    assert verdicts == ["ok"] * count, f"{len(verdicts)} answers, {sum(v != 'ok' for v in verdicts)} not ok"
    return count / seconds


def script(python: str, text: str, port: int, count: int) -> float:
    """Domains a second, by the script's own clock."""
    argv = [python, "-c", text, str(port), str(count)]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True, text=True)
    rate, good = json.loads(done.stdout)
    assert good == count, f"{good} of {count}"
    return float(rate)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--domains", type=int, default=10_000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--checkdmarc", default=sys.executable, metavar="PYTHON")
    args = parser.parse_args()
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as listed:
        listed.writelines(f"d{i:05}.example\n" for i in range(args.domains))
        listed.flush()
        for late_s, must in ((LATE_S, MUST_LATE), (0.0, MUST_AT_ONCE)):
            with server(late_s) as port:
                run(args, Path(listed.name), port, late_s, must)


def run(args: argparse.Namespace, domains: Path, port: int, late_s: float, must: float) -> None:
    """One line of the table: every contender in turns, medians."""
    few = max(1, args.domains // (40 if late_s else 10))
    rates: dict[str, list[float]] = {name: [] for name in ("ours", "ours, everything", "checkdmarc", "limit")}
    for _ in range(args.turns):
        rates["checkdmarc"].append(script(args.checkdmarc, CHECKDMARC, port, few))
        rates["ours"].append(ours(port, domains, args.domains, "--record-only"))
        rates["limit"].append(script(sys.executable, LIMIT, port, args.domains))
        rates["ours, everything"].append(ours(port, domains, args.domains))
    medians = {name: statistics.median(turns) for name, turns in rates.items()}
    peer = medians["checkdmarc"]
    print(f"answers {late_s * 1000:.0f} ms late" if late_s else "answers at once")
    for name, rate in medians.items():
        print(f"  {name:18} {rate:10,.0f} domains/s {rate / peer:8.1f}x")
    print(f"  must: {must:g}x with --record-only: {'met' if medians['ours'] / peer >= must else 'MISSED'}")


if __name__ == "__main__":
    main()

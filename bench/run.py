"""The speed table: ours, parsedmarc and bare scripts in turns, ratios printed, results kept in bench/results.md.

    python -m bench.run [--full] [--quick] [--only WORD]

`--full` adds 100,000 messages and 3 million reports; `--quick` is a look with few turns and small inputs, whose figures
are for nobody; `--only` runs the sections whose name holds the word.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import msgspec
from msgspec import Struct

from bench import corpus
from bench.measure import Command, Timing, processes

HERE = Path(__file__).parent
DATA = HERE / "data"
RESULTS = HERE / "results.md"
BIN = Path(sys.executable).parent


class Row(Struct, frozen=True, kw_only=True):
    """One line of the table. Figures are text: each work has its own unit."""

    work: str
    ours: str
    peer: str
    ratio: float | None  # how much better than the peer we are; None where there is none
    must: str
    met: bool | None
    limit: str = ""  # the bare script's figure
    limit_ratio: float | None = None  # how much better than the peer that is
    note: str = ""


class Scale(Struct, frozen=True, kw_only=True):
    """How much is asked of a run."""

    mails: int = 5_000
    memory: tuple[int, ...] = (20_000,)
    reports: tuple[int, ...] = (100_000, 1_000_000)
    incidents: int = 1_000_000  # reports in the store that they are asked of; kept, since it takes minutes to make
    turns: int = 3
    starts: int = 15
    quick: bool = False


FULL = Scale(memory=(20_000, 100_000), reports=(100_000, 1_000_000, 3_000_000), turns=5, starts=31)
QUICK = Scale(mails=500, memory=(500, 1_000), reports=(5_000, 10_000), incidents=20_000, turns=1, starts=3, quick=True)


def shown(seconds: float) -> str:
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if seconds * factor >= 1 or unit == "us":
            return f"{seconds * factor:.3g} {unit}"
    raise AssertionError


def megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.0f} MB"


def compare(work: str, ours: Timing, peer: Timing, limit: Timing | None, must: float | None, note: str = "") -> Row:
    """A row of times. The ratio is that of the medians: each contender's turns lay beside the others'."""
    ratio = peer.median_s / ours.median_s
    aside = f"best of turns: {peer.best_s / ours.best_s:.2f}x"
    if ours.cpu_s and peer.cpu_s:
        aside += f"; processor time: {peer.median_cpu_s / ours.median_cpu_s:.2f}x"
    return Row(
        work=work,
        ours=shown(ours.median_s),
        peer=shown(peer.median_s),
        ratio=ratio,
        must=f"{must:g}x" if must else "",
        met=ratio >= must if must else None,
        limit=shown(limit.median_s) if limit else "",
        limit_ratio=peer.median_s / limit.median_s if limit else None,
        note=note or aside,
    )


# ---- reading one report


MUST_READ = {
    ("json typical", False): 3.0,
    ("json large", False): 3.0,
    ("json.gz typical", False): 1.7,
    ("json.gz large", False): 2.5,
    ("json.gz typical", True): 2.0,
    ("json.gz large", True): 4.0,
    ("eml typical", False): 18.0,
    ("eml large", False): 6.0,
}


def reading(scale: Scale) -> Iterator[Row]:
    for isal in (False, True):
        argv = [sys.executable, "-m", "bench.micro", *([] if isal else ["--no-isal"])]
        argv += ["--quick"] if scale.quick else []
        done = subprocess.run(argv, stdout=subprocess.PIPE, check=True)
        for work, turns in json.loads(done.stdout).items():
            if isal and work.startswith("json "):  # nothing to decompress
                continue
            ours, peer, limit = (Timing(tuple(turns[name])) for name in ("ours", "parsedmarc", "limit"))
            yield compare(work + (", isal" if isal else ""), ours, peer, limit, MUST_READ.get((work, isal)))


# ---- a folder of mails, command to command


def mails(count: int) -> Path:
    """A folder of typical report mails, made once."""
    folder = DATA / f"eml-{count}"
    if not folder.exists():
        corpus.write(folder.with_suffix(".part"), form="eml", size="typical", count=count)
        folder.with_suffix(".part").rename(folder)
    return folder


def ours_command(folder: Path, jobs: int) -> Command:
    store = DATA / f"ours-{jobs}.db"
    argv = (str(BIN / "tlsrpt"), "ingest", "--store", str(store), "--jobs", str(jobs), "--quiet", str(folder))
    return Command(argv, before=lambda: remove(store))


def limit_command(folder: Path, jobs: int) -> Command:
    store = DATA / f"limit-{jobs}.db"
    argv = (sys.executable, "-m", "bench.limits", str(folder), str(store), "--jobs", str(jobs))
    return Command(argv, before=lambda: remove(store))


def peer_command(folder: Path, jobs: int) -> Command:
    """parsedmarc, writing JSON into a folder (and CSV, which its --output does not leave out); nothing online."""
    out, config = DATA / f"parsedmarc-{jobs}", DATA / f"parsedmarc-{jobs}.ini"
    config.write_text(f"[general]\noffline = true\nsilent = true\nn_procs = {jobs}\noutput = {out}\n")
    argv = (str(BIN / "parsedmarc"), "--config-file", str(config), "--offline", "--silent", "--no-prettify-json")
    return Command((*argv, "--output", str(out), str(folder)), before=lambda: shutil.rmtree(out, ignore_errors=True))


def remove(store: Path) -> None:
    for path in store.parent.glob(store.name + "*"):
        path.unlink()


def folders(scale: Scale) -> Iterator[Row]:
    folder = mails(scale.mails)
    taken = processes(
        {
            **{f"ours {jobs}": ours_command(folder, jobs) for jobs in (1, 2)},
            **{f"limit {jobs}": limit_command(folder, jobs) for jobs in (1, 2)},
            **{f"parsedmarc {jobs}": peer_command(folder, jobs) for jobs in (1, 2)},
        },
        turns=scale.turns,
        warm_up=not scale.quick,
    )
    work = f"{scale.mails:,} .eml into the store"
    peer = taken["parsedmarc 1"]
    yield compare(work, taken["ours 1"], peer, taken["limit 1"], 9)
    yield compare(f"{work}, --jobs 2", taken["ours 2"], peer, taken["limit 2"], 13)
    both = taken["parsedmarc 2"]
    yield compare(f"{work}, both with 2 processes", taken["ours 2"], both, taken["limit 2"], None)


# ---- memory


MOST_BYTES = 120_000_000
SAME = 1.1  # "the same at both": within a tenth


def memory(scale: Scale) -> Iterator[Row]:
    first: Timing | None = None
    for count in scale.memory:
        folder = mails(count)
        commands = {"ours": ours_command(folder, 1), "limit": limit_command(folder, 1)}
        if count == scale.memory[0]:  # it grows with the messages: its 100,000 would only cost time
            commands["parsedmarc"] = peer_command(folder, 1)
        taken = processes(commands, turns=1, warm_up=False)
        ours, limit, peer = taken["ours"], taken["limit"], taken.get("parsedmarc")
        first = first or ours
        yield Row(
            work=f"peak memory, {count:,} messages",
            ours=megabytes(ours.peak_bytes),
            peer=megabytes(peer.peak_bytes) if peer else "",
            ratio=peer.peak_bytes / ours.peak_bytes if peer else None,
            must=f"< {megabytes(MOST_BYTES)}, flat",
            met=ours.peak_bytes < MOST_BYTES and ours.peak_bytes < first.peak_bytes * SAME,
            limit=megabytes(limit.peak_bytes),
            limit_ratio=peer.peak_bytes / limit.peak_bytes if peer else None,
            note=f"in {ours.median_s:.1f} s" + (f", parsedmarc in {peer.median_s:.1f} s" if peer else ""),
        )


# ---- start-up


BARE_CLICK = "import click; click.Command('bare', help='x').main(['--help'])"


def start_up(scale: Scale) -> Iterator[Row]:
    tlsrpt = str(BIN / "tlsrpt")
    taken = processes(
        {
            "help": Command((tlsrpt, "--help")),
            "explain": Command((tlsrpt, "explain", "certificate-expired")),
            "limit": Command((sys.executable, "-c", BARE_CLICK)),
            "parsedmarc": Command((str(BIN / "parsedmarc"), "--help")),
        },
        turns=scale.starts,
    )
    peer, limit = taken["parsedmarc"], taken["limit"]
    yield compare("tlsrpt --help", taken["help"], peer, limit, 4)
    yield compare("tlsrpt explain certificate-expired", taken["explain"], peer, limit, 4)


# ---- questions


MOST_S = 0.005
FLAT = 1.5  # "flat": within half of what the smallest store takes


def questions(scale: Scale) -> Iterator[Row]:
    from bench.fleet import fill, time_summary

    first: Timing | None = None
    for reports in scale.reports:
        store = DATA / f"fleet-{reports}.db"
        remove(store)
        fill(store, reports)
        taken = time_summary(store, turns=scale.turns * 3)
        ours, by_hand = taken["ours"], taken["by hand"]
        first = first or ours
        row = compare(f"summary of a domain, {reports:,} reports", ours, by_hand, by_hand, None)
        flat = ours.median_s / first.median_s
        yield msgspec.structs.replace(
            row,
            must="3x its time or 5 ms, flat",
            met=(ours.median_s <= MOST_S or ours.median_s <= 3 * by_hand.median_s) and flat < FLAT,
            note=f"store of {megabytes(store.stat().st_size)}; {flat:.2f} times what the smallest store takes",
        )
        remove(store)


# ---- incidents


AT_MOST = 3.0  # times plain sums over the same rows


def incidents(scale: Scale) -> Iterator[Row]:
    from bench.incidents import made, time_incidents

    taken, found = time_incidents(made(DATA / f"incidents-{scale.incidents}.db", scale.incidents), turns=scale.turns)
    ours, by_hand = taken["ours"], taken["by hand"]
    row = compare(f"incidents of 90 days, {scale.incidents:,} reports", ours, by_hand, by_hand, None)
    yield msgspec.structs.replace(
        row,
        must=f"{AT_MOST:g}x its time",
        met=ours.median_s <= AT_MOST * by_hand.median_s,
        note=f"{found:,} incidents, in {ours.median_s / by_hand.median_s:.2f} times the time of the sums",
    )


SECTIONS: dict[str, Callable[[Scale], Iterator[Row]]] = {
    "start-up": start_up,
    "reading": reading,
    "folders": folders,
    "memory": memory,
    "questions": questions,
    "incidents": incidents,
}
HEAD = ("work", "ours", "peer", "ratio", "must", "met", "limit", "limit's ratio", "note")


def cells(row: Row) -> tuple[str, ...]:
    return (
        row.work,
        row.ours,
        row.peer,
        f"{row.ratio:.1f}x" if row.ratio else "",
        row.must,
        {True: "yes", False: "NO", None: ""}[row.met],
        row.limit,
        f"{row.limit_ratio:.1f}x" if row.limit_ratio else "",
        row.note,
    )


def machine() -> str:
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return (
        f"{os.cpu_count()} cores ({model}), {platform.system()}, Python {platform.python_version()}, "
        f"tlsrpt {version('tlsrpt')}, parsedmarc {version('parsedmarc')}, msgspec {version('msgspec')}, "
        f"isal {version('isal')}, {datetime.now(UTC):%Y-%m-%d}"
    )


def write_results(rows: list[Row], name: str) -> None:
    table = [HEAD, tuple("---" for _ in HEAD), *(cells(row) for row in rows)]
    lines = [
        "# Speed, side by side",
        "",
        f"Written by `make {name}`: {machine()}.",
        "",
        "The peer is parsedmarc, for `summary` and `incidents` plain sqlite3 with SQL written by hand. Contenders took",
        "turns; figures are medians of the turns, ratios those of the medians. Rows of one report or one answer are",
        "processor time within a process; rows of commands are from start to end. `limit` is a bare script on the same",
        "libraries that keeps no raw bytes and finds no faults (bench/limits.py).",
        "",
        *("| " + " | ".join(line) + " |" for line in table),
        "",
    ]
    RESULTS.write_text("\n".join(lines))


def main() -> None:
    parser = argparse.ArgumentParser(description="The speed table, side by side with parsedmarc.")
    parser.add_argument("--full", action="store_true", help="100,000 messages and 3 million reports as well")
    parser.add_argument("--quick", action="store_true", help="few turns, small inputs: does it run?")
    parser.add_argument("--only", default="", metavar="WORD", help=f"sections: {', '.join(SECTIONS)}")
    asked = parser.parse_args()
    scale = FULL if asked.full else QUICK if asked.quick else Scale()
    DATA.mkdir(exist_ok=True)
    rows: list[Row] = []
    print(machine(), flush=True)
    layout = "{:<46} {:>9} {:>9} {:>7} {:>25} {:>4} {:>9} {:>7}  {}"
    print(layout.format(*HEAD[:7], "its", HEAD[8]), flush=True)
    for name, section in SECTIONS.items():
        if asked.only not in name:
            continue
        for row in section(scale):
            rows.append(row)
            print(layout.format(*cells(row)), flush=True)
    if asked.only or asked.quick:
        print("a part, or a quick look: bench/results.md stays as it is")
    else:
        write_results(rows, "bench-full" if asked.full else "bench")
        print("kept in bench/results.md")


if __name__ == "__main__":
    main()

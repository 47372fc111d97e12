"""The receiving service under load, beside bare servers of the same libraries that commit the same rows.

    python -m bench.receive [--documents N] [--turns N] [--only WORD]

One process serves, the store included; a second one sends. In turns: ours, then the limit. Ours is the installed
command, `tlsrpt serve`, with its log in a file. `flood` comes over many more connections than are served at once.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import re
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from msgspec import Struct

from bench import corpus

HERE = Path(__file__).parent
DATA = HERE / "data"
BIN = Path(sys.executable).parent
CONFIG = """
[store]
url = "sqlite:///{store}"
[domains]
own = "any"
[dns]
resolver = "127.0.0.1@{dns}"
[[source.https]]
listen = "127.0.0.1:{http}"
per_address = 0
[[source.lmtp]]
listen = "127.0.0.1:{lmtp}"
recipients = ["tls@example.com"]
dkim = {dkim}
"""


class Figures(Struct, frozen=True):
    """One run of one server under load."""

    per_s: float
    p50_ms: float
    p99_ms: float
    cpu_us: float  # of the server, a document
    peak_bytes: int
    codes: dict[str, int]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def documents(form: str, count: int) -> Path:
    """A corpus, made once; mails with a DKIM signature that holds, in place of the corpus' random ones."""
    folder = DATA / f"receive-{form}-{count}"
    if not folder.exists():
        half = folder.with_suffix(".half")
        shutil.rmtree(half, ignore_errors=True)
        corpus.write(half, form=form, size="typical", count=count, seed=77)
        if form == "eml":
            for path in half.iterdir():
                path.write_bytes(signed(path.read_bytes()))
        half.rename(folder)
    return folder


# --- DKIM: one key for all senders, served by a thread --------------------------------------------------------------


@lru_cache(maxsize=1)  # loading checks the primes, which takes longer than signing
def _key() -> Any:
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        load_pem_private_key,
    )

    path = DATA / "receive-key.pem"
    if not path.exists():
        DATA.mkdir(exist_ok=True)
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
    return load_pem_private_key(path.read_bytes(), None)


def signed(mail: bytes) -> bytes:
    """The mail with one valid signature of its submitter; the RSA work is done by `cryptography`, in a tenth."""
    import dkim
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    key = _key()
    dkim.RSASSA_PKCS1_v1_5_sign = lambda digest, _key: key.sign(
        digest.digest(), padding.PKCS1v15(), _prehashed(hashes.SHA256())
    )
    mail = re.sub(rb"(?m)^DKIM-Signature:[^\n]*\n(?:\t[^\n]*\n)*", b"", mail).replace(b"\n", b"\r\n")
    found = re.search(rb"(?m)^TLS-Report-Submitter: (\S+)\r$", mail)
    assert found is not None
    pem = (DATA / "receive-key.pem").read_bytes()
    headers = [b"from", b"to", b"subject", b"date", b"tls-report-domain", b"tls-report-submitter"]
    head: bytes = dkim.sign(
        mail, b"bench", found[1], pem, canonicalize=(b"relaxed", b"relaxed"), include_headers=headers
    )
    return (head + mail).replace(b"\r\n", b"\n")


def _prehashed(algorithm: Any) -> Any:
    from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

    return Prehashed(algorithm)


@contextmanager
def name_server() -> Iterator[int]:
    """Answers every question with the key's record, from a thread; its port."""
    import base64

    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    der = _key().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    text = b"v=DKIM1; k=rsa; p=" + base64.b64encode(der)
    strings = b"".join(bytes((len(text[at : at + 255]),)) + text[at : at + 255] for at in range(0, len(text), 255))
    answer = struct.pack("!HHHIH", 0xC00C, 16, 1, 3600, len(strings)) + strings
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))

        def serve() -> None:
            while True:
                try:
                    query, peer = sock.recvfrom(4096)
                except OSError:
                    return
                end = query.index(b"\0", 12) + 5
                head = query[:2] + bytes((0x84 | query[2] & 1, 0x80)) + struct.pack("!4H", 1, 1, 0, 0)
                sock.sendto(head + query[12:end] + answer, peer)

        threading.Thread(target=serve, daemon=True).start()
        yield sock.getsockname()[1]


# --- The contenders --------------------------------------------------------------------------------------------------


def rows_of(folder: Path, protocol: str) -> Path:
    """The rows of each document by the hash of what the limit's server gets to see, worked out by our own store."""
    from datetime import UTC, datetime

    from bench.load import stuffed
    from tlsrpt.core.limits import Limits
    from tlsrpt.intake.door import open_document
    from tlsrpt.store import sqlite_keep
    from tlsrpt.store.rows import prepare
    from tlsrpt.store.sqlite import open_store

    path = folder.with_suffix(f".{protocol}.rows")
    seen: list[tuple[str, list[Any]]] = []
    real = sqlite_keep.insert

    def recording(db: Any, statement: str, rows: Any) -> None:
        if rows:
            seen.append((statement, [tuple(row) for row in rows]))
        real(db, statement, rows)

    sqlite_keep.insert = recording  # type: ignore[assignment]
    rows: dict[bytes, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        store = open_store(str(Path(scratch) / "scratch.db"), create=True)
        store.connection.execute("PRAGMA synchronous = OFF")
        for file in sorted(folder.iterdir()):
            data = file.read_bytes()
            arrival = open_document(data, source="bench", file_name="", limits=Limits(), received_at=datetime.now(UTC))
            seen.clear()
            store.keep([prepare(arrival)])
            rows[sha256(data if protocol == "http" else stuffed(data)[:-3]).digest()] = list(seen)
        store.close()
    sqlite_keep.insert = real
    path.write_bytes(pickle.dumps(rows))
    return path


@contextmanager
def serving(argv: list[str], port: int, log: Path) -> Generator[subprocess.Popen[bytes]]:
    """A server, from when it answers until it has ended."""
    with log.open("ab") as out:
        process = subprocess.Popen(argv, stdout=out, stderr=out, cwd=HERE.parent)
    try:
        for _ in range(600):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if process.poll() is not None:
                    raise RuntimeError(log.read_text()[-2000:]) from None
                time.sleep(0.05)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_bytes(pid: int) -> int:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def load(process: subprocess.Popen[bytes], protocol: str, port: int, folder: Path, *options: str) -> Figures:
    """Send a folder and measure both sides."""
    before = cpu_s(process.pid)
    command = [sys.executable, "-m", "bench.load", protocol, str(port), str(folder), *options]
    said = json.loads(subprocess.run(command, check=True, capture_output=True, cwd=HERE.parent).stdout)
    spent = cpu_s(process.pid) - before
    kept = max(1, said["kept"])
    return Figures(
        kept / said["seconds"],
        said["p50_ms"],
        said["p99_ms"],
        spent / kept * 1e6,
        peak_bytes(process.pid),
        said["codes"],
    )


def ours(protocol: str, folder: Path, *options: str, dkim: bool = False) -> Figures:
    """`tlsrpt serve` under load."""
    with tempfile.TemporaryDirectory(dir=DATA) as work, name_server() as dns:
        http, lmtp = free_port(), free_port()
        config = Path(work) / "tlsrpt.toml"
        store = Path(work) / "store.db"
        config.write_text(CONFIG.format(store=store, dns=dns, http=http, lmtp=lmtp, dkim=str(dkim).lower()))
        port = http if protocol == "http" else lmtp
        argv = [str(BIN / "tlsrpt"), "serve", "--config", str(config)]
        with serving(argv, port, Path(work) / "log") as process:
            return load(process, protocol, port, folder, *options)


def limit(protocol: str, folder: Path, rows: Path, *options: str) -> Figures:
    """The bare server under the same load."""
    from tlsrpt.store.sqlite import open_store

    with tempfile.TemporaryDirectory(dir=DATA) as work:
        store, port = Path(work) / "store.db", free_port()
        open_store(str(store), create=True).close()
        argv = [sys.executable, "-m", "bench.receive_limits", protocol, str(port), str(store), str(rows)]
        with serving(argv, port, Path(work) / "log") as process:
            return load(process, protocol, port, folder, *options)


# --- The table -------------------------------------------------------------------------------------------------------


def median(runs: list[Figures]) -> Figures:
    """Of each figure the median over the turns."""
    of = statistics.median
    return Figures(
        of(run.per_s for run in runs),
        of(run.p50_ms for run in runs),
        of(run.p99_ms for run in runs),
        of(run.cpu_us for run in runs),
        max(run.peak_bytes for run in runs),
        runs[-1].codes,
    )


def say(name: str, figures: Figures) -> None:
    print(
        f"{name:28} {figures.per_s:8,.0f}/s  p50 {figures.p50_ms:6.1f} ms  p99 {figures.p99_ms:6.1f} ms"
        f"  {figures.cpu_us:6.0f} us cpu  {figures.peak_bytes / 1e6:5.0f} MB  {figures.codes}",
        flush=True,
    )


def compare(protocol: str, count: int, turns: int, connections: int, must: float) -> Iterator[bool]:
    """Ours beside the limit, in turns."""
    folder = documents("json.gz" if protocol == "http" else "eml", count)
    rows = rows_of(folder, protocol)
    mine: list[Figures] = []
    bare: list[Figures] = []
    options = ("--connections", str(connections))
    for _ in range(turns):
        mine.append(ours(protocol, folder, *options))
        bare.append(limit(protocol, folder, rows, *options))
    us, it = median(mine), median(bare)
    say(f"{protocol}, ours", us)
    say(f"{protocol}, limit", it)
    ratio, tail = us.per_s / it.per_s, us.p99_ms / it.p99_ms
    print(f"{'':28} {ratio:.2f} of the limit (must {must}); p99 {tail:.1f} times its (must 3)", flush=True)
    yield ratio >= must
    yield tail <= 3


def dkim(count: int, turns: int) -> Iterator[bool]:
    """What verifying costs a message: the service's processor time with it, less that without."""
    folder = documents("eml", count)
    without: list[Figures] = []
    verified: list[Figures] = []
    for _ in range(turns):
        without.append(ours("lmtp", folder, "--connections", "32"))
        verified.append(ours("lmtp", folder, "--connections", "32", dkim=True))
    off, on = median(without), median(verified)
    say("lmtp, DKIM off", off)
    say("lmtp, DKIM on", on)
    print(f"{'':28} DKIM costs {on.cpu_us - off.cpu_us:.0f} us of processor time a message (must 300)", flush=True)
    yield on.cpu_us - off.cpu_us <= 300


def flood(count: int) -> Iterator[bool]:
    """Far more connections than are served at once: memory stays, and everybody is told something."""
    folder = documents("json.gz", count)
    calm = ours("http", folder, "--connections", "64")
    flooded = ours("http", folder, "--connections", "3000")
    say("http, 64 connections", calm)
    say("http, 3,000 connections", flooded)
    grown = (flooded.peak_bytes - calm.peak_bytes) / 1e6
    print(f"{'':28} {grown:+.0f} MB at the peak", flush=True)
    yield grown < 150


def main() -> None:
    """Run the table, and say how many of its figures are what they must be."""
    parser = argparse.ArgumentParser(description="The receiving service under load, beside its limit.")
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    DATA.mkdir(exist_ok=True)
    count, turns = given.documents, given.turns
    sections = {
        "http": lambda: compare("http", count, turns, 64, 0.5),
        "lmtp": lambda: compare("lmtp", count, turns, 32, 0.6),
        "dkim": lambda: dkim(count, turns),
        "flood": lambda: flood(count),
    }
    met = [well for name, section in sections.items() if given.only in name for well in section()]
    print(f"{sum(met)} of {len(met)} figures are what they must be")


if __name__ == "__main__":
    main()

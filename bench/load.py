"""Load from outside: documents posted by HTTP or delivered by LMTP over many connections; figures as one line of JSON.

    python -m bench.load http|lmtp PORT FOLDER [--connections N] [--again]

Each document is sent once, or with `--again` until it was kept. A process of its own: the server pays for none of it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from msgspec import Struct

Exchange = Callable[[asyncio.StreamReader, asyncio.StreamWriter, bytes], Awaitable[str]]


class Run(Struct):
    """What is left to send, and how it went."""

    documents: Iterator[bytes]
    again: bool
    codes: Counter[str]
    took_s: list[float]


async def _post(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> str:
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
    if length:
        await reader.readexactly(int(length))
    return head[9:12].decode()


async def _deliver(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, message: bytes) -> str:
    writer.write(b"MAIL FROM:<noreply@sender.example>\r\nRCPT TO:<tls@example.com>\r\nDATA\r\n")
    for _ in range(3):
        code = await _reply(reader)
    if code != "354":
        return code
    writer.write(message)
    return await _reply(reader)


async def _reply(reader: asyncio.StreamReader) -> str:
    while True:
        line = await reader.readline()
        if not line:
            raise ConnectionResetError
        if line[3:4] != b"-":
            return line[:3].decode()


async def _greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    code = await _reply(reader)
    writer.write(b"LHLO load.example\r\n")
    return await _reply(reader) if code == "220" else code


async def _connection(protocol: str, port: int, run: Run) -> None:
    exchange: Exchange = _post if protocol == "http" else _deliver
    writer: asyncio.StreamWriter | None = None
    for document in run.documents:
        while True:
            began = time.perf_counter()
            try:
                if writer is None:
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                    if protocol == "lmtp" and (code := await _greet(reader, writer)) != "250":
                        raise ConnectionRefusedError(code)
                code = await exchange(reader, writer, document)
            except (OSError, asyncio.IncompleteReadError) as error:
                code = str(error) if isinstance(error, ConnectionRefusedError) else type(error).__name__
                if writer is not None:
                    writer.close()
                writer = None
            run.codes[code] += 1
            if code in ("200", "201", "250"):
                run.took_s.append(time.perf_counter() - began)
            elif run.again:
                await asyncio.sleep(0.05)
                continue
            break
    if writer is not None:
        writer.close()


def request(body: bytes) -> bytes:
    """A post of one body, keeping the connection."""
    head = (
        "POST /v1/tlsrpt HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/tlsrpt+gzip\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def stuffed(message: bytes) -> bytes:
    """A message as it goes over LMTP, with the dot at its end."""
    lines = message.replace(b"\r\n", b"\n").rstrip(b"\n").split(b"\n")
    return b"".join((b"." + line if line[:1] == b"." else line) + b"\r\n" for line in lines) + b".\r\n"


async def main() -> None:
    """Send all of a folder and print how it went."""
    parser = argparse.ArgumentParser()
    parser.add_argument("protocol", choices=("http", "lmtp"))
    parser.add_argument("port", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--again", action="store_true")
    given = parser.parse_args()
    shape = request if given.protocol == "http" else stuffed
    documents = [shape(path.read_bytes()) for path in sorted(given.folder.iterdir()) if path.is_file()]
    run = Run(iter(documents), given.again, Counter(), [])
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(given.connections):
            group.create_task(_connection(given.protocol, given.port, run))
    seconds = time.perf_counter() - began
    took = sorted(run.took_s) or [0.0]
    print(
        json.dumps(
            {
                "kept": len(run.took_s),
                "seconds": seconds,
                "p50_ms": took[len(took) // 2] * 1e3,
                "p99_ms": took[min(len(took) - 1, len(took) * 99 // 100)] * 1e3,
                "codes": run.codes,
            }
        )
    )


if __name__ == "__main__":
    asyncio.run(main())

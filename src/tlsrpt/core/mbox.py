"""An mbox split into its messages, in memory bounded by one message however large the file is.

There is no standard, only habits (RFC 4155 names some): a message begins with a `From ` line, after an empty line;
lines of a message that would look like one carry a `>` in front, which is taken off again. A `From ` line counts only
when a header follows it: text that begins a paragraph with "From " does not tear a message apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Protocol

from msgspec import Struct

from tlsrpt.core.limits import DEFAULT_LIMITS, Limits

_CHUNK = 1024 * 1024
_LONGEST_LINES = 4096  # more than `_POSTMARK` can match and look at
_KEPT_OF_OVERSIZED = 65_536

# A line end, the `From ` line, and the begin of a header after it.
_POSTMARK = re.compile(rb"\nFrom [^\n]{0,1000}+\n(?=>?[A-Za-z0-9][!-9;-~]{0,200}+[ \t]{0,9}:)")
_YEAR_AT_END = re.compile(rb"[0-9]{4}(?: [+-][0-9]{4})?\s*\Z")
_QUOTED = re.compile(rb"^>(>*From )", re.MULTILINE)


class Source(Protocol):
    """What is read: a binary file, or anything with its `read`."""

    def read(self, size: int, /) -> bytes: ...


class OversizedMessage(Struct, frozen=True, kw_only=True):
    """A message in an mbox that passed limits.compressed_bytes: how large it is, and its beginning to know it by."""

    size_bytes: int
    beginning: bytes


def is_mbox(data: bytes) -> bool:
    """Whether a document begins like an mbox: a `From ` line, then a header. One mail handed to a pipe can, too."""
    return _POSTMARK.match(b"\n" + data.lstrip(b"\r\n")[:_LONGEST_LINES]) is not None


def split_mbox(source: Source, *, limits: Limits = DEFAULT_LIMITS) -> Iterator[bytes | OversizedMessage]:
    """Yield each message of an mbox, without its `From ` line and unquoted; what stands before the first is skipped.

    Args:
        source: a binary file at its beginning.
        limits: compressed_bytes: a larger message comes as an OversizedMessage, and the next one is found.
    """
    current: _Held | None = None
    buffer, at = b"\n", 0  # a line end before every line; `at`: what is before it has been handed on
    while True:
        chunk = source.read(_CHUNK)
        buffer = buffer[at:] + chunk
        at = 0
        # A line near the end waits for the lines after it.
        safe = len(buffer) - (_LONGEST_LINES if chunk else 0)
        for start, body in _postmarks(buffer, safe):
            if current is not None:
                current.add(buffer[at:start])
                yield current.finish()
            current, at = _Held(limits.compressed_bytes), body
        keep = max(at, safe - 2) if chunk else len(buffer)  # two bytes tell whether the line before is empty
        if current is not None:
            current.add(buffer[at:keep])
        at = keep
        if not chunk:
            break
    if current is not None:
        yield current.finish()


def _postmarks(buffer: bytes, safe: int) -> Iterator[tuple[int, int]]:
    """Where each `From ` line that begins a message starts, and where the line after it does."""
    for found in _POSTMARK.finditer(buffer):
        before = found.start()
        if before >= safe:
            return
        if _follows_empty_line(buffer, before) or _is_dated(found[0]):
            yield before + 1, found.end()


def _follows_empty_line(buffer: bytes, line_end: int) -> bool:
    return line_end == 0 or buffer[line_end - 1] == 0x0A or buffer[max(0, line_end - 2) : line_end] == b"\n\r"


def _is_dated(line: bytes) -> bool:
    """A time and a year: some programs leave out the empty line, and this is a postmark all the same."""
    return b":" in line and _YEAR_AT_END.search(line[-16:]) is not None


class _Held:
    """A message while it is collected, never more of it than the limit."""

    def __init__(self, limit: int) -> None:
        self.limit, self.size, self.pieces = limit, 0, list[bytes]()

    def add(self, piece: bytes) -> None:
        if self.size <= self.limit:
            self.pieces.append(piece)
            if self.size + len(piece) > self.limit:
                self.pieces = [b"".join(self.pieces)[:_KEPT_OF_OVERSIZED]]
        self.size += len(piece)

    def finish(self) -> bytes | OversizedMessage:
        data = b"".join(self.pieces)
        if self.size > self.limit:
            return OversizedMessage(size_bytes=self.size, beginning=data)
        # The empty line before the next `From ` line is the mbox's, not the message's.
        for line_end in b"\r\n", b"\n":
            if data.endswith(line_end * 2):
                data = data.removesuffix(line_end)
                break
        return _QUOTED.sub(rb"\1", data) if b">From " in data else data

"""The service's log: one line an event, on standard error; JSON for machines, words for a terminal.

What came from outside is a value and never part of the event's name, and no value can begin a line or colour a
terminal: every text goes through `printable`. A line is written for each report, which structlog took 47 microseconds
for, a seventh of what the report itself takes; this takes a quarter of that.
"""

from __future__ import annotations

import logging
import sys
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from typing import TextIO

import msgspec

from tlsrpt.config import LogConfig
from tlsrpt.core.text import printable
from tlsrpt.intake.source import Log, Silent

_LEVELS = ("debug", "info", "warning", "error")
_VALUE_CHARACTERS = 500
_TRACE_CHARACTERS = 8_000
_encode = msgspec.json.Encoder(enc_hook=str).encode

Line = dict[str, object]


def make_log(config: LogConfig, stream: TextIO | None = sys.stderr) -> Log:
    """A log that writes to the stream; each line is flushed. None, as when we are started without one: nobody reads."""
    if stream is None:
        return Silent()
    console = config.form == "console" or (config.form == "auto" and stream.isatty())
    return _Lines(stream, console, _LEVELS.index(config.level))


def listen_to_libraries(log: Log) -> None:
    """Let what libraries log be lines of ours: asyncio tells of connections that break, in a page of its own each."""
    logging.getLogger().addHandler(_Libraries(log))


class _Libraries(logging.Handler):
    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        raised = record.exc_info[1] if record.exc_info else None
        reason = ": ".join(filter(None, (record.getMessage().partition("\n")[0], str(raised or ""))))
        if record.levelno < logging.ERROR or isinstance(raised, OSError):  # a client that is gone, files that ran out
            self._log.warning("said by a library", library=record.name, reason=reason)
        else:
            self._log.error("said by a library", library=record.name, reason=reason, exc_info=record.exc_info)


class _Lines:
    """Writes lines. One that can't be written is lost, and no report with it: the log's disk may be full too."""

    def __init__(self, stream: TextIO, console: bool, least: int) -> None:
        self._stream = stream
        self._console = console
        self._least = least

    def info(self, event: str, /, **fields: object) -> None:
        """One thing done."""
        self._say(1, event, fields)

    def warning(self, event: str, /, **fields: object) -> None:
        """Refused, or will be retried."""
        self._say(2, event, fields)

    def error(self, event: str, /, **fields: object) -> None:
        """A person must act. `exc_info`: True for the exception that is being handled, or what sys.exc_info gave."""
        raised = fields.pop("exc_info", None)
        if raised:
            fields["exception"] = _trace(sys.exc_info() if raised is True else raised)
        self._say(3, event, fields)

    def _say(self, level: int, event: str, fields: Line) -> None:
        if level < self._least:
            return
        line = _line(_LEVELS[level], event, fields)
        text = _as_words(line) if self._console else _encode(line).decode()
        with suppress(OSError):
            self._stream.write(text + "\n")
            self._stream.flush()


def _line(level: str, event: str, fields: Line) -> Line:
    """When, how grave, what, then the rest: without empty values, with long and unprintable ones made fit."""
    line: Line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "level": level, "event": event}
    for key, value in fields.items():
        if type(value) is str:
            if value:
                line[key] = printable(value, _TRACE_CHARACTERS if key == "exception" else _VALUE_CHARACTERS)
        elif value is not None:
            line[key] = value
    return line


def _as_words(line: Line) -> str:
    when, level, event, *rest = line.items()
    fields = "  ".join(f"{key}={value}" for key, value in rest)
    return f"{str(when[1])[11:19]} {level[1]:<7} {event[1]}" + (f"  {fields}" if fields else "")


def _trace(raised: object) -> str:
    if isinstance(raised, tuple) and len(raised) == 3:
        return "".join(traceback.format_exception(*raised))
    return repr(raised)

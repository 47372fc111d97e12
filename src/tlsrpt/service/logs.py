"""The service's log: one line an event, on standard error; JSON for machines, words for a terminal.

What came from outside is a value and never part of the event's name, and no value can begin a line or colour a
terminal: every text goes through `printable`.
"""

from __future__ import annotations

import sys
from collections.abc import MutableMapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TextIO, cast

import msgspec
import structlog

from tlsrpt.config import LogConfig
from tlsrpt.core.text import printable
from tlsrpt.intake.source import Log

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_VALUE_CHARACTERS = 500
_TRACE_CHARACTERS = 8_000
_encode = msgspec.json.Encoder(enc_hook=str).encode

Event = MutableMapping[str, Any]


def make_log(config: LogConfig, stream: TextIO = sys.stderr) -> Log:
    """A log that writes to the stream; each line is flushed."""
    console = config.form == "console" or (config.form == "auto" and stream.isatty())
    return cast(
        Log,
        structlog.wrap_logger(
            _Lines(stream),
            processors=[
                structlog.processors.format_exc_info,
                _fit,
                _as_words if console else _as_json,
            ],
            wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[config.level]),
            cache_logger_on_first_use=True,
        ),
    )


class _Lines:
    """Writes lines. One that can't be written is lost, and no report with it: the log's disk may be full too."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def info(self, line: str) -> None:
        """Write a line and flush it."""
        with suppress(OSError):
            self._stream.write(line + "\n")
            self._stream.flush()

    debug = warning = error = info


def _fit(_logger: object, level: str, event: Event) -> Event:
    """When, how grave, what, then the rest: without empty values, with long and unprintable ones made fit."""
    fit = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "level": level, "event": event.pop("event")}
    for key, value in event.items():
        if isinstance(value, str):
            value = printable(value, limit=_TRACE_CHARACTERS if key == "exception" else _VALUE_CHARACTERS)
        if value is not None and value != "":
            fit[key] = value
    return fit


def _as_json(_logger: object, _level: str, event: Event) -> str:
    return _encode(event).decode()


def _as_words(_logger: object, level: str, event: Event) -> str:
    when, _, name = event.pop("time"), event.pop("level"), event.pop("event")
    fields = "  ".join(f"{key}={value}" for key, value in event.items())
    return f"{when[11:19]} {level:<7} {name}" + (f"  {fields}" if fields else "")

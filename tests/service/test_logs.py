"""One line an event, whatever comes from outside."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsrpt.config import LogConfig
from tlsrpt.service.logs import listen_to_libraries, make_log


@given(st.text(), st.text())
def test_no_text_from_outside_can_begin_a_line_or_colour_a_terminal(reason: str, where: str) -> None:
    """R7-02: contents are hostile input."""
    for form in ("json", "console"):
        stream = io.StringIO()
        make_log(LogConfig(form=form), stream).warning("report quarantined", reason=reason, where=where)
        (line,) = stream.getvalue().split("\n")[:-1]
        assert not {unicodedata.category(character) for character in line} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
        if form == "json":
            assert json.loads(line)["event"] == "report quarantined"


def test_a_line_says_when_how_grave_what_and_the_rest() -> None:
    stream = io.StringIO()
    make_log(LogConfig(form="json"), stream).info("report kept", source="lmtp", id=7, reason="", where=None)
    line = json.loads(stream.getvalue())
    assert list(line) == ["time", "level", "event", "source", "id"]
    assert line["time"].endswith("+00:00")


def test_what_is_below_the_level_is_not_said_and_a_defect_is_said_whole() -> None:
    stream = io.StringIO()
    log = make_log(LogConfig(form="json", level="error"), stream)
    log.info("report kept")
    try:
        raise ZeroDivisionError("here")
    except ZeroDivisionError:
        log.error("a defect", exc_info=True)
    (line,) = stream.getvalue().splitlines()
    assert "ZeroDivisionError: here" in json.loads(line)["exception"]


def test_what_libraries_log_is_one_line_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """asyncio writes a page for each connection that breaks, which no reader of JSON lines can read."""
    monkeypatch.setattr(logging.root, "handlers", [])
    stream = io.StringIO()
    listen_to_libraries(make_log(LogConfig(form="json"), stream))
    loop = asyncio.new_event_loop()
    for error in (TimeoutError(110, "Connection timed out"), ZeroDivisionError("here")):
        loop.call_exception_handler({"message": "Fatal read error\non a socket", "exception": error})
    loop.close()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["level"], line["event"], line["library"]) for line in lines] == [
        ("warning", "said by a library", "asyncio"),
        ("error", "said by a library", "asyncio"),
    ]
    assert lines[0]["reason"] == "Fatal read error: [Errno 110] Connection timed out"
    assert "ZeroDivisionError" in lines[1]["exception"]


def test_without_a_standard_error_nothing_is_said_and_nothing_stops() -> None:
    """Python has None for a stream that was closed before it started."""
    make_log(LogConfig(), None).error("source in trouble", reason="unheard", exc_info=True)


def test_a_log_that_cannot_be_written_stops_nothing() -> None:
    """The disk of the log may be full, and reports are worth more than lines."""
    full = Path("/dev/full").open("w")  # noqa: SIM115 - to close it would fail as writing does
    log = make_log(LogConfig(form="json"), full)
    log.info("report kept", id=1)
    log.error("source in trouble", reason="no space")
    with pytest.raises(OSError):
        full.close()

"""Connections are accepted for as long as the process has files for them, and again when it has."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import aclosing, closing, contextmanager

import pytest

from tests.service.lines import Lines
from tlsrpt.core.errors import SourceError
from tlsrpt.intake import accepting
from tlsrpt.intake.accepting import accepted


@contextmanager
def no_more_files() -> Iterator[None]:
    """All file descriptors that the process may have are in use."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = [os.dup(0)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken[0] + 20, hard))
    try:
        while True:
            try:
                taken.append(os.dup(0))
            except OSError:
                break
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for one in taken:
            os.close(one)


def test_without_file_descriptors_connections_wait_and_it_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """LimitNOFILE too low, or a flood: no line for every attempt, and no busy loop."""
    monkeypatch.setattr(accepting, "PAUSE_S", 0.01)
    log = Lines()

    async def work(bound: socket.socket, client: socket.socket) -> None:
        async with aclosing(accepted(bound, log=log, name="lmtp")) as connections:
            with no_more_files():
                first = asyncio.ensure_future(anext(connections))
                _, waiting = await asyncio.wait([first], timeout=0.3)
                assert waiting
            with closing(await first) as connection:
                assert connection.getpeername() == client.getsockname()

    with socket.create_server(("127.0.0.1", 0)) as bound, socket.create_connection(bound.getsockname()) as client:
        bound.setblocking(False)
        asyncio.run(work(bound, client))
    assert [(level, event) for level, event, _ in log.lines] == [("warning", "no more connections can be accepted")]


def test_a_socket_that_is_closed_is_an_error_of_the_source() -> None:
    async def work(bound: socket.socket) -> None:
        bound.shutdown(socket.SHUT_RDWR)
        async with aclosing(accepted(bound, log=Lines(), name="https")) as connections:
            with pytest.raises(SourceError, match="can't accept"):
                await anext(connections)

    with socket.create_server(("127.0.0.1", 0)) as bound:
        bound.setblocking(False)
        asyncio.run(work(bound))


def test_connections_leave_files_for_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without one to spare the store could not be opened, and nothing would be kept for as long as a flood lasts."""
    monkeypatch.setattr(accepting, "PAUSE_S", 0.01)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def work(bound: socket.socket) -> None:
        async with aclosing(accepted(bound, log=log, name="https")) as connections:
            probe = os.dup(0)
            os.close(probe)
            resource.setrlimit(resource.RLIMIT_NOFILE, (probe + 60, hard))
            with contextlib.ExitStack() as flood:
                held = []
                while True:
                    flood.enter_context(socket.create_connection(bound.getsockname()))
                    coming = asyncio.ensure_future(anext(connections))
                    await asyncio.wait([coming], timeout=0.3)
                    if not coming.done():
                        break
                    held.append(flood.enter_context(await coming))
                assert 10 < len(held) < 30, "two descriptors each"
                os.close(os.dup(0))  # the store's
                held.pop().close()
                for one in held:
                    one.close()
                flood.enter_context(await coming)

    log = Lines()
    try:
        with socket.create_server(("127.0.0.1", 0)) as bound:
            bound.setblocking(False)
            asyncio.run(work(bound))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert [event for _, event, _ in log.lines] == ["no more connections can be accepted"]

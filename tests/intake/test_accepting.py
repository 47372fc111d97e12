"""Connections are accepted for as long as the process has files for them, and again when it has."""

from __future__ import annotations

import asyncio
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

"""Connections to a listening socket, one after the other, for as long as somebody takes them.

asyncio's own server goes on accepting where the process has no more file descriptors: a thousand times in a row, with a
page of log for each, and again a second later.
"""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import socket
import sys
from collections.abc import AsyncGenerator

from tlsrpt.core.errors import SourceError
from tlsrpt.intake.source import Log

PAUSE_S = 0.5  # where the system has no more file descriptors
AGAIN_S = 60.0  # until that is said again
FILES_LEFT = 32  # for the store, the log and look-ups; an eighth, where a process may have few
_EXHAUSTED = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
_USELESS = frozenset((errno.EBADF, errno.EINVAL, errno.ENOTSOCK))


async def accepted(bound: socket.socket, *, log: Log, name: str) -> AsyncGenerator[socket.socket]:
    """Each connection, until cancelled; whoever takes it has to close it, and this when it is left (`aclosing`).

    Args:
        name: of the listener, in the log.
    Raises:
        SourceError: nothing can be accepted any more.
    """
    loop = asyncio.get_running_loop()
    told: float | None = None

    async def pause(reason: str) -> None:
        nonlocal told
        if told is None or loop.time() - told >= AGAIN_S:
            told = loop.time()
            log.warning("no more connections can be accepted", source=name, reason=reason)
        await asyncio.sleep(PAUSE_S)

    while True:
        try:
            client, _ = await loop.sock_accept(bound)
        except OSError as error:
            if error.errno in _USELESS:
                raise SourceError(f"can't accept connections: {error.strerror}", where=name) from error
            if error.errno in _EXHAUSTED:
                await pause(str(error))
            # Anything else is about the one that was to be accepted, and is gone by now (accept(2)).
        else:
            number = client.fileno()
            yield client
            while few := _few_files(number):
                await pause(few)
                number = _lowest_free(bound)
        await asyncio.sleep(0)  # a flood of connections must not keep the loop from all else


def _few_files(number: int) -> str:
    """Why the files below this number, all in use, are as many as connections may have; "" while they are not."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most == resource.RLIM_INFINITY or number < most - min(FILES_LEFT, most // 8):
        return ""
    return f"{min(number, most)} of the {most} files that the process may have are in use"


def _lowest_free(bound: socket.socket) -> int:
    """The number that the next file gets."""
    try:
        probe = os.dup(bound.fileno())
    except OSError:  # none is
        return sys.maxsize
    os.close(probe)
    return probe

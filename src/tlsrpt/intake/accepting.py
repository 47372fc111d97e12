"""Connections to a listening socket, one after the other, for as long as somebody takes them.

asyncio's own server goes on accepting where the process has no more file descriptors: a thousand times in a row, with a
page of log for each, and again a second later.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncGenerator

from tlsrpt.core.errors import SourceError
from tlsrpt.intake.source import Log

PAUSE_S = 0.5  # where the system has no more file descriptors
AGAIN_S = 60.0  # until that is said again
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
    while True:
        try:
            client, _ = await loop.sock_accept(bound)
        except OSError as error:
            if error.errno in _USELESS:
                raise SourceError(f"can't accept connections: {error.strerror}", where=name) from error
            if error.errno in _EXHAUSTED:
                if told is None or loop.time() - told >= AGAIN_S:
                    told = loop.time()
                    log.warning("no more connections can be accepted", source=name, reason=str(error))
                await asyncio.sleep(PAUSE_S)
            # Anything else is about the one that was to be accepted, and is gone by now (accept(2)).
        else:
            yield client
        await asyncio.sleep(0)  # a flood of connections must not keep the loop from all else

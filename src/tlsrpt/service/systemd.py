"""Telling systemd how the service is: sd_notify(3), which is one datagram to a socket. Says nothing elsewhere."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress

SLOW_S = 0.5  # for the supervisor to take a message


class Notifier:
    """Sends states to the supervisor that started us, where there is one.

    Args:
        address: NOTIFY_SOCKET of the environment; "" where nobody listens.
    """

    def __init__(self, address: str) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address

    def ready(self, status: str) -> None:
        """All is started."""
        self._send(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """The configuration is read again; `ready` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """On the way out."""
        self._send("STOPPING=1")

    def alive(self, status: str) -> None:
        """A sign of life, for WatchdogSec."""
        self._send(f"WATCHDOG=1\nSTATUS={status}")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        # A supervisor that has gone, or is slow, must not take the service with it; nor a flood that took all files.
        with (
            suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as messenger,
        ):
            messenger.settimeout(SLOW_S)
            messenger.sendto(text.encode(), self._address)


def notifier() -> Notifier:
    """For the supervisor that the environment names; children are not to inherit it."""
    return Notifier(os.environ.pop("NOTIFY_SOCKET", ""))

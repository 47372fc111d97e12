"""What the supervisor is told, and that it can't take the service with it."""

from __future__ import annotations

import os
import resource
import socket
from pathlib import Path

from tlsrpt.service.systemd import Notifier


def test_a_sign_of_life_comes_with_how_it_goes(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(tmp_path / "notify"))
        Notifier(str(tmp_path / "notify")).alive("2 of 2 sources work")
        assert supervisor.recv(1000) == b"WATCHDOG=1\nSTATUS=2 of 2 sources work"


def test_a_supervisor_that_is_gone_is_nobodys_trouble(tmp_path: Path) -> None:
    Notifier(str(tmp_path / "gone")).stopping()


def test_a_flood_that_took_all_files_does_not_end_the_signs_of_life(tmp_path: Path) -> None:
    """The socket for it can't be made then; that was an exception, and the last beat."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, before[1]))
    try:
        Notifier(str(tmp_path / "notify")).alive("busy")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)

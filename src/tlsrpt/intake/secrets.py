"""A secret from where the configuration says that it is: a file, the environment or a command, never the file itself.

It is read anew whenever it is needed, so that a password that was changed works without a restart. Of a file and of a
command's output the first line counts, as password stores write it. The secret is in no error and in no log.
"""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from tlsrpt.core.errors import ConfigError, SourceError
from tlsrpt.core.text import printable

COMMAND_S = 30.0  # for a command to print it
LONGEST_BYTES = 64 * 1024  # of what is read; tokens of some kilobytes are usual
SAID_CHARACTERS = 200  # of what a failing command says


def read_secret(what: str, *, file: str = "", env: str = "", command: str = "", within_s: float = COMMAND_S) -> str:
    """Read a secret.

    Args:
        what: its name in errors, as in the configuration: `password`.
        file: the path of a file. env: the name of a variable. command: a shell command. Exactly one is given.
        within_s: how long the command may take.
    Raises:
        ConfigError: none is given, or more than one.
        SourceError: it can't be read now, or is empty.
    """
    given = [name for name, value in (("file", file), ("env", env), ("command", command)) if value]
    if len(given) != 1:
        ways = ", ".join(f"{what}_{way}" for way in given or ("file", "env", "command"))
        raise ConfigError(
            f"{ways} are given, and only one can be meant" if given else f"no {what} is given",
            fix="leave one of them" if given else f"set one of {ways}",
        )
    if file:
        return _line(_of_file(what, file), what, f"the file {printable(file)}")
    if env:
        value = os.environ.get(env)
        if value is None:
            raise SourceError(f"{what}: the environment variable {printable(env)} is not set")
        return _line(os.fsencode(value), what, f"the environment variable {printable(env)}")
    return _line(_of_command(what, command, within_s), what, "what the command printed")


def _of_file(what: str, file: str) -> bytes:
    try:
        with Path(file).open("rb") as stream:
            return stream.read(LONGEST_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) else "is no path"
        raise SourceError(f"{what}: the file {printable(file)} can't be read: {reason}") from error


def _of_command(what: str, command: str, within_s: float) -> bytes:
    """What a command prints. It gets no input: a program that asks a person for something fails instead of waiting."""
    try:
        process = subprocess.Popen(  # noqa: S603 - what the administrator wrote into the configuration
            ["/bin/sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # so that what the shell started can be ended with it
        )
    except (OSError, ValueError) as error:  # ValueError: a NUL in the command
        raise SourceError(f"{what}: the command can't be started: {error}") from error
    with process:
        try:
            said, complained = process.communicate(timeout=within_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            # Its error would carry what was printed by then.
            raise SourceError(f"{what}: the command took more than {within_s:g} s") from None
    if process.returncode != 0:
        ending = f"{what}: the command failed with {process.returncode}"
        complaint = complained.decode("utf-8", "replace").strip().partition("\n")[0]
        raise SourceError(f"{ending}: {printable(complaint, SAID_CHARACTERS)}" if complaint else ending)
    return said


def _line(data: bytes, what: str, origin: str) -> str:
    """The first line, without its end."""
    if len(data) > LONGEST_BYTES:
        raise SourceError(f"{what}: {origin} is longer than {LONGEST_BYTES:,} bytes")
    line = data.partition(b"\n")[0].removesuffix(b"\r")
    if not line:
        raise SourceError(f"{what}: {origin} begins with an empty line" if data else f"{what}: {origin} is empty")
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        text = ""  # the error holds the secret: it may not become anybody's cause
    if not text or "\0" in text:
        raise SourceError(f"{what}: {origin} is no UTF-8 text")
    return text

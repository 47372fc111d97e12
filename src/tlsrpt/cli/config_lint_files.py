"""What the lints of a configuration share: how a finding is made, and a look at files, secrets and sockets."""

from __future__ import annotations

import os
import shlex
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path

from tlsrpt.core.errors import SourceError, TlsrptError
from tlsrpt.core.findings import Finding, Severity
from tlsrpt.core.text import printable
from tlsrpt.intake.listening import Listen
from tlsrpt.intake.outgoing import trust

Found = Iterator[Finding]


def _finding(severity: Severity, code: str, where: str, message: str, fix: str, consequence: str) -> Finding:
    return Finding(code=code, severity=severity, where=where, message=message, consequence=consequence, fix=fix)


def fault(code: str, where: str, message: str, fix: str = "", consequence: str = "") -> Finding:
    """What can't work."""
    return _finding("error", code, where, message, fix, consequence)


def warning(code: str, where: str, message: str, fix: str = "", consequence: str = "") -> Finding:
    """What works and is hardly meant."""
    return _finding("warning", code, where, message, fix, consequence)


def note(code: str, where: str, message: str, fix: str = "", consequence: str = "") -> Finding:
    """What is worth knowing."""
    return _finding("info", code, where, message, fix, consequence)


def said(code: str, where: str, error: TlsrptError) -> Finding:
    """An error that reading the value gave."""
    return fault(code, where, error.what, error.fix)


def lint_secret(where: str, what: str, holder: object, environment: Mapping[str, str]) -> Found:
    """The three ways to a secret: `{what}_file`, `{what}_env`, `{what}_command`. It is not read."""
    file, env = str(getattr(holder, f"{what}_file")), str(getattr(holder, f"{what}_env"))
    if file:
        yield from lint_secret_at(f"{where}.{what}_file", file, what)
    if env and not environment.get(env):
        yield note(
            "variable-unset",
            f"{where}.{what}_env",
            f"{printable(env, 100)} is not set where this check runs",
            "see that it is set for the service: EnvironmentFile= of the unit",
        )
    yield from lint_command(f"{where}.{what}_command", str(getattr(holder, f"{what}_command")))


def lint_secret_at(where: str, file: str, what: str) -> Found:
    """A file that holds a secret: there, readable, and not by everybody."""
    found = list(lint_file(where, file))
    yield from found
    if not can_be_looked_into(found):
        return
    name = printable(file, 200)
    try:
        status = Path(file).stat()
    except OSError:  # gone since; whoever needs it will say so
        return
    if not stat.S_ISREG(status.st_mode):
        return
    if status.st_mode & (stat.S_IROTH | stat.S_IWOTH):  # no fault: a service that stops at night for this helps nobody
        yield warning(
            "secret-exposed",
            where,
            f"{name} has mode {stat.S_IMODE(status.st_mode):04o}",
            f"chmod 0640 {name}",
            f"every user of this machine can get at the {what}",
        )
    if not status.st_size:
        yield fault("secret-empty", where, f"{name} is empty", f"write the {what} into it")


def lint_command(where: str, command: str) -> Found:
    """The command is not run; a program that is not there is told."""
    try:
        words = shlex.split(command)
    except ValueError:
        return  # the shell's business
    plain = words and not any(character in words[0] for character in "$`|&;<>(){}*?=")
    if plain and "/" in words[0] and shutil.which(words[0]) is None:
        yield warning("no-program", where, f"there is no program {printable(words[0], 200)} that this user may run")


def lint_authorities(where: str, file: str) -> Found:
    """`ca_file`: certificates of authorities."""
    found = list(lint_file(where, file)) if file else []
    yield from found
    if not file or not can_be_looked_into(found):
        return
    try:
        trust(file)
    except SourceError:
        yield fault("no-authorities", where, f"{printable(file, 200)} holds no PEM certificates", "name another file")


def lint_file(where: str, file: str) -> Found:
    """Whether a file can be read by this user, and from wherever the service is started."""
    if not Path(file).is_absolute():
        yield warning(
            "relative-path",
            where,
            f'"{printable(file, 200)}" is relative',
            "write the whole path",
            "it is looked for in the folder that the service is started in",
        )
    if file.startswith("/run/credentials/") and is_missing(Path(file)):
        yield note(
            "credential-absent",
            where,
            f"{printable(file, 200)} is not there now",
            "LoadCredential= of the unit puts it there while the service runs; check again then, as root",
        )
        return
    reason = "is a folder"
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe must not hold us up
    except (OSError, ValueError) as error:
        reason = f"can't be read: {error.strerror if isinstance(error, OSError) else error}"
    else:
        is_folder = stat.S_ISDIR(os.fstat(handle).st_mode)
        os.close(handle)
        if not is_folder:
            return
    yield fault("file-unreadable", where, f"{printable(file, 200)} {reason}", "see its path, owner and mode")


def can_be_looked_into(found: Iterable[Finding]) -> bool:
    """Whether nothing that was found about a file says that it can't be opened now."""
    return all(finding.severity != "error" and finding.code != "credential-absent" for finding in found)


def is_missing(path: Path) -> bool:
    """Whether it is certain that there is nothing; what may not be looked at is told by whoever opens it."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        return False
    return False


def lint_socket_folder(where: str, listen: Listen) -> Found:
    """Whether the folder of a unix socket is there."""
    if not listen.path or not is_missing(Path(listen.path).parent):
        return
    folder = printable(str(Path(listen.path).parent), 200)
    if listen.path.startswith("/run/"):  # emptied at every boot: made by systemd when the service starts
        yield note(
            "no-folder", where, f"the folder {folder} does not exist now", "RuntimeDirectory= of the unit makes it"
        )
    else:
        yield fault("no-folder", where, f"the folder {folder} does not exist", "make it, owned by the service's user")


def is_public(listen: Listen) -> bool:
    """Whether other machines can reach it."""
    return not listen.path and not ip_address(listen.address).is_loopback

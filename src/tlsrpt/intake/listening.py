"""Where a listener listens: the text in the configuration, and the socket made of it.

A unix socket is made as its owner wants it before anybody can connect, one that a killed process left behind is
replaced, and one that answers is left alone.
"""

from __future__ import annotations

import errno
import grp
import os
import re
import socket
import stat
from ipaddress import ip_address
from pathlib import Path

from msgspec import Struct

from tlsrpt.core.errors import ConfigError, SourceError
from tlsrpt.core.text import printable

BACKLOG = 1024  # connections that the kernel holds until we accept them; it cuts this to its own net.core.somaxconn
LONGEST_PATH = 107  # bytes of a unix socket's path, sun_path less its NUL (unix(7))
KNOCK_S = 1.0  # for a process behind a unix socket to take a connection; the kernel does it for one that lives
_PORT = re.compile("[0-9]{1,5}")
_HOW = 'write ADDRESS:PORT, "[IPv6]:PORT" or "unix:/path"'


class Listen(Struct, frozen=True):
    """Where to listen: an address and a port, or the path of a unix socket."""

    address: str = ""  # of IPv4 or IPv6, without brackets
    port: int = 0  # 0: any free one
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


def parse_listen(text: str) -> Listen:
    """Read where to listen.

    Raises:
        ConfigError: it is neither an address with a port nor an absolute path; says how it is written.
    """
    scheme, colon, path = text.partition(":")
    if colon and scheme == "unix":
        return Listen(path=_socket_path(text, path))
    host, colon, port = text.rpartition(":")
    if not colon or not _PORT.fullmatch(port) or int(port) > 65535:
        raise _no_listen(text, "it has no port")
    bare = host[1:-1] if host[:1] == "[" and host[-1:] == "]" else host
    try:
        address = ip_address(bare if bare.isprintable() else "")  # the name of a link, after %, may hold anything
    except ValueError:
        raise _no_listen(text, "its host is no IP address") from None
    if (address.version == 6) != (bare != host):
        raise _no_listen(text, "IPv6 addresses, and only those, stand in brackets")
    return Listen(address=str(address), port=int(port))


def _socket_path(text: str, path: str) -> str:
    if not path.startswith("/") or path.endswith("/"):
        raise _no_listen(text, "a unix socket needs the absolute path of a file")
    if "\0" in path or len(os.fsencode(path)) > LONGEST_PATH:
        raise _no_listen(text, f"a unix socket's path has at most {LONGEST_PATH} bytes")
    return path


def _no_listen(text: str, why: str) -> ConfigError:
    return ConfigError(f'"{printable(text, 200)}" is nothing to listen on: {why}', where="listen", fix=_HOW)


def bind(listen: Listen, *, mode: str = "0660", group: str = "") -> socket.socket:
    """A listening socket; `close` ends it.

    IPv6 takes IPv6 only, whatever the system's setting: two sources may share a port, one for each family.

    Args:
        mode: of a unix socket, octal.
        group: of a unix socket, a name or a number; empty: the process's.
    Raises:
        SourceError: taken, forbidden, or the group can't be set; nothing is left behind.
    """
    try:
        made = _bind_path(listen, mode, group) if listen.path else _bind_address(listen)
    except OSError as error:
        raise _cannot_bind(listen, error) from error
    made.setblocking(False)
    return made


def _bind_address(listen: Listen) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        listen.address, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
    )[0]
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # the last run's connections do not hold the port
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
        made.listen(BACKLOG)
    except OSError:
        made.close()
        raise
    return made


def _bind_path(listen: Listen, mode: str, group: str) -> socket.socket:
    group_id = _group_id(listen, group) if group else -1
    _remove_stale(listen)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.bind(listen.path)
        try:
            _hand_over(listen, int(mode, 8), group, group_id)
            made.listen(BACKLOG)  # only now: until then connections are refused, whatever the mode was
        except (OSError, SourceError):
            Path(listen.path).unlink(missing_ok=True)
            raise
    except (OSError, SourceError):
        made.close()
        raise
    return made


def _hand_over(listen: Listen, mode: int, group: str, group_id: int) -> None:
    """Give the socket its group and mode."""
    if group_id != -1:
        try:
            os.chown(listen.path, -1, group_id, follow_symlinks=False)
        except PermissionError as error:
            raise SourceError(
                f"its group may not be set to {group}", where=str(listen), fix=f"put this service's user into {group}"
            ) from error
    Path(listen.path).chmod(mode)


def _group_id(listen: Listen, group: str) -> int:
    if group.isascii() and group.isdigit() and len(group) <= 10:
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except (KeyError, ValueError):
        raise SourceError(f'there is no group "{printable(group, 100)}"', where=str(listen)) from None


def _remove_stale(listen: Listen) -> None:
    """Remove a socket that a process left when it was killed.

    Raises:
        SourceError: somebody answers there, or it is no socket.
        OSError: it may not be looked at or removed.
    """
    path = Path(listen.path)
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise SourceError("there is a file of that name which is no socket", where=str(listen), fix="move it away")
    if _answers(listen):
        raise SourceError("another process listens there", where=str(listen), fix="is the service running already?")
    path.unlink(missing_ok=True)


def _answers(listen: Listen) -> bool:
    """Whether a process is behind a unix socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knock:
        knock.settimeout(KNOCK_S)
        try:
            knock.connect(listen.path)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except (TimeoutError, BlockingIOError):  # its backlog is full: it lives
            return True
    return True


def _cannot_bind(listen: Listen, error: OSError) -> SourceError:
    where, number = str(listen), error.errno
    if number == errno.EADDRINUSE:
        return SourceError("another process listens there", where=where, fix="is the service running already?")
    if number == errno.EADDRNOTAVAIL:
        return SourceError("this machine has no such address", where=where)
    if number == errno.ENOENT:
        return SourceError("its folder does not exist", where=where, fix=f"make {Path(listen.path).parent}")
    if number in (errno.EACCES, errno.EPERM):
        if listen.path:
            return SourceError(
                "this user may not make a socket there", where=where, fix="let the service own the folder"
            )
        return SourceError(
            "this user may not listen there", where=where, fix="ports below 1024 need CAP_NET_BIND_SERVICE"
        )
    return SourceError(f"can't be listened on: {error.strerror or error}", where=where)


def close(listen: Listen, made: socket.socket) -> None:
    """Stop listening, and remove a unix socket unless another process has made it its own by now."""
    made.close()
    if not listen.path:
        return
    try:
        _remove_stale(listen)
    except (OSError, SourceError):
        return  # not ours any more, or may not be removed: the next start replaces it


def try_out(listen: Listen, *, mode: str = "0660", group: str = "") -> str:
    """Whether one could listen there, as a line for a person; nothing stays changed.

    Raises:
        SourceError: as `bind`.
    """
    try:
        taken = _is_taken(listen)
    except OSError as error:
        raise _cannot_bind(listen, error) from error
    if taken:
        return f"{listen}: something listens there already (this service, if it runs)"
    close(listen, bind(listen, mode=mode, group=group))
    return f"{listen}: free, and may be listened on"


def _is_taken(listen: Listen) -> bool:
    if listen.path:
        return Path(listen.path).is_socket() and _answers(listen)
    if not listen.port:
        return False
    anywhere = ip_address(listen.address)
    if anywhere.is_unspecified:
        anywhere = ip_address("127.0.0.1" if anywhere.version == 4 else "::1")
    try:
        socket.create_connection((str(anywhere), listen.port), KNOCK_S).close()
    except OSError:
        return False
    return True

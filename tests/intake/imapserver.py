"""An IMAP server for what no good one does: it keeps a folder, and says to any command what a test wants it to say."""

from __future__ import annotations

import contextlib
import queue
import re
import select
import socket
import ssl
import threading
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

PATIENCE_S = 20.0

# What is sent in answer to a command; {tag} is replaced. None: the usual.
Answer = Callable[[str], bytes | None]


@dataclass
class Script:
    """What the server is, and what it says."""

    messages: dict[int, bytes] = field(default_factory=dict)
    capabilities: str = "IMAP4rev1 AUTH=PLAIN AUTH=XOAUTH2 IDLE MOVE UIDPLUS"
    uidvalidity: int | None = 7
    greeting: bytes = b"* OK ready\r\n"
    tls: bool = True  # from the first byte
    answers: dict[str, Answer] = field(default_factory=dict)  # by the command's first word, or first two after UID
    after_continuation: bytes = b""  # said behind the + of IDLE, in one piece with it
    behind_starttls: bytes = b""  # said in clear, after STARTTLS was agreed to
    hang_up_after: bytes | None = None  # the connection ends after this was said


class ImapServer(threading.Thread):
    """Serves one connection after another; `commands` is what it heard, less tags."""

    def __init__(self, context: ssl.SSLContext, script: Script) -> None:
        super().__init__(daemon=True)
        self.script, self.commands, self.logins = script, list[str](), list[bytes]()
        self.heard = threading.Event()  # a command, at some time
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._connection: socket.socket | None = None
        self._pushed = queue.SimpleQueue[bytes]()

    def run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError, ValueError), connection:
                connection.settimeout(PATIENCE_S)
                try:
                    self._serve(connection)
                finally:
                    if self._connection is not None:
                        self._connection.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        if self._connection is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self._connection, socket.SHUT_RDWR)
        self.join(5)

    def push(self, data: bytes) -> None:
        """Say something that nobody asked for, while the next command is waited for.

        The thread that reads says it: OpenSSL lets no two threads use one connection at a time.
        """
        self._pushed.put(data)

    def _serve(self, connection: socket.socket) -> None:
        if self.script.tls:
            connection = self._context.wrap_socket(connection, server_side=True)
        self._connection = connection
        connection.sendall(self.script.greeting)
        if self.script.hang_up_after == self.script.greeting:
            return
        if self._converse(connection) == "STARTTLS":
            self._connection = self._context.wrap_socket(connection, server_side=True)
            self._converse(self._connection)

    def _converse(self, connection: socket.socket) -> str:
        """Answer commands. Returns the one that ended it."""
        lines = self._lines(connection)
        for line in lines:
            tag, _, command = line.partition(" ")
            self.commands.append(command or tag)
            self.heard.set()
            if not self._answer(connection, lines, tag, command or tag):
                return command
        return ""

    def _lines(self, connection: socket.socket) -> Iterator[str]:
        heard = b""
        while True:
            while b"\n" in heard:
                line, _, heard = heard.partition(b"\n")
                yield line.decode().rstrip("\r")
            self._wait(connection)
            more = connection.recv(65536)
            if not more:
                return
            heard += more

    def _wait(self, connection: socket.socket) -> None:
        """Until there is something to read; what is pushed meanwhile is said."""
        until = time.monotonic() + PATIENCE_S
        while not (isinstance(connection, ssl.SSLSocket) and connection.pending()):
            while not self._pushed.empty():
                connection.sendall(self._pushed.get())
            if select.select([connection], [], [], 0.02)[0]:
                return
            if time.monotonic() > until:
                raise TimeoutError

    def _answer(self, connection: socket.socket, lines: Iterator[str], tag: str, command: str) -> bool:
        words = command.upper().split()
        name = " ".join(words[:2]) if words[:1] == ["UID"] else (words or [""])[0]
        special = self.script.answers.get(name)
        said = special(command) if special is not None else None
        if said is not None:
            connection.sendall(said.replace(b"{tag}", tag.encode()))
            return said != self.script.hang_up_after
        untagged = b""
        match name:
            case "STARTTLS":
                connection.sendall(f"{tag} OK begin\r\n".encode() + self.script.behind_starttls)
                return False
            case "CAPABILITY":
                untagged = f"* CAPABILITY {self.script.capabilities}\r\n".encode()
            case "AUTHENTICATE":
                connection.sendall(b"+ \r\n")
                self.logins.append(b64decode(next(lines)))
            case "LIST":
                untagged = b'* LIST () "/" INBOX\r\n' if '"INBOX"' in command else b'* LIST () "/" ""\r\n'
            case "SELECT" | "EXAMINE":
                untagged = f"* {len(self.script.messages)} EXISTS\r\n* 0 RECENT\r\n".encode()
                if self.script.uidvalidity is not None:
                    untagged += f"* OK [UIDVALIDITY {self.script.uidvalidity}] v\r\n".encode()
            case "UID SEARCH":
                low = int(re.search(r"UID (\d+):", command)[1])  # type: ignore[index]
                last = max(self.script.messages, default=0)
                found = [uid for uid in self.script.messages if uid >= low or uid == last]
                untagged = f"* SEARCH {' '.join(map(str, found))}".rstrip().encode() + b"\r\n"
            case "UID FETCH":
                untagged = b"".join(self._fetched(command, uid) for uid in _uids(command))
            case "UID MOVE":
                for uid in _uids(command):
                    self.script.messages.pop(uid, None)
            case "IDLE":
                connection.sendall(b"+ idling\r\n" + self.script.after_continuation)
                assert next(lines).upper() == "DONE"
            case "LOGOUT":
                connection.sendall(f"* BYE\r\n{tag} OK\r\n".encode())
                return False
        connection.sendall(untagged + f"{tag} OK done\r\n".encode())
        return True

    def _fetched(self, command: str, uid: int) -> bytes:
        message = self.script.messages.get(uid)
        if message is None:
            return b""
        if "RFC822.SIZE" in command:
            return f"* 1 FETCH (UID {uid} RFC822.SIZE {len(message)})\r\n".encode()
        return f"* 1 FETCH (UID {uid} BODY[]<0> {{{len(message)}}}\r\n".encode() + message + b")\r\n"


def _uids(command: str) -> Iterator[int]:
    for part in command.split()[2].split(","):
        first, _, last = part.partition(":")
        yield from range(int(first), int(last or first) + 1)


@contextmanager
def imap_server(context: ssl.SSLContext, script: Script) -> Iterator[ImapServer]:
    """A server that runs for the length of a `with` block."""
    server = ImapServer(context, script)
    server.start()
    try:
        yield server
    finally:
        server.close()

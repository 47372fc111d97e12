"""The connection under an IMAP session: always TLS, bounded reads, IDLE, and an end that another thread can make.

imaplib says which methods of its connection may be replaced (open, read, readline, send, shutdown): they are replaced
here, because its own buffer hides what has arrived already from whoever waits on the socket, and because it reads a
literal of any size that a server announces.
"""

from __future__ import annotations

import contextlib
import imaplib
import re
import select
import socket
import ssl
import threading
import time

from tlsrpt.core.text import printable

LONGEST_LINE_BYTES = 4 * 1024 * 1024  # a SEARCH of 300,000 messages; messages are literals and no lines
PIECE_BYTES = 64 * 1024
# A connection through a NAT or a firewall that forgot it is noticed after some three minutes of silence.
KEEPALIVE = (("TCP_KEEPIDLE", 120), ("TCP_KEEPINTVL", 20), ("TCP_KEEPCNT", 3))
_LITERAL = re.compile(rb"\{(\d+)\}\r\n\Z")
_EXISTS = re.compile(rb"\* (\d+) EXISTS\r\n\Z", re.IGNORECASE)
_EXPUNGE = re.compile(rb"\* \d+ EXPUNGE\r\n\Z", re.IGNORECASE)
_BYE = re.compile(rb"\* BYE ?([^\r\n]*)", re.IGNORECASE)


class Lifeline:
    """By which another thread ends a connection: whoever reads or waits on it gets an error at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self.is_cut = False

    def hold(self, connection: socket.socket) -> None:
        """It is this connection, from now on."""
        with self._lock:
            self._socket = connection
            if self.is_cut:
                self._shut(connection)

    def cut(self) -> None:
        """End it, or the one that is just being made."""
        with self._lock:
            self.is_cut = True
            if self._socket is not None:
                self._shut(self._socket)

    def _shut(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):  # it has ended by itself
            # Of the socket below TLS: ssl's own shutdown takes the session away from under the reading thread.
            socket.socket.shutdown(connection, socket.SHUT_RDWR)


class Wire(imaplib.IMAP4):
    """One connection, for one thread.

    Args:
        lifeline: of whoever may want to end it.
        starttls: begin in clear, and go on only once TLS is up (RFC 3501 section 6.2.1).
        within_s: for the server to send or take the next bytes.
        literal_bytes: the largest literal that is read.
    Raises:
        OSError, imaplib.IMAP4.error: no connection.
    """

    def __init__(
        self,
        host: str,
        port: int,
        context: ssl.SSLContext,
        lifeline: Lifeline,
        *,
        starttls: bool,
        within_s: float,
        literal_bytes: int,
    ) -> None:
        self._context, self._starttls, self._lifeline = context, starttls, lifeline
        self._within_s, self._literal_bytes = within_s, literal_bytes
        self._buffer = bytearray()
        self._searched = 0  # how much of the buffer holds no line's end
        self._idles = 0
        super().__init__(host, port, timeout=within_s)

    # What imaplib calls

    def open(self, host: str = "", port: int = 0, timeout: float | None = None) -> None:
        """Connect, and have TLS before imaplib sees a byte."""
        self.host, self.port = host, port
        self.sock = socket.create_connection((host, port), timeout)
        self._lifeline.hold(self.sock)
        for name, value in KEEPALIVE:
            if hasattr(socket, name):  # not everywhere
                self.sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        try:
            greeting = self._ask_for_tls() if self._starttls else b""
            self.sock = self._context.wrap_socket(self.sock, server_hostname=host)
        except BaseException:
            self.sock.close()
            raise
        self._lifeline.hold(self.sock)
        self._buffer += greeting

    def read(self, size: int) -> bytes:
        """So many bytes: a literal."""
        if size > self._literal_bytes:
            raise self.abort(f"the server sends {size:,} bytes where at most {self._literal_bytes:,} were asked for")
        while len(self._buffer) < size:
            self._fill()
        return self._take(size)

    def readline(self) -> bytes:
        """A line with its end; empty at the end of the connection."""
        while (end := self._buffer.find(b"\n", self._searched)) < 0:
            self._searched = len(self._buffer)
            if self._searched > LONGEST_LINE_BYTES:
                raise self.abort(f"the server sends a line of more than {LONGEST_LINE_BYTES:,} bytes")
            self._fill()
        return self._take(end + 1)

    def send(self, data: bytes) -> None:  # type: ignore[override]  # imaplib gives nothing else
        """All of it, or an OSError."""
        self.sock.sendall(data)

    def shutdown(self) -> None:
        """Close."""
        self.sock.close()

    # What we add

    def idle(self, seconds: float, exists: int | None) -> bool:
        """Wait for new messages (RFC 2177), at most so long.

        Args:
            exists: how many messages the folder held when it was looked through; None: unknown.
        Returns:
            Whether there may be new ones. Some servers tell the number that was known already; that is no news.
        """
        self._idles += 1
        tag = b"idle%d " % self._idles
        self.send(tag + b"IDLE\r\n")
        news = False

        def hear(line: bytes) -> None:
            nonlocal exists, news
            told = _EXISTS.match(line)
            if told:
                news = news or int(told[1]) != exists
            elif _EXPUNGE.match(line):
                exists = None

        # What happened since the last command is told before or after the continuation, as the server likes.
        while not (line := self._line()).startswith(b"+"):
            if line.startswith(tag):
                raise self.error(f"IDLE is refused: {_said(line)}")
            hear(line)
        until = time.monotonic() + seconds
        while not news and self._has_come(until - time.monotonic()):
            hear(self._line())
        self.send(b"DONE\r\n")
        while not (line := self._line()).startswith(tag):
            hear(line)
        return news

    def _line(self) -> bytes:
        """A line without its literals, which mean nothing to one who only counts."""
        line = self.readline()
        while (literal := _LITERAL.search(line)) is not None:
            self.read(int(literal[1]))
            line = line[: literal.start()] + self.readline()
        bye = _BYE.match(line)
        if bye:
            raise self.abort(f"the server says goodbye: {_said(bye[1])}")
        return line

    def _has_come(self, within_s: float) -> bool:
        """Whether bytes are there within so long. What wakes the socket may be TLS' own business."""
        until = time.monotonic() + within_s
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        while not self._buffer:
            if not self._pending() and not poll.poll(max(0.0, until - time.monotonic()) * 1000):
                return False
            self.sock.settimeout(0)
            try:
                self._fill()
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                continue
            finally:
                self.sock.settimeout(self._within_s)
        return True

    def _pending(self) -> int:
        return self.sock.pending() if isinstance(self.sock, ssl.SSLSocket) else 0

    def _fill(self) -> None:
        piece = self.sock.recv(PIECE_BYTES)
        if not piece:
            raise self.abort("the server closed the connection")
        self._buffer += piece

    def _take(self, size: int) -> bytes:
        with memoryview(self._buffer) as view:
            taken = bytes(view[:size])
        del self._buffer[:size]
        self._searched = 0
        return taken

    def _ask_for_tls(self) -> bytes:
        """STARTTLS. Returns a greeting for imaplib, which sees nothing of what was said in clear.

        Whoever sits on the line could have written all of that: it is not even known whether the server offers TLS.
        So it is simply asked for, and a no ends the connection.
        """
        greeting = self._line()
        if not greeting.upper().startswith(b"* OK"):  # PREAUTH: nobody can ask for TLS any more
            raise self.abort(f"no greeting that allows STARTTLS: {_said(greeting)}")
        self.send(b"tls STARTTLS\r\n")
        while not (line := self._line()).startswith(b"tls "):
            pass
        if not line.upper().startswith(b"TLS OK"):
            raise self.abort(f"the server refuses STARTTLS: {_said(line)}")
        if self._buffer:
            raise self.abort("the server sent more after it agreed to STARTTLS, which somebody may have put in")
        return b"* OK ready\r\n"


def _said(line: bytes) -> str:
    return printable(line.decode("utf-8", "replace").strip(), 200)

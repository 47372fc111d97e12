"""One LMTP or SMTP session as a server has it (RFC 2033, RFC 5321): bytes in, replies and steps out.

No socket, no clock: who holds those feeds what arrives, does what `step` says, and writes `take_said`. The same bytes
give the same replies however they are cut. What is kept of them is bounded by a command's length or a message's.

Only CR LF ends a command, and only CR LF "." CR LF a message (RFC 5321 sections 2.3.8 and 4.1.1.4). Servers that also
took a bare LF there let a sender hide a second mail within the first ("SMTP smuggling").
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum, auto

from msgspec import Struct

from tlsrpt.core.text import printable
from tlsrpt.intake.recipients import Recipients

LONGEST_LINE = 2_048  # bytes of a command; section 4.5.3.1.4 asks for 512 and more for each extension
MOST_RECIPIENTS = 100  # of one message, as many as section 4.5.3.1.8 asks for
MOST_ERRORS = 20  # of a client, between two messages
MOST_COMMANDS = 1_000  # of a client, between two messages
LONGEST_TEXT = 300  # characters of a reply; a line has 512 bytes (section 4.5.3.1.5)
_END = b"\r\n.\r\n"


class Reply(Struct, frozen=True):
    """One reply: its code, its enhanced status (RFC 3463), and a few words."""

    code: int
    status: str
    text: str

    def __bytes__(self) -> bytes:
        text = printable(self.text, LONGEST_TEXT).encode("ascii", "backslashreplace")[:LONGEST_TEXT]
        return b"%d %s %s\r\n" % (self.code, self.status.encode(), text)


class Step(Enum):
    """What is to be done next."""

    MORE = auto()  # all was read: feed more
    BEGIN = auto()  # the client would send a message: `begin` or `refuse`
    MESSAGE = auto()  # a message is complete: `take_message`, and then `answer`
    TOO_LARGE = auto()  # a message was refused for its size: only to be counted
    TLS = auto()  # write what was said, speak TLS, `secured`
    END = auto()  # write what was said, hang up


class Manners(Struct, frozen=True, kw_only=True):
    """What a server says of itself, and whom it takes mail for."""

    name: str
    lmtp: bool
    size_bytes: int
    tls: bool
    recipients: Recipients


class Session:
    """One client's session.

    Attributes:
        receiving: a message is on its way in.
    """

    def __init__(self, manners: Manners) -> None:
        self._manners = manners
        self._input = bytearray()
        self._said = bytearray()
        self._step = Step.MORE
        self._secure = False
        self._errors = 0
        self._commands = 0
        self._line_too_long = False
        self._greeted = False
        self._sender: str | None = None  # of the open transaction
        self._recipients = 0
        self.receiving = False
        self._data = bytearray()
        self._scanned = 0  # up to where no message ends
        self._verdict: Reply | None = None  # on a message whose bytes are not kept
        self._message = b""

    @property
    def held_bytes(self) -> int:
        """How much of a message is in memory."""
        return len(self._data)

    @property
    def dropping(self) -> bool:
        """Nothing is kept of the message that comes in."""
        return self._verdict is not None

    @property
    def waiting_bytes(self) -> int:
        """How much was fed and not read yet."""
        return len(self._input)

    def take_said(self) -> bytes:
        """What is to be written now."""
        said = bytes(self._said)
        self._said.clear()
        return said

    def feed(self, data: bytes) -> None:
        """Bytes of the client."""
        self._input += data

    def step(self) -> Step:
        """Read on, as far as it goes by itself."""
        while self._step is Step.MORE:
            if not (self._read_data() if self.receiving else self._read_command()):
                break
        step = self._step
        if step is Step.TOO_LARGE:
            self._step = Step.MORE
        return step

    # --- What the server decides ------------------------------------------------------------------------------------

    def greet(self) -> None:
        """Begin."""
        manners = self._manners
        self._say(220, "", f"{manners.name} {'LMTP' if manners.lmtp else 'ESMTP'} tlsrpt")

    def begin(self) -> None:
        """Let the client send its message."""
        self._say(354, "", "end with <CRLF>.<CRLF>")
        self._step = Step.MORE
        self.receiving = True
        self._data += b"\r\n"  # so that the first line begins as every other
        self._scanned = 0
        self._verdict = None

    def refuse(self, reply: Reply) -> None:
        """Don't."""
        self._said += bytes(reply)
        self._end_transaction()
        self._step = Step.MORE

    def drop(self, reply: Reply) -> None:
        """Keep nothing of the message that comes in; this is the answer once it has come."""
        if self.receiving and self._verdict is None:
            self._verdict = reply
            self._forget()

    def take_message(self) -> bytes:
        """The message, as it was before it was sent; from now on it is not held here."""
        message, self._message = self._message, b""
        return message

    def answer(self, reply: Reply) -> None:
        """What became of the message: one reply for each recipient that was accepted (RFC 2033 section 4.2)."""
        self._said += bytes(reply) * (self._recipients if self._manners.lmtp else 1)
        self._end_transaction()
        self._errors = self._commands = 0
        self._step = Step.MORE

    def hang_up(self, reply: Reply) -> None:
        """Say why, and end; a server may at any time (section 3.8)."""
        if self._step is not Step.END:
            self._said += bytes(reply)
            self._step = Step.END
        self.receiving = False
        self._data.clear()
        self._input.clear()
        self._message = b""

    def secured(self) -> None:
        """TLS is spoken from here on: all that was known is forgotten (RFC 3207 section 4.2)."""
        self._secure = True
        self._greeted = False
        self._end_transaction()
        self._step = Step.MORE

    # --- Messages ---------------------------------------------------------------------------------------------------

    def _read_data(self) -> bool:
        """Look for the message's end; whether it was there."""
        data = self._data
        data += self._input
        self._input.clear()
        end = data.find(_END, self._scanned)
        if end < 0:
            self._scanned = max(0, len(data) - len(_END) + 1)
            # An end may have begun in the last four bytes: the message has at least those before.
            if self._verdict is None and self._scanned > self._manners.size_bytes:
                self._verdict = self._too_large()
            if self._verdict is not None:
                self._forget()
            return False
        self._input += memoryview(data)[end + len(_END) :]
        if self._verdict is None and end > self._manners.size_bytes:
            self._verdict = self._too_large()
        self.receiving = False
        if self._verdict is None:
            del data[end + 2 :], data[:2]
            self._message = _unstuffed(data)
        verdict, self._verdict = self._verdict, None
        data.clear()
        if verdict is None:
            self._step = Step.MESSAGE
            return True
        self.answer(verdict)
        if verdict.code == 552:
            self._step = Step.TOO_LARGE
        return True

    def _forget(self) -> None:
        """Keep of a message's bytes only what may be the beginning of its end."""
        del self._data[: 1 - len(_END)]
        self._scanned = 0

    def _too_large(self) -> Reply:
        return Reply(552, "5.3.4", f"larger than {self._manners.size_bytes} bytes (limits.compressed_bytes)")

    def _end_transaction(self) -> None:
        self._sender = None
        self._recipients = 0

    # --- Commands ---------------------------------------------------------------------------------------------------

    def _read_command(self) -> bool:
        """Obey one command; whether there was one."""
        line_end = self._input.find(b"\n")
        if line_end < 0:
            if len(self._input) > LONGEST_LINE:
                self._line_too_long = True
                self._input.clear()
            return False
        line = bytes(self._input[:line_end])
        del self._input[: line_end + 1]
        too_long, self._line_too_long = self._line_too_long or line_end > LONGEST_LINE, False
        self._commands += 1
        if self._commands > MOST_COMMANDS:
            self.hang_up(Reply(421, "4.7.0", "too many commands without a message"))
        elif too_long:
            self._object(500, "5.5.2", f"no command has more than {LONGEST_LINE} bytes")
        elif not line.endswith(b"\r") or b"\r" in line[:-1]:
            self._object(500, "5.5.2", "a command ends with CR LF, and has neither of them within")
        else:
            self._obey(line[:-1])
        return True

    def _obey(self, line: bytes) -> None:
        try:
            verb, _, rest = line.decode().partition(" ")
        except UnicodeDecodeError:
            self._object(500, "5.5.2", "a command is ASCII, or UTF-8 (RFC 6531)")
            return
        verb = verb.upper()
        command = _COMMANDS.get(verb)
        if command is not None:
            command(self, rest.strip(" \t"))
        elif verb in _OF_HTTP or rest.startswith("HTTP/") or " HTTP/" in rest:
            # A browser that was led to this port would speak LMTP in the body of what it posts.
            self.hang_up(Reply(421, "4.7.0", "this is no HTTP server"))
        elif verb == "BDAT":
            # Not offered. Who sends it all the same sends a message right behind, which must not be read as commands.
            self.hang_up(Reply(421, "4.5.1", "CHUNKING is not offered"))
        else:
            self._object(500, "5.5.1", "no such command")

    def _introduce(self, verb: str, name: str) -> None:
        if not name or " " in name:
            self._object(501, "5.5.4", f"{verb} takes the client's name")
            return
        self._end_transaction()
        self._greeted = True
        manners = self._manners
        if verb == "HELO":
            self._say(250, "", manners.name)
            return
        offers = ["PIPELINING", f"SIZE {manners.size_bytes}", "8BITMIME", "SMTPUTF8"]
        if manners.tls and not self._secure:
            offers.append("STARTTLS")
        for line in (manners.name, *offers):
            self._said += f"250-{line}\r\n".encode()
        self._said += b"250 ENHANCEDSTATUSCODES\r\n"

    def _lhlo(self, rest: str) -> None:
        if self._manners.lmtp:
            self._introduce("LHLO", rest)
        else:
            self._object(500, "5.5.1", "this is SMTP: say EHLO")

    def _ehlo(self, rest: str) -> None:
        self._hello("EHLO", rest)

    def _helo(self, rest: str) -> None:
        self._hello("HELO", rest)

    def _hello(self, verb: str, rest: str) -> None:
        if self._manners.lmtp:
            # RFC 2033 section 4.1: such servers must not take HELO and EHLO.
            self._object(500, "5.5.1", "this is LMTP: say LHLO")
        else:
            self._introduce(verb, rest)

    def _mail(self, rest: str) -> None:
        if not self._greeted:
            self._object(503, "5.5.1", f"say {'LHLO' if self._manners.lmtp else 'EHLO'} first")
            return
        if self._sender is not None:
            self._object(503, "5.5.1", "a message is begun already; RSET forgets it")
            return
        path = _read_path("FROM:", rest)
        if path is None:
            self._object(501, "5.1.7", "write MAIL FROM:<address>")
            return
        sender, parameters = path
        for key, value in parameters.items():
            allowed = _PARAMETERS.get(key)
            if allowed is None:
                self._object(555, "5.5.4", f"MAIL takes no {key}")
                return
            if not allowed.fullmatch(value):
                self._object(501, "5.5.4", f"{key} takes no such value")
                return
        if int(parameters.get("SIZE") or 0) > self._manners.size_bytes:
            self._said += bytes(self._too_large())
            self._step = Step.TOO_LARGE
            return
        self._sender = sender
        self._say(250, "2.1.0", "go on")

    def _rcpt(self, rest: str) -> None:
        if self._sender is None:
            self._object(503, "5.5.1", "say MAIL first")
            return
        path = _read_path("TO:", rest)
        if path is None or not path[0]:
            self._object(501, "5.1.3", "write RCPT TO:<address>")
            return
        mailbox, parameters = path
        if parameters:
            self._object(555, "5.5.4", f"RCPT takes no {next(iter(parameters))}")
        elif not self._manners.recipients.take(mailbox):
            self._say(550, "5.1.1", "no mail is taken for this address here")
        elif self._recipients >= MOST_RECIPIENTS:
            self._say(452, "4.5.3", f"{MOST_RECIPIENTS} recipients are enough; the others in another message")
        else:
            self._recipients += 1
            self._say(250, "2.1.5", "go on")

    def _begin_data(self, rest: str) -> None:
        if rest:
            self._object(501, "5.5.4", "DATA stands alone")
        elif not self._recipients:
            # RFC 2033 section 4.2: without a recipient DATA must fail with 503.
            self._object(503, "5.5.1", "say RCPT first" if self._sender is not None else "say MAIL and RCPT first")
        else:
            self._step = Step.BEGIN

    def _reset(self, _rest: str) -> None:
        self._end_transaction()
        self._say(250, "2.0.0", "forgotten")

    def _nothing(self, _rest: str) -> None:
        self._say(250, "2.0.0", "yes")

    def _verify(self, _rest: str) -> None:
        self._say(252, "2.5.2", "send a message, and see")

    def _expand(self, _rest: str) -> None:
        self._object(502, "5.5.1", "there are no lists here")

    def _help(self, _rest: str) -> None:
        self._say(214, "2.0.0", "TLS reports are taken here (RFC 8460)")

    def _quit(self, _rest: str) -> None:
        self.hang_up(Reply(221, "2.0.0", "bye"))

    def _start_tls(self, rest: str) -> None:
        if rest:
            self._object(501, "5.5.4", "STARTTLS stands alone")
        elif not self._manners.tls:
            self._object(502, "5.5.1", "TLS is not offered here")
        elif self._secure:
            self._object(503, "5.5.1", "TLS is spoken already")
        elif self._input:
            # Sent in the clear, perhaps by somebody on the way, to be read as if it had come by TLS (CVE-2011-0411).
            self.hang_up(Reply(421, "4.7.0", "nothing may follow STARTTLS before TLS"))
        else:
            self._say(220, "2.0.0", "go on with TLS")
            self._step = Step.TLS

    def _object(self, code: int, status: str, text: str) -> None:
        """A reply to what is wrong with the client itself; too many of them end the session."""
        self._errors += 1
        self._say(code, status, text)
        if self._errors > MOST_ERRORS:
            self.hang_up(Reply(421, "4.7.0", "too many errors"))

    def _say(self, code: int, status: str, text: str) -> None:
        self._said += f"{code} {status} {text}\r\n".encode() if status else f"{code} {text}\r\n".encode()


_COMMANDS: dict[str, Callable[[Session, str], None]] = {
    "LHLO": Session._lhlo,
    "EHLO": Session._ehlo,
    "HELO": Session._helo,
    "MAIL": Session._mail,
    "RCPT": Session._rcpt,
    "DATA": Session._begin_data,
    "RSET": Session._reset,
    "NOOP": Session._nothing,
    "VRFY": Session._verify,
    "EXPN": Session._expand,
    "HELP": Session._help,
    "QUIT": Session._quit,
    "STARTTLS": Session._start_tls,
}
_OF_HTTP = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "PRI"})
# What MAIL may say more (RFC 1870, RFC 6152, RFC 6531), and with which values.
_PARAMETERS = {
    "SIZE": re.compile("[0-9]{1,20}"),
    "BODY": re.compile("7BIT|8BITMIME", re.IGNORECASE),
    "SMTPUTF8": re.compile(""),
}
# Path = "<" [ A-d-l ":" ] Mailbox ">"; A-d-l = "@" Domain *( "," "@" Domain ) (section 4.1.2). A source route is
# accepted and ignored, as section 4.1.1.3 asks. What is no mailbox is nobody's here, so a loose pattern does.
_PATH = re.compile(r'<(?:@[^\s"<>:]+:)?(?P<mailbox>(?:[^"<>]|"(?:[^"\\]|\\.)*")*)>')
_PARAMETER = re.compile(r"(?P<key>[A-Za-z0-9][A-Za-z0-9-]{0,30})(?:=(?P<value>[!-<>-~]+))?")


def _read_path(keyword: str, rest: str) -> tuple[str, dict[str, str]] | None:
    """The mailbox in a MAIL or RCPT command ("" for <>), and its parameters; None for what is no such command."""
    if rest[: len(keyword)].upper() != keyword:
        return None
    text = rest[len(keyword) :].lstrip(" ")  # many write a blank there
    path = _PATH.match(text)
    if path is None:
        return None
    parameters: dict[str, str] = {}
    more = text[path.end() :]
    if more[:1] not in ("", " "):
        return None
    for word in more.split():
        found = _PARAMETER.fullmatch(word)
        if found is None or found["key"].upper() in parameters:
            return None
        parameters[found["key"].upper()] = found["value"] or ""
    return path["mailbox"], parameters


def _unstuffed(data: bytearray) -> bytes:
    """A message as it was before it was sent: without the dot before each line that began with one (section 4.5.2)."""
    if data[:1] == b".":
        del data[:1]
    return bytes(data if data.find(b"\r\n.") < 0 else data.replace(b"\r\n.", b"\r\n"))

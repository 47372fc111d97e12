"""The LMTP and SMTP listener, as its clients see it: smtplib and plain sockets against the real thing."""

from __future__ import annotations

import asyncio
import smtplib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.intake.test_accepting import no_more_files
from tests.intake.test_certificate import a_certificate
from tests.lab.servers import free_port
from tlsrpt.config import LmtpSource, ReceiveConfig
from tlsrpt.core.errors import ConfigError, OverloadError, SourceError, StoreBusyError, StoreError
from tlsrpt.core.findings import Finding
from tlsrpt.core.limits import Limits
from tlsrpt.intake.lmtp import LmtpListener, reply_to
from tlsrpt.intake.room import Room
from tlsrpt.intake.source import Desk, Status
from tlsrpt.intake.way import OUTCOMES, Taken, Way
from tlsrpt.store.values import Kept

PATIENCE_S = 20.0
NEW = Taken(outcome="new", kept=(Kept(result="new", id=17),))
MESSAGE = b"From: a@sender.example\r\nSubject: caf\xc3\xa9\r\n\r\n.\r\n..two\r\n\x00\xff bare\nline feeds\n.\nand\rreturns\r\n"


class Recorder:
    """Takes what it is given, and says what it was told to: a Taken, or an error to raise."""

    def __init__(self, *said: Taken | Exception) -> None:
        self.said = list(said)
        self.taken: list[tuple[bytes, str]] = []
        self.begun = threading.Event()
        self.gate: asyncio.Event | None = None  # messages that begin with "slow" wait for it

    async def __call__(
        self,
        data: bytes,
        *,
        way: Way,
        where: str = "",
        file_name: str = "",
        noted: tuple[Finding, ...] = (),
        claims_report: bool = False,
    ) -> Taken:
        self.begun.set()
        if data.startswith(b"slow") and self.gate is not None:
            await self.gate.wait()
        said = self.said.pop(0) if self.said else NEW
        if isinstance(said, Exception):
            raise said
        self.taken.append((data, where))
        return said

    @property
    def messages(self) -> list[bytes]:
        return [data for data, _ in self.taken]


class Running:
    """A listener at work in a thread of its own."""

    def __init__(self, config: LmtpSource, take: Recorder, limits: Limits, receive: ReceiveConfig) -> None:
        way = Way(name="lmtp", kind="lmtp")
        self.works, self.ended = threading.Event(), threading.Event()
        self.status = Status(way, lambda: datetime.now(UTC), self._changed)
        self.room = Room(receive)
        self.take = take
        self.listener = LmtpListener(config, way, limits)
        self.path = config.listen.removeprefix("unix:")
        self.defects: list[dict[str, object]] = []
        self.told: list[tuple[str, dict[str, object]]] = []
        self.failed: SourceError | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._task: asyncio.Task[None] | None = None

    def _changed(self, status: Status) -> None:
        if status.state == "working":
            self.works.set()

    def info(self, event: str, /, **fields: object) -> None:
        """What the listener says in the service's log."""
        self.told.append((event, fields))

    warning = error = info

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            self._loop.set_exception_handler(lambda _, context: self.defects.append(context))
            runner.run(self._main())

    async def _main(self) -> None:
        self.take.gate = asyncio.Event()
        desk = Desk(
            take=self.take,
            room=self.room,
            status=self.status,
            place=_no_place,
            keep_place=_keep_no_place,
            log=self,
        )
        self._task = asyncio.create_task(self.listener.run(desk))
        try:
            await self._task
        except asyncio.CancelledError:
            pass
        except SourceError as error:
            self.failed = error
        finally:
            self.works.set()
            self.ended.set()

    def start(self) -> None:
        self._thread.start()
        assert self.works.wait(PATIENCE_S)

    def soon(self, call: Callable[[], object]) -> None:
        """Call in the listener's own thread, and wait until that is done."""
        done = threading.Event()
        self._loop.call_soon_threadsafe(lambda: (call(), done.set()))
        assert done.wait(PATIENCE_S)

    def open_gate(self) -> None:
        assert self.take.gate is not None
        self.soon(self.take.gate.set)

    def cancel(self) -> None:
        assert self._task is not None
        self.soon(self._task.cancel)

    def stop(self) -> None:
        if not self.ended.is_set():
            self.cancel()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()


async def _no_place(_key: str) -> str | None:
    return None


async def _keep_no_place(_key: str, _value: str) -> None:
    return None


Start = Callable[..., Running]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts listeners on a unix socket in the test's folder; all of them are stopped, and none may have failed."""
    started: list[Running] = []

    def start(
        take: Recorder | None = None,
        *,
        limits: Limits = Limits(),  # noqa: B008 - a frozen value
        receive: ReceiveConfig = ReceiveConfig(),  # noqa: B008
        listen: str = "",
        **config: object,
    ) -> Running:
        source = LmtpSource(
            listen=listen or f"unix:{tmp_path}/s", recipients=("tls@example.com", "two@example.com"), **config
        )
        running = Running(source, take or Recorder(), limits, receive)
        started.append(running)
        running.start()
        return running

    yield start
    for running in started:
        running.open_gate() if not running.ended.is_set() else None
        running.stop()
        assert running.defects == []
        assert (running.room.documents, running.room.bytes) == (0, 0)


class Client:
    """A client that says what it is told to, and reads replies one by one."""

    def __init__(self, running: Running) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(running.path)
        self._lines = self.socket.makefile("rb")

    def reply(self) -> str:
        """The next reply's last line; "" once the server has closed."""
        while (line := self._lines.readline())[3:4] == b"-":
            pass
        return line.decode().rstrip("\r\n")

    def say(self, *lines: bytes) -> list[str]:
        """Say lines one by one; the reply to each."""
        replies = []
        for line in lines:
            self.socket.sendall(line + b"\r\n")
            replies.append(self.reply())
        return replies

    def begin(self, *recipients: bytes) -> None:
        """Up to the message."""
        rcpt = [b"RCPT TO:<" + recipient + b">" for recipient in recipients or (b"tls@example.com",)]
        replies = self.say(b"MAIL FROM:<a@sender.example>", *rcpt, b"DATA")
        assert [reply[:3] for reply in replies] == ["250"] * (1 + len(rcpt)) + ["354"], replies

    def send(self, message: bytes) -> str:
        self.begin()
        return self.say(message + b"\r\n.")[0]

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()
        self.socket.close()


@contextmanager
def a_client(running: Running) -> Iterator[Client]:
    """A client that has said LHLO."""
    with Client(running) as client:
        assert client.reply().startswith("220 ")
        assert client.say(b"LHLO client.example")[0].startswith("250 ")
        yield client


# --- What a message's outcome is to its client ------------------------------------------------------------------------


def test_a_mail_arrives_byte_for_byte(start: Start) -> None:
    """As smtplib sends it; its own dots, NULs and bare line ends too."""
    running = start()
    with smtplib.LMTP(running.path) as lmtp:
        assert lmtp.sendmail("a@sender.example", ["tls@example.com"], MESSAGE.replace(b"\n.\nand", b"\nand")) == {}
        assert lmtp.sendmail("", ["TLS@EXAMPLE.COM"], b"second\r\n") == {}
    assert running.take.messages == [MESSAGE.replace(b"\n.\nand", b"\nand"), b"second\r\n"]


def test_one_message_for_two_recipients_is_kept_once_and_answered_twice(start: Start) -> None:
    """RFC 2033 section 4.2: a reply for each; smtplib reads the first only, so by hand."""
    running = start()
    with a_client(running) as client:
        client.begin(b"tls@example.com", b"two@example.com")
        assert client.say(b"x\r\n.") == ["250 2.0.0 kept: report 17"]
        assert client.reply() == "250 2.0.0 kept: report 17"
        assert client.say(b"NOOP") == ["250 2.0.0 yes"]
    assert running.take.messages == [b"x\r\n"]


def test_smtp_is_answered_once(start: Start) -> None:
    running = start(protocol="smtp")
    with Client(running) as client:
        assert "ESMTP" in client.reply()
        assert client.say(b"LHLO c.example", b"EHLO c.example")[0].startswith("500 ")
        client.begin(b"tls@example.com", b"two@example.com")
        assert client.say(b"x\r\n.", b"NOOP") == ["250 2.0.0 kept: report 17", "250 2.0.0 yes"]
    assert running.take.messages == [b"x\r\n"]


def test_only_the_configured_recipients_are_served(start: Start) -> None:
    running = start()
    with smtplib.LMTP(running.path) as lmtp:
        refused = lmtp.sendmail("a@sender.example", ["tls@example.com", "x@example.com"], b"x\r\n")
        assert refused == {"x@example.com": (550, b"5.1.1 no mail is taken for this address here")}
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            lmtp.sendmail("a@sender.example", ["x@example.com"], b"x\r\n")
    assert running.take.messages == [b"x\r\n"]


@pytest.mark.parametrize(
    ("taken", "reply"),
    [
        (NEW, "250 2.0.0 kept: report 17"),
        (Taken(outcome="known"), "250 2.0.0 known already"),
        (Taken(outcome="conflict"), "250 2.0.0 kept, in conflict with another report of the same identity"),
        (
            Taken(outcome="quarantined", reason="$: no JSON", kept=(Kept(result="quarantined", id=5),)),
            "250 2.0.0 quarantined as 5: $: no JSON",
        ),
        (Taken(outcome="other", reason="a DMARC report"), "250 2.0.0 not kept, no TLS report: a DMARC report"),
        (Taken(outcome="too-large", reason="17 bytes"), "552 5.3.4 17 bytes"),
        (Taken(outcome="refused", reason="not proven"), "550 5.7.1 not proven"),
        (Taken(outcome="unkept", reason="x\r\n250 evil\x1b"), r"451 4.3.0 x\r\n250 evil\x1b"),
        (StoreBusyError("disk full", where="/var/lib/x.db"), "451 4.3.0 disk full; come again"),
        (StoreError("it is of another version"), "451 4.3.0 it is of another version; come again"),
        (OverloadError("2,000 documents are in work already", retry_after_s=30), "451 4.4.5 2,000 documents are in work already; come again"),
    ],
)  # fmt: skip
def test_each_outcome_has_its_reply(start: Start, taken: Taken | Exception, reply: str) -> None:
    """And the session goes on after each."""
    running = start(Recorder(taken))
    with a_client(running) as client:
        assert client.send(b"first") == reply
        assert client.send(b"second") == "250 2.0.0 kept: report 17"


def test_no_outcome_is_without_a_reply() -> None:
    for outcome in OUTCOMES:
        assert reply_to(Taken(outcome=outcome)).code in (250, 451, 550, 552)


def test_a_message_that_we_cannot_bear_is_put_off_and_told(start: Start) -> None:
    """A defect of ours loses no report, and ends nobody's session."""
    running = start(Recorder(ZeroDivisionError("x")))
    with a_client(running) as client:
        assert client.send(b"first") == "451 4.3.0 a defect in tlsrpt; its log says more. Come again"
        assert client.send(b"second") == "250 2.0.0 kept: report 17"
    assert [event for event, _ in running.told] == ["a defect in tlsrpt; please report it"]


def test_the_client_is_named(start: Start) -> None:
    port = free_port()
    running = start(listen=f"127.0.0.1:{port}")
    with smtplib.LMTP("127.0.0.1", port) as lmtp:
        lmtp.sendmail("a@sender.example", ["tls@example.com"], b"x\r\n")
    assert running.take.taken == [(b"x\r\n", "127.0.0.1")]


# --- Too large, too much, too many ------------------------------------------------------------------------------------


def test_too_large_a_message_is_refused_and_counted(start: Start) -> None:
    """By the size that MAIL says, and by what comes where it says none; the session goes on."""
    running = start(limits=Limits(compressed_bytes=100_000))
    with smtplib.LMTP(running.path) as lmtp:
        lmtp.ehlo_or_helo_if_needed()
        assert lmtp.esmtp_features["size"] == "100000"
        with pytest.raises(smtplib.SMTPSenderRefused) as caught:
            lmtp.sendmail("a@sender.example", ["tls@example.com"], b"x" * 100_001)
        assert caught.value.smtp_code == 552
    with a_client(running) as client:
        client.begin(b"tls@example.com", b"two@example.com")
        assert client.say(b"x" * 1_000_000 + b"\r\n.")[0].startswith("552 5.3.4 larger than 100000 bytes")
        assert client.reply().startswith("552 5.3.4")
        assert client.send(b"x" * 90_000) == "250 2.0.0 kept: report 17"
    assert running.status.outcomes["too-large"] == 2
    assert running.told == [("document too large", {"source": "lmtp", "where": ""})] * 2
    assert len(running.take.taken) == 1


def test_what_is_held_of_a_message_is_counted_as_it_comes(start: Start) -> None:
    """Memory is bounded by what the room allows, also for messages that never end."""
    running = start(receive=ReceiveConfig(waiting_bytes=1024 * 1024))
    with a_client(running) as slow, a_client(running) as other:
        slow.begin()
        slow.socket.sendall(b"x" * 900_000)
        other.begin()
        other.socket.sendall(b"x" * 900_000)
        other.socket.sendall(b"\r\n.\r\n")
        replies = [other.reply()]
        slow.socket.sendall(b"\r\n.\r\n")
        replies.append(slow.reply())
        # Whose bytes were read first has room; the other comes again.
        assert sorted(reply[:9] for reply in replies) in (["250 2.0.0", "451 4.4.5"], ["250 2.0.0", "250 2.0.0"])
        assert running.room.bytes == 0
        assert other.send(b"small") == "250 2.0.0 kept: report 17"


def test_without_room_for_a_message_it_is_put_off_before_it_comes(start: Start) -> None:
    running = start(receive=ReceiveConfig(waiting_documents=1))
    with a_client(running) as first, a_client(running) as second:
        first.begin()
        replies = second.say(b"MAIL FROM:<>", b"RCPT TO:<tls@example.com>", b"DATA", b"NOOP")
        assert replies[2] == "451 4.4.5 1 documents are in work already; come again"
        assert replies[3].startswith("250 ")
        assert first.say(b"x\r\n.") == ["250 2.0.0 kept: report 17"]
        assert second.send(b"now") == "250 2.0.0 kept: report 17"
    assert running.status.turned_away == 1


def test_too_many_messages_a_minute_are_told_421_and_hung_up(start: Start) -> None:
    running = start(per_address=2)
    with a_client(running) as client:
        assert client.send(b"1").startswith("250")
        assert client.send(b"2").startswith("250")
        replies = client.say(b"MAIL FROM:<>", b"RCPT TO:<tls@example.com>", b"DATA")
        assert replies[2] == "421 4.7.0 more than 2 a minute from one address"
        assert client.reply() == ""
    assert running.take.messages == [b"1\r\n", b"2\r\n"]
    assert running.status.turned_away == 1


def test_connections_beyond_the_limit_are_told_421(start: Start) -> None:
    running = start(connections=2)
    with a_client(running) as first, a_client(running):
        with Client(running) as third:
            assert third.reply() == "421 4.7.0 2 connections are open already; come again"
            assert third.reply() == ""
        assert first.say(b"QUIT")[0].startswith("221 ")
        assert first.reply() == ""
        with a_client(running) as next_one:
            assert next_one.send(b"x") == "250 2.0.0 kept: report 17"
    assert running.status.turned_away == 1


def test_without_file_descriptors_connections_wait(start: Start) -> None:
    """LimitNOFILE too low: those who are in are served, the others once there are files again."""
    running = start()
    with a_client(running) as first, socket.socket(socket.AF_UNIX) as late:
        late.settimeout(PATIENCE_S)
        with no_more_files():
            late.connect(running.path)
            assert first.send(b"x") == "250 2.0.0 kept: report 17"
        assert late.recv(100).startswith(b"220 ")


# --- Slow, silent and hostile clients ---------------------------------------------------------------------------------


def test_a_silent_client_is_hung_up(start: Start) -> None:
    running = start(within_s=0.2)
    with Client(running) as client:
        assert client.reply().startswith("220 ")
        assert client.reply() == "421 4.4.2 no command came for more than 0.2 seconds"
        assert client.reply() == ""


def test_a_client_that_trickles_a_command_is_hung_up(start: Start) -> None:
    """Bytes that make no command win no time."""
    running = start(within_s=0.3)
    with a_client(running) as client:
        trickle(client, b"N")
        assert client.reply().startswith("421 4.4.2 no command came")


def test_a_client_that_trickles_its_message_is_hung_up(start: Start) -> None:
    """The time is for the whole message, however lively its bytes come."""
    running = start(within_s=0.3)
    with a_client(running) as client:
        client.begin()
        trickle(client, b"line\r\n")
        assert client.reply().startswith("421 4.4.2 the message took more than")
    assert running.take.messages == []


def trickle(client: Client, piece: bytes) -> None:
    """Send pieces until the server has closed or speaks."""
    client.socket.settimeout(0.01)
    try:
        while True:
            client.socket.sendall(piece)
            try:
                client.socket.recv(1, socket.MSG_PEEK)
                break
            except TimeoutError:
                continue
    except OSError:
        pass
    client.socket.settimeout(PATIENCE_S)


def test_while_one_message_is_kept_others_are_served(start: Start) -> None:
    running = start()
    with a_client(running) as slow, a_client(running) as silent, a_client(running) as quick:
        slow.begin()
        slow.socket.sendall(b"slow\r\n.\r\n")
        silent.begin()
        silent.socket.sendall(b"and nothing more")
        for n in range(5):
            assert quick.send(b"quick %d" % n) == "250 2.0.0 kept: report 17"
        running.open_gate()
        assert slow.reply() == "250 2.0.0 kept: report 17"
    assert running.take.messages[-1] == b"slow\r\n"


def test_keeping_may_take_longer_than_a_client_may(start: Start) -> None:
    """The limit is for the client; while we work, it waits for us."""
    running = start(within_s=0.2)
    with a_client(running) as client, Client(running) as clock:
        client.begin()
        client.socket.sendall(b"slow\r\n.\r\n")
        assert clock.reply().startswith("220 ")
        assert clock.reply().startswith("421 4.4.2")  # more than that time has passed
        running.open_gate()
        assert client.reply() == "250 2.0.0 kept: report 17"


def test_a_client_that_sends_on_while_it_waits_is_read_later(start: Start) -> None:
    """Pipelined commands are answered in order; of what comes far ahead, not more is read than is bounded."""
    running = start()
    with a_client(running) as client:
        client.begin()
        client.socket.sendall(b"slow\r\n.\r\n" + b"NOOP\r\n" * 3)
        assert running.take.begun.wait(PATIENCE_S)
        client.socket.sendall(b"MAIL FROM:<>\r\nRCPT TO:<tls@example.com>\r\nDATA\r\n")
        sender = threading.Thread(target=client.socket.sendall, args=(b"y" * 3_000_000 + b"\r\n.\r\n",))
        sender.start()
        running.open_gate()
        replies = [client.reply() for _ in range(8)]
        sender.join(PATIENCE_S)
        assert [reply[:3] for reply in replies] == ["250"] * 6 + ["354", "250"]
    assert [len(message) for message in running.take.messages] == [6, 3_000_002]


def test_a_message_whose_client_went_away_is_kept(start: Start) -> None:
    """It will come again, and be known already."""
    running = start()
    with a_client(running) as client:
        client.begin()
        client.socket.sendall(b"slow\r\n.\r\n")
        assert running.take.begun.wait(PATIENCE_S)
    running.open_gate()
    with a_client(running) as client:
        assert client.send(b"x") == "250 2.0.0 kept: report 17"
    assert running.take.messages == [b"slow\r\n", b"x\r\n"]


def test_half_a_message_is_no_message(start: Start) -> None:
    running = start()
    with a_client(running) as client:
        client.begin()
        client.socket.sendall(b"half of it\r\n")
    with a_client(running) as client:
        assert client.send(b"x") == "250 2.0.0 kept: report 17"
    assert running.take.messages == [b"x\r\n"]


def test_who_closes_his_side_after_the_message_has_his_answer(start: Start) -> None:
    """`nc -N` with a script."""
    running = start()
    with Client(running) as client:
        client.socket.sendall(
            b"LHLO c.example\r\nMAIL FROM:<>\r\nRCPT TO:<tls@example.com>\r\nDATA\r\nslow\r\n.\r\nQUIT\r\n"
        )
        client.socket.shutdown(socket.SHUT_WR)
        assert running.take.begun.wait(PATIENCE_S)
        running.open_gate()
        assert [client.reply()[:3] for _ in range(8)] == ["220", "250", "250", "250", "354", "250", "221", ""]


def test_who_does_not_read_our_replies_is_not_written_to_for_ever(start: Start) -> None:
    """Commands have an end too; until then replies wait in bounded space."""
    running = start()
    with a_client(running) as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        try:
            for _ in range(1_000):
                client.socket.sendall(b"NOOP\r\n" * 1_000)
        except OSError:
            pass
    with a_client(running) as client:
        assert client.send(b"x") == "250 2.0.0 kept: report 17"


def test_a_bare_line_feed_ends_no_message(start: Start) -> None:
    """SMTP smuggling, against the socket."""
    running = start()
    hidden = b"x\n.\nMAIL FROM:<evil@sender.example>\r\nRCPT TO:<tls@example.com>\r\nDATA\r\ny\r\n"
    with a_client(running) as client:
        client.begin()
        assert client.say(hidden + b".") == ["250 2.0.0 kept: report 17"]
    assert running.take.messages == [hidden]


# --- Starting, stopping, TLS ------------------------------------------------------------------------------------------


def test_stopping_lets_a_message_be_kept_and_tells_the_others(start: Start, tmp_path: Path) -> None:
    """421 for who is idle; 250 and then 421 for who has a message under way; nobody is let in any more."""
    running = start()
    with a_client(running) as idle, a_client(running) as sending, a_client(running) as waiting:
        sending.begin()
        waiting.begin()
        waiting.socket.sendall(b"slow\r\n.\r\n")
        assert running.take.begun.wait(PATIENCE_S)
        running.cancel()
        assert idle.reply() == "421 4.3.2 the service is being stopped; come again"
        assert idle.reply() == ""
        assert not (tmp_path / "s").exists()
        assert sending.say(b"x\r\n.") == ["250 2.0.0 kept: report 17"]
        assert sending.reply().startswith("421 4.3.2")
        assert not running.ended.is_set()
        running.open_gate()
        assert waiting.reply() == "250 2.0.0 kept: report 17"
        assert waiting.reply().startswith("421 4.3.2")
        assert running.ended.wait(PATIENCE_S)
    assert sorted(running.take.messages) == [b"slow\r\n", b"x\r\n"]


def test_stopping_does_not_wait_for_ever(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message that is not kept in time is not acknowledged: its client comes again."""
    monkeypatch.setattr("tlsrpt.intake.lmtp.STOP_S", 0.1)
    running = start()
    with a_client(running) as client, a_client(running) as half:
        client.begin()
        client.socket.sendall(b"slow\r\n.\r\n")
        half.begin()
        half.socket.sendall(b"half of it")
        assert running.take.begun.wait(PATIENCE_S)
        running.cancel()
        assert client.reply().startswith("421 4.3.2")
        assert half.reply().startswith("421 4.3.2")
        assert running.ended.wait(PATIENCE_S)
    assert running.take.messages == []


def test_a_place_that_is_taken_is_an_error_of_the_source(start: Start, tmp_path: Path) -> None:
    start()
    second = start()
    assert isinstance(second.failed, SourceError)
    assert "another process listens there" in str(second.failed)
    assert (tmp_path / "s").is_socket()


def test_a_socket_has_its_mode(start: Start, tmp_path: Path) -> None:
    start(mode="0666")
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o666


def trusting(certificate: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(Path(certificate).with_name("ca.pem")))
    context.check_hostname = False
    return context


def test_starttls_and_a_renewed_certificate(start: Start, tmp_path: Path) -> None:
    """The certificate of a reload is shown to the connections to come; the others go on with theirs."""
    first, second = a_certificate(tmp_path, "first"), a_certificate(tmp_path, "second")
    crt, key = tmp_path / "used.crt", tmp_path / "used.key"
    crt.write_bytes(Path(first[0]).read_bytes())
    key.write_bytes(Path(first[1]).read_bytes())
    port = free_port()
    running = start(listen=f"127.0.0.1:{port}", certificate=str(crt), key=str(key))
    with smtplib.LMTP("127.0.0.1", port) as lmtp:
        assert lmtp.starttls(context=trusting(first[0]))[0] == 220
        assert lmtp.sendmail("a@sender.example", ["tls@example.com"], MESSAGE.replace(b"\n.\n", b"\n")) == {}
        assert not lmtp.has_extn("starttls")
        crt.write_bytes(Path(second[0]).read_bytes())
        key.write_bytes(Path(second[1]).read_bytes())
        running.soon(running.listener.reload)
        assert lmtp.sendmail("a@sender.example", ["tls@example.com"], b"again\r\n") == {}
    with smtplib.LMTP("127.0.0.1", port) as lmtp, pytest.raises(ssl.SSLCertVerificationError):
        lmtp.starttls(context=trusting(first[0]))
    with smtplib.LMTP("127.0.0.1", port) as lmtp:
        lmtp.starttls(context=trusting(second[0]))
        assert lmtp.sendmail("a@sender.example", ["tls@example.com"], b"x\r\n") == {}
    assert len(running.take.taken) == 3


def test_a_client_that_fails_at_tls_leaves_its_place(start: Start, tmp_path: Path) -> None:
    crt, key = a_certificate(tmp_path, "first")
    running = start(certificate=crt, key=key, connections=1, within_s=2.0)
    for junk in (b"junk, and no ClientHello\r\n" * 10, b""):
        with a_client(running) as client:
            assert client.say(b"STARTTLS")[0].startswith("220 ")
            client.socket.sendall(junk)
            client.socket.shutdown(socket.SHUT_WR)
            while client.socket.recv(1000):
                pass
    with a_client(running) as client:
        assert client.say(b"STARTTLS")[0].startswith("220 ")
        while client.socket.recv(1000):  # says nothing: until the handshake's time is over
            pass
    with a_client(running) as client:
        assert client.send(b"x") == "250 2.0.0 kept: report 17"


def test_stopping_does_not_wait_for_who_never_says_hello_to_tls(start: Start, tmp_path: Path) -> None:
    crt, key = a_certificate(tmp_path, "first")
    running = start(certificate=crt, key=key)
    with a_client(running) as client:
        assert client.say(b"STARTTLS")[0].startswith("220 ")
        running.cancel()
        assert client.reply() == ""
        assert running.ended.wait(PATIENCE_S)


def test_commands_sent_in_the_clear_behind_starttls_are_not_obeyed(start: Start, tmp_path: Path) -> None:
    crt, key = a_certificate(tmp_path, "first")
    running = start(certificate=crt, key=key)
    with a_client(running) as client:
        client.socket.sendall(b"STARTTLS\r\nMAIL FROM:<evil@sender.example>\r\n")
        assert client.reply().startswith("421 4.7.0")
        assert client.reply() == ""


def test_a_test_says_what_would_be_and_changes_nothing(tmp_path: Path) -> None:
    crt, key = a_certificate(tmp_path, "first")
    config = LmtpSource(listen=f"unix:{tmp_path}/s", recipients=("tls@example.com",), certificate=crt, key=key)
    listener = LmtpListener(config, Way(name="lmtp", kind="lmtp"), Limits())
    assert asyncio.run(listener.test()) == [
        f"unix:{tmp_path}/s: free, and may be listened on",
        "LMTP for tls@example.com",
        f"STARTTLS with {crt}",
    ]
    assert not (tmp_path / "s").exists()
    Path(key).unlink()
    with pytest.raises(SourceError, match="No such file"):
        asyncio.run(listener.test())


def test_a_configuration_that_can_not_be_used_is_one_line() -> None:
    way = Way(name="lmtp", kind="lmtp")
    for config in (
        LmtpSource(listen="localhost", recipients=("tls@example.com",)),
        LmtpSource(listen="127.0.0.1:25", recipients=("nobody",)),
        LmtpSource(listen="127.0.0.1:25", recipients=("tls@example.com",), key="/etc/k.pem"),
    ):
        with pytest.raises(ConfigError):
            LmtpListener(config, way, Limits())

"""The dialogue of LMTP and SMTP, without a socket: the same bytes give the same replies however they are cut."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsrpt.intake.lmtp_session import (
    LONGEST_LINE,
    MOST_COMMANDS,
    MOST_ERRORS,
    MOST_RECIPIENTS,
    Manners,
    Reply,
    Session,
    Step,
)
from tlsrpt.intake.recipients import Recipients

KEPT = Reply(250, "2.0.0", "kept")
SIZE = 200


def a_session(*, lmtp: bool = True, tls: bool = False, size_bytes: int = SIZE) -> Session:
    """A session that has begun, its greeting taken."""
    session = Session(
        Manners(
            name="mx.example.com",
            lmtp=lmtp,
            size_bytes=size_bytes,
            tls=tls,
            recipients=Recipients(["tls@example.com", "two@example.com"]),
        )
    )
    session.greet()
    session.take_said()
    return session


class Talk:
    """What a session says to what it is fed, and what comes of it."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.said = b""
        self.messages: list[bytes] = []
        self.too_large = 0
        self.end: Step = Step.MORE

    def feed(self, *chunks: bytes) -> Talk:
        for chunk in chunks:
            if self.end is not Step.MORE:
                break
            self.session.feed(chunk)
            while (step := self.session.step()) not in (Step.MORE, Step.END, Step.TLS):
                if step is Step.BEGIN:
                    self.session.begin()
                elif step is Step.MESSAGE:
                    self.messages.append(self.session.take_message())
                    self.session.answer(KEPT)
                else:
                    self.too_large += 1
            self.said += self.session.take_said()
            self.end = step
        return self

    @property
    def codes(self) -> list[int]:
        return [int(line[:3]) for line in self.said.splitlines() if line[3:4] == b" "]


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """The data in pieces."""
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[begin:end] for begin, end in pairwise(edges)]


def stuffed(message: bytes) -> bytes:
    """A message as a client sends it (RFC 5321 section 4.5.2), with its end."""
    return (b"\r\n" + message).replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n"


BEGIN = b"LHLO c.example\r\nMAIL FROM:<a@sender.example>\r\nRCPT TO:<tls@example.com>\r\nDATA\r\n"
COMMANDS = st.sampled_from(
    [
        b"LHLO c.example",
        b"EHLO c.example",
        b"MAIL FROM:<a@sender.example>",
        b"mail from: <> SIZE=100 BODY=8BITMIME SMTPUTF8",
        b"MAIL FROM:<a@sender.example> SIZE=201",
        b"RCPT TO:<tls@example.com>",
        b"RCPT TO:<nobody@example.com>",
        b"DATA",
        b"RSET",
        b"NOOP",
        b"QUIT",
        b"STARTTLS",
        b"BDAT 10 LAST",
        b"GET / HTTP/1.1",
        b"x" * (LONGEST_LINE + 1),
        b"",
    ]
)
LINES = st.tuples(COMMANDS | st.binary(max_size=30), st.sampled_from([b"\r\n", b"\n", b"\r", b"\r\n.\r\n", b"\n.\n"]))
CHUNKS = st.lists(LINES | st.just((BEGIN, b"")), max_size=30).map(
    lambda lines: b"".join(b"".join(line) for line in lines)
)


@given(CHUNKS, st.lists(st.integers(0), max_size=20))
def test_the_same_bytes_give_the_same_replies_however_they_are_cut(data: bytes, places: list[int]) -> None:
    whole, pieces = Talk(a_session()).feed(data), Talk(a_session()).feed(*cut(data, places))
    assert (pieces.said, pieces.messages, pieces.too_large, pieces.end) == (
        whole.said,
        whole.messages,
        whole.too_large,
        whole.end,
    )


@given(CHUNKS)
def test_every_reply_is_one_printable_line_in_its_length(data: bytes) -> None:
    """RFC 5321 section 4.5.3.1.5: 512 bytes with the line's end."""
    for line in Talk(a_session()).feed(data).said.splitlines(keepends=True):
        assert re.fullmatch(rb"[2-5][0-9][0-9][ -][ -~]+\r\n", line)
        assert len(line) <= 512


@given(st.binary(max_size=150), st.lists(st.integers(0), max_size=10))
def test_a_message_arrives_byte_for_byte(body: bytes, places: list[int]) -> None:
    """NULs, 8-bit bytes, bare CR and LF, lines that begin with dots: as they were."""
    message = body + b"\r\n"
    talk = Talk(a_session()).feed(BEGIN, *cut(stuffed(message), places))
    assert talk.messages == [message]
    assert talk.codes == [250, 250, 250, 354, 250]


NEARLY_AN_END = st.lists(
    st.sampled_from(
        [b"\n.\n", b"\r.\r", b"\n.\r\n", b"\r\n.\n", b"\r\n.\r", b"\r\r\n.\n", b"\r\n\x00.\r\n", b"a", b"\n"]
    ),
    max_size=20,
).map(b"".join)


@given(NEARLY_AN_END, st.lists(st.integers(0), max_size=20))
def test_only_cr_lf_dot_cr_lf_ends_a_message(body: bytes, places: list[int]) -> None:
    """SMTP smuggling: what looks nearly like an end hides no second mail, wherever the network cuts it."""
    hidden = (
        b"x"
        + body.replace(b"\r\n.\r\n", b"")
        + b"x\r\nMAIL FROM:<evil@sender.example>\r\nRCPT TO:<tls@example.com>\r\n"
    )
    if b"\r\n.\r\n" in hidden:
        return
    talk = Talk(a_session(size_bytes=10_000)).feed(BEGIN, *cut(hidden, places))
    assert talk.messages == []
    assert talk.session.receiving
    talk.feed(b".\r\n")
    assert talk.messages == [hidden.replace(b"\r\n.", b"\r\n")]


@pytest.mark.parametrize("size", [SIZE - 2, SIZE])
def test_a_message_of_the_announced_size_is_taken(size: int) -> None:
    message = b"x" * (size - 2) + b"\r\n"
    assert Talk(a_session()).feed(BEGIN, stuffed(message)).messages == [message]


@pytest.mark.parametrize("size", [SIZE + 1, 10 * SIZE])
@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_a_larger_one_is_read_to_its_end_and_refused(size: int, step: int) -> None:
    """552, once for each recipient; nothing of it is held, and the session goes on."""
    data = stuffed(b"x" * (size - 2) + b"\r\n")
    talk = Talk(a_session()).feed(BEGIN[:-6] + b"RCPT TO:<two@example.com>\r\nDATA\r\n")
    for begin in range(0, len(data), step):
        talk.feed(data[begin : begin + step])
        assert talk.session.held_bytes <= SIZE + 8
    assert talk.messages == []
    assert talk.too_large == 1
    assert talk.codes == [250, 250, 250, 250, 354, 552, 552]
    talk.said = b""
    talk.feed(BEGIN + stuffed(b"small\r\n"))
    assert talk.messages == [b"small\r\n"]


def test_a_size_said_before_is_refused_before() -> None:
    """RFC 1870 section 6.1; a client that knows better says no size."""
    talk = Talk(a_session()).feed(b"LHLO c.example\r\nMAIL FROM:<> SIZE=201\r\nMAIL FROM:<> SIZE=200\r\n")
    assert talk.codes == [250, 552, 250]
    assert talk.too_large == 1
    assert b"552 5.3.4 larger than 200 bytes" in talk.said


def test_each_recipient_has_a_reply_in_lmtp_and_all_of_them_one_in_smtp() -> None:
    """RFC 2033 section 4.2."""
    rest = b"MAIL FROM:<>\r\nRCPT TO:<tls@example.com>\r\nRCPT TO:<no@example.com>\r\nRCPT TO:<two@example.com>\r\nDATA\r\n"
    lmtp = Talk(a_session()).feed(b"LHLO c.example\r\n" + rest + b"x\r\n.\r\n")
    assert lmtp.codes == [250, 250, 250, 550, 250, 354, 250, 250]
    smtp = Talk(a_session(lmtp=False)).feed(b"EHLO c.example\r\n" + rest + b"x\r\n.\r\n")
    assert smtp.codes == [250, 250, 250, 550, 250, 354, 250]
    assert lmtp.messages == smtp.messages == [b"x\r\n"]


def test_an_empty_message_is_a_message() -> None:
    assert Talk(a_session()).feed(BEGIN, b".\r\n").messages == [b""]


def test_a_message_with_a_verdict_is_read_to_its_end_and_answered_with_it() -> None:
    session = a_session()
    talk = Talk(session).feed(BEGIN, b"some of it\r\n")
    session.drop(Reply(451, "4.4.5", "no room"))
    session.drop(Reply(250, "2.0.0", "the first verdict stands"))
    assert session.dropping
    talk.feed(b"x" * 10_000, b"\r", b"\n.\r\nNOOP\r\n")
    assert talk.codes == [250, 250, 250, 354, 451, 250]
    assert talk.messages == []
    assert talk.too_large == 0


def test_a_message_may_be_refused_before_it_comes() -> None:
    session = a_session()
    session.feed(BEGIN)
    assert session.step() is Step.BEGIN
    session.refuse(Reply(451, "4.4.5", "no room"))
    talk = Talk(session).feed(b"DATA\r\n")
    assert talk.codes == [250, 250, 250, 451, 503]


def test_pipelined_messages_wait_for_their_answers() -> None:
    """RFC 2920: commands may follow a message at once; they are read once it is answered."""
    one = b"MAIL FROM:<>\r\nRCPT TO:<tls@example.com>\r\nDATA\r\n"
    session = a_session()
    session.feed(b"LHLO c.example\r\n" + one + b"1\r\n.\r\n" + one)
    assert session.step() is Step.BEGIN
    session.begin()
    assert session.step() is Step.MESSAGE
    assert session.step() is Step.MESSAGE
    session.feed(b"2\r\n.\r\nQUIT\r\n")
    assert session.take_message() == b"1\r\n"
    assert session.step() is Step.MESSAGE
    session.answer(KEPT)
    talk = Talk(session).feed(b"")
    assert talk.messages == [b"2\r\n"]
    assert talk.codes == [250, 250, 250, 354, 250, 250, 250, 354, 250, 221]


@pytest.mark.parametrize(
    ("lines", "codes"),
    [
        pytest.param([b"MAIL FROM:<>"], [503], id="LHLO first"),
        pytest.param([b"EHLO c.example"], [500], id="not EHLO (RFC 2033 section 4.1)"),
        pytest.param([b"HELO c.example"], [500], id="nor HELO"),
        pytest.param([b"LHLO"], [501], id="a name"),
        pytest.param([b"lhlo c.example", b"mail from:<>"], [250, 250], id="no matter which case"),
        pytest.param([b"LHLO c.example", b"MAIL FROM:<>", b"MAIL FROM:<>"], [250, 250, 503], id="one at a time"),
        pytest.param([b"LHLO c.example", b"MAIL FROM:<>", b"RSET", b"MAIL FROM:<>"], [250] * 4, id="RSET"),
        pytest.param([b"LHLO c.example", b"MAIL FROM:<>", b"LHLO c", b"RCPT TO:<tls@example.com>"], [250, 250, 250, 503], id="LHLO resets"),
        pytest.param([b"LHLO c.example", b"RCPT TO:<tls@example.com>"], [250, 503], id="MAIL first"),
        pytest.param([b"LHLO c.example", b"DATA"], [250, 503], id="RCPT first"),
        pytest.param([b"LHLO c.example", b"MAIL FROM:<>", b"RCPT TO:<x@example.com>", b"DATA"], [250, 250, 550, 503], id="RFC 2033 section 4.2"),
        pytest.param([b"LHLO c.example", b"MAIL FROM:<a@b.example> BODY=7BIT"], [250, 250], id="7BIT"),
        pytest.param([b"LHLO c.example", b"MAIL FROM:<a@b.example> BODY=BINARYMIME"], [250, 501], id="no BINARYMIME"),
        pytest.param([b"LHLO c.example", b"MAIL FROM:<a@b.example> SIZE=x"], [250, 501], id="SIZE is a number"),
        pytest.param([b"LHLO c.example", b"MAIL FROM:<a@b.example> SIZE=1 SIZE=2"], [250, 501], id="SIZE is one"),
        pytest.param([b"LHLO c.example", b"MAIL FROM:<a@b.example> RET=HDRS"], [250, 555], id="DSN is not offered"),
        pytest.param([b"LHLO c.example", b"MAIL FROM:a@b.example"], [250, 501], id="brackets"),
        pytest.param([b"LHLO c.example", b"MAIL FROM:<a@b.example>x"], [250, 501], id="nothing behind them"),
        pytest.param([b"LHLO c.example", b'MAIL FROM:<"a>b"@c.example>'], [250, 250], id="a bracket in quotes"),
        pytest.param([b"LHLO c.example", "MAIL FROM:<ä@b.example> SMTPUTF8".encode()], [250, 250], id="SMTPUTF8"),
        pytest.param([b"LHLO c.example", b"MAIL FROM:<\xe4@b.example>"], [250, 500], id="no Latin-1"),
        pytest.param([b"LHLO c.example", b"MAIL FROM:<>", b"RCPT TO:<@a.example,@b.example:tls@example.com>"], [250] * 3, id="source route"),
        pytest.param([b"LHLO c.example", b"MAIL FROM:<>", b"RCPT TO:<>"], [250, 250, 501], id="no empty recipient"),
        pytest.param([b"LHLO c.example", b"MAIL FROM:<>", b"RCPT TO:<tls@example.com> NOTIFY=NEVER"], [250, 250, 555], id="no DSN either"),
        pytest.param([b"LHLO c.example", b"MAIL FROM:<>", b"RCPT TO:<tls@example.com>", b"DATA now"], [250, 250, 250, 501], id="DATA alone"),
        pytest.param([b"LHLO c.example", b"MAIL FROM:<>", b"RCPT TO:<postmaster>"], [250, 250, 550], id="nobody's postmaster"),
        pytest.param([b"VRFY tls", b"EXPN tls", b"HELP", b"NOOP x", b"RSET"], [252, 502, 214, 250, 250], id="the others"),
        pytest.param([b"AUTH PLAIN", b"ETRN x", b"", b" "], [500] * 4, id="unknown"),
        pytest.param([b"STARTTLS"], [502], id="no TLS without a certificate"),
        pytest.param([b"x\ry"], [500], id="a bare CR"),
        pytest.param([b"x" * (LONGEST_LINE + 1), b"NOOP"], [500, 250], id="too long"),
        pytest.param([b"x" * 10 * LONGEST_LINE, b"NOOP"], [500, 250], id="far too long"),
        pytest.param([b"QUIT", b"NOOP"], [221], id="nothing after QUIT"),
    ],
)  # fmt: skip
def test_commands_and_their_replies(lines: list[bytes], codes: list[int]) -> None:
    assert Talk(a_session()).feed(b"".join(line + b"\r\n" for line in lines)).codes == codes


def test_a_line_that_ends_with_lf_alone_is_told_so() -> None:
    """Who tries by hand with nc sees why; a bare LF is no end of a command (RFC 5321 section 2.3.8)."""
    assert Talk(a_session()).feed(b"LHLO c.example\n").said == (
        b"500 5.5.2 a command ends with CR LF, and has neither of them within\r\n"
    )


def test_what_is_offered() -> None:
    said = Talk(a_session(tls=True)).feed(b"LHLO c.example\r\n").said.decode().splitlines()
    assert said == [
        "250-mx.example.com",
        "250-PIPELINING",
        "250-SIZE 200",
        "250-8BITMIME",
        "250-SMTPUTF8",
        "250-STARTTLS",
        "250 ENHANCEDSTATUSCODES",
    ]
    assert Talk(a_session(lmtp=False)).feed(b"HELO c.example\r\n").said == b"250 mx.example.com\r\n"


def test_after_tls_all_is_as_at_the_beginning() -> None:
    """RFC 3207 section 4.2: what was said in the clear is forgotten, and STARTTLS is not offered again."""
    session = a_session(tls=True)
    talk = Talk(session).feed(b"LHLO c.example\r\nMAIL FROM:<>\r\nSTARTTLS now\r\n", b"STARTTLS\r\n")
    assert talk.codes == [250, 250, 501, 220]
    assert talk.end is Step.TLS
    session.secured()
    talk = Talk(session).feed(b"RCPT TO:<tls@example.com>\r\nMAIL FROM:<>\r\nLHLO c.example\r\nSTARTTLS\r\n")
    assert talk.codes == [503, 503, 250, 503]
    assert b"STARTTLS" not in talk.said


def test_what_came_in_the_clear_is_not_read_as_if_it_had_come_by_tls() -> None:
    """CVE-2011-0411: a man in the middle adds commands behind STARTTLS."""
    talk = Talk(a_session(tls=True)).feed(b"LHLO c.example\r\nSTARTTLS\r\nMAIL FROM:<evil@sender.example>\r\n")
    assert talk.codes == [250, 421]
    assert talk.end is Step.END


@pytest.mark.parametrize(
    "line", [b"POST /x HTTP/1.1", b"GET / HTTP/1.0", b"OPTIONS * HTTP/1.1", b"FOO / HTTP/1.1", b"PRI * HTTP/2.0"]
)
def test_a_browser_is_no_client(line: bytes) -> None:
    """A page could let a browser post to a port of loopback, LMTP in the body: nothing of it is read."""
    talk = Talk(a_session()).feed(line + b"\r\nHost: 127.0.0.1\r\n\r\n" + BEGIN + b"x\r\n.\r\n")
    assert talk.codes == [421]
    assert talk.messages == []


def test_a_chunk_that_was_not_asked_for_is_not_read_as_commands() -> None:
    talk = Talk(a_session()).feed(BEGIN[:-6] + b"BDAT 40 LAST\r\n" + BEGIN + b"x\r\n.\r\n")
    assert talk.codes == [250, 250, 250, 421]
    assert talk.messages == []


def test_too_many_errors_end_the_session() -> None:
    talk = Talk(a_session()).feed(b"x\r\n" * (MOST_ERRORS + 5))
    assert talk.codes == [500] * (MOST_ERRORS + 1) + [421]


def test_too_many_commands_without_a_message_end_the_session() -> None:
    """NOOP for ever holds no connection; a message begins the count anew."""
    talk = Talk(a_session()).feed(b"NOOP\r\n" * (MOST_COMMANDS - 10))
    talk.feed(BEGIN, b"x\r\n.\r\n", b"NOOP\r\n" * MOST_COMMANDS)
    assert talk.end is Step.MORE
    talk.feed(b"NOOP\r\n")
    assert talk.codes[-1] == 421
    assert talk.end is Step.END


def test_recipients_beyond_a_hundred_come_in_another_message() -> None:
    """RFC 5321 section 4.5.3.1.10: 452, and the client sends the rest later."""
    talk = Talk(a_session()).feed(
        b"LHLO c.example\r\nMAIL FROM:<>\r\n", b"RCPT TO:<tls@example.com>\r\n" * (MOST_RECIPIENTS + 1)
    )
    assert talk.codes == [250, 250] + [250] * MOST_RECIPIENTS + [452]


def test_a_command_without_end_is_not_held() -> None:
    session = a_session()
    for _ in range(100):
        session.feed(b"x" * 1_000)
        assert session.step() is Step.MORE
        assert session.waiting_bytes <= LONGEST_LINE
    assert Talk(session).feed(b"\r\nNOOP\r\n").codes == [500, 250]


def test_a_hang_up_is_the_last_word() -> None:
    session = a_session()
    session.feed(BEGIN + b"x\r\n")
    assert session.step() is Step.BEGIN
    session.begin()
    session.step()
    session.take_said()
    session.hang_up(Reply(421, "4.3.2", "the service stops"))
    session.feed(b".\r\nNOOP\r\n")
    assert session.step() is Step.END
    assert session.take_said() == b"421 4.3.2 the service stops\r\n"
    assert session.held_bytes == 0


@given(st.text())
def test_any_reason_makes_one_printable_line(reason: str) -> None:
    """Reasons quote what strangers wrote: report names, media types."""
    assert re.fullmatch(rb"250 2\.0\.0 [ -~]{0,300}\r\n", bytes(Reply(250, "2.0.0", reason)))

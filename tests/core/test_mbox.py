"""An mbox gives back the messages that went in, in bounded memory, whoever wrote it."""

from __future__ import annotations

import io
import mailbox
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlsrpt.core.limits import Limits
from tlsrpt.core.mbox import OversizedMessage, is_mbox, split_mbox

MAIL = b"From: tls@sender.example\nSubject: a\n\nbody\n"
POSTMARK = b"From tls@sender.example Mon Mar  2 03:12:44 2026\n"


class Dribble:
    """A file that gives few bytes at a time, as a pipe does."""

    def __init__(self, data: bytes, size: int) -> None:
        self.file, self.size = io.BytesIO(data), size

    def read(self, size: int, /) -> bytes:
        return self.file.read(min(size, self.size))


def split(data: bytes) -> list[bytes | OversizedMessage]:
    return list(split_mbox(io.BytesIO(data)))


@pytest.mark.parametrize(
    "postmark", [POSTMARK, b"From - Mon Mar  2 03:12:44 2026\n", b"From MAILER-DAEMON\n", b"From \n"]
)
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_messages_come_out_as_they_went_in(postmark: bytes, end: bytes) -> None:
    """Byte for byte: the same mail as a file and in an mbox must be the same document."""
    mail = MAIL.replace(b"\n", end)
    mbox = (postmark + MAIL + b"\n" + postmark + MAIL + b"\n").replace(b"\n", end)
    assert split(mbox) == [mail, mail]


def test_text_that_begins_with_from_does_not_tear_a_message() -> None:
    mail = MAIL + b"\nFrom my point of view\nall is well\n"
    assert split(POSTMARK + mail + b"\n" + POSTMARK + MAIL) == [mail, MAIL]


def test_a_missing_empty_line_before_a_dated_postmark_is_forgiven() -> None:
    assert split(POSTMARK + MAIL + POSTMARK + MAIL) == [MAIL, MAIL]


def test_quoted_lines_are_unquoted_once() -> None:
    """mboxrd: `>From ` was `From `, `>>From ` was `>From `."""
    assert split(POSTMARK + MAIL + b">From x\n>>From y\n> From z\n") == [MAIL + b"From x\n>From y\n> From z\n"]


def test_what_is_no_mbox_gives_no_message() -> None:
    assert split(b"") == split(b"From") == split(b"hello\nFrom x\n") == split(MAIL) == []
    assert split(b"preamble\n\n" + POSTMARK + MAIL) == [MAIL]


@pytest.mark.parametrize(
    ("data", "answer"),
    [(POSTMARK + MAIL, True), (b"\n" + POSTMARK + MAIL, True), (MAIL, False), (b"From me to you\n\nhi", False), (b"{}", False)],
)  # fmt: skip
def test_an_mbox_is_known_by_its_beginning(data: bytes, answer: bool) -> None:
    assert is_mbox(data) is answer


def test_a_message_over_the_limit_is_named_and_the_next_is_found() -> None:
    limits = Limits(compressed_bytes=100_000)
    large = MAIL + b"x" * 3_000_000 + b"\n"
    first, second, third = split_mbox(io.BytesIO((POSTMARK + MAIL + b"\n" + POSTMARK + large + b"\n") + POSTMARK + MAIL), limits=limits)  # fmt: skip
    assert first == third == MAIL
    assert isinstance(second, OversizedMessage)
    assert second.size_bytes == len(large) + 1
    assert second.beginning == large[: len(second.beginning)]
    assert 0 < len(second.beginning) <= 65_536


@pytest.mark.parametrize("filling", [b"x", b"\n", b"\nFrom ", b"\nFrom x\nA:" + b"y" * 500, b"\n>From "])
def test_memory_stays_bounded_whatever_the_file_holds(filling: bytes) -> None:
    """No line, message or row of postmarks makes it hold more than the limit and a few chunks."""

    class Endless:
        left = 24

        def read(self, size: int, /) -> bytes:
            self.left -= 1
            return (filling * (size // len(filling) + 1))[:size] if self.left >= 0 else b""

    tracemalloc.start()
    try:
        for _ in split_mbox(Endless(), limits=Limits(compressed_bytes=1_000_000)):
            pass
        assert tracemalloc.get_traced_memory()[1] < 12_000_000
    finally:
        tracemalloc.stop()


LINES = st.lists(
    st.sampled_from([b"a", b"", b"From x", b">From x", b"From the sea: blue", b"Subject: b", b"x" * 60]), max_size=12
)


@settings(deadline=None)  # it writes files
@given(st.lists(LINES.map(lambda lines: b"From: a@b.example\n\n" + b"\n".join(lines) + b"\n"), max_size=5))
def test_what_pythons_mailbox_writes_is_read_back(tmp_path_factory: pytest.TempPathFactory, mails: list[bytes]) -> None:
    """The standard library's mbox quotes as mboxo does: only a line already quoted loses its mark."""
    path = tmp_path_factory.mktemp("mbox") / "mbox"
    written = mailbox.mbox(str(path))
    for mail in mails:
        written.add(mail)
    written.close()
    with Path(path).open("rb") as file:
        assert list(split_mbox(file)) == [mail.replace(b"\n>From ", b"\nFrom ") for mail in mails]


@given(
    st.lists(st.sampled_from([POSTMARK, MAIL, b"\n", b"\r\n", b"From ", b">From x\n", b"a:", b"y" * 5000])),
    st.integers(1, 9000),
)
def test_the_size_of_the_pieces_read_does_not_matter(pieces: list[bytes], size: int) -> None:
    data = b"".join(pieces)
    assert list(split_mbox(Dribble(data, size))) == split(data)


@given(st.binary())
def test_any_bytes_are_split(data: bytes) -> None:
    split(data)
    is_mbox(data)

"""Secrets from files, the environment and commands."""

from __future__ import annotations

import os
import re
import select
import traceback
from pathlib import Path

import pytest

from tlsrpt.core.errors import ConfigError, SourceError
from tlsrpt.intake.secrets import LONGEST_BYTES, read_secret


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        pytest.param(b"hunter2", "hunter2", id="no newline"),
        pytest.param(b"hunter2\n", "hunter2", id="an editor's newline"),
        pytest.param(b"hunter2\r\n", "hunter2", id="an editor's newline on Windows"),
        pytest.param(b" two words \n", " two words ", id="blanks belong to it"),
        pytest.param("pässwörd\n".encode(), "pässwörd", id="UTF-8"),
        pytest.param(b"hunter2\nuser: tls\nurl: x\n", "hunter2", id="a password store's further lines"),
    ],
)
def test_the_first_line_of_a_file_is_the_secret(content: bytes, secret: str, tmp_path: Path) -> None:
    (tmp_path / "password").write_bytes(content)
    assert read_secret("password", file=str(tmp_path / "password")) == secret


def test_a_variable_and_a_command_give_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TLS_PASSWORD", "hunter2")
    assert read_secret("password", env="TLS_PASSWORD") == "hunter2"
    assert read_secret("password", command="printf 'hunter%s\\nmore\\n' 2") == "hunter2"


def test_it_is_read_anew_each_time(tmp_path: Path) -> None:
    """A password that was changed works at the next connection."""
    file = tmp_path / "password"
    for secret in ("old", "new"):
        file.write_text(secret)
        assert read_secret("password", file=str(file)) == secret


def test_exactly_one_way_is_given() -> None:
    with pytest.raises(ConfigError) as none:
        read_secret("password")
    assert str(none.value) == ("no password is given; set one of password_file, password_env, password_command")
    with pytest.raises(ConfigError) as both:
        read_secret("password", file="/x", command="true")
    assert str(both.value) == (
        "password_file, password_command are given, and only one can be meant; leave one of them"
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"\nhunter2", "begins with an empty line"),
        (b"hunter2\xff", "is no UTF-8 text"),
        (b"hunter2\0", "is no UTF-8 text"),
        (b"hunter2" * LONGEST_BYTES, "is longer than 65,536 bytes"),
    ],
)
def test_what_can_be_no_secret_is_an_error_without_it(content: bytes, reason: str, tmp_path: Path) -> None:
    """Not in the message, and not in the traceback of a cause."""
    (tmp_path / "password").write_bytes(content)
    with pytest.raises(SourceError) as error:
        read_secret("password", file=str(tmp_path / "password"))
    assert str(error.value) == f"password: the file {tmp_path}/password {reason}"
    assert "hunter2" not in "".join(traceback.format_exception(error.value))
    assert error.value.__context__ is None


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=f"password: the file {tmp_path}/no can't be read: No such file"):
        read_secret("password", file=f"{tmp_path}/no")
    with pytest.raises(SourceError, match="password: the environment variable TLSRPT_NOT_SET is not set"):
        read_secret("password", env="TLSRPT_NOT_SET")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("echo 'gpg: no\x1b[2J key' >&2; echo more >&2; exit 3", "the command failed with 3: gpg: no\\x1b[2J key"),
        ("echo hunter2; exit 1", "the command failed with 1"),
        ("true", "what the command printed is empty"),
        ("cat", "what the command printed is empty"),  # no input, so nothing to wait for
    ],
)
def test_a_command_that_fails_says_why_in_one_line(command: str, said: str) -> None:
    with pytest.raises(SourceError) as error:
        read_secret("token", command=command)
    assert str(error.value) == f"token: {said}"


def test_a_command_that_hangs_is_ended_with_all_it_started(tmp_path: Path) -> None:
    """What it left behind would pile up, one a connection. They hold a pipe here, which ends with the last of them."""
    os.mkfifo(tmp_path / "pipe")
    pipe = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(SourceError, match=re.escape("token: the command took more than 0.5 s")):
            read_secret("token", command=f"sleep 600 >{tmp_path}/pipe & sleep 600 | sleep 600", within_s=0.5)
        assert select.select([pipe], [], [], 30)[0]
        assert os.read(pipe, 1) == b""
    finally:
        os.close(pipe)

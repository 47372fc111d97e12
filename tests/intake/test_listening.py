"""Where a listener listens: what the configuration may say, and what becomes of the socket."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsrpt.core.errors import ConfigError, SourceError
from tlsrpt.core.text import printable
from tlsrpt.intake.listening import (
    Listen,
    bind,
    close,
    parse_listen,
    try_out,
)


@pytest.mark.parametrize(
    ("text", "listen"),
    [
        pytest.param("127.0.0.1:8460", Listen(address="127.0.0.1", port=8460), id="IPv4"),
        pytest.param("[::1]:8460", Listen(address="::1", port=8460), id="IPv6"),
        pytest.param("[::]:0", Listen(address="::", port=0), id="any free port"),
        pytest.param("[fe80::1%eth0]:25", Listen(address="fe80::1%eth0", port=25), id="IPv6 with its link"),
        pytest.param("unix:/run/tlsrpt/lmtp.sock", Listen(path="/run/tlsrpt/lmtp.sock"), id="unix socket"),
        pytest.param("unix:/run/a:25", Listen(path="/run/a:25"), id="unix socket with a colon"),
    ],
)
def test_reads_what_the_handbook_says(text: str, listen: Listen) -> None:
    assert parse_listen(text) == listen
    assert str(listen) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no port"),
        ("127.0.0.1", "no port"),
        ("127.0.0.1:", "no port"),
        ("127.0.0.1:65536", "no port"),
        ("127.0.0.1:٣", "no port"),
        ("127.0.0.1:-1", "no port"),
        ("localhost:25", "no IP address"),
        (":25", "no IP address"),
        ("*:25", "no IP address"),
        ("::1:25", "brackets"),
        ("[127.0.0.1]:25", "brackets"),
        ("[::1]", "no port"),
        ("unix:", "absolute path"),
        ("unix:lmtp.sock", "absolute path"),
        ("unix:/run/tlsrpt/", "absolute path"),
        ("unix:/" + "x" * 107, "107 bytes"),
        ("\x1b[2J:25", "no IP address"),
        ("[fe80::1%\x1b]:25", "no IP address"),
    ],
)
def test_says_how_it_is_written_where_it_is_not(text: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as caught:
        parse_listen(text)
    assert str(caught.value).isprintable()


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    for candidate in (text, f"unix:{text}", f"{text}:25", f"[{text}]:25"):
        try:
            parse_listen(candidate)
        except ConfigError as error:
            assert printable(str(error)) == str(error)  # noqa: PT017


def test_a_port_that_is_taken_is_one_line() -> None:
    """And nothing is left open: the port is free once its holder has gone."""
    listen = parse_listen("127.0.0.1:0")
    first = bind(listen)
    there = Listen(address="127.0.0.1", port=first.getsockname()[1])
    with pytest.raises(SourceError, match="another process listens there"):
        bind(there)
    assert "already" in try_out(there)
    close(listen, first)
    assert "free" in try_out(there)
    close(there, bind(there))


def test_an_address_of_another_machine_is_one_line() -> None:
    with pytest.raises(SourceError, match="no such address"):
        bind(parse_listen("192.0.2.1:0"))


def test_one_port_in_both_families() -> None:
    """Two sources, one for IPv4 and one for IPv6, whatever net.ipv6.bindv6only says."""
    v6 = bind(parse_listen("[::1]:0"))
    port = v6.getsockname()[1]
    v4 = bind(Listen(address="127.0.0.1", port=port))
    v6.close()
    any_v6 = bind(Listen(address="::", port=port))
    any_v6.close()
    v4.close()


def test_a_unix_socket_has_its_mode_whatever_the_umask(tmp_path: Path) -> None:
    listen = Listen(path=str(tmp_path / "s"))
    for mode in ("0660", "666", "0600"):
        made = bind(listen, mode=mode, group=str(os.getgid()))
        found = (tmp_path / "s").stat()
        assert stat.S_IMODE(found.st_mode) == int(mode, 8)
        assert found.st_gid == os.getgid()
        close(listen, made)
        assert not (tmp_path / "s").exists()


def test_what_a_killed_process_left_is_replaced(tmp_path: Path) -> None:
    listen = Listen(path=str(tmp_path / "s"))
    bind(listen).close()  # as a kill does: the file stays
    assert (tmp_path / "s").is_socket()
    made = bind(listen)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(listen.path)
    close(listen, made)


def test_a_unix_socket_that_answers_is_left_alone(tmp_path: Path) -> None:
    listen = Listen(path=str(tmp_path / "s"))
    living = bind(listen)
    with pytest.raises(SourceError, match="another process"):
        bind(listen)
    assert "already" in try_out(listen)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(listen.path)
    close(listen, living)


def test_a_socket_that_another_process_took_over_is_not_removed(tmp_path: Path) -> None:
    """Who moved the file away and listens there anew keeps his."""
    listen = Listen(path=str(tmp_path / "s"))
    old = bind(listen)
    (tmp_path / "s").unlink()
    new = bind(listen)
    close(listen, old)
    assert (tmp_path / "s").is_socket()
    close(listen, new)


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("a letter")
    (tmp_path / "link").symlink_to(tmp_path / "s")
    for name in ("s", "link"):
        with pytest.raises(SourceError, match="no socket"):
            bind(Listen(path=str(tmp_path / name)))
    assert (tmp_path / "s").read_text() == "a letter"


def test_a_missing_folder_and_an_unknown_group_are_one_line_each(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="folder does not exist"):
        bind(Listen(path=str(tmp_path / "no" / "s")))
    with pytest.raises(SourceError, match='no group "no-such-group"'):
        bind(Listen(path=str(tmp_path / "s")), group="no-such-group")
    with pytest.raises(SourceError, match="no group"):
        bind(Listen(path=str(tmp_path / "s")), group="a\0b")
    assert list(tmp_path.iterdir()) == []


def test_a_try_leaves_nothing(tmp_path: Path) -> None:
    assert "free" in try_out(Listen(path=str(tmp_path / "s")))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another")
def test_what_is_forbidden_is_one_line() -> None:
    """A group that one is not in, a folder of somebody else's: nothing is left behind."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # pytest's own folders are closed to others
        theirs, ours = Path(folder, "theirs"), Path(folder, "ours")
        Path(folder).chmod(0o755)
        theirs.mkdir(mode=0o755)
        ours.mkdir()
        os.chown(ours, 65534, 65534)
        child = os.fork()
        if child == 0:
            try:
                _bind_as_nobody(ours, theirs)
            finally:  # whatever happens: a child that went on would be a second test run
                os._exit(0)
        os.waitpid(child, 0)
        lines = (ours / "said").read_text().splitlines()
        assert len(lines) == 2
        assert "group may not be set to 0" in lines[0]
        assert "may not make a socket" in lines[1]
        assert sorted(path.name for path in ours.iterdir()) == ["said"]


def _bind_as_nobody(ours: Path, theirs: Path) -> None:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    said = []
    for listen, group in ((Listen(path=str(ours / "s")), "0"), (Listen(path=str(theirs / "s")), "")):
        try:
            bind(listen, group=group)
        except SourceError as error:
            said.append(str(error))
    (ours / "said").write_text("\n".join(said))

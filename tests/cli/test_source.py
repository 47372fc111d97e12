"""`tlsrpt source`: which ways in there are, and whether each can be used."""

from __future__ import annotations

import json
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.cli.command import tlsrpt
from tlsrpt.store.sqlite import open_store
from tlsrpt.store.values import SourceState


@pytest.fixture
def config(tmp_path: Path) -> Path:
    for part in ("new", "cur", "tmp"):
        (tmp_path / "Maildir" / part).mkdir(parents=True)
    (tmp_path / "Maildir" / "new" / "1.mail").write_text("Subject: x\n\nx\n")
    path = tmp_path / "c.toml"
    path.write_text(
        f'[store]\nurl = "{tmp_path}/s.db"\n'
        f'[[source.https]]\nlisten = "unix:{tmp_path}/https.sock"\n'
        f'[[source.maildir]]\npath = "{tmp_path}/Maildir"\n'
        f'[[source.maildir]]\nname = "gone"\npath = "{tmp_path}/none"\n'
    )
    return path


def test_list_without_a_store_is_what_is_configured(config: Path) -> None:
    done = tlsrpt("source", "list", "--config", config)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["source", "https", "maildir", "gone"]
    assert done.stdout.count("not running") == 3
    assert "How they do is not known" in done.stderr
    assert tlsrpt("source", "list", "-q", "--config", config).stderr == ""


def test_list_tells_how_they_do(config: Path) -> None:
    now = datetime.now(UTC)
    state = SourceState(name="maildir", kind="maildir", state="working", since=now, updated_at=now)
    trouble = SourceState(name="gone", kind="maildir", state="trouble", trouble="no folder", since=now, updated_at=now)
    with open_store(str(config.with_name("s.db")), create=True) as store:
        store.keep_source_states([state, trouble])
    lines = tlsrpt("source", "list", "--config", config).stdout.splitlines()
    assert "working for " in lines[2]
    assert "trouble" in lines[3]
    told = [json.loads(line) for line in tlsrpt("source", "list", "--json", "--config", config).stdout.splitlines()]
    assert [(one["name"], one["running"]) for one in told] == [("https", False), ("maildir", True), ("gone", True)]
    assert told[2]["state"]["trouble"] == "no folder"
    assert told[0]["place"] == f"unix:{config.with_name('https.sock')}/v1/tlsrpt"


def test_a_test_changes_nothing_and_says_what_it_saw(config: Path) -> None:
    done = tlsrpt("source", "test", "https", "maildir", "--config", config)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("can be used") == 2
    assert (config.parent / "Maildir" / "new" / "1.mail").exists()
    assert not config.with_name("https.sock").exists()
    assert not config.with_name("s.db").exists()


def test_one_that_can_not_be_used_does_not_hide_the_others(config: Path) -> None:
    done = tlsrpt("source", "test", "--all", "--config", config)
    assert done.returncode == 1
    verdicts = [line.rpartition(": ")[2] for line in done.stdout.splitlines() if not line.startswith(" ")]
    assert verdicts == ["can be used", "can be used", "can't be used"]
    told = [
        json.loads(line) for line in tlsrpt("source", "test", "--all", "--json", "--config", config).stdout.splitlines()
    ]
    assert [one["works"] for one in told] == [True, True, False]
    assert told[2]["error"]
    assert told[2]["lines"] == []


def test_a_server_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    """It takes connections and never answers: the time limit ends it."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        path = tmp_path / "c.toml"
        path.write_text(
            f'[[source.imap]]\nhost = "127.0.0.1"\nuser = "tls"\npassword_env = "P"\nport = {silent.getsockname()[1]}\n'
        )
        done = tlsrpt("source", "test", "imap", "--within", "0.5", "--config", path, P="x")
    assert done.returncode == 1, done.stderr
    assert "no answer within 0.5 s" in done.stdout


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), "name the sources, or write --all: https, maildir, gone"),
        (("https", "--all"), "name the sources, or write --all"),
        (("nosuch",), "no source is called 'nosuch'; there are: https, maildir, gone"),
        (("https", "--within", "0"), "0"),
    ],
)
def test_wrong_usage_says_what_there_is(config: Path, args: tuple[str, ...], said: str) -> None:
    done = tlsrpt("source", "test", *args, "--config", config)
    assert done.returncode == 2
    assert said in done.stderr

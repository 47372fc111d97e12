"""`tlsrpt setup` against real servers: from nothing to a record that is served and a report that has arrived."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.httpsserver import https_server, make_authority
from tests.lab.nameservers import NameServers, Tree, name_servers
from tests.lab.servers import PATIENCE_S
from tlsrpt.core.reading import parse_report

pytestmark = pytest.mark.lab("knotd", "keymgr", "unbound")

DOMAIN = "meadow.example"
TREE = Tree(
    zones={
        DOMAIN: "@ MX 10 mx.reports.example.\n",
        "taken.example": '@ MX 10 mx.reports.example.\n_smtp._tls TXT "v=TLSRPTv1; rua=mailto:old@reports.example"\n',
        "reports.example": "@ MX 10 mx\nmx A 192.0.2.25\nhook A 127.0.0.1\n",
    },
    signed=frozenset({DOMAIN}),
    updatable=frozenset({DOMAIN, "taken.example"}),
)
OLD = "v=TLSRPTv1; rua=mailto:old@reports.example"
NEW = "v=TLSRPTv1; rua=mailto:tls@reports.example"
TLSRPT = [sys.executable, "-c", "from tlsrpt.cli.main import main; main()"]


class MailServer(threading.Thread):
    """Takes mail as a mail server with an alias does: hands it to `tlsrpt ingest --pipe`."""

    def __init__(self, store: str) -> None:
        super().__init__(daemon=True)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._store = store

    def run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rwb") as stream:
                stream.write(b"220 lab\r\n")
                stream.flush()
                for line in stream:
                    if line.upper().startswith(b"DATA"):
                        stream.write(b"354 go on\r\n")
                        stream.flush()
                        mail = b"".join(iter(stream.readline, b".\r\n"))
                        stream.write(b"250 kept\r\n" if self._keep(mail) else b"451 later\r\n")
                    else:
                        stream.write(b"221 bye\r\n" if line.upper().startswith(b"QUIT") else b"250 ok\r\n")
                    stream.flush()

    def _keep(self, mail: bytes) -> bool:
        argv = [*TLSRPT, "ingest", "--pipe", "--store", self._store]
        return subprocess.run(argv, input=mail, timeout=PATIENCE_S, check=False).returncode == 0

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def servers(lab: Path) -> Iterator[NameServers]:
    with name_servers(lab, TREE) as running:
        yield running


@pytest.fixture
def mail_server(lab: Path) -> Iterator[MailServer]:
    server = MailServer(store(lab))
    server.start()
    yield server
    server.close()


def store(lab: Path) -> str:
    return f"sqlite:///{lab}/data/tlsrpt.db"


def setup(servers: NameServers, domain: str, *args: str, env: dict[str, str] | None = None) -> tuple[int, str]:
    argv = [*TLSRPT, "setup", domain, "--store", store(servers.folder)]
    argv += ["--resolver", f"{servers.resolver.address}@{servers.resolver.port}", *args]
    done = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=4 * PATIENCE_S,
        env={**os.environ, **(env or {})},
        check=False,
    )
    assert "Traceback" not in done.stdout
    assert servers.secret not in done.stdout
    return done.returncode, done.stdout


def test_from_nothing_to_a_report_that_arrived(servers: NameServers, mail_server: MailServer) -> None:
    """Without a terminal: published, verified at the server and the resolver, sent, followed into the store."""
    wanted = ["--yes", "--json", "--mailto", "tls@reports.example"]
    code, said = setup(servers, DOMAIN, *wanted, "--dry-run")
    assert (code, json.loads(said)["published_at"]) == (0, None)
    code, said = setup(
        servers, DOMAIN, *wanted, "--key-file", str(servers.key_file), "--smarthost", f"127.0.0.1:{mail_server.port}"
    )
    state = json.loads(said)
    assert (code, state["record"]) == (0, NEW)
    assert all(state[done] for done in ("published_at", "verified_at", "sent_at", "arrived_at"))


def test_a_run_that_was_broken_off_goes_on(servers: NameServers, mail_server: MailServer) -> None:
    """The key comes from the environment; what is done is not done again, what was said is not asked again."""
    key = {"TLSRPT_TSIG_KEY": f"hmac-sha256:upd.example:{servers.secret}"}
    code, said = setup(servers, DOMAIN, "--yes", "--mailto", "tls@reports.example", env=key)
    assert code == 1
    assert "--smarthost" in said
    code, said = setup(servers, DOMAIN, "--yes", "--smarthost", f"127.0.0.1:{mail_server.port}")
    assert code == 0
    assert "published already, as it should be" in said
    assert "It has arrived: tlsrpt show 1" in said
    code, said = setup(servers, DOMAIN, "--yes")
    assert code == 0
    assert "has arrived before" in said


def test_a_record_that_is_there_is_merged_or_replaced_only_when_that_is_said(servers: NameServers) -> None:
    wanted = ["--yes", "--mailto", "tls@reports.example", "--key-file", str(servers.key_file), "--no-proof"]
    code, said = setup(servers, "taken.example", *wanted)
    assert code == 3
    assert "published already" in said
    code, said = setup(servers, "taken.example", *wanted, "--merge")
    assert code == 0
    assert f"{OLD},mailto:tls@reports.example" in said
    code, said = setup(servers, "taken.example", *wanted, "--replace", "--start-over")
    assert code == 0
    assert f'+ _smtp._tls.taken.example. 3600 TXT "{NEW}"' in said


def test_a_refusal_leaves_dns_as_it_was_and_says_so(servers: NameServers) -> None:
    wrong = {"TLSRPT_TSIG_KEY": f"upd.example:{'A' * 43}="}
    code, said = setup(servers, DOMAIN, "--yes", "--mailto", "tls@reports.example", env=wrong)
    assert code == 3
    assert "nothing was changed" in said


def test_without_answers_it_says_which_option_gives_them(servers: NameServers) -> None:
    code, said = setup(servers, DOMAIN)
    assert code == 2
    assert "--mailto" in said


def test_by_hand_it_waits_and_says_how_to_go_on(servers: NameServers) -> None:
    code, said = setup(servers, DOMAIN, "--yes", "--mailto", "tls@reports.example", "--wait", "0")
    assert code == 1
    assert f'_smtp._tls.{DOMAIN}. 3600 IN TXT "{NEW}"' in said
    assert f"tlsrpt setup {DOMAIN} goes on from here" in " ".join(said.split())


def test_a_password_goes_over_tls_or_not_at_all(servers: NameServers, mail_server: MailServer) -> None:
    """The mail server here offers no STARTTLS: nothing is sent, and the password is in no message."""
    login = {"TLSRPT_SMTP_LOGIN": "user:hunter2"}
    wanted = ["--yes", "--mailto", "tls@reports.example", "--key-file", str(servers.key_file)]
    code, said = setup(servers, DOMAIN, *wanted, "--smarthost", f"127.0.0.1:{mail_server.port}", env=login)
    assert code == 3
    assert "not taken" in said
    assert "hunter2" not in said


def test_an_endpoint_gets_the_trial_report_by_post(servers: NameServers, lab: Path) -> None:
    """R5.4-01: where the record names only an https endpoint."""
    authority = make_authority(lab)
    answer = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"
    with https_server(authority.context("hook.reports.example"), answer) as hook:
        wanted = ["--yes", "--https", f"https://hook.reports.example:{hook.port}/tlsrpt", "--private", "--follow", "0"]
        trust = {"SSL_CERT_FILE": str(lab / "ca.pem")}
        code, said = setup(servers, DOMAIN, *wanted, "--key-file", str(servers.key_file), env=trust)
    assert code == 1, said
    assert "It is not there yet" in said
    assert [request.split(b" ")[0] for request in hook.requests] == [b"HEAD", b"POST"]
    report = parse_report(hook.requests[1].partition(b"\r\n\r\n")[2]).report
    assert str(report.report_id) in said


def test_on_a_terminal_it_asks(servers: NameServers, mail_server: MailServer) -> None:
    """The guided run, typed: four questions, and each default can be taken by Enter."""
    argv = [*TLSRPT, "setup", DOMAIN, "--store", store(servers.folder), "--key-file", str(servers.key_file)]
    argv += ["--resolver", f"{servers.resolver.address}@{servers.resolver.port}"]
    answers = [
        (r"Address, or https URL \[.*\]: ", "tls@reports.example"),
        (r"Publish it now\? \[Y/n\]: ", ""),
        (r"Send a trial report through .*: ", f"127.0.0.1:{mail_server.port}"),
    ]
    code, said = typed(argv, answers)
    assert code == 0, said
    assert "It has arrived: tlsrpt show 1" in said


def typed(argv: list[str], answers: list[tuple[str, str]]) -> tuple[int, str]:
    """Run a program on a terminal and type each answer once its question stands there."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(argv[0], argv)  # noqa: S606
    said, left, until = "", list(answers), time.monotonic() + 4 * PATIENCE_S
    while time.monotonic() < until:
        ready, _, _ = select.select([terminal], [], [], 1)
        if not ready:
            continue
        try:
            part = os.read(terminal, 65536)
        except OSError:
            break
        said += part.decode("utf-8", "replace")
        if left and re.search(left[0][0] + r"\Z", said):
            os.write(terminal, (left.pop(0)[1] + "\n").encode())
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    assert not left, said
    return os.waitstatus_to_exitcode(status), said

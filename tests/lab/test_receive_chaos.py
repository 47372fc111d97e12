"""Ten thousand reports by all ways at once, while everything goes wrong: at the end each is stored exactly once.

The service is killed and started again, the disk that holds the store fills up and is freed, the mail server that holds
the mailbox is killed, clients break off in the middle of what they send, and some reports come by two ways.
"""

from __future__ import annotations

import json
import random
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from bench import corpus
from tests.cli.command import tlsrpt
from tests.lab.mailserver import MailServer, mail_server
from tests.service.serving import Serving

REPORTS = 10_000
STORE_MB = 220
KILLS = 8

CONFIG = """
[[source.https]]
listen = "127.0.0.1:{{http}}"
[[source.lmtp]]
listen = "127.0.0.1:{{lmtp}}"
recipients = ["tls@example.com"]
dkim = false
[[source.maildir]]
path = "{maildir}"
every_s = 0.2
dkim = false
[[source.imap]]
host = "localhost"
port = {imap}
user = "tls"
password_file = "{password}"
ca_file = "{ca}"
every_s = 1
dkim = false
"""


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of its own, which a test can fill."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={STORE_MB}m", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


class Clients:
    """Senders by HTTPS and LMTP, each of which keeps a report until it is told that it is kept."""

    def __init__(self, service: Serving, documents: list[corpus.Document], chance: random.Random) -> None:
        self.service, self.chance = service, chance
        self._documents = iter(documents)
        self._lock = threading.Lock()
        self.done = 0
        self.refused: list[str] = []
        self._patience_s = 120.0
        self._threads = [threading.Thread(target=self._send, args=(n % 2 == 0,)) for n in range(8)]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            self._documents = iter(())
            self._patience_s = 0.0
        for thread in self._threads:
            thread.join()

    def _send(self, by_mail: bool) -> None:
        while True:
            with self._lock:
                document = next(self._documents, None)
            if document is None:
                return
            twice = self.chance.random() < 0.05
            for mail in (by_mail, not by_mail) if twice else (by_mail,):
                self._until_kept(document, mail)
            self.done += 1

    def _until_kept(self, document: corpus.Document, mail: bool) -> None:
        data = corpus.as_mail(document) if mail else corpus.as_gzip(document)
        began = time.monotonic()
        while time.monotonic() - began < self._patience_s:
            if self.chance.random() < 0.03:
                self._break_off(data, mail)
            with suppress(OSError):
                code, text = self.service.deliver(data) if mail else self.service.post(data)
                if code in (200, 201, 250):
                    return
                if code not in (421, 429, 451, 503):
                    self.refused.append(f"{code} {text}")
                    return
            time.sleep(0.02)
        self.refused.append("never taken")

    def _break_off(self, data: bytes, mail: bool) -> None:
        """Begin to send, and leave in the middle."""
        with suppress(OSError), socket.create_connection(("127.0.0.1", self._port(mail)), 5) as connection:
            if mail:
                connection.sendall(b"LHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<tls@example.com>\r\nDATA\r\n")
                connection.sendall(data[: len(data) // 2].replace(b"\n", b"\r\n"))
            else:
                head = f"POST /v1/tlsrpt HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n"
                connection.sendall(head.encode() + data[:-10])

    def _port(self, mail: bool) -> int:
        return self.service.lmtp if mail else self.service.http


def into_maildir(maildir: Path, documents: list[corpus.Document]) -> None:
    """Deliver as a mail server does: into tmp, then renamed."""
    for n, document in enumerate(documents):
        (maildir / "tmp" / f"{n}.lab").write_bytes(corpus.as_mail(document))
        (maildir / "tmp" / f"{n}.lab").rename(maildir / "new" / f"{n}.lab")


def fill(disk: Path, free_again: threading.Event) -> None:
    """Leave no byte free until told."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(65536))
    with ballast.open("ab", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"\0")
    free_again.wait()
    ballast.unlink()


def in_inbox(server: MailServer) -> int:
    with server.person() as imap:
        return int(imap.select("INBOX", readonly=True)[1][0] or b"0")


def wait_until(what: Callable[[], bool], seconds: float, service: Serving) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, service.log.read_text()[-5000:]
        time.sleep(0.1)


@pytest.mark.lab("dovecot", "mount")
def test_each_of_ten_thousand_reports_is_stored_exactly_once_whatever_goes_wrong(lab: Path) -> None:
    """DESIGN promises 1 and 2."""
    chance = random.Random(11)
    documents = list(corpus.documents("typical", REPORTS, domains=200, senders=40, seed=99))
    chance.shuffle(documents)
    by_imap, by_maildir, by_client = documents[:1500], documents[1500:3500], documents[3500:]
    maildir = lab / "maildir"
    for part in ("new", "cur", "tmp"):
        (maildir / part).mkdir(parents=True)
    password = lab / "password"
    password.write_text("secret\n")
    with mail_server(lab / "dovecot") as server, small_disk(lab / "disk") as disk, ExitStack() as stack:
        config = CONFIG.format(maildir=maildir, imap=server.imaps_port, password=password, ca=server.ca_file)
        service = Serving(lab, config, store=disk / "store.db")
        stack.callback(service.stop)
        service.start()
        service.until_ready()
        server.deliver(*map(corpus.as_mail, by_imap[:500]))
        deliver = threading.Thread(target=into_maildir, args=(maildir, by_maildir))
        deliver.start()
        with Clients(service, by_client, chance) as clients:
            for n in range(KILLS):
                time.sleep(chance.uniform(0.2, 1.5))
                if n == 3:
                    free_again = threading.Event()
                    filling = threading.Thread(target=fill, args=(disk, free_again))
                    filling.start()
                    service.wait_for("the store can't be written; senders are told to come again")
                    free_again.set()
                    filling.join()
                elif n == 5:
                    server.stop()
                    server.start()
                    server.deliver(*map(corpus.as_mail, by_imap[500:]))
                service.kill()
                service.start()
                service.until_ready()
        deliver.join()
        assert clients.refused == []
        assert clients.done == len(by_client)
        wait_until(lambda: not any((maildir / "new").iterdir()), 120, service)
        wait_until(lambda: in_inbox(server) == 0, 120, service)
        assert service.stop() == 0
        summary = tlsrpt("summary", "--json", "--since", "3650d", "--store", service.store)
        assert json.loads(summary.stdout)["totals"]["reports"] == REPORTS
        check = tlsrpt("store", "check", "--raw", "--store", service.store)
        assert check.returncode == 0, check.stdout
        assert json.loads(tlsrpt("quarantine", "list", "--json", "--store", service.store).stdout or "[]") == []

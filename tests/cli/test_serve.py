"""`tlsrpt serve` and `tlsrpt receive`: what is acknowledged is kept, once, whatever happens."""

from __future__ import annotations

import gzip
import http.client
import json
import random
import socket
import threading
import time
from pathlib import Path

import pytest

from bench import corpus
from tests.cli.command import tlsrpt
from tests.service.serving import PATIENCE_S, Serving, free_port

BOTH = """
[[source.https]]
listen = "127.0.0.1:{http}"
[[source.lmtp]]
listen = "127.0.0.1:{lmtp}"
recipients = ["tls@example.com"]
"""


def counted(store: Path) -> int:
    done = tlsrpt("summary", "--json", "--since", "3650d", TLSRPT_STORE=str(store))
    total: int = json.loads(done.stdout)["totals"]["reports"]
    return total


def test_kill_9_at_any_moment_fifty_times_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """DESIGN promise 1. Senders keep a report until they are told that it is kept, then forget it."""
    chance = random.Random(5)
    documents = corpus.documents("typical", 100_000, seed=50)
    lock, done = threading.Lock(), threading.Event()
    acknowledged: list[int] = []
    failures: list[str] = []
    service = Serving(tmp_path, BOTH)
    service.start()

    def send(by_mail: bool) -> None:
        while not done.is_set():
            with lock:
                document = next(documents)
            data = corpus.as_mail(document) if by_mail else corpus.as_gzip(document)
            until = time.monotonic() + PATIENCE_S
            while True:
                try:
                    code, text = service.deliver(data) if by_mail else service.post(data)
                except OSError:  # killed just now
                    code, text = 0, ""
                if code in (200, 201, 250):
                    acknowledged.append(code)
                    break
                if code >= 400 and code not in (429, 451, 503):
                    failures.append(f"{code} {text}")
                    break
                if time.monotonic() > until:
                    failures.append(f"never taken: {code} {text}")
                    break
                time.sleep(0.01)

    clients = [threading.Thread(target=send, args=(n % 2 == 1,)) for n in range(6)]
    for client in clients:
        client.start()
    try:
        for _ in range(50):
            service.until_ready()
            time.sleep(chance.random() * 0.25)  # into the traffic, anywhere
            service.kill()
            service.start()
        service.until_ready()
    finally:
        done.set()
        for client in clients:
            client.join()
        code = service.stop()
    assert failures == []
    assert code == 0
    assert counted(service.store) == len(acknowledged) > 50
    assert tlsrpt("store", "check", "--raw", "--store", service.store).returncode == 0


def test_without_a_configuration_it_says_what_to_write_to_begin(tmp_path: Path) -> None:
    empty = tmp_path / "tlsrpt.toml"
    empty.write_text("")
    done = tlsrpt("serve", "--config", empty)
    assert done.returncode == 2
    assert "[[source.https]]" in done.stderr
    assert str(empty) in done.stderr
    assert len(done.stderr.splitlines()) <= 6


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param('[[source.https]]\nlisen = "127.0.0.1:1"', "did you mean listen?", id="unknown key"),
        pytest.param('[[source.lmtp]]\nlisten = "127.0.0.1:1"', "recipients", id="missing key"),
        pytest.param('[[source.https]]\nlisten = "localhost"', "port", id="no port"),
    ],
)
def test_a_wrong_configuration_is_one_line_and_nothing_starts(text: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "tlsrpt.toml"
    file.write_text(f'[store]\nurl = "{tmp_path / "store.db"}"\n{text}\n')
    done = tlsrpt("serve", "--config", file)
    assert done.returncode == 2
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "store.db").exists()


def test_each_outcome_is_answered_by_http_as_the_handbook_says(tmp_path: Path) -> None:
    report = next(corpus.documents("typical", 1, seed=1))
    with Serving(tmp_path, f"[limits]\ncompressed_bytes = 20000\n{BOTH}") as service:
        assert service.post(corpus.as_gzip(report))[0] == 201
        assert service.post(corpus.as_json(report))[0] == 200  # the same report, however it is packed
        code, text = service.post(gzip.compress(b'{"organization-name": "x", "date-range"')[:-4])
        assert (code, "ends early" in text) == (400, True)
        code, text = service.post(b"<feedback/>", Content_Type="application/xml")
        assert (code, "DMARC" in text or "no TLS report" in text or "text" in text) == (400, True)
        assert service.post(b"x" * 20_001)[0] == 413
    waiting = json.loads(tlsrpt("quarantine", "list", "--json", "--store", service.store).stdout.splitlines()[0])
    assert "ends early" in json.dumps(waiting)
    assert counted(service.store) == 1


def test_each_outcome_is_answered_by_lmtp_as_the_handbook_says(tmp_path: Path) -> None:
    report = next(corpus.documents("typical", 1, seed=2))
    mail = corpus.as_mail(report)
    with Serving(tmp_path, f"[limits]\ncompressed_bytes = 20000\n{BOTH}") as service:
        assert service.deliver(mail)[0] == 250
        assert service.deliver(mail)[0] == 250
        assert service.deliver(mail, "nobody@example.com")[0] == 550
        assert service.deliver(b"Subject: hello\n\nnothing\n")[0] == 250  # counted, not kept
        assert service.deliver(mail + b"x" * 20_000)[0] == 552
        broken = mail.replace(b"H4sI", b"H4sJ", 1)
        assert service.deliver(broken)[0] == 250  # a 5xx would bounce to noreply@
        service.wait_for("report quarantined")
    assert counted(service.store) == 1


def test_a_report_that_is_not_proven_is_treated_as_its_source_says(tmp_path: Path) -> None:
    """R3-18, and our deviation from it: accepted and marked unless asked otherwise."""
    reports = list(corpus.documents("typical", 3, seed=3))
    for n, (policy, code, kept) in enumerate([("accept", 201, 1), ("quarantine", 400, 0), ("refuse", 403, 0)]):
        folder = tmp_path / policy
        folder.mkdir()
        config = BOTH.replace("[[source.https]]", f'[[source.https]]\nunproven = "{policy}"')
        with Serving(folder, config) as service:
            assert service.post(corpus.as_gzip(reports[n]))[0] == code
        assert counted(service.store) == kept


def test_reports_for_others_are_kept_uncounted_and_counted_once_they_are_ours(tmp_path: Path) -> None:
    """A-14: foreign ones are kept and offered; a reload re-reads which domains are ours."""
    report = next(corpus.documents("typical", 1, seed=4))
    domain = report[1]
    own = tmp_path / "own"
    own.write_text("elsewhere.example\n")
    with Serving(tmp_path, f'[domains]\nown_file = "{own}"\n{BOTH}') as service:
        assert service.post(corpus.as_gzip(report))[0] == 201
        assert counted(service.store) == 0
        own.write_text(f"elsewhere.example\n{domain}\n")
        service.reload()
        assert service.wait_for("reports counted whose domains are ours now")["reports"] == 1
    assert counted(service.store) == 1


def test_a_reload_leaves_alone_what_has_not_changed(tmp_path: Path) -> None:
    with Serving(tmp_path, BOTH) as service, socket.create_connection(("127.0.0.1", service.http)) as held:
        service.configure(BOTH.split("[[source.lmtp]]")[0])
        service.reload()
        line = service.wait_for("reloaded")
        assert (line["unchanged"], line["stopped"], line["started"]) == (1, 1, 0)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", service.lmtp), 2)
        held.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert held.makefile("rb").read().startswith(b"HTTP/1.1 200 ")  # the connection outlived the reload
        service.configure("[[source.https]]\nlisten = 5\n")
        service.reload()
        service.wait_for("not reloaded; all runs on as before")
        assert service.post(corpus.as_gzip(next(corpus.documents("typical", 1, seed=9))))[0] == 201


def test_a_store_that_is_deleted_under_the_service_loses_nothing_that_comes_after(tmp_path: Path) -> None:
    """The first sender to come is told to come again, and a store is made anew."""
    first, second = corpus.documents("typical", 2, seed=8)
    with Serving(tmp_path, BOTH) as service:
        assert service.post(corpus.as_gzip(first))[0] == 201
        for file in tmp_path.glob("store.db*"):
            file.unlink()
        assert service.post(corpus.as_gzip(second))[0] == 503
        assert service.post(corpus.as_gzip(second))[0] == 201
        line = service.wait_for("the store can't be written; senders are told to come again")
        assert "while it was in use" in line["reason"]
    assert counted(service.store) == 1


def test_a_source_that_cannot_listen_stops_no_other_and_comes_up_by_itself(tmp_path: Path) -> None:
    service = Serving(tmp_path, BOTH)
    with socket.create_server(("127.0.0.1", service.lmtp)):
        service.start()
        service.wait_for("source in trouble", source="lmtp")
        assert service.post(corpus.as_gzip(next(corpus.documents("typical", 1, seed=5))))[0] == 201
    service.wait_for("source works", source="lmtp")
    assert service.stop() == 0


def test_a_supervisor_is_told_when_all_is_started_and_when_it_ends(tmp_path: Path) -> None:
    """sd_notify(3), as systemd's Type=notify wants it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(tmp_path / "notify"))
        supervisor.settimeout(PATIENCE_S)
        service = Serving(tmp_path, BOTH)
        service.start(env={"NOTIFY_SOCKET": str(tmp_path / "notify")})
        said = []
        while not said or not said[-1].startswith("READY=1"):
            said.append(supervisor.recv(4096).decode())
        service.reload()
        while not said[-1].startswith("RELOADING=1"):
            said.append(supervisor.recv(4096).decode())
        assert "MONOTONIC_USEC=" in said[-1]
        while not said[-1].startswith("READY=1"):
            said.append(supervisor.recv(4096).decode())
        assert service.stop() == 0
        while not said[-1].startswith("STOPPING=1"):
            said.append(supervisor.recv(4096).decode())


def test_health_readiness_and_metrics_are_answered_where_the_file_says(tmp_path: Path) -> None:
    port = free_port()
    with Serving(tmp_path, f'[health]\nlisten = "127.0.0.1:{port}"\n{BOTH}') as service:
        report = next(corpus.documents("typical", 1, seed=7))
        service.post(corpus.as_gzip(report))
        service.deliver(corpus.as_mail(report))
        assert ask(port, "/healthz") == (200, "ok\n")
        assert ask(port, "/readyz") == (200, "ok\n")
        assert ask(port, "/")[0] == 404
        lines = ask(port, "/metrics")[1].splitlines()
        assert 'tlsrpt_documents_total{outcome="new",source="https"} 1.0' in lines
        assert 'tlsrpt_documents_total{outcome="known",source="lmtp"} 1.0' in lines
        assert 'tlsrpt_source_up{kind="lmtp",source="lmtp"} 1.0' in lines
        assert any(line.startswith('tlsrpt_source_last_success_timestamp_seconds{source="https"} 1') for line in lines)
        assert "tlsrpt_store_up 1.0" in lines
        connection = http.client.HTTPConnection("127.0.0.1", service.http, timeout=PATIENCE_S)
        connection.request("GET", "/metrics")  # never where reports are taken
        assert connection.getresponse().status == 404


def ask(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def test_a_hostile_report_makes_no_second_line_in_the_log(tmp_path: Path) -> None:
    """R7-02."""
    report = next(corpus.documents("typical", 1, seed=6))[0]
    hostile = {**report, "report-id": 'x"}\n{"event":"forged"}\x1b[31m\u202e', "organization-name": "\u2028=cmd|x"}
    with Serving(tmp_path, BOTH) as service:
        assert service.post(json.dumps(hostile).encode())[0] == 201
    assert "forged" not in [event["event"] for event in service.events()]
    assert not {"\x1b", "\u202e", "\u2028"} & set(service.log.read_text())
    assert all(line.startswith("{") for line in service.log.read_text().splitlines())


def test_a_timer_drains_mailboxes_and_leaves_listeners_out(tmp_path: Path) -> None:
    """`receive --once`: exit 0 when all could be looked through, 1 when one could not; health shows both."""
    for part in ("new", "cur", "tmp"):
        (tmp_path / "box" / part).mkdir(parents=True)
    for n, document in enumerate(corpus.documents("typical", 5, seed=8)):
        (tmp_path / "box" / "new" / str(n)).write_bytes(corpus.as_mail(document))
    service = Serving(tmp_path, f'[[source.maildir]]\npath = "{tmp_path / "box"}"\ndkim = false\n{BOTH}')
    done = tlsrpt("receive", "--once", "--config", service.file)
    assert done.returncode == 0, done.stderr
    assert counted(service.store) == 5
    assert not any((tmp_path / "box" / "new").iterdir())
    (state,) = json.loads(tlsrpt("health", "--once", "--json", "--config", service.file).stdout)["sources"][:1]
    assert (state["name"], state["outcomes"]["new"]) == ("maildir", 5)
    (tmp_path / "box").rename(tmp_path / "gone")
    done = tlsrpt("receive", "--once", "maildir", "--config", service.file)
    assert done.returncode == 1
    assert "source in trouble" in done.stderr

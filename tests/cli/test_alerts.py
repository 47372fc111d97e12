"""`tlsrpt alerts`, and the service that tells people: reports in by HTTPS, alerts out to real receivers."""

from __future__ import annotations

import json
import signal
import socket
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import tlsrpt
from tests.notify.receivers import Web, a_mail_server, a_web_server
from tests.service.serving import PATIENCE_S, Serving
from tests.store.builders import FIRST_DAY, a_detail, a_report, an_arrival, an_entry
from tlsrpt.core.report import Report
from tlsrpt.core.writing import gzip_report
from tlsrpt.store.rows import prepare
from tlsrpt.store.sqlite import open_store

HTTPS = '[[source.https]]\nlisten = "127.0.0.1:{http}"\n'
TODAY = datetime.now(UTC).date()


def a_failing(days_ago: int, failed: int = 10) -> Report:
    day = (TODAY - FIRST_DAY.date()).days - days_ago
    detail = a_detail("certificate-expired", failed, receiving_mx_hostname="mx1.meadow.example")
    entry = an_entry(
        successful=10,
        failed=failed,
        details=(detail,),
        policy_string=("version: STSv1", "mode: enforce", "mx: mx1.meadow.example", "max_age: 604800"),
    )
    return a_report(entry, report_id=f"r{days_ago}", day=day)


def a_store(folder: Path) -> Path:
    path = folder / "store.db"
    with open_store(str(path), create=True) as store:
        store.keep([prepare(an_arrival(a_failing(n), received_at=datetime.now(UTC))) for n in (1, 2, 3)])
    return path


def a_config(folder: Path, text: str) -> Path:
    file = folder / "tlsrpt.toml"
    file.write_text(f'[store]\nurl = "sqlite:///{folder / "store.db"}"\n[dns]\nresolver = "127.0.0.1@9"\n{text}')
    return file


def to_hook(web: Web) -> str:
    return f'[alerts]\nevery_s = 0.2\n[[alerts.to]]\nname = "ops"\nwebhook = "{web.url}"\n'


def told(web: Web) -> list[dict[str, Any]]:
    return [json.loads(body) for _, _, body in web.posts]


def wait(web: Web, count: int, service: Serving) -> None:
    until = time.monotonic() + PATIENCE_S
    while len(web.posts) < count:
        assert time.monotonic() < until, service.log.read_text()
        time.sleep(0.02)


def test_what_the_service_takes_in_is_told_once(tmp_path: Path) -> None:
    """Posted reports -> one incident -> one alert at a real receiver; a restart tells nothing again."""
    with a_web_server() as web:
        with Serving(tmp_path, HTTPS + to_hook(web)) as service:
            service.wait_for("source works")
            for n in (3, 2, 1):
                assert service.post(gzip_report(a_failing(n)))[0] == 201
            wait(web, 1, service)
            service.wait_for("a message is sent")
        with Serving(tmp_path, HTTPS + to_hook(web)) as service:
            service.wait_for("source works", count=2)
            assert service.post(gzip_report(a_failing(4)))[0] == 201
        done = tlsrpt("alerts", "run", "--config", tmp_path / "tlsrpt.toml")
        assert done.stdout == "0 things to tell; 0 messages sent\n"
    assert [one["event"] for one in told(web)] == ["opened"]
    (incident,) = told(web)[0]["incidents"]
    assert (incident["place"], incident["domains"], incident["consequence"]) == (
        "mx1.meadow.example",
        ["meadow.example"],
        "refused",
    )


def test_the_service_stops_in_time_though_a_receiver_never_answers(tmp_path: Path) -> None:
    a_store(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        port = deaf.getsockname()[1]
        alerts = f'[alerts]\nevery_s = 0.2\n[[alerts.to]]\nwebhook = "http://127.0.0.1:{port}/"\n'
        with Serving(tmp_path, HTTPS + alerts) as service:
            deaf.settimeout(PATIENCE_S)
            connection, _ = deaf.accept()
            began = time.monotonic()
            assert service.stop() == 0
            assert time.monotonic() - began < 15
            connection.close()


def test_run_tells_by_mail_and_the_list_says_to_whom(tmp_path: Path) -> None:
    a_store(tmp_path)
    with a_mail_server() as (box, server):
        mail = f'[mail]\nhost = "127.0.0.1"\nport = {server.port}\ntls = "none"\nfrom = "tlsrpt@quarry.example"\n'
        to = '[[alerts.to]]\nname = "ops"\nmail = ["ops@quarry.example", "night@quarry.example"]\n'
        config = a_config(tmp_path, mail + to)
        assert tlsrpt("alerts", "--config", config).stdout.count("Nobody has looked yet") == 1
        done = tlsrpt("alerts", "run", "--once", "--config", config)
        assert (done.returncode, done.stdout) == (0, "1 thing to tell; 2 messages sent\n")
        again = tlsrpt("alerts", "run", "--once", "--config", config)
        assert again.stdout == "0 things to tell; 0 messages sent\n"
    assert sorted(envelope.rcpt_tos[0] for envelope in box.envelopes) == ["night@quarry.example", "ops@quarry.example"]
    assert {mail["Subject"][:9] for mail in box.mails} == {"TLS new: "}
    listed = json.loads(tlsrpt("alerts", "--json", "--config", config).stdout)
    assert [(one["recipient"], one["state"], one["event"]) for one in listed["messages"]] == [
        ("ops", "sent", "opened")
    ] * 2
    assert "ops (night@quarry.example)" in tlsrpt("alerts", "--config", config).stdout


def test_a_dry_run_shows_and_keeps_nothing(tmp_path: Path) -> None:
    a_store(tmp_path)
    config = a_config(tmp_path, '[[alerts.to]]\nname = "ops"\nwebhook = "https://alerts.example/"\n')
    for _ in range(2):
        done = tlsrpt("alerts", "run", "--dry-run", "--once", "--config", config)
        assert done.returncode == 0
        assert "To: ops" in done.stdout
        assert "mx1.meadow.example" in done.stdout
    (message,) = json.loads(tlsrpt("alerts", "run", "--dry-run", "--once", "--json", "--config", config).stdout)[
        "messages"
    ]
    assert (message["event"], message["to"][0]["name"]) == ("opened", "ops")
    later = TODAY + timedelta(days=30)
    assert "mx1" not in tlsrpt("alerts", "run", "--dry-run", "--once", "--today", later, "--config", config).stdout


def test_what_can_not_be_sent_is_said_everywhere(tmp_path: Path) -> None:
    a_store(tmp_path)
    with a_web_server() as web:
        pass
    config = a_config(tmp_path, to_hook(web))
    run = tlsrpt("alerts", "run", "--once", "--config", config)
    assert (run.returncode, "1 not sent yet" in run.stdout, "refused" in run.stderr) == (1, True, True)
    assert tlsrpt("alerts", "--config", config).returncode == 1
    assert "alerts-failing" in tlsrpt("health", "--once", "--config", config).stdout


def test_a_test_message_arrives_and_says_what_it_depends_on(tmp_path: Path) -> None:
    a_store(tmp_path)
    with a_mail_server() as (box, server), a_web_server() as web:
        mail = f'[mail]\nhost = "127.0.0.1"\nport = {server.port}\ntls = "none"\nfrom = "tlsrpt@meadow.example"\n'
        to = '[[alerts.to]]\nname = "home"\nmail = ["ops@meadow.example"]\n'
        config = a_config(tmp_path, mail + to + to_hook(web).replace("[alerts]\nevery_s = 0.2\n", ""))
        done = tlsrpt("alerts", "test", "--config", config)
        assert done.returncode == 0, done.stderr
        assert "home (mail): sent" in done.stdout
        assert "depends on what is failing now" in " ".join(done.stdout.split())
        assert "ops (webhook): sent" in done.stdout
        one = tlsrpt("alerts", "test", "ops", "--json", "--config", config)
    assert [json.loads(line)["name"] for line in one.stdout.splitlines()] == ["ops"]
    assert [mail["Subject"] for mail in box.mails] == ["TLS alerts: a test"]
    assert [each["event"] for each in told(web)] == ["test", "test"]


@pytest.mark.parametrize(
    ("text", "arguments", "code", "says"),
    [
        ("", ("run",), 2, "nobody to tell"),
        ("", ("test",), 2, "nobody to tell"),
        ("", ("run", "--today", "2026-01-01"), 2, "--today needs --dry-run"),
        ('[[alerts.to]]\nwebhook = "https://a.example/"\n', ("test", "ops"), 2, "nobody is called 'ops'"),
    ],
)
def test_what_is_asked_wrongly(tmp_path: Path, text: str, arguments: tuple[str, ...], code: int, says: str) -> None:
    done = tlsrpt("alerts", *arguments, "--config", a_config(tmp_path, text))
    assert (done.returncode, says in done.stderr) == (code, True), done.stderr


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        pytest.param('[[alerts.to]]\nwebhook = "https://a.example/"\n', [], id="well"),
        pytest.param("[[alerts.to]]\n", ["recipient-unfit"], id="no way"),
        pytest.param('[[alerts.to]]\nwebhook = "http://a.example/"\n', ["no-address"], id="clear text"),
        pytest.param('[[alerts.to]]\nmail = ["ops"]\n', ["no-address", "mail-unfit"], id="no address, no server"),
        pytest.param('[[alerts.to]]\nwebhook = "https://a.example/"\nzone = "Mars"\n', ["no-time-zone"], id="zone"),
        pytest.param(
            '[[alerts.to]]\nwebhook = "https://a.example/"\ndomains = ["a b"]\n', ["no-domain-name"], id="domain"
        ),
        pytest.param('[[alerts.to]]\nurl_file = "/none/at/all"\n', ["file-unreadable"], id="no file"),
        pytest.param('[mail]\nhost = "m.example"\nfrom = "a@b.example"\nuser = "x"\n', ["no-login"], id="no password"),
        pytest.param(
            '[domains]\nown = ["meadow.example"]\n[mail]\nhost = "localhost"\ntls = "none"\nfrom = "a@b.example"\n'
            '[[alerts.to]]\nmail = ["ops@meadow.example"]\n',
            ["alerts-at-home"],
            id="an address that depends on what it tells of",
        ),
    ],
)
def test_config_check_knows_alerts(tmp_path: Path, text: str, codes: list[str]) -> None:
    config = a_config(tmp_path, '[[source.https]]\nlisten = "127.0.0.1:8460"\n' + text)
    findings = json.loads(tlsrpt("config", "check", "--json", config).stdout)["findings"]
    assert [one["code"] for one in findings if one["where"].startswith(("alerts", "mail"))] == codes


def test_the_service_does_not_start_where_somebody_could_not_be_told(tmp_path: Path) -> None:
    service = Serving(tmp_path, HTTPS + "[[alerts.to]]\nname = 'ops'\n")
    service.start()
    assert service.process is not None
    assert service.process.wait(PATIENCE_S) == 2
    service.process = None
    assert "no way to tell it is given" in service.log.read_text()


def test_a_kill_in_the_service_loses_no_alert(tmp_path: Path) -> None:
    """Killed while the receiver is down: the next start tells it."""
    a_store(tmp_path)
    with a_web_server() as web:
        web.status = 503
        with Serving(tmp_path, HTTPS + to_hook(web)) as service:
            service.wait_for("a message is not sent yet")
            assert service.process is not None
            service.process.send_signal(signal.SIGKILL)
            service.process.wait()
            service.process = None
        web.status = 200
        done = tlsrpt("alerts", "--json", "--config", tmp_path / "tlsrpt.toml")
        assert [one["state"] for one in json.loads(done.stdout)["messages"]] == ["waiting"]

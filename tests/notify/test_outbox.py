"""From a look to what arrives: once, however often somebody looks, is killed, or finds nobody there."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from tests.notify.receivers import a_mail_server, a_web_server
from tests.notify.test_routing import a_notice
from tlsrpt.config import AlertsConfig, AlertTo, Config
from tlsrpt.intake.source import Silent
from tlsrpt.notify.channels import send
from tlsrpt.notify.looking import Look, keep
from tlsrpt.notify.outbox import GIVE_UP_AFTER, deliver_due, next_attempt
from tlsrpt.notify.routing import route
from tlsrpt.notify.rules import News
from tlsrpt.store.sqlite import Store, open_store
from tlsrpt.store.sqlite_notices import LEASE, list_notices, read_told
from tlsrpt.store.telling import Delivery, Told

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
MAIL = AlertTo(name="ops", mail=("ops@meadow.example",))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(str(tmp_path / "tlsrpt.db"), create=True) as store:
        yield store


def a_look(config: Config, version: int = 0) -> Look:
    notice = a_notice(of={"consequence": "delivered-clear", "effects": ()})
    told = Told(key=notice.key, state="open", at=NOW)
    news = News(notices=(notice,), told=(told,))
    routed = route(news, config.alerts, NOW, number=version + 1, firsts={}, mx_hosts={})
    return Look(news=news, routed=routed, version=version)


def deliver(store: Store, config: Config, now: datetime = NOW) -> tuple[int, int]:
    return deliver_due(store, lambda delivery: send(config, delivery, now), lambda: now, Silent())


def states(store: Store) -> list[str]:
    return [each.state for each in list_notices(store, 10)]


def test_what_was_found_arrives_once(store: Store) -> None:
    with a_mail_server() as (box, server):
        config = Config(mail=server, alerts=AlertsConfig(to=(MAIL,)))
        assert keep(store, a_look(config), NOW)
        assert not keep(store, a_look(config), NOW)  # by one who looked at the same time
        assert deliver(store, config) == (1, 0)
        assert deliver(store, config) == (0, 0)
    assert [mail["Subject"] for mail in box.mails] == [
        "TLS new: mx1.meadow.example, reported: the MX's certificate has expired; mail is delivered in clear text"
    ]
    assert list(read_told(store)[1]) == ["incident:abc2341"]


def test_what_was_not_taken_comes_when_the_receiver_is_back(store: Store) -> None:
    with a_web_server() as web:
        config = Config(alerts=AlertsConfig(to=(AlertTo(name="ops", webhook=web.url),)))
        keep(store, a_look(config), NOW)
        web.status = 503
        assert deliver(store, config) == (0, 1)
        assert deliver(store, config) == (0, 0)  # not before its time
        web.status = 200
        assert deliver(store, config, NOW + timedelta(minutes=1)) == (1, 0)
    assert len(web.posts) == 1
    assert states(store) == ["sent"]


def test_attempts_come_later_and_later_and_end() -> None:
    now, tries, pauses = NOW, 1, []
    while (due := next_attempt(NOW, tries, now)) is not None:
        pauses.append((due - now).total_seconds())
        now, tries = due, tries + 1
    assert pauses[:7] == [60, 120, 240, 480, 960, 1920, 3600]
    assert set(pauses[7:]) == {3600}
    assert NOW + GIVE_UP_AFTER - now <= timedelta(hours=1)


def test_what_nobody_takes_for_days_is_given_up(store: Store) -> None:
    config = Config(alerts=AlertsConfig(to=(MAIL,)))  # no mail server
    keep(store, a_look(config), NOW)
    assert deliver(store, config, NOW + GIVE_UP_AFTER) == (0, 1)
    assert states(store) == ["failed"]


def test_whoever_is_gone_from_the_configuration_is_not_tried_again(store: Store) -> None:
    keep(store, a_look(Config(alerts=AlertsConfig(to=(MAIL,)))), NOW)
    assert deliver(store, Config()) == (0, 1)
    assert states(store) == ["failed"]


def test_killed_between_sending_and_keeping_it_comes_once_more_under_the_same_id(store: Store, tmp_path: Path) -> None:
    """And not a third time: see tests/store/test_notices.py."""
    with a_mail_server() as (box, server):
        config = Config(mail=server, alerts=AlertsConfig(to=(MAIL,)))
        keep(store, a_look(config), NOW)
        command = [sys.executable, Path(__file__).with_name("sender_once.py"), tmp_path / "tlsrpt.db", str(server.port)]
        killed = subprocess.run([*command, str(int(NOW.timestamp()))], timeout=60, check=False)
        assert killed.returncode == -signal.SIGKILL
        assert (len(box.mails), states(store)) == (1, ["waiting"])
        assert deliver(store, config) == (0, 0)  # it may be at it still
        assert deliver(store, config, NOW + LEASE) == (1, 0)
        assert deliver(store, config, NOW + 10 * LEASE) == (0, 0)
    assert len({mail["Message-ID"] for mail in box.mails}) == 1
    assert (len(box.mails), states(store)) == (2, ["sent"])


def test_of_two_processes_at_once_one_sends(store: Store, tmp_path: Path) -> None:
    config = Config(
        alerts=AlertsConfig(to=tuple(AlertTo(name=f"r{n}", webhook="https://a.example/") for n in range(20)))
    )
    keep(store, a_look(config), NOW)
    sent: list[str] = []
    barrier = threading.Barrier(2)

    def work() -> None:
        with open_store(str(tmp_path / "tlsrpt.db")) as own:
            barrier.wait(timeout=30)

            def take(delivery: Delivery) -> None:
                sent.append(delivery.recipient)

            deliver_due(own, take, lambda: NOW, Silent())

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(sent) == sorted(f"r{n}" for n in range(20))


def test_what_is_kept_is_the_json_that_a_webhook_gets(store: Store) -> None:
    config = Config(alerts=AlertsConfig(to=(MAIL,)))
    look = a_look(config)
    held = msgspec.json.decode(look.routed[0][0].data)
    assert sorted(held) == sorted(
        ["version", "id", "event", "severity", "made_at", "subject", "short", "text", "notices", "incidents"]
    )

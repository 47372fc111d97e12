"""Every alert there is, from the reports in a store to real receivers: mail, a webhook, and a chat by way of Apprise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.notify.receivers import MailBox, Web, a_mail_server, a_web_server
from tests.store.builders import FIRST_DAY, a_detail, a_report, an_arrival, an_entry, signed
from tlsrpt.config import AlertsConfig, AlertTo, Config, HttpsSource, Sources
from tlsrpt.intake.source import Silent
from tlsrpt.notify.channels import send
from tlsrpt.notify.looking import keep, look
from tlsrpt.notify.outbox import deliver_due
from tlsrpt.store.rows import prepare
from tlsrpt.store.sqlite import Store, open_store
from tlsrpt.store.sqlite_memory import remembered
from tlsrpt.store.values import Fault

ENFORCE = ("version: STSv1", "mode: enforce", "mx: mx1.meadow.example", "max_age: 604800")


def at(day: int, hour: int = 12) -> datetime:
    return FIRST_DAY + timedelta(days=day, hours=hour)


class Scene:
    """A store that fills, and somebody who looks into it and tells three receivers."""

    def __init__(self, store: Store, box: MailBox, hook: Web, chat: Web, config: Config) -> None:
        self.store, self.box, self.hook, self.chat, self.config = store, box, hook, chat, config

    def report(self, *days: int, failed: int = 0) -> None:
        for day in days:
            detail = a_detail("certificate-expired", failed, receiving_mx_hostname="mx1.meadow.example")
            entry = an_entry(failed=failed, details=(detail,) if failed else None, policy_string=ENFORCE, successful=50)
            report = a_report(entry, report_id=f"r{day}", day=day)
            arrival = an_arrival(signed(report), received_at=at(day + 1, 6))
            self.store.keep([prepare(arrival)])

    def look(self, now: datetime, *, once: bool = True) -> list[str]:
        """Look and send; the events that arrived, which are the same at each receiver."""
        before = len(self.hook.posts)
        found = look(self.store, self.config, now, mx_hosts={}, once=once)
        assert keep(self.store, found, now)
        sent, failed = deliver_due(self.store, lambda delivery: send(self.config, delivery, now), lambda: now, Silent())
        events: list[str] = [each["event"] for each in self.posted[before:]]
        assert (sent, failed) == (3 * len(events), 0)
        assert len(self.box.envelopes) == len(self.chat.posts) == len(self.hook.posts)
        return events

    @property
    def posted(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(body) for _, _, body in self.hook.posts]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with ExitStack() as stack:
        store = stack.enter_context(open_store(str(tmp_path / "tlsrpt.db"), create=True))
        box, server = stack.enter_context(a_mail_server())
        hook, chat = stack.enter_context(a_web_server()), stack.enter_context(a_web_server())
        url = tmp_path / "url"
        url.write_text(chat.url.replace("http://", "mmost://").replace("/hook", "/3ccdd113474722377935511fc85d3dd4"))
        to = (
            AlertTo(name="mail", mail=("ops@quarry.example",)),
            AlertTo(name="hook", webhook=hook.url),
            AlertTo(name="chat", url_file=str(url)),
        )
        source = Sources(https=(HttpsSource(listen="127.0.0.1:1"),))
        config = Config(mail=server, alerts=AlertsConfig(to=to), source=source)
        yield Scene(store, box, hook, chat, config)


def test_the_life_of_an_incident(scene: Scene) -> None:
    """Opened, worse, over and back, each once, and each seen arriving; in between nothing."""
    scene.report(0, 1, 2)
    assert scene.look(at(3)) == []
    scene.report(3, 4, failed=10)
    assert scene.look(at(5)) == ["opened"]
    assert scene.look(at(5, 13)) == []
    scene.report(5, failed=100)
    assert scene.look(at(6, 13)) == ["worse"]
    scene.report(6, 7, 8)
    assert scene.look(at(9)) == ["over"]
    scene.report(9, 10, failed=10)
    assert scene.look(at(11)) == ["reopened"]
    ids = {each["incidents"][0]["id"] for each in scene.posted}
    assert ids == set(remembered(scene.store).incidents)
    mails = scene.box.mails
    assert len({mail["Message-ID"] for mail in mails}) == 4
    assert [mail["References"] for mail in mails] == [None] + 3 * [mails[0]["Message-ID"]]
    words = [str(mail["Subject"]).split(":")[0] for mail in mails]
    assert words == ["TLS new", "TLS worse", "TLS over", "TLS back"]
    texts = [msgspec.json.decode(body)["text"] for _, _, body in scene.chat.posts]
    assert all("mx1.meadow.example" in text for text in texts)


def test_silence_and_its_end(scene: Scene) -> None:
    scene.report(*range(12))
    assert scene.look(at(13)) == []
    assert scene.look(at(40)) == ["silent"]
    assert scene.posted[0]["notices"][0]["key"] == "reports"
    assert scene.look(at(41)) == []
    scene.report(*range(40, 44))
    assert scene.look(at(45)) == ["heard"]


def test_what_can_not_be_read(scene: Scene) -> None:
    assert scene.look(at(0)) == []
    for n in range(3):
        arrival = an_arrival(raw=b"%d" % n, faults=(Fault(reason="broken"),), received_at=at(1))
        scene.store.keep([prepare(arrival)])
        assert scene.look(at(1, n)) == ([] if n else ["quarantine"])
    assert scene.look(at(3)) == ["quarantine"]


def test_a_trouble_of_our_own(scene: Scene) -> None:
    """The service does not run, which a timer's `alerts run` finds out."""
    assert scene.look(at(0), once=False) == []
    assert scene.look(at(0, 13), once=False) == ["trouble"]
    assert scene.look(at(0, 14), once=False) == []
    assert scene.look(at(0, 15)) == ["well"]


def test_the_first_look_of_all_is_one_message(scene: Scene) -> None:
    scene.report(0, 1, failed=10)
    for n in range(8):
        detail = a_detail("starttls-not-supported", 10, receiving_mx_hostname=f"mx{n}.quarry{n}.example")
        entry = an_entry(policy_domain=f"quarry{n}.example", failed=10, details=(detail,))
        scene.store.keep([prepare(an_arrival(signed(a_report(entry, report_id=f"q{n}")), received_at=at(1)))])
    assert scene.look(at(2)) == ["several"]
    assert scene.posted[0]["subject"].startswith("TLS alerts begin: 9 open")
    assert scene.look(at(3)) == []

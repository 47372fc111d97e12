"""The digest goes out once for each period, whatever happens in between."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from tests.notify.builders import an_overview
from tests.store.builders import a_report, an_arrival, an_entry
from tlsrpt.config import DigestConfig, MailServer
from tlsrpt.core.errors import ConfigError
from tlsrpt.notify.digest import write_digest
from tlsrpt.notify.digest_mail import post_due, send_digest
from tlsrpt.notify.mail import Mail
from tlsrpt.store.rows import prepare
from tlsrpt.store.sqlite import Store, open_store
from tlsrpt.store.sqlite_notices import list_notices

TO = ("postmaster@meadow.example", "boss@meadow.example")
WEEKLY = DigestConfig(to=TO)
MONDAY = datetime(2026, 3, 16, 8, tzinfo=UTC)  # tells of 8 to 14 March
DAY = timedelta(days=1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Two weeks of reports."""
    with open_store(str(tmp_path / "s.db"), create=True) as store:
        for day in range(14):
            store.keep([prepare(an_arrival(a_report(an_entry(), day=day, report_id=f"{day}")))])
        yield store


def posted(store: Store) -> list[tuple[str, str]]:
    return [(one.address, one.subject) for one in reversed(list_notices(store, 100))]


def test_the_first_look_sends_none_and_the_next_monday_does(store: Store) -> None:
    """The service may have begun to run a minute ago, with a store that knows nothing of last week."""
    assert post_due(store, WEEKLY, MONDAY - DAY) is None
    assert posted(store) == []
    assert post_due(store, WEEKLY, MONDAY) == date(2026, 3, 14)
    assert sorted(posted(store)) == [(to, "TLS reports: nothing to do, 8 to 14 Mar 2026") for to in sorted(TO)]


def test_a_restart_sends_none_twice_and_forgets_none(store: Store) -> None:
    post_due(store, WEEKLY, MONDAY - DAY)
    sent = [post_due(store, WEEKLY, MONDAY + timedelta(hours=hours)) for hours in range(0, 24 * 15, 5)]
    assert [until for until in sent if until] == [date(2026, 3, 14), date(2026, 3, 21), date(2026, 3, 28)]
    assert len(posted(store)) == 3 * len(TO)


def test_killed_between_posting_and_remembering_it_is_posted_once(store: Store) -> None:
    post_due(store, WEEKLY, MONDAY - DAY)
    before = store.place("digest/told-until")
    assert before is not None
    post_due(store, WEEKLY, MONDAY)
    store.keep_place("digest/told-until", before)  # as it would be after the kill
    assert post_due(store, WEEKLY, MONDAY + timedelta(minutes=5)) == date(2026, 3, 14)
    assert len(posted(store)) == len(TO)


def test_it_is_of_the_domains_that_are_named(store: Store) -> None:
    config = DigestConfig(to=TO[:1], domains=("brook.example",))
    post_due(store, config, MONDAY - DAY)
    post_due(store, config, MONDAY)
    assert posted(store) == [(TO[0], "TLS reports on brook.example: no report for 8 to 14 Mar 2026")]


def test_a_digest_that_nobody_could_send_yet_gives_way_to_the_next(store: Store) -> None:
    post_due(store, WEEKLY, MONDAY - DAY)
    post_due(store, WEEKLY, MONDAY)
    post_due(store, WEEKLY, MONDAY + 7 * DAY)
    states = {one.subject[-11:]: one.state for one in list_notices(store, 100)}
    assert states == {"14 Mar 2026": "superseded", "21 Mar 2026": "waiting"}


def test_a_person_sends_it_at_once_to_everyone() -> None:
    sent: list[Mail] = []
    server = MailServer(host="mail.example", sender="tlsrpt@meadow.example")
    digest = write_digest(an_overview())
    send_digest(digest, TO, server, MONDAY, "abc", send=lambda _server, mail, _now: sent.append(mail))
    assert [(mail.to, mail.subject, mail.text, mail.html) for mail in sent] == [
        (TO, digest.subject, digest.text, digest.html)
    ]
    assert sent[0].message_id == "digest-abc@meadow.example"


def test_without_a_recipient_it_says_what_to_write() -> None:
    with pytest.raises(ConfigError, match=r"digest\.to: nobody is named"):
        send_digest(write_digest(an_overview()), (), MailServer(), MONDAY, "abc")

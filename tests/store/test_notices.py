"""The outbox: kept with what is remembered, claimed by one, settled once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tlsrpt.store.sqlite import Store, open_store
from tlsrpt.store.sqlite_notices import (
    LEASE,
    UNKNOWN_END,
    claim,
    first_token,
    list_notices,
    next_due,
    outbox_size,
    post,
    read_told,
    settle,
)
from tlsrpt.store.telling import Address, Level, Outgoing, Told

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(str(tmp_path / "tlsrpt.db"), create=True) as store:
        yield store


def a_message(name: str = "a", **values: Any) -> Outgoing:
    return Outgoing(**{"token": name, "kind": "alert", "key": "incident:abc", "subject": "s", "text": "t", **values})


def an_address(**values: Any) -> Address:
    return Address(**{"recipient": "ops", "address": "ops@meadow.example", "due": NOW, **values})


def states(store: Store) -> list[tuple[str, int, str]]:
    return [(each.state, each.tries, each.trouble) for each in list_notices(store, 10)]


def test_what_was_told_reads_back(store: Store) -> None:
    told = Told(key="incident:abc", state="open", at=NOW, level=Level(failed=3, share=0.5))
    assert read_told(store) == (0, {})
    assert post(store, [(a_message(), [an_address()])], now=NOW, told=[told], version=0)
    version, memory = read_told(store)
    assert (version, memory["incident:abc"].level) == (1, Level(failed=3, share=0.5))
    assert post(store, [], now=NOW, forgotten=["incident:abc"], version=1)
    assert read_told(store) == (2, {})


def test_of_two_who_look_at_once_one_tells(store: Store) -> None:
    assert post(store, [(a_message("a"), [an_address()])], now=NOW, version=0)
    assert not post(store, [(a_message("b"), [an_address()])], now=NOW, told=[], version=0)
    assert [each.subject for each in list_notices(store, 10)] == ["s"]


def test_what_was_posted_is_not_posted_again(store: Store) -> None:
    """A digest of a week, made by two."""
    for _ in range(2):
        post(store, [(a_message("digest-2026-W47"), [an_address()])], now=NOW)
    assert len(list_notices(store, 10)) == 1


def test_one_claims_and_what_was_taken_is_not_sent_again(store: Store, tmp_path: Path) -> None:
    post(store, [(a_message(), [an_address()])], now=NOW)
    delivery = claim(store, NOW)
    assert delivery is not None
    with open_store(str(tmp_path / "tlsrpt.db")) as other:
        assert claim(other, NOW) is None
    assert (delivery.message, delivery.tries, delivery.made_at) == (a_message(), 1, NOW)
    settle(store, delivery, now=NOW)
    assert states(store) == [("sent", 1, "")]
    assert claim(store, NOW + 10 * LEASE) is None
    assert next_due(store) is None


def test_killed_before_it_was_settled_it_is_sent_once_more_and_no_more(store: Store) -> None:
    """Nothing is told twice more than once, and what nobody knows of is said."""
    post(store, [(a_message(), [an_address()])], now=NOW)
    assert claim(store, NOW) is not None
    assert claim(store, NOW + LEASE - MINUTE) is None
    assert next_due(store) == NOW + LEASE
    assert claim(store, NOW + LEASE) is not None
    assert claim(store, NOW + 2 * LEASE) is None
    assert states(store) == [("failed", 2, UNKNOWN_END)]
    assert outbox_size(store, NOW + 2 * LEASE).given_up == 1


def test_what_was_not_taken_waits_and_is_given_up_in_the_end(store: Store) -> None:
    post(store, [(a_message(), [an_address()])], now=NOW)
    delivery = claim(store, NOW)
    assert delivery is not None
    settle(store, delivery, now=NOW, trouble="refused", again=NOW + MINUTE)
    assert (claim(store, NOW), next_due(store)) == (None, NOW + MINUTE)
    assert (outbox_size(store, NOW).failing, outbox_size(store, NOW).trouble) == (1, "ops: refused")
    delivery = claim(store, NOW + MINUTE)
    assert delivery is not None
    assert delivery.tries == 2
    settle(store, delivery, now=NOW, trouble="refused")
    assert states(store) == [("failed", 2, "refused")]


def test_what_waits_for_the_end_of_quiet_hours_gives_way_to_what_is_newer(store: Store) -> None:
    morning = NOW + timedelta(hours=9)
    post(store, [(a_message("a"), [an_address(due=morning)])], now=NOW)
    post(store, [(a_message("b", subject="over"), [an_address(due=morning)])], now=NOW)
    delivery = claim(store, morning)
    assert delivery is not None
    assert delivery.message.subject == "over"
    settle(store, delivery, now=morning)
    assert claim(store, morning) is None
    assert first_token(store, "incident:abc") == "a"


def test_old_messages_are_forgotten_unless_they_wait(store: Store) -> None:
    post(store, [(a_message("a"), [an_address()]), (a_message("b", key=""), [])], now=NOW)
    post(store, [(a_message("c", key="x"), [])], now=NOW + timedelta(days=500))
    assert sorted(each.key for each in list_notices(store, 10)) == ["incident:abc", "x"]

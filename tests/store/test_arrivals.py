"""When reports came in: by a few looks, and yet exact."""

from __future__ import annotations

import shutil
import tempfile
from datetime import timedelta
from pathlib import Path

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.store.builders import NOW, a_report, an_arrival, incoming
from tlsrpt.store.rows import prepare
from tlsrpt.store.sqlite import Store, open_store
from tlsrpt.store.sqlite_arrivals import arrivals


def test_an_empty_store_has_none(store: Store) -> None:
    found = arrivals(store, (NOW, NOW))
    assert (found.last, found.since, found.foreign) == (None, (0, 0), 0)


@settings(max_examples=30)
@given(st.lists(st.integers(0, 50), max_size=12), st.lists(st.integers(-5, 60), max_size=4))
def test_they_are_counted_since_any_moment(empty_store: Path, hours: list[int], asked: list[int]) -> None:
    """As a count over all rows would have it."""
    with tempfile.TemporaryDirectory() as folder:
        path = shutil.copy(empty_store, folder)
        with open_store(str(path)) as store:
            for n, hour in enumerate(sorted(hours)):
                arrival = an_arrival(a_report(report_id=str(n)), received_at=NOW + timedelta(hours=hour))
                store.keep([prepare(arrival)])
            found = arrivals(store, [NOW + timedelta(hours=hour) for hour in asked])
    assert found.since == tuple(sum(came >= hour for came in hours) for hour in asked)
    assert found.last == (NOW + timedelta(hours=max(hours)) if hours else None)


def test_those_for_others_are_told_apart(store: Store) -> None:
    theirs = msgspec.structs.replace(incoming(a_report(report_id="2")), foreign=True)
    store.keep([prepare(an_arrival(a_report())), prepare(an_arrival(theirs))])
    found = arrivals(store, (NOW,))
    assert (found.foreign, found.since) == (1, (2,))

"""Laws of incidents, over made-up histories and over reports that hold anything: same in, same out, nothing lost."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.insight.scenarios import DOMAIN, LAST, MX1, MX2, TODAY, back, told
from tests.insight.test_scenarios import HOLE, texts
from tests.strategies import reports
from tlsrpt.core.limits import Limits
from tlsrpt.core.report import Report
from tlsrpt.core.sample import KINDS, Event, SampleReport, Truth, all_reports, write
from tlsrpt.core.text import printable
from tlsrpt.core.writing import write_report
from tlsrpt.insight.identity import sightings
from tlsrpt.insight.incident import Incident
from tlsrpt.insight.incidents import find_incidents
from tlsrpt.intake.door import open_document
from tlsrpt.store.daily import failure_rows, rows_without_details
from tlsrpt.store.rows import Prepared, prepare
from tlsrpt.store.sqlite import Store, open_store
from tlsrpt.store.sqlite_memory import remember

FIRST = back(13)
FAULTS = sorted(kind for kind, each in KINDS.items() if each.layer != "sender")
few = settings(max_examples=25)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("laws") / "empty.db"
    open_store(str(path), create=True).close()
    return path


@contextmanager
def kept(empty: Path, *batches: Iterable[Prepared]) -> Iterator[Store]:
    """A store that holds these, taken in batch by batch."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tlsrpt.db"
        shutil.copy(empty, path)
        with open_store(str(path)) as store:
            for batch in batches:
                store.keep(list(batch))
            yield store


def found(empty: Path, *batches: Iterable[Prepared], since: date = FIRST, today: date = TODAY) -> list[Incident]:
    with kept(empty, *batches) as store:
        return find_incidents(store, since=since, until=today, today=today)


def failed_sessions(store: Store, since: date, until: date) -> int:
    """What senders reported as failed, with details and without, as far as it counts."""
    rows = failure_rows(store, domain=None, since=since, until=until)
    rows += rows_without_details(store, domain=None, since=since, until=until)
    return sum(row.failed for row in rows)


def taken(report: SampleReport) -> Prepared:
    """A sample report through the door."""
    arrival = open_document(
        write(report, "json.gz"),
        source="laws",
        file_name=report.file_name,
        limits=Limits(),
        received_at=report.sent_at,
    )
    return prepare(arrival)


def history(truth: Truth, first: date = FIRST, last: date = LAST) -> list[Prepared]:
    return [taken(report) for report in all_reports(truth, first, last)]


def events(last: date | None = None) -> st.SearchStrategy[Event]:
    """A fault of any kind, at one host or both, for all senders or one, from some day on."""
    return st.builds(
        Event,
        kind=st.sampled_from(FAULTS),
        first=st.integers(2, 8).map(back),
        last=st.just(last),
        hosts=st.sampled_from([(), (MX1,), (MX2,)]),
        senders=st.sampled_from([(), ("google",), ("microsoft", "plain")]),
        share=st.sampled_from([1.0, 0.3]),
    )


def truths(last: date | None = None) -> st.SearchStrategy[Truth]:
    """A domain, some senders, and up to three faults that go on, or end on a day."""
    return st.builds(
        lambda happens, policies, senders: told(*happens, policies=policies, senders=" ".join(sorted(senders))),
        st.lists(events(last), max_size=3),
        st.sampled_from(["none", "testing", "enforce", "dane", "both"]),
        st.sets(st.sampled_from(["google", "microsoft", "mailru", "plain", "stalwart", "mox"]), min_size=1, max_size=3)
        | st.just({"google", "microsoft", "plain"}),
    )


@few
@given(truths(), st.randoms(use_true_random=False))
def test_the_order_of_arrival_changes_nothing(empty: Path, truth: Truth, chance: Random) -> None:
    """F-51: reports come in any order. Not an id, not a word is another."""
    documents = history(truth)
    shuffled = chance.sample(documents, len(documents))
    assert found(empty, shuffled[::2], shuffled[1::2]) == found(empty, documents)


@few
@given(truths())
def test_a_report_that_comes_twice_changes_nothing(empty: Path, truth: Truth) -> None:
    """DESIGN promise 2."""
    documents = history(truth)
    assert found(empty, documents, documents[::-1]) == found(empty, documents)


@few
@given(truths())
def test_a_further_day_of_the_same_failures_changes_no_id(empty: Path, truth: Truth) -> None:
    """What goes on keeps its id; what is told of today was told of under that id yesterday."""
    yesterday = found(empty, history(truth, last=back(1)), today=LAST)
    today = found(empty, history(truth))
    by_key = {key: each for each in today for key in each.keys}
    for each in yesterday:
        assert each.id in {later.id for later in today}, (each.headline, [later.headline for later in today])
        assert by_key[each.keys[0]].id == each.id


@few
@given(truths(), st.randoms(use_true_random=False))
def test_what_was_remembered_keeps_its_id_however_reports_come_in(empty: Path, truth: Truth, chance: Random) -> None:
    """With a service that looks now and then: what was once told under an id is never told under another."""
    documents = history(truth)
    shuffled = chance.sample(documents, len(documents))
    told_as: dict[str, str] = {}
    with kept(empty) as store:
        for part in range(4):
            store.keep(shuffled[part::4])
            incidents = find_incidents(store, since=FIRST, until=TODAY, today=TODAY)
            remember(store, sightings(incidents))
            now = {each.keys[0]: each.id for each in incidents}
            assert {key: now[key] for key in now if key in told_as} == {
                key: told_as[key] for key in now if key in told_as
            }
            told_as |= now


@few
@given(truths())
def test_every_failed_session_is_in_exactly_one_incident(empty: Path, truth: Truth) -> None:
    """Nothing is lost in the grouping and nothing counted twice; the days add up to the whole."""
    with kept(empty, history(truth)) as store:
        incidents = find_incidents(store, since=FIRST, until=TODAY, today=TODAY)
        reported = failed_sessions(store, FIRST, TODAY)
    assert sum(each.failed for each in incidents) == reported
    for each in incidents:
        assert each.failed == sum(failed for _, failed in each.by_day) <= each.total
        assert each.failed == sum(seen.failed for seen in each.seen_by)
    assert len({each.id for each in incidents}) == len(incidents)


@few
@given(truths(last=back(2)), st.integers(1, 9))
def test_clean_reports_never_open_what_is_quiet(empty: Path, truth: Truth, further: int) -> None:
    """Later days without a failure: what was over stays over, and in the end everything is."""
    before = {each.id: each for each in found(empty, history(truth))}
    today = TODAY + timedelta(days=further)
    after = {each.id: each for each in found(empty, history(truth, last=today - timedelta(days=1)), today=today)}
    assert set(before) == set(after)
    for id_, each in before.items():
        assert each.state != "quiet" or after[id_].state == "quiet", (each.state_reason, after[id_].state_reason)


@few
@given(truths())
def test_one_domain_s_answer_is_of_that_domain(empty: Path, truth: Truth) -> None:
    """Asked for one domain only, all that it met is told, under the same ids."""
    with kept(empty, history(truth)) as store:
        everything = find_incidents(store, since=FIRST, until=TODAY, today=TODAY)
        one = find_incidents(store, since=FIRST, until=TODAY, today=TODAY, domain=DOMAIN)
    assert {each.id for each in one} <= {each.id for each in everything}
    assert {each.id for each in everything if DOMAIN in each.domains} == {each.id for each in one}


def anything(made: Sequence[Report]) -> list[Prepared]:
    """Reports with the texts that hurt, through the door."""
    now = datetime(2035, 1, 1, tzinfo=UTC)
    return [
        prepare(open_document(write_report(each), source="laws", file_name="", limits=Limits(), received_at=now))
        for each in made
    ]


@few
@given(st.lists(reports(), max_size=4))
def test_whatever_a_report_holds_texts_are_safe_and_filled_in(empty: Path, made: list[Report]) -> None:
    """DESIGN promise 4: nothing that can't be seen gets into a sentence; nothing is left open in one."""
    incidents = found(empty, anything(made), since=date(2015, 1, 1), today=date(2034, 1, 1))
    for each in incidents:
        for text in texts(each):
            assert all(printable(line) == line for line in text.split("\n")), text
            assert not HOLE.search(text), text
        assert "\n" not in each.headline


@few
@given(st.lists(reports(), max_size=4))
def test_whatever_a_report_holds_no_session_is_lost(empty: Path, made: list[Report]) -> None:
    days = date(2015, 1, 1), date(2034, 1, 1)
    with kept(empty, anything(made)) as store:
        incidents = find_incidents(store, since=days[0], until=days[1], today=days[1])
        reported = failed_sessions(store, *days)
    assert sum(each.failed for each in incidents) == reported

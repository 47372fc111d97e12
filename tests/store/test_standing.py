"""Which report counts: proof against none, ours against others', and whatever order they come in (DESIGN promise 2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from tests.store.builders import NOW, a_detail, a_report, an_arrival, an_entry, for_others, incoming, rows_of, signed
from tests.store.test_keep import in_memory, keep, results, sessions
from tlsrpt.core.findings import Finding
from tlsrpt.store.answers import ReportLine
from tlsrpt.store.reports import foreign_domains, list_reports, raw_of_report, report_by_id
from tlsrpt.store.rows import Prepared, PreparedReport, prepare
from tlsrpt.store.sqlite import Store
from tlsrpt.store.sqlite_check import check
from tlsrpt.store.sqlite_prune import prune
from tlsrpt.store.sqlite_tallies import tally_rows
from tlsrpt.store.values import Arrival, Fault, IncomingReport

FIRST, OTHER, THIRD = (a_report(an_entry(successful=count)) for count in (5, 6, 7))
TOMORROW = NOW.date() + timedelta(days=1)


def keep_in_one(store: Store, *some: IncomingReport) -> list[Any]:
    """Keep all in one batch."""
    return [kept for document in store.keep([prepare(an_arrival(one)) for one in some]) for kept in document]


def lines(store: Store) -> dict[int, ReportLine]:
    return {line.id: line for line in list_reports(store).reports}


def standings(store: Store) -> list[tuple[str, int | None]]:
    """Standing and the report that counts instead, by id."""
    assert check(store, raw=True).problems == ()
    return [(line.standing, line.conflict_with) for _, line in sorted(lines(store).items())]


@pytest.mark.parametrize("at_once", [False, True], ids=["one by one", "in one batch"])
@pytest.mark.parametrize(
    ("some", "outcome", "successful"),
    [
        pytest.param(
            [incoming(FIRST), signed(OTHER)], [("conflict", 2), ("counted", None)], 6, id="signed after unsigned"
        ),
        pytest.param(
            [signed(FIRST), incoming(OTHER)], [("counted", None), ("conflict", 1)], 5, id="unsigned after signed"
        ),
        pytest.param([signed(FIRST), signed(OTHER)], [("counted", None), ("conflict", 1)], 5, id="both signed"),
        pytest.param([incoming(FIRST), incoming(OTHER)], [("counted", None), ("conflict", 1)], 5, id="both unsigned"),
        pytest.param(
            [incoming(FIRST, dkim="pass-other"), incoming(OTHER, dkim="fail")],
            [("counted", None), ("conflict", 1)],
            5,
            id="signed by others",
        ),
        pytest.param(
            [incoming(FIRST), incoming(OTHER), signed(THIRD)],
            [("conflict", 3), ("conflict", 3), ("counted", None)],
            7,
            id="all name the one that counts",
        ),
        pytest.param(
            [incoming(FIRST), incoming(OTHER), signed(OTHER)],
            [("conflict", 2), ("counted", None)],
            6,
            id="signed when it comes again",
        ),
        pytest.param([incoming(FIRST), signed(FIRST)], [("counted", None)], 5, id="the same one, signed"),
        pytest.param([for_others(FIRST)], [("foreign", None)], 0, id="for others"),
        pytest.param(
            [for_others(FIRST), for_others(OTHER)],
            [("foreign", None), ("foreign", None)],
            0,
            id="no conflict of others'",
        ),
        pytest.param(
            [for_others(FIRST), incoming(OTHER)], [("foreign", None), ("counted", None)], 6, id="ours after others'"
        ),
        pytest.param([for_others(FIRST), incoming(FIRST)], [("counted", None)], 5, id="the same one, ours now"),
        pytest.param([incoming(FIRST), for_others(FIRST)], [("counted", None)], 5, id="ours once, ours for ever"),
        pytest.param(
            [incoming(FIRST), for_others(OTHER), incoming(OTHER)],
            [("counted", None), ("conflict", 1)],
            5,
            id="ours now, and in conflict",
        ),
        pytest.param(
            [incoming(FIRST), for_others(OTHER), signed(OTHER)],
            [("conflict", 2), ("counted", None)],
            6,
            id="ours now, and signed",
        ),
        pytest.param(
            [signed(FIRST, foreign=True), incoming(OTHER), incoming(FIRST)],
            [("counted", None), ("conflict", 1)],
            5,
            id="what was signed once stays so",
        ),
    ],
)
def test_promise_2_one_counts_and_a_signed_one_before_others(
    store: Store, some: list[IncomingReport], outcome: list[tuple[str, int | None]], successful: int, at_once: bool
) -> None:
    """Promise 2, A-14: Google's ids can be guessed, so what nobody signed gives way; what is for others never counts."""
    if at_once:
        keep_in_one(store, *some)
    else:
        keep(store, *map(an_arrival, some))
    assert standings(store) == outcome
    assert sessions(store) == (bool(successful), successful, 0)
    assert sessions(store, "meadow.example")[1] == successful


def test_a_replaced_report_says_so(store: Store) -> None:
    """Whoever reads the log learns which one counts now."""
    first, other, again, stays = keep(
        store, *map(an_arrival, (incoming(FIRST), signed(OTHER), incoming(OTHER), signed(THIRD)))
    )
    assert results([first, other, again, stays]) == ["new", "conflict", "known", "conflict"]
    assert "counts from now on" in other.reason
    assert f"report {first.id}" in other.reason
    assert (again.reason, stays.reason) == (
        "",
        f"same sender, report-id, window and domains as report {other.id}, other content: kept, not counted",
    )
    assert report_by_id(store, other.id).conflicts == (first.id, stays.id)
    assert (report_by_id(store, first.id).counted, report_by_id(store, other.id).counted) == (False, True)


def test_a_known_report_is_proven_by_a_better_document(store: Store) -> None:
    """First by HTTPS, then by mail: the mail is kept, since it is the proof; of the other there is a note."""
    (first,) = keep(store, an_arrival(incoming(FIRST, where="a.json"), raw=b"the body", source="https"))
    assert (lines(store)[first.id].dkim, sessions(store)[1]) == (None, 5)
    finding = Finding(code="x", severity="note", where="", message="noted")
    mail = an_arrival(
        signed(FIRST, where="b.gz", findings=(finding,)), raw=b"the mail", source="imap", received_at=NOW + timedelta(1)
    )
    (again,) = keep(store, mail)
    assert (again.result, again.id, again.reason) == ("known", first.id, "")
    found = report_by_id(store, first.id)
    assert (found.dkim, found.dkim_domain, found.source, found.where) == ("pass", "sender.example", "imap", "b.gz")
    assert (found.findings, found.received_at) == ((finding,), NOW)
    assert [(one.source, one.received_at) for one in found.sightings] == [("https", NOW)]
    assert raw_of_report(store, first.id) == b"the mail"
    assert len(rows_of(store, "document")) == 1
    before = [rows_of(store, table) for table in ("report", "document", "sighting", "tally")]
    keep(store, an_arrival(incoming(FIRST, where="a.json"), raw=b"the body", source="https"), mail)
    assert [rows_of(store, table) for table in ("report", "document", "sighting", "tally")] == before
    assert check(store, raw=True).problems == ()


@pytest.mark.parametrize("verdict", ["pass-other", "fail", "none", "error"])
def test_no_other_verdict_changes_what_was_said_first(store: Store, verdict: Any) -> None:
    """Only an aligned pass proves anything: a mailing list that breaks the signature must not undo it."""
    (kept,) = keep(store, an_arrival(signed(FIRST)))
    keep(store, an_arrival(incoming(FIRST, dkim=verdict), raw=b"a copy"))
    assert report_by_id(store, kept.id).dkim == "pass"
    (kept,) = keep(store, an_arrival(a_report(day=3)))
    keep(store, an_arrival(incoming(a_report(day=3), dkim=verdict), raw=b"another copy"))
    assert report_by_id(store, kept.id).dkim is None


def test_a_document_that_brought_something_else_too_stays(store: Store) -> None:
    """A document goes only when nothing refers to it any more."""
    one, two = a_report(report_id="1"), a_report(report_id="2")
    keep(
        store,
        an_arrival(one, two, raw=b"both"),
        an_arrival(a_report(report_id="3"), raw=b"half", faults=(Fault(reason="x"),)),
    )
    keep(store, an_arrival(signed(one), raw=b"1"), an_arrival(signed(a_report(report_id="3")), raw=b"3"))
    assert raw_of_report(store, 2) == b"both"
    assert len(rows_of(store, "document")) == 4
    keep(store, an_arrival(signed(two), raw=b"2"))
    assert [raw_of_report(store, id_) for id_ in (1, 2, 3)] == [b"1", b"2", b"3"]
    assert len(rows_of(store, "document")) == 4  # "both" went, "2" came
    assert check(store, raw=True).problems == ()


def test_a_removed_document_may_come_again_in_the_same_batch(store: Store) -> None:
    """What the batch remembers of documents must not outlive them."""
    body = an_arrival(incoming(FIRST), raw=b"body")
    torn = an_arrival(incoming(FIRST), raw=b"body", faults=(Fault(reason="read today"),))
    mail = an_arrival(signed(FIRST), raw=b"mail")
    store.keep([prepare(one) for one in (body, mail, torn, body, mail)])
    assert sessions(store) == (1, 5, 0)
    assert len(rows_of(store, "quarantine")) == 1
    assert check(store, raw=True).problems == ()


def test_coming_again_files_a_report_under_our_domain(store: Store) -> None:
    """Promise 8: a DANE report by HTTPS names an MX host only; the mail's TLS-Report-Domain says whose it is."""
    dane = a_report(an_entry("tlsa", "mx.host.example", failed=2, details=(a_detail("tlsa-invalid", 2),)))
    keep(store, an_arrival(for_others(dane), raw=b"body"))
    assert (sessions(store), rows_of(store, "domain")) == ((0, 0, 0), [])
    (again,) = keep(store, an_arrival(incoming(dane, report_domain="meadow.example"), raw=b"mail"))
    assert (again.result, again.reason) == ("known", "counts from now on")
    assert sessions(store, "meadow.example") == sessions(store, "mx.host.example") == (1, 10, 2)
    assert rows_of(store, "domain") == [("meadow.example",)]
    assert [line.domains for line in lines(store).values()] == [("meadow.example",)]
    keep(store, an_arrival(signed(dane, report_domain="orchard.example"), raw=b"signed"))
    assert rows_of(store, "domain") == [("orchard.example",)]
    assert (sessions(store, "meadow.example"), sessions(store, "orchard.example")) == ((0, 0, 0), (1, 10, 2))
    assert check(store).problems == ()


def test_a_foreign_report_is_found_and_in_no_figure(store: Store) -> None:
    """A-14: kept and offered, not counted: anybody may send reports about anybody's domain."""
    ours, foreign = keep(
        store, an_arrival(incoming()), an_arrival(for_others(a_report(an_entry("sts", "them.example"))))
    )
    assert results([ours, foreign]) == ["new", "new"]
    assert (ours.reason, foreign.reason) == ("", "for domains that are not ours: kept, not counted")
    assert sessions(store, "them.example") == (0, 0, 0)
    assert [line.id for line in list_reports(store, domain="them.example").reports] == [foreign.id]
    assert [line.id for line in list_reports(store, conflict=True).reports] == []
    assert raw_of_report(store, foreign.id)


def test_foreign_domains_are_offered_with_the_most_first(store: Store) -> None:
    """`you also receive for ...`: how many, how many of them proven, and since when."""
    two = an_entry("sts", "two.example"), an_entry("tlsa", "mx.two.example")
    keep(
        store,
        an_arrival(incoming()),
        *(
            an_arrival(for_others(a_report(an_entry("sts", "one.example"), day=day)), raw=b"1%d" % day)
            for day in (0, 1, 2)
        ),
        an_arrival(signed(a_report(*two), report_domain="two.example", foreign=True), received_at=NOW + timedelta(2)),
        an_arrival(for_others(a_report(*two, day=1), report_domain="two.example"), received_at=NOW + timedelta(3)),
        an_arrival(for_others(a_report(*(), day=5))),
    )
    found = foreign_domains(store)
    assert [(one.domain, one.reports, one.proven) for one in found] == [
        ("one.example", 3, 0),
        ("two.example", 2, 1),
        ("meadow.example", 1, 0),
    ]
    assert (found[1].first_received, found[1].last_received) == (NOW + timedelta(2), NOW + timedelta(3))
    assert len(foreign_domains(store, limit=1)) == 1


def test_adoption_counts_what_is_ours_now(store: Store) -> None:
    """After `[domains] own` has changed: by report domain or policy domain, a bounded number in one transaction."""
    many = [a_report(an_entry("sts", "new.example"), day=day % 30, report_id=str(day)) for day in range(450)]
    dane = a_report(an_entry("tlsa", "mx.new.example"), report_id="dane")
    others = a_report(an_entry("sts", "them.example"))
    for_no_domain = msgspec_replace(a_report(), policies=())
    some = [for_others(one) for one in (*many, others)]
    some.append(for_others(dane, report_domain="far.example"))
    some.append(IncomingReport(report=for_no_domain, report_domains=(), foreign=True))
    store.keep([prepare(an_arrival(one)) for one in some])
    asked: Counter[str] = Counter()

    def is_ours(domain: str) -> bool:
        asked[domain] += 1
        return domain == "new.example" or domain == "mx.new.example"

    first, following = store.adopt_next(is_ours)
    assert (first, following) == (200, 200)  # one transaction: others may keep reports in between
    assert store.adopt(is_ours) == 251
    assert (sessions(store)[0], sessions(store, "far.example")[0], sessions(store, "them.example")[0]) == (451, 1, 0)
    assert store.adopt(is_ours) == 0
    assert store.adopt(lambda domain: domain == "") == 1  # only where every domain is ours
    assert store.adopt(lambda _: True) == 1
    assert sessions(store)[0] == 453
    assert check(store).problems == ()


def msgspec_replace(value: Any, **changes: Any) -> Any:
    from msgspec.structs import replace

    return replace(value, **changes)


def test_adoption_keeps_to_promise_2(store: Store) -> None:
    """Of several foreign versions the first counts, unless a later one is signed."""
    keep(store, *map(an_arrival, (for_others(FIRST), for_others(OTHER), signed(THIRD, foreign=True))))
    assert store.adopt(lambda _: True) == 3
    assert standings(store) == [("conflict", 3), ("conflict", 3), ("counted", None)]
    assert sessions(store) == (1, 7, 0)


def test_what_was_pruned_stays_as_it_was_counted(store: Store) -> None:
    """Its share can't be told any more, so nothing takes its place; a copy with a better proof is only known."""
    keep(store, an_arrival(incoming(FIRST)))
    prune(store, raw_before=TOMORROW, facts_before=TOMORROW)
    again, other = keep(store, an_arrival(signed(FIRST), raw=b"copy"), an_arrival(signed(OTHER)))
    assert (again.result, other.result, sessions(store)) == ("known", "conflict", (1, 5, 0))
    assert check(store).problems == ()


def test_a_pruned_foreign_report_counts_when_it_comes_again_and_is_ours(store: Store) -> None:
    """It was in no figure yet, and what came tells its share; its facts stay forgotten, until `prune` comes round."""
    keep(store, an_arrival(for_others(FIRST)))
    prune(store, facts_before=TOMORROW)
    assert foreign_domains(store) == []
    assert store.adopt(lambda _: True) == 0  # nothing says what it was about
    (again,) = keep(store, an_arrival(signed(FIRST), raw=b"copy"))
    assert (again.result, sessions(store)) == ("known", (1, 5, 0))
    assert rows_of(store, "policy") == []
    assert check(store).problems == ()


# What may come: three versions of two reports, by several ways, before and after more domains are ours.
VERSIONS = [
    a_report(an_entry("sts", "a.example", successful=count, failed=1, details=(a_detail(kind),)), report_id=id_)
    for count, kind in ((5, "certificate-expired"), (6, "certificate-expired"), (7, "starttls-not-supported"))
    for id_ in ("1", "2")
]
VERSIONS += [
    a_report(an_entry("sts", "a.example"), an_entry("tlsa", "mx.example", failed=n), report_id="3") for n in (1, 2)
]
DOMAINS = ("a.example", "b.example", "mx.example")


class Coming(Struct, frozen=True):
    """A report as it comes: which version, filed under which domain, with which verdict, in which document."""

    version: int
    filed: str | None
    dkim: Any
    copy: int

    def arrival(self, owned: frozenset[str]) -> Arrival:
        report = VERSIONS[self.version]
        named = {entry.policy.policy_domain for entry in report.policies} | {self.filed}
        one = incoming(report, report_domain=self.filed, dkim=self.dkim, foreign=not named & owned)
        return an_arrival(one, raw=repr(self).encode())


coming = st.builds(
    Coming,
    st.integers(0, len(VERSIONS) - 1),
    st.sampled_from([None, "a.example", "b.example"]),
    st.sampled_from([None, "pass", "pass-other", "fail"]),
    st.integers(0, 1),
)
own = st.sampled_from(DOMAINS)


class Known(Struct):
    """What the model knows of a version."""

    item: PreparedReport  # as it is filed
    foreign: bool
    proven: bool
    counted: bool = False


class Model:
    """The rules of DESIGN promise 2 and A-14 once more, in memory and in few words."""

    def __init__(self) -> None:
        self.identities: dict[bytes, dict[bytes, Known]] = {}

    def take(self, prepared: Prepared) -> None:
        (item,) = prepared.items
        assert isinstance(item, PreparedReport)
        versions = self.identities.setdefault(item.identity, {})
        known = versions.get(item.content)
        if known is None:
            versions[item.content] = Known(item, item.foreign, item.proven)
        else:
            better, ours = item.proven and not known.proven, known.foreign and not item.foreign
            if (better or ours) and not (item.foreign and not known.foreign):
                known.item = item
            known.proven |= item.proven
            known.foreign &= item.foreign
        self._count(versions)

    def adopt(self, owned: frozenset[str]) -> None:
        for versions in self.identities.values():
            for known in versions.values():
                known.foreign &= not {domain for domain, _ in known.item.filed} & owned
                self._count(versions)

    def _count(self, versions: dict[bytes, Known]) -> None:
        """A proven one before others, else the one that counts already, else the first: a stable sort says it."""
        ours = [known for known in versions.values() if not known.foreign]
        order = sorted(ours, key=lambda known: (not known.proven, not known.counted))
        for n, known in enumerate(order):
            known.counted = n == 0

    def tallies(self) -> tuple[list[Any], list[Any], list[Any]]:
        """Rows of tally, failure_tally and domain."""
        sums: tuple[dict[Any, list[int]], dict[Any, list[int]]] = {}, {}
        domains: set[str] = set()
        for versions in self.identities.values():
            for known in (one for one in versions.values() if one.counted):
                domains.update(known.item.domains)
                for into, parts in zip(sums, known.item.share[:2], strict=True):
                    for key, figures in parts:
                        row = (*key, int(known.proven))
                        into[row] = [a + b for a, b in zip(into.get(row, [0] * len(figures)), figures, strict=True)]
        rows = [sorted(((*key, *figures) for key, figures in one.items()), key=repr) for one in sums]
        return rows[0], rows[1], sorted((domain,) for domain in domains)


def figures_of(store: Store) -> tuple[list[Any], list[Any], list[Any]]:
    return rows_of(store, "tally"), rows_of(store, "failure_tally"), rows_of(store, "domain")


@settings(max_examples=150, deadline=None)
@given(st.lists(coming | own, max_size=14), st.sets(own), st.booleans())
def test_whatever_comes_in_whatever_order_tallies_are_those_of_what_counts(
    steps: list[Coming | str], owned_first: set[str], batched: bool
) -> None:
    """Promise 2 through replacement, better proof, adoption and conflicts: the store does what a few lines of rules say."""
    model, owned = Model(), frozenset(owned_first)
    batch: list[Prepared] = []
    with in_memory() as store:

        def flush() -> None:
            for one in batch:
                model.take(one)
            store.keep(batch)
            batch.clear()

        for step in steps:
            if isinstance(step, str):
                flush()
                owned |= {step}
                store.adopt(owned.__contains__)
                model.adopt(owned)
            else:
                batch.append(prepare(step.arrival(owned)))
                if not batched:
                    flush()
        flush()
        assert figures_of(store) == model.tallies()
        assert check(store, raw=True).problems == ()
        counted = sum(one.counted for versions in model.identities.values() for one in versions.values())
        assert sessions(store)[0] == counted


@settings(max_examples=100, deadline=None)
@given(st.lists(coming, max_size=8), st.data())
def test_any_order_gives_the_same_tallies_where_the_proof_is_the_same(some: list[Coming], data: st.DataObject) -> None:
    """The true report comes once with its signature; forgeries, and copies that nobody signed, come when they like."""
    genuine: dict[str | None, int] = {}
    for one in some:
        genuine.setdefault(VERSIONS[one.version].report_id, one.version)
    arrivals = [Coming(one.version, one.filed, None, one.copy) for one in some]
    arrivals += [Coming(version, "b.example", "pass", 0) for version in genuine.values()]
    owned = frozenset(data.draw(st.sampled_from([DOMAINS, ("b.example",)])))
    with in_memory() as one_way, in_memory() as other_way:
        for store in (one_way, other_way):
            for coming_now in data.draw(st.permutations(arrivals)):
                store.keep([prepare(coming_now.arrival(owned))])
        assert figures_of(one_way) == figures_of(other_way)


@settings(max_examples=60, deadline=None)
@given(st.lists(coming, max_size=8), st.integers(0, 8))
def test_adopted_late_is_as_owned_from_the_start(some: list[Coming], late: int) -> None:
    """A domain that is named in the configuration weeks later has the same figures then.

    But for two versions that are both signed: which was first is told by their ids then, not by their signatures.
    """
    genuine = {0, 1, 6}
    some = [one if one.version in genuine else Coming(one.version, one.filed, None, one.copy) for one in some]
    with in_memory() as at_once, in_memory() as later:
        at_once.keep([prepare(one.arrival(frozenset(DOMAINS))) for one in some])
        later.keep([prepare(one.arrival(frozenset())) for one in some[:late]])
        later.adopt(frozenset(DOMAINS).__contains__)
        later.keep([prepare(one.arrival(frozenset(DOMAINS))) for one in some[late:]])
        assert figures_of(at_once) == figures_of(later)


def test_the_indexes_of_what_stands_apart_are_used(store: Store) -> None:
    """Few reports among millions: what asks for conflicts or foreign ones must not read the others."""
    from tlsrpt.store import reports as asked

    queries: list[Callable[[], Any]] = [lambda: asked.conflicts_of(1), lambda: asked.foreign_by_domain(10)]
    with store.reading() as db:
        for query in queries:
            sql = str(query().compile(db.engine))
            plan = [row[3] for row in db.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", (1,) * sql.count("?"))]
            assert any("USING INDEX report_" in step or "COVERING INDEX report_" in step for step in plan), plan
            assert not any(step == "SCAN report" for step in plan), plan


def test_tally_rows_name_the_proof_after_the_key() -> None:
    assert tally_rows([(("a", 1), (2, 3))], 1) == [("a", 1, 1, 2, 3)]

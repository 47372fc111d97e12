"""An incident keeps its id, and a person's word of it holds as long as it should."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from msgspec.structs import replace

from tests.insight.test_incidents import DAY, MX, Told, failure, sessions
from tests.store.builders import a_detail, a_report, an_arrival, an_entry
from tlsrpt.insight.identity import sightings
from tlsrpt.insight.incident import Incident
from tlsrpt.insight.incidents import explain, find_incidents
from tlsrpt.store.rows import prepare
from tlsrpt.store.sqlite import Store, open_store
from tlsrpt.store.sqlite_memory import mark, remember, remembered
from tlsrpt.store.values import Evidence, Memory, Remembered

NOW = datetime(2026, 3, 3, tzinfo=UTC)
VAGUE = failure("validation-failure", mx_host="", sender="s2.example", reason="VALIDATION_FAILURE", failed=40)
NAMED = failure(day=DAY + timedelta(days=1))


def ids(found: list[Incident]) -> list[str]:
    return [each.id for each in found]


@pytest.fixture
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with open_store(str(tmp_path_factory.mktemp("memory") / "tlsrpt.db"), create=True) as opened:
        yield opened


def keep(store: Store, day: int, **values: str) -> None:
    """A report of one more day with an expired certificate."""
    detail = a_detail(failed=5, receiving_mx_hostname=values.get("mx", MX))
    entry = an_entry(successful=10, failed=5, details=(detail,))
    store.keep([prepare(an_arrival(a_report(entry, day=day, report_id=f"{day}")))])


def all_of(store: Store, today: date = DAY + timedelta(days=60)) -> list[Incident]:
    return find_incidents(store, since=DAY, until=today, today=today)


def test_what_is_told_more_exactly_later_is_still_the_same_incident() -> None:
    """First one sender says little; the day after, another names the host: the first id stays."""
    before = explain([VAGUE], Told(), DAY)
    after = explain([VAGUE, replace(NAMED, day=DAY), NAMED], Told(), DAY + timedelta(days=1))
    assert ids(before) != ids(explain([NAMED], Told(), DAY))
    assert len(after) == 1
    assert after[0].place == MX
    with_earlier_begin = explain([replace(NAMED, day=DAY - timedelta(days=1)), VAGUE, NAMED], Told(), DAY)
    assert ids(with_earlier_begin) != ids(before)  # a late report: the host was named first, so that id it is ...
    known = Memory(ids=dict.fromkeys(before[0].keys, before[0].id))
    assert ids(explain([replace(NAMED, day=DAY - timedelta(days=1)), VAGUE, NAMED], Told(), DAY, known)) == ids(before)


def test_two_incidents_never_share_an_id() -> None:
    """What joins from a group that goes on by itself takes no name with it."""
    far = replace(VAGUE, day=DAY + timedelta(days=20))
    found = explain([VAGUE, far, replace(NAMED, day=DAY)], Told(), DAY)
    assert len(found) == len(set(ids(found))) == 2
    known = Memory(ids={key: "same" for each in found for key in each.keys})
    assert len(set(ids(explain([VAGUE, far, replace(NAMED, day=DAY)], Told(), DAY, known)))) == 2


def test_a_late_report_of_an_old_day_makes_nothing_new(store: Store) -> None:
    """F-51: it comes under the same id, the begin moves back, and what is over stays over."""
    keep(store, 3)
    fine = [a_report(an_entry(), day=day, report_id=f"fine {day}") for day in (5, 6, 7)]
    store.keep([prepare(an_arrival(one)) for one in fine])
    (before,) = all_of(store)
    keep(store, 2)
    (after,) = all_of(store)
    assert (before.state, after.state) == ("quiet", "quiet")
    assert (before.id, before.last_seen) == (after.id, after.last_seen)
    assert after.first_seen == before.first_seen - timedelta(days=1)


def test_the_begin_is_remembered_when_the_reports_of_that_time_are_gone(store: Store) -> None:
    keep(store, 0)
    remember(store, sightings(all_of(store)))
    keep(store, 1)
    rows = [failure(day=DAY + timedelta(days=1), report_domain="meadow.example", policy_domain="meadow.example")]
    (found,) = explain(rows, Told(), DAY + timedelta(days=2), remembered(store))
    assert found.first_seen == DAY


def test_a_mended_incident_opens_again_when_it_is_seen_after_that(store: Store) -> None:
    keep(store, 0)
    (found,) = all_of(store)
    mark(store, sightings([found])[0], "resolved", day=found.last_seen, now=NOW, note="renewed, ticket 12")
    (marked,) = all_of(store)
    assert (marked.mark, marked.note) == ("resolved", "renewed, ticket 12")
    keep(store, 4)
    (again,) = all_of(store)
    assert (again.id, again.mark, again.note) == (found.id, "none", "renewed, ticket 12")


def test_an_ignored_incident_counts_again_from_its_day_on(store: Store) -> None:
    keep(store, 0)
    (found,) = all_of(store)
    until = DAY + timedelta(days=10)
    mark(store, sightings([found])[0], "ignored-until", day=until, now=NOW)
    keep(store, 4)
    assert [(each.mark, each.mark_until) for each in all_of(store, until - timedelta(days=1))] == [
        ("ignored-until", until)
    ]
    assert [each.mark for each in all_of(store, until)] == ["none"]
    mark(store, sightings([found])[0], "none", now=NOW)
    assert all_of(store, DAY + timedelta(days=5))[0].mark == "none"


def test_what_is_marked_comes_last() -> None:
    rows = [failure(mx_host="a.example", failed=500), failure(mx_host="b.example")]
    (first, second) = explain(rows, Told(), DAY)
    known = Remembered(id=first.id, place="", title="", first_seen=DAY, last_seen=DAY, mark="resolved", mark_day=DAY)
    assert ids(explain(rows, Told(), DAY, Memory(incidents={first.id: known}))) == [second.id, first.id]


def test_remembering_twice_changes_nothing_and_the_first_id_stays(store: Store) -> None:
    keep(store, 0)
    found = all_of(store)
    remember(store, sightings(found))
    once = remembered(store)
    remember(store, sightings([replace(found[0], id="another")]))
    assert remembered(store).ids == once.ids
    with pytest.raises(ValueError, match="have a day"):
        mark(store, sightings(found)[0], "resolved", now=NOW)


def a_row(**values: object) -> Evidence:
    row: dict[str, object] = {
        "report": 1, "day": DAY, "sender": "big.example", "report_domain": "orchard.example",
        "policy_domain": "orchard.example", "policy_type": "sts", "result_type": "validation-failure", "failed": 10,
        "mx_host": MX, "policy_string": ("mx: old.orchard.example",), "policy_mx": ("old.orchard.example",),
    }  # fmt: skip
    return Evidence(**(row | values))  # type: ignore[arg-type]


def test_a_host_that_the_senders_own_policy_does_not_list_is_a_fault_of_the_policy() -> None:
    """D-70: a mismatch of MX and policy has no result type; two hosts that one policy lacks are one incident."""
    other = "mx2.orchard.example"
    rows = [failure("validation-failure"), failure("certificate-host-mismatch", mx_host=other)]
    told = Told(evidence=[a_row(), a_row(mx_host=other, result_type="certificate-host-mismatch")])
    (found,) = explain(rows, told, DAY)
    assert (found.place, found.side.party, found.causes[0].code) == (
        "mta-sts.orchard.example", "policy-host", "mx-not-in-policy",
    )  # fmt: skip
    assert found.failed == 20
    (fits,) = explain(rows[:1], Told(evidence=[a_row(policy_mx=("*.orchard.example",))]), DAY)
    assert fits.place == MX
    assert fits.causes[0].code != "mx-not-in-policy"


def test_a_copy_of_an_older_policy_is_told_from_a_line_that_is_missing() -> None:
    """The same failures, but a newer policy, which another sender reported, lists the host."""
    old, new = ("mx: old.orchard.example",), (f"mx: {MX}",)
    rows = [failure("validation-failure", day=DAY + timedelta(days=2))]
    row = a_row(day=DAY + timedelta(days=2), policy_string=old)
    policies = {old: DAY - timedelta(days=30), new: DAY}
    (stale,) = explain(rows, Told(evidence=[row], policies=policies), DAY)
    assert stale.causes[0].code == "policy-copy-old"
    policies = {new: DAY - timedelta(days=30), old: DAY}  # the other way round: the host was taken out
    (missing,) = explain(rows, Told(evidence=[row], policies=policies), DAY)
    assert missing.causes[0].code == "mx-not-in-policy"


def test_failures_at_ipv6_addresses_alone_point_to_the_machine_behind_them() -> None:
    rows = [failure(), failure(sender="s2.example")]
    seen = [
        a_row(result_type="certificate-expired", receiving_ip="2001:db8::25", sender=sender, policy_mx=())
        for sender in ("big.example", "s2.example")
    ]
    (found,) = explain(rows, Told(sessions(failed=10), evidence=seen), DAY)
    assert found.causes[0].code == "one-node-old-certificate"
    assert found.addresses == ("2001:db8::25",)
    assert "IPv6 address 2001:db8::25" in found.headline
    mixed = [*seen, a_row(result_type="certificate-expired", receiving_ip="192.0.2.25", policy_mx=())]
    (both,) = explain(rows, Told(sessions(failed=10), evidence=mixed), DAY)
    assert both.causes[0].code == "renewed-not-reloaded"


def test_what_comes_back_after_weeks_is_one_incident_with_two_spells() -> None:
    rows = [failure(day=DAY + timedelta(days=n)) for n in (0, 1, 30, 31)]
    (found,) = explain(rows, Told(), DAY + timedelta(days=31))
    assert found.earlier == ((DAY, DAY + timedelta(days=1)),)
    assert found.days == 4

"""Failures become the incidents that an administrator would name: place, fault, side, effect, next step."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsrpt.core.results import RESULT_TYPES
from tlsrpt.insight.incident import Incident
from tlsrpt.insight.incidents import explain
from tlsrpt.store.evidence import Cell
from tlsrpt.store.values import Beside, Evidence, FailureRow, Span

DAY = date(2026, 3, 1)
MX = "mx1.orchard.example"


def failure(result: str = "certificate-expired", **values: Any) -> FailureRow:
    row: dict[str, Any] = {
        "report_domain": "orchard.example", "day": DAY, "sender": "big.example", "policy_type": "sts",
        "policy_mode": "enforce", "policy_domain": "orchard.example", "result_type": result, "mx_host": MX,
        "receiving_ip": "", "reason": "", "failed": 10,
    }  # fmt: skip
    return FailureRow(**(row | values))


class Day(NamedTuple):
    """Sessions of one sender to one domain on one day."""

    sender: str
    day: date
    successful: int = 90
    failed: int = 0
    domain: str = "orchard.example"


def sessions(sender: str = "big.example", days: Iterable[int] = (0,), **values: Any) -> list[Day]:
    return [Day(sender, DAY + timedelta(days=n), **values) for n in days]


class Told:
    """Facts by hand: sessions day by day, rows of failure-details, policies."""

    def __init__(
        self,
        days: Iterable[Day] = (),
        evidence: Sequence[Evidence] = (),
        policies: Mapping[tuple[str, ...], date] | None = None,
    ) -> None:
        self._days, self._evidence, self._policies = list(days), evidence, policies or {}

    def beside(self, spans: Sequence[Span]) -> list[list[Beside]]:
        return [[each for sender in self._senders() if (each := self._of(sender, span))] for span in spans]

    def _senders(self) -> list[str]:
        return sorted({each.sender for each in self._days})

    def _of(self, sender: str, span: Span) -> Beside | None:
        own = [
            each
            for each in self._days
            if each.sender == sender and each.domain in span.domains and each.day >= span.first
        ]
        within = [each for each in own if each.day <= span.last]
        if not own:
            return None
        return Beside(
            sender=sender,
            successful=sum(each.successful for each in within),
            failed=sum(each.failed for each in within),
            verified_sts=sum(each.successful for each in within),
            verified_tlsa=sum(each.successful for each in within),
            latest=max(each.day for each in own),
            later_days=len({each.day for each in own if each.day > span.last}),
        )

    def evidence(self, cells: Collection[Cell]) -> dict[Cell, list[Evidence]]:
        return {cell: [each for each in self._evidence if (each.report_domain, each.day) == cell] for cell in cells}

    def policies(self, report_domain: str, until: date) -> Mapping[tuple[str, ...], date]:
        return {lines: day for lines, day in self._policies.items() if day <= until}


def incidents(rows: Iterable[FailureRow], around: Iterable[Day], today: date) -> list[Incident]:
    return explain(rows, Told(around), today)


def only(found: list[Incident]) -> Incident:
    assert len(found) == 1, [(each.place, each.result_types) for each in found]
    return found[0]


def test_one_host_that_serves_many_domains_is_one_incident() -> None:
    rows = [failure(report_domain=f"d{n}.example", policy_domain=f"d{n}.example") for n in range(50)]
    incident = only(incidents(rows, [], DAY))
    assert (incident.place, len(incident.domains), incident.failed) == (MX, 50, 500)


@pytest.mark.parametrize(
    ("row", "place", "kind"),
    [
        pytest.param(failure(), MX, "mx", id="the MX host"),
        pytest.param(failure(mx_host="", receiving_ip="192.0.2.1"), "192.0.2.1", "mx", id="no name: its address"),
        pytest.param(failure(mx_host=""), "MX hosts of orchard.example", "mx", id="neither: F-38, Microsoft"),
        pytest.param(failure("sts-policy-fetch-error", mx_host=""), "mta-sts.orchard.example", "policy-host", id="policy host"),
        pytest.param(
            failure("tlsa-invalid", policy_type="tlsa", policy_domain="mx.host.example", mx_host=""),
            "_25._tcp.mx.host.example", "tlsa-record", id="DANE filed under the MX host: F-31",
        ),
        pytest.param(failure("dane-required", policy_type="tlsa"), "big.example", "sender", id="the sender demands it"),
        pytest.param(
            failure("validation-failure", reason="MX_HOSTS_MISMATCH", mx_host=""), "mta-sts.orchard.example", "policy-host",
            id="a name mismatch has no own type: D-70",
        ),
    ],
)  # fmt: skip
def test_the_place_is_what_somebody_has_to_look_at(row: FailureRow, place: str, kind: str) -> None:
    incident = only(incidents([row], [], DAY))
    assert (incident.place, incident.place_kind) == (place, kind)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(
            failure("certificate-not-trusted", sender="s2.example", reason="invalid peer certificate: Expired"),
            id="a reason",
        ),
        pytest.param(failure(sender="s2.example", mx_host=""), id="no host named"),
        pytest.param(
            failure("validation-failure", sender="s2.example", mx_host="", reason="VALIDATION_FAILURE"),
            id="Microsoft's",
        ),
    ],
)
def test_one_cause_under_several_names_is_one_incident(other: FailureRow) -> None:
    """D-70, D-71."""
    incident = only(incidents([failure(), other], [], DAY))
    assert incident.place == MX
    assert incident.failed == 20
    assert incident.causes[0].code == "renewed-not-reloaded"


def test_what_names_another_host_or_other_days_joins_nothing() -> None:
    rows = [
        failure(),
        failure("validation-failure", mx_host="mx2.orchard.example", sender="s2.example"),
        failure("validation-failure", mx_host="", sender="s3.example", day=DAY + timedelta(days=20)),
    ]
    assert len(incidents(rows, [], DAY)) == 3


def test_a_mismatch_at_a_tlsa_record_is_one_incident_whatever_senders_call_it() -> None:
    """T-64: validation-failure at mox, certificate-not-trusted at Postfix, tlsa-invalid at Stalwart."""
    dane = {"policy_type": "tlsa", "policy_mode": "", "policy_domain": MX}
    rows = [
        failure("validation-failure", sender="mox.example", reason="dane-no-match", **dane),
        failure("certificate-not-trusted", sender="postfix.example", **dane),
        failure("tlsa-invalid", sender="stalwart.example", reason="No matching certificates found.", **dane),
    ]
    incident = only(incidents(rows, [], DAY))
    assert (incident.place, incident.side.party, incident.consequence) == (f"_25._tcp.{MX}", "dns", "refused")
    assert incident.causes[0].code == "tlsa-key-changed"


def test_several_senders_make_it_certain_and_one_of_many_does_not() -> None:
    two = only(incidents([failure(), failure(sender="s2.example")], [], DAY))
    one = only(incidents([failure()], [*sessions(), *sessions("s2.example")], DAY))
    alone = only(incidents([failure()], sessions(), DAY))
    assert [each.side.confidence for each in (two, one, alone)] == ["high", "low", "medium"]
    assert one.others == ("s2.example",)


def test_one_sender_of_many_that_does_not_trust_the_chain_may_have_an_old_store() -> None:
    incident = only(incidents([failure("certificate-not-trusted")], sessions("s2.example"), DAY))
    assert (incident.side.party, incident.causes[0].code) == ("sender", "sender-trust-store")


def test_share_is_of_the_senders_that_see_it() -> None:
    """failed of all sessions of those senders to these domains, from first to last seen."""
    around = [*sessions(days=range(3), failed=10), *sessions("s2.example", days=range(3))]
    incident = only(incidents([failure(), failure(day=DAY + timedelta(days=1))], around, DAY + timedelta(days=2)))
    assert (incident.failed, incident.total, incident.days) == (20, 200, 2)


@pytest.mark.parametrize(
    ("later", "today", "state"),
    [
        pytest.param([], 1, "open", id="reports come a day late"),
        pytest.param([1], 2, "open", id="one clean day may be a quiet one"),
        pytest.param([1, 2], 3, "quiet", id="the sender reports and no longer sees it"),
        pytest.param([], 10, "unknown", id="the sender fell silent"),
    ],
)
def test_the_state_is_judged_from_the_senders_that_saw_it(later: list[int], today: int, state: str) -> None:
    around = [*sessions(days=[0, *later]), *sessions("s2.example", days=range(10))]
    assert only(incidents([failure(failed=50)], around, DAY + timedelta(days=today))).state == state


@pytest.mark.parametrize(
    ("row", "state"),
    [
        pytest.param(failure("validation-failure", failed=1), "watch", id="one session"),
        pytest.param(
            failure("validation-failure", failed=1, reason="io-timeout-during-handshake"), "watch", id="a time-out"
        ),
        pytest.param(failure("sts-policy-fetch-error", mx_host="", failed=2), "watch", id="a fetch that failed"),
        pytest.param(failure("certificate-expired", failed=1), "open", id="an expired certificate does not pass"),
        pytest.param(failure("validation-failure", failed=50), "open", id="many sessions"),
    ],
)
def test_one_sender_one_day_few_sessions_is_watched_and_accuses_nobody(row: FailureRow, state: str) -> None:
    """D-73."""
    assert only(incidents([row], sessions(), DAY)).state == state


def test_the_worst_comes_first() -> None:
    """What is open before what is over, mail refused before mail in clear before mail unverified, then by size."""
    rows = [
        failure(mx_host="a.example", policy_mode="testing", failed=900),
        failure("starttls-not-supported", mx_host="b.example", policy_type="no-policy-found", failed=100),
        failure(mx_host="c.example", failed=5),
        failure(mx_host="d.example", failed=50),
        failure(mx_host="e.example", failed=5000, day=DAY - timedelta(days=20)),
    ]
    found = incidents(rows, sessions(days=range(-10, 1)), DAY)
    assert [each.place[0] for each in found] == ["d", "c", "b", "a", "e"]


def test_commands_hold_the_place_and_nothing_that_a_report_made_up() -> None:
    """A host name from a report is hostile: only what is a domain name gets into a command."""
    good = only(incidents([failure()], [], DAY))
    assert f"-connect {MX}:25" in good.verify
    evil = only(incidents([failure(mx_host="$(reboot).example; rm -rf /")], [], DAY))
    assert "reboot" not in evil.verify
    assert "<MX host>" in evil.verify


@given(
    st.lists(
        st.builds(
            failure,
            st.sampled_from([*RESULT_TYPES, "", "made-up"]),
            report_domain=st.sampled_from(["a.example", "b.example"]),
            policy_domain=st.sampled_from(["a.example", MX]),
            sender=st.sampled_from(["s1", "s2", "s3"]),
            policy_type=st.sampled_from(["sts", "tlsa", "no-policy-found", "", "other"]),
            policy_mode=st.sampled_from(["", "enforce", "testing", "none"]),
            mx_host=st.sampled_from(["", MX, "mx2.example"]),
            receiving_ip=st.sampled_from(["", "192.0.2.1", "2001:db8::1"]),
            reason=st.sampled_from(["", "VALIDATION_FAILURE", "MX_HOSTS_MISMATCH", "dane-no-match", "expired", "\x00"]),
            day=st.integers(0, 40).map(lambda n: DAY + timedelta(days=n)),
            failed=st.integers(0, 1000),
        ),
        max_size=30,
    )
)
def test_every_failed_session_is_in_exactly_one_incident(rows: list[FailureRow]) -> None:
    """Nothing is lost in the grouping, nothing counted twice, and the order of the rows changes nothing."""
    found = incidents(rows, [], DAY + timedelta(days=41))
    assert sum(each.failed for each in found) == sum(row.failed for row in rows)
    assert all(each.failed <= each.total and each.steps and each.title for each in found)
    assert [each.place for each in incidents(rows[::-1], [], DAY + timedelta(days=41))] == [
        each.place for each in found
    ]


def test_the_effect_is_told_for_each_domain_by_its_policy() -> None:
    """S5-01: under enforce mail is refused, under testing the same fault only makes it unverified."""
    rows = [
        failure(report_domain="strict.example"),
        failure(report_domain="trying.example", policy_mode="testing", failed=500),
    ]
    incident = only(incidents(rows, [], DAY))
    assert incident.effects == (("refused", ("strict.example",)), ("delivered-unverified", ("trying.example",)))
    assert incident.consequence == "refused"

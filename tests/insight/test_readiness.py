"""May a domain move to enforce: the verdict, its reasons, and laws over made-up histories."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from tests.insight.scenarios import (
    DOMAIN,
    LAST,
    MX2,
    POLICY_HOST,
    TODAY,
    Scenario,
    a_sender,
    at_mx2,
    at_policy,
    back,
    prepared,
    told,
)
from tlsrpt.core.limits import Limits
from tlsrpt.core.sample import (
    KINDS,
    Event,
    SampleReport,
    StsPolicy,
    Truth,
    a_site,
    all_reports,
    write,
)
from tlsrpt.insight.incidents import find_incidents
from tlsrpt.insight.readiness import (
    DAYS_NEEDED,
    VERDICTS,
    Readiness,
    ReadinessVerdict,
    find_readiness,
)
from tlsrpt.insight.state import NOISE_SESSIONS
from tlsrpt.insight.under_sts import would_lose
from tlsrpt.intake.door import open_document
from tlsrpt.store.rows import Prepared, prepare
from tlsrpt.store.sqlite import Store, open_store
from tlsrpt.store.values import PROVEN

Look = Callable[..., Readiness]
few = settings(max_examples=25, deadline=None)


def history(truth: Truth, *, days: int = 30, proven: bool = True) -> list[Prepared]:
    return prepared(Scenario(name="readiness", story="", truth=truth, days=days, form="json.gz", proven=proven))


def look(store: Store, today: date = TODAY, days: int = 90) -> Readiness:
    return find_readiness(store, DOMAIN, since=today - timedelta(days=days - 1), until=today, today=today)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("readiness") / "empty.db"
    open_store(str(path), create=True).close()
    return path


@pytest.fixture
def seen(empty: Path, tmp_path: Path) -> Look:
    """The answer of a store that holds the reports of some truths."""

    def find(*truths: Truth, today: date = TODAY, **how: Any) -> Readiness:
        path = tmp_path / "s.db"
        shutil.copy(empty, path)
        with open_store(str(path)) as store:
            for truth in truths:
                store.keep(history(truth, **how))
            return look(store, today)

    return find


def codes(found: Readiness, bearing: str) -> list[str]:
    return [reason.code for reason in found.reasons if reason.bearing == bearing]


TESTING = told(policies="testing")


def test_a_month_without_a_failure_is_ready(seen: Look) -> None:
    found = seen(TESTING)
    assert (found.verdict, found.proven_verdict, found.mode) == ("ready", "ready", "testing")
    assert (found.refused, found.days, found.clean_days, found.faults) == (0, 30, 30, ())
    assert {sender.sender for sender in found.senders} == {
        "google.com",
        "microsoft.com",
        "corp.mail.ru",
        "plain.example",
    }
    assert (codes(found, "against"), codes(found, "missing"), codes(found, "for")) == ([], [], ["clean"])
    assert found.steps[0].endswith(f"tlsrpt policy check {DOMAIN}")
    assert "--mode enforce" in found.steps[1]


def test_every_reason_is_a_sentence(seen: Look) -> None:
    for found in (seen(TESTING), seen(told(at_mx2("certificate-expired", back(9)), policies="testing"))):
        for text in (found.headline, *(reason.text for reason in found.reasons)):
            assert text[0].isupper() or text[0].isdecimal() or text.startswith(DOMAIN), text
            assert text.endswith((".", "?")), text


def test_a_fault_that_goes_on_is_not_ready(seen: Look) -> None:
    found = seen(told(at_mx2("certificate-expired", back(9)), policies="testing"))
    assert (found.verdict, codes(found, "against")) == ("not-ready", ["fault-open"])
    (fault,) = found.faults
    assert (fault.place, fault.would, fault.first_seen, fault.noise) == (MX2, "refused", back(9), False)
    assert found.refused == fault.failed == sum(sender.refused for sender in found.senders) > 100
    assert found.steps[0].endswith(f"tlsrpt incidents {fault.id}")
    assert found.clean_days == 30  # nothing is over: it goes on


def test_its_incident_has_the_id_that_it_has_elsewhere(empty: Path, tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    shutil.copy(empty, path)
    with open_store(str(path)) as store:
        store.keep(history(told(at_mx2("certificate-expired", back(9)), policies="testing")))
        (elsewhere,) = find_incidents(store, since=back(40), until=TODAY, today=TODAY)
        assert [fault.id for fault in look(store).faults] == [elsewhere.id]


@pytest.mark.parametrize(
    ("over_for", "verdict", "code"),
    [
        pytest.param(5, "not-enough-seen", "fault-lately-over", id="mended five days ago"),
        pytest.param(DAYS_NEEDED + 1, "ready", None, id="mended two weeks ago"),
    ],
)
def test_a_fault_that_is_over_holds_it_back_for_two_weeks(
    seen: Look, over_for: int, verdict: str, code: str | None
) -> None:
    """And is told with its dates ever after."""
    ended = back(over_for)
    found = seen(told(at_mx2("certificate-expired", ended - timedelta(days=4), ended), policies="testing"))
    assert found.verdict == verdict
    assert codes(found, "missing") == ([code] if code else [])
    assert found.clean_days == over_for
    (over,) = [reason.text for reason in found.reasons if reason.code == "fault-over"]
    assert str(ended) in over


def test_one_session_of_one_sender_does_not_hold_a_large_domain_back(seen: Look) -> None:
    """D-73, on the day itself, and after it; it is told all the same."""
    for day in (LAST, back(6)):
        event = at_mx2("certificate-expired", day, day, senders=("google",), sessions=1)
        found = seen(told(event, policies="testing", daily=5000))
        assert (found.verdict, found.refused) == ("ready", 1)
        assert codes(found, "note").count("noise") == 1


def test_one_session_counts_where_there_are_few(seen: Look) -> None:
    event = at_mx2("certificate-expired", LAST, LAST, senders=("google",), sessions=1)
    assert seen(told(event, policies="testing", daily=20)).verdict == "not-ready"


@pytest.mark.parametrize("kind", ["sts-policy-fetch-error", "sts-policy-invalid", "sts-webpki-invalid"])
def test_a_policy_that_cannot_be_had_refuses_nothing(seen: Look, kind: str) -> None:
    """RFC 8461 section 3.3: without a policy mail is delivered as without MTA-STS."""
    found = seen(told(at_policy(kind, back(3), senders=("google",)), policies="testing"))
    assert (found.verdict, found.refused) == ("ready", 0)
    assert "policy-not-had" in codes(found, "note")


def test_a_policy_that_hardly_anybody_gets_is_to_be_mended_first(seen: Look) -> None:
    """What is not checked is no evidence, and enforce would protect nothing; that it refuses nothing does not matter."""
    found = seen(told(at_policy("policy-not-found", back(9)), policies="testing"))
    assert (found.verdict, found.refused) == ("not-enough-seen", 0)
    assert codes(found, "missing") == ["policy-not-had"]
    assert found.days < 30
    assert found.steps[0].endswith(f"tlsrpt policy check {DOMAIN}")


def test_what_enforce_turns_into_a_loss() -> None:
    """What testing delivers and enforce does not; an unknown type is taken for one of these."""
    lost = {name for name in (*KINDS_OF_RESULTS, "made-up", "") if would_lose(name, None)}
    assert lost == {
        "starttls-not-supported",
        "certificate-host-mismatch",
        "certificate-expired",
        "certificate-not-trusted",
        "validation-failure",
        "made-up",
        "",
    }


KINDS_OF_RESULTS = (
    "starttls-not-supported",
    "certificate-host-mismatch",
    "certificate-expired",
    "certificate-not-trusted",
    "validation-failure",
    "tlsa-invalid",
    "dnssec-invalid",
    "dane-required",
    "sts-policy-fetch-error",
    "sts-policy-invalid",
    "sts-webpki-invalid",
)


@pytest.mark.parametrize(
    ("truth", "days", "code"),
    [
        pytest.param(TESTING, 9, "few-days", id="nine days"),
        pytest.param(told(policies="testing", senders="google"), 30, "few-senders", id="one sender"),
        pytest.param(told(policies="none"), 30, "no-sts", id="no policy"),
        pytest.param(told(policies="dane", senders="google postfix mox"), 30, "no-sts", id="DANE alone"),
    ],
)
def test_what_is_missing_before_one_can_know(seen: Look, truth: Truth, days: int, code: str) -> None:
    found = seen(truth, days=days)
    assert (found.verdict, codes(found, "missing")) == ("not-enough-seen", [code])
    assert found.steps


def test_without_a_report_nothing_is_known(seen: Look) -> None:
    found = seen()
    assert (found.verdict, codes(found, "missing"), found.senders) == ("not-enough-seen", ["no-reports"], ())
    assert found.steps == (f"See whether reports can come: tlsrpt record check {DOMAIN}",)


def test_old_reports_say_nothing_of_now(seen: Look) -> None:
    found = seen(TESTING, today=TODAY + timedelta(days=20))
    assert (found.verdict, codes(found, "missing")) == ("not-enough-seen", ["reports-old"])


def test_a_loop_of_report_mails_is_no_sender(seen: Look) -> None:
    """D-74: the one session a day is the mail that brings the report."""
    loop = told(at_policy("report-loop", back(40), senders=("plain",)), policies="testing", senders="google plain")
    found = seen(loop)
    assert [sender.sender for sender in found.senders if sender.loop] == ["plain.example"]
    assert codes(found, "missing") == ["few-senders"]


def test_a_domain_in_enforce_is_told_so(seen: Look) -> None:
    assert "already-enforce" in codes(seen(told()), "note")
    assert "in enforce already" in seen(told()).headline
    broken = seen(told(at_mx2("certificate-expired", back(9))))
    assert broken.verdict == "not-ready"
    assert "loses mail" in broken.headline
    assert "--mode testing" in broken.steps[-1]


def test_a_failure_under_dane_alone_says_nothing(seen: Look) -> None:
    """Its sessions are others' business: only those under MTA-STS count."""
    event = at_mx2("tlsa-mismatch", back(9), senders=("postfix",))
    found = seen(told(event, policies="both", senders="google mailru plain postfix"))
    assert (found.verdict, found.faults) == ("ready", ())


def test_a_host_that_the_policy_does_not_list_is_named(seen: Look) -> None:
    site = a_site(DOMAIN, LAST, policies="testing", daily=200)
    site = structs.replace(site, sts=(StsPolicy(mode="testing", mx=("mx1.orchard.example",)),))
    found = seen(told(at_mx2("mx-not-in-policy", back(9)), sites=(site,)))
    assert found.verdict == "not-ready"
    assert [(host.name, host.covered) for host in found.mx_hosts] == [(MX2, False)]
    assert "mx-not-covered" in codes(found, "note")
    assert found.faults[0].place in (MX2, POLICY_HOST)


@pytest.mark.parametrize(
    ("ended", "verdict", "code"),
    [
        pytest.param(back(2), "not-ready", "fault-open", id="lately"),
        pytest.param(back(20), "not-enough-seen", "fault-unknown", id="three weeks ago, and no signed report since"),
    ],
)
def test_nobody_can_make_a_domain_ready_with_unsigned_reports(
    empty: Path, tmp_path: Path, ended: date, verdict: str, code: str
) -> None:
    """A forger reports clean days in the senders' names after the fault; the signed reports do not show it as over."""
    path = tmp_path / "s.db"
    shutil.copy(empty, path)
    fault = told(at_mx2("certificate-expired", back(25)), policies="testing")
    with open_store(str(path)) as store:
        store.keep([_taken(each, proven=True) for each in all_reports(fault, back(40), ended)])
        store.keep([_taken(each) for each in all_reports(TESTING, ended + timedelta(days=1), LAST)])
        found = look(store)
    assert found.verdict == verdict
    assert code in (reason.code for reason in found.reasons)
    assert found.proven_verdict != "ready"


def test_unsigned_failures_hold_it_back_and_that_is_said(seen: Look, empty: Path, tmp_path: Path) -> None:
    path = tmp_path / "both.db"
    shutil.copy(empty, path)
    with open_store(str(path)) as store:
        store.keep(history(TESTING))
        rumour = told(at_mx2("certificate-expired", back(9)), policies="testing", senders=(a_sender("rumour"),))
        store.keep(history(rumour, proven=False))
        found = look(store)
    assert (found.verdict, found.proven_verdict) == ("not-ready", "ready")
    assert "proven-differs" in codes(found, "note")
    unsigned = seen(TESTING, proven=False)
    assert (unsigned.verdict, unsigned.proven_verdict) == ("ready", None)
    assert "nothing-signed" in codes(unsigned, "note")


# --- Laws ------------------------------------------------------------------------------------------------------------


FAULTS = sorted(kind for kind, each in KINDS.items() if each.layer != "sender")


def events() -> st.SearchStrategy[Event]:
    return st.builds(
        Event,
        kind=st.sampled_from(FAULTS),
        first=st.integers(3, 25).map(back),
        last=st.none() | st.integers(0, 3).map(back),
        hosts=st.sampled_from([(), (MX2,)]),
        senders=st.sampled_from([(), ("google",), ("microsoft", "plain")]),
        share=st.sampled_from([1.0, 0.1]),
        sessions=st.sampled_from([None, None, 1]),
    )


def truths() -> st.SearchStrategy[Truth]:
    return st.builds(
        lambda happens, senders, daily: told(*happens, policies="testing", senders=senders, daily=daily),
        st.lists(events(), max_size=2),
        st.sampled_from(["google microsoft mailru plain", "google plain", "google"]),
        st.sampled_from([20.0, 1000.0]),
    )


def verdict_of(found: Readiness) -> int:
    return VERDICTS.index(found.verdict)


def stored(empty: Path, *batches: list[Prepared]) -> Iterator[Store]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.db"
        shutil.copy(empty, path)
        with open_store(str(path)) as store:
            for batch in batches:
                store.keep(batch)
                yield store


@few
@given(truths())
def test_never_ready_while_a_signed_fault_that_refuses_is_open(empty: Path, truth: Truth) -> None:
    """Unless it is noise by D-73: one sender's one or two sessions of one day, less than a hundredth."""
    for store in stored(empty, history(truth)):
        found = look(store)
        incidents = find_incidents(store, since=back(89), until=TODAY, today=TODAY, proven_only=True)
        for each in incidents:
            few_sessions = len(each.senders) == each.days == 1 and each.failed < NOISE_SESSIONS
            refuses = "sts" in each.policy_types and would_lose(each.result_type, None) == "refused"
            passes = any(fault.id == each.id and fault.would == "delayed" for fault in found.faults)
            if each.state == "open" and refuses and not few_sessions and not passes:
                assert found.verdict == "not-ready", each.headline


@few
@given(truths(), st.integers(1, 12))
def test_clean_days_never_make_it_worse(empty: Path, truth: Truth, more: int) -> None:
    ended = structs.replace(
        truth, events=tuple(structs.replace(event, last=event.last or LAST) for event in truth.events)
    )
    first = LAST - timedelta(days=24)
    batches = history(ended, days=25), _days_after(structs.replace(ended, events=()), more)
    before, after = [
        find_readiness(store, DOMAIN, since=first, until=day, today=day)
        for store, day in zip(stored(empty, *batches), (TODAY, TODAY + timedelta(days=more)), strict=True)
    ]
    assert verdict_of(after) >= verdict_of(before), (before.headline, after.headline)


def _days_after(truth: Truth, days: int) -> list[Prepared]:
    """The reports of the days after LAST."""
    return [_taken(each) for each in all_reports(truth, TODAY, LAST + timedelta(days=days))]


def _taken(report: SampleReport, *, proven: bool = False) -> Prepared:
    """A sample report through the door."""
    arrival = open_document(
        write(report, "json.gz"),
        source="readiness",
        file_name=report.file_name,
        limits=Limits(),
        received_at=report.sent_at,
    )
    if proven:
        signed = tuple(structs.replace(each, dkim=PROVEN) for each in arrival.reports)
        arrival = structs.replace(arrival, reports=signed)
    return prepare(arrival)


@few
@given(truths())
def test_a_verdict_always_says_why(empty: Path, truth: Truth) -> None:
    expected: dict[ReadinessVerdict, str] = {"not-ready": "against", "not-enough-seen": "missing", "ready": "for"}
    for store in stored(empty, history(truth)):
        found = look(store)
        assert found.reasons[0].bearing == expected[found.verdict]
        assert found.steps
        assert found.refused == sum(sender.refused for sender in found.senders) <= found.sessions

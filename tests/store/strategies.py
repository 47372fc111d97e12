"""Any report and any arrival: few names and days, so that they meet, and texts of every kind."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.store.builders import a_report, an_arrival, incoming
from tlsrpt.core.report import FailureDetail, Policy, PolicyResult, Report, Summary
from tlsrpt.store.values import Arrival, Fault

DOMAINS = st.sampled_from(["meadow.example", "orchard.example", "mx1.host.example"])
COUNTS = st.integers(0, 10**9)
TEXTS = st.none() | st.text(max_size=20)

details = st.builds(
    FailureDetail,
    result_type=st.none() | st.sampled_from(["certificate-expired", "starttls-not-supported", "new-type"]),
    failed_session_count=st.integers(0, 20),
    sending_mta_ip=st.none() | st.sampled_from(["192.0.2.1", "2001:db8::1"]),
    receiving_mx_hostname=st.none() | st.sampled_from(["mx1.host.example", "MX2.host.example."]),
    receiving_mx_helo=TEXTS,
    receiving_ip=st.none() | st.sampled_from(["198.51.100.1", "2001:db8::25"]),
    additional_information=TEXTS,
    failure_reason_code=TEXTS,
)
entries = st.builds(
    PolicyResult,
    policy=st.builds(
        Policy,
        policy_type=st.none() | st.sampled_from(["sts", "tlsa", "no-policy-found", "other"]),
        policy_domain=DOMAINS,
        policy_string=st.none()
        | st.sampled_from([(), ("version: STSv1", "mode: testing"), ("mode: enforce",), ("3 1 1 00",)]),
        mx_host=st.none() | st.sampled_from([(), ("*.host.example",)]),
    ),
    summary=st.builds(Summary, total_successful_session_count=COUNTS, total_failure_session_count=COUNTS),
    failure_details=st.none() | st.lists(details, max_size=4).map(tuple),
)
reports = st.builds(
    a_report,
    report_id=st.sampled_from(["1", "2", None]),
    day=st.integers(0, 2),
    contact_info=st.sampled_from(["tls@sender.example", "postmaster@other.example", None]),
).flatmap(
    lambda report: st.lists(entries, max_size=4).map(
        lambda some: Report(
            organization_name=report.organization_name,
            date_range=report.date_range,
            contact_info=report.contact_info,
            report_id=report.report_id,
            policies=tuple(some),
        )
    )
)


@st.composite
def arrivals(draw: st.DrawFn) -> Arrival:
    """A document of up to three reports, filed under their policy domains or all under one, signed or not, ours or not."""
    dkim, foreign = st.sampled_from([None, None, "pass", "fail"]), st.sampled_from([False, False, True])
    found = draw(st.lists(st.tuples(reports, st.none() | DOMAINS, dkim, foreign), max_size=3))
    faults = draw(st.lists(st.builds(Fault, reason=st.just("no JSON"), where=st.sampled_from(["", "a"])), max_size=2))
    return an_arrival(
        *(
            incoming(report, report_domain=domain, dkim=verdict, foreign=is_foreign)
            for report, domain, verdict, is_foreign in found
        ),
        raw=draw(st.binary(min_size=1, max_size=50)),
        faults=tuple(faults),
    )

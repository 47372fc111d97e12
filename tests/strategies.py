"""What reports are made of, for property tests: `reports()` keep to RFC 8460, `broken_documents()` do not."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from tlsrpt.core.report import (
    POLICY_TYPES,
    RESULT_TYPES,
    DateRange,
    FailureDetail,
    Policy,
    PolicyResult,
    Report,
    Summary,
)
from tlsrpt.core.writing import write_report

DOMAINS = (
    "orchard.example",
    "harbour.example",
    "xn--bcher-kva.example",
    "a-very-long-label-that-is-still-below-the-limit-of-63-octets.sub.example.com",
)
LABELS = st.sampled_from(["a", "mx1", "b-2", "x9", "lantern"]) | st.integers(0, 999).map("h{}".format)


def domains() -> st.SearchStrategy[str]:
    """Domain names as we compare them: lower-case A-labels."""
    return st.sampled_from(DOMAINS) | st.builds("{}.example".format, LABELS)


def addresses() -> st.SearchStrategy[str]:
    """IPv4 and IPv6 in the forms that RFC 8460 allows; long and upper-case IPv6 too."""
    v6 = st.integers(0x20010DB8 << 96, (0x20010DB9 << 96) - 1).map(ipaddress.IPv6Address)
    forms: list[Callable[[ipaddress.IPv6Address], str]] = [str, lambda ip: ip.exploded, lambda ip: ip.exploded.upper()]
    return st.integers(0, 2**32 - 1).map(lambda n: str(ipaddress.IPv4Address(n))) | st.builds(
        lambda form, ip: form(ip), st.sampled_from(forms), v6
    )


def texts() -> st.SearchStrategy[str]:
    """Free text of a key that may hold anything: line ends and controls, but no NUL and no lone surrogate."""
    known = [
        "4.7.5 TLS handshake failed",
        'Get "https://mta-sts.example/": timeout',
        "a\r\n250 SIZE",
        "\x1b[31m",
        "\u202e!",
    ]
    characters = st.characters(exclude_categories=("Cs",), exclude_characters="\0")
    return st.sampled_from(known) | st.text(characters, min_size=1, max_size=8).filter(lambda text: not text.isspace())


def names() -> st.SearchStrategy[str]:
    """Free text without blanks around it: an organisation, a report-id."""
    return texts().map(str.strip).filter(bool)


def windows() -> st.SearchStrategy[DateRange]:
    """One UTC day; its end is the last second, or the next midnight (F-22)."""
    days = st.integers(0, 5000).map(lambda n: datetime(2018, 9, 1, tzinfo=UTC) + timedelta(days=n))
    ends = st.sampled_from([timedelta(days=1), timedelta(days=1, seconds=-1)])
    return st.builds(lambda day, span: DateRange(start_datetime=day, end_datetime=day + span), days, ends)


def counts() -> st.SearchStrategy[int]:
    return st.integers(0, 3) | st.integers(0, 2**40)


def _sts_lines() -> st.SearchStrategy[tuple[str, ...]]:
    mode = st.sampled_from(["enforce", "testing", "none"])
    return st.builds(
        lambda mode, hosts: ("version: STSv1", f"mode: {mode}", *(f"mx: {host}" for host in hosts), "max_age: 604800"),
        mode,
        st.lists(domains(), max_size=2),
    )


def _tlsa_records() -> st.SearchStrategy[tuple[str, ...]]:
    record = st.integers(0, 2**256 - 1).map("3 1 1 {:064x}".format)
    return st.lists(record, max_size=2).map(tuple)


def policies() -> st.SearchStrategy[Policy]:
    """Policies of each registered type."""
    strings = {"sts": _sts_lines(), "tlsa": _tlsa_records(), "no-policy-found": st.just(())}
    patterns = st.lists(domains() | domains().map("*.{}".format), max_size=2).map(tuple)
    return st.sampled_from(sorted(POLICY_TYPES)).flatmap(
        lambda kind: st.builds(
            Policy,
            policy_type=st.just(kind),
            policy_domain=domains(),
            policy_string=st.none() | strings[kind],
            mx_host=st.none() | patterns,
        )
    )


def failure_details() -> st.SearchStrategy[FailureDetail]:
    """Rows with every key that must be there; those before any connection may lack the addresses (F-38)."""
    uris = st.none() | st.builds("https://tls.example/{}".format, LABELS)
    return st.builds(
        FailureDetail,
        result_type=st.sampled_from(sorted(RESULT_TYPES)),
        failed_session_count=counts(),
        sending_mta_ip=addresses(),
        receiving_mx_hostname=domains(),
        receiving_mx_helo=st.none() | domains() | texts(),
        receiving_ip=st.none() | addresses(),
        additional_information=uris,
        failure_reason_code=st.none() | texts(),
    ) | st.builds(
        FailureDetail,
        result_type=st.sampled_from(["sts-policy-fetch-error", "sts-policy-invalid", "sts-webpki-invalid"]),
        failed_session_count=counts(),
        failure_reason_code=st.none() | texts(),
    )


def policy_results() -> st.SearchStrategy[PolicyResult]:
    """Entries whose details, where there are any, add up to the summary."""

    def entry(policy: Policy, successful: int, failed: int, rows: tuple[FailureDetail, ...] | None) -> PolicyResult:
        total = sum(row.failed_session_count for row in rows) if rows else failed
        summary = Summary(total_successful_session_count=successful, total_failure_session_count=total)
        return PolicyResult(policy=policy, summary=summary, failure_details=rows)

    rows = st.none() | st.lists(failure_details(), max_size=3).map(tuple)
    return st.builds(entry, policies(), counts(), counts(), rows)


def reports() -> st.SearchStrategy[Report]:
    """Reports that keep to RFC 8460 in every point: reading one back gives no finding."""
    return st.builds(
        Report,
        organization_name=names(),
        date_range=windows(),
        contact_info=st.builds("{}@{}".format, LABELS, domains()),
        report_id=names(),
        policies=st.lists(policy_results(), min_size=1, max_size=2).map(tuple),
    )


# --- what is broken --------------------------------------------------------------------------------------------------


def json_values() -> st.SearchStrategy[object]:
    """Any JSON value, with the texts and numbers that hurt."""
    scalars = (
        st.none()
        | st.booleans()
        | st.integers(-(2**70), 2**70)
        | st.floats()
        | st.text(max_size=12)
        | st.sampled_from(["", " ", "\0", "\ud800", "null", "[]", "-1", "3.0", "1e9", "2026-03-01", "@", "*.", "[::1]"])
    )
    return st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner), max_leaves=6
    )


def broken_documents() -> st.SearchStrategy[bytes]:
    """The JSON of a good report with some places dropped, nulled, retyped, renamed, doubled or emptied."""
    return st.builds(_broken, reports(), st.lists(st.tuples(st.integers(0), _CHANGES, json_values()), max_size=4))


_CHANGES = st.sampled_from(["drop", "null", "value", "rename", "wrap", "empty", "text", "double"])


def _broken(report: Report, changes: list[tuple[int, str, object]]) -> bytes:
    document: object = json.loads(write_report(report))
    for place, change, value in changes:
        places = list(_places(document))
        container, key = places[place % len(places)]
        _change(container, key, change, value)
    return json.dumps(document).encode()


def _places(value: object) -> list[tuple[dict[str, object] | list[object], str | int]]:
    """Every place in a document that can be changed: its container and the key."""
    found: list[tuple[dict[str, object] | list[object], str | int]] = []
    if isinstance(value, dict):
        for key in value:
            found += [(value, key), *_places(value[key])]
    elif isinstance(value, list):
        for index in range(len(value)):
            found += [(value, index), *_places(value[index])]
    return found or [([None], 0)]


def _change(container: dict[str, object] | list[object], key: str | int, change: str, value: object) -> None:
    now = container[key]  # type: ignore[index,call-overload]
    if change == "drop" and isinstance(container, dict):
        del container[str(key)]
    elif change == "rename" and isinstance(container, dict):
        container[str(key).replace("-", "_").upper()] = container.pop(str(key))
    else:
        new = {"null": None, "wrap": [now], "empty": type(now)(), "text": str(now), "double": [now, now]}
        container[key] = new.get(change, value) if now is not None else value  # type: ignore[index,call-overload]

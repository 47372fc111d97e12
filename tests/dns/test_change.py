"""Planning a change: nothing is overwritten silently, and the way back is known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsrpt.core.record import lint_record
from tlsrpt.dns.change import Change, PublishError, is_tlsrpt, merge_record, plan_change
from tlsrpt.dns.providers import provider_of

NAME = "_smtp._tls.example.com"
RECORD = "v=TLSRPTv1; rua=mailto:tls@example.com"
OLD = b"v=TLSRPTv1; rua=mailto:old@reports.example.net"
OTHER = b"google-site-verification=abc"


def plan(*before: bytes, replace: bool = False) -> Change:
    return plan_change("example.com", NAME, before, RECORD, ttl=3600, replace=replace)


def test_a_first_record_is_added() -> None:
    change = plan()
    assert (change.add, change.remove, change.after) == ((RECORD.encode(),), (), (RECORD.encode(),))
    assert change.lines() == [f'+ {NAME}. 3600 TXT "{RECORD}"']


def test_a_record_that_is_there_already_needs_nothing() -> None:
    assert plan(RECORD.encode()).is_nothing
    assert plan(OTHER, RECORD.encode()).is_nothing


def test_another_record_is_never_overwritten_silently() -> None:
    with pytest.raises(PublishError, match="published already"):
        plan(OLD)


def test_a_record_is_replaced_when_that_was_said() -> None:
    change = plan(OLD, replace=True)
    assert (change.remove, change.after) == ((OLD,), (RECORD.encode(),))
    assert change.lines() == [f'- {NAME}. TXT "{OLD.decode()}"', f'+ {NAME}. 3600 TXT "{RECORD}"']


def test_other_txt_records_stay() -> None:
    assert plan(OTHER, OLD, replace=True).after == (OTHER, RECORD.encode())


def test_two_records_become_one() -> None:
    """D-21: two count as none."""
    assert plan(OLD, b"v=TLSRPTv1;rua=mailto:b@example.com", replace=True).after == (RECORD.encode(),)


@given(st.lists(st.sampled_from([OLD, OTHER, RECORD.encode(), b"v=tlsrptv1"]), unique=True))
def test_undoing_a_change_gives_back_what_was(before: list[bytes]) -> None:
    change = plan(*before, replace=True)
    assert sorted(change.undo.after) == sorted(before)


def test_merging_keeps_the_destinations_that_are_there() -> None:
    """D-21: changing the report service means one record with both addresses."""
    merged = merge_record([OTHER, OLD], ["mailto:tls@example.com"], NAME)
    assert merged == "v=TLSRPTv1; rua=mailto:old@reports.example.net,mailto:tls@example.com"
    assert merge_record([merged.encode()], ["mailto:tls@example.com"], NAME) == merged


def test_merging_mends_what_can_be_mended() -> None:
    merged = merge_record([b"v=TLSRPTv1, rua=old@example.com"], ["mailto:tls@example.com"], NAME)
    assert merged == "v=TLSRPTv1; rua=mailto:old@example.com,mailto:tls@example.com"


def test_merging_with_what_can_not_be_known_is_refused() -> None:
    with pytest.raises(PublishError, match="can't be known"):
        merge_record([b"v=TLSRPTv1; rua=tls"], ["mailto:tls@example.com"], NAME)


@given(st.lists(st.binary(max_size=80), max_size=4))
def test_a_merged_record_lints_ok(before: list[bytes]) -> None:
    try:
        merged = merge_record(before, ["mailto:tls@example.com"], NAME)
    except PublishError:
        return
    assert lint_record([merged]).verdict == "ok"


@pytest.mark.parametrize(
    "text", [b"v=TSLRPTv1; rua=", b"V = tlsrptv1", b'"v=TLSRPTv1; rua=x"', b"rua=mailto:a@b.example"]
)
def test_a_record_is_ours_however_badly_written(text: bytes) -> None:
    assert is_tlsrpt(text)


@pytest.mark.parametrize("text", [b"v=spf1 -all", b"v=DMARC1; p=none; rua=mailto:a@b.example", b"v=STSv1; id=1", b""])
def test_other_records_are_not(text: bytes) -> None:
    assert not is_tlsrpt(text)


@pytest.mark.parametrize(
    ("servers", "title"),
    [
        (["ada.ns.cloudflare.com", "bob.ns.cloudflare.com"], "Cloudflare"),
        (["ns-1.awsdns-00.com", "ns-2.awsdns-01.co.uk"], "Amazon Route 53"),
        (["ns1-01.azure-dns.com", "ns2-01.azure-dns.net"], "Azure DNS"),
        (["ns1.example.com"], None),
        (["ada.ns.cloudflare.com", "ns1.example.com"], None),
        ([], None),
    ],
)
def test_the_provider_is_told_by_the_name_servers(servers: list[str], title: str | None) -> None:
    """Only where all of them agree: two providers would each want their own form."""
    known = provider_of(servers)
    assert (known.title if known else None) == title

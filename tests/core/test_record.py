"""The _smtp._tls record: the grammar octet for octet, every fault told, and a correction that is right (RFC 8460 section 3)."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tlsrpt.core.destinations import DestinationError, https_uri, is_uri, mailto_uri, mend, read_destination
from tlsrpt.core.publish import PLACES, WITH_DOMAIN, PublishError, TxtRecord, publish_form, publish_forms
from tlsrpt.core.record import (
    format_record,
    lint_record,
    make_record,
    misplaced_names,
    parse_record,
    select_record,
)
from tlsrpt.core.verdict import Lint, read_place
from tlsrpt.core.zonelint import lint_zone_text
from tlsrpt.core.zonetext import format_strings, parse_zone_text

SAMPLES = Path(__file__).parent.parent / "data" / "records.tsv"
VERDICTS = {"ok": "ok", "warning": "warning", "senders-ignore": "ignored"}
GOOD = "v=TLSRPTv1; rua=mailto:tls@example.com"
BOTH = "v=TLSRPTv1; rua=mailto:a@example.com,mailto:b@example.com"


def unescape(text: str) -> str:
    plain = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\"}
    return re.sub(r"\\(n|r|t|\\|u[0-9a-fA-F]{4})", lambda m: plain.get(m[1]) or chr(int(m[1][1:], 16)), text)


def samples(kind: str) -> list[ParameterSet]:
    """The lines of one kind that a lint can judge without DNS or HTTP."""
    found = []
    for line in SAMPLES.read_text("utf-8").split("\n"):
        if not line.startswith(f"{kind}\t"):
            continue
        _, text, verdict, finding, corrected = line.split("\t")
        if re.match(r"\{(HTTP|Content-Type|CNAME|NXDOMAIN|[_a-z])", text):
            continue
        texts = [unescape(part.replace("{+}", "")) for part in re.split(r" ?\{&\} ?", text)]
        found.append(pytest.param(texts, VERDICTS[verdict], unescape(corrected), id=finding.replace(" ", "-")))
    return found


def usable(texts: Sequence[bytes | str]) -> bool:
    """Whether a sender that keeps to the RFC has somewhere to send a report."""
    record = select_record(texts)
    return record is not None and bool(record.destinations)


def codes(lint: Lint) -> list[str]:
    return [finding.code for finding in lint.findings]


# --- the samples and their kin ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("texts", "verdict", "corrected"), samples("tlsrpt-record"))
def test_each_sample_gets_its_verdict_and_its_correction(texts: list[str], verdict: str, corrected: str) -> None:
    """What is known from the input is corrected; an address is never made up."""
    lint = lint_record(texts)
    assert lint.verdict == verdict
    known = verdict != "ok" and any("example" in text for text in texts)
    assert lint.corrected == (corrected if known else None)
    assert (codes(lint) == []) == (verdict == "ok")


KIN = [
    ("v=TLSRPTv1; rua=mailto:tls@example.com; ", "ok", None, None),
    ("v=TLSRPTv1; rua=mailto:tls+rpt@example.com", "ok", None, None),
    ("v=TLSRPTv1; rua=https://reports.example.net/x?token=abc", "ok", None, None),
    ("v=TLSRPTv2; rua=mailto:tls@example.com", "ignored", "version-misspelt", GOOD),
    ("v=TLSRPT; rua=mailto:tls@example.com", "ignored", "version-misspelt", GOOD),
    ("v=TLS-RPTv1; rua=mailto:tls@example.com", "ignored", "version-misspelt", GOOD),
    ("TLSRPTv1; rua=mailto:tls@example.com", "ignored", "version-misspelt", GOOD),
    ("v:TLSRPTv1; rua=mailto:tls@example.com", "ignored", "version-misspelt", GOOD),
    ("V=TLSRPTv1; rua=mailto:tls@example.com", "ignored", "version-case", GOOD),
    ("v=TLSRPTV1; rua=mailto:tls@example.com", "ignored", "version-case", GOOD),
    ("v=TLSRPTv1rua=mailto:tls@example.com", "ignored", "no-semicolon-after-version", GOOD),
    ("v=TLSRPTv1: rua=mailto:tls@example.com", "ignored", "wrong-separator-after-version", GOOD),
    ("v=TLSRPTv1; rua=mailto:tls@example.com ", "ignored", "trailing-space", GOOD),
    ("v=TLSRPTv1; rua = mailto:tls@example.com", "ignored", "space-around-equals", GOOD),
    ("v=TLSRPTv1; rua=mailto: tls@example.com", "ignored", "space-in-uri", GOOD),
    ("v=TLSRPTv1; RUA=mailto:tls@example.com", "ignored", "rua-case", GOOD),
    ("v=TLSRPTv1; ura=mailto:tls@example.com", "ignored", "rua-misspelt", GOOD),
    ("v=TLSRPTv1; rua:mailto:tls@example.com", "ignored", "rua-misspelt", GOOD),
    ("v=TLSRPTv1; mailto:tls@example.com", "ignored", "rua-missing", GOOD),
    ("v=TLSRPTv1; ruf=mailto:tls@example.com", "ignored", "rua-missing", GOOD),
    ('v=TLSRPTv1; rua=mailto:tls@example.com"', "ignored", "quotes-in-value", GOOD),
    ("'v=TLSRPTv1; rua=mailto:tls@example.com'", "ignored", "quotes-in-value", GOOD),
    ('"v=TLSRPTv1;" " rua=mailto:tls@example.com"', "ignored", "quotes-in-value", GOOD),
    (r"v=TLSRPTv1\059 rua=mailto:tls@example.com", "ignored", "backslash-in-value", GOOD),
    (r"v=TLSRPTv1\\; rua=mailto:tls@example.com", "ignored", "backslash-in-value", GOOD),
    ("v=TLSRPTv1; rua=mailto:tls@example.com,", "ignored", "uri-empty", GOOD),
    ("v=TLSRPTv1; rua=mailto://tls@example.com", "ignored", "mailto-slashes", GOOD),
    ("v=TLSRPTv1; rua=mailto:<tls@example.com>", "ignored", "angle-brackets", GOOD),
    ("v=TLSRPTv1; rua=maito:tls@example.com", "ignored", "scheme-misspelt", GOOD),
    ("v=TLSRPTv1; rua=tls@example.com!10m", "ignored", "dmarc-size-suffix", GOOD),
    ("v=TLSRPTv1; rua=mailto:a@example.com;b@example.com", "ignored", "semicolon-between-uris", BOTH),
    ("v=TLSRPTv1; rua=mailto:a@example.com mailto:b@example.com", "ignored", "comma-missing", BOTH),
    ("v=TLSRPTv1; rua=mailto:a@example.com;rua=mailto:b@example.com", "warning", "rua-repeated", BOTH),
    ("v=TLSRPTv1; rua=mailto:a@example.com ,mailto:b@example.com", "warning", "space-before-comma", BOTH),
    ("v=TLSRPTv1; p=none; rua=mailto:tls@example.com", "warning", "dmarc-tags", GOOD),
    ("v=TLSRPTv1; rua=mailto:tls@example.com,ftp://r.example/x", "warning", "uri-scheme-unsupported", GOOD),
    ("v=TLSRPTv1; rua=ftp://reports.example.net/x", "ignored", "uri-scheme-unsupported", None),
    ("v=TLSRPTv1; rua=mailto:tls@example.com?subject=x", "warning", "mailto-query", GOOD),
    ("v=TLSRPTv1; rua=mailto:a@example.com%2Cb@example.com", "warning", "mailto-several-addresses", BOTH),
    ("v=TLSRPTv1; rua=mailto:tls@example.com.", "warning", "address-trailing-dot", GOOD),
    ("v=TLSRPTv1; rua=mailto:tls@example.com; # note", "ignored", "trailing-text", GOOD),
    ("v=TLSRPTv1; rua=mailto:tls@example.com # see https://wiki.example/x, or ask", "ignored", "trailing-text", GOOD),
    ("v=TLSRPTv1;;rua=mailto:tls@example.com", "ignored", "empty-field", GOOD),
    ("v=TLSRPTv1;\u200brua=mailto:tls@example.com", "ignored", "invisible-character", GOOD),
    ("\ufeffv=TLSRPTv1; rua=mailto:tls@example.com", "ignored", "invisible-character", GOOD),
    ("v=TLSRPTv1； rua=mailto:tls@example.com", "ignored", "full-width-character", GOOD),
    ("“v=TLSRPTv1; rua=mailto:tls@example.com”", "ignored", "smart-quote", GOOD),
    ("v=TLSRPTv1; rua=mailto:jörg@example.com", "ignored", "local-part-not-ascii", None),
    ("v=TLSRPTv1; rua=postmaster", "ignored", "uri-invalid", None),
    ("v=TLSRPTv1; rua=mailto:", "ignored", "address-missing", None),
    ("v=DMARC1; p=none", "ignored", "dmarc-record-here", None),
    ("v=STSv1; id=1", "ignored", "mta-sts-record-here", None),
    ("google-site-verification=abc123", "ignored", "other-text-here", None),
    ("", "ignored", "record-empty", None),
]


@pytest.mark.parametrize(("text", "verdict", "code", "corrected"), KIN, ids=[repr(row[0]) for row in KIN])
def test_other_instances_of_the_same_mistakes(text: str, verdict: str, code: str | None, corrected: str | None) -> None:
    """The kinds are mended, not the cases (field-notes-domains.md D-06 to D-23)."""
    lint = lint_record([text])
    assert (lint.verdict, lint.corrected) == (verdict, corrected)
    assert codes(lint) == [] if code is None else code in codes(lint)


@pytest.mark.parametrize(
    ("text", "corrected"),
    [
        ("v=TLSRPTv1; rua=mailto:tls@bücher.example", "v=TLSRPTv1; rua=mailto:tls@xn--bcher-kva.example"),
        ("v=TLSRPTv1; rua=https://r.example.com/a,b", "v=TLSRPTv1; rua=https://r.example.com/a%2Cb"),
        ("v=TLSRPTv1; rua=https://r.example.com/a!b", "v=TLSRPTv1; rua=https://r.example.com/a%21b"),
        ("v=TLSRPTv1; rua=http://r.example.com:80/a", "v=TLSRPTv1; rua=https://r.example.com/a"),
        ("v=TLSRPTv1; rua=r.example.com/a", "v=TLSRPTv1; rua=https://r.example.com/a"),
        ("v=TLSRPTv1; x.y=1; rua=mailto:a@example.com", "v=TLSRPTv1; rua=mailto:a@example.com; x.y=1"),
    ],
)
def test_a_correction_keeps_what_its_owner_meant(text: str, corrected: str) -> None:
    assert lint_record([text]).corrected == corrected


def test_all_faults_are_told_in_one_run_each_at_its_place() -> None:
    """checkdmarc stops at the first; here a person mends everything at once."""
    text = "v = tlsrptv1, RUA=tls@example.com!10m, ops@example.com # x"
    lint = lint_record([text])
    places = {finding.code: place.column for finding in lint.findings if (place := read_place(finding.where))}
    assert places["version-case"] == 1
    assert places["space-around-equals"] == 2
    assert places["comma-after-version"] == text.index(",") + 1
    assert places["rua-case"] == text.index("RUA") + 1
    assert places["dmarc-size-suffix"] == text.index("!10m") + 1
    assert places["trailing-text"] == text.index("#") + 1
    assert lint.corrected == "v=TLSRPTv1; rua=mailto:tls@example.com,mailto:ops@example.com"
    assert all(finding.message and finding.consequence and finding.fix for finding in lint.findings)


def test_nothing_is_claimed_of_senders_whose_parsers_are_unknown() -> None:
    """field-notes-domains.md: Google's and Microsoft's parsers are unknown."""
    said = json.dumps([[f.message + f.consequence + f.fix for f in lint_record([row[0]]).findings] for row in KIN])
    assert not re.search("google|microsoft|gmail|outlook", said.replace("google-site-verification", ""), re.IGNORECASE)


# --- several records -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "verdict", "code", "corrected"),
    [
        ([GOOD, "v=spf1 -all"], "warning", "unrelated-txt-at-name", GOOD),
        (["v=spf1 -all", GOOD], "warning", "unrelated-txt-at-name", GOOD),
        ([GOOD, "v=TLSRPTv1 ; rua=mailto:ops@example.com"], "warning", "second-record-dropped", None),
        (["v=TLSRPTv1 ; rua=mailto:tls@example.com", "x"], "ignored", "record-missing", GOOD),
        ([GOOD, GOOD, "x"], "ignored", "two-records", GOOD),
        ([GOOD, "v=TLSRPTv1;"], "ignored", "two-records", None),
        (["rua=mailto:tls@example.com", "v=TLSRPTv1"], "ignored", "one-value-in-two-records", GOOD),
        (["v=TLSRPTv1; rua=mailto:tls@", "example.com"], "ignored", "one-value-in-two-records", GOOD),
        (["abc", "def"], "ignored", "record-missing", None),
        ([], "ignored", "record-missing", None),
    ],
)
def test_several_records_at_one_name(texts: list[str], verdict: str, code: str, corrected: str | None) -> None:
    """R3-08, R3-09, A-01; field-notes-domains.md D-21, D-22: dropped first, then counted, and never joined."""
    lint = lint_record(texts)
    assert lint.verdict == verdict
    assert code in codes(lint)
    if corrected:
        assert lint.corrected == corrected
    assert usable(texts) == (verdict != "ignored")


def test_what_senders_read_is_what_the_grammar_gives() -> None:
    """R3-05, R3-49, A-02: all URIs in order; those that no sender supports are no destinations."""
    record = select_record([b"v=TLSRPTv1; rua=mailto:a%2Bb@Example.COM , ftp://x/; rua=https://c.example/d", b"other"])
    assert record is not None
    assert record.uris == ("mailto:a%2Bb@Example.COM", "ftp://x/", "https://c.example/d")
    assert [(d.scheme, d.addresses) for d in record.destinations] == [("mailto", ("a+b@example.com",)), ("https", ())]


# --- the grammar, against a reference built from the ABNF ------------------------------------------------------------

_WSP = rb"[ \t]"
_DELIM = rb"[ \t]*;[ \t]*"
_CHAR = rb"(?:[A-Za-z0-9._~$&'()*+=:@/?-]|%[0-9A-Fa-f]{2})"
# Of RFC 3986 the parts that the generated texts can reach: no authority with a literal, no fragment.
_REFERENCE_URI = rb"[A-Za-z][A-Za-z0-9+.-]*:" + _CHAR + rb"*"
_RUA = rb"rua=" + _REFERENCE_URI + rb"(?:" + _WSP + rb"*," + _WSP + rb"*" + _REFERENCE_URI + rb")*"
_EXT = rb"(?!rua=)[A-Za-z0-9][A-Za-z0-9_.-]{0,31}=[\x21-\x3A\x3C\x3E-\x7E]+"
_FIELD = rb"(?:" + _RUA + rb"|" + _EXT + rb")"
REFERENCE = re.compile(rb"v=TLSRPTv1(?:" + _DELIM + _FIELD + rb")+(?:" + _DELIM + rb")?")

PIECES = st.sampled_from(
    [
        *("v=TLSRPTv1", ";", "; ", " ;", ",", " , ", "rua=", "RUA=", "x=1", "x.y=", "=", "p=none", " ", "\t", "!", '"'),
        *("mailto:a@b.example", "https://c.example/d", "mailto", "a", "%2C", "%zz", "\\", "é", "\x00", "-_=~"),
    ]
)
NEAR = st.lists(PIECES, max_size=9).map("".join)
LAW = settings(max_examples=300, deadline=None)  # the machine may be busy: slowness has tests of its own
RECORDS = st.one_of(NEAR, NEAR.map("v=TLSRPTv1; rua=mailto:a@b.example".__add__), NEAR.map("v=TLSRPTv1".__add__))


@given(RECORDS)
@LAW
@example("v=TLSRPTv1;\tx.y=1 ; rua=mailto:a@b , https://c/d ;")
@example("v=TLSRPTv1; rua=mailto:a@b; rua=nothing")
def test_the_grammar_accepts_exactly_what_the_abnf_does(text: str) -> None:
    """R3-03 to R3-07, octet for octet."""
    raw = text.encode()
    accepted = REFERENCE.fullmatch(raw) is not None and re.search(rb";[ \t]*rua=", raw) is not None
    assert (parse_record(raw) is not None) == accepted


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("mailto:tls@example.com", True),
        ("https://[2001:db8::1]:8443/x", True),
        ("https://[2001:db8:::1]/x", False),
        ("https://[v1.a:b]/x", True),
        ("https://h/a?b=c&d#e", True),
        ("https://h/a b", False),
        ("https://h:port/", False),
        ("mailto:a,b@example.com", False),
        ("mailto:a!b@example.com", False),
        ("a@example.com", False),
        ("1x:a", False),
        ("x:", True),
        ("//h/x", False),
        ("x:%4", False),
    ],
)
def test_uris_are_those_of_rfc_3986_without_three_characters(text: str, valid: bool) -> None:
    """R3-06: , ! ; are encoded."""
    assert is_uri(text) is valid


# --- laws ------------------------------------------------------------------------------------------------------------


@given(st.lists(st.one_of(st.binary(max_size=60), st.text(max_size=60), RECORDS), max_size=4))
@LAW
def test_lint_of_anything_ends_with_a_verdict(texts: list[bytes | str]) -> None:
    """And an ignored record always says why; what is ok has nothing to mend."""
    lint = lint_record(texts)
    severities = {finding.severity for finding in lint.findings}
    assert ("error" in severities) == (lint.verdict == "ignored")
    assert (lint.verdict == "ok") == (not severities - {"info"})
    assert usable(texts) == (lint.verdict != "ignored")
    assert all(character < "\ud800" or character > "\udfff" for text in lint.input for character in text)


@given(st.lists(RECORDS, min_size=1, max_size=3))
@LAW
@example(['v=TLSRPTv1; rua="mailto:a@b.example"; x="y"'])
def test_a_correction_lints_ok(texts: list[str]) -> None:
    lint = lint_record(texts)
    if lint.corrected is not None:
        assert lint_record([lint.corrected]).verdict == "ok", lint.corrected


LOCAL = st.from_regex(r"[a-z0-9!#$%&'*+/=?^_`{|}~,;-]{1,20}", fullmatch=True)
HOST = st.from_regex(r"[a-z0-9]{1,9}(\.[a-z]{2,9}){1,2}", fullmatch=True)
PATH = st.text(st.characters(exclude_characters="<>{}#", exclude_categories=["Cs", "Cc"]), max_size=20)


@given(st.lists(st.tuples(LOCAL, HOST), min_size=1, max_size=3), st.lists(st.tuples(HOST, PATH), max_size=2))
@LAW
def test_what_make_writes_lint_finds_ok(mailboxes: list[tuple[str, str]], endpoints: list[tuple[str, str]]) -> None:
    """With `,` `!` `;` in addresses and paths, and any script in a path."""
    record = make_record([f"{local}@{host}" for local, host in mailboxes], [f"https://{h}/{p}" for h, p in endpoints])
    lint = lint_record([record])
    assert (lint.verdict, codes(lint)) == ("ok", []), record


@given(LOCAL, HOST)
@LAW
def test_an_address_comes_back_from_its_uri(local: str, host: str) -> None:
    """RFC 6068: what is encoded is decoded by the sender; , and ; need quotes in an address (RFC 5322)."""
    destination = read_destination(mailto_uri(f"{local}@{host}"))
    assert destination is not None
    assert destination.addresses in ((f"{local}@{host}",), (f'"{local}"@{host}',))


@pytest.mark.parametrize(
    "address", ["", "x", "a@", "@b.example", "jörg@example.com", "a b@example.com", "a@b@c.example"]
)
def test_make_refuses_what_is_no_mailbox(address: str) -> None:
    with pytest.raises(DestinationError):
        mailto_uri(address)


@pytest.mark.parametrize(
    "url", ["", "http://r.example/x", "https://", "https:///x", "https://r.example:99999/", "r.example/x"]
)
def test_make_refuses_what_is_no_endpoint(url: str) -> None:
    with pytest.raises(DestinationError):
        https_uri(url)


def test_make_writes_rua_second_and_mailboxes_first() -> None:
    """D-17, D-18: the form that every sender reads."""
    assert make_record(["TLS!x@Bücher.example"], ["https://r.example/a,b;c"]) == (
        "v=TLSRPTv1; rua=mailto:TLS%21x@xn--bcher-kva.example,https://r.example/a%2Cb%3Bc"
    )


def test_a_password_in_an_endpoint_is_told_and_not_carried_over() -> None:
    """Nobody but its owner knows whether the endpoint works without it."""
    lint = lint_record(["v=TLSRPTv1; rua=https://user:secret@r.example/x"])
    assert (lint.verdict, codes(lint), lint.corrected) == ("warning", ["endpoint-credentials"], None)


def test_format_refuses_what_is_no_uri() -> None:
    with pytest.raises(DestinationError):
        format_record(["tls@example.com"])
    with pytest.raises(ValueError, match="at least one"):
        format_record([])


@given(st.text(max_size=40))
@LAW
def test_mending_any_text_gives_uris_or_a_reason(text: str) -> None:
    mended = mend(text)
    assert all(map(is_uri, mended.uris))
    assert mended.uris or mended.faults


@pytest.mark.parametrize(
    "text", [";" * 65_000, "v=TLSRPTv1; rua=" + ",y" * 32_000, "v=TLSRPTv1; rua=a" + " " * 65_000 + "b"]
)
def test_a_hostile_record_makes_few_findings(text: str) -> None:
    """DESIGN promise 3: bounded, whatever the input."""
    assert len(lint_record([text]).findings) < 100
    assert codes(lint_record([text * 2])) == ["record-too-long"]


def test_names_where_people_publish_by_mistake_hold_those_of_the_field_notes() -> None:
    """D-01 to D-03."""
    names = misplaced_names("example.com")
    assert {"_smtp_tls.example.com", "_tlsrpt.example.com", "_smtp-tlsrpt.example.com", "example.com"} <= set(names)
    assert "_smtp._tls.example.com.example.com" in names
    assert "_smtp._tls.example.com" not in names


# --- zone text -------------------------------------------------------------------------------------------------------


def zone_lint(*texts: str) -> Lint:
    return lint_zone_text(list(texts), lint_record, "_smtp._tls")


@pytest.mark.parametrize(
    ("text", "verdict", "code", "corrected"),
    [
        (f'"{GOOD}"', "ok", None, None),
        (r'"v=TLSRPTv1\; rua=mailto:tls@example.com"', "ok", None, None),
        ('"v=TLSRPTv1; rua=mailto:tls@exam" "ple.com"', "ok", None, None),
        (f'_smtp._tls.example.com. 3600 IN TXT "{GOOD}"', "ok", None, None),
        (f'_smtp._tls IN TXT ( "{GOOD[:20]}"\n "{GOOD[20:]}" ) ; a comment', "ok", None, None),
        (r"v=TLSRPTv1\;rua=mailto:tls@example.com", "ok", None, None),
        (GOOD, "ignored", "zone-unquoted", GOOD),
        (r'"v=TLSRPTv1\\; rua=mailto:tls@example.com"', "ignored", "backslash-in-value", GOOD),
        (r'"\"v=TLSRPTv1; rua=mailto:tls@example.com\""', "ignored", "quotes-in-value", GOOD),
        (f'_smtp_tls.example.com. TXT "{GOOD}"', "ignored", "wrong-name", GOOD),
        (f'_smtp._tls.example.com IN TXT "{GOOD}"', "warning", "owner-without-dot", None),
        (f'"{GOOD}', "ignored", "zone-syntax", GOOD),
        ("_smtp._tls IN CNAME x.example.net.", "ignored", "wrong-type", None),
        (f'"{GOOD},https://r.example/{"x" * 255}"', "ignored", "zone-string-too-long", None),
    ],
)
def test_zone_text_is_read_as_a_name_server_does(
    text: str, verdict: str, code: str | None, corrected: str | None
) -> None:
    r"""D-09, D-10: `\;` is harmless there, a bare `;` is not, and a quote inside quotes is part of the data."""
    lint = zone_lint(text)
    assert (lint.verdict, lint.form) == (verdict, "zone-text")
    assert code in codes(lint) if code else codes(lint) == []
    if corrected:
        assert lint.corrected == corrected


def test_a_finding_in_zone_text_points_into_the_text_as_given() -> None:
    text = '_smtp._tls 300 IN TXT "v=TLSRPTv1\\; rua=" "mailto:tls@example.com!10m"'
    (finding,) = zone_lint(text).findings
    assert finding.where == f"record 1, column {text.index('!10m') + 1}"


@given(st.binary(max_size=700))
@LAW
def test_zone_text_of_any_octets_reads_back(data: bytes) -> None:
    record = parse_zone_text(f"_smtp._tls 3600 IN TXT {format_strings(data)}")
    assert (record.data, record.troubles, record.owner) == (data, (), "_smtp._tls")
    assert all(len(string.data) <= 255 for string in record.strings)


@given(st.lists(st.text(max_size=60), max_size=3))
@LAW
def test_lint_of_any_zone_text_ends_with_a_verdict(texts: list[str]) -> None:
    lint = zone_lint(*texts)
    assert (lint.verdict == "ignored") == any(finding.severity == "error" for finding in lint.findings)
    for finding in lint.findings:
        place = read_place(finding.where)
        assert place is None or 1 <= place.column <= len(texts[place.number - 1]) + 1


# --- publishing ------------------------------------------------------------------------------------------------------

MADE = TxtRecord(label="_smtp._tls", value=BOTH, domain="example.com")


def test_every_form_carries_the_record_in_its_own_quoting() -> None:
    """field-notes-domains.md (d): quotes, escapes and names differ from place to place."""
    forms = publish_forms(MADE)
    assert set(forms) == set(PLACES)
    assert forms["bind"] == f'_smtp._tls.example.com. 3600 IN TXT "{BOTH}"'
    assert forms["nsupdate"].splitlines()[0] == f'update add _smtp._tls.example.com. 3600 TXT "{BOTH}"'
    record_set = json.loads(forms["route53"])["Changes"][0]["ResourceRecordSet"]
    assert record_set["ResourceRecords"] == [{"Value": f'"{BOTH}"'}]
    assert json.loads(forms["cloudflare"])["content"] == f'"{BOTH}"'
    assert forms["azure"].endswith(f"--record-set-name _smtp._tls --value '{BOTH}'")
    assert f"--rrdatas='^|^\"{BOTH}\"'" in forms["google"]  # a plain comma would make two records
    assert f"Value: {BOTH}" in forms["form"].splitlines()
    assert r"value: 'v=TLSRPTv1\; rua=" in forms["octodns"]
    assert forms["dnscontrol"] == f'TXT("_smtp._tls", "{BOTH}", TTL(3600)),'
    assert f'content = "\\"{BOTH}\\""' in forms["terraform"]
    assert f"--name _smtp._tls --content '{BOTH}'" in forms["lexicon"]
    assert json.loads(forms["json"])["value"] == BOTH


@given(st.lists(st.tuples(LOCAL, HOST), min_size=1, max_size=9))
@LAW
def test_the_zone_form_is_read_back_octet_for_octet(mailboxes: list[tuple[str, str]]) -> None:
    """Also beyond 255 octets, where strings are split."""
    value = make_record([f"{local}@{host}" for local, host in mailboxes])
    form = publish_form(TxtRecord(label="_smtp._tls", value=value, domain="example.com"), "bind")
    assert zone_lint(form).verdict == "ok"
    assert parse_zone_text(form).data == value.encode()


def test_forms_that_need_the_full_name_ask_for_the_domain() -> None:
    bare = TxtRecord(label="_smtp._tls", value=GOOD)
    assert set(publish_forms(bare)) == set(PLACES) - WITH_DOMAIN
    with pytest.raises(PublishError):
        publish_form(bare, "route53")

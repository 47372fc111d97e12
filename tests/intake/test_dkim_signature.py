"""Signatures taken apart and hashed: as dkimpy does wherever mail keeps to the rules, and not at all where a head can
be read in two ways."""

from __future__ import annotations

import base64
import hashlib
import re
import time
from typing import Any

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from dkim.canonicalization import Relaxed, Simple
from hypothesis import given
from hypothesis import strategies as st

from tests.intake.signing import (
    COVERED,
    MAIL,
    NOW,
    Private,
    at_once,
    dkimpy_says,
    ed25519_key,
    record,
    replaced,
    rsa_key,
    sign,
    with_line_feeds,
)
from tlsrpt.core import mime
from tlsrpt.intake.dkim_key import read_key
from tlsrpt.intake.dkim_signature import MOST_SIGNATURES, Claim, InvalidError, canonical_body, read_claims, read_mail

FORMS = ("relaxed/relaxed", "relaxed/simple", "simple/relaxed", "simple/simple", "relaxed", "simple")


def fault_of(message: bytes, key: Private | None = None, now: float = NOW) -> str:
    """Why the first signature does not hold with the right key; "" where it does."""
    claim = read_claims(message, now)[0]
    if claim.fault:
        return claim.fault
    found = read_key(record(key))
    assert not isinstance(found, str), found
    return found.fault_of(claim)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("key", [rsa_key(), rsa_key(2048), ed25519_key()], ids=["rsa-1024", "rsa-2048", "ed25519"])
def test_a_signature_that_dkimpy_made_holds(form: str, key: Private) -> None:
    """RFC 6376 section 3.4, RFC 8463: in all canonical forms, as SMTP brings it, from a Maildir, from an mbox pipe."""
    signed = sign(key=key, form=form)
    assert fault_of(signed, key) == ""
    assert fault_of(with_line_feeds(signed), key) == ""
    assert fault_of(b"From tls-reports@sender.example Mon Mar  2 03:00:00 2026\n" + with_line_feeds(signed), key) == ""
    assert fault_of(b"\r\n\xef\xbb\xbf" + signed, key) == ""


def test_what_a_claim_says_of_a_signature() -> None:
    [claim] = read_claims(sign(domain="Sender.Example", i="@mail.sender.example"), NOW)
    assert (claim.domain, claim.selector, claim.kind) == ("sender.example", "s1", "rsa")
    assert claim.identity == "mail.sender.example"
    assert claim.signed == set(COVERED)
    assert not claim.has_length


def test_u_labels_become_a_labels() -> None:
    """RFC 8616: d= and s= of a signature on internationalised mail."""
    [claim] = read_claims(sign(domain="bücher.example", selector="schlüssel"), NOW)
    assert (claim.domain, claim.selector) == ("xn--bcher-kva.example", "xn--schlssel-95a")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ((rb"A report\.", b"A raport."), "the body was changed on the way (bh=)"),
        ((rb"\r\n--=_x--\r\n", b"\r\n--=_x--\r\nSent by a footer\r\n"), "the body was changed on the way (bh=)"),
        ((rb"Subject: Report", b"Subject: [EXTERNAL] Report"), "signed header fields were changed"),
        ((rb"Submitter: sender\.example\r\nContent", b"Submitter: other.example\r\nContent"), "signed header fields"),
        ((rb"v=1;", b"v=2;"), "not of version 1 (v=)"),
        ((rb"v=1;", b""), "not of version 1 (v=)"),
        ((rb"v=1;", b"v=1; v=1;"), "has v= twice"),
        ((rb"v=1;", b"v=1; nonsense;"), "no tag list: nonsense"),
        ((rb"v=1;", b"v=1; 1a=b;"), "no tag list"),
        ((rb"a=rsa-sha256", b"a=rsa-sha1"), "algorithm rsa-sha1 is not accepted (RFC 8301)"),
        ((rb"a=rsa-sha256", b"a=ed25519-sha256"), "the key is for rsa, the signature is ed25519"),
        ((rb"a=rsa-sha256; ", b""), "has no a="),
        ((rb"bh=[^;]+;", b"bh=%%%%;"), "bh= is no base64"),
        ((rb"\bb=[^;]+?(?=\r\nFrom)", b"b=%"), "b= is no base64"),
        ((rb"\bb=[^;]+?(?=\r\nFrom)", b"b="), "has no b="),
        ((rb"d=sender\.example", b"d=sender..example"), "d= is no domain name: sender..example"),
        ((rb"d=sender\.example", b"d=\xff.example"), "d= is no domain name"),
        ((rb"d=sender\.example", b"d="), "has no d="),
        ((rb"d=sender\.example", b"d=other.example"), "signed header fields were changed"),
        ((rb"s=s1", b"s="), "has no s="),
        ((rb"s=s1", b"s=a b"), "s= is no domain name: a b"),
        ((rb"c=relaxed/relaxed", b"c=relaxed/nofws"), "canonical form relaxed/nofws is not known (c=)"),
        ((rb"h=from", b"h=sender"), "does not cover From"),
        ((rb"t=", b"q=http; t="), "its key is not in DNS (q=)"),
        ((rb"t=", b"i=@sender.example.other; t="), "i= is not below d=: sender.example.other"),
        ((rb"t=", b"i=@notsender.example; t="), "i= is not below d=: notsender.example"),
        ((rb"t=", b"i=nobody; t="), "i= is not below d=: nobody"),
        ((rb"t=\d+", b"x=soon"), "x= is no time: soon"),
        ((rb"t=(\d+)", rb"t=\1; x=\1"), "expired before it was made (t=, x=)"),
        ((rb"t=", b"l=some; t="), "l= is no length: some"),
    ],
)
def test_every_broken_signature_says_why(change: tuple[bytes, bytes], fault: str) -> None:
    """RFC 6376 section 6.1: what is missing, unknown, contradictory or changed."""
    assert fault in fault_of(replaced(sign(), *change))


@pytest.mark.parametrize(
    "tags",
    [
        {"q": "dns/txt"},
        {"q": "dns/new : DNS/TXT"},
        {"i": "reports@sender.example"},
        {"i": '"a@other.example"@mail.sender.example'},
        {"x": str(NOW + 1)},
        {"z": "From:TLS=20reporting|To:x"},
        {"future": "a=b=c"},
        {"t": None},
    ],
)
def test_what_a_signature_may_say_besides(tags: dict[str, Any]) -> None:
    assert fault_of(sign(**tags)) == ""


@pytest.mark.parametrize("form", ["relaxed/relaxed", "simple/simple"])
@pytest.mark.parametrize("place", [b"b=%b; v=1; ", b"v=1; b =\r\n\t%b\r\n\t; ", b"v=1;b=\t%b ;"])
def test_the_value_of_b_is_taken_out_wherever_it_stands(place: bytes, form: str) -> None:
    """Section 3.7: it goes with all blanks around it, and nothing else goes."""
    body = base64.b64encode(body_hash(form))
    tags = b"a=rsa-sha256; c=%b; d=sender.example; s=s1; h=from:subject; bh=%b" % (form.encode(), body)
    signature = b"DKIM-Signature: " + place + tags + b"\r\n"
    digest = read_claims(signature % b"AAAA" + MAIL, NOW)[0].digest
    value = rsa_key().sign(digest, PKCS1v15(), Prehashed(SHA256()))
    folded = b"\r\n ".join(base64.b64encode(value)[at : at + 60] for at in range(0, 172, 60))
    assert fault_of(signature % folded + MAIL) == ""
    if place.startswith(b"b="):  # dkimpy leaves blanks behind the value where they are
        assert dkimpy_says(signature % folded + MAIL, record())


def body_hash(form: str) -> bytes:
    """The body's hash as dkimpy has it."""
    canonical = dkim.CanonicalizationPolicy.from_c_value(form.encode())
    return hashlib.sha256(canonical.canonicalize_body(MAIL.partition(b"\r\n\r\n")[2])).digest()


def test_blanks_before_a_colon_are_a_field_all_the_same() -> None:
    """RFC 5322 section 4.5.8, RFC 6376 section 3.4.2: obsolete, and taken out by the relaxed form."""
    assert fault_of(sign().replace(b"Subject:", b"SUBJECT \t:\t ")) == ""


# --- What nobody may slip in ------------------------------------------------------------------------------------------

FORGED = b'{"organization-name":"Sender","contact-info":"tls@sender.example","report-id":"forged","policies":[]}'


def test_a_report_in_front_of_a_signed_mail_is_not_proven_by_it() -> None:
    """The door takes a line of JSON in the head for the body that a lost empty line gave up; for dkimpy it is a field."""
    forged = b"Content-Type: application/tlsrpt+json\r\n" + FORGED + b"\r\n" + at_once(MAIL)
    assert dkimpy_says(forged, record())
    assert fault_of(forged, now=time.time()) == "its head has a line that is no header field"


@pytest.mark.parametrize(
    "line", [b"--x: y", b"{x: y", b"\x1f\x8b: y", b"no colon", b": no name", b"na me: x", b"\r: x"]
)
def test_a_head_that_can_be_read_in_two_ways_holds_no_signature(line: bytes) -> None:
    assert fault_of(line.join((b"X: y\r\n", b"\r\n")) + sign()) == "its head has a line that is no header field"


@pytest.mark.parametrize("name", ["From", "Content-Type", "CONTENT-TYPE", "Content-Transfer-Encoding"])
def test_a_second_field_that_decides_what_is_read_is_refused(name: str) -> None:
    """A signature covers the last one, the door reads the first."""
    signed = sign(replaced(MAIL, rb"MIME-Version", b"Content-Transfer-Encoding: 8bit\r\nMIME-Version"))
    assert fault_of(f"{name}: text/plain\r\n".encode() + signed) == f"its head has 2 {name.lower()} fields"


def test_a_field_put_on_top_is_not_covered_by_what_is_below() -> None:
    """A signature that holds says nothing of one more TLS-Report-Domain above the signed one."""
    [claim] = read_claims(b"TLS-Report-Domain: other.example\r\n" + sign(), NOW)
    assert claim.fault == ""
    assert "tls-report-domain" not in claim.signed
    assert "tls-report-submitter" in claim.signed
    twice = sign(covered=(*COVERED, "tls-report-domain"))
    assert "tls-report-domain" in read_claims(twice, NOW)[0].signed
    assert "signed header fields" in fault_of(b"TLS-Report-Domain: other.example\r\n" + twice)


@pytest.mark.parametrize("form", FORMS[:4])
def test_a_body_length_covers_the_whole_body_or_nothing(form: str) -> None:
    """R3-19: who reports must not use l=; what stands behind it is anybody's."""
    whole = dkim.CanonicalizationPolicy.from_c_value(form.encode()).canonicalize_body(MAIL.partition(b"\r\n\r\n")[2])
    full = sign(form=form, l=str(len(whole)))
    assert fault_of(full) == ""
    assert read_claims(full, NOW)[0].has_length
    assert f"covers 10 bytes of the {len(whole)} of the body (l=)" in fault_of(sign(form=form, l="10"))
    assert f"covers {len(whole)} bytes of the" in fault_of(full + FORGED)
    assert "covers" in fault_of(sign(form=form, l="9" * 30))


def test_expired_signatures_count_by_the_time_of_arrival() -> None:
    """F-06: Mail.ru's live for 25 hours; section 3.5 wants the time at which our mail system took the message."""
    signed = sign(x=str(NOW + 60))
    assert fault_of(signed, now=NOW + 59) == ""
    assert fault_of(signed, now=NOW + 3600) == "expired on 2026-03-02 at 12:01 UTC (x=)"
    in_time = b"Received: from a by b; Mon, 02 Mar 2026 13:00:30 +0100 (CET)\r\n"
    too_late = b"Received: from a by b; Mon, 02 Mar 2026 13:01:30 +0100\r\n"
    assert fault_of(in_time + too_late + signed, now=NOW + 86_400) == ""
    assert "expired on" in fault_of(too_late + in_time + signed, now=NOW + 86_400)
    for junk in (b"Received: x\r\n", b"Received: x; never\r\n", b"Received: x; 99 Foo 999999 99:99:99 +9999999\r\n"):
        assert "expired on" in fault_of(junk + signed, now=NOW + 86_400)


def test_only_so_many_signatures_are_looked_at() -> None:
    mail = MAIL
    for number in range(MOST_SIGNATURES + 2):
        mail = sign(mail, selector=f"s{number}")
    assert [claim.selector for claim in read_claims(mail, NOW)] == ["s6", "s5", "s4", "s3", "s2"]


def test_no_signature_and_no_head() -> None:
    assert read_claims(MAIL, NOW) == []
    assert read_claims(b"", NOW) == []
    assert read_claims(b"From: a@b.example", NOW) == []
    assert read_claims(b"no mail at all\n\nDKIM-Signature: v=1\n", NOW) == []


@pytest.mark.parametrize("end", [b"", b"\r\n", b"\r\n\r\n", b"\n", b"\n\n"])
def test_a_mail_without_a_body_can_be_signed(end: bytes) -> None:
    head = MAIL.partition(b"\r\n\r\n")[0]
    for form in FORMS:
        signed = sign(head + b"\r\n\r\n", form=form)
        assert fault_of(signed.removesuffix(b"\r\n\r\n") + end) == ""


# --- Bounds -----------------------------------------------------------------------------------------------------------

MUCH = 1_000_000


@pytest.mark.parametrize(
    "message",
    [
        sign() + b" " * MUCH + b"x\r\n",
        sign() + b" \t" * MUCH,
        sign() + b"\r\n" * MUCH,
        sign() + b" \r\n" * MUCH,
        sign() + b"\r" * MUCH,
        b"X: " + b" " * 200_000 + b"y\r\n" + sign(),
        b"X:" + b"\r\n y" * 60_000 + b"\r\n" + sign(),
        b"a" * 200_000 + b"\r\n" + sign(),
        b"DKIM-Signature: v=1; b=" + b"\r\n " * 5_000 + b"!\r\n" + MAIL,
        b"DKIM-Signature: v=1; b=" + b"\r\n " * 50_000 + b"!\r\n" + MAIL,
        b"DKIM-Signature: " + b"; b" * 5_000 + b"\r\n" + MAIL,
        b"DKIM-Signature: v=1; h=" + b"from:" * 3_000 + b"\r\n" + MAIL,
        b"DKIM-Signature: x\r\n" * 10_000 + MAIL,
        b"X: y\r\n" * 100_000 + sign(),
    ],
    ids=range(14),
)  # fmt: skip
def test_no_message_keeps_us_busy(message: bytes) -> None:
    """Linear in the bytes: dkimpy takes four seconds for a line of 40,000 blanks, and sixteen times that for 160,000."""
    start = time.process_time()
    claims = read_claims(message, NOW)
    assert time.process_time() - start < 2
    assert len(claims) <= MOST_SIGNATURES


def test_a_head_without_end_holds_no_signature() -> None:
    assert fault_of(sign(b"X: y\r\n" * 50_000 + MAIL)) == "its head is larger than 262,144 bytes"
    assert fault_of(sign(b"X: y\r\n" * 1_000 + MAIL)) == "its head has more than 1,000 fields"
    assert (
        fault_of(b"DKIM-Signature: v=1; d=a.example; s=b" + b" " * 20_000 + b"\r\n" + MAIL)
        == "longer than 16,384 bytes"
    )


# --- Properties -------------------------------------------------------------------------------------------------------

TAGS = ("v", "a", "b", "bh", "c", "d", "h", "i", "l", "q", "s", "t", "x", "z")
bodies = st.lists(st.sampled_from([b" ", b"\t", b"\n", b"a", b"--x", b"."]), max_size=30).map(b"".join)
values = st.lists(st.sampled_from([b" ", b"\t", b"\n ", b"\n\t", b"a", b";", b"b=", b":", b"@"]), max_size=20).map(
    b"".join
)


@st.composite
def mails(draw: st.DrawFn) -> bytes:
    names = draw(st.lists(st.sampled_from([b"To", b"SUBJECT", b"subject", b"Date", b"X-Y"]), max_size=6))
    fields = [b"From: a@sender.example\n", *(name + b":" + draw(values) + b"\n" for name in names)]
    return b"".join(draw(st.permutations(fields))) + b"\n" + draw(bodies)


@given(mails(), st.sampled_from(FORMS), st.lists(st.sampled_from(["to", "subject", "date", "x-y", "from"]), max_size=6))
def test_whatever_dkimpy_signs_holds(mail: bytes, form: str, covered: list[str]) -> None:
    """Any folding, any blanks, fields covered twice or not there at all, any line ends."""
    signed = sign(mail, form=form, covered=("from", *covered))
    assert fault_of(signed) == ""
    assert fault_of(with_line_feeds(signed)) == ""
    assert fault_of(with_line_feeds(signed).replace(b"\n", b"\r\n")) == ""


@given(st.data())
def test_nothing_holds_that_dkimpy_refuses(data: st.DataObject) -> None:
    """A few octets changed anywhere: what still holds for us holds for dkimpy, and the other way round."""
    form = data.draw(st.sampled_from(FORMS[:4]))
    changed = bytearray(sign(data.draw(mails()), form=form, covered=("from", "subject")))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(changed) - 1))
        changed[place : place + data.draw(st.integers(0, 2))] = data.draw(
            st.sampled_from([b"", b" ", b"\n", b"a", b"=", b";"])
        )
    message = bytes(changed)
    claims = read_claims(message, NOW)
    ours = bool(claims) and fault_of(message) == ""
    theirs = dkimpy_says(message.lstrip(b"\xef\xbb\xbf\r\n"), record())
    if ours:
        # dkimpy wants an at sign in i=, and can't read blanks before a colon (RFC 5322 section 4.5.8)
        assert theirs or b"i=" in message or re.search(rb"^[!-9;-~]+[ \t]+:", message, re.MULTILINE)
    elif theirs:  # stricter than dkimpy, on purpose
        assert claims
        assert re.search("no header field|no tag list|no domain name|field|covers", claims[0].fault)


LINES = (
    b"\n",
    b"\r\n",
    b"\r\r\n",
    b"\r",
    b" ",
    b"X: y",
    b"From: a",
    b"From x",
    b"--b",
    b"{",
    b"\x1f\x8b",
    b"Content-Type:t",
    b":",
)


@given(st.lists(st.sampled_from(LINES), max_size=25).map(b"".join) | st.binary(max_size=60))
def test_head_and_body_part_where_the_door_parts_them(message: bytes) -> None:
    """Else a signature could speak of another report than the one that is read."""
    try:
        mail = read_mail(message)
    except InvalidError:
        return
    data = b"\n" + message.lstrip(b"\xef\xbb\xbf\r\n")
    _, at = mime.read_head(data, 1, len(data))
    assert mail.data[mail.body_at :] == data[at:]


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\n\r\n", b"\r\n\n"])
@pytest.mark.parametrize("body", [b"", b"\n", b"\r\n", b"x", b"\r\n\r\nx\n\n"])
def test_an_empty_line_ends_the_head(end: bytes, body: bytes) -> None:
    mail = read_mail(b"From: a\nTo: b" + end + body)
    assert mail.names == [b"from", b"to"]
    assert mail.data[mail.body_at :] == body


@given(st.binary(max_size=200) | bodies)
def test_bodies_are_canonical_as_dkimpys(body: bytes) -> None:
    lines = body.replace(b"\r", b"")
    crlf = lines.replace(b"\n", b"\r\n")
    assert canonical_body(lines, "relaxed").replace(b"\n", b"\r\n") == Relaxed.canonicalize_body(crlf)
    assert canonical_body(lines, "simple").replace(b"\n", b"\r\n") == Simple.canonicalize_body(crlf)


@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"DKIM-Signature: ", b"Received: x; ", b"From: a\r\nDKIM-Signature:"]),
)
def test_any_bytes_give_claims(junk: bytes, start: bytes) -> None:
    for message in (start + junk, start + junk + b"\r\n" + sign(x="1")):
        assert all(isinstance(claim, Claim) and "\n" not in claim.fault for claim in read_claims(message, NOW))


@given(st.dictionaries(st.sampled_from(TAGS), st.binary(max_size=20), max_size=12))
def test_any_tags_give_a_claim(tags: dict[str, bytes]) -> None:
    listed = b"; ".join(name.encode() + b"=" + value.replace(b"\n", b"") for name, value in tags.items())
    for whole in (
        b"DKIM-Signature: " + listed,
        b"DKIM-Signature: v=1; a=rsa-sha256; d=a.example; s=b; h=from; " + listed,
    ):
        claims = read_claims(whole + b"\r\n" + MAIL, NOW)
        assert all(claim.fault for claim in claims)

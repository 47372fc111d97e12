"""Who signed a mail: with keys from a name server on the loopback, and by the word of a gateway of one's own."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.intake.signing import (
    COVERED,
    MAIL,
    NOW,
    ed25519_key,
    record,
    replaced,
    rsa_key,
    sign,
    with_line_feeds,
)
from tests.nameserver import Habits, NameServer, name_server, txt
from tlsrpt.core.text import printable
from tlsrpt.dns.exchange import Exchange, Patience, Server
from tlsrpt.dns.resolver import Resolver
from tlsrpt.intake.dkim import Signature, Verifier, believed

SOA = {"SOA": ["ns1.example. h.example. 1 3600 600 86400 300"]}
NAME = "s1._domainkey.sender.example"


def zone(*records: bytes) -> dict[str, dict[str, list[str]]]:
    return {"sender.example": dict(SOA), NAME: {"TXT": [txt(each) for each in records]}}


def verify(message: bytes, server: NameServer, *others: bytes) -> tuple[Signature, ...]:
    """The signatures of a message, after those of others by the same verifier."""

    async def run() -> tuple[Signature, ...]:
        with Exchange() as exchange:
            resolver = Resolver(exchange, [Server("127.0.0.1", server.port)], patience=Patience(tries_s=(0.2, 0.3)))
            verifier = Verifier(resolver, now=lambda: NOW)
            for other in others:
                await verifier.verify(other)
            return await verifier.verify(message)

    return asyncio.run(run())


@pytest.mark.parametrize("key", [rsa_key(2048), ed25519_key()], ids=["rsa", "ed25519"])
def test_a_good_signature_passes(key: object) -> None:
    assert isinstance(key, type(rsa_key()) | type(ed25519_key()))
    with name_server(zone(record(key))) as server:
        signed = sign(key=key)
        for message in (signed, with_line_feeds(signed), b"From x@y.example Mon Mar  2\n" + with_line_feeds(signed)):
            assert verify(message, server) == (
                Signature(domain="sender.example", selector="s1", verdict="pass", signed=frozenset(COVERED)),
            )


def test_a_mail_without_signature_asks_nothing() -> None:
    with name_server(zone(record())) as server:
        assert verify(MAIL, server) == ()
        assert server.asked == []


def test_what_no_key_can_mend_asks_nothing() -> None:
    """A banner broke the body's hash (F-07): DNS need not be asked."""
    with name_server(zone(record())) as server:
        [signature] = verify(replaced(sign(), rb"A report", b"EXTERNAL MAIL! A report"), server)
        assert (signature.domain, signature.verdict) == ("sender.example", "fail")
        assert signature.reason == "the body was changed on the way (bh=)"
        assert server.asked == []


def test_a_key_is_asked_for_once() -> None:
    with name_server(zone(record())) as server:
        [signature] = verify(sign(), server, sign(i="@a.sender.example"), sign(form="simple/simple"))
        assert signature.verdict == "pass"
        assert server.asked == [(NAME, "TXT")]


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        ((), "no key at s1._domainkey.sender.example"),
        ((b"v=DKIM1; p=",), "the key was revoked (p= is empty)"),
        ((record(tags="v=DKIM1; s=email; "),), "the key is for other services than tlsrpt (s=email)"),
        ((record(rsa_key(2048)),), "signed header fields were changed on the way, or another key signed"),
        ((b"\x1b[31mred",), r"no key record: \x1b[31mred"),
    ],
)
def test_keys_that_are_not_there_or_not_good(records: tuple[bytes, ...], reason: str) -> None:
    with name_server(zone(*records) if records else {"sender.example": SOA}) as server:
        [signature] = verify(sign(), server)
    assert (signature.verdict, signature.reason) == ("fail", reason)


def test_one_good_record_among_several_is_enough() -> None:
    """RFC 6376 section 3.6.2.2 leaves it open; a wildcard's SPF record or an old key beside it is a common sight."""
    with name_server(zone(b"v=spf1 -all", record(rsa_key(2048)), record())) as server:
        assert verify(sign(), server)[0].verdict == "pass"
    with name_server(zone(*(f"junk {n}".encode() for n in range(20)))) as server:
        assert verify(sign(), server)[0].reason.count("junk") == 4


@pytest.mark.parametrize(
    "habits",
    [Habits(rcodes={NAME: "servfail"}), Habits(rcodes={NAME: "servfail"}, bogus={NAME}), Habits(rcodes={NAME: "refused"}), Habits(drop=9)],
    ids=["servfail", "bogus", "refused", "silent"],
)  # fmt: skip
def test_what_dns_can_not_tell_is_no_failure(habits: Habits) -> None:
    """R3-23: unknown is not absent."""
    with name_server(zone(record()), habits) as server:
        [signature] = verify(sign(), server)
    assert signature.verdict == "error"
    assert signature.domain == "sender.example"
    assert signature.reason.startswith(f"{NAME} can't be looked up: ")


def test_a_key_behind_a_cname() -> None:
    """Keys that a provider holds."""
    names = {
        "sender.example": SOA,
        NAME: {"CNAME": ["key1.provider.example."]},
        "key1.provider.example": {"TXT": [txt(record())]},
    }
    with name_server(names) as server:
        assert verify(sign(), server)[0].verdict == "pass"


def test_each_signature_has_a_verdict_of_its_own() -> None:
    """One from a list on the way, one from the sender, in the order of the mail."""
    names = {
        **zone(record()),
        "list._domainkey.other.example": {"TXT": [txt(record(rsa_key(2048)))]},
    }
    mail = sign(sign(sign(), domain="gone.example"), domain="other.example", selector="list", key=rsa_key(2048))
    with name_server(names, Habits(rcodes={"s1._domainkey.gone.example": "servfail"})) as server:
        found = verify(mail, server)
    assert [(each.domain, each.verdict) for each in found] == [
        ("other.example", "pass"),
        ("gone.example", "error"),
        ("sender.example", "pass"),
    ]


def test_names_that_do_not_fit_into_dns() -> None:
    long = ".".join(["a" * 60] * 4)
    with name_server(zone(record())) as server:
        [signature] = verify(replaced(sign(), rb"s=s1", b"s=" + long.encode()), server)
        assert (signature.verdict, signature.reason) == ("fail", "the key's name is too long")
        assert server.asked == []


def test_a_large_message_is_verified_too() -> None:
    large = MAIL + b"A line of the attachment of a large report.\r\n" * 2_000
    with name_server(zone(record())) as server:
        assert verify(sign(large), server)[0].verdict == "pass"
        assert verify(sign(large) + b"more", server)[0].verdict == "fail"


@given(st.binary(max_size=300))
def test_whatever_is_in_a_message_nothing_is_raised(junk: bytes) -> None:
    async def run(server: Server) -> None:
        with Exchange() as exchange:
            verifier = Verifier(Resolver(exchange, [server], patience=Patience(tries_s=(0.01,))), now=lambda: NOW)
            for message in (junk, b"DKIM-Signature: " + junk, junk + b"\r\n" + sign()):
                for signature in await verifier.verify(message):
                    assert signature.reason == printable(signature.reason)

    asyncio.run(run(Server("127.0.0.1", 9)))  # nobody answers there


# --- The word of a gateway --------------------------------------------------------------------------------------------

OURS = "mx.ward.example"


def told(*fields: str, by: str = OURS, mail: bytes = MAIL) -> list[tuple[str, str]] | None:
    """Domains and verdicts that are believed of a mail with these fields on top."""
    found = believed("".join(f"{field}\r\n" for field in fields).encode() + mail, by)
    return None if found is None else [(each.domain, each.verdict) for each in found]


RECEIVED = "Received: from out.sender.example by mx.ward.example; Mon, 02 Mar 2026 03:00:01 +0000"
GOOD_WORD = "Authentication-Results: mx.ward.example; dkim=pass header.d=sender.example"


def test_our_gateways_word_is_believed() -> None:
    found = believed(
        b"Received: from mx by store\r\nAuthentication-Results: MX.ward.example 1;\r\n spf=pass smtp.mailfrom=a@b.example;"
        b"\r\n\tdkim=pass (2048-bit key) header.d=Sender.example header.s=s1;\r\n dkim=temperror header.d=other.example;"
        b" dkim=permerror header.d=third.example; dmarc=pass\r\n" + MAIL,
        " Mx.Ward.example ",
    )
    assert found == (
        Signature(domain="sender.example", selector="s1", verdict="pass", told_by=OURS),
        Signature(domain="other.example", verdict="error", reason=f"{OURS} says temperror", told_by=OURS),
        Signature(domain="third.example", verdict="fail", reason=f"{OURS} says permerror", told_by=OURS),
    )


def test_no_word_of_ours_is_no_word() -> None:
    """None: then the signatures are looked at here."""
    assert told() is None
    assert told("Authentication-Results: mx.other.example; dkim=pass header.d=sender.example") is None
    assert told("Authentication-Results: mx.ward.example; spf=pass; dmarc=pass") is None
    assert told("Authentication-Results: mx.ward.example; none") is None
    assert told("ARC-Authentication-Results: i=1; mx.ward.example; dkim=pass header.d=sender.example") is None
    assert told("Authentication-Results-Original: mx.ward.example; dkim=pass header.d=sender.example") is None
    assert (
        told("Authentication-Results: spf=pass; dkim=pass header.d=sender.example") is None
    )  # Exchange Online names none


def test_our_gateway_says_that_there_is_no_signature() -> None:
    assert told("Authentication-Results: mx.ward.example; dkim=none") == []


def test_a_field_for_each_method() -> None:
    """OpenDKIM and OpenDMARC write one each."""
    assert told("Authentication-Results: mx.ward.example; dmarc=pass", GOOD_WORD) == [("sender.example", "pass")]


def test_only_the_topmost_word_counts() -> None:
    """What came with the mail stands below what our gateway put on top."""
    fail = "Authentication-Results: mx.ward.example; dkim=fail header.d=sender.example"
    assert told(fail, RECEIVED, GOOD_WORD) == [("sender.example", "fail")]
    assert told(f"{fail}", GOOD_WORD) == [("sender.example", "fail")]
    assert told("Authentication-Results: mx.ward.example; dkim=none", GOOD_WORD) == []


@pytest.mark.parametrize(
    "field", ["From: a@b.example", "Subject: x", "DATE: x", "TLS-Report-Submitter: sender.example"]
)
def test_what_stands_among_the_authors_fields_is_the_authors(field: str) -> None:
    assert told(RECEIVED, field, GOOD_WORD) is None


def test_what_stands_in_the_mail_is_the_mails() -> None:
    assert told(RECEIVED, mail=MAIL.replace(b"{", GOOD_WORD.encode() + b"\r\n{")) is None
    assert told(f"X-Old: {GOOD_WORD}", f"Received: x\r\n\t{GOOD_WORD}") is None


@pytest.mark.parametrize(
    "value",
    [
        'mx.ward.example; spf=fail smtp.mailfrom="x; dkim=pass header.d=sender.example "@evil.example',
        "mx.ward.example; spf=fail (x; dkim=pass header.d=sender.example) smtp.helo=evil",
        'mx.ward.example; spf=fail reason="; dkim=pass header.d=sender.example"',
        "mx.other.example (mx.ward.example; dkim=pass header.d=sender.example)",
        "mx.ward.example.evil.example; dkim=pass header.d=sender.example",
        '"mx.ward.example evil"; dkim=pass header.d=sender.example',
    ],
)
def test_what_a_gateway_quotes_is_not_its_own_word(value: str) -> None:
    assert told(f"Authentication-Results: {value}") is None


@pytest.mark.parametrize(
    "value",
    [
        "mx.ward.example; dkim=pass reason=\"header.d=sender.example\" header.d=evil.example",
        "mx.ward.example; dkim=pass header.i=\"a header.d=sender.example \"@evil.example header.d=evil.example",
        "mx.ward.example; dkim=pass (header.d=sender.example) header.d=evil.example",
        'mx.ward.example; dkim=pass header.i="@sender.example"@evil.example',
    ],
)  # fmt: skip
def test_the_domain_is_the_one_that_the_gateway_names(value: str) -> None:
    assert told(f"Authentication-Results: {value}") == [("evil.example", "pass")]


@pytest.mark.parametrize(
    "value",
    [
        "dkim=pass",
        "dkim=pass header.d=sender.example header.d=evil.example",
        "dkim=pass header.i=a header.d=sender.example @evil.example header.d=evil.example",
        "dkim=pass header.i=@evil.example header.d=sender.example",
        "dkim=pass header.i=a@sender.example header.i=b@evil.example",
        "dkim=pass header.d=..",
        "dkim=pass policy.d=sender.example",
    ],
)
def test_a_pass_for_nobody_known_proves_nobody(value: str) -> None:
    assert told(f"Authentication-Results: mx.ward.example; {value}") == [("", "pass")]


@pytest.mark.parametrize(
    "value",
    [
        "mx.ward.example; dkim=pass header.d=sender.example (",
        "mx.ward.example; dkim=pass header.d=sender.example )",
        'mx.ward.example; dkim=pass header.d="sender.example',
        r"mx.ward.example; dkim=pass header.d=sender.example \"",
        "mx.ward.example x; dkim=pass header.d=sender.example",
        "mx.ward.example; dkim=pass header.d=sender.example " + "x" * 20_000,
    ],
)
def test_a_word_of_ours_that_can_not_be_read_ends_the_search(value: str) -> None:
    """The one below is not the topmost."""
    assert told(f"Authentication-Results: {value}", GOOD_WORD) is None


def test_a_head_that_can_be_read_in_two_ways_is_believed_in_none() -> None:
    assert told(GOOD_WORD, '{"report-id": "forged"}') is None
    assert told(GOOD_WORD, "no field") is None


@given(
    st.text(max_size=200)
    | st.lists(st.sampled_from([*'();"\\= .@\n', "dkim", "pass", OURS, "header", "d"])).map("".join)
)
def test_any_text_is_believed_or_not(text: str) -> None:
    for field in (text, f"Authentication-Results: {text}", f"Authentication-Results: {OURS}; dkim=pass {text}"):
        found = believed(field.encode("utf-8", "surrogatepass") + b"\r\n" + MAIL, OURS)
        assert found is None or all(each.told_by == OURS for each in found)

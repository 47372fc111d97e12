"""Key records as people publish them: taken where they are good, and named where they are not."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from tests.intake.signing import NOW, ed25519_key, record, rsa_key, sign
from tlsrpt.core.text import printable
from tlsrpt.intake.dkim_key import Key, read_key
from tlsrpt.intake.dkim_signature import read_claims

PUBLIC = record(tags="").removeprefix(b"p=")
# A key of 512 bits: no library makes one any more, and some records still hold one.
SHORT = (
    b"MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBANWlp69DDwG4YKCrcJAIeKhqXGUh9S54"
    b"sBTmjszHPZt9gIY/GuhA0tz1k0mh1xmCCkx97tEEgKBTUWrdfUwYtKcCAwEAAQ=="
)


def der(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, form: PublicFormat) -> bytes:
    return base64.b64encode(key.public_key().public_bytes(Encoding.DER, form))


@pytest.mark.parametrize(
    "text",
    [
        b"v=DKIM1; k=rsa; p=%b",
        b"p=%b",
        b"k=rsa; p=%b;",
        b"v=DKIM1; k=RSA; t=y; n=a note; p=%b",
        b" v = DKIM1 ;\tp = %b ; ",
        b"v=DKIM1; h=sha1:sha256; p=%b",
        b"v=DKIM1; s=*; p=%b",
        b"v=DKIM1; s=tlsrpt; p=%b",
        b"v=DKIM1; s=email:tlsrpt; p=%b",  # legal, and refused by dkimpy
        b"v=DKIM1; s=email : TLSRPT : other; p=%b",
        b"v=DKIM1; s=email:*; p=%b",
        b"v=DKIM1; new=x; p=%b",
    ],
)
def test_good_records(text: bytes) -> None:
    """RFC 6376 section 3.6.1, R3-20, A-10: every list of services that has tlsrpt or *."""
    key = read_key(text % PUBLIC)
    assert isinstance(key, Key), key
    [claim] = read_claims(sign(), NOW)
    assert key.fault_of(claim) == ""


def test_blanks_inside_of_the_key_are_nothing() -> None:
    folded = b" ".join(PUBLIC[at : at + 50] for at in range(0, len(PUBLIC), 50))
    assert isinstance(read_key(b"p=" + folded), Key)


def test_the_form_that_the_rfc_prints_is_read_too() -> None:
    """A bare RSAPublicKey, which nearly nobody publishes."""
    key = read_key(b"v=DKIM1; p=" + der(rsa_key(), PublicFormat.PKCS1))
    assert isinstance(key, Key)
    assert key.fault_of(read_claims(sign(), NOW)[0]) == ""


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (b"v=DKIM1; p=", "the key was revoked (p= is empty)"),
        (b"v=DKIM1; k=rsa", "no key record: v=DKIM1; k=rsa"),
        (b"v=DKIM2; p=%b", "no key record"),
        (b"v=spf1 -all", "no key record: v=spf1 -all"),
        (b"p=%b; p=%b", "no key record"),
        (b"", "no key record"),
        (b"\xff\x00\n", "no key record: "),
        (b"v=DKIM1; h=sha1; p=%b", "the key is not for SHA-256 (h=sha1)"),
        (b"v=DKIM1; s=email; p=%b", "the key is for other services than tlsrpt (s=email)"),
        (b"v=DKIM1; s=; p=%b", "the key is for other services than tlsrpt (s=)"),
        (b"v=DKIM1; k=dsa; p=%b", "the key is of a kind that is not known: dsa (k=)"),
        (b"v=DKIM1; p=%%%", "the key is no base64 (p=)"),
        (b"v=DKIM1; p=AAAA", "the key can't be read (p=)"),
        (b"v=DKIM1; k=ed25519; p=%b", "the key is no Ed25519 key (p=)"),
        (
            b"v=DKIM1; p=" + der(ec.generate_private_key(ec.SECP256R1()), PublicFormat.SubjectPublicKeyInfo),
            "no RSA key",
        ),
        (b"v=DKIM1; p=" + SHORT, "the key is too short: 512 bits (RFC 8301: 1024 at least)"),
        (b"v=DKIM1; n=" + b"x" * 5_000, "the key record has 5,011 bytes"),
    ],
)
def test_records_that_can_not_be_used_say_why(text: bytes, fault: str) -> None:
    found = read_key(text.replace(b"%b", PUBLIC))
    assert isinstance(found, str)
    assert fault in found
    assert found == printable(found)


def test_a_key_that_would_only_make_us_work_is_refused() -> None:
    """An exponent as long as the modulus makes each check as slow as signing."""
    numbers = rsa.RSAPublicNumbers(2**64 + 13, rsa_key(2048).public_key().public_numbers().n)
    public = numbers.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert read_key(b"p=" + base64.b64encode(public)) == "the key is too large: 2048 bits"


def test_a_key_for_its_own_name_only() -> None:
    """t=s: the domain of i= must be d= itself."""
    key = read_key(record(tags="v=DKIM1; t=y:s; "))
    assert isinstance(key, Key)
    assert key.fault_of(read_claims(sign(i="@sender.example"), NOW)[0]) == ""
    below = read_claims(sign(i="@mail.sender.example"), NOW)[0]
    assert key.fault_of(below) == "the key is not for subdomains (t=s)"


def test_keys_and_signatures_of_different_kinds() -> None:
    rsa_claim, ed_claim = (read_claims(sign(key=key), NOW)[0] for key in (rsa_key(), ed25519_key()))
    ed, other = read_key(record(ed25519_key())), read_key(record(rsa_key(2048)))
    assert isinstance(ed, Key)
    assert isinstance(other, Key)
    assert ed.fault_of(ed_claim) == ""
    assert ed.fault_of(rsa_claim) == "the key is for ed25519, the signature is rsa"
    assert other.fault_of(rsa_claim) == "signed header fields were changed on the way, or another key signed"


tags = st.lists(st.sampled_from([b"v=DKIM1", b"k=ed25519", b"k=rsa", b"s=*", b"t=s", b"h=sha256", b"p=", b"="]))


@given(st.binary(max_size=200) | st.builds(lambda some, junk: b"; ".join(some) + junk, tags, st.binary(max_size=50)))
def test_any_bytes_give_a_key_or_a_reason(text: bytes) -> None:
    found = read_key(text)
    assert isinstance(found, Key) or (found and found == printable(found))


@given(st.binary(max_size=120), st.integers(0, 100), st.sampled_from([b"rsa", b"ed25519"]))
def test_any_key_material_gives_a_key_or_a_reason(junk: bytes, kept: int, kind: bytes) -> None:
    material = base64.b64decode(PUBLIC)[:kept] + junk
    found = read_key(b"k=" + kind + b"; p=" + base64.b64encode(material))
    assert isinstance(found, Key | str)

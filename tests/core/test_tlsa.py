"""TLSA records: what can be used for mail, what is wrong with one RRset, and the record of a certificate (RFC 6698, 7672)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256, sha512

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.test_record import codes, samples
from tlsrpt.core.tlsa import (
    CertificateError,
    Tlsa,
    certificate_key,
    key_record,
    lint_tlsa,
    make_tlsa,
    matches,
    owner_name,
    parse_tlsa,
    public_key,
)

DIGEST = "4faab6f83a786a8ba91a10b6e07f79ba36b30f5dcd4794938d0f220b2329e44a"
OTHER = "520ef3973f784bb24d3e763a98b96babf375540344488f3c7d1efc4b41da2c69"
NOTHING = sha256(b"").hexdigest()
GOOD = f"3 1 1 {DIGEST}"


@pytest.mark.parametrize(("texts", "verdict", "corrected"), samples("tlsa"))
def test_each_sample_gets_its_verdict(texts: list[str], verdict: str, corrected: str) -> None:
    """A digest that only the certificate tells is a placeholder."""
    lint = lint_tlsa(texts)
    assert lint.verdict == verdict
    if "<" in corrected:
        assert lint.corrected is not None
        assert lint.corrected.startswith("3 1 1 <")
    else:
        assert lint.corrected == (None if verdict == "ok" else corrected)


@pytest.mark.parametrize(
    ("texts", "verdict", "code", "corrected"),
    [
        ([f"3 1 1 {DIGEST.upper()}"], "ok", None, None),
        ([f"3 1 1 {DIGEST[:20]} {DIGEST[20:]}"], "ok", None, None),
        ([f"3 1 1 (\n  {DIGEST[:32]}\n  {DIGEST[32:]} )"], "ok", None, None),
        ([f"_25._tcp.mx1.example.com. 3600 IN TLSA {GOOD}"], "ok", None, None),
        ([rf"\# 35 030101{DIGEST}"], "ok", None, None),
        ([f"2 1 1 {DIGEST}"], "ok", None, None),
        ([f"{GOOD}\n3 1 1 {OTHER}"], "ok", None, None),
        ([f"3 1 2 {sha512(b'x').hexdigest()}"], "ok", None, None),
        ([GOOD, f"3 1 2 {sha512(b'x').hexdigest()}"], "ok", "digests-mixed", None),
        ([GOOD, f"1 1 1 {OTHER}"], "warning", "usage-pkix", None),
        ([GOOD, f"3 1 1 {NOTHING}"], "warning", "hash-of-nothing", None),
        ([GOOD, f"3 0 1 {OTHER}"], "warning", "full-certificate-hash", None),
        ([f"3 1 2 {sha512(b'').hexdigest()}"], "warning", "hash-of-nothing", None),
        ([f"0 1 1 {DIGEST}"], "ignored", "usage-pkix", f"2 1 1 {DIGEST}"),
        ([f"1 1 1 {DIGEST}", f"0 1 1 {DIGEST}"], "ignored", "none-usable", f"3 1 1 {DIGEST}\n2 1 1 {DIGEST}"),
        ([f"3 1 2 {DIGEST}"], "ignored", "length-does-not-fit-type", GOOD),
        ([f"3 1 0 {DIGEST}"], "ignored", "data-not-der", GOOD),
        ([f"4 1 1 {DIGEST}"], "ignored", "usage-unknown", None),
        ([f"3 2 1 {DIGEST}"], "ignored", "selector-unknown", None),
        ([f"3 1 3 {DIGEST}"], "ignored", "matching-unknown", None),
        ([f"3 1 1 {DIGEST[:-1]}"], "ignored", "data-odd-length", None),
        ([f"3 1 1 {DIGEST[:-1]}g"], "ignored", "data-not-hexadecimal", None),
        ([f"3 1 1 {':'.join(DIGEST[i : i + 2] for i in range(0, 64, 2))}"], "ignored", "data-punctuation", GOOD),
        ([f"DANE-EE SPKI SHA2-256 {DIGEST}"], "ignored", "field-no-number", GOOD),
        (["3 1 1"], "ignored", "field-missing", None),
        ([f'"{GOOD}"'], "ignored", "quotes-in-value", GOOD),
        ([f"_443._tcp.mx1.example.com. IN TLSA {GOOD}"], "ignored", "wrong-port", GOOD),
        ([f"mx1.example.com. IN TLSA {GOOD}"], "ignored", "wrong-name", GOOD),
        ([""], "ignored", "field-missing", None),
        ([], "ignored", "record-missing", None),
    ],
)
def test_one_rrset_of_records(texts: list[str], verdict: str, code: str | None, corrected: str | None) -> None:
    """T-01, T-08 to T-10, T-15, T-16, T-18; field-notes-domains.md D-50 to D-57."""
    lint = lint_tlsa(texts)
    assert lint.verdict == verdict
    assert code in codes(lint) if code else codes(lint) == []
    assert corrected is None or lint.corrected == corrected
    if lint.corrected and "<" not in lint.corrected:
        assert lint_tlsa([lint.corrected]).verdict == "ok"


def test_a_record_at_another_name_is_told_where_the_caller_knows_it() -> None:
    assert lint_tlsa([GOOD], owner=owner_name("mx1.example.com")).verdict == "ok"
    assert codes(lint_tlsa([GOOD], owner="_465._tcp.mx1.example.com")) == ["wrong-port"]


PIECES = st.sampled_from(
    ["3", "1", "0", "2", "4", " ", DIGEST, "ab", "g", "\\#", '"', "(", ")", "\n", ";", "TLSA", "x.", ":"]
)


@given(st.lists(st.one_of(st.text(max_size=40), st.lists(PIECES, max_size=9).map(" ".join)), max_size=3))
@settings(max_examples=300, deadline=None)
def test_lint_of_anything_ends_with_a_verdict_and_a_right_correction(texts: list[str]) -> None:
    lint = lint_tlsa(texts)
    assert (lint.verdict == "ignored") == any(finding.severity == "error" for finding in lint.findings)
    assert (lint.corrected is None) == (lint.verdict == "ok")
    if lint.corrected and "<" not in lint.corrected:
        assert lint_tlsa([lint.corrected]).verdict == "ok", lint.corrected


@given(st.integers(0, 3), st.integers(0, 1), st.sampled_from([1, 2]), st.binary(min_size=64, max_size=64))
def test_a_record_is_written_and_read_back(usage: int, selector: int, matching: int, data: bytes) -> None:
    record = make_tlsa(usage, selector, matching, data if matching == 2 else data[:32])
    assert record is not None
    assert parse_tlsa(str(record)) == record
    assert record.usable is (usage > 1)  # T-09


# --- certificates ----------------------------------------------------------------------------------------------------


def certificate(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mx1.example.com")])
    now = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=90))
    return builder.sign(key, hashes.SHA256())


KEY = ec.generate_private_key(ec.SECP256R1())
CERTIFICATE = certificate(KEY)
SPKI = KEY.public_key().public_bytes(form.Encoding.DER, form.PublicFormat.SubjectPublicKeyInfo)
PKCS8 = (form.PrivateFormat.PKCS8, form.NoEncryption())


def test_the_record_of_a_certificate_names_its_key() -> None:
    """T-18: 3 1 1; the first certificate of a chain file is the server's (D-51)."""
    other = certificate(ec.generate_private_key(ec.SECP256R1()))
    pem = CERTIFICATE.public_bytes(form.Encoding.PEM) + other.public_bytes(form.Encoding.PEM)
    der = CERTIFICATE.public_bytes(form.Encoding.DER)
    for data in (pem, der):
        record = key_record(certificate_key(data))
        assert str(record) == f"3 1 1 {sha256(SPKI).hexdigest()}"
        assert lint_tlsa([str(record)]).verdict == "ok"
        assert matches(record, der, SPKI)
        assert not matches(record, der, b"another key")


def test_a_key_or_request_gives_the_next_record() -> None:
    """T-17: the record is published before the certificate exists."""
    request = x509.CertificateSigningRequestBuilder(CERTIFICATE.subject).sign(KEY, hashes.SHA256())
    public = KEY.public_key()
    for encoding in (form.Encoding.PEM, form.Encoding.DER):
        for data in (
            CERTIFICATE.public_bytes(encoding),
            KEY.private_bytes(encoding, *PKCS8),
            public.public_bytes(encoding, form.PublicFormat.SubjectPublicKeyInfo),
            request.public_bytes(encoding),
        ):
            assert public_key(data) == SPKI


@pytest.mark.parametrize(
    "data", [b"", b"x", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", b"\x30\x03\x02\x01\x01"]
)
def test_what_is_no_certificate_is_one_clear_error(data: bytes) -> None:
    with pytest.raises(CertificateError):
        certificate_key(data)
    with pytest.raises(CertificateError):
        public_key(data)


def test_a_whole_certificate_or_key_is_matched_by_its_octets() -> None:
    """Matching type 0, and the digests of the certificate itself."""
    der = CERTIFICATE.public_bytes(form.Encoding.DER)
    assert matches(Tlsa(usage=3, selector=0, matching=0, data=der), der, SPKI)
    assert matches(Tlsa(usage=3, selector=0, matching=2, data=sha512(der).digest()), der, SPKI)
    assert parse_tlsa(f"3 1 0 {SPKI.hex()}") == Tlsa(usage=3, selector=1, matching=0, data=SPKI)
    assert parse_tlsa("3 1 0 aabb") is None

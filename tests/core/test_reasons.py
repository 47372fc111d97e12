"""The reason codes of real senders, decoded; and texts made equal that differ only in names and times."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsrpt.core.causes import CAUSES
from tlsrpt.core.reasons import ALERTS, FAULTS, MAX_TEXT, decode, normalise, wordings
from tlsrpt.core.results import RESULT_TYPES

GET = 'Get "https://mta-sts.orchard.example/.well-known/mta-sts.txt": '

KNOWN = [
    # Microsoft (F-39, D-72)
    ("MX_HOSTS_MISMATCH", "mx-not-in-policy", "Microsoft"),
    ("VALIDATION_FAILURE", "sts-validation-failed", "Microsoft"),
    ("450 4.4.8", "mx-not-in-policy", "Exchange"),
    ("5.4.8", "mx-not-in-policy", "Exchange"),
    ("5.7.5", "sts-validation-failed", "Exchange"),
    ("5.7.321", "starttls-not-offered", "Exchange"),
    # OpenSSL: names, texts old and new, numbers
    ("X509_V_ERR_CERT_HAS_EXPIRED", "certificate-expired", "OpenSSL"),
    ("X509_V_ERR_CERT_NOT_YET_VALID", "certificate-not-yet-valid", "OpenSSL"),
    ("X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT", "certificate-self-signed", "OpenSSL"),
    ("X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN", "certificate-private-root", "OpenSSL"),
    ("X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY", "certificate-issuer-unknown", "OpenSSL"),
    ("X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE", "certificate-issuer-unknown", "OpenSSL"),
    ("X509_V_ERR_HOSTNAME_MISMATCH", "certificate-name", "OpenSSL"),
    ("X509_V_ERR_INVALID_CA", "certificate-unfit", "OpenSSL"),
    ("X509_V_ERR_PATH_LENGTH_EXCEEDED", "certificate-untrusted", "OpenSSL"),
    ("X509_V_ERR_DANE_NO_MATCH", "tlsa-no-match", "OpenSSL"),
    ("certificate has expired", "certificate-expired", ""),
    ("certificate is not yet valid", "certificate-not-yet-valid", ""),
    ("self-signed certificate", "certificate-self-signed", "OpenSSL"),
    ("self signed certificate", "certificate-self-signed", "OpenSSL"),
    ("self-signed certificate in certificate chain", "certificate-private-root", "OpenSSL"),
    ("unable to get local issuer certificate", "certificate-issuer-unknown", "OpenSSL"),
    ("unable to verify the first certificate", "certificate-issuer-unknown", "OpenSSL"),
    ("hostname mismatch", "certificate-name", ""),
    ("no matching DANE TLSA records", "tlsa-no-match", ""),
    ("(10)", "certificate-expired", "OpenSSL"),
    ("err 20", "certificate-issuer-unknown", "OpenSSL"),
    ("verify error:num=18:self signed certificate", "certificate-self-signed", "OpenSSL"),
    ("verify error:num=26", "certificate-unfit", "OpenSSL"),
    ("error:0A000086:SSL routines::certificate verify failed", "certificate-untrusted", "OpenSSL"),
    ("error:0A00010B:SSL routines::wrong version number", "not-tls", "OpenSSL"),
    ("error:0A000410:SSL routines::sslv3 alert handshake failure", "tls-cipher", "OpenSSL"),
    ("error:1409442E:SSL routines:ssl3_read_bytes:tlsv1 alert protocol version", "tls-version", "OpenSSL"),
    ("no shared cipher", "tls-cipher", ""),
    # Postfix through libtlsrpt: blanks become underscores (datagram-protocol.md)
    ("self-signed_certificate", "certificate-self-signed", "OpenSSL"),
    ("unable_to_get_local_issuer_certificate", "certificate-issuer-unknown", "OpenSSL"),
    ("tls-handshake-failure", "handshake-failed", "Postfix"),
    ("all-TLSA-records-unusable", "tlsa-unusable", "Postfix"),
    # mox
    ("mtasts-policy-mx-mismatch", "mx-not-in-policy", "mox"),
    ("dane-no-match", "tlsa-no-match", "mox"),
    ("tls-remote-alert-70-protocol-version-not-supported", "tls-version", "mox"),
    ("tls-remote-alert-112-unrecognized-name", "tls-name-unknown", "mox"),
    ("tls-remote-alert-80-internal-error", "tls-server-fault", "mox"),
    ("tls-remote-alert-116-certificate-required", "tls-client-certificate", "mox"),
    ("tls-local-alert-45-expired-certificate", "certificate-expired", "mox"),
    ("tls-remote-error", "handshake-failed", "mox"),
    ("tls-record-header-error", "not-tls", "mox"),
    ("io-timeout-during-handshake", "handshake-timeout", "mox"),
    ("connection-closed-during-handshake", "connection-closed", "mox"),
    ("smtp-starttls-reply-code-454", "starttls-refused", "mox"),
    ("all-unusable-records+ignored", "tlsa-unusable", "mox"),
    ("extended-dns-error-7-signature-expired", "dnssec-signature-expired", "mox"),
    ("extended-dns-error-9-DNSKEY-missing", "dnssec-key-missing", "mox"),
    ("extended-dns-error-12-NSEC-missing", "dnssec-denial", "mox"),
    ("dns-extended-error-6-DNSSEC-Bogus", "dnssec-bogus", "mox"),
    ("extended-dns-error-22-no-reachable-authority", "dns-failure", "mox"),
    ("no-system-roots", "sender-trust-store", "mox"),
    ("incompatible-key-usage", "certificate-unfit", "mox"),
    ("no-policy-served", "policy-not-found", "mox"),
    ("cannot-fetch-policy", "policy-fetch-failed", "mox"),
    ("policy-syntax-error", "policy-syntax", "mox"),
    ("multiple-mta-sts-records", "sts-record", "mox"),
    # Go, as Mail.ru sends it (F-39): the policy's address makes it the policy host's fault
    ("x509: certificate signed by unknown authority", "certificate-issuer-unknown", "Go"),
    ("x509: certificate is valid for a.example, not mx.b.example", "certificate-name", "Go"),
    ("x509: certificate has expired or is not yet valid", "certificate-expired", "Go"),
    (
        "x509: certificate has expired or is not yet valid: current time 2026-03-01T00:00:00Z is before "
        "2026-04-01T00:00:00Z",
        "certificate-not-yet-valid",
        "Go",
    ),
    ("remote error: tls: handshake failure", "tls-cipher", "Go"),
    ("remote error: tls: protocol version not supported", "tls-version", "Go"),
    ("tls: first record does not look like a TLS handshake", "not-tls", ""),
    ("read tcp 192.0.2.1:40404->192.0.2.25:25: i/o timeout", "handshake-timeout", "Go"),
    (GET + "x509: certificate has expired or is not yet valid", "policy-certificate-expired", "Go"),
    (GET + "x509: certificate is valid for www.orchard.example, not it", "policy-certificate-name", "Go"),
    (GET + "remote error: tls: unrecognized name", "policy-certificate-name", "Go"),
    (GET + "tls: failed to verify certificate: x509: certificate signed by unknown authority", "policy-certificate-untrusted", "Go"),
    (GET + "dial tcp 192.0.2.80:443: i/o timeout", "policy-host-timeout", "Go"),
    (GET + "dial tcp: lookup mta-sts.orchard.example: no such host", "policy-host-no-dns", "Go"),
    (GET + "dial tcp 192.0.2.80:443: connect: connection refused", "policy-host-connection", "Go"),
    (GET + "EOF", "policy-host-connection", ""),
    (GET + "remote error: tls: handshake failure", "policy-host-tls", "Go"),
    (GET + "stopped after 10 redirects", "policy-redirected", ""),
    (GET + "context deadline exceeded (Client.Timeout exceeded while awaiting headers)", "policy-host-timeout", "Go"),
    # HTTP
    ("unexpected status 404", "policy-not-found", "HTTP"),
    ("HTTP status code: 403", "policy-forbidden", "HTTP"),
    ("http 301", "policy-redirected", "HTTP"),
    ("503 Service Unavailable", "policy-server-error", "HTTP"),
    ("http status 400", "policy-http-status", "HTTP"),
    # Stalwart
    ("MX not authorized by policy.", "mx-not-in-policy", "Stalwart"),
    ("Invalid TLSA record.", "tlsa-unusable", "Stalwart"),
    ("MTA-STS is required and no policy was found.", "sts-required", "Stalwart"),
    ("invalid peer certificate: UnknownIssuer", "certificate-issuer-unknown", "Rust"),
    ("invalid peer certificate: NotValidForName", "certificate-name", "Rust"),
    ("invalid peer certificate: Expired", "certificate-expired", "Rust"),
    # Others
    ("mx-mismatch", "mx-not-in-policy", ""),
    ("4.7.5 [internal] SSL certificate subject does not match host", "certificate-name", ""),
    ("454 4.7.0 TLS not available due to local problem", "starttls-refused", ""),
    ("PKIX path building failed: unable to find valid certification path", "certificate-issuer-unknown", "Java"),
    ("SEC_E_UNTRUSTED_ROOT", "certificate-private-root", "Windows"),
    ("0x80090325", "certificate-private-root", "Windows"),
    ("0x80090322", "certificate-name", "Windows"),
    ("The certificate is NOT trusted. The certificate issuer is unknown.", "certificate-issuer-unknown", "GnuTLS"),
    ("STARTTLS not offered", "starttls-not-offered", ""),
    ("connection refused", "connection-failed", ""),
    ("SERVFAIL", "dns-failure", ""),
    ("dane-required", "tlsa-missing", ""),
    ("dnssec-invalid", "dnssec-bogus", ""),
    ("policy content type is text/html", "policy-media-type", ""),
    ("policy has no mx entries", "policy-no-mx", ""),
    ("invalid max_age", "policy-max-age", ""),
    ("policy too large", "policy-too-large", ""),
    ("out of memory", "sender-fault", ""),
]  # fmt: skip


@pytest.mark.parametrize(("text", "code", "source"), KNOWN)
def test_a_reason_is_decoded(text: str, code: str, source: str) -> None:
    """F-39: the fault has one code, whoever words it; the wording's owner is named where it is plain."""
    reason = decode(text)
    assert reason is not None
    assert (reason.code, reason.source) == (code, source)


def test_every_meaning_is_reached_by_a_known_text() -> None:
    assert set(FAULTS) == {code for _, code, _ in KNOWN}


def test_every_wording_leads_to_a_meaning() -> None:
    assert {code for _, _, code in wordings()} <= set(FAULTS)


@pytest.mark.parametrize("code", FAULTS)
def test_a_meaning_points_to_causes_and_types_that_exist(code: str) -> None:
    fault = FAULTS[code]
    assert fault.points_to
    assert set(fault.points_to) <= set(CAUSES)
    assert fault.result_types
    assert set(fault.result_types) <= set(RESULT_TYPES)


@pytest.mark.parametrize("code", FAULTS)
def test_the_likeliest_cause_stands_under_a_type_where_the_reason_is_at_home(code: str) -> None:
    """Else the answer to the reason and the answer to its result type would contradict each other."""
    fault = FAULTS[code]
    assert any(CAUSES[fault.points_to[0]] in RESULT_TYPES[name].causes for name in fault.result_types)


@pytest.mark.parametrize("number", ALERTS)
def test_every_tls_alert_is_known_by_number_and_by_name(number: int) -> None:
    """RFC 8446 section 6 and RFC 5246 section 7.2; the side that sent it decides what it means."""
    alert = ALERTS[number]
    remote, local = decode(f"tls-remote-alert-{number}"), decode(f"tls-local-alert-{number}")
    assert remote is not None
    assert local is not None
    assert (remote.code, local.code) == (alert.from_server, alert.from_sender)
    assert f"TLS alert {number} ({alert.name})" in remote.meaning
    named = decode(f"TLS alert: {alert.name}")
    assert named is not None
    assert named.code == alert.from_server


def test_an_unknown_alert_is_still_a_failed_handshake() -> None:
    reason = decode("tls-remote-alert-199")
    assert reason is not None
    assert reason.code == "handshake-failed"


@pytest.mark.parametrize("number", range(1, 95))
def test_every_verify_error_of_openssl_is_known_by_number(number: int) -> None:
    reason = decode(f"verify error:num={number}")
    assert reason is not None
    assert f"OpenSSL verify error {number}" in reason.meaning


@pytest.mark.parametrize(
    "text", ["", " ", "???", "42.", "hello world", "error", "(99)", "\x00\x1b[31m", "тест", "\udcff", "0", "443"]
)
def test_what_is_not_known_is_not_guessed(text: str) -> None:
    assert decode(text) is None


def test_the_result_type_says_whose_certificate_it_is() -> None:
    """mox writes `certificate-expired` under sts-webpki-invalid: the policy host's, not the MX's (S-61)."""
    at_mx, at_policy_host = decode("certificate-expired"), decode("certificate-expired", "sts-webpki-invalid")
    assert at_mx is not None
    assert at_policy_host is not None
    assert (at_mx.party, at_mx.place) == ("mx", "mx")
    assert (at_policy_host.party, at_policy_host.place) == ("policy-host", "policy-host")
    status = decode("404", "sts-policy-fetch-error")
    assert status is not None
    assert status.code == "policy-not-found"
    assert decode("404") is None


def test_a_name_or_port_in_the_text_is_not_taken_for_the_fault() -> None:
    """Host names are the owner's choice, and 443 is a port."""
    reason = decode("x509: certificate is valid for timeout.example, not expired.example")
    assert reason is not None
    assert reason.code == "certificate-name"
    reason = decode(GET + "dial tcp [2001:db8::443]:443: connect: connection refused")
    assert reason is not None
    assert reason.code == "policy-host-connection"


@pytest.mark.parametrize("text", ["i/o timeout", "connection reset by peer", "smtp-starttls-reply-code-421"])
def test_what_often_passes_by_itself_is_marked(text: str) -> None:
    """D-73: a lone time-out is watched, not mended."""
    reason = decode(text)
    assert reason is not None
    assert reason.passing


# --- Grouping -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "group"),
    [
        (GET + "dial tcp 192.0.2.80:443: i/o timeout", "get <url> dial tcp <ip> i/o timeout"),
        ("x509: certificate is valid for a.example, b.example, not c.example",
         "x509 certificate is valid for <name> not <name>"),
        ("current time 2026-03-01T00:00:00Z is after 2026-02-28T23:59:59.5Z", "current time <time> is after <time>"),
        ("read tcp 192.0.2.1:40404->[2001:db8::25]:25: EOF", "read tcp <ip> eof"),
        ("450 4.7.5 <tls@example.com>: refused [id 0A1B2C3D4E5F60718293]", "450 4.7.5 <address> refused id <id>"),
        ("HTTP status 404", "http status 404"),
        ("tls-remote-alert-70", "tls-remote-alert-70"),
        ("MX_HOSTS_MISMATCH", "mx_hosts_mismatch"),
        ("session 123456789 lost", "session <id> lost"),
        ("", ""),
    ],
)  # fmt: skip
def test_what_differs_from_case_to_case_is_taken_out(text: str, group: str) -> None:
    """F-39: group by normalised text; the numbers that are the fault stay."""
    assert normalise(text) == group


LABEL = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
NAME = st.builds("{}.{}.example".format, LABEL, LABEL)
PLACE = st.tuples(NAME, st.ip_addresses().map(lambda ip: f"[{ip}]" if ip.version == 6 else str(ip)))


@given(PLACE, PLACE)
def test_the_same_fault_at_another_place_is_the_same_text(one: tuple[str, str], other: tuple[str, str]) -> None:
    text = 'Get "https://{0}/x": dial tcp {1}:443: lookup {0}: no such host'
    assert normalise(text.format(*one)) == normalise(text.format(*other))


# --- Hostile text ---------------------------------------------------------------------------------------------------


@given(st.text(max_size=300) | st.text(alphabet="tls alert 0123456789-_.:@/<>x509", max_size=300))
def test_any_text_is_read_without_an_error(text: str) -> None:
    """Promise 3, F-54: reason codes are strangers' text."""
    decode(text)
    decode(text, "sts-policy-fetch-error")
    assert "\n" not in normalise(text)


@pytest.mark.parametrize(
    "piece",
    ["a", "a.", "1.", "1 ", ":", "-", "_", "->", "<", "@", "http://", "alert ", "9", "404 http ", "\u0130", "İ.", "-1"],
)
def test_only_the_beginning_of_a_huge_text_is_read(piece: str) -> None:
    """64 KiB of one thing cost what 2,048 characters cost: the rest is not looked at."""
    huge = (piece * 65_536)[:65_536]
    assert decode(huge) is decode(huge[:MAX_TEXT] + "certificate has expired")
    assert normalise(huge) == normalise(huge[:MAX_TEXT])
    assert len(normalise(huge)) <= 8 * MAX_TEXT


def calls(function: Callable[[str], object], text: str) -> int:
    """How many calls, of Python or C, a run makes: work measured without a clock."""
    count = 0

    def count_call(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(count_call)
    try:
        function(text)
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("function", [decode, normalise])
@pytest.mark.parametrize("piece", ["a.", "1.1.1.1 ", "x ", "2026-03-01 ", "alert 999 ", "a@b ", "0a" * 9 + " "])
def test_twice_the_text_is_at_most_twice_the_work(function: Callable[[str], object], piece: str) -> None:
    half, whole = (piece * MAX_TEXT)[: MAX_TEXT // 2], (piece * MAX_TEXT)[:MAX_TEXT]
    function("warm up: compile what is compiled once")
    assert calls(function, whole) <= 2.2 * calls(function, half) + 50

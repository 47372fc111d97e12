"""`policy check` and the https endpoint check, against real TLS servers on the loopback."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.httpsserver import Authority, https_server, make_authority
from tests.nameserver import Habits, name_server, txt
from tlsrpt.check.endpoint import look_at_endpoint
from tlsrpt.check.https import anywhere, is_public
from tlsrpt.check.policy import PolicyCheck, check_policy
from tlsrpt.check.surroundings import Surroundings
from tlsrpt.core.findings import Finding
from tlsrpt.dns.exchange import Exchange, Patience, Server
from tlsrpt.dns.resolver import Resolver

HOST = "mta-sts.example.com"
POLICY = "version: STSv1\nmode: enforce\nmx: mx1.example.com\nmax_age: 1209600\n"
RECORD = "v=STSv1; id=20260301"
QUICK = Patience(tries_s=(0.2, 0.4))
Zone = dict[str, dict[str, list[str]]]
ZONE: Zone = {
    "example.com": {"SOA": ["ns1.example.com. h.example.com. 1 3600 600 86400 300"], "MX": ["10 mx1.example.com."]},
    "mx1.example.com": {"A": ["192.0.2.25"]},
    "_mta-sts.example.com": {"TXT": [txt(RECORD)]},
    "_smtp._tls.example.com": {"TXT": [txt("v=TLSRPTv1; rua=mailto:tls@example.com")]},
    HOST: {"A": ["127.0.0.1"]},
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("ca"))


def http(body: str | bytes = POLICY, status: str = "200 OK", media: str = "text/plain", *more: str) -> bytes:
    octets = body.encode() if isinstance(body, str) else body
    head = [f"HTTP/1.1 {status}", f"Content-Type: {media}", f"Content-Length: {len(octets)}", *more, "", ""]
    return "\r\n".join(head).encode() + octets


def check(
    authority: Authority,
    answer: bytes = b"",
    *,
    zone: Zone | None = None,
    habits: Habits | None = None,
    context: ssl.SSLContext | None = None,
    private: bool = True,
) -> PolicyCheck:
    with (
        name_server({**ZONE, **(zone or {})}, habits) as names,
        https_server(context or authority.context(HOST), answer or http()) as web,
    ):

        async def run() -> PolicyCheck:
            with Exchange() as exchange:
                resolver = Resolver(exchange, [Server("127.0.0.1", names.port)], patience=QUICK)
                around = Surroundings(
                    trust=authority.trust, allowed=anywhere if private else is_public, https_port=web.port
                )
                return await check_policy(resolver, "example.com", around, datetime.now(UTC))

        return asyncio.run(run())


def codes(result: PolicyCheck, *severities: str) -> list[str]:
    wanted = severities or ("warning", "error")
    return [finding.code for finding in result.findings if finding.severity in wanted]


def test_a_good_policy_needs_nothing(authority: Authority) -> None:
    """S3.2-01 to S4-01: record, host, certificate, status, type, file, MX hosts."""
    result = check(authority)
    assert (result.verdict, codes(result), result.exit_code) == ("ok", [], 0)
    assert (result.found, result.mode, result.max_age, result.mx) == (True, "enforce", 1209600, ("mx1.example.com",))
    assert result.input == (RECORD, POLICY)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        pytest.param(http("", "301 Moved", "text/plain", "Location: https://www.example.com/"), "sts-policy-fetch-error", id="D-42 redirect"),
        pytest.param(http("no", "404 Not Found"), "sts-policy-fetch-error", id="404"),
        pytest.param(http("no", "403 Forbidden"), "sts-policy-fetch-error", id="D-43 wall"),
        pytest.param(http("<!doctype html>", media="text/html"), "policy-content-type", id="D-41 home page"),
        pytest.param(http(media="application/octet-stream"), "policy-content-type", id="D-41 octet-stream"),
        pytest.param(http("version: STSv1\nmode: Enforce\nmx: a.example\nmax_age: 86400\n"), "sts-policy-invalid", id="S-62 syntax"),
        pytest.param(http("x" * 65_537), "sts-policy-invalid", id="S3.3-04 too large"),
        pytest.param(b"SSH-2.0-OpenSSH\r\n", "sts-policy-fetch-error", id="no HTTP"),
        pytest.param(http()[:-10], "sts-policy-fetch-error", id="cut short"),
    ],
)  # fmt: skip
def test_what_goes_wrong_has_the_name_that_a_report_gives_it(authority: Authority, answer: bytes, code: str) -> None:
    """RFC 8460 section 4.3, S-60 to S-62: a reported failure and its live cause meet under one name."""
    result = check(authority, answer)
    assert result.verdict == "ignored"
    assert code in codes(result, "error")
    assert result.exit_code == 1


@pytest.mark.parametrize(
    ("name", "days"), [pytest.param(HOST, -1, id="expired"), pytest.param("www.example.com", 90, id="D-44 other name")]
)
def test_a_wrong_certificate_is_sts_webpki_invalid(authority: Authority, name: str, days: float) -> None:
    """S-61, S3.3-01."""
    result = check(authority, context=authority.context(name, days=days))
    assert (result.verdict, codes(result, "error")) == ("ignored", ["sts-webpki-invalid"])


def test_an_untrusted_certificate_is_sts_webpki_invalid(authority: Authority, tmp_path: Path) -> None:
    other = make_authority(tmp_path)
    assert codes(check(authority, context=other.context(HOST)), "error") == ["sts-webpki-invalid"]


def test_a_certificate_that_ends_soon_is_said_before(authority: Authority) -> None:
    result = check(authority, context=authority.context(HOST, days=5))
    assert (result.verdict, codes(result)) == ("ok", ["policy-certificate-ends-soon"])


def test_a_chunked_answer_is_read(authority: Authority) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = f"{len(POLICY):x}\r\n{POLICY}\r\n0\r\n\r\n".encode()
    assert check(authority, head + body).verdict == "ok"


def test_an_mx_host_that_is_not_covered_is_named(authority: Authority) -> None:
    """S-65: it has no result type of its own, and mail to it is refused."""
    zone = {"example.com": {**ZONE["example.com"], "MX": ["10 mx1.example.com.", "20 mx2.example.com."]}}
    result = check(authority, zone=zone)
    assert (result.verdict, codes(result)) == ("warning", ["mx-host-not-covered"])
    assert "mx: mx2.example.com" in (result.corrected or "")


def test_one_dead_address_is_a_warning(authority: Authority) -> None:
    """D-45: some senders happen on it."""
    result = check(authority, zone={HOST: {"A": ["127.0.0.1", "127.0.0.77"]}})
    assert (result.verdict, codes(result)) == ("ok", ["sts-policy-fetch-error"])


def test_a_policy_host_at_a_private_address_is_not_connected_to(authority: Authority) -> None:
    result = check(authority, private=False)
    assert (result.verdict, codes(result)) == ("ignored", ["sts-policy-fetch-error"])
    assert "127.0.0.1" in result.findings[0].message


def test_without_a_record_the_policy_is_not_seen(authority: Authority) -> None:
    result = check(authority, zone={"_mta-sts.example.com": {}})
    assert (result.verdict, result.found) == ("ignored", False)
    assert codes(result, "error") == ["record-missing"]


def test_a_record_without_its_underscore_is_found_there(authority: Authority) -> None:
    """D-31."""
    zone = {"_mta-sts.example.com": {}, HOST: {"A": ["127.0.0.1"], "TXT": [txt(RECORD)]}}
    result = check(authority, zone=zone)
    assert (result.verdict, result.found, result.corrected) == ("ignored", True, RECORD)
    assert codes(result, "error") == ["wrong-name"]


def test_a_record_that_dns_can_not_tell_is_unknown(authority: Authority) -> None:
    """R3-23."""
    result = check(authority, habits=Habits(rcodes={"_mta-sts.example.com": "SERVFAIL"}))
    assert (result.verdict, result.found, result.exit_code) == ("unknown", None, 3)


def test_a_policy_without_tlsrpt_is_mentioned(authority: Authority) -> None:
    assert codes(check(authority, zone={"_smtp._tls.example.com": {}}), "info") == ["without-tlsrpt"]


# --- endpoints in rua ------------------------------------------------------------------------------------------------


def endpoint(
    authority: Authority, answer: bytes, probe: bytes | None = None, context: ssl.SSLContext | None = None
) -> tuple[list[Finding], list[bytes]]:
    with (
        name_server({"reports.example.com": {"A": ["127.0.0.1"]}}) as names,
        https_server(context or authority.context("reports.example.com"), answer) as web,
    ):

        async def run() -> list[Finding]:
            with Exchange() as exchange:
                resolver = Resolver(exchange, [Server("127.0.0.1", names.port)], patience=QUICK)
                uri = f"https://reports.example.com:{web.port}/tlsrpt?x=1"
                return await look_at_endpoint(resolver, uri, authority.trust, anywhere, probe)

        return asyncio.run(run()), web.requests


def test_an_endpoint_is_asked_for_its_head_alone(authority: Authority) -> None:
    """A POST only with --probe: nothing is left behind at somebody's receiver."""
    findings, requests = endpoint(authority, http("", "405 Method Not Allowed"))
    assert findings == []
    assert requests[0].startswith(b"HEAD /tlsrpt?x=1 HTTP/1.1\r\nHost: reports.example.com:")


def test_a_probe_posts_a_report(authority: Authority) -> None:
    """R5.4-01, R5.4-02."""
    findings, requests = endpoint(authority, http("", "201 Created"), b"report")
    assert findings == []
    assert requests[0].startswith(b"POST /tlsrpt?x=1 ")
    assert b"Content-Type: application/tlsrpt+gzip\r\n" in requests[0]
    assert requests[0].endswith(b"\r\n\r\nreport")


@pytest.mark.parametrize(
    ("answer", "probe", "code", "severity"),
    [
        pytest.param(http("", "302 Found", "text/plain", "Location: /"), None, "endpoint-redirects", "warning", id="redirect"),
        pytest.param(http("", "401 Unauthorized"), None, "endpoint-wants-login", "warning", id="login"),
        pytest.param(http("", "404 Not Found"), None, "endpoint-answers-error", "info", id="404"),
        pytest.param(http("", "403 Forbidden"), b"x", "endpoint-refuses", "error", id="post refused"),
        pytest.param(b"", None, "endpoint-unreachable", "error", id="hangs up"),
    ],
)  # fmt: skip
def test_what_an_endpoint_does_wrong_is_named(
    authority: Authority, answer: bytes, probe: bytes | None, code: str, severity: str
) -> None:
    """D-27."""
    findings, _ = endpoint(authority, answer, probe)
    assert [(finding.code, finding.severity) for finding in findings] == [(code, severity)]


def test_a_wrong_certificate_is_a_warning_for_an_endpoint(authority: Authority) -> None:
    """R3-14: senders MAY ignore it."""
    findings, _ = endpoint(authority, http(), context=authority.context("www.example.com"))
    assert [(finding.code, finding.severity) for finding in findings] == [("endpoint-certificate", "warning")]

"""Whether an https endpoint in `rua` answers (field notes D-27, R7-08). Nothing is posted unless that is asked for."""

from __future__ import annotations

import ssl
from urllib.parse import urlsplit

from tlsrpt.check.https import Allowed, HttpsError, Request, Response, send, vetted
from tlsrpt.core.findings import Finding, Severity
from tlsrpt.core.text import printable
from tlsrpt.dns.authority import addresses
from tlsrpt.dns.resolver import Resolver

GZIP = "application/tlsrpt+gzip"


async def look_at_endpoint(
    resolver: Resolver, uri: str, trust: ssl.SSLContext, allowed: Allowed, probe: bytes | None = None
) -> list[Finding]:
    """Connect to an endpoint and ask for its head, or post a report to it.

    Args:
        allowed: which addresses may be connected to.
        probe: a gzipped report to post; None: only a HEAD request, which every server takes without harm.
    """
    parts = urlsplit(uri)
    try:
        port = parts.port or 443
    except ValueError:
        return [_finding("endpoint-port", "error", uri, "no such port exists", "write a port up to 65535, or none")]
    host, path = (parts.hostname or "").lower(), parts.path or "/"
    path += f"?{parts.query}" if parts.query else ""
    known = await addresses(resolver, host) if not _is_literal(host) else [host.strip("[]")]
    if not known:
        return [_finding("endpoint-without-address", "error", uri, f"{host} has no address", "mend the name in rua")]
    good, refused = vetted(known, allowed)
    if not good:
        return [
            _finding(
                "endpoint-not-public",
                "error",
                uri,
                f"{host} has no public address ({', '.join(refused[:5])}); not connected to",
                "reports come from the Internet: publish an endpoint that is reachable from there",
            )
        ]
    request = Request(host=host, port=port, path=path, method="HEAD")
    if probe is not None:
        headers = (("Content-Type", GZIP),)
        request = Request(host=host, port=port, path=path, method="POST", headers=headers, body=probe)
    return await _ask(request, good, trust, uri)


async def _ask(request: Request, known: list[str], trust: ssl.SSLContext, uri: str) -> list[Finding]:
    findings: list[Finding] = []
    for address in known[:4]:
        try:
            return findings + _judge(await send(request, address, trust), request, uri)
        except HttpsError as error:
            findings.append(_failed(error, uri))
            if error.stage == "certificate":
                return findings
    # A dead address costs senders time, and only the last one costs the report.
    return findings[-1:]


def _failed(error: HttpsError, uri: str) -> Finding:
    if error.stage == "certificate":
        return Finding(
            code="endpoint-certificate",
            severity="warning",
            where=uri,
            message=f"the certificate of {error.where} is not valid: {error.what}",
            consequence="Senders may ignore that (RFC 8460 section 3), and not all do.",
            fix="get a certificate for this name, and send the whole chain",
        )
    return _finding("endpoint-unreachable", "error", uri, f"{error.where}: {error.what}", "make the endpoint answer")


def _judge(response: Response, request: Request, uri: str) -> list[Finding]:
    status = f"{response.status} {printable(response.reason, 60)}".strip()
    if 300 <= response.status < 400:
        target = printable(response.headers.get("location", ""), 120)
        return [
            _finding(
                "endpoint-redirects",
                "warning",
                uri,
                f"it redirects ({status}) to {target}",
                "write the final address into rua: a sender need not follow redirects, and a careful one does not",
            )
        ]
    if request.method == "POST":
        if 200 <= response.status < 300:
            return []
        return [
            _finding(
                "endpoint-refuses",
                "error",
                uri,
                f"a report posted to it was answered {status}",
                "take POST requests without a login, and answer 200 or 201 (RFC 8460 section 5.4)",
            )
        ]
    if response.status in (401, 403, 407):
        return [
            _finding(
                "endpoint-wants-login",
                "warning",
                uri,
                f"a HEAD request was answered {status}",
                "take reports without a login; --probe posts a sample report and so tells for certain",
            )
        ]
    if response.status in (404, 410) or response.status >= 500:
        return [
            Finding(
                code="endpoint-answers-error",
                severity="info",
                where=uri,
                message=f"a HEAD request was answered {status}",
                consequence="It may still take a POST.",
                fix="--probe posts a sample report and so tells for certain",
            )
        ]
    return []


def _is_literal(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()


def _finding(code: str, severity: Severity, uri: str, message: str, fix: str) -> Finding:
    consequence = "Reports to this destination are lost."
    return Finding(code=code, severity=severity, where=uri, message=message, consequence=consequence, fix=fix)

"""Fetching an MTA-STS policy as senders do (RFC 8461 section 3.3): status 200, no redirects, a valid certificate.

What goes wrong has the name that a report would give it (RFC 8460 section 4.3): sts-policy-fetch-error,
sts-webpki-invalid, sts-policy-invalid.
"""

from __future__ import annotations

import asyncio
import errno
import ssl
from datetime import UTC, datetime

from msgspec import Struct

from tlsrpt.check.https import Allowed, HttpsError, Request, Response, send, vetted
from tlsrpt.core.findings import Finding, Severity
from tlsrpt.core.mtasts import MAX_POLICY_OCTETS
from tlsrpt.core.text import printable
from tlsrpt.dns.resolver import Resolver

PATH = "/.well-known/mta-sts.txt"
MAX_ADDRESSES = 4
_SOON_S = 14 * 86_400
_CHARSETS = ("utf-8", "us-ascii")


class Fetched(Struct, frozen=True, kw_only=True):
    """What came of fetching a policy.

    Attributes:
        body: the policy as senders would read it; None where they would read none.
        shown: what was served, even where senders would not read it: for a linter to say more.
        known: False where DNS could not tell the addresses, so that nothing is known.
    """

    body: bytes | None
    findings: tuple[Finding, ...]
    shown: bytes | None = None
    known: bool = True
    addresses: tuple[str, ...] = ()


async def fetch_policy(
    resolver: Resolver, domain: str, trust: ssl.SSLContext, allowed: Allowed, now: datetime, port: int = 443
) -> Fetched:
    """Fetch the policy of a domain from every address of its policy host, both families (D-45)."""
    host = f"mta-sts.{domain}"
    four, six = await asyncio.gather(resolver.lookup(host, "A"), resolver.lookup(host, "AAAA"))
    known = [*four.names, *six.names]
    if not known:
        return _without_address(host, next((a.detail for a in (four, six) if a.unknown), ""))
    good, refused = vetted(known, allowed)
    if not good:
        said = f"{host} has no public address ({', '.join(refused[:5])}); not connected to"
        fix = "serve the policy at a public address; for one served inside: --private"
        return Fetched(body=None, findings=(_error(_url(host), said, fix),), addresses=tuple(known))
    tried = good[:MAX_ADDRESSES]
    request = Request(host=host, port=port, path=PATH, max_bytes=MAX_POLICY_OCTETS)
    results = await asyncio.gather(*(_try(request, address, trust) for address in tried))
    responses = [result for result in results if isinstance(result, Response)]
    errors = [result for result in results if isinstance(result, HttpsError)]
    findings = [_failed(error, partly=bool(responses)) for error in errors]
    if not responses:
        return Fetched(body=None, findings=tuple(_once(findings)), addresses=tuple(known))
    if len({(response.status, response.body) for response in responses}) > 1:
        findings.append(_addresses_differ(host, tried))
    judged = _judge(responses[0], host)
    findings += judged
    findings += _expiry(min(responses, key=lambda response: response.expires), host, now)
    usable = not any(finding.severity == "error" for finding in judged)
    body = responses[0].body
    shown = body if responses[0].status == 200 and not responses[0].cut else None
    return Fetched(body=body if usable else None, shown=shown, findings=tuple(findings), addresses=tuple(known))


async def _try(request: Request, address: str, trust: ssl.SSLContext) -> Response | HttpsError:
    try:
        return await send(request, address, trust)
    except HttpsError as error:
        return error


def _url(host: str) -> str:
    return f"https://{host}{PATH}"


def _error(
    where: str, message: str, fix: str, *, code: str = "sts-policy-fetch-error", severity: Severity = "error"
) -> Finding:
    consequence = "Senders get no policy, deliver as if there were none, and report it so."
    if severity != "error":
        consequence = "Senders that happen on this get no policy, and report it so."
    return Finding(code=code, severity=severity, where=where, message=message, consequence=consequence, fix=fix)


def _without_address(host: str, unknown: str) -> Fetched:
    if unknown:
        message = f"DNS could not tell the address of {host}: {unknown}"
        return Fetched(body=None, known=False, findings=(_error(_url(host), message, "ask again later"),))
    message = f"{host} has no address"
    fix = f"point {host} at a web server that serves the policy: A and AAAA records, or a CNAME"
    return Fetched(body=None, findings=(_error(_url(host), message, fix),))


def _failed(error: HttpsError, *, partly: bool) -> Finding:
    url = f"https://{error.where.partition(' ')[0]}{PATH}"
    cause = error.__cause__
    if isinstance(cause, OSError) and cause.errno in (errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
        return Finding(
            code="address-untested",
            severity="info" if partly else "warning",
            where=url,
            message=f"{error.where} can't be reached from here: {error.what}",
            consequence="This machine has no way to such addresses (no IPv6?); senders may have one.",
        )
    severity: Severity = "warning" if partly else "error"
    if error.stage == "certificate":
        return _error(
            url,
            f"the certificate at {error.where} is not valid: {error.what}",
            f"get a certificate for {error.where.partition(' ')[0]}, and send the whole chain (RFC 8461 section 3.3)",
            code="sts-webpki-invalid",
            severity=severity,
        )
    fix = {
        "connect": "let port 443 be reached at every address, or take the dead address out of DNS",
        "tls": "serve TLS 1.2 or newer for this very name (SNI): the shared server may not know it",
    }.get(error.stage, "answer GET over HTTP/1.1")
    return _error(url, f"{error.where}: {error.what}", fix, severity=severity)


def _once(findings: list[Finding]) -> list[Finding]:
    return list({(finding.code, finding.message): finding for finding in findings}.values())


def _judge(response: Response, host: str) -> list[Finding]:
    url = _url(host)
    status = f"{response.status} {printable(response.reason, 40)}".strip()
    if 300 <= response.status < 400:
        target = printable(response.headers.get("location", "nowhere"), 120)
        return [
            _error(
                url,
                f"a redirect ({status}) to {target}; senders never follow one (RFC 8461 section 3.3)",
                "serve the file at this very address; browsers and some checkers hide the redirect",
            )
        ]
    if response.status != 200:
        wall = response.status in (401, 403, 406, 429, 503)
        hint = "; a wall against bots keeps mail servers out, too: let this path through" if wall else ""
        return [_error(url, f"the answer is {status}; only 200 counts", f"put the file there{hint}")]
    if response.cut:
        limit = f"more than {MAX_POLICY_OCTETS:,} octets"
        return [_error(url, f"the file has {limit}", "a policy takes a few hundred", code="sts-policy-invalid")]
    return _media_type(response, url)


def _media_type(response: Response, url: str) -> list[Finding]:
    """S3.2-02: text/plain; only a charset that can't hold a policy matters beside it."""
    sent = response.headers.get("content-type", "")
    media, _, parameters = sent.partition(";")
    if media.strip().lower() != "text/plain":
        html = response.body.lstrip()[:1] == b"<"
        what = "a web page, not a policy" if html else "not text/plain"
        return [
            Finding(
                code="policy-content-type",
                severity="error",
                where=url,
                message=f"the Content-Type is {printable(sent, 60) or 'missing'}: {what}",
                consequence="tlspol and Snawoot refuse the policy; mox does not look at the type.",
                fix="serve the file as text/plain"
                + ("; the server answers every path with its home page" if html else ""),
            )
        ]
    charset = next((p.partition("=")[2].strip(' "').lower() for p in parameters.split(";") if "charset" in p), "")
    if charset and charset not in _CHARSETS:
        message = f"the charset is {printable(charset, 30)}"
        consequence = "A policy is UTF-8 or US-ASCII; what senders do with another word is not known."
        return [
            Finding(
                code="policy-charset",
                severity="warning",
                where=url,
                message=message,
                consequence=consequence,
                fix="charset=utf-8",
            )
        ]
    return []


def _expiry(response: Response, host: str, now: datetime) -> list[Finding]:
    left_s = response.expires - now.timestamp()
    if left_s > _SOON_S:
        return []
    end = datetime.fromtimestamp(response.expires, UTC)
    return [
        Finding(
            code="policy-certificate-ends-soon",
            severity="warning",
            where=_url(host),
            message=f"the certificate of {host} ends on {end:%Y-%m-%d}, in {max(0, int(left_s // 86_400))} days",
            consequence="From then on senders report sts-webpki-invalid and can't refresh the policy.",
            fix="renew it, and see that the renewal works by itself",
        )
    ]


def _addresses_differ(host: str, tried: list[str]) -> Finding:
    return Finding(
        code="policy-differs",
        severity="warning",
        where=_url(host),
        message=f"the addresses of {host} do not serve the same: {', '.join(tried)}",
        consequence="Which policy a sender gets depends on the address that it happens to ask.",
        fix="serve the same file at every address",
    )

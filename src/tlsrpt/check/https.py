"""One HTTPS request, as a careful stranger makes it: for the policy file of MTA-STS and for an endpoint in `rua`.

The host was chosen by whoever wrote the record, so only addresses that were vetted are connected to (R7-08), redirects
are never followed (RFC 8461 section 3.3), and what comes back is bounded in size and time.
"""

from __future__ import annotations

import asyncio
import http.client
import io
import ipaddress
import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from tlsrpt.core.errors import TlsrptError

Stage = Literal["connect", "tls", "certificate", "http"]
Allowed = Callable[[str], bool]
CONNECT_S = 10.0
WHOLE_S = 60.0  # RFC 8461 section 3.3 suggests a minute
_HEAD_BYTES = 64 * 1024
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052: an IPv4 address behind a translator


class HttpsError(TlsrptError):
    """The request came to no answer. `stage` says how far it got; `code` is OpenSSL's for a certificate."""

    def __init__(self, what: str, *, stage: Stage, where: str = "", code: int = 0) -> None:
        self.stage, self.code = stage, code
        super().__init__(what, where=where)


class Request(Struct, frozen=True, kw_only=True):
    """What to ask of a host."""

    host: str
    path: str
    port: int = 443
    method: Literal["GET", "HEAD", "POST"] = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    max_bytes: int = 64 * 1024


class Response(Struct, frozen=True, kw_only=True):
    """What came back. `headers` have lower-case names; `cut` tells that the body was longer than was read."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes
    cut: bool
    tls_version: str
    expires: float  # seconds since 1970: the end of the certificate


def is_public(address: str) -> bool:
    """Whether an address is one that strangers may be sent to (R7-08): no private, loopback or link-local one."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(known, "ipv4_mapped", None) or getattr(known, "sixtofour", None)
    if known in _NAT64:
        mapped = ipaddress.IPv4Address(int(known) & 0xFFFFFFFF)
    return known.is_global and not known.is_multicast and (mapped is None or is_public(str(mapped)))


def anywhere(address: str) -> bool:
    """Every address will do: for a domain of one's own that is served inside."""
    return bool(address)


async def send(request: Request, address: str, trust: ssl.SSLContext) -> Response:
    """Make one request to one address.

    Args:
        address: already vetted; the host goes into SNI and the Host header.
        trust: which certificates are believed.
    Raises:
        HttpsError: no answer; says where it ended.
    """
    where = f"{request.host} [{address}]"
    try:
        async with asyncio.timeout(WHOLE_S):
            reader, writer = await _connect(request, address, trust, where)
            try:
                writer.write(_head(request) + request.body)
                await writer.drain()
                tls = writer.get_extra_info("ssl_object")
                version, end = tls.version() or "", ssl.cert_time_to_seconds(tls.getpeercert()["notAfter"])
                limit = request.max_bytes + _HEAD_BYTES
                raw = await _read(reader, limit)
            finally:
                writer.transport.abort()  # a careless peer's close_notify is not waited for
    except TimeoutError as error:
        raise HttpsError(f"no whole answer within {WHOLE_S:g} s", stage="http", where=where) from error
    except OSError as error:
        raise HttpsError(f"the connection broke: {error}", stage="http", where=where) from error
    return _parse(raw, request, where, version, end)


async def _connect(
    request: Request, address: str, trust: ssl.SSLContext, where: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        async with asyncio.timeout(CONNECT_S):
            return await asyncio.open_connection(address, request.port, ssl=trust, server_hostname=request.host)
    except ssl.SSLCertVerificationError as error:
        raise HttpsError(error.verify_message, stage="certificate", where=where, code=error.verify_code) from error
    except ssl.SSLError as error:
        reason = (error.reason or str(error)).replace("_", " ").lower()
        raise HttpsError(f"the TLS handshake failed: {reason}", stage="tls", where=where) from error
    except TimeoutError as error:
        raise HttpsError(f"no connection within {CONNECT_S:g} s", stage="connect", where=where) from error
    except OSError as error:
        raise HttpsError(error.strerror or str(error), stage="connect", where=where) from error


def _head(request: Request) -> bytes:
    host = request.host if request.port == 443 else f"{request.host}:{request.port}"
    lines = [f"{request.method} {request.path} HTTP/1.1", f"Host: {host}", "User-Agent: tlsrpt", "Accept: */*"]
    lines += [f"{name}: {value}" for name, value in request.headers]
    if request.method == "POST":
        lines.append(f"Content-Length: {len(request.body)}")
    text = "\r\n".join([*lines, "Connection: close", "", ""])
    if text.count("\r\n") != len(lines) + 2 or not text.isascii():
        raise ValueError("a header or path with a line end, or not ASCII")
    return text.encode("ascii")


async def _read(reader: asyncio.StreamReader, limit: int) -> bytes:
    raw = bytearray()
    while len(raw) <= limit:
        part = await reader.read(65_536)
        if not part:
            break
        raw += part
    return bytes(raw)


class _Octets:
    """What `http.client` takes for a socket: octets already read."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._raw)


def _parse(raw: bytes, request: Request, where: str, tls_version: str, expires: float) -> Response:
    if not raw:
        raise HttpsError("the connection was closed without an answer", stage="http", where=where)
    try:
        response = http.client.HTTPResponse(_Octets(raw), method=request.method)  # type: ignore[arg-type]
        response.begin()
        body = response.read(request.max_bytes + 1)
    except (http.client.HTTPException, ValueError, OSError) as error:
        raise HttpsError(f"no HTTP answer: {type(error).__name__}", stage="http", where=where) from error
    headers = {name.lower(): value for name, value in response.getheaders()}
    cut = len(body) > request.max_bytes
    promised = headers.get("content-length", "")
    if not cut and request.method != "HEAD" and promised.isdecimal() and len(body) < int(promised[:18]):
        raise HttpsError("the answer was cut short", stage="http", where=where)
    return Response(
        status=response.status,
        reason=response.reason,
        headers=headers,
        body=body[: request.max_bytes],
        cut=cut,
        tls_version=tls_version,
        expires=expires,
    )


def system_trust() -> ssl.SSLContext:
    """The certificates that this machine trusts, TLS 1.2 or newer (S7-01)."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def vetted(addresses: Sequence[str], allowed: Allowed) -> tuple[list[str], list[str]]:
    """Addresses that may be connected to, and those that may not."""
    good = [address for address in addresses if allowed(address)]
    return good, [address for address in addresses if address not in good]

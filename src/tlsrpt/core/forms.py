"""The forms that single values take in reports from the world, and what each one means.

Each function takes a text as sent and gives the value in the RFC's form, or None where it can't be had honestly. A
value that comes back unchanged was well formed. Nothing is noted here: the reader compares and notes.
"""

from __future__ import annotations

import ipaddress
import re
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from itertools import pairwise
from socket import AF_INET, AF_INET6, inet_pton  # a pure parser of addresses, ten times as fast as ipaddress

from tlsrpt.core.domain import is_domain, parse_domain
from tlsrpt.core.errors import DomainError

_MAPPED = b"\0" * 10 + b"\xff\xff"  # IPv4-mapped IPv6 (RFC 4291 2.5.5.2): the same host as the IPv4 address in it

# date-time (RFC 3339 section 5.6); its T and Z may be lower case. Day, hour and offset are left to datetime to judge.
_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_LOOSE_DATETIME = re.compile(
    r"(\d{4})[-/]?(\d\d)[-/]?(\d\d)"
    r"(?:[Tt _]*(\d\d)[:.]?(\d\d)(?:[:.]?(\d\d)(?:[.,](\d+))?)?)?"
    r"\s*(?:([Zz]|UTC|GMT|utc|gmt)|([+-])(\d\d):?(\d\d)?)?",
    re.ASCII,
)
_EPOCH = re.compile(r"\d{9,10}(?:\d{3})?(?:\.\d*)?", re.ASCII)  # seconds, or milliseconds
_EARLIEST, _LATEST = datetime(1990, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)

_DOT_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
_ADDR_SPEC = re.compile(rf'(?:{_DOT_ATOM}|"[^"\\\x00-\x1f\x7f]+")@([A-Za-z0-9_.-]+)', re.ASCII)
_LOOSE_ADDRESS = re.compile(r"([^\s<>()\[\],;:\"@]+)@([^\s<>()\[\],;:\"@]+)")

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[\x21-\x7e]+", re.ASCII)
_LONGEST = 1024  # characters that a loose form is looked for in: no honest value is longer, and patterns stay cheap

_TLSA = re.compile(r"\d{1,3} \d{1,3} \d{1,3} (?:[0-9A-Fa-f]{2})+", re.ASCII)
_LOOSE_TLSA = re.compile(r"(\d{1,3})\s+(\d{1,3})\s+(\d{1,3})\s+\(?\s*([0-9A-Fa-f][0-9A-Fa-f\s]*)\)?", re.ASCII)
_TLSA_BETWEEN = re.compile(r"\s*[;,\n]\s*|\s+(?=\d{1,3}\s+\d{1,3}\s+\d{1,3}\s+\(?\s*[0-9A-Fa-f]{8})", re.ASCII)
_STS_KEY = re.compile(r"(?:(?<=\s)|^|(?<=[;,]))(version|mode|mx|max_age)\s*:", re.ASCII)


# --- dates -----------------------------------------------------------------------------------------------------------


def rfc3339(text: str) -> datetime | None:
    """A date-time as RFC 3339 section 5.6 has it; None for any other form."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        return None
    day, time, fraction, offset = match.groups()
    try:
        moment = datetime.fromisoformat(
            f"{day}T{time}.{(fraction or '')[:6]:0<6}{'+00:00' if offset in 'Zz' else offset}"
        )
    except ValueError:
        return None
    return moment.astimezone(UTC) if _plausible(moment) else None


def _plausible(moment: datetime) -> bool:
    """Whether a report can be about this time: Go's year 1 and the like are a missing date, not a date."""
    return _EARLIEST <= moment < _LATEST


def loose_datetime(text: str, *, end: bool) -> datetime | None:
    """A moment in any form that leaves no doubt; without an offset it is UTC (F-21).

    Args:
        text: as sent.
        end: whether it ends a window: a day alone then means its last second.
    """
    text = text[:_LONGEST].strip()
    exact = rfc3339(text)
    if exact is not None:
        return exact
    if _EPOCH.fullmatch(text):
        return epoch(float(text))
    match = _LOOSE_DATETIME.fullmatch(text)
    moment = _assembled(match, end=end) if match else _mail_date(text)
    return moment.astimezone(UTC) if moment is not None and _plausible(moment) else None


def epoch(number: float) -> datetime | None:
    """Unix seconds, or milliseconds where seconds would lie in the far future."""
    seconds = number / 1000 if number >= 1e11 else number
    if not 631152000 <= seconds < 4e9:  # 1990 to 2096
        return None
    return datetime.fromtimestamp(seconds, UTC)


def _assembled(match: re.Match[str], *, end: bool) -> datetime | None:
    year, month, day, hour, minute, second, fraction, _, sign, offset_h, offset_m = match.groups()
    if hour is None:
        hour, minute, second = ("23", "59", "59") if end else ("00", "00", "00")
    offset = timedelta(hours=int(offset_h or 0), minutes=int(offset_m or 0))
    extra = timedelta()
    if hour == "24" and minute == "00" and (second or "00") == "00":  # ISO 8601's end of the day
        hour, extra = "00", timedelta(days=1)
    if second == "60":  # a leap second (RFC 3339 section 5.7)
        second, extra = "59", timedelta(seconds=1)
    try:
        zone = timezone(-offset if sign == "-" else offset)
        whole = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second or 0), tzinfo=zone)
    except ValueError:
        return None
    if not _plausible(whole):
        return None
    return whole + extra + timedelta(microseconds=int(f"{(fraction or '')[:6]:0<6}"))


def _mail_date(text: str) -> datetime | None:
    """`Sun, 01 Mar 2026 00:00:00 +0000` (RFC 5322 section 3.3)."""
    from email.utils import parsedate_to_datetime

    if not re.match(r"(?:[A-Za-z]{3}, ?)?\d{1,2} [A-Za-z]{3} \d{4} ", text[:40], re.ASCII):
        return None
    try:
        moment = parsedate_to_datetime(text[:64])
    except (ValueError, TypeError, OverflowError):
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def is_one_day(start: datetime, end: datetime) -> bool:
    """Whether a window is one UTC day (R4.1-01); its end may be the next midnight or the second before (F-22)."""
    if start.hour or start.minute or start.second or start.microsecond:
        return False
    return timedelta(hours=23, minutes=59, seconds=59) <= end - start <= timedelta(days=1)


# --- addresses and names ---------------------------------------------------------------------------------------------


@lru_cache(maxsize=16384)
def is_ip(text: str) -> bool:
    """Whether a text is an address as the RFC has it: IPv4 without leading zeros, IPv6 in any form of RFC 4291."""
    try:
        if ":" in text:
            return not inet_pton(AF_INET6, text).startswith(_MAPPED)
        inet_pton(AF_INET, text)
    except (OSError, ValueError):  # ValueError: a NUL, or no ASCII
        return False
    return True


def loose_ip(text: str) -> str | None:
    """The canonical address in any form that leaves no doubt: brackets, a port, IPv4-mapped, zone, leading zeros."""
    if len(text) > _LONGEST:
        return None
    text = text.strip()
    bracketed = re.fullmatch(r"\[(?:IPv6:)?([^\[\]]+)\](?::\d{1,5})?", text, re.ASCII | re.IGNORECASE)
    if bracketed:
        text = bracketed[1]
    elif re.fullmatch(r"[0-9.]+:\d{1,5}", text, re.ASCII):
        text = text.partition(":")[0]
    text = re.sub(r"(?i)^ipv6:|%[\w.-]+$|/(?:32|128)$", "", text)
    if re.fullmatch(r"\d{1,3}(?:\.\d{1,3}){3}", text, re.ASCII):
        text = ".".join(str(int(octet)) for octet in text.split("."))
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)


@lru_cache(maxsize=16384)
def is_host(text: str) -> bool:
    """Whether a text is a host name in A-labels and lower case, not an address."""
    return is_domain(text) and not (text[-1].isdigit() and is_ip(text))


def loose_host(text: str) -> str | None:
    """The host name in A-labels and lower case; a port or a URL around it is left out."""
    if len(text) > _LONGEST:
        return None
    text = text.strip().strip("\"'<>").strip()
    text = re.sub(r"^[a-z]+://|(?<=[^:]):\d{1,5}$|/.*$", "", text, flags=re.ASCII | re.IGNORECASE)
    try:
        name = parse_domain(text)
    except DomainError:
        return None
    return name if is_host(name) else None


@lru_cache(maxsize=4096)
def is_mx_pattern(text: str) -> bool:
    """Whether a text is an MX pattern (RFC 8461 section 4.1): a host name, or `*.` and one, in A-labels."""
    return is_host(text.removeprefix("*."))


def loose_mx_pattern(text: str) -> str | None:
    """The MX pattern in A-labels and lower case: without `mx:`, a preference or a final dot."""
    if len(text) > _LONGEST:
        return None
    text = re.sub(r"^\s*(?:mx\s*:|\d{1,5}(?=\s))\s*", "", text, flags=re.ASCII | re.IGNORECASE).strip()
    star = "*." if text.startswith("*.") else ""
    name = loose_host(text.removeprefix("*."))
    return None if name is None else star + name


@lru_cache(maxsize=4096)
def is_addr_spec(text: str) -> bool:
    """Whether a text is a bare address (RFC 5322 section 3.4.1) at a domain name; the case does not matter."""
    match = _ADDR_SPEC.fullmatch(text)
    return match is not None and len(text) <= 320 and is_host(match[1].lower())


def loose_address(text: str) -> str | None:
    """The first bare address in `mailto:a@b`, `Name <a@b>` and the like; its domain in A-labels."""
    match = _LOOSE_ADDRESS.search(re.sub(r"(?i)mailto:", " ", text[:_LONGEST]))
    if match is None:
        return None
    host = loose_host(match[2].rstrip("."))
    found = f"{match[1]}@{host}"
    return found if host is not None and is_addr_spec(found) else None


@lru_cache(maxsize=4096)
def is_uri(text: str) -> bool:
    """Whether a text can be a URI: a scheme, and no blank in it."""
    return len(text) <= 4096 and _URI.fullmatch(text) is not None


# --- policy strings --------------------------------------------------------------------------------------------------


@lru_cache(maxsize=16384)
def is_tlsa_string(text: str) -> bool:
    """Whether a text is a TLSA record as R4.5-01 has it: single blanks, no parentheses, whole octets."""
    return len(text) <= 1024 and _TLSA.fullmatch(text) is not None


@lru_cache(maxsize=16384)
def is_policy_line(text: str) -> bool:
    """Whether a text can be one line of an MTA-STS policy as it was served, nothing around it and no second in it."""
    return (
        0 < len(text) <= 1024
        and text.isprintable()
        and text[0] not in ' ["{'
        and text[-1] != " "
        and len(_STS_KEY.findall(text)) <= 1
    )


def policy_lines(text: str, policy_type: str | None) -> list[str]:
    """The lines, or TLSA records, in one string, blanks and line ends around them left out."""
    if policy_type == "tlsa" or (policy_type is None and _LOOSE_TLSA.match(text.strip())):
        single = re.sub(r"[ \t\r\f\v]+", " ", text).strip()  # no runs of blanks: the next pattern would try each
        return [_tlsa(piece) for piece in _TLSA_BETWEEN.split(single) if piece]
    lines = [line.strip(" \t\r\x00\v\f") for line in re.split(r"[\r\n]+", text)]
    return [piece for line in lines if line for piece in _split_keys(line)]


def _split_keys(line: str) -> list[str]:
    """Cut a line that holds several known keys before each of them; an unknown line stays whole."""
    starts = [match.start() for match in _STS_KEY.finditer(line)]
    if len(starts) < 2:
        return [line]
    cuts = [0, *(start for start in starts if start), len(line)]
    return [piece for a, b in pairwise(cuts) if (piece := line[a:b].strip(" \t,;"))]


def _tlsa(text: str) -> str:
    """A TLSA record with single blanks and its hex in one piece; another text as it is."""
    match = _LOOSE_TLSA.fullmatch(text.strip())
    return f"{match[1]} {match[2]} {match[3]} {''.join(match[4].split())}" if match else text.strip()

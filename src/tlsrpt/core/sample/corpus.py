"""A corpus of reports by the number, for benchmarks and load: quick to make, never in memory at once, clean by the RFC.

Its reports tell no story: what a fleet means is in `fleet`. Domains are drawn with a long tail, senders by rank.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import accumulate
from random import Random
from typing import Literal

from msgspec import structs

from tlsrpt.core.sample.compose import SampleReport
from tlsrpt.core.sample.profiles import PLAIN, Profile
from tlsrpt.core.sample.truth import seeded

Size = Literal["small", "typical", "medium", "large", "huge", "mix"]
# Policies and failure-details of a report. A typical one is about 1.7 KiB of JSON, a large one 131 KiB.
SIZES: dict[str, tuple[int, int]] = {
    "small": (1, 0),
    "typical": (2, 3),
    "medium": (4, 40),
    "large": (20, 500),
    "huge": (40, 20_000),
}
_MIX = (("small", 70), ("typical", 95), ("medium", 100))  # what a mailbox holds, in percent up to here
_NAMES = ("orchard", "harbour", "meadow", "quarry", "willow", "foundry", "lantern")
_SENDERS = ("bigmail", "postwerk", "courier", "mailhaus")
_RESULTS: dict[str, tuple[str, ...]] = {
    "sts": (
        "certificate-expired",
        "certificate-host-mismatch",
        "certificate-not-trusted",
        "starttls-not-supported",
        "validation-failure",
        "sts-policy-fetch-error",
        "sts-webpki-invalid",
    ),
    "tlsa": ("validation-failure", "starttls-not-supported", "dnssec-invalid", "tlsa-invalid"),
    "no-policy-found": ("starttls-not-supported", "validation-failure"),
}
_REASONS = (
    "X509_V_ERR_CERT_HAS_EXPIRED",
    "X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
    "4.7.5 TLS handshake failed",
    "tlsv1 alert protocol version",
)


def corpus(
    count: int,
    *,
    until: date,
    size: Size = "typical",
    domains: int = 50,
    senders: int = 12,
    days: int = 90,
    seed: int = 1,
) -> Iterator[SampleReport]:
    """So many reports, one at a time, over the days up to `until`; no two are the same report."""
    chance = seeded("corpus", seed, size, domains, senders, days)
    names = [f"{_NAMES[at % len(_NAMES)]}{at}.example" for at in range(domains)]
    profiles = [_sender(at) for at in range(senders)]
    reach = list(accumulate(1 / (at + 1) for at in range(max(domains, senders))))
    for number in range(count):
        domain = chance.choices(names, cum_weights=reach[:domains])[0]
        profile = chance.choices(profiles, cum_weights=reach[:senders])[0]
        day = until - timedelta(days=chance.randrange(days))
        yield _report(chance, _size(chance, size), domain, profile, day, number)


def _sender(number: int) -> Profile:
    """A sender without habits but the style of its JSON."""
    name = f"{_SENDERS[number % len(_SENDERS)]}{number}.example.net"
    return structs.replace(
        PLAIN,
        name=name,
        organization_name=f"{name.partition('.')[0].title()} Inc.",
        contact_info=f"smtp-tls-reporting@{name}",
        submitter=name,
        json_style=("compact", "spaced", "two", "tabs")[number % 4],
    )


def _size(chance: Random, size: Size) -> str:
    if size != "mix":
        return size
    percent = chance.randrange(100)
    return next(name for name, upto in _MIX if percent < upto)


def _report(chance: Random, size: str, domain: str, profile: Profile, day: date, number: int) -> SampleReport:
    start = datetime.combine(day, time(), UTC)
    end = start + timedelta(seconds=86399)
    report_id = f"{day}T00:00:00Z_{number}_{domain}"
    return SampleReport(
        profile=profile,
        report_domain=domain,
        recipient=f"tlsrpt@{domain}",
        day=day,
        start=start,
        end=end,
        report_id=report_id,
        unique_id=str(number),
        sent_at=end + timedelta(seconds=chance.randint(*profile.arrives_s)),
        nonce=f"{chance.getrandbits(128):032x}",
        failures=SIZES[size][1] > 0,
        document={
            "organization-name": profile.organization_name,
            "date-range": {"start-datetime": f"{day}T00:00:00Z", "end-datetime": f"{day}T23:59:59Z"},
            "contact-info": profile.contact_info,
            "report-id": report_id,
            "policies": _policies(chance, *SIZES[size], domain),
        },
    )


def _policies(chance: Random, policies: int, failures: int, domain: str) -> list[dict[str, object]]:
    result = []
    for at in range(policies):
        kind = "sts" if policies == 1 else ("sts", "tlsa", "no-policy-found")[(at + chance.randrange(2)) % 3]
        # A small number of entries is about one domain; more of them are an operator's (F-43).
        name = domain if policies <= 2 or not at else f"d{at}.{domain}"
        share = failures // policies + (at < failures % policies)
        details = [_detail(chance, kind, name) for _ in range(share)]
        failed = sum(count for _, count in details)
        entry: dict[str, object] = {
            "policy": _policy(chance, kind, name),
            "summary": {
                "total-successful-session-count": chance.randrange(800),
                "total-failure-session-count": failed,
            },
        }
        if details:
            entry["failure-details"] = [detail for detail, _ in details]
        result.append(entry)
    return result


def _policy(chance: Random, kind: str, domain: str) -> dict[str, object]:
    if kind == "sts":
        mx = [f"*.mx.{domain}", f"backup.{domain}"]
        mode = "enforce" if chance.getrandbits(1) else "testing"
        lines = ["version: STSv1", f"mode: {mode}", *(f"mx: {name}" for name in mx), "max_age: 604800"]
        return {"policy-type": kind, "policy-string": lines, "policy-domain": domain, "mx-host": mx}
    if kind == "tlsa":
        records = [f"3 1 1 {chance.getrandbits(256):064X}" for _ in range(1 + chance.getrandbits(1))]
        return {"policy-type": kind, "policy-string": records, "policy-domain": domain}
    return {"policy-type": kind, "policy-domain": domain}


def _detail(chance: Random, kind: str, domain: str) -> tuple[dict[str, object], int]:
    count = 1 + chance.randrange(12)
    result = chance.choice(_RESULTS[kind])
    detail: dict[str, object] = {"result-type": result}
    if not result.startswith("sts-"):
        host = f"{chance.choice('abcdef')}{1 + chance.randrange(8)}.mx.{domain}"
        detail |= {
            "sending-mta-ip": _address(chance),
            "receiving-mx-hostname": host,
            "receiving-mx-helo": host,
            "receiving-ip": _address(chance),
        }
    detail["failed-session-count"] = count
    if chance.randrange(3) == 0:
        detail["failure-reason-code"] = chance.choice(_REASONS)
    return detail, count


def _address(chance: Random) -> str:
    bits = chance.getrandbits(24)
    if bits & 3 == 0:
        return f"2001:db8:{(bits >> 8) + 1:x}::{(bits & 0xFF) + 1:x}"
    return f"{('192.0.2', '198.51.100', '203.0.113')[bits % 3]}.{1 + (bits >> 8) % 254}"

"""Seeded reports and report mails, the input of every benchmark. The same arguments give the same bytes.

The shapes are those of a real mailbox: a typical report (1.7 KiB of JSON: 2 policies, 3 failures) and a large one
(131 KiB: 20 policies, 500 failures), as JSON, as gzip, and as the mail that carries it, with the two dozen header
lines that a mail has gathered by the time it lies in a mailbox.

    python -m bench.corpus FOLDER --form eml --size typical --count 5000
"""

from __future__ import annotations

import argparse
import base64
import gzip
import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any, NamedTuple

FIRST_DAY = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = 90


class Shape(NamedTuple):
    policies: int
    failures: int


SHAPES = {"typical": Shape(2, 3), "large": Shape(20, 500)}
ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"

STS_FAULTS = (
    ("certificate-expired", "X509_V_ERR_CERT_HAS_EXPIRED"),
    ("certificate-host-mismatch", "X509_V_ERR_HOSTNAME_MISMATCH"),
    ("certificate-not-trusted", None),
    ("starttls-not-supported", None),
    ("validation-failure", "TLS negotiation failed: 403 4.7.0 handshake failure"),
)
TLSA_FAULTS = (
    ("tlsa-invalid", None),
    ("validation-failure", "no matching DANE TLSA records"),
    ("dnssec-invalid", None),
)


class Document(NamedTuple):
    """One report with what its mail is addressed with."""

    report: dict[str, Any]
    domain: str
    sender: str
    day: datetime


def documents(size: str, count: int, *, domains: int = 50, senders: int = 12, seed: int = 1) -> Iterator[Document]:
    """So many reports, over 90 days; a few domains and senders have most of them, as anywhere."""
    rng = random.Random(seed)
    for number in range(count):
        domain = f"ward{int(domains * rng.random() ** 2)}.example"
        sender = f"out{int(senders * rng.random() ** 2)}.example.net"
        day = FIRST_DAY + timedelta(days=number * DAYS // count)
        yield Document(make_report(rng, SHAPES[size], domain, sender, day), domain, sender, day)


def make_report(rng: random.Random, shape: Shape, domain: str, sender: str, day: datetime) -> dict[str, Any]:
    return {
        "organization-name": f"{sender.partition('.')[0].capitalize()} Mail Services",
        "date-range": {"start-datetime": f"{day:%Y-%m-%d}T00:00:00Z", "end-datetime": f"{day:%Y-%m-%d}T23:59:59Z"},
        "contact-info": f"tls-reports@{sender}",
        "report-id": f"{day:%Y%m%d}.{_letters(rng, 16)}@{sender}",
        "policies": [
            _make_entry(rng, number, share, domain, sender)
            for number, share in enumerate(_shares(shape.failures, shape.policies))
        ],
    }


def _shares(total: int, parts: int) -> list[int]:
    """`total` dealt out over `parts`, the first ones getting what is left over."""
    return [total // parts + (part < total % parts) for part in range(parts)]


def _make_entry(rng: random.Random, number: int, failures: int, domain: str, sender: str) -> dict[str, Any]:
    dane = number % 2 == 1
    owner = domain if number < 2 else f"unit{number}.{domain}"
    if dane:
        policy: dict[str, Any] = {
            "policy-type": "tlsa",
            "policy-string": [f"3 1 1 {rng.getrandbits(256):064x}" for _ in range(2)],
            "policy-domain": owner,
        }
    else:
        policy = {
            "policy-type": "sts",
            "policy-string": ["version: STSv1", "mode: enforce", f"mx: *.mail.{owner}", "max_age: 1209600"],
            "policy-domain": owner,
            "mx-host": [f"*.mail.{owner}"],
        }
    rows = [_make_failure(rng, owner, sender, TLSA_FAULTS if dane else STS_FAULTS) for _ in range(failures)]
    entry: dict[str, Any] = {
        "policy": policy,
        "summary": {
            "total-successful-session-count": rng.randrange(2000),
            "total-failure-session-count": sum(row["failed-session-count"] for row in rows),
        },
    }
    return entry | {"failure-details": rows} if rows else entry


def _make_failure(
    rng: random.Random, owner: str, sender: str, faults: tuple[tuple[str, str | None], ...]
) -> dict[str, Any]:
    result_type, reason = rng.choice(faults)
    host = f"in{rng.randrange(1, 30)}.mail.{owner}"
    row: dict[str, Any] = {
        "result-type": result_type,
        "sending-mta-ip": _address(rng),
        "receiving-mx-hostname": host,
        "receiving-ip": _address(rng),
        "failed-session-count": rng.randrange(1, 400),
    }
    if rng.random() < 0.5:
        row["receiving-mx-helo"] = host
    if reason:
        row["failure-reason-code"] = reason
    if rng.random() < 0.15:
        row["additional-information"] = f"https://postmaster.{sender}/tls/{_letters(rng, 8)}"
    return row


def _address(rng: random.Random) -> str:
    """One of the addresses kept for documentation (RFC 5737, RFC 3849)."""
    if rng.random() < 0.4:
        return f"2001:db8:{rng.randrange(65536):x}::{rng.randrange(1, 65536):x}"
    return f"{rng.choice(('192.0.2', '198.51.100', '203.0.113'))}.{rng.randrange(1, 255)}"


def _letters(rng: random.Random, count: int) -> str:
    return "".join(rng.choices(ALPHABET, k=count))


def as_json(document: Document) -> bytes:
    return json.dumps(document.report, separators=(",", ":")).encode()


def as_gzip(document: Document) -> bytes:
    return gzip.compress(as_json(document), mtime=0)


def as_mail(document: Document, seed: int = 0) -> bytes:
    """The report as RFC 8460 section 5.3 has it mailed, lying in a mailbox: LF line ends, trace headers on top."""
    report, domain, sender, day = document
    rng = random.Random(f"{seed} {report['report-id']}")
    sent = format_datetime(day + timedelta(days=1, minutes=rng.randrange(5, 600)))
    start = int(day.timestamp())
    name = f"{sender}!{domain}!{start}!{start + 86399}!{_letters(rng, 4)}.json.gz"
    boundary = f"=_report_{_letters(rng, 24)}"
    lines = [
        *_trace(rng, domain, sender, sent),
        f"Date: {sent}",
        f"From: TLS reporting <tls-reports@{sender}>",
        f"To: tls@{domain}",
        f"Subject: Report Domain: {domain} Submitter: {sender}",
        f" Report-ID: <{report['report-id']}>",
        f"Message-ID: <{_letters(rng, 20)}@{sender}>",
        "MIME-Version: 1.0",
        "TLS-Required: No",
        f"TLS-Report-Domain: {domain}",
        f"TLS-Report-Submitter: {sender}",
        f'Content-Type: multipart/report; report-type="tlsrpt"; boundary="{boundary}"',
        "",
        "This is a message in MIME format.",
        f"--{boundary}",
        "Content-Type: text/plain; charset=utf-8",
        "",
        f"Attached is the TLS report of {sender} about mail to {domain}.",
        f"--{boundary}",
        f'Content-Type: application/tlsrpt+gzip; name="{name}"',
        f'Content-Disposition: attachment; filename="{name}"',
        "Content-Transfer-Encoding: base64",
        "",
        *base64.encodebytes(as_gzip(document)).decode().splitlines(),
        f"--{boundary}--",
        "",
    ]
    return "\n".join(lines).encode()


def _trace(rng: random.Random, domain: str, sender: str, sent: str) -> list[str]:
    """What the way here put on top: return path, hops, verdicts, signatures."""
    return [
        f"Return-Path: <bounces@{sender}>",
        f"Delivered-To: tls@{domain}",
        f"Received: from in1.mail.{domain} ([192.0.2.10])",
        f"\tby store.{domain} with LMTP id {_letters(rng, 16)}",
        f"\t(envelope-from <bounces@{sender}>); {sent}",
        f"Received: from relay.{sender} (relay.{sender} [198.51.100.{rng.randrange(1, 255)}])",
        "\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits))",
        f"\tby in1.mail.{domain} with ESMTPS id {_letters(rng, 12)}; {sent}",
        f"Authentication-Results: in1.mail.{domain}; dkim=pass header.d={sender};",
        f"\tspf=pass smtp.mailfrom=bounces@{sender}",
        *_signature(rng, "ARC-Message-Signature: i=1; ", sender),
        *_signature(rng, "DKIM-Signature: v=1; ", sender),
        f"X-Spam-Score: -{rng.random():.1f}",
        f"X-Spam-Report: {_letters(rng, 60)}",
        f"X-Queue-Trace: {_letters(rng, 60)}",
    ]


def _signature(rng: random.Random, start: str, sender: str) -> list[str]:
    value = base64.b64encode(rng.randbytes(256)).decode()
    return [
        f"{start}a=rsa-sha256; c=relaxed/simple; d={sender}; s=k1; h=from:to:subject:",
        f"\tdate:message-id:tls-report-domain:tls-report-submitter; bh={base64.b64encode(rng.randbytes(32)).decode()};",
        *(f"\t{'b=' if at == 0 else ''}{value[at : at + 72]}" for at in range(0, len(value), 72)),
    ]


FORMS = {"json": as_json, "json.gz": as_gzip, "eml": as_mail}


def write(folder: Path, *, form: str, size: str, count: int, seed: int = 1) -> int:
    """Write a corpus, one file per report; return its bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    total = 0
    for number, document in enumerate(documents(size, count, seed=seed)):
        total += (folder / f"{number:06}.{form}").write_bytes(FORMS[form](document))
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a seeded corpus of TLS reports.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--form", choices=FORMS, default="eml")
    parser.add_argument("--size", choices=SHAPES, default="typical")
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    total = write(asked.folder, form=asked.form, size=asked.size, count=asked.count, seed=asked.seed)
    print(f"{asked.count} reports, {total:,} bytes")


if __name__ == "__main__":
    main()

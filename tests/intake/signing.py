"""Signed report mails, made with dkimpy: its own signing, and any tags a test wants. Keys are made once a run."""

from __future__ import annotations

import base64
import hashlib
import re
import time
from collections.abc import Sequence
from functools import cache
from typing import Any

import dkim
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from dkim.canonicalization import CanonicalizationPolicy

NOW = 1_772_452_800  # 2026-03-02 12:00 UTC
COVERED = ("from", "to", "subject", "date", "message-id", "content-type", "tls-report-domain", "tls-report-submitter")
MAIL = b"""\
From: TLS reporting <tls-reports@sender.example>
To: tls@ward.example
Subject: Report Domain: ward.example Submitter: sender.example
 Report-ID: <2026-03-01.7@sender.example>
Date: Mon, 02 Mar 2026 03:00:00 +0000
Message-ID: <7@sender.example>
MIME-Version: 1.0
TLS-Report-Domain: ward.example
TLS-Report-Submitter: sender.example
Content-Type: multipart/report; report-type="tlsrpt";
\tboundary="=_x"

--=_x
Content-Type: text/plain

A report.  With two blanks, and one at the end of this line:\x20
--=_x
Content-Type: application/tlsrpt+json

{"report-id": "7"}

--=_x--


""".replace(b"\n", b"\r\n")


@cache
def rsa_key(bits: int = 1024) -> RSAPrivateKey:
    return generate_private_key(65537, bits)


@cache
def ed25519_key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


Private = RSAPrivateKey | Ed25519PrivateKey


def record(key: Private | None = None, *, tags: str = "v=DKIM1; ") -> bytes:
    """The key record, with these tags in front."""
    key = key or rsa_key()
    if isinstance(key, Ed25519PrivateKey):
        public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        tags += "k=ed25519; "
    else:
        public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"{tags}p={base64.b64encode(public).decode()}".encode()


def sign(
    mail: bytes = MAIL,
    *,
    domain: str = "sender.example",
    selector: str = "s1",
    key: Private | None = None,
    form: str = "relaxed/relaxed",
    covered: Sequence[str] = COVERED,
    **tags: str | None,
) -> bytes:
    """The mail with a signature on top. `tags` adds tags (`x="1"`), replaces them, or with None leaves one out."""
    key = key or rsa_key()
    is_rsa = isinstance(key, RSAPrivateKey)
    signer = dkim.DKIM(mail, signature_algorithm=b"rsa-sha256" if is_rsa else b"ed25519-sha256")
    signer.hasher = hashlib.sha256
    canonical = CanonicalizationPolicy.from_c_value(form.encode())
    body = canonical.canonicalize_body(signer.body)
    if "l" in tags and tags["l"] is not None and tags["l"].isdigit():
        body = body[: int(tags["l"])]
    values: dict[str, str | None] = {
        "v": "1",
        "a": "rsa-sha256" if is_rsa else "ed25519-sha256",
        "c": form,
        "d": domain,
        "s": selector,
        "t": str(NOW - 600),
        "h": " : ".join(covered),
        "bh": base64.b64encode(hashlib.sha256(body).digest()).decode(),
        **tags,
        "b": "0" * 60,
    }
    fields = [(name.encode(), value.encode()) for name, value in values.items() if value is not None]
    names = [name.encode() for name in covered]
    value = signer.gen_header(fields, names, canonical, b"DKIM-Signature", _private(key))
    return b"DKIM-Signature: " + bytes(value) + mail


class _Ed25519:
    """What dkimpy wants of PyNaCl."""

    def sign(self, digest: bytes) -> Any:
        self.signature = ed25519_key().sign(digest)
        return self


def _private(key: Private) -> Any:
    if isinstance(key, Ed25519PrivateKey):
        return _Ed25519()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    return dkim.parse_pem_private_key(pem)


def dkimpy_says(message: bytes, key_record: bytes) -> bool:
    """Whether dkimpy holds the first signature for good; what it can't read is not."""
    try:
        return bool(dkim.DKIM(message, tlsrpt=True).verify(dnsfunc=lambda name, timeout=5: key_record))
    except (dkim.DKIMException, IndexError, ValueError, AssertionError):
        return False


def at_once(mail: bytes) -> bytes:
    """The mail signed now, by dkimpy's own `sign`; for what looks at the clock."""
    pem = rsa_key().private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    assert time.time() > NOW
    return bytes(dkim.sign(mail, b"s1", b"sender.example", pem, include_headers=list(COVERED))) + mail


def with_line_feeds(mail: bytes) -> bytes:
    """As in a Maildir."""
    return mail.replace(b"\r\n", b"\n")


def replaced(mail: bytes, pattern: bytes, by: bytes) -> bytes:
    """The mail with one place changed, which must be there."""
    changed, count = re.subn(pattern, by, mail, count=1)
    assert count == 1
    return changed

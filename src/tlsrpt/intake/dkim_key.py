"""The key record at `selector._domainkey.domain` (RFC 6376 section 3.6.1, RFC 8463): text in, a key or why it is none.

RFC 8460 gives keys the service type `tlsrpt`. No sender was seen to use it (F-06), so that a key for all services is
taken as well; one whose list names neither is not for reports (A-10).
"""

from __future__ import annotations

from functools import lru_cache

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key
from msgspec import Struct

from tlsrpt.core.text import printable
from tlsrpt.intake.dkim_signature import Claim, InvalidError, Kind, decode_base64, read_tags

_KEPT_KEYS = 1_024
_LONGEST_RECORD = 4_096
_LEAST_BITS, _MOST_BITS = 1024, 8192  # RFC 8301 section 3.2: shorter ones are void; longer ones only make us work
_MOST_EXPONENT = 2**32
_PADDING, _HASHED = PKCS1v15(), Prehashed(SHA256())


class Key(Struct, frozen=True):
    """A public key that can be used."""

    kind: Kind
    public: RSAPublicKey | Ed25519PublicKey
    own_name_only: bool  # t=s: the domain of i= must be d= itself

    def fault_of(self, claim: Claim) -> str:
        """Why it does not make this signature hold; "" where it does."""
        if self.kind != claim.kind:
            return f"the key is for {self.kind}, the signature is {claim.kind}"
        if self.own_name_only and claim.identity != claim.domain:
            return "the key is not for subdomains (t=s)"
        try:
            if isinstance(self.public, Ed25519PublicKey):
                self.public.verify(claim.signature, claim.digest)
            else:
                self.public.verify(claim.signature, claim.digest, _PADDING, _HASHED)
        except InvalidSignature:
            return "signed header fields were changed on the way, or another key signed"
        return ""


def read_key(record: bytes) -> Key | str:
    """A key record's key, or in words why it can't be used. Never raises, whatever the bytes are."""
    if len(record) > _LONGEST_RECORD:
        return f"the key record has {len(record):,} bytes"
    return _read(record)


@lru_cache(_KEPT_KEYS)  # to parse one takes as long as to verify a signature; DNS answers are kept by the resolver
def _read(record: bytes) -> Key | str:
    try:
        tags = read_tags(record)
    except InvalidError:
        return f"no key record: {_shown(record)}"
    if tags.get(b"v", b"DKIM1") != b"DKIM1" or b"p" not in tags:
        return f"no key record: {_shown(record)}"
    if not tags[b"p"]:
        return "the key was revoked (p= is empty)"
    if b"h" in tags and b"sha256" not in _listed(tags[b"h"]):
        return f"the key is not for SHA-256 (h={_shown(tags[b'h'])})"
    services = _listed(tags.get(b"s", b"*"))
    if b"*" not in services and b"tlsrpt" not in services:
        return f"the key is for other services than tlsrpt (s={_shown(tags[b's'])})"
    material = decode_base64(tags[b"p"])
    if material is None:
        return "the key is no base64 (p=)"
    own_name_only = b"s" in _listed(tags.get(b"t", b""))
    match tags.get(b"k", b"rsa").lower():
        case b"rsa":
            return _rsa(material, own_name_only)
        case b"ed25519":
            return _ed25519(material, own_name_only)
        case other:
            return f"the key is of a kind that is not known: {_shown(other)} (k=)"


def _rsa(material: bytes, own_name_only: bool) -> Key | str:
    try:
        public = load_der_public_key(material)  # SubjectPublicKeyInfo as in practice, or the RFC's bare RSAPublicKey
    except (ValueError, UnsupportedAlgorithm):
        return "the key can't be read (p=)"
    if not isinstance(public, RSAPublicKey):
        return "the key is no RSA key (p=)"
    bits = public.key_size
    if bits < _LEAST_BITS:
        return f"the key is too short: {bits} bits (RFC 8301: {_LEAST_BITS} at least)"
    if bits > _MOST_BITS or public.public_numbers().e > _MOST_EXPONENT:
        return f"the key is too large: {bits} bits"
    return Key("rsa", public, own_name_only)


def _ed25519(material: bytes, own_name_only: bool) -> Key | str:
    try:
        return Key("ed25519", Ed25519PublicKey.from_public_bytes(material), own_name_only)
    except ValueError:
        return "the key is no Ed25519 key (p=)"


def _listed(value: bytes) -> list[bytes]:
    return [each.strip().lower() for each in value.split(b":")]


def _shown(value: bytes) -> str:
    return printable(value.decode("utf-8", "replace"), 60)

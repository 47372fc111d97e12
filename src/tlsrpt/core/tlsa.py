"""TLSA records of MX hosts (RFC 6698, RFC 7671, RFC 7672): parse, lint, make, and what a record says of a certificate.

A record reads `usage selector matching data`. For mail, usage 3 (this very key) and 2 (this issuer) work; 0 and 1 are
not usable. Senders that do DANE deliver only where one record matches: a wrong record is worse than none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import sha256, sha512
from typing import TYPE_CHECKING

from msgspec import Struct

from tlsrpt.core.errors import TlsrptError
from tlsrpt.core.findings import Finding
from tlsrpt.core.text import printable
from tlsrpt.core.txtrecord import Notes, lowered, sorted_findings
from tlsrpt.core.verdict import Lint, as_text, judge
from tlsrpt.core.zonetext import parse_zone_text

if TYPE_CHECKING:
    from cryptography import x509

PORT_LABEL = "_25._tcp"
MAX_DATA = 65_532  # octets behind usage, selector and matching type in one record
DIGEST_OCTETS = {1: 32, 2: 64}  # SHA-256, SHA-512
_DIGEST_NAMES = {0: "the whole of it", 1: "SHA-256", 2: "SHA-512"}
_SELECTOR_NAMES = {0: "certificate", 1: "public key"}
_USAGE_NAMES = {"PKIX-TA": 0, "PKIX-EE": 1, "DANE-TA": 2, "DANE-EE": 3}  # RFC 7218
_SELECTOR_WORDS = {"CERT": 0, "SPKI": 1}
_MATCHING_WORDS = {"FULL": 0, "SHA2-256": 1, "SHA2-512": 2, "SHA-256": 1, "SHA-512": 2}
# What a script that failed to read the certificate hashes instead (D-51).
_OF_NOTHING = {digest(text).hexdigest(): what for digest in (sha256, sha512) for text, what in (
    (b"", "zero octets"), (b"\n", "an empty line"))}  # fmt: skip
_TEMPLATE = "3 1 1 <SHA-256 of the certificate's public key>"
_MAKE = "tlsrpt tlsa make CERTIFICATE writes it"


class CertificateError(TlsrptError):
    """A file that holds no certificate, or no key, where one is needed."""


class Tlsa(Struct, frozen=True, kw_only=True, order=True):
    """One TLSA record whose fields are in bounds and whose data fits the matching type."""

    usage: int
    selector: int
    matching: int
    data: bytes

    def __str__(self) -> str:
        return f"{self.usage} {self.selector} {self.matching} {self.data.hex()}"

    @property
    def usable(self) -> bool:
        """Whether SMTP senders can use it: usages 0 and 1 they treat as unusable (T-09)."""
        return self.usage in (2, 3)


def make_tlsa(usage: int, selector: int, matching: int, data: bytes) -> Tlsa | None:
    """The record, or None where it is malformed and so unusable (T-08)."""
    if usage not in range(4) or selector not in (0, 1) or matching not in (0, 1, 2):
        return None
    if len(data) != DIGEST_OCTETS[matching] if matching else not _is_der(data):
        return None
    return Tlsa(usage=usage, selector=selector, matching=matching, data=data)


def parse_tlsa(text: str) -> Tlsa | None:
    """Read the data of one record as zone files and `dig` write it; None where it is malformed."""
    words = [string.data.decode("latin-1") for string in parse_zone_text(text, "TLSA").strings]
    if len(words) < 4 or not all(word.isascii() and word.isdecimal() and len(word) < 4 for word in words[:3]):
        return None
    try:
        data = bytes.fromhex("".join(words[3:]))
    except ValueError:
        return None
    return make_tlsa(int(words[0]), int(words[1]), int(words[2]), data)


def owner_name(host: str) -> str:
    """Where the records of an MX host belong (T-02)."""
    return f"{PORT_LABEL}.{host}"


def matches(record: Tlsa, certificate: bytes, public_key: bytes) -> bool:
    """Whether a record matches a certificate: its DER, and the DER of its SubjectPublicKeyInfo."""
    chosen = public_key if record.selector else certificate
    if record.matching:
        chosen = (sha256 if record.matching == 1 else sha512)(chosen).digest()
    return chosen == record.data


def _is_der(data: bytes) -> bool:
    """Whether octets can be a certificate or a public key: one DER SEQUENCE, its length fitting."""
    if len(data) < 2 or len(data) > MAX_DATA or data[0] != 0x30:
        return False
    if data[1] < 0x80:
        return len(data) == 2 + data[1]
    size = data[1] & 0x7F
    return 0 < size <= 3 and len(data) == 2 + size + int.from_bytes(data[2 : 2 + size], "big")


# --- from a certificate ----------------------------------------------------------------------------------------------


def certificate_key(data: bytes) -> bytes:
    """The SubjectPublicKeyInfo (DER) of the first certificate in a PEM or DER file, as the mail server sends it.

    Raises:
        CertificateError: it holds no certificate.
    """
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return _certificate(data).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _certificate(data: bytes) -> x509.Certificate:
    from cryptography import x509

    try:
        if b"-----BEGIN" not in data:
            return x509.load_der_x509_certificate(data)
        return x509.load_pem_x509_certificate(data)
    except (ValueError, TypeError) as error:
        raise CertificateError(
            "no certificate in it" if _is_text(data) else "neither PEM nor DER holds a certificate",
            fix="name the certificate that the mail server sends, such as fullchain.pem",
        ) from error


def _is_text(data: bytes) -> bool:
    return b"-----BEGIN" in data


def public_key(data: bytes) -> bytes:
    """The SubjectPublicKeyInfo (DER) of a certificate, a signing request, a public or an unencrypted private key.

    Raises:
        CertificateError: it holds none of them.
    """
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization as form

    def private(octets: bytes) -> bytes:
        load = form.load_pem_private_key if _is_text(octets) else form.load_der_private_key
        return _spki(load(octets, None).public_key())

    def public(octets: bytes) -> bytes:
        load = form.load_pem_public_key if _is_text(octets) else form.load_der_public_key
        return _spki(load(octets))

    def request(octets: bytes) -> bytes:
        load = x509.load_pem_x509_csr if _is_text(octets) else x509.load_der_x509_csr
        return _spki(load(octets).public_key())

    for read in (certificate_key, private, public, request):
        try:
            return read(data)
        except (CertificateError, ValueError, TypeError, UnsupportedAlgorithm):
            continue  # the next kind
    raise CertificateError(
        "no certificate, key or signing request that can be read",
        fix="name a PEM or DER file; an encrypted key must be decrypted first",
    )


def _spki(key: object) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    octets: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]
    return octets


def key_record(spki: bytes) -> Tlsa:
    """`3 1 1` of a public key: it stays right over renewals that keep the key (T-18)."""
    return Tlsa(usage=3, selector=1, matching=1, data=sha256(spki).digest())


# --- lint ------------------------------------------------------------------------------------------------------------


def lint_tlsa(texts: Sequence[str], *, owner: str | None = None) -> Lint:
    """Say everything that is wrong with one RRset of TLSA records, as far as it shows without the certificate.

    Args:
        texts: one record each, `3 1 1 <hex>`, with or without owner, TTL, class and type before it; a text of several
            lines holds several records, unless brackets join the lines.
        owner: the name that the records stand at, where it is known otherwise.
    Returns:
        One Lint; its input is the single records, and `corrected` has one record a line, with `<...>` where only the
        certificate tells the value.
    Source: RFC 6698, 7671, 7672; T-01 to T-18; field-notes-domains.md D-50 to D-57.
    """
    split = _split(texts)
    records = [_Reading(text, number) for number, text in enumerate(split, 1)]
    for record in records:
        record.read(owner)
    usable = any(record.counts for record in records)
    misplaced = any(record.misplaced for record in records)
    findings = [finding for record in records for finding in record.notes.findings]
    if usable and not misplaced:  # beside a usable record the others cost nothing (T-10)
        findings = lowered(findings)
    findings += _together(records, usable)
    ordered = sorted_findings(findings)
    verdict = judge(usable and not misplaced, ordered)
    corrected = "\n".join(dict.fromkeys(record.corrected for record in records)) or _TEMPLATE
    return Lint(
        input=tuple(map(as_text, split)),
        verdict=verdict,
        findings=ordered,
        corrected=None if verdict == "ok" else corrected,
        form="tlsa",
    )


def _split(texts: Sequence[str]) -> list[str]:
    """The records in texts of one or more lines; brackets join lines, and what `dig` comments is left out."""
    split: list[str] = []
    for text in texts:
        found, open_line = [], ""
        for line in text.splitlines():
            open_line = f"{open_line}\n{line}" if open_line else line
            if open_line.count("(") <= open_line.count(")"):
                found.append(open_line)
                open_line = ""
        found += [open_line] if open_line else []
        split += [line for line in found if line.strip() and not line.startswith(";")] or [text]
    return split


def _together(records: list[_Reading], usable: bool) -> list[Finding]:
    """What only shows over the whole RRset."""
    findings = []
    if not records:
        findings.append(_whole("record-missing", "error", "no TLSA record", "No DANE for this host.", _TEMPLATE))
    elif not usable and any(record.unusable for record in records):
        findings.append(
            _whole(
                "none-usable",
                "error",
                "no record of the set is usable",
                "Senders that do DANE then ask for TLS without authentication (RFC 7672), and mox reports "
                "tlsa-invalid.",
                f"publish {_TEMPLATE}; {_MAKE}",
            )
        )
    kinds = {
        (record.tlsa.usage, record.tlsa.selector) for record in records if record.tlsa and record.tlsa.matching == 2
    }
    weaker = [r.tlsa for r in records if r.tlsa and r.tlsa.matching == 1 and (r.tlsa.usage, r.tlsa.selector) in kinds]
    if weaker:
        findings.append(
            _whole(
                "digests-mixed",
                "info",
                f"SHA-256 and SHA-512 side by side for {weaker[0].usage} {weaker[0].selector}",
                "Senders drop the weaker digest (RFC 7671, digest agility): each key needs its SHA-512 too.",
                "use SHA-256 alone, for every key",
            )
        )
    return findings


def _whole(code: str, severity: str, message: str, consequence: str, fix: str) -> Finding:
    return Finding(
        code=code,
        severity="error" if severity == "error" else "info",
        where="all records",
        message=message,
        consequence=consequence,
        fix=fix,
    )


class _Reading:
    """One record as written: its value, what is wrong with it, and what it should be."""

    def __init__(self, text: str, number: int) -> None:
        self.text = text
        self.notes = Notes(number)
        self.tlsa: Tlsa | None = None
        self.corrected = _TEMPLATE
        self.misplaced = False
        self._words: list[tuple[str, int]] = []

    @property
    def counts(self) -> bool:
        """Whether senders use it, as it is written."""
        return self.tlsa is not None and self.tlsa.usable and not self.notes.has_errors()

    @property
    def unusable(self) -> bool:
        """Whether it is a record that senders see and can't use, rather than a text that no server takes."""
        return not self.misplaced and not self.counts

    def error(self, code: str, at: int, message: str, consequence: str, fix: str) -> None:
        self.notes.add(code, at, message, consequence, fix)

    def warning(self, code: str, at: int, message: str, consequence: str, fix: str) -> None:
        self.notes.add(code, at, message, consequence, fix, severity="warning")

    def read(self, owner: str | None) -> None:
        if len(self.text) > 4 * MAX_DATA:
            self.error("record-too-long", 0, "longer than any record can be", "No server takes it.", _TEMPLATE)
            return
        record = parse_zone_text(self.text, "TLSA")
        self._owner(owner or record.owner)
        if record.rtype not in (None, "TLSA"):
            self.error(
                "wrong-type", 0, f"a record of type {record.rtype}", "Senders ask for TLSA.", "publish it as TLSA"
            )
        if any(string.quoted for string in record.strings):
            self.error("quotes-in-value", 0, "quotes around the value", "No server takes it.", "take them out")
        self._words = [
            (word, string.start + match.start())
            for string in record.strings
            for match in re.finditer(r"\S+", string.data.decode("utf-8", "replace"))
            if (word := match[0])
        ]
        if self._words[:1] and self._words[0][0] == "#":
            self._generic()
        self._fields()

    def _owner(self, owner: str | None) -> None:
        name = (owner or "").lower()
        if name == PORT_LABEL or name.startswith(f"{PORT_LABEL}.") or not name:
            return
        self.misplaced = True
        port = re.match(r"_([0-9]+)\._tcp", name)
        self.error(
            "wrong-port" if port and port[1] != "25" else "wrong-name",
            0,
            f"the record stands at {printable(owner or '', 80)}",
            "Delivery to MX hosts looks at port 25 alone: this record plays no part in it.",
            f"publish it at {PORT_LABEL}.<MX host>",
        )

    def _generic(self) -> None:
        r"""`\# 35 03 01 01 ...` (RFC 3597): the octets of the record in hexadecimal."""
        octets = "".join(word for word, _ in self._words[2:])
        at = self._words[0][1]
        if re.fullmatch(r"(?:[0-9A-Fa-f]{2}){4,}", octets):
            head = bytes.fromhex(octets[:6])
            self._words = [*((str(octet), at) for octet in head), (octets[6:], at)]

    def _fields(self) -> None:
        numbers = [self._number(index) for index in range(3)]
        if len(self._words) < 4:
            self.error(
                "field-missing",
                len(self.text),
                f"{len(self._words)} of the 4 fields: usage, selector, matching type, data",
                "No server takes it.",
                f"write {_TEMPLATE}; {_MAKE}",
            )
            return
        usage, selector, matching = numbers
        data = self._data(matching)
        if usage is None or selector is None or matching is None:
            return
        known = usage in range(4) and selector in (0, 1) and matching in (0, 1, 2)
        if not known:
            self._out_of_range(usage, selector, matching)
            return
        self._usage(usage)
        right_usage = {0: 2, 1: 3}.get(usage, usage)
        if data is not None:
            matching = self._length(matching, data)
            self.tlsa = make_tlsa(usage, selector, matching, data) if matching is not None else None
        if self.tlsa:
            self._nothing(self.tlsa)
            self._whole_certificate(self.tlsa)
            if self.tlsa.data.hex() not in _OF_NOTHING and (right_usage, selector) != (3, 0):
                self.corrected = f"{right_usage} {selector} {matching} {self.tlsa.data.hex()}"
            return
        what = "issuer's " if right_usage == 2 else ""
        self.corrected = f"{right_usage} 1 1 <SHA-256 of the {what}public key, 64 hexadecimal digits>"

    def _number(self, index: int) -> int | None:
        if index >= len(self._words):
            return None
        word, at = self._words[index]
        if re.fullmatch(r"[0-9]{1,3}", word):
            return int(word)
        name, words = (
            ("usage", _USAGE_NAMES),
            ("selector", _SELECTOR_WORDS),
            ("matching type", _MATCHING_WORDS),
        )[index]
        value = words.get(word.upper())
        self.error(
            "field-no-number",
            at,
            f"{name} is {printable(word, 20)}, no number",
            "Not every server takes it.",
            f"write {value}" if value is not None else "write 3 1 1, and then the digest",
        )
        return value

    def _out_of_range(self, usage: int, selector: int, matching: int) -> None:
        for name, value, top, index in (
            ("usage", usage, 3, 0),
            ("selector", selector, 1, 1),
            ("matching type", matching, 2, 2),
        ):
            if value > top:
                self.error(
                    f"{name.split()[0]}-unknown",
                    self._words[index][1],
                    f"{name} {value}; known are 0 to {top}",
                    "The record is unusable: senders leave it out.",
                    f"write {_TEMPLATE}; {_MAKE}",
                )

    def _data(self, matching: int | None) -> bytes | None:
        text = "".join(word for word, _ in self._words[3:])
        at = self._words[3][1]
        plain = re.sub(r"^(?:sha-?(?:256|512)[:=])?(?:0x)?", "", text, flags=re.IGNORECASE)
        plain = plain.replace(":", "")
        if re.fullmatch(r"(?:[0-9A-Fa-f]{2})+", plain):
            if plain != text:
                self.error(
                    "data-punctuation", at, "the data holds more than hexadecimal digits", "No server takes it.",
                    f"write {plain.lower()[:130]}",
                )  # fmt: skip
            return bytes.fromhex(plain)
        odd = re.fullmatch(r"[0-9A-Fa-f]+", plain)
        wrong = re.search(r"[^0-9A-Fa-f]", plain)
        self.error(
            "data-odd-length" if odd else "data-not-hexadecimal",
            at,
            f"{len(plain)} hexadecimal digits, an odd number"
            if odd
            else f"{printable(wrong[0]) if wrong else 'nothing'} is no hexadecimal digit",
            "No server takes it.",
            f"{_digits(matching)}; {_MAKE}",
        )
        return None

    def _usage(self, usage: int) -> None:
        if usage < 2:
            self.error(
                "usage-pkix",
                self._words[0][1],
                f"usage {usage} (PKIX) is not usable for mail",
                "Senders leave the record out: mail servers have no list of CAs that they agree on.",
                "write usage 3 for the host's own key" if usage else "write usage 2 for the issuer's key",
            )

    def _length(self, matching: int, data: bytes) -> int | None:
        """The matching type that the data fits; None where it fits none."""
        at = self._words[3][1]
        if matching == 0 and not _is_der(data):
            self.error(
                "data-not-der",
                at,
                "matching type 0 wants the whole certificate or key, and this is none",
                "The record is unusable: senders leave it out.",
                f"write {_TEMPLATE}; {_MAKE}",
            )
            return next((kind for kind, octets in DIGEST_OCTETS.items() if octets == len(data)), None)
        if matching and len(data) != DIGEST_OCTETS[matching]:
            fitting = next((kind for kind, octets in DIGEST_OCTETS.items() if octets == len(data)), None)
            sha1 = " (as many as SHA-1 has, which TLSA does not know)" if len(data) == 20 else ""
            self.error(
                "length-does-not-fit-type",
                at,
                f"{2 * len(data)} hexadecimal digits{sha1}; "
                f"{_DIGEST_NAMES[matching]} has {2 * DIGEST_OCTETS[matching]}",
                "The record is unusable: senders leave it out.",
                f"write matching type {fitting}, which has this length" if fitting else f"{_digits(matching)}; {_MAKE}",
            )
            return fitting
        return matching

    def _nothing(self, record: Tlsa) -> None:
        what = _OF_NOTHING.get(record.data.hex())
        if what and record.matching:
            name = _DIGEST_NAMES[record.matching]
            self.corrected = f"{max(record.usage, 2)} 1 {record.matching} <{name} of the certificate's public key>"
            self.warning(
                "hash-of-nothing",
                self._words[3][1],
                f"this is the {name} of {what}: a script read no certificate and hashed nothing",
                "It matches no certificate. Unless another record of the set does, senders that do DANE refuse to "
                "deliver.",
                f"write {self.corrected}; {_MAKE}",
            )

    def _whole_certificate(self, record: Tlsa) -> None:
        if (record.usage, record.selector) not in ((3, 0), (1, 0)):
            return
        self.corrected = "3 1 1 <SHA-256 of the public key>"
        self.warning(
            "full-certificate-hash",
            self._words[1][1],
            "selector 0 names the whole certificate",
            "It no longer matches after every renewal, even one that keeps the key; senders that do DANE then refuse "
            "to deliver.",
            f"write {self.corrected}; {_MAKE}",
        )


def _digits(matching: int | None) -> str:
    return f"write {2 * DIGEST_OCTETS.get(matching or 1, 32)} hexadecimal digits"

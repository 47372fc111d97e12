"""The DKIM signatures of a message: taken apart, and what each covers hashed (RFC 6376 sections 3.4 to 3.7). No keys.

Written anew and held against dkimpy in the tests, because dkimpy can't be handed what strangers send: a body line of
40,000 blanks keeps it busy for four seconds and one of a megabyte for an hour, and it takes for a header field what the
door takes for the begin of the body. A report put in front of somebody else's signed mail would so be proven by it.
Everything here is linear in the bytes given, and a head that can be read in two ways holds no signature.
"""

from __future__ import annotations

import binascii
import hashlib
import re
from collections import Counter
from datetime import UTC, datetime
from email.utils import mktime_tz, parsedate_tz
from typing import Literal

from msgspec import Struct

from tlsrpt.core.domain import Domain, parse_domain
from tlsrpt.core.errors import DomainError
from tlsrpt.core.text import printable

Kind = Literal["rsa", "ed25519"]
RawField = tuple[bytes, bytes, bytes]  # name with the blanks behind it, colon, value; line ends LF, the last one off

MOST_SIGNATURES = 5  # are looked at, from the top; the rest could only make us work
LONGEST_HEAD = 262_144  # as far as the door reads one
_MOST_FIELDS = 1_000
_LONGEST_SIGNATURE = 16_384
_LONGEST_DATE = 200
_PIECE = 1024 * 1024

_BETWEEN_FIELDS = re.compile(rb"\n(?![ \t])")
# A line that begins with `--` or `{` ends the head for the door (`core.mime`), so it may not be a field here.
_NAMES = re.compile(rb"(?:(?!--|\{)[!-9;-~]++[ \t]*+:)++")
_SIGNED = re.compile(rb"^dkim-signature[ \t]*+:", re.MULTILINE | re.IGNORECASE)
# The door reads the first of each, a signature covers the last: with two of them they would speak of different mails.
_ONCE = frozenset({b"from", b"content-type", b"content-transfer-encoding", b"content-disposition"})
# RFC 6376 section 3.7: the value of b= goes, with all blanks around it.
_B_VALUE = re.compile(rb"(;[ \t\n]*+b[ \t\n]*+=)[^;]*+")
_TAG_NAME = re.compile(rb"[A-Za-z][A-Za-z0-9_]*")
_BLANKS = b" \t"
_FOLDING = b" \t\r\n"
_CANONICAL = ("simple", "relaxed")
_ALGORITHMS: dict[bytes, Kind] = {b"rsa-sha256": "rsa", b"ed25519-sha256": "ed25519"}  # RFC 8301, RFC 8463


class InvalidError(Exception):
    """Why a signature, or all of a message, can't hold: one line."""


class Claim(Struct, frozen=True, kw_only=True):
    """A signature as far as it can be judged without its key."""

    domain: str  # d=, lower-case A-labels; "" where it can't be read
    selector: str  # s=
    fault: str = ""  # why no key could make it hold; then the rest says nothing
    kind: Kind = "rsa"
    digest: bytes = b""  # SHA-256 of the signed header fields, the hash of the body among them
    signature: bytes = b""
    identity: str = ""  # domain of i=
    signed: frozenset[str] = frozenset()  # fields that it covers wherever they occur, lower case
    has_length: bool = False  # has an l= (which covers all of the body, or this would be a fault)


class Mail:
    """A message as a verifier sees it: its fields, its body, and the hashes of that as they are asked for."""

    def __init__(self, fields: list[RawField], names: list[bytes], data: bytes, body_at: int) -> None:
        self.fields = fields
        self.names = names  # lower case
        self.data, self.body_at = data, body_at
        self._hashes: dict[str, tuple[bytes, int]] = {}

    def values(self, name: bytes) -> list[bytes]:
        """The values of the fields of a (lower-case) name, from the top."""
        return [self.fields[at][2] for at, each in enumerate(self.names) if each == name]

    def body_hash(self, canonical: str) -> tuple[bytes, int]:
        """SHA-256 of the canonical body, and its length."""
        known = self._hashes.get(canonical)
        if known is None:
            body = _line_feeds(self.data[self.body_at :])
            known = self._hashes[canonical] = _hash(canonical_body(body, canonical))
        return known

    def received_at(self) -> float | None:
        """When our own mail system took it, in Unix seconds: what the topmost Received field says."""
        received = self.values(b"received")[:1]
        stamp = received[0].rpartition(b";")[2][:_LONGEST_DATE].decode("latin-1") if received else ""
        try:
            parsed = parsedate_tz(stamp)
            return None if parsed is None else float(mktime_tz(parsed))
        except (TypeError, ValueError, IndexError, OverflowError):
            return None


def read_mail(message: bytes) -> Mail:
    """Part a message into fields and body. Line ends LF or CRLF; an mbox `From ` line in front is left out.

    Raises:
        InvalidError: head and body can't be told apart beyond doubt.
    """
    data = message.lstrip(b"\xef\xbb\xbf\r\n")  # as the door does
    if data.startswith(b"From "):
        data = data[data.find(b"\n") + 1 :]
    end, body_at = _head_end(data)
    if end < 0 and len(data) > LONGEST_HEAD:
        raise InvalidError(f"its head is larger than {LONGEST_HEAD:,} bytes")
    head = _line_feeds(data[: end + 1] if end >= 0 else data.removesuffix(b"\n") + b"\n")[:-1]
    fields: list[RawField] = [line.partition(b":") for line in _BETWEEN_FIELDS.split(head)]
    if len(fields) > _MOST_FIELDS:
        raise InvalidError(f"its head has more than {_MOST_FIELDS:,} fields")
    names = b"".join([name + colon for name, colon, _ in fields]).lower()
    if names.count(b":") != len(fields) or not _NAMES.fullmatch(names):
        raise InvalidError("its head has a line that is no header field")
    if b" " in names or b"\t" in names:  # RFC 5322 section 4.5.8
        names = names.translate(None, b" \t")
    return Mail(fields, names.split(b":")[:-1], data, body_at)


def _head_end(data: bytes) -> tuple[int, int]:
    """Where the last line of the head ends, and where the body begins; -1 and the end of all where there is none."""
    crlf = data.find(b"\n\r\n", 0, LONGEST_HEAD)
    lf = data.find(b"\n\n", 0, LONGEST_HEAD if crlf < 0 else crlf + 1)
    if lf >= 0:
        return lf, lf + 2
    return (crlf, crlf + 3) if crlf >= 0 else (-1, len(data))


def _line_feeds(data: bytes) -> bytes:
    return data.replace(b"\r\n", b"\n") if b"\r" in data else data


def read_claims(message: bytes, now: float) -> list[Claim]:
    """The signatures of a message, from the top, MOST_SIGNATURES of them. Never raises, whatever the bytes are.

    Args:
        now: Unix seconds, to know which have expired.
    """
    try:
        mail = read_mail(message)
    except InvalidError as error:
        end, _ = _head_end(message)
        signed = _SIGNED.search(message, 0, end if end >= 0 else LONGEST_HEAD)
        return [Claim(domain="", selector="", fault=str(error))] if signed else []
    if b"dkim-signature" not in mail.names:
        return []
    signatures = [at for at, name in enumerate(mail.names) if name == b"dkim-signature"]
    counts = Counter(mail.names)
    doubled = next((name for name in _ONCE if counts[name] > 1), None)
    if doubled is not None:
        return [Claim(domain="", selector="", fault=f"its head has {counts[doubled]} {doubled.decode()} fields")]
    return [_read_claim(mail, at, counts, now) for at in signatures[:MOST_SIGNATURES]]


def _read_claim(mail: Mail, at: int, counts: Counter[bytes], now: float) -> Claim:
    domain = selector = ""
    value = mail.fields[at][2]
    try:
        if len(value) > _LONGEST_SIGNATURE:
            raise InvalidError(f"longer than {_LONGEST_SIGNATURE:,} bytes")
        tags = read_tags(value)
        domain, selector = _domain(tags, "d"), _domain(tags, "s")
        if tags.get(b"v") != b"1":
            raise InvalidError("not of version 1 (v=)")
        algorithm = _required(tags, "a").lower()
        if algorithm not in _ALGORITHMS:
            raise InvalidError(f"algorithm {_shown(algorithm)} is not accepted (RFC 8301)")
        if b"q" in tags and b"dns/txt" not in _listed(tags[b"q"]):
            raise InvalidError("its key is not in DNS (q=)")
        identity = _identity(tags, domain)
        _look_at_dates(tags, mail, now)
        of_head, of_body = _canonical(tags)
        signed = _listed(_required(tags, "h"))
        if b"from" not in signed:
            raise InvalidError("does not cover From")
        _look_at_body(tags, *mail.body_hash(of_body))
        return Claim(
            domain=domain,
            selector=selector,
            kind=_ALGORITHMS[algorithm],
            digest=_header_hash(mail, at, signed, of_head),
            signature=_base64(tags, "b"),
            identity=identity,
            signed=_covered(signed, counts),
            has_length=b"l" in tags,
        )
    except InvalidError as error:
        return Claim(domain=domain, selector=selector, fault=str(error))


def read_tags(value: bytes) -> dict[bytes, bytes]:
    """A tag list (RFC 6376 section 3.2): name -> value without the blanks around it.

    Raises:
        InvalidError: it is none, or names a tag twice.
    """
    tags: dict[bytes, bytes] = {}
    for each in value.split(b";"):
        name, equals, content = each.partition(b"=")
        name = name.strip(_FOLDING)
        if not equals and not name:
            continue  # after the last semicolon
        if not equals or not (name.isalpha() or _TAG_NAME.fullmatch(name)):
            raise InvalidError(f"no tag list: {_shown(each)}")
        if name in tags:
            raise InvalidError(f"has {_shown(name)}= twice")
        tags[name] = content.strip(_FOLDING)
    return tags


def decode_base64(text: bytes) -> bytes | None:
    """What base64 stands for, blanks and folds inside of it left out; None where it is none."""
    try:
        return binascii.a2b_base64(text.translate(None, _FOLDING), strict_mode=True)
    except binascii.Error:
        return None


def _required(tags: dict[bytes, bytes], name: str) -> bytes:
    value = tags.get(name.encode())
    if not value:
        raise InvalidError(f"has no {name}=")
    return value


def _domain(tags: dict[bytes, bytes], name: str) -> Domain:
    return _as_domain(_required(tags, name), name)


def _as_domain(value: bytes, name: str) -> Domain:
    try:
        return parse_domain(value.decode())
    except (DomainError, UnicodeDecodeError):
        raise InvalidError(f"{name}= is no domain name: {_shown(value)}") from None


def _base64(tags: dict[bytes, bytes], name: str) -> bytes:
    decoded = decode_base64(_required(tags, name))
    if decoded is None:
        raise InvalidError(f"{name}= is no base64")
    return decoded


def _listed(value: bytes) -> list[bytes]:
    """What stands between colons, lower case."""
    return [each.strip(_FOLDING).lower() for each in value.split(b":")]


def _identity(tags: dict[bytes, bytes], domain: str) -> str:
    """The domain of i=: d= itself or below it (RFC 6376 section 3.5)."""
    if b"i" not in tags:
        return domain
    identity = _as_domain(tags[b"i"].rpartition(b"@")[2], "i")
    if identity != domain and not identity.endswith("." + domain):
        raise InvalidError(f"i= is not below d=: {identity}")
    return identity


def _look_at_dates(tags: dict[bytes, bytes], mail: Mail, now: float) -> None:
    """Refuse an expired signature; one that had not expired when our mail system took the message is good.

    RFC 6376 section 3.5 wants the time of arrival, where that is known: in a mailbox it is days ago, and Mail.ru's
    signatures live for 25 hours (F-06). Who makes it up can only have a report counted that was signed all the same.
    """
    made, expires = _seconds(tags, "t"), _seconds(tags, "x")
    if expires is None:
        return
    if made is not None and expires <= made:
        raise InvalidError("expired before it was made (t=, x=)")
    if expires < now:
        received = mail.received_at()
        if received is None or received > expires:
            at = datetime.fromtimestamp(expires, UTC)
            raise InvalidError(f"expired on {at:%Y-%m-%d} at {at:%H:%M} UTC (x=)")


def _seconds(tags: dict[bytes, bytes], name: str) -> int | None:
    value = tags.get(name.encode())
    if value is None:
        return None
    if not value.isdigit() or len(value) > 20:
        raise InvalidError(f"{name}= is no time: {_shown(value)}")
    return int(value)


def _canonical(tags: dict[bytes, bytes]) -> tuple[str, str]:
    """The forms in which head and body are hashed: c=, simple/simple by default."""
    head, _, body = tags.get(b"c", b"simple").decode("latin-1").lower().partition("/")
    head, body = head.strip(), body.strip() or "simple"
    if head not in _CANONICAL or body not in _CANONICAL:
        raise InvalidError(f"canonical form {_shown(tags[b'c'])} is not known (c=)")
    return head, body


def _look_at_body(tags: dict[bytes, bytes], digest: bytes, length: int) -> None:
    """Compare the hash of the body; l= must cover all of it (R3-19: who reports must not use it at all).

    What stands behind a shorter l= is anybody's, and a report can stand there.
    """
    if b"l" in tags:
        value = tags[b"l"]
        if not value.isdigit() or len(value) > 76:
            raise InvalidError(f"l= is no length: {_shown(value)}")
        if int(value) != length:
            raise InvalidError(f"covers {int(value[:20]):,} bytes of the {length:,} of the body (l=)")
    if _base64(tags, "bh") != digest:
        raise InvalidError("the body was changed on the way (bh=)")


def _covered(signed: list[bytes], counts: Counter[bytes]) -> frozenset[str]:
    """The names of which a signature covers every field, so that nobody can have put one more on top."""
    covered = [name for name in signed if counts.get(name, 0) <= 1 or signed.count(name) >= counts[name]]
    return frozenset(b":".join(covered).decode("latin-1").split(":"))


def _header_hash(mail: Mail, at: int, signed: list[bytes], canonical: str) -> bytes:
    """SHA-256 of the fields named by h=, each from the last one up (section 5.4.2), and of the signature itself."""
    wanted = set(signed)
    places: dict[bytes, list[int]] = {}
    for place, name in enumerate(mail.names):
        if name in wanted:
            places.setdefault(name, []).append(place)
    found = [mail.fields[places[name].pop()] for name in signed if places.get(name)]
    own_name, colon, value = mail.fields[at]
    unsigned = _B_VALUE.sub(rb"\1", b";" + value, count=1)[1:]
    found.append((own_name, colon, unsigned))
    if canonical == "relaxed":
        lines = [name.rstrip(_BLANKS).lower() + b":" + _unfolded(value) for name, _, value in found]
        text = _squeezed(b"\n".join(lines))
    else:
        text = b"\n".join([b"".join(field) for field in found])
    return hashlib.sha256(text.replace(b"\n", b"\r\n")).digest()


def _unfolded(value: bytes) -> bytes:
    return value.replace(b"\n", b"").strip(_BLANKS)


def _squeezed(text: bytes) -> bytes:
    """Every run of blanks and tabs as one blank. A regular expression would hold the interpreter for seconds."""
    if b"\t" in text:
        text = text.replace(b"\t", b" ")
    while b"  " in text:
        text = text.replace(b"  ", b" ")  # halves each run
    return text


def canonical_body(body: bytes, canonical: str) -> bytes:
    """The body in one of the two forms (section 3.4.3, 3.4.4); line ends LF before and after."""
    if canonical == "relaxed":
        body = _squeezed(body).replace(b" \n", b"\n")
    body = body.rstrip(b"\n")
    return body + b"\n" if body or canonical == "simple" else b""


def _hash(body: bytes) -> tuple[bytes, int]:
    """SHA-256 and length of a body with its line ends as CRLF; in pieces, so that other threads get their turn."""
    digest = hashlib.sha256()
    for at in range(0, len(body), _PIECE):
        digest.update(body[at : at + _PIECE].replace(b"\n", b"\r\n"))
    return digest.digest(), len(body) + body.count(b"\n")


def _shown(value: bytes) -> str:
    return printable(value.decode("utf-8", "replace").strip(), 60)

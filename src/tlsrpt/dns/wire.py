"""DNS messages as octets: the query that we ask, the answer that comes back (RFC 1035 section 4, RFC 6891, RFC 8914).

A codec of our own because the general one (dnspython) takes 260 microseconds for a query and its answer, which alone
would be most of the time of a check of thousands of domains; this one takes about 20. Only what a check asks for is
read; updates and signatures are dnspython's work (`publish.py`).

What comes back is hostile: names are bounded, pointers go backwards only, records are counted.
"""

from __future__ import annotations

import re
import socket
import struct

from msgspec import Struct

from tlsrpt.core.errors import TlsrptError

TYPES = {
    "A": 1,
    "NS": 2,
    "CNAME": 5,
    "SOA": 6,
    "MX": 15,
    "TXT": 16,
    "AAAA": 28,
    "DS": 43,
    "TLSA": 52,
}
_NAMES = {number: name for name, number in TYPES.items()}
RCODES = {
    0: "NOERROR",
    1: "FORMERR",
    2: "SERVFAIL",
    3: "NXDOMAIN",
    4: "NOTIMP",
    5: "REFUSED",
    9: "NOTAUTH",
    16: "BADVERS",
}
# RFC 8914 section 4: the extended errors that say that the data was there, but DNSSEC failed.
DNSSEC_ERRORS = frozenset({6, 7, 8, 9, 10, 11, 12, 25})

UDP_PAYLOAD = 1232  # fits every path without fragments (dnsflagday.net 2020)
MAX_RECORDS = 1000  # in one message
_MAX_NAME = 255
_MAX_POINTERS = 64
_IN = 1
_OPT = 41
_EDE = 15
_HEADER = struct.Struct("!6H")
_RECORD = struct.Struct("!HHIH")
_EDNS = struct.pack("!BHHIH", 0, _OPT, UDP_PAYLOAD, 0, 0)
_QR, _AA, _TC, _RD, _RA, _AD, _CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0020, 0x0010
_OPCODE = 0x7800


class WireError(TlsrptError):
    """Octets that are no answer to what was asked."""


class MX(Struct, frozen=True, order=True, gc=False):
    """One mail exchanger (RFC 1035 section 3.3.9); "." for none (RFC 7505)."""

    preference: int
    exchange: str


class SOA(Struct, frozen=True, gc=False):
    """What a check needs of the start of a zone."""

    mname: str
    serial: int
    minimum: int


class TLSA(Struct, frozen=True, gc=False):
    """One TLSA record (RFC 6698 section 2.1)."""

    usage: int
    selector: int
    matching: int
    data: bytes


Data = str | bytes | MX | SOA | TLSA  # address, name | TXT strings joined, other | ...


class Record(Struct, frozen=True, gc=False):
    """One resource record; `owner` in lower case without the final dot."""

    owner: str
    rtype: str
    ttl: int
    data: Data


class Message(Struct, frozen=True, gc=False):
    """An answer as it came.

    Attributes:
        rcode: its name, or RCODEn.
        errors: extended errors (RFC 8914): number and text.
    """

    rcode: str
    authoritative: bool
    truncated: bool
    recursive: bool
    authentic: bool
    answer: tuple[Record, ...]
    authority: tuple[Record, ...]
    errors: tuple[tuple[int, str], ...]


def encode_question(name: str, rtype: str) -> bytes:
    """The question section: a name (A-labels, no escapes) and its type."""
    labels = [] if name in ("", ".") else name.split(".")
    parts = []
    for label in labels:
        octets = label.encode("ascii", "strict") if label.isascii() else b""
        if not 0 < len(octets) < 64 or b"\\" in octets:
            raise WireError(f"can't be asked: {name[:80]!r} has a label that is empty, too long or not plain")
        parts.append(bytes((len(octets),)) + octets)
    wire = b"".join(parts) + b"\0"
    if len(wire) > _MAX_NAME:
        raise WireError(f"can't be asked: {name[:80]!r}... is longer than a DNS name can be")
    return wire + struct.pack("!HH", TYPES[rtype], _IN)


def encode_query(
    identifier: int, question: bytes, *, recursion: bool = True, checking: bool = True, edns: bool = True
) -> bytes:
    """A query for one question. The AD flag asks for the resolver's word on DNSSEC (RFC 6840 section 5.7)."""
    flags = (_RD if recursion else 0) | _AD | (0 if checking else _CD)
    return _HEADER.pack(identifier, flags, 1, 0, 0, int(edns)) + question + (_EDNS if edns else b"")


def answers(wire: bytes, question: bytes) -> bool:
    """Whether a message is an answer to this very question; its identifier is the caller's to compare."""
    if len(wire) < _HEADER.size or not wire[2] & 0x80 or wire[2] & 0x78:
        return False
    end = _HEADER.size + len(question)
    if wire[4:6] == b"\0\0" and len(wire) == _HEADER.size:
        return bool(wire[3] & 0x0F)  # a bare header with an error: some servers refuse so
    return wire[4:6] == b"\0\1" and (
        wire[_HEADER.size : end] == question or wire[_HEADER.size : end].lower() == question.lower()
    )


def decode(wire: bytes) -> Message:
    """Read an answer.

    Raises:
        WireError: it is cut short, or no DNS message.
    """
    try:
        return _decode(wire)
    except (struct.error, IndexError) as error:
        raise WireError("the DNS message is cut short") from error


def _decode(wire: bytes) -> Message:
    _, flags, questions, answer_count, authority_count, additional_count = _HEADER.unpack_from(wire)
    if answer_count + authority_count + additional_count > MAX_RECORDS:
        raise WireError(f"the DNS message claims more than {MAX_RECORDS} records")
    at = _HEADER.size
    for _ in range(questions):
        at = _skip_name(wire, at) + 4
    answer, at = _records(wire, at, answer_count)
    authority, at = _records(wire, at, authority_count)
    extended, errors = _additional(wire, at, additional_count)
    code = flags & 0x0F | extended << 4
    return Message(
        RCODES.get(code, f"RCODE{code}"),
        bool(flags & _AA),
        bool(flags & _TC),
        bool(flags & _RA),
        bool(flags & _AD),
        tuple(answer),
        tuple(authority),
        errors,
    )


def _records(wire: bytes, at: int, count: int) -> tuple[list[Record], int]:
    records = []
    for _ in range(count):
        owner, at = _name(wire, at)
        number, rclass, ttl, length = _RECORD.unpack_from(wire, at)
        at += _RECORD.size
        end = at + length
        if end > len(wire):
            raise WireError("a record reaches past the end of the DNS message")
        if rclass == _IN and number in _NAMES:
            # RFC 2181 section 8: a TTL with the highest bit set is zero
            ttl = ttl if ttl < 0x80000000 else 0
            records.append(Record(owner, _NAMES[number], ttl, _data(wire, number, at, end)))
        at = end
    return records, at


def _additional(wire: bytes, at: int, count: int) -> tuple[int, tuple[tuple[int, str], ...]]:
    """The upper bits of the rcode and the extended errors, from the OPT record where there is one."""
    for _ in range(count):
        at = _skip_name(wire, at)
        number, _, ttl, length = _RECORD.unpack_from(wire, at)
        at += _RECORD.size
        if at + length > len(wire):
            raise WireError("a record reaches past the end of the DNS message")
        if number == _OPT:
            return ttl >> 24, _extended_errors(wire[at : at + length])
        at += length
    return 0, ()


def _extended_errors(options: bytes) -> tuple[tuple[int, str], ...]:
    found, at = [], 0
    while at + 4 <= len(options):
        code, length = struct.unpack_from("!HH", options, at)
        value = options[at + 4 : at + 4 + length]
        if code == _EDE and len(value) >= 2:
            found.append((int.from_bytes(value[:2]), value[2:].rstrip(b"\0").decode("utf-8", "replace")))
        at += 4 + length
    return tuple(found)


def _data(wire: bytes, number: int, at: int, end: int) -> Data:
    if number == 16:
        return _strings(wire, at, end)
    if number in (2, 5):
        return _name(wire, at)[0]
    if number == 15:
        return MX(int.from_bytes(wire[at : at + 2]), _name(wire, at + 2)[0])
    if number == 1:
        return _address(wire[at:end], socket.AF_INET)
    if number == 28:
        return _address(wire[at:end], socket.AF_INET6)
    if number == 6:
        mname, after = _name(wire, at)
        serial, _, _, _, minimum = struct.unpack_from("!5I", wire, _skip_name(wire, after))
        return SOA(mname, serial, minimum)
    if number == 52:
        if end - at < 3:
            raise WireError("a TLSA record of less than three octets")
        return TLSA(wire[at], wire[at + 1], wire[at + 2], wire[at + 3 : end])
    return wire[at:end]


def _address(octets: bytes, family: socket.AddressFamily) -> str:
    try:
        return socket.inet_ntop(family, octets)
    except ValueError as error:
        raise WireError("an address record of a wrong length") from error


def _strings(wire: bytes, at: int, end: int) -> bytes:
    """The strings of a TXT record, joined with nothing between (RFC 8460 section 3)."""
    first = at + 1 + wire[at]
    if first == end:
        return wire[at + 1 : end]
    parts = []
    while at < end:
        stop = at + 1 + wire[at]
        if stop > end:
            raise WireError("a string reaches past its TXT record")
        parts.append(wire[at + 1 : stop])
        at = stop
    return b"".join(parts)


def _skip_name(wire: bytes, at: int) -> int:
    while True:
        length = wire[at]
        if length >= 0xC0:
            return at + 2
        at += 1 + length
        if not length:
            return at


_PLAIN = re.compile(rb"[A-Za-z0-9_*-]+")


def _name(wire: bytes, at: int) -> tuple[str, int]:
    """A name in lower case without the final dot ("." for the root), and where it ends."""
    labels: list[str] = []
    after, size, pointers = 0, 1, 0
    while True:
        length = wire[at]
        if length >= 0xC0:
            pointer = (length & 0x3F) << 8 | wire[at + 1]
            after = after or at + 2
            pointers += 1
            if pointer >= at or pointers > _MAX_POINTERS:  # backwards only: no message can make a circle
                raise WireError("a name in the DNS message points forwards")
            at = pointer
            continue
        if length >= 0x40:
            raise WireError("a label of an unknown kind in the DNS message")
        at += 1
        if not length:
            return ".".join(labels) or ".", after or at
        size += 1 + length
        if size > _MAX_NAME:
            raise WireError("a name of more than 255 octets in the DNS message")
        label = wire[at : at + length]
        if len(label) != length:
            raise WireError("the DNS message is cut short")
        labels.append(label.decode("ascii").lower() if _PLAIN.fullmatch(label) else _escaped(label))
        at += length


def _escaped(label: bytes) -> str:
    """A label with odd octets, in presentation format (RFC 1035 section 5.1)."""
    shown = []
    for octet in label.lower():
        plain = 0x21 <= octet <= 0x7E and octet not in b'.\\"();@$'
        shown.append(chr(octet) if plain else f"\\{octet:03d}")
    return "".join(shown)

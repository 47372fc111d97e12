r"""Presentation format: how zone files and `dig` write a record (RFC 1035 section 5.1), and the octets it stands for.

`"v=TLSRPTv1; rua=..."` is zone text; DNS holds the octets between the quotes. In zone text a bare `;` starts a
comment, `\;` is a plain `;`, and the strings of one TXT record are joined with nothing between (RFC 8460 section 3).
"""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct

STRING_OCTETS = 255  # of one character-string (RFC 1035 section 3.3)
Problem = Literal["comment", "quote-open", "escape", "parenthesis"]

_TTL = re.compile(r"\d+[smhdw]?(?:\d+[smhdw])*", re.IGNORECASE)
_CLASSES = ("IN", "CH", "HS", "ANY")
_HEAD = 4  # owner, TTL and class stand before the type


class ZoneString(Struct, frozen=True):
    """One word or quoted string of zone text.

    Attributes:
        data: its octets.
        at: for each octet, the character of the text that it came from (counted from 0).
        quoted: whether it stood in quotes.
        start: where it begins in the text, its quote included.
    """

    data: bytes
    at: tuple[int, ...]
    quoted: bool
    start: int


class Trouble(Struct, frozen=True):
    """Where zone text is not what its writer meant, or no zone text."""

    kind: Problem
    at: int


class ZoneRecord(Struct, frozen=True, kw_only=True):
    """One record written as zone text: the part before the type, where it is there, and the strings after it."""

    owner: str | None = None
    ttl: str | None = None
    rtype: str | None = None
    strings: tuple[ZoneString, ...]
    troubles: tuple[Trouble, ...] = ()

    @property
    def data(self) -> bytes:
        """The strings joined, as senders read them."""
        return b"".join(string.data for string in self.strings)

    @property
    def at(self) -> tuple[int, ...]:
        """For each octet of `data` the character of the text that it came from."""
        return tuple(place for string in self.strings for place in string.at)


def parse_zone_text(text: str, rtype: str = "TXT") -> ZoneRecord:
    """Read one record, with or without owner, TTL, class and type before its data. Never fails: see `troubles`.

    Args:
        text: one record; brackets may spread it over lines.
        rtype: the type to expect; a word of another type is kept as `rtype` of the result.
    """
    words, troubles = _words(text)
    for index, word in enumerate(words[:_HEAD]):
        if word.quoted:
            break
        name = word.data.decode("latin-1").upper()
        if name == rtype or (index and name in ("TXT", "TLSA", "CNAME", "SPF", "MX", "A", "AAAA", "NS")):
            if _is_head(words[:index]):
                owner, ttl = _owner_and_ttl(text, words[:index])
                return ZoneRecord(owner=owner, ttl=ttl, rtype=name, strings=words[index + 1 :], troubles=troubles)
            break
    return ZoneRecord(strings=words, troubles=troubles)


def _is_head(words: tuple[ZoneString, ...]) -> bool:
    return all(_is_ttl_or_class(word) or index == 0 for index, word in enumerate(words))


def _is_ttl_or_class(word: ZoneString) -> bool:
    name = word.data.decode("latin-1").upper()
    return name in _CLASSES or _TTL.fullmatch(name) is not None


def _owner_and_ttl(text: str, words: tuple[ZoneString, ...]) -> tuple[str | None, str | None]:
    owner = words[0].data.decode("utf-8", "backslashreplace") if words and words[0].start == 0 else None
    if owner is not None and _is_ttl_or_class(words[0]) and text[:1].isspace():
        owner = None
    rest = words[1:] if owner is not None else words
    ttls = [word.data.decode("latin-1") for word in rest if _TTL.fullmatch(word.data.decode("latin-1"))]
    return owner, ttls[0] if ttls else None


def _words(text: str) -> tuple[tuple[ZoneString, ...], tuple[Trouble, ...]]:
    words: list[ZoneString] = []
    troubles: list[Trouble] = []
    depth = index = 0
    while index < len(text):
        char = text[index]
        if char in " \t\r\n":
            index += 1
        elif char == ";":
            troubles.append(Trouble("comment", index))
            end = text.find("\n", index)
            index = len(text) if end < 0 else end
        elif char in "()":
            depth += 1 if char == "(" else -1
            if depth < 0:
                troubles.append(Trouble("parenthesis", index))
                depth = 0
            index += 1
        else:
            word, index = _word(text, index, troubles)
            words.append(word)
    if depth:
        troubles.append(Trouble("parenthesis", len(text)))
    return tuple(words), tuple(troubles)


def _word(text: str, start: int, troubles: list[Trouble]) -> tuple[ZoneString, int]:
    quoted = text[start] == '"'
    ends = '"' if quoted else ' \t\r\n;()"'
    index = start + 1 if quoted else start
    data, at = bytearray(), []
    while index < len(text) and text[index] not in ends:
        octets, after = _octets(text, index, troubles)
        data += octets
        at += [index] * len(octets)
        index = after
    if quoted:
        if index == len(text):
            troubles.append(Trouble("quote-open", start))
        index += 1
    return ZoneString(bytes(data), tuple(at), quoted, start), min(index, len(text))


def _octets(text: str, index: int, troubles: list[Trouble]) -> tuple[bytes, int]:
    r"""The octets of one character or escape (`\;`, `\034`), and where the next begins."""
    if text[index] != "\\":
        return text[index].encode("utf-8", "backslashreplace"), index + 1
    digits = text[index + 1 : index + 4]
    if len(digits) == 3 and digits.isascii() and digits.isdecimal():
        if int(digits) < 256:
            return bytes([int(digits)]), index + 4
        troubles.append(Trouble("escape", index))
    elif index + 1 == len(text):
        troubles.append(Trouble("escape", index))
        return b"\\", index + 1
    return text[index + 1].encode("utf-8", "backslashreplace"), index + 2


def format_strings(data: bytes | str) -> str:
    r"""Write octets as the strings of a TXT record, in quotes; more than 255 octets become several strings.

    A `;` needs no backslash between quotes.
    """
    octets = data.encode() if isinstance(data, str) else data
    pieces = [octets[i : i + STRING_OCTETS] for i in range(0, len(octets), STRING_OCTETS)] or [b""]
    return " ".join(f'"{"".join(map(_escaped, piece))}"' for piece in pieces)


def _escaped(octet: int) -> str:
    if octet in b'"\\':
        return "\\" + chr(octet)
    return chr(octet) if 0x20 <= octet < 0x7F else f"\\{octet:03d}"

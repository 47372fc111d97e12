"""Bytes -> JSON values as the world writes them: encodings, several documents in one text, duplicate keys.

I-JSON (RFC 7493, R4-01) is UTF-8 without a BOM, one text, no key twice. What departs from that is noted and read, as
long as the JSON itself can be read without guessing.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Iterator
from typing import Any

from tlsrpt.core.errors import LimitError, ReportError
from tlsrpt.core.limits import DEFAULT_LIMITS, Limits
from tlsrpt.core.notes import Notes, Place, shown
from tlsrpt.core.text import printable

# Blanks between documents; also commas and record separators (RFC 7464), and a `]` or `[` is no blank.
_BETWEEN = re.compile(r"[ \t\r\n\f\v\x1e\x00\ufeff,;]*")
_BLANK = re.compile(r"[ \t\r\n\x00\x1a]*")
# Escapes of a surrogate or of NUL, or NUL itself: neither UTF-8 nor a database column takes what they may leave.
_UNENCODABLE = re.compile(r"\\u(?:[dD][89a-fA-F]|0000)|\x00")
_BAD_CHARACTER = re.compile("[\ud800-\udfff\x00]")
_LONGEST_INTEGER = 19  # digits of 2**63-1
LARGE = 256 * 1024  # bytes from which a text is looked over before it is made into objects
_BOMS = (  # the longer first: UTF-32's begins as UTF-16's
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_TOP = Place("", "")


class Oversized(str):
    """A number that no 64-bit value holds, as its text."""

    __slots__ = ()


def decode(data: bytes, notes: Notes) -> str:
    """The text of a document, whatever it is encoded in; anything but plain UTF-8 is noted."""
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            if encoding == "utf-8":
                notes.note("encoding-bom", _TOP, "the text begins with a byte order mark", "the mark was left out")
                return _decode_bytes(data[len(bom) :], notes)
            return _decode_wide(data[len(bom) :], encoding, notes)
    wide = _wide_without_bom(data[:4])
    if wide:
        return _decode_wide(data, wide, notes)
    return _decode_bytes(data, notes)


def _wide_without_bom(start: bytes) -> str | None:
    """UTF-16 or UTF-32 by where the zeros are around the first character, which is ASCII (RFC 4627 section 3)."""
    zeros = "".join("0" if byte == 0 else "x" for byte in start)
    return {"000x": "utf-32-be", "x000": "utf-32-le", "0x0x": "utf-16-be", "x0x0": "utf-16-le"}.get(zeros)


def _decode_wide(data: bytes, encoding: str, notes: Notes) -> str:
    name = encoding.rpartition("-")[0].upper()
    notes.note(f"encoding-{name.lower()}", _TOP, f"the text is {name}, not UTF-8", "decoded as such")
    return data.decode(encoding, "replace")


def _decode_bytes(data: bytes, notes: Notes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        # Some valid UTF-8 beside what is not: a text cut or glued. None at all: a text in an 8-bit encoding.
        if re.search(rb"[\xc3-\xf4][\x80-\xbf]", data):
            notes.note("encoding-utf-8", _TOP, "bytes that are no UTF-8", "each is shown as U+FFFD")
            return data.decode("utf-8", "replace")
        notes.note("encoding-latin-1", _TOP, "the text is no UTF-8", "read as Windows-1252 (Latin-1)")
        try:
            return data.decode("cp1252")
        except UnicodeDecodeError:
            return data.decode("latin-1")


def check_size(data: bytes, limits: Limits) -> None:
    """Refuse a large text that would become many more objects than a report within the limits can have.

    Objects take many times the room of their JSON (`{},` takes 3 bytes, the dict 64), so they are counted first.
    """
    if len(data) < LARGE:
        return
    rows = limits.failure_details + 4 * limits.policies + 1000
    if data.count(b"{") > rows or data.count(b"[") > rows or data.count(b",") > 16 * rows:
        if data.count(b'"policy"') > limits.policies:
            raise LimitError(f"more than {limits.policies} policies", limit="policies", where="policies")
        what = f"more JSON values than {limits.failure_details} failure-details can have"
        raise LimitError(what, limit="failure_details")


def documents(text: str, notes: Notes, limits: Limits) -> Iterator[object]:
    """Each JSON document in a text, in its order; what follows the last and is none is noted.

    Raises:
        ReportError: the first is broken or cut off; nothing of it can be read.
        LimitError: nested too deeply.
    """
    decoder = _decoder(notes)
    unencodable = _UNENCODABLE.search(text) is not None
    within = len(text) <= limits.string_length and text.count("{") + text.count("[") <= limits.json_depth
    position = _BETWEEN.match(text).end()  # type: ignore[union-attr]
    count = 0
    while position < len(text):
        try:
            value, position = decoder.raw_decode(text, position)
        except json.JSONDecodeError as error:
            loose = _loose(text, position, notes) if "control character" in error.msg else None
            if loose is None:
                if count == 0:
                    raise ReportError(_broken(text, error)) from error
                rest = text[position : position + 60]
                notes.note("trailing-data", _TOP, f"text after the JSON: {shown(rest, 60)}", "not read")
                return
            value, position = loose
        except RecursionError as error:
            raise _too_deep(limits) from error
        if not within:
            check_value(value, limits)
        if unencodable:
            value = _clean(value, notes)
        count += 1
        if count == 2:
            notes.note("trailing-data", _TOP, "another JSON document follows the first", "each is read by itself")
        if count > limits.archive_members:
            raise LimitError(f"more than {limits.archive_members} JSON documents", limit="archive_members")
        yield value
        begin = position
        position = _BETWEEN.match(text, position).end()  # type: ignore[union-attr]
        if position == len(text) and _BLANK.match(text, begin).end() < position:  # type: ignore[union-attr]
            notes.note("trailing-data", _TOP, f"after the JSON: {shown(text[begin:position], 60)}", "not read")


def _decoder(notes: Notes, *, strict: bool = True) -> json.JSONDecoder:
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(items)
        if len(made) != len(items):
            _note_duplicates(items, notes)
        return made

    def constant(name: str) -> Oversized:
        notes.note("format-number", _TOP, f"{name} is no JSON number", "kept as text")
        return Oversized(name)

    return json.JSONDecoder(
        object_pairs_hook=pairs, parse_int=_integer, parse_float=_float, parse_constant=constant, strict=strict
    )


def _loose(text: str, position: int, notes: Notes) -> tuple[object, int] | None:
    """The document at this position if only raw control characters in its strings break it."""
    try:
        value, end = _decoder(notes, strict=False).raw_decode(text, position)
    except (json.JSONDecodeError, RecursionError):
        return None
    notes.note("format-json", _TOP, "control characters stand unescaped in a string", "read as they stand")
    return value, end


def nested_array(text: str, notes: Notes) -> list[object] | None:
    """The array that a string holds as JSON text (F-32), if it does."""
    if not text.lstrip().startswith("["):
        return None
    try:
        value, end = _decoder(notes).raw_decode(text.strip())
        check_value(value, DEFAULT_LIMITS)
    except (json.JSONDecodeError, RecursionError, LimitError):
        return None
    cleaned = _clean(value, notes)
    return cleaned if isinstance(cleaned, list) and end == len(text.strip()) else None


def _clean(value: object, notes: Notes) -> object:
    """The value with every lone surrogate and NUL in its strings, keys too, replaced."""
    if isinstance(value, str):
        if not _BAD_CHARACTER.search(value):
            return value
        notes.note("encoding-character", _TOP, "a lone surrogate or NUL in a string", "each is shown as U+FFFD")
        return type(value)(_BAD_CHARACTER.sub("\ufffd", value))
    if isinstance(value, list):
        return [_clean(item, notes) for item in value]
    if isinstance(value, dict):
        return {_clean(key, notes): _clean(item, notes) for key, item in value.items()}
    return value


def _note_duplicates(items: list[tuple[str, Any]], notes: Notes) -> None:
    seen: set[str] = set()
    for key, _ in items:
        if key in seen:
            message = f"the key {shown(key)} stands twice in one object"
            notes.note("format-duplicate-key", _TOP, message, "the last value was taken")
        seen.add(key)


def _integer(text: str) -> int | Oversized:
    number = int(text) if len(text) <= _LONGEST_INTEGER + 1 else None
    return number if number is not None and -(2**63) <= number < 2**63 else Oversized(text[:400])


def _float(text: str) -> float | Oversized:
    number = float(text)
    return number if math.isfinite(number) else Oversized(text[:400])


def _broken(text: str, error: json.JSONDecodeError) -> str:
    rest = text[error.pos :].strip()
    if not rest or error.msg.startswith("Unterminated string"):
        return f"the JSON ends early (line {error.lineno}, column {error.colno})"
    near = printable(rest, 40)
    return f"broken JSON at line {error.lineno}, column {error.colno}: {error.msg.lower()}, near {near}"


def _too_deep(limits: Limits) -> LimitError:
    return LimitError(f"JSON nested more than {limits.json_depth} deep", limit="json_depth")


def check_value(value: object, limits: Limits) -> None:
    """Hold a value against the limits on nesting and on the length of strings (keys too)."""
    level: list[object] = [value]
    for _ in range(limits.json_depth + 1):
        inner: list[object] = []
        for item in level:
            if type(item) is str:
                if len(item) > limits.string_length:
                    raise _too_long(limits)
            elif type(item) is dict:
                if item and max(map(len, item)) > limits.string_length:
                    raise _too_long(limits)
                inner.extend(item.values())
            elif type(item) is list:
                inner.extend(item)
        if not inner and not any(type(item) in (dict, list) for item in level):
            return
        level = inner
    raise _too_deep(limits)


def _too_long(limits: Limits) -> LimitError:
    return LimitError(f"a string of more than {limits.string_length} characters", limit="string_length")

"""Writing TOML: as much of it as a configuration needs (toml.io, version 1.0). Reading it is Python's own."""

from __future__ import annotations

import re
from collections.abc import Iterable

Value = str | bool | int | float | tuple[str, ...] | list[str]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SHORT = {"\b": r"\b", "\t": r"\t", "\n": r"\n", "\f": r"\f", "\r": r"\r", '"': r"\"", "\\": r"\\"}


def toml_key(name: str) -> str:
    """A key, quoted where it has to be."""
    return name if _BARE.fullmatch(name) else quoted(name)


def toml_value(value: Value) -> str:
    """A value as TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, int | float):
        return str(value)
    return f"[{', '.join(map(quoted, value))}]"


def quoted(text: str) -> str:
    """A basic string. What can't be seen is written as an escape, so that it can't steer a terminal either."""
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(character: str) -> str:
    if character in _SHORT:
        return _SHORT[character]
    if character.isprintable():
        return character
    code = ord(character)
    if 0xD800 <= code <= 0xDFFF:  # no Unicode scalar value: TOML can't hold it
        return "\ufffd"
    return f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"


def remark(lines: Iterable[str]) -> str:
    """Lines as comments."""
    return "".join(f"# {line}".rstrip() + "\n" for line in lines)

"""The configuration as a file: a sample with everything in it, and the one in force."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

from msgspec import Struct

from tlsrpt.cli.config_keys import Key, Table, tables
from tlsrpt.cli.toml import remark, toml_key, toml_value
from tlsrpt.config import Config

_WIDTH = 100
# What stands in the sample without a # before it: enough to begin with.
_TO_BEGIN = frozenset(("store.url", "domains.own", "source.https.listen", "source.https.path"))
_FIRST = ("store", "domains", "dns", "source.https")
_HEAD = """\
The configuration of tlsrpt, whole. `tlsrpt config check` says what is wrong with it.

A line that begins with "# " is a remark. One that begins with # and a name, or with #[, is a setting that
is left out: it is shown with its default, or with an example where a remark gives the default. To use it,
take the # away. To begin, the lines without # are enough.

Passwords and other secrets do not stand here: *_file, *_env and *_command say where they are.
"""
_SOURCES = """\
Further ways in, any number of each kind: take the # away from the lines of those that you want.
"""
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]*@")


def sample() -> str:
    """A file that names every key there is, and that `serve` runs with as it stands."""
    first = [table for name in _FIRST for table in tables() if table.path == name]
    sources = [table for table in tables() if table.path.startswith("source.") and table not in first]
    rest = [table for table in tables() if table not in first and table not in sources]
    return "\n".join(
        [
            remark(_HEAD.splitlines()),
            *map(_sample_table, first),
            remark(_SOURCES.splitlines()),
            *map(_sample_table, sources),
            *map(_sample_table, rest),
        ]
    )


def beginning() -> str:
    """What of the sample is enough to begin with."""
    shown = [table for table in tables() if any(f"{table.path}.{key.name}" in _TO_BEGIN for key in table.keys)]
    return "\n".join(
        f"{table.heading}\n"
        + "".join(_sample_key(key, True) for key in table.keys if f"{table.path}.{key.name}" in _TO_BEGIN)
        for table in shown
    )


def _sample_table(table: Table) -> str:
    used = not (table.many or table.path.startswith("source.")) or f"{table.path}.{table.keys[0].name}" in _TO_BEGIN
    lines = [remark(textwrap.wrap(table.sentence, _WIDTH)), f"{'' if used else '#'}{table.heading}\n"]
    lines.extend(_sample_key(key, used and f"{table.path}.{key.name}" in _TO_BEGIN) for key in table.keys)
    return "".join(lines)


def _sample_key(key: Key, used: bool) -> str:
    """The sentence behind the setting where there is room, else above it."""
    default = key.default if key.default not in (None, '""', "[]") and not key.shown_as_default else ""
    sentence = key.sentence + (f" (default: {default})" if default else "")
    line = f"{'' if used else '#'}{key.name} = {key.example}"
    beside = f"{line:31}  # {sentence}"
    if len(line) <= 31 and len(beside) <= _WIDTH:
        return beside + "\n"
    return remark(textwrap.wrap(sentence, _WIDTH - 2)) + line + "\n"


def effective(config: Config) -> str:
    """The configuration as TOML, defaults and all; reads back as the same; no secret is in it by design."""
    return "\n".join(_tables_of(config, "", False)) or "\n"


def _tables_of(struct: Struct, path: str, many: bool) -> Iterator[str]:
    plain: list[tuple[str, Any]] = []
    inner: list[tuple[str, Iterable[Struct], bool]] = []
    for field, name in zip(struct.__struct_fields__, struct.__struct_encode_fields__, strict=True):
        value = getattr(struct, field)
        if isinstance(value, Struct):
            inner.append((name, (value,), False))
        elif isinstance(value, tuple) and value and isinstance(value[0], Struct):
            inner.append((name, value, True))
        elif value is not None and not (isinstance(value, tuple) and path == "source"):
            plain.append((name, value))
    if plain:
        heading = f"[[{path}]]" if many else f"[{path}]"
        yield "".join([f"{heading}\n", *(f"{toml_key(name)} = {toml_value(value)}\n" for name, value in plain)])
    for name, values, each in inner:
        for value in values:
            yield from _tables_of(value, f"{path}.{name}".lstrip("."), each)


def without_password(url: str) -> str:
    """An address without the user and the password that may stand in it."""
    return _CREDENTIALS.sub("***@", url)

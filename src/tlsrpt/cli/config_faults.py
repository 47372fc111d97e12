"""What is wrong with the shape of a configuration: unknown keys, missing ones, wrong types and values; all of it.

The Structs of `tlsrpt.config` are the one description. msgspec reads by them and stops at the first fault, in its own
words; this walks along the same types, says each fault in a person's, and names what was probably meant.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time
from typing import Any

from msgspec import inspect as types

from tlsrpt.cli.config_keys import sentence_of, struct_type, tables
from tlsrpt.cli.toml import quoted, toml_key
from tlsrpt.config import Config
from tlsrpt.core.findings import Finding
from tlsrpt.core.text import printable

TOP = "top of the file"
_SHOWN = 80  # characters of a value
# What other programs call it -> what it is called here; where a table knows the second.
_ALIASES = {
    "address": "listen",
    "bind": "listen",
    "cert": "certificate",
    "certfile": "certificate",
    "cert_file": "certificate",
    "keyfile": "key",
    "key_file": "key",
    "server": "host",
    "username": "user",
    "login": "user",
    "ssl": "tls",
    "interval": "every_s",
    "poll_interval": "every_s",
    "check_timeout": "every_s",
    "timeout": "within_s",
    "directory": "path",
    "dir": "path",
    "archive_folder": "done_folder",
    "reports_folder": "folder",
    "access_key": "access_key_id",
    "secret_access_key": "secret_key_file",
    "region_name": "region",
    "endpoint_url": "endpoint",
    "tenant_id": "tenant",
    "token": "token_command",
    "nameservers": "resolver",
    "nameserver": "resolver",
    "trusted_proxies": "proxies",
    "http": "https",
    "smtp": "lmtp",
    "mailbox": "imap",
    "msgraph": "graph",
    "gmail": "imap",
}
_PATTERNS = {  # what a pattern of config.py means, and the fix
    "^/": ("does not begin with /", "/v1/tlsrpt"),
    "^0?[0-7]{3}$": ("is no octal mode", "0660"),
    "^(([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9])?$": ("is no span of hours", "22:00-07:00"),
}


def shape_faults(data: Mapping[str, Any]) -> list[Finding]:
    """Every fault of a parsed TOML file, in the order of the file's keys; empty where Config can be made of it."""
    return list(_struct(data, struct_type(Config), ""))


def is_endless(data: Any) -> bool:
    """Whether a number in it is infinite or none (TOML has both): a range lets them through."""
    if isinstance(data, Mapping):
        return any(map(is_endless, data.values()))
    if isinstance(data, list):
        return any(map(is_endless, data))
    return isinstance(data, float) and not math.isfinite(data)


def _fault(code: str, where: str, message: str, fix: str = "", consequence: str = "") -> Finding:
    return Finding(code=code, severity="error", where=where or TOP, message=message, consequence=consequence, fix=fix)


# --- Tables ---------------------------------------------------------------------------------------------------------


def _struct(value: Any, kind: types.StructType, path: str) -> Iterator[Finding]:
    if not isinstance(value, Mapping):
        yield _no_table(value, path)
        return
    fields = {field.encode_name: field for field in kind.fields}
    meant = set()  # by unknown keys: what is only misspelt is not missing as well
    for key, item in value.items():
        if key in fields:
            yield from _value(item, fields[key].type, f"{path}.{key}".lstrip("."))
        else:
            near = _near(key, list(fields))
            meant.add(near)
            yield _unknown(key, near, list(fields), path)
    for name, field in fields.items():
        if field.required and name not in value and name not in meant:
            yield _missing(name, field, path)


def _missing(name: str, field: types.Field, path: str) -> Finding:
    sentence = sentence_of(field.type)
    table = _bare(path)
    examples = {key.name: key.example for known in tables() if known.path == table for key in known.keys}
    fix = f"write {name} = {examples[name]}" if name in examples else f"write [{table}.{name}] and its keys below"
    return _fault("missing-key", path, f"{name} is missing" + (f": {sentence}" if sentence else ""), fix)


def _no_table(value: Any, path: str) -> Finding:
    if isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        return _fault("wrong-type", path, "a list of tables, and there is only one", f"write [{_bare(path)}]")
    fix = f"write [{_bare(path)}] and its keys below"
    return _fault("wrong-type", path, f"{_shown(value)}, and a table is wanted", fix)


def _near(key: str, known: list[str]) -> str | None:
    """The known key that was probably meant."""
    if _ALIASES.get(key) in known:
        return _ALIASES[key]
    return next(iter(difflib.get_close_matches(key, known, n=1, cutoff=0.6)), None)


def _unknown(key: str, near: str | None, known: list[str], path: str) -> Finding:
    """An unknown key; never its value, which may be a password."""
    said = f'unknown key "{printable(key, _SHOWN)}"'
    secret = f"{key}_file"
    if secret in known:
        return _fault(
            "unknown-key",
            path,
            said,
            f'put it into a file of mode 0640, and write {secret} = "/path/of/it"',
            "secrets do not stand in this file",
        )
    if key == "port" and "listen" in known:
        return _fault("unknown-key", path, said, 'it stands in listen = "ADDRESS:PORT"')
    if near:
        return _fault("unknown-key", path, f"{said}; did you mean {near}?")
    at_home = _homes(key)
    if at_home:
        return _fault("unknown-key", path, said, f"it belongs in {' or '.join(at_home[:3])}")
    return _fault("unknown-key", path, said, f"known here: {', '.join(known)}")


def _homes(key: str) -> list[str]:
    """The headings of the tables that are called so, else of those that know the key."""
    return [table.heading for table in tables() if table.path.rpartition(".")[2] == key] or [
        table.heading for table in tables() if any(known.name == key for known in table.keys)
    ]


# --- Values ---------------------------------------------------------------------------------------------------------


def _value(value: Any, kind: types.Type, path: str) -> Iterator[Finding]:
    match kind:
        case types.Metadata():
            yield from _value(value, kind.type, path)
        case types.StructType():
            yield from _struct(value, kind, path)
        case types.VarTupleType():
            yield from _list(value, kind, path)
        case types.UnionType():
            yield from _one_of(value, kind, path)
        case types.LiteralType():
            yield from _literal(value, kind, path)
        case types.StrType():
            yield from _text(value, kind, path)
        case types.BoolType():
            if not isinstance(value, bool):
                yield _wrong_type(value, "true or false", path, _as_bool(value))
        case types.IntType() | types.FloatType():
            yield from _number(value, kind, path)
        case _:
            raise TypeError(f"no words for {kind!r} at {path}: teach them here")


def _list(value: Any, kind: types.VarTupleType, path: str) -> Iterator[Finding]:
    many = isinstance(kind.item_type, types.StructType)
    if many and isinstance(value, Mapping):
        yield _fault(
            "wrong-type", path, "one table, where any number can stand", f"write [[{path}]], with two brackets"
        )
        # Its keys are looked at all the same: one run names everything.
        yield from _value(value, kind.item_type, path)
    elif not isinstance(value, list):
        item = quoted(value) if isinstance(value, str) else ""
        fix = f"write {_name(path)} = [{item}]" if item else ""
        yield _wrong_type(value, f"[[{_bare(path)}]]" if many else "a list", path, "" if many else fix)
    else:
        if len(value) < (kind.min_length or 0):
            yield _fault("wrong-value", path, "an empty list", "name at least one")
        for n, item in enumerate(value, 1):
            yield from _value(item, kind.item_type, f"{path}[{n}]")


def _one_of(value: Any, kind: types.UnionType, path: str) -> Iterator[Finding]:
    choices = [choice for choice in kind.types if not isinstance(choice, types.NoneType)]
    found = [list(_value(value, choice, path)) for choice in choices]
    if not all(found):
        return
    for choice, faults in zip(choices, found, strict=True):
        # A text where a list or one word may stand: most likely the list was meant.
        if isinstance(choice, types.StructType) or (isinstance(choice, types.VarTupleType) and value != ""):
            yield from faults
            return
    yield from found[0]


def _literal(value: Any, kind: types.LiteralType, path: str) -> Iterator[Finding]:
    if value in kind.values and isinstance(value, str):
        return
    choices = ", ".join(str(choice) for choice in kind.values)
    near = difflib.get_close_matches(str(value), map(str, kind.values), n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    yield _fault("wrong-value", path, f"{_shown(value)}{hint}", f"write one of: {choices}")


def _text(value: Any, kind: types.StrType, path: str) -> Iterator[Finding]:
    words, example = _PATTERNS.get(kind.pattern or "", ("does not fit", ""))
    if not isinstance(value, str):
        meant = quoted(example) if kind.pattern else quoted(str(value)) if isinstance(value, int | float) else ""
        lead = "write" if path.endswith("]") else f"write {_name(path)} ="
        yield _wrong_type(value, "text", path, f"{lead} {meant}" if meant else "")
    elif kind.pattern and not re.search(kind.pattern, value):
        yield _fault("wrong-value", path, f"{_shown(value)} {words}", f"write it as {quoted(example)}")


def _number(value: Any, kind: types.IntType | types.FloatType, path: str) -> Iterator[Finding]:
    whole = isinstance(kind, types.IntType)
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        yield _wrong_type(value, "a whole number" if whole else "a number", path, _as_number(value, path, whole))
    elif not math.isfinite(value):
        yield _fault("wrong-value", path, f"{value} is no length of anything", "write a number, or leave it out")
    elif (kind.ge is not None and value < kind.ge) or (kind.gt is not None and value <= kind.gt):
        least = f"at least {kind.ge:,}" if kind.ge is not None else f"more than {kind.gt:,}"
        yield _fault("wrong-value", path, f"{value} is too small", f"write {least}")
    elif kind.le is not None and value > kind.le:
        yield _fault("wrong-value", path, f"{value} is too large", f"write at most {kind.le:,}".replace(",", ""))


def _wrong_type(value: Any, wanted: str, path: str, fix: str = "") -> Finding:
    return _fault("wrong-type", path, f"{_shown(value)}, and {wanted} is wanted", fix)


def _as_bool(value: Any) -> str:
    words = {"yes": "true", "true": "true", "on": "true", "no": "false", "false": "false", "off": "false"}
    meant = words.get(str(value).lower()) if isinstance(value, str) else None
    return f"write {meant}, without quotes" if meant else ""


def _as_number(value: Any, path: str, whole: bool) -> str:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,18}" if whole else r"[0-9]{1,18}(\.[0-9]{1,9})?", value):
        return f"write {_name(path)} = {value.lstrip('0') or '0'}, without quotes"
    return ""


def _shown(value: Any) -> str:
    """A value and what it is."""
    match value:
        case bool():
            return f"{str(value).lower()} is true or false"
        case str():
            return f'"{printable(value, _SHOWN)}"'
        case int() | float():
            return f"the number {printable(str(value), _SHOWN)}"
        case datetime() | date() | time():
            return f"the date or time {value}"
        case list():
            return "a list"
        case _:
            return "a table"


def _name(path: str) -> str:
    return toml_key(path.rpartition(".")[2])


def _bare(path: str) -> str:
    """A path without its numbers, as headings are written."""
    return re.sub(r"\[\d+\]", "", path)

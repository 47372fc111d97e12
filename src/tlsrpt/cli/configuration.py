"""Reading the configuration file: TOML in, one Config out, or what is wrong where."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import msgspec
from msgspec import Struct

from tlsrpt.config import Config, Sources
from tlsrpt.core.errors import ConfigError
from tlsrpt.core.findings import Finding

_TOO_LARGE = 4 * 1024 * 1024  # no configuration; lists of domains have a file of their own


class Parsed(Struct, frozen=True):
    """What could be made of a text: a configuration, or the faults that stand against it."""

    config: Config | None
    faults: tuple[Finding, ...] = ()


def read_config(path: Path | None) -> Config:
    """Read the file, or give the defaults where there is none.

    Raises:
        ConfigError: the file can't be read, is no TOML, has an unknown key (the nearest
            known one is named) or a wrong value.
    """
    return Config() if path is None else parse_config(read_text(path), str(path))


def read_text(path: Path) -> str:
    """The text of the file.

    Raises:
        ConfigError: it can't be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_TOO_LARGE + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"can't be read: {reason}", where=str(path)) from error
    if len(data) > _TOO_LARGE:
        raise ConfigError("is too large for a configuration", where=str(path), fix="name another file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"is not UTF-8 (line {line})", where=str(path), fix="save it as UTF-8") from error


def parse_config(text: str, where: str) -> Config:
    """The configuration that a TOML text holds; see `read_config`."""
    parsed = parse(text)
    if parsed.config is not None:
        return parsed.config
    first, *more = parsed.faults
    what = first.message if first.code == "not-toml" else f"{first.where}: {first.message}"
    others = f"{len(more)} more: see `tlsrpt config check`" if more else ""
    raise ConfigError(what, where=where, fix="; ".join(filter(None, (first.fix, others))))


def parse(text: str) -> Parsed:
    """What a TOML text holds, or every fault of its shape."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return Parsed(None, (_no_toml(error, text),))
    except RecursionError:
        return Parsed(None, (_fault("not-toml", "file", "is no TOML: nested too deep"),))
    try:
        config = msgspec.convert(data, Config)
    except msgspec.ValidationError as error:
        from tlsrpt.cli.config_faults import shape_faults

        unexplained = _fault("wrong-value", "file", str(error).replace(" - at `$", " at `"))
        return Parsed(None, tuple(shape_faults(data)) or (unexplained,))
    faults = (*_endless(data), *doubled_names(config.source))
    return Parsed(None, faults) if faults else Parsed(config)


def _endless(data: dict[str, object]) -> list[Finding]:
    """Numbers that are infinite or none: TOML has them, and msgspec's ranges let them through."""
    from tlsrpt.cli.config_faults import is_endless, shape_faults

    return shape_faults(data) if is_endless(data) else []


def doubled_names(sources: Sources) -> list[Finding]:
    """Sources that are called alike: one of them would never run."""
    names: dict[str, str] = {}
    faults = []
    for placed in sources.placed():
        where, name = placed.where, placed.name
        if name in names:
            said = f'"{name}" is the name of {names[name]} already'
            faults.append(_fault("name-taken", where, said, "give each source a name of its own"))
        names.setdefault(name, where)
    return faults


def _no_toml(error: tomllib.TOMLDecodeError, text: str) -> Finding:
    """The parser's words, and what is mostly behind them."""
    said, _, at = str(error).removesuffix(")").rpartition(" (at ")
    spot = _SPOT.fullmatch(at)
    line = text.split("\n")[int(spot[1]) - 1] if spot else ""
    fix = next((fix for pattern, fix in _MOSTLY if pattern.search(line)), "")
    if "twice" in said or "overwrite" in said:
        fix = "a key or a table stands twice; of a source there may be several: [[source.https]], in two brackets each"
    return _fault("not-toml", at if spot else "file", f"is no TOML: {said[:1].lower()}{said[1:]} (at {at})", fix)


_SPOT = re.compile(r"line (\d+), column \d+")
_MOSTLY = [  # what a line that is no TOML looks like, and what to write
    (re.compile(r"[\u201c-\u201f\u2018-\u201b\xab\xbb]"), 'write straight quotes, as in "text"'),
    (re.compile(r"^\s*[\w.-]+\s*:\s"), "write = between key and value"),
    (re.compile(r"=\s*(True|False|TRUE|FALSE|yes|no|on|off)\b"), "write true or false"),
    (re.compile(r"=\s*0[0-7]+\s*(#|$)"), 'write it in quotes, as in mode = "0660"'),
    (re.compile(r'="[^"]*\\|=\s"[^"]*\\'), "a backslash begins an escape in double quotes; write single quotes"),
    (re.compile(r"=\s*\[?\s*[^\s\"'\[{0-9+-]"), 'write texts in quotes, as in host = "imap.example.com"'),
]


def _fault(code: str, where: str, message: str, fix: str = "") -> Finding:
    return Finding(code=code, severity="error", where=where, message=message, fix=fix)

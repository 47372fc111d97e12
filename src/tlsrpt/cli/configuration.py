"""Reading the configuration file: TOML in, one Config out, or one line saying what is wrong where."""

from __future__ import annotations

import difflib
import re
import tomllib
from pathlib import Path

import msgspec

from tlsrpt.config import Config
from tlsrpt.core.errors import ConfigError


def read_config(path: Path | None) -> Config:
    """Read the file, or give the defaults where there is none.

    Raises:
        ConfigError: the file can't be read, is no TOML, has an unknown key (the nearest
            known one is named) or a wrong value.
    """
    if path is None:
        return Config()
    try:
        return parse_config(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise ConfigError(f"can't be read: {error.strerror}", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise ConfigError("is not UTF-8", where=str(path)) from error


def parse_config(text: str, where: str) -> Config:
    """The configuration that a TOML text holds; see `read_config`."""
    try:
        return msgspec.convert(tomllib.loads(text), Config)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"is no TOML: {error}", where=where) from error
    except msgspec.ValidationError as error:
        raise ConfigError(str(error).replace(" - at `$", " at `"), where=where, fix=_nearest(str(error))) from error


def _nearest(message: str) -> str:
    unknown = re.search(r"unknown field `([^`]*)`(?: - at `\$\.?([^`]*)`)?", message)
    if not unknown:
        return ""
    kind: type = Config
    for name in filter(None, (unknown[2] or "").split(".")):
        kind = next(f.type for f in msgspec.structs.fields(kind) if f.name == name)
    known = [f.name for f in msgspec.structs.fields(kind)]
    near = difflib.get_close_matches(unknown[1], known, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"

"""The owned domains as the configuration has them, its file of domains read."""

from __future__ import annotations

from pathlib import Path

from tlsrpt.config import DomainsConfig
from tlsrpt.core.errors import ConfigError
from tlsrpt.core.owned import Owned, read_own_file


def load_owned(config: DomainsConfig) -> Owned:
    """Which domains are ours: those in `own` and those in `own_file`; all there are where neither is given.

    Raises:
        ConfigError: the file can't be read, or something in either is no domain.
    """
    if config.own == "any" or (config.own is None and not config.own_file):
        return Owned.any()
    listed = read_own_file(own_file_text(config.own_file), config.own_file) if config.own_file else []
    return Owned.made_of([*Owned.of(config.own or ()).patterns, *listed])


def own_file_text(path: str) -> str:
    """What is in a file of domains.

    Raises:
        ConfigError: it can't be read.
    """
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError("is not UTF-8", where=path, fix="save it as UTF-8, or write A-labels (xn--...)") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"can't be read: {reason}", where=path, fix="see domains.own_file") from error

"""Servers that we bring a secret to: whether an address may be one, and by which certificates it is known."""

from __future__ import annotations

import ssl
from urllib.parse import urlsplit

from tlsrpt.core.errors import ConfigError, SourceError
from tlsrpt.core.text import printable


def https_address(url: str, key: str) -> str:
    """The URL, if a secret may be sent there. Without a user in it: addresses stand in logs.

    Args:
        key: of the configuration, for errors.
    Raises:
        ConfigError: it may not.
    """
    try:
        parts = urlsplit(url)
        good = parts.scheme == "https" and bool(parts.hostname) and parts.username is None
    except ValueError:
        good = False
    if not good or not (url.isascii() and url.isprintable()):
        shown = printable(url.rpartition("@")[2], 100)
        raise ConfigError(f"{key} is no https:// address: {shown}", fix="write https://HOST/...")
    return url


def trust(ca_file: str, key: str = "ca_file") -> ssl.SSLContext:
    """A client's TLS that believes the authorities in a file, or those of the system where none is named.

    Args:
        key: of the configuration, for errors.
    Raises:
        SourceError: it can't be read, or holds no certificate.
    """
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError; ValueError: a NUL in the path
        if isinstance(error, OSError) and not isinstance(error, ssl.SSLError):
            reason = f"can't be read: {error.strerror}"
        else:
            reason = "holds no certificate"
        raise SourceError(f"{key} {printable(ca_file, 200)} {reason}") from error

"""Keys that sign updates (TSIG, RFC 8945), read from a file or the environment, and never shown.

Two ways to write one, both usual: BIND's key file, which `tsig-keygen` and `keymgr -t` write, and
`[ALGORITHM:]NAME:BASE64`, as `nsupdate -y` and `kdig -y` take it. Never on our command line: every user of a machine
can read those.
"""

from __future__ import annotations

import base64
import binascii
import re

from msgspec import Struct

from tlsrpt.core.errors import ConfigError

ENVIRONMENT = "TLSRPT_TSIG_KEY"
_ALGORITHMS = ("hmac-sha256", "hmac-sha384", "hmac-sha512", "hmac-sha224", "hmac-sha1", "hmac-md5")
# A comment begins after white space or punctuation only: // is fine inside base64.
_COMMENT = re.compile(r"(?:(?<=[\s;{}])|\A)(?:/\*.*?\*/|(?://|#)[^\n]*)", re.DOTALL)
_BLOCK = re.compile(r'\bkey\s+"?([A-Za-z0-9_.-]+)"?\s*\{([^{}]*)\}', re.IGNORECASE)
_YAML = re.compile(r"^\s*-?\s*(id|algorithm|secret)\s*:\s*\"?([^\s\"#]+)", re.MULTILINE)  # keymgr -t writes this


class Key(Struct, frozen=True, kw_only=True):
    """A TSIG key. Its text form leaves the secret out."""

    name: str
    algorithm: str
    secret: bytes

    def __repr__(self) -> str:
        return f"Key(name={self.name!r}, algorithm={self.algorithm!r})"


def parse_key(text: str, where: str) -> Key:
    """Read a key in one of the usual forms.

    Args:
        where: the file or variable, for the error: what it holds is never repeated.
    Raises:
        ConfigError: none of the forms, more than one key, or no base64.
    """
    plain = _COMMENT.sub(" ", text).strip()
    blocks = _BLOCK.findall(plain)
    if len(blocks) > 1:
        raise ConfigError("holds several keys", where=where, fix="leave the one to be used")
    if blocks:
        name, body = blocks[0]
        algorithm, secret = _word(body, "algorithm") or _ALGORITHMS[0], _word(body, "secret")
    elif "secret:" in plain and "id:" in plain:
        found = dict(_YAML.findall(plain))
        name, algorithm, secret = found.get("id", ""), found.get("algorithm", _ALGORITHMS[0]), found.get("secret", "")
    else:
        parts = plain.split(":")
        if len(parts) not in (2, 3) or re.search(r"\s", plain):
            raise ConfigError(
                "holds no TSIG key", where=where, fix="write it as tsig-keygen does, or as [ALGORITHM:]NAME:BASE64"
            )
        *first, name, secret = parts
        algorithm = first[0] if first else _ALGORITHMS[0]
    return Key(name=name, algorithm=_algorithm(algorithm, where), secret=_secret(secret, where))


def _word(body: str, name: str) -> str:
    match = re.search(rf'\b{name}\s+"?([^\s";]+)"?\s*;', body, re.IGNORECASE)
    return match[1] if match else ""


def _algorithm(text: str, where: str) -> str:
    name = text.lower().removesuffix(".").removesuffix(".sig-alg.reg.int")
    if name not in _ALGORITHMS:
        raise ConfigError("names an algorithm that is none of TSIG's", where=where, fix=f"use {_ALGORITHMS[0]}")
    return name


def _secret(text: str, where: str) -> bytes:
    try:
        secret = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ConfigError("has a secret that is no base64", where=where) from error
    if not secret:
        raise ConfigError("has no secret", where=where)
    return secret

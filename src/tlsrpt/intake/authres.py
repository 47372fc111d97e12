"""What a mail gateway says of DKIM in an Authentication-Results field (RFC 8601 section 2.2). Text in, values out.

A gateway quotes what strangers wrote: addresses, host names, i= of a signature. Comments and quoted strings are taken
out before anything is looked for, and what can be read in two ways is read in none.
"""

from __future__ import annotations

import re

from msgspec import Struct

from tlsrpt.core.domain import parse_domain
from tlsrpt.core.errors import DomainError

_LONGEST = 16_384
_MARK = re.compile(r'\\.|["()]', re.DOTALL)
_QUOTED = r'"(?:[^"\\]|\\.)*+"'
_ENTRY = re.compile(rf'(?:[^";]|{_QUOTED})++', re.DOTALL)
_METHOD = re.compile(r"\s*([a-z0-9-]++)\s*(?:/\s*[0-9]+\s*)?=\s*([a-z0-9-]++)(?!\S)", re.IGNORECASE)
# A quoted string on its own (of reason=) is stepped over whole; what it says is not the gateway's.
_PROPERTY = re.compile(
    rf'{_QUOTED}|(?<!\S)([a-z][a-z0-9-]*+)\s*\.\s*([a-z][a-z0-9_.-]*+)\s*=\s*((?:{_QUOTED}|[^\s"])++)',
    re.IGNORECASE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class DkimResult(Struct, frozen=True, kw_only=True):
    """One `dkim=` of a gateway."""

    result: str  # pass, fail, temperror, none ... lower case
    domain: str  # header.d, else the domain of header.i; "" where it has none, or more than one
    selector: str = ""


class Results(Struct, frozen=True, kw_only=True):
    """One Authentication-Results field."""

    authserv_id: str  # lower case
    dkim: tuple[DkimResult, ...]


def read_results(value: str) -> Results | None:
    """Read a field's value; None where it is too long or keeps not to the grammar. Never raises."""
    plain = _without_comments(value) if len(value) <= _LONGEST else None
    if plain is None:
        return None
    entries = _ENTRY.findall(plain)
    words = entries[0].split() if entries else []
    if not words or len(words) > 2 or (len(words) == 2 and not words[1].isdigit()):
        return None
    found = []
    for entry in entries[1:]:
        method = _METHOD.match(entry)
        if method and method[1].lower() == "dkim":
            found.append(_dkim(method[2].lower(), entry[method.end() :]))
    return Results(authserv_id=_unquoted(words[0]).lower(), dkim=tuple(found))


def _without_comments(text: str) -> str | None:
    """The text with a blank for each comment (they nest); None where quotes, brackets or escapes are out of place."""
    pieces: list[str] = []
    depth, quoted, kept_from = 0, False, 0
    for mark in _MARK.finditer(text):
        match mark[0]:
            case '"' if depth == 0:
                quoted = not quoted
            case "(" if not quoted:
                if depth == 0:
                    pieces.append(text[kept_from : mark.start()])
                depth += 1
            case ")" if not quoted:
                depth -= 1
                if depth < 0:
                    return None
                kept_from = mark.end()
            case escape if len(escape) == 2 and depth == 0 and not quoted:
                return None
            case _:  # text inside of a comment or a quoted string
                pass
    if depth or quoted:
        return None
    pieces.append(text[kept_from:])
    return " ".join(pieces)


def _dkim(result: str, rest: str) -> DkimResult:
    properties: dict[str, set[str]] = {}
    for kind, name, value in _PROPERTY.findall(rest):
        if kind.lower() == "header":
            properties.setdefault(name.lower(), set()).add(_unquoted(value))
    domain = _one_domain(properties.get("d", set()))
    identity = _one_domain({value.rpartition("@")[2] for value in properties.get("i", set())})
    if not domain and "d" not in properties:
        domain = identity
    elif "i" in properties and not (identity == domain or identity.endswith("." + domain)):
        domain = ""  # RFC 6376: i= is d= or below it; this was not written by who verified it
    return DkimResult(result=result, domain=domain, selector=_one_domain(properties.get("s", set())))


def _one_domain(values: set[str]) -> str:
    if len(values) != 1:
        return ""
    try:
        return parse_domain(values.pop())
    except DomainError:
        return ""


def _unquoted(word: str) -> str:
    if len(word) < 2 or not word[0] == word[-1] == '"':
        return word
    return _ESCAPE.sub(r"\1", word[1:-1])

"""Domain names: text becomes a Domain once, at the door (RFC 1034, RFC 5890).

Compared as lower-case A-labels without the final dot. Underscores are allowed in labels: names such as
`_smtp._tls.example.com` and odd hosts in the wild carry them.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NewType

from tlsrpt.core.errors import DomainError

Domain = NewType("Domain", str)  # lower-case A-labels, no final dot

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}\.)*{_LABEL}")
_LONGEST = 253


def is_domain(text: str) -> bool:
    """Whether a text is a domain name already in the form that we compare: lower-case A-labels, no final dot."""
    return len(text) <= _LONGEST and _is_domain(text)


@lru_cache(maxsize=16_384)  # the same few thousand names come in every report
def _is_domain(text: str) -> bool:
    return _DOMAIN.fullmatch(text) is not None


def parse_domain(text: str) -> Domain:
    """Read a domain as people write it (U-labels, capitals, blanks around it, a final dot).

    Raises:
        DomainError: it can't be a domain name.
    """
    if is_domain(text):
        return Domain(text)
    plain = text.strip().removesuffix(".")
    if plain.isascii():
        name = plain.lower()
    else:
        import idna  # only for U-labels: its tables are large

        try:
            name = idna.encode(plain, uts46=True, transitional=False).decode("ascii").lower()
        except (idna.IDNAError, UnicodeError) as error:
            raise DomainError(f"no domain name: {text[:80]!r} ({error})", fix="write it as example.com") from error
    if not is_domain(name):
        raise DomainError(f"no domain name: {text[:80]!r}", fix="write it as example.com")
    return Domain(name)


def display_domain(domain: str) -> str:
    """The domain as people read it: U-labels where the A-labels are well formed, else as it is."""
    if "xn--" not in domain:
        return domain
    import idna

    try:
        return idna.decode(domain)
    except (idna.IDNAError, UnicodeError):
        return domain

"""Which addresses mail is taken for."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tlsrpt.core.domain import parse_domain
from tlsrpt.core.errors import ConfigError, DomainError
from tlsrpt.core.text import printable

_QUOTED_PAIR = re.compile(r"\\(.)")


class Recipients:
    """The configured addresses. Local parts are compared without regard to case, domains as A-labels.

    Args:
        addresses: `tls@example.com`; `tls+*@example.com` for tls with any detail, and without;
            `@example.com` for every address of the domain.
    Raises:
        ConfigError: one of them is no address.
    """

    def __init__(self, addresses: Iterable[str]) -> None:
        self._addresses: set[tuple[str, str]] = set()
        self._with_detail: set[tuple[str, str]] = set()
        self._domains: set[str] = set()
        for address in addresses:
            local, at, domain_text = address.strip().rpartition("@")
            try:
                domain = _domain(domain_text)
            except DomainError as error:
                raise _no_address(address) from error
            if not at or '"' in local or any(character.isspace() for character in local) or "@" in local:
                raise _no_address(address)
            if local in ("", "*"):
                self._domains.add(domain)
            elif local.endswith("+*") and len(local) > 2:
                self._with_detail.add((local[:-2].lower(), domain))
            elif "*" in local:
                raise _no_address(address)
            else:
                self._addresses.add((local.lower(), domain))

    def take(self, mailbox: str) -> bool:
        """Whether mail to an address, as it stands in a path of SMTP, is taken.

        `postmaster` needs no domain (RFC 5321 section 4.1.1.3): ours where a postmaster is configured.
        """
        local, at, domain_text = mailbox.rpartition("@")
        if not at:
            return domain_text.lower() == "postmaster" and any(local == "postmaster" for local, _ in self._addresses)
        try:
            domain = _domain(domain_text)
        except DomainError:
            return False
        name = _unquoted(local).lower()
        return (
            (name, domain) in self._addresses
            or domain in self._domains
            or (name.partition("+")[0], domain) in self._with_detail
        )


def _domain(text: str) -> str:
    if text.startswith("[") and text.endswith("]"):  # an address literal
        return text.lower()
    return parse_domain(text)


def _unquoted(local: str) -> str:
    if local.startswith('"') and local.endswith('"') and len(local) > 1:
        return _QUOTED_PAIR.sub(r"\1", local[1:-1])
    return local


def _no_address(address: str) -> ConfigError:
    return ConfigError(
        f'"{printable(address, 200)}" is no address to take mail for',
        where="recipients",
        fix="write tls@example.com, tls+*@example.com or @example.com",
    )

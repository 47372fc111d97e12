"""The domains that reports are wanted for (RFC 8460 says nothing of them; A-14): exact names, all below one, or any.

Anybody can send a report about anybody's domain. Those about domains that nobody here named are kept, stand in no
figure, and are offered as "you also receive reports for ...". Files are read elsewhere; here is what their lines mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NewType

from msgspec import Struct

from tlsrpt.core.domain import parse_domain
from tlsrpt.core.errors import ConfigError, DomainError
from tlsrpt.core.text import printable

Pattern = NewType("Pattern", str)  # a domain in lower-case A-labels, or `*.` and one

_BELOW = "*."
_LONGEST = 253  # characters of a domain name (RFC 1035 section 2.3.4)
_BOM = "\ufeff"


class Owned(Struct, frozen=True, kw_only=True):
    """Which domains are ours.

    Attributes:
        everything: whatever a report comes for is ours.
        exact: lower-case A-labels.
        below: for each name here every name below it is ours, at any depth, and not the name itself.
    """

    everything: bool = False
    exact: frozenset[str] = frozenset()
    below: frozenset[str] = frozenset()

    @classmethod
    def any(cls) -> Owned:
        """All domains there are."""
        return cls(everything=True)

    @classmethod
    def of(cls, patterns: Iterable[str]) -> Owned:
        """The domains that are named: `example.com` for itself, `*.example.com` for all below it.

        Raises:
            ConfigError: a text is neither.
        """
        parsed = []
        for text in patterns:
            try:
                parsed.append(parse_pattern(text))
            except DomainError as error:
                raise ConfigError(error.what, where="domains.own", fix=error.fix) from error
        return cls.made_of(parsed)

    @classmethod
    def made_of(cls, patterns: Iterable[Pattern]) -> Owned:
        """The domains of patterns that were read already."""
        exact, below = set(), set()
        for pattern in patterns:
            if pattern.startswith(_BELOW):
                below.add(pattern[len(_BELOW) :])
            else:
                exact.add(pattern)
        return cls(exact=frozenset(exact), below=frozenset(below))

    def owns(self, domain: str) -> bool:
        """Whether a domain, in lower-case A-labels, is ours."""
        if self.everything or domain in self.exact:
            return True
        if not self.below or len(domain) > _LONGEST:  # what is longer can't be a domain, and has endless dots
            return False
        dot = domain.find(".")
        while dot != -1:
            if domain[dot + 1 :] in self.below:
                return dot > 0
            dot = domain.find(".", dot + 1)
        return False

    @property
    def patterns(self) -> tuple[Pattern, ...]:
        """As it is written in the configuration, in order of the alphabet; empty where everything is ours."""
        return tuple(map(Pattern, sorted({*self.exact, *(f"{_BELOW}{name}" for name in self.below)})))


def parse_pattern(text: str) -> Pattern:
    """A domain, or `*.` and the domain above, as people write it; comes back with lower-case A-labels.

    Raises:
        DomainError: it is neither.
    """
    plain = text.strip()
    if plain.lower() == "any":  # a top-level domain of that name is not delegated, and would not mean what was meant
        raise DomainError('"any" stands alone and not in a list', fix='write own = "any"')
    if plain == "*":
        raise DomainError('"*" is no domain', fix='for every domain write own = "any"')
    below = plain.startswith(_BELOW)
    if "*" in plain[below:]:
        raise DomainError(
            f'"{printable(plain, 100)}": a * stands only for the whole first label',
            fix="write *.example.com for all below example.com",
        )
    try:
        name = parse_domain(plain[len(_BELOW) :] if below else plain)
    except DomainError as error:
        raise DomainError(
            f'"{printable(plain, 100)}" is no domain name', fix="write example.com or *.example.com"
        ) from error
    return Pattern(f"{_BELOW}{name}" if below else name)


def read_own_file(text: str, where: str) -> list[Pattern]:
    """The domains that a file lists, for `Owned.made_of`; see `own_lines`.

    Args:
        where: the file's name, for people.
    Raises:
        ConfigError: a line is no domain; names file and line.
    """
    patterns = []
    for number, pattern in own_lines(text):
        if isinstance(pattern, DomainError):
            raise ConfigError(pattern.what, where=f"{where} line {number}", fix=pattern.fix)
        patterns.append(pattern)
    return patterns


def own_lines(text: str) -> Iterator[tuple[int, Pattern | DomainError]]:
    """Each line of a list of domains that says something: its number, and its pattern or what is wrong with it.

    One domain a line; `#` and what follows it is a comment.
    """
    for number, line in enumerate(text.removeprefix(_BOM).splitlines(), 1):
        said = line.partition("#")[0].strip()
        if not said:
            continue
        try:
            yield number, parse_pattern(said)
        except DomainError as error:
            yield number, error

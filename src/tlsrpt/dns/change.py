"""A change of the TXT records at one name, planned before anything is touched.

What is there already is never overwritten silently: other TXT records stay, and a TLSRPT record that is there must be
merged or replaced by name. What the plan was made on is kept with it, so that whoever carries it out can insist on it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

from tlsrpt.core.errors import TlsrptError
from tlsrpt.core.record import format_record, lint_record, parse_record, select_record
from tlsrpt.core.text import printable
from tlsrpt.core.zonetext import format_strings

# A TLSRPT record, however badly written, or a list of destinations that no other standard's record has.
_OURS = re.compile(rb"T[LS]{2}-?RPT|^[\s\"'\\]*rua[ \t]*=", re.IGNORECASE)


class PublishError(TlsrptError):
    """Nothing was published, or what was published could not be seen; says in what state DNS is left."""


class Change(Struct, frozen=True, kw_only=True):
    """What is to change at one name.

    Attributes:
        before: every TXT record there now.
        remove: those of them that go.
        add: what comes; nothing where it is there already.
    """

    zone: str
    name: str
    ttl: int
    before: tuple[bytes, ...]
    remove: tuple[bytes, ...] = ()
    add: tuple[bytes, ...] = ()

    @property
    def after(self) -> tuple[bytes, ...]:
        """Every TXT record there afterwards."""
        kept = tuple(text for text in self.before if text not in self.remove)
        return (*kept, *self.add)

    @property
    def is_nothing(self) -> bool:
        """All is as it should be already."""
        return not self.add and not self.remove

    @property
    def undo(self) -> Change:
        """The change back."""
        return Change(zone=self.zone, name=self.name, ttl=self.ttl, before=self.after, remove=self.add, add=self.remove)

    def lines(self) -> list[str]:
        """The change as people read it: - what goes, + what comes, both as a zone file has them."""
        goes = [f"- {self.name}. TXT {_shown(text)}" for text in self.remove]
        comes = [f"+ {self.name}. {self.ttl} TXT {_shown(text)}" for text in self.add]
        return [*goes, *comes]


def _shown(text: bytes) -> str:
    return format_strings(text)


def is_tlsrpt(text: bytes) -> bool:
    """Whether a TXT record was meant as a TLSRPT record, however badly written."""
    return _OURS.search(text) is not None


def plan_change(
    zone: str, name: str, before: Sequence[bytes], record: str, *, ttl: int, replace: bool = False
) -> Change:
    """Plan to publish a record at a name.

    Args:
        before: every TXT record there now.
        replace: a TLSRPT record that is there may go (the new one holds what is wanted of it).
    Raises:
        PublishError: another TLSRPT record is there, and it may not go.
    """
    wanted = record.encode("ascii")
    ours = tuple(text for text in before if is_tlsrpt(text))
    others = tuple(text for text in ours if text != wanted)
    if others and not replace:
        shown = " and ".join(printable(text.decode("utf-8", "backslashreplace"), 200) for text in others)
        raise PublishError(
            f"another record is published already: {shown}",
            where=name,
            fix="merge the two, or say that it is to be replaced; two records count as none",
        )
    return Change(
        zone=zone,
        name=name,
        ttl=ttl,
        before=tuple(before),
        remove=others,
        add=() if wanted in before else (wanted,),
    )


def merge_record(before: Sequence[bytes], uris: Sequence[str], name: str) -> str:
    """One record with the destinations published now, then the new ones, each once.

    Raises:
        PublishError: what is there is so broken that its destinations can't be known.
    """
    ours = [text for text in before if is_tlsrpt(text)]
    if not ours:
        return format_record(uris)
    lint = lint_record(ours)
    record = select_record(ours) or (parse_record(lint.corrected) if lint.corrected else None)
    if record is None:
        raise PublishError(
            "the record there now is broken, and where it meant reports to go can't be known",
            where=name,
            fix="look at it with tlsrpt record check, then replace it",
        )
    return format_record([*record.uris, *uris], record.extensions)

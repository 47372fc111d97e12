"""What DNS said to one question. "Not there" and "could not be learnt" are told apart everywhere (R3-23).

answer      there are records
nodata      the name is there, without records of this type
nxdomain    the name is not there
failure     DNS could not tell: no answer, SERVFAIL, REFUSED, garbage; `detail` says which
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from tlsrpt.dns.wire import DNSSEC_ERRORS, MX, TLSA, Message, Record

Status = Literal["answer", "nodata", "nxdomain", "failure"]
MAX_ALIASES = 10
CIRCLE = f"CNAME records in a circle, or more than {MAX_ALIASES} in a row"
_LONGEST_NEGATIVE_S = 10_800  # RFC 2308 section 5


class Alias(Struct, frozen=True, gc=False):
    """A CNAME record that was followed."""

    owner: str
    target: str
    ttl: int


class Answer(Struct, frozen=True, kw_only=True, gc=False):
    """What came back for one name and type.

    Attributes:
        records: of the type asked for, at the end of the CNAME chain.
        ttl: seconds that the answer may be kept: the smallest of its records; for a negative one from the SOA record.
        aliases: the CNAME chain, in order.
        ad: the resolver says that it validated the answer (only worth something over a path that can be trusted: T-20).
        authoritative, recursive: who answered is a server of the zone; does look-ups for others.
        rcode: as answered; "" when nothing came.
        bogus: the resolver refuses it because DNSSEC fails.
        server: who answered, or was asked last.
        zone: owner of the SOA record in a negative answer: the zone that the name would be in; "" when not told.
        detail: for a failure, what went wrong, in words.
    """

    name: str
    rtype: str
    status: Status
    records: tuple[Record, ...] = ()
    ttl: int | None = None
    aliases: tuple[Alias, ...] = ()
    ad: bool = False
    authoritative: bool = False
    recursive: bool = False
    rcode: str = ""
    bogus: bool = False
    server: str = ""
    zone: str = ""
    detail: str = ""

    @property
    def found(self) -> bool:
        """There are records."""
        return self.status == "answer"

    @property
    def absent(self) -> bool:
        """DNS says that there are none."""
        return self.status in ("nodata", "nxdomain")

    @property
    def unknown(self) -> bool:
        """DNS could not tell."""
        return self.status == "failure"

    @property
    def owner(self) -> str:
        """The name at the end of the CNAME chain."""
        return self.aliases[-1].target if self.aliases else self.name

    @property
    def texts(self) -> tuple[bytes, ...]:
        """TXT records, the strings of each joined."""
        return tuple(record.data for record in self.records if isinstance(record.data, bytes))

    @property
    def names(self) -> tuple[str, ...]:
        """Names (NS) or addresses (A, AAAA)."""
        return tuple(record.data for record in self.records if isinstance(record.data, str))

    @property
    def exchangers(self) -> tuple[MX, ...]:
        """MX records, best first."""
        return tuple(sorted(record.data for record in self.records if isinstance(record.data, MX)))

    @property
    def tlsa(self) -> tuple[TLSA, ...]:
        """TLSA records."""
        return tuple(record.data for record in self.records if isinstance(record.data, TLSA))


def failure(name: str, rtype: str, server: str, detail: str, *, rcode: str = "", bogus: bool = False) -> Answer:
    """The answer that DNS could not tell."""
    return Answer(name=name, rtype=rtype, status="failure", server=server, detail=detail, rcode=rcode, bogus=bogus)


def read_answer(name: str, rtype: str, message: Message, server: str) -> Answer:
    """What a message says about a name and type.

    Only records on the CNAME chain that begins at the name count; whatever else a server adds is left unread.
    """
    if message.rcode not in ("NOERROR", "NXDOMAIN"):
        bogus = any(code in DNSSEC_ERRORS for code, _ in message.errors)
        reasons = [f"{text or 'extended error'} ({code})" for code, text in message.errors[:3]]
        detail = f"{server} answered {message.rcode}" + (f": {'; '.join(reasons)}" if reasons else "")
        return failure(name, rtype, server, detail, rcode=message.rcode, bogus=bogus)
    aliases: list[Alias] = []
    at = name.lower()
    targets = {record.owner: record for record in message.answer if record.rtype == "CNAME"} if rtype != "CNAME" else {}
    while at in targets:
        alias = targets[at]
        at = str(alias.data)
        aliases.append(Alias(alias.owner, at, alias.ttl))
        if len(aliases) > MAX_ALIASES or at in (known.owner for known in aliases):
            return failure(name, rtype, server, CIRCLE, rcode=message.rcode)
    records = tuple(record for record in message.answer if record.rtype == rtype and record.owner == at)
    soa = next((record for record in message.authority if record.rtype == "SOA"), None)
    status: Status = "answer" if records else "nxdomain" if message.rcode == "NXDOMAIN" else "nodata"
    return Answer(
        name=name,
        rtype=rtype,
        status=status,
        records=records,
        ttl=min(record.ttl for record in records) if records else _negative_ttl(soa),
        aliases=tuple(aliases),
        ad=message.authentic,
        authoritative=message.authoritative,
        recursive=message.recursive,
        rcode=message.rcode,
        server=server,
        zone=soa.owner if soa and not records else "",
    )


def _negative_ttl(soa: Record | None) -> int | None:
    """RFC 2308 section 5: the smaller of the SOA record's own TTL and its minimum field."""
    minimum = getattr(soa.data, "minimum", None) if soa else None
    return None if soa is None or minimum is None else min(soa.ttl, minimum, _LONGEST_NEGATIVE_S)

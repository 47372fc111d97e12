"""What a way in has to know and to say: how its documents are to be judged, and what became of each.

Every source hands its documents to one function, `Reception.take`, and acknowledges nothing before that has returned.
"""

from __future__ import annotations

from typing import Literal, Protocol

from msgspec import Struct

from tlsrpt.config import Unproven
from tlsrpt.core.findings import Finding
from tlsrpt.store.values import Kept

Outcome = Literal["new", "known", "conflict", "quarantined", "other", "too-large", "refused", "unkept"]
OUTCOMES: tuple[Outcome, ...] = (
    "new",  # at least one report of the document is new
    "known",  # every report of it was here already
    "conflict",  # a report of the same identity says something else; kept, and not counted unless it is better proven
    "quarantined",  # a TLS report that can't be read (or is not proven, where that is the policy); its bytes are kept
    "other",  # no TLS report at all: not kept, unless the way asks for it
    "too-large",  # past limits.compressed_bytes; not kept
    "refused",  # by policy; not kept
    "unkept",  # a broken report by HTTPS while the quarantine is full: refused with its reason, not kept
)


Kind = Literal["https", "lmtp", "maildir", "imap", "s3", "graph"]


class Way(Struct, frozen=True, kw_only=True):
    """How the documents of one source are judged."""

    name: str  # of the source, in logs, metrics and commands
    kind: Kind
    unproven: Unproven = "accept"
    dkim: bool = True  # verify signatures (mail only)
    authserv_id: str = ""  # believed instead; "" for none
    keep_other: bool = False  # quarantine what is no TLS report


class Taken(Struct, frozen=True, kw_only=True):
    """What became of one document. Where the outcome says that it is kept, it is committed."""

    outcome: Outcome
    reason: str = ""  # one printable line; "" for new and known
    kept: tuple[Kept, ...] = ()  # each report and fault of it


class Take(Protocol):
    """`Reception.take`, as the sources see it."""

    async def __call__(
        self,
        data: bytes,
        *,
        way: Way,
        where: str = "",
        file_name: str = "",
        noted: tuple[Finding, ...] = (),
        claims_report: bool = False,
    ) -> Taken:
        """Read, judge and keep one document; returns once that is on the disk.

        Args:
            data: the mail or the body, as received.
            where: its place within the source, for people: a client's address, a UID, a file name.
            file_name: its own name, "" where it has none.
            noted: departures that the transport saw (a wrong media type), added to every report in it.
            claims_report: the transport says that it is a TLS report (its media type): what can't be read of it is
                quarantined and not passed over.
        Raises:
            OverloadError: too much at once; nothing was kept, the sender may come again after `retry_after_s`.
            StoreError: the store can't write now (or the quarantine is full, for mail), or we have a defect that this
                document meets; nothing was kept, and the log says so.
        """
        ...

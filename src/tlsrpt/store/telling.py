"""What people are told unasked, as values: what was told before, what waits to be sent, what became of it. No SQL."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from msgspec import Struct

NoticeKind = Literal["alert", "digest"]
DeliveryState = Literal["waiting", "sent", "failed", "superseded"]
ToldState = Literal["pending", "open", "over"]


class Level(Struct, frozen=True, kw_only=True):
    """How bad something was when it was last told."""

    failed: int = 0  # sessions in seven days; of the quarantine its entries
    share: float = 0.0  # of all sessions
    consequence: str = "none"
    domains: int = 0
    senders: int = 0


class Told(Struct, frozen=True, kw_only=True):
    """What is known to have been told of one thing: an incident, a sender, the quarantine, a trouble of our own."""

    key: str
    state: ToldState  # pending: seen, and not told yet
    at: datetime  # of the last change
    level: Level = Level()
    turns: tuple[date, ...] = ()  # days on which it came back
    headline: str = ""  # as last told, for when it can't be asked any more
    severity: str = "warning"
    silenced: bool = False  # it comes and goes: nothing is told of it until it stays


class Outgoing(Struct, frozen=True, kw_only=True):
    """One message to be sent, to one or more addresses."""

    token: str  # names it for ever: what was posted once is not posted again; a part of its Message-ID
    kind: NoticeKind
    event: str = ""
    key: str = ""  # of what it is about
    severity: str = "info"
    subject: str
    text: str
    html: str = ""
    data: str = ""  # JSON, for webhooks
    goes_on_from: str = ""  # the token of the first message on the same thing


class Address(Struct, frozen=True, kw_only=True):
    """Where a message goes, and not before when."""

    recipient: str  # a name of [[alerts.to]]; of a digest "digest"
    address: str = ""  # a mail address; "" where the recipient is told in another way
    due: datetime


class Delivery(Struct, frozen=True, kw_only=True):
    """A message on its way to one address, claimed by whoever got this value."""

    notice_id: int
    recipient: str
    address: str
    made_at: datetime
    tries: int  # this one included
    message: Outgoing


class Listed(Struct, frozen=True, kw_only=True):
    """What became of a message at one address."""

    notice_id: int
    kind: NoticeKind
    event: str
    key: str
    severity: str
    subject: str
    made_at: datetime
    recipient: str  # "" where it matched nobody
    address: str
    state: DeliveryState
    tries: int
    due_at: datetime | None
    sent_at: datetime | None
    trouble: str  # why the last attempt failed


class OutboxSize(Struct, frozen=True, kw_only=True):
    """How the outbox stands."""

    waiting: int = 0
    failing: int = 0  # of those: tried, and not taken
    given_up: int = 0  # in the last week
    trouble: str = ""  # of one of them

"""An incident: one cause at one place, with the whole answer to it, as values that every surface draws.

The answer is in the order in which a person needs it: what and since when, does it hurt, how much, where, whose side,
why, what to do, the proof, whom to tell, when to leave it alone, the evidence. What senders claim is told as reported;
nothing here was seen live. Texts that came from reports are hostile still: whoever draws them makes them printable.
"""

from __future__ import annotations

from datetime import date
from typing import Literal

from msgspec import Struct

from tlsrpt.core.causes import Party
from tlsrpt.core.results import ConsequenceKind
from tlsrpt.insight.places import PlaceKind
from tlsrpt.store.values import Evidence, Mark

Confidence = Literal["high", "medium", "low"]
State = Literal["open", "watch", "quiet", "unknown"]

STATES: tuple[State, ...] = ("open", "unknown", "watch", "quiet")
CONSEQUENCES: tuple[ConsequenceKind, ...] = ("refused", "delayed", "delivered-clear", "delivered-unverified", "none")


class Side(Struct, frozen=True, kw_only=True):
    """Whose side it is, how sure that is, and why."""

    party: Party
    confidence: Confidence
    reasons: tuple[str, ...]


class RankedCause(Struct, frozen=True, kw_only=True):
    """A possible cause; the first is the likeliest. Evidence is of this very data, in sentences."""

    code: str  # of core.causes, or unknown
    title: str
    explanation: str
    evidence_for: tuple[str, ...] = ()
    evidence_against: tuple[str, ...] = ()


class Seen(Struct, frozen=True, kw_only=True):
    """One sender beside an incident, from its first to its last day; figures are sessions to its domains."""

    sender: str
    failed: int  # of this incident; 0: it does not see it
    total: int
    first_seen: date | None = None
    last_seen: date | None = None
    latest: date | None = None  # the last UTC day on which it reported on these domains


class Incident(Struct, frozen=True, kw_only=True):
    """One cause at one place, over the days that were asked for."""

    id: str  # seven letters and digits; stays the same from day to day
    keys: tuple[str, ...] = ()  # under which its failures were grouped, for the store's memory
    headline: str  # object, fault, consequence: no jargon
    title: str  # the fault alone
    result_type: str  # that names the fault
    result_types: tuple[str, ...]  # under which senders report it, most sessions first
    place: str
    place_kind: PlaceKind
    domains: tuple[str, ...]  # that meet it, most failed sessions first; as filed (A-labels)
    policy_types: tuple[str, ...]
    state: State
    state_reason: str
    mark: Mark = "none"  # what a person said of it; ends by itself when it is seen after that
    mark_until: date | None = None
    note: str = ""  # a person's
    first_seen: date
    last_seen: date
    days: int  # UTC days on which it was reported
    earlier: tuple[tuple[date, date], ...] = ()  # spells before the present one: it comes back
    failed: int
    total: int  # sessions of the senders that report it, to these domains, from first to last seen
    joined: int = 0  # of the failed: those whose report names no host or no definite fault, told by domain and days
    proven: int = 0  # of the failed: in reports that their submitter signed (DKIM)
    by_day: tuple[tuple[date, int], ...] = ()  # failed sessions of each day on which it was reported
    senders: tuple[str, ...]  # that report it
    others: tuple[str, ...]  # that report on the same domains in the same days, and do not see it
    seen_by: tuple[Seen, ...] = ()  # each of both, those that see it first
    addresses: tuple[str, ...] = ()  # receiving-ip of the evidence that was looked at
    sending: tuple[str, ...] = ()  # sending-mta-ip of it
    reasons: tuple[str, ...] = ()  # as the senders worded them, most sessions first
    consequence: ConsequenceKind  # the worst that any of its domains meets
    consequence_text: str
    effects: tuple[tuple[ConsequenceKind, tuple[str, ...]], ...]  # each consequence and its domains, the worst first
    side: Side
    causes: tuple[RankedCause, ...]  # the likeliest first
    steps: tuple[str, ...]
    verify: str  # a command, filled in
    expected: str  # what a good answer to it looks like
    confirmed: str  # when the reports themselves will show that it is mended
    forward: str  # a text for who can do it
    ignore: str  # when to leave it alone; "" when never
    evidence: tuple[Evidence, ...] = ()  # the best rows, as many as were asked for
    meaning: str = ""  # of the result type, and what it does not say
    section: str = ""  # where that is defined

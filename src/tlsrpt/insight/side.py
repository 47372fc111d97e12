"""Whose side a fault is on, with how much confidence, and why.

Several senders that report it independently point to the receiving side; one of many points to that sender too. Where
too little was seen nobody is accused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tlsrpt.core.causes import Cause, Party
from tlsrpt.core.results import ResultType
from tlsrpt.insight.incident import Confidence, Side, State
from tlsrpt.insight.wording import names
from tlsrpt.store.values import Beside

_NOBODYS: frozenset[Party] = frozenset({"network", "sender", "unknown"})


def side_of(
    registered: ResultType | None,
    cause: Cause | None,
    state: State,
    senders: Sequence[str],
    others: Sequence[Beside],
    *,
    said: bool,
) -> Side:
    """Whose side it is.

    Args:
        cause: the likeliest.
        senders: that see it; others: that would meet it too and do not.
        said: whether a sender names the cause in so many words, or its policy shows it.
    """
    party: Party = cause.party if cause else registered.side.party if registered else "unknown"
    if state == "watch":
        few = f"One day, one sender ({names(senders)}) and few sessions: too little to say whose side it is."
        return Side(party=party if party in _NOBODYS else "unknown", confidence="low", reasons=(few,))
    if party == "sender":
        return _senders_own(registered, senders, others, said=said)
    if party == "network" and len(senders) > 1:
        at_the_end = (
            f"{len(senders)} senders meet it, each on its own way: {names(senders)}. So it is at the server, or at a "
            "device in front of it, yours or your provider's."
        )
        return Side(party="mx", confidence="medium", reasons=(at_the_end,))
    reasons = [_first_reason(registered, cause, said=said)] if registered else []
    if len(senders) > 1:
        reasons.append(f"{len(senders)} senders report it independently: {names(senders)}.")
        guessed = registered is None or (not said and party != registered.side.party)
        confidence: Confidence = "medium" if guessed else "high"
    elif others:
        fine = sum(each.successful for each in others)
        reasons.append(
            f"Only {names(senders)} reports it; {names([each.sender for each in others])} had {fine:,} good sessions "
            "to the same domains in the same days, so it may also be on that sender's side."
        )
        confidence = "medium" if said else "low"
    else:
        reasons.append(f"No other sender reported on these domains in the same days, so only {names(senders)} speaks.")
        confidence = "medium"
    return Side(party=party, confidence=confidence, reasons=tuple(reasons))


def _first_reason(registered: ResultType, cause: Cause | None, *, said: bool) -> str:
    """Why that side: what the result type points to, or, where that is a collective one, what is said of the cause."""
    if cause is None or registered.side.party == cause.party:
        return registered.side.reason
    lead = "What is reported" if said else "The likeliest cause"
    return f"{lead} ({cause.title[:1].lower()}{cause.title[1:]}) {_MENDED_AT[cause.party]}."


_MENDED_AT: Mapping[Party, str] = {
    "mx": "is mended at the mail server",
    "policy-host": "is mended in the MTA-STS policy, at the host that serves it",
    "dns": "is mended in DNS",
    "sender": "is for the sender to mend",
    "network": "happens on the way, or at a host with too much to do",
    "unknown": "does not say where it is mended",
}


def _senders_own(
    registered: ResultType | None, senders: Sequence[str], others: Sequence[Beside], *, said: bool
) -> Side:
    reasons = [registered.side.reason] if registered else []
    if others:
        fine = sum(each.successful for each in others)
        reasons.append(
            f"Only {names(senders)} reports it; {names([each.sender for each in others])} had {fine:,} good sessions "
            "to the same domains in the same days."
        )
    else:
        reasons.append(f"Reported by {names(senders)}.")
    return Side(party="sender", confidence="medium" if others or said else "low", reasons=tuple(reasons))

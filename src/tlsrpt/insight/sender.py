"""One sender, whole: its coverage, its domains and kinds of policy, and where its reports depart from the RFC."""

from __future__ import annotations

from datetime import date

from msgspec import Struct

from tlsrpt.insight.coverage import DomainCoverage, SenderCoverage, domains_of_sender, find_coverage, look_back
from tlsrpt.insight.deviations import Deviation, find_deviations, words_to_send
from tlsrpt.store.senders import PolicyShare, days_of_sender, policies_of_sender
from tlsrpt.store.sqlite import Store


class WholeSender(Struct, frozen=True, kw_only=True):
    """What there is to say of one sender."""

    coverage: SenderCoverage
    domains: tuple[DomainCoverage, ...]  # those on which it fell silent first
    policies: tuple[PolicyShare, ...]
    deviations: tuple[Deviation, ...]  # of the days asked for
    words: str  # to send to its contact; "" where it does nothing wrong


def find_sender(
    store: Store, sender: str, *, since: date, until: date, today: date, domain: str | None = None
) -> WholeSender:
    """One sender that has reported in the days that rhythms are judged from.

    Raises:
        ValueError: it has not.
    """
    found = find_coverage(store, since=since, until=until, today=today, domain=domain, sender=sender)
    whole = next((one for one in found.senders if one.sender == sender), None)
    if whole is None:
        raise ValueError(f"no report of {sender!r}")
    rows = days_of_sender(store, sender, domain=domain, since=look_back(since, until), until=until)
    deviations = find_deviations(store, sender, domain=domain, days={row.day for row in rows if row.day >= since})
    return WholeSender(
        coverage=whole,
        domains=tuple(domains_of_sender(rows, whole, since)),
        policies=tuple(policies_of_sender(store, sender, domain=domain, since=since, until=until)),
        deviations=tuple(deviations),
        words=words_to_send(whole, deviations),
    )

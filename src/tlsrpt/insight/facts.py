"""What an answer about incidents asks for, beyond the failures themselves: of the store, or of one report in hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Protocol

from tlsrpt.store.daily import beside
from tlsrpt.store.evidence import evidence_on, recent_policies
from tlsrpt.store.sqlite import Store
from tlsrpt.store.values import Beside, Evidence

LOOKED_AT = 100  # failure rows of one domain and day, at most, that are looked at


class Facts(Protocol):
    """Answers to questions about some domains and days."""

    def beside(self, domains: Sequence[str], first: date, last: date) -> Sequence[Beside]:
        """What each sender reported on the domains from `first` to `last`, and whether it did later."""

    def evidence(self, report_domain: str, day: date) -> Sequence[Evidence]:
        """Failure rows of a domain and a day; not all, where they are many."""

    def policies(self, report_domain: str, until: date) -> Mapping[tuple[str, ...], date]:
        """MTA-STS policies (their lines) that senders reported of a domain up to a day, and when each came up first."""


class StoreFacts:
    """Facts of a store, up to a day."""

    def __init__(self, store: Store, today: date, *, proven_only: bool = False) -> None:
        self._store, self._today, self._proven_only = store, today, proven_only

    def beside(self, domains: Sequence[str], first: date, last: date) -> Sequence[Beside]:
        return beside(self._store, domains, first=first, last=last, today=self._today, proven_only=self._proven_only)

    def evidence(self, report_domain: str, day: date) -> Sequence[Evidence]:
        return evidence_on(self._store, report_domain, day, limit=LOOKED_AT, proven_only=self._proven_only)

    def policies(self, report_domain: str, until: date) -> Mapping[tuple[str, ...], date]:
        return recent_policies(self._store, report_domain, until)

"""What an answer about incidents asks for, beyond the failures themselves: of the store, or of one report in hand."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Protocol

from tlsrpt.store.daily import beside
from tlsrpt.store.evidence import Cell, evidence_on, recent_policies
from tlsrpt.store.sqlite import Store
from tlsrpt.store.values import Beside, Evidence, Span


class Facts(Protocol):
    """Answers to questions about some domains and days; many at once, since a store has thousands of incidents."""

    def beside(self, spans: Sequence[Span]) -> Sequence[Sequence[Beside]]:
        """For each span what each sender reported in it, and whether it did later."""

    def evidence(self, cells: Collection[Cell]) -> Mapping[Cell, Sequence[Evidence]]:
        """Failure rows of domains and days; not all, where they are many."""

    def policies(self, report_domain: str, until: date) -> Mapping[tuple[str, ...], date]:
        """MTA-STS policies (their lines) that senders reported of a domain up to a day, and when each came up first."""


class StoreFacts:
    """Facts of a store, up to a day."""

    def __init__(self, store: Store, today: date, *, proven_only: bool = False) -> None:
        self._store, self._today, self._proven_only = store, today, proven_only

    def beside(self, spans: Sequence[Span]) -> Sequence[Sequence[Beside]]:
        return beside(self._store, spans, today=self._today, proven_only=self._proven_only)

    def evidence(self, cells: Collection[Cell]) -> Mapping[Cell, Sequence[Evidence]]:
        return evidence_on(self._store, cells, proven_only=self._proven_only)

    def policies(self, report_domain: str, until: date) -> Mapping[tuple[str, ...], date]:
        return recent_policies(self._store, report_domain, until)

"""Prometheus metrics of the ways in, read off the sources' own counts when somebody asks; nothing is counted twice.

Labels are names out of the configuration and words out of closed lists: nothing from outside can add one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from tlsrpt.intake.keeper import Keeper
from tlsrpt.intake.room import Room
from tlsrpt.intake.source import Status
from tlsrpt.intake.way import OUTCOMES
from tlsrpt.service.telling import Figures

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics(Collector):
    """What /metrics says."""

    def __init__(self, keeper: Keeper, room: Room, statuses: Callable[[], Iterable[Status]], telling: Figures) -> None:
        self._telling = telling
        self._keeper = keeper
        self._room = room
        self._statuses = statuses
        self._registry = CollectorRegistry(auto_describe=False)
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)
        self._registry.register(self)

    def text(self) -> bytes:
        """All metrics, in Prometheus' text form."""
        return generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        """Nothing ahead of time: sources come and go."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """The metrics as they are now."""
        taken = CounterMetricFamily("tlsrpt_documents", "Documents taken, by outcome.", labels=("source", "outcome"))
        away = CounterMetricFamily(
            "tlsrpt_documents_turned_away", "Documents put off: too much at once, or no store.", labels=("source",)
        )
        up = GaugeMetricFamily("tlsrpt_source_up", "1 while the source works.", labels=("source", "kind"))
        last = GaugeMetricFamily(
            "tlsrpt_source_last_success_timestamp_seconds",
            "When a report was last taken or a mailbox looked through.",
            labels=("source",),
        )
        lag = GaugeMetricFamily(
            "tlsrpt_source_waiting_documents", "Documents that wait in the mailbox or bucket.", labels=("source",)
        )
        for status in self._statuses():
            name = status.way.name
            for outcome in OUTCOMES:
                taken.add_metric((name, outcome), status.outcomes[outcome])
            away.add_metric((name,), status.turned_away)
            up.add_metric((name, status.way.kind), status.state == "working")
            if status.last_success is not None:
                last.add_metric((name,), status.last_success.timestamp())
            if status.waiting is not None:
                lag.add_metric((name,), status.waiting)
        yield from (taken, away, up, last, lag)
        yield GaugeMetricFamily("tlsrpt_store_up", "1 while the store can be written.", not self._keeper.trouble)
        yield CounterMetricFamily("tlsrpt_commits", "Transactions that kept documents.", self._keeper.batches)
        yield GaugeMetricFamily("tlsrpt_work_documents", "Documents in work.", self._room.documents)
        yield GaugeMetricFamily("tlsrpt_work_bytes", "Bytes of them.", self._room.bytes)
        telling = self._telling
        yield GaugeMetricFamily("tlsrpt_alerts_up", "1 while people can be told; what waits is apart.", telling.up)
        yield GaugeMetricFamily(
            "tlsrpt_alerts_last_look_timestamp_seconds", "When it was last looked what to tell.", telling.looked_at
        )
        yield CounterMetricFamily("tlsrpt_alerts_sent", "Alerts and digests taken by whom they go to.", telling.sent)
        yield CounterMetricFamily("tlsrpt_alerts_not_sent", "Attempts that were not taken.", telling.not_sent)
        yield GaugeMetricFamily("tlsrpt_alerts_waiting", "Alerts and digests that wait to be sent.", telling.waiting)

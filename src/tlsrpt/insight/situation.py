"""How it stands with what takes reports in: asked of the store and of its disk, for `insight.health` to judge."""

from __future__ import annotations

import shutil
from datetime import datetime

from tlsrpt.config import Config
from tlsrpt.insight.health import DAY, WEEK, Situation
from tlsrpt.store.answers import ForeignDomain
from tlsrpt.store.sqlite import Store
from tlsrpt.store.sqlite_arrivals import arrivals
from tlsrpt.store.sqlite_notices import outbox_size


def find_situation(
    store: Store, config: Config, now: datetime, *, once: bool = False
) -> tuple[Situation, list[ForeignDomain]]:
    """The situation, and the domains that reports came for and that are not ours.

    Args:
        once: a timer runs `receive --once`: no service has to run.
    """
    came = arrivals(store, (now - DAY, now - WEEK, now - 5 * WEEK))
    foreign = []
    if came.foreign:
        from tlsrpt.store.reports import foreign_domains

        foreign = foreign_domains(store)
    entries, size_bytes = store.quarantine_size()
    disk = shutil.disk_usage(store.path.parent)
    sources = list(config.source.placed())
    situation = Situation(
        expects_service=bool(sources) and not once,
        configured=[placed.name for placed in sources],
        every={placed.name: getattr(placed.source, "every_s", 0.0) for placed in sources},
        states=store.source_states(),
        last_report=came.last,
        in_day=came.since[0],
        in_week=came.since[1],
        in_four_weeks_before=came.since[2] - came.since[1],
        quarantined=entries,
        quarantined_bytes=size_bytes,
        most_quarantined=config.quarantine.entries,
        most_quarantined_bytes=config.quarantine.size_bytes,
        free_bytes=disk.free,
        disk_bytes=disk.total,
        foreign=came.foreign,
        foreign_domains=[one.domain for one in foreign],
        outbox=outbox_size(store, now),
    )
    return situation, foreign

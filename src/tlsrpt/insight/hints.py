"""Which domains may move to enforce, for many domains at once and from tallies alone: what a digest suggests.

Stricter than `readiness`, so that whatever is named here is ready there: of the last days no session but noise would
have been refused, and one sender alone has told of as many days as are needed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta

from msgspec import Struct

from tlsrpt.core.causes import CAUSES
from tlsrpt.core.domain import is_domain
from tlsrpt.core.reasons import decode
from tlsrpt.core.results import mode_of
from tlsrpt.insight.readiness import (
    DAYS_BETTER,
    DAYS_NEEDED,
    SENDER_DAYS,
    SENDERS_NEEDED,
)
from tlsrpt.insight.state import NOISE_SESSIONS, NOISE_SHARE
from tlsrpt.insight.under_sts import STALE, would_lose
from tlsrpt.insight.wording import count
from tlsrpt.store.policies_seen import policies_on
from tlsrpt.store.sqlite import Store
from tlsrpt.store.sts import StsSender, failing_under_sts, sts_senders


class Hint(Struct, frozen=True, kw_only=True):
    """What could be done next for a domain where nothing is wrong."""

    domain: str
    text: str


def find_hints(
    store: Store, *, until: date, owns: Callable[[str], bool], domain: str | None = None
) -> tuple[Hint, ...]:
    """The domains in testing that may move to enforce, as of a UTC day, by name.

    Args:
        owns: which report domains it is about.
        domain: the one that it is about, where it is one.
    """
    since = until - timedelta(days=DAYS_BETTER - 1)
    of: dict[str, list[StsSender]] = defaultdict(list)
    for row in sts_senders(store, domain=domain, since=since, until=until):
        if row.total > row.reports or row.failed:  # else it may be a loop of report mails (D-74)
            of[row.domain].append(row)
    enough = {
        name: senders
        for name, senders in of.items()
        if is_domain(name) and (domain is not None or owns(name)) and _is_enough(senders, until)
    }
    if not enough:
        return ()
    spoilt = _spoilt(store, domain, enough, since, until)
    clean = {name: max(row.last_day for row in own) for name, own in enough.items() if name not in spoilt}
    quoted = policies_on(store, clean.items())
    return tuple(
        _hint(name, enough[name])
        for name in sorted(clean)
        if {mode_of(lines) for lines in quoted.get(name, ()) if lines} == {"testing"}
    )


def _is_enough(senders: Sequence[StsSender], until: date) -> bool:
    known = [row for row in senders if row.days >= SENDER_DAYS]
    fresh = max(row.last_day for row in senders) >= until - STALE
    return fresh and len(known) >= SENDERS_NEEDED and max(row.days for row in known) >= DAYS_NEEDED


def _spoilt(
    store: Store, domain: str | None, of: Mapping[str, Sequence[StsSender]], since: date, until: date
) -> set[str]:
    """Domains of which enforce would have refused, or whose policy could not be had in, more than a session or two.

    Those one sender may meet on one day.
    """
    met: dict[str, dict[tuple[str, date], int]] = defaultdict(lambda: defaultdict(int))
    told: dict[tuple[str, str], int] = defaultdict(int)
    rows = failing_under_sts(store, domain=domain, since=since, until=until)
    for name, sender, day, result_type, reason, failed in rows:
        told[name, sender] += failed
        known = decode(reason, result_type) if reason else None
        cause = CAUSES[known.points_to[0]] if known is not None and known.points_to else None
        if would_lose(result_type, cause) is not None or result_type.startswith("sts-"):
            met[name][sender, day] += failed
    spoilt = set()
    for name, senders in of.items():
        usual = {row.sender: row.total / row.days for row in senders}  # sessions a day
        without_details = any(row.failed > told[name, row.sender] for row in senders)
        losses = [(usual.get(sender, 0), failed) for (sender, _), failed in met[name].items()]
        if without_details or len(losses) > 1 or any(not _is_noise(failed, daily) for daily, failed in losses):
            spoilt.add(name)
    return spoilt


def _is_noise(failed: int, daily: float) -> bool:
    """A session or two, of far less than a hundredth: that day may have had half as many as usual."""
    return failed < NOISE_SESSIONS and failed < NOISE_SHARE * daily / 2


def _hint(domain: str, senders: Sequence[StsSender]) -> Hint:
    days = max(row.days for row in senders)
    sessions = sum(row.total for row in senders)
    return Hint(
        domain=domain,
        text=f"MTA-STS is in testing and may move to enforce: {count(days, 'reported day')}, "
        f"{count(sessions, 'session')} from {count(len(senders), 'sender')}, no failure that counts. "
        f"tlsrpt readiness {domain}",
    )

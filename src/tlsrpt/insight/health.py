"""Whether all is well with what takes reports in, and if not, what a person has to do. Pure over what was found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from tlsrpt.core.findings import Finding, Severity
from tlsrpt.store.telling import OutboxSize
from tlsrpt.store.values import SourceState

ALIVE = timedelta(minutes=2)  # the service writes its states down every half minute
LOOKED = timedelta(hours=6)  # a mailbox that was looked through longer ago than this is not watched
DAY, WEEK = timedelta(days=1), timedelta(days=7)
USUAL = 7  # reports in the four weeks before, from which on a week without any is odd
SCARCE_BYTES = 2 * 1024**3  # free space that is little
SCARCE_SHARE = 0.05
FULL_SHARE = 0.9  # of the quarantine
POLLED = frozenset(("imap", "maildir", "s3", "graph"))
NAMED_DOMAINS = 3  # foreign ones that are named, the rest counted


class Situation(Struct, frozen=True, kw_only=True):
    """What was found."""

    expects_service: bool  # no: a timer runs `receive --once`, or `ingest` alone fills the store
    configured: Sequence[str]  # sources, as the configuration has them now
    every: Mapping[str, float]  # source -> seconds between looks, of mailboxes
    states: Sequence[SourceState]  # as the service last wrote them down
    last_report: datetime | None
    in_day: int
    in_week: int
    in_four_weeks_before: int
    quarantined: int
    quarantined_bytes: int
    most_quarantined: int
    most_quarantined_bytes: int
    free_bytes: int
    disk_bytes: int
    foreign: int  # reports
    foreign_domains: Sequence[str]  # those with the most reports
    outbox: OutboxSize = OutboxSize()  # alerts and digests on their way


def last_sign(states: Sequence[SourceState]) -> datetime | None:
    """When the service last wrote down how it does."""
    return max((state.updated_at for state in states), default=None)


def alive(states: Sequence[SourceState], now: datetime) -> list[SourceState]:
    """Those of a process that wrote them down lately, and has not said since that it stops.

    A source that is taken out of a running service leaves no row: a stopped one is the sign of its process's end.
    """
    ended = {_process(state) for state in states if state.state == "stopped"}
    return [state for state in states if now - state.updated_at <= ALIVE and _process(state) not in ended]


def _process(state: SourceState) -> tuple[object, ...]:
    return state.host, state.pid, state.started_at


def findings(found: Situation, now: datetime) -> list[Finding]:
    """What needs a person (errors, warnings), then what is worth knowing."""
    said = [
        *_service(found, now),
        *_sources(found, now),
        *_reports(found, now),
        *_room(found),
        *_foreign(found),
        *_outbox(found.outbox),
    ]
    return sorted(said, key=lambda finding: ("error", "warning", "info").index(finding.severity))


def needs_a_person(said: Sequence[Finding]) -> bool:
    """Whether any of it asks for a change."""
    return any(finding.severity != "info" for finding in said)


def _finding(severity: Severity, code: str, where: str, message: str, fix: str, consequence: str = "") -> Finding:
    return Finding(code=code, severity=severity, where=where, message=message, consequence=consequence, fix=fix)


def _service(found: Situation, now: datetime) -> Iterator[Finding]:
    if not found.expects_service or alive(found.states, now):
        return
    sign = last_sign(found.states)
    if sign is None:
        message = "it has never run with this store"
    elif any(state.state == "stopped" for state in found.states):
        message = f"it was stopped {ago(now - sign)} ago"
    else:
        message = f"it does not run; last seen {ago(now - sign)} ago"
    yield _finding(
        "error",
        "service-down",
        "service",
        message,
        "start it: systemctl start tlsrpt, or tlsrpt serve; `journalctl -u tlsrpt` says why it ended",
        "senders and mail servers keep their reports and try again, for some days at most",
    )


def _sources(found: Situation, now: datetime) -> Iterator[Finding]:
    running = alive(found.states, now)
    if not running:
        return
    for state in running:
        if state.name not in found.configured:
            yield _finding(
                "warning", "source-left", state.name, "runs, and is not in the configuration any more", _RELOAD
            )
        elif state.state == "trouble":
            yield _finding(
                "error",
                "source-trouble",
                state.name,
                state.trouble or "in trouble",
                f"tlsrpt source test {state.name}",
                f"for {ago(now - state.since)}; it is tried again by itself",
            )
        elif state.kind in POLLED and _is_stuck(state, found, now):
            last = state.last_success
            since = f"was last looked through {ago(now - last)} ago" if last else "was never looked through"
            yield _finding("error", "source-stuck", state.name, since, f"tlsrpt source test {state.name}")
    for name in found.configured:
        if name not in {state.name for state in running}:
            yield _finding("warning", "source-missing", name, "is in the configuration and does not run", _RELOAD)


def _is_stuck(state: SourceState, found: Situation, now: datetime) -> bool:
    patience = max(LOOKED, timedelta(seconds=4 * found.every.get(state.name, 0.0)))
    return now - (state.last_success or state.since) > patience


def _reports(found: Situation, now: datetime) -> Iterator[Finding]:
    if not found.in_week and found.in_four_weeks_before >= USUAL and found.last_report is not None:
        yield _finding(
            "warning",
            "reports-ceased",
            "reports",
            f"none for {ago(now - found.last_report)}; {found.in_four_weeks_before:,} in the four weeks before",
            "is the record still there, and does mail to its address arrive? tlsrpt record check YOUR.DOMAIN",
            "large senders report every day",
        )


def _room(found: Situation) -> Iterator[Finding]:
    if (
        found.quarantined >= FULL_SHARE * found.most_quarantined
        or found.quarantined_bytes >= FULL_SHARE * found.most_quarantined_bytes
    ) and found.quarantined:
        yield _finding(
            "warning",
            "quarantine-full",
            "quarantine",
            f"{found.quarantined:,} of {found.most_quarantined:,} entries, {found.quarantined_bytes:,} of "
            f"{found.most_quarantined_bytes:,} bytes",
            "see `tlsrpt quarantine list`; `tlsrpt quarantine retry` after an upgrade; or raise [quarantine]",
            "once it is full, mail that can't be read waits where it is",
        )
    elif found.quarantined:
        yield _finding(
            "info",
            "quarantined",
            "quarantine",
            f"{found.quarantined:,} waiting: reports that can't be read",
            "see `tlsrpt quarantine list`",
        )
    if found.free_bytes < min(SCARCE_BYTES, SCARCE_SHARE * found.disk_bytes):
        yield _finding(
            "error",
            "disk-full",
            "store",
            f"{found.free_bytes // 1024**2:,} MiB of the disk are free",
            "make room, or `tlsrpt store prune`",
            "on a full disk nothing is taken in: senders are told to come again",
        )


def _foreign(found: Situation) -> Iterator[Finding]:
    if not found.foreign:
        return
    names = [name for name in found.foreign_domains if name][:NAMED_DOMAINS]
    more = ", ..." if len(found.foreign_domains) > len(names) else ""
    yield _finding(
        "info",
        "foreign-domains",
        "domains",
        f"{found.foreign:,} report{'' if found.foreign == 1 else 's'} for domains that are not in [domains] own"
        + (f": {', '.join(names)}{more}" if names else ""),
        "see `tlsrpt domains`, and add those that are yours",
        "kept, and in no figure",
    )


def _outbox(outbox: OutboxSize) -> Iterator[Finding]:
    if outbox.given_up:
        yield _finding(
            "warning",
            "alerts-given-up",
            "alerts",
            f"{outbox.given_up:,} of the last seven days could not be sent: {outbox.trouble}",
            _SEE_ALERTS,
            "somebody was not told",
        )
    elif outbox.failing:
        yield _finding(
            "warning",
            "alerts-failing",
            "alerts",
            f"{outbox.failing:,} could not be sent yet: {outbox.trouble}",
            _SEE_ALERTS,
            "it is tried again, for three days",
        )


def ago(span: timedelta) -> str:
    """A span of time in its largest unit: 40 s, 5 min, 3 h, 2 days."""
    seconds = max(0, int(span.total_seconds()))
    for size, unit in ((2 * 86_400, "days"), (2 * 3600, "h"), (2 * 60, "min")):
        if seconds >= size:
            return f"{seconds // (size // 2):,} {unit}"
    return f"{seconds} s"


_RELOAD = "take the configuration as it is now: systemctl reload tlsrpt"
_SEE_ALERTS = "see `tlsrpt alerts`, then `tlsrpt alerts test`"

"""What is worth telling: what is so now, held against what was told before. Pure: no store, no clock.

An incident is told when it is open, nobody marked it, and three things hold together:

- so many failed sessions in its last seven days as `alerts.sessions` says,
- which are so large a share of the sessions of the senders that see it as `alerts.share` says, or `alerts.many`,
- and `alerts.factor` times as many as usual, where it has four weeks before that. What is as always is no news.

After that it is told once each that it is worse (`is_worse`), over (the senders that saw it report without it) and open
again. What is to watch, or nobody can tell of, is never told. One that has come back twice in four weeks comes and
goes: that is said, and then nothing until it has stayed away for two weeks.

The first look of all tells what is open as a begin, and takes everything else as known: silences, the quarantine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from tlsrpt.config import AlertsConfig
from tlsrpt.core.findings import Finding, Severity
from tlsrpt.core.results import ConsequenceKind
from tlsrpt.insight.coverage import Coverage, SenderCoverage
from tlsrpt.insight.incident import CONSEQUENCES, Incident
from tlsrpt.store.telling import Level, Told

Event = Literal["opened", "worse", "over", "reopened", "silent", "heard", "quarantine", "trouble", "well"]

WEEK, USUAL_WEEKS = timedelta(days=7), 4
WORSE_AGAIN = timedelta(hours=24)  # between two that say worse or more, but for what mail suffers
WORSE_SHARE, WORSE_NAMES = 0.05, 2  # a share that is more by so much; domains or senders that are more by so many
FLAPS, FLAPPING, SETTLED = 2, timedelta(days=28), timedelta(days=14)
LASTING = timedelta(minutes=15)  # of a trouble of our own, before it is told: a restart of a server is none
LARGE_SENDER = 0.05  # of all sessions: the silence of a smaller one is told as info
FORGOTTEN = timedelta(days=120)  # without a sign of it
TROUBLES = frozenset({"quarantine-full"})  # that are told besides findings of severity error

SEVERITY: Mapping[ConsequenceKind, Severity] = {
    "refused": "error",
    "delayed": "error",
    "delivered-clear": "warning",
    "delivered-unverified": "warning",
    "none": "info",
}
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "error")


class Seen(Struct, frozen=True, kw_only=True):
    """What is so now."""

    incidents: Sequence[Incident] = ()
    coverage: Coverage | None = None
    quarantined: int = 0
    findings: Sequence[Finding] = ()  # on ourselves: insight.health

    @property
    def signed(self) -> bool:
        """Whether any sender signs its reports: where none does, it says nothing that one is not signed."""
        return self.coverage is not None and any(sender.proven != "none" for sender in self.coverage.senders)


class Notice(Struct, frozen=True, kw_only=True):
    """One thing to be told."""

    event: Event
    key: str  # of what it is about: incident:ID, sender:NAME, reports, quarantine, trouble:CODE:WHERE
    severity: Severity
    headline: str
    said: tuple[tuple[str, str], ...] = ()  # name, sentence: why it is told now, and what an incident does not say
    fix: str = ""
    command: str = ""
    domains: tuple[str, ...] = ()  # that it concerns; empty: all of ours
    incident: Incident | None = None


class News(Struct, frozen=True, kw_only=True):
    """What to tell, and what is remembered from then on."""

    notices: tuple[Notice, ...] = ()
    told: tuple[Told, ...] = ()
    forgotten: tuple[str, ...] = ()
    first: bool = False  # the first look of all

    @property
    def anything(self) -> bool:
        """Whether there is anything to keep."""
        return bool(self.notices or self.told or self.forgotten or self.first)


Step = tuple[Notice | None, Told | None]  # what to tell, and what is remembered; None: nothing, as before


def find_news(seen: Seen, told: Mapping[str, Told], config: AlertsConfig, now: datetime, *, first: bool) -> News:
    """What to tell now.

    Args:
        told: what was told before, by key.
        first: nobody ever looked before.
    """
    notices: list[Notice] = []
    changed: list[Told] = []
    forgotten: list[str] = []
    steps = [
        *_incidents(seen, told, config, now, first),
        *_senders(seen.coverage, told, now, first),
        *_quarantine(seen.quarantined, told, config, now, first),
        *_troubles(seen.findings, told, now),
    ]
    for key, (notice, after) in steps:
        if notice is not None:
            notices.append(notice)
        if after is None:
            forgotten.append(key)
        elif after != told.get(key):
            changed.append(after)
    present = _present(seen)
    old = [key for key, each in told.items() if key not in present and now - each.at > FORGOTTEN]
    return News(
        notices=tuple(notices),
        told=tuple(changed),
        forgotten=tuple(k for k in forgotten + old if k in told),
        first=first,
    )


def _present(seen: Seen) -> set[str]:
    """The keys of what can be seen at all, told or not."""
    senders = seen.coverage.senders if seen.coverage else ()
    return {
        "reports",
        "quarantine",
        *(f"incident:{incident.id}" for incident in seen.incidents),
        *(f"sender:{sender.sender}" for sender in senders),
    }


# --- Incidents --------------------------------------------------------------------------------------------------------


def level_of(incident: Incident) -> Level:
    """How bad an incident is, for comparison with what is told of it later."""
    return Level(
        failed=_failed(incident, incident.last_seen - WEEK + timedelta(days=1), incident.last_seen),
        share=incident.failed / incident.total if incident.total else 0.0,
        consequence=incident.consequence,
        domains=len(incident.domains),
        senders=len(incident.senders),
    )


def usual(incident: Incident) -> float | None:
    """Failed sessions a week in the four weeks before the last one; None where it did not last that long."""
    until = incident.last_seen - WEEK
    since = until - USUAL_WEEKS * WEEK + timedelta(days=1)
    if min([incident.first_seen, *(day for day, _ in incident.by_day)]) > since:
        return None
    return _failed(incident, since, until) / USUAL_WEEKS


def is_large(failed: int, share: float, config: AlertsConfig) -> bool:
    """Whether failed sessions are many enough to be told, by count and share together."""
    return failed >= config.sessions and (share >= config.share or failed >= config.many)


def holds_proven(incident: Incident, config: AlertsConfig) -> bool:
    """Whether it would be told from the reports alone that their submitters signed."""
    share = incident.proven / incident.total if incident.total else 0.0
    return is_large(incident.proven, share, config)


def is_worse(now: Level, before: Level, config: AlertsConfig) -> tuple[str, ...]:
    """In which ways it is worse than what was told last, as sentences; what mail suffers comes first."""
    said = []
    if _suffers_more(now, before):
        said.append("Mail suffers more than before.")
    if now.failed >= config.factor * before.failed and now.failed - before.failed >= config.sessions:
        said.append(f"{now.failed:,} failed sessions in its last seven days; {before.failed:,} when it was last told.")
    if now.share >= config.factor * before.share and now.share - before.share >= WORSE_SHARE:
        said.append(f"{now.share:.1%} of the sessions fail; {before.share:.1%} when it was last told.")
    for name, count, last in (("domains", now.domains, before.domains), ("senders", now.senders, before.senders)):
        if count >= config.factor * last and count - last >= WORSE_NAMES:
            said.append(f"{count:,} {name} meet it; {last:,} when it was last told.")
    return tuple(said)


def _suffers_more(now: Level, before: Level) -> bool:
    return _rank(now.consequence) < _rank(before.consequence)


def _rank(consequence: str) -> int:
    return [*map(str, CONSEQUENCES)].index(consequence)


def _failed(incident: Incident, since: date, until: date) -> int:
    return sum(failed for day, failed in incident.by_day if since <= day <= until)


def _incidents(
    seen: Seen, told: Mapping[str, Told], config: AlertsConfig, now: datetime, first: bool
) -> Iterator[tuple[str, Step]]:
    for incident in seen.incidents:
        key = f"incident:{incident.id}"
        before = told.get(key)
        step = _incident(incident, key, before, config, now, first=first, signed=seen.signed)
        if step != (None, before):
            yield key, step


def _incident(
    incident: Incident, key: str, before: Told | None, config: AlertsConfig, now: datetime, *, first: bool, signed: bool
) -> Step:
    """One incident: the notice, and what is remembered."""
    level = level_of(incident)
    large = is_large(level.failed, level.share, config) and (config.unproven or holds_proven(incident, config))
    worth = incident.state == "open" and large

    def remembered(state: Literal["open", "over"], **values: object) -> Told:
        return _told(incident, key, before, state, level, now, **values)

    def notice(event: Event, why: tuple[str, ...] = ()) -> Notice:
        severity = SEVERITY[incident.consequence]
        if event == "over" and before is not None:  # to everyone who was told how bad it was
            severity = _severity(before.severity)
        said = [("Why you are told now", " ".join(why))] if why else []
        said += _proof(incident, config) if signed and event != "over" else []
        return Notice(
            event=event,
            key=key,
            severity=severity,
            headline=incident.headline,
            said=tuple(said),
            command=f"tlsrpt incidents {incident.id}",
            domains=incident.domains,
            incident=incident,
        )

    if incident.mark != "none":  # somebody knows of it; should it open again, that is told
        if incident.state == "open" and (before is None or before.state != "over"):
            return None, remembered("over")
        return None, before
    if before is None:
        if not worth or not (first or _is_unusual(incident, level, config)):
            return None, None
        return notice("opened"), remembered("open")
    if before.state == "open":
        if incident.state == "quiet":
            if before.silenced and now.date() - incident.last_seen < SETTLED:
                return None, before
            return notice("over"), remembered("over", silenced=False)
        why = is_worse(level, before.level, config) if worth else ()
        if why and (_suffers_more(level, before.level) or now - before.at >= WORSE_AGAIN):
            return notice("worse", why), remembered("open")
        return None, before
    if not worth:
        return None, before
    today = now.date()
    turns = (*(turn for turn in before.turns if today - turn < FLAPPING), today)
    flapping = len(turns) >= FLAPS
    why = (
        (
            f"It comes and goes ({len(turns)} times back in {FLAPPING.days} days): nothing more is told of it, unless "
            f"it gets worse, until it has stayed away for {SETTLED.days} days.",
        )
        if flapping
        else ()
    )
    return notice("reopened", why), remembered("open", turns=turns, silenced=flapping)


def _is_unusual(incident: Incident, level: Level, config: AlertsConfig) -> bool:
    average = usual(incident)
    return average is None or level.failed >= config.factor * average


def _told(
    incident: Incident,
    key: str,
    before: Told | None,
    state: Literal["open", "over"],
    level: Level,
    now: datetime,
    **values: object,
) -> Told:
    severity = SEVERITY[incident.consequence]
    if before is not None and before.state == "open":  # the worst of this time
        severity = max(severity, _severity(before.severity), key=SEVERITIES.index)
    told = Told(
        key=key,
        state=state,
        at=now,
        level=level,
        turns=before.turns if before else (),
        headline=incident.headline,
        severity=severity,
        silenced=before.silenced if before else False,
    )
    return replace(told, **values)


def _severity(word: str) -> Severity:
    return next((each for each in SEVERITIES if each == word), "warning")


def _proof(incident: Incident, config: AlertsConfig) -> list[tuple[str, str]]:
    """What it would be without reports that nobody signed, where that differs."""
    if incident.proven >= incident.failed or holds_proven(incident, config):
        return []
    if not incident.proven:
        said = (
            "Only reports that no submitter signed say so: anybody could have made them up. Without them there is "
            "nothing of it."
        )
    else:
        share = f"{incident.proven:,} of its {incident.failed:,} failed sessions"
        said = f"Only {share} are in reports that their submitters signed. Without the others you would not be told."
    return [("Proof", said)]


# --- Silence ----------------------------------------------------------------------------------------------------------


def _senders(
    coverage: Coverage | None, told: Mapping[str, Told], now: datetime, first: bool
) -> Iterator[tuple[str, Step]]:
    if coverage is None or coverage.together is None:
        return
    together = coverage.together
    all_silent = together.state == "silent"
    before = told.get("reports")
    if all_silent and before is None:
        notice = Notice(
            event="silent",
            key="reports",
            severity="error",
            headline=f"No report has come from anyone since the reports of {together.last_day}",
            said=tuple(("What it may be", text) for text in coverage.advice),
            command="tlsrpt health",
        )
        yield "reports", (None if first else notice, _told_of(notice, now))
    elif before is not None and together.state == "reporting":
        yield "reports", (_heard(before, "Reports come again"), None)
    total = sum(sender.successful + sender.failed for sender in coverage.senders)
    for sender in coverage.senders:
        key = f"sender:{sender.sender}"
        before = told.get(key)
        if sender.state == "silent" and before is None and not sender.loop and not all_silent:
            notice = _silent(sender, key, total, coverage.advice)
            yield key, (None if first else notice, _told_of(notice, now))
        elif before is not None and sender.state == "reporting":
            yield key, (_heard(before, f"{sender.sender or 'A sender without a name'} reports again"), None)


def _silent(sender: SenderCoverage, key: str, total: int, advice: Sequence[str]) -> Notice:
    sessions = sender.successful + sender.failed
    return Notice(
        event="silent",
        key=key,
        severity="warning" if sessions >= LARGE_SENDER * total else "info",
        headline=f"{sender.sender or 'A sender without a name'} has sent no report since that of {sender.last_day}",
        said=(("What is known", sender.why), *(("What it may be", text) for text in advice)),
        command="tlsrpt senders",
    )


def _heard(before: Told, headline: str) -> Notice:
    return Notice(event="heard", key=before.key, severity=_severity(before.severity), headline=headline)


def _told_of(notice: Notice, now: datetime, level: Level | None = None) -> Told:
    return Told(
        key=notice.key,
        state="open",
        at=now,
        level=level or Level(),
        headline=notice.headline,
        severity=notice.severity,
    )


# --- Ourselves --------------------------------------------------------------------------------------------------------


def _quarantine(
    entries: int, told: Mapping[str, Told], config: AlertsConfig, now: datetime, first: bool
) -> Iterator[tuple[str, Step]]:
    """The quarantine grows: its first entry is told, then each time it has grown by the factor, once a day at most."""
    key = "quarantine"
    before = told.get(key)
    known = before.level.failed if before else 0
    notice = Notice(
        event="quarantine",
        key=key,
        severity="warning",
        headline=f"{entries:,} {'report waits' if entries == 1 else 'reports wait'} that could not be read",
        said=(("What it means", "They are kept and stand in no figure. An upgrade may read them."),),
        fix="See what came; after an upgrade `tlsrpt quarantine retry` reads it again.",
        command="tlsrpt quarantine list",
    )
    after = _told_of(notice, now, Level(failed=entries))
    if not entries:
        if before is not None:
            yield key, (None, None)
    elif entries < known or first:
        yield key, (None, after if before is None else replace(after, at=before.at))
    elif before is None or (entries >= config.factor * known and now - before.at >= WORSE_AGAIN):
        yield key, (notice, after)


def _troubles(findings: Sequence[Finding], told: Mapping[str, Told], now: datetime) -> Iterator[tuple[str, Step]]:
    """Troubles of our own, once they last; and that they are over."""
    seen = set()
    for finding in findings:
        if finding.severity != "error" and finding.code not in TROUBLES:
            continue
        key = f"trouble:{finding.code}:{finding.where}"
        seen.add(key)
        before = told.get(key)
        notice = Notice(
            event="trouble",
            key=key,
            severity=finding.severity,
            headline=f"{finding.where}: {finding.message}",
            said=(("What follows", finding.consequence),) if finding.consequence else (),
            fix=finding.fix,
            command="tlsrpt health",
        )
        if before is None:
            yield key, (None, replace(_told_of(notice, now), state="pending"))
        elif before.state == "pending" and now - before.at >= LASTING:
            yield key, (notice, _told_of(notice, now))
    for key, before in told.items():
        if key.startswith("trouble:") and key not in seen:
            over = Notice(
                event="well", key=key, severity=_severity(before.severity), headline=f"Over: {before.headline}"
            )
            yield key, (over if before.state == "open" else None, None)

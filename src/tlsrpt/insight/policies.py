"""The MTA-STS policies that senders say they applied: since when, by whom, and who may still hold an old one.

A sender keeps a policy for max_age from the day on which it fetched it (RFC 8461 section 3.2), and goes on applying it
until it learns of a newer one (section 5.1). Whoever changes MX hosts has to wait for that: a copy in enforce that does
not list the new hosts makes its holder refuse them. A report shows what was applied on its day, not what is held today.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Literal

from msgspec import Struct, structs

from tlsrpt.core.mtasts import MAX_AGE, MODES, Mode, mx_matches, parse_policy_lines
from tlsrpt.insight.wording import count, domain_name, names
from tlsrpt.store.policies_seen import PolicySeen, policies_seen
from tlsrpt.store.sqlite import Store

Bearing = Literal["for", "against", "missing", "note"]
Change = Literal["safe", "not-yet", "not-enough-seen"]

_DAY_S = 86_400


class Reason(Struct, frozen=True, kw_only=True):
    """Why a verdict is what it is: a full sentence, and how it bears on the verdict."""

    code: str
    bearing: Bearing
    text: str


class Holder(Struct, frozen=True, kw_only=True):
    """One sender that applied a policy."""

    sender: str
    first_day: date
    last_day: date
    sessions: int
    failed: int
    latest: bool  # it is (one of) those that this sender quoted last
    until: date | None  # it holds its copy up to this day at the latest; None: the policy says no max_age


class PolicyVersion(Struct, frozen=True, kw_only=True):
    """One policy as senders quote it: mode, hosts and max_age; the order of its lines is no difference (F-33)."""

    mode: Mode
    mx: tuple[str, ...]  # hosts and patterns, sorted
    max_age: int | None
    lines: tuple[str, ...]  # as one sender wrote it
    first_day: date
    last_day: date
    sessions: int
    failed: int
    holders: tuple[Holder, ...]  # most sessions first
    came: date | None = None  # the first day on which a sender had changed to it; None: nobody was seen to change
    lacks: tuple[str, ...] = ()  # hosts of the newest that this one does not list

    def covers(self, host: str) -> bool:
        """Whether mail may go to an MX host under it (RFC 8461 section 4.1)."""
        return any(mx_matches(pattern, host) for pattern in self.mx)


class Policies(Struct, frozen=True, kw_only=True):
    """The policies of one domain over some days, and whether MX hosts may be changed as if all held the newest."""

    domain: str
    since: date
    until: date
    today: date
    change: Change
    headline: str
    reasons: tuple[Reason, ...]
    safe_from: date | None = None  # from this day on nobody can hold a copy that forbids the hosts of today
    newest: PolicyVersion | None = None
    older: tuple[PolicyVersion, ...] = ()  # the last seen first
    not_quoting: tuple[str, ...] = ()  # senders that report under MTA-STS and quote no policy


def find_policies(
    store: Store, domain: str, *, since: date, until: date, today: date, proven_only: bool = False
) -> Policies:
    """The policies that senders reported of a domain in the UTC days from `since` to `until`, judged from `today`."""
    rows = policies_seen(store, domain, since=since, until=until, proven_only=proven_only)
    return judge_policies(domain, rows, since=since, until=until, today=today)


def judge_policies(domain: str, rows: Sequence[PolicySeen], *, since: date, until: date, today: date) -> Policies:
    """What quoted policies say; pure over rows in hand."""
    versions = _versions(rows)
    newest = _newest(versions)
    older = tuple(_lacking(version, newest) for version in versions if version is not newest) if newest else ()
    quoting = {holder.sender for version in versions for holder in version.holders}
    change, headline, reasons, safe_from = _judge(domain, newest, older, today)
    return Policies(
        domain=domain,
        since=since,
        until=until,
        today=today,
        change=change,
        headline=headline,
        reasons=tuple(reasons),
        safe_from=safe_from,
        newest=newest,
        older=tuple(sorted(older, key=lambda one: (one.last_day, one.first_day), reverse=True)),
        not_quoting=tuple(sorted({row.sender for row in rows} - quoting)),
    )


# --- Which policies there are ----------------------------------------------------------------------------------------

_Key = tuple[Mode, tuple[str, ...], int | None]


def _versions(rows: Iterable[PolicySeen]) -> list[PolicyVersion]:
    """One for each policy that can be read; one that can't is in force nowhere (RFC 8461 section 3.2)."""
    of: dict[_Key, list[PolicySeen]] = defaultdict(list)
    days: dict[str, list[date]] = defaultdict(list)
    for row in rows:
        key = _key(row.policy_string)
        if key is not None:
            of[key].append(row)
            days[row.sender].append(row.day)
    spans = {sender: (min(own), max(own)) for sender, own in days.items()}
    return [_version(key, own, spans) for key, own in of.items()]


def _key(lines: tuple[str, ...]) -> _Key | None:
    said = parse_policy_lines(lines)
    mode = next((mode for mode in MODES if mode == said.mode), None)
    if mode is None or not (said.mx or mode == "none"):
        return None
    return mode, tuple(sorted({host.lower().removesuffix(".") for host in said.mx})), said.max_age


def _version(key: _Key, rows: Sequence[PolicySeen], spans: Mapping[str, tuple[date, date]]) -> PolicyVersion:
    """One policy; `spans` are the first and last days on which each sender quoted any."""
    of: dict[str, list[PolicySeen]] = defaultdict(list)
    for row in rows:
        of[row.sender].append(row)
    mode, mx, max_age = key
    holders = [_holder(sender, own, max_age, spans[sender][1]) for sender, own in of.items()]
    came = [one.first_day for one in holders if one.first_day > spans[one.sender][0]]
    return PolicyVersion(
        mode=mode,
        mx=mx,
        max_age=max_age,
        lines=rows[-1].policy_string,
        first_day=min(row.day for row in rows),
        last_day=max(row.day for row in rows),
        sessions=sum(row.successful + row.failed for row in rows),
        failed=sum(row.failed for row in rows),
        holders=tuple(sorted(holders, key=lambda one: (-one.sessions, one.sender))),
        came=min(came, default=None),
    )


def _holder(sender: str, rows: Sequence[PolicySeen], max_age: int | None, last: date) -> Holder:
    last_day = max(row.day for row in rows)
    return Holder(
        sender=sender,
        first_day=min(row.day for row in rows),
        last_day=last_day,
        sessions=sum(row.successful + row.failed for row in rows),
        failed=sum(row.failed for row in rows),
        latest=last_day == last,
        until=None if max_age is None else held_until(last_day, max_age),
    )


def held_until(day: date, max_age: int) -> date:
    """The last UTC day on which a copy that was fetched on a day, at its end at the latest, may still be applied."""
    return day + timedelta(days=-(-min(max_age, MAX_AGE) // _DAY_S))


def _newest(versions: Sequence[PolicyVersion]) -> PolicyVersion | None:
    """The policy that was published last, as far as senders show it: the one to which a sender changed last.

    That one comes up late is no proof: a sender that reports seldom may have held it for long. One that every sender
    which ever had it has given up again was taken back.
    """
    current = [one for one in versions if any(holder.latest for holder in one.holders)]
    return max(
        current,
        key=lambda one: (one.came or date.min, one.first_day, one.last_day, one.sessions, one.mx, one.mode),
        default=None,
    )


def _lacking(version: PolicyVersion, newest: PolicyVersion) -> PolicyVersion:
    lacks = tuple(host for host in newest.mx if host not in version.mx and not version.covers(host))
    return structs.replace(version, lacks=lacks)


# --- Whether MX hosts may be changed ---------------------------------------------------------------------------------

_Judged = tuple[Change, str, list[Reason], date | None]


def _judge(domain: str, newest: PolicyVersion | None, older: Sequence[PolicyVersion], today: date) -> _Judged:
    name = domain_name(domain)
    if newest is None:
        text = f"No sender quotes an MTA-STS policy of {name} in these days, so nobody can tell which one they hold."
        return "not-enough-seen", text, [Reason(code="none-quoted", bearing="missing", text=text)], None
    reasons = [
        Reason(
            code="newest",
            bearing="note",
            text=f"The newest policy that is reported came up on {newest.first_day}; "
            f"{count(len(newest.holders), 'sender')} quoted it. One that you have published since is not reported yet.",
        )
    ]
    reasons += [reason for version in older for reason in _of_holders(version, today)]
    binding = [version for version in older if version.mode == "enforce" and version.lacks]
    held = {holder.sender for version in binding for holder in version.holders if _holds(holder, today)}
    days = [day for version in binding for day in _last_days(version, newest)]
    last = max((day for day in days if day >= today), default=None)
    if last is None:
        return "safe", _safe_headline(name, older), reasons, None
    if not held:
        reasons.append(_unseen(binding, newest, last))
    who = f"{names(sorted(held))} may" if held else "Senders that do not report may"
    headline = (
        f"Keep the MX hosts as they are: {who} still hold an old policy in enforce that does not list "
        f"{names(binding[0].lacks)}, until {last} at the latest."
    )
    return "not-yet", headline, reasons, last + timedelta(days=1)


def _holds(holder: Holder, today: date) -> bool:
    """Whether a sender may hold it today: it is what it quoted last, and has not run out."""
    return holder.latest and (holder.until is None or holder.until >= today)


def _last_days(version: PolicyVersion, newest: PolicyVersion) -> Iterable[date]:
    """Up to when it may be held: by those that quoted it last, and by whoever fetched it before the newest came up."""
    age = MAX_AGE if version.max_age is None else version.max_age
    yield from (held_until(holder.last_day, age) for holder in version.holders if holder.latest)
    yield held_until(newest.first_day, age)


def _of_holders(version: PolicyVersion, today: date) -> Iterable[Reason]:
    what = f"the policy of {version.first_day} ({version.mode}, {count(len(version.mx), 'host')})"
    for holder in version.holders:
        if not holder.latest:
            continue
        sender = names([holder.sender])
        until = "a year after that at the latest" if holder.until is None else f"{holder.until} at the latest"
        if not _holds(holder, today):
            text = f"{sender} applied {what} last on {holder.last_day}; its copy has run out on {holder.until}."
            yield Reason(code="old-policy-run-out", bearing="for", text=text)
            continue
        effect = ""
        if version.lacks and version.mode == "enforce":
            effect = f" It forbids {names(version.lacks)}, which the newest policy lists."
        text = f"{sender} still applied {what} on {holder.last_day} and may hold it until {until}.{effect}"
        yield Reason(code="old-policy-held", bearing="against" if effect else "note", text=text)


def _unseen(binding: Sequence[PolicyVersion], newest: PolicyVersion, last: date) -> Reason:
    return Reason(
        code="old-policy-unseen",
        bearing="against",
        text=f"Nobody who reports holds {'it' if len(binding) == 1 else 'one of them'} any more. Most senders never "
        f"report: one that fetched it before the newest came up on {newest.first_day} may hold it until {last}.",
    )


def _safe_headline(name: str, older: Sequence[PolicyVersion]) -> str:
    if not older:
        return (
            f"One policy of {name} is reported, and no older one: an MX host that it does not list may be switched off."
        )
    if any(version.mode == "enforce" and version.lacks for version in older):
        return f"Every old policy of {name} that would be in the way has run out: senders apply the newest, or none."
    return f"No old policy of {name} forbids a host of the newest: an MX host that this one does not list may go."

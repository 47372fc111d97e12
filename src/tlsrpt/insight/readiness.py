"""Readiness: may a domain move its MTA-STS policy from testing to enforce? A verdict with its reasons.

Under enforce a sender does not deliver to a host that fails a check (RFC 8461 section 5). So what counts is: which of
the sessions that were reported under MTA-STS would then have been refused, whether that goes on, and whether enough was
seen. A policy that can't be fetched refuses nothing: without a copy of it mail is delivered as without MTA-STS (section
3.3); nor is such a session checked, so it says nothing. Sessions under DANE say nothing of it either.

The rules, in one place:

- Not ready: a fault that goes on would make senders refuse mail. One sender's one or two sessions of one day, of less
  than a hundredth, are noise and told as such (D-73). So is, however long it goes on, what only delays less than a
  hundredth of the sessions and passes by itself.
- Not enough seen: fewer than DAYS_NEEDED reported days since the last such fault, fewer than SENDERS_NEEDED senders
  that apply MTA-STS, no report of the last days, a fault that nobody can call over, or no policy at all.
- Ready: neither. Whether it is so by signed reports alone, too, is looked at and said where it differs; a fault that
  these do not show as over, no others can call over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from typing import Literal

from msgspec import Struct, structs

from tlsrpt.core.results import ConsequenceKind, Mode
from tlsrpt.insight.policies import Policies, PolicyVersion, Reason, find_policies
from tlsrpt.insight.under_sts import STALE, Fault, MxHost, SenderShare, View, hosts_of, look, worst_first
from tlsrpt.insight.wording import count, domain_name, names
from tlsrpt.store.daily import failure_rows
from tlsrpt.store.figures import summary
from tlsrpt.store.sqlite import Store

ReadinessVerdict = Literal["ready", "not-ready", "not-enough-seen"]
VERDICTS: tuple[ReadinessVerdict, ...] = ("not-ready", "not-enough-seen", "ready")  # the worst first

DAYS_NEEDED = 14  # reported UTC days in a row without a fault: two weeks, as Google advises, have each weekday twice
DAYS_BETTER = 30  # a month also has what happens once a month: a renewal, a backup host's turn
SENDERS_NEEDED = 2  # that apply MTA-STS: one alone may never meet one of your hosts, or may see what no other sees
SENDER_DAYS = 3  # reported days that make a sender one of these


class Readiness(Struct, frozen=True, kw_only=True):
    """Whether a domain may move to enforce, and why. Sessions are those under MTA-STS, as sent."""

    domain: str
    verdict: ReadinessVerdict
    headline: str
    reasons: tuple[Reason, ...]  # what speaks against it first, then what is missing, what speaks for it, the rest
    steps: tuple[str, ...]
    proven_verdict: ReadinessVerdict | None  # by signed reports alone; None where none is signed
    since: date
    until: date
    today: date
    mode: Mode | None  # of the newest policy that is reported; None: no report shows one
    sessions: int
    refused: int
    days: int  # reported
    clean_days: int  # of these, since the last fault that counts
    last_day: date | None
    senders: tuple[SenderShare, ...]  # most sessions first
    faults: tuple[Fault, ...]  # those that count and go on first
    mx_hosts: tuple[MxHost, ...]
    policies: Policies


def find_readiness(store: Store, domain: str, *, since: date, until: date, today: date) -> Readiness:
    """Whether a domain may move to enforce, by the reports of the UTC days from `since` to `until`.

    Args:
        domain: a policy domain; a report domain of other names stands for all of them.
        today: the UTC day to judge from.
    """
    policies = find_policies(store, domain, since=since, until=until, today=today)
    newest = policies.newest
    totals = summary(store, domain=domain, since=since, until=until).totals
    view = look(store, domain, since=since, until=until, today=today)
    signed = summary(store, domain=domain, since=since, until=until, proven_only=True).totals.reports
    proven: ReadinessVerdict | None = None
    if signed:
        of = find_policies(store, domain, since=since, until=until, today=today, proven_only=True)
        proven_view = look(store, domain, since=since, until=until, today=today, proven_only=True)
        proven, _ = _judge(domain, proven_view, of.newest, until, any_report=True)
        view = _overruled(view, proven_view)
    verdict, reasons = _judge(domain, view, newest, until, any_report=totals.reports > 0)
    reasons += list(_said_of_proof(verdict, proven, totals.reports))
    hosts = hosts_of(failure_rows(store, domain=domain, since=since, until=until), newest)
    reasons += list(_of_hosts(hosts))
    reasons += [structs.replace(each, bearing="note") for each in policies.reasons if each.code == "old-policy-held"]
    mode = newest.mode if newest else None
    return Readiness(
        domain=domain,
        verdict=verdict,
        headline=_headline(domain, verdict, view, mode, reasons),
        reasons=tuple(sorted(reasons, key=lambda each: ("against", "missing", "for", "note").index(each.bearing))),
        steps=tuple(_steps(domain, verdict, view, mode, until, reasons)),
        proven_verdict=proven,
        since=since,
        until=until,
        today=today,
        mode=mode,
        sessions=view.sessions,
        refused=view.refused,
        days=len(view.days),
        clean_days=len(view.clean),
        last_day=view.days[-1] if view.days else None,
        senders=view.senders,
        faults=view.faults,
        mx_hosts=hosts,
        policies=policies,
    )


def _overruled(view: View, proven: View) -> View:
    """All that is seen, where nobody can call a fault over that signed reports do not show as over.

    Anybody can make up clean days in a sender's name.
    """
    goes_on = {fault.id: fault for fault in proven.faults if fault.state in ("open", "unknown") and not fault.noise}
    faults = [goes_on.get(fault.id, fault) if fault.state == "quiet" else fault for fault in view.faults]
    return structs.replace(view, faults=tuple(sorted(faults, key=worst_first)))


# --- The verdict -----------------------------------------------------------------------------------------------------


def _judge(
    domain: str, view: View, newest: PolicyVersion | None, until: date, *, any_report: bool
) -> tuple[ReadinessVerdict, list[Reason]]:
    against = list(_against(view.faults))
    missing = list(_missing(domain, view, newest, until, any_report=any_report))
    verdict: ReadinessVerdict = "not-ready" if against else "not-enough-seen" if missing else "ready"
    return verdict, [*against, *missing, *_told(view, newest)]


def _against(faults: Iterable[Fault]) -> Iterator[Reason]:
    for fault in faults:
        if fault.state in ("open", "watch") and not fault.noise:
            text = (
                f"{_name(fault)} goes on, as far as is reported: {_size(fault)}. Under enforce {_WOULD[fault.would]}."
            )
            yield Reason(code="fault-open", bearing="against", text=text)


_WOULD: dict[ConsequenceKind, str] = {
    "refused": "no mail is delivered to a host where this fails; what no other host takes bounces at last",
    "delayed": "senders hold this mail back until a retry succeeds",
}


def _name(fault: Fault) -> str:
    return f"Incident {fault.id} ({names([fault.title])} at {domain_name(fault.place)})"


def _size(fault: Fault) -> str:
    days = (
        f"on {fault.first_seen}"
        if fault.first_seen == fault.last_seen
        else f"from {fault.first_seen} to {fault.last_seen}"
    )
    share = percent(fault.failed, fault.sessions)
    return f"{count(fault.failed, 'session')} {days}, {share} of those reported then, by {names(fault.senders)}"


def percent(part: int, whole: int) -> str:
    """A share; one that is not nothing never reads 0 %."""
    share = 100 * part / whole if whole else 0.0
    return "<0.01 %" if 0 < share < 0.01 else f"{share:.2f} %" if 0 < share < 1 else f"{share:.1f} %"


def _missing(
    domain: str, view: View, newest: PolicyVersion | None, until: date, *, any_report: bool
) -> Iterator[Reason]:
    name = domain_name(domain)
    if not any_report:
        yield _lack("no-reports", f"No report on {name} came in these days, so nothing is known of it.")
        return
    if not view.sessions:
        text = f"No session under an MTA-STS policy is reported of {name}: its senders found no policy, or used DANE."
        yield _lack("no-sts", text)
        return
    if newest is not None and newest.mode == "none":
        text = (
            f"The newest policy that senders report (since {newest.first_day}) is in mode none: nobody checks anything."
        )
        yield _lack("mode-none", text)
    if view.unchecked:
        text = (
            f"In most sessions of the last days the sender could not have the policy, or not read it, up to "
            f"{view.policy_fault}. What is not checked says nothing, and enforce would protect nothing."
        )
        yield _lack("policy-not-had", text)
    last = view.days[-1] if view.days else None
    if last is not None and last < until - STALE and not view.unchecked:
        text = f"The last session that was checked under MTA-STS is of {last}: what came after that nobody has told."
        yield _lack("reports-old", text)
    for fault in view.faults:
        if fault.state == "unknown" and not fault.noise:
            text = f"{_name(fault)} may go on, and nobody can tell: {_size(fault)}."
            yield _lack("fault-unknown", text)
    yield from _too_little(view)


def _too_little(view: View) -> Iterator[Reason]:
    clean = view.clean
    since = f" since {view.last_bad}, when a fault was seen last" if view.last_bad else ""
    if len(clean) < DAYS_NEEDED:
        yield _lack(
            "fault-lately-over" if view.last_bad and len(view.days) >= DAYS_NEEDED else "few-days",
            f"{count(len(clean), 'reported day')}{since}; {DAYS_NEEDED} are needed, {DAYS_BETTER} are better.",
        )
    known = [sender for sender in view.senders if not sender.loop and sender.days >= SENDER_DAYS]
    if len(known) < SENDERS_NEEDED:
        who = f" ({names([sender.sender for sender in known])})" if known else ""
        yield _lack(
            "few-senders",
            f"{count(len(known), 'sender')}{who} reported under MTA-STS on {SENDER_DAYS} days or more; "
            f"{SENDERS_NEEDED} are needed, best large ones that apply it, such as Google and Microsoft.",
        )


def _lack(code: str, text: str) -> Reason:
    return Reason(code=code, bearing="missing", text=text)


def _told(view: View, newest: PolicyVersion | None) -> Iterator[Reason]:
    """What speaks for it, and what has no say and is to be known."""
    yield from _of_mode(newest, view.sessions)
    clean = view.clean
    if clean:
        who = [sender.sender for sender in view.senders if not sender.loop]
        text = (
            f"{count(len(clean), 'reported day')} from {clean[0]} to {clean[-1]} without a fault that counts, "
            f"{count(view.sessions, 'session')} in all from {names(who)}."
        )
        goes_on = any(fault.state != "quiet" and not fault.noise for fault in view.faults)
        if not goes_on and (len(clean) >= DAYS_NEEDED or not view.last_bad):
            yield Reason(code="clean", bearing="for", text=text)
        if DAYS_NEEDED <= len(clean) < DAYS_BETTER and not goes_on:
            yield _note(
                "more-days-better",
                f"{DAYS_BETTER} clean days are better than {len(clean)}: they also hold what happens once a month, "
                "such as a renewal or a backup host's turn.",
            )
    for fault in view.faults:
        if fault.noise:
            why = "passes by itself, delays little" if fault.would == "delayed" else "one sender, one day"
            yield _note("noise", f"{_name(fault)}: {_size(fault)}. Too little to count ({why}).")
        elif fault.state == "quiet":
            yield _note("fault-over", f"{_name(fault)} is over, as far as is reported: {_size(fault)}.")
    if view.policy_fault is not None and not view.unchecked:
        yield _note(
            "policy-not-had",
            f"In {count(view.policy_faults, 'session')}, last on {view.policy_fault}, the sender could not have the "
            "policy, or not read it. Enforce refuses nothing for that, and protects nothing there either.",
        )
    if view.sessions:
        yield _note(
            "hosts-not-seen",
            "Reports name only MX hosts that fail. A host that nobody used in these days, such as a backup, was not "
            "tried: tlsrpt policy check looks at each.",
        )


def _of_mode(newest: PolicyVersion | None, sessions: int) -> Iterator[Reason]:
    if newest is None:
        if sessions:
            yield _note(
                "mode-not-shown", "No report quotes the policy, so its mode is not known: see tlsrpt policy check."
            )
        return
    since = f"since {newest.first_day} at the latest ({count(len(newest.holders), 'sender')})"
    if newest.mode == "enforce":
        yield _note("already-enforce", f"Senders report mode enforce already, {since}: what fails is refused today.")
    elif newest.mode == "testing":
        yield _note("mode-testing", f"Senders report mode testing, {since}: what fails is delivered all the same.")


def _note(code: str, text: str) -> Reason:
    return Reason(code=code, bearing="note", text=text)


def _said_of_proof(verdict: ReadinessVerdict, proven: ReadinessVerdict | None, reports: int) -> Iterator[Reason]:
    if proven is None and reports:
        yield _note("nothing-signed", "No report is signed by its submitter (DKIM): anybody could have made these up.")
    elif proven is not None and proven != verdict:
        yield _note(
            "proven-differs",
            f"By the reports that their submitter signed (DKIM) alone the verdict is {proven}: the others could have "
            "been made up by anybody.",
        )


def _of_hosts(hosts: Iterable[MxHost]) -> Iterator[Reason]:
    for host in hosts:
        if host.covered is False:
            yield _note(
                "mx-not-covered",
                f"{domain_name(host.name)} is named in failures up to {host.last_seen}, and the newest policy does not "
                "list it: under enforce no mail goes there. Is it still among the MX records?",
            )


def _headline(domain: str, verdict: ReadinessVerdict, view: View, mode: str | None, reasons: Sequence[Reason]) -> str:
    name = domain_name(domain)
    share = f"{count(view.refused, 'session')} of {view.sessions:,} ({percent(view.refused, view.sessions)})"
    already = mode == "enforce"
    if verdict == "not-ready":
        if already:
            return f"{name} is in enforce and loses mail: {share} failed so that senders refuse or delay it."
        return f"{name} is not ready for enforce: it would have refused or delayed {share}, and that goes on."
    if verdict == "not-enough-seen":
        lack = next(reason for reason in reasons if reason.bearing == "missing")
        start = "in enforce already; whether that is well can't be said" if already else "can't be judged"
        return f"{name} {'is ' if already else ''}{start} yet. {lack.text}"
    if already:
        lost = share if view.refused else f"none of {count(view.sessions, 'session')}"
        return f"{name} is in enforce already, and nothing speaks against it: {lost} refused or delayed."
    if not view.refused:
        return f"{name} may move to enforce: it would have refused none of {count(view.sessions, 'session')}."
    return (
        f"{name} may move to enforce: it would have refused or delayed {share}, and nothing of that goes on or counts."
    )


def _steps(
    domain: str, verdict: ReadinessVerdict, view: View, mode: str | None, until: date, reasons: Sequence[Reason]
) -> Iterator[str]:
    codes = {reason.code for reason in reasons if reason.bearing == "missing"}
    if verdict == "not-ready":
        for fault in view.faults:
            if fault.state in ("open", "watch") and not fault.noise:
                yield f"Mend incident {fault.id}, {names([fault.title])}: tlsrpt incidents {fault.id}"
        if mode == "enforce":
            yield f"Or go back to testing until it is mended, with a new id: tlsrpt policy make {domain} --mode testing"
        else:
            yield f"Stay in testing, and ask again after {DAYS_NEEDED} reported days without it."
    elif "no-reports" in codes:
        yield f"See whether reports can come: tlsrpt record check {domain}"
    elif codes & {"no-sts", "mode-none"}:
        yield f"Publish a policy in mode testing: tlsrpt policy make {domain} --mode testing"
        yield f"Ask again after {DAYS_NEEDED} reported days."
    elif "policy-not-had" in codes:
        yield f"See why senders do not get the policy: tlsrpt policy check {domain}"
        yield f"Ask again after {DAYS_NEEDED} reported days with it."
    elif verdict == "not-enough-seen":
        wait = DAYS_NEEDED - len(view.clean)
        when = (
            f"from {until + timedelta(days=wait)} on, when {DAYS_NEEDED} days may be reported" if wait > 0 else "later"
        )
        yield f"Stay as it is, and ask again {when}; reports come a day late or more."
    elif mode != "enforce":
        yield f"Look at every MX host live: tlsrpt policy check {domain}"
        yield f"Publish mode enforce with a new id: tlsrpt policy make {domain} --mode enforce"
        yield "Keep reading the reports: in enforce a fault refuses mail."

"""How `tlsrpt senders` shows who reports, and one of them: text, JSON (docs/json.md), CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from tlsrpt.cli import draw

if TYPE_CHECKING:
    from tlsrpt.cli.options import Period, Settings
    from tlsrpt.insight.coverage import Coverage, SenderCoverage
    from tlsrpt.insight.deviations import Deviation
    from tlsrpt.insight.lateness import Lateness
    from tlsrpt.insight.rhythm import Rhythm
    from tlsrpt.insight.sender import WholeSender

NAMELESS = "not named"
MOST_DOMAINS = 20
MOST_TOLD = 10  # senders on which a sentence is printed
MOST_RUNS = 5  # of days without a report
STATE_COLOUR = {"silent": "red", "overdue": "yellow"}
CSV_HEAD = (
    "sender", "organization_name", "contact_info", "state", "loop", "rhythm", "gap_days", "limit_days", "expected",
    "usual_hours_late", "most_hours_late", "window", "proven", "first_day", "last_day", "days", "reports", "successful",
    "failed", "domains",
)  # fmt: skip


def draw_coverage(found: Coverage, domain: str | None, most: int, settings: Settings) -> None:
    """The table, then a sentence on everyone who needs one, then what may be our own side."""
    about = f" about {domain}" if domain else ""
    if not found.senders:
        draw.paragraph(f"{found.since} to {found.until}{about}: no report in {settings.store_url}.")
        draw.paragraph("`tlsrpt store info` says which there are, `tlsrpt record check DOMAIN` whether any can come.")
        return
    if not settings.quiet:
        away = [(state, sum(one.state == state for one in found.senders)) for state in ("silent", "overdue")]
        told = "".join(f", {count:,} {state}" for state, count in away if count)
        draw.heading(f"{found.since} to {found.until}{about}: {draw.plural(len(found.senders), 'sender')}{told}")
        click.echo()
    shown = found.senders[:most]
    draw.table(
        ("sender", "state", "rhythm", "sessions", "failed", "late"),
        [
            [
                one.sender or NAMELESS,
                _state(one.rhythm, one.loop),
                _rhythm(one.rhythm),
                one.successful + one.failed,
                draw.percent(one.failed, one.successful + one.failed),
                _late(one.lateness),
            ]
            for one in shown
        ],
    )
    if len(shown) < len(found.senders):
        click.echo(f"... and {len(found.senders) - len(shown):,} more: --all")
    if settings.quiet:
        return
    _draw_remarks(found)


def _draw_remarks(found: Coverage) -> None:
    all_away = found.together is not None and found.together.state == "silent"
    remarkable = [one for one in found.senders if _is_remarkable(one) and not (all_away and one.state in STATE_COLOUR)]
    if remarkable:
        click.echo()
    for one in remarkable[:MOST_TOLD]:
        style = {"fg": STATE_COLOUR.get(one.state, "cyan")}
        draw.paragraph(one.why, "  ", f"{draw.printable(one.sender, 60) or NAMELESS}: ", style)
    if len(remarkable) > MOST_TOLD:
        click.echo(f"... and {len(remarkable) - MOST_TOLD:,} more")
    if found.none_days:
        click.echo()
        draw.paragraph(_none_days(found))
    if found.silent_domains:
        click.echo()
        draw.paragraph(_silent_domains(found))
    for advice in found.advice:
        click.echo()
        draw.paragraph(advice, "  ", "Our side? ", {"bold": True})
    proven = sum(one.proven == "all" for one in found.senders)
    click.echo()
    draw.paragraph(
        f"{proven:,} of {draw.plural(len(found.senders), 'sender')} signed all of their reports (DKIM); anybody could "
        "have made up the others. `late` is the usual time from the end of a report's window until it came."
    )
    click.echo("What reports can't tell:")
    for line in found.cant_tell:
        draw.paragraph(line, "    ", "  - ")
    draw.paragraph("One sender, its domains and what its reports get wrong: tlsrpt senders NAME")


def _is_remarkable(one: SenderCoverage) -> bool:
    ceased = one.signed is not None and one.signed.state == "silent"
    quiet = one.rhythm.only_failures and one.state == "not-enough-seen"
    return one.loop or ceased or quiet or one.state in STATE_COLOUR


def _none_days(found: Coverage) -> str:
    count = sum((last - first).days + 1 for first, last in found.none_days)
    longest = sorted(found.none_days, key=lambda run: run[0] - run[1])[:MOST_RUNS]
    runs = ", ".join(f"{first}" if first == last else f"{first} to {last}" for first, last in sorted(longest))
    more = ", ..." if len(found.none_days) > len(longest) else ""
    return f"Days without a report of anyone: {count:,} ({runs}{more})."


def _silent_domains(found: Coverage) -> str:
    from tlsrpt.core.domain import display_domain

    some = found.silent_domains[:MOST_TOLD]
    named = ", ".join(f"{display_domain(one.domain)} (last {one.rhythm.last_day})" for one in some)
    more = f", and {len(found.silent_domains) - len(some):,} more" if len(found.silent_domains) > len(some) else ""
    return (
        f"Nobody reports any more on {named}{more}, while others are reported on. Is the record still there "
        "(tlsrpt record check DOMAIN), and is mail still sent to it?"
    )


def draw_sender(whole: WholeSender, period: Period, settings: Settings) -> None:
    """One sender: what it is, how it reports, on what, and what it gets wrong."""
    one = whole.coverage
    sessions = one.successful + one.failed
    draw.heading(f"{draw.printable(one.sender, 200) or NAMELESS}, {period.since} to {period.until}")
    _line("state", f"{_state(one.rhythm, one.loop)}. {one.why}")
    _line("name", f"{one.organization_name or 'none given'}; contact: {one.contact_info or 'none given'}")
    _line("signed", _signed(one))
    _line("rhythm", _rhythm_whole(one.rhythm))
    _line("late", _late_whole(one.lateness))
    _line("window", _WINDOWS[one.window])
    days = (
        f"on {draw.plural(one.days, 'day')} from {one.first_day} to {one.last_day}"
        if one.first_day
        else "in these days"
    )
    _line(
        "seen",
        f"{draw.plural(one.reports, 'report')} {days}, {draw.plural(sessions, 'session')}, "
        f"{draw.percent(one.failed, sessions)} failed",
    )
    for share in whole.policies:
        as_sent = share.successful + share.failed
        _line(
            "policy",
            f"{share.policy_type or NAMELESS}: {draw.plural(share.reports, 'report')}, "
            f"{draw.plural(as_sent, 'session')}, {draw.percent(share.failed, as_sent)} failed (as sent)",
        )
    _draw_domains(whole)
    _draw_deviations(whole, settings)


def _line(name: str, text: str) -> None:
    draw.paragraph(text, " " * 10, f"  {name:<8}")


def _draw_domains(whole: WholeSender) -> None:
    from tlsrpt.core.domain import display_domain

    click.echo()
    draw.table(
        ("domain", "state", "last day", "days", "sessions", "failed"),
        [
            [
                display_domain(one.domain) if one.domain else "no domain",
                _state(one.rhythm, one.loop),
                str(one.last_day),
                one.days,
                one.successful + one.failed,
                draw.percent(one.failed, one.successful + one.failed),
            ]
            for one in whole.domains[:MOST_DOMAINS]
        ],
    )
    if len(whole.domains) > MOST_DOMAINS:
        click.echo(f"... and {len(whole.domains) - MOST_DOMAINS:,} more: --json")
    if any(one.loop for one in whole.domains):
        draw.paragraph(
            "loop: one session a report, day after day, and no other. Most likely the mail that brings the report, "
            "which the next one reports; no traffic."
        )


def _draw_deviations(whole: WholeSender, settings: Settings) -> None:
    click.echo()
    if not whole.deviations:
        click.echo("Its reports are as RFC 8460 has them.")
        return
    draw.table(
        ("deviation from RFC 8460", "reports", "first", "last", "tlsrpt show"),
        [[one.code, one.reports, str(one.first_day), str(one.last_day), str(one.example)] for one in whole.deviations],
    )
    if whole.words and not settings.quiet:
        to = whole.coverage.contact_info
        click.echo()
        draw.heading(
            f"To send to {draw.printable(to, 200)}:" if to else "To send to its postmaster (it gives no contact):"
        )
        for line in whole.words.splitlines():
            draw.paragraph(line, "    " if line[:1] in ("-", " ") else "  ", "  ")


def _state(rhythm: Rhythm, loop: bool) -> str:
    if rhythm.state in ("silent", "overdue"):
        return f"{rhythm.state} {draw.plural(rhythm.gap, 'day')}"
    if rhythm.state == "not-enough-seen":
        return "can't tell"
    return "loop" if loop else rhythm.state


def _rhythm(rhythm: Rhythm) -> str:
    if rhythm.kind == "unknown":
        return draw.plural(rhythm.days, "day")
    return rhythm.kind.replace("-", " ")


def _rhythm_whole(rhythm: Rhythm) -> str:
    if not rhythm.limit:
        return f"{_rhythm(rhythm)} seen"
    if rhythm.state == "not-enough-seen":
        return f"{_rhythm(rhythm)}, and failures on each of its days"
    longest = (
        "no break so far"
        if rhythm.longest == 1
        else f"at most {draw.plural(rhythm.longest, 'day')} from one to the next"
    )
    return (
        f"{_rhythm(rhythm)}, {longest}; silent after more than {draw.plural(rhythm.limit, 'day')} without; "
        f"its report on {rhythm.expected} should be here"
    )


def _late(late: Lateness | None) -> str:
    return "-" if late is None else _hours(late.usual_hours)


def _late_whole(late: Lateness | None) -> str:
    if late is None:
        return "not known: taken in from files"
    return (
        f"usually {_hours(late.usual_hours)} after the end of the window, nine in ten within "
        f"{_hours(late.most_hours)}, the latest {_hours(late.longest_hours)} (of {late.reports} looked at)"
    )


def _hours(hours: int) -> str:
    if hours < 1:
        return "<1 h"
    return f"{hours} h" if hours < 48 else f"{hours // 24} d"


def _signed(one: SenderCoverage) -> str:
    return {
        "all": "all of its reports (DKIM): nobody else made them up",
        "some": "some of its reports (DKIM); of the others it is not known who made them",
        "none": "not known of any of its reports (DKIM): anybody could have made them up",
    }[one.proven]


_WINDOWS = {
    "day": "one UTC day",
    "rolling": "24 hours that do not begin at midnight UTC; counted on the day on which they begin",
    "hours": "some hours; several reports a day",
    "week": "a week; counted on the day on which it begins",
    "other": "neither a day nor a week; counted on the day on which it begins",
}


# --- For programs ---------------------------------------------------------------------------------------------------


def coverage_json(one: SenderCoverage, domains: int | None) -> dict[str, Any]:
    """The promised JSON of one sender in the list (docs/json.md); `domains`: on how many it reports, if known."""
    late = one.lateness
    return {
        "sender": one.sender,
        "organization_name": one.organization_name,
        "contact_info": one.contact_info,
        "state": one.state,
        "why": one.why,
        "loop": one.loop,
        "rhythm": _rhythm_json(one.rhythm),
        "signed_state": None if one.signed is None else one.signed.state,
        "window": one.window,
        "late": None
        if late is None
        else {
            "usual_hours": late.usual_hours,
            "most_hours": late.most_hours,
            "longest_hours": late.longest_hours,
            "reports": late.reports,
        },
        "proven": one.proven,
        "first_day": one.first_day,
        "last_day": one.last_day,
        "days": one.days,
        "reports": one.reports,
        "sessions": {"failed": one.failed, "total": one.successful + one.failed},
        "domains": domains,
    }


def sender_json(whole: WholeSender) -> dict[str, Any]:
    """The promised JSON of one sender, whole."""
    return {
        **coverage_json(whole.coverage, len(whole.domains)),
        "by_domain": [
            {
                "domain": one.domain,
                "state": one.state,
                "why": one.why,
                "loop": one.loop,
                "rhythm": _rhythm_json(one.rhythm),
                "first_day": one.first_day,
                "last_day": one.last_day,
                "days": one.days,
                "reports": one.reports,
                "sessions": {"failed": one.failed, "total": one.successful + one.failed},
            }
            for one in whole.domains
        ],
        "by_policy_type": [
            {
                "policy_type": share.policy_type or None,
                "reports": share.reports,
                "sessions": {"failed": share.failed, "total": share.successful + share.failed},
            }
            for share in whole.policies
        ],
        "deviations": [_deviation_json(one) for one in whole.deviations],
        "words": whole.words,
    }


def _rhythm_json(rhythm: Rhythm) -> dict[str, Any]:
    return {
        "kind": rhythm.kind,
        "days": rhythm.days,
        "span": rhythm.span,
        "longest_break": rhythm.longest,
        "break": rhythm.gap,
        "limit": rhythm.limit,
        "expected": rhythm.expected,
    }


def _deviation_json(one: Deviation) -> dict[str, Any]:
    return {
        "code": one.code,
        "severity": one.severity,
        "reports": one.reports,
        "first_day": one.first_day,
        "last_day": one.last_day,
        "example": {
            "id": one.example,
            "report_id": one.example_report_id,
            "day": one.example_day,
            "where": one.where,
            "message": one.message,
        },
        "read_as": one.read_as,
        "senders_fault": one.senders_fault,
    }


def write_csv(senders: Sequence[SenderCoverage], domains: Mapping[str, int]) -> None:
    """A line a sender."""
    draw.csv_rows(CSV_HEAD, (_csv_row(one, domains.get(one.sender)) for one in senders))


def _csv_row(one: SenderCoverage, domains: int | None) -> list[draw.Cell]:
    rhythm, late = one.rhythm, one.lateness
    return [
        one.sender,
        one.organization_name,
        one.contact_info,
        one.state,
        "yes" if one.loop else "no",
        rhythm.kind,
        rhythm.gap,
        rhythm.limit,
        str(rhythm.expected),
        None if late is None else late.usual_hours,
        None if late is None else late.most_hours,
        one.window,
        one.proven,
        None if one.first_day is None else str(one.first_day),
        str(one.last_day),
        one.days,
        one.reports,
        one.successful,
        one.failed,
        domains,
    ]

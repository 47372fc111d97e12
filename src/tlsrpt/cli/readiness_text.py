"""How `tlsrpt readiness` shows whether a domain may move to enforce, and the policies that senders applied, as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tlsrpt.cli import draw
from tlsrpt.cli.incident_text import command
from tlsrpt.core.domain import display_domain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tlsrpt.cli.options import Settings
    from tlsrpt.insight.policies import Bearing, Holder, Policies, PolicyVersion, Reason
    from tlsrpt.insight.readiness import Readiness
    from tlsrpt.insight.under_sts import SenderShare

WORDS = {
    "ready": "READY",
    "not-ready": "NOT READY",
    "not-enough-seen": "NOT ENOUGH SEEN",
    "safe": "SAFE",
    "not-yet": "NOT YET",
}
COLOUR = {"ready": "green", "safe": "green", "not-ready": "red", "not-yet": "red", "not-enough-seen": "yellow"}
PARTS: tuple[tuple[Bearing, str], ...] = (
    ("against", "Against it:"),
    ("missing", "What is missing:"),
    ("for", "For it:"),
    ("note", "To know:"),
)
MOST_SENDERS = 12
MOST_LINES = 20


def draw_readiness(found: Readiness, settings: Settings) -> None:
    """The verdict first, then what to do, then why, then the senders."""
    _verdict(found.verdict, found.headline)
    if found.proven_verdict not in (None, found.verdict):
        draw.paragraph(f"By signed reports alone: {found.proven_verdict}.", "  ", "  ")
    if settings.quiet:
        return
    _steps(found.steps)
    _reasons(found.reasons)
    if found.senders:
        click.echo()
        draw.table(
            ("sender, under MTA-STS", "days", "last day", "sessions", "enforce loses", "share"),
            [_sender_row(one) for one in found.senders[:MOST_SENDERS]],
        )
        if len(found.senders) > MOST_SENDERS:
            click.echo(f"... and {len(found.senders) - MOST_SENDERS:,} more: --json")
    if found.sessions:
        click.echo()
        draw.paragraph(
            f"Sessions of {found.since} to {found.until} as senders counted them under MTA-STS; those under DANE or no "
            "policy have no say. The policies that they applied:"
        )
        command(f"tlsrpt readiness {found.domain} --policies", "  ")


def _verdict(verdict: str, headline: str) -> None:
    draw.paragraph(headline, "  ", f"{WORDS[verdict]}: ", {"fg": COLOUR[verdict], "bold": True})


def _steps(steps: Sequence[str]) -> None:
    if steps:
        click.echo()
        draw.heading("Do this:")
    for number, step in enumerate(steps, 1):
        _text_and_command(step, "     ", f"  {number}. ")


def _text_and_command(text: str, indent: str, first: str) -> None:
    """A text, and the command that it ends with on a line of its own, so that it can be copied whole."""
    said, colon, arguments = text.rpartition(": tlsrpt ")
    draw.paragraph(f"{said}:" if colon else text, indent, first)
    if colon:
        command(f"tlsrpt {arguments}", indent)


def _reasons(reasons: Sequence[Reason]) -> None:
    for bearing, heading in PARTS:
        of = [reason for reason in reasons if reason.bearing == bearing]
        if of:
            click.echo()
            draw.heading(heading)
        for reason in of[:MOST_LINES]:
            draw.paragraph(reason.text, "    ", "  - ")
        if len(of) > MOST_LINES:
            click.echo(f"  ... and {len(of) - MOST_LINES:,} more: --json")


def _sender_row(one: SenderShare) -> list[draw.Cell]:
    share = draw.percent(one.refused, one.sessions)
    return [one.sender + (" (loop)" if one.loop else ""), one.days, str(one.last_day), one.sessions, one.refused, share]


def draw_policies(found: Policies, settings: Settings) -> None:
    """Whether MX hosts may be changed, then each policy with who applied it, the newest first."""
    _verdict(found.change, found.headline)
    if found.safe_from is not None:
        draw.paragraph(f"Leave every MX host of the old policy on until {found.safe_from}.", "  ", "  ")
    if settings.quiet:
        return
    _reasons(found.reasons)
    if found.newest is not None:
        _draw_version(found.newest, "Newest policy reported", found.newest)
    for version in found.older:
        _draw_version(version, "Older policy", found.newest)
    if found.not_quoting:
        click.echo()
        draw.paragraph(f"Quote no policy that can be read: {_some(found.not_quoting)}. What they hold is not known.")


def _draw_version(version: PolicyVersion, title: str, newest: PolicyVersion | None) -> None:
    click.echo()
    age = "no max_age" if version.max_age is None else f"max_age {version.max_age} ({_days(version.max_age)})"
    draw.heading(f"{title}: mode {version.mode}, {age}, seen {version.first_day} to {version.last_day}")
    draw.paragraph(f"mx: {_some([display_domain(host) for host in version.mx]) or 'none'}", "      ", "  ")
    if version.lacks:
        draw.paragraph(f"lacks: {_some([display_domain(host) for host in version.lacks])}", "      ", "  ")
    click.echo()
    head = ("  sender", "first day", "last day", "sessions", "failed", "held until")
    old = version is not newest
    draw.table(
        head if old else head[:-1],
        [_holder_row(one, old=old) for one in version.holders[:MOST_SENDERS]],
    )
    if len(version.holders) > MOST_SENDERS:
        click.echo(f"  ... and {len(version.holders) - MOST_SENDERS:,} more: --json")


def _holder_row(one: Holder, *, old: bool) -> list[draw.Cell]:
    row: list[draw.Cell] = [f"  {one.sender}", str(one.first_day), str(one.last_day), one.sessions, one.failed]
    held = "not known" if one.until is None else str(one.until)
    return [*row, held if one.latest else "has a newer one"] if old else row


def _days(seconds: int) -> str:
    return draw.plural(seconds // 86_400, "day") if seconds >= 86_400 else draw.plural(seconds // 3600, "hour")


def _some(items: Sequence[str], most: int = 6) -> str:
    more = f" and {len(items) - most:,} more" if len(items) > most else ""
    return f"{', '.join(items[:most])}{more}"

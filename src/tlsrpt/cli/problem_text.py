"""One problem on the terminal, in the order in which it is needed: what, does it hurt, whose side, why, what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tlsrpt.cli import draw
from tlsrpt.core.domain import display_domain

if TYPE_CHECKING:
    from tlsrpt.insight.problems import Problem

STATE_COLOUR = {"open": "red", "watch": "yellow", "unknown": "yellow", "quiet": "green"}
PARTY = {
    "mx": "your mail server, or who runs it",
    "policy-host": "your policy host (the MTA-STS web server)",
    "dns": "your DNS",
    "sender": "the sender",
    "network": "the network between",
    "unknown": "not known",
}
CONSEQUENCE = {
    "refused": "mail is refused",
    "delayed": "mail is delayed",
    "delivered-clear": "mail is delivered in clear text",
    "delivered-unverified": "mail is delivered unverified",
    "none": "mail is not affected",
}


def draw_problem(problem: Problem, number: int | None = None, *, dated: bool = True) -> None:
    """Print one problem as a block."""
    lead = f"{number}. " if number is not None else ""
    indent = "   "
    draw.paragraph(f"{problem.title}: {problem.place}", indent, lead, {"bold": True})
    if dated:
        span = f"{problem.first_seen} to {problem.last_seen}, {draw.plural(problem.days, 'day')}"
        when = f"{problem.first_seen}" if problem.first_seen == problem.last_seen else span
        colour = {"fg": STATE_COLOUR[problem.state]}
        draw.paragraph(f"{when}. {problem.state_reason}", indent, f"{indent}{problem.state}: ", colour)
    draw.paragraph(f"{_size(problem)}", indent)
    field("Domains", names([display_domain(name) for name in problem.domains]), indent)
    field("Effect", _effect(problem), indent)
    side = problem.side
    field("Whose side", f"{PARTY[side.party]} ({side.confidence} confidence). {' '.join(side.reasons)}", indent)
    field("Likely cause", f"{problem.cause.title}. {problem.cause.why}", indent)
    field("Next step", problem.next_step, indent)
    if problem.verify:
        click.echo(f"{indent}{click.style('Check', bold=True)}:")
        command(problem.verify, indent + "  ")
        draw.paragraph(f"Good: {problem.expected}", indent + "  ")
    field("More", f"tlsrpt explain {problem.result_type}" if problem.result_type else "", indent)


def _effect(problem: Problem) -> str:
    if len(problem.effects) == 1:
        return f"{CONSEQUENCE[problem.consequence]}. {problem.consequence_text}"
    each = [
        f"{CONSEQUENCE[kind]} ({names([display_domain(name) for name in hit], 3)})" for kind, hit in problem.effects
    ]
    return f"{'; '.join(each)}. {problem.consequence_text}"


def _size(problem: Problem) -> str:
    who = names(problem.senders)
    share = draw.percent(problem.failed, problem.total)
    types = names([name or "no result type" for name in problem.result_types])
    size = (
        f"{draw.plural(problem.failed, 'failed session')} of {problem.total:,} ({share}), reported by {who} as {types}."
    )
    if not problem.joined:
        return size
    return f"{size} {problem.joined:,} of them name no host or no definite fault; domain and days put them here."


def command(text: str, indent: str) -> None:
    """Print a command unwrapped, so that it can be copied whole."""
    for line in text.splitlines():
        click.echo(indent + draw.printable(line))


def field(name: str, text: str, indent: str) -> None:
    """Print a named line of a block, wrapped; nothing when there is nothing to say."""
    if text:
        draw.paragraph(text, indent + "  ", f"{indent}{name}: ", {"bold": True})


def names(items: list[str] | tuple[str, ...], most: int = 6) -> str:
    """Some names, the rest counted."""
    shown = ", ".join(items[:most])
    return f"{shown} and {len(items) - most} more" if len(items) > most else shown


def problem_json(problem: Problem) -> dict[str, Any]:
    """The promised JSON of one problem (docs/json.md)."""
    return {
        "result_type": problem.result_type or None,
        "result_types": [name or None for name in problem.result_types],
        "title": problem.title,
        "place": problem.place,
        "place_kind": problem.place_kind,
        "state": problem.state,
        "state_reason": problem.state_reason,
        "domains": problem.domains,
        "policy_types": problem.policy_types,
        "first_seen": problem.first_seen,
        "last_seen": problem.last_seen,
        "days": problem.days,
        "sessions": {"failed": problem.failed, "total": problem.total, "joined": problem.joined},
        "share": problem.failed / problem.total if problem.total else None,
        "senders": problem.senders,
        "other_senders": problem.others,
        "reasons": problem.reasons,
        "consequence": problem.consequence,
        "consequence_text": problem.consequence_text,
        "effects": [{"consequence": kind, "domains": hit} for kind, hit in problem.effects],
        "side": problem.side,
        "cause": problem.cause,
        "next_step": problem.next_step,
        "steps": problem.steps,
        "verify": problem.verify,
        "expected": problem.expected,
    }

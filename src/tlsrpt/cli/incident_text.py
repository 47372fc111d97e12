"""An incident on the terminal and as JSON, in the order in which it is needed.

What and since when, does it hurt, how much, where, whose side, why, what to do, the proof; whole also whom to tell,
when to leave it alone, the evidence, and what the result type means.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tlsrpt.cli import draw
from tlsrpt.core.domain import display_domain
from tlsrpt.insight.promised import cause_sentence
from tlsrpt.insight.promised import incident_json as incident_json
from tlsrpt.insight.wording import as_types
from tlsrpt.insight.words import CONSEQUENCE, PARTY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tlsrpt.insight.incident import Incident, RankedCause, Seen

STATE_COLOUR = {"open": "red", "watch": "yellow", "unknown": "yellow", "quiet": "green"}
INDENT = "   "


def draw_incident(incident: Incident, number: int | None = None, *, dated: bool = True) -> None:
    """Print one incident as a block: all that is needed to act."""
    lead = f"{number}. " if number is not None else ""
    draw.paragraph(incident.headline, INDENT, lead, {"bold": True})
    _draw_begin(incident, dated=dated)
    field("Likely cause", cause_sentence(incident), INDENT)
    field("Next step", incident.steps[0], INDENT)
    _draw_proof(incident)
    if dated:
        field("More", f"tlsrpt incidents {incident.id}", INDENT)
    else:
        field("More", f"tlsrpt explain {incident.result_type}" if incident.result_type else "", INDENT)


def draw_whole(incident: Incident) -> None:
    """Print everything that is known of one incident."""
    draw.heading(f"Incident {incident.id}")
    draw.paragraph(incident.headline, INDENT, INDENT, {"bold": True})
    _draw_begin(incident, dated=True)
    _draw_senders(incident)
    click.echo()
    draw.paragraph("Causes that come into question, the likeliest first:", "", INDENT, {"bold": True})
    for number, cause in enumerate(incident.causes, 1):
        draw.paragraph(f"{cause.title}. {cause.explanation}", INDENT + "     ", f"{INDENT}  {number}. ")
    _draw_signs(incident.causes)
    click.echo()
    draw.paragraph("Do this:", "", INDENT, {"bold": True})
    for number, step in enumerate(incident.steps, 1):
        draw.paragraph(step, INDENT + "     ", f"{INDENT}  {number}. ")
    _draw_proof(incident)
    field("Mended when", incident.confirmed if incident.state != "quiet" else "", INDENT)
    field("When to leave it alone", incident.ignore, INDENT)
    click.echo()
    draw.paragraph("To forward to whoever runs it:", "", INDENT, {"bold": True})
    for line in incident.forward.splitlines():
        draw.paragraph(line, INDENT + "  | ", INDENT + "  | ")
    _draw_evidence(incident)
    if incident.meaning:
        click.echo()
        field("What it means", f"{incident.meaning} ({incident.section})", INDENT)
        field("More", f"tlsrpt explain {incident.result_type}", INDENT)


def _draw_begin(incident: Incident, *, dated: bool) -> None:
    if dated:
        colour = {"fg": STATE_COLOUR[incident.state]}
        draw.paragraph(f"{_when(incident)}. {incident.state_reason}", INDENT, f"{INDENT}{incident.state}: ", colour)
        _draw_mark(incident)
    draw.paragraph(_size(incident), INDENT, INDENT)
    field("Where", _where(incident), INDENT)
    if len(incident.domains) > 1:
        field("Domains", names([display_domain(name) for name in incident.domains]), INDENT)
    field(
        {"quiet": "Effect while it lasted", "unknown": "Effect, when last reported"}.get(incident.state, "Effect"),
        _effect(incident),
        INDENT,
    )
    side = incident.side
    field("Whose side", f"{PARTY[side.party]} ({side.confidence} confidence). {' '.join(side.reasons)}", INDENT)


def _when(incident: Incident) -> str:
    if incident.first_seen == incident.last_seen:
        return f"On {incident.first_seen}"
    if not incident.earlier:
        return f"{incident.first_seen} to {incident.last_seen}, on {draw.plural(incident.days, 'day')}"
    first, last = incident.earlier[-1]
    begin = min(day for day, _ in incident.by_day if day > last)
    spell = f"On {begin}" if begin == incident.last_seen else f"{begin} to {incident.last_seen}"
    return f"{spell}; it comes back: before, {first} to {last}; on {draw.plural(incident.days, 'day')} in all"


def _draw_mark(incident: Incident) -> None:
    if incident.mark == "resolved":
        draw.paragraph("Marked resolved; it opens again by itself when it is seen after that day.", INDENT, INDENT)
    elif incident.mark == "ignored-until":
        draw.paragraph(f"Ignored until {incident.mark_until}, as somebody said.", INDENT, INDENT)
    if incident.note:
        field("Note", incident.note, INDENT)


def _size(incident: Incident) -> str:
    who = names(incident.senders)
    share = draw.percent(incident.failed, incident.total)
    failed = draw.plural(incident.failed, "failed session")
    size = f"{failed} of {incident.total:,} ({share}), reported by {who} {as_types(incident.result_types)}."
    if incident.joined:
        size += (
            f" {incident.joined:,} of them are vague (no host, no definite fault) and count here by domain and days."
        )
    if 0 < incident.proven < incident.failed:
        size += f" {incident.proven:,} of them are in reports that their submitter signed."
    return size


def _where(incident: Incident) -> str:
    """The place; addresses are of MX hosts, wherever the fault is mended."""
    place = display_domain(incident.place)
    at_host = incident.addresses and incident.place_kind in ("mx", "tlsa-record")
    return f"{place}, at {names(incident.addresses, 4)}" if at_host else place


def _effect(incident: Incident) -> str:
    if len(incident.effects) == 1:
        return f"{CONSEQUENCE[incident.consequence]}. {incident.consequence_text}"
    each = [
        f"{CONSEQUENCE[kind]} ({names([display_domain(name) for name in hit], 3)})" for kind, hit in incident.effects
    ]
    return f"{'; '.join(each)}. {incident.consequence_text}"


def _draw_signs(causes: Sequence[RankedCause]) -> None:
    """What speaks for and against the causes, each sentence once."""
    signs = dict.fromkeys(each for cause in causes for each in (*cause.evidence_for, *cause.evidence_against))
    if not signs:
        return
    draw.paragraph("What speaks for them and against them:", "", INDENT, {"bold": True})
    for sign in signs:
        for_ = [str(number) for number, cause in enumerate(causes, 1) if sign in cause.evidence_for]
        against = [str(number) for number, cause in enumerate(causes, 1) if sign in cause.evidence_against]
        lead = f"for {', '.join(for_)}" if for_ else ""
        lead += f"{'; ' if for_ else ''}against {', '.join(against)}" if against else ""
        draw.paragraph(f"{lead}: {sign}", INDENT + "     ", INDENT + "  ")


def _draw_proof(incident: Incident) -> None:
    if incident.verify:
        click.echo(f"{INDENT}{click.style('Check', bold=True)}:")
        command(incident.verify, INDENT + "  ")
        draw.paragraph(f"Good: {incident.expected}", INDENT + "  ")


def _draw_senders(incident: Incident) -> None:
    if not incident.seen_by:
        return
    click.echo()
    draw.table(
        (INDENT + "sender", "failed", "sessions", "first seen", "last seen", "last report"),
        [_sender_row(each) for each in incident.seen_by[:SENDERS_SHOWN]],
    )
    if len(incident.seen_by) > SENDERS_SHOWN:
        click.echo(f"{INDENT}... and {len(incident.seen_by) - SENDERS_SHOWN} more")


def _sender_row(seen: Seen) -> list[draw.Cell]:
    first, last = (str(day) if day else "-" for day in (seen.first_seen, seen.last_seen))
    latest = str(seen.latest) if seen.latest else ""
    return [INDENT + seen.sender, seen.failed, seen.total, first, last, latest]


SENDERS_SHOWN = 12


def _draw_evidence(incident: Incident) -> None:
    if not incident.evidence:
        return
    click.echo()
    draw.paragraph("Evidence, as reported (tlsrpt show NUMBER has the whole report):", "", INDENT, {"bold": True})
    for row in incident.evidence:
        told = [
            f"{row.day} {row.sender}: {row.result_type or 'no result type'} x {row.failed:,}",
            f"at {row.mx_host}" if row.mx_host else "",
            f"[{row.receiving_ip}]" if row.receiving_ip else "",
            f"from {row.sending_mta_ip}" if row.sending_mta_ip else "",
            f'reason "{row.reason}"' if row.reason else "",
            f"under {row.policy_type}" if row.policy_type and len(incident.policy_types) > 1 else "",
        ]
        number = f"{INDENT}  {row.report}: "
        draw.paragraph(" ".join(filter(None, told)), INDENT + "      ", number)


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
    return f"{shown} and {len(items) - most:,} more" if len(items) > most else shown

"""An incident as JSON, with the names that are promised (docs/json.md): for commands, webhooks, whatever draws it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tlsrpt.insight.incident import Incident, RankedCause
from tlsrpt.insight.wording import tells

EVIDENCE_SHOWN = 2  # sentences, where there is room for few


def cause_sentence(incident: Incident) -> str:
    """The likeliest cause and what speaks for it; where nothing tells it from the next one, that this is so."""
    first, *others = incident.causes
    if first.code == "unknown":
        return f"{first.title}. {first.explanation}"
    telling = tells(first, others[0]) if others else list(first.evidence_for)
    if others and not telling:
        return f"The reports do not tell for certain. Most often: {first.title}; or: {others[0].title}."
    return f"{first.title}. {_why(first, telling)}"


def _why(cause: RankedCause, telling: Sequence[str]) -> str:
    return " ".join(telling[:EVIDENCE_SHOWN]) or "The usual one for this result type; the reports name no other."


def incident_json(incident: Incident) -> dict[str, Any]:
    """The promised JSON of one incident (docs/json.md)."""
    return {
        "id": incident.id,
        "headline": incident.headline,
        "title": incident.title,
        "result_type": incident.result_type or None,
        "result_types": [name or None for name in incident.result_types],
        "place": incident.place,
        "place_kind": incident.place_kind,
        "addresses": incident.addresses,
        "domains": incident.domains,
        "policy_types": [name or None for name in incident.policy_types],
        "state": incident.state,
        "state_reason": incident.state_reason,
        "mark": incident.mark,
        "mark_until": incident.mark_until,
        "note": incident.note,
        "first_seen": incident.first_seen,
        "last_seen": incident.last_seen,
        "days": incident.days,
        "earlier": [{"first_seen": first, "last_seen": last} for first, last in incident.earlier],
        "sessions": {
            "failed": incident.failed,
            "total": incident.total,
            "joined": incident.joined,
            "proven": incident.proven,
        },
        "share": incident.failed / incident.total if incident.total else None,
        "by_day": [{"day": day, "failed": failed} for day, failed in incident.by_day],
        "senders": incident.senders,
        "other_senders": incident.others,
        "seen_by": incident.seen_by,
        "sending_mta_ips": incident.sending,
        "reasons": incident.reasons,
        "consequence": incident.consequence,
        "consequence_text": incident.consequence_text,
        "effects": [{"consequence": kind, "domains": hit} for kind, hit in incident.effects],
        "side": incident.side,
        "causes": incident.causes,
        "cause": _first_cause(incident),
        "next_step": incident.steps[0],
        "steps": incident.steps,
        "verify": incident.verify,
        "expected": incident.expected,
        "confirmed": incident.confirmed,
        "forward": incident.forward,
        "ignore": incident.ignore,
        "evidence": incident.evidence,
        "meaning": incident.meaning,
        "section": incident.section,
    }


def _first_cause(incident: Incident) -> dict[str, str]:
    cause = incident.causes[0]
    return {
        "code": cause.code,
        "title": cause.title,
        "explanation": cause.explanation,
        "why": _why(cause, cause.evidence_for),
    }

"""Readiness and the policies seen as JSON, with the names that are promised (docs/json.md)."""

from __future__ import annotations

from typing import Any

from msgspec import structs

from tlsrpt.insight.policies import Policies, PolicyVersion
from tlsrpt.insight.readiness import Readiness


def readiness_json(found: Readiness) -> dict[str, Any]:
    """The promised JSON of one domain's readiness, without the policies."""
    return {
        "domain": found.domain,
        "verdict": found.verdict,
        "headline": found.headline,
        "reasons": found.reasons,
        "steps": found.steps,
        "proven_verdict": found.proven_verdict,
        "period": {"since": found.since, "until": found.until},
        "mode": found.mode,
        "sessions": {"refused": found.refused, "total": found.sessions},
        "share": found.refused / found.sessions if found.sessions else None,
        "days": {"reported": found.days, "clean": found.clean_days, "last": found.last_day},
        "senders": [
            {
                "sender": one.sender,
                "days": one.days,
                "last_day": one.last_day,
                "loop": one.loop,
                "sessions": {"refused": one.refused, "total": one.sessions},
            }
            for one in found.senders
        ],
        "incidents": [structs.asdict(fault) for fault in found.faults],
        "mx_hosts": found.mx_hosts,
    }


def policies_json(found: Policies) -> dict[str, Any]:
    """The promised JSON of the policies that senders reported of one domain."""
    return {
        "domain": found.domain,
        "change": found.change,
        "headline": found.headline,
        "reasons": found.reasons,
        "safe_from": found.safe_from,
        "period": {"since": found.since, "until": found.until},
        "newest": None if found.newest is None else _version_json(found.newest),
        "older": [_version_json(version) for version in found.older],
        "not_quoting": found.not_quoting,
    }


def _version_json(version: PolicyVersion) -> dict[str, Any]:
    return {
        "mode": version.mode,
        "mx": version.mx,
        "max_age": version.max_age,
        "policy_string": version.lines,
        "first_day": version.first_day,
        "last_day": version.last_day,
        "sessions": {"failed": version.failed, "total": version.sessions},
        "lacks": version.lacks,
        "senders": [
            {
                "sender": one.sender,
                "first_day": one.first_day,
                "last_day": one.last_day,
                "sessions": {"failed": one.failed, "total": one.sessions},
                "latest": one.latest,
                "held_until": one.until,
            }
            for one in version.holders
        ],
    }

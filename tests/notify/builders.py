"""Incidents and overviews by hand, with defaults."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from tlsrpt.insight.incident import Incident, RankedCause, Side
from tlsrpt.insight.overview import Figures, Overview, Part
from tlsrpt.insight.rhythm import Rhythm

SINCE, UNTIL, TODAY = date(2026, 11, 17), date(2026, 11, 23), date(2026, 11, 25)
A_WEEK = timedelta(days=7)


def an_incident(id_: str = "abc2345", **values: Any) -> Incident:
    domains = values.pop("domains", ("meadow.example",))
    return Incident(
        **{
            "id": id_,
            "headline": "mail.example reports that mx1.meadow.example shows an expired certificate",
            "title": "The MX's certificate has expired",
            "result_type": "certificate-expired",
            "result_types": ("certificate-expired",),
            "place": "mx1.meadow.example",
            "place_kind": "mx",
            "domains": domains,
            "policy_types": ("sts",),
            "state": "open",
            "state_reason": "Reported until 2026-11-23.",
            "first_seen": date(2026, 11, 19),
            "last_seen": date(2026, 11, 23),
            "days": 2,
            "failed": 7,
            "total": 100,
            "by_day": ((date(2026, 11, 19), 3), (date(2026, 11, 23), 4)),
            "proven": 7,
            "senders": ("mail.example",),
            "others": (),
            "consequence": "refused",
            "consequence_text": "Senders refuse.",
            "effects": (("refused", domains),),
            "side": Side(party="mx", confidence="high", reasons=("The certificate is installed on the MX.",)),
            "causes": (RankedCause(code="certificate-expired", title="Expired", explanation="It ended."),),
            "steps": ("Compare the certificate on disk with the one served.",),
            "verify": "",
            "expected": "",
            "confirmed": "",
            "forward": "",
            "ignore": "",
            **values,
        }
    )


def an_overview(**values: Any) -> Overview:
    return Overview(
        **{
            "since": SINCE,
            "until": UNTIL,
            "before_since": SINCE - A_WEEK,
            "before_until": UNTIL - A_WEEK,
            "today": TODAY,
            "now": Figures(domains=41, senders=9, sessions=12_345),
            "before": Figures(domains=40, senders=9, sessions=12_000, failed=3),
            "parts": tuple(
                Part(first=SINCE + timedelta(days=n), last=SINCE + timedelta(days=n), sessions=1_700, failed=0)
                for n in range(7)
            ),
            "latest": date(2026, 11, 24),
            "signed": True,
            **values,
        }
    )


def a_rhythm(**values: Any) -> Rhythm:
    return Rhythm(
        **{
            "state": "silent",
            "kind": "daily",
            "days": 20,
            "span": 20,
            "longest": 1,
            "limit": 3,
            "only_failures": False,
            "gap": 7,
            "last_day": SINCE,
            "expected": UNTIL,
            **values,
        }
    )

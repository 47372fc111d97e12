"""The words of an alert: a subject, a text in the order in which a person needs it, HTML, a short form for chats, JSON.

The order is that of the page of an incident, shortened: what, since when, does it hurt, how much, where, whose side,
why, what to do, the proof, when to leave it alone. What senders claim is told as reported.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import msgspec

from tlsrpt.core.domain import display_domain
from tlsrpt.core.text import printable
from tlsrpt.insight.incident import Incident
from tlsrpt.insight.promised import cause_sentence, incident_json
from tlsrpt.insight.words import CONSEQUENCE, PARTY
from tlsrpt.notify.blocks import Block, Footnote, Heading, Item, Paragraph, Tone
from tlsrpt.notify.html import page
from tlsrpt.notify.plain import text_of
from tlsrpt.notify.rules import SEVERITIES, Event, Notice
from tlsrpt.store.telling import Outgoing

SUBJECT_LIMIT, LINE_LIMIT, SHORT_LIMIT = 150, 600, 1_500  # characters; Discord takes 2,000
DOMAINS_SHOWN, STEPS_SHOWN = 6, 5
LISTED, WHOLE = 20, 20  # of several at once: those in the text; those whose incident is whole in the JSON

WORD: dict[Event, str] = {
    "opened": "new",
    "worse": "worse",
    "over": "over",
    "reopened": "back",
    "silent": "silent",
    "heard": "heard again",
    "quarantine": "quarantine",
    "trouble": "trouble",
    "well": "over",
}
GOOD: frozenset[Event] = frozenset({"over", "heard", "well"})
PAST = frozenset({"When", "Size", "Where", "Domains"})  # of the facts: those that stay when it is over
_FOOT = "Once for each event. Reports come a day late or more, so this is not to say until now. Sent by tlsrpt alerts."
# What chat services make more of than text: mentions, links, formatting.
_CHAT = str.maketrans({"<": "‹", ">": "›", "@": "＠", "[": "(", "]": ")", "`": "'", "*": "∗", "|": "¦", "~": "∼"})


def message_of(
    notices: Sequence[Notice], token: str, now: datetime, *, goes_on_from: str = "", note: str = "", first: bool = False
) -> Outgoing:
    """One message for one notice, or for several at once, the worst first.

    Args:
        token: names it for ever.
        goes_on_from: the token of the first message on the same thing.
        note: a warning on the way that it takes.
        first: these are open as the alerts begin.
    """
    if len(notices) == 1:
        notice = notices[0]
        subject, event, key, severity = subject_of(notice), str(notice.event), notice.key, notice.severity
        title = f"TLS alert: {WORD[notice.event]}"
        blocks = list(_blocks(notice))
    else:
        notices = sorted(notices, key=lambda each: -SEVERITIES.index(each.severity))
        subject, event, key = _subject_of_many(notices, first), "several", ""
        severity = notices[0].severity
        title = f"TLS alerts begin: {len(notices):,} open" if first else f"{len(notices):,} TLS alerts"
        blocks = list(_many(notices, first))
    if note:
        blocks.insert(1, Paragraph(text=note, tone="unsure"))
    blocks.append(Footnote(text=_FOOT))
    text = text_of(title, blocks)
    return Outgoing(
        token=token,
        kind="alert",
        event=event,
        key=key,
        severity=severity,
        subject=subject,
        text=text,
        html=page(title, subject, blocks),
        data=msgspec.json.encode(json_of(notices, token, event, severity, now, subject, text)).decode(),
        goes_on_from=goes_on_from,
    )


def test_message(name: str, now: datetime) -> Outgoing:
    """What `tlsrpt alerts test` sends."""
    said = f"This is a test, sent to {name} by `tlsrpt alerts test`. Nothing is wrong, and nothing is to be done."
    subject, token = "TLS alerts: a test", f"test-{now:%Y%m%d%H%M%S}-{now.microsecond}"
    blocks = [Paragraph(text=printable(said, LINE_LIMIT), tone="good")]
    held = {
        "version": 1,
        "id": token,
        "event": "test",
        "severity": "info",
        "made_at": now,
        "subject": subject,
        "short": said,
        "text": said,
        "notices": [],
        "incidents": [],
    }
    return Outgoing(
        token=token,
        kind="alert",
        event="test",
        subject=subject,
        text=text_of(subject, blocks),
        html=page(subject, said, blocks),
        data=msgspec.json.encode(held).decode(),
    )


def subject_of(notice: Notice) -> str:
    """State, place, what is reported of it and what mail suffers, in one printable line: there is little room."""
    incident = notice.incident
    if incident is None:
        said = notice.headline
    else:
        title = incident.title[:1].lower() + incident.title[1:]
        said = f"{display_domain(incident.place)}, reported: {title}"
        if notice.event not in GOOD:
            said += f"; {CONSEQUENCE[incident.consequence]}"
    return printable(f"TLS {WORD[notice.event]}: {said}", SUBJECT_LIMIT)


def _subject_of_many(notices: Sequence[Notice], first: bool) -> str:
    lead = f"TLS alerts begin: {len(notices):,} open" if first else f"TLS: {len(notices):,} alerts"
    worst = subject_of(notices[0]).partition(": ")[2]
    return printable(f"{lead}, the worst: {worst}", SUBJECT_LIMIT)


# --- Text and HTML ----------------------------------------------------------------------------------------------------


def _blocks(notice: Notice) -> Iterator[Block]:
    incident = notice.incident
    yield Paragraph(text=_line(_lead(notice)), tone=_tone(notice))
    for name, text in notice.said:
        yield Paragraph(text=_line(f"{name}: {text}"))
    if incident is not None:
        yield from _incident_blocks(incident, over=notice.event == "over")
    elif notice.fix:
        yield Item(title=_line(notice.fix), command=notice.command, tone=_tone(notice))
    if incident is not None or (notice.command and not notice.fix):
        yield Item(title="More", command=notice.command)


def _lead(notice: Notice) -> str:
    incident = notice.incident
    if notice.event == "over" and incident is not None:  # its headline says what is so no more
        return f"Over: {incident.title}, {display_domain(incident.place)}. {incident.state_reason}"
    lead = {"opened": "New", "worse": "Worse", "reopened": "Back again"}.get(notice.event)
    return f"{lead}: {notice.headline}" if lead else notice.headline


def _tone(notice: Notice) -> Tone:
    if notice.event in GOOD:
        return "good"
    return "bad" if notice.severity == "error" else "unsure"


def _incident_blocks(incident: Incident, *, over: bool) -> Iterator[Block]:
    said = [fact for fact in facts_of(incident) if not over or fact[0] in PAST]
    yield Item(title=_line(incident.title), said=tuple((name, _line(text)) for name, text in said), tone=None)
    if over:
        return
    yield Heading(text="What to do")
    for n, step in enumerate(incident.steps[:STEPS_SHOWN], 1):
        yield Item(title=_line(f"{n}. {step}"))
    if incident.verify:
        yield Item(title="Check", said=(("Good", _line(incident.expected)),), command=incident.verify)
    for name, text in (
        ("When the reports will show it", incident.confirmed),
        ("When to leave it alone", incident.ignore),
    ):
        if text:
            yield Paragraph(text=_line(f"{name}: {text}"))


def facts_of(incident: Incident) -> list[tuple[str, str]]:
    """What, since when, does it hurt, how much, where, whose side, why: a sentence or two each."""
    first, last = incident.first_seen, incident.last_seen
    when = f"On {first}" if first == last else f"{first} to {last}, on {incident.days:,} days"
    share = f" ({incident.failed / incident.total:.1%})" if incident.total else ""
    side = incident.side
    of_senders = f"{len(incident.senders):,} of {len(incident.senders) + len(incident.others):,} senders"
    said = [
        ("When", f"{when}. {incident.state_reason}"),
        ("Effect", _effect(incident)),
        (
            "Size",
            f"{incident.failed:,} failed sessions of {incident.total:,}{share}, reported by {of_senders}: "
            f"{names(incident.senders)}. Sessions are not messages.",
        ),
        ("Where", display_domain(incident.place)),
        ("Domains", names([display_domain(domain) for domain in incident.domains])),
        ("Whose side", f"{PARTY[side.party]} ({side.confidence} confidence). {' '.join(side.reasons)}"),
    ]
    return [*said, ("Likely cause", cause_sentence(incident))] if incident.causes else said


def _effect(incident: Incident) -> str:
    """What happens to mail, of each domain where it differs."""
    if len(incident.effects) < 2:
        return f"{CONSEQUENCE[incident.consequence]}. {incident.consequence_text}"
    each = [f"{CONSEQUENCE[kind]} ({names([display_domain(d) for d in hit], 3)})" for kind, hit in incident.effects]
    return f"{'; '.join(each)}. {incident.consequence_text}"


def _many(notices: Sequence[Notice], first: bool) -> Iterator[Block]:
    lead = (
        f"Alerts begin. {len(notices):,} are open already; from now on you are told of what changes."
        if first
        else f"{len(notices):,} at once, the worst first."
    )
    yield Paragraph(text=lead, tone=_tone(notices[0]))
    for notice in notices[:LISTED]:
        yield Item(
            title=_line(_lead(notice)), said=tuple(_in_short(notice)), command=notice.command, tone=_tone(notice)
        )
    if len(notices) > LISTED:
        yield Item(title=f"{len(notices) - LISTED:,} more", command="tlsrpt incidents")


def _in_short(notice: Notice) -> Iterator[tuple[str, str]]:
    for name, text in notice.said:
        yield name, _line(text)
    incident = notice.incident
    if incident is None:
        if notice.fix:
            yield "Next step", _line(notice.fix)
        return
    yield "Effect", _line(CONSEQUENCE[incident.consequence])
    yield "Whose side", f"{PARTY[incident.side.party]} ({incident.side.confidence} confidence)"
    if incident.steps and notice.event not in GOOD:
        yield "Next step", _line(incident.steps[0])


def _line(text: str) -> str:
    return printable(text, LINE_LIMIT)


def names(items: Sequence[str], most: int = DOMAINS_SHOWN) -> str:
    """Some names, the rest counted."""
    shown = ", ".join(items[:most])
    return f"{shown} and {len(items) - most:,} more" if len(items) > most else shown


# --- Chats and webhooks -----------------------------------------------------------------------------------------------


def short_text(notices: Sequence[Notice]) -> str:
    """What stands in a chat: a line for each thing that a person needs first."""
    if len(notices) == 1:
        notice = notices[0]
        incident = notice.incident
        lines = [_lead(notice)] if incident is not None else []
        lines += [f"{name}: {text}" for name, text in notice.said]
        if incident is not None:
            shown = PAST if notice.event in GOOD else ("When", "Effect", "Domains", "Whose side", "Likely cause")
            lines += [f"{name}: {text}" for name, text in facts_of(incident) if name in shown]
            if incident.steps and notice.event not in GOOD:
                lines.append(f"Next step: {incident.steps[0]}")
        elif notice.fix:
            lines.append(f"Next step: {notice.fix}")
        lines.append(f"More: {notice.command}" if notice.command else "")
    else:
        lines = [f"{_lead(notice)} ({notice.command})" for notice in notices[:LISTED]]
        lines += [f"and {len(notices) - LISTED:,} more"] if len(notices) > LISTED else []
    text = "\n".join(printable(line, 400) for line in lines if line)
    return text if len(text) <= SHORT_LIMIT else text[: SHORT_LIMIT - 1] + "…"


def for_chat(text: str) -> str:
    """A text in which a chat service finds no mention, no link behind other words and no formatting."""
    lines = (printable(line).translate(_CHAT).replace("://", "：//") for line in text.split("\n"))
    return "\n".join(lines)


def json_of(
    notices: Sequence[Notice], token: str, event: str, severity: str, now: datetime, subject: str, text: str
) -> dict[str, Any]:
    """What a webhook is posted (docs/json.md)."""
    whole = [notice.incident for notice in notices if notice.incident is not None][:WHOLE]
    return {
        "version": 1,
        "id": token,
        "event": event,
        "severity": severity,
        "made_at": now,
        "subject": subject,
        "short": short_text(notices),
        "text": text,
        "notices": [
            {
                "event": notice.event,
                "key": notice.key,
                "severity": notice.severity,
                "headline": notice.headline,
                "domains": notice.domains,
                "said": [{"name": name, "text": said} for name, said in notice.said],
                "fix": notice.fix,
                "command": notice.command,
            }
            for notice in notices
        ],
        "incidents": [incident_json(incident) for incident in whole],
    }

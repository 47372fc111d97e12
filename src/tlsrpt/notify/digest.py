"""The digest: what changed in a period, what to do, and one line when there is nothing to do.

Values in, a mail out: subject, text, HTML. Without a single report it says that first, and calls nothing fine. However
many domains there are, it names those that need someone and counts the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from msgspec import Struct

from tlsrpt.core.domain import display_domain, is_domain
from tlsrpt.core.text import printable
from tlsrpt.insight.incident import Incident
from tlsrpt.insight.overview import DomainFigures, Figures, Overview, failed_within
from tlsrpt.insight.words import CONSEQUENCE, PARTY
from tlsrpt.notify.blocks import Bar, Block, Cell, Footnote, Heading, Item, Named, Paragraph, Table, Tone
from tlsrpt.notify.html import page
from tlsrpt.notify.plain import text_of

INCIDENTS_SHOWN, DOMAINS_SHOWN, NAMES_SHOWN = 10, 20, 10
FEWER = (INCIDENTS_SHOWN, 5, 2, 0)  # incidents, where so many texts would make the mail too large
MOST_BYTES = 60_000  # of HTML: Gmail cuts a mail off at 102 kB
SUBJECT_LIMIT, NAME_LIMIT, SENTENCE_LIMIT = 120, 80, 400
LATE_DAYS = 1  # without a report, up to the period's end, that are no news
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_OWN_SIDE = "It is more likely on our own side than on that of all of them."


class Digest(Struct, frozen=True, kw_only=True):
    """A mail, but for its addresses."""

    subject: str  # one line, nothing in it that can't be seen
    text: str
    html: str


def write_digest(seen: Overview) -> Digest:
    """Write the digest of an overview, in HTML of MOST_BYTES at most."""
    subject = subject_of(seen)
    title = f"TLS reports{_about(seen)}, {days_of(seen.since, seen.until)}"
    for most in FEWER:
        blocks = list(blocks_of(seen, most))
        html = page(title, preheader_of(seen), blocks)
        if len(html.encode()) <= MOST_BYTES:
            break
    return Digest(subject=subject, text=text_of(title, blocks), html=html)


# --- One line --------------------------------------------------------------------------------------------------------


def subject_of(seen: Overview) -> str:
    """The most important thing, then the days."""
    days = days_of(seen.since, seen.until)
    if seen.verdict == "no-reports":
        said = f"no report for {days}"
    elif seen.verdict == "nothing-to-do":
        said = f"nothing to do, {days}"
    elif seen.open:
        new = f", {len(seen.new):,} new" if seen.new else ""
        worst = seen.open[0]
        said = f"{plural(len(seen.open), 'open incident')}{new}: {worst.title}, {display_domain(worst.place)}"
    elif seen.ceased:
        said = f"no report any more on {plural(len(seen.ceased), 'domain')}, {days}"
    else:
        said = f"senders fell silent, {days}"
    return printable(f"TLS reports{_about(seen)}: {said}", SUBJECT_LIMIT)


def _about(seen: Overview) -> str:
    return f" on {_short_name(display_domain(seen.scope[0]))}" if len(seen.scope) == 1 else ""


def preheader_of(seen: Overview) -> str:
    """What a list of mails shows beside the subject."""
    return f"{_size(seen.now)}. Reports are current to {_current(seen)}." if seen.now.domains else _no_reports(seen)


def lead_of(seen: Overview) -> tuple[str, Tone]:
    """The first sentence of the mail, and its tone: the whole answer when there is nothing to do."""
    match seen.verdict:
        case "no-reports":
            return _no_reports(seen), "bad"
        case "nothing-to-do":
            if not seen.unsure:
                return f"Nothing to do: {_size(seen.now)}; reports are current to {_current(seen)}.", "good"
            older = plural(len(seen.unsure), "older incident")
            said = f"Nothing new to do: {_size(seen.now)}; reports are current to {_current(seen)}"
            return f"{said}. Of {older} nobody can tell whether it goes on.", "unsure"
    told = []
    if seen.open:
        begun = [f"{len(ids):,} {word}" for ids, word in ((seen.new, "new"), (seen.again, "back again")) if ids]
        aside = f" ({', '.join(begun)})" if begun else ""
        need = "needs" if len(seen.domains) == 1 else "need"
        told.append(
            f"{plural(len(seen.open), 'incident')} open{aside}; {plural(len(seen.domains), 'domain')} {need} someone."
        )
    if seen.ceased:
        told.append(f"No report came any more on {plural(len(seen.ceased), 'domain')}.")
    if not told:
        told.append("Senders fell silent.")
    return " ".join(told), "bad" if seen.open else "unsure"


def _no_reports(seen: Overview) -> str:
    said = f"No report came for {days_of(seen.since, seen.until)}, so nothing is known of these days."
    before = seen.before
    if before.domains:
        length = plural(seen.days, "day")
        return f"{said} For the {length} before there were {_size(before)}. {_OWN_SIDE}"
    return f"{said} Nor did one come for the {plural(seen.days, 'day')} before."


def _size(figures: Figures) -> str:
    """41 domains, 12,345 sessions from 9 senders, all under TLS."""
    said = f"{plural(figures.domains, 'domain')}, {plural(figures.sessions, 'session')} from"
    said += f" {plural(figures.senders, 'sender')}"
    if not figures.sessions:
        return said
    if not figures.failed:
        return f"{said}, all reported to be under TLS"
    return f"{said}, {figures.failed:,} failed ({percent(figures.failed, figures.sessions)})"


def _current(seen: Overview) -> str:
    """The last day of which anything is known."""
    return short_day(seen.latest) if seen.latest else "no day yet"


# --- The blocks ------------------------------------------------------------------------------------------------------


def blocks_of(seen: Overview, most: int = INCIDENTS_SHOWN) -> Iterator[Block]:
    """The mail, with so many incidents in full."""
    lead, tone = lead_of(seen)
    if len(seen.scope) > 1:
        yield Paragraph(text=f"About {_names(list(map(display_domain, seen.scope)))} only.")
    yield Paragraph(text=lead, tone=tone)
    if seen.verdict == "act":
        yield Paragraph(text=f"{_size(seen.now)}; reports are current to {_current(seen)}.")
    for text in seen.advice if seen.verdict != "no-reports" else ():
        yield Paragraph(text=_short(text))
    if seen.verdict != "no-reports" and seen.latest and seen.until - seen.latest > timedelta(days=LATE_DAYS):
        yield Paragraph(text=f"No report yet for the days after {short_day(seen.latest)}.")
    yield from _to_do(seen, most)
    yield from _changes(seen)
    if seen.now.domains or seen.before.domains:
        yield from _figures(seen)
    yield from _domains(seen)
    yield from _ready(seen)
    yield from _footnotes(seen)


def _to_do(seen: Overview, most: int) -> Iterator[Block]:
    if seen.verdict == "nothing-to-do":
        return
    yield Heading(text="What to do")
    if seen.verdict == "no-reports":
        domain = _for_command(seen)
        yield Item(title="See whether the record is still there", command=f"tlsrpt record check {domain}", tone="bad")
        yield Item(title="See whether reports are taken in", command="tlsrpt health", tone="bad")
        yield Item(
            title="See what came and could not be read", command="tlsrpt quarantine list", tone="bad"
        )  # a report in quarantine is in no figure
    for incident in seen.open[:most]:
        yield _incident(seen, incident)
    if len(seen.open) > most:
        rest = f"{len(seen.open) - most:,} more" if most else plural(len(seen.open), "incident")
        command = f"tlsrpt incidents --since {seen.before_since}"
        yield Item(title=f"{rest}, the worst first", command=command)
    if seen.ceased and seen.verdict != "no-reports":
        yield _ceased(seen)
    if seen.advice:
        yield Item(title="See who reports, and who does not any more", command="tlsrpt senders", tone="unsure")


def _for_command(seen: Overview) -> str:
    """A domain for a command: one that was asked for, else a word in its place."""
    named = [name for name in seen.scope if _safe(name)]
    return named[0] if named else "DOMAIN"


def _incident(seen: Overview, incident: Incident) -> Item:
    mark = "New: " if incident.id in seen.new else "Back again: " if incident.id in seen.again else ""
    said = [("Since", _since(seen, incident))]
    if len(incident.domains) > 1:
        said.append(("Effect", _effect(incident)))
    side = incident.side
    said.append(("Whose side", f"{PARTY[side.party]}, {side.confidence} confidence. {' '.join(side.reasons[:1])}"))
    if seen.signed and not incident.proven:
        said.append(("Note", "Only reports that nobody signed say so; anybody could have made them up."))
    said.append(("Next step", incident.steps[0] if incident.steps else "See the whole incident."))
    return Item(
        title=f"{mark}{_short(incident.headline)}",
        said=tuple((name, _short(text)) for name, text in said),
        command=f"tlsrpt incidents {incident.id}",
        tone="unsure" if incident.state == "unknown" else "bad",
    )


def _since(seen: Overview, incident: Incident) -> str:
    length = plural(seen.days, "day")
    now = failed_within(incident, seen.since, seen.until)
    before = failed_within(incident, seen.before_since, seen.before_until)
    said = f"{short_day(incident.first_seen)}, last reported for {short_day(incident.last_seen)}; "
    if now or before:
        said += f"{plural(now, 'failed session')} in these {length}, {before:,} in the {length} before"
    else:
        said += (
            f"{plural(failed_within(incident, seen.until, seen.today), 'failed session')} since {short_day(seen.until)}"
        )
    if incident.state == "unknown":
        said += ". Whether it goes on nobody can tell: the senders that saw it have not reported enough since"
    return f"{said}."


def _effect(incident: Incident) -> str:
    if len(incident.effects) < 2:
        return f"{CONSEQUENCE[incident.consequence]} for {_domains_of(incident.domains)}."
    parts = [f"{CONSEQUENCE[kind]} for {_domains_of(domains)}" for kind, domains in incident.effects]
    return f"{'; '.join(parts)}."


def _domains_of(domains: tuple[str, ...]) -> str:
    return _names(list(map(display_domain, domains)), 2)


def _ceased(seen: Overview) -> Item:
    first = seen.ceased[0].domain
    name = first if _safe(first) else "DOMAIN"
    listed = [
        f"{_short_name(display_domain(one.domain))} (the last one for {short_day(one.rhythm.last_day)})"
        for one in seen.ceased
    ]
    return Item(
        title=f"No report any more on {plural(len(seen.ceased), 'domain')}",
        said=(
            ("Domains", _counted(listed)),
            ("Next step", "See whether each record is still there; others of your domains are reported on."),
        ),
        command=f"tlsrpt record check {name}",
        tone="unsure",
    )


def _safe(domain: str) -> bool:
    """Whether a name may stand in a command that people copy: domain names only."""
    return is_domain(domain) and not domain.startswith("-")


def _changes(seen: Overview) -> Iterator[Block]:
    if seen.unsure:
        yield Heading(text="Not known to be over")
        yield Paragraph(text="Those who saw these have not reported enough since, so nobody can tell.")
        yield from _lines(seen.unsure, "tlsrpt incidents")
    if seen.over:
        yield Heading(text="Over")
        yield from _lines(seen.over, "tlsrpt incidents --all")
    if seen.silent:
        yield Heading(text="Senders that fell silent")
        for one in seen.silent[:NAMES_SHOWN]:
            yield Paragraph(text=f"{_short_name(one.sender or 'One without a name')}: {_short(one.why)}")
        if len(seen.silent) > NAMES_SHOWN:
            yield Paragraph(text=f"... and {len(seen.silent) - NAMES_SHOWN:,} more: tlsrpt senders.")


def _lines(incidents: tuple[Incident, ...], more: str) -> Iterator[Block]:
    """Some incidents in a line each."""
    for one in incidents[:NAMES_SHOWN]:
        what = f"{_short(one.title)}: {_short_name(display_domain(one.place))}"
        yield Paragraph(text=f"{what}, last reported for {short_day(one.last_seen)} ({one.id}).")
    if len(incidents) > NAMES_SHOWN:
        yield Paragraph(text=f"... and {len(incidents) - NAMES_SHOWN:,} more: {more}.")


def _figures(seen: Overview) -> Iterator[Block]:
    now, before = seen.now, seen.before
    yield Heading(text="Figures")
    length = plural(seen.days, "day")
    rows: list[tuple[Cell, ...]] = [
        ("Sessions", f"{now.sessions:,}", f"{before.sessions:,}", change(now.sessions, before.sessions)),
        ("Failed", f"{now.failed:,}", f"{before.failed:,}", change(now.failed, before.failed)),
        (
            "Share failed",
            percent(now.failed, now.sessions),
            percent(before.failed, before.sessions),
            _points(now, before),
        ),
        ("Domains", f"{now.domains:,}", f"{before.domains:,}", difference(now.domains, before.domains)),
        ("Senders", f"{now.senders:,}", f"{before.senders:,}", difference(now.senders, before.senders)),
    ]
    yield Table(
        caption=f"Figures of {days_of(seen.since, seen.until)} beside those of the {length} before",
        head=(
            "Figure",
            _short_days(seen.since, seen.until),
            _short_days(seen.before_since, seen.before_until),
            "Change",
        ),
        rows=tuple(rows),
        figures=frozenset({1, 2, 3}),
    )
    most = max((part.failed for part in seen.parts), default=0)
    if most and len(seen.parts) > 1:
        yield Table(
            caption="Failed sessions day by day",
            head=("Day" if seen.parts[0].first == seen.parts[0].last else "Days", "Failed sessions"),
            rows=tuple(
                (
                    _part_name(part.first, part.last),
                    Bar(share=part.failed / most, figure=f"{part.failed:,} of {part.sessions:,}")
                    if part.sessions
                    else "no report",
                )
                for part in seen.parts
            ),
        )


def _domains(seen: Overview) -> Iterator[Block]:
    if not seen.domains:
        return
    yield Heading(text="Domains that need someone")
    shown = seen.domains[:DOMAINS_SHOWN]
    yield Table(
        caption="Domains that meet an open incident, the worst first",
        head=("Domain; mail to it is", "Failed sessions"),
        rows=tuple(_domain_row(one) for one in shown),
    )
    if len(seen.domains) > len(shown):
        yield Paragraph(text=f"... and {len(seen.domains) - len(shown):,} more: tlsrpt summary --by domain.")
    fine = seen.now.domains - sum(one.sessions > 0 for one in seen.domains)
    if fine > 0:
        yield Paragraph(text=f"{plural(fine, 'other domain')} with reports, and nothing to do there.")


def _domain_row(one: DomainFigures) -> tuple[Cell, ...]:
    before = percent(one.failed_before, one.sessions_before) if one.sessions_before else "no report"
    figure = f"{percent(one.failed, one.sessions)}, before: {before}"
    share = one.failed / one.sessions if one.sessions else 0.0
    bar = Bar(share=share, figure=figure if one.sessions else f"no report, before: {before}")
    return Named(name=_short_name(display_domain(one.domain)), note=_mail_is(one)), bar


def _mail_is(one: DomainFigures) -> str:
    return CONSEQUENCE[one.consequence].removeprefix("mail is ")


def _ready(seen: Overview) -> Iterator[Block]:
    if seen.ready:
        yield Heading(text="Could be next")
        for hint in seen.ready[:NAMES_SHOWN]:
            yield Paragraph(text=f"{_short_name(display_domain(hint.domain))}: {_short(hint.text)}")
        if len(seen.ready) > NAMES_SHOWN:
            yield Paragraph(text=f"... and {len(seen.ready) - NAMES_SHOWN:,} more.")


def _footnotes(seen: Overview) -> Iterator[Block]:
    said = ["Days are UTC days. Reports come a day late or more, and only from senders that report at all."]
    sent = seen.now.as_sent
    if sent is not None and (sent.successful + sent.failed, sent.failed) != (seen.now.sessions, seen.now.failed):
        said.append(
            "A session that a sender lists under MTA-STS and under DANE counts once. As sent it is "
            f"{sent.successful + sent.failed:,} sessions, {sent.failed:,} failed."
        )
    if seen.aside:
        are = "is" if seen.aside == 1 else "are"
        said.append(f"{plural(seen.aside, 'incident')} to watch or marked {are} left out: tlsrpt incidents --all.")
    if seen.now.domains and not seen.signed:
        said.append("No report of these days is signed by its submitter (DKIM): anybody could have made them up.")
    said.append(f"As of {seen.today}. Who gets this and when stands in [digest] of the configuration.")
    yield Footnote(text=" ".join(said))


# --- Words and figures -----------------------------------------------------------------------------------------------


def days_of(first: date, last: date) -> str:
    """17 to 23 Nov 2026."""
    if first == last:
        return f"{first.day} {_MONTHS[first.month - 1]} {first.year}"
    return f"{_short_days(first, last)} {last.year}"


def _short_days(first: date, last: date) -> str:
    if first == last:
        return short_day(first)
    if first.year != last.year:
        return f"{short_day(first)} {first.year} to {short_day(last)}"
    return (
        f"{first.day} to {short_day(last)}" if first.month == last.month else f"{short_day(first)} to {short_day(last)}"
    )


def short_day(day: date) -> str:
    """24 Nov."""
    return f"{day.day} {_MONTHS[day.month - 1]}"


def _part_name(first: date, last: date) -> str:
    return f"{_WEEKDAYS[first.weekday()]} {short_day(first)}" if first == last else _short_days(first, last)


def plural(count: int, one: str) -> str:
    """1 session, 2 sessions."""
    return f"{count:,} {one}{'' if count == 1 else 's'}"


def percent(part: int, whole: int) -> str:
    """A share; a small one that is not nothing never reads 0 %, and one short of all never reads 100 %."""
    if not whole:
        return "-"
    share = 100 * part / whole
    if 0 < share < 0.1:
        return "<0.1 %"
    return ">99.9 %" if 99.9 < share < 100 else f"{share:.1f} %"


def change(now: int, before: int) -> str:
    """By how much a figure changed, as a share of the one before."""
    if not now or not before or now == before:
        return difference(now, before)
    share = 100 * (now - before) / before
    if abs(share) < 0.05:
        return "+<0.1 %" if share > 0 else "-<0.1 %"
    return f"{share:+.1f} %" if abs(share) < 10 or -100 < share < -99 else f"{share:+,.0f} %"


def difference(now: int, before: int) -> str:
    """By how many a figure changed."""
    return f"{now - before:+,}" if now != before else "none"


def _points(now: Figures, before: Figures) -> str:
    if not now.sessions or not before.sessions:
        return "-"
    points = 100 * now.failed / now.sessions - 100 * before.failed / before.sessions
    return "none" if abs(points) < 0.05 else f"{points:+.1f} points"


def _short(text: str) -> str:
    return printable(text, SENTENCE_LIMIT)


def _short_name(text: str) -> str:
    return printable(text, NAME_LIMIT)


def _names(items: list[str], most: int = NAMES_SHOWN) -> str:
    """Some names, the rest counted."""
    return _counted(list(map(_short_name, items)), most)


def _counted(items: list[str], most: int = NAMES_SHOWN) -> str:
    """Some texts, the rest counted."""
    shown = ", ".join(items[:most])
    return f"{shown} and {len(items) - most:,} more" if len(items) > most else shown

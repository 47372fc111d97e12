"""`tlsrpt incidents`: what is wrong, since when, whose side, does it hurt, what to do; and what a person says of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from tlsrpt.cli import draw
from tlsrpt.cli.options import Day, Period, Settings, domain_option, json_option, period_options, with_settings
from tlsrpt.core.errors import TlsrptError
from tlsrpt.store.values import Mark

if TYPE_CHECKING:
    from tlsrpt.insight.incident import Incident
    from tlsrpt.store.sqlite import Store

EVIDENCE_IN_LIST, EVIDENCE_IN_WHOLE = 3, 12
QUIET_SHOWN = 10


class Word(NamedTuple):
    """What a person says of an incident; None where nothing is said."""

    mark: Mark | None
    until: date | None
    note: str | None


@click.command()
@click.argument("id_", required=False, metavar="[ID]")
@domain_option
@period_options("90d")
@click.option("--all", "everything", is_flag=True, help="Also what is quiet or marked, whole.")
@click.option("--proven", is_flag=True, help="Without reports that no submitter signed (DKIM).")
@click.option("--resolved", is_flag=True, help="Mark ID as mended; it opens by itself when a later day shows it again.")
@click.option("--ignore-until", type=Day(), metavar="DATE", help="Mark ID as known until that day.")
@click.option("--reopen", is_flag=True, help="Take the mark of ID back.")
@click.option("--note", metavar="TEXT", help="Keep a note with ID; an empty one takes it back.")
@json_option
@with_settings
def command(
    id_: str | None,
    domain: str | None,
    period: Period,
    everything: bool,
    proven: bool,
    as_json: bool,
    settings: Settings,
    **word: Any,
) -> None:
    """What is wrong, since when, whose side it is, whether mail suffers, and what to do; worst first.

    One cause at one place is one incident, however many domains, senders and result types it has; it keeps its ID from
    day to day. With an ID, everything about that one. --since says which were seen lately; each is told whole.

    Exit 0; 3 when no incident has that ID.
    """
    from tlsrpt.cli.incident_text import draw_whole, incident_json
    from tlsrpt.insight.incidents import find_incidents
    from tlsrpt.store.sqlite import open_store

    said = _word(id_, period, **word)
    with open_store(settings.store_url) as store:

        def find() -> list[Incident]:
            return find_incidents(
                store,
                since=period.since,
                until=period.until,
                today=period.today,
                domain=domain,
                proven_only=proven,
                evidence=EVIDENCE_IN_WHOLE if id_ else EVIDENCE_IN_LIST,
            )

        found = find()
        if id_ is not None:
            found = [_one(found, id_, store, period, settings)]
            if said != NOTHING:
                _keep(store, found[0], said)
                found = [_one(find(), found[0].id, store, period, settings)]
        if as_json:
            for incident in found:
                draw.json_line(incident_json(incident))
        elif id_ is not None:
            draw_whole(found[0])
        else:
            _draw_list(found, store, period, domain, everything, settings)


NOTHING = Word(None, None, None)


def _word(
    id_: str | None, period: Period, *, resolved: bool, ignore_until: date | None, reopen: bool, note: str | None
) -> Word:
    if resolved + reopen + (ignore_until is not None) > 1:
        raise click.UsageError("--resolved, --ignore-until and --reopen exclude each other")
    if ignore_until is not None and ignore_until <= period.today:
        raise click.BadParameter("is not after today", param_hint="--ignore-until")
    mark: Mark | None = "resolved" if resolved else "ignored-until" if ignore_until else "none" if reopen else None
    if id_ is None and (mark is not None or note is not None):
        raise click.UsageError("a mark and a note need the ID of an incident")
    return Word(mark, ignore_until, note)


def _one(found: Sequence[Incident], id_: str, store: Store, period: Period, settings: Settings) -> Incident:
    """The incident of that id, or of the only one that begins so."""
    from tlsrpt.store.sqlite_memory import remembered

    id_ = id_.lower()
    fits = [each for each in found if each.id.startswith(id_)]
    if len(fits) == 1 or (fits and fits[0].id == id_):
        return fits[0]
    if fits:
        raise TlsrptError(f"{len(fits)} incidents begin so: {', '.join(each.id for each in fits[:5])}", where=id_)
    known = remembered(store).incidents.get(id_)
    if known is not None:
        raise TlsrptError(
            f"not seen from {period.since} to {period.until}: {known.title}, {known.place}",
            where=id_,
            fix=f"it was last seen on {known.last_seen}: add --since {known.last_seen}",
        )
    raise TlsrptError(f"no such incident in {settings.store_url}", where=id_, fix="see `tlsrpt incidents --all`")


def _keep(store: Store, incident: Incident, said: Word) -> None:
    """Keep what was said. What is mended stays so until a later day than those known shows it again."""
    from tlsrpt.insight.identity import sightings
    from tlsrpt.store.sqlite_memory import mark

    day = incident.last_seen if said.mark == "resolved" else said.until
    mark(store, sightings([incident])[0], said.mark, day=day, now=datetime.now(UTC), note=said.note)


def _draw_list(
    found: Sequence[Incident],
    store: Store,
    period: Period,
    domain: str | None,
    everything: bool,
    settings: Settings,
) -> None:
    from tlsrpt.cli.incident_text import draw_incident

    aside = [each for each in found if each.state == "quiet" or each.mark != "none"]
    shown = [each for each in found if everything or each not in aside]
    if not settings.quiet:
        _draw_counts(found, store, period, domain)
    for number, incident in enumerate(shown, 1):
        click.echo()
        draw_incident(incident, number)
    if aside and not everything and not settings.quiet:
        _draw_aside(aside)


def _draw_counts(found: Sequence[Incident], store: Store, period: Period, domain: str | None) -> None:
    """How it stands, in one line, with the rule by which sessions were counted where it matters."""
    from tlsrpt.store.figures import summary

    figures = summary(store, domain=domain, since=period.since, until=period.until)
    totals = figures.totals
    if not totals.reports:
        draw.paragraph(f"No report from {period.since} to {period.until} in {store.path}; see `tlsrpt store info`.")
        return
    fine = not found and not totals.failed
    marked = sum(each.mark != "none" for each in found)
    states = [each.state for each in found if each.mark == "none"]
    counts = f"{draw.plural(states.count('open'), 'incident')} open, {states.count('watch')} to watch, "
    counts += f"{states.count('quiet')} quiet"
    counts += f", {unknown} unknown" if (unknown := states.count("unknown")) else ""
    counts += f", {marked} marked" if marked else ""
    if not fine:
        draw.heading(f"{period.since} to {period.until}: {counts}")
    senders = f"{draw.plural(totals.reports, 'report')} of {draw.plural(figures.senders, 'sender')}"
    sessions = draw.plural(totals.successful + totals.failed, "session")
    if fine:
        draw.paragraph(f"Nothing is wrong: {senders} speak of {sessions} up to {figures.last_day}, and none failed.")
        return
    draw.paragraph(f"{senders} speak of {sessions} up to {figures.last_day}; {totals.failed:,} of them failed.")
    if (totals.as_sent.successful, totals.as_sent.failed) != (totals.successful, totals.failed):
        sent = totals.as_sent.successful + totals.as_sent.failed
        draw.paragraph(
            "A session that a sender lists under MTA-STS and under DANE counts once: these are lower bounds. As sent "
            f"it is {sent:,} sessions, {totals.as_sent.failed:,} failed."
        )
    if figures.not_itemised:
        draw.paragraph(f"{draw.plural(figures.not_itemised, 'failed session')} without details: nobody can tell why.")


def _draw_aside(aside: Sequence[Incident]) -> None:
    """What is over or marked, a few words each."""
    click.echo("\nNo longer seen, or marked (whole with --all):")
    for incident in aside[:QUIET_SHOWN]:
        first, last = incident.first_seen, incident.last_seen
        days = f"{first}" if first == last else f"{first} to {last}"
        size = f"{draw.plural(incident.failed, 'session')} from {draw.plural(len(incident.senders), 'sender')}"
        mark = f"; {incident.mark}" if incident.mark != "none" else ""
        draw.paragraph(f"{days} {incident.title}: {incident.place}; {size}{mark}", "    ", f"  {incident.id} ")
    if len(aside) > QUIET_SHOWN:
        click.echo(f"  ... and {len(aside) - QUIET_SHOWN} more")

"""`tlsrpt health`: whether reports are being taken in, and what needs a person."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
from msgspec import Struct

from tlsrpt.cli import draw
from tlsrpt.cli.options import Settings, json_option, with_settings
from tlsrpt.core.findings import Finding

if TYPE_CHECKING:
    from tlsrpt.store.answers import ForeignDomain
    from tlsrpt.store.values import SourceState


class Health(Struct, frozen=True, kw_only=True):
    """The answer (docs/json.md)."""

    healthy: bool
    running: bool
    seen_at: datetime | None  # the service's last sign of life
    sources: tuple[SourceState, ...]
    reports: dict[str, Any]
    quarantine: dict[str, int]
    store: dict[str, Any]
    foreign: tuple[ForeignDomain, ...]
    findings: tuple[Finding, ...]


@click.command()
@click.option("--once", is_flag=True, help="A timer runs `receive --once`: no service has to run.")
@json_option
@with_settings
@click.pass_context
def command(ctx: click.Context, once: bool, as_json: bool, settings: Settings) -> None:
    """How each source does, when the last reports came, room left, and what needs a person.

    With -q only what needs a person is printed. For monitoring from outside there are /healthz, /readyz and /metrics.

    Exit 0 healthy; 1 something needs a person; 2 wrong usage or configuration; 3 the store can't be used.
    """
    now = datetime.now(UTC)
    health = _look(settings, once, now)
    if as_json:
        draw.json_line(health)
    else:
        _draw(health, now, settings)
    ctx.exit(0 if health.healthy else 1)


def _look(settings: Settings, once: bool, now: datetime) -> Health:
    from tlsrpt.insight.health import alive, findings, last_sign, needs_a_person
    from tlsrpt.insight.situation import find_situation
    from tlsrpt.store.sqlite import open_store
    from tlsrpt.store.sqlite_upkeep import size_of

    with open_store(settings.store_url) as store:
        situation, foreign = find_situation(store, settings.config, now, once=once)
        path, size = str(store.path), size_of(store.path)
    said = findings(situation, now)
    return Health(
        healthy=not needs_a_person(said),
        running=bool(alive(situation.states, now)),
        seen_at=last_sign(situation.states),
        sources=tuple(situation.states),
        reports={"last": situation.last_report, "day": situation.in_day, "week": situation.in_week},
        quarantine={"entries": situation.quarantined, "bytes": situation.quarantined_bytes},
        store={"path": path, "size_bytes": size, "free_bytes": situation.free_bytes},
        foreign=tuple(foreign),
        findings=tuple(said),
    )


def _draw(health: Health, now: datetime, settings: Settings) -> None:
    from tlsrpt.cli.store import size_text
    from tlsrpt.insight.health import ago

    if not settings.quiet:
        words, colour = ("healthy", "green") if health.healthy else ("needs a person", "red")
        click.secho(words, fg=colour, bold=True)
        seen = f"seen {ago(now - health.seen_at)} ago" if health.seen_at else "never seen"
        last = health.reports["last"]
        lines = {
            "service": f"{'runs' if health.running else 'does not run'}, {seen}",
            "reports": f"last {ago(now - last)} ago; {health.reports['day']:,} in 24 hours, {health.reports['week']:,} "
            "in 7 days"
            if last
            else "none yet",
            "quarantine": f"{health.quarantine['entries']:,} waiting",
            "store": f"{health.store['path']}, {size_text(health.store['size_bytes'])}; "
            f"{size_text(health.store['free_bytes'])} free",
        }
        for name, text in lines.items():
            draw.paragraph(text, "            ", f"{name + ':':12}")
        if health.sources:
            click.echo()
            _draw_states(health.sources, now)
    for finding in health.findings:
        if settings.quiet and finding.severity == "info":
            continue
        click.echo()
        draw.findings([finding])


def _draw_states(states: tuple[SourceState, ...], now: datetime) -> None:
    from tlsrpt.insight.health import ago, alive

    running = {state.name for state in alive(states, now)}
    rows: list[list[draw.Cell]] = []
    for state in states:
        kept = sum(state.outcomes.get(outcome, 0) for outcome in ("new", "known", "conflict"))
        rows.append(
            [
                state.name,
                state.kind,
                state.state if state.name in running else "not running",
                ago(now - state.since),
                f"{ago(now - state.last_success)} ago" if state.last_success else "never",
                "-" if state.waiting is None else state.waiting,
                kept,
                state.outcomes.get("quarantined", 0),
                sum(state.outcomes.values()) - kept - state.outcomes.get("quarantined", 0),
                state.turned_away,
            ]
        )
    head = ("source", "kind", "state", "for", "last success", "waiting", "kept", "broken", "other", "put off")
    draw.table(head, rows)

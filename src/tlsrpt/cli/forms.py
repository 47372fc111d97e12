"""Printing a TXT record to publish, in the form that each place wants: shared by `record make` and `policy make`."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import click

from tlsrpt.cli import draw
from tlsrpt.core.publish import DEFAULT_TTL, PLACES, WITH_DOMAIN, Place, TxtRecord, publish_form, publish_forms

P = ParamSpec("P")
R = TypeVar("R")
TTL = click.IntRange(1, 2**31 - 1)


def form_options(verb: Callable[P, R]) -> Callable[P, R]:
    """`--for PLACE` and `--ttl`, passed on as `places` and `ttl`."""
    places = click.Choice(["all", *PLACES])
    metavar = "PLACE"
    text = f"Write the exact form for a place, or all: {', '.join(PLACES)}. May be repeated."
    verb = click.option("--ttl", type=TTL, default=DEFAULT_TTL, show_default=True, help="Seconds; 300 while changing.")(
        verb
    )
    return click.option("--for", "places", multiple=True, type=places, metavar=metavar, help=text)(verb)


def draw_txt(record: TxtRecord, places: tuple[str, ...], *, as_json: bool) -> None:
    """Print the bare value, or the forms asked for, or everything as JSON."""
    if as_json:
        forms = publish_forms(record)
        draw.json_line({"name": record.name, "record": record.value, "ttl": record.ttl, "forms": forms})
    elif places:
        draw_forms(record, places)
    else:
        click.echo(record.value)
        click.echo(f"TXT at {record.name}. For the exact form of a place: --for {'|'.join(PLACES)}", err=True)


def draw_forms(record: TxtRecord, places: tuple[str, ...]) -> None:
    """Print the forms for these places, each under its name where there are several."""
    chosen: list[Place] = [place for place in PLACES if place in places or "all" in places]
    for place in chosen:
        if record.domain is None and place in WITH_DOMAIN:
            if place in places:
                raise click.UsageError(f"--for {place} needs the full name: add --domain")
            continue
        if len(chosen) > 1:
            draw.heading(place)
        click.echo(publish_form(record, place) + ("\n" if len(chosen) > 1 else ""))

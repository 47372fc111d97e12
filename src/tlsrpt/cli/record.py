"""`tlsrpt record`: the _smtp._tls record, linted and made. Offline; `core.record` knows all that is said."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import IO

import click

from tlsrpt.cli.forms import draw_txt, form_options
from tlsrpt.cli.lazy import LazyGroup
from tlsrpt.cli.options import DomainName, json_option
from tlsrpt.core.verdict import Lint


@click.group(cls=LazyGroup, further={"check": "tlsrpt.cli.record_check"})
def command() -> None:
    """The _smtp._tls record, by which a domain asks for TLS reports."""


@command.command()
@click.argument("texts", nargs=-1, metavar="TEXT...")
@click.option("--file", "file", type=click.File("rb"), metavar="F", help="Lint each line of F on its own; - is stdin.")
@click.option("--zone-text", is_flag=True, help="TEXT is written as in a zone file or by dig: quotes, escapes.")
@json_option
@click.pass_context
def lint(ctx: click.Context, texts: tuple[str, ...], file: IO[bytes] | None, zone_text: bool, as_json: bool) -> None:
    """Say what is wrong with a record, what senders do with it, and what to write instead.

    The TEXTs are all the TXT records at the one name, one argument each, as DNS holds them: no quotes around the
    value, no backslashes, the strings of one record joined.

    Exit 0 ok; 1 findings; 2 wrong usage.
    """
    from tlsrpt.cli.lints import draw_lints, what_is_given

    texts, file = what_is_given(texts, file)
    found = iter([_lint([os.fsencode(text) for text in texts], zone_text)]) if file is None else _lines(file, zone_text)
    ctx.exit(draw_lints(found, as_json=as_json, lines=file is not None))


def _lines(file: IO[bytes], zone_text: bool) -> Iterator[Lint]:
    from tlsrpt.cli.lints import bounded_lines

    for line in bounded_lines(file):
        yield _lint([line], zone_text)


def _lint(texts: list[bytes], zone_text: bool) -> Lint:
    from tlsrpt.core.record import LABEL, lint_record
    from tlsrpt.core.zonelint import lint_zone_text

    if zone_text:
        return lint_zone_text([text.decode("utf-8", "backslashreplace") for text in texts], lint_record, LABEL)
    return lint_record(texts)


@command.command()
@click.option("--mailto", multiple=True, metavar="ADDRESS", help="A mailbox that takes the reports; may be repeated.")
@click.option("--https", multiple=True, metavar="URL", help="An endpoint that takes them by POST; may be repeated.")
@click.option("--domain", type=DomainName(), help="The domain that asks for reports; some forms need it.")
@form_options
@json_option
def make(
    mailto: tuple[str, ...],
    https: tuple[str, ...],
    domain: str | None,
    places: tuple[str, ...],
    ttl: int,
    as_json: bool,
) -> None:
    """Write the record, encoded where it must be, ready to paste.

    Mailboxes stand before endpoints, and the first is the one that matters: some senders use it alone.
    """
    from tlsrpt.core.destinations import DestinationError
    from tlsrpt.core.publish import TxtRecord
    from tlsrpt.core.record import LABEL, make_record

    if not mailto and not https:
        raise click.UsageError("name at least one destination: --mailto ADDRESS or --https URL")
    try:
        value = make_record(mailto, https)
    except DestinationError as error:
        raise click.BadParameter(str(error), param_hint="--mailto or --https") from None
    draw_txt(TxtRecord(label=LABEL, value=value, domain=domain, ttl=ttl), places, as_json=as_json)

"""`tlsrpt sample`: realistic reports and mails, to try everything out with (docs/sample.md)."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tlsrpt.cli.options import Day, DomainName, json_option

if TYPE_CHECKING:
    from tlsrpt.core.sample import Event, SampleReport

FILE_FORMS = ("eml", "json", "json.gz", "maildir", "mbox")
_EARLIEST, _LATEST = date(1980, 1, 1), date(9000, 1, 1)  # the calendar's ends would break sums with days


def _yesterday() -> str:
    """The last UTC day that can have been reported."""
    today = os.environ.get("TLSRPT_TODAY") or str(datetime.now(UTC).date())
    try:
        return str(date.fromisoformat(today) - timedelta(days=1))
    except (ValueError, OverflowError):
        return today  # the option's own type says what is wrong with it


def _day(_ctx: click.Context, param: click.Parameter, value: date) -> date:
    if not _EARLIEST <= value <= _LATEST:
        raise click.BadParameter(f"{value} is not between {_EARLIEST} and {_LATEST}", param=param)
    return value


def _list(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from tlsrpt.core.sample import KINDS, PROFILES

    _draw_items("Senders", [(name, profile.says) for name, profile in PROFILES.items()])
    click.echo()
    _draw_items("Faults", [(name, kind.says) for name, kind in KINDS.items() if name != "silent"])
    ctx.exit()


def _draw_items(title: str, items: Sequence[tuple[str, str]]) -> None:
    """A title, and names with a text beside each, within the terminal's width."""
    from tlsrpt.cli.draw import heading, paragraph

    heading(title)
    room = max((len(name) for name, _ in items), default=0) + 4
    for name, text in items:
        paragraph(text, " " * room, f"  {name}".ljust(room))


out_argument = click.argument("out", type=click.Path(path_type=Path))
form_option = click.option(
    "--form",
    type=click.Choice(FILE_FORMS),
    default="eml",
    show_default=True,
    help="One file a report, or all of them in one mailbox.",
)
until_option = click.option(
    "--until",
    type=Day(),
    callback=_day,
    metavar="DATE",
    default=_yesterday,
    help="The last UTC day reported on. [default: yesterday]",
)
days_option = click.option(
    "--days", type=click.IntRange(1, 3660), default=90, show_default=True, help="So many UTC days."
)
seed_option = click.option(
    "--seed", type=int, default=1, show_default=True, help="Equal seeds and arguments give equal bytes."
)
force_option = click.option("--force", is_flag=True, help="Write into a folder or mailbox that holds something.")


@click.group()
@click.option("--list", is_flag=True, is_eager=True, expose_value=False, callback=_list, help="Senders and faults.")
def command() -> None:
    """Make realistic reports and mails, as known senders write them. Nothing is sent or kept."""


@command.command("report")
@click.option("--sender", default="google", show_default=True, metavar="NAME", help="See --list.")
@click.option("--domain", type=DomainName(), default="example.com", show_default=True, help="The domain reported on.")
@click.option("--fault", metavar="NAME", help="What goes wrong at its second MX host; see --list. [default: nothing]")
@click.option(
    "--policy",
    "policies",
    type=click.Choice(["none", "testing", "enforce", "dane", "both"]),
    help="What the domain publishes. [default: what the fault needs, else enforce]",
)
@click.option(
    "--date",
    "day",
    type=Day(),
    callback=_day,
    metavar="DATE",
    default=_yesterday,
    help="The UTC day reported on. [default: yesterday]",
)
@click.option(
    "--sessions", type=click.IntRange(1, 1_000_000_000), default=120, show_default=True, help="About so many sessions."
)
@click.option("--form", type=click.Choice(["eml", "json", "json.gz"]), default="eml", show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write here. [default: stdout]")
@seed_option
def report_command(
    sender: str, domain: str, fault: str | None, day: date, form: Any, output: Path | None, **rest: Any
) -> None:
    """Write one report of one sender."""
    from tlsrpt.core.sample import KINDS, PROFILES, reports, single, write

    _known(sender, PROFILES, "--sender")
    if fault is not None:
        _known(fault, [kind for kind in KINDS if kind != "silent"], "--fault")
    truth = single(domain, (PROFILES[sender],), day, fault=fault, **rest)
    report = next(reports(truth, truth.senders[0], day), None)
    if report is None:
        raise click.UsageError(f"{sender} sends no report on this; try --policy or another --sender")
    if fault is not None and KINDS[fault].layer != "sender" and not report.failures:
        click.echo(f"note: {sender} does not report a failure for {fault}", err=True)
    data = write(report, form)
    if output is not None:
        with _told_plainly(output):
            output.write_bytes(data)
    elif form == "json.gz" and sys.stdout.isatty():
        raise click.UsageError("not printing gzip on a terminal; use --output FILE")
    else:
        click.echo(data, nl=False)


def _known(name: str, names: Iterable[str], option: str) -> None:
    if name in names:
        return
    import difflib

    near = difflib.get_close_matches(name, list(names), n=1)
    raise click.BadParameter(
        f"{name!r} is not known" + (f"; did you mean {near[0]!r}?" if near else "; see tlsrpt sample --list"),
        param_hint=option,
    )


@command.command("fleet")
@out_argument
@days_option
@until_option
@seed_option
@form_option
@force_option
@json_option
def fleet_command(out: Path, days: int, until: date, seed: int, form: str, force: bool, as_json: bool) -> None:
    """Write the demo fleet's reports to OUT: ten domains, eight senders, and faults planted on known days."""
    from tlsrpt.cli.draw import json_line, plural
    from tlsrpt.core.sample import all_reports, fleet

    made = fleet(until=until, days=days, seed=seed)
    written = write_reports(all_reports(made.truth, made.first, made.last), out, form, force=force)
    if as_json:
        json_line(
            {
                "reports": written,
                "first": made.first,
                "last": made.last,
                "faults": [_planted(event) for event in made.faults],
                "noise": [_planted(event) for event in made.noise],
                "healthy": made.healthy,
            }
        )
        return
    click.echo(f"{plural(written, 'report')} on {plural(days, 'UTC day')} up to {until} in {out}")
    for title, events in ("Planted faults", made.faults), ("Nobody's fault", made.noise):
        click.echo()
        _draw_items(title, [(_span(event, made.first), event.note) for event in events])
    click.echo()
    _draw_items("Healthy", list(made.healthy.items()))


def _span(event: Event, first: date) -> str:
    begin = max(event.first, first)
    return f"{begin}" if event.last == begin else f"{begin} to {event.last or 'now'}"


def _planted(event: Event) -> dict[str, object]:
    return {
        "kind": event.kind,
        "first": event.first,
        "last": event.last,
        "domains": event.domains,
        "hosts": event.hosts,
        "senders": event.senders,
        "note": event.note,
    }


@command.command("corpus")
@out_argument
@click.option("--reports", "count", type=click.IntRange(1), default=1000, show_default=True, help="So many reports.")
@click.option(
    "--size",
    type=click.Choice(["small", "typical", "medium", "large", "huge", "mix"]),
    default="mix",
    show_default=True,
    help="typical: about 1.7 KiB of JSON; large: 128 KiB; mix: what a mailbox holds.",
)
@click.option("--domains", type=click.IntRange(1, 1_000_000), default=50, show_default=True)
@click.option("--senders", type=click.IntRange(1, 10_000), default=12, show_default=True)
@days_option
@until_option
@seed_option
@form_option
@force_option
@json_option
def corpus_command(out: Path, form: str, force: bool, as_json: bool, count: int, **rest: Any) -> None:
    """Write reports by the number to OUT, for benchmarks and load. They tell no story."""
    from tlsrpt.cli.draw import json_line, plural
    from tlsrpt.core.sample import corpus

    written = write_reports(corpus(count, **rest), out, form, force=force, count=count)
    if as_json:
        json_line({"reports": written})
    else:
        click.echo(f"{plural(written, 'report')} in {out}")


def write_reports(
    reports: Iterable[SampleReport], out: Path, form: str, *, force: bool = False, count: int | None = None
) -> int:
    """Write reports one at a time, each as soon as it is made; return how many."""
    with _told_plainly(out):
        _make_room(out, form, force=force)
        if form == "mbox":
            paths = _write_mbox(reports, out)
        elif form == "maildir":
            paths = _write_maildir(reports, out)
        else:
            paths = _write_files(reports, out, form)
        with click.progressbar(
            paths, length=count, label="writing", file=sys.stderr, hidden=not sys.stderr.isatty()
        ) as bar:
            return sum(1 for _ in bar)


@contextmanager
def _told_plainly(path: Path) -> Iterator[None]:
    """Say in one line what the system would not let us write."""
    try:
        yield
    except OSError as error:
        raise click.FileError(str(error.filename or path), hint=error.strerror or "can't be written") from error


def _make_room(out: Path, form: str, *, force: bool) -> None:
    """Make the folder, or refuse one that holds something."""
    if form == "mbox":
        if out.is_dir():
            raise click.BadParameter(f"{out} is a folder; an mbox is one file", param_hint="OUT")
        taken = out.exists() and out.stat().st_size > 0
        out.parent.mkdir(parents=True, exist_ok=True)
    else:
        if out.exists() and not out.is_dir():
            raise click.BadParameter(f"{out} is no folder", param_hint="OUT")
        taken = out.is_dir() and any(out.iterdir())
        for folder in ("cur", "new", "tmp") if form == "maildir" else (".",):
            (out / folder).mkdir(parents=True, exist_ok=True)
    if taken and not force:
        raise click.BadParameter(f"{out} is not empty; add --force to write there", param_hint="OUT")


def _write_files(reports: Iterable[SampleReport], out: Path, form: Any) -> Iterator[Path]:
    from tlsrpt.core.sample import write

    for report in reports:
        path = out / f"{report.file_stem}.{form}"
        path.write_bytes(write(report, form))
        yield path


def _write_maildir(reports: Iterable[SampleReport], out: Path) -> Iterator[Path]:
    from tlsrpt.core.sample import mail

    for report in reports:
        name = f"{int(report.sent_at.timestamp())}.{report.nonce[:16]}.sample"
        (out / "tmp" / name).write_bytes(mail(report, "\n"))
        yield (out / "tmp" / name).rename(out / "new" / name)


def _write_mbox(reports: Iterable[SampleReport], out: Path) -> Iterator[Path]:
    from tlsrpt.core.sample import mail

    with out.open("wb") as file:
        for report in reports:
            text = mail(report, "\n").replace(b"\nFrom ", b"\n>From ")
            file.write(
                b"From MAILER-DAEMON " + f"{report.sent_at:%a %b %d %H:%M:%S %Y}".encode() + b"\n" + text + b"\n"
            )
            yield out

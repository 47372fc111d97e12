"""The `tlsrpt` command: finds the verb, loads only that one, and turns what goes wrong into one line and an exit code.

Exit codes, everywhere: 0 done; 1 as the verb says (something could not be read, was found, ...); 2 wrong usage;
3 the store, the configuration or the network could not be used; 130 interrupted; 141 the reader of our output left.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import NoReturn

import click

from tlsrpt.core.errors import ConfigError, TlsrptError

EX_TEMPFAIL = 75  # sysexits.h: the mail server keeps the message and tries again
# name -> (section, one line). A module of the same name in this folder holds the click command, named `command`.
VERBS: dict[str, tuple[str, str]] = {
    "read": ("Understand", "Read reports from files and explain them; keeps nothing."),
    "serve": ("Receive", "The service: take reports in by mail and HTTPS, day and night."),
    "receive": ("Receive", "The ways in alone, or one look through the mailboxes (--once)."),
    "ingest": ("Receive", "Take reports in from files, mailboxes and archives, and keep them."),
    "summary": ("Understand", "Sessions and failures by domain, day, sender, MX host, result or policy."),
    "incidents": ("Understand", "What is wrong, since when, whose side, does it hurt, what to do."),
    "readiness": ("Understand", "May a domain move MTA-STS to enforce; who holds an old policy."),
    "alerts": ("Understand", "Who was told what unasked, and what waits; a test message; one look."),
    "digest": ("Understand", "What changed in a week or a day, and what to do; as text, mail or HTML."),
    "failures": ("Understand", "What failed in some days, grouped as the incidents are."),
    "senders": ("Understand", "Who reports, how regularly, who fell silent, what their reports get wrong."),
    "reports": ("Understand", "List the reports kept."),
    "show": ("Understand", "One report, made readable."),
    "explain": ("Understand", "What a result type or a reason code means and what to do."),
    "setup": ("Set up", "Set a domain up, guided: where reports go, the record, the proof."),
    "record": ("Set up", "The _smtp._tls record: lint, make, check in DNS."),
    "policy": ("Set up", "MTA-STS record and policy: lint, make, check live."),
    "tlsa": ("Set up", "TLSA records: lint, make."),
    "config": ("Receive", "The configuration file: check it, a sample, what is in force."),
    "source": ("Receive", "The configured ways in: list them, test whether each can be used."),
    "health": ("Receive", "Whether reports are taken in, and what needs a person."),
    "domains": ("Receive", "Which domains are yours, and which others reports came for."),
    "quarantine": ("Receive", "What could not be read: list, show, retry."),
    "store": ("Receive", "The store: info, check, backup, upgrade, prune."),
    "sample": ("Try out", "Make realistic reports and mails."),
}


class Verbs(click.Group):
    """A group that imports a verb only when it is called, so that `--help` stays fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"tlsrpt.cli.{cmd_name}")
        verb: click.Command = module.command
        verb.name = cmd_name
        return verb

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in VERBS:
            import difflib

            near = difflib.get_close_matches(args[0], VERBS, n=1)
            ctx.fail(f"no such command {args[0]!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section in dict.fromkeys(section for section, _ in VERBS.values()):
            with formatter.section(section):
                formatter.write_dl([(name, line) for name, (where, line) in VERBS.items() if where == section])


def _version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"tlsrpt {version('tlsrpt')}")
        ctx.exit()


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Show the version.")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """SMTP TLS Reporting (RFC 8460): receive TLS reports, keep them, and learn what is wrong and what to do."""
    if os.environ.get("NO_COLOR"):
        ctx.color = False


def main() -> NoReturn:
    """Run the command line and end the process with its exit code."""
    for stream in (sys.stdout, sys.stderr):  # a name in an odd script must not end the run where the locale is narrow
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run(None))


def run(args: list[str] | None) -> int:
    """Run with these arguments (None: the process's own); return the exit code.

    With `--pipe` every failure, even of the configuration or of the options, is 75: a mail server takes any other
    code for a refusal and bounces the report.
    """
    if "--pipe" not in (sys.argv if args is None else args):
        return _run(args)
    try:
        return EX_TEMPFAIL if _run(args) else 0
    except Exception as error:  # noqa: BLE001 - see above
        click.echo(f"tlsrpt: not kept: {error!r}", err=True)
        return EX_TEMPFAIL


def _run(args: list[str] | None) -> int:
    try:
        code = cli.main(args, prog_name="tlsrpt", standalone_mode=False)
        if sys.stdout is not None:  # which it is where it was closed before we were started
            sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("tlsrpt: interrupted", err=True)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains when it flushes
        return 141
    except TlsrptError as error:
        click.echo(f"tlsrpt: {error}", err=True)
        return 2 if isinstance(error, ConfigError) else 3
    return code if isinstance(code, int) else 0

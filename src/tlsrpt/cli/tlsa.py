"""`tlsrpt tlsa`: TLSA records, linted, and made from a certificate. Offline; the rules are in `core.tlsa`."""

from __future__ import annotations

from typing import IO

import click

from tlsrpt.cli import draw
from tlsrpt.cli.forms import TTL
from tlsrpt.cli.options import DomainName, json_option
from tlsrpt.core.publish import DEFAULT_TTL

FILE_OCTETS = 1024 * 1024  # of a certificate, or of the records of one name


@click.group()
def command() -> None:
    """TLSA records, by which DANE names the key or the issuer of an MX host."""


@command.command()
@click.argument("texts", nargs=-1, metavar="TEXT...")
@click.option("--file", "file", type=click.File("rb"), metavar="F", help="One record a line; - is standard input.")
@json_option
@click.pass_context
def lint(ctx: click.Context, texts: tuple[str, ...], file: IO[bytes] | None, as_json: bool) -> None:
    """Say what is wrong with the TLSA records of one name, and what to write instead.

    The TEXTs are all the records at the name, "3 1 1 <hex>" each, with or without owner, TTL and type before it.

    Exit 0 ok; 1 findings; 2 wrong usage.
    """
    from tlsrpt.cli.lints import draw_lints, what_is_given
    from tlsrpt.core.tlsa import lint_tlsa

    texts, file = what_is_given(texts, file)
    given = [file.read(FILE_OCTETS).decode("utf-8", "backslashreplace")] if file is not None else list(texts)
    if len(given) >= 4 and all(len(word) == 1 and word.isdecimal() for word in given[:3]):
        given = [" ".join(given)]  # 3 1 1 <hex> typed without quotes
    ctx.exit(draw_lints([lint_tlsa(given)], as_json=as_json))


@command.command()
@click.argument("certificate", type=click.File("rb"))
@click.option(
    "--next",
    "following",
    type=click.File("rb"),
    metavar="FILE",
    help="Certificate, key or signing request that comes next: its record is written beside, for the roll-over.",
)
@click.option("--host", "hosts", multiple=True, type=DomainName(), metavar="HOST", help="MX host; may be repeated.")
@click.option("--ttl", type=TTL, default=DEFAULT_TTL, show_default=True, help="Seconds.")
@json_option
def make(certificate: IO[bytes], following: IO[bytes] | None, hosts: tuple[str, ...], ttl: int, as_json: bool) -> None:
    """Write the TLSA record `3 1 1` of a certificate (PEM or DER), as the mail server sends it.

    3 1 1 names the public key: it stays right over every renewal that keeps the key.
    """
    from tlsrpt.core.tlsa import CertificateError, certificate_key, key_record, owner_name, public_key

    records = []
    for file, read in ((certificate, certificate_key), (following, public_key)):
        if file is not None:
            try:
                records.append(str(key_record(read(file.read(FILE_OCTETS)))))
            except CertificateError as error:
                raise click.BadParameter(f"{file.name}: {error}") from None
    records = list(dict.fromkeys(records))
    zone = [f"{owner_name(host)}. {ttl} IN TLSA {record}" for host in hosts for record in records]
    if as_json:
        draw.json_line({"records": records, "zone": zone})
        return
    click.echo("\n".join(zone or records))
    for step in _steps(rolls=len(records) > 1, same=following is not None and len(records) == 1):
        click.echo(step, err=True)


def _steps(*, rolls: bool, same: bool) -> list[str]:
    if rolls:
        return [
            "1. Publish both records. 2. Wait two TTLs. 3. Switch the mail server to the next key.",
            "4. Wait two TTLs again, then take the old record out.",
        ]
    if same:
        return ["Both files hold the same key: the record stays as it is."]
    return [
        "Publish it at _25._tcp.<MX host> of a signed zone, for every MX host.",
        "Keep the key at renewals, or publish the next key's record first: --next.",
    ]

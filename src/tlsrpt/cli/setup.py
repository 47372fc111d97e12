"""`tlsrpt setup`: the guided way from nothing to a working record and a place where reports arrive.

Three steps: where reports go, the record, the proof. Every question has an option, so that it runs without a terminal
as well; what was decided and done is kept in a small file, so that a half-done run can be taken up again.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from msgspec import Struct
from msgspec.structs import replace

from tlsrpt.cli import draw
from tlsrpt.cli.options import DomainName, Settings, json_option, with_settings
from tlsrpt.cli.resolving import NameServer, name_servers, resolver_option

if TYPE_CHECKING:
    from tlsrpt.dns.change import Change
    from tlsrpt.dns.exchange import Server
    from tlsrpt.dns.resolver import Resolver
    from tlsrpt.dns.serving import Served
    from tlsrpt.setup.publishing import Publisher
    from tlsrpt.setup.situation import Situation
    from tlsrpt.setup.state import State

T = TypeVar("T")
BY_HAND = "hand"
DYNAMIC = "dynamic"
SMTP_LOGIN = "TLSRPT_SMTP_LOGIN"


class Wishes(Struct, frozen=True, kw_only=True):
    """What was said by options; None or empty: not said."""

    mailto: tuple[str, ...]
    https: tuple[str, ...]
    merge: bool
    replace: bool
    ttl: int
    publish: str | None
    key_file: Path | None
    update_server: Server | None
    provider_config: Path | None
    wait_s: int
    dry_run: bool
    smarthost: str | None
    sendmail: bool
    no_proof: bool
    sender: str | None
    dkim_key: Path | None
    dkim_selector: str | None
    follow_s: int
    yes: bool
    private: bool


@click.command()
@click.argument("domain", type=DomainName())
@click.option("--mailto", multiple=True, metavar="ADDRESS", help="A mailbox that takes the reports; may be repeated.")
@click.option("--https", multiple=True, metavar="URL", help="An endpoint that takes them by POST; may be repeated.")
@click.option("--merge", is_flag=True, help="Keep the destinations of the record that is there, and add these.")
@click.option("--replace", is_flag=True, help="Let this record take the place of the one that is there.")
@click.option("--ttl", type=click.IntRange(1, 2**31 - 1), default=3600, show_default=True, help="Seconds.")
@click.option(
    "--publish",
    metavar="HOW",
    help="hand: show what to type; dynamic: RFC 2136 update; else a provider as dns-lexicon calls it.",
)
@click.option(
    "--key-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="TSIG key for updates, as tsig-keygen writes it. [or TLSRPT_TSIG_KEY in the environment]",
)
@click.option(
    "--update-server", type=NameServer(), metavar="ADDRESS[@PORT]", help="Takes the updates. [default: by SOA]"
)
@click.option(
    "--provider-config",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with lexicon_<provider>.yml. [or LEXICON_<PROVIDER>_... in the environment]",
)
@click.option(
    "--wait", "wait_s", type=click.IntRange(0), default=120, show_default=True, help="Seconds for DNS to follow."
)
@click.option("--dry-run", is_flag=True, help="Show what would change in DNS, and stop.")
@click.option("--smarthost", metavar="HOST[:PORT]", help=f"Sends the trial report. [login: {SMTP_LOGIN}=user:password]")
@click.option("--sendmail", is_flag=True, help="Send the trial report through the local mail server.")
@click.option("--no-proof", is_flag=True, help="Send no trial report.")
@click.option("--sender", metavar="ADDRESS", help="Sender of the trial report. [default: postmaster@DOMAIN]")
@click.option("--dkim-key", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Sign it with this key.")
@click.option("--dkim-selector", metavar="NAME", help="Selector of that key.")
@click.option(
    "--follow", "follow_s", type=click.IntRange(0), default=120, show_default=True, help="Seconds to look for it."
)
@click.option("--private", is_flag=True, help="Connect to endpoints at private addresses, too.")
@click.option("--yes", is_flag=True, help="Ask nothing: options and defaults answer.")
@click.option("--start-over", is_flag=True, help="Forget how far an earlier run had come.")
@resolver_option
@json_option
@with_settings
@click.pass_context
def command(
    ctx: click.Context,
    /,
    domain: str,
    start_over: bool,
    resolvers: tuple[Server, ...],
    as_json: bool,
    settings: Settings,
    **options: Any,
) -> None:
    """Set TLS reporting up for a DOMAIN: where reports go, the record, and the proof that they arrive.

    On a terminal it asks; with --yes, or without a terminal, the options answer. What is published already is shown,
    and merged or replaced only when that is said. A run that was broken off goes on where it was.

    Exit 0 all done, or a dry run; 1 something is left to do; 2 wrong usage; 3 DNS, a server or the store could not be
    used.
    """
    from tlsrpt.setup.state import forget_state, load_state

    wishes = Wishes(**options)
    if as_json and not wishes.yes:
        raise click.UsageError("--json needs --yes: questions would stand in the output")
    if wishes.merge and wishes.replace:
        raise click.UsageError("--merge or --replace, not both")
    if bool(wishes.dkim_key) != bool(wishes.dkim_selector):
        raise click.UsageError("--dkim-key and --dkim-selector belong together")
    folder = _folder(settings)
    if start_over:
        forget_state(folder, domain)
    state = load_state(folder, domain)
    talk = Talk(ask=not wishes.yes and sys.stdin.isatty(), silent=as_json)
    run = _Run(domain, wishes, settings, name_servers(resolvers), folder, state, talk)
    done = run.all_steps()
    if as_json:
        draw.json_line(run.state)
    ctx.exit(0 if done else 1)


def _folder(settings: Settings) -> Path:
    from tlsrpt.store.sqlite import sqlite_path

    return sqlite_path(settings.store_url).absolute().parent / "setup"


class Talk:
    """What is said, and asked where somebody is there to answer."""

    def __init__(self, *, ask: bool, silent: bool) -> None:
        self.asks, self._silent = ask, silent

    def heading(self, text: str) -> None:
        """A step begins."""
        if not self._silent:
            click.echo()
            draw.heading(text)

    def say(self, text: str, indent: str = "  ") -> None:
        """A paragraph."""
        if not self._silent:
            draw.paragraph(text, indent)

    def show(self, *lines: str) -> None:
        """Lines as they are, to be copied."""
        if not self._silent:
            for line in lines:
                click.echo(f"    {draw.printable(line)}")

    def question(self, text: str, default: str) -> str:
        """An answer; the default where nobody can be asked."""
        return str(click.prompt(f"  {text}", default=default)) if self.asks else default

    def choice(self, text: str, choices: tuple[str, ...], default: str) -> str:
        """One of some answers."""
        return str(click.prompt(f"  {text}", type=click.Choice(choices), default=default)) if self.asks else default

    def confirm(self, text: str, *, default: bool) -> bool:
        """Yes or no."""
        return click.confirm(f"  {text}", default=default) if self.asks else default


class _Run:
    """One guided run: three steps, each of which knows when there is nothing left for it to do."""

    def __init__(
        self,
        domain: str,
        wishes: Wishes,
        settings: Settings,
        servers: tuple[Server, ...],
        folder: Path,
        state: State,
        talk: Talk,
    ) -> None:
        self.domain, self.wishes, self.settings, self.servers = domain, wishes, settings, servers
        self.folder, self.state, self.talk = folder, state, talk

    def all_steps(self) -> bool:
        """Do what is left; whether all is done."""
        situation = self._dns(lambda resolver: _look(resolver, self.domain))
        self._greet(situation)
        self._destinations(situation)
        if not self._record(situation):
            return self.wishes.dry_run
        proved = self._proof()
        self._what_to_expect()
        return proved

    def _dns(self, work: Callable[[Resolver], Awaitable[T]]) -> T:
        async def run() -> T:
            from tlsrpt.dns.exchange import Exchange
            from tlsrpt.dns.resolver import Resolver

            with Exchange() as exchange:
                return await work(Resolver(exchange, self.servers))

        return asyncio.run(run())

    def _keep(self, **changes: Any) -> None:
        from tlsrpt.setup.state import save_state

        self.state = replace(self.state, **changes)
        if not self.wishes.dry_run:
            save_state(self.folder, self.state)

    def _greet(self, situation: Situation) -> None:
        from tlsrpt.cli.looking import VERDICTS

        talk, record = self.talk, situation.record
        if self.state.uris or self.state.published_at:
            talk.say(
                f"A run for {self.domain} was begun before; it goes on where it was. (--start-over begins anew.)", ""
            )
        if situation.before:
            words = VERDICTS[record.verdict][0]
            talk.say(f"Published now at {record.name} ({words}):", "")
            talk.show(*(text.decode("utf-8", "backslashreplace") for text in situation.before))
        else:
            talk.say(f"Nothing is published at {record.name} yet.", "")
        if situation.route.refuses:
            talk.say(f"{self.domain} takes no mail now ({situation.route.route}): there will be nothing to report.", "")

    # --- 1: where reports go ------------------------------------------------------------------------------------------

    def _destinations(self, situation: Situation) -> None:
        from tlsrpt.core.destinations import https_uri, mailto_uri

        talk, wishes = self.talk, self.wishes
        talk.heading("1. Where the reports go")
        uris = (*map(mailto_uri, wishes.mailto), *map(https_uri, wishes.https))
        uris = uris or self.state.uris or _published(situation)
        if not uris:
            if not talk.asks:
                raise click.UsageError("say where reports go: --mailto ADDRESS or --https URL")
            talk.say(
                "A mailbox of its own, or an https endpoint. A mailbox outside of the domain still gets reports when "
                f"mail to {self.domain} fails, which is when they matter; any domain will do, no permission record is "
                "needed."
            )
            uris = (self._ask_destination(),)
        for uri in uris:
            talk.show(uri)
        if uris not in (self.state.uris, _published(situation)) and any(uri.startswith("mailto:") for uri in uris):
            self._mailbox_advice()
        self._look_at(uris)
        self._keep(uris=uris)

    def _ask_destination(self) -> str:
        from tlsrpt.core.destinations import DestinationError, https_uri, mailto_uri

        while True:
            text = self.talk.question("Address, or https URL", f"tlsrpt@{self.domain}")
            try:
                return https_uri(text) if text.lower().startswith("http") else mailto_uri(text)
            except DestinationError as error:
                click.echo(f"  {error}")

    def _mailbox_advice(self) -> None:
        say = self.talk.say
        say(
            "The mailbox must exist before the record does, take mail from strangers (groups often take only internal "
            "senders), and let attachments of type application/tlsrpt+gzip (.json.gz) pass: allow by recipient, not by "
            "sender. Reports are a few KB each."
        )
        say("tlsrpt can read it in several ways. A mail alias hands each message over at once:")
        self.talk.show(f'tlsrpt: "|tlsrpt ingest --pipe --store {self.settings.store_url}"')
        say("or take in what has gathered, from a Maildir, an mbox or saved mails: tlsrpt ingest PATH.")

    def _look_at(self, uris: tuple[str, ...]) -> None:
        from tlsrpt.check.endpoint import look_at_endpoint
        from tlsrpt.check.https import anywhere, is_public, system_trust
        from tlsrpt.check.surroundings import look_at_mailboxes
        from tlsrpt.core.destinations import read_destination

        destinations = [found for found in map(read_destination, uris) if found]
        allowed = anywhere if self.wishes.private else is_public

        async def look(resolver: Resolver) -> list[Any]:
            findings = list(await look_at_mailboxes(resolver, destinations))
            for destination in destinations:
                if destination.scheme == "https":
                    findings += await look_at_endpoint(resolver, destination.uri, system_trust(), allowed)
            return findings

        findings = self._dns(look)
        if findings and not self.talk._silent:
            draw.findings(findings, "  ")
        if any(finding.severity == "error" for finding in findings):
            if not self.talk.confirm("Go on all the same?", default=not self.talk.asks):
                raise click.Abort
            self.talk.say("Going on; reports are lost until that is mended.")

    # --- 2: the record ------------------------------------------------------------------------------------------------

    def _record(self, situation: Situation) -> bool:
        """Publish and verify the record; whether it is served as it should be."""
        talk = self.talk
        talk.heading("2. The record")
        change = self._plan(situation)
        record = change.after[-1].decode("ascii") if change.add else self.state.record or _ours(change.after)
        self._keep(record=record)
        if change.is_nothing:
            talk.say("It is published already, as it should be:")
            talk.show(f"{change.name}  {record}")
        else:
            self._show_change(situation, change, record)
        if self.wishes.dry_run:
            talk.say("A dry run: nothing was changed.")
            return False
        served = self._verify(change) if change.is_nothing else self._publish(situation, change)
        return self._verified(change, served)

    def _plan(self, situation: Situation) -> Change:
        from tlsrpt.core.record import format_record, owner_name
        from tlsrpt.dns.change import PublishError, is_tlsrpt, merge_record, plan_change

        name, wishes, uris = owner_name(self.domain), self.wishes, self.state.uris
        there = [text for text in situation.before if is_tlsrpt(text)]
        record = format_record(uris)
        merge, take = wishes.merge, wishes.replace
        if there and [record.encode()] != there and not (merge or take):
            if _wants_nothing_new(situation, uris):
                record = there[0].decode("ascii")
            elif self.talk.asks:
                answer = self.talk.choice(
                    "A record is there. Merge both into one, replace it, or stop?",
                    ("merge", "replace", "stop"),
                    "merge",
                )
                if answer == "stop":
                    raise click.Abort
                merge, take = answer == "merge", answer == "replace"
            else:
                raise PublishError("another record is published already", where=name, fix="add --merge or --replace")
        if merge:
            record = merge_record(situation.before, uris, name)
        zone = situation.zone.apex or self.domain
        return plan_change(zone, name, situation.before, record, ttl=wishes.ttl, replace=merge or take)

    def _show_change(self, situation: Situation, change: Change, record: str) -> None:
        from tlsrpt.core.publish import TxtRecord, publish_form

        talk, provider = self.talk, situation.provider
        talk.say("What is to change in DNS:")
        talk.show(*change.lines())
        place = provider.place if provider else "bind"
        zone = situation.zone.apex or self.domain
        txt = TxtRecord(label=situation.label, value=record, domain=zone, ttl=self.wishes.ttl)
        who = f"The zone {zone} is with {provider.title}. There" if provider else f"In the zone {zone}"
        talk.say(f"{who} it is written:")
        talk.show(*publish_form(txt, place).splitlines())
        talk.say(f"Every other form: tlsrpt record make {_options(self.state.uris)} --domain {self.domain} --for all")

    def _publish(self, situation: Situation, change: Change) -> Served | None:
        from tlsrpt.setup.publishing import publish

        how = self._how(situation)
        if how == BY_HAND:
            if self.talk.asks:
                click.prompt("  Publish it now, then press Enter", default="", show_default=False, prompt_suffix=" ")
            return self._verify(change)
        publisher = self._dns(lambda resolver: self._publisher(resolver, situation, how))
        if self.talk.asks and not self.talk.confirm("Publish it now?", default=True):
            raise click.Abort
        self.talk.say("Publishing, and waiting until every server has it...")
        done = self._dns(
            lambda resolver: publish(resolver, publisher, change, within_s=self.wishes.wait_s, tell=self._progress)
        )
        if done.outcome == "taken-back":
            self.talk.say("What was served was not what was written, so it was taken back: DNS is as it was.")
            for who, texts in done.served.wrong:
                self.talk.show(f"{who}: {' | '.join(text.decode('utf-8', 'backslashreplace') for text in texts)}")
            return None
        self._keep(published_at=datetime.now(UTC))
        return done.served

    def _how(self, situation: Situation) -> str:
        from tlsrpt.dns.tsig import ENVIRONMENT

        if self.wishes.publish:
            return self.wishes.publish
        if self.wishes.key_file or os.environ.get(ENVIRONMENT):
            return DYNAMIC
        if not self.talk.asks:
            return BY_HAND
        provider = situation.provider
        choices = (BY_HAND, DYNAMIC, *((provider.lexicon,) if provider else ()))
        return self.talk.choice("Publish how?", choices, BY_HAND)

    async def _publisher(self, resolver: Resolver, situation: Situation, how: str) -> Publisher:
        from tlsrpt.setup.publishing import DynamicUpdate
        from tlsrpt.setup.situation import primary_server

        if how == DYNAMIC:
            key = _tsig_key(self.wishes.key_file)
            server = self.wishes.update_server or await primary_server(resolver, situation.zone)
            return DynamicUpdate(server=server, key=key)
        from tlsrpt.dns.providers import Provider

        zone = situation.zone.apex or self.domain
        return Provider(how, zone, self.wishes.ttl, self.servers, self.wishes.provider_config)

    def _verify(self, change: Change) -> Served:
        from tlsrpt.dns.serving import wait_until_served

        wait_s = self.wishes.wait_s
        return self._dns(
            lambda resolver: wait_until_served(
                resolver, change.name, change.after, within_s=wait_s, tell=self._progress
            )
        )

    def _progress(self, served: Served) -> None:
        if not self.talk._silent and sys.stderr.isatty() and not served.complete:
            click.echo(f"\r  {len(served.right)} have it, {len(served.wrong)} not yet ", nl=False, err=True)

    def _verified(self, change: Change, served: Served | None) -> bool:
        talk = self.talk
        if served is None:
            return False
        for who in served.silent:
            talk.say(f"not asked from here: {who}")
        if served.late:
            talk.say(f"{served.late[0]} keeps an older answer for up to {served.late[1]} s more; it will follow")
        if served.complete:
            talk.say(f"Verified, byte for byte: {', '.join(served.right)}")
            self._keep(verified_at=datetime.now(UTC))
            return True
        for who, texts in served.wrong:
            said = " | ".join(text.decode("utf-8", "backslashreplace") for text in texts) or "nothing"
            talk.say(f"not yet: {who} has {said}")
        talk.say(f"Not all servers have it. When it is published: tlsrpt setup {self.domain} goes on from here.")
        return False

    # --- 3: the proof -------------------------------------------------------------------------------------------------

    def _proof(self) -> bool:
        talk = self.talk
        talk.heading("3. The proof")
        if self.wishes.no_proof:
            talk.say("No trial report is sent (--no-proof).")
            return True
        if self.state.arrived_at:
            talk.say("A trial report has arrived before.")
            return True
        if not self.state.sent_at and not self._send():
            return False
        return self._follow()

    def _send(self) -> bool:
        from tlsrpt.check.probe import trial_report
        from tlsrpt.core.destinations import read_destination

        now = datetime.now(UTC)
        report = trial_report(self.domain, now)
        destinations = [found for found in map(read_destination, self.state.uris) if found]
        mailbox = next((found.addresses[0] for found in destinations if found.addresses), None)
        if mailbox is None:
            return self._post(report, destinations[0].uri, now)
        how = self._way_out()
        if how is None:
            self.talk.say(
                "To see that reports arrive, a trial report is sent to your own address: name a mail server with "
                "--smarthost HOST, or --sendmail."
            )
            return False
        self._mail(report, mailbox, how, now)
        return True

    def _way_out(self) -> str | None:
        from tlsrpt.setup.trial import SENDMAIL

        if self.wishes.smarthost or self.wishes.sendmail or not self.talk.asks:
            return self.wishes.smarthost or ("sendmail" if self.wishes.sendmail else None)
        default = "sendmail" if SENDMAIL.exists() else "none"
        answer = self.talk.question("Send a trial report through (sendmail, a mail server HOST[:PORT], none)", default)
        return None if answer == "none" else answer

    def _mail(self, report: Any, mailbox: str, how: str, now: datetime) -> None:
        from tlsrpt.setup.trial import DkimKey, send_by_sendmail, send_by_smarthost, sign, trial_mail

        sender = self.wishes.sender or f"postmaster@{self.domain}"
        mail = trial_mail(report, self.domain, sender, mailbox, now)
        if self.wishes.dkim_key and self.wishes.dkim_selector:
            key = DkimKey(selector=self.wishes.dkim_selector, pem=self.wishes.dkim_key.read_bytes())
            mail = sign(mail, sender.rpartition("@")[2], key)
        else:
            self.talk.say("It is not signed here; the mail server may do so. Reports in earnest must be (RFC 8460).")
        if how == "sendmail":
            send_by_sendmail(mail, sender, mailbox)
        else:
            send_by_smarthost(mail, sender, mailbox, _smarthost(how))
        self._sent(report, now, mailbox)

    def _post(self, report: Any, uri: str, now: datetime) -> bool:
        from tlsrpt.check.endpoint import look_at_endpoint
        from tlsrpt.check.https import anywhere, is_public, system_trust
        from tlsrpt.core.writing import gzip_report

        allowed = anywhere if self.wishes.private else is_public
        findings = self._dns(
            lambda resolver: look_at_endpoint(resolver, uri, system_trust(), allowed, gzip_report(report))
        )
        if not self.talk._silent:
            draw.findings(findings, "  ")
        if any(finding.severity == "error" for finding in findings):
            return False
        self._sent(report, now, uri)
        return True

    def _sent(self, report: Any, now: datetime, to: str) -> None:
        self._keep(report_id=report.report_id, sent_at=now)
        self.talk.say(f"A trial report is on its way to {to}: {report.report_id}")

    def _follow(self) -> bool:
        from tlsrpt.setup.trial import follow

        report_id, url = self.state.report_id or "", self.settings.store_url
        self.talk.say(f"Looking for it in the store {url}, for {self.wishes.follow_s} s ...")
        today = datetime.now(UTC).date()
        found = follow(
            url, report_id, today, within_s=self.wishes.follow_s, now=time.monotonic, pause=lambda: time.sleep(1)
        )
        if found is None:
            self.talk.say(
                "It is not there yet. If nothing takes mail in by itself: tlsrpt ingest PATH, then "
                f"tlsrpt setup {self.domain} looks again. A bounce tells more; --start-over sends another one."
            )
            return False
        self._keep(arrived_at=datetime.now(UTC))
        self.talk.say(f"It has arrived: tlsrpt show {found}")
        return True

    def _what_to_expect(self) -> None:
        talk = self.talk
        talk.heading("What to expect")
        talk.say(
            "The first real reports come after 24 to 48 hours: senders read the record about once a day and report "
            "once a day. Google sends daily while there is some traffic, Microsoft on days on which it sent mail; most "
            "others never report. Reports speak of mail to you, not from you; one without failures proves that all is "
            "well."
        )
        talk.show(f"tlsrpt summary --domain {self.domain}", f"tlsrpt incidents --domain {self.domain}")


async def _look(resolver: Resolver, domain: str) -> Situation:
    from tlsrpt.setup.situation import look

    return await look(resolver, domain)


def _published(situation: Situation) -> tuple[str, ...]:
    """The destinations of a record that is there and right: nothing needs to be asked."""
    from tlsrpt.core.record import select_record

    record = select_record(situation.before)
    return record.uris if record and situation.record.verdict == "ok" else ()


def _wants_nothing_new(situation: Situation, uris: tuple[str, ...]) -> bool:
    """The record that is there is right and names all that is wanted."""
    return set(uris) <= set(_published(situation))


def _ours(texts: tuple[bytes, ...]) -> str:
    from tlsrpt.dns.change import is_tlsrpt

    return next(text for text in texts if is_tlsrpt(text)).decode("ascii")


def _options(uris: tuple[str, ...]) -> str:
    words = []
    for uri in uris:
        scheme, _, rest = uri.partition(":")
        words.append(f"--mailto {rest}" if scheme == "mailto" else f"--https {uri}")
    return " ".join(words)


def _tsig_key(path: Path | None) -> Any:
    """The key from the file or the environment; never from the command line.

    Raises:
        ConfigError: neither is there, or what is there is no key.
    """
    from tlsrpt.core.errors import ConfigError
    from tlsrpt.dns.tsig import ENVIRONMENT, parse_key

    if path is None:
        text = os.environ.get(ENVIRONMENT)
        if not text:
            raise ConfigError("an update needs a TSIG key", fix=f"give --key-file FILE, or set {ENVIRONMENT}")
        return parse_key(text, ENVIRONMENT)
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("can't be read", where=str(path)) from error
    if path.stat().st_mode & 0o004:
        click.echo(f"tlsrpt: {path} can be read by every user of this machine; chmod 600 keeps the key", err=True)
    return parse_key(text, str(path))


def _smarthost(text: str) -> Any:
    from tlsrpt.setup.trial import Login, Smarthost

    host, _, port = text.rpartition(":") if text.count(":") == 1 else (text, "", "25")
    if not port.isdecimal() or not 0 < int(port) < 65_536:
        raise click.BadParameter(f"{port!r} is no port", param_hint="--smarthost")
    user, colon, password = os.environ.get(SMTP_LOGIN, "").partition(":")
    login = Login(user=user, password=password) if colon else None
    return Smarthost(host=host.strip("[]"), port=int(port), login=login)

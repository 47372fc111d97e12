"""The configuration as typed values. `cli` reads the file once; each room gets its part as an argument.

Each field carries the sentence that becomes its line in the sample file (`tlsrpt config example`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from tlsrpt.core.limits import Limits

Unproven = Literal["accept", "quarantine", "refuse"]


class StoreConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where reports are kept."""

    url: Annotated[str, Meta(description="sqlite:////absolute/path.db; empty: the platform's data directory")] = ""


class DomainsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The domains that reports are wanted for (A-14); what comes for others is kept, uncounted, and named."""

    own: Annotated[
        tuple[str, ...] | Literal["any"] | None,
        Meta(
            description='domains, "*.example.com" for all below one, or "any"; left out: any, unless own_file is given'
        ),
    ] = None
    own_file: Annotated[str, Meta(description="a file with one domain a line, for many; read again on reload")] = ""


class DnsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which name servers are asked, for DKIM keys among other things."""

    resolver: Annotated[str, Meta(description="ADDRESS or ADDRESS@PORT; empty: those of this machine")] = ""


class QuarantineConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much of what can't be read is kept; beyond it mail waits where it is, and posts are refused unkept."""

    entries: Annotated[int, Meta(description="reports waiting in quarantine at most", ge=0)] = 10_000
    size_bytes: Annotated[int, Meta(description="bytes of them at most", ge=0)] = 256 * 1024 * 1024


class ReceiveConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds for all sources together: beyond them senders are told to come again later."""

    waiting_documents: Annotated[int, Meta(description="documents in work at once", ge=1)] = 2_000
    waiting_bytes: Annotated[int, Meta(description="bytes of them at once", ge=1024 * 1024)] = 64 * 1024 * 1024
    per_submitter: Annotated[int, Meta(description="reports a minute from one submitter; 0: no limit", ge=0)] = 0


class HealthConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where /healthz, /readyz and /metrics are answered; never where the world can reach it."""

    listen: Annotated[str, Meta(description="ADDRESS:PORT or unix:/path; empty: nowhere")] = ""


class LogConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The service's log, on standard error."""

    form: Annotated[
        Literal["auto", "json", "console"], Meta(description="auto: console on a terminal, JSON lines elsewhere")
    ] = "auto"
    level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="the least that is said")] = "info"


class DigestConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mail, every week or every day, that says what changed and what to do; the service sends it."""

    to: Annotated[tuple[str, ...], Meta(description="mail addresses; empty: none is sent")] = ()
    every: Annotated[Literal["week", "day", "never"], Meta(description="how often, and of how many days it tells")] = (
        "week"
    )
    day: Annotated[
        Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"],
        Meta(description="of the week, on which the weekly one is sent"),
    ] = "monday"
    hour: Annotated[int, Meta(description="of the day, from which on it is sent", ge=0, le=23)] = 8
    zone: Annotated[str, Meta(description="time zone of day and hour, as in Europe/Berlin")] = "UTC"
    domains: Annotated[
        tuple[str, ...], Meta(description='only these, "*.example.com" for all below one; empty: all of yours')
    ] = ()


class MailServer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The mail server that passes on what is sent from here: alerts and digests."""

    host: Annotated[str, Meta(description="the mail server; empty: no mail can be sent")] = ""
    sender: Annotated[str, Meta(description="the address that mail comes from")] = field(default="", name="from")
    port: Annotated[int, Meta(description="587; 465 with tls, 25 without", ge=1, le=65535)] = 587
    tls: Annotated[
        Literal["starttls", "tls", "none"],
        Meta(description="after STARTTLS, from the first byte, or none at all: on this machine only"),
    ] = "starttls"
    ca_file: Annotated[str, Meta(description="PEM file of authorities to trust; empty: the system's")] = ""
    user: Annotated[str, Meta(description="who logs in; empty: nobody")] = ""
    password_file: Annotated[str, Meta(description="file with the password")] = ""
    password_env: Annotated[str, Meta(description="environment variable with the password")] = ""
    password_command: Annotated[str, Meta(description="command that prints the password")] = ""
    within_s: Annotated[float, Meta(description="seconds for the server to answer", gt=0)] = 30.0


AlertEvent = Literal["opened", "worse", "over", "reopened", "silent", "quarantine", "trouble"]
AlertSeverity = Literal["info", "warning", "error"]


class AlertTo(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is told, and how: by mail, by a service that Apprise knows (Slack, Matrix, Teams, ...), or by a webhook."""

    name: Annotated[str, Meta(description="how it is called in logs and commands; empty: to, numbered")] = ""
    mail: Annotated[tuple[str, ...], Meta(description="mail addresses, by the server of [mail]")] = ()
    url_file: Annotated[str, Meta(description="file with an address of Apprise, as in slack://...")] = ""
    url_env: Annotated[str, Meta(description="environment variable with it")] = ""
    url_command: Annotated[str, Meta(description="command that prints it")] = ""
    webhook: Annotated[str, Meta(description="https:// address that each alert is posted to as JSON")] = ""
    secret_file: Annotated[str, Meta(description="file with a key that signs posts to the webhook")] = ""
    secret_env: Annotated[str, Meta(description="environment variable with it")] = ""
    secret_command: Annotated[str, Meta(description="command that prints it")] = ""
    domains: Annotated[
        tuple[str, ...],
        Meta(description='only what concerns these, "*.example.com" for all below one; empty: everything'),
    ] = ()
    min_severity: Annotated[
        AlertSeverity,
        Meta(description="the least: info; warning: mail is not protected; error: mail suffers, or nothing comes in"),
    ] = "warning"
    events: Annotated[tuple[AlertEvent, ...], Meta(description="only these; empty: all of them")] = ()
    quiet_hours: Annotated[
        str,
        Meta(
            description="when nothing is sent, 22:00-07:00; it comes when they end",
            pattern="^(([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9])?$",
        ),
    ] = ""
    zone: Annotated[str, Meta(description="time zone of quiet_hours, as in Europe/Berlin")] = "UTC"


class AlertsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What people are told unasked: of each incident once that it opened, is worse, is over, is back; of silence."""

    sessions: Annotated[int, Meta(description="failed sessions in seven days from which on one is told", ge=1)] = 5
    share: Annotated[float, Meta(description="of all sessions of the senders that see it, likewise", ge=0, le=1)] = 0.01
    many: Annotated[int, Meta(description="failed sessions that are told whatever their share", ge=1)] = 1_000
    factor: Annotated[float, Meta(description="times the usual, or what was told last, that is worse", gt=1)] = 2.0
    unproven: Annotated[bool, Meta(description="tell, too, what only reports say that no submitter signed")] = True
    at_once: Annotated[int, Meta(description="alerts that come one by one; more come as one", ge=1)] = 5
    every_s: Annotated[float, Meta(description="seconds between looks at most often", gt=0)] = 300.0
    to: tuple[AlertTo, ...] = ()

    def named(self) -> dict[str, AlertTo]:
        """Everyone who is told, by name; one without is called `to`, numbered from the second on."""
        return {to.name or ("to" if n == 1 else f"to-{n}"): to for n, to in enumerate(self.to, 1)}


class SourceConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every way in has."""

    name: Annotated[str, Meta(description="how it is called in logs and commands; empty: its kind, numbered")] = ""
    unproven: Annotated[
        Unproven,
        Meta(description="a report without a DKIM signature of its submitter: accept (and mark), quarantine, refuse"),
    ] = "accept"


class MailConfig(SourceConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every way in by mail has."""

    dkim: Annotated[bool, Meta(description="verify DKIM signatures on arrival")] = True
    authserv_id: Annotated[
        str,
        Meta(
            description="of a mail gateway of your own whose Authentication-Results are believed instead; empty: none"
        ),
    ] = ""


class HttpsSource(SourceConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Reports posted by HTTPS (RFC 8460 section 5.4)."""

    listen: Annotated[
        str, Meta(description="ADDRESS:PORT or unix:/path; plain HTTP, for a proxy in front, unless certificate is set")
    ]
    path: Annotated[str, Meta(description="where reports are posted to", pattern="^/")] = "/v1/tlsrpt"
    certificate: Annotated[
        str, Meta(description="PEM file with the certificate chain; makes it HTTPS; read again on reload")
    ] = ""
    key: Annotated[str, Meta(description="PEM file with its private key")] = ""
    proxies: Annotated[
        tuple[str, ...],
        Meta(description="addresses or networks of proxies whose X-Forwarded-For is believed; unix: for a socket"),
    ] = ()
    per_address: Annotated[int, Meta(description="posts a minute from one address; 0: no limit", ge=0)] = 6_000
    connections: Annotated[int, Meta(description="connections at once; more are refused", ge=1)] = 1_000
    within_s: Annotated[float, Meta(description="seconds for a client to send one request", gt=0)] = 30.0
    mode: Annotated[str, Meta(description="of a unix socket, octal", pattern="^0?[0-7]{3}$")] = "0660"
    group: Annotated[str, Meta(description="of a unix socket")] = ""


class LmtpSource(MailConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A listener that a mail server delivers the report address to."""

    listen: Annotated[str, Meta(description="ADDRESS:PORT or unix:/path")]
    recipients: Annotated[
        tuple[str, ...], Meta(description="addresses taken; others are refused with 550", min_length=1)
    ]
    protocol: Annotated[Literal["lmtp", "smtp"], Meta(description="lmtp (a reply for each recipient) or smtp")] = "lmtp"
    certificate: Annotated[str, Meta(description="PEM file with the certificate chain; offers STARTTLS")] = ""
    key: Annotated[str, Meta(description="PEM file with its private key")] = ""
    keep_other: Annotated[
        bool, Meta(description="keep mail that is no TLS report in quarantine instead of counting it only")
    ] = False
    per_address: Annotated[int, Meta(description="messages a minute from one address; 0: no limit", ge=0)] = 0
    connections: Annotated[int, Meta(description="connections at once; more are told 421", ge=1)] = 200
    within_s: Annotated[float, Meta(description="seconds for a client's next command, and for its data", gt=0)] = 300.0
    mode: Annotated[str, Meta(description="of a unix socket, octal", pattern="^0?[0-7]{3}$")] = "0660"
    group: Annotated[str, Meta(description="of a unix socket")] = ""


class MaildirSource(MailConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Maildir that a mail server delivers to, on this machine."""

    path: Annotated[str, Meta(description="the folder that holds new, cur and tmp")]
    after: Annotated[
        Literal["seen", "move", "delete", "leave"],
        Meta(description="once kept: seen (to cur), move (to done_folder), delete, leave"),
    ] = "seen"
    done_folder: Annotated[str, Meta(description="Maildir++ folder for what was kept (after = move)")] = "TLSRPT.Done"
    failed_folder: Annotated[
        str, Meta(description="Maildir++ folder for what went to quarantine; empty: as what was kept")
    ] = ""
    every_s: Annotated[float, Meta(description="seconds between looks", gt=0)] = 2.0


class OauthConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An access token by the client-credentials flow (D-90)."""

    provider: Annotated[Literal["microsoft", "google", "other"], Meta(description="fills in token_url and scope")]
    client_id: Annotated[str, Meta(description="of the app registration; Google: the service account's address")]
    tenant: Annotated[str, Meta(description="Microsoft: the directory (tenant) id")] = ""
    client_secret_file: Annotated[str, Meta(description="file with the client's secret")] = ""
    client_secret_env: Annotated[str, Meta(description="environment variable with it")] = ""
    client_secret_command: Annotated[str, Meta(description="command that prints it")] = ""
    key_file: Annotated[str, Meta(description="Google: the service account's JSON key file")] = ""
    token_url: Annotated[str, Meta(description="where the token is asked for, in place of the provider's")] = ""
    scope: Annotated[str, Meta(description="what it is asked for, in place of the provider's")] = ""
    ca_file: Annotated[str, Meta(description="PEM file of authorities to trust for token_url; empty: the system's")] = (
        ""
    )


class ImapSource(MailConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mailbox, by IMAP; always over TLS."""

    host: Annotated[str, Meta(description="the mail server")]
    user: Annotated[str, Meta(description="who logs in")]
    port: Annotated[int, Meta(description="993; 143 with starttls", ge=1, le=65535)] = 993
    tls: Annotated[Literal["tls", "starttls"], Meta(description="from the first byte, or after STARTTLS")] = "tls"
    ca_file: Annotated[str, Meta(description="PEM file of authorities to trust; empty: the system's")] = ""
    password_file: Annotated[str, Meta(description="file with the password")] = ""
    password_env: Annotated[str, Meta(description="environment variable with the password")] = ""
    password_command: Annotated[str, Meta(description="command that prints the password")] = ""
    token_command: Annotated[str, Meta(description="command that prints an OAuth access token (XOAUTH2)")] = ""
    oauth: Annotated[OauthConfig | None, Meta(description="access token by the client-credentials flow (XOAUTH2)")] = (
        None
    )
    mailbox: Annotated[str, Meta(description="a shared mailbox, where it is another than the user's own (XOAUTH2)")] = (
        ""
    )
    folder: Annotated[str, Meta(description="the folder where reports arrive")] = "INBOX"
    after: Annotated[
        Literal["move", "flag", "delete", "leave"],
        Meta(description="once kept: move (to done_folder), flag as seen, delete, or leave and change nothing at all"),
    ] = "move"
    done_folder: Annotated[str, Meta(description="for what was kept; made when missing")] = "TLSRPT/Done"
    failed_folder: Annotated[str, Meta(description="for reports that can't be read; made when missing")] = (
        "TLSRPT/Failed"
    )
    idle: Annotated[bool, Meta(description="wait with IDLE where the server offers it")] = True
    every_s: Annotated[float, Meta(description="seconds between looks without IDLE", gt=0)] = 300.0
    within_s: Annotated[float, Meta(description="seconds for the server to answer", gt=0)] = 60.0


class S3Source(MailConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A bucket that an inbound mail service drops messages into."""

    bucket: Annotated[str, Meta(description="the bucket")]
    prefix: Annotated[str, Meta(description="only objects below it")] = ""
    endpoint: Annotated[str, Meta(description="another S3-compatible service; http:// only on loopback")] = ""
    region: Annotated[str, Meta(description="the region")] = "us-east-1"
    access_key_id: Annotated[str, Meta(description="empty: the machine's own role, or the AWS_ variables")] = ""
    secret_key_file: Annotated[str, Meta(description="file with the secret key")] = ""
    secret_key_env: Annotated[str, Meta(description="environment variable with the secret key")] = ""
    secret_key_command: Annotated[str, Meta(description="command that prints the secret key")] = ""
    after: Annotated[
        Literal["move", "delete", "leave"], Meta(description="once kept: move (below done_prefix), delete, leave")
    ] = "leave"
    done_prefix: Annotated[str, Meta(description="for what was kept (after = move)")] = "done/"
    failed_prefix: Annotated[str, Meta(description="for reports that can't be read (after = move)")] = "failed/"
    every_s: Annotated[float, Meta(description="seconds between looks", gt=0)] = 60.0


class GraphSource(MailConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mailbox of Microsoft 365 by Graph, where IMAP is switched off (D-90)."""

    mailbox: Annotated[str, Meta(description="the mailbox's address")]
    oauth: Annotated[OauthConfig, Meta(description="access token by the client-credentials flow")]
    folder: Annotated[str, Meta(description="the folder where reports arrive, with / between levels")] = "Inbox"
    after: Annotated[
        Literal["move", "flag", "delete", "leave"], Meta(description="once kept: move, flag as read, delete, leave")
    ] = "move"
    done_folder: Annotated[str, Meta(description="for what was kept; made when missing")] = "TLSRPT Done"
    failed_folder: Annotated[str, Meta(description="for reports that can't be read; made when missing")] = (
        "TLSRPT Failed"
    )
    endpoint: Annotated[str, Meta(description="of Graph, for national clouds")] = "https://graph.microsoft.com/v1.0"
    ca_file: Annotated[str, Meta(description="PEM file of authorities to trust; empty: the system's")] = ""
    every_s: Annotated[float, Meta(description="seconds between looks", gt=0)] = 120.0


AnySource = HttpsSource | LmtpSource | MaildirSource | ImapSource | S3Source | GraphSource


class Placed(Struct, frozen=True):
    """A source and where it stands in the file."""

    where: str  # source.https[2], counted from 1 within its kind
    kind: str
    name: str
    source: AnySource


class Sources(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ways in, any number of each kind."""

    https: tuple[HttpsSource, ...] = ()
    lmtp: tuple[LmtpSource, ...] = ()
    maildir: tuple[MaildirSource, ...] = ()
    imap: tuple[ImapSource, ...] = ()
    s3: tuple[S3Source, ...] = ()
    graph: tuple[GraphSource, ...] = ()

    def placed(self) -> Iterator[Placed]:
        """Every source; one without a name is called by its kind, numbered from the second on."""
        for kind in self.__struct_fields__:
            for n, source in enumerate(getattr(self, kind), 1):
                name = source.name or (kind if n == 1 else f"{kind}-{n}")
                yield Placed(f"source.{kind}[{n}]", kind, name, source)

    def named(self) -> dict[str, AnySource]:
        """Every source by its name, which no other has: see `parse` of cli.configuration."""
        return {placed.name: placed.source for placed in self.placed()}


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file; every table may be left out."""

    store: StoreConfig = field(default_factory=StoreConfig)
    domains: DomainsConfig = field(default_factory=DomainsConfig)
    dns: DnsConfig = field(default_factory=DnsConfig)
    source: Sources = field(default_factory=Sources)
    receive: ReceiveConfig = field(default_factory=ReceiveConfig)
    quarantine: QuarantineConfig = field(default_factory=QuarantineConfig)
    limits: Limits = field(default_factory=Limits)
    health: HealthConfig = field(default_factory=HealthConfig)
    mail: MailServer = field(default_factory=MailServer)
    alerts: AlertsConfig = field(default_factory=AlertsConfig)
    digest: DigestConfig = field(default_factory=DigestConfig)
    log: LogConfig = field(default_factory=LogConfig)

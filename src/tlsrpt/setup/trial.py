"""The proof: a trial report, sent the way that real ones come, and looked for in the store.

By mail it is the message of RFC 8460 section 5.3, by https the body of section 5.4. Its report-id says that it is a
trial, and it tells of no session, so that it changes no figure.
"""

from __future__ import annotations

import smtplib
import ssl
import subprocess
from collections.abc import Callable
from datetime import date, datetime, timedelta
from email import policy
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path

from msgspec import Struct

from tlsrpt.core.errors import ConfigError, StoreBusyError
from tlsrpt.core.report import Report
from tlsrpt.core.writing import file_name, gzip_report
from tlsrpt.setup.state import SetupError
from tlsrpt.store.reports import list_reports
from tlsrpt.store.sqlite import open_store, sqlite_path

WITHIN_S = 30.0
SENDMAIL = Path("/usr/sbin/sendmail")
_SIGNED = (b"from", b"to", b"subject", b"date", b"message-id", b"tls-report-domain", b"tls-report-submitter")


class Login(Struct, frozen=True, kw_only=True):
    """A user and a password for a smarthost; the password has no text form."""

    user: str
    password: str

    def __repr__(self) -> str:
        return f"Login(user={self.user!r})"


class Smarthost(Struct, frozen=True, kw_only=True):
    """A mail server that passes on what it is given."""

    host: str
    port: int = 25
    login: Login | None = None


class DkimKey(Struct, frozen=True, kw_only=True):
    """A key to sign with, in PEM, and the selector under which its public half is published. Has no text form."""

    selector: str
    pem: bytes

    def __repr__(self) -> str:
        return f"DkimKey(selector={self.selector!r})"


def trial_mail(report: Report, domain: str, sender: str, recipient: str, now: datetime) -> bytes:
    """The report as mail (R5.3-01 to R5.3-06), not yet signed. Lines end in CRLF."""
    submitter = sender.rpartition("@")[2]
    mail = EmailMessage(policy=policy.SMTP)
    mail["From"], mail["To"] = sender, recipient
    mail["Date"] = format_datetime(now)
    mail["Message-ID"] = f"<{report.report_id}@{submitter}>"
    mail["Subject"] = f"Report Domain: {domain} Submitter: {submitter} Report-ID: <{report.report_id}@{submitter}>"
    mail["TLS-Report-Domain"], mail["TLS-Report-Submitter"] = domain, submitter
    mail["TLS-Required"] = "No"  # a report may come in spite of the fault that it tells of
    mail.set_content(
        f"A trial report of tlsrpt setup for {domain}: it shows that reports arrive where the record says. It tells of "
        "no session.\n"
    )
    name = file_name(report, domain)
    mail.add_attachment(gzip_report(report), maintype="application", subtype="tlsrpt+gzip", filename=name)
    mail.set_param("report-type", "tlsrpt")
    mail.replace_header("Content-Type", mail["Content-Type"].replace("multipart/mixed", "multipart/report"))
    return mail.as_bytes()


def sign(mail: bytes, domain: str, key: DkimKey) -> bytes:
    """Add a DKIM signature (R3-17, R3-19, R5.3-04).

    Raises:
        ConfigError: the extra is missing.
        SetupError: the key can't sign.
    """
    try:
        import dkim
    except ImportError as error:
        raise ConfigError("signing needs an extra", fix="pip install 'tlsrpt[receive]'") from error
    try:
        head = dkim.sign(
            mail, key.selector.encode(), domain.encode(), key.pem, include_headers=list(_SIGNED), length=False
        )
    except (dkim.DKIMException, ValueError, TypeError) as error:
        raise SetupError(f"the DKIM key can't sign: {type(error).__name__}", fix="give an RSA key in PEM") from error
    return bytes(head) + mail


def send_by_smarthost(mail: bytes, sender: str, recipient: str, smarthost: Smarthost) -> None:
    """Hand the mail to a mail server; with a login only over TLS.

    Raises:
        SetupError: it was not taken; says what the server answered.
    """
    where = f"{smarthost.host}:{smarthost.port}"
    context = ssl.create_default_context()
    try:
        with _connect(smarthost, context) as smtp:
            smtp.ehlo()
            if smarthost.login is not None:
                if smarthost.port != 465:
                    smtp.starttls(context=context)
                    smtp.ehlo()
                smtp.login(smarthost.login.user, smarthost.login.password)
            smtp.sendmail(sender, [recipient], mail)
    except smtplib.SMTPRecipientsRefused as error:
        code, answer = next(iter(error.recipients.values()))
        raise SetupError(f"{recipient} was refused: {code} {_said(answer)}", where=where) from error
    except smtplib.SMTPResponseException as error:
        raise SetupError(f"not taken: {error.smtp_code} {_said(error.smtp_error)}", where=where) from error
    except (smtplib.SMTPException, OSError) as error:
        raise SetupError(f"not taken: {error}", where=where) from error


def _connect(smarthost: Smarthost, context: ssl.SSLContext) -> smtplib.SMTP:
    if smarthost.port == 465:
        return smtplib.SMTP_SSL(smarthost.host, smarthost.port, timeout=WITHIN_S, context=context)
    return smtplib.SMTP(smarthost.host, smarthost.port, timeout=WITHIN_S)


def _said(answer: bytes | str) -> str:
    return answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer


def send_by_sendmail(mail: bytes, sender: str, recipient: str, program: Path = SENDMAIL) -> None:
    """Hand the mail to the local mail server.

    Raises:
        SetupError: there is no such program, or it refused.
    """
    argv = [str(program), "-i", "-f", sender, "--", recipient]
    try:
        done = subprocess.run(  # noqa: S603 - addresses that were parsed, after --
            argv, input=mail.replace(b"\r\n", b"\n"), capture_output=True, timeout=WITHIN_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SetupError(f"can't be run: {error}", where=str(program), fix="name a mail server: --smarthost") from error
    if done.returncode:
        raise SetupError(f"refused ({done.returncode}): {_said(done.stderr[:300])}", where=str(program))


def arrived(store_url: str, report_id: str, day: date) -> int | None:
    """Our number for the trial report once it is in the store; None as long as it, or the store, is not there."""
    if not sqlite_path(store_url).exists():
        return None
    try:
        with open_store(store_url) as store:
            page = list_reports(store, since=day - timedelta(days=2), until=day, text=report_id)
    except StoreBusyError:  # something is being taken in: perhaps this one
        return None
    return page.reports[0].id if page.reports else None


def follow(
    store_url: str, report_id: str, day: date, *, within_s: float, now: Callable[[], float], pause: Callable[[], None]
) -> int | None:
    """Look into the store until the trial report is there, or time is up."""
    until = now() + within_s
    while True:
        found = arrived(store_url, report_id, day)
        if found is not None or now() >= until:
            return found
        pause()

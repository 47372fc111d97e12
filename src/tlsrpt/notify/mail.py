"""Mail of our own: one message, text and HTML, handed to the mail server of `[mail]`.

What is in it came from reports in part, so a subject is one printable line, whatever it is made of. A message says that
a program wrote it (RFC 3834), so that no vacation notice answers, and carries the Message-ID that it was given: sent
twice after a crash, it is still one message.
"""

from __future__ import annotations

import smtplib
from datetime import datetime
from email import policy
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr

from msgspec import Struct

from tlsrpt.config import MailServer
from tlsrpt.core.domain import parse_domain
from tlsrpt.core.errors import ConfigError, DomainError, TlsrptError
from tlsrpt.core.text import printable
from tlsrpt.intake.outgoing import trust
from tlsrpt.intake.secrets import read_secret

SUBJECT_LIMIT = 150  # characters
SAID_LIMIT = 200  # of what the mail server answers
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Mail(Struct, frozen=True, kw_only=True):
    """One message. `message_id` and `references` are without angle brackets."""

    to: tuple[str, ...]  # mail addresses
    subject: str
    text: str
    html: str = ""
    message_id: str  # made_id of something that stays the same when it is sent again
    references: str = ""  # the id of the message that this one goes on from
    headers: tuple[tuple[str, str], ...] = ()


class DeliveryError(TlsrptError):
    """A message was not taken; it is tried again."""


def made_id(token: str, server: MailServer) -> str:
    """A Message-ID, without brackets: the token at the domain that mail comes from."""
    return f"{token}@{server.sender.rpartition('@')[2] or 'tlsrpt.invalid'}"


def parse_address(text: str) -> str:
    """A mail address, its domain in A-labels.

    Raises:
        ConfigError: it is none.
    """
    local, _, domain = text.strip().rpartition("@")
    if not local or not text.isascii() or not text.isprintable() or parseaddr(text)[1] != text.strip() or " " in text:
        raise ConfigError(f"no mail address: {printable(text, 100)}", fix="write name@example.com")
    try:
        return f"{local}@{parse_domain(domain)}"
    except DomainError as error:
        raise ConfigError(f"no mail address: {printable(text, 100)}", fix="write name@example.com") from error


def compose(server: MailServer, mail: Mail, now: datetime) -> EmailMessage:
    """The message as it goes out."""
    message = EmailMessage(policy=policy.SMTP)
    message["From"] = parse_address(server.sender)
    message["To"] = ", ".join(map(parse_address, mail.to))
    message["Subject"] = printable(mail.subject, SUBJECT_LIMIT)
    message["Date"] = format_datetime(now)
    message["Message-ID"] = f"<{mail.message_id}>"
    if mail.references:
        message["In-Reply-To"] = message["References"] = f"<{mail.references}>"
    message["Auto-Submitted"] = "auto-generated"
    message["TLS-Required"] = "No"  # RFC 8689: it may come in spite of the fault that it tells of
    message["X-Auto-Response-Suppress"] = "All"  # Exchange's way of the same
    for name, value in mail.headers:
        message[name] = printable(value, 500)
    message.set_content(mail.text, cte="quoted-printable")
    if mail.html:
        message.add_alternative(mail.html, subtype="html", cte="quoted-printable")
    return message


def as_bytes(message: EmailMessage) -> bytes:
    """The message as it is sent.

    A plain subject is not folded: Python may fold it right behind its name, and readers then show a blank before it.
    Encoded words have to be short (RFC 2047 section 2), so that one with others than ASCII is.
    """
    plain = str(message["Subject"]).isascii()
    return message.as_bytes(policy=policy.SMTP.clone(max_line_length=998) if plain else policy.SMTP)


def send_mail(server: MailServer, mail: Mail, now: datetime) -> None:
    """Hand a message to the mail server; returns once that has taken it for every address.

    Raises:
        ConfigError: `[mail]` or an address can't be used.
        SourceError: the password can't be read, or the file of authorities.
        DeliveryError: it was not taken; says what the server answered.
    """
    lint_server(server)
    message = compose(server, mail, now)
    password = _password(server)
    where = f"{server.host}:{server.port}"
    try:
        with _connect(server) as smtp:
            if server.user:
                smtp.login(server.user, password)
            refused = smtp.sendmail(parse_address(server.sender), list(map(parse_address, mail.to)), as_bytes(message))
    except smtplib.SMTPRecipientsRefused as error:
        raise _refused(error.recipients, where) from error
    except smtplib.SMTPAuthenticationError as error:  # its text may hold what was sent
        raise DeliveryError(f"the login was refused ({error.smtp_code})", where=where) from None
    except smtplib.SMTPResponseException as error:
        raise DeliveryError(f"not taken: {error.smtp_code} {_said(error.smtp_error)}", where=where) from error
    except (smtplib.SMTPException, OSError) as error:
        raise DeliveryError(f"not taken: {printable(str(error), SAID_LIMIT)}", where=where) from error
    if refused:
        raise _refused(refused, where)


def lint_server(server: MailServer) -> None:
    """Raise ConfigError where `[mail]` can't work."""
    if not server.host:
        raise ConfigError("no mail server is named", where="mail", fix="write host and from into [mail]")
    if not server.sender:
        raise ConfigError("no address to send from", where="mail", fix='write from = "tlsrpt@example.com"')
    parse_address(server.sender)
    if server.user and server.tls == "none":
        raise ConfigError("a password would go out in clear text", where="mail.tls", fix='write tls = "starttls"')
    if server.tls == "none" and server.host not in _LOOPBACK:
        raise ConfigError(
            f"{printable(server.host, 100)} would be spoken to in clear text",
            where="mail.tls",
            fix='write tls = "starttls"; without is for a server on this machine: host = "localhost"',
        )


def _password(server: MailServer) -> str:
    if not server.user:
        return ""
    return read_secret("password", file=server.password_file, env=server.password_env, command=server.password_command)


def _connect(server: MailServer) -> smtplib.SMTP:
    context = trust(server.ca_file, "mail.ca_file") if server.tls != "none" else None
    if server.tls == "tls":
        return smtplib.SMTP_SSL(server.host, server.port, timeout=server.within_s, context=context)
    smtp = smtplib.SMTP(server.host, server.port, timeout=server.within_s)
    if context is not None:
        try:
            smtp.starttls(context=context)
        except (smtplib.SMTPException, OSError):
            smtp.close()
            raise
    return smtp


def _refused(answers: dict[str, tuple[int, bytes]], where: str) -> DeliveryError:
    address, (code, answer) = next(iter(answers.items()))
    more = f" and {len(answers) - 1} more" if len(answers) > 1 else ""
    return DeliveryError(f"{printable(address, 100)}{more} refused: {code} {_said(answer)}", where=where)


def _said(answer: bytes | str) -> str:
    text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
    return printable(text, SAID_LIMIT)

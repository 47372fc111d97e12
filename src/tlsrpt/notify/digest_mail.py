"""The digest as mail: put into the outbox when it is due, once for each period; or sent at once by a person's command.

What was told last is kept in the store. Killed between posting and keeping that, it is posted again under the same
token, which the outbox knows. The first time that anybody looks none is sent: the service may have begun a minute ago.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime

from tlsrpt.config import DigestConfig, MailServer
from tlsrpt.core.errors import ConfigError
from tlsrpt.insight.overview import find_overview
from tlsrpt.notify.digest import Digest, write_digest
from tlsrpt.notify.mail import Mail, made_id, send_mail
from tlsrpt.notify.schedule import due, scope_of
from tlsrpt.store.sqlite import Store
from tlsrpt.store.sqlite_notices import post
from tlsrpt.store.telling import Address, Outgoing

RECIPIENT = "digest"  # in the outbox, beside the names of [[alerts.to]]
_TOLD_UNTIL = "digest/told-until"


def post_due(store: Store, config: DigestConfig, now: datetime) -> date | None:
    """Put the digest that is due into the outbox; returns the last day that it tells of, None where none is due.

    Raises:
        ConfigError: time zone or domains can't be used.
        StoreError, StoreBusyError: nothing was posted, or it will not be posted twice.
    """
    kept = store.place(_TOLD_UNTIL)
    days = due(config, now, None if kept is None else date.fromisoformat(kept))
    if days is None:
        return None
    since, until = days
    if kept is not None:
        seen = find_overview(store, since=since, until=until, today=now.date(), scope=scope_of(config))
        digest = write_digest(seen)
        message = Outgoing(
            token=f"digest-{config.every}-{until}",
            kind="digest",
            event=config.every,
            key=RECIPIENT,
            severity="info" if seen.verdict == "nothing-to-do" else "warning",
            subject=digest.subject,
            text=digest.text,
            html=digest.html,
        )
        addresses = [Address(recipient=RECIPIENT, address=address, due=now) for address in config.to]
        post(store, [(message, addresses)], now=now)
    store.keep_place(_TOLD_UNTIL, until.isoformat())
    return until if kept is not None else None


def send_digest(
    digest: Digest,
    to: tuple[str, ...],
    server: MailServer,
    now: datetime,
    token: str,
    send: Callable[[MailServer, Mail, datetime], None] = send_mail,
) -> None:
    """Send a digest now, to everyone at once.

    Raises:
        ConfigError: nobody is named, or [mail] can't be used.
        SourceError, DeliveryError: it was not sent.
    """
    if not to:
        raise ConfigError(
            "nobody is named", where="digest.to", fix='write to = ["postmaster@example.com"], or --stdout'
        )
    mail = Mail(
        to=to, subject=digest.subject, text=digest.text, html=digest.html, message_id=made_id(f"digest-{token}", server)
    )
    send(server, mail, now)

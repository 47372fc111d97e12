"""The outbox: messages go out one after another, later and later where they are not taken, and are given up after days.

A message is first kept (`store.sqlite_notices.post`), in one transaction with the memory that it was told; then
whoever runs sends it. `attempt` is one try; `deliver_due` is the loop of a command, the service has its own.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from msgspec import Struct

from tlsrpt.core.errors import StoreError, TlsrptError
from tlsrpt.intake.source import Log
from tlsrpt.store.sqlite import Store
from tlsrpt.store.sqlite_notices import claim, settle
from tlsrpt.store.telling import Delivery

FIRST, LONGEST = timedelta(minutes=1), timedelta(hours=1)  # between attempts
GIVE_UP_AFTER = timedelta(days=3)  # after the message was made; a mail server waits five days, and an alert is old then

Send = Callable[[Delivery], None]


class NobodyError(TlsrptError):
    """Nobody of that name is told any more: nothing to try again."""


class Outcome(Struct, frozen=True, kw_only=True):
    """How one attempt ended; both empty where the message was taken."""

    trouble: str = ""
    again: datetime | None = None


def next_attempt(made: datetime, tries: int, now: datetime) -> datetime | None:
    """When a message is tried again after so many attempts; None once it is given up."""
    due = now + min(FIRST * 2 ** min(tries - 1, 16), LONGEST)
    return due if due < made + GIVE_UP_AFTER else None


def attempt(delivery: Delivery, send: Send, now: Callable[[], datetime]) -> Outcome:
    """Send once. Nothing that goes wrong reaches the caller but a defect of the store."""
    try:
        send(delivery)
    except NobodyError as error:
        return Outcome(trouble=str(error))
    except StoreError:
        raise
    except TlsrptError as error:
        return Outcome(trouble=str(error), again=next_attempt(delivery.made_at, delivery.tries, now()))
    return Outcome()


def tell(log: Log, delivery: Delivery, outcome: Outcome) -> None:
    """A line of the log for an attempt."""
    about = {"recipient": delivery.recipient, "address": delivery.address, "subject": delivery.message.subject}
    if not outcome.trouble:
        log.info("a message is sent", **about)
    elif outcome.again is not None:
        log.warning("a message is not sent yet", **about, reason=outcome.trouble, tries=delivery.tries)
    else:
        log.error("a message is given up", **about, reason=outcome.trouble, tries=delivery.tries)


def deliver_due(
    store: Store, send: Send, now: Callable[[], datetime], log: Log, *, going: Callable[[], bool] = lambda: True
) -> tuple[int, int]:
    """Send everything that is due, in turn with others who do; how many were taken, and how many were not.

    Args:
        going: no: leave the rest for another time.
    """
    taken = failed = 0
    while going() and (delivery := claim(store, now())) is not None:
        outcome = attempt(delivery, send, now)
        settle(store, delivery, now=now(), trouble=outcome.trouble, again=outcome.again)
        tell(log, delivery, outcome)
        taken, failed = (taken, failed + 1) if outcome.trouble else (taken + 1, failed)
    return taken, failed

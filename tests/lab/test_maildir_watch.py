"""Real mail servers deliver into a Maildir while it is watched, and show it to IMAP clients meanwhile."""

from __future__ import annotations

import asyncio
import imaplib
from collections.abc import Awaitable, Callable
from datetime import date
from pathlib import Path

import pytest

from tests.intake.recording import Recorder
from tests.lab.servers import PATIENCE_S, Dovecot, dovecot, postfix
from tlsrpt.config import MaildirSource
from tlsrpt.core.limits import Limits
from tlsrpt.core.sample.corpus import corpus
from tlsrpt.core.sample.mail import mail
from tlsrpt.intake.maildir import WatchedMaildir
from tlsrpt.intake.way import Way

WAY = Way(name="maildir", kind="maildir")
SAMPLES = Path(__file__).parents[1] / "data/reports"
DMARC = (SAMPLES / "dmarc-report.eml").read_bytes()
REPORTS = [mail(report) for report in corpus(30, until=date(2026, 3, 1))]


def watch(path: Path, config: dict[str, str], then: Callable[[Recorder], Awaitable[None]]) -> Recorder:
    """Watch a Maildir while something else happens."""
    recorder = Recorder(WAY)
    source = WatchedMaildir(MaildirSource(path=str(path), every_s=0.05, **config), WAY, Limits())

    async def run() -> None:
        task = asyncio.create_task(source.run(recorder.desk))
        task.add_done_callback(lambda _: recorder.info("ended"))
        await recorder.until(lambda: recorder.status.state == "working" or task.done())
        await then(recorder)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()

    asyncio.run(run())
    return recorder


def seen_by_imap(server: Dovecot, user: str, folder: str = "INBOX") -> dict[str, int]:
    with imaplib.IMAP4("127.0.0.1", server.imap_port, timeout=PATIENCE_S) as imap:
        imap.login(user, "any")
        assert imap.select(f'"{folder}"', readonly=True)[0] == "OK"
        return {word: len(imap.search(None, word)[1][0].split()) for word in ("SEEN", "UNSEEN")}


@pytest.mark.lab("dovecot", "imap", "lmtp")
@pytest.mark.parametrize(
    ("config", "counts"),
    [
        ({}, {"INBOX": {"SEEN": 30, "UNSEEN": 1}}),
        ({"after": "move"}, {"INBOX": {"SEEN": 0, "UNSEEN": 1}, "TLSRPT.Done": {"SEEN": 30, "UNSEEN": 0}}),
        ({"after": "delete"}, {"INBOX": {"SEEN": 0, "UNSEEN": 1}}),
    ],
    ids=["seen", "move", "delete"],
)
def test_each_message_that_dovecot_delivers_is_taken_once(
    lab: Path, config: dict[str, str], counts: dict[str, dict[str, int]]
) -> None:
    """Dovecot's own view agrees: what was taken is read, moved or gone; the DMARC report is untouched."""
    with dovecot(lab / "dovecot") as server:
        server.deliver(DMARC, "reports")  # makes the Maildir

        async def deliver(recorder: Recorder) -> None:
            for report in REPORTS:
                await asyncio.to_thread(server.deliver, report, "reports")
            await recorder.until(lambda: len(recorder.taken) >= len(REPORTS) + 1)

        recorder = watch(server.mail / "reports", config, deliver)
        assert {folder: seen_by_imap(server, "reports", folder) for folder in counts} == counts
    assert recorder.status.outcomes == {"new": 30, "other": 1}


@pytest.mark.lab("dovecot", "imap", "lmtp")
def test_reports_are_found_though_an_imap_client_waits_on_the_mailbox(lab: Path) -> None:
    """With the mailbox open, Dovecot moves each message to cur, unread, within moments of its delivery."""
    with dovecot(lab / "dovecot") as server:
        server.deliver(DMARC, "reports")
        maildir = server.mail / "reports"

        def deliver_and_look(report: bytes, imap: imaplib.IMAP4) -> None:
            server.deliver(report, "reports")
            imap.noop()

        async def deliver(recorder: Recorder) -> None:
            with imaplib.IMAP4("127.0.0.1", server.imap_port, timeout=PATIENCE_S) as imap:
                imap.login("reports", "any")
                imap.select("INBOX")
                for report in REPORTS:
                    await asyncio.to_thread(deliver_and_look, report, imap)
                await recorder.until(lambda: len(recorder.taken) >= len(REPORTS) + 1)

        recorder = watch(maildir, {}, deliver)
        assert seen_by_imap(server, "reports") == {"SEEN": 30, "UNSEEN": 1}
    assert {key: n for key, n in recorder.status.outcomes.items() if key != "known"} == {"new": 30, "other": 1}


@pytest.mark.lab("postfix")
def test_postfix_delivers_into_a_watched_maildir(lab: Path) -> None:
    """Postfix' local(8), as the user's own: new messages are taken as they come."""
    spool = lab / "spool"
    spool.mkdir()
    spool.chmod(0o1777)
    with postfix(lab / "postfix", {}, f"mail_spool_directory = {spool}/\n") as server:
        server.send(DMARC, "games@reports.example")
        server.log.wait_for("status=sent")

        async def deliver(recorder: Recorder) -> None:
            for report in REPORTS[:10]:
                await asyncio.to_thread(server.send, report, "games@reports.example")
            await recorder.until(lambda: len(recorder.taken) >= 11)

        recorder = watch(spool / "games", {}, deliver)
        assert server.queued() == 0
        owners = {path.owner() for path in (spool / "games/cur").iterdir()}
    assert recorder.status.outcomes == {"new": 10, "other": 1}
    assert owners == {"games"}

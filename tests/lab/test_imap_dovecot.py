"""A mailbox at a real Dovecot is worked through, as the handbook's page on IMAP promises."""

from __future__ import annotations

import asyncio
import shutil
import time
import traceback
import tracemalloc
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import SAMPLES, tlsrpt
from tests.httpsserver import make_authority
from tests.intake.recording import Recorder, a_mail
from tests.lab.mailserver import MailServer, mail_server
from tests.lab.oauthserver import OauthServer, oauth_server
from tests.lab.servers import REPOSITORY
from tlsrpt.config import ImapSource, OauthConfig
from tlsrpt.core.errors import OverloadError, SourceError, StoreError
from tlsrpt.core.limits import Limits
from tlsrpt.intake import imap_batches, imap_session
from tlsrpt.intake.imap import Mailbox
from tlsrpt.intake.imap_login import LoginRefusedError
from tlsrpt.intake.way import Taken, Way

pytestmark = pytest.mark.lab("dovecot", "imap", "lmtp")

WAY = Way(name="imap", kind="imap")
SIX = ("report", "DMARC", "broken", "forged", "odd", "report")  # as the recorder judges them


@pytest.fixture(autouse=True)
def _password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_PASSWORD", "secret")


@pytest.fixture
def server(lab: Path) -> Iterator[MailServer]:
    with mail_server(lab / "dovecot") as running:
        yield running


@pytest.fixture
def recorder() -> Recorder:
    return Recorder(WAY)


def a_config(server: MailServer, **changes: Any) -> ImapSource:
    fields: dict[str, Any] = {
        "host": "localhost",
        "port": server.imaps_port,
        "user": "tls",
        "ca_file": server.ca_file,
        "password_env": "LAB_PASSWORD",
    }
    if changes.keys() & {"password_file", "token_command", "oauth"}:
        del fields["password_env"]
    return ImapSource(**(fields | changes))


def a_mailbox(server: MailServer, *, limits: Limits | None = None, **changes: Any) -> Mailbox:
    return Mailbox(a_config(server, **changes), WAY, limits or Limits())


def drain(mailbox: Mailbox, recorder: Recorder) -> None:
    asyncio.run(mailbox.drain(recorder.desk))


def mails(*words: str) -> list[bytes]:
    return [a_mail(word, n) for n, word in enumerate(words)]


def subjects(recorder: Recorder) -> list[str]:
    """Of all that was taken, in that order."""
    lines = [line for data, _ in recorder.taken for line in data.decode().split("\r\n")]
    return [line.removeprefix("Subject: ") for line in lines if line.startswith("Subject: ")]


# What becomes of a message


def test_what_is_kept_is_moved_and_other_mail_is_not_touched(server: MailServer, recorder: Recorder) -> None:
    """Known and new to the one folder, unreadable to the other; DMARC reports and the refused are not even seen."""
    server.deliver(*mails(*SIX))
    drain(a_mailbox(server), recorder)
    assert server.flags() == ["DMARC 1", "forged 3"]
    assert server.flags("TLSRPT/Done") == ["report 0", "odd 4", "report 5"]
    assert server.flags("TLSRPT/Failed") == ["broken 2"]
    assert recorder.status.outcomes == {"new": 2, "other": 1, "quarantined": 1, "refused": 1, "conflict": 1}
    assert (recorder.states, recorder.status.waiting) == (["working"], 0)
    assert [where for _, where in recorder.taken] == [f"INBOX UID {n}" for n in range(1, 7)]
    with server.person() as imap:  # so that mail programs show them
        assert b"TLSRPT/Failed" in b"".join(line for line in imap.lsub()[1] if isinstance(line, bytes))


def test_what_is_kept_is_flagged(server: MailServer, recorder: Recorder) -> None:
    server.deliver(*mails(*SIX))
    drain(a_mailbox(server, after="flag"), recorder)
    assert server.flags() == [
        r"report 0 \Seen",
        "DMARC 1",
        r"broken 2 \Flagged \Seen",
        "forged 3",
        r"odd 4 \Seen",
        r"report 5 \Seen",
    ]


def test_what_is_kept_is_deleted_and_nothing_that_others_marked(server: MailServer, recorder: Recorder) -> None:
    r"""A plain EXPUNGE would remove what a person has marked as \Deleted and may want back."""
    server.deliver(*mails(*SIX))
    with server.person() as imap:
        imap.select("INBOX")
        imap.store("2", "+FLAGS", r"\Deleted")
    drain(a_mailbox(server, after="delete"), recorder)
    assert server.flags() == [r"DMARC 1 \Deleted", "forged 3"]
    assert "DMARC 1" not in subjects(recorder)  # it is gone, to a mail program's user


def test_a_mailbox_that_is_left_is_not_changed_at_all(server: MailServer, recorder: Recorder) -> None:
    """Not a flag, not a folder, not even from new to cur; and each message is taken once, over restarts."""
    server.deliver(*mails(*SIX))

    def on_disk() -> list[str]:
        folders = [
            path for path in (server.mail / "tls").rglob("*") if path.is_dir() or path.parent.name in ("new", "cur")
        ]
        return sorted(str(path) for path in folders)

    before = on_disk()
    drain(a_mailbox(server, after="leave"), recorder)
    assert on_disk() == before
    assert len(recorder.taken) == 6

    server.deliver(a_mail("report", 6))
    drain(a_mailbox(server, after="leave"), recorder)
    assert subjects(recorder)[6:] == ["report 6"]
    assert server.flags() == [f"{word} {n}" for n, word in enumerate((*SIX, "report"))]


def test_other_mail_is_fetched_once_for_all_restarts(server: MailServer, recorder: Recorder) -> None:
    server.deliver(*mails("DMARC", "report", "DMARC"))
    drain(a_mailbox(server), recorder)
    assert len(recorder.taken) == 3
    server.deliver(a_mail("report", 3))
    drain(a_mailbox(server), recorder)
    drain(a_mailbox(server), recorder)
    assert subjects(recorder)[3:] == ["report 3"]


def test_what_is_too_large_is_named_and_not_fetched(server: MailServer, recorder: Recorder) -> None:
    server.deliver(a_mail(size=100), a_mail(n=1, size=5000), a_mail(n=2, size=100))
    drain(a_mailbox(server, limits=Limits(compressed_bytes=4000)), recorder)
    assert subjects(recorder) == ["report 0", "report 2"]
    assert server.flags() == ["report 1"]
    assert recorder.status.outcomes["too-large"] == 1
    [(event, fields)] = recorder.told
    assert (event, fields["where"]) == ("left alone for its size", "INBOX UID 2")


def test_large_messages_are_fetched_in_parts(server: MailServer, recorder: Recorder) -> None:
    """The room is asked for their bytes first; nothing of a megabyte is held a hundred times."""
    rooms = list[int]()
    recorder.before = lambda data: rooms.append(recorder.room.bytes)
    server.deliver(*(a_mail(n=n, size=1_500_000) for n in range(6)))
    drain(a_mailbox(server), recorder)
    assert len(recorder.taken) == 6
    assert max(rooms) < 4_000_000
    assert recorder.room.bytes == recorder.room.documents == 0


def test_a_message_that_goes_away_meanwhile_is_no_error(
    server: MailServer, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imap_batches, "MESSAGES", 1)
    server.deliver(*mails("report", "report", "report"))

    def remove_the_next(data: bytes) -> None:
        if b"report 0" in data:
            with server.person() as imap:
                imap.select("INBOX")
                imap.store("2", "+FLAGS", r"\Deleted")
                imap.expunge()

    recorder.before = remove_the_next
    drain(a_mailbox(server), recorder)
    assert subjects(recorder) == ["report 0", "report 2"]
    assert server.flags() == []


# Where we are


def test_messages_that_are_numbered_anew_are_all_looked_at(server: MailServer, recorder: Recorder) -> None:
    """UIDVALIDITY: a folder that was deleted and made again. What was in it and is there again is known."""

    def make_folder() -> None:
        with server.person() as imap:
            imap.delete("Reports")
            imap.create("Reports")
            for mail in mails("report", "DMARC"):
                imap.append("Reports", "", "", mail)

    make_folder()
    drain(a_mailbox(server, after="leave", folder="Reports"), recorder)
    assert recorder.status.outcomes == {"new": 1, "other": 1}
    make_folder()
    drain(a_mailbox(server, after="leave", folder="Reports"), recorder)
    assert recorder.status.outcomes == {"new": 1, "known": 1, "other": 2}
    assert [event for event, _ in recorder.told] == ["messages were numbered anew: all are looked at again"]


def test_a_folder_of_many_is_searched_in_parts(
    server: MailServer, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others remove messages meanwhile, so that the numbers shift by which the parts are told apart."""
    monkeypatch.setattr(imap_session, "SEARCHED", 20)
    monkeypatch.setattr(imap_batches, "MESSAGES", 7)
    fill(server, (a_mail("DMARC" if n % 3 == 0 else "report", n) for n in range(100)))
    gone = set[str]()

    def remove_some(data: bytes) -> None:
        n = len(recorder.taken)
        if n % 10 == 5 and n < 60:
            with server.person() as imap:
                imap.select("INBOX")
                _, [found] = imap.search(None, "SUBJECT", '"DMARC"')
                first = found.split()[0]
                _, [(_, header), *_] = imap.fetch(first, "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
                gone.add(header.decode().removeprefix("Subject: ").strip())
                imap.store(first, "+FLAGS", r"\Deleted")
                imap.expunge()

    recorder.before = remove_some
    drain(a_mailbox(server), recorder)
    everything = {f"{'DMARC' if n % 3 == 0 else 'report'} {n}" for n in range(100)}
    assert len(subjects(recorder)) == len(set(subjects(recorder)))
    assert everything - set(subjects(recorder)) <= gone
    assert len(server.flags("TLSRPT/Done")) == 66


class Counter(Recorder):
    """Counts without remembering: one report in nine is other mail."""

    count = 0

    async def take(self, data: bytes, **_: Any) -> Taken:  # type: ignore[override]
        self.count += 1
        return Taken(outcome="other" if self.count % 10 == 0 else "new")


def test_a_large_folder_is_worked_through_in_bounded_memory(
    server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six megabytes of mail in less than two; each message is fetched once."""
    monkeypatch.setattr(imap_session, "SEARCHED", 500)
    fill(server, (a_mail(size=3000) for _ in range(2_001)))
    counter = Counter(WAY)
    mailbox = a_mailbox(server, after="leave", within_s=300.0)
    tracemalloc.start()
    try:
        asyncio.run(mailbox.drain(counter.desk))
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()
    assert counter.count == 2_001
    asyncio.run(mailbox.drain(counter.desk))
    assert counter.count == 2_001


def fill(server: MailServer, mails: Iterable[bytes]) -> None:
    """Lay mail into the INBOX as a server does, less its care for each."""
    folder = server.mail / "tls"
    for name in ("new", "tmp", "cur"):
        (folder / name).mkdir(parents=True)
    for n, mail in enumerate(mails):
        (folder / "cur" / f"{1_700_000_000 + n}.{n}.lab,S={len(mail)}:2,").write_bytes(mail)
    for path in (folder, *folder.rglob("*")):
        shutil.chown(path, "mail", "mail")


# When things go wrong


def test_a_server_that_dies_in_the_middle_costs_nothing(
    server: MailServer, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was kept and not yet moved is known the second time; each message is moved once."""
    monkeypatch.setattr(imap_batches, "MESSAGES", 10)
    server.deliver(*(a_mail("report", n) for n in range(60)))

    def die(data: bytes) -> None:
        if b"report 35" in data:
            recorder.before = lambda data: None
            server.kill()

    recorder.before = die
    mailbox = a_mailbox(server)
    with pytest.raises(SourceError, match="connection is lost"):
        drain(mailbox, recorder)
    server.start()
    drain(mailbox, recorder)
    assert recorder.status.outcomes["new"] == 60
    assert sorted(server.flags("TLSRPT/Done")) == sorted(f"report {n}" for n in range(60))
    assert server.flags() == []


def test_a_server_that_dies_while_messages_are_put_away_costs_nothing(
    server: MailServer, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tlsrpt.intake.imap_look.PUT_AWAY", 10)
    monkeypatch.setattr(imap_batches, "MESSAGES", 10)
    server.deliver(*(a_mail("report", n) for n in range(40)))
    died = list[int]()

    def die(data: bytes) -> None:
        if len(recorder.taken) >= 20 and not died:
            died.append(1)
            server.kill()

    recorder.before = die
    mailbox = a_mailbox(server)
    with pytest.raises(SourceError):
        drain(mailbox, recorder)
    server.start()
    drain(a_mailbox(server), recorder)
    assert recorder.status.outcomes["new"] == 40
    assert sorted(server.flags("TLSRPT/Done")) == sorted(f"report {n}" for n in range(40))


def test_nothing_is_touched_while_the_store_is_down(server: MailServer, recorder: Recorder) -> None:
    server.deliver(*mails(*SIX))
    recorder.store_is_down = True
    mailbox = a_mailbox(server)
    with pytest.raises(StoreError, match="the disk is full"):
        drain(mailbox, recorder)
    assert server.flags() == [f"{word} {n}" for n, word in enumerate(SIX)]
    assert recorder.status.waiting == 6
    recorder.store_is_down = False
    drain(mailbox, recorder)
    assert server.flags("TLSRPT/Done") == ["report 0", "odd 4", "report 5"]
    assert recorder.status.waiting == 0


@pytest.mark.parametrize(("word", "error"), [("no store", StoreError), ("too many", OverloadError)])
def test_a_message_that_can_not_be_taken_now_does_not_hold_up_others(
    word: str, error: type[Exception], server: MailServer, recorder: Recorder
) -> None:
    """A full quarantine takes no unreadable report. It waits, over a restart too, and other mail is not read again."""
    server.deliver(*mails(word, "report", "DMARC", word, "report"))
    with pytest.raises(error):
        drain(a_mailbox(server), recorder)
    assert server.flags() == [f"{word} 0", "DMARC 2", f"{word} 3"]
    assert recorder.status.waiting == 2

    tried = list[bytes]()
    recorder.before = tried.append
    with pytest.raises(error):
        drain(a_mailbox(server), recorder)
    assert [data.split(b"Subject: ")[1].split(b"\r\n")[0].decode() for data in tried] == [f"{word} 0", f"{word} 3"]
    with server.person() as imap:  # and if a person removes one, that is settled too
        imap.select("INBOX")
        imap.store("1:*", "+FLAGS", r"\Deleted")
        imap.expunge()
    drain(a_mailbox(server), recorder)
    assert recorder.status.waiting == 0


def test_the_store_is_asked_with_few_messages_while_it_is_down(server: MailServer, recorder: Recorder) -> None:
    """Not the whole mailbox is fetched each time only to hear the same."""
    fill(server, (a_mail("report", n) for n in range(350)))
    recorder.store_is_down = True
    tried = list[bytes]()
    recorder.before = tried.append
    mailbox = a_mailbox(server)
    for n in (1, 2, 3):
        with pytest.raises(StoreError):
            drain(mailbox, recorder)
        assert len(tried) <= 200 * n
    recorder.store_is_down = False
    drain(mailbox, recorder)
    assert recorder.status.outcomes == {"new": 350}
    assert server.flags() == []


def test_a_move_that_is_refused_does_not_end_the_receiving(server: MailServer, recorder: Recorder) -> None:
    """A folder that can't be made, or is full: three tries, then flags, and a person is told each time."""
    server.deliver(a_mail("report", 0))
    mailbox = a_mailbox(server, done_folder="a//b")
    for _ in range(2):
        with pytest.raises(SourceError, match="the server would not make the folder a//b"):
            drain(mailbox, recorder)
        assert server.flags() == ["report 0"]
    server.deliver(a_mail("report", 1))
    with pytest.raises(SourceError, match="the server would not make the folder a//b"):
        drain(mailbox, recorder)
    assert server.flags() == [r"report 0 \Seen", r"report 1 \Seen"]
    assert [event for event, _ in recorder.told][-1] == "messages can't be moved: flagged in their place"
    drain(mailbox, recorder)


# Servers that can less


CAPABLE = "IMAP4rev1 SASL-IR LITERAL+ ID ENABLE NAMESPACE"


def test_without_move_messages_are_copied_and_only_they_expunged(lab: Path, recorder: Recorder) -> None:
    """RFC 4315."""
    with mail_server(lab / "dovecot", more=f"imap_capability = {CAPABLE} UIDPLUS") as server:
        server.deliver(*mails(*SIX))
        with server.person() as imap:
            imap.select("INBOX")
            imap.store("2", "+FLAGS", r"\Deleted")
        drain(a_mailbox(server), recorder)
        assert server.flags() == [r"DMARC 1 \Deleted", "forged 3"]
        assert server.flags("TLSRPT/Done") == ["report 0", "odd 4", "report 5"]


@pytest.mark.parametrize(
    ("after", "flags", "told"),
    [
        ("move", [r"report 0 \Seen", r"broken 1 \Flagged \Seen"], "the server can't move messages"),
        ("delete", [r"report 0 \Deleted", r"broken 1 \Deleted"], "the server can't delete single messages"),
    ],
)
def test_without_uidplus_messages_are_flagged_and_it_is_said_once(
    after: str, flags: list[str], told: str, lab: Path, recorder: Recorder
) -> None:
    with mail_server(lab / "dovecot", more=f"imap_capability = {CAPABLE}") as server:
        mailbox = a_mailbox(server, after=after)
        for n, word in enumerate(("report", "broken")):
            server.deliver(a_mail(word, n))
            drain(mailbox, recorder)
        assert server.flags() == flags
        [(event, _)] = recorder.told
        assert event.startswith(told)
        assert any(line.startswith(told) for line in asyncio.run(mailbox.test()))


def test_folders_are_called_as_the_server_calls_them(lab: Path, recorder: Recorder) -> None:
    """RFC 2342: a prefix, another delimiter; RFC 3501 section 5.1.3: other letters."""
    with mail_server(lab / "dovecot", prefix="INBOX.", separator=".") as server:
        with server.person() as imap:
            imap.create("INBOX.Berichte.T&APw-r")
            imap.append("INBOX.Berichte.T&APw-r", "", "", a_mail("report", 0))
        drain(a_mailbox(server, folder="Berichte/Tür", done_folder="Erledigt/Ä & Ö"), recorder)
        assert server.flags("INBOX.Berichte.T&APw-r") == []
        assert server.flags("INBOX.Erledigt.&AMQ- &- &ANY-") == ["report 0"]
        # Written as it is called there, it is the same.
        with server.person() as imap:
            imap.append("INBOX.Berichte.T&APw-r", "", "", a_mail("report", 1))
        drain(a_mailbox(server, folder="INBOX.Berichte.Tür", done_folder="INBOX.Erledigt.Ä & Ö"), recorder)
        assert server.flags("INBOX.Erledigt.&AMQ- &- &ANY-") == ["report 0", "report 1"]


def test_the_folder_that_mail_arrives_in_can_not_be_the_one_it_is_moved_to(
    server: MailServer, recorder: Recorder
) -> None:
    """Each message would come back with a new UID, for ever."""
    with pytest.raises(SourceError, match="is the folder that reports arrive in"):
        drain(a_mailbox(server, done_folder="inbox"), recorder)


# Waiting


@asynccontextmanager
async def running(mailbox: Mailbox, recorder: Recorder) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(mailbox.run(recorder.desk))
    try:
        await recorder.until(lambda: recorder.status.state == "working" or task.done())
        yield task
    finally:
        if not task.done():
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@pytest.mark.parametrize(
    "changes", [pytest.param({}, id="IDLE"), pytest.param({"idle": False, "every_s": 0.05}, id="polling")]
)
def test_new_mail_is_taken_within_seconds(changes: dict[str, Any], server: MailServer, recorder: Recorder) -> None:
    async def main() -> None:
        async with running(a_mailbox(server, **changes), recorder):
            for n in range(3):
                await asyncio.to_thread(server.deliver, a_mail("report", n))
                began = time.monotonic()
                await recorder.until(lambda n=n: len(recorder.taken) > n)  # type: ignore[misc]
                assert time.monotonic() - began < 10

    asyncio.run(main())


def test_a_mailbox_is_left_at_once_when_the_service_stops(server: MailServer, recorder: Recorder) -> None:
    async def main() -> float:
        async with running(a_mailbox(server), recorder):
            began = time.monotonic()
        return time.monotonic() - began

    assert asyncio.run(main()) < 5


def test_a_server_that_goes_away_while_we_wait_is_noticed_at_once(server: MailServer, recorder: Recorder) -> None:
    async def main() -> None:
        async with running(a_mailbox(server), recorder) as task:
            await asyncio.to_thread(server.kill)
            with pytest.raises(SourceError, match="connection is lost"):
                await asyncio.wait_for(task, 10)

    asyncio.run(main())


def test_a_connection_that_lasted_is_made_anew_without_a_word(server: MailServer, recorder: Recorder) -> None:
    """Servers end sessions, with the token for one; a line of trouble every hour would be noise."""
    hours = iter(range(0, 360_000, 3600))
    mailbox = Mailbox(a_config(server), WAY, Limits(), clock=lambda: float(next(hours)))

    async def main() -> None:
        async with running(mailbox, recorder):
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
            await asyncio.to_thread(server.deliver, a_mail())
            await recorder.until(lambda: bool(recorder.taken))

    with suppress(SourceError):  # when it comes back before the server does, that is said
        asyncio.run(main())
        assert recorder.states[:1] == ["working"]


def test_too_much_at_once_is_waited_out_on_the_same_connection(server: MailServer, recorder: Recorder) -> None:
    """A submitter over its rate is no trouble of the mailbox."""
    waits = list[float]()

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        with server.person() as imap:
            imap.select("INBOX")
            imap.store("1:*", "+FLAGS", r"\Deleted")
            imap.expunge()

    async def main() -> None:
        server.deliver(*mails("too many", "report"))
        mailbox = Mailbox(a_config(server), WAY, Limits(), sleep=sleep)
        async with running(mailbox, recorder):
            await recorder.until(lambda: recorder.status.waiting == 0)

    asyncio.run(main())
    assert (waits, recorder.states) == ([20], ["working", "stopped"][:1])
    assert subjects(recorder) == ["report 1"]


# Who we are, and who they are


def test_a_password_that_was_changed_works_at_the_next_login(server: MailServer, recorder: Recorder, lab: Path) -> None:
    (lab / "password").write_text("wrong\n")
    mailbox = a_mailbox(server, password_file=str(lab / "password"))
    server.deliver(a_mail())
    with pytest.raises(LoginRefusedError):
        drain(mailbox, recorder)
    (lab / "password").write_text("secret\n")
    drain(mailbox, recorder)
    assert len(recorder.taken) == 1


def test_a_refused_login_is_one_line_without_the_password(
    server: MailServer, recorder: Recorder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And the next try waits longer than what guards a server calls an attack."""
    caplog.set_level(0)
    monkeypatch.setenv("LAB_PASSWORD", "hunter2")
    waits = list[float]()

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    with pytest.raises(LoginRefusedError) as error:
        asyncio.run(Mailbox(a_config(server), WAY, Limits(), sleep=sleep).run(recorder.desk))
    said = str(error.value)
    assert said == f"localhost:{server.imaps_port}: tls can't log in: [AUTHENTICATIONFAILED] Authentication failed."
    assert (waits, recorder.states) == ([150.0], [f"trouble {said}"])
    assert "hunter2" not in caplog.text + "".join(traceback.format_exception(error.value))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ca_file": ""}, "certificate is not trusted: unable to get local issuer certificate; ca_file names"),
        ({"host": "127.0.0.1"}, "certificate is not trusted: IP address mismatch"),
        ({"host": "nowhere.invalid"}, "no connection: "),
        ({"port": 1}, "no connection: Connection refused"),
        ({"ca_file": "/nowhere"}, "ca_file /nowhere can't be read"),
    ],
)
def test_a_server_that_is_not_the_one_meant_gets_no_password(
    changes: dict[str, Any], reason: str, server: MailServer, recorder: Recorder
) -> None:
    with pytest.raises(SourceError) as error:
        drain(a_mailbox(server, **changes), recorder)
    assert reason in str(error.value)


def test_starttls_comes_before_everything(server: MailServer, recorder: Recorder) -> None:
    server.deliver(a_mail())
    drain(a_mailbox(server, tls="starttls", port=server.imap_port), recorder)
    assert len(recorder.taken) == 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"tls": "starttls"}, "the server refuses STARTTLS"),
        ({}, 'set tls = "starttls", or the port for TLS'),
    ],
)
def test_without_tls_nothing_is_said(changes: dict[str, Any], reason: str, lab: Path, recorder: Recorder) -> None:
    with (
        mail_server(lab / "dovecot", ssl="no", more="disable_plaintext_auth = no") as server,
        pytest.raises(SourceError) as error,
    ):
        drain(a_mailbox(server, port=server.imap_port, **changes), recorder)
    assert reason in str(error.value)


# Access tokens


@pytest.fixture
def oauth(lab: Path) -> Iterator[OauthServer]:
    (lab / "oauth").mkdir()
    with oauth_server(make_authority(lab / "oauth").context("localhost")) as running:
        yield running


@pytest.fixture
def token_config(oauth: OauthServer, lab: Path) -> OauthConfig:
    (lab / "client-secret").write_text("client-secret\n")
    return OauthConfig(
        provider="microsoft",
        client_id="1111",
        token_url=oauth.token_url,
        client_secret_file=str(lab / "client-secret"),
        ca_file=str(lab / "oauth/ca.pem"),
    )


@pytest.mark.parametrize("mechanism", ["xoauth2", "oauthbearer"])
def test_an_access_token_opens_the_mailbox(
    mechanism: str, lab: Path, oauth: OauthServer, token_config: OauthConfig, recorder: Recorder
) -> None:
    """The mailbox is named apart from the user, as Exchange Online wants it (D-90)."""
    more = f"auth_mechanisms = plain {mechanism}"
    with mail_server(lab / "dovecot", introspection_url=oauth.introspection_url, more=more) as server:
        server.deliver(a_mail())
        mailbox = a_mailbox(server, user="app", mailbox="tls", oauth=token_config)
        drain(mailbox, recorder)
        drain(mailbox, recorder)
        assert f"tls is logged in by {mechanism.upper()}" in asyncio.run(mailbox.test())[0]
    assert (len(recorder.taken), oauth.issued) == (1, ["token-1"])


def test_a_token_that_is_refused_is_renewed_once(
    lab: Path, oauth: OauthServer, token_config: OauthConfig, recorder: Recorder
) -> None:
    with mail_server(lab / "dovecot", introspection_url=oauth.introspection_url) as server:
        mailbox = a_mailbox(server, oauth=token_config)
        drain(mailbox, recorder)
        oauth.good.clear()  # withdrawn before its time
        server.deliver(a_mail())
        drain(mailbox, recorder)
        assert (len(recorder.taken), oauth.issued) == (1, ["token-1", "token-2"])


@pytest.mark.parametrize("mechanism", ["xoauth2", "oauthbearer"])
def test_a_refused_token_is_one_line_without_it(
    mechanism: str, lab: Path, oauth: OauthServer, recorder: Recorder
) -> None:
    """With what the server says of it (RFC 7628 section 3.2.2). A command is asked twice, and not for ever."""
    more = f"auth_mechanisms = plain {mechanism}"
    with mail_server(lab / "dovecot", introspection_url=oauth.introspection_url, more=more) as server:
        command = f"echo x >>{lab}/asked; echo bad-token"
        with pytest.raises(LoginRefusedError) as error:
            drain(a_mailbox(server, token_command=command), recorder)
    assert "tls can't log in: [AUTHENTICATIONFAILED]" in str(error.value)
    assert '"status":' in str(error.value)
    assert "bad-token" not in "".join(traceback.format_exception(error.value))
    assert (lab / "asked").read_text() == "x\n" * 2


def test_a_token_server_that_says_no_is_told_from_the_mail_server(
    server: MailServer, oauth: OauthServer, token_config: OauthConfig, recorder: Recorder, lab: Path
) -> None:
    (lab / "client-secret").write_text("expired\n")
    with pytest.raises(SourceError) as error:
        drain(a_mailbox(server, oauth=token_config), recorder)
    port = oauth.token_url.split(":")[2].split("/")[0]
    assert str(error.value) == (f"localhost:{port}: no access token: HTTP 401: invalid_client: the secret is wrong")


def test_a_server_without_tokens_is_told_so(lab: Path, recorder: Recorder) -> None:
    with (
        mail_server(lab / "dovecot", more="auth_mechanisms = plain login") as server,
        pytest.raises(SourceError, match="takes no access token; it offers AUTH=PLAIN AUTH=LOGIN"),
    ):
        drain(a_mailbox(server, token_command="echo x"), recorder)  # noqa: S106 - a command


# `tlsrpt source test`


def test_a_test_says_what_is_there_and_changes_nothing(server: MailServer) -> None:
    server.deliver(*mails("report", "DMARC"))
    lines = asyncio.run(a_mailbox(server).test())
    assert lines == [
        f"localhost:{server.imaps_port}: TLSv1.3, tls is logged in by PLAIN; it offers IDLE, MOVE, UIDPLUS",
        "INBOX: 2 messages",
        "TLSRPT/Done: is made when it is needed",
        "TLSRPT/Failed: is made when it is needed",
    ]
    assert server.flags() == ["report 0", "DMARC 1"]
    assert server.flags("TLSRPT/Done") == ["no such folder"]


def test_a_folder_that_is_not_there_is_answered_by_those_that_are(server: MailServer) -> None:
    with pytest.raises(SourceError) as error:
        asyncio.run(a_mailbox(server, folder="Report\x1b[2J").test())
    assert r"the folder Report\x1b[2J can't be opened: " in str(error.value)
    assert str(error.value).endswith("; there are: INBOX")


def test_a_folder_that_may_only_be_read_is_told_at_once(lab: Path, recorder: Recorder) -> None:
    """Rather than with the first report that can't be moved."""
    more = "protocol imap {\n  mail_plugins = acl\n}\nplugin {\n  acl = vfile\n}\n"
    with mail_server(lab / "dovecot", more=more) as server:
        with server.person() as imap:
            imap.create("Reports")
            imap.append("Reports", "", "", a_mail())
        (server.mail / "tls/.Reports/dovecot-acl").write_text("owner lr\n")
        with pytest.raises(SourceError, match=r'Reports may only be read; give .*, or set after = "leave"'):
            drain(a_mailbox(server, folder="Reports"), recorder)
        drain(a_mailbox(server, folder="Reports", after="leave"), recorder)
        assert len(recorder.taken) == 1


# All together


def test_a_mailbox_set_up_as_the_handbook_says_is_drained(server: MailServer, lab: Path) -> None:
    """Its first configuration, with this server's name and port; read by the command, kept in a real store."""
    (lab / "imap.password").write_text("secret\n")
    written = (REPOSITORY / "docs/imap.md").read_text().split("```toml\n")[1].split("```")[0]
    config = lab / "tlsrpt.toml"
    config.write_text(
        f'[store]\nurl = "sqlite:///{lab}/tlsrpt.db"\n[dns]\nresolver = "127.0.0.1@9"\n'
        + written.replace("imap.example.com", "localhost")
        .replace("tls-reports@example.com", "tls")
        .replace("/etc/tlsrpt/", f"{lab}/")
        + f'port = {server.imaps_port}\nca_file = "{server.ca_file}"\n'
    )
    report, other = ((SAMPLES / name).read_bytes() for name in ("google-sts-success.eml", "dmarc-report.eml"))
    server.deliver(report, other, report.replace(b"H4sI", b"H4sX"))

    done = tlsrpt("receive", "--once", "--config", config)
    assert done.returncode == 0, done.stderr
    assert len(server.flags()) == 1
    assert len(server.flags("TLSRPT/Done")) == 1
    assert len(server.flags("TLSRPT/Failed")) == 1

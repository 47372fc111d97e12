"""What a mailbox does with servers that are odd, broken or hostile; good ones are in tests/lab/test_imap_dovecot.py."""

# ruff: noqa: S106 - these secrets open nothing

from __future__ import annotations

import asyncio
import ssl
import time
import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.httpsserver import Authority, make_authority
from tests.intake.imapserver import Answer, ImapServer, Script, imap_server
from tests.intake.recording import Recorder, a_mail
from tlsrpt.config import ImapSource, OauthConfig
from tlsrpt.core.errors import ConfigError, OverloadError, SourceError, TlsrptError
from tlsrpt.core.limits import Limits
from tlsrpt.intake.imap import Mailbox
from tlsrpt.intake.imap_login import LoginRefusedError
from tlsrpt.intake.imap_session import name_on_server
from tlsrpt.intake.way import Way

WAY = Way(name="imap", kind="imap")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def context(authority: Authority) -> ssl.SSLContext:
    return authority.context("localhost")


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def server(context: ssl.SSLContext, script: Script) -> Iterator[ImapServer]:
    with imap_server(context, script) as running:
        yield running


@pytest.fixture
def recorder() -> Recorder:
    return Recorder(WAY)


def a_mailbox(authority: Authority, port: int, *, limits: Limits | None = None, **changes: Any) -> Mailbox:
    fields: dict[str, Any] = {
        "host": "localhost",
        "user": "tls",
        "port": port,
        "ca_file": str(authority.folder / "ca.pem"),
        "password_command": "echo secret",
        "within_s": 10.0,
    }
    if "token_command" in changes:
        del fields["password_command"]
    return Mailbox(ImapSource(**(fields | changes)), WAY, limits or Limits())


def drain(mailbox: Mailbox, recorder: Recorder) -> None:
    asyncio.run(mailbox.drain(recorder.desk))


# What the configuration may say


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"password_command": ""}, "there is no way to log in; set one of password_file"),
        ({"token_command": "x", "password_env": "X"}, "password_env and token_command are given, and only one"),
        ({"mailbox": "shared@example.com"}, "a mailbox apart from the user is opened with an access token only"),
        ({"tls": "starttls", "port": 993}, "port 993 has TLS from the first byte; set port = 143"),
        ({"done_folder": ""}, "done_folder is empty"),
        (
            {"password_command": "", "oauth": OauthConfig(provider="microsoft", client_id="x")},
            "oauth: tenant is no directory id",
        ),
    ],
)
def test_what_can_not_work_is_said_before_anything_is_opened(
    changes: dict[str, Any], reason: str, authority: Authority
) -> None:
    with pytest.raises(ConfigError) as error:
        a_mailbox(authority, **({"port": 1} | changes))
    assert reason in str(error.value)


@pytest.mark.parametrize(
    ("name", "delimiter", "prefix", "others", "on_server"),
    [
        ("inbox", ".", "INBOX.", [], "INBOX"),
        ("TLSRPT/Done", "/", "", [], "TLSRPT/Done"),
        ("TLSRPT/Done", ".", "", [], "TLSRPT.Done"),
        ("TLSRPT/Done", ".", "INBOX.", [], "INBOX.TLSRPT.Done"),
        ("INBOX/TLSRPT", ".", "INBOX.", [], "INBOX.TLSRPT"),
        ("inbox.TLSRPT", ".", "INBOX.", [], "INBOX.TLSRPT"),
        ("INBOX.TLSRPT", ".", "INBOX.", [], "INBOX.TLSRPT"),
        ("Inboxes", ".", "INBOX.", [], "INBOX.Inboxes"),
        ("shared/tls/Done", ".", "INBOX.", ["shared."], "shared.tls.Done"),
        ("TLSRPT/Done", "", "", [], "TLSRPT/Done"),
    ],
)
def test_a_folders_name_is_said_as_the_server_says_it(
    name: str, delimiter: str, prefix: str, others: list[str], on_server: str
) -> None:
    assert name_on_server(name, delimiter=delimiter, prefix=prefix, others=others) == on_server
    assert name_on_server(on_server, delimiter=delimiter, prefix=prefix, others=others) == on_server


# Waiting


@asynccontextmanager
async def running(mailbox: Mailbox, recorder: Recorder) -> AsyncIterator[None]:
    task = asyncio.create_task(mailbox.run(recorder.desk))
    try:
        await recorder.until(lambda: recorder.status.state == "working")
        yield
        assert not task.done()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.mark.parametrize(
    "how",
    [
        pytest.param("behind", id="in one piece with the continuation"),
        pytest.param("before", id="before the continuation"),
        pytest.param("meanwhile", id="in answer to the search"),
    ],
)
def test_mail_that_comes_just_before_idle_is_not_waited_for(
    how: str, server: ImapServer, recorder: Recorder, authority: Authority
) -> None:
    """It is told once: who overlooks it there hears of it with the next message, or when IDLE is renewed."""
    script = server.script
    script.messages = {5: a_mail("DMARC")}

    def once(said: bytes | None) -> Answer:
        """Mail arrives with the first such command, and is told so."""

        def answer(command: str) -> bytes | None:
            if 6 in script.messages:
                script.after_continuation = b""
                return None
            if how == "meanwhile" and "UID 6:" not in command:
                return None
            script.messages[6] = a_mail()
            return said

        return answer

    if how == "behind":
        script.after_continuation = b"* 2 EXISTS\r\n"
        script.answers["IDLE"] = once(None)
    elif how == "before":
        script.answers["IDLE"] = once(b"* 2 EXISTS\r\n+ idling\r\n")
        script.answers["DONE"] = lambda command: b"idle1 OK done\r\n"
    else:
        script.answers["UID SEARCH"] = once(b"* SEARCH\r\n* 2 EXISTS\r\n{tag} OK done\r\n")

    async def main() -> None:
        async with running(a_mailbox(authority, server.port), recorder):
            await recorder.until(lambda: a_mail() in recorder.documents)

    asyncio.run(main())


def test_a_number_of_messages_that_was_known_is_no_news(
    server: ImapServer, recorder: Recorder, authority: Authority
) -> None:
    """Some servers tell it at each IDLE; looked at each time, the mailbox would be looked at without a pause."""
    server.script.messages = {5: a_mail("DMARC")}
    server.script.after_continuation = b"* OK still here\r\n* 1 EXISTS\r\n* 1 FETCH (FLAGS (\\Seen))\r\n"
    mailbox = a_mailbox(authority, server.port)

    async def main() -> None:
        async with running(mailbox, recorder):
            while "IDLE" not in server.commands:
                await asyncio.to_thread(server.heard.wait, 10)
            # One of two goes, and one comes: the number is the same, and this time it is news.
            server.script.messages = {6: a_mail()}
            server.push(b"* 1 EXPUNGE\r\n* 1 EXISTS\r\n")
            await recorder.until(lambda: a_mail() in recorder.documents)

    asyncio.run(main())
    assert server.commands.count("IDLE") <= 2


def test_a_server_that_refuses_idle_is_looked_at_now_and_then(
    server: ImapServer, recorder: Recorder, authority: Authority
) -> None:
    server.script.answers["IDLE"] = lambda command: b"idle1 NO not today\r\n"
    waits = list[float]()

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        server.script.messages[1] = a_mail()
        server.script.answers.pop("IDLE", None)

    async def main() -> None:
        mailbox = a_mailbox(authority, server.port)
        mailbox._sleep = sleep
        async with running(mailbox, recorder):
            await recorder.until(lambda: a_mail() in recorder.documents)

    asyncio.run(main())
    assert waits == [300.0]


def test_a_connection_that_dies_while_we_wait_is_noticed_at_once(
    server: ImapServer, recorder: Recorder, authority: Authority
) -> None:
    server.script.answers["IDLE"] = lambda command: b"+ idling\r\n* BYE autologout\x07\r\n"
    with pytest.raises(SourceError) as error:
        asyncio.run(a_mailbox(authority, server.port).run(recorder.desk))
    assert str(error.value) == (
        f"localhost:{server.port}: the connection is lost: the server says goodbye: autologout\\x07"
    )


def test_a_mailbox_whose_server_says_nothing_is_left_at_once(
    server: ImapServer, recorder: Recorder, authority: Authority
) -> None:
    """The service stops when it is told to, whatever it waits for."""
    server.script.answers["SELECT"] = lambda command: b""

    async def main() -> float:
        task = asyncio.create_task(a_mailbox(authority, server.port, within_s=600.0).run(recorder.desk))
        while not any(command.startswith("SELECT") for command in server.commands):
            await asyncio.to_thread(server.heard.wait, 10)
        began = time.monotonic()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        return time.monotonic() - began

    assert asyncio.run(main()) < 5


# Messages


def test_one_message_that_the_server_can_not_read_does_not_hold_up_the_others(
    server: ImapServer, recorder: Recorder, authority: Authority
) -> None:
    """Exchange answers NO to the whole command then. It is named, and tried again when we come back."""
    server.script.messages = {n: a_mail("report", n) for n in range(1, 6)}
    broken = {3}

    def refuse(command: str) -> bytes | None:
        uids = set(map(int, command.split()[2].split(",")))
        return b"{tag} NO could not be converted\r\n" if "BODY" in command and uids & broken else None

    server.script.answers["UID FETCH"] = refuse
    mailbox = a_mailbox(authority, server.port)
    drain(mailbox, recorder)
    assert recorder.documents == [a_mail("report", n) for n in (1, 2, 4, 5)]
    [(event, fields)] = recorder.told
    assert (event, fields["where"]) == ("message can't be fetched", "INBOX UID 3")
    assert str(fields["reason"]).endswith("fetch failed: could not be converted")
    broken.clear()
    drain(mailbox, recorder)
    assert len(recorder.documents) == 5


def test_a_message_without_text_is_passed_over(server: ImapServer, recorder: Recorder, authority: Authority) -> None:
    server.script.messages = {1: a_mail()}
    server.script.answers["UID FETCH"] = lambda command: (
        b"* 1 FETCH (UID 1 BODY[]<0> NIL)\r\n{tag} OK done\r\n" if "BODY" in command else None
    )
    drain(a_mailbox(authority, server.port), recorder)
    assert (recorder.documents, [event for event, _ in recorder.told]) == ([], ["message can't be fetched"])


def test_flags_that_others_change_meanwhile_are_no_messages(
    server: ImapServer, recorder: Recorder, authority: Authority
) -> None:
    server.script.messages = {1: a_mail(), 2: a_mail("report", 2)}

    def also(command: str) -> bytes | None:
        if "BODY" not in command:
            return b"* 1 FETCH (FLAGS (\\Seen))\r\n* 1 FETCH (UID 1 RFC822.SIZE 9)\r\n{tag} OK done\r\n"
        return None

    server.script.answers["UID FETCH"] = also
    drain(a_mailbox(authority, server.port), recorder)
    assert recorder.documents == [a_mail()]


def test_no_more_than_the_limit_is_asked_for_whatever_size_was_told(
    server: ImapServer, recorder: Recorder, authority: Authority
) -> None:
    """Exchange tells sizes that are too small. A message that is larger is taken as far as shows that it is too large."""
    server.script.messages = {1: a_mail(size=3000)}
    server.script.answers["UID FETCH"] = lambda command: (
        b"* 1 FETCH (UID 1 RFC822.SIZE 100)\r\n{tag} OK done\r\n" if "SIZE" in command else None
    )
    drain(a_mailbox(authority, server.port, limits=Limits(compressed_bytes=1000)), recorder)
    assert any("BODY.PEEK[]<0.1001>" in command for command in server.commands)


def test_messages_whose_size_nobody_tells_are_fetched_one_by_one_with_room_for_the_largest(
    server: ImapServer, recorder: Recorder, authority: Authority
) -> None:
    """A hundred at once, each of any size, would be more than the room that was taken for them: none."""
    server.script.messages = {n: a_mail("report", n) for n in range(1, 4)}
    server.script.answers["UID FETCH"] = lambda command: (
        b"* 1 FETCH (UID 1 RFC822.SIZE 0)\r\n* 2 FETCH (UID 2)\r\n* 3 FETCH (UID 3 RFC822.SIZE 0)\r\n{tag} OK done\r\n"
        if "SIZE" in command
        else None
    )
    room: list[int] = []
    recorder.before = lambda data: room.append(recorder.room.bytes)
    limits = Limits(compressed_bytes=4 * 1024 * 1024)
    drain(a_mailbox(authority, server.port, limits=limits), recorder)
    assert (len(recorder.documents), room) == (3, [limits.compressed_bytes] * 3)


def test_a_large_message_that_finds_no_room_does_not_hold_up_small_ones(
    server: ImapServer, recorder: Recorder, authority: Authority
) -> None:
    """Others fill the room for as long as they like. It is left, and fetched once there is room."""
    sizes = {1: 100, 2: 900_000, 3: 100}
    server.script.messages = {n: a_mail("report", n, size=size) for n, size in sizes.items()}
    recorder.room.most_bytes = 1_000_000
    mailbox = a_mailbox(authority, server.port)
    with recorder.room.place(500_000), pytest.raises(OverloadError):
        drain(mailbox, recorder)
    assert [len(one) for one in recorder.documents] == [100, 100]
    drain(mailbox, recorder)
    assert len(recorder.documents) == 3


def test_a_folder_full_of_one_senders_reports_does_not_hold_up_the_others(
    server: ImapServer, recorder: Recorder, authority: Authority
) -> None:
    """The sender is over its rate; its reports wait, and are taken in the end."""
    server.script.messages = {n: a_mail("too many" if n <= 150 else "report", n) for n in range(1, 161)}
    mailbox = a_mailbox(authority, server.port)
    with pytest.raises(OverloadError):
        drain(mailbox, recorder)
    assert len(recorder.documents) == 10
    server.script.messages |= {n: a_mail("report", n) for n in range(1, 151)}
    drain(mailbox, recorder)
    assert len(recorder.documents) == 160


def test_uids_that_do_not_last_are_no_place(server: ImapServer, recorder: Recorder, authority: Authority) -> None:
    """RFC 3501 section 2.3.1.1: without UIDVALIDITY all is looked at again in each session, and known."""
    server.script.uidvalidity = None
    server.script.messages = {1: a_mail()}
    mailbox = a_mailbox(authority, server.port, after="leave")
    drain(mailbox, recorder)
    drain(mailbox, recorder)
    assert (recorder.status.outcomes, recorder.places) == ({"new": 1, "known": 1}, {})


# Servers that mean us harm, or no IMAP


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        pytest.param(b"* 1 FETCH (UID 1 BODY[]<0> {4000000000}\r\n", "sends 4,000,000,000 bytes where", id="bomb"),
        pytest.param(b"* 1 FETCH (" + b"x" * 5_000_000, "a line of more than 4,194,304 bytes", id="endless line"),
        pytest.param(b"\xff\xfe\r\n", "unexpected response", id="no IMAP"),
        pytest.param(b"* 1 FETCH (UID 1 BODY[]<0> {5}\r\nab", "the server closed the connection", id="cut short"),
        pytest.param(b"* BYE \x1b]0;owned\x07\r\n", "\\x1b]0;owned\\x07", id="control characters"),
    ],
)
def test_what_a_server_sends_is_bounded_and_what_it_says_is_printable(
    said: bytes, reason: str, server: ImapServer, recorder: Recorder, authority: Authority
) -> None:
    server.script.messages = {1: a_mail()}
    server.script.answers["UID FETCH"] = lambda command: said if "BODY" in command else None
    server.script.hang_up_after = said
    with pytest.raises(SourceError) as error:
        drain(a_mailbox(authority, server.port, limits=Limits(compressed_bytes=1_000_000)), recorder)
    assert reason in str(error.value)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 500


IMAP_BITS = st.lists(
    st.one_of(
        st.sampled_from(
            [
                b"* ", b"{tag} OK done\r\n", b"{tag} NO [x] y\r\n", b"\r\n", b"+ \r\n", b"FETCH ", b"(", b")", b'"', b"{3}\r\n",
                b"1", b"4294967296", b"-1", b" ", b"UID ", b"SEARCH ", b"EXISTS", b"LIST ", b"NIL", b"\\", b"&-", b"&", b"OK [",
                b"UIDVALIDITY", b"]", b"BODY[]<0> ", b"RFC822.SIZE ", b"STATUS ", b"CAPABILITY ", b"[UIDVALIDITY x]", b"BYE ",
            ]
        ),
        st.binary(max_size=6),
    ),
    max_size=12,
)  # fmt: skip


@given(
    command=st.sampled_from(["CAPABILITY", "LIST", "SELECT", "UID SEARCH", "UID FETCH", "UID MOVE", "LOGOUT", ""]),
    bits=IMAP_BITS,
)
@settings(max_examples=60)
@example(command="UID MOVE", bits=[b"{tag} NO [x] y\r\n"])
@example(command="UID SEARCH", bits=[b"* SEARCH 1\r\n* SEARCH 2\r\n{tag} OK done\r\n"])
@example(command="SELECT", bits=[b"* x EXISTS\r\n* OK [UIDVALIDITY y] z\r\n{tag} OK done\r\n"])
@example(command="LIST", bits=[b"* LIST\r\n{tag} OK done\r\n"])
@example(command="UID FETCH", bits=[b"* 1 FETCH (UID 1 RFC822.SIZE (x))\r\n{tag} OK done\r\n"])
@example(command="UID FETCH", bits=[b"* 1 FETCH (UID x)\r\n{tag} OK done\r\n"])
@example(command="UID FETCH", bits=[b"* 1 FETCH ((\r\n{tag} OK done\r\n"])
def test_whatever_a_server_says_there_is_an_error_of_ours_or_none(
    command: str, bits: list[bytes], context: ssl.SSLContext, authority: Authority
) -> None:
    """Nothing else is raised, nothing hangs, and all of it can be shown."""
    script = Script(messages={1: a_mail()})
    if command:
        script.answers[command] = lambda _: b"".join(bits)
        script.hang_up_after = b"".join(bits)
    else:
        script.greeting = b"".join(bits) + b"\r\n"
        script.hang_up_after = script.greeting
    recorder = Recorder(WAY)
    with imap_server(context, script) as server:
        said = ""
        try:
            drain(a_mailbox(authority, server.port), recorder)
        except TlsrptError as error:
            said = str(error)
    assert said.isprintable()
    assert len(said) < 600


# STARTTLS: whoever sits on the line can write what is said in clear


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"behind_starttls": b"* CAPABILITY AUTH=PLAIN\r\n"}, "sent more after it agreed", id="injection"),
        pytest.param({"greeting": b"* PREAUTH welcome\r\n"}, "no greeting that allows STARTTLS", id="PREAUTH"),
        pytest.param({"greeting": b"* BYE full\r\n"}, "the server says goodbye: full", id="BYE"),
        pytest.param(
            {"answers": {"STARTTLS": lambda command: b"{tag} BAD unknown\r\n"}},
            "refuses STARTTLS: tls BAD unknown",
            id="stripped",
        ),
    ],
)
def test_nothing_is_said_in_clear_but_starttls(
    changes: dict[str, Any], reason: str, server: ImapServer, recorder: Recorder, authority: Authority
) -> None:
    server.script.tls = False
    for name, value in changes.items():
        setattr(server.script, name, value)
    with pytest.raises(SourceError) as error:
        drain(a_mailbox(authority, server.port, tls="starttls"), recorder)
    assert reason in str(error.value)
    assert server.commands in ([], ["STARTTLS"])
    assert server.logins == []


def test_what_was_said_in_clear_is_forgotten(server: ImapServer, recorder: Recorder, authority: Authority) -> None:
    """RFC 3501 section 6.2.1: capabilities of before count for nothing."""
    server.script.tls = False
    server.script.greeting = b"* OK [CAPABILITY IMAP4rev1 LOGINDISABLED] ready\r\n"
    drain(a_mailbox(authority, server.port, tls="starttls"), recorder)
    assert server.commands[:2] == ["STARTTLS", "CAPABILITY"]
    assert server.logins == [b"\0tls\0secret"]


# Logging in


def test_without_plain_the_password_goes_by_login(server: ImapServer, recorder: Recorder, authority: Authority) -> None:
    server.script.capabilities = "IMAP4rev1"
    drain(a_mailbox(authority, server.port, password_command="printf %s 'se\"cr\\et'"), recorder)
    assert r'LOGIN "tls" "se\"cr\\et"' in server.commands


@pytest.mark.parametrize(
    ("capabilities", "changes", "reason"),
    [
        ("IMAP4rev1", {"password_command": "echo pässwörd"}, "no AUTH=PLAIN, which a name or password beyond ASCII"),
        ("IMAP4rev1 LOGINDISABLED AUTH=SCRAM", {}, "the server takes no password; it offers AUTH=SCRAM"),
        ("IMAP4rev1 AUTH=PLAIN", {"token_command": "echo x"}, "takes no access token; it offers AUTH=PLAIN"),
        ("IMAP4rev1 AUTH=PLAIN", {"password_command": "exit 3"}, "password: the command failed with 3"),
    ],
)
def test_a_login_that_can_not_work_is_not_tried(
    capabilities: str,
    changes: dict[str, Any],
    reason: str,
    server: ImapServer,
    recorder: Recorder,
    authority: Authority,
) -> None:
    server.script.capabilities = capabilities
    with pytest.raises(SourceError) as error:
        drain(a_mailbox(authority, server.port, **changes), recorder)
    assert reason in str(error.value)
    assert str(error.value).startswith(f"localhost:{server.port}: ")
    assert server.logins == []


def test_letters_beyond_ascii_go_by_plain(server: ImapServer, recorder: Recorder, authority: Authority) -> None:
    """RFC 4616."""
    drain(a_mailbox(authority, server.port, user="tür", password_command="echo pässwörd"), recorder)
    assert server.logins == ["\0tür\0pässwörd".encode()]


def test_a_password_that_a_server_repeats_is_not_shown(
    server: ImapServer, recorder: Recorder, authority: Authority
) -> None:
    server.script.capabilities = "IMAP4rev1"
    server.script.answers["LOGIN"] = lambda command: b"{tag} NO " + command.encode() + b"\r\n"
    said = "echo hunter2"
    with pytest.raises(LoginRefusedError) as error:
        drain(a_mailbox(authority, server.port, password_command=said), recorder)
    assert "hunter2" in server.commands[1]
    assert "hunter2" not in "".join(traceback.format_exception(error.value))


def test_a_connection_that_is_lost_at_the_login_is_no_refusal(
    server: ImapServer, recorder: Recorder, authority: Authority
) -> None:
    """It is tried again soon; a refused password is not."""
    server.script.answers["AUTHENTICATE"] = lambda command: b"* BYE too busy\r\n"
    server.script.hang_up_after = b"* BYE too busy\r\n"
    with pytest.raises(SourceError, match="the connection is lost: too busy") as error:
        drain(a_mailbox(authority, server.port), recorder)
    assert not isinstance(error.value, LoginRefusedError)


def test_exchange_that_knows_the_token_and_not_the_mailbox_gets_advice(
    server: ImapServer, recorder: Recorder, authority: Authority
) -> None:
    """The commonest fault of a first set-up (D-90)."""
    server.script.answers["SELECT"] = lambda command: b"{tag} BAD User is authenticated but not connected.\r\n"
    with pytest.raises(SourceError) as error:
        drain(a_mailbox(authority, server.port, token_command="echo token", mailbox="shared@example.com"), recorder)
    assert "User is authenticated but not connected" in str(error.value)
    assert "Add-MailboxPermission" in str(error.value)
    assert server.logins == [b"user=shared@example.com\x01auth=Bearer token\x01\x01"]


def test_a_server_that_says_nothing_is_given_up(server: ImapServer, recorder: Recorder, authority: Authority) -> None:
    server.script.answers["CAPABILITY"] = lambda command: b""
    with pytest.raises(SourceError, match=r"no answer within 0\.2 s"):
        drain(a_mailbox(authority, server.port, within_s=0.2), recorder)

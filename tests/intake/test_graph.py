"""A mailbox by Graph, against a server that behaves as its documentation says."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from tests.httpsserver import Authority, make_authority
from tests.intake.graphserver import AT_ONCE, BEGAN, MAILBOX, Graph, graph_server
from tests.intake.recording import Recorder, a_mail
from tlsrpt.config import GraphSource, OauthConfig
from tlsrpt.core.errors import ConfigError, OverloadError, SourceError, StoreError
from tlsrpt.core.limits import Limits
from tlsrpt.intake import graph as graph_module
from tlsrpt.intake.graph import FULL_S, OVERLAP_S, GraphMailbox
from tlsrpt.intake.graph_client import LONGEST_WAIT_S
from tlsrpt.intake.polling import STORE_AGAIN_S
from tlsrpt.intake.way import Way

WAY = Way(name="graph", kind="graph")


class Time:
    """Seconds that pass when somebody sleeps, and not otherwise."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("ca"))


class Service:
    """Graph, and sources that read from it."""

    def __init__(self, graph: Graph, origin: str, authority: Authority, folder: Path) -> None:
        self.graph, self.origin, self.authority, self.time = graph, origin, authority, Time()
        self.secret = folder / "secret"
        self.secret.write_text("s3cret\n")

    def source(self, *, limits: Limits | None = None, **config: Any) -> GraphMailbox:
        ca = str(self.authority.folder / "ca.pem")
        oauth = OauthConfig(
            provider="microsoft",
            client_id="app",
            client_secret_file=str(self.secret),
            token_url=f"{self.origin}/tenant/oauth2/v2.0/token",
            ca_file=ca,
        )
        given = {"mailbox": MAILBOX, "oauth": oauth, "endpoint": f"{self.origin}/v1.0", "ca_file": ca, "every_s": 0.01}
        return GraphMailbox(
            GraphSource(**{**given, **config}), WAY, limits or Limits(), sleep=self.time.sleep, clock=self.time
        )

    def drain(self, source: GraphMailbox | None = None, recorder: Recorder | None = None, **config: Any) -> Recorder:
        recorder = recorder or Recorder(WAY)
        asyncio.run((source or self.source(**config)).drain(recorder.desk))
        return recorder

    def told(self, **config: Any) -> str:
        with pytest.raises(SourceError) as raised:
            self.drain(**config)
        assert str(raised.value).isprintable()
        return str(raised.value)


@pytest.fixture
def service(authority: Authority, tmp_path: Path) -> Iterator[Service]:
    with graph_server(authority) as (graph, origin):
        yield Service(graph, origin, authority, tmp_path)


AFTER = [
    pytest.param("move", {"TLSRPT Done": [a_mail()]}, False, id="move"),
    pytest.param("flag", {"Posteingang": [a_mail()]}, True, id="flag"),
    pytest.param("delete", {}, False, id="delete"),
    pytest.param("leave", {"Posteingang": [a_mail()]}, False, id="leave"),
]


@pytest.mark.parametrize(("after", "there", "read"), AFTER)
def test_what_is_kept_is_acknowledged_as_configured(
    service: Service, after: str, there: dict[str, list[bytes]], read: bool
) -> None:
    """And not before: while it is being committed, nothing in the mailbox is changed."""
    service.graph.deliver(a_mail())
    recorder = Recorder(WAY)
    changes = []
    recorder.before = lambda data: changes.append(service.graph.asked("^(POST|PATCH|DELETE) /v1.0"))
    service.drain(recorder=recorder, after=after)
    assert recorder.taken == [(a_mail(), "Inbox <0@sender.example>")]
    assert changes == [0]
    assert service.graph.where() == there
    assert any(mail.is_read for mail in service.graph.mails) == read


@pytest.mark.parametrize(
    ("word", "outcome", "after", "folder"),
    [
        ("broken", "quarantined", "move", "TLSRPT Failed"),
        ("broken", "quarantined", "flag", "Posteingang"),
        ("DMARC", "other", "move", "Posteingang"),
        ("forged", "refused", "move", "Posteingang"),
    ],
)
def test_what_becomes_of_a_message_that_is_no_good_report(
    service: Service, word: str, outcome: str, after: str, folder: str
) -> None:
    service.graph.deliver(a_mail(word))
    source = service.source(after=after)
    recorder = service.drain(source)
    service.drain(source, recorder)
    assert service.graph.where() == {folder: [a_mail(word)]}
    assert recorder.status.outcomes == {outcome: 1}
    [mail] = service.graph.mails
    assert mail.flag == ("flagged" if after == "flag" else "notFlagged")


def test_what_is_too_large_is_named_once_and_no_more_of_it_is_read(service: Service) -> None:
    service.graph.deliver(a_mail(size=3_000_000), a_mail(size=1000))
    source = service.source(limits=Limits(compressed_bytes=1000))
    recorder = service.drain(source)
    service.drain(source, recorder)
    assert recorder.status.outcomes == {"too-large": 1, "new": 1}
    [(event, fields)] = recorder.told
    assert (event, fields["where"]) == ("left alone for its size", "Inbox <0@sender.example>")
    assert set(service.graph.where()) == {"Posteingang", "TLSRPT Done"}
    assert recorder.room.bytes == 0


@pytest.mark.parametrize(("word", "error"), [("no store", StoreError), ("too many", OverloadError)])
def test_what_cannot_be_taken_now_waits_and_holds_nothing_up(
    service: Service, word: str, error: type[Exception]
) -> None:
    service.graph.deliver(a_mail(word), a_mail())
    source = service.source()
    with pytest.raises(error):
        service.drain(source)
    assert service.graph.where() == {"Posteingang": [a_mail(word)], "TLSRPT Done": [a_mail()]}
    service.graph.mails[0].data = a_mail("fine")
    service.time.now += STORE_AGAIN_S + 1
    service.drain(source)
    assert set(service.graph.where()) == {"TLSRPT Done"}


def test_a_folder_of_many_pages_is_emptied_though_pages_are_counted_by_position(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is moved while a list is read; at most four requests are under way, as Graph wants it."""
    monkeypatch.setattr(graph_module, "PAGE", 7)
    monkeypatch.setattr(graph_module, "MOST_A_LOOK", 20)
    mails = [a_mail("DMARC" if n % 3 == 0 else "report", n) for n in range(60)]
    service.graph.deliver(*mails)
    service.graph.crowd = threading.Barrier(AT_ONCE)
    recorder = service.drain()
    assert recorder.status.outcomes == {"new": 40, "other": 20}
    assert sorted(service.graph.where()["TLSRPT Done"]) == sorted(mail for mail in mails if b"DMARC" not in mail)
    assert service.graph.most_at_once == AT_ONCE
    assert service.time.slept == []
    assert service.graph.issued == 1


def test_left_messages_are_not_fetched_again_after_a_restart(service: Service) -> None:
    """What arrives late, with an older date, is found within a day; what is at the same instant, by its id."""
    instant = BEGAN + timedelta(days=2)
    service.graph.deliver(a_mail(n=1), a_mail("DMARC"), received=instant)
    recorder = service.drain(after="leave")
    service.graph.deliver(a_mail(n=2), received=instant)
    service.graph.deliver(a_mail(n=3), received=instant - timedelta(seconds=OVERLAP_S - 1))
    service.graph.deliver(a_mail(n=4), received=instant - timedelta(seconds=OVERLAP_S + 1))
    service.drain(recorder=recorder, after="leave")
    service.drain(recorder=recorder, after="leave")
    assert len(recorder.taken) == 4
    assert {a_mail(n=2), a_mail(n=3)} <= set(recorder.documents)
    assert service.graph.asked(r"\$value") == 4
    assert service.graph.asked("^(POST|PATCH|DELETE) /v1.0") == 0


def test_a_message_moved_into_the_folder_by_hand_is_found_whatever_its_date(service: Service) -> None:
    """With move and delete the whole folder is listed now and then; between, only what is new."""
    service.graph.deliver(a_mail("DMARC"), received=BEGAN + timedelta(days=100))
    source = service.source()
    recorder = service.drain(source)
    service.graph.deliver(a_mail("old"), received=BEGAN)
    service.drain(source, recorder)
    assert len(recorder.taken) == 1
    assert service.graph.asked(r"\$filter=receivedDateTime ge 2026-06-08T00:00:00Z") == 1
    service.time.now += FULL_S
    service.drain(source, recorder)
    assert len(recorder.taken) == 2


@pytest.mark.parametrize(
    ("folder", "made", "found"),
    [
        ("INBOX", {}, True),
        ("Inbox/TLS's", {"F7": ("TLS's", "F0")}, True),
        ("reports / tls", {"F7": ("Reports", "root"), "F8": ("TLS", "F7")}, True),
        ("Posteingang", {}, True),
        ("Deleted Items", {}, True),
        ("TLS", {"F7": ("TLS", "F0")}, False),
        ("Inbox/none", {}, False),
    ],
)
def test_the_folder_is_found_by_its_path(
    service: Service, folder: str, made: dict[str, tuple[str, str]], found: bool
) -> None:
    """The inbox is the inbox in every language; other folders are called as the mailbox shows them."""
    service.graph.folders.update(made)
    for one in service.graph.folders:
        service.graph.deliver(one.encode(), folder=one)
    if not found:
        assert f'{MAILBOX}: there is no folder "{folder}"' in service.told(folder=folder)
        return
    wanted = list(made)[-1] if made else "F1" if folder == "Deleted Items" else "F0"
    assert service.drain(folder=folder, after="leave").documents == [wanted.encode()]


def test_folders_to_move_to_are_made_once_level_by_level(service: Service) -> None:
    """Also when somebody else makes one at the same moment."""
    service.graph.deliver(*(a_mail(n=n) for n in range(8)), a_mail("broken"))
    service.graph.folders["F9"] = ("tlsrpt", "root")
    quicker = service.graph.refuse("POST", "mailFolders/F9/childFolders", 409, "ErrorFolderExists")
    quicker.then = lambda: service.graph.folders.update(F10=("done", "F9"))
    service.drain(done_folder="TLSRPT/Done", failed_folder="TLSRPT/Failed")
    assert {folder: len(mails) for folder, mails in service.graph.where().items()} == {
        "tlsrpt/done": 8,
        "tlsrpt/Failed": 1,
    }
    assert service.graph.asked("^POST .*childFolders") == 2


def test_a_test_counts_and_changes_nothing(service: Service) -> None:
    service.graph.deliver(a_mail(), a_mail("DMARC"))
    service.graph.mails[0].is_read = True
    lines = asyncio.run(service.source().test())
    assert lines == [
        "tls@example.com: 2 messages in Posteingang, 1 unread",
        "TLSRPT Done: will be made",
        "TLSRPT Failed: will be made",
    ]
    assert service.graph.asked("^(POST|PATCH|DELETE) /v1.0") == 0


def test_what_arrives_while_watching_is_taken(service: Service) -> None:
    recorder = Recorder(WAY)
    source = service.source()

    async def watch() -> None:
        task = asyncio.create_task(source.run(recorder.desk))
        await recorder.until(lambda: recorder.status.state == "working")
        for n in range(3):
            service.graph.deliver(a_mail(n=n))
            await recorder.until(lambda n=n: len(recorder.taken) == n + 1)  # type: ignore[misc]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(watch())
    assert set(service.graph.where()) == {"TLSRPT Done"}
    assert recorder.states == ["working"]


# --- What goes wrong -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "headers", "slept"),
    [
        (429, {"Retry_After": "17"}, [17.0]),
        (503, {"Retry_After": "5"}, [5.0]),
        (429, {"Retry_After": "soon"}, [2.0]),
        (429, {}, [2.0]),
        (504, {}, [2.0]),
    ],
)
def test_graph_is_waited_for_as_it_asks(
    service: Service, status: int, headers: dict[str, str], slept: list[float]
) -> None:
    service.graph.deliver(a_mail())
    service.graph.refuse("POST", "/move", status, "ApplicationThrottled", **headers)
    service.drain()
    assert set(service.graph.where()) == {"TLSRPT Done"}
    assert service.time.slept == slept


def test_graph_may_name_the_time_to_come_again(service: Service) -> None:
    service.graph.deliver(a_mail())
    when = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    service.graph.refuse("POST", "/move", 429, "ApplicationThrottled", Retry_After=when)
    service.drain()
    [slept] = service.time.slept
    assert 30 < slept <= 61


def test_a_throttled_request_makes_all_wait(service: Service) -> None:
    """Requests made before that time would count against us, and be refused too."""
    service.graph.deliver(*(a_mail(n=n) for n in range(20)))
    service.graph.refuse("GET", r"\$value", 429, "ApplicationThrottled", Retry_After="30")
    service.drain()
    assert set(service.graph.where()) == {"TLSRPT Done"}
    assert sum(service.time.slept) < 60


def test_a_graph_that_never_answers_well_is_trouble(service: Service) -> None:
    service.graph.deliver(a_mail())
    service.graph.refuse("GET", "/messages", 503, "ServiceUnavailable", times=99)
    assert service.told() == f"{MAILBOX}: HTTP 503: ServiceUnavailable: ServiceUnavailable happened."
    service.graph.refusals.clear()
    service.graph.refuse("GET", "/messages", 429, "TooManyRequests", Retry_After=str(int(LONGEST_WAIT_S) + 1))
    assert "asks to wait 901 s: HTTP 429: TooManyRequests" in service.told()


def test_a_token_that_is_refused_is_asked_for_anew_once(service: Service) -> None:
    service.graph.deliver(a_mail())
    source = service.source()
    service.drain(source)
    service.graph.tokens.clear()
    service.graph.deliver(a_mail("more"))
    service.drain(source)
    assert service.graph.issued == 2
    assert len(service.graph.where()["TLSRPT Done"]) == 2

    service.graph.refuse("GET", "", 401, "InvalidAuthenticationToken", times=99)
    assert "the access token is refused: HTTP 401: InvalidAuthenticationToken" in service.told()
    assert service.graph.issued == 4


@pytest.mark.parametrize(
    ("may", "after", "permission"),
    [(set(), "leave", "Mail.Read,"), ({"GET"}, "move", "Mail.ReadWrite,"), ({"GET"}, "flag", "Mail.ReadWrite,")],
)
def test_a_missing_permission_is_named(service: Service, may: set[str], after: str, permission: str) -> None:
    service.graph.deliver(a_mail())
    service.graph.may = may
    line = service.told(after=after)
    assert line.startswith(f"{MAILBOX}: access is refused (HTTP 403: ErrorAccessDenied: Access is denied.")
    assert f"the application permission {permission}" in line


def test_other_refusals_are_said_in_one_line(service: Service) -> None:
    assert service.told(mailbox="nobody@example.com").startswith("nobody@example.com: there is no such mailbox")
    service.graph.refuse("GET", "", 404, "MailboxNotEnabledForRESTAPI")
    assert "is no mailbox that Graph can use" in service.told()
    service.graph.refuse("GET", "", 400, "Odd\x1b[31m")
    assert service.told() == f"{MAILBOX}: HTTP 400: Odd\\x1b[31m: Odd\\x1b[31m happened."
    assert "Graph can't be reached:" in service.told(endpoint="https://localhost:1/v1.0")
    assert "certificate verify failed" in service.told(ca_file="")


def test_a_next_page_elsewhere_gets_no_token(service: Service) -> None:
    service.graph.deliver(*(a_mail(n=n) for n in range(3)))
    service.graph.base = "https://elsewhere.example/v1.0"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(graph_module, "PAGE", 2)
        assert "its next page is elsewhere: https://elsewhere.example/v1.0/users" in service.told()


def test_a_message_that_graph_cannot_make_a_mail_of_is_left_alone(service: Service) -> None:
    """Such as S/MIME: the same answer each time, named once, tried once while the service runs."""
    service.graph.deliver(a_mail(n=1), a_mail(n=2), a_mail(n=3))
    service.graph.refuse("GET", r"\+1/==/\$value", 500, "ErrorMimeContentConversionFailed", times=99)
    source = service.source()
    recorder = service.drain(source)
    service.drain(source, recorder)
    assert recorder.status.outcomes == {"new": 2, "other": 1}
    assert [event for event, _ in recorder.told] == ["no mail"]
    assert service.time.slept == []


def test_a_message_that_graph_fails_on_holds_nothing_up(service: Service) -> None:
    service.graph.deliver(*(a_mail(n=n) for n in range(20)))
    service.graph.refuse("GET", r"\+3/==/\$value", 500, "ErrorInternalServerError", times=99)
    recorder = Recorder(WAY)
    with pytest.raises(SourceError, match=r"<3@sender\.example>: a message can't be had: HTTP 500"):
        service.drain(recorder=recorder)
    assert len(recorder.taken) == 19
    assert [event for event, _ in recorder.told] == ["message can't be fetched"]

    service.graph.refuse("GET", r"\$value", 502, "BadGateway", times=999)
    service.graph.deliver(*(a_mail(n=n) for n in range(100)))
    assert "a message can't be had: HTTP 502" in service.told()
    assert service.graph.asked(r"\$value") < 90


@pytest.mark.parametrize(("method", "path"), [("GET", r"\$value"), ("POST", "/move")])
def test_a_message_that_is_gone_is_no_error(service: Service, method: str, path: str) -> None:
    service.graph.deliver(a_mail(n=1), a_mail(n=2))
    service.graph.refuse(method, path, 404, "ErrorItemNotFound")
    service.drain()
    assert len(service.graph.where()["TLSRPT Done"]) == 1


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"endpoint": "http://graph.microsoft.com/v1.0"}, "is no https:// address"),
        ({"endpoint": "https:///v1.0"}, "is no https:// address"),
        ({"folder": "Inbox//TLS"}, 'folder "Inbox//TLS" is no folder'),
        ({"done_folder": ""}, 'done_folder "" is no folder'),
        ({"done_folder": "inbox"}, "is the folder that reports arrive in"),
        ({"oauth": OauthConfig(provider="google", client_id="x", key_file="/k")}, "tokens of Microsoft's"),
        ({"oauth": OauthConfig(provider="microsoft", client_id="x")}, "tenant is no directory id"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(service: Service, config: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=f"source graph: .*{why}"):
        service.source(**config)

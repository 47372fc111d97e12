"""Reports posted by HTTPS: what is answered, and what a listener withstands. Every client here is a real one."""

from __future__ import annotations

import asyncio
import fcntl
import http.client
import json
import select
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import termios
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.httpsserver import make_authority
from tests.intake.httpslistener import (
    GZIP,
    JSON,
    PATIENCE_S,
    WAY,
    At,
    Recorder,
    a_desk,
    a_post,
    free_port,
    listening_at,
    responses,
    until_closed,
)
from tlsrpt.config import HttpsSource, ReceiveConfig
from tlsrpt.core.errors import ConfigError, OverloadError, SourceError, StoreBusyError
from tlsrpt.core.limits import DEFAULT_LIMITS, Limits
from tlsrpt.intake.http_connection import AHEAD, HEAD_BYTES, HEADERS
from tlsrpt.intake.http_floor import SPARE
from tlsrpt.intake.https import HttpsListener
from tlsrpt.intake.way import Outcome, Taken

CURL = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
REPORTS = Path(__file__).parents[1] / "data/reports"
SMALL = Limits(compressed_bytes=100_000)


# --- The answers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "reason", "status", "text"),
    [
        pytest.param("new", "", 201, "kept", id="new"),
        pytest.param("known", "", 200, "known already", id="known"),
        pytest.param("conflict", "other counts", 201, "kept; other counts", id="conflict"),
        pytest.param("quarantined", "no JSON", 400, "set aside for a person to look at: no JSON", id="quarantined"),
        pytest.param("unkept", "no JSON", 400, "can't be read, and not kept: no JSON", id="quarantine full"),
        pytest.param("other", "a DMARC report", 400, "no TLS report: a DMARC report", id="other"),
        pytest.param("too-large", "9 bytes", 413, "too large: 9 bytes", id="too large"),
        pytest.param("refused", "not proven", 403, "refused: not proven", id="refused"),
    ],
)
def test_each_outcome_has_its_answer_in_words_and_as_json(
    outcome: Outcome, reason: str, status: int, text: str
) -> None:
    """R5.4-02: 2xx when it is kept, and only then."""
    with listening_at() as at:
        at.seen.answer = Taken(outcome=outcome, reason=reason)
        plain = at.post()
        assert (plain.status, plain.text) == (status, text + "\n")
        assert plain.headers["content-type"] == "text/plain; charset=utf-8"
        as_json = at.post(GZIP, "Accept: text/html, application/json;q=0.9")
        assert as_json.status == status
        assert as_json.headers["content-type"] == "application/json"
        told = json.loads(as_json.body)
        assert told["outcome"] == outcome
        assert told["reason"] == reason
        for answer in plain, as_json:
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert not answer.headers.keys() & {"server", "date", "set-cookie"}


def test_a_store_that_can_not_write_is_503_without_saying_why_to_strangers() -> None:
    with listening_at() as at:
        at.seen.answer = StoreBusyError("disk full", where="/var/lib/tlsrpt/tlsrpt.db")
        answer = at.post()
        assert answer.status == 503
        assert int(answer.headers["retry-after"]) > 0
        assert "/var" not in answer.text
        at.seen.answer = Taken(outcome="new")
        assert at.post().status == 201


def test_overload_is_429_with_the_time_to_come_again() -> None:
    with listening_at() as at:
        at.seen.answer = OverloadError("more than 5 a minute from one submitter", retry_after_s=17)
        answer = at.post()
        assert (answer.status, answer.headers["retry-after"]) == (429, "17")
        assert answer.text == "come again in 17 s: more than 5 a minute from one submitter\n"
        assert at.status.turned_away == 0, "`take` counts its own"


def test_a_reason_from_outside_is_bounded_and_printable() -> None:
    with listening_at() as at:
        at.seen.answer = Taken(outcome="other", reason="\x1b[31m\r\nSet-Cookie: x\ud800\u202e" + "x" * 100_000)
        answer = at.post()
        assert answer.status == 400
        assert len(answer.text) < 600
        assert answer.text.endswith("\n")
        assert answer.text[:-1].isprintable()
        assert "set-cookie" not in answer.headers


def test_a_defect_is_500_is_told_in_the_log_and_ends_nothing_else() -> None:
    with listening_at() as at:
        at.seen.answer = ZeroDivisionError("ours")
        assert at.post().status == 500
        ((level, event, fields),) = at.seen.events
        assert (level, fields["source"]) == ("error", "https")
        assert event.startswith("a defect in tlsrpt")
        assert isinstance(fields["exc_info"], tuple)
        at.seen.answer = Taken(outcome="new")
        assert at.post().status == 201


def test_what_is_posted_is_taken_byte_for_byte_with_the_clients_address() -> None:
    body = bytes(range(256)) * 4_000
    with listening_at() as at:
        assert at.post(body).status == 201
        ((data, where, noted, claims, file_name),) = at.seen.documents
        assert data == body
        assert (where, noted, claims, file_name) == ("127.0.0.1", (), True, "")


def test_an_empty_body_is_handed_on_like_any_other() -> None:
    """With Content-Length 0, and without any length, which means the same (RFC 9112 section 6.3)."""
    with listening_at() as at:
        at.seen.answer = Taken(outcome="other", reason="nothing in it")
        assert at.post(b"").status == 400
        (answer,) = at.ask(b"POST /v1/tlsrpt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert (answer.status, answer.text) == (400, "no TLS report: nothing in it\n")
        assert at.seen.bodies == [b"", b""]


@pytest.mark.parametrize(
    ("headers", "body", "codes", "claims"),
    [
        pytest.param(["Content-Type: application/tlsrpt+gzip"], GZIP, [], True, id="gzip"),
        pytest.param(["Content-Type: application/tlsrpt+json"], JSON, [], True, id="JSON"),
        pytest.param(
            ["content-type:application/TLSRPT+json ; charset=utf-8"], JSON, [], True, id="in another spelling"
        ),
        pytest.param(["Content-Type: application/tlsrpt+json"], b"\n " + JSON, [], True, id="JSON after white space"),
        pytest.param(["Content-Type: application/json"], JSON, ["media-type-request"], False, id="wrong type"),
        pytest.param(["Content-Type: application/tlsrpt"], JSON, ["media-type-request"], True, id="wrong, yet says it"),
        pytest.param(["Content-Type: "], JSON, ["media-type-request"], False, id="empty type"),
        pytest.param(["Content-Type: \xff\x80"], JSON, ["media-type-request"], False, id="nonsense"),
        pytest.param(
            ["Content-Type: application/x-www-form-urlencoded"], GZIP, ["media-type-request"], False, id="curl -d"
        ),
        pytest.param(
            ["Content-Type: application/tlsrpt+gzip"], JSON, ["compression-request"], True, id="JSON labelled gzip"
        ),
        pytest.param(
            ["Content-Type: application/tlsrpt+json"], GZIP, ["compression-request"], True, id="gzip labelled JSON"
        ),
        pytest.param(
            ["Content-Type: application/tlsrpt+json", "Content-Encoding: gzip"],
            GZIP,
            ["encoding-content"],
            True,
            id="gzip as Content-Encoding",
        ),
        pytest.param(
            ["Content-Type: application/tlsrpt+gzip", "Content-Encoding: br"],
            GZIP,
            ["encoding-content"],
            True,
            id="a Content-Encoding that is not true",
        ),
        pytest.param(
            ["Content-Type: application/tlsrpt+gzip", "Content-Encoding: identity"], GZIP, [], True, id="identity"
        ),
    ],
)
def test_labels_are_compared_with_the_body_and_never_decide(
    headers: list[str], body: bytes, codes: list[str], claims: bool
) -> None:
    """A-22, F-08, F-10: the body's own bytes decide; departures are noted."""
    with listening_at() as at:
        assert at.post(body, *headers).status == 201
        (document,) = at.seen.documents
        assert [finding.code for finding in document.noted] == codes
        assert document.claims_report is claims
        assert document.data == body
        for finding in document.noted:
            assert (finding.where, finding.message.isprintable()) == ("request", True)


def test_a_text_without_any_type_does_not_claim_to_be_a_report() -> None:
    """It went to quarantine, as if its label had said so: whoever posts anything could fill that."""
    with listening_at() as at:
        request = b"POST /v1/tlsrpt HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
        at.ask(request)
        (document,) = at.seen.documents
        assert (document.data, document.claims_report) == (b"hello", False)


def test_no_type_at_all_is_noted() -> None:
    with listening_at() as at:
        (answer,) = at.ask(b"POST /v1/tlsrpt HTTP/1.0\r\nContent-Length: 4\r\n\r\n{  }")
        assert answer.status == 201
        ((_, _, (finding,), claims, _),) = at.seen.documents
        assert (finding.code, claims) == ("media-type-request", False)
        assert "has no media type" in finding.message


def test_a_form_is_told_how_to_send_a_report() -> None:
    """`curl -F` is what people try first."""
    with listening_at() as at:
        answer = at.post(b"--x\r\n...", "Content-Type: Multipart/Form-Data; boundary=x")
        assert answer.status == 400
        assert "--data-binary @FILE" in answer.text
        assert at.seen.documents == []
        assert at.status.outcomes == {"other": 1}


# --- Other paths, other methods -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/tlsrpt", 201),
        ("/v1/tlsrpt/", 201),
        ("/v1/tlsrpt?token=x", 201),
        ("/v1/%74lsrpt", 201),
        ("http://reports.example/v1/tlsrpt", 201),
        ("/", 404),
        ("/v1", 404),
        ("/v1/tlsrpt2", 404),
        ("/v1/tlsrpt/x", 404),
        ("/V1/TLSRPT", 404),
        ("/x/../v1/tlsrpt", 404),
        ("/healthz", 405),
        ("/v1/tlsrpt%00", 404),
        ("/v1/%ff%fe", 404),
        ("/v1/tlsrpt#x", 201),
    ],
)
def test_reports_are_taken_at_one_path_only(path: str, status: int) -> None:
    with listening_at() as at:
        assert at.post(path=path).status == status
        assert len(at.seen.documents) == (status == 201)


@pytest.mark.parametrize("path", ["/", "/reports", "/reports/"])
def test_the_path_is_the_configured_one(path: str) -> None:
    with listening_at(path=path) as at:
        assert at.post(path=path).status == 201
        assert at.post(path="/v1/tlsrpt").status == 404


def test_who_looks_there_is_told_what_it_is_for() -> None:
    """`tlsrpt record check` asks with HEAD, people with a browser."""
    with listening_at() as at:
        connection = http.client.HTTPConnection(at.host, at.port, timeout=PATIENCE_S)
        for method in ("GET", "HEAD", "PUT", "DELETE", "PATCH"):
            connection.request(method, "/v1/tlsrpt", body=b"x" if method == "PUT" else None)
            answer = connection.getresponse()
            text = answer.read().decode()
            assert (answer.status, answer.headers["Allow"]) == (405, "POST, OPTIONS")
            assert text == "" if method == "HEAD" else "RFC 8460" in text
        for path in ("/v1/tlsrpt", "*"):
            connection.request("OPTIONS", path)
            answer = connection.getresponse()
            assert (answer.status, answer.headers["Allow"], answer.read()) == (204, "POST, OPTIONS", b"")
        connection.request("POST", "/v1/tlsrpt", body=JSON)
        assert connection.getresponse().status == 201, "all on one connection"
        connection.close()


def test_health_and_readiness() -> None:
    ready = True
    with listening_at(ready=lambda: ready) as at:
        get = "GET {} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        for now, status in ((True, 200), (False, 503)):
            ready = now
            (health,) = at.ask(get.format("/healthz").encode())
            (readiness,) = at.ask(get.format("/readyz").encode())
            assert (health.status, health.text) == (200, "ok\n")
            assert readiness.status == status
        (answer,) = at.ask(b"DELETE /readyz HTTP/1.0\r\n\r\n")
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


# --- Sizes --------------------------------------------------------------------------------------------------------


def test_too_large_a_length_is_refused_before_the_body_comes() -> None:
    with listening_at(limits=SMALL) as at, at.connect() as client:
        client.sendall(b"POST /v1/tlsrpt HTTP/1.1\r\nHost: a\r\nContent-Length: 100001\r\n\r\n")
        client.shutdown(socket.SHUT_WR)
        (answer,) = responses(until_closed(client))
        assert (answer.status, answer.headers["connection"]) == (413, "close")
        assert answer.text == "more than 100,000 bytes\n"
        assert at.status.outcomes == {"too-large": 1}
        assert at.seen.events == [
            (
                "warning",
                "document too large",
                {"source": "https", "where": "127.0.0.1", "size_bytes": 100_001, "reason": "more than 100,000 bytes"},
            )
        ]


def test_a_client_that_sends_on_and_reads_late_still_gets_its_413() -> None:
    """Closed with bytes unread, the connection would be reset, and many clients would not see the answer."""
    with listening_at(limits=SMALL) as at:
        connection = http.client.HTTPConnection(at.host, at.port, timeout=PATIENCE_S)
        connection.request("POST", "/v1/tlsrpt", body=b"x" * 5_000_000)
        assert connection.getresponse().status == 413
        connection.close()


def test_a_body_without_a_length_is_cut_where_it_gets_too_large() -> None:
    with listening_at(limits=SMALL) as at:
        pieces = (b"x" * 10_000 for _ in range(50))
        answer = httpx2.post(f"http://{at.host}:{at.port}/v1/tlsrpt", content=pieces, timeout=PATIENCE_S)
        assert answer.status_code == 413
        assert at.seen.documents == []


def test_the_largest_that_may_come_is_taken() -> None:
    with listening_at(limits=SMALL) as at:
        assert at.post(b"x" * 100_000).status == 201
        chunked = httpx2.post(f"http://{at.host}:{at.port}/v1/tlsrpt", content=iter([b"x" * 100_000]))
        assert chunked.status_code == 201
        assert list(map(len, at.seen.bodies)) == [100_000, 100_000]


def test_who_finds_no_room_is_asked_to_come_again() -> None:
    """Room is taken for a body as it comes, with a length or in chunks."""
    receive = ReceiveConfig(waiting_bytes=1024 * 1024, waiting_documents=3)
    with listening_at(receive=receive) as at:
        at.hold()
        with at.connect() as first, at.connect() as chunked:
            first.sendall(a_post(b"x" * 1_000_000))
            assert at.seen.begun.wait(PATIENCE_S)
            answer = at.post(b"x" * 100_000)
            assert (answer.status, answer.headers["retry-after"]) == (429, "30")
            assert answer.headers["connection"] == "close", "what is large is not read over"
            chunked.sendall(b"POST /v1/tlsrpt HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            chunked.sendall(b"20000\r\n" + b"x" * 0x20000)
            assert responses(until_closed(chunked))[0].status == 429
            assert at.status.turned_away == 2
            at.release()
            assert responses(first.recv(65536))[0].status == 201
        assert at.post(b"x" * 100_000).status == 201


def test_who_only_announces_much_takes_no_room_from_others() -> None:
    """Four such heads were enough: nobody else's report was taken until they were cut for their slowness."""
    length = DEFAULT_LIMITS.compressed_bytes
    head = b"POST /v1/tlsrpt HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n" % length
    with listening_at() as at, ExitStack() as open_ones:
        for _ in range(ReceiveConfig().waiting_bytes // length + 1):
            client = open_ones.enter_context(at.connect())
            client.sendall(head)
            assert client.recv(1000).startswith(b"HTTP/1.1 100 ")  # its body is waited for
        assert at.post(b"x" * 100_000).status == 201


def test_a_form_counts_against_the_rate_as_any_post() -> None:
    with listening_at(per_address=1) as at:
        form = "Content-Type: multipart/form-data; boundary=x"
        assert [at.post(b"x", form).status for _ in range(2)] == [400, 429]


def test_a_small_body_that_is_not_wanted_costs_no_connection() -> None:
    with listening_at(per_address=1) as at:
        connection = http.client.HTTPConnection(at.host, at.port, timeout=PATIENCE_S)
        statuses = []
        for _ in range(3):
            connection.request("POST", "/v1/tlsrpt", body=b"x" * 60_000)
            answer = connection.getresponse()
            answer.read()
            statuses.append((answer.status, answer.headers["Connection"]))
        assert statuses == [(201, None), (429, None), (429, None)]
        connection.close()


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"X: " + b"x" * HEAD_BYTES + b"\r\n", id="one long header"),
        pytest.param(b"X: y\r\n" * (HEADERS + 1), id="many headers"),
        pytest.param(b"X" * 1000 + b": y\r\n" * 17, id="long names"),
        pytest.param(b"X: " + b"x" * 1_000_000, id="a header that does not end"),
        pytest.param(b"X" * 1_000_000, id="a name that does not end"),
    ],
)
def test_a_head_too_large_is_431(head: bytes) -> None:
    with listening_at() as at:
        if b"X" * 1000 + b": " in head:
            head = b"".join(b"X" * 1000 + b"%d: y\r\n" % n for n in range(17))
        with at.connect() as client:
            client.sendall(b"POST /v1/tlsrpt HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n")
            try:
                client.sendall(head + b"\r\nx")
            except ConnectionError:
                pass  # cut in the middle of it, which is as good
            else:
                assert responses(until_closed(client))[0].status == 431
        assert at.seen.documents == []
        assert at.post().status == 201


def test_a_target_too_long_is_431() -> None:
    with listening_at() as at:
        assert at.post(path="/v1/tlsrpt?" + "x" * HEAD_BYTES).status == 431
        assert at.post(path="/v1/tlsrpt?" + "x" * (HEAD_BYTES - 200)).status == 201


def test_trailers_are_bounded_and_are_no_headers() -> None:
    chunked = b"POST /v1/tlsrpt HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n"
    with listening_at(proxies=("127.0.0.1",)) as at:
        with at.connect() as client:
            client.sendall(chunked + b"1\r\n{\r\n0\r\nX-Forwarded-For: 192.0.2.2\r\nConnection: close\r\n\r\n")
            client.shutdown(socket.SHUT_WR)
            assert responses(until_closed(client))[0].status == 201
        assert at.seen.documents[0].where == "192.0.2.1"
        with at.connect() as client:
            client.sendall(chunked + b"1\r\n{\r\n0\r\nX: ")
            sent = 0
            try:
                while sent < 10_000_000:
                    sent += client.send(b"x" * 65536)
            except ConnectionError:
                pass
            assert [each.status for each in responses(until_closed(client))] in ([431], [])
        assert len(at.seen.documents) == 1


# --- HTTP ---------------------------------------------------------------------------------------------------------


def test_one_connection_carries_many_requests() -> None:
    with listening_at() as at:
        with httpx2.Client(base_url=f"http://{at.host}:{at.port}") as client:
            for n in range(20):
                assert client.post("/v1/tlsrpt", content=b"%d" % n).status_code == 201
        assert at.seen.bodies == [b"%d" % n for n in range(20)]


def test_pipelined_requests_are_answered_in_their_order() -> None:
    with listening_at() as at:
        requests = b"".join(a_post(b"%d" % n) for n in range(AHEAD)) + a_post(b"last", "Connection: close")
        assert [answer.status for answer in at.ask(requests)] == [201] * (AHEAD + 1)
        assert at.seen.bodies == [*(b"%d" % n for n in range(AHEAD)), b"last"]


def test_who_asks_too_much_at_once_is_answered_as_far_as_that_goes() -> None:
    """A thousand small requests in one read would be a thousand answers in work."""
    with listening_at() as at:
        answers = at.ask(b"".join(a_post(b"%d" % n) for n in range(1_000)))
        assert [answer.status for answer in answers] == [201] * (AHEAD + 1)
        assert len(at.seen.documents) == AHEAD + 1


def test_http_1_0_is_answered_and_closed() -> None:
    with listening_at() as at:
        (answer,) = at.ask(a_post(GZIP, version="1.0"))
        assert answer.status == 201


def test_a_chunked_body_is_put_together() -> None:
    with listening_at() as at:
        answer = httpx2.post(f"http://{at.host}:{at.port}/v1/tlsrpt", content=iter([b"a", b"bc" * 50_000, b"d"]))
        assert answer.status_code == 201
        assert at.seen.bodies == [b"a" + b"bc" * 50_000 + b"d"]


def test_a_body_in_single_bytes_is_put_together() -> None:
    with listening_at() as at, at.connect() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in a_post(JSON, "Connection: close"):
            client.send(bytes([byte]))
        assert responses(until_closed(client))[0].status == 201
        assert at.seen.bodies == [JSON]


def test_a_client_that_waits_is_told_to_go_on() -> None:
    with listening_at(limits=SMALL) as at, at.connect() as client:
        head, _, body = a_post(b"x" * 1_000, "Expect: 100-continue", "Connection: close").partition(b"\r\n\r\n")
        client.sendall(head + b"\r\n\r\n")
        assert client.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(body)
        assert [answer.status for answer in responses(until_closed(client))] == [201]


@pytest.mark.parametrize(("length", "status"), [(200_000, 413), (1_000, 404)])
def test_a_client_that_waits_is_told_at_once_where_it_need_not_go_on(length: int, status: int) -> None:
    """It may leave its body out now or not, so that nothing more can be read from this connection."""
    with listening_at(limits=SMALL) as at, at.connect() as client:
        path = b"/v1/tlsrpt" if status == 413 else b"/x"
        client.sendall(
            b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n" % (path, length)
        )
        client.shutdown(socket.SHUT_WR)
        (answer,) = responses(until_closed(client))
        assert (answer.status, answer.headers["connection"]) == (status, "close")


def test_a_client_that_closes_its_side_gets_its_answer() -> None:
    with listening_at() as at:
        at.hold()
        with at.connect() as client:
            client.sendall(a_post(b"1") + a_post(b"2"))
            client.shutdown(socket.SHUT_WR)
            assert at.seen.begun.wait(PATIENCE_S)
            at.release()
            assert [answer.status for answer in responses(until_closed(client))] == [201, 201]


def test_a_client_that_goes_away_in_the_middle_leaves_nothing_behind() -> None:
    with listening_at() as at:
        for part in (b"POST /v1/tl", a_post(b"x" * 200_000)[:-1], a_post(b"x" * 200_000)):
            with at.connect() as client:
                client.sendall(part)
        assert at.post(b"last").status == 201
        assert b"last" in at.seen.bodies
        assert a_post(b"x" * 200_000)[:-1] not in at.seen.bodies


SMUGGLED = b"POST /v1/tlsrpt HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nsmuggled"


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"Content-Length: 5\r\nTransfer-Encoding: chunked", id="both, length first"),
        pytest.param(b"Transfer-Encoding: chunked\r\nContent-Length: 5", id="both, chunked first"),
        pytest.param(b"Transfer-Encoding: identity\r\nContent-Length: 5", id="identity"),
        pytest.param(b"Transfer-Encoding: xchunked", id="unknown coding"),
        pytest.param(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", id="chunked and identity"),
        pytest.param(b"Transfer-Encoding: chunked, identity", id="chunked is not last"),
        pytest.param(b"Transfer-Encoding : chunked", id="space before the colon"),
        pytest.param(b"Content-Length: 5\r\nContent-Length: 5", id="length twice"),
        pytest.param(b"Content-Length: 5\r\nContent-Length: 6", id="two lengths"),
        pytest.param(b"Content-Length: 5, 5", id="a list of lengths"),
        pytest.param(b"Content-Length: -5", id="negative"),
        pytest.param(b"Content-Length: +5", id="with a sign"),
        pytest.param(b"Content-Length: 0x5", id="hexadecimal"),
        pytest.param(b"Content-Length: 5 5", id="with a space"),
        pytest.param(b"Content-Length: ", id="empty"),
        pytest.param(b"Content-Length: 99999999999999999999999999", id="more than any"),
        pytest.param(b"Content-Length: 5\r\n Transfer-Encoding: chunked", id="folded"),
        pytest.param(b"Content-Length: 5\nTransfer-Encoding: chunked", id="bare LF"),
        pytest.param(b"Content-Length: 5\rTransfer-Encoding: chunked", id="bare CR"),
        pytest.param(b"Content-\0Length: 5", id="NUL in a name"),
        pytest.param(b"X: a\0b\r\nContent-Length: 5", id="NUL in a value"),
        pytest.param(b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nContent-Length: 5", id="upgrade"),
        pytest.param(b"Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 5", id="websocket"),
    ],
)
def test_a_request_whose_end_can_be_seen_in_two_ways_is_refused(head: bytes) -> None:
    """RFC 9112 section 6.1, 6.3: a proxy in front may have seen the other end. Nothing of it is taken."""
    with listening_at() as at:
        request = b"POST /v1/tlsrpt HTTP/1.1\r\nHost: a\r\n" + head + b"\r\n\r\n5\r\nabcde\r\n0\r\n\r\n" + SMUGGLED
        answers = at.ask(request)
        assert [answer.status for answer in answers] == [400]
        assert answers[0].text.isprintable() or answers[0].text[:-1].isprintable()
        assert at.seen.documents == []


@pytest.mark.parametrize(
    "junk",
    [
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", id="TLS where none is spoken"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="HTTP/2"),
        pytest.param(b"EHLO mx.example\r\n", id="SMTP"),
        pytest.param(b"\0" * 100, id="NUL"),
        pytest.param(b"POST /v1/tls\xfcpt HTTP/1.1\r\n\r\n", id="not ASCII"),
        pytest.param(b"POST /v1/tlsrpt HTTP/1.1\nHost: a\n\n", id="LF only"),
        pytest.param(b"CONNECT reports.example:443 HTTP/1.1\r\nHost: a\r\n\r\n", id="CONNECT"),
        pytest.param(b"BREW /v1/tlsrpt HTTP/1.1\r\n\r\n", id="unknown method"),
    ],
)
def test_what_is_no_request_is_400_and_closed(junk: bytes) -> None:
    with listening_at() as at:
        (answer,) = at.ask(junk)
        assert (answer.status, answer.headers["connection"]) == (400, "close")
        assert at.post().status == 201


@pytest.mark.parametrize("line", [b"POST /v1/tlsrpt", b"POST /v1/tlsrpt HTTP/0.9", b"POST /v1/tlsrpt HTTP/2.0"])
def test_another_version_of_http_is_505(line: bytes) -> None:
    with listening_at() as at:
        (answer,) = at.ask(line + b"\r\nContent-Length: 2\r\n\r\n{}")
        assert answer.status in (400, 505)
        assert at.seen.documents == []


def test_junk_behind_a_good_request_does_not_take_its_answer_away() -> None:
    with listening_at() as at:
        at.hold()
        with at.connect() as client:
            client.sendall(a_post(b"good") + b"\0\0\0")
            assert at.seen.begun.wait(PATIENCE_S)
            at.release()
            assert [answer.status for answer in responses(until_closed(client))] == [201]
        at.seen.begun.clear()
        at.hold()
        with at.connect() as client:
            broken = b"POST /v1/tlsrpt HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n"
            client.sendall(a_post(b"good") + a_post(b"good") + broken)
            assert at.seen.begun.wait(PATIENCE_S)
            at.release()
            assert [answer.status for answer in responses(until_closed(client))] == [201, 201]
        assert at.seen.bodies == [b"good"] * 3


def test_a_chunk_that_is_none_ends_the_request_with_400() -> None:
    with listening_at() as at, at.connect() as client:
        client.sendall(b"POST /v1/tlsrpt HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        client.sendall(b"nonsense\r\n")
        assert [answer.status for answer in responses(until_closed(client))] == [400]
        assert at.seen.documents == []


_values = st.binary(max_size=60).map(lambda value: value.replace(b"\r", b"").replace(b"\n", b"").replace(b"\0", b""))
_names = st.sampled_from(
    [b"Host", b"Content-Type", b"Content-Encoding", b"Accept", b"X-Forwarded-For", b"Forwarded", b"User-Agent", b"Expect",
     b"Cookie", b"Authorization", b"Connection", b"Referer", b"Content-Disposition", b"TE", b"Via"]
)  # fmt: skip


@pytest.fixture(scope="module")
def hardened() -> object:
    with listening_at(proxies=("127.0.0.1",), per_address=0) as at:
        yield at


@given(headers=st.lists(st.tuples(_names, _values), max_size=8))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_header_values_give_an_answer_of_one_printable_line(
    hardened: At, headers: list[tuple[bytes, bytes]]
) -> None:
    lines = b"".join(b"%b: %b\r\n" % pair for pair in headers)
    with hardened.connect() as client:
        client.sendall(b"POST /v1/tlsrpt HTTP/1.0\r\nContent-Length: 2\r\n" + lines + b"\r\n{}")
        client.shutdown(socket.SHUT_WR)
        answers = [answer for answer in responses(until_closed(client)) if answer.status != 100]
    assert [answer.status in (201, 400, 404) for answer in answers] == [True]
    assert answers[0].text.rstrip("\n").isprintable()
    assert not [event for event in hardened.seen.events if event[0] == "error"]


@given(
    data=st.lists(
        st.sampled_from([a_post(JSON), a_post(JSON)[:50], b"\r\n", b"0\r\n\r\n", b"X: y\r\n", b"\0"])
        | st.binary(max_size=40)
    )
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_give_answers_or_nothing_and_no_defect(hardened: At, data: list[bytes]) -> None:
    with hardened.connect() as client:
        client.sendall(b"".join(data))
        client.shutdown(socket.SHUT_WR)
        responses(until_closed(client))
    assert not [event for event in hardened.seen.events if event[0] == "error"]
    assert hardened.post().status == 201


# --- Slow and many clients ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "part",
    [
        pytest.param(b"P", id="in its first line"),
        pytest.param(b"POST /v1/tlsrpt HTTP/1.1\r\nHost: a\r\nX-A: b", id="in its headers"),
        pytest.param(a_post(b"x" * 100)[:-1], id="in its body"),
        pytest.param(b"POST /v1/tlsrpt HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", id="in a chunk"),
    ],
)
def test_a_client_that_is_slow_is_told_408_and_cut(part: bytes) -> None:
    """Slowloris: uvicorn alone would wait for ever."""
    with listening_at(within_s=0.3) as at:
        (answer,) = at.ask(part)
        assert (answer.status, answer.headers["connection"]) == (408, "close")
        assert at.seen.documents == []
        assert at.post().status == 201


def test_a_byte_now_and_then_does_not_win_time() -> None:
    with listening_at(within_s=0.3) as at, at.connect() as client:
        client.sendall(b"POST /v1/tlsrpt HTTP/1.1\r\nX: ")
        client.settimeout(0.05)
        data, sent = b"", 0
        while not data and sent < 600:
            client.send(b"x")
            sent += 1
            try:
                data = client.recv(65536)
            except TimeoutError:
                continue
        assert responses(data)[0].status == 408


@pytest.mark.parametrize("before", [b"", b"\r\n\r\n", a_post(JSON), a_post(JSON) + b"\r\n"])
def test_a_client_that_asks_for_nothing_more_is_closed_without_a_word(before: bytes) -> None:
    with listening_at(within_s=0.3) as at:
        assert [answer.status for answer in at.ask(before)] == ([201] if b"POST" in before else [])


def test_a_slow_store_is_not_the_clients_fault() -> None:
    with listening_at(within_s=0.2) as at:
        at.hold()
        with at.connect() as client:
            client.sendall(a_post(JSON, "Connection: close"))
            assert at.seen.begun.wait(PATIENCE_S)
            assert at.ask(b"P")[0].status == 408, "time enough for the other to be cut, were it to be"
            at.release()
            assert responses(until_closed(client))[0].status == 201


def test_a_client_that_reads_nothing_is_cut(tmp_path: Path) -> None:
    """Its answers pile up until the kernel takes no more; then it has the time of one request."""
    with listening_at(listen=f"unix:{tmp_path}/s", within_s=0.5) as at, at.connect() as client:
        cut = select.poll()
        cut.register(client, select.POLLHUP | select.POLLERR)
        while not cut.poll(0):
            try:
                client.sendall(b"GET /v1/tlsrpt HTTP/1.1\r\nHost: a\r\n\r\n" * 5)
            except ConnectionError:
                break
            while _unread(client) and not cut.poll(0):
                pass


def _unread(client: socket.socket) -> int:
    """Bytes that the other side has not read yet (unix(7), SIOCOUTQ)."""
    left = bytearray(4)
    fcntl.ioctl(client, termios.TIOCOUTQ, left)
    return int.from_bytes(left, sys.byteorder)


def test_connections_beyond_the_number_are_told_503_and_come_in_again() -> None:
    with listening_at(connections=2) as at:
        with at.connect() as first, at.connect() as second:
            for client in (first, second):
                client.sendall(a_post(JSON))
                assert client.recv(65536).startswith(b"HTTP/1.1 201 ")
            answer = at.post(close=False)
            assert (answer.status, answer.headers["connection"]) == (503, "close")
            assert int(answer.headers["retry-after"]) > 0
            first.sendall(a_post(JSON))
            assert first.recv(65536).startswith(b"HTTP/1.1 201 "), "those that are in go on"
        with at.connect() as third:
            third.sendall(a_post(JSON, "Connection: close"))
            assert responses(until_closed(third))[0].status in (201, 503)


def test_many_connections_at_once_are_closed_without_a_word() -> None:
    """Memory is bounded whatever connects."""
    with listening_at(connections=5, within_s=30) as at:
        clients = [at.connect() for _ in range(5 + SPARE + 20)]
        try:
            assert [until_closed(client) for client in clients[5 + SPARE :]] == [b""] * 20
            clients[0].sendall(a_post(JSON, "Connection: close"))
            assert responses(until_closed(clients[0]))[0].status == 201
        finally:
            for client in clients:
                client.close()


def test_rates_are_counted_for_each_address_a_named_proxy_tells() -> None:
    with listening_at(per_address=2, proxies=("127.0.0.0/8",)) as at:
        one, two = "X-Forwarded-For: 9.9.9.9, 192.0.2.1", "X-Forwarded-For: 192.0.2.2"
        assert [at.post(JSON, one).status for _ in range(3)] == [201, 201, 429]
        assert at.post(JSON, two).status == 201
        limited = at.post(JSON, one)
        assert int(limited.headers["retry-after"]) > 0
        assert "from one address" in limited.text
        assert {document.where for document in at.seen.documents} == {"192.0.2.1", "192.0.2.2"}
        assert at.status.turned_away == 2


def test_ipv6_clients_are_counted_by_their_network() -> None:
    with listening_at(per_address=1, proxies=("127.0.0.1",)) as at:
        assert at.post(JSON, "X-Forwarded-For: 2001:db8::1").status == 201
        assert at.post(JSON, "X-Forwarded-For: 2001:db8::2").status == 429
        assert at.post(JSON, "X-Forwarded-For: 2001:db8:0:1::2").status == 201


def test_nobody_elses_word_is_taken_for_an_address() -> None:
    with listening_at(per_address=2, proxies=("192.0.2.1",)) as at:
        statuses = [
            at.post(JSON, f"X-Forwarded-For: 192.0.2.{n}", f"Forwarded: for=192.0.2.{n}").status for n in range(3)
        ]
        assert statuses == [201, 201, 429]
        assert {document.where for document in at.seen.documents} == {"127.0.0.1"}


def test_lines_of_x_forwarded_for_are_one_list() -> None:
    with listening_at(proxies=("127.0.0.1", "10.0.0.0/8")) as at:
        at.post(JSON, "X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 10.1.1.1")
        assert at.seen.documents[0].where == "192.0.2.1"


# --- Where it listens ---------------------------------------------------------------------------------------------


def test_a_unix_socket_with_its_mode_behind_a_proxy(tmp_path: Path) -> None:
    path = tmp_path / "https.sock"
    with listening_at(listen=f"unix:{path}", mode="0600", proxies=("unix:",)) as at:
        assert path.stat().st_mode & 0o777 == 0o600
        at.post(JSON, "X-Forwarded-For: 192.0.2.1")
        at.post(JSON)
        assert [document.where for document in at.seen.documents] == ["192.0.2.1", "unix"]
    assert not path.exists()


def test_ipv6() -> None:
    try:
        port = free_port("::1")
    except OSError:
        pytest.skip("no IPv6 here")
    with listening_at(listen=f"[::1]:{port}") as at:
        assert at.post().status == 201
        assert at.seen.documents[0].where == "::1"


def test_tls_of_its_own_and_a_certificate_read_again(tmp_path: Path) -> None:
    """A new certificate is for new connections; one that can't be read leaves the old one."""
    old, new = make_authority(_folder(tmp_path / "old")), make_authority(_folder(tmp_path / "new"))
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    old.write("localhost", certificate, key)
    with listening_at(certificate=str(certificate), key=str(key)) as at:
        url = f"https://localhost:{at.port}/v1/tlsrpt"
        with httpx2.Client(verify=old.trust) as client:
            assert client.post(url, content=GZIP).status_code == 201
            assert client.post(url, content=b"x" * 3_000_000).status_code == 201
            certificate.write_text("broken")
            with pytest.raises(SourceError):
                at.listener.reload()
            assert httpx2.post(url, content=GZIP, verify=old.trust).status_code == 201
            new.write("localhost", certificate, key)
            at.listener.reload()
            assert client.post(url, content=GZIP).status_code == 201, "the connection that is open stays"
        assert httpx2.post(url, content=GZIP, verify=new.trust).status_code == 201
        with pytest.raises(httpx2.ConnectError):
            httpx2.post(url, content=GZIP, verify=old.trust)
        with socket.create_connection((at.host, at.port), PATIENCE_S) as plain:
            plain.sendall(a_post(GZIP))
            assert b"201" not in until_closed(plain)
        assert at.ask(a_post(b"")[:20] + b"\0")[0].status == 400
        assert len(at.seen.documents) == 5


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_tls_older_than_1_2_is_refused(tmp_path: Path) -> None:
    authority = make_authority(tmp_path)
    authority.write("localhost", tmp_path / "c.pem", tmp_path / "k.pem")
    with listening_at(certificate=str(tmp_path / "c.pem"), key=str(tmp_path / "k.pem")) as at:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        with socket.create_connection((at.host, at.port), PATIENCE_S) as client, pytest.raises(ssl.SSLError):
            context.wrap_socket(client)


def test_a_handshake_that_does_not_end_is_cut_and_counts_as_a_connection(tmp_path: Path) -> None:
    authority = make_authority(tmp_path)
    authority.write("localhost", tmp_path / "c.pem", tmp_path / "k.pem")
    with listening_at(
        certificate=str(tmp_path / "c.pem"), key=str(tmp_path / "k.pem"), within_s=0.5, connections=1
    ) as at:
        clients = [socket.create_connection((at.host, at.port), PATIENCE_S) for _ in range(1 + SPARE + 5)]
        assert [until_closed(client) for client in clients] == [b""] * len(clients)
        for client in clients:
            client.close()
        assert at.post().status == 201


def test_a_taken_port_is_a_source_error_and_ends_no_process() -> None:
    with listening_at() as at:
        listener = HttpsListener(at.config, WAY, DEFAULT_LIMITS)
        with pytest.raises(SourceError, match="another process listens there"):
            at.do(listener.run(a_desk(at.seen)))


def test_a_certificate_that_is_none_is_a_source_error(tmp_path: Path) -> None:
    (tmp_path / "c.pem").write_text("none")
    with pytest.raises(SourceError, match="no PEM certificate"), listening_at(certificate=str(tmp_path / "c.pem")):
        pass


@pytest.mark.parametrize(
    "config",
    [
        HttpsSource(listen="localhost:80"),
        HttpsSource(listen="127.0.0.1:80", key="k.pem"),
        HttpsSource(listen="127.0.0.1:80", proxies=("nginx",)),
    ],
)
def test_a_configuration_that_can_not_be_used_is_told_at_once(config: HttpsSource) -> None:
    with pytest.raises(ConfigError):
        HttpsListener(config, WAY, DEFAULT_LIMITS)


def test_trying_it_out_changes_nothing(tmp_path: Path) -> None:
    config = HttpsSource(listen=f"127.0.0.1:{free_port()}", proxies=("unix:",))
    listener = HttpsListener(config, WAY, DEFAULT_LIMITS)
    lines = asyncio.run(listener.test())
    assert "may be listened on" in lines[0]
    assert "plain HTTP" in lines[1]
    assert "unix:" in lines[2]
    with listening_at(listen=config.listen) as at:
        assert "something listens there already" in asyncio.run(at.listener.test())[0]
        assert at.post().status == 201
    with pytest.raises(SourceError):
        asyncio.run(HttpsListener(HttpsSource(listen=config.listen, certificate="none"), WAY, DEFAULT_LIMITS).test())


# --- The end ------------------------------------------------------------------------------------------------------


def test_what_is_in_work_is_answered_before_it_stops() -> None:
    with listening_at(within_s=PATIENCE_S) as at:
        at.hold()
        idle, working = at.connect(), at.connect()
        with idle, working:
            working.sendall(a_post(JSON))
            assert at.seen.begun.wait(PATIENCE_S)
            at.stop()
            assert until_closed(idle) == b""
            with pytest.raises(ConnectionRefusedError):
                at.connect()
            at.release()
            (answer,) = responses(until_closed(working))
            assert answer.status == 201
        at.wait()
        assert at.seen.bodies == [JSON]


def test_one_loop_carries_several_and_signals_and_loggers_are_left_alone() -> None:
    """The service owns the process: uvicorn's own server would take SIGTERM and SIGINT for itself."""

    async def both() -> None:
        before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        seen, ports = Recorder(), [free_port(), free_port()]
        tasks = [asyncio.create_task(a_listener(port).run(a_desk(seen))) for port in ports]
        for port in ports:
            assert await asyncio.to_thread(_post_until_there, port) == 201
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
        tasks[0].cancel()
        await asyncio.wait([tasks[0]])
        assert await asyncio.to_thread(_post_until_there, ports[1]) == 201
        tasks[1].cancel()
        await asyncio.wait([tasks[1]])
        assert len(seen.documents) == 3

    asyncio.run(both())


def a_listener(port: int) -> HttpsListener:
    return HttpsListener(HttpsSource(listen=f"127.0.0.1:{port}"), WAY, DEFAULT_LIMITS)


def _post_until_there(port: int) -> int:
    while True:
        try:
            return httpx2.post(f"http://127.0.0.1:{port}/v1/tlsrpt", content=JSON).status_code
        except httpx2.ConnectError:
            continue


# --- With the real reception and store ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "media_type", "first", "again"),
    [
        pytest.param("google-no-policy-found.json.gz", "application/tlsrpt+gzip", 201, 200, id="gzip"),
        pytest.param("google-sts-failures.json", "application/tlsrpt+json", 201, 200, id="JSON"),
        pytest.param("google-sts-failures.json", "text/plain", 201, 200, id="wrong type"),
        pytest.param("google-sts-success.eml", "message/rfc822", 201, 200, id="a mail that somebody posts"),
        pytest.param("truncated.json.gz", "application/tlsrpt+gzip", 400, 400, id="broken"),
        pytest.param("no-date-range.json", "application/json", 400, 400, id="unreadable"),
    ],
)
def test_real_reports_are_kept_once(name: str, media_type: str, first: int, again: int, tmp_path: Path) -> None:
    """From the client to the store and back; departures of the request are findings of the report."""
    body, store = (REPORTS / name).read_bytes(), f"sqlite:///{tmp_path}/store.db"
    with listening_at(reception=store) as at, httpx2.Client(base_url=f"http://{at.host}:{at.port}") as client:
        statuses = [client.post("/v1/tlsrpt", content=body, headers={"Content-Type": media_type}) for _ in range(2)]
    assert [answer.status_code for answer in statuses] == [first, again], statuses[0].text
    assert all(answer.text.strip().isprintable() for answer in statuses)
    with sqlite3.connect(tmp_path / "store.db") as db:
        found = {code for (code,) in db.execute("SELECT code FROM finding")}
        assert ("media-type-request" in found) == (
            media_type == "text/plain" or (name.endswith(".eml") and first == 201)
        )
        assert db.execute("SELECT count(*) FROM report").fetchone() == (int(first == 201),)


def test_a_real_dmarc_report_is_told_what_it_is_and_not_kept(tmp_path: Path) -> None:
    with listening_at(reception=f"sqlite:///{tmp_path}/store.db") as at:
        answer = at.post((REPORTS / "dmarc-report.eml").read_bytes(), "Content-Type: message/rfc822")
        assert (answer.status, answer.text) == (400, "no TLS report: a DMARC report\n")
        assert at.status.outcomes == {"other": 1}
    assert not (tmp_path / "store.db").exists()


# --- curl ---------------------------------------------------------------------------------------------------------


@CURL
@pytest.mark.parametrize(
    "options",
    [
        ["--http1.0"],
        ["--http1.1"],
        ["-H", "Transfer-Encoding: chunked"],
        ["-H", "Expect: 100-continue"],
        ["-H", "Content-Type: application/tlsrpt+gzip"],
    ],
)
def test_curl_as_the_handbook_has_it(options: list[str], tmp_path: Path) -> None:
    report = tmp_path / "report.json.gz"
    report.write_bytes(GZIP * 100_000)
    with listening_at() as at:
        url = f"http://{at.host}:{at.port}/v1/tlsrpt"
        argv = ["curl", "-sS", "--fail-with-body", *options, "--data-binary", f"@{report}", url]
        done = subprocess.run(argv, capture_output=True, timeout=PATIENCE_S, check=False)
        assert (done.returncode, done.stdout) == (0, b"kept\n"), done.stderr
        assert at.seen.bodies == [GZIP * 100_000]

"""A real Postfix delivers to our LMTP listener: kept before it is called sent, deferred and never lost, bounced where due."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.intake.test_certificate import a_certificate
from tests.intake.test_lmtp import NEW, Recorder, Running
from tests.lab.servers import Postfix, free_port, postfix
from tlsrpt.config import LmtpSource, ReceiveConfig
from tlsrpt.core.errors import OverloadError, StoreBusyError
from tlsrpt.core.limits import Limits
from tlsrpt.intake.way import Taken

pytestmark = pytest.mark.lab("postfix", "postalias", "postqueue")

MESSAGE = (Path(__file__).parents[1] / "data/reports/google-sts-success.eml").read_bytes()
LIMITS = Limits(compressed_bytes=100_000)


def transport(target: str, *more: str) -> str:
    """Lines for main.cf as the handbook has them: these addresses are delivered to our listener."""
    entries = " ".join(f"{{ {name}@reports.example = lmtp:{target} }}" for name in ("tls", "two", "nobody"))
    maps = (f"transport_maps = inline:{{ {entries} }}", "local_recipient_maps = $alias_maps $transport_maps")
    return "\n".join((*maps, *more, ""))


@pytest.fixture
def unix(lab: Path) -> str:
    """A unix socket's place that Postfix reaches: Debian's lmtp lives in a chroot, the queue's folder."""
    (lab / "postfix/queue/tlsrpt").mkdir(parents=True)
    return f"unix:{lab}/postfix/queue/tlsrpt/lmtp.sock"


UNIX = "unix:tlsrpt/lmtp.sock"  # the same, as Postfix names it


def a_listener(listen: str, take: Recorder, **config: object) -> Running:
    source = LmtpSource(listen=listen, recipients=("tls@reports.example", "two@reports.example"), **config)
    running = Running(source, take, LIMITS, ReceiveConfig())
    running.start()
    assert running.failed is None
    return running


def status(server: Postfix, recipient: str = "tls") -> str:
    """What becomes of the next delivery to a recipient."""
    return server.log.wait_for(rf"postfix/lmtp.*to=<{recipient}@reports\.example>.*status=").partition("status=")[2]


def test_over_a_unix_socket_of_postfixes_group(lab: Path, unix: str) -> None:
    """Two recipients make one transaction with two replies, and one message for us; the socket is no other user's."""
    take = Recorder()
    listener = a_listener(unix, take, mode="0660", group="postfix")
    try:
        with postfix(lab / "postfix", {}, transport(UNIX)) as server:
            server.send(MESSAGE, "tls@reports.example", "two@reports.example")
            assert [status(server, "(tls|two)") for _ in range(2)] == ["sent (250 2.0.0 kept: report 17)"] * 2
            assert server.queued() == 0
    finally:
        listener.stop()
    assert len(take.messages) == 1
    assert take.messages[0].endswith(MESSAGE.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))


def test_over_tcp_with_tls(lab: Path) -> None:
    """STARTTLS as Postfix does it."""
    take, port = Recorder(), free_port()
    certificate, key = a_certificate(lab, "mx")
    listener = a_listener(f"127.0.0.1:{port}", take, certificate=certificate, key=key)
    settings = transport(
        f"inet:127.0.0.1:{port}",
        "lmtp_tls_security_level = encrypt",
        "lmtp_tls_loglevel = 1",
    )
    try:
        with postfix(lab / "postfix", {}, settings) as server:
            for _ in range(3):
                server.send(MESSAGE, "tls@reports.example")
                assert status(server) == "sent (250 2.0.0 kept: report 17)"
            assert any("TLS connection established to 127.0.0.1" in line for line in server.log.seen)
    finally:
        listener.stop()
    assert len(take.messages) == 3


def test_what_could_not_be_kept_waits_in_postfixes_queue_and_comes_once(lab: Path, unix: str) -> None:
    """DESIGN promise 1: the mail system's queue is ours. A full disk, a flood, a service that is not there."""
    take = Recorder(StoreBusyError("disk full"), OverloadError("2,000 documents are in work already", retry_after_s=30))
    listener = a_listener(unix, take, mode="0666")
    with postfix(lab / "postfix", {}, transport(UNIX)) as server:
        server.send(MESSAGE, "tls@reports.example")
        assert "deferred (host" in (said := status(server))
        assert "451 4.3.0 disk full; come again (in reply to end of DATA command)" in said
        server.flush()
        assert "451 4.4.5 2,000 documents are in work already; come again" in status(server)
        listener.stop()
        server.flush()
        assert "deferred (connect to" in status(server)
        assert take.messages == []

        listener = a_listener(unix, take, mode="0666")
        try:
            server.flush()
            assert status(server) == "sent (250 2.0.0 kept: report 17)"
            assert server.queued() == 0
        finally:
            listener.stop()
    assert len(take.messages) == 1


def test_a_rate_that_is_passed_defers(lab: Path, unix: str) -> None:
    """421 before the message, and the connection closed: Postfix comes again on another."""
    take = Recorder()
    listener = a_listener(unix, take, mode="0666", per_address=1)
    try:
        with postfix(lab / "postfix", {}, transport(UNIX)) as server:
            server.send(MESSAGE, "tls@reports.example")
            assert status(server) == "sent (250 2.0.0 kept: report 17)"
            server.send(MESSAGE, "tls@reports.example")
            assert "421 4.7.0 more than 1 a minute from one address" in (said := status(server))
            assert said.startswith("deferred")
    finally:
        listener.stop()
    assert len(take.messages) == 1


def test_what_is_refused_bounces(lab: Path, unix: str) -> None:
    """Somebody else's address, a message that is too large (which Postfix sees before it sends), and our policy."""
    take = Recorder(Taken(outcome="refused", reason="not proven to come from sender.example"), NEW)
    listener = a_listener(unix, take, mode="0666")
    try:
        with postfix(lab / "postfix", {}, transport(UNIX)) as server:
            server.send(MESSAGE, "nobody@reports.example")
            assert "550 5.1.1 no mail is taken for this address here" in (said := status(server, "nobody"))
            assert said.startswith("bounced")

            server.send(MESSAGE + b"x" * 70 + b"\r\n" + (b"x" * 70 + b"\r\n") * 1_500, "tls@reports.example")
            assert status(server).startswith("bounced (message size")

            server.send(MESSAGE, "tls@reports.example")
            assert "550 5.7.1 not proven to come from sender.example" in (said := status(server))
            assert said.startswith("bounced")

            server.send(MESSAGE, "tls@reports.example", "nobody@reports.example")
            said = sorted(status(server, "(tls|nobody)")[:7] for _ in range(2))
            assert said == ["bounced", "sent (2"]
    finally:
        listener.stop()
    assert len(take.messages) == 2

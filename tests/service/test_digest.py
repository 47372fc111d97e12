"""The digest of a running service: it arrives at a real mail server, once, and a restart does not send it again."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from tests.notify.receivers import a_mail_server
from tests.service.serving import Serving
from tests.store.builders import a_report, an_arrival
from tlsrpt.store.rows import prepare
from tlsrpt.store.sqlite import open_store
from tlsrpt.store.sqlite_notices import post
from tlsrpt.store.telling import Address, Outgoing

CONFIG = """
[log]
form = "json"
[[source.https]]
listen = "127.0.0.1:{{http}}"
[mail]
host = "127.0.0.1"
port = {port}
tls = "none"
from = "tlsrpt@meadow.example"
[alerts]
every_s = 0.2
[digest]
to = ["postmaster@meadow.example"]
every = "day"
hour = 0
"""


def test_a_digest_that_was_missed_arrives_once(tmp_path: Path) -> None:
    """The service was down when it was due; the store knows that the one before was sent."""
    with open_store(str(tmp_path / "store.db"), create=True) as store:
        store.keep([prepare(an_arrival(a_report()))])
        store.keep_place("digest/told-until", "2026-03-01")
    with a_mail_server() as (box, server):
        with Serving(tmp_path, CONFIG.format(port=server.port)) as serving:
            serving.wait_for("a digest is due")
            serving.wait_for("a message is sent", recipient="digest")
        (mail,) = box.mails
        assert mail["Subject"].startswith("TLS reports: no report for ")
        assert mail["To"] == "postmaster@meadow.example"
        with open_store(str(tmp_path / "store.db")) as store:  # what is sent after the look at what is due
            marker = Outgoing(token="marker", kind="digest", subject="the marker", text="")  # noqa: S106
            now = datetime.now(UTC)
            post(
                store, [(marker, [Address(recipient="digest", address="postmaster@meadow.example", due=now)])], now=now
            )
        with Serving(tmp_path, CONFIG.format(port=server.port)) as serving:
            serving.wait_for("a message is sent", subject="the marker")
        assert [mail["Subject"] for mail in box.mails[1:]] == ["the marker"]

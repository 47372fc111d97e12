"""A mail alias hands each report to `tlsrpt ingest --pipe`: nothing is lost, nothing bounces, nothing counts twice."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.lab.servers import NOBODY, postfix, run_as_nobody, tlsrpt_as_nobody

pytestmark = pytest.mark.lab("postfix", "postalias", "postqueue")

MESSAGE = (Path(__file__).parents[1] / "data/reports/google-sts-success.eml").read_bytes()


def reports_in(tlsrpt: Path, store: Path) -> list[dict[str, object]]:
    done = run_as_nobody([str(tlsrpt), "reports", "--json", "--since", "2000-01-01", "--store", str(store)])
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_report_mailed_to_the_alias_is_in_the_store_once_postfix_calls_it_sent(lab: Path) -> None:
    """DESIGN promise 1: exit 0 only after the commit, and Postfix lets go of the message only then."""
    tlsrpt, kept = tlsrpt_as_nobody(lab), lab / "kept"
    kept.mkdir()
    shutil.chown(kept, NOBODY)
    store = kept / "tlsrpt.db"
    with postfix(lab / "postfix", {"tls": f"{tlsrpt} ingest --pipe --store {store}"}) as server:
        server.send(MESSAGE, "tls@reports.example")
        server.log.wait_for(r"status=sent \(delivered to command")
        assert len(reports_in(tlsrpt, store)) == 1
        assert server.queued() == 0


def test_a_report_that_could_not_be_kept_waits_in_the_queue_and_arrives_once(lab: Path) -> None:
    """Exit 75 defers and never bounces; once the folder is repaired, the queue's next run brings the report in."""
    tlsrpt, kept = tlsrpt_as_nobody(lab), lab / "kept"
    kept.mkdir()  # root's, and nobody may not write here
    store = kept / "tlsrpt.db"
    with postfix(lab / "postfix", {"tls": f"{tlsrpt} ingest --pipe --store {store}"}) as server:
        server.send(MESSAGE, "tls@reports.example")
        deferred = server.log.wait_for("postfix/local.* status=")
        assert "status=deferred (temporary failure" in deferred
        assert server.queued() == 1

        shutil.chown(kept, NOBODY)
        server.flush()
        server.log.wait_for(r"status=sent \(delivered to command")
        assert len(reports_in(tlsrpt, store)) == 1
        assert server.queued() == 0

        server.send(MESSAGE, "tls@reports.example")  # the sender mails it again: kept, and counted once
        server.log.wait_for(r"status=sent \(delivered to command")
        assert len(reports_in(tlsrpt, store)) == 1


def test_mail_that_is_no_report_neither_bounces_nor_waits(lab: Path) -> None:
    """A mail alias gets other mail too; to refuse it would bounce, and keep the administrator busy."""
    tlsrpt, kept = tlsrpt_as_nobody(lab), lab / "kept"
    kept.mkdir()
    shutil.chown(kept, NOBODY)
    with postfix(lab / "postfix", {"tls": f"{tlsrpt} ingest --pipe --store {kept / 'tlsrpt.db'}"}) as server:
        server.send(b"From: a@sender.example\r\nSubject: hello\r\n\r\nLunch?\r\n", "tls@reports.example")
        server.log.wait_for(r"status=sent \(delivered to command")
        assert server.queued() == 0

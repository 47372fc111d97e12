"""Dovecot delivers into a Maildir, and `tlsrpt ingest` reads what lies there, read or unread."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.lab.servers import dovecot

pytestmark = pytest.mark.lab("dovecot", "imap", "lmtp")

SAMPLES = Path(__file__).parents[1] / "data/reports"


def ingest(maildir: Path, store: Path) -> dict[str, Any]:
    tlsrpt = Path(sys.executable).parent / "tlsrpt"
    done = subprocess.run(
        [tlsrpt, "ingest", "--json", "--store", store, maildir], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_a_maildir_of_dovecot_is_read_new_and_cur(lab: Path) -> None:
    """Messages in new and in cur are taken in; a second pass knows them, though Dovecot has renamed them since."""
    with dovecot(lab / "dovecot") as server:
        maildir, store = server.mail / "reports", lab / "tlsrpt.db"
        server.deliver((SAMPLES / "google-sts-success.eml").read_bytes(), "reports")
        server.look_at_inbox("reports")
        server.deliver((SAMPLES / "microsoft-late-24-days.eml").read_bytes(), "reports")
        assert [len(list((maildir / name).iterdir())) for name in ("cur", "new")] == [1, 1]

        first = ingest(maildir, store)
        assert (first["new"], first["known"]) == (2, 0)

        server.look_at_inbox("reports")
        again = ingest(maildir, store)
        assert (again["new"], again["known"]) == (0, 2)
        assert first["quarantined"] == again["quarantined"] == 0

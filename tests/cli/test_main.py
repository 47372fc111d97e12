"""The command line as a whole: what it loads, how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.command import SAMPLES, TLSRPT, tlsrpt
from tlsrpt.cli.main import VERBS
from tlsrpt.store.reports import list_reports
from tlsrpt.store.sqlite import open_store


def modules(*args: str) -> set[str]:
    """The modules that a run has imported."""
    program = (
        "import sys; from tlsrpt.cli.main import run; code = run(sys.argv[1:]);"
        "print('\\n'.join(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program, *args], capture_output=True, text=True, timeout=30)
    return set(done.stderr.split())


@pytest.mark.parametrize("args", [("--help",), ("explain", "certificate-expired"), ("explain",)])
def test_help_and_explain_load_next_to_nothing(args: tuple[str, ...]) -> None:
    """Start-up is a feature: neither the store's libraries, nor DNS, nor mail are imported to print a text."""
    heavy = {
        "sqlalchemy", "alembic", "sqlite3", "dns", "email.parser", "rich", "idna", "tomllib", "asyncio", "ssl", "http.client",
        "multiprocessing", "cryptography", "platformdirs", "hypothesis", "tlsrpt.core.reading", "tlsrpt.core.message",
    }  # fmt: skip
    assert modules(*args) & heavy == set()


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str) -> None:
    """Every verb says what it does, in the same words as the list of verbs is meant."""
    done = tlsrpt(verb, "--help")
    assert done.returncode == 0, done.stderr
    assert f"Usage: tlsrpt {verb}" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_a_misspelt_verb_is_met_with_the_nearest() -> None:
    done = tlsrpt("sumary")
    assert done.returncode == 2
    assert "did you mean 'summary'?" in done.stderr


def test_a_closed_pipe_ends_without_a_traceback() -> None:
    """`tlsrpt ... | head` is everyday use."""
    for args in (["--help"], ["explain"], ["explain", "--json"]):
        command = " ".join([TLSRPT, *args])
        done = subprocess.run(["bash", "-c", f"{command} | true"], capture_output=True, text=True, timeout=30)
        assert done.stderr == ""


def test_without_standard_streams_work_is_done_all_the_same(tmp_path: Path) -> None:
    """A service manager may start us with none; with --pipe a mail server would try again for days."""
    command = f"{TLSRPT} ingest --pipe --store {tmp_path / 'store.db'}"
    mail = (SAMPLES / "google-sts-success.eml").read_bytes()
    done = subprocess.run(["bash", "-c", f"{command} >&- 2>&-"], input=mail, timeout=30)
    assert done.returncode == 0
    with open_store(str(tmp_path / "store.db")) as store:
        assert len(list_reports(store, limit=10).reports) == 1


def test_no_colour_when_piped_or_unwanted() -> None:
    assert "\x1b" not in tlsrpt("explain", "certificate-expired").stdout


def test_an_unknown_key_in_the_configuration_is_met_with_the_nearest(tmp_path: Path) -> None:
    """One line: which file, which key, which key was probably meant."""
    (tmp_path / "c.toml").write_text("[limits]\ncompresed_bytes = 5\n")
    done = tlsrpt("summary", "--config", str(tmp_path / "c.toml"))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "did you mean compressed_bytes?" in done.stderr


def test_a_pipe_never_bounces(tmp_path: Path) -> None:
    """With --pipe even a broken configuration or a wrong option is 75: the mail server must try again."""
    (tmp_path / "c.toml").write_text("nonsense")
    for args in (["--config", str(tmp_path / "c.toml")], ["--no-such-option"], ["--store", "/proc/none/x.db"]):
        done = tlsrpt("ingest", "--pipe", *args)
        assert (done.returncode, done.stdout) == (75, ""), args


def test_json_can_not_steer_a_terminal(tmp_path: Path) -> None:
    """Bidi marks and C1 controls from a report come out as escapes, and the JSON is still equal."""
    name = "A\u202eB\x9bC\U000e0001"
    report = {
        "organization-name": name,
        "date-range": {"start-datetime": "2026-03-01T00:00:00Z", "end-datetime": "2026-03-01T23:59:59Z"},
        "contact-info": "tls@sender.example",
        "report-id": "1",
        "policies": [],
    }
    (tmp_path / "r.json").write_text(json.dumps(report))
    done = tlsrpt("read", "--json", str(tmp_path / "r.json"))
    assert done.stdout.isascii()
    assert json.loads(done.stdout)["organization_name"] == name

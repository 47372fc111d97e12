"""`tlsrpt sample`: what it writes, and what it refuses."""

from __future__ import annotations

import json
import mailbox
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tlsrpt.cli.sample import command

FLEET = ["--until", "2026-03-31", "--days", "2"]


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(command, [str(arg) for arg in args])


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_report_goes_to_standard_output_and_to_a_file_alike(tmp_path: Path) -> None:
    args = ("report", "--sender", "microsoft", "--fault", "certificate-expired", "--date", "2026-03-03")
    printed = run(*args)
    assert printed.exit_code == 0
    assert printed.stdout_bytes.startswith(b"From: <tlsrpt-noreply@microsoft.com>\r\n")
    assert run(*args, "-o", tmp_path / "x.eml").exit_code == 0
    assert (tmp_path / "x.eml").read_bytes() == printed.stdout_bytes


def test_a_report_is_about_yesterday_unless_told_otherwise() -> None:
    result = CliRunner().invoke(command, ["report", "--form", "json"], env={"TLSRPT_TODAY": "2026-03-04"})
    assert json.loads(result.stdout)["date-range"]["start-datetime"] == "2026-03-03T00:00:00Z"


def test_a_fault_that_the_sender_does_not_tell_of_is_noted() -> None:
    result = run("report", "--sender", "postfix", "--fault", "mx-not-in-policy", "--form", "json")
    assert result.exit_code == 0
    assert "postfix does not report a failure for mx-not-in-policy" in result.stderr


@pytest.mark.parametrize(
    ("args", "says"),
    [
        pytest.param(["report", "--sender", "gogle"], "did you mean 'google'", id="sender"),
        pytest.param(["report", "--fault", "certificate-expird"], "did you mean 'certificate-expired'", id="fault"),
        pytest.param(["report", "--fault", "silent"], "not known", id="a silent sender has no report to show"),
        pytest.param(["report", "--sender", "mailru", "--policy", "none"], "sends no report on this", id="no report"),
        pytest.param(["report", "--date", "2026-02-30"], "is no day", id="no day"),
        pytest.param(["report", "--date", "9999-12-31"], "is not between", id="end of the calendar"),
        pytest.param(["report", "--domain", "a b"], "no domain name", id="no domain"),
        pytest.param(["corpus", "x", "--reports", "0"], "0 is not in the range", id="no reports"),
    ],
)
def test_what_can_not_be_made_is_said_in_one_line(args: list[str], says: str) -> None:
    result = run(*args)
    assert result.exit_code == 2
    assert says in result.stderr


def test_today_in_the_environment_is_checked_like_an_option() -> None:
    result = CliRunner().invoke(command, ["report"], env={"TLSRPT_TODAY": "soon"})
    assert result.exit_code == 2
    assert "'soon' is no day" in result.stderr


def test_the_list_names_senders_and_faults() -> None:
    listed = run("--list").stdout
    assert "  microsoft " in listed
    assert "  certificate-expired " in listed


def test_a_fleet_says_what_was_planted(tmp_path: Path) -> None:
    text = run("fleet", tmp_path / "a", *FLEET)
    assert text.exit_code == 0
    assert "the certificate of mx2.hosting.example expired" in text.stdout
    made = json.loads(run("fleet", tmp_path / "b", *FLEET, "--json").stdout)
    assert {fault["kind"] for fault in made["faults"]} == {
        "certificate-expired",
        "starttls-not-supported",
        "mx-not-in-policy",
    }
    assert made["reports"] == len(files(tmp_path / "b")) > 50
    assert files(tmp_path / "a") == files(tmp_path / "b")


@pytest.mark.parametrize("form", ["eml", "json", "json.gz"])
def test_files_are_named_as_the_rfc_asks(tmp_path: Path, form: str) -> None:
    """R5.1-01: two domains, two stamps, an id."""
    run("corpus", tmp_path / "out", "--reports", "5", "--until", "2026-03-31", "--form", form)
    names = files(tmp_path / "out")
    assert len(names) == 5
    assert all(name.endswith(f".{form}") and name.count("!") == 4 for name in names)


def test_a_maildir_and_an_mbox_hold_the_same_mails(tmp_path: Path) -> None:
    for form in "maildir", "mbox":
        assert run("fleet", tmp_path / form, *FLEET, "--form", form).exit_code == 0
    in_folder = {message["Message-ID"] for message in mailbox.Maildir(tmp_path / "maildir", create=False)}
    in_file = [message["Message-ID"] for message in mailbox.mbox(tmp_path / "mbox", create=False)]
    assert in_folder == set(in_file)
    assert len(in_file) == len(in_folder) > 50


@pytest.mark.parametrize("form", ["eml", "maildir", "mbox"])
def test_what_is_there_is_not_written_over_unasked(tmp_path: Path, form: str) -> None:
    args = ("corpus", tmp_path / "out", "--reports", "3", "--until", "2026-03-31", "--form", form)
    assert run(*args).exit_code == 0
    before = files(tmp_path)
    refused = run(*args, "--seed", "2")
    assert refused.exit_code == 2
    assert "is not empty; add --force" in refused.stderr
    assert files(tmp_path) == before
    assert run(*args, "--force").exit_code == 0
    assert files(tmp_path) == before


def test_a_place_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert "is no folder" in run("fleet", tmp_path / "file", *FLEET).stderr
    assert "is a folder" in run("fleet", tmp_path, *FLEET, "--form", "mbox").stderr
    result = run("report", "-o", tmp_path / "none" / "x.eml")
    assert result.exit_code == 1
    assert "No such file or directory" in result.stderr

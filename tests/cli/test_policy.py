"""`tlsrpt policy lint` and `make`: record and file told apart, exit codes, parts for scripts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.command import tlsrpt

POLICY = "version: STSv1\nmode: testing\nmx: mx1.example.com\nmax_age: 86400\n"
RECORD = "v=STSv1; id=20260115T093000"


@pytest.mark.parametrize(
    ("args", "form", "verdict", "code"),
    [
        ([RECORD], "mta-sts-record", "ok", 0),
        ([RECORD, "x"], "mta-sts-record", "warning", 1),
        ([POLICY], "mta-sts-policy", "ok", 0),
        (["--mx", "mx1.example.com", POLICY], "mta-sts-policy", "ok", 0),
        (["--mx", "mx2.example.com", POLICY], "mta-sts-policy", "warning", 1),
        (["--zone-text", f'_mta-sts.example.com. 300 IN TXT "{RECORD}"'], "zone-text", "ok", 0),
        (["v=STSv1"], "mta-sts-record", "ignored", 1),
    ],
)
def test_record_and_policy_are_told_apart_by_their_content(args: list[str], form: str, verdict: str, code: int) -> None:
    run = tlsrpt("policy", "lint", "--json", *args)
    result = json.loads(run.stdout)
    assert (result["form"], result["verdict"], run.returncode) == (form, verdict, code)


def test_a_record_and_a_policy_given_together_are_two_results() -> None:
    run = tlsrpt("policy", "lint", "--json", RECORD, POLICY)
    assert [json.loads(line)["form"] for line in run.stdout.splitlines()] == ["mta-sts-record", "mta-sts-policy"]


def test_a_file_is_linted_whole(tmp_path: Path) -> None:
    """CRLF is right (D-34); the second newline at the end is not (D-35)."""
    file = tmp_path / "mta-sts.txt"
    file.write_bytes(POLICY.replace("\n", "\r\n").encode())
    assert tlsrpt("policy", "lint", "--file", file).returncode == 0
    file.write_bytes(POLICY.encode() + b"\n")
    run = tlsrpt("policy", "lint", "--file", file)
    assert run.returncode == 1
    assert "blank-line at line 5, column 1" in run.stdout


def test_lint_proposes_a_new_id_where_none_is_there() -> None:
    corrected = json.loads(tlsrpt("policy", "lint", "--json", "v=STSv1").stdout)["corrected"]
    assert tlsrpt("policy", "lint", corrected).returncode == 0


def test_make_prints_the_record_the_file_the_servers_and_the_steps() -> None:
    text = tlsrpt("policy", "make", "example.com", "--mx", "mx1.example.com", "--mx", "*.in.example.net").stdout
    wanted = ["mode: testing", "mx: *.in.example.net", "_mta-sts.example.com. 3600 IN TXT", "nginx", "caddy", "apache"]
    assert all(part in text for part in wanted)
    assert [head in text for head in ("Do this, in this order", "to change MX hosts", "To leave MTA-STS")] == [True] * 3


def test_what_make_writes_lint_finds_ok() -> None:
    made = ("policy", "make", "example.com", "--mx", "mx1.example.com", "--mode", "enforce", "--id", "a1")
    parts = [tlsrpt(*made, "--only", part).stdout for part in ("record", "file")]
    assert parts[0] == "v=STSv1; id=a1\n"
    assert tlsrpt("policy", "lint", "--mx", "mx1.example.com", parts[0].strip(), parts[1]).returncode == 0
    assert json.loads(tlsrpt(*made, "--json").stdout)["policy"] == parts[1]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["make", "example.com", "--resolver", "127.0.0.1@1"], "--mx"),
        (["make", "example.com", "--mx", "mx1.example.com", "--id", "a-b"], "letters and digits"),
        (["make", "example.com", "--mx", "a b"], "no domain name"),
        (["make", "example.com", "--mx", "mx1.example.com", "--max-age", "99999999"], "--max-age"),
        (["lint"], "TEXT"),
    ],
)
def test_wrong_usage_is_one_clear_line(args: list[str], said: str) -> None:
    run = tlsrpt("policy", *args)
    assert (run.returncode, run.stdout) == (2, "")
    assert said in run.stderr


def test_check_takes_a_list_and_says_which_line_is_no_domain() -> None:
    """Many at once, from standard input, as CSV; a line that is no domain is a row like the others."""
    done = tlsrpt("policy", "check", "--csv", "--resolver", "127.0.0.1@9", stdin=b"example.com\nno domain!\n# note\n")
    rows = [line.split(",")[:2] for line in done.stdout.splitlines()]
    assert rows == [["domain", "verdict"], ["example.com", "unknown"], ["no domain!", "unknown"]]
    assert done.returncode == 3

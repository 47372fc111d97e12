"""`tlsrpt record check` and `policy check`: many domains, in order, for people, spreadsheets and CI."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.nameserver import Habits, name_server, txt
from tlsrpt.cli import policy_check, record_check

RECORD = "v=TLSRPTv1; rua=mailto:tls@example.com"
ZONE = {
    "example.com": {"SOA": ["ns1.example.com. h.example.com. 1 3600 600 86400 300"], "MX": ["10 mx1.example.com."]},
    "mx1.example.com": {"A": ["192.0.2.25"]},
    "_smtp._tls.example.com": {"TXT": [txt(RECORD)]},
    "xn--bcher-kva.example": {"MX": ["10 mx1.example.com."]},
    "_smtp._tls.xn--bcher-kva.example": {"TXT": [txt("v=TLSRPTv1, rua=mailto:tls@example.com")]},
    "broken.example": {"MX": ["10 mx1.example.com."]},
    "evil.example": {"MX": ["10 mx1.example.com."]},
    "_smtp._tls.evil.example": {"TXT": [txt("=cmd|'/c calc'!A1 \x1b[2J\u202e")]},
}
HABITS = {"_smtp._tls.broken.example": "SERVFAIL"}


def check(*args: str, stdin: str | None = None) -> Result:
    with name_server(ZONE, Habits(rcodes=HABITS)) as server:
        argv = ["--resolver", f"127.0.0.1@{server.port}", *args]
        return CliRunner().invoke(record_check.command, argv, input=stdin)


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["example.com"], 0),
        (["bücher.example"], 1),
        (["broken.example"], 3),
        (["example.com", "broken.example"], 3),
        (["broken.example", "bücher.example"], 1),
        (["not a domain"], 2),
        (["--csv", "--json", "example.com"], 2),
        (["--probe", "example.com"], 2),
    ],
)
def test_the_exit_code_is_for_ci(args: list[str], code: int) -> None:
    """0 ok, 1 findings, 2 usage, 3 unknown; what is certain outweighs what is not known."""
    assert check("--record-only", *args).exit_code == code


def test_json_is_one_object_a_line_in_the_order_asked() -> None:
    result = check("--json", "bücher.example", "example.com", "broken.example")
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(one["domain"], one["verdict"], one["found"]) for one in found] == [
        ("xn--bcher-kva.example", "ignored", True),
        ("example.com", "ok", True),
        ("broken.example", "unknown", None),
    ]
    assert found[0]["corrected"] == RECORD
    assert found[1]["name"] == "_smtp._tls.example.com"
    keys = {"input", "verdict", "findings", "corrected", "domain", "name", "servers", "found"}
    assert all(keys <= set(one) for one in found)


def test_domains_come_from_a_file_or_standard_input(tmp_path: Path) -> None:
    """One a line, comments and blank lines left out; a line that is no domain is told, and the others are checked."""
    text = "# ours\n\nexample.com\nnot a domain\nbücher.example\n"
    (tmp_path / "domains").write_text(text)
    piped = check("--json", "--record-only", stdin=text)
    filed = check("--json", "--record-only", "--file", str(tmp_path / "domains"))
    verdicts = [json.loads(line)["verdict"] for line in piped.stdout.splitlines()]
    assert verdicts == ["ok", "unknown", "ignored"]
    assert [json.loads(line)["verdict"] for line in filed.stdout.splitlines()] == verdicts
    assert json.loads(piped.stdout.splitlines()[1])["findings"][0]["where"] == "line 4"


def test_csv_is_a_line_for_each_domain() -> None:
    rows = list(csv.DictReader(io.StringIO(check("--csv", "example.com", "bücher.example").stdout)))
    assert [row["verdict"] for row in rows] == ["ok", "ignored"]
    assert rows[1]["findings"] == "comma-after-version"
    assert rows[1]["corrected"] == RECORD


def test_what_a_record_holds_can_do_no_harm() -> None:
    """Terminal, JSON and CSV: the record is written by strangers."""
    for args in ([], ["--json"], ["--csv"]):
        said = check("--record-only", *args, "evil.example").stdout
        assert "\x1b" not in said
        assert "\u202e" not in said
    row = next(iter(csv.DictReader(io.StringIO(said))))
    assert row["record"].startswith("'=")


def test_a_person_reads_verdict_findings_and_what_to_publish() -> None:
    said = check("bücher.example").stdout
    for part in ("bücher.example: ignored", "comma-after-version", "Corrected", RECORD, "the resolver"):
        assert part in said
    many = check("--record-only", "example.com", "broken.example").stdout
    assert "2 domains: 1 ok, 1 unknown" in many


def test_a_policy_is_checked_by_the_same_rules() -> None:
    with name_server(ZONE) as server:
        argv = ["--resolver", f"127.0.0.1@{server.port}", "--json", "example.com"]
        result = CliRunner().invoke(policy_check.command, argv)
    found = json.loads(result.stdout)
    assert (found["name"], found["found"], result.exit_code) == ("_mta-sts.example.com", False, 1)
    assert CliRunner().invoke(policy_check.command, ["--resolver", "nonsense", "example.com"]).exit_code == 2

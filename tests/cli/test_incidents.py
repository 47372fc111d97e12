"""`tlsrpt incidents` as a user has it: the list, one whole, a word said of it, and nothing wrong."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import tlsrpt
from tests.store.builders import a_detail, a_report, an_arrival, an_entry, incoming
from tlsrpt.store.rows import prepare
from tlsrpt.store.sqlite import open_store

KEYS = {
    "id", "domains", "policy_types", "result_types", "place", "state", "mark", "first_seen", "last_seen", "sessions",
    "senders", "headline", "consequence", "side", "causes", "steps", "verify", "evidence",
}  # fmt: skip
EVIL = 'mx1.\x1b[31m"><script>alert(1)</script>\u202e.example'


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """An expired certificate on two days, told by one sender."""
    path = tmp_path / "tlsrpt.db"
    policy = ("version: STSv1", "mode: enforce", "mx: *.meadow.example", "max_age: 86400")
    detail = a_detail(failed=5, receiving_mx_hostname="mx1.meadow.example", receiving_ip="192.0.2.25")
    entry = an_entry(successful=10, failed=5, details=(detail,), policy_string=policy)
    with open_store(str(path), create=True) as opened:
        opened.keep([prepare(an_arrival(a_report(entry, day=day, report_id=f"{day}"))) for day in (0, 1)])
    return path


def listed(store: Path, *args: str, today: str = "2026-03-03") -> list[dict[str, Any]]:
    done = tlsrpt("incidents", "--store", store, "--today", today, "--json", *args)
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_list_as_json_has_what_is_promised(store: Path) -> None:
    (incident,) = listed(store)
    assert incident.keys() >= KEYS
    assert incident["sessions"] == {"failed": 10, "total": 30, "joined": 0, "proven": 0}
    assert incident["side"].keys() == {"party", "confidence", "reasons"}
    assert (incident["state"], incident["mark"], incident["consequence"]) == ("open", "none", "refused")
    assert incident["first_seen"] == "2026-03-01"
    assert [row["report"] for row in incident["evidence"]] == [2, 1]
    assert incident["causes"][0]["code"] == incident["cause"]["code"] == "renewed-not-reloaded"


def test_one_is_told_whole_in_the_order_in_which_it_is_needed(store: Path) -> None:
    (incident,) = listed(store)
    done = tlsrpt("incidents", incident["id"][:4], "--store", store, "--today", "2026-03-03")
    assert done.returncode == 0
    order = [
        "shows an expired certificate; its mail to meadow.example is refused", "open:", "10 failed sessions of 30", "Where:",
        "Effect:", "Whose side:", "Causes that come into question", "Do this:", "Check:", "Mended when:",
        "To forward", "Evidence", "What it means",
    ]  # fmt: skip
    places = [" ".join(done.stdout.split()).find(words) for words in order]
    assert -1 not in places, order[places.index(-1)]
    assert places == sorted(places)
    commands = [line for line in done.stdout.splitlines() if "openssl" in line]
    assert all(len(line) <= 80 for line in done.stdout.splitlines() if line not in commands)


def test_a_word_said_of_it_is_kept_until_it_is_seen_again(store: Path) -> None:
    (incident,) = listed(store)
    said = listed(store, incident["id"], "--resolved", "--note", "renewed")
    assert [(each["mark"], each["note"]) for each in said] == [("resolved", "renewed")]
    text = tlsrpt("incidents", "--store", store, "--today", "2026-03-03").stdout
    assert "0 incidents open, 0 to watch, 0 quiet, 1 marked" in text
    assert listed(store, incident["id"], "--ignore-until", "2026-04-01")[0]["mark_until"] == "2026-04-01"
    assert listed(store, today="2026-04-01")[0]["mark"] == "none"
    assert listed(store, incident["id"], "--reopen")[0]["mark"] == "none"


def test_failures_are_the_same_incidents_in_some_days_alone(store: Path) -> None:
    (whole,) = listed(store)
    done = tlsrpt("failures", "--store", store, "--since", "2026-03-02", "--today", "2026-03-03", "--json")
    (part,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert part["id"] == whole["id"]
    assert (part["sessions"]["failed"], whole["sessions"]["failed"]) == (5, 10)
    assert listed(store, "--since", "2026-03-02")[0]["sessions"]["failed"] == 10


def test_where_nothing_is_wrong_it_says_so_and_accuses_nobody(tmp_path: Path) -> None:
    path = tmp_path / "fine.db"
    with open_store(str(path), create=True) as opened:
        opened.keep([prepare(an_arrival(a_report(an_entry("no-policy-found", successful=7))))])
    done = tlsrpt("incidents", "--store", path, "--today", "2026-03-03")
    assert "Nothing is wrong: 1 report of 1 sender" in " ".join(done.stdout.split())
    assert "side" not in done.stdout
    empty = tlsrpt("incidents", "--store", path, "--today", "2027-01-01")
    assert "No report from" in empty.stdout


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        pytest.param(["zzzzzzz"], 3, "no such incident", id="unknown id"),
        pytest.param(["--resolved"], 2, "need the ID", id="a mark of nothing"),
        pytest.param(["abc", "--resolved", "--reopen"], 2, "exclude each other", id="two words"),
        pytest.param(["abc", "--ignore-until", "2026-01-01"], 2, "not after today", id="a day gone by"),
        pytest.param(["abc", "--ignore-until", "soon"], 2, "no day", id="no day"),
    ],
)
def test_what_can_not_be_said_is_refused_in_one_line(store: Path, args: list[str], code: int, words: str) -> None:
    done = tlsrpt("incidents", *args, "--store", store, "--today", "2026-03-03")
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_in_a_report_can_steer_the_terminal_or_fill_a_command(tmp_path: Path) -> None:
    path = tmp_path / "evil.db"
    detail = a_detail("validation-failure", 5, receiving_mx_hostname=EVIL, failure_reason_code=EVIL, receiving_ip=EVIL)
    entry = an_entry(successful=1, failed=5, details=(detail,), policy_domain="meadow.example")
    report = a_report(entry, organization_name=EVIL, contact_info=EVIL)
    with open_store(str(path), create=True) as opened:
        opened.keep([prepare(an_arrival(incoming(report, report_domain=EVIL)))])
    (incident,) = listed(path)
    whole = tlsrpt("incidents", incident["id"], "--store", path, "--today", "2026-03-03").stdout
    for text in (whole, tlsrpt("incidents", "--store", path, "--today", "2026-03-03").stdout):
        assert all(character == "\n" or character.isprintable() for character in text)
        assert not any("script" in line for line in text.splitlines() if "openssl" in line or "curl" in line)


def test_an_incident_outside_the_days_asked_for_is_named(store: Path) -> None:
    (incident,) = listed(store)
    listed(store, incident["id"], "--note", "known")
    done = tlsrpt("incidents", incident["id"], "--store", store, "--today", str(date(2027, 1, 1)))
    assert done.returncode == 3
    assert "add --since 2026-03-02" in done.stderr

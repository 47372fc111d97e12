"""`tlsrpt senders`: what a person reads and what a program gets."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from tests.cli.command import tlsrpt
from tests.insight.test_coverage import BROKEN_ON_THE_WAY, DAY, NULL_CONTACT, keep
from tlsrpt.store.sqlite import open_store

TODAY = DAY + timedelta(days=61)
KEYS = {
    "sender", "organization_name", "contact_info", "state", "why", "loop", "rhythm", "signed_state", "window", "late", "proven",
    "first_day", "last_day", "days", "reports", "sessions", "domains",
}  # fmt: skip


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A large sender, one that ceased, one in a loop, one that steers terminals and spreadsheets."""
    path = tmp_path_factory.mktemp("senders") / "tlsrpt.db"
    with open_store(str(path), create=True) as store:
        keep(
            store,
            "big.example",
            range(60),
            good=4000,
            failed=7,
            proven=True,
            findings=(NULL_CONTACT, BROKEN_ON_THE_WAY),
        )
        keep(store, "big.example", range(20), domain="orchard.example")
        keep(store, "ceased.example", range(40))
        keep(store, "loop.example", range(60), good=1)
        keep(store, "evil\x1b[31m.example", range(57, 60))
    return path


def run(path: Path, *args: str) -> str:
    done = tlsrpt("senders", *args, TLSRPT_STORE=str(path), TLSRPT_TODAY=str(TODAY))
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_table_fits_and_begins_with_what_asks_for_a_look(path: Path) -> None:
    text = run(path)
    lines = text.splitlines()
    assert lines[0] == "2026-02-01 to 2026-05-01: 4 senders, 1 silent"
    assert [line.split("  ")[0] for line in lines[3:7]] == [
        "ceased.example",
        "big.example",
        r"evil\x1b[31m.example",
        "loop.example",
    ]
    assert "silent 20 days" in lines[3]
    assert max(map(len, lines)) <= 80
    assert "Nobody reports any more on orchard.example (last 2026-03-20)" in text
    assert "What reports can't tell" in text
    assert "\x1b" not in text
    assert "What reports" not in run(path, "-q")


def test_json_holds_what_is_promised(path: Path) -> None:
    found = {one["sender"]: one for one in map(json.loads, run(path, "--json").splitlines())}
    assert set(found) == {"big.example", "ceased.example", "loop.example", "evil\x1b[31m.example"}
    assert all(set(one) == KEYS for one in found.values())
    big = found["big.example"]
    assert big["rhythm"] == {
        "kind": "daily", "days": 60, "span": 60, "longest_break": 1, "break": 0, "limit": 3, "expected": "2026-04-29",
    }  # fmt: skip
    assert (big["sessions"], big["domains"], big["proven"]) == ({"failed": 420, "total": 240620}, 2, "some")
    assert big["late"] == {"usual_hours": 6, "most_hours": 6, "longest_hours": 6, "reports": 14}


def test_one_domain_of_it(path: Path) -> None:
    found = [json.loads(line) for line in run(path, "--json", "--domain", "orchard.example").splitlines()]
    assert [(one["sender"], one["state"], one["domains"]) for one in found] == [("big.example", "silent", None)]


def test_csv_has_a_line_a_sender(path: Path) -> None:
    head, *rows = run(path, "--csv").splitlines()
    assert head.startswith("sender,organization_name,contact_info,state,loop,rhythm,")
    assert len(rows) == 4


def test_one_sender_whole_by_a_part_of_its_name(path: Path) -> None:
    text = run(path, "BIG")
    assert text.splitlines()[0] == "big.example, 2026-02-01 to 2026-05-01"
    assert max(map(len, text.splitlines())) <= 80
    assert "silent 40 days" in text  # on orchard.example
    assert "To send to tls@big.example:" in text
    assert "contact-info is null, at contact-info" in text
    whole = json.loads(run(path, "big.example", "--json"))
    assert set(whole) == KEYS | {"by_domain", "by_policy_type", "deviations", "words"}
    assert [(one["domain"], one["state"]) for one in whole["by_domain"]] == [
        ("orchard.example", "silent"),
        ("meadow.example", "reporting"),
    ]
    assert [(one["code"], one["reports"], one["senders_fault"]) for one in whole["deviations"]] == [
        ("mime-boundary", 60, False),
        ("null-contact-info", 60, True),
    ]


@pytest.mark.parametrize(
    ("name", "said"),
    [("nobody", "no sender 'nobody' in these days"), (".example", "fits several: ceased.example, big.example")],
)
def test_a_name_that_fits_none_or_several_is_refused(path: Path, name: str, said: str) -> None:
    done = tlsrpt("senders", name, TLSRPT_STORE=str(path), TLSRPT_TODAY=str(TODAY))
    assert done.returncode == 2
    assert said in done.stderr
    assert "\x1b" not in done.stderr


def test_csv_is_for_the_list(path: Path) -> None:
    done = tlsrpt("senders", "big", "--csv", TLSRPT_STORE=str(path), TLSRPT_TODAY=str(TODAY))
    assert done.returncode == 2
    assert "--csv is for the list of senders" in done.stderr


def test_an_empty_answer_names_the_store(path: Path) -> None:
    text = run(path, "--until", "2026-01-01", "--since", "30d")
    assert "no report in" in text
    assert str(path)[-20:] in text.replace("\n", "")

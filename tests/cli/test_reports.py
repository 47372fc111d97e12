"""`tlsrpt reports` and `tlsrpt show`: who is proven to speak, and what counts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.cli.command import tlsrpt
from tests.store.builders import a_report, an_arrival, an_entry, incoming
from tlsrpt.store.rows import prepare
from tlsrpt.store.sqlite import open_store

ALL = ("--since", "2026-01-01", "--today", "2026-03-05")
KINDS: list[dict[str, Any]] = [
    {"dkim": "pass", "dkim_domain": "sender.example"},
    {"dkim": "pass-other", "dkim_domain": "list.example"},
    {"dkim": "none"},
    {},
    {"foreign": True, "dkim": "fail"},
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with a report of each kind, and with two that conflict."""
    with open_store(str(tmp_path / "s.db"), create=True) as store:
        for n, kind in enumerate(KINDS, 1):
            one = msgspec.structs.replace(incoming(a_report(report_id=str(n))), **kind)
            store.keep([prepare(an_arrival(one, raw=str(n).encode()))])
        store.keep([prepare(an_arrival(a_report(an_entry(successful=99), report_id="4")))])
    return tmp_path / "s.db"


def ids(path: Path, *args: str) -> list[int]:
    done = tlsrpt("reports", "--store", path, "--json", *ALL, *args)
    assert done.returncode == 0, done.stderr
    return sorted(json.loads(line)["id"] for line in done.stdout.splitlines())


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ((), [1, 2, 3, 4, 5, 6]),
        (("--dkim", "pass"), [1]),
        (("--dkim", "pass-other"), [2]),
        (("--unproven",), [2, 3, 4, 5, 6]),
        (("--standing", "counted"), [1, 2, 3, 4]),
        (("--standing", "conflict"), [6]),
        (("--standing", "foreign"), [5]),
        (("--unproven", "--standing", "counted", "--dkim", "none"), [3]),
    ],
)
def test_reports_are_chosen_by_proof_and_standing(path: Path, args: tuple[str, ...], expected: list[int]) -> None:
    assert ids(path, *args) == expected


def test_the_list_says_what_is_proven_and_what_counts(path: Path) -> None:
    lines = tlsrpt("reports", "--store", path, *ALL).stdout.splitlines()
    assert lines[0].split() == ["id", "day", "sender", "domain", "good", "failed", "notes", "DKIM"]
    ends = {line.split()[0]: line.split()[8:] for line in lines[1:]}
    assert ends == {
        "6": ["-", "conflict"],
        "5": ["fail", "foreign"],
        "4": ["-"],
        "3": ["none"],
        "2": ["other"],
        "1": ["pass"],
    }
    assert max(map(len, lines)) <= 80
    told = {
        one["id"]: one
        for one in map(json.loads, tlsrpt("reports", "--store", path, "--json", *ALL).stdout.splitlines())
    }
    assert [told[n]["counted"] for n in range(1, 7)] == [True, True, True, True, False, False]
    assert (told[2]["dkim"], told[2]["dkim_domain"], told[2]["standing"]) == ("pass-other", "list.example", "counted")


@pytest.mark.parametrize(
    ("id_", "said"),
    [
        (1, "DKIM: pass: signed by sender.example, which proves the sender"),
        (2, "DKIM: pass-other: signed by list.example, which proves nothing of the sender"),
        (3, "DKIM: none: no signature"),
        (4, "DKIM: nobody looked"),
        (5, "Not counted: it is for domains that are not in [domains] own; see `tlsrpt domains`"),
        (6, "Conflict: report 4 has the same identity and other values"),
    ],
)
def test_one_report_says_it_in_words(path: Path, id_: int, said: str) -> None:
    assert said in " ".join(tlsrpt("show", id_, "--store", path).stdout.split())
    told = json.loads(tlsrpt("show", id_, "--json", "--store", path).stdout)
    assert told["standing"] == ("foreign" if id_ == 5 else "conflict" if id_ == 6 else "counted")

"""`tlsrpt domains`: ours with and without reports, and those of others."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from tests.cli.command import tlsrpt
from tests.store.builders import a_report, an_arrival, an_entry, incoming
from tlsrpt.cli.domains import pattern_of
from tlsrpt.core.owned import Owned
from tlsrpt.store.rows import prepare
from tlsrpt.store.sqlite import open_store

TODAY = ("--today", "2026-03-05")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    with open_store(str(tmp_path / "s.db"), create=True) as store:
        for n, domain in enumerate(["meadow.example", "meadow.example", "a.fleet.example", "mx.provider.example"]):
            store.keep([prepare(an_arrival(a_report(an_entry(policy_domain=domain), report_id=str(n))))])
        for n, domain in enumerate(["xn--bcher-kva.example", "xn--bcher-kva.example", "made-up.example"]):
            one = incoming(a_report(an_entry(policy_domain=domain), report_id=f"f{n}"))
            one = msgspec.structs.replace(one, foreign=True, dkim="pass" if n == 0 else None)
            store.keep([prepare(an_arrival(one))])
    path = tmp_path / "c.toml"
    (tmp_path / "own").write_text("silent.example\n*.fleet.example\n")
    path.write_text(
        f'[store]\nurl = "{tmp_path}/s.db"\n[domains]\nown = ["meadow.example"]\nown_file = "{tmp_path}/own"\n'
    )
    return path


def test_ours_and_others_are_told_apart(config: Path) -> None:
    done = tlsrpt("domains", "--config", config, *TODAY)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["meadow.example", "2", "1", "2026-03-01"] in rows
    assert ["a.fleet.example", "1", "1", "2026-03-01", "*.fleet.example"] in rows
    assert ["silent.example"] in rows
    assert ["bücher.example", "2", "1", "2026-03-02"] in rows
    assert "You also receive reports for:" in done.stdout
    assert 'own = [..., "xn--bcher-kva.example"]' in " ".join(done.stdout.split()), "the proven one is offered"


def test_json_has_a_line_for_each(config: Path) -> None:
    lines = [json.loads(line) for line in tlsrpt("domains", "--json", "--config", config, *TODAY).stdout.splitlines()]
    assert [(one["domain"], one["own"], one["pattern"], one["reports"], one["proven"]) for one in lines] == [
        ("meadow.example", True, "meadow.example", 2, None),
        ("a.fleet.example", True, "*.fleet.example", 1, None),
        ("mx.provider.example", True, None, 1, None),
        ("silent.example", True, "silent.example", 0, None),
        ("xn--bcher-kva.example", False, None, 2, 1),
        ("made-up.example", False, None, 1, 0),
    ]


def test_where_all_are_ours_none_is_anothers(config: Path) -> None:
    done = tlsrpt("domains", "--store", config.with_name("s.db"), *TODAY)
    assert "Every domain is taken for yours" in done.stdout
    assert "meadow.example" in done.stdout


def test_a_period_without_reports_leaves_them_silent(config: Path) -> None:
    done = tlsrpt("domains", "--config", config, "--since", "2d", *TODAY)
    assert "Reported on from 2026-03-04 to 2026-03-05: none" in done.stdout
    assert "*.fleet.example, meadow.example, silent.example" in done.stdout


def test_a_bad_line_of_the_list_is_named(config: Path) -> None:
    config.with_name("own").write_text("fine.example\nnot fine\n")
    done = tlsrpt("domains", "--config", config)
    assert done.returncode == 2
    assert f"{config.with_name('own')} line 2: " in done.stderr


@pytest.mark.parametrize(
    ("patterns", "domain", "pattern"),
    [
        (["a.example"], "a.example", "a.example"),
        (["*.example", "*.a.example"], "b.a.example", "*.a.example"),
        (["*.a.example"], "a.example", None),
        (["b.example"], "a.example", None),
        (["*.example"], "", None),
    ],
)
def test_a_domain_is_ours_by_the_nearest_pattern(patterns: list[str], domain: str, pattern: str | None) -> None:
    assert pattern_of(Owned.of(patterns), domain) == pattern

"""`tlsrpt summary`: what stands out stands at its end."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from tests.cli.command import tlsrpt
from tests.insight.test_coverage import DAY, keep
from tlsrpt.store.sqlite import open_store

BROKEN = 60


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty days with a failure now and then; on the last, half of the sessions failed."""
    path = tmp_path_factory.mktemp("summary") / "tlsrpt.db"
    with open_store(str(path), create=True) as store:
        keep(store, "big.example", range(BROKEN), good=150, failed=1)
        keep(store, "big.example", [BROKEN], good=50, failed=50)
    return path


def run(path: Path, *args: str, days: int = BROKEN + 1) -> str:
    done = tlsrpt("summary", *args, TLSRPT_STORE=str(path), TLSRPT_TODAY=str(DAY + timedelta(days=days)))
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("args", [(), ("--by", "sender,day"), ("--domain", "meadow.example")])
def test_a_day_that_stands_out_is_told_at_the_end(path: Path, args: tuple[str, ...]) -> None:
    text = run(path, *args)
    assert text.splitlines()[-3:] == [
        "Stands out",
        "  2026-04-30 meadow.example: 50 of 100 sessions failed (50.0 %); on the 8",
        "    Thursdays before 0.7 %, and 1 on the worst day of 8 weeks.",
    ]


@pytest.mark.parametrize(
    ("args", "days"),
    [
        pytest.param((), BROKEN, id="of today nothing is told"),
        pytest.param((), BROKEN + 9, id="older than a week is no news"),
        pytest.param(("--until", "2026-04-29"), BROKEN + 1, id="not asked for"),
        pytest.param(("-q",), BROKEN + 1, id="quiet"),
        pytest.param(("--csv",), BROKEN + 1, id="a table"),
    ],
)
def test_nothing_is_told_where_nothing_is(path: Path, args: tuple[str, ...], days: int) -> None:
    assert "Stands out" not in run(path, *args, days=days)


def test_json_has_its_figures(path: Path) -> None:
    (one,) = json.loads(run(path, "--json"))["stands_out"]
    assert one["sessions"] == {"failed": 50, "total": 100}
    assert one["usual"] == {"failed": 8, "total": 1208, "weeks": 8, "worst": 1}
    assert 0 < one["chance"] <= 0.01
    assert set(one) == {"domain", "day", "sessions", "proven_failed", "usual", "chance", "sentence"}
    assert json.loads(run(path, "--json", "--until", "2026-04-29"))["stands_out"] == []

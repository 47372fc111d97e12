"""`tlsrpt health`: exit code, words, JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from tests.cli.command import tlsrpt
from tests.store.builders import a_report, an_arrival, an_entry, incoming
from tlsrpt.store.rows import prepare
from tlsrpt.store.sqlite import open_store
from tlsrpt.store.values import Fault, SourceState


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration with one source, and a store with one report and one broken one of an hour ago."""
    now = datetime.now(UTC)
    ours = incoming(a_report(an_entry(policy_domain="meadow.example"), report_id="1"))
    theirs = incoming(a_report(an_entry(policy_domain="harbour.example"), report_id="2"))
    with open_store(str(tmp_path / "s.db"), create=True) as store:
        for one in (ours, msgspec.structs.replace(theirs, foreign=True)):
            store.keep([prepare(an_arrival(one, received_at=now - timedelta(hours=1)))])
        store.keep([prepare(an_arrival(faults=(Fault(reason="no window"),), received_at=now))])
    path = tmp_path / "c.toml"
    path.write_text(
        f'[store]\nurl = "{tmp_path}/s.db"\n[domains]\nown = ["meadow.example"]\n'
        '[[source.https]]\nlisten = "127.0.0.1:8460"\n'
    )
    return path


def write_state(config: Path, state: str, age_s: float = 5, trouble: str = "") -> None:
    """As the service writes it down."""
    then = datetime.now(UTC) - timedelta(seconds=age_s)
    with open_store(str(config.with_name("s.db"))) as store:
        store.keep_source_states(
            [
                SourceState(
                    name="https",
                    kind="https",
                    state=state,
                    trouble=trouble,
                    since=then,
                    last_success=then,
                    updated_at=then,
                    outcomes={"new": 1_234, "quarantined": 1, "other": 7},
                )
            ]
        )


def test_a_running_service_is_healthy(config: Path) -> None:
    write_state(config, "working")
    done = tlsrpt("health", "--config", config)
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert lines[0] == "healthy"
    assert lines[1].startswith("service:    runs, seen ")
    assert lines[2] == "reports:    last 60 min ago; 2 in 24 hours, 2 in 7 days"
    assert lines[3] == "quarantine: 1 waiting"
    assert "working" in done.stdout
    assert "1,234" in done.stdout
    assert "harbour.example" in done.stdout
    assert tlsrpt("health", "-q", "--config", config).stdout == ""


@pytest.mark.parametrize(
    ("state", "age_s", "trouble", "said"),
    [
        ("trouble", 5, "login refused\x1b[31m", "error: source-trouble at https: login refused\\x1b[31m"),
        ("working", 600, "", "error: service-down at service: it does not run; last seen 10 min ago"),
        ("stopped", 5, "", "error: service-down at service: it was stopped"),
    ],
)
def test_what_needs_a_person_is_exit_1(config: Path, state: str, age_s: float, trouble: str, said: str) -> None:
    write_state(config, state, age_s, trouble)
    done = tlsrpt("health", "-q", "--config", config)
    assert done.returncode == 1
    assert said in done.stdout
    assert "\x1b" not in done.stdout


def test_json_has_all_of_it(config: Path) -> None:
    write_state(config, "working")
    told = json.loads(tlsrpt("health", "--json", "--config", config).stdout)
    assert (told["healthy"], told["running"]) == (True, True)
    assert told["reports"]["day"] == told["reports"]["week"] == 2
    assert told["quarantine"]["entries"] == 1
    assert told["sources"][0]["outcomes"]["new"] == 1_234
    assert [one["domain"] for one in told["foreign"]] == ["harbour.example"]
    assert told["store"]["path"] == str(config.with_name("s.db"))
    assert told["store"]["free_bytes"] > 0
    assert {one["code"] for one in told["findings"]} == {"quarantined", "foreign-domains"}


def test_a_store_that_can_not_be_used_is_exit_3(config: Path) -> None:
    done = tlsrpt("health", "--config", config, "--store", config.with_name("none.db"))
    assert (done.returncode, done.stdout) == (3, "")
    assert tlsrpt("health", "--config", config.with_name("none.toml")).returncode == 2


def test_without_a_source_nothing_has_to_run(config: Path) -> None:
    """A store that `ingest` fills."""
    done = tlsrpt("health", "--store", config.with_name("s.db"))
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "healthy")


def test_where_a_timer_looks_no_service_has_to_run(config: Path) -> None:
    assert tlsrpt("health", "--config", config).returncode == 1
    assert tlsrpt("health", "--once", "--config", config).returncode == 0

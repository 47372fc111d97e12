"""`tlsrpt readiness`, as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import tlsrpt
from tests.insight.scenarios import DOMAIN, LAST, MX2, TODAY, Scenario, at_mx2, at_policy, back, fill_store, told
from tests.insight.test_policies import CHANGED
from tlsrpt.core.sample import Truth

READINESS = {
    "domain", "verdict", "headline", "reasons", "steps", "proven_verdict", "period", "mode", "sessions", "share", "days",
    "senders", "incidents", "mx_hosts",
}  # fmt: skip
POLICIES = {
    "domain", "change", "headline", "reasons", "safe_from", "period", "newest", "older", "not_quoting",
}  # fmt: skip
READY = told(policies="testing")
BROKEN = told(at_mx2("certificate-expired", back(9)), policies="testing")
HELD = told(at_policy("stale-policy", back(3), senders=("google", "microsoft")), sites=(CHANGED,))


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    def made(name: str, truth: Truth) -> Path:
        path = tmp_path_factory.mktemp("readiness") / f"{name}.db"
        fill_store(Scenario(name=name, story="", truth=truth, days=30, form="json.gz"), path)
        return path

    return {"ready": made("ready", READY), "broken": made("broken", BROKEN), "held": made("held", HELD)}


def run(store: Path, *args: object) -> str:
    done = tlsrpt("readiness", DOMAIN, "--store", store, "--today", TODAY, *args)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def read(store: Path, *args: object) -> Any:
    return json.loads(run(store, "--json", *args))


def test_the_first_line_is_the_verdict(stores: dict[str, Path]) -> None:
    assert run(stores["ready"]).startswith(f"READY: {DOMAIN} may move to enforce: it would have refused none of ")
    broken = run(stores["broken"])
    assert broken.startswith(f"NOT READY: {DOMAIN} is not ready for enforce")
    assert "\n     tlsrpt incidents " in broken  # to be copied whole
    assert f"at {MX2})" in " ".join(broken.split())
    assert max(map(len, broken.splitlines())) <= 80


def test_json_has_the_promised_names(stores: dict[str, Path]) -> None:
    """docs/json.md."""
    found = read(stores["broken"])
    assert set(found) == READINESS
    assert (found["domain"], found["verdict"], found["mode"]) == (DOMAIN, "not-ready", "testing")
    assert set(found["reasons"][0]) == {"code", "bearing", "text"}
    assert set(found["senders"][0]) == {"sender", "days", "last_day", "loop", "sessions"}
    assert set(found["incidents"][0]) == {
        "id", "title", "place", "state", "first_seen", "last_seen", "failed", "sessions", "senders", "would", "noise",
    }  # fmt: skip
    assert found["mx_hosts"] == [{"name": MX2, "last_seen": str(LAST), "covered": True}]
    assert found["share"] == found["sessions"]["refused"] / found["sessions"]["total"]


def test_policies_say_who_holds_an_old_one(stores: dict[str, Path]) -> None:
    text = run(stores["held"], "--policies")
    assert text.startswith("NOT YET: Keep the MX hosts as they are: google.com and microsoft.com may still\n")
    assert f"lacks: {MX2}" in text
    found = read(stores["held"], "--policies")
    assert set(found) == POLICIES
    assert (found["change"], found["newest"]["mx"][1], found["older"][0]["lacks"]) == ("not-yet", MX2, [MX2])
    assert set(found["newest"]) == {
        "mode", "mx", "max_age", "policy_string", "first_day", "last_day", "sessions", "lacks", "senders",
    }  # fmt: skip
    assert set(found["older"][0]["senders"][0]) == {
        "sender", "first_day", "last_day", "sessions", "latest", "held_until",
    }  # fmt: skip
    assert run(stores["ready"], "--policies").startswith("SAFE: ")


def test_a_domain_without_reports_is_no_error(stores: dict[str, Path]) -> None:
    done = tlsrpt("readiness", "elsewhere.example", "--store", stores["ready"], "--today", TODAY)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("NOT ENOUGH SEEN: ")
    assert "tlsrpt record check elsewhere.example" in done.stdout
    policies = tlsrpt("readiness", "elsewhere.example", "--policies", "--store", stores["ready"], "--today", TODAY)
    assert policies.stdout.startswith("NOT ENOUGH SEEN: ")


def test_quiet_is_the_verdict_alone(stores: dict[str, Path]) -> None:
    assert len(run(stores["ready"], "-q").splitlines()) <= 2


def test_days_and_domains_as_people_write_them(stores: dict[str, Path]) -> None:
    capital = tlsrpt("readiness", f"{DOMAIN.upper()}.", "--store", stores["ready"], "--today", TODAY, "--since", "10d")
    assert capital.stdout.startswith("NOT ENOUGH SEEN: ")
    assert tlsrpt("readiness", "no domain", "--store", stores["ready"]).returncode == 2
    assert tlsrpt("readiness", DOMAIN, "--store", stores["ready"].with_name("none.db")).returncode == 3


def test_what_a_report_says_cannot_steer_the_terminal(tmp_path: Path) -> None:
    """Senders, hosts and policies are hostile."""
    document = {
        "organization-name": "evil\x1b[31m",
        "date-range": {"start-datetime": f"{LAST}T00:00:00Z", "end-datetime": f"{LAST}T23:59:59Z"},
        "contact-info": "evil\x1b[31m\u202e",
        "report-id": "1",
        "policies": [
            {
                "policy": {
                    "policy-type": "sts",
                    "policy-string": ["version: STSv1", "mode: testing", "mx: \x1b[31mmx\u202e.example", "max_age: 1"],
                    "policy-domain": DOMAIN,
                },
                "summary": {"total-successful-session-count": 1, "total-failure-session-count": 5},
                "failure-details": [
                    {
                        "result-type": "\x1b[31mmade-up",
                        "failed-session-count": 5,
                        "receiving-mx-hostname": "mx\x1b[31m.example",
                    }
                ],
            }
        ],
    }
    report = tmp_path / "report.json"
    report.write_text(json.dumps(document))
    store = tmp_path / "s.db"
    assert tlsrpt("ingest", report, "--store", store).returncode == 0
    for args in ((), ("--policies",), ("--json",), ("--policies", "--json")):
        text = run(store, *args)
        assert all(char.isprintable() or char == "\n" for char in text)

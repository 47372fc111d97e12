"""The scenario table: reports as senders write them in, the answer that an administrator needs out."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.insight.scenarios import MX2, SCENARIOS, TODAY, Answer, Scenario, arrivals, back, prepared, says
from tlsrpt.core.results import RESULT_TYPES
from tlsrpt.core.text import printable
from tlsrpt.insight.incident import Incident
from tlsrpt.insight.incidents import find_incidents
from tlsrpt.store.sqlite import Store, open_store

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
SINCE = back(29)
MANY = 10  # domains
HOLE = re.compile(r"(?<!%)\{[a-z_]+\}")  # %{...} is curl's
Made = Callable[[Scenario], Path]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Stores of scenarios, each filled once."""
    folder = tmp_path_factory.mktemp("scenarios")
    empty = folder / "empty.db"
    open_store(str(empty), create=True).close()

    def make(scenario: Scenario) -> Path:
        path = folder / f"{scenario.name}.db"
        if not path.exists():
            shutil.copy(empty, path)
            with open_store(str(path)) as store:
                store.keep(prepared(scenario))
        return path

    return make


@contextmanager
def opened(path: Path) -> Iterator[Store]:
    with open_store(str(path)) as store:
        yield store


def found_in(path: Path, **more: bool) -> list[Incident]:
    with opened(path) as store:
        return find_incidents(store, since=SINCE, until=TODAY, today=TODAY, evidence=5, **more)


def param(scenario: Scenario) -> Any:
    return pytest.param(scenario, id=scenario.name)


each_scenario = pytest.mark.parametrize("scenario", [param(each) for each in SCENARIOS])
each_answer = pytest.mark.parametrize("scenario", [param(each) for each in SCENARIOS if each.expected])


def differences(found: Incident, wanted: Answer) -> list[str]:
    """What is said otherwise than it should be, one line each."""
    said = {
        "place": (found.place, (wanted.place,) if wanted.place else ()),
        "state": (found.state, (wanted.state,)),
        "party": (found.side.party, wanted.party),
        "confidence": (found.side.confidence, wanted.confidence),
        "consequence": (found.consequence, (wanted.consequence,)),
        "cause": (found.causes[0].code, wanted.cause),
        "failed": (found.failed, _asked(wanted.failed)),
        "domains": (len(found.domains), _asked(wanted.domains)),
        "first_seen": (found.first_seen, _asked(wanted.first_seen)),
        "last_seen": (found.last_seen, _asked(wanted.last_seen)),
        "earlier": (len(found.earlier), _asked(wanted.earlier)),
        "addresses": (found.addresses, _asked(wanted.addresses or None)),
        "effects": (found.effects, _asked(wanted.effects or None)),
    }
    wrong = [f"{what}: {here!r}, not {right!r}" for what, (here, right) in said.items() if right and here not in right]
    wrong += [
        f"headline: no {word!r} in {found.headline!r}" for word in wanted.headline if not _in(word, found.headline)
    ]
    if not _in(wanted.step, found.steps[0]):
        wrong.append(f"steps[0]: no {wanted.step!r} in {found.steps[0]!r}")
    everything = "\n".join(texts(found))
    wrong += [f"no {clue!r} anywhere" for clue in wanted.clues if not _in(clue, everything)]
    return wrong


def _asked(value: object) -> tuple[object, ...]:
    return () if value is None else (value,)


def _in(word: str, text: str) -> bool:
    return word.lower() in text.lower()


def texts(incident: Incident) -> list[str]:
    """Every sentence that we made of what was reported."""
    causes = [
        text
        for cause in incident.causes
        for text in (cause.title, cause.explanation, *cause.evidence_for, *cause.evidence_against)
    ]
    return [
        incident.headline,
        incident.title,
        incident.state_reason,
        incident.consequence_text,
        *incident.side.reasons,
        *causes,
        *incident.steps,
        incident.verify,
        incident.expected,
        incident.confirmed,
        incident.forward,
        incident.ignore,
        incident.meaning,
    ]


@each_answer
def test_the_answer_is_right(scenario: Scenario, made: Made) -> None:
    """Headline, place, state, side, consequence, first cause and first step, of each incident and of no more."""
    found = found_in(made(scenario))
    assert [each.headline for each in found[len(scenario.expected) :]] == [], "more incidents than there are faults"
    assert len(found) == len(scenario.expected)
    wrong = [differences(*pair) for pair in zip(found, scenario.expected, strict=True)]
    assert not any(wrong), "\n".join(line for lines in wrong for line in lines)


@each_scenario
def test_the_command_says_the_same(scenario: Scenario, made: Made) -> None:
    """`tlsrpt incidents --json` prints a line for each, with the closed lists' values; the text holds each id."""
    path = made(scenario)
    found = found_in(path)
    lines = [json.loads(line) for line in says(path, "--json").splitlines()]
    assert [(line["id"], line["headline"], line["state"], line["place"]) for line in lines] == [
        (each.id, each.headline, each.state, each.place) for each in found
    ]
    text = says(path)
    for each in found:
        assert each.id in text
        assert each.id in says(path, each.id)


@each_scenario
def test_texts_are_filled_in_and_safe(scenario: Scenario, made: Made) -> None:
    """No control character reaches a sentence, and no place is left open in one."""
    for incident in found_in(made(scenario)):
        for text in texts(incident):
            for line in text.split("\n"):
                assert printable(line) == line
            assert scenario.form == "json" or not HOLE.search(text), text


@pytest.mark.parametrize("scenario", [param(each) for each in SCENARIOS if not each.expected])
def test_where_nothing_is_wrong_it_says_so_and_accuses_nobody(scenario: Scenario, made: Made) -> None:
    """A sentence or two that say so; no incident, and no host that somebody could take for the culprit."""
    text = says(made(scenario))
    assert found_in(made(scenario)) == []
    assert "1." not in text
    assert not any(host.name in text for site in scenario.truth.sites for host in site.hosts)
    assert says(made(scenario), "--json") == ""
    assert all(_in(word, " ".join(text.split())) for word in scenario.says), text


def test_without_unproven_reports_only_what_was_signed_is_told(made: Made) -> None:
    """A report that nobody signed is told of, and is not in the answer that leaves unproven ones out."""
    assert found_in(made(BY_NAME["a-conflict-and-nothing-proven"]), proven_only=True) == []
    signed = made(BY_NAME["expired-under-testing"])
    assert [each.id for each in found_in(signed, proven_only=True)] == [each.id for each in found_in(signed)]


def test_every_registered_result_type_is_met() -> None:
    """RFC 8460 section 4.3: all eleven are in the table, in the words of at least one sender."""
    told = {
        detail.result_type
        for scenario in SCENARIOS
        if len(scenario.truth.sites) < MANY
        for arrival in arrivals(scenario)
        for incoming in arrival.reports
        for entry in incoming.report.policies
        for detail in entry.failure_details or ()
    }
    assert set(RESULT_TYPES) <= told


def test_stories_are_told_in_one_or_two_sentences_and_names_are_unique() -> None:
    assert len(BY_NAME) == len(SCENARIOS) >= 36
    assert all(0 < scenario.story.count(". ") + 1 <= 4 for scenario in SCENARIOS)


def test_the_fault_under_one_name_is_where_it_is(made: Made) -> None:
    """The mended host is not told of as open by a report that came late: same id, same days, quiet."""
    mended, late = (found_in(made(BY_NAME[name])) for name in ("mended-a-week-ago", "late-report-of-an-old-day"))
    assert [(each.id, each.first_seen, each.last_seen, each.state) for each in mended] == [
        (each.id, each.first_seen, each.last_seen, each.state) for each in late
    ]
    assert mended[0].place == MX2

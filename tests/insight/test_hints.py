"""Which testing domains may move to enforce: what a digest suggests is ready, when it is looked at whole."""

from __future__ import annotations

import shutil
import tempfile
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings

from tests.insight.scenarios import DOMAIN, LAST, TODAY, Scenario, at_mx2, back, prepared, told
from tests.insight.test_readiness import truths
from tlsrpt.core.sample import Truth
from tlsrpt.insight.hints import find_hints
from tlsrpt.insight.overview import find_overview
from tlsrpt.insight.readiness import find_readiness
from tlsrpt.store.sqlite import open_store


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hints") / "empty.db"
    open_store(str(path), create=True).close()
    return path


def answers(empty: Path, truth: Truth, *, days: int = 30) -> tuple[list[str], str]:
    """The domains that are suggested, and the verdict on the one there is."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.db"
        shutil.copy(empty, path)
        with open_store(str(path)) as store:
            store.keep(prepared(Scenario(name="hints", story="", truth=truth, days=days, form="json.gz")))
            hints = find_hints(store, until=LAST, owns=lambda _: True)
            found = find_readiness(store, DOMAIN, since=back(89), until=TODAY, today=TODAY)
            overview = find_overview(store, since=back(6), until=LAST, today=TODAY)
            assert overview.ready == hints == find_hints(store, until=LAST, owns=lambda _: False, domain=DOMAIN)
    return [hint.domain for hint in hints], found.verdict


@pytest.mark.parametrize(
    ("truth", "days", "hinted"),
    [
        pytest.param(told(policies="testing"), 30, True, id="a clean month"),
        pytest.param(told(policies="enforce"), 30, False, id="in enforce already"),
        pytest.param(told(policies="none"), 30, False, id="no policy"),
        pytest.param(told(policies="testing"), 9, False, id="too few days"),
        pytest.param(told(policies="testing", senders="google"), 30, False, id="one sender"),
        pytest.param(told(at_mx2("certificate-expired", back(9)), policies="testing"), 30, False, id="a fault"),
        pytest.param(
            told(
                at_mx2("certificate-expired", LAST, LAST, senders=("google",), sessions=1),
                policies="testing",
                daily=5000,
            ),
            30,
            True,
            id="one session of thousands",
        ),
    ],
)
def test_testing_domains_where_nothing_is_wrong_are_suggested(
    empty: Path, truth: Truth, days: int, hinted: bool
) -> None:
    assert answers(empty, truth, days=days)[0] == ([DOMAIN] if hinted else [])


@settings(max_examples=25, deadline=None)
@given(truths())
def test_what_is_suggested_is_ready(empty: Path, truth: Truth) -> None:
    hinted, verdict = answers(empty, truth)
    assert not hinted or verdict == "ready"


def test_only_domains_that_were_asked_for(empty: Path, tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    shutil.copy(empty, path)
    truth = told(policies="testing")
    with open_store(str(path)) as store:
        store.keep(prepared(Scenario(name="hints", story="", truth=truth, days=30, form="json.gz")))
        assert find_hints(store, until=LAST, owns=lambda name: name != DOMAIN) == ()
        assert find_hints(store, until=LAST + timedelta(days=20), owns=lambda _: True) == ()

"""`tlsrpt explain`: for people at 80 columns, for programs as JSON."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from tlsrpt.cli.explain import command, command_lines
from tlsrpt.core.results import CAUSES, RESULT_TYPES

DOCS = Path(__file__).parents[2] / "docs"


def explain(*args: str) -> Result:
    return CliRunner().invoke(command, list(args), standalone_mode=False)


def documents(*args: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in explain(*args, "--json").stdout.splitlines()]


def test_without_an_argument_all_result_types_are_listed() -> None:
    done = explain()
    assert done.return_value == 0
    for result in RESULT_TYPES.values():
        assert result.name in done.stdout
        assert result.title in done.stdout


@pytest.mark.parametrize("name", RESULT_TYPES)
def test_a_result_type_is_told_in_the_order_of_a_good_answer(name: str) -> None:
    """Headline, side, what happens to the mail, causes with steps, proof; the meaning's limits and section last."""
    done = explain(name)
    result = RESULT_TYPES[name]
    text = " ".join(done.stdout.split())
    assert done.return_value == 0
    parts = [
        f"{name}: {result.title}",
        "Whose side",
        "What happens to the mail",
        result.causes[0].title,
        result.causes[1].title,
        "How to prove it",
        "What it does not say",
        result.section,
    ]
    places = [text.find(part) for part in parts]
    assert -1 not in places
    assert places == sorted(places)


@pytest.mark.parametrize("args", [[], *([name] for name in RESULT_TYPES), *([code] for code in CAUSES)])
def test_nothing_is_wider_than_80_columns(args: list[str]) -> None:
    assert [line for line in explain(*args).stdout.splitlines() if len(line) > 80] == []


def test_a_reason_code_is_decoded() -> None:
    done = explain("tls-remote-alert-70-protocol-version-not-supported")
    assert done.return_value == 0
    assert "TLS alert 70 (protocol_version)" in done.stdout
    assert CAUSES["tls-version-or-cipher"].title in " ".join(done.stdout.split())


def test_forgotten_quotes_are_forgiven() -> None:
    """`tlsrpt explain certificate has expired` is what people type."""
    assert documents("certificate", "has", "expired") == documents("certificate has expired")


def test_several_arguments_are_each_explained() -> None:
    done = explain("certificate-expired", "MX_HOSTS_MISMATCH")
    assert done.return_value == 0
    assert "certificate-expired:" in done.stdout
    assert "MX_HOSTS_MISMATCH: a sender's reason code" in done.stdout


@pytest.mark.parametrize(
    ("argument", "hint"),
    [
        ("starttls-not-suported", "did you mean starttls-not-supported?"),
        ("potato", "tlsrpt explain lists the result types"),
    ],
)
def test_what_is_unknown_ends_with_1_and_a_hint(argument: str, hint: str) -> None:
    """2 is for wrong usage only."""
    done = explain(argument)
    assert done.return_value == 1
    assert done.stdout == ""
    assert hint in done.stderr


def test_names_are_put_into_the_commands() -> None:
    text = explain("certificate-expired", "--mx", "MX.Example.COM", "--ip", "192.0.2.25").stdout
    assert "-connect mx.example.com:25" in text
    assert "-connect 192.0.2.25:25" in text


def test_a_hostile_argument_steers_no_terminal() -> None:
    """Promise 4: the text may be pasted out of a report."""
    hostile = "certificate has expired \x1b]0;title\x07 \u202e"
    for done in (explain(hostile), explain("\x1b[2J"), explain("\x1b[2J", "--json"), explain(hostile, "--json")):
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202e]", done.output)


def test_json_is_one_object_for_each_argument() -> None:
    answers = documents("certificate-expired", "mx-is-alias", "MX_HOSTS_MISMATCH", "potato")
    assert [(answer["argument"], answer["kind"]) for answer in answers] == [
        ("certificate-expired", "result-type"),
        ("mx-is-alias", "cause"),
        ("MX_HOSTS_MISMATCH", "reason"),
        ("potato", "unknown"),
    ]
    assert [answer["name"] for answer in documents()] == list(RESULT_TYPES)


def test_json_keeps_the_promised_keys() -> None:
    """docs/result-types.md, last part: these names stay."""
    kind_type, kind_cause, kind_reason = documents("certificate-expired", "mx-is-alias", "MX_HOSTS_MISMATCH")
    assert set(kind_type) == {
        "argument", "kind", "name", "title", "meaning", "policy_types", "side", "stage", "place", "consequences",
        "causes", "verify", "fix", "distinguishes", "says_not", "section",
    }  # fmt: skip
    cause_keys = {
        "code", "title", "explanation", "evidence_for", "evidence_against", "steps", "party", "stage", "place",
        "policy_types", "passing", "verify",
    }  # fmt: skip
    assert set(kind_cause) == {"argument", "kind"} | cause_keys
    assert set(kind_type["causes"][0]) == cause_keys
    assert set(kind_type["verify"]) == {"command", "expected"}
    assert set(kind_type["consequences"][0]) == {"policy_type", "mode", "situation", "consequence", "text"}
    assert set(kind_reason) == {
        "argument", "kind", "code", "meaning", "source", "party", "stage", "place", "passing", "result_types", "causes",
    }  # fmt: skip
    promised = (DOCS / "result-types.md").read_text(encoding="utf-8").partition("--json`")[2]
    for key in set(kind_type) | set(kind_cause) | set(kind_reason) | {"situation"}:
        assert f"`{key}" in promised or f"{key}," in promised or f",{key}" in promised


WORDS = st.lists(
    st.sampled_from(["dig", "+short", "'a b c'", "<MX host>:25", "|", '"x y"', "-w" * 9, "z" * 90]), min_size=1
)


@given(WORDS)
def test_a_broken_command_is_still_the_same_command(words: list[str]) -> None:
    """Backslash and newline vanish in a shell; nothing that is quoted is broken."""
    lines = command_lines(" ".join(words), 40)
    assert "".join(f"{line}\n" for line in lines).replace(" \\\n  ", " ").strip() == " ".join(words)


def make_pages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_result_types", DOCS / "make_result_types.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_handbook_says_what_the_program_says() -> None:
    """`python docs/make_result_types.py` writes the pages anew when a table has changed."""
    for path, text in make_pages().pages().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} lags behind; run docs/make_result_types.py"

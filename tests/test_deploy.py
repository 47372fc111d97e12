"""The deployment files: what must hold of them whoever runs them, read from the files themselves.

tests/lab/test_systemd.py asks systemd about its units.
"""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from tlsrpt.cli.configuration import parse_config
from tlsrpt.cli.main import cli
from tlsrpt.config import ReceiveConfig
from tlsrpt.intake import reception
from tlsrpt.intake.keeper import Keeper
from tlsrpt.intake.room import Room
from tlsrpt.intake.source import Status
from tlsrpt.intake.way import OUTCOMES, Way
from tlsrpt.service.metrics import Metrics
from tlsrpt.service.telling import Figures

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
CONTAINERFILE = DEPLOY / "container/Containerfile"
UNITS = DEPLOY / "systemd"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PAGES = [ROOT / "docs" / name for name in ("deploying.md", "moving-from-parsedmarc.md", "operating.md")]


# --- The container --------------------------------------------------------------------------------------------------


def instructions() -> list[tuple[str, str]]:
    """The Containerfile's instructions with their arguments, lines joined."""
    text = re.sub(r"^\s*#.*\n", "", CONTAINERFILE.read_text(), flags=re.MULTILINE)
    lines = [line for line in re.sub(r"\\\n\s*", " ", text).splitlines() if line.strip()]
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines)]


def last_stage() -> dict[str, list[str]]:
    """The instructions of the image that is run."""
    stage: dict[str, list[str]] = {}
    for name, rest in instructions():
        if name == "FROM":
            stage = {}
        stage.setdefault(name, []).append(rest)
    return stage


def test_the_container_runs_as_nobody_who_matters_and_stops_in_order() -> None:
    """A number above the system's, which stays: the volume belongs to it. Nothing needs a shell to run."""
    stage = last_stage()
    assert stage["USER"] == ["8460:8460"]
    assert stage["STOPSIGNAL"] == ["SIGTERM"]
    assert stage["VOLUME"] == ["/var/lib/tlsrpt"]
    assert json.loads(stage["ENTRYPOINT"][0]) == ["tlsrpt"]
    verb_of(json.loads(stage["CMD"][0]))


@pytest.mark.parametrize(
    ("told", "well"),
    [
        pytest.param('{"healthy": false, "running": true}', True, id="lives, and needs a person"),
        pytest.param('{"healthy": false, "running": false}', False, id="no sign of life"),
        pytest.param("", False, id="no store"),
    ],
)
def test_the_containers_health_is_whether_the_service_lives(tmp_path: Path, told: str, well: bool) -> None:
    """What needs a person does not get better by being started again."""
    _, check = last_stage()["HEALTHCHECK"][0].split(" CMD ")
    program, *arguments = json.loads(check)
    assert program == "python"
    health = tmp_path / "tlsrpt"
    health.write_text(f"#!/bin/sh\n[ \"$*\" = 'health --json' ] && printf '%s' '{told}'\nexit 1\n")
    health.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run([sys.executable, *arguments], env=environment, stdin=subprocess.DEVNULL, check=False)
    assert (done.returncode == 0) == well


def test_the_container_takes_nothing_from_the_network_but_what_is_locked() -> None:
    """Base images by their short names, packages by hash, and no ADD, which could fetch an address."""
    pips = []
    for name, rest in instructions():
        assert name != "ADD"
        assert "://" not in rest
        if name == "FROM":
            assert re.match(r"python:\$\{PYTHON\}-slim( AS build)?$", rest)
        if name == "RUN":
            pips += [command for command in rest.split("&&") if re.search(r"/pip .*(install|wheel)", command)]
    assert len(pips) == 4
    for command in pips:
        assert "--require-hashes" in command or "--no-index" in command, command


def test_every_file_that_the_container_copies_is_there_and_is_let_through() -> None:
    """Containerfile.dockerignore leaves all out but what is named; a file forgotten there fails the build."""
    ignore = (CONTAINERFILE.parent / "Containerfile.dockerignore").read_text().splitlines()
    let_through = [line[1:] for line in ignore if line.startswith("!")]
    for name, rest in instructions():
        words = shlex.split(rest)
        if name != "COPY" or words[0].startswith("--from="):
            continue
        for source in words[:-1]:
            assert (ROOT / source).exists(), source
            assert any(fnmatch(source, pattern) for pattern in let_through), source


def test_compose_locks_the_container_in() -> None:
    compose = yaml.safe_load((DEPLOY / "container/compose.yaml").read_text())
    (service,) = compose["services"].values()
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["user"] == last_stage()["USER"][0]
    assert [mount.split(":")[0] for mount in service["tmpfs"]] == ["/tmp"]  # noqa: S108 - the container's
    assert {mount.split(":")[1]: mount.count(":ro") for mount in service["volumes"]} == {
        "/var/lib/tlsrpt": 0,
        "/etc/tlsrpt": 1,
    }
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert not {"privileged", "cap_add", "devices", "network_mode", "pid", "ipc"} & set(service)
    context = (DEPLOY / "container" / service["build"]["context"]).resolve()
    assert context == ROOT
    assert context / service["build"]["dockerfile"] == CONTAINERFILE


@pytest.mark.parametrize(
    ("lock", "wanted"),
    [
        pytest.param(
            "service.txt",
            [
                *PROJECT["project"]["dependencies"],
                *PROJECT["project"]["optional-dependencies"]["receive"],
                *PROJECT["project"]["optional-dependencies"]["s3"],
                *PROJECT["project"]["optional-dependencies"]["speed"],
            ],
            id="service.txt",
        ),
        pytest.param("build.txt", [*PROJECT["build-system"]["requires"], "setuptools"], id="build.txt"),
    ],
)
def test_the_containers_locks_hold_what_it_needs(lock: str, wanted: list[str]) -> None:
    """And in the versions that the tests ran with."""
    locked = versions(lock)
    tested = versions("dev.txt")
    for requirement in wanted:
        name = re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower()
        assert name in locked, f"{lock} lacks {name}: run `make lock`"
    assert {name: version for name, version in locked.items() if tested.get(name, version) != version} == {}


def versions(lock: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", (ROOT / "requirements" / lock).read_text(), re.MULTILINE))


# --- systemd --------------------------------------------------------------------------------------------------------


def unit(name: str) -> list[tuple[str, str]]:
    """A unit's settings, in their order."""
    lines = [line for line in (UNITS / name).read_text().splitlines() if line[:1].isalpha()]
    return [(key, value) for key, _, value in (line.partition("=") for line in lines)]


def of(name: str, key: str) -> list[str]:
    return [value for other, value in unit(name) if other == key]


# What is one service's own. All else, the locking in above all, is the same in both.
OWN = {"Description", "Type", "NotifyAccess", "ExecStart", "ExecReload", "Restart", "RestartSec", "Before", "WantedBy"}
OWN |= {"RestartPreventExitStatus", "TimeoutStartSec", "TimeoutStopSec", "WatchdogSec", "StartLimitIntervalSec"}
OWN |= {"RuntimeDirectory", "RuntimeDirectoryMode"}


def test_both_services_are_locked_in_alike() -> None:
    service, once = (
        [setting for setting in unit(name) if setting[0] not in OWN]
        for name in ("tlsrpt.service", "tlsrpt-receive-once.service")
    )
    assert service == once


def test_units_call_verbs_and_options_that_there_are() -> None:
    commands = [command for name in ("tlsrpt.service", "tlsrpt-receive-once.service") for command in called(name)]
    assert len(commands) == 2
    for command in commands:
        verb_of(command)


def called(name: str) -> list[list[str]]:
    commands = [shlex.split(line) for key in ("ExecStart", "ExecReload") for line in of(name, key)]
    return [command[1:] for command in commands if command[0] == "/opt/tlsrpt/bin/tlsrpt"]


def verb_of(argv: list[str]) -> click.Command:
    """The verb that a command line calls; fails for one that does not exist, or an option that it does not have."""
    command: click.Command = cli
    context = click.Context(cli)
    while isinstance(command, click.Group):
        name, found, argv = command.resolve_command(context, argv)
        assert found is not None
        command, context = found, click.Context(found, info_name=name, parent=context)
    command.make_parser(context).parse_args(list(argv))
    return command


def test_the_service_has_longer_to_stop_than_its_sources() -> None:
    """systemd must not kill what is about to end in order, nor take a locked store for a service that hangs."""
    from tlsrpt.intake.keeper import BUSY_S
    from tlsrpt.service.running import BEAT_S, STOPPING_S

    assert int(of("tlsrpt.service", "TimeoutStopSec")[0]) > STOPPING_S + BUSY_S
    assert int(of("tlsrpt.service", "WatchdogSec")[0]) > 2 * (BEAT_S + BUSY_S)


# --- What is printed in the handbook --------------------------------------------------------------------------------


def blocks(page: Path, language: str) -> list[Any]:
    text = page.read_text()
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    return [
        pytest.param(body, id=f"{page.name}:{text[: text.index(body)].count(chr(10)) + 1}") for _, body in found if body
    ]


@pytest.mark.parametrize("text", [block for page in PAGES for block in blocks(page, "toml")])
def test_a_configuration_in_the_handbook_is_one(text: str) -> None:
    parse_config(text, "docs")


def logged() -> set[str]:
    """Every event that the service's rooms log, as they stand in the source."""
    events = set()
    for room in ("service", "intake", "notify"):
        for file in (ROOT / "src/tlsrpt" / room).glob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                match node:
                    case ast.Call(
                        func=ast.Attribute(value=owner, attr="info" | "warning" | "error"),
                        args=[ast.Constant(value=str(event)), *_],
                    ) if ast.unparse(owner).endswith("log"):
                        events.add(event)
    return events | set(reception._EVENTS.values())


def test_the_handbook_names_every_event() -> None:
    """An administrator who greps for a line finds what to do."""
    page = (ROOT / "docs/operating.md").read_text()
    events = logged()
    assert len(events) > 25
    assert {event for event in events if f"`{event}`" not in page} == set()


def metrics() -> set[str]:
    """The names of all metrics, as Prometheus stores them."""
    keeper, room = Keeper("sqlite:////nowhere"), Room(ReceiveConfig())
    status = Status(Way(name="imap", kind="imap"), lambda: datetime.now(UTC), lambda _: None)
    status.waiting = 0
    status.works()
    text = Metrics(keeper, room, lambda: [status], Figures()).text().decode()
    return {re.split(r"[{ ]", line)[0] for line in text.splitlines() if not line.startswith("#")}


def test_the_handbook_names_every_metric() -> None:
    page = (ROOT / "docs/operating.md").read_text()
    named = set(re.findall(r"`(\w+\*?)`", page))
    generic = {name[:-1] for name in named if name.endswith("_*")}
    assert {name for name in metrics() - named if not any(map(name.startswith, generic))} == set()


def test_alerts_ask_for_metrics_that_there_are() -> None:
    rules = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            asked = set(re.findall(r"\b(?:tlsrpt|process)_\w+", rule["expr"]))
            assert asked <= metrics(), rule["alert"]
            outcomes = [word for found in re.findall(r'outcome=~"([^"]*)"', rule["expr"]) for word in found.split("|")]
            assert set(outcomes) <= set(OUTCOMES)


def test_the_container_and_the_units_are_packed() -> None:
    """Whoever has the sdist has the deployment files."""
    assert "/deploy" in PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]

"""The project as a stranger gets it: what is packed, what is locked, and what must never be in the repository."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
# What a checkout gathers beside the project's files; git knows it from .gitignore, an unpacked sdist has no git to ask.
GATHERED = re.compile(
    r"(\.git/|\.venv|demo/|dist/|build/|docs/_build/|bench/data/|\.\w+_cache/|\.hypothesis/)|.*__pycache__/"
)


def files_of_the_project() -> list[Path]:
    if (ROOT / ".git").exists() and shutil.which("git"):
        listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, text=True, check=False)
        if listed.returncode == 0:  # git refuses a checkout that belongs to another user
            return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]
    found = [path for path in ROOT.rglob("*") if path.is_file()]
    return [path for path in found if not GATHERED.match(path.relative_to(ROOT).as_posix())]


def build(source: Path, target: Path, form: str) -> Path:
    """Build as pip does, through the backend alone, with no git within reach."""
    environment = {**os.environ, "PATH": "/nowhere", "PYTHONDONTWRITEBYTECODE": "1"}
    argv = [sys.executable, "-m", "hatchling", "build", "-t", form, "-d", str(target)]
    done = subprocess.run(argv, cwd=source, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = target.iterdir()
    return built


def test_the_sdist_builds_without_git_and_holds_all_that_a_wheel_needs(tmp_path: Path) -> None:
    """A copy of the files, no repository: sdist, and from the unpacked sdist the wheel, with migrations and py.typed."""
    copy = tmp_path / "copy"
    for path in files_of_the_project():
        target = copy / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)

    sdist = build(copy, tmp_path / "sdist", "sdist")
    with tarfile.open(sdist) as archive:
        if hasattr(tarfile, "data_filter"):  # since Python 3.11.4
            archive.extraction_filter = tarfile.data_filter
        archive.extractall(tmp_path / "unpacked")  # noqa: S202 - built by ourselves a moment ago
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    for name in (
        "Makefile",
        "LICENSE",
        "README.md",
        "CHANGELOG.md",
        "scripts/venv.sh",
        "requirements/dev.txt",
        ".ci/run",
    ):
        assert (unpacked / name).is_file(), f"the sdist lacks {name}"

    wheel = build(unpacked, tmp_path / "wheel", "wheel")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    ours = {
        path.relative_to(ROOT / "src").as_posix() for path in files_of_the_project() if ROOT / "src" in path.parents
    }
    assert ours <= names
    assert "tlsrpt/py.typed" in names
    assert any(re.fullmatch(r"tlsrpt/store/migrations/versions/\w+\.py", name) for name in names)
    assert not [name for name in names if not name.startswith("tlsrpt")], "the wheel holds more than the package"


# Spelled apart, so that this file passes its own test.
FORBIDDEN = [
    "pypi" + ".org",
    "python" + "hosted",
    "registry.npm" + "js",
    "deb.debian" + ".org",
    "/wo" + "rk/",
    "/opt" + "/pypi",
]


@pytest.mark.parametrize("word", FORBIDDEN)
def test_no_file_names_a_registry_or_the_machine_it_was_written_on(word: str) -> None:
    """The repository stands alone: locks carry hashes, not addresses, and no path of a workplace."""
    holders = [path for path in files_of_the_project() if word.encode() in path.read_bytes()]
    assert holders == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_locked_package_has_a_version_and_hashes_and_no_address(lock: Path) -> None:
    lines = lock.read_text().splitlines()
    assert not [line for line in lines if "://" in line or line.startswith("-")]
    packages = [at for at, line in enumerate(lines) if not line.startswith(" ")]
    assert packages
    for at in packages:
        assert re.match(r"[a-z0-9.-]+==\S+( ; .+)? \\$", lines[at]), lines[at]
        assert lines[at + 1].strip().startswith("--hash=sha256:"), lines[at]


@pytest.mark.parametrize(
    ("lock", "wanted"),
    [
        ("base.txt", PROJECT["project"]["dependencies"]),
        ("dev.txt", PROJECT["project"]["dependencies"] + PROJECT["dependency-groups"]["dev"]),
        ("docs.txt", PROJECT["project"]["dependencies"] + PROJECT["dependency-groups"]["docs"]),
        ("bench.txt", PROJECT["project"]["dependencies"] + PROJECT["dependency-groups"]["bench"]),
    ],
)
def test_a_lock_holds_what_pyproject_asks_for(lock: str, wanted: list[str]) -> None:
    """A dependency that was added without `make lock` is found here and not on a stranger's machine."""
    locked = dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", (ROOT / "requirements" / lock).read_text(), re.MULTILINE))
    for requirement in wanted:
        found = re.match(r"[A-Za-z0-9._-]+", requirement)
        assert found
        assert found[0].lower().replace("_", "-") in locked, f"{lock} lacks {found[0]}: run `make lock`"


def test_the_changelog_speaks_of_this_version() -> None:
    assert f"## [{PROJECT['project']['version']}]" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("script", sorted((ROOT / "scripts").glob("*.sh")), ids=lambda path: path.name)
def test_a_script_is_sound_posix_shell(script: Path) -> None:
    subprocess.run(["/bin/sh", "-n", script], check=True)

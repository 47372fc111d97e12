"""The systemd units, as systemd itself reads them: nothing it does not know, and nothing exposed that need not be."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.lab.servers import ENVIRONMENT, PATIENCE_S, REPOSITORY

UNITS = sorted((REPOSITORY / "deploy/systemd").iterdir())
SERVICES = [unit for unit in UNITS if unit.suffix == ".service"]
# In tenths. 1.1 with systemd 252: the network, which reports come by, is 0.8 of it. Newer ones may look at more.
MOST_EXPOSED = 15

pytestmark = pytest.mark.lab("systemd-analyze")


def analyze(*argv: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", "--no-pager", *argv],
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units as they would be installed, with a program in the place of ours that is on every machine."""
    for unit in UNITS:
        (tmp_path / unit.name).write_text(unit.read_text().replace("/opt/tlsrpt/bin/tlsrpt", "/bin/true"))
    return tmp_path


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_systemd_has_nothing_to_say_about_a_unit(installed: Path, unit: Path) -> None:
    """`verify` names an unknown key on standard error and exits 0 all the same, so silence is what counts."""
    done = analyze("verify", "--man=no", installed / unit.name)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("unit", SERVICES, ids=lambda path: path.name)
def test_a_service_is_locked_in(installed: Path, unit: Path) -> None:
    done = analyze("security", "--offline=true", f"--threshold={MOST_EXPOSED}", installed / unit.name)
    assert done.returncode == 0, done.stdout + done.stderr

"""The lab marker: tests that need real servers run where those are installed, and say so where not.

`@pytest.mark.lab("postfix", "dovecot")` names the programs. Without one of them, or without root, the test is left
out and the run ends with a list of what was; with TLSRPT_LAB=required in the environment (.ci/run) it fails instead.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Servers live in sbin, which is not on everybody's PATH; the parts of Dovecot have a folder of their own, and what comes
# as a Python package is beside the interpreter.
SERVER_PATH = os.pathsep.join(
    [
        os.environ.get("PATH", os.defpath),
        "/usr/local/sbin",
        "/usr/sbin",
        "/sbin",
        "/usr/lib/dovecot",
        str(Path(sys.executable).parent),
    ]
)

# Times differ between machines and hours; what a test promises about speed, it promises by counting steps.
settings.register_profile("tlsrpt", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tlsrpt")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "lab(*programs): needs these servers, and root to start them")


def pytest_runtest_setup(item: pytest.Item) -> None:
    programs = {program for marker in item.iter_markers("lab") for program in marker.args}
    missing = sorted(program for program in programs if shutil.which(program, path=SERVER_PATH) is None)
    if programs and os.geteuid() != 0:
        missing.append("root")
    if not missing:
        return
    reason = f"lab: needs {', '.join(missing)}"
    if os.environ.get("TLSRPT_LAB") == "required":
        pytest.fail(f"{reason}; `make lab` installs the servers", pytrace=False)
    pytest.skip(reason)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the lab tests that were left out: a green run should not look more than it is."""
    left_out: dict[str, list[str]] = {}
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
        _, mark, needs = reason.partition("lab: needs ")
        if mark:
            left_out.setdefault(needs, []).append(report.nodeid)
    if not left_out:
        return
    terminalreporter.section("lab tests that could not run here")
    for needs, tests in sorted(left_out.items()):
        terminalreporter.write_line(f"needs {needs}:")
        for test in sorted(tests):
            terminalreporter.write_line(f"  {test}")
    terminalreporter.write_line("`make lab` (root, Debian) installs the servers; then run `make test` as root again.")

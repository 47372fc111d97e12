"""Running the command as a user does: the installed `tlsrpt`, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TLSRPT = str(Path(sys.executable).with_name("tlsrpt"))
SAMPLES = Path(__file__).parents[1] / "data" / "reports"


def tlsrpt(*args: object, stdin: bytes = b"", **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command; output as text, standard input as bytes."""
    done = subprocess.run(
        [TLSRPT, *map(str, args)], input=stdin, capture_output=True, timeout=120, env={**os.environ, **env}
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    )

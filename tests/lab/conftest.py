"""What the lab's tests start and stop."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def lab() -> Iterator[Path]:
    """A folder that servers can reach once they have dropped root's rights; pytest's own are closed to them."""
    folder = Path(tempfile.mkdtemp(prefix="tlsrpt-lab-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)

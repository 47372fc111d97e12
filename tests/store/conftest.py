"""A store for each test: copied, since making one runs the migrations (test_opening.py makes them for real)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tlsrpt.store.sqlite import Store, open_store


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "tlsrpt.db"
    open_store(str(path), create=True).close()
    return path


@pytest.fixture
def store(tmp_path: Path, empty_store: Path) -> Iterator[Store]:
    """An empty store, open."""
    path = tmp_path / "tlsrpt.db"
    shutil.copy(empty_store, path)
    with open_store(str(path)) as opened:
        yield opened

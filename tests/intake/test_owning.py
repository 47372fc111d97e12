"""The owned domains, out of the configuration and its file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from tlsrpt.config import DomainsConfig
from tlsrpt.core.errors import ConfigError
from tlsrpt.core.owned import Owned
from tlsrpt.intake.owning import load_owned


@pytest.mark.parametrize(
    ("own", "file", "ours"),
    [
        pytest.param(None, False, Owned.any(), id="nothing said: any"),
        pytest.param("any", True, Owned.any(), id="any, whatever the file says"),
        pytest.param(None, True, Owned.of(["example.org"]), id="the file alone"),
        pytest.param(("example.com",), True, Owned.of(["example.com", "example.org"]), id="both"),
        pytest.param((), False, Owned.of([]), id="an empty list: none"),
    ],
)
def test_own_and_own_file_add_up(
    own: tuple[str, ...] | Literal["any"] | None, file: bool, ours: Owned, tmp_path: Path
) -> None:
    path = tmp_path / "own.txt"
    path.write_text("example.org\n")
    assert load_owned(DomainsConfig(own=own, own_file=str(path) if file else "")) == ours


def test_a_file_that_can_not_be_read_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't be read: No such file"):
        load_owned(DomainsConfig(own_file=str(tmp_path / "none")))
    with pytest.raises(ConfigError, match="can't be read"):
        load_owned(DomainsConfig(own_file="a\0b"))
    (tmp_path / "latin").write_bytes("bücher.example".encode("latin-1"))
    with pytest.raises(ConfigError, match="is not UTF-8"):
        load_owned(DomainsConfig(own_file=str(tmp_path / "latin")))

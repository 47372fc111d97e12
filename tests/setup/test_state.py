"""How far a guided run has come: kept so that it can be taken up again, and never half written."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tlsrpt.core.errors import ConfigError
from tlsrpt.setup.state import SetupError, State, forget_state, load_state, save_state

STATE = State(
    domain="example.com",
    uris=("mailto:tls@example.com",),
    record="v=TLSRPTv1; rua=mailto:tls@example.com",
    published_at=datetime(2026, 3, 1, tzinfo=UTC),
)


def test_a_state_comes_back_as_it_was_kept(tmp_path: Path) -> None:
    save_state(tmp_path / "setup", STATE)
    assert load_state(tmp_path / "setup", "example.com") == STATE


def test_nothing_kept_is_a_fresh_start(tmp_path: Path) -> None:
    assert load_state(tmp_path, "example.com") == State(domain="example.com")
    save_state(tmp_path, STATE)
    forget_state(tmp_path, "example.com")
    forget_state(tmp_path, "example.com")
    assert load_state(tmp_path, "example.com") == State(domain="example.com")


def test_a_broken_state_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "example.com.json").write_bytes(b'{"domain": 1')
    with pytest.raises(ConfigError, match="--start-over"):
        load_state(tmp_path, "example.com")


def test_a_folder_that_can_not_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SetupError, match="can't be written"):
        save_state(tmp_path / "file" / "setup", STATE)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can leave files that others can't write")
def test_a_run_by_root_leaves_nothing_that_the_services_user_can_not_write(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, 12345)
    save_state(tmp_path / "setup", STATE)
    made = [tmp_path / "setup", *(tmp_path / "setup").iterdir()]
    assert {(path.stat().st_uid, path.stat().st_gid) for path in made} == {(12345, 12345)}

"""How far a guided run has come: a small file per domain, so that a half-done run can be taken up again.

It holds answers and results, never a credential.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from tlsrpt.core.errors import ConfigError, TlsrptError
from tlsrpt.store.sqlite import give_to_folders_owner


class SetupError(TlsrptError):
    """The guided run can't go on."""


class State(Struct, frozen=True, kw_only=True):
    """One domain's run.

    Attributes:
        uris: where reports go.
        record: what was decided to be published.
        published_at: when it was published from here.
        verified_at: when every server that could be asked served it.
        report_id, sent_at: the trial report, and when it was on its way.
        arrived_at: when it was seen in the store.
    """

    domain: str
    uris: tuple[str, ...] = ()
    record: str | None = None
    published_at: datetime | None = None
    verified_at: datetime | None = None
    report_id: str | None = None
    sent_at: datetime | None = None
    arrived_at: datetime | None = None


def load_state(folder: Path, domain: str) -> State:
    """The state of a domain's run; a fresh one where there is none.

    Raises:
        ConfigError: the file is there and can't be read.
    """
    path = _path(folder, domain)
    try:
        return msgspec.json.decode(path.read_bytes(), type=State)
    except FileNotFoundError:
        return State(domain=domain)
    except OSError as error:
        raise ConfigError(f"can't be read: {error.strerror}", where=str(path)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError("is not a state of setup", where=str(path), fix="use --start-over") from error


def save_state(folder: Path, state: State) -> None:
    """Write the state so that a crash leaves either the old or the new one.

    Raises:
        SetupError: the folder can't be written to.
    """
    path = _path(folder, state.domain)
    part = path.with_suffix(".part")
    try:
        if not folder.is_dir():
            folder.mkdir(mode=0o750, parents=True, exist_ok=True)
            give_to_folders_owner(folder)  # root's run must not leave what the service's user can't write
        part.write_bytes(msgspec.json.format(msgspec.json.encode(state), indent=2))
        give_to_folders_owner(part)
        part.replace(path)
    except OSError as error:
        raise SetupError(f"can't be written: {error.strerror}", where=str(path)) from error


def forget_state(folder: Path, domain: str) -> None:
    """Begin anew next time."""
    _path(folder, domain).unlink(missing_ok=True)


def _path(folder: Path, domain: str) -> Path:
    return folder / f"{domain}.json"

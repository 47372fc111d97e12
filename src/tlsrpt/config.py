"""The configuration as typed values. `cli` reads the file once; each room gets its part as an argument."""

from __future__ import annotations

from msgspec import Struct, field

from tlsrpt.core.limits import Limits


class StoreConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where reports are kept."""

    url: str = ""  # sqlite:////absolute/path.db; empty: the platform's data directory


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file; every table may be left out."""

    store: StoreConfig = field(default_factory=StoreConfig)
    limits: Limits = field(default_factory=Limits)

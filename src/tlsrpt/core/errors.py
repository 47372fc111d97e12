"""What we raise on purpose.

TlsrptError
 ├── DomainError       a text that is no domain name
 ├── ReportError       a TLS report that can't be read: goes to quarantine
 │    ├── LimitError   a limit was passed; names it
 │    └── StrictError  strict mode met deviations; carries them
 ├── NoReportError     no TLS report at all (a DMARC report, spam, a README): not broken, just something else
 ├── ConfigError       the configuration file or an option is wrong
 ├── OverloadError     too much at once; worth trying again after a while
 │    └── RateError    from one sender alone; others are taken
 ├── SourceError       a source of reports can't be reached or used now
 └── StoreError        the store is missing, of another version, busy or full
      └── StoreBusyError   worth trying again: locked, disk full
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tlsrpt.core.findings import Finding


class TlsrptError(Exception):
    """Base of all we raise on purpose: one line saying where, what, and what to do."""

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        self.what, self.where, self.fix = what, where, fix
        super().__init__(what, where, fix)

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.where, self.what))) + (f"; {self.fix}" if self.fix else "")

    def __reduce__(self) -> tuple[object, ...]:  # keyword arguments: worker processes send these home
        return _rebuild, (type(self), self.__dict__)


def _rebuild(kind: type[TlsrptError], state: dict[str, object]) -> TlsrptError:
    error = kind.__new__(kind)
    error.__dict__.update(state)
    error.args = (error.what, error.where, error.fix)
    return error


class DomainError(TlsrptError):
    """A text that is no domain name."""


class ReportError(TlsrptError):
    """A TLS report that can't be read; `where` is a JSON path or a place in the document."""


class LimitError(ReportError):
    """A limit was passed. `limit` is its name in the `[limits]` table of the configuration."""

    def __init__(self, what: str, *, limit: str, where: str = "") -> None:
        self.limit = limit
        super().__init__(what, where=where, fix=f"raise limits.{limit}")


class StrictError(ReportError):
    """Strict mode met deviations; `findings` holds them all."""

    def __init__(self, what: str, *, findings: Sequence[Finding], where: str = "") -> None:
        self.findings = tuple(findings)
        super().__init__(what, where=where)


class NoReportError(TlsrptError):
    """The document holds no TLS report; `what` says what it is, where that is known ("a DMARC report")."""


class ConfigError(TlsrptError):
    """The configuration file or an option is wrong."""


class OverloadError(TlsrptError):
    """More came at once than is taken; the sender may come again after `retry_after_s` seconds."""

    def __init__(self, what: str, *, retry_after_s: int, where: str = "") -> None:
        self.retry_after_s = retry_after_s
        super().__init__(what, where=where)


class RateError(OverloadError):
    """One sender is over its rate; what others send is taken all the same."""


class SourceError(TlsrptError):
    """A source of reports can't be reached or used now (login refused, connection lost, port taken)."""


class StoreError(TlsrptError):
    """The store is missing, of another version, or damaged."""


class StoreBusyError(StoreError):
    """The store can't write now (locked, disk full); the same call may succeed later."""

"""SMTP TLS Reporting (RFC 8460) end to end. This is the public API, by name; each is loaded when first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tlsrpt.core.errors import LimitError as LimitError
    from tlsrpt.core.errors import NoReportError as NoReportError
    from tlsrpt.core.errors import ReportError as ReportError
    from tlsrpt.core.errors import TlsrptError as TlsrptError
    from tlsrpt.core.findings import Finding as Finding
    from tlsrpt.core.limits import Limits as Limits
    from tlsrpt.core.report import Report as Report

_HOME = {
    "Finding": "tlsrpt.core.findings",
    "LimitError": "tlsrpt.core.errors",
    "Limits": "tlsrpt.core.limits",
    "NoReportError": "tlsrpt.core.errors",
    "Report": "tlsrpt.core.report",
    "ReportError": "tlsrpt.core.errors",
    "TlsrptError": "tlsrpt.core.errors",
}
__all__ = sorted(_HOME)  # noqa: PLE0605


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return list(__all__)

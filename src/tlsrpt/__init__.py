"""SMTP TLS Reporting (RFC 8460) end to end. This is the public API, by name; each is loaded when first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tlsrpt.core.errors import LimitError as LimitError
    from tlsrpt.core.errors import NoReportError as NoReportError
    from tlsrpt.core.errors import ReportError as ReportError
    from tlsrpt.core.errors import StoreError as StoreError
    from tlsrpt.core.errors import StrictError as StrictError
    from tlsrpt.core.errors import TlsrptError as TlsrptError
    from tlsrpt.core.findings import Finding as Finding
    from tlsrpt.core.limits import Limits as Limits
    from tlsrpt.core.message import Message as Message
    from tlsrpt.core.message import take_apart as take_apart
    from tlsrpt.core.reading import Document as Document
    from tlsrpt.core.reading import ReadReport as ReadReport
    from tlsrpt.core.reading import parse_report as parse_report
    from tlsrpt.core.reading import read_document as read_document
    from tlsrpt.core.reading import read_reports as read_reports
    from tlsrpt.core.report import DateRange as DateRange
    from tlsrpt.core.report import FailureDetail as FailureDetail
    from tlsrpt.core.report import Policy as Policy
    from tlsrpt.core.report import PolicyResult as PolicyResult
    from tlsrpt.core.report import Report as Report
    from tlsrpt.core.report import Summary as Summary
    from tlsrpt.core.results import ResultType as ResultType
    from tlsrpt.core.results import result_type as result_type
    from tlsrpt.core.writing import gzip_report as gzip_report
    from tlsrpt.core.writing import write_report as write_report
    from tlsrpt.insight.incident import Incident as Incident
    from tlsrpt.insight.incidents import find_incidents as find_incidents
    from tlsrpt.intake.door import open_document as open_document
    from tlsrpt.store.sqlite import open_store as open_store
    from tlsrpt.store.values import Arrival as Arrival

_HOME = {
    "Arrival": "tlsrpt.store.values",
    "DateRange": "tlsrpt.core.report",
    "Document": "tlsrpt.core.reading",
    "FailureDetail": "tlsrpt.core.report",
    "Finding": "tlsrpt.core.findings",
    "Incident": "tlsrpt.insight.incident",
    "LimitError": "tlsrpt.core.errors",
    "Limits": "tlsrpt.core.limits",
    "Message": "tlsrpt.core.message",
    "NoReportError": "tlsrpt.core.errors",
    "Policy": "tlsrpt.core.report",
    "PolicyResult": "tlsrpt.core.report",
    "ReadReport": "tlsrpt.core.reading",
    "Report": "tlsrpt.core.report",
    "ReportError": "tlsrpt.core.errors",
    "ResultType": "tlsrpt.core.results",
    "StoreError": "tlsrpt.core.errors",
    "StrictError": "tlsrpt.core.errors",
    "Summary": "tlsrpt.core.report",
    "TlsrptError": "tlsrpt.core.errors",
    "find_incidents": "tlsrpt.insight.incidents",
    "gzip_report": "tlsrpt.core.writing",
    "open_document": "tlsrpt.intake.door",
    "open_store": "tlsrpt.store.sqlite",
    "parse_report": "tlsrpt.core.reading",
    "read_document": "tlsrpt.core.reading",
    "read_reports": "tlsrpt.core.reading",
    "result_type": "tlsrpt.core.results",
    "take_apart": "tlsrpt.core.message",
    "write_report": "tlsrpt.core.writing",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return list(__all__)

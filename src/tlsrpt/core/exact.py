"""A report that keeps to RFC 8460 in every point, straight into its type: the fast way, for nearly every report.

The typed decoder refuses a wrong type, a missing or an unknown key and null; what it can't see is checked here. Values
that were found well formed are remembered, since the same few hosts, addresses and policy lines come again and again.
Whatever this refuses goes to the lenient reader, which says why; what this accepts, the lenient reader reads to the
same Report without a note (a property test holds them together).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache

import msgspec
from msgspec import Struct

from tlsrpt.core import forms
from tlsrpt.core.limits import Limits
from tlsrpt.core.report import (
    POLICY_STAGE,
    POLICY_TYPES,
    RESULT_TYPES,
    DateRange,
    FailureDetail,
    PolicyResult,
    Report,
)

_CONNECTED = RESULT_TYPES - POLICY_STAGE
_LONGEST = 4096  # characters of the longest string that is accepted here
_MANY = 256  # policies up to which counts of 2^53-1 can't add up to 2^63


class _Window(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True, gc=False):
    start_datetime: str  # as text: the decoder would take forms that RFC 3339 does not have
    end_datetime: str


class _Report(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True, gc=False):
    organization_name: str
    date_range: _Window
    contact_info: str
    report_id: str
    policies: tuple[PolicyResult, ...]


_decode = msgspec.json.Decoder(_Report).decode


class _Known(set[str | None]):
    """Texts that were found to have a form; forgotten all at once when there are too many."""

    def __init__(self, has_form: Callable[[str], bool], *, optional: bool = False, most: int = 16384) -> None:
        self._has_form, self._optional, self._most = has_form, optional, most
        super().__init__([None] if optional else [])

    def learn(self, text: str | None) -> bool:
        """Whether a text that is not known has the form; if so it is known from now on."""
        if text is None or not self._has_form(text):
            return False
        if len(self) >= self._most:
            self.clear()
            if self._optional:
                self.add(None)
        self.add(text)
        return True

    def learn_all(self, texts: Iterable[str]) -> bool:
        """Whether all have the form."""
        return all(text in self or self.learn(text) for text in texts)


def _is_text(text: str) -> bool:
    return 0 < len(text) <= _LONGEST and not text.isspace() and "\0" not in text


_hosts, _ips = _Known(forms.is_host), _Known(forms.is_ip)
_receiving_ips = _Known(forms.is_ip, optional=True)
_patterns, _lines, _tlsa = _Known(forms.is_mx_pattern), _Known(forms.is_policy_line), _Known(forms.is_tlsa_string)
_contacts, _uris = _Known(forms.is_addr_spec), _Known(forms.is_uri, optional=True, most=1024)
_texts = _Known(_is_text, optional=True, most=1024)


def decode(data: bytes, limits: Limits) -> Report | None:
    """The report, or None if anything at all would have to be noted, or a limit is passed."""
    if limits.string_length < _LONGEST:
        return None
    try:
        raw = _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    contact, policies = raw.contact_info, raw.policies
    window = _window(raw.date_range.start_datetime, raw.date_range.end_datetime)
    if (
        window is None
        or not policies
        or (contact not in _contacts and not _contacts.learn(contact))
        or not _is_name(raw.organization_name)
        or not _is_name(raw.report_id)
        or not _are_exact(policies, limits)
    ):
        return None
    return Report(
        organization_name=raw.organization_name,
        date_range=window,
        contact_info=contact,
        report_id=raw.report_id,
        policies=policies,
    )


def _is_name(text: str) -> bool:
    return text != "" and text.strip() is text and len(text) <= _LONGEST and "\0" not in text


@lru_cache(maxsize=1024)
def _window(start: str, end: str) -> DateRange | None:
    """The window, if it is one UTC day; the same few days come again and again."""
    begin, finish = forms.rfc3339(start), forms.rfc3339(end)
    if begin is None or finish is None or not forms.is_one_day(begin, finish):
        return None
    return DateRange(start_datetime=begin, end_datetime=finish)


def _are_exact(policies: tuple[PolicyResult, ...], limits: Limits) -> bool:
    rows = 0
    for entry in policies:
        policy, details = entry.policy, entry.failure_details
        kind, domain, lines, patterns = policy.policy_type, policy.policy_domain, policy.policy_string, policy.mx_host
        if kind not in POLICY_TYPES or (domain not in _hosts and not _hosts.learn(domain)):
            return False
        if lines:
            known = _tlsa if kind == "tlsa" else _lines
            if not known.issuperset(lines) and not known.learn_all(lines):
                return False
        if patterns and not _patterns.issuperset(patterns) and not _patterns.learn_all(patterns):
            return False
        if details:
            if _itemised(details) != entry.summary.total_failure_session_count:
                return False
            rows += len(details)
    if rows > limits.failure_details or len(policies) > limits.policies:
        return False
    return len(policies) <= _MANY


def _itemised(details: tuple[FailureDetail, ...]) -> int:
    """The sum of the rows, or -1 if one is not exact."""
    total = 0
    for row in details:
        ip, host, receiving_ip = row.sending_mta_ip, row.receiving_mx_hostname, row.receiving_ip
        helo, uri, reason = row.receiving_mx_helo, row.additional_information, row.failure_reason_code
        if row.result_type not in _CONNECTED:
            # Failures before any connection have no addresses (F-38).
            if row.result_type not in POLICY_STAGE:
                return -1
            if (ip is not None and not forms.is_ip(ip)) or (host is not None and not forms.is_host(host)):
                return -1
        elif (ip not in _ips and not _ips.learn(ip)) or (host not in _hosts and not _hosts.learn(host)):
            return -1
        if (
            (receiving_ip not in _receiving_ips and not _receiving_ips.learn(receiving_ip))
            or (helo not in _texts and not _texts.learn(helo))
            or (uri not in _uris and not _uris.learn(uri))
            or (reason not in _texts and not _texts.learn(reason))
        ):
            return -1
        total += row.failed_session_count
    return total

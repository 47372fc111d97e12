"""A report that keeps to RFC 8460 in every point, straight into its type: the fast way, for nearly every report.

The typed decoder refuses a wrong type, a missing or an unknown key, null and unregistered words; what it can't see is
checked here. Pieces and values that were found well formed are remembered, since the same policies, hosts and
addresses come again and again. Whatever this refuses goes to the lenient reader, which says why; what this accepts, the
lenient reader reads to the same Report without a note (a property test holds them together).

One thing is not seen here: a key that stands twice in a row or beside the policies (its last value counts, as for every
JSON reader in use). To count them takes a third of the time of decoding; in a policy and a window, which are looked at
once, it is done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec
from msgspec import Raw, Struct

from tlsrpt.core import forms
from tlsrpt.core.limits import Limits
from tlsrpt.core.report import (
    POLICY_STAGE,
    DateRange,
    FailureDetail,
    FailureDetails,
    Policy,
    PolicyResult,
    Report,
    Summary,
)

_LONGEST = 4096  # characters of the longest string that is accepted here
_Value = TypeVar("_Value")
_MANY = 256  # policies up to which counts of 2^53-1 can't add up to 2^63


class _Entry(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True, gc=False):
    policy: Raw
    summary: Summary
    failure_details: FailureDetails = None


class _Report(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True, gc=False):
    organization_name: str
    date_range: Raw
    contact_info: str
    report_id: str
    policies: tuple[_Entry, ...]


class _Window(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True, gc=False):
    start_datetime: str  # as text: the decoder would take forms that RFC 3339 does not have
    end_datetime: str


_decode = msgspec.json.Decoder(_Report).decode
_decode_window = msgspec.json.Decoder(_Window).decode
_decode_policy = msgspec.json.Decoder(Policy).decode


class _NotExactError(ValueError):
    """Something would have to be noted."""


# DecodeError is a ValueError, and so is a string that is no UTF-8.
_REFUSED = (ValueError, RecursionError)


def decode(data: bytes, limits: Limits) -> Report | None:
    """The report, or None if anything at all would have to be noted, or a limit is passed."""
    if 0x5C in data and b"\\u0000" in data:
        return None
    try:
        raw = _decode(data)
        rows, policies, known = 0, [], _policies
        hosts, uris = _hosts.texts, _uris.texts
        senders, receivers = _sending_ips.texts, _receiving_ips.texts
        for entry in raw.policies:
            piece = bytes(entry.policy)
            policy = known.get(piece) or _learn_policy(piece)
            summary, details = entry.summary, entry.failure_details
            if details:
                failed = 0
                for row in details:
                    if (
                        row.receiving_mx_hostname not in hosts
                        or row.sending_mta_ip not in senders
                        or row.receiving_ip not in receivers
                        or row.additional_information not in uris
                    ) and not _learn_row(row):
                        return None
                    failed += row.failed_session_count
                if failed != summary.total_failure_session_count:
                    return None
                rows += len(details)
            policies.append(PolicyResult(policy=policy, summary=summary, failure_details=details))
        piece = bytes(raw.date_range)
        window = _windows.get(piece) or _learn_window(piece)
    except _REFUSED:
        return None
    name, contact, report_id = raw.organization_name, raw.contact_info, raw.report_id
    if contact not in _contacts.texts and not _contacts.learn(contact):
        return None
    if name not in _names.texts and not _names.learn(name):
        return None
    if not report_id or report_id.strip() is not report_id:
        return None
    if not policies or len(policies) > _MANY or len(policies) > limits.policies or rows > limits.failure_details:
        return None
    if len(data) > limits.string_length and not len(report_id) <= _LONGEST <= limits.string_length:
        return None
    return Report(
        organization_name=name,
        date_range=window,
        contact_info=contact,
        report_id=report_id,
        policies=tuple(policies),
    )


# --- rows ------------------------------------------------------------------------------------------------------------


class _Known:
    """Texts that were found to have a form; forgotten all at once when there are too many.

    None is among them where a row may do without such a text. `in` wants the set itself: 22 nanoseconds, of a class
    made from it 39, and a large report asks 2,000 times.
    """

    __slots__ = ("_has_form", "_most", "_optional", "texts")

    def __init__(self, has_form: Callable[[str], bool], *, optional: bool = False, most: int = 16384) -> None:
        self._has_form, self._optional, self._most = has_form, optional, most
        self.texts: set[str | None] = {None} if optional else set()

    def learn(self, text: str | None) -> bool:
        """Whether a text that is not known has the form; if so it is known from now on."""
        if text is None or not self._has_form(text):
            return False
        if len(self.texts) >= self._most:
            self.texts.clear()
            self.texts.update({None} if self._optional else ())
        self.texts.add(text)
        return True


def _is_name(text: str) -> bool:
    return 0 < len(text) <= _LONGEST and text.strip() is text


# `__wrapped__`: what is remembered here need not be once more behind the function (a fifth of the time of new reports).
_hosts, _contacts = _Known(forms.is_host.__wrapped__), _Known(forms.is_addr_spec.__wrapped__)
_sending_ips = _Known(forms.is_ip.__wrapped__)
_receiving_ips = _Known(forms.is_ip.__wrapped__, optional=True)
_uris, _names = _Known(forms.is_uri.__wrapped__, optional=True, most=1024), _Known(_is_name, most=1024)


def _learn_row(row: FailureDetail) -> bool:
    """Whether the texts of a row are well formed, and none is missing where one must be (F-38)."""
    host, ip, receiving_ip = row.receiving_mx_hostname, row.sending_mta_ip, row.receiving_ip
    if (host is None or ip is None) and row.result_type not in POLICY_STAGE:
        return False
    text = row.additional_information
    return (
        (host in _hosts.texts or host is None or _hosts.learn(host))
        and (ip in _sending_ips.texts or ip is None or _sending_ips.learn(ip))
        and (receiving_ip in _receiving_ips.texts or _receiving_ips.learn(receiving_ip))
        and (text in _uris.texts or _uris.learn(text))
    )


# --- pieces ----------------------------------------------------------------------------------------------------------

# The policy and the window stand in a report, to the byte, as in the same sender's report of the day before, or in its
# other reports of that day: each such piece of JSON is decoded and checked once.
_policies: dict[bytes, Policy] = {}
_windows: dict[bytes, DateRange] = {}
_MOST_PIECES, _LONGEST_PIECE = 4096, 2048


def _learn_window(piece: bytes) -> DateRange:
    raw = _decode_window(piece)
    begin, finish = forms.rfc3339(raw.start_datetime), forms.rfc3339(raw.end_datetime)
    if begin is None or finish is None or not forms.is_one_day(begin, finish):
        raise _NotExactError
    if not _says_just(piece, keys=2, strings=2):
        raise _NotExactError
    window = DateRange(start_datetime=begin, end_datetime=finish)
    if len(piece) <= _LONGEST_PIECE:
        _remember(_windows, piece, window)
    return window


def _learn_policy(piece: bytes) -> Policy:
    policy = _decode_policy(piece)
    has_form = forms.is_tlsa_string.__wrapped__ if policy.policy_type == "tlsa" else forms.is_policy_line
    lines, patterns = policy.policy_string or (), policy.mx_host or ()
    keys = 2 + (policy.policy_string is not None) + (policy.mx_host is not None)
    if (
        not forms.is_host(policy.policy_domain)
        or not all(map(has_form, lines))
        or not all(map(forms.is_mx_pattern, patterns))
        or not _says_just(piece, keys=keys, strings=2 + len(lines) + len(patterns))
    ):
        raise _NotExactError
    if len(piece) <= _LONGEST_PIECE:
        _remember(_policies, piece, policy)
    return policy


def _remember(known: dict[bytes, _Value], key: bytes, value: _Value) -> None:
    if len(known) >= _MOST_PIECES:
        known.clear()
    known[key] = value


def _says_just(piece: bytes, *, keys: int, strings: int) -> bool:
    """Whether a piece has no more keys than were decoded: one that stands twice would be dropped without a word."""
    return b"\\" not in piece and piece.count(b'"') == 2 * (keys + strings)

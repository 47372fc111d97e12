"""Whether a report's DKIM signatures prove who sent it (RFC 8460 section 3, A-09). Pure.

A report is counted under the name that its JSON gives: the domain of contact-info, else the organisation. So it is that
name which has to be proven, not the From of the mail that brought it: anybody can sign a mail of their own and put a
report of somebody else into it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from msgspec import Struct

from tlsrpt.core.domain import Domain, parse_domain
from tlsrpt.core.errors import DomainError
from tlsrpt.core.findings import SENDERS_FAULT, Finding, Severity
from tlsrpt.core.report import Report
from tlsrpt.core.text import printable
from tlsrpt.intake.dkim import Signature
from tlsrpt.store.values import Dkim, MailHeaders

_WHERE = "message.DKIM-Signature"
_MARKED = "the report is read and marked as not proven to come from its sender"
_SHOWN_REASONS = 3


class Proof(Struct, frozen=True, kw_only=True):
    """What a mail's signatures say of a report in it."""

    verdict: Dkim
    domain: str | None = None  # d= of the signature that decided it
    findings: tuple[Finding, ...] = ()


class _Claimed(Struct, frozen=True):
    """Who has to have signed; no domain where the report names nobody who could."""

    domain: Domain | None
    only_named: bool  # the report itself names no domain: this one is the mail's


def judge(report: Report, headers: MailHeaders | None, signatures: tuple[Signature, ...]) -> Proof:
    """Hold the signatures of a mail against the submitter of a report in it.

    Args:
        headers: of the mail; they count where the report gives no address.
        signatures: all that were looked at; none at all is a verdict too.
    """
    claimed = _claimed(report, headers)
    aligned = [each for each in signatures if _is_aligned(each.domain, claimed.domain)]
    if passed := _with(aligned, "pass"):
        best = min(passed, key=lambda each: each.domain != claimed.domain)
        return Proof(verdict="pass", domain=best.domain, findings=tuple(_oddities(report, headers, claimed, best)))
    if not signatures:
        return Proof(verdict="none", findings=(_NONE,))
    # Where the submitter's own signature can't be judged now, another's that holds does not settle the matter.
    if unclear := _with(aligned, "error"):
        return _unproven("error", unclear, claimed)
    if others := _with(signatures, "pass"):
        return _unproven("pass-other", [*others, *_with(aligned, "fail")], claimed)
    if unclear := _with(signatures, "error"):
        return _unproven("error", unclear, claimed)
    return _unproven("fail", [*aligned, *(each for each in signatures if each not in aligned)], claimed)


def _with(signatures: Iterable[Signature], verdict: str) -> list[Signature]:
    return [each for each in signatures if each.verdict == verdict]


def _claimed(report: Report, headers: MailHeaders | None) -> _Claimed:
    """Who speaks, by the report; where it gives no address and no domain for a name, by its mail."""
    _, at, address_domain = (report.contact_info or "").rpartition("@")
    if at and address_domain.strip(" >."):
        return _Claimed(_domain(report.submitter), only_named=False)
    named = _domain(report.organization_name)
    if named is not None or headers is None:
        return _Claimed(named, only_named=False)
    return _Claimed(_domain(headers.submitter) or _domain(_address_domain(headers.sender)), only_named=True)


def _domain(text: str | None) -> Domain | None:
    """A domain name of two labels at least, or None."""
    try:
        domain = parse_domain(text or "")
    except DomainError:
        return None
    return domain if "." in domain else None


def _address_domain(sender: str | None) -> str | None:
    """The domain of a From field's address: in the angle brackets at its end, or the whole of it."""
    text = (sender or "").strip()
    if text.endswith(">"):
        text = text[:-1].rpartition("<")[2]
    return None if set(text) & set('<>(), "') else text.rpartition("@")[2]


def _is_aligned(signer: str, claimed: Domain | None) -> bool:
    """Whether a signature's domain is the claimed one or above it.

    No list of public suffixes is asked: whoever publishes a key for `co.uk` decides what is below it anyway. One below
    the claimed domain is not enough: it may be a customer's.
    """
    return claimed is not None and "." in signer and (signer == claimed or claimed.endswith("." + signer))


def _oddities(report: Report, headers: MailHeaders | None, claimed: _Claimed, proof: Signature) -> Iterator[Finding]:
    """What is worth knowing of a report that is proven."""
    if proof.domain != claimed.domain:
        yield _finding(
            "inexact",
            "info",
            f"signed by {proof.domain}, a domain above that of its submitter, {claimed.domain}",
            "taken as proof: who holds a domain also decides what is below it",
            fix="",
        )
    if claimed.only_named:
        yield _finding(
            "organization-name",
            "warning",
            f"the report gives no contact address; its mail is signed by {proof.domain}",
            f"that {proof.domain} speaks for {printable(report.submitter, 100) or 'an organisation without a name'} "
            "is not proven",
        )
    if proof.has_length:
        yield _finding(
            "body-length",
            "warning",
            "the signature uses l= (RFC 8460 section 3: must not)",
            "it covers the whole body all the same",
        )
    if not proof.told_by and headers is not None:
        yield from _uncovered(report, headers, proof.signed)


def _uncovered(report: Report, headers: MailHeaders, signed: frozenset[str]) -> Iterator[Finding]:
    """Which fields that matter the signature leaves to whoever had the mail in hands."""
    present = {"TLS-Report-Domain": headers.report_domain, "TLS-Report-Submitter": headers.submitter}
    loose = [name for name, value in present.items() if value and name.lower() not in signed]
    if loose:
        yield _finding(
            "header-unsigned",
            "info",
            f"the signature does not cover {' and '.join(loose)} (RFC 8460 section 5.3 asks for it)",
            "usual: of large senders Google covers them, Microsoft and Mail.ru do not",
        )
    if "TLS-Report-Domain" in loose and not _confirms(report, headers.report_domain):
        yield _finding(
            "report-domain-unsigned",
            "warning",
            f"TLS-Report-Domain is {printable(str(headers.report_domain), 100)}, which neither the signature covers "
            "nor the report's policies name",
            "the report is filed under a domain that its sender may not have named",
            "follow the report down to its mail before acting on it",
        )
    if "content-type" not in signed and (not headers.submitter or "tls-report-submitter" not in signed):
        yield _finding(
            "content-type-unsigned",
            "warning",
            "the signature covers neither Content-Type nor TLS-Report-Submitter",
            "a mail of another kind, signed by the same domain, could have been made to look like a report",
        )


def _confirms(report: Report, header: str | None) -> bool:
    """Whether a policy of the report is about the header's domain or one below it."""
    domain = _domain(header)
    return any(
        each == domain or each.endswith(f".{domain}")
        for each in (entry.policy.policy_domain for entry in report.policies)
    )


def _unproven(verdict: Literal["pass-other", "fail", "error"], signatures: list[Signature], claimed: _Claimed) -> Proof:
    """What kept the report from being proven; the first of the signatures decided it."""
    submitter = claimed.domain or "its submitter, who gives no domain"
    told = [_told(each) for each in signatures[:_SHOWN_REASONS]]
    message = f"not proven to come from {submitter}: " + "; ".join(dict.fromkeys(told))
    fix = {
        "pass-other": SENDERS_FAULT,
        "fail": "where a gateway of yours changes mail or holds it for days, let it verify and name it in authserv_id",
        "error": "see whether the resolver of this machine works: tlsrpt verifies a report once, on arrival",
    }[verdict]
    finding = _finding(verdict.removeprefix("pass-"), "warning", message, _MARKED, fix)
    return Proof(verdict=verdict, domain=signatures[0].domain or None, findings=(finding,))


def _told(signature: Signature) -> str:
    signer = signature.domain or "a domain that can't be read"
    if signature.verdict == "pass":
        return f"signed by {signer}"
    return f"the signature of {signer} {'fails' if signature.verdict == 'fail' else 'is unclear'}: {signature.reason}"


def _finding(what: str, severity: Severity, message: str, consequence: str, fix: str = SENDERS_FAULT) -> Finding:
    return Finding(
        code=f"dkim-{what}", severity=severity, where=_WHERE, message=message, consequence=consequence, fix=fix
    )


_NONE = _finding(
    "none",
    "warning",
    "the mail has no DKIM signature (RFC 8460 section 3 requires one)",
    _MARKED,
    "a fault of the report's sender, or of a mail system that rebuilt the mail",
)

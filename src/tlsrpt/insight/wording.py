"""How incidents are told: names made safe to show, the headline, when to leave it alone, a text to forward.

What senders claim is told as reported. Names come from reports and are hostile: nothing that can't be seen gets into a
text, and nothing overlong.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from tlsrpt.core.causes import Cause
from tlsrpt.core.domain import display_domain
from tlsrpt.core.results import ConsequenceKind, ResultType
from tlsrpt.core.text import printable
from tlsrpt.insight.incident import RankedCause, State
from tlsrpt.insight.places import PlaceKind

NAME_LIMIT = 80  # characters of a name in a sentence
REASON_LIMIT = 150  # of a reason code

# What senders report, said of {place}: by the cause where one is known and says more than the result type.
_OF_TYPE = {
    "starttls-not-supported": "{place} offers no TLS",
    "certificate-host-mismatch": "{place} shows a certificate for another name",
    "certificate-expired": "{place} shows an expired certificate",
    "certificate-not-trusted": "{place} shows a certificate that is not trusted",
    "validation-failure": "TLS with {place} fails a check",
    "tlsa-invalid": "no TLSA record at {place} can be used",
    "dnssec-invalid": "DNSSEC does not validate for {place}",
    "dane-required": "{mx} has no DANE, which this sender demands",
    "sts-policy-fetch-error": "the MTA-STS policy can't be fetched from {place}",
    "sts-policy-invalid": "the MTA-STS policy at {place} breaks the rules",
    "sts-webpki-invalid": "the certificate of the policy host {place} is not valid",
}
_OF_CAUSE = {
    "mx-not-in-policy": "{mx} is not listed in the MTA-STS policy of {domain}",
    "policy-copy-old": "{mx} is not in the older MTA-STS policy of {domain} that is still applied",
    "tlsa-key-changed": "no TLSA record at {place} fits the certificate that is served",
    "tlsa-wrong-data": "no TLSA record at {place} fits the certificate that is served",
    "tlsa-unusable": "no TLSA record at {place} can be used",
    "tlsa-lookup-failed": "the TLSA record at {place} can't be looked up",
    "self-signed": "{place} shows a self-signed certificate",
    "chain-incomplete": "{place} shows a certificate without its chain",
    "certificate-not-yet-valid": "{place} shows a certificate that is not valid yet",
    "sender-trust-store": "{mx} shows a certificate that this sender does not trust",
    "starttls-refused": "{place} refuses STARTTLS",
    "tls-version-or-cipher": "{place} shares no TLS version or cipher with them",
    "tls-server-fault": "{place} breaks the TLS handshake off",
    "not-tls-after-starttls": "{place} answers STARTTLS with something that is no TLS",
    "handshake-broken-off": "the TLS handshake with {place} breaks off",
    "mx-answer-bogus": "DNSSEC does not validate for the MX records of {place}",
    "policy-certificate-expired": "the certificate of the policy host {place} has expired",
    "policy-certificate-name": "the certificate of the policy host {place} is for another name",
    "policy-certificate-chain": "the certificate of the policy host {place} is not trusted",
    "policy-host-not-in-dns": "the policy host {place} is not found in DNS",
    "policy-host-unreachable": "the policy host {place} does not answer",
    "policy-file-missing": "there is no MTA-STS policy at {place}",
    "policy-redirected": "the policy host {place} redirects, which senders do not follow",
    "sts-record-invalid": "the record {place} is not valid",
    "sender-requires-policy": "no MTA-STS policy of {domain} was found, which this sender demands",
}
_HAPPENS = {
    "refused": "{mail} is refused{there}",
    "delayed": "{mail} is delayed{there}",
    "delivered-clear": "{mail} is delivered in clear text{there}",
    "delivered-unverified": "{mail} is delivered{there}, to a server nobody verified",
    "none": "{mail} is not affected",
}
_HAPPENED = {kind: text.replace("{mail} is", "{mail} was") for kind, text in _HAPPENS.items()}


def name(text: str) -> str:
    """A name from a report, safe to show in a sentence."""
    return printable(text, NAME_LIMIT)


def reason_text(text: str) -> str:
    """A reason code, safe to show; what is long loses its middle, since the end says what went wrong."""
    shown = printable(text, REASON_LIMIT * 20)
    return (
        shown if len(shown) <= REASON_LIMIT else f"{shown[: REASON_LIMIT // 3]}...{shown[-(REASON_LIMIT * 2 // 3) :]}"
    )


def domain_name(text: str) -> str:
    """A domain as people write it, safe to show in a sentence."""
    return printable(display_domain(text), NAME_LIMIT)


def names(items: Sequence[str], most: int = 3) -> str:
    """Some names, the rest counted: `a, b and 3 more`."""
    shown = [name(item) for item in items[:most]]
    if len(items) > most:
        return f"{', '.join(shown)} and {len(items) - most:,} more"
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1]))) if shown else ""


def likeliest(causes: Sequence[RankedCause]) -> str:
    """The likeliest cause, and the next one where nothing in the reports tells the two apart."""
    first, *others = causes
    if first.code == "unknown" or not others or tells(first, others[0]):
        return first.title
    return f"{first.title}; or: {others[0].title} (the reports do not tell which)"


def tells(cause: RankedCause, other: RankedCause) -> list[str]:
    """What speaks for a cause and not for the other one."""
    return [each for each in cause.evidence_for if each not in other.evidence_for]


def as_types(types: Sequence[str]) -> str:
    """Under which result types something was reported: `as a and b`, or that it was under none."""
    named = [each for each in types if each]
    if not named:
        return "without a result type"
    return f"as {names(named)}{' or without a result type' if len(named) < len(types) else ''}"


def count(number: int, one: str) -> str:
    """`1 session`, `2 sessions`."""
    return f"{number:,} {one}" if number == 1 else f"{number:,} {one}s"


def headline(
    *,
    senders: Sequence[str],
    place: str,
    mx: str,
    domains: Sequence[str],
    policy_domain: str,
    result: str,
    registered: ResultType | None,
    cause: Cause | None,
    addresses: Sequence[str],
    kind: ConsequenceKind,
    part: bool,
    state: State,
    last: date,
) -> str:
    """Who reports which fault of what, and what happens to the mail, in one sentence without jargon.

    Args:
        part: whether some sessions of these senders work.
    """
    fault = _OF_CAUSE.get(cause.code if cause else "") or _OF_TYPE.get(registered.name if registered else "")
    if not result and cause is None:
        fault = "sessions with {place} failed, without saying how"
    elif fault is None:
        fault = f"TLS with {{place}} fails ({name(result) or 'without saying how'})"
    said = fault.replace("{place}", domain_name(place)).replace("{mx}", domain_name(mx) or "the MX host")
    said = said.replace("{domain}", domain_name(policy_domain))
    if registered is not None and registered.name == "dnssec-invalid" and mx and mx != place:
        said += f" ({domain_name(mx)})"
    if addresses and all(":" in address for address in addresses) and place == mx:
        said += f" at its IPv6 address {name(addresses[0])}" if len(addresses) == 1 else " at its IPv6 addresses"
    past = state in ("quiet", "unknown")
    verb = "reported" if past else "reports" if len(senders) == 1 else "report"
    at_host = bool(mx) and ("{mx}" in fault or ("{place}" in fault and place in (mx, f"_25._tcp.{mx}")))
    whose = "its" if len(senders) == 1 else "their"
    mail = f"{'some of ' if part and not at_host else ''}{whose} mail to {_mail_domains(domains)}"
    happens = (_HAPPENED if past else _HAPPENS)[kind].replace("{mail}", mail)
    happens = happens.replace("{there}", " there" if part and at_host else "")
    ending = {"quiet": f"; no longer reported after {last}", "unknown": f"; nobody can tell since {last}"}.get(
        state, ""
    )
    begin = names(senders, 2) or "A sender without a name"
    return f"{begin} {verb} that {said}; {happens}{ending}."


def _mail_domains(domains: Sequence[str]) -> str:
    if len(domains) > 2:
        return f"{domain_name(domains[0])} and {len(domains) - 1:,} other domains"
    return " and ".join(domain_name(domain) for domain in domains)


def when_to_ignore(state: State, cause: Cause | None, share: float, alone: bool) -> str:
    """When the incident may be left alone, and why; "" when it may not."""
    if state == "watch":
        return (
            "Leave it alone unless it comes again: one sender, one day and few sessions are what time-outs, scanners "
            "and restarts leave behind. Two senders, two days or all sessions to one host would make it a fault."
        )
    if cause is not None and cause.party == "sender":
        if cause.code.startswith("sender-requires"):
            return "It is a rule of that sender's own; nothing is wrong on your side."
        return "If the check is good, nothing is wrong on your side: the sender alone can mend it."
    if alone and share < 0.01:
        return "One sender and less than 1 % of its sessions: it may wait as long as neither grows."
    return ""


def when_confirmed(senders: Sequence[str], cached: bool) -> str:
    """When the reports themselves will show that it is mended."""
    text = (
        f"Reports speak of whole UTC days and come a day late or more: two later days from {names(senders, 2)} without "
        "it will show it."
    )
    if cached:
        text += " A sender may apply its copy of the policy until max_age has passed, or until it sees a new id."
    return text


def to_forward(
    *,
    first: date,
    last: date,
    senders: Sequence[str],
    failed: int,
    total: int,
    domains: Sequence[str],
    place: str,
    kind: PlaceKind,
    types: Sequence[str],
    reasons: Sequence[str],
    likely: str,
    steps: Sequence[str],
    verify: str,
    expected: str,
) -> str:
    """A text for whoever runs the place: the facts, without blame."""
    days = f"On {first}" if first == last else f"Between {first} and {last}"
    of_all = f"{failed:,} of their {total:,} SMTP sessions to {_mail_domains(domains)}"
    if kind in ("policy-host", "sts-record") and any(each.startswith("sts-") for each in types):
        fault = f"for {of_all} no MTA-STS policy could be had from {domain_name(place)}"
    elif kind in ("mx", "tlsa-record"):
        fault = f"{of_all} failed at {domain_name(place)}"
    else:
        fault = f"{of_all} failed ({domain_name(place)})"
    lines = [f"{days} (UTC days), {names(senders)} reported by TLS-RPT (RFC 8460) that {fault}, {as_types(types)}."]
    if reasons:
        lines.append(f"Reason given: {'; '.join(reason_text(reason).rstrip('.') for reason in reasons[:3])}.")
    lines.append(f"Likely cause: {likely}.")
    lines += [f"{number}. {step}" for number, step in enumerate(steps, 1)]
    if verify:
        lines += [f"Check: {verify}", f"Good: {expected}"]
    lines.append("The reports themselves can be sent on.")
    return "\n".join(lines)

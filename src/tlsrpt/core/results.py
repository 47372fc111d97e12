"""The result types of TLS reports: meaning, whose side, causes, consequence, proof (RFC 8460 section 4.3).

All eleven types of the RFC and of IANA's registry "STARTTLS Validation Result Types". An unknown type is no error
here (R4.3-14): `result_type` answers None, `closest` offers the registered name that was probably meant.

Direction first: senders write these reports about the receiving side, about mail *to* the domain.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal

from msgspec import Struct

from tlsrpt.core.causes import (
    CAUSES,
    CERTIFICATE_CHECK,
    CERTIFICATE_DATES,
    CHAIN_CHECK,
    DNSSEC_CHECK,
    MX_AGAINST_POLICY,
    POLICY_CERTIFICATE,
    POLICY_FETCH,
    POLICY_TEXT,
    STARTTLS_CHECK,
    TLSA_AGAINST_KEY,
    TLSA_SECURE,
    Cause,
    Party,
    Place,
    Stage,
    Verify,
)
from tlsrpt.core.domain import is_domain

__all__ = [
    "CAUSES",
    "RESULT_TYPES",
    "Cause",
    "Consequence",
    "ConsequenceKind",
    "Mode",
    "Party",
    "Place",
    "PolicyScope",
    "ResultType",
    "Side",
    "Situation",
    "Stage",
    "Verify",
    "causes_under",
    "closest",
    "consequence",
    "fill",
    "mode_of",
    "result_type",
    "situations",
]

PolicyScope = Literal["any", "tlsa", "sts"]
Mode = Literal["enforce", "testing", "none"]
ConsequenceKind = Literal["none", "delivered-unverified", "delivered-clear", "delayed", "refused"]


class Side(Struct, frozen=True, kw_only=True):
    """Whose side a result type points to, and why. A hint of the type alone; the reports' evidence may say more."""

    party: Party
    reason: str


class ResultType(Struct, frozen=True, kw_only=True):
    """One registered result type, told so that an administrator can act on it.

    Attributes:
        name: the value of `result-type`.
        policy_types: under which policies it belongs: any, tlsa or sts.
        title: in plain words. meaning: what the sender claims.
        side, stage, place: who can mend it, how far the session came, where to look (failures are grouped by it).
        causes: what it really is, the likeliest first.
        verify: a command that a person can run, with placeholders for `fill`.
        fix: what mends it, in one sentence.
        distinguishes: what must be told apart under this one name.
        says_not: what the type does not say.
        section: where it is defined.
    """

    name: str
    policy_types: PolicyScope
    title: str
    meaning: str
    side: Side
    stage: Stage
    place: Place
    causes: tuple[Cause, ...]
    verify: Verify
    fix: str
    distinguishes: tuple[str, ...]
    says_not: str
    section: str


class Consequence(Struct, frozen=True, kw_only=True):
    """What happens to the mail. `kind` is for programs, `text` one sentence for people."""

    kind: ConsequenceKind
    text: str


def _causes(*codes: str) -> tuple[Cause, ...]:
    return tuple(CAUSES[code] for code in codes)


def _table(*types: ResultType) -> Mapping[str, ResultType]:
    return MappingProxyType({each.name: each for each in types})


RESULT_TYPES: Mapping[str, ResultType] = _table(
    ResultType(
        name="starttls-not-supported",
        policy_types="any",
        title="The MX offered no TLS",
        meaning="The sender connected to the MX and could not start TLS: STARTTLS was not offered, or was refused.",
        side=Side(party="mx", reason="Only the receiving server, or a device in front of it, decides what is offered."),
        stage="starttls",
        place="mx",
        causes=_causes(
            "starttls-off-on-one-host",
            "starttls-refused",
            "starttls-stripped",
            "starttls-off",
            "starttls-greylisted",
        ),
        verify=STARTTLS_CHECK,
        fix="Offer STARTTLS with a valid certificate on every host and address that the MX records lead to.",
        distinguishes=(
            "not offered at all",
            "offered, but refused to this sender",
            "stripped on the way",
            "only on IPv6, or on one node behind a balancer",
        ),
        says_not="Whether the server never offers TLS or refused it once: look at the reason code and the address.",
        section="RFC 8460 section 4.3.1",
    ),
    ResultType(
        name="certificate-host-mismatch",
        policy_types="any",
        title="The MX's certificate is for another name",
        meaning="The certificate that the MX showed does not hold the name that the policy asks for: the MX name.",
        side=Side(party="mx", reason="The certificate is installed on the MX, and the MX name is in your DNS."),
        stage="certificate",
        place="mx",
        causes=_causes(
            "mx-name-not-in-certificate", "mx-is-alias", "wrong-virtual-host", "mx-not-in-policy", "policy-copy-old"
        ),
        verify=CERTIFICATE_CHECK,
        fix="Make the certificate hold the MX name, or let MX record and policy name what the certificate holds.",
        distinguishes=(
            "the MX name is not among the certificate's names",
            "the MX is an alias for a provider's host",
            "the wrong virtual host answers when no SNI is sent",
            "the MX is not in the policy (some senders use this type for it)",
        ),
        says_not="Which names the certificate holds, and whether every address of the MX shows the same one.",
        section="RFC 8460 section 4.3.1",
    ),
    ResultType(
        name="certificate-expired",
        policy_types="any",
        title="The MX's certificate has expired",
        meaning="The certificate that the MX showed was out of date when the sender connected.",
        side=Side(party="mx", reason="The certificate is installed on the MX."),
        stage="certificate",
        place="mx",
        causes=_causes("renewed-not-reloaded", "renewal-stopped", "one-node-old-certificate", "intermediate-expired"),
        verify=CERTIFICATE_DATES,
        fix="Renew the certificate and reload the mail server, on every address of the MX.",
        distinguishes=(
            "the host's own certificate expired",
            "an expired intermediate is served",
            "one node was not reloaded",
        ),
        says_not="Which certificate of the chain expired, and whether all nodes show it. With TLSA '3 x x' expiry "
        "plays no part (RFC 7672 section 3.1.1).",
        section="RFC 8460 section 4.3.1",
    ),
    ResultType(
        name="certificate-not-trusted",
        policy_types="any",
        title="The MX's certificate is not trusted",
        meaning="The certificate's chain does not lead to an authority that the sender trusts, or breaks one of its "
        "rules. Under DANE, Postfix says so when no TLSA record fits.",
        side=Side(party="mx", reason="The MX sends the chain; suspect the sender's CA store if it is the only one."),
        stage="certificate",
        place="mx",
        causes=_causes(
            "chain-incomplete",
            "tlsa-key-changed",
            "self-signed",
            "private-ca",
            "tlsa-wrong-data",
            "sender-trust-store",
            "certificate-unfit",
            "certificate-not-yet-valid",
        ),
        verify=CHAIN_CHECK,
        fix="Send the full chain of a publicly trusted certificate; under DANE, publish the record of the key in use.",
        distinguishes=("self-signed", "the chain is incomplete", "the root is not in that sender's store"),
        says_not="Whether the chain is broken for everyone or only for this sender: compare the senders.",
        section="RFC 8460 section 4.3.1",
    ),
    ResultType(
        name="validation-failure",
        policy_types="any",
        title="The session failed a check that has no name of its own",
        meaning="Everything that fits no other type: an MX that the policy does not list, a handshake that broke off, "
        "a TLSA record that does not match. The reason code, when there is one, says which.",
        side=Side(
            party="unknown",
            reason="The type alone does not say; the reason code does. Mostly it is the receiving side.",
        ),
        stage="other",
        place="mx",
        causes=_causes(
            "mx-not-in-policy",
            "policy-copy-old",
            "tlsa-key-changed",
            "tls-version-or-cipher",
            "handshake-broken-off",
            "self-signed",
            "chain-incomplete",
            "tls-server-fault",
            "wrong-virtual-host",
            "not-tls-after-starttls",
            "tlsa-wrong-data",
            "certificate-not-yet-valid",
            "mx-answer-bogus",
            "sender-requires-policy",
            "sender-fault",
        ),
        verify=MX_AGAINST_POLICY,
        fix="Compare the MX names with the policy first; then look at the handshake.",
        distinguishes=(
            "the MX is not in the policy",
            "a TLS alert during the handshake",
            "no protocol version in common",
            "unknown: no reason code given",
        ),
        says_not="What failed. It does not mean that a sender of mail failed a check: it is about your server.",
        section="RFC 8460 section 4.3.1",
    ),
    ResultType(
        name="tlsa-invalid",
        policy_types="tlsa",
        title="No TLSA record could be used",
        meaning="The MX has TLSA records and none is valid: unusable ones, or (some senders) none that matches.",
        side=Side(party="dns", reason="The TLSA records are in your DNS, or in that of whoever runs the MX."),
        stage="dns",
        place="tlsa-record",
        causes=_causes("tlsa-unusable", "tlsa-key-changed", "tlsa-wrong-data", "tlsa-lookup-failed"),
        verify=TLSA_AGAINST_KEY,
        fix="Publish a '3 1 1' record of the key in use beside the old records, and remove those after two TTLs.",
        distinguishes=(
            "no record matches the certificate",
            "unusable parameters",
            "a roll-over without a second record",
        ),
        says_not="Whether the records are unusable or merely do not match: senders differ. Look at policy-string.",
        section="RFC 8460 section 4.3.2.1",
    ),
    ResultType(
        name="dnssec-invalid",
        policy_types="tlsa",
        title="DNSSEC validation failed",
        meaning="The sender's resolver found the answers for the MX host or its TLSA records bogus.",
        side=Side(party="dns", reason="Signatures, keys and DS belong to the zone; one sender alone may be wrong."),
        stage="dns",
        place="tlsa-record",
        causes=_causes("signatures-expired", "ds-left-behind", "denial-broken", "sender-resolver"),
        verify=DNSSEC_CHECK,
        fix="Sign the zone anew, or remove a DS that does not belong to its keys.",
        distinguishes=("a bogus signature", "an expired signature", "a broken denial of existence"),
        says_not="Which zone is bogus: the MX host's, the domain's, or one above them.",
        section="RFC 8460 section 4.3.2.1",
    ),
    ResultType(
        name="dane-required",
        policy_types="tlsa",
        title="The sender demands DANE, and this MX has none",
        meaning="The sender is set to deliver only with DANE, and found no DNSSEC-validated TLSA record for this MX.",
        side=Side(party="sender", reason="The demand is a rule of the sender; you need not offer DANE."),
        stage="dns",
        place="sender",
        causes=_causes("tlsa-missing", "zone-unsigned", "sender-resolver"),
        verify=TLSA_SECURE,
        fix="Publish a signed TLSA record for every MX, or tell the sender that you offer no DANE.",
        distinguishes=("the sender insists by agreement and the TLSA record is missing", "the MX's zone is not signed"),
        says_not="That anything is wrong with your TLS: other senders deliver.",
        section="RFC 8460 section 4.3.2.1",
    ),
    ResultType(
        name="sts-policy-fetch-error",
        policy_types="sts",
        title="The MTA-STS policy could not be fetched",
        meaning="The _mta-sts record announces a policy, and the sender could not get it from the policy host.",
        side=Side(party="policy-host", reason="Your policy host serves it; one sender alone may meet a wall there."),
        stage="policy",
        place="policy-host",
        causes=_causes(
            "policy-file-missing",
            "policy-redirected",
            "policy-host-blocks",
            "policy-certificate-name",
            "policy-host-not-in-dns",
            "policy-certificate-expired",
            "policy-certificate-chain",
            "policy-host-ipv6",
            "policy-host-tls",
            "policy-host-unreachable",
            "sts-record-invalid",
        ),
        verify=POLICY_FETCH,
        fix="Answer 200 and text/plain there, to everyone, without redirect, with a valid certificate.",
        distinguishes=(
            "DNS of the policy host",
            "TCP",
            "TLS",
            "HTTP status",
            "redirect",
            "time-out",
            "blocked by a web firewall",
            "IPv6 only",
        ),
        says_not="Anything about your mail server. Senders with a cached policy go on applying it.",
        section="RFC 8460 section 4.3.2.2",
    ),
    ResultType(
        name="sts-policy-invalid",
        policy_types="sts",
        title="The MTA-STS policy breaks the rules",
        meaning="The sender fetched the policy file and could not make sense of it as a whole.",
        side=Side(party="policy-host", reason="The text is served by your policy host."),
        stage="policy",
        place="policy-host",
        causes=_causes(
            "policy-syntax", "policy-wrong-content", "policy-mx-lines", "policy-max-age", "policy-too-large"
        ),
        verify=POLICY_TEXT,
        fix="Write the four keys exactly as RFC 8461 section 3.2 wants them, then give the record a new id.",
        distinguishes=("syntax", "media type", "no mx line", "size", "max_age"),
        says_not="Which line is wrong; policy-string in the report shows what the sender read.",
        section="RFC 8460 section 4.3.2.2",
    ),
    ResultType(
        name="sts-webpki-invalid",
        policy_types="sts",
        title="The policy host's certificate is not valid",
        meaning="The sender reached the policy host over HTTPS and could not verify its certificate. "
        "It is the web server's certificate, not the MX's.",
        side=Side(party="policy-host", reason="The certificate is installed on the web server of the policy host."),
        stage="policy",
        place="policy-host",
        causes=_causes("policy-certificate-expired", "policy-certificate-name", "policy-certificate-chain"),
        verify=POLICY_CERTIFICATE,
        fix="Install a publicly trusted, unexpired certificate for the policy host's name, with its chain.",
        distinguishes=("name", "expiry", "chain"),
        says_not="Anything about the MX's certificate.",
        section="RFC 8460 section 4.3.2.2",
    ),
)


def result_type(name: str) -> ResultType | None:
    """The registered result type of that exact name; None for any other (R4.3-14: kept and shown, not explained)."""
    return RESULT_TYPES.get(name)


def closest(name: str) -> str | None:
    """The registered name that was probably meant by a misspelt one, or None when nothing is near."""
    wanted = name[:64].strip().lower().replace("_", "-").replace(" ", "-")
    if wanted in RESULT_TYPES:
        return wanted
    import difflib  # only for typing errors

    near = difflib.get_close_matches(wanted, RESULT_TYPES, n=1, cutoff=0.6)
    if near:
        return near[0]
    holding = [each for each in RESULT_TYPES if len(wanted) >= 4 and wanted in each]
    return holding[0] if len(holding) == 1 else None


def causes_under(result: ResultType, policy_type: str) -> tuple[Cause, ...]:
    """The causes that can be met under a policy type, likeliest first; under DANE its own come before the rest.

    A TLSA mismatch is no cause of a failure under MTA-STS, and an MX missing from the policy none under DANE. Names
    and dates do not matter to `3 x x` records (T-11), so that under DANE a changed key is the likelier.
    """
    possible = [cause for cause in result.causes if not cause.policy_types or policy_type in cause.policy_types]
    if policy_type != "tlsa":
        return tuple(possible)
    return tuple(sorted(possible, key=lambda cause: not cause.policy_types))


# --- What happens to the mail ---------------------------------------------------------------------------------------


class Situation(Struct, frozen=True, kw_only=True):
    """A policy under which a sender may have met a failure, and its name for people."""

    label: str
    policy_type: str
    mode: Mode | None = None


_DANE = Situation(label="DANE", policy_type="tlsa")
_STS = (
    Situation(label="MTA-STS enforce", policy_type="sts", mode="enforce"),
    Situation(label="MTA-STS testing", policy_type="sts", mode="testing"),
)
_NO_COPY = Situation(label="MTA-STS, no older copy held", policy_type="sts")
_NO_POLICY = Situation(label="no policy", policy_type="no-policy-found")


def situations(result: ResultType) -> tuple[Situation, ...]:
    """The situations in which a result type is at home; `consequence` answers for each."""
    if result.policy_types == "tlsa":
        return (_DANE,)
    if result.name == "sts-policy-invalid":
        return (_NO_COPY,)
    if result.policy_types == "sts":
        held = [Situation(label=f"{each.label}, older copy held", policy_type="sts", mode=each.mode) for each in _STS]
        return (_NO_COPY, *held)
    return (_DANE, *_STS, _NO_POLICY)


_MODES: Mapping[str, Mode] = {"enforce": "enforce", "testing": "testing", "none": "none"}

_NONE: ConsequenceKind = "none"
_UNVERIFIED: ConsequenceKind = "delivered-unverified"
_CLEAR: ConsequenceKind = "delivered-clear"
_DELAYED: ConsequenceKind = "delayed"
_REFUSED: ConsequenceKind = "refused"

_POLICY_FAULTS = {"sts-policy-fetch-error", "sts-policy-invalid", "sts-webpki-invalid"}

_MODE_UNKNOWN = "The report does not show the policy's mode. "
_REFUSED_STS = (
    "Enforce forbids delivery to this host: the sender tries the other MX hosts, keeps the mail and tries again, "
    "and bounces it at last."
)
_REFUSED_TLSA = (
    "DANE forbids delivery to this host: the sender tries the other MX hosts, keeps the mail and tries again, "
    "and bounces it at last."
)
_REFUSED_UNKNOWN_MODE = (
    _MODE_UNKNOWN + "Under enforce the mail is not delivered to this host and bounces at last; under testing it is "
    "delivered and only reported."
)
_DELAYED_PASSING = (
    "The sender keeps the mail and tries again; it arrives late, and bounces only if the fault stays for days."
)
_DELAYED_DNSSEC = (
    "The host can't be used while its DNS answers are bogus: the sender keeps the mail and tries again, and bounces it "
    "after some days."
)


def consequence(result: str, policy_type: str, mode: Mode | None = None, cause: Cause | None = None) -> Consequence:
    """What a failure of this type means for the mail, under the policy that the sender applied.

    `refused` and `delayed` are told apart by the sender's verdict. Refused: a check was made and failed, the policy
    forbids delivery, every retry meets the same verdict until somebody changes something, and the mail bounces
    (RFC 8461 section 5: after a look for a newer policy, S5-02). Delayed: the check could not be made, or the fault
    passes, so that a retry may succeed (T-03: defer, no downgrade).

    Args:
        result: the result type as sent; an unknown one is judged as validation-failure is.
        policy_type: as sent: tlsa, sts, no-policy-found, or something unknown.
        mode: of the MTA-STS policy; None when the report does not show it. For a policy that could not be fetched it
            is the mode of the copy that the sender still held.
        cause: when known (from a decoded reason code or other evidence), it sharpens the answer.
    """
    if result in _POLICY_FAULTS:
        return _policy_fault(result, policy_type, mode)
    if result == "dnssec-invalid" or _about_lookup(cause):
        return Consequence(kind=_DELAYED, text=_DELAYED_DNSSEC if result == "dnssec-invalid" else _DELAYED_PASSING)
    if result == "dane-required":
        return Consequence(
            kind=_REFUSED,
            text="This sender does not deliver to the host until a signed TLSA record exists or it drops its own rule; "
            "mail from other senders is not touched.",
        )
    if result == "tlsa-invalid":
        return _tlsa_invalid(cause)
    if policy_type == "tlsa":
        return _binding(cause, _REFUSED_TLSA)
    if policy_type == "sts" and mode == "enforce":
        return _binding(cause, _REFUSED_STS)
    if policy_type == "sts" and mode is None:
        return _binding(cause, _REFUSED_UNKNOWN_MODE)
    return _not_binding(result, policy_type, mode, cause)


def _about_lookup(cause: Cause | None) -> bool:
    # A look-up that fails or is bogus makes the host unusable for now (T-03), whatever the type that tells of it.
    return cause is not None and cause.code in {"tlsa-lookup-failed", "mx-answer-bogus"}


def _binding(cause: Cause | None, refused: str) -> Consequence:
    """Under DANE and MTA-STS enforce no delivery without a verified session (S5-01, T-10)."""
    if cause is not None and cause.passing:
        return Consequence(kind=_DELAYED, text=_DELAYED_PASSING)
    return Consequence(kind=_REFUSED, text=refused)


def _not_binding(result: str, policy_type: str, mode: Mode | None, cause: Cause | None) -> Consequence:
    """MTA-STS testing or none, and no policy: the sender delivers whatever TLS does (S5-01, A-18)."""
    if policy_type == "sts" and mode == "testing":
        why = "Testing only reports"
    elif policy_type == "sts":
        why = "Mode none asks for nothing"
    elif policy_type == "no-policy-found":
        why = "No policy asks for verified TLS"
    else:
        why = "The policy type is not a registered one"
    if result == "starttls-not-supported":
        return Consequence(kind=_CLEAR, text=f"{why}: the mail is delivered, in clear text, readable on the way.")
    if cause is not None and cause.stage == "handshake":
        return Consequence(
            kind=_CLEAR,
            text=f"{why}: senders then try the next host or deliver in clear text; a few keep the mail and try again.",
        )
    if result == "validation-failure" and cause is None:
        return Consequence(
            kind=_UNVERIFIED,
            text=f"{why}: the mail is delivered to a server nobody verified, in clear text if the handshake failed.",
        )
    return Consequence(kind=_UNVERIFIED, text=f"{why}: the mail is delivered over TLS, to a server nobody verified.")


def _policy_fault(result: str, policy_type: str, mode: Mode | None) -> Consequence:
    """A policy that could not be had (S3.3-05): an unexpired cached one goes on, else it is as without MTA-STS."""
    if policy_type == "tlsa":
        return Consequence(kind=_NONE, text="DANE decides about this delivery; a fault of MTA-STS does not change it.")
    if mode == "none":
        return Consequence(kind=_NONE, text="The policy's mode is none: it asks for nothing, so nothing is lost.")
    # policy-string of sts-policy-invalid shows the invalid policy itself (R4.5-02), so its mode is not in force.
    if mode == "enforce" and result != "sts-policy-invalid":
        return Consequence(
            kind=_NONE,
            text="The sender still held a copy of the policy and goes on applying it; when its max_age has run out, "
            "mail is delivered as without MTA-STS.",
        )
    if mode == "testing" and result != "sts-policy-invalid":
        return Consequence(kind=_NONE, text="The copy that the sender holds is in testing: all mail is delivered.")
    return Consequence(
        kind=_UNVERIFIED,
        text="Without a policy the mail is delivered as without MTA-STS, to a server nobody verified; a sender that "
        "still holds an older copy goes on applying that.",
    )


def _tlsa_invalid(cause: Cause | None) -> Consequence:
    """None usable: TLS is required but not verified (T-10, T-60). None matching: no delivery (T-64)."""
    if cause is not None and cause.code in {"tlsa-key-changed", "tlsa-wrong-data"}:
        return Consequence(kind=_REFUSED, text=_REFUSED_TLSA)
    if cause is not None and cause.code == "tlsa-unusable":
        return Consequence(
            kind=_UNVERIFIED, text="TLS is demanded, but the mail is delivered to a server nobody verified."
        )
    return Consequence(
        kind=_UNVERIFIED,
        text="With unusable records TLS is demanded, but nobody is verified; a sender that means 'no record matches' "
        "does not deliver at all.",
    )


# --- Filling in -----------------------------------------------------------------------------------------------------

_HOLES = {"mx": "<MX host>", "ip": "<address>", "domain": "<domain>", "policy_host": "<policy host>"}
_HOLE = re.compile(r"\{(mx|ip|domain|policy_host)\}(:[0-9]{1,5})?")


def fill(template: str, values: Mapping[str, str | None]) -> str:
    """Put names and addresses into a command or a text.

    Values come from reports and are hostile: only what is a domain name (for ip: an IP address) is put in, quoted for
    the shell where it must be; anything else leaves `<MX host>` and the like standing. Without a policy_host,
    `mta-sts.` and the domain is taken (RFC 8461 section 3.3).
    """
    known = dict(values)
    if not known.get("policy_host") and known.get("domain"):
        known["policy_host"] = f"mta-sts.{known['domain']}"

    def put(hole: re.Match[str]) -> str:
        name, port = hole[1], hole[2] or ""
        given = known.get(name) or ""
        value = _address(given, with_port=bool(port)) if name == "ip" else _host(given)
        return shlex.quote(value + port) if value else _HOLES[name] + port

    return _HOLE.sub(put, template)


def _host(given: str) -> str:
    name = given[:254].lower().removesuffix(".")
    return name if is_domain(name) else ""


def _address(given: str, *, with_port: bool) -> str:
    import ipaddress  # only when a command names an address

    if "%" in given or len(given) > 45:  # a scope id may hold anything at all
        return ""
    try:
        address = ipaddress.ip_address(given)
    except ValueError:
        return ""
    return f"[{address}]" if with_port and address.version == 6 else str(address)


def mode_of(policy_string: Sequence[str]) -> Mode | None:
    """The mode in the reported lines of an MTA-STS policy, None if they show no valid one (repeats: first wins)."""
    for line in policy_string:
        key, _, value = line.partition(":")
        if key.strip() == "mode":
            return _MODES.get(value.strip())
    return None

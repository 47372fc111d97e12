"""Who sends reports, and how: each sender's identity and habits as one value (field-notes, section C).

What Google, Microsoft, Mail.ru and SocketLabs are called is what their reports say; the senders that anybody can be
(a Postfix with tlsrpt-reporter, a Stalwart, ...) stand under reserved names. Addresses are reserved ones throughout.
A sender of the same make under another name is `structs.replace(PROFILES["postfix"], name=..., submitter=...)`.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, structs


class Said(Struct, frozen=True):
    """How a sender names a fault. The reason may hold `{host}` and `{domain}`."""

    result_type: str
    reason: str | None = None
    absent: tuple[str, ...] = ()  # details that the sender leaves out with this fault
    blank: tuple[str, ...] = ()  # details that it writes as an empty string


# Not everything that happens is told: a sender that does not look counts a success, and one that gives up before it
# has a connection counts nothing (Postfix when an MX host is outside the policy).
SUCCESS = Said("success")
NOTHING = Said("nothing")


class Profile(Struct, frozen=True, kw_only=True):
    """A sender of reports. The defaults are what RFC 8460 asks for."""

    name: str  # ours, for events and the command line
    says: str = ""  # in words, for people
    share: float = 1.0  # of a site's daily sessions
    addresses: tuple[str, ...] = ("192.0.2.10", "192.0.2.11", "2001:db8:feed::10")  # that its mail comes from

    organization_name: str
    contact_info: str | None
    submitter: str  # TLS-Report-Submitter and first part of the file name
    report_id: Literal["date", "start", "filetime", "uuid", "epoch-hash", "index", "day-host", "run-uuid", "hex"] = (
        "date"
    )
    arrives_s: tuple[int, int] = (1, 14400)  # after the end of the UTC day (R4.1-02)
    late_mail_s: tuple[int, int] = (0, 0)  # the mail leaves so long after the report was made
    exclusive_end: bool = False  # 24:00 instead of 23:59:59
    rolling_window: bool = False  # 24 hours from the first event instead of a UTC day (F-23)

    evaluates_dane: bool = True
    # used: each session under the one policy that decided; both: under every policy that applies
    lists: Literal["used", "both"] = "both"
    without_policy: bool = True  # reports on domains that have no policy
    only_failures: bool = False
    reports_to_mx: bool = False  # sends the operator of an MX host a report of its own (F-31)
    # A failure under a policy in testing mode: counted as such; told but counted as success; or not seen, since
    # nothing is verified there nor without a policy (stock Postfix).
    testing: Literal["failure", "details-only", "unverified"] = "failure"
    names: dict[str, Said] = {}  # kind of event -> how it is told, where that is not the RFC's way

    json_style: Literal["compact", "spaced", "two", "tabs"] = "compact"
    key_order: Literal["rfc", "summary-first", "sorted"] = "rfc"
    max_age_first: bool = False
    policy_string: Literal["lines", "nested-tlsa", "one-text"] = "lines"
    tlsa_domain: Literal["mx", "recipient"] = "mx"
    tlsa_upper: bool = False
    mx_host: Literal["sts", "never", "always"] = "sts"
    split_by_mx: bool = False  # one entry for each MX pattern
    bare_no_policy: Literal["domain", "type-only", "lists"] = "domain"  # what an entry without a policy holds
    empty_details: bool = False  # `failure-details: []` where nothing failed
    max_details: int = 100_000
    details: tuple[str, ...] = (
        "result-type",
        "sending-mta-ip",
        "receiving-mx-hostname",
        "receiving-mx-helo",
        "receiving-ip",
        "failed-session-count",
        "failure-reason-code",
    )
    unused: Literal["absent", "null", "empty"] = "absent"  # a detail without a value
    gives_helo: bool = False

    mail: str = "plain"  # the form of its mails, in `mail`
    sends_json: bool = False  # uncompressed
    unique_id: str = ""  # last part of the file name


RFC_NAMES: dict[str, Said] = {
    "starttls-not-supported": Said("starttls-not-supported"),
    "starttls-refused": Said("starttls-not-supported", "454 4.7.0 TLS not available"),
    "handshake-timeout": Said("validation-failure", "timeout during TLS handshake"),
    "protocol-version": Said("validation-failure", "tlsv1 alert protocol version"),
    "handshake-alert": Said("validation-failure", "tlsv1 alert internal error"),
    "certificate-expired": Said("certificate-expired", "X509_V_ERR_CERT_HAS_EXPIRED"),
    "certificate-host-mismatch": Said("certificate-host-mismatch", "X509_V_ERR_HOSTNAME_MISMATCH"),
    "certificate-not-trusted": Said("certificate-not-trusted", "X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY"),
    "certificate-self-signed": Said("certificate-not-trusted", "X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT"),
    "old-ca-store": Said("certificate-not-trusted", "X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY"),
    "sts-policy-fetch-error": Said("sts-policy-fetch-error"),
    "policy-not-found": Said("sts-policy-fetch-error", "HTTP status 404"),
    "policy-redirected": Said("sts-policy-fetch-error", "HTTP status 301"),
    "policy-forbidden": Said("sts-policy-fetch-error", "HTTP status 403"),
    "policy-host-no-dns": Said("sts-policy-fetch-error", "NXDOMAIN for mta-sts.{domain}"),
    "sts-policy-invalid": Said("sts-policy-invalid"),
    "policy-wrong-content": Said("sts-policy-invalid", "invalid content type: text/html"),
    "sts-webpki-invalid": Said("sts-webpki-invalid"),
    "policy-certificate-name": Said("sts-webpki-invalid", "X509_V_ERR_HOSTNAME_MISMATCH"),
    "mx-not-in-policy": Said("validation-failure", "MX host is not listed in the policy"),
    "tlsa-mismatch": Said("validation-failure", "TLSA record does not match the certificate"),
    "tlsa-unusable": Said("tlsa-invalid"),
    "dnssec-invalid": Said("dnssec-invalid"),
    "dnssec-signature-expired": Said("dnssec-invalid", "EDE 7: signature expired"),
    "dane-required": Said("dane-required"),
}


def _bare(*kinds: str) -> dict[str, Said]:
    """Result types without a reason code."""
    return {kind: Said(RFC_NAMES[kind].result_type) for kind in kinds}


GOOGLE = Profile(
    name="google",
    says="one policy, sts or none; no DANE; no reasons",
    addresses=("192.0.2.70", "192.0.2.71", "2001:db8:4864:20::748"),
    organization_name="Google Inc.",
    contact_info="smtp-tls-reporting@google.com",
    submitter="google.com",
    report_id="start",
    arrives_s=(35700, 56700),  # 09:55 to 15:45
    evaluates_dane=False,
    lists="used",
    names={**_bare(*RFC_NAMES), "mx-not-in-policy": Said("validation-failure", blank=("sending-mta-ip",))},
    details=("result-type", "sending-mta-ip", "receiving-ip", "receiving-mx-hostname", "failed-session-count"),
    mail="google",
    unique_id="001",
)

_MICROSOFT_OTHER = Said("validation-failure", "VALIDATION_FAILURE")
MICROSOFT = Profile(
    name="microsoft",
    says="the same sessions under sts and tlsa; TLSA records as JSON in a string; upper-case reasons",
    share=0.55,
    addresses=("192.0.2.100", "192.0.2.101"),
    organization_name="Microsoft Corporation",
    contact_info="tlsrpt-noreply@microsoft.com",
    submitter="microsoft.com",
    report_id="filetime",
    arrives_s=(69300, 72600),  # 19:15 to 20:10, when the id is made; the mail follows
    late_mail_s=(1020, 14400),
    lists="both",
    without_policy=False,
    names={
        **_bare("starttls-not-supported", "starttls-refused", "sts-policy-fetch-error", "sts-policy-invalid"),
        **_bare("policy-not-found", "policy-redirected", "policy-forbidden", "policy-host-no-dns"),
        **_bare("policy-wrong-content", "policy-certificate-name", "dnssec-signature-expired"),
        **_bare("sts-webpki-invalid", "tlsa-unusable", "dnssec-invalid", "dane-required"),
        "handshake-timeout": _MICROSOFT_OTHER,
        "handshake-alert": _MICROSOFT_OTHER,
        "protocol-version": _MICROSOFT_OTHER,
        "certificate-expired": _MICROSOFT_OTHER,
        "certificate-host-mismatch": _MICROSOFT_OTHER,
        "certificate-not-trusted": _MICROSOFT_OTHER,
        "certificate-self-signed": _MICROSOFT_OTHER,
        "old-ca-store": _MICROSOFT_OTHER,
        "mx-not-in-policy": Said(
            "validation-failure", "MX_HOSTS_MISMATCH", absent=("receiving-mx-hostname", "receiving-ip")
        ),
        "tlsa-mismatch": Said("tlsa-invalid"),
    },
    policy_string="nested-tlsa",
    tlsa_domain="recipient",
    tlsa_upper=True,
    mx_host="never",
    details=("result-type", "receiving-mx-hostname", "receiving-ip", "failure-reason-code", "failed-session-count"),
    mail="microsoft",
)

_GO_GET = 'Get "https://mta-sts.{domain}/.well-known/mta-sts.txt"'
MAILRU = Profile(
    name="mailru",
    says="sts only; reasons are Go's error texts; no addresses",
    share=0.12,
    addresses=("192.0.2.120", "192.0.2.121"),
    organization_name="Mail.ru",
    contact_info="tls_support@corp.mail.ru",
    submitter="mail.ru",
    report_id="uuid",
    arrives_s=(600, 900),
    exclusive_end=True,
    evaluates_dane=False,
    lists="used",
    without_policy=False,
    names={
        "starttls-not-supported": Said("starttls-not-supported", "smtp: server doesn't support STARTTLS"),
        "handshake-timeout": Said("validation-failure", "read tcp: i/o timeout"),
        "handshake-alert": Said("validation-failure", "remote error: tls: internal error"),
        "protocol-version": Said("validation-failure", "remote error: tls: protocol version not supported"),
        "certificate-expired": Said("certificate-expired", "x509: certificate has expired or is not yet valid"),
        "certificate-host-mismatch": Said(
            "certificate-host-mismatch", "x509: certificate is valid for localhost, not {host}"
        ),
        "certificate-not-trusted": Said("certificate-not-trusted", "x509: certificate signed by unknown authority"),
        "certificate-self-signed": Said("certificate-not-trusted", "x509: certificate signed by unknown authority"),
        "old-ca-store": Said("certificate-not-trusted", "x509: certificate signed by unknown authority"),
        "sts-policy-fetch-error": Said(
            "sts-policy-fetch-error",
            'unable to do http request: Get "https://mta-sts.{domain}/.well-known/mta-sts.txt": context deadline '
            "exceeded (Client.Timeout exceeded while awaiting headers)",
        ),
        "policy-not-found": Said("sts-policy-fetch-error", f"{_GO_GET}: unexpected status code: 404"),
        "policy-redirected": Said("sts-policy-fetch-error", f"{_GO_GET}: redirects are not allowed"),
        "policy-forbidden": Said("sts-policy-fetch-error", f"{_GO_GET}: unexpected status code: 403"),
        "policy-host-no-dns": Said(
            "sts-policy-fetch-error", f"{_GO_GET}: dial tcp: lookup mta-sts.{{domain}}: no such host"
        ),
        "policy-certificate-name": Said(
            "sts-webpki-invalid",
            f"{_GO_GET}: tls: failed to verify certificate: x509: certificate is valid for www.{{domain}}, "
            "not mta-sts.{domain}",
        ),
        "sts-webpki-invalid": Said(
            "sts-webpki-invalid",
            'Get "https://mta-sts.{domain}/.well-known/mta-sts.txt": tls: failed to verify certificate: x509: '
            "certificate has expired or is not yet valid",
        ),
        "mx-not-in-policy": Said("validation-failure", "mx {host} is not listed in the policy"),
    },
    key_order="sorted",
    mx_host="never",
    details=("result-type", "failed-session-count", "failure-reason-code"),
    mail="mailru",
    unique_id="001",
)

STALWART = Profile(
    name="stalwart",
    says="no contact; null in every unused field; certificate faults all as certificate-not-trusted",
    share=0.03,
    addresses=("192.0.2.130", "2001:db8:1::25"),
    organization_name="mx.egress.stalwart.example",
    contact_info=None,
    submitter="mx.egress.stalwart.example",
    report_id="epoch-hash",
    arrives_s=(120, 900),
    exclusive_end=True,
    lists="used",
    names={
        "starttls-not-supported": Said("starttls-not-supported", "STARTTLS was not advertised by host"),
        "starttls-refused": Said("starttls-not-supported", "454 4.7.0 TLS not available"),
        "handshake-timeout": NOTHING,
        "handshake-alert": Said("certificate-not-trusted", "received fatal alert: InternalError"),
        "protocol-version": Said("certificate-not-trusted", "received fatal alert: ProtocolVersion"),
        "certificate-expired": Said("certificate-not-trusted", "invalid peer certificate: Expired"),
        "certificate-host-mismatch": Said("certificate-not-trusted", "invalid peer certificate: NotValidForName"),
        "certificate-not-trusted": Said("certificate-not-trusted", "invalid peer certificate: UnknownIssuer"),
        "certificate-self-signed": Said("certificate-not-trusted", "invalid peer certificate: UnknownIssuer"),
        "old-ca-store": Said("certificate-not-trusted", "invalid peer certificate: UnknownIssuer"),
        "policy-host-no-dns": Said("sts-policy-fetch-error", "error sending request for url"),
        "policy-certificate-name": Said("sts-policy-fetch-error", "error sending request for url"),
        "sts-webpki-invalid": Said("sts-policy-fetch-error", "error sending request for url"),
        "mx-not-in-policy": Said("validation-failure", "MX not authorized by policy."),
        "tlsa-mismatch": Said("certificate-not-trusted", "No matching certificates found."),
        "tlsa-unusable": Said("tlsa-invalid", "Invalid TLSA record."),
    },
    max_age_first=True,
    tlsa_domain="recipient",
    mx_host="always",
    bare_no_policy="lists",
    empty_details=True,
    details=(
        "result-type",
        "sending-mta-ip",
        "receiving-mx-hostname",
        "receiving-mx-helo",
        "receiving-ip",
        "failed-session-count",
        "additional-information",
        "failure-reason-code",
    ),
    unused="null",
    mail="stalwart",
)

# Kinds for which a Postfix goes on as without a policy: its plugins have no word for them.
_AT_POLICY_HOST = (
    "sts-policy-fetch-error",
    "sts-policy-invalid",
    "sts-webpki-invalid",
    "policy-not-found",
    "policy-redirected",
    "policy-forbidden",
    "policy-host-no-dns",
    "policy-wrong-content",
    "policy-certificate-name",
)

# Stalwart since 0.16: the window begins with the first event (F-23).
STALWART_ROLLING = structs.replace(
    STALWART, name="stalwart-rolling", says="as stalwart, but 24 hours from the first event", rolling_window=True
)

POSTFIX = Profile(
    name="postfix",
    says="Postfix with tlsrpt-reporter: only the policy used; tlsa under the MX host; blind under testing",
    share=0.04,
    addresses=("192.0.2.140",),
    organization_name="Sender Example Hosting",
    contact_info="smtp-tls-reporting@mta.postfix.example",
    submitter="mta.postfix.example",
    report_id="index",
    lists="used",
    testing="unverified",  # its policy plugin turns testing into the level `may`
    names={
        "starttls-not-supported": Said("starttls-not-supported"),
        "starttls-refused": Said("starttls-not-supported"),
        "handshake-timeout": Said("validation-failure", "tls-handshake-failure"),
        "handshake-alert": Said("validation-failure", "tls-handshake-failure"),
        "protocol-version": Said("validation-failure", "tls-handshake-failure"),
        "certificate-expired": Said("certificate-expired"),
        "certificate-host-mismatch": Said("certificate-host-mismatch"),
        "certificate-not-trusted": Said("validation-failure", "unable_to_get_local_issuer_certificate"),
        "certificate-self-signed": Said("validation-failure", "self-signed_certificate"),
        "old-ca-store": Said("validation-failure", "unable_to_get_local_issuer_certificate"),
        **dict.fromkeys(_AT_POLICY_HOST, SUCCESS),
        "mx-not-in-policy": NOTHING,
        "tlsa-mismatch": Said("certificate-not-trusted"),
        "tlsa-unusable": Said("tlsa-invalid", "all-TLSA-records-unusable"),
        "dnssec-invalid": NOTHING,
        "dnssec-signature-expired": NOTHING,
        "dane-required": NOTHING,
    },
    json_style="spaced",
    key_order="summary-first",
    tlsa_upper=True,
    bare_no_policy="type-only",
    empty_details=True,
    details=(
        "result-type",
        "sending-mta-ip",
        "receiving-mx-hostname",
        "receiving-ip",
        "failure-reason-code",
        "failed-session-count",
    ),
    mail="postfix",
    unique_id="1",
)

MOX = Profile(
    name="mox",
    says="only reports with failures; a report of its own to the MX host; empty strings in unused fields",
    share=0.02,
    addresses=("192.0.2.150", "2001:db8:6d6f::1"),
    organization_name="mail.mox.example",
    contact_info="postmaster@mail.mox.example",
    submitter="mail.mox.example",
    report_id="day-host",
    only_failures=True,
    reports_to_mx=True,
    testing="details-only",
    names={
        **_bare("starttls-not-supported", "certificate-expired", "certificate-host-mismatch"),
        **_bare("certificate-not-trusted", "certificate-self-signed", "old-ca-store", "dnssec-invalid"),
        "starttls-refused": Said("starttls-not-supported", "smtp-starttls-reply-code-454"),
        "handshake-timeout": Said("validation-failure", "io-timeout-during-handshake"),
        "handshake-alert": Said("validation-failure", "tls-remote-alert-80-internal-error"),
        "protocol-version": Said("validation-failure", "tls-remote-alert-70-protocol-version-not-supported"),
        **dict.fromkeys(
            ("policy-redirected", "policy-forbidden", "policy-host-no-dns"),
            Said("sts-policy-fetch-error", "cannot-fetch-policy"),
        ),
        "policy-not-found": Said("sts-policy-fetch-error", "no-policy-served"),
        "policy-wrong-content": Said("sts-policy-invalid", "policy-syntax-error"),
        "policy-certificate-name": Said("sts-webpki-invalid", "certificate-host-mismatch"),
        "sts-webpki-invalid": Said("sts-webpki-invalid", "certificate-expired"),
        "mx-not-in-policy": Said("validation-failure", "mtasts-policy-mx-mismatch"),
        "tlsa-mismatch": Said("validation-failure", "dane-no-match"),
        "tlsa-unusable": Said("tlsa-invalid", "all-unusable-records+ignored"),
        "dnssec-signature-expired": Said("dnssec-invalid", "dns-extended-error-7-signature-expired"),
    },
    json_style="tabs",
    tlsa_domain="mx",
    mx_host="always",
    bare_no_policy="lists",
    empty_details=True,
    details=(
        "result-type",
        "sending-mta-ip",
        "receiving-mx-hostname",
        "receiving-ip",
        "failed-session-count",
        "additional-information",
        "failure-reason-code",
    ),
    unused="empty",
    mail="mox",
)

HALON = Profile(
    name="halon",
    says="plain JSON; no sending addresses; ten rows at most; one id for all domains of a run",
    share=0.05,
    addresses=("192.0.2.160",),
    organization_name="Sender Example AB",
    contact_info="sts-reporting@halon.example",
    submitter="mail.halon.example",
    report_id="run-uuid",
    arrives_s=(14400, 14460),
    evaluates_dane=False,
    lists="used",
    names=_bare(*RFC_NAMES),
    json_style="two",
    policy_string="one-text",
    mx_host="never",
    empty_details=True,
    max_details=10,
    details=("result-type", "receiving-mx-hostname", "receiving-ip", "failed-session-count"),
    mail="halon",
    sends_json=True,
)

SOCKETLABS = Profile(
    name="socketlabs",
    says="sts only, an entry for each MX; receiving-mx-host-name for receiving-mx-hostname",
    share=0.05,
    addresses=("192.0.2.170", "192.0.2.171"),
    organization_name="socketlabs.com",
    contact_info="tlsrpt-feedback@socketlabs.com",
    submitter="socketlabs.com",
    report_id="hex",
    exclusive_end=True,
    evaluates_dane=False,
    lists="used",
    without_policy=False,
    names=_bare(*RFC_NAMES),
    split_by_mx=True,
    details=(
        "result-type",
        "sending-mta-ip",
        "receiving-mx-host-name",
        "receiving-ip",
        "failed-session-count",
    ),
)

PLAIN = Profile(
    name="plain",
    says="as RFC 8460 asks, without any habit",
    share=0.1,
    addresses=("192.0.2.10", "192.0.2.11", "2001:db8:feed::10"),
    organization_name="Plain Mail Example",
    contact_info="tls-reporting@plain.example",
    submitter="plain.example",
    gives_helo=True,
)

PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (GOOGLE, MICROSOFT, MAILRU, STALWART, STALWART_ROLLING, POSTFIX, MOX, HALON, SOCKETLABS, PLAIN)
}


def named(profile: Profile, kind: str) -> Said:
    """How a sender tells a kind of event."""
    return profile.names.get(kind) or RFC_NAMES[kind]

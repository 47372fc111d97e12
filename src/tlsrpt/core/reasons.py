"""The free-text `failure-reason-code` of real senders, decoded (RFC 8460 section 4.3; field-notes-reports.md F-39).

Senders write what their software says: OpenSSL's names, numbers and texts, Go's errors with the URL in them, mox's and
Microsoft's codes, TLS alerts, SMTP replies, HTTP statuses. `decode` says in plain words what was meant and which cause
(core.causes) it speaks for; `normalise` makes two texts equal that differ only in names, addresses and times.

The input is hostile. It is cut first, then read word by word: the work grows with its length and no faster.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from tlsrpt.core.causes import CAUSES, Party, Place, Stage

MAX_TEXT: Final = 2048  # characters looked at; the meaning stands at the beginning or not at all


class Reason(Struct, frozen=True, kw_only=True):
    """What a reason code means.

    Attributes:
        code: stable slug; the same fault has the same code whatever software worded it.
        meaning: in plain words.
        source: whose wording it is: OpenSSL, Go, mox, Microsoft, ...; empty when several use it.
        points_to: codes of the causes that it speaks for, likeliest first.
        result_types: the result types under which it is at home.
        party, stage, place: those of the likeliest cause. passing: whether it often goes away by itself (D-73).
    """

    code: str
    meaning: str
    source: str
    points_to: tuple[str, ...]
    result_types: tuple[str, ...]
    party: Party
    stage: Stage
    place: Place
    passing: bool


class Fault(Struct, frozen=True):
    """A meaning without its wording: what `Reason`s of one code share."""

    code: str
    meaning: str
    points_to: tuple[str, ...]
    result_types: tuple[str, ...]


def _fault(code: str, meaning: str, points_to: str, result_types: str) -> Fault:
    return Fault(code, meaning, tuple(points_to.split()), tuple(result_types.split()))


_UNVERIFIABLE = "certificate-not-trusted validation-failure"
_FETCH = "sts-policy-fetch-error"
_DNS = "dnssec-invalid tlsa-invalid validation-failure"

FAULTS: Mapping[str, Fault] = MappingProxyType(
    {
        fault.code: fault
        for fault in (
            # The certificate of the MX
            _fault(
                "certificate-expired",
                "The MX's certificate, or one of its chain, was out of date.",
                "renewed-not-reloaded renewal-stopped one-node-old-certificate intermediate-expired",
                "certificate-expired",
            ),
            _fault(
                "certificate-not-yet-valid",
                "The MX's certificate begins in the future.",
                "certificate-not-yet-valid",
                _UNVERIFIABLE,
            ),
            _fault(
                "certificate-name",
                "The MX's certificate does not hold the name that was asked for.",
                "mx-name-not-in-certificate mx-is-alias wrong-virtual-host",
                "certificate-host-mismatch",
            ),
            _fault(
                "certificate-self-signed",
                "The MX showed a self-signed certificate.",
                "self-signed",
                _UNVERIFIABLE,
            ),
            _fault(
                "certificate-private-root",
                "The chain that the MX sent ends in a root that the sender does not know.",
                "private-ca chain-incomplete sender-trust-store",
                _UNVERIFIABLE,
            ),
            _fault(
                "certificate-issuer-unknown",
                "The sender could not build a chain from the MX's certificate to an authority that it knows.",
                "chain-incomplete private-ca sender-trust-store",
                _UNVERIFIABLE,
            ),
            _fault(
                "certificate-untrusted",
                "The MX's certificate could not be verified; the text does not say why.",
                "chain-incomplete self-signed private-ca sender-trust-store",
                _UNVERIFIABLE,
            ),
            _fault(
                "certificate-unfit",
                "The MX's certificate or its chain breaks a rule other than name, date and issuer: "
                "usage, constraints, key, signature or revocation.",
                "certificate-unfit",
                _UNVERIFIABLE,
            ),
            # DANE
            _fault(
                "tlsa-no-match",
                "None of the TLSA records fits the certificate that the MX showed.",
                "tlsa-key-changed tlsa-wrong-data",
                "validation-failure tlsa-invalid certificate-not-trusted",
            ),
            _fault(
                "tlsa-unusable",
                "The TLSA records could not be used (usage 0 or 1, unknown numbers, wrong length), or none was valid.",
                "tlsa-unusable tlsa-key-changed",
                "tlsa-invalid",
            ),
            _fault(
                "tlsa-missing",
                "The sender demands DANE, and found no TLSA record that DNSSEC vouches for.",
                "tlsa-missing zone-unsigned",
                "dane-required",
            ),
            # DNS
            _fault(
                "dnssec-bogus",
                "The sender's resolver found the DNS answer bogus: its DNSSEC signatures do not validate.",
                "ds-left-behind signatures-expired denial-broken mx-answer-bogus",
                _DNS,
            ),
            _fault(
                "dnssec-signature-expired", "The zone's DNSSEC signatures have expired.", "signatures-expired", _DNS
            ),
            _fault(
                "dnssec-key-missing",
                "The zone has no key that fits the DS record at its parent.",
                "ds-left-behind",
                _DNS,
            ),
            _fault(
                "dnssec-denial",
                "The name server could not prove that a name does not exist.",
                "denial-broken",
                _DNS,
            ),
            _fault(
                "dns-failure",
                "A DNS lookup failed: no answer in time, or an error of the name server.",
                "tlsa-lookup-failed sender-resolver",
                _DNS,
            ),
            # The handshake
            _fault(
                "handshake-timeout",
                "The TLS handshake was not finished in time.",
                "handshake-broken-off",
                "validation-failure",
            ),
            _fault(
                "connection-closed",
                "The connection was closed or reset before TLS was set up.",
                "handshake-broken-off tls-server-fault",
                "validation-failure",
            ),
            _fault(
                "handshake-failed",
                "The TLS handshake failed; the text does not say why.",
                "handshake-broken-off tls-version-or-cipher tls-server-fault not-tls-after-starttls",
                "validation-failure",
            ),
            _fault(
                "not-tls",
                "What came back after STARTTLS was not TLS.",
                "not-tls-after-starttls",
                "validation-failure",
            ),
            _fault(
                "tls-version",
                "Sender and server share no TLS version.",
                "tls-version-or-cipher",
                "validation-failure",
            ),
            _fault(
                "tls-cipher",
                "Sender and server could not agree on TLS settings, mostly on a cipher.",
                "tls-version-or-cipher",
                "validation-failure",
            ),
            _fault(
                "tls-server-fault",
                "The server broke the TLS handshake off with a fault of its own.",
                "tls-server-fault",
                "validation-failure",
            ),
            _fault(
                "tls-client-certificate",
                "The server demanded a client certificate from the sender, or refused the one that it got.",
                "tls-server-fault",
                "validation-failure",
            ),
            _fault(
                "tls-name-unknown",
                "The server does not know the name that the sender asked for (SNI).",
                "wrong-virtual-host",
                "validation-failure certificate-host-mismatch",
            ),
            _fault(
                "connection-failed",
                "No connection to the MX came about.",
                "handshake-broken-off",
                "validation-failure",
            ),
            # STARTTLS
            _fault(
                "starttls-refused",
                "The MX offered STARTTLS and refused it when the sender asked.",
                "starttls-refused",
                "starttls-not-supported",
            ),
            _fault(
                "starttls-not-offered",
                "The MX did not offer STARTTLS.",
                "starttls-off-on-one-host starttls-stripped starttls-off starttls-greylisted",
                "starttls-not-supported",
            ),
            # MTA-STS
            _fault(
                "mx-not-in-policy",
                "The MX is not listed in the MTA-STS policy that the sender holds.",
                "mx-not-in-policy",
                "validation-failure certificate-host-mismatch",
            ),
            _fault(
                "sts-validation-failed",
                "The MX did not pass the checks of the MTA-STS policy; the text does not say which one.",
                "mx-not-in-policy mx-name-not-in-certificate chain-incomplete renewed-not-reloaded",
                "validation-failure",
            ),
            _fault(
                "sts-required",
                "The sender is set to demand an MTA-STS policy and found none.",
                "sender-requires-policy",
                "validation-failure",
            ),
            _fault(
                "sts-record",
                "The _mta-sts record could not be looked up, is malformed, or there are several.",
                "sts-record-invalid",
                "sts-policy-fetch-error",
            ),
            _fault(
                "policy-not-found", "The policy file is not there (404 or the like).", "policy-file-missing", _FETCH
            ),
            _fault(
                "policy-forbidden",
                "The policy host turned the sender away: forbidden, login wanted, or too many requests.",
                "policy-host-blocks",
                _FETCH,
            ),
            _fault(
                "policy-redirected",
                "The policy host answered with a redirect, which senders must not follow.",
                "policy-redirected",
                _FETCH,
            ),
            _fault(
                "policy-server-error",
                "The policy host answered with an error of its own (5xx).",
                "policy-host-unreachable",
                _FETCH,
            ),
            _fault(
                "policy-http-status",
                "The policy host answered with an HTTP status other than 200.",
                "policy-file-missing policy-host-blocks policy-redirected",
                _FETCH,
            ),
            _fault(
                "policy-host-timeout",
                "The policy host did not answer in time.",
                "policy-host-unreachable policy-host-blocks policy-host-ipv6",
                _FETCH,
            ),
            _fault(
                "policy-host-connection",
                "The connection to the policy host was refused, reset or closed.",
                "policy-host-unreachable policy-host-ipv6 policy-host-blocks",
                _FETCH,
            ),
            _fault(
                "policy-host-no-dns",
                "The name of the policy host did not resolve.",
                "policy-host-not-in-dns",
                _FETCH,
            ),
            _fault(
                "policy-host-tls",
                "The policy host and the sender could not set TLS up.",
                "policy-host-tls policy-certificate-name",
                _FETCH,
            ),
            _fault(
                "policy-certificate-expired",
                "The policy host's certificate was out of date. (The web server's, not the MX's.)",
                "policy-certificate-expired",
                "sts-webpki-invalid sts-policy-fetch-error",
            ),
            _fault(
                "policy-certificate-name",
                "The policy host's certificate does not hold its name. (The web server's, not the MX's.)",
                "policy-certificate-name",
                "sts-webpki-invalid sts-policy-fetch-error",
            ),
            _fault(
                "policy-certificate-untrusted",
                "The policy host's certificate could not be verified. (The web server's, not the MX's.)",
                "policy-certificate-chain",
                "sts-webpki-invalid sts-policy-fetch-error",
            ),
            _fault(
                "policy-fetch-failed",
                "The policy could not be fetched; the text does not say why.",
                "policy-file-missing policy-redirected policy-host-blocks policy-host-unreachable",
                _FETCH,
            ),
            _fault(
                "policy-syntax",
                "The policy text breaks the rules of RFC 8461.",
                "policy-syntax policy-wrong-content policy-mx-lines policy-max-age",
                "sts-policy-invalid",
            ),
            _fault(
                "policy-media-type",
                "The policy came as something other than text/plain.",
                "policy-wrong-content",
                "sts-policy-invalid sts-policy-fetch-error",
            ),
            _fault("policy-no-mx", "The policy has no usable mx line.", "policy-mx-lines", "sts-policy-invalid"),
            _fault("policy-max-age", "The policy's max_age is out of range.", "policy-max-age", "sts-policy-invalid"),
            _fault(
                "policy-too-large",
                "The policy is larger than the sender reads.",
                "policy-too-large",
                "sts-policy-invalid sts-policy-fetch-error",
            ),
            # The sender
            _fault(
                "sender-fault",
                "The sender's own software or settings gave up.",
                "sender-fault",
                "validation-failure",
            ),
            _fault(
                "sender-trust-store",
                "The sender has no usable list of certificate authorities.",
                "sender-trust-store",
                _UNVERIFIABLE,
            ),
        )
    }
)

# The same fault met while fetching the policy is another one: it is the web server's, not the MX's.
_AT_POLICY_HOST: Mapping[str, str] = MappingProxyType(
    {
        "certificate-expired": "policy-certificate-expired",
        "certificate-not-yet-valid": "policy-certificate-expired",
        "certificate-name": "policy-certificate-name",
        "tls-name-unknown": "policy-certificate-name",
        "certificate-self-signed": "policy-certificate-untrusted",
        "certificate-private-root": "policy-certificate-untrusted",
        "certificate-issuer-unknown": "policy-certificate-untrusted",
        "certificate-untrusted": "policy-certificate-untrusted",
        "certificate-unfit": "policy-certificate-untrusted",
        "handshake-timeout": "policy-host-timeout",
        "connection-closed": "policy-host-connection",
        "connection-failed": "policy-host-connection",
        "handshake-failed": "policy-host-tls",
        "not-tls": "policy-host-tls",
        "tls-version": "policy-host-tls",
        "tls-cipher": "policy-host-tls",
        "tls-server-fault": "policy-host-tls",
        "tls-client-certificate": "policy-host-tls",
        "dns-failure": "policy-host-no-dns",
    }
)

# Phrases as they stand in `_words`: lower-case words, one blank apart. `|` parts alternatives, `&` joins what must all
# be there. Order counts: the first rule that holds decides, so what is more exact stands above.
_RULES: tuple[tuple[str, str, str], ...] = (
    # Codes of one program
    ("Microsoft", "mx-not-in-policy", "mx hosts mismatch"),
    ("Exchange", "mx-not-in-policy", "4.4.8 | 5.4.8"),  # D-72
    ("Exchange", "starttls-not-offered", "4.7.321 | 5.7.321"),
    ("Exchange", "certificate-expired", "4.7.322 | 5.7.322"),
    ("Exchange", "tlsa-unusable", "4.7.323 | 5.7.323"),
    ("Exchange", "dnssec-bogus", "4.7.324 | 5.7.324"),
    ("Exchange", "certificate-name", "4.7.325 | 5.7.325"),
    ("Exchange", "dns-failure", "4.4.312 | 5.4.312"),
    ("mox", "mx-not-in-policy", "mtasts policy mx mismatch"),
    ("mox", "tlsa-no-match", "dane no match"),
    ("mox", "tlsa-unusable", "all unusable records"),
    ("mox", "handshake-timeout", "io timeout during handshake"),
    ("mox", "connection-closed", "connection closed during handshake"),
    ("mox", "not-tls", "tls record header error"),
    ("mox", "starttls-refused", "smtp starttls reply code"),
    ("mox", "sender-trust-store", "no system roots"),
    ("mox", "certificate-untrusted", "unknown go certificate verification error"),
    ("mox", "policy-not-found", "no policy served"),
    ("mox", "policy-fetch-failed", "cannot fetch policy"),
    ("mox", "policy-syntax", "policy syntax error"),
    ("mox", "sts-record", "no mta sts dns txt record | multiple mta sts records | record syntax error"),
    (
        "mox",
        "certificate-unfit",
        "not authorized to sign | ca not authorized for this name | too many intermediates | incompatible key usage | "
        "parent subject child issuer mismatch | name constraint without sans | unconstrained name | "
        "too many constraints | ca not authorized for ext key usage | go x509 invalid reason",
    ),
    ("Postfix", "handshake-failed", "tls handshake failure"),
    ("Postfix", "tlsa-unusable", "all tlsa records unusable"),
    ("Stalwart", "mx-not-in-policy", "mx not authorized by policy"),
    ("Stalwart", "tlsa-unusable", "invalid tlsa record | no valid tlsa records"),
    ("Stalwart", "sts-required", "mta sts is required"),
    # MTA-STS, whoever says it
    (
        "",
        "mx-not-in-policy",
        "mx mismatch | mx host mismatch | mx hosts mismatch | mx not in policy | mx not listed | "
        "mx does not match & policy | not authorized by policy | mx & not match & policy | mx & not allowed & policy | "
        "no mx & match & policy | not listed in & policy | not covered by & policy",
    ),
    ("", "policy-media-type", "content type & policy | media type & policy | invalid content type | not text plain"),
    ("", "policy-max-age", "max age"),
    ("", "policy-no-mx", "no mx & policy | missing mx | policy & without mx"),
    ("", "policy-too-large", "policy & too large | policy & too big | body too large | response too large"),
    (
        "",
        "policy-syntax",
        "policy invalid | invalid policy | invalid sts policy | policy & syntax | policy & parse | "
        "policy parse error | malformed policy | sts policy invalid | missing version & policy",
    ),
    ("", "sts-record", "mta sts record & invalid | mta sts record & multiple | invalid mta sts record"),
    # DANE and DNSSEC
    (
        "",
        "tlsa-no-match",
        "no matching dane tlsa records | dane & no match | dane & mismatch | tlsa & mismatch | tlsa & not match | "
        "tlsa & no match | no matching tlsa | no tlsa & match | dane verification failed | dane validation failed | "
        "dane authentication failed | no matching certificates | no tlsa record matches",
    ),
    ("", "tlsa-unusable", "tlsa & unusable | tlsa & not usable | unusable tlsa | tlsa & invalid | tlsa & malformed"),
    ("", "tlsa-missing", "dane required | dane is required | no tlsa | tlsa & missing | tlsa & not found"),
    ("", "dnssec-signature-expired", "signature expired | rrsig & expired"),
    ("", "dnssec-key-missing", "dnskey missing | no dnskey | no ds & dnskey"),
    ("", "dnssec-denial", "nsec missing | nsec3 & invalid | denial of existence"),
    ("", "dnssec-bogus", "dnssec & bogus | dnssec & fail | dnssec & failed | dnssec invalid | dnssec & failure"),
    ("", "dnssec-bogus", "bogus | rrsigs missing | not authenticated & dns"),
    # Certificates: name
    (
        "Go",
        "certificate-name",
        "certificate is valid for & not | certificate is not valid for any names | "
        "cannot validate certificate for | legacy common name field",
    ),
    (
        "",
        "certificate-name",
        "hostname mismatch | host name mismatch | hostname mismatched | certificate name mismatch | name mismatch | "
        "host mismatch | subject does not match host | certificate subject does not match | "
        "hostname does not match | host name does not match | subject alternative & match | no subject alternative | "
        "does not match the hostname | does not match hostname | doesn t match | "
        "no alternative certificate subject name matches | certificate does not match | ip address mismatch | "
        "not valid for the name | name in the certificate does not match",
    ),
    ("Rust", "certificate-name", "notvalidforname | certnotvalidforname | notvalidfornamecontext | invaliddnsname"),
    ("Windows", "certificate-name", "sec e wrong principal | 0x80090322 | cert e cn no match | 0x800b010f"),
    ("Java", "certificate-name", "no subject alternative dns name matching | no name matching"),
    # Certificates: dates. Go says "has expired or is not yet valid" for both, and then which.
    ("Go", "certificate-not-yet-valid", "has expired or is not yet valid & is before"),
    ("Go", "certificate-expired", "has expired or is not yet valid"),
    (
        "",
        "certificate-not-yet-valid",
        "not yet valid | not yet activated | certnotvalidyet | notvalidyet | certificatenotyetvalidexception",
    ),
    ("Windows", "certificate-expired", "sec e cert expired | 0x80090328 | cert e expired | 0x800b0101"),
    ("Java", "certificate-expired", "certificateexpiredexception | notafter"),
    ("Rust", "certificate-expired", "certexpired | expiredcontext"),
    (
        "",
        "certificate-expired",
        "certificate has expired | cert has expired | certificate expired | expired certificate | "
        "certificate is expired | cert expired | certificate & expired",
    ),
    # Certificates: chain
    (
        "",
        "certificate-private-root",
        "self signed certificate in certificate chain | self signed certificate in chain | self signed cert in chain | "
        "untrustedroot",
    ),
    ("Windows", "certificate-private-root", "sec e untrusted root | 0x80090325 | cert e untrustedroot | 0x800b0109"),
    ("Windows", "certificate-issuer-unknown", "cert e chaining | 0x800b010a | partialchain"),
    (
        "",
        "certificate-self-signed",
        "self signed certificate | self signed cert | selfsigned | depth zero self signed cert | self signed",
    ),
    ("Go", "certificate-issuer-unknown", "certificate signed by unknown authority"),
    ("Java", "certificate-issuer-unknown", "pkix path building failed | unable to find valid certification path"),
    ("Rust", "certificate-issuer-unknown", "unknownissuer"),
    ("GnuTLS", "certificate-issuer-unknown", "certificate issuer is unknown"),
    (
        "",
        "certificate-issuer-unknown",
        "unable to get local issuer certificate | unable to get issuer certificate | unable to get issuer cert | "
        "unable to verify the first certificate | unable to verify leaf signature | unknown issuer | "
        "unknown authority | unknown ca certificate | unknown root | missing intermediate | chain incomplete | "
        "incomplete chain | certificate chain is incomplete | issuer & unknown | issuer certificate & not found",
    ),
    (
        "",
        "certificate-unfit",
        "certificate revoked | certificate is revoked | certificate has been revoked | invalid ca certificate | "
        "invalid ca | path length constraint | unsuitable certificate purpose | unsupported certificate purpose | "
        "invalid purpose | certificate rejected | cert rejected | key usage | name constraint | name constraints | "
        "permitted subtree violation | excluded subtree violation | permitted violation | excluded violation | "
        "subtree & violation | key too weak | key too small | digest algorithm too weak | md too weak | "
        "insecure algorithm | signature algorithm & insecure | insecure signature | certificate signature failure | "
        "cert signature failure | unhandled critical extension | certificate chain too long | cert chain too long | "
        "chain too long | no valid scts | ocsp | crl | sec e cert wrong usage | 0x80090349 | badsignature | "
        "cert revoked | caused asentitycert | caused as end entity | causedasendentity | caused as leaf | "
        "invalidpurpose | unsupportedcertversion | cert e wrong usage | issuer mismatch | serial number mismatch | "
        "key identifier mismatch | inconsistent certificate extension | subject issuer mismatch",
    ),
    # STARTTLS
    (
        "",
        "starttls-refused",
        "454 & tls | 454 4.7.0 | tls not available | tls currently unavailable | tls temporarily | "
        "starttls & refused | starttls & rejected | starttls & 454 | starttls & failed",
    ),
    (
        "",
        "starttls-not-offered",
        "starttls & not supported | starttls & not offered | no starttls | starttls & unavailable | "
        "starttls & not advertised | tls is required but was not offered | does not support starttls | "
        "starttls not available | tls not offered | tls not supported | support starttls",
    ),
    # The handshake
    (
        "",
        "not-tls",
        "does not look like a tls handshake | wrong version number | gave http response to https client | "
        "unknown protocol | malformed http response | record header | unexpected tls packet | "
        "packet length & unexpected",
    ),
    (
        "",
        "tls-version",
        "unsupported protocol version | unsupported protocol | no supported versions | protocol version | "
        "version too low | peerincompatible | no protocols available | sec e unsupported function",
    ),
    (
        "",
        "tls-cipher",
        "no shared cipher | no cipher | no ciphers available | dh key too small | sslv3 alert handshake failure | "
        "no cipher suite | cipher suite & supported | algorithm mismatch | sec e algorithm mismatch | 0x80090331 | "
        "ee key too small & handshake | inappropriate fallback | could not negotiate",
    ),
    ("", "tls-name-unknown", "unrecognized name | unrecognised name"),
    ("", "handshake-timeout", "tls handshake timeout | handshake & timeout | handshake & timed out"),
    # Fetching and connecting
    (
        "",
        "policy-host-no-dns",
        "no such host | nxdomain & mta sts | could not resolve host | name or service not known | "
        "unknownhostexception | nodename nor servname",
    ),
    ("", "dns-failure", "servfail | nxdomain | dns lookup | dns query failed | server misbehaving | dns & timeout"),
    ("", "policy-redirected", "redirect | redirects | redirected | stopped after & redirects | moved permanently"),
    ("", "policy-forbidden", "forbidden | unauthorized & http | captcha | too many requests"),
    ("", "policy-not-found", "not found & policy | not found & http | 404 not found | no such file"),
    (
        "",
        "handshake-timeout",
        "i o timeout | timed out | timeout | deadline exceeded | time out | elapsed",
    ),
    (
        "",
        "connection-closed",
        "connection reset | reset by peer | broken pipe | eof | unexpectedeof | closed by & peer | "
        "connection closed | connection was closed | remote host closed | closed unexpectedly | "
        "peer closed connection | connection lost | lost connection | closed network connection | "
        "non properly terminated",
    ),
    (
        "",
        "connection-failed",
        "connection refused | no route to host | network is unreachable | network unreachable | host unreachable | "
        "cannot connect | could not connect | failed to connect | econnrefused | actively refused",
    ),
    # What says little stands last.
    ("GnuTLS", "certificate-untrusted", "certificate is not trusted | gnutls e certificate"),
    (
        "",
        "certificate-untrusted",
        "certificate verify failed | certificate verification failed | certificate not trusted | cert untrusted | "
        "untrusted certificate | certificate untrusted | certificate unknown | invalid certificate | "
        "certificate validation failed | invalidcertificate | badcertificate | bad certificate | cert e | "
        "failed to verify certificate | certificate is not valid | not trusted | untrusted | verify failed | "
        "webpki | pkix | x509",
    ),
    (
        "",
        "handshake-failed",
        "handshake failure | handshake failed | handshake error | handshakefailure | sslhandshakeexception | "
        "tls error | ssl error | tls failure | tls negotiation failed | could not start tls | failed to start tls",
    ),
    ("", "policy-fetch-failed", "fetch & policy | policy fetch | policy & unavailable | http error | fetch error"),
    ("", "sender-fault", "out of memory | internal sender error | no local tls"),
)

# Codes that mean something only when they are all there is.
_WHOLE: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "validation failure": ("Microsoft", "sts-validation-failed"),
        "4.7.5": ("Exchange", "sts-validation-failed"),  # D-72
        "5.7.5": ("Exchange", "sts-validation-failed"),
        "4.7.0": ("SMTP", "starttls-refused"),
        "454": ("SMTP", "starttls-refused"),
        "dns lookup": ("mox", "sts-record"),
        "tls remote error": ("mox", "handshake-failed"),
        "policy not found": ("", "policy-not-found"),
        "not found": ("", "policy-not-found"),
        "certificate host mismatch": ("", "certificate-name"),
        "certificate not trusted": ("", "certificate-untrusted"),
        "starttls not supported": ("", "starttls-not-offered"),
        "sts policy invalid": ("", "policy-syntax"),
        "sts policy fetch error": ("", "policy-fetch-failed"),
        "sts webpki invalid": ("", "policy-certificate-untrusted"),
    }
)

# OpenSSL's X509_V_ERR numbers that are not about usage, keys, constraints or revocation (x509_vfy.h).
_X509: Mapping[int, str] = MappingProxyType(
    {
        1: "certificate-untrusted",
        2: "certificate-issuer-unknown",
        9: "certificate-not-yet-valid",
        10: "certificate-expired",
        17: "sender-fault",
        18: "certificate-self-signed",
        19: "certificate-private-root",
        20: "certificate-issuer-unknown",
        21: "certificate-issuer-unknown",
        27: "certificate-untrusted",
        62: "certificate-name",
        64: "certificate-name",
        65: "tlsa-no-match",
        69: "sender-fault",
        70: "certificate-issuer-unknown",
    }
)
_X509_LAST = 94

# Extended DNS errors (RFC 8914) about DNSSEC; mox sends them by number. All others are plain DNS trouble.
_EXTENDED_DNS: Mapping[int, str] = MappingProxyType(
    {
        1: "dnssec-bogus",
        2: "dnssec-bogus",
        5: "dnssec-bogus",
        6: "dnssec-bogus",
        7: "dnssec-signature-expired",
        8: "dnssec-bogus",
        9: "dnssec-key-missing",
        10: "dnssec-bogus",
        11: "dnssec-bogus",
        12: "dnssec-denial",
        25: "dnssec-signature-expired",
        27: "dnssec-denial",
    }
)


class Alert(Struct, frozen=True):
    """A TLS alert (RFC 5246 section 7.2, RFC 8446 section 6): its name, and what it means coming from either side."""

    number: int
    name: str
    from_server: str  # fault codes
    from_sender: str


def _alerts(*rows: tuple[int, str, str, str]) -> Mapping[int, Alert]:
    return MappingProxyType({row[0]: Alert(*row) for row in rows})


ALERTS: Mapping[int, Alert] = _alerts(
    (0, "close_notify", "connection-closed", "connection-closed"),
    (10, "unexpected_message", "tls-server-fault", "not-tls"),
    (20, "bad_record_mac", "tls-server-fault", "sender-fault"),
    (21, "decryption_failed", "tls-server-fault", "sender-fault"),
    (22, "record_overflow", "tls-server-fault", "not-tls"),
    (30, "decompression_failure", "tls-server-fault", "sender-fault"),
    (40, "handshake_failure", "tls-cipher", "tls-cipher"),
    (41, "no_certificate", "tls-client-certificate", "certificate-untrusted"),
    (42, "bad_certificate", "tls-client-certificate", "certificate-untrusted"),
    (43, "unsupported_certificate", "tls-client-certificate", "certificate-unfit"),
    (44, "certificate_revoked", "tls-client-certificate", "certificate-unfit"),
    (45, "certificate_expired", "tls-client-certificate", "certificate-expired"),
    (46, "certificate_unknown", "tls-client-certificate", "certificate-untrusted"),
    (47, "illegal_parameter", "tls-server-fault", "tls-server-fault"),
    (48, "unknown_ca", "tls-client-certificate", "certificate-issuer-unknown"),
    (49, "access_denied", "tls-client-certificate", "sender-fault"),
    (50, "decode_error", "tls-server-fault", "tls-server-fault"),
    (51, "decrypt_error", "tls-server-fault", "tls-server-fault"),
    (60, "export_restriction", "tls-cipher", "tls-cipher"),
    (70, "protocol_version", "tls-version", "tls-version"),
    (71, "insufficient_security", "tls-cipher", "tls-cipher"),
    (80, "internal_error", "tls-server-fault", "sender-fault"),
    (86, "inappropriate_fallback", "tls-version", "tls-version"),
    (90, "user_canceled", "connection-closed", "sender-fault"),
    (100, "no_renegotiation", "tls-server-fault", "sender-fault"),
    (109, "missing_extension", "tls-server-fault", "tls-server-fault"),
    (110, "unsupported_extension", "tls-server-fault", "tls-server-fault"),
    (111, "certificate_unobtainable", "tls-server-fault", "tls-server-fault"),
    (112, "unrecognized_name", "tls-name-unknown", "tls-name-unknown"),
    (113, "bad_certificate_status_response", "certificate-unfit", "certificate-unfit"),
    (114, "bad_certificate_hash_value", "tls-server-fault", "certificate-unfit"),
    (115, "unknown_psk_identity", "tls-server-fault", "tls-server-fault"),
    (116, "certificate_required", "tls-client-certificate", "tls-client-certificate"),
    (120, "no_application_protocol", "tls-server-fault", "tls-server-fault"),
    (121, "ech_required", "tls-server-fault", "tls-server-fault"),
)
# How Go words the alerts whose words are not the RFC's name.
_GO_ALERTS: Mapping[str, int] = MappingProxyType(
    {
        "revoked certificate": 44,
        "expired certificate": 45,
        "unknown certificate authority": 48,
        "unknown certificate": 46,
        "error decoding message": 50,
        "error decrypting message": 51,
        "protocol version not supported": 70,
        "insufficient security level": 71,
        "encrypted client hello required": 121,
    }
)


def decode(text: str, result_type: str | None = None) -> Reason | None:
    """What a sender's reason code means, or None when nothing in it is known.

    Args:
        text: the `failure-reason-code` as sent; hostile, of any length (only the first 2,048 characters are read).
        result_type: the row's result type when known. Under the sts-... types a certificate is the policy host's.
    """
    return _decode(text[:MAX_TEXT], (result_type or "").startswith("sts-"))


@lru_cache(maxsize=1024)
def _decode(text: str, fetching: bool) -> Reason | None:
    words = _words(text)
    if not words:
        return None
    # The policy's address in the text says that the policy was being fetched (Go's `Get "https://mta-sts..."`).
    fetching = fetching or " mta sts." in words or ".well known" in words or " mta sts.txt" in words
    found = _by_whole(words) or _by_alert(words) or _by_number(words, fetching) or _by_phrase(words)
    if found is None:
        return None
    source, code, detail = found
    if fetching:
        code = _AT_POLICY_HOST.get(code, code)
    elif code == "policy-host-no-dns":
        code = "dns-failure"
    return _reason(code, _family(words) or source, detail)


def wordings() -> tuple[tuple[str, tuple[str, ...], str], ...]:
    """The wordings that are known, for the handbook: whose, which words, the code; as `decode` tries them."""
    whole = tuple((source, (words,), code) for words, (source, code) in _WHOLE.items())
    rules = tuple(
        (source, tuple(phrase.replace(" & ", " and ") for phrase in phrases.split(" | ")), code)
        for source, code, phrases in _RULES
    )
    return whole + rules


def _reason(code: str, source: str, detail: str) -> Reason:
    fault = FAULTS[code]
    first = CAUSES[fault.points_to[0]]
    return Reason(
        code=code,
        meaning=f"{detail} {fault.meaning}".strip(),
        source=source,
        points_to=fault.points_to,
        result_types=fault.result_types,
        party=first.party,
        stage=first.stage,
        place=first.place,
        passing=first.passing,
    )


_Found = tuple[str, str, str]  # source, fault code, detail to put before the meaning

_BETWEEN_WORDS = re.compile(r"[^a-z0-9.]+")


def _words(text: str) -> str:
    """The words of a text, lower-case, one blank between and around: `X509_V_ERR_CERT_HAS_EXPIRED` and
    `certificate has expired` meet. Dots stay within a word (`4.7.5`, `mx.example.com`)."""
    words = " ".join(filter(None, (word.strip(".") for word in _BETWEEN_WORDS.split(text.lower()))))
    return f" {words} " if words else ""


def _by_whole(words: str) -> _Found | None:
    known = _WHOLE.get(words.strip())
    return (*known, "") if known else None


def _by_phrase(words: str) -> _Found | None:
    for source, code, alternatives in _compiled_rules():
        for parts in alternatives:
            if all(part in words for part in parts):
                return source, code, ""
    return None


@cache
def _compiled_rules() -> tuple[tuple[str, str, tuple[tuple[str, ...], ...]], ...]:
    return tuple(
        (
            source,
            code,
            tuple(
                tuple(f" {part.strip()} " for part in alternative.split("&")) for alternative in phrases.split(" | ")
            ),
        )
        for source, code, phrases in _RULES
    )


@cache
def _alert_names() -> Mapping[str, int]:
    names = {f" {alert.name.replace('_', ' ')} ": alert.number for alert in ALERTS.values()}
    return {f" {words} ": number for words, number in _GO_ALERTS.items()} | names


def _by_alert(words: str) -> _Found | None:
    """`tls-remote-alert-70-...` (mox), `remote error: tls: ...` (Go), `sslv3 alert ...` (OpenSSL), `alert 40`."""
    spoken = " alert " in words or " remote error " in words
    if not spoken:
        return None
    alert = ALERTS.get(_number_after(words, " alert number ", " alert ", " tls alert "))
    if alert is None:
        # Longer names first: "bad certificate" is the beginning of "bad certificate hash value".
        named = [name for name in _alert_names() if name in words]
        alert = ALERTS[_alert_names()[max(named, key=len)]] if named else None
    if alert is None:
        return ("", "handshake-failed", "")
    local = " local " in words
    source = "mox" if " tls remote alert " in words or " tls local alert " in words else ""
    by = "the sender" if local else "the server"
    detail = f"TLS alert {alert.number} ({alert.name}), sent by {by}:"
    return source, alert.from_sender if local else alert.from_server, detail


def _number_after(words: str, *marks: str) -> int:
    """The number that follows one of the marks, or -1."""
    for mark in marks:
        _, found, rest = words.partition(mark)
        word = rest.partition(" ")[0] if found else ""
        if word.isascii() and word.isdecimal() and len(word) <= 3:
            return int(word)
    return -1


def _by_number(words: str, fetching: bool) -> _Found | None:
    extended = _number_after(words, " extended dns error ", " dns extended error ", " ede ")
    if extended >= 0:
        code = _EXTENDED_DNS.get(extended, "dns-failure")
        return "mox" if " error " in words else "", code, f"Extended DNS error {extended}:"
    starttls = _number_after(words, " smtp starttls reply code ")
    if starttls >= 0:
        return "mox", "starttls-refused", f"SMTP reply {starttls}:"
    phrase = _by_phrase(words)
    if phrase is not None and phrase[1] not in _SAYING_LITTLE:
        return phrase
    number = _number_after(words, " err ", " num ", " error ", " verify error ", " x509 v err ", " verify code ")
    if 0 < number <= _X509_LAST:
        return "OpenSSL", _X509.get(number, "certificate-unfit"), f"OpenSSL verify error {number}:"
    status = _http_status(words)
    if status and not (" smtp " in words or " starttls " in words):
        return "HTTP", _of_status(status), f"HTTP status {status}:"
    alone = words.strip()
    if alone.isascii() and alone.isdecimal() and len(alone) <= 3:
        return _bare_number(int(alone), fetching)
    return None


_SAYING_LITTLE = {"certificate-untrusted", "handshake-failed", "policy-fetch-failed", "policy-syntax"}


def _bare_number(number: int, fetching: bool) -> _Found | None:
    # "(10)" alone is what OpenSSL's users print; a three-digit number in a fetch is the HTTP status.
    if fetching and 300 <= number <= 599:
        return "HTTP", _of_status(number), f"HTTP status {number}:"
    if number in _X509:
        return "OpenSSL", _X509[number], f"OpenSSL verify error {number}:"
    return None


_STATUS_BEFORE = {
    "http",
    "status",
    "code",
    "statuscode",
    "returned",
    "response",
    "unexpected",
    "got",
    "1.1",
    "1.0",
    "2",
}
_STATUS_AFTER = {"not", "forbidden", "moved", "found", "bad", "internal", "service", "gone", "unauthorized", "too"}


def _http_status(words: str) -> int:
    """The HTTP status named in a text, or 0. A number counts only beside a word that makes it one; 443 is a port."""
    row = words.split()
    for i, word in enumerate(row):
        if len(word) == 3 and word.isascii() and word.isdecimal() and 300 <= int(word) <= 599 and word != "443":
            beside = set(row[max(0, i - 2) : i]) & _STATUS_BEFORE or set(row[i + 1 : i + 2]) & _STATUS_AFTER
            if beside:
                return int(word)
    return 0


def _of_status(status: int) -> str:
    if status in {404, 410}:
        return "policy-not-found"
    if status in {401, 403, 405, 406, 418, 429, 451}:
        return "policy-forbidden"
    if status < 400:
        return "policy-redirected"
    return "policy-server-error" if status >= 500 else "policy-http-status"


# Whose wording it is. The first mark that is found decides.
_FAMILIES: tuple[tuple[str, str], ...] = (
    (" x509 v err ", "OpenSSL"),
    (" verify error num ", "OpenSSL"),
    (" ssl routines ", "OpenSSL"),
    (" tlsv1 alert ", "OpenSSL"),
    (" sslv3 alert ", "OpenSSL"),
    (" gnutls ", "GnuTLS"),
    (" pkix path ", "Java"),
    (" javax.net", "Java"),
    (" java.", "Java"),
    (" sec e ", "Windows"),
    (" cert e ", "Windows"),
    (" x509 ", "Go"),
    (" remote error tls ", "Go"),
    (" dial tcp ", "Go"),
    (" i o timeout ", "Go"),
    (" context deadline exceeded ", "Go"),
    (" invalid peer certificate ", "Rust"),
    (" invalidcertificate ", "Rust"),
    (" schannel ", "Windows"),
    (" certificate verify failed ", "OpenSSL"),
    (" self signed certificate ", "OpenSSL"),
    (" unable to get local issuer certificate ", "OpenSSL"),
    (" unable to verify the first certificate ", "OpenSSL"),
)


def _family(words: str) -> str:
    return next((name for mark, name in _FAMILIES if mark in words), "")


# --- Grouping -------------------------------------------------------------------------------------------------------

_APART = re.compile(r"""[\s"'`<>(){},;=|]+|->""")
_HEX = frozenset("0123456789abcdef-")


def normalise(text: str) -> str:
    """The text with what differs from case to case taken out, so that one fault is one group (F-39).

    URLs, names, addresses, times, ids and quotes go; `404`, `alert 70` and `4.7.5` stay, since they are the fault.
    Lower-case, one blank between words.
    """
    return _normalise(text[:MAX_TEXT])


@lru_cache(maxsize=1024)
def _normalise(text: str) -> str:
    words = [_general(word) for word in _APART.split(text.lower())]
    kept: list[str] = []
    for word in words:
        if word and not (word.startswith("<") and kept and kept[-1] == word):  # a list of names is one name
            kept.append(word)
    return " ".join(kept)


def _general(word: str) -> str:
    if "://" in word:
        return "<url>"
    if "@" in word:
        return "<address>"
    if _is_address(word):
        return "<ip>"
    word = word.strip(".:!?[]")
    digits = sum(character.isdecimal() for character in word)
    if digits and _is_time(word):
        return "<time>"
    if _is_name(word):  # before ids: a host may be called a1234567.example
        return "<name>"
    return "<id>" if digits >= 6 or (digits and len(word) >= 16 and _HEX.issuperset(word)) else word


def _is_address(word: str) -> bool:
    """IPv4 or IPv6, with a port or without; by shape alone, since a wrong address is one too."""
    if word.count(":") >= 2:
        return all(character in "0123456789abcdef:.%[]" for character in word)
    parts = word.strip("[].,").partition(":")[0].split(".")
    return len(parts) == 4 and all(part.isdecimal() and len(part) <= 3 for part in parts)


def _is_time(word: str) -> bool:
    """2026-03-01T10:00:00Z, 2026-03-01, 10:00:00.5, 2026/03/01."""
    if not (word[0].isdecimal() and word.rstrip("z")[-1:].isdecimal()):
        return False
    plain = word.replace("t", "-", 1).rstrip("z").replace("/", "-").replace(":", "-").replace("+", "-")
    parts = plain.replace(".", "-").split("-")
    return len(parts) >= 3 and not word.count(".") > 1 and all(part.isdecimal() for part in parts)


def _is_name(word: str) -> bool:
    """A host name: dots between labels, the last of letters; perhaps a port behind it."""
    host, _, port = word.partition(":")
    if port and not port.isdecimal():
        return False
    labels = host.split(".")
    return len(labels) >= 2 and len(labels[-1]) >= 2 and labels[-1].isalpha() and all(labels)

"""The causes behind reported failures: what it really was, how reports show it, how to mend it.

A cause is told once and serves every result type under which senders report it: one fault has several names
(field-notes-domains.md D-70), so the cause's code, not the result type, says whether two failures are the same.
What the causes really were comes from field-notes-domains.md (b) and (c); each entry cites its note.

Texts may hold the placeholders {mx} {ip} {domain} {policy_host}; `results.fill` puts real names in.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from msgspec import Struct

Party = Literal["mx", "policy-host", "dns", "sender", "network", "unknown"]
Stage = Literal["policy", "dns", "starttls", "certificate", "handshake", "other"]
Place = Literal["mx", "policy-host", "tlsa-record", "sts-record", "domain", "sender"]


class Verify(Struct, frozen=True, kw_only=True):
    """A command that a person can run, and what a good answer looks like."""

    command: str
    expected: str


class Cause(Struct, frozen=True, kw_only=True):
    """One thing that really goes wrong.

    Attributes:
        code: stable, lower-case, hyphens.
        evidence_for: what in the reports speaks for this cause; evidence_against: what speaks against it.
        steps: what to do, in the order that avoids an outage.
        party: who can mend it; place: where to look, and what failures are grouped by; stage: how far the session came.
        policy_types: the policy types under which this cause can be met; all of them when empty.
        passing: whether it often goes away by itself (D-73), so that one sighting is no fault yet.
        verify: proves this very cause; None where the result type's own command does.
    """

    code: str
    title: str
    explanation: str
    evidence_for: str
    evidence_against: str
    steps: tuple[str, ...]
    party: Party
    stage: Stage
    place: Place
    policy_types: tuple[str, ...] = ()
    passing: bool = False
    verify: Verify | None = None


_CONNECT = "openssl s_client -starttls smtp -connect {mx}:25 -servername {mx}"

CERTIFICATE_CHECK = Verify(
    command=f"{_CONNECT} -verify_hostname {{mx}} -brief </dev/null",
    expected="'Verification: OK' and 'Verified peername: {mx}'. Any 'Verification error:' line names the fault.",
)
CERTIFICATE_DATES = Verify(
    command=f"{_CONNECT} </dev/null 2>/dev/null | openssl x509 -noout -subject -dates -ext subjectAltName",
    expected="notAfter lies in the future, and the names include DNS:{mx}. Ask every address of the MX, one by one.",
)
ONE_ADDRESS = Verify(
    command=(
        "openssl s_client -starttls smtp -connect {ip}:25 -servername {mx} -verify_hostname {mx} -brief </dev/null"
    ),
    expected="'Verification: OK', at every IPv4 and IPv6 address that the MX name has.",
)
CHAIN_CHECK = Verify(
    command=f"{_CONNECT} -showcerts </dev/null 2>/dev/null | grep -E '^ *[0-9] s:|^ *[iv]:'",
    expected="each issuer (i:) is the subject (s:) of the next line, and the last issuer is a public root; no "
    "NotAfter lies in the past.",
)
STARTTLS_CHECK = Verify(
    command="openssl s_client -starttls smtp -connect {mx}:25 -servername {mx} -brief </dev/null",
    expected="'CONNECTION ESTABLISHED' and a protocol version. \"Didn't find STARTTLS\" means that it is not offered.",
)
PROTOCOL_CHECK = Verify(
    command="openssl s_client -starttls smtp -connect {mx}:25 -servername {mx} -tls1_2 -brief </dev/null",
    expected="'Protocol version: TLSv1.2'; again with -tls1_3. At least one of the two must work (RFC 8461 section 7).",
)
POLICY_FETCH = Verify(
    command=(
        "curl -sS --http1.1 -o /dev/null -w '%{http_code} %{content_type} %{ssl_verify_result}\\n' "
        "https://{policy_host}/.well-known/mta-sts.txt"
    ),
    expected="'200 text/plain 0', perhaps with a charset. 301, 302, 403, 404 or an error text is what senders met.",
)
POLICY_FETCH_IPV6 = Verify(
    command="curl -sS -6 --http1.1 -o /dev/null -w '%{http_code}\\n' https://{policy_host}/.well-known/mta-sts.txt",
    expected="'200', or no AAAA record at all: dig +short AAAA {policy_host}",
)
POLICY_TEXT = Verify(
    command="curl -sS --http1.1 https://{policy_host}/.well-known/mta-sts.txt",
    expected="version: STSv1, mode:, at least one mx: line and max_age:, one 'key: value' a line, and nothing else.",
)
POLICY_CERTIFICATE = Verify(
    command=(
        "openssl s_client -connect {policy_host}:443 -servername {policy_host} "
        "-verify_hostname {policy_host} -brief </dev/null"
    ),
    expected="'Verification: OK' and 'Verified peername: {policy_host}' (or *.{domain}).",
)
MX_AGAINST_POLICY = Verify(
    command=(
        "dig +short MX {domain}; curl -sS --http1.1 https://{policy_host}/.well-known/mta-sts.txt | grep -i '^mx:'"
    ),
    expected="every MX name is an mx: line, or fits one that begins with '*.', which stands for exactly one label.",
)
STS_RECORD = Verify(
    command="dig +short TXT _mta-sts.{domain}",
    expected='exactly one line that begins with "v=STSv1; id=" and letters and digits, 32 at most.',
)
TLSA_AGAINST_KEY = Verify(
    command=(
        f"dig +short TLSA _25._tcp.{{mx}}; {_CONNECT} </dev/null 2>/dev/null "
        "| openssl x509 -pubkey -noout | openssl pkey -pubin -outform DER | openssl sha256"
    ),
    expected="the hex of one '3 1 1' record is the hex that openssl prints (blanks and capitals do not count).",
)
DANE_CHECK = Verify(
    command="posttls-finger -c -l dane -L summary {domain}",
    expected="'Verified TLS connection'. 'no matching DANE TLSA records' is the reported fault. (A tool of Postfix.)",
)
DNSSEC_CHECK = Verify(
    command="delv _25._tcp.{mx} TLSA; delv {mx} A; delv {domain} MX",
    expected="'; fully validated' or '; unsigned answer' each time; 'resolution failed' means bogus.",
)
TLSA_SECURE = Verify(
    command="dig +dnssec TLSA _25._tcp.{mx}",
    expected="status NOERROR, the flag 'ad', at least one TLSA line and its RRSIG. Use a validating resolver.",
)


def _table(*causes: Cause) -> Mapping[str, Cause]:
    return MappingProxyType({cause.code: cause for cause in causes})


CAUSES: Mapping[str, Cause] = _table(
    # --- STARTTLS -----------------------------------------------------------------------------------------------
    Cause(
        code="starttls-off-on-one-host",
        title="One of several hosts or addresses does not offer STARTTLS",
        explanation="A backup MX, one node behind a load balancer, or only the IPv6 address runs without TLS.",
        evidence_for="Failures name one MX or one receiving address; sessions to the others succeed.",
        evidence_against="All receiving hosts and addresses fail.",
        steps=(
            "Connect to every address of {mx} and see which one does not offer STARTTLS.",
            "Give that host a certificate for {mx} and switch TLS on, or take it out of the MX records.",
        ),
        party="mx",
        stage="starttls",
        place="mx",
        verify=STARTTLS_CHECK,
    ),
    Cause(
        code="starttls-off",
        title="The mail server does not offer STARTTLS",
        explanation="TLS is switched off, or the server hides it because it could not load certificate and key.",
        evidence_for="Every session to this MX fails, from all senders.",
        evidence_against="Sessions to the same MX and address succeed on the same day.",
        steps=(
            "Look in the mail server's log at start: a certificate or key that can't be read switches TLS off.",
            "Switch STARTTLS on for port 25 (Postfix: smtpd_tls_security_level = may) with a certificate for {mx}.",
        ),
        party="mx",
        stage="starttls",
        place="mx",
        verify=STARTTLS_CHECK,
    ),
    Cause(
        code="starttls-refused",
        title="STARTTLS is offered, but refused when asked for",
        explanation="The server answers STARTTLS with a 4xx or 5xx code: TLS not available just now, or a rate limit.",
        evidence_for="The reason code holds an SMTP reply such as 454; few sessions, other senders succeed.",
        evidence_against="The reason says that STARTTLS was not in the EHLO reply.",
        steps=(
            "Search the mail server's log for the sending address at that day: it says why TLS was not available.",
            "Mend what it names: usually the key's file permissions, exhausted resources, or a limit on connections.",
        ),
        party="mx",
        stage="starttls",
        place="mx",
        passing=True,
        verify=STARTTLS_CHECK,
    ),
    Cause(
        code="starttls-stripped",
        title="Something on the way removes STARTTLS",
        explanation="A firewall or mail filter that inspects SMTP blanks out STARTTLS; so does an active attack.",
        evidence_for="The EHLO name or reply in the report is not your server's; senders on one path only fail.",
        evidence_against="The server itself does not offer STARTTLS when asked on its own network.",
        steps=(
            "Compare the EHLO reply seen from outside with the one seen beside the server ('XXXXXXXA' is a firewall).",
            "Switch SMTP inspection off on the firewall, or let the filter offer TLS itself.",
            "If no device of yours does it, ask the sender from which network it connects.",
        ),
        party="network",
        stage="starttls",
        place="mx",
        verify=STARTTLS_CHECK,
    ),
    Cause(
        code="starttls-greylisted",  # D-61, D-62
        title="A tarpit or rate limit greets strangers without STARTTLS",
        explanation="Greylisting daemons answer the first contact themselves, late and without STARTTLS.",
        evidence_for="Only some senders, at their first contact or when they open many connections.",
        evidence_against="A sender that delivers every day sees it too.",
        steps=("Let the daemon in front of {mx} offer STARTTLS, or exempt hosts that deliver regularly.",),
        party="mx",
        stage="starttls",
        place="mx",
        passing=True,
        verify=STARTTLS_CHECK,
    ),
    # --- The certificate of the MX ------------------------------------------------------------------------------
    Cause(
        code="mx-name-not-in-certificate",  # D-65
        title="The certificate does not hold the MX name",
        explanation="The name in the MX record is not among the certificate's subject alternative names. "
        "A second MX is often forgotten; the common name is not looked at.",
        evidence_for="One MX fails with every sender that verifies, the others do not.",
        evidence_against="Only senders that use (or do not use) SNI fail.",
        steps=(
            "Issue a certificate whose names include {mx}, and install it on every host behind that name.",
            "Or put the certificate's name into the MX record; the MTA-STS policy then needs that name first.",
        ),
        party="mx",
        stage="certificate",
        place="mx",
        verify=CERTIFICATE_DATES,
    ),
    Cause(
        code="mx-is-alias",
        title="The MX name is your alias for a provider's host",
        explanation="The provider's shared certificate holds the provider's names, not yours.",
        evidence_for="The MX is in your domain, its address and its EHLO name are the provider's.",
        evidence_against="The EHLO name in the report is the MX name.",
        steps=(
            "Look up the MX names that the provider documents.",
            "Add them to the MTA-STS policy, give it a new id, wait the old max_age.",
            "Then replace {mx} by them in the MX records.",
        ),
        party="dns",
        stage="certificate",
        place="mx",
        verify=CERTIFICATE_DATES,
    ),
    Cause(
        code="wrong-virtual-host",  # D-64
        title="The server picks the wrong certificate for the name asked for",
        explanation="Several names share the server. Asked without SNI, or with a name it doesn't expect, it shows "
        "another one's certificate, or a key that doesn't belong to it, or breaks off.",
        evidence_for="Some senders succeed and others fail with the same MX and address on the same day.",
        evidence_against="All senders fail.",
        steps=(
            "Test with SNI {mx}, without SNI (-noservername), and with SNI {domain}; compare the certificates.",
            "Make the certificate for {mx} the default of the port 25 listener, and pair each with its own key.",
        ),
        party="mx",
        stage="certificate",
        place="mx",
        verify=CERTIFICATE_CHECK,
    ),
    Cause(
        code="renewed-not-reloaded",
        title="The certificate was renewed, but the mail server still serves the old one",
        explanation="A newer file lies on disk, and the service was not reloaded since.",
        evidence_for="Failures begin on the very day a certificate ran out, with all senders that verify.",
        evidence_against="The failures began long after the expiry date, or on one address only.",
        steps=(
            "Compare the certificate on disk with the one served.",
            "If the one on disk is newer: reload the mail server (Postfix: postfix reload; Exim, Dovecot and others: "
            "restart), and put the reload into the renewal hook.",
            "If it has expired too: run the renewal by hand and read its error.",
        ),
        party="mx",
        stage="certificate",
        place="mx",
        verify=CERTIFICATE_DATES,
    ),
    Cause(
        code="renewal-stopped",
        title="The certificate was not renewed",
        explanation="The renewal job no longer runs, or its check of the name fails.",
        evidence_for="The certificate on disk has expired as well.",
        evidence_against="A newer certificate lies on disk.",
        steps=(
            "Run the renewal by hand and read its error: usually port 80 is closed or the name points elsewhere.",
            "Reload the mail server after it. With a TLSA record: keep the key, or publish the new record first.",
        ),
        party="mx",
        stage="certificate",
        place="mx",
        verify=CERTIFICATE_DATES,
    ),
    Cause(
        code="one-node-old-certificate",
        title="One of several hosts or addresses serves an old certificate",
        explanation="The new certificate did not reach every node behind the MX name.",
        evidence_for="Failures name one receiving address; others of the same MX succeed.",
        evidence_against="Every receiving address of the MX fails.",
        steps=(
            "Ask each address of {mx} for its certificate; start with {ip}.",
            "Copy the renewed certificate to the node that lags, reload it, and let the renewal distribute it.",
        ),
        party="mx",
        stage="certificate",
        place="mx",
        verify=ONE_ADDRESS,
    ),
    Cause(
        code="intermediate-expired",
        title="The server sends an expired intermediate certificate",
        explanation="Its own certificate is fine; the chain file beside it is an old one.",
        evidence_for="The certificate's own dates are fine, some senders fail and others find another path.",
        evidence_against="The MX's own certificate has expired.",
        steps=("Replace the chain file by the one that came with the current certificate, and reload.",),
        party="mx",
        stage="certificate",
        place="mx",
        verify=CHAIN_CHECK,
    ),
    Cause(
        code="chain-incomplete",  # D-66
        title="The server does not send the intermediate certificate",
        explanation="Only the host's own certificate is configured. Browsers fetch what is missing, mail servers "
        "don't; it is often lost at a renewal.",
        evidence_for="Many senders fail since one day, though a browser-like test is content.",
        evidence_against="One sender only fails.",
        steps=(
            "Configure the full chain file (fullchain.pem) instead of the host certificate alone, and reload.",
            "Make the renewal write that file.",
        ),
        party="mx",
        stage="certificate",
        place="mx",
        verify=CHAIN_CHECK,
    ),
    Cause(
        code="self-signed",
        title="The MX shows a self-signed certificate",
        explanation="The certificate made at installation, or a default for an unknown name. Good enough for senders "
        "without a policy and for TLSA '3 1 1', never for MTA-STS.",
        evidence_for="The reason speaks of a self-signed certificate; every sender that verifies fails.",
        evidence_against="Other senders verify the same MX on the same day.",
        steps=(
            "Get a certificate for {mx} from a public authority, install it with its chain, and reload.",
            "With a TLSA record: publish the record of the new key first, wait two TTLs, then switch.",
        ),
        party="mx",
        stage="certificate",
        place="mx",
        verify=CERTIFICATE_CHECK,
    ),
    Cause(
        code="private-ca",
        title="The certificate comes from an authority that senders do not know",
        explanation="A company's own CA, a filter that re-signs TLS, or a root that left the public lists.",
        evidence_for="The chain is complete, yet every sender that verifies fails.",
        evidence_against="Only one sender fails.",
        steps=(
            "Use a certificate of a public authority on port 25; keep the private CA for inside.",
            "If a filter re-signs the connection, exempt port 25 or give it a public certificate for {mx}.",
        ),
        party="mx",
        stage="certificate",
        place="mx",
        verify=CHAIN_CHECK,
    ),
    Cause(
        code="certificate-not-yet-valid",
        title="The certificate is not valid yet",
        explanation="It begins in the future: installed early, or a clock is wrong, the server's or the sender's.",
        evidence_for="The reason says so; it ends by itself at the begin date.",
        evidence_against="The certificate's begin date is long past: then the sender's clock is wrong.",
        steps=("Look at notBefore; install the former certificate until then, or set the clock of the issuing host.",),
        party="mx",
        stage="certificate",
        place="mx",
        passing=True,
        verify=CERTIFICATE_DATES,
    ),
    Cause(
        code="certificate-unfit",
        title="The certificate breaks a rule other than name, date and issuer",
        explanation="Name constraints of the CA, a key usage that excludes servers, a small key, an old signature "
        "algorithm, or revocation.",
        evidence_for="The reason names the rule.",
        evidence_against="No reason is given, and other senders verify the same certificate.",
        steps=(
            "Read which rule the reason names, and issue a certificate that keeps it (RSA 2048 or P-256, SHA-256, "
            "extended key usage 'server').",
        ),
        party="mx",
        stage="certificate",
        place="mx",
        verify=CERTIFICATE_CHECK,
    ),
    Cause(
        code="sender-trust-store",
        title="That sender does not know the certificate's root",
        explanation="A new root, or a sender whose list of authorities is old or missing.",
        evidence_for="One sender fails; others verify the same MX on the same days.",
        evidence_against="Two or more independent senders fail.",
        steps=(
            "Check that the chain is complete; if it is, nothing is wrong on your side.",
            "If the sender matters, use a certificate with an older root, or write to its contact address.",
        ),
        party="sender",
        stage="certificate",
        place="sender",
        verify=CHAIN_CHECK,
    ),
    # --- The handshake ------------------------------------------------------------------------------------------
    Cause(
        code="tls-version-or-cipher",
        title="Sender and server share no TLS version or cipher",
        explanation="The server offers only old TLS (1.0, 1.1), or only what older senders lack.",
        evidence_for="The reason names a protocol version, cipher, handshake_failure (40) or protocol_version (70).",
        evidence_against="The same sender succeeds with the same MX on the same day.",
        steps=(
            "Allow TLS 1.2 and 1.3 on port 25, with common ciphers (ECDHE with AES-GCM), and reload.",
            "Serve an RSA certificate beside an ECDSA one if old senders matter.",
        ),
        party="mx",
        stage="handshake",
        place="mx",
        verify=PROTOCOL_CHECK,
    ),
    Cause(
        code="tls-server-fault",
        title="The server breaks the handshake off with a fault of its own",
        explanation="It can't use its key, demands a client certificate, or rejects a message that is in order.",
        evidence_for="The reason names internal_error (80), certificate_required (116) or another alert of the server.",
        evidence_against="The alert came from the sender.",
        steps=(
            "Search the mail server's log for the sending address: it names the fault.",
            "Check that key and certificate belong together and that no client certificate is demanded on port 25.",
        ),
        party="mx",
        stage="handshake",
        place="mx",
        verify=STARTTLS_CHECK,
    ),
    Cause(
        code="not-tls-after-starttls",
        title="After STARTTLS something other than TLS comes back",
        explanation="A proxy or filter answers in plain text, or a broken server goes on with SMTP.",
        evidence_for="The reason speaks of a record header, a wrong version number, or garbage.",
        evidence_against="TLS with the same address succeeds from other networks.",
        steps=(
            "Connect to {mx} from outside and look at the first bytes after '220'.",
            "Mend or exempt the filter in front of the mail server.",
        ),
        party="mx",
        stage="handshake",
        place="mx",
        verify=STARTTLS_CHECK,
    ),
    Cause(
        code="handshake-broken-off",  # D-73
        title="The connection timed out or was closed during the handshake",
        explanation="Busy hosts, a limit on connections, a firewall, or a network fault. Singly it is noise.",
        evidence_for="Few sessions of one sender on one day; the reason speaks of a time-out, reset or close.",
        evidence_against="It happens on two days, with two senders, or with all sessions to one MX.",
        steps=("Look in the log of {mx} for that time, at load, at connection limits and at the path's MTU.",),
        party="network",
        stage="handshake",
        place="mx",
        passing=True,
        verify=STARTTLS_CHECK,
    ),
    # --- The MTA-STS policy -------------------------------------------------------------------------------------
    Cause(
        code="mx-not-in-policy",  # D-32, D-37, D-38
        title="The MX is not listed in the MTA-STS policy",
        explanation="The policy's mx: lines do not cover the MX name, or the sender still holds an old policy. "
        "No result type of its own exists for this. Usual slips: the bare domain instead of the MX, "
        "'*.' over two labels, a new MX, an id that was not changed.",
        evidence_for="Policy type sts; the reported MX fits no mx: line of the reported policy; no sending address.",
        evidence_against="The reported MX fits an mx: line of the reported policy.",
        steps=(
            "Compare the MX records of {domain} with the mx: lines of the policy.",
            "Add the missing MX name to the policy at {policy_host}, then give the _mta-sts record a new id.",
            "Before a change of MX: new MX into the policy, new id, wait the old max_age, then switch the MX.",
        ),
        party="policy-host",
        stage="policy",
        place="policy-host",
        policy_types=("sts",),
        verify=MX_AGAINST_POLICY,
    ),
    Cause(
        code="policy-copy-old",  # D-38
        title="The sender still applies an older copy of the policy",
        explanation="The MX was changed before the copies that senders hold had run out: each may be applied until its "
        "max_age has passed, or until the sender sees a new id in the _mta-sts record.",
        evidence_for="The reported MX fits no mx: line of the policy in the report, but one of a newer policy.",
        evidence_against="No newer policy was reported, or the newest does not list the MX either.",
        steps=(
            "Give the _mta-sts record of {domain} a new id: senders then fetch the policy anew.",
            "Keep the former MX host, and both names in the policy, until the old max_age has passed.",
            "Before the next change of MX: new MX into the policy, new id, wait the old max_age, then switch the MX.",
        ),
        party="policy-host",
        stage="policy",
        place="policy-host",
        policy_types=("sts",),
        verify=MX_AGAINST_POLICY,
    ),
    Cause(
        code="policy-file-missing",
        title="The policy file is not where senders look",
        explanation="Wrong path, wrong host or an empty site: the answer is 404, 410 or an error of the web server.",
        evidence_for="Every sender reports it; the reason holds an HTTP status.",
        evidence_against="Other senders fetched the policy on the same day.",
        steps=(
            "Serve the file at https://{policy_host}/.well-known/mta-sts.txt with status 200 and text/plain.",
            "Many web servers hide paths that begin with a dot: allow /.well-known/.",
        ),
        party="policy-host",
        stage="policy",
        place="policy-host",
        policy_types=("sts",),
        verify=POLICY_FETCH,
    ),
    Cause(
        code="policy-redirected",  # D-42
        title="The policy host redirects",
        explanation="Senders never follow redirects (RFC 8461 section 3.3); browsers and some checkers do.",
        evidence_for="Every sender reports it though the address works in a browser; a 3xx status in the reason.",
        evidence_against="curl without -L shows 200.",
        steps=("Answer 200 at that very address: exempt it from redirects to www, to a login or to a trailing slash.",),
        party="policy-host",
        stage="policy",
        place="policy-host",
        policy_types=("sts",),
        verify=POLICY_FETCH,
    ),
    Cause(
        code="policy-host-blocks",  # D-43
        title="A bot wall or firewall turns senders away",
        explanation="A browser gets the file, a mail server gets 403, a captcha or silence.",
        evidence_for="One sender fails and others succeed on the same day, more than once.",
        evidence_against="Every sender fails.",
        steps=(
            "Fetch the file from another network, by curl -4 and by curl -6. Where that is refused: exempt "
            "/.well-known/mta-sts.txt from bot protection, geo-blocking and rate limits.",
        ),
        party="policy-host",
        stage="policy",
        place="policy-host",
        policy_types=("sts",),
        verify=POLICY_FETCH,
    ),
    Cause(
        code="policy-certificate-name",  # D-44
        title="The policy host has no certificate for its name",
        explanation="A shared server without a certificate for {policy_host} shows another one's, or breaks off with "
        "unrecognized_name. Each domain needs its own name in a certificate.",
        evidence_for="The reason speaks of a name, SAN or unrecognized_name; all senders, since the host was set up.",
        evidence_against="It worked until a certain day: then the certificate expired or the host moved.",
        steps=(
            "Issue a certificate that holds {policy_host} (or *.{domain}), install it for that name, and reload.",
            "With a CNAME to a service: register the domain there, so that it issues one.",
        ),
        party="policy-host",
        stage="policy",
        place="policy-host",
        policy_types=("sts",),
        verify=POLICY_CERTIFICATE,
    ),
    Cause(
        code="policy-certificate-expired",
        title="The policy host's certificate has expired",
        explanation="It is the web server's certificate, not the MX's. Nobody looks at that site, so nobody notices.",
        evidence_for="The reason says expired; all senders, since one day.",
        evidence_against="The certificate's dates are fine.",
        steps=("Renew the certificate of {policy_host}, reload the web server, and mend the renewal job.",),
        party="policy-host",
        stage="policy",
        place="policy-host",
        policy_types=("sts",),
        verify=POLICY_CERTIFICATE,
    ),
    Cause(
        code="policy-certificate-chain",
        title="The policy host's certificate is not trusted",
        explanation="The intermediate is missing, or the certificate is self-signed or from a private CA.",
        evidence_for="The reason speaks of an unknown issuer or authority, though a browser is content.",
        evidence_against="One sender only.",
        steps=("Serve the full chain of a publicly trusted certificate at {policy_host}, and reload.",),
        party="policy-host",
        stage="policy",
        place="policy-host",
        policy_types=("sts",),
        verify=POLICY_CERTIFICATE,
    ),
    Cause(
        code="policy-host-not-in-dns",
        title="The name of the policy host does not resolve",
        explanation="No A or AAAA record, a CNAME to a service that was given up, or a DNS fault.",
        evidence_for="The reason speaks of no such host, NXDOMAIN, SERVFAIL or a lookup.",
        evidence_against="The reason holds an HTTP status or a certificate fault.",
        steps=(
            "Publish A (and AAAA) or a CNAME for {policy_host}.",
            "If MTA-STS is to end: publish mode none with a new id, and keep it until the old max_age has passed.",
        ),
        party="dns",
        stage="dns",
        place="policy-host",
        policy_types=("sts",),
        verify=Verify(
            command="dig +noall +comments +answer {policy_host} A; dig +noall +comments +answer {policy_host} AAAA",
            expected="status: NOERROR both times, and at least one address in all.",
        ),
    ),
    Cause(
        code="policy-host-unreachable",  # D-73
        title="The policy host does not answer",
        explanation="Connection refused, reset or timed out: the web server is down, overloaded or behind a firewall. "
        "One sender on one day is noise.",
        evidence_for="The reason speaks of a time-out, refusal, reset or no route.",
        evidence_against="The reason holds an HTTP status.",
        steps=("Check that {policy_host} answers on port 443 from outside, at every address it has.",),
        party="policy-host",
        stage="policy",
        place="policy-host",
        policy_types=("sts",),
        passing=True,
        verify=POLICY_FETCH,
    ),
    Cause(
        code="policy-host-ipv6",  # D-45
        title="The policy host's IPv6 address is dead, or it has no IPv4",
        explanation="A sender that prefers IPv6 meets a dead AAAA; one without IPv6 finds nothing.",
        evidence_for="One sender fails every time while another succeeds; no reason given.",
        evidence_against="Both families answer 200.",
        steps=("Make both families answer, or remove the AAAA record of {policy_host}.",),
        party="policy-host",
        stage="policy",
        place="policy-host",
        policy_types=("sts",),
        verify=POLICY_FETCH_IPV6,
    ),
    Cause(
        code="policy-host-tls",  # D-45
        title="The policy host's TLS or HTTP settings shut some senders out",
        explanation="Only TLS 1.3, few ciphers, or only HTTP/2; or only TLS below 1.2.",
        evidence_for="One sender fails every time while others succeed; the reason names an alert or version.",
        evidence_against="curl with --tls-max 1.2 --http1.1 shows 200.",
        steps=("Allow TLS 1.2 beside 1.3, common ciphers and HTTP/1.1 at {policy_host}.",),
        party="policy-host",
        stage="policy",
        place="policy-host",
        policy_types=("sts",),
        verify=Verify(
            command=(
                "curl -sS --tls-max 1.2 --http1.1 -o /dev/null -w '%{http_code}\\n' "
                "https://{policy_host}/.well-known/mta-sts.txt"
            ),
            expected="'200'.",
        ),
    ),
    Cause(
        code="sts-record-invalid",  # S-64, D-30, D-31
        title="The _mta-sts record is wrong or there are two",
        explanation="A bad id (only letters and digits, 32 at most), two records, or a lookup that fails. "
        "Some senders report that as a fetch error.",
        evidence_for="The reason speaks of the record, of DNS or of syntax.",
        evidence_against="The policy's address is named in the reason.",
        steps=("Publish exactly one TXT record at _mta-sts.{domain}: v=STSv1; id= and letters and digits.",),
        party="dns",
        stage="dns",
        place="sts-record",
        policy_types=("sts",),
        verify=STS_RECORD,
    ),
    Cause(
        code="policy-syntax",  # D-35, D-36
        title="The policy text breaks the rules",
        explanation="A misspelt key counts as missing ('max-age', 'Mode', 'nmx'); blank lines, comments, a byte "
        "order mark or '=' for ':' make strict senders refuse it. LF and CRLF are both right.",
        evidence_for="All strict senders report it since the policy was changed; policy-string shows the line.",
        evidence_against="The reported policy text is in order: it may be an older one.",
        steps=(
            "Compare each key letter by letter with version: STSv1, mode:, mx: and max_age: (not max-age): one a line, "
            "nothing else.",
            "Then give the _mta-sts record a new id.",
        ),
        party="policy-host",
        stage="policy",
        place="policy-host",
        policy_types=("sts",),
        verify=POLICY_TEXT,
    ),
    Cause(
        code="policy-wrong-content",  # D-41
        title="A web page comes back instead of the policy",
        explanation="A static host or single-page app answers every path with its home page, or the media type is "
        "text/html. Some senders want text/plain.",
        evidence_for="policy-string begins with '<' or is empty; the reason speaks of the media type.",
        evidence_against="policy-string shows a policy.",
        steps=("Serve the file itself, as text/plain, and exempt its path from the app's catch-all.",),
        party="policy-host",
        stage="policy",
        place="policy-host",
        policy_types=("sts",),
        verify=POLICY_FETCH,
    ),
    Cause(
        code="policy-mx-lines",  # D-36, D-37
        title="The policy's mx: lines are missing or are no MX names",
        explanation="No mx: line though the mode is not none, several names in one line, a priority, an IP address, "
        "'*' alone or '.example.com'.",
        evidence_for="policy-string shows the mx: lines; mx-host in the report is empty.",
        evidence_against="mx-host in the report lists your MX names.",
        steps=("Write one mx: line for each MX name, or '*.' and a domain; then a new id.",),
        party="policy-host",
        stage="policy",
        place="policy-host",
        policy_types=("sts",),
        verify=MX_AGAINST_POLICY,
    ),
    Cause(
        code="policy-max-age",  # D-39
        title="max_age is out of range or no plain number",
        explanation="It is a count of seconds, 0 to 31557600; '7d' and '604800s' are invalid.",
        evidence_for="policy-string shows it.",
        evidence_against="max_age in policy-string is a plain number in range.",
        steps=("Write max_age: 604800 (a week) or more, up to 31557600; then a new id.",),
        party="policy-host",
        stage="policy",
        place="policy-host",
        policy_types=("sts",),
        verify=POLICY_TEXT,
    ),
    Cause(
        code="policy-too-large",  # D-46
        title="The policy is larger than senders read",
        explanation="Senders stop at about 64 KB.",
        evidence_for="The reason speaks of size, or of a body that was cut.",
        evidence_against="The file is small.",
        steps=("Replace long lists of mx: lines by '*.' patterns, and check that no web page is served instead.",),
        party="policy-host",
        stage="policy",
        place="policy-host",
        policy_types=("sts",),
        verify=POLICY_TEXT,
    ),
    # --- DANE ---------------------------------------------------------------------------------------------------
    Cause(
        code="tlsa-key-changed",  # D-50
        title="The key changed and the TLSA record did not",
        explanation="After a renewal with a new key no published record fits the certificate served. '3 0 1' breaks at "
        "every renewal, '3 1 1' at each with a new key. Postfix calls this certificate-not-trusted, "
        "mox and Stalwart validation-failure.",
        evidence_for="Policy type tlsa; all DANE senders since one day; records in policy-string fit an older key.",
        evidence_against="A record in policy-string fits the certificate served: the sender met another node.",
        steps=(
            "Publish the record of the key now in use beside the old one: 3 1 1 and the hash that the command prints.",
            "Remove the old record after two TTLs.",
            "Keep the key at renewals (reuse_key), or publish current and next, wait two TTLs, then switch.",
        ),
        party="dns",
        stage="certificate",
        place="tlsa-record",
        policy_types=("tlsa",),
        verify=TLSA_AGAINST_KEY,
    ),
    Cause(
        code="tlsa-unusable",  # D-52, T-08
        title="None of the TLSA records can be used",
        explanation="Usage 0 or 1, an unknown selector or matching type, or a hash of the wrong length. "
        "Senders then still demand TLS, but can't verify it.",
        evidence_for="policy-string shows only such records; the reason says unusable or invalid.",
        evidence_against="policy-string holds a well-formed '3 1 1' or '2 1 1' record.",
        steps=("Publish 3 1 1 with the SHA-256 of the public key of {mx}, and remove the unusable records.",),
        party="dns",
        stage="dns",
        place="tlsa-record",
        policy_types=("tlsa",),
        verify=TLSA_AGAINST_KEY,
    ),
    Cause(
        code="tlsa-wrong-data",  # D-51, D-53
        title="The TLSA record holds the hash of the wrong thing",
        explanation="The hash of nothing (e3b0c442...), of the PEM text, of the chain's second certificate, or of the "
        "RSA key while ECDSA is served. With usage 2: the CA is not in the chain sent, or another one.",
        evidence_for="It never worked since the record was published.",
        evidence_against="It worked before.",
        steps=(
            "Make the record anew from the certificate that is served, and compare.",
            "With usage 2: send the CA certificate in the chain, or change to 3 1 1.",
        ),
        party="dns",
        stage="certificate",
        place="tlsa-record",
        policy_types=("tlsa",),
        verify=TLSA_AGAINST_KEY,
    ),
    Cause(
        code="tlsa-lookup-failed",  # D-56
        title="The lookup of the TLSA record failed",
        explanation="Name servers that answer TLSA queries with SERVFAIL, or not at all, hold up mail even when no "
        "TLSA record is published.",
        evidence_for="The reason holds SERVFAIL, a time-out or an extended DNS error that is not about signatures.",
        evidence_against="policy-string shows records: the lookup worked.",
        steps=(
            "Ask every name server of the zone of {mx} for TLSA _25._tcp.{mx}; each must answer NOERROR or NXDOMAIN.",
            "Update or replace the name server, or the firewall in front of it, that does not.",
        ),
        party="dns",
        stage="dns",
        place="tlsa-record",
        policy_types=("tlsa",),
        passing=True,
        verify=TLSA_SECURE,
    ),
    Cause(
        code="signatures-expired",
        title="DNSSEC signatures have expired",
        explanation="The signer stopped, or a secondary server still serves an old zone.",
        evidence_for="All DANE senders since one day; the reason says signature expired.",
        evidence_against="The RRSIG's end date lies in the future on every server.",
        steps=(
            "Compare the RRSIG end dates with today, on every server: where they have passed, sign the zone anew and "
            "reload it. Where they have not, compare the DS at the parent with the zone's DNSKEY.",
            "Watch the RRSIG end dates, so that a signer that stops is noticed in time.",
        ),
        party="dns",
        stage="dns",
        place="tlsa-record",
        verify=DNSSEC_CHECK,
    ),
    Cause(
        code="ds-left-behind",
        title="The DS record does not belong to the keys in use",
        explanation="The zone moved to another DNS provider or changed keys, and the parent still lists the old DS.",
        evidence_for="All names of the zone fail since a move; the reason says DNSKEY missing or bogus.",
        evidence_against="Only one name in the zone is bogus.",
        steps=(
            "Remove the old DS at the registrar at once (the zone is then unsigned, and mail flows).",
            "When the zone is signed and stable, publish the new DS.",
        ),
        party="dns",
        stage="dns",
        place="tlsa-record",
        verify=DNSSEC_CHECK,
    ),
    Cause(
        code="denial-broken",  # D-56
        title="The name server proves non-existence wrongly",
        explanation="NSEC or NSEC3 answers for names that do not exist are bogus: senders can't tell that there is no "
        "TLSA record. A wildcard or an old name server is the usual reason.",
        evidence_for="No TLSA is published, yet DANE senders report dnssec-invalid; the reason says NSEC missing.",
        evidence_against="TLSA records exist and validate.",
        steps=("Update the name server or ask the DNS provider to mend its NSEC answers for _25._tcp.{mx}.",),
        party="dns",
        stage="dns",
        place="tlsa-record",
        verify=DNSSEC_CHECK,
    ),
    Cause(
        code="sender-resolver",
        title="The sender's own resolver failed",
        explanation="Its validating resolver was broken, had a wrong clock or an old root key.",
        evidence_for="One sender, while other DANE senders succeed on the same day.",
        evidence_against="Two or more senders report it.",
        steps=("Check that the zone validates from outside; if it does, nothing is wrong on your side.",),
        party="sender",
        stage="dns",
        place="sender",
        passing=True,
        verify=DNSSEC_CHECK,
    ),
    Cause(
        code="tlsa-missing",
        title="The sender demands DANE and this MX has no TLSA record",
        explanation="Demanding DANE is an agreement between the two sides (RFC 7672 section 6), not a fault of yours.",
        evidence_for="One sender only; no TLSA record at _25._tcp.{mx}.",
        evidence_against="The record exists and is signed.",
        steps=(
            "Ask the sender whether it means to demand DANE for your domain.",
            "If so: sign the zone of {mx} and publish 3 1 1 for every MX; else let the sender remove the rule.",
        ),
        party="sender",
        stage="dns",
        place="sender",
        verify=TLSA_SECURE,
    ),
    Cause(
        code="zone-unsigned",  # T-03, D-55
        title="The TLSA record stands in a zone that is not signed",
        explanation="Without DNSSEC on the zone of the MX host the record counts as absent.",
        evidence_for="The record exists; the answer lacks the 'ad' flag.",
        evidence_against="A validating resolver sets 'ad'.",
        steps=("Sign the zone of {mx} and publish its DS at the parent, or remove the TLSA record.",),
        party="dns",
        stage="dns",
        place="tlsa-record",
        verify=TLSA_SECURE,
    ),
    Cause(
        code="mx-answer-bogus",  # T-63
        title="The domain's MX answer does not validate",
        explanation="The recipient domain's own zone is bogus: senders that validate can't even learn the MX hosts.",
        evidence_for="An extended DNS error in the reason, no MX named, policy type no-policy-found.",
        evidence_against="The report names an MX host.",
        steps=("Mend DNSSEC of {domain}: sign anew, or remove a DS that does not belong to its keys.",),
        party="dns",
        stage="dns",
        place="domain",
        verify=DNSSEC_CHECK,
    ),
    # --- The sender ---------------------------------------------------------------------------------------------
    Cause(
        code="sender-requires-policy",
        title="The sender is set to demand an MTA-STS policy that it did not find",
        explanation="A rule on the sending side, not one that you published.",
        evidence_for="The reason says that MTA-STS is required; one sender.",
        evidence_against="Other senders report failures of a policy they hold.",
        steps=("If you publish a policy, check that it can be fetched; else tell the sender that you have none.",),
        party="sender",
        stage="policy",
        place="sender",
        verify=POLICY_FETCH,
    ),
    Cause(
        code="sender-fault",
        title="A fault on the sender's side",
        explanation="Its own TLS library, settings or network gave up.",
        evidence_for="One sender; the reason names a local fault.",
        evidence_against="Two or more senders report the same.",
        steps=("Watch. If it stays and the sender matters, write to the contact address in its reports.",),
        party="sender",
        stage="other",
        place="sender",
        passing=True,
    ),
)

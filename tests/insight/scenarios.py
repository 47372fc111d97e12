"""What may happen to a domain's mail, and what a right answer to it is: the table that incidents are held against.

Each scenario has a truth (`core.sample`), which its senders tell in their own words, with their own habits and delays,
and the story: what really happened, for people. Nothing here looks at the answers; test_scenarios.py compares.

`python -m tests.insight.scenarios FOLDER` writes what `tlsrpt incidents` says of each into FOLDER, for eyes that do not
know the stories, and the stories into a file of their own.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Literal

from click.testing import CliRunner
from msgspec import Struct, structs

from tlsrpt.cli.main import cli
from tlsrpt.core.causes import Party
from tlsrpt.core.limits import Limits
from tlsrpt.core.results import ConsequenceKind
from tlsrpt.core.sample import (
    PROFILES,
    Event,
    Form,
    Host,
    Policies,
    Profile,
    Row,
    Said,
    Site,
    StsPolicy,
    Truth,
    a_site,
    all_reports,
    look,
    tlsa_record,
    write,
)
from tlsrpt.insight.incident import Confidence, State
from tlsrpt.intake.door import open_document
from tlsrpt.store.rows import Prepared, prepare
from tlsrpt.store.sqlite import open_store
from tlsrpt.store.values import PROVEN, Arrival

TODAY = date(2026, 3, 18)  # a Wednesday
LAST = TODAY - timedelta(days=1)  # the last UTC day that can have been reported
DOMAIN, MX1, MX2 = "orchard.example", "mx1.orchard.example", "mx2.orchard.example"
POLICY_HOST = "mta-sts.orchard.example"


def back(days: int) -> date:
    """So many days before the last day that can have been reported."""
    return LAST - timedelta(days=days)


class Answer(Struct, frozen=True, kw_only=True):
    """What must be said of one incident. Tuples: any of these is right; empty ones: not asked."""

    headline: tuple[str, ...]  # words that must be in it
    place: str
    state: State = "open"
    party: tuple[Party, ...]
    confidence: tuple[Confidence, ...] = ()
    consequence: ConsequenceKind = "refused"
    cause: tuple[str, ...]
    step: str  # a word of the first one
    failed: int | None = None  # sessions
    domains: int | None = None  # how many
    first_seen: date | None = None
    last_seen: date | None = None
    earlier: int | None = None  # spells before the present one
    addresses: tuple[str, ...] = ()  # all that it names
    effects: tuple[tuple[ConsequenceKind, tuple[str, ...]], ...] = ()
    clues: tuple[str, ...] = ()  # words that must stand somewhere in its texts


class Scenario(Struct, frozen=True, kw_only=True):
    """One story, the reports on it, and the right answer: an entry for each incident, the worst first."""

    name: str
    story: str
    truth: Truth
    expected: tuple[Answer, ...] = ()
    says: tuple[str, ...] = ()  # words that must stand in what `tlsrpt incidents` prints
    days: int = 14  # that are reported on, up to LAST
    form: Form = "eml"
    proven: bool = True  # the mails' signatures hold
    more: tuple[Truth, ...] = ()  # whose reports come after those


# --- what reports there are ------------------------------------------------------------------------------------------


def arrivals(scenario: Scenario) -> Iterator[Arrival]:
    """The reports that have come by the end of TODAY, through the door, in the order in which they came."""
    for truth in (scenario.truth, *scenario.more):
        made = all_reports(truth, back(scenario.days - 1), LAST)
        for report in sorted(made, key=lambda each: each.sent_at):
            if report.sent_at.date() > TODAY:
                break
            arrival = open_document(
                write(report, scenario.form),
                source="scenario",
                file_name=report.file_name if scenario.form != "eml" else "",
                limits=Limits(),
                received_at=report.sent_at,
            )
            if scenario.proven:
                signed = tuple(structs.replace(each, dkim=PROVEN) for each in arrival.reports)
                arrival = structs.replace(arrival, reports=signed)
            yield arrival


def prepared(scenario: Scenario) -> list[Prepared]:
    return [prepare(arrival) for arrival in arrivals(scenario)]


def met(truth: Truth, first: date, last: date = LAST) -> int:
    """The sessions that met an event, over all senders: what is to be counted, once."""
    return sum(row.sessions for _, row in _rows_met(truth, first, last))


def hit(truth: Truth, first: date, last: date = LAST) -> int:
    """How many domains met an event."""
    return len({domain for domain, _ in _rows_met(truth, first, last)})


def _rows_met(truth: Truth, first: date, last: date) -> Iterator[tuple[str, Row]]:
    for offset in range((last - first).days + 1):
        for sender in truth.senders:
            for site in truth.sites:
                seen = look(truth, sender, site, first + timedelta(days=offset))
                yield from ((site.domain, row) for row in seen.rows if row.met)


def _senders(names: str) -> tuple[Profile, ...]:
    return tuple(PROFILES[name] for name in names.split())


BIG = "google microsoft mailru plain"
DANE = "google microsoft stalwart postfix mox"


def told(
    *events: Event,
    policies: Policies = "enforce",
    senders: str | tuple[Profile, ...] = BIG,
    sites: tuple[Site, ...] = (),
    daily: float = 200,
) -> Truth:
    """A truth of one domain with two MX hosts, unless sites are given."""
    sites = sites or (a_site(DOMAIN, LAST, policies=policies, daily=daily),)
    who = _senders(senders) if isinstance(senders, str) else senders
    return Truth(sites=sites, senders=who, events=events, since=back(60))


def at_mx2(kind: str, first: date, last: date | None = None, **more: Any) -> Event:
    return Event(kind=kind, first=first, last=last, hosts=(MX2,), **more)


def at_policy(kind: str, first: date, last: date | None = None, **more: Any) -> Event:
    return Event(kind=kind, first=first, last=last, **more)


def alone(policies: Policies = "enforce", *, ipv6: bool = True) -> Site:
    """The domain with one MX host."""
    site = a_site(DOMAIN, LAST, policies=policies, daily=200)
    host = structs.replace(site.hosts[1], ipv6=site.hosts[1].ipv6 if ipv6 else ())
    mode: Literal["testing", "enforce"] = "testing" if policies == "testing" else "enforce"
    sts = (StsPolicy(mode=mode, mx=(MX2,)),) if site.sts else ()
    return structs.replace(site, hosts=(host,), sts=sts)


def hosted(count: int, *, daily: float, mode: Literal["testing", "enforce"] = "enforce") -> tuple[Site, ...]:
    """Domains of a provider, all at the same two MX hosts."""
    hosts = (
        Host(name="mx1.hosting.example", ipv4=("198.51.100.11",)),
        Host(name="mx2.hosting.example", ipv4=("198.51.100.12",)),
    )
    policy = StsPolicy(mode=mode, mx=("*.hosting.example",))
    return tuple(
        Site(domain=f"customer{number}.example", hosts=hosts, sts=(policy,), daily=daily) for number in range(count)
    )


def a_sender(name: str, like: str = "plain", **changes: Any) -> Profile:
    """Another sender with the habits of one that is known."""
    domain = f"{name}.example"
    usual: dict[str, Any] = {
        "name": name,
        "share": 0.3,
        "organization_name": f"{name.capitalize()} Mail",
        "contact_info": f"tls-reports@{domain}",
        "submitter": domain,
    }
    return structs.replace(PROFILES[like], **{**usual, **changes})


# --- STARTTLS --------------------------------------------------------------------------------------------------------

_OFF = told(at_mx2("starttls-not-supported", back(4)), sites=(alone(),))
_OFF_BACKUP = told(at_mx2("starttls-not-supported", back(6)), policies="none", senders="google plain stalwart")
_REFUSED = told(at_mx2("starttls-refused", back(3), senders=("plain",), share=0.3), daily=400)
_STRIPPED = told(
    at_mx2("starttls-not-supported", back(5), helo="filter.firewall.example"),
    sites=(alone(),),
    senders=(PROFILES["google"], a_sender("parcel"), a_sender("courier")),
)
_IPV6 = told(at_mx2("starttls-not-supported", back(8), addresses=("2001:db8:25::2",)), senders="google plain stalwart")

STARTTLS = (
    Scenario(
        name="starttls-off",
        story="After an update the only MX host, mx2.orchard.example, could not read its key and has offered no STARTTLS "
        "since 2026-03-13. The MTA-STS policy is in enforce, so every sender that honours it delivers nothing.",
        truth=_OFF,
        expected=(
            Answer(
                headline=(MX2, "no TLS", "refused", DOMAIN),
                place=MX2,
                party=("mx",),
                confidence=("high",),
                cause=("starttls-off",),
                step="log",
                first_seen=back(4),
            ),
        ),
    ),
    Scenario(
        name="starttls-off-on-the-backup",
        story="The second MX host, mx2.orchard.example, has been without STARTTLS since 2026-03-11. The domain has no "
        "policy at all, so mail through that host is delivered in clear text.",
        truth=_OFF_BACKUP,
        expected=(
            Answer(
                headline=(MX2, "no TLS", "clear"),
                place=MX2,
                party=("mx",),
                confidence=("high",),
                consequence="delivered-clear",
                cause=("starttls-off-on-one-host",),
                step=MX2,
            ),
        ),
    ),
    Scenario(
        name="starttls-refused-to-one-sender",
        story="mx2.orchard.example answers STARTTLS with 454 whenever too many connections of one sender, plain.example, "
        "are open. Four days so far, a third of that sender's sessions there; nobody else meets it. Under enforce those "
        "mails wait and come later.",
        truth=_REFUSED,
        expected=(
            Answer(
                headline=("plain.example", MX2, "refuses STARTTLS", "delayed"),
                place=MX2,
                party=("mx",),
                confidence=("medium", "low"),
                consequence="delayed",
                cause=("starttls-refused",),
                step="log",
            ),
        ),
    ),
    Scenario(
        name="starttls-stripped-on-the-way",
        story="A new firewall in front of the only MX host answers SMTP itself, as filter.firewall.example, and leaves "
        "STARTTLS out of the EHLO reply, since 2026-03-12. The mail server itself is in order.",
        truth=_STRIPPED,
        expected=(
            Answer(
                headline=(MX2, "no TLS", "refused"),
                place=MX2,
                party=("network", "mx"),
                cause=("starttls-stripped",),
                step="EHLO",
                clues=("filter.firewall.example",),
            ),
        ),
    ),
    Scenario(
        name="starttls-missing-on-ipv6-only",
        story="The IPv6 address of mx2.orchard.example leads to an old machine without STARTTLS since 2026-03-09; over "
        "IPv4 all is well.",
        truth=_IPV6,
        expected=(
            Answer(
                headline=(MX2, "IPv6", "refused"),
                place=MX2,
                party=("mx",),
                cause=("starttls-off-on-one-host",),
                step="address",
                addresses=("2001:db8:25::2",),
            ),
        ),
    ),
)

# --- the certificate of the MX ---------------------------------------------------------------------------------------

_NODE = structs.replace(
    a_site(DOMAIN, LAST, daily=200),
    hosts=(
        Host(name=MX1, ipv4=("198.51.100.1",)),
        Host(name=MX2, ipv4=("198.51.100.2", "198.51.100.3", "198.51.100.4")),
    ),
)
_EXPIRED_300 = told(
    Event(kind="certificate-expired", first=back(1), hosts=("mx2.hosting.example",)),
    sites=hosted(300, daily=5),
    senders="google microsoft",
)
_SNI_LESS = (a_sender("parcel", says="sends no SNI"), a_sender("courier", says="sends no SNI"))

CERTIFICATE = (
    Scenario(
        name="expired-certificate-of-300-domains",
        story="The certificate of mx2.hosting.example, which serves 300 customers' domains, ran out on 2026-03-16 and was "
        "not renewed. One fault, one host.",
        truth=_EXPIRED_300,
        days=2,
        expected=(
            Answer(
                headline=("mx2.hosting.example", "expired", "refused", "other domains"),
                place="mx2.hosting.example",
                party=("mx",),
                confidence=("high",),
                cause=("renewed-not-reloaded", "renewal-stopped"),
                step="certificate",
                domains=hit(_EXPIRED_300, back(1)),
                first_seen=back(1),
            ),
        ),
    ),
    Scenario(
        name="one-node-with-the-old-certificate",
        story="Behind mx2.orchard.example stand three nodes. 198.51.100.4 was not reloaded after the renewal and has shown "
        "the expired certificate since 2026-03-08; the other two show the new one.",
        truth=told(at_mx2("certificate-expired", back(9), addresses=("198.51.100.4",)), sites=(_NODE,)),
        expected=(
            Answer(
                headline=(MX2, "expired", "refused"),
                place=MX2,
                party=("mx",),
                confidence=("high",),
                cause=("one-node-old-certificate", "renewed-not-reloaded"),
                step="certificate",
                addresses=("198.51.100.4",),
            ),
        ),
    ),
    Scenario(
        name="expired-on-ipv6-only",
        story="The machine behind the IPv6 address of mx2.orchard.example did not get the renewed certificate and shows "
        "one that expired on 2026-03-08; over IPv4 all is well.",
        truth=told(
            at_mx2("certificate-expired", back(9), addresses=("2001:db8:25::2",)), senders="google plain stalwart"
        ),
        expected=(
            Answer(
                headline=(MX2, "expired", "IPv6"),
                place=MX2,
                party=("mx",),
                cause=("one-node-old-certificate",),
                step="address",
                addresses=("2001:db8:25::2",),
            ),
        ),
    ),
    Scenario(
        name="expired-intermediate",
        story="mx2.orchard.example sends, beside its own good certificate, an intermediate that expired on 2026-03-11. "
        "Most senders find another path to a root; one, parcel.example, does not.",
        truth=told(
            at_mx2("certificate-expired", back(6), senders=("parcel",)),
            sites=(alone(),),
            senders=(*_senders(BIG), a_sender("parcel")),
        ),
        expected=(
            Answer(
                headline=("parcel.example", MX2, "expired"),
                place=MX2,
                party=("mx",),
                confidence=("low", "medium"),
                cause=("intermediate-expired",),
                step="chain",
            ),
        ),
    ),
    Scenario(
        name="expired-where-dane-is-content",
        story="The certificate of mx2.orchard.example expired on 2026-03-12. The domain has MTA-STS in enforce and DANE: "
        "senders that do DANE go by the key and deliver; Google, which does not, refuses. Microsoft lists the sessions "
        "under both, failed under MTA-STS.",
        truth=told(at_mx2("certificate-expired", back(5)), policies="both", senders=DANE, daily=400),
        expected=(
            Answer(
                headline=("google.com", MX2, "expired", "refused"),
                place=MX2,
                party=("mx",),
                confidence=("high",),
                cause=("renewed-not-reloaded", "renewal-stopped"),
                step="certificate",
            ),
        ),
    ),
    Scenario(
        name="vague-report-on-another-domain",
        story="mx2.hosting.example has shown an expired certificate since 2026-03-15. Google, which says so, sends mail only "
        "to customer0.example; Microsoft, which says only VALIDATION_FAILURE at that host, only to customer1.example.",
        truth=told(
            Event(kind="certificate-expired", first=back(2), hosts=("mx2.hosting.example",)),
            Event(kind="silent", first=back(60), domains=("customer1.example",), senders=("google",)),
            Event(kind="silent", first=back(60), domains=("customer0.example",), senders=("microsoft",)),
            sites=hosted(2, daily=100),
            senders="google microsoft",
        ),
        expected=(
            Answer(
                headline=("mx2.hosting.example", "expired", "refused"),
                place="mx2.hosting.example",
                party=("mx",),
                cause=("renewed-not-reloaded", "renewal-stopped"),
                step="certificate",
                domains=2,
            ),
        ),
    ),
    Scenario(
        name="name-missing-in-certificate",
        story="When mx2.orchard.example was added, nobody put its name into the certificate: it shows one for mx1 only, "
        "since 2026-03-10. Policy in enforce.",
        truth=told(at_mx2("certificate-host-mismatch", back(7)), senders="google mailru plain halon"),
        expected=(
            Answer(
                headline=(MX2, "another name", "refused"),
                place=MX2,
                party=("mx",),
                confidence=("high",),
                cause=("mx-name-not-in-certificate",),
                step=MX2,
            ),
        ),
    ),
    Scenario(
        name="mx-is-an-alias-of-a-provider",
        story="mx2.orchard.example is the owner's own name for a provider's host, which greets as in7.provider.example "
        "and shows the provider's certificate. So since the move on 2026-03-12.",
        truth=told(
            at_mx2("certificate-host-mismatch", back(5), helo="in7.provider.example"),
            sites=(alone(),),
            senders=(PROFILES["google"], a_sender("parcel"), a_sender("courier")),
        ),
        expected=(
            Answer(
                headline=(MX2, "another name", "refused"),
                place=MX2,
                party=("dns", "mx"),
                cause=("mx-is-alias",),
                step="provider",
                clues=("in7.provider.example",),
            ),
        ),
    ),
    Scenario(
        name="wrong-virtual-host-without-sni",
        story="mx2.orchard.example has several certificates. Asked with SNI it shows the right one; senders that send no "
        "SNI (parcel.example, courier.example) get that of another name, since 2026-03-09.",
        truth=told(
            at_mx2("certificate-host-mismatch", back(8), senders=("parcel", "courier")),
            sites=(alone(),),
            senders=(*_senders("google mailru"), *_SNI_LESS),
        ),
        expected=(
            Answer(
                headline=(MX2, "another name", "refused"),
                place=MX2,
                party=("mx",),
                cause=("wrong-virtual-host",),
                step="SNI",
            ),
        ),
    ),
    Scenario(
        name="self-signed",
        story="mx2.orchard.example was set up anew on 2026-03-13 and shows the self-signed certificate of its "
        "installation. Policy in enforce.",
        truth=told(at_mx2("certificate-self-signed", back(4)), senders="google mailru postfix plain", daily=400),
        expected=(
            Answer(
                headline=(MX2, "self-signed", "refused"),
                place=MX2,
                party=("mx",),
                confidence=("high",),
                cause=("self-signed",),
                step="public authority",
            ),
        ),
    ),
    Scenario(
        name="chain-incomplete",
        story="At the renewal of 2026-03-10 mx2.orchard.example lost the intermediate certificate. Policy in enforce.",
        truth=told(at_mx2("certificate-not-trusted", back(7)), senders="google mailru stalwart plain", daily=400),
        expected=(
            Answer(
                headline=(MX2, "refused"),
                place=MX2,
                party=("mx",),
                confidence=("high",),
                cause=("chain-incomplete",),
                step="chain",
            ),
        ),
    ),
    Scenario(
        name="sender-with-an-old-ca-store",
        story="Mail.ru's machines do not know the root of the certificate that mx2.orchard.example got on 2026-03-08. "
        "Everybody else verifies it. Nothing is wrong at the receiving side.",
        truth=told(
            Event(kind="old-ca-store", first=back(9), senders=("mailru",)),
            sites=(alone(),),
            senders="google microsoft mailru stalwart plain",
            daily=400,
        ),
        expected=(
            Answer(
                headline=("mail.ru", "this sender does not trust"),
                place=f"MX hosts of {DOMAIN}",
                party=("sender",),
                confidence=("medium",),
                cause=("sender-trust-store",),
                step="chain is complete",
            ),
        ),
    ),
    Scenario(
        name="one-cause-under-several-names",
        story="mx2.orchard.example shows a certificate for another name since 2026-03-10. Google and Mail.ru call it "
        "certificate-host-mismatch, Microsoft validation-failure, Stalwart certificate-not-trusted. One fault.",
        truth=told(at_mx2("certificate-host-mismatch", back(7)), senders="google microsoft mailru stalwart", daily=400),
        expected=(
            Answer(
                headline=(MX2, "another name", "refused"),
                place=MX2,
                party=("mx",),
                confidence=("high",),
                cause=("mx-name-not-in-certificate",),
                step="names",
            ),
        ),
    ),
)

# --- what has no name of its own -------------------------------------------------------------------------------------

_NEW_MX = Site(
    domain=DOMAIN,
    hosts=(Host(name=MX1, ipv4=("198.51.100.1",)), Host(name=MX2, ipv4=("198.51.100.2",), since=back(3))),
    sts=(StsPolicy(mode="enforce", mx=(MX1,)), StsPolicy(mode="enforce", mx=(MX1, MX2), since=back(4))),
    daily=200,
)
_PRETENDER = a_sender("parcel", names={"mx-not-in-policy": Said("certificate-host-mismatch")})

VALIDATION = (
    Scenario(
        name="mx-not-in-policy",
        story="mx2.orchard.example was added to the MX records on 2026-03-12 and not to the MTA-STS policy, which is in "
        "enforce. Google says validation-failure, Microsoft MX_HOSTS_MISMATCH without a host, parcel.example "
        "certificate-host-mismatch. One fault, at the policy.",
        truth=told(at_mx2("mx-not-in-policy", back(5)), senders=(*_senders("google microsoft stalwart"), _PRETENDER)),
        expected=(
            Answer(
                headline=("not listed in the MTA-STS policy", DOMAIN, "refused"),
                place=POLICY_HOST,
                party=("policy-host",),
                confidence=("high",),
                cause=("mx-not-in-policy",),
                step="MX records",
                clues=(MX2,),
            ),
        ),
    ),
    Scenario(
        name="mx-not-in-policy-testing",
        story="mx2.orchard.example was added to the MX records on 2026-03-12 and not to the MTA-STS policy. The policy is "
        "in testing, so mail flows; it would be refused under enforce.",
        truth=told(at_mx2("mx-not-in-policy", back(5)), policies="testing", senders="google microsoft"),
        expected=(
            Answer(
                headline=("not listed in the MTA-STS policy", "nobody verified"),
                place=POLICY_HOST,
                party=("policy-host",),
                consequence="delivered-unverified",
                cause=("mx-not-in-policy",),
                step="MX records",
            ),
        ),
    ),
    Scenario(
        name="old-policy-held-after-a-change-of-mx",
        story="mx2.orchard.example went into the policy on 2026-03-13 and into the MX records a day later: too soon. "
        "Google and Microsoft still apply the policy that they fetched before, which lists mx1 only. It will end when "
        "max_age has passed.",
        truth=told(
            Event(kind="stale-policy", first=back(3), senders=("google", "microsoft")),
            sites=(_NEW_MX,),
            senders="google microsoft mailru plain",
        ),
        expected=(
            Answer(
                headline=("older MTA-STS policy", DOMAIN, "refused"),
                place=POLICY_HOST,
                party=("policy-host", "sender"),
                cause=("policy-copy-old",),
                step="new id",
                clues=(MX2,),
            ),
        ),
    ),
    Scenario(
        name="no-tls-version-in-common",
        story="mx2.orchard.example speaks TLS 1.0 only, since a wrong change on 2026-03-12. Policy in enforce.",
        truth=told(at_mx2("protocol-version", back(5)), senders="google mailru plain halon"),
        expected=(
            Answer(
                headline=(MX2, "version", "refused"),
                place=MX2,
                party=("mx",),
                confidence=("high",),
                cause=("tls-version-or-cipher",),
                step="TLS 1.2",
            ),
        ),
    ),
    Scenario(
        name="handshake-alert-of-the-server",
        story="mx2.orchard.example got a key on 2026-03-13 that does not belong to its certificate: it breaks each "
        "handshake off with internal_error.",
        truth=told(at_mx2("handshake-alert", back(4)), senders="google microsoft mailru plain"),
        expected=(
            Answer(
                headline=(MX2, "handshake", "refused"),
                place=MX2,
                party=("mx",),
                confidence=("high",),
                cause=("tls-server-fault",),
                step="log",
            ),
        ),
    ),
    Scenario(
        name="validation-failure-without-a-reason",
        story="Only Google reports validation-failure at mx2.orchard.example, for a fifth of its sessions since "
        "2026-03-13, and gives no reason. (A load balancer resets some of its connections.) The policy lists the host. "
        "From reports alone nobody can know more.",
        truth=told(at_mx2("handshake-timeout", back(4), senders=("google",), share=0.2)),
        expected=(
            Answer(
                headline=("google.com", MX2, "fails"),
                place=MX2,
                party=("mx", "network", "unknown"),
                confidence=("low",),
                cause=("handshake-broken-off",),
                step="",
            ),
        ),
    ),
    Scenario(
        name="handshakes-time-out",
        story="mx2.orchard.example has been overloaded since 2026-03-14: a third of all TLS handshakes with it are not "
        "finished in time, whoever the sender is.",
        truth=told(at_mx2("handshake-timeout", back(3), share=0.3), senders="google mailru plain", daily=400),
        expected=(
            Answer(
                headline=(MX2, "handshake", "delayed"),
                place=MX2,
                party=("network", "mx"),
                consequence="delayed",
                cause=("handshake-broken-off",),
                step="",
            ),
        ),
    ),
    Scenario(
        name="one-sender-noise",
        story="On 2026-03-16 one TLS handshake of Google with mx2.orchard.example timed out, one of some two hundred. "
        "Nobody need act.",
        truth=told(at_mx2("handshake-timeout", back(1), back(1), senders=("google",), sessions=1)),
        expected=(
            Answer(
                headline=("google.com",),
                place=MX2,
                state="watch",
                party=("unknown", "network"),
                confidence=("low",),
                consequence="delayed",
                cause=("handshake-broken-off",),
                step="wait",
            ),
        ),
    ),
)

# --- the MTA-STS policy ----------------------------------------------------------------------------------------------


def _policy_fault(name: str, kind: str, story: str, answer: Answer, senders: str = BIG) -> Scenario:
    truth = told(at_policy(kind, back(5)), senders=senders, daily=400)
    return Scenario(name=name, story=story, truth=truth, expected=(answer,))


def _at_policy_host(*headline: str, cause: str, step: str, party: Party = "policy-host", **more: Any) -> Answer:
    return Answer(
        headline=headline,
        place=POLICY_HOST,
        party=(party,),
        consequence="delivered-unverified",
        cause=(cause,),
        step=step,
        **{"confidence": ("high",), **more},
    )


POLICY = (
    _policy_fault(
        "policy-file-missing",
        "policy-not-found",
        "At the move of a web site on 2026-03-12 the file .well-known/mta-sts.txt was lost: mta-sts.orchard.example "
        "answers 404. Mail is delivered as without MTA-STS.",
        _at_policy_host("no MTA-STS policy at", POLICY_HOST, cause="policy-file-missing", step=".well-known"),
    ),
    _policy_fault(
        "policy-redirected",
        "policy-redirected",
        "Since 2026-03-12 mta-sts.orchard.example redirects to www, which senders do not follow.",
        _at_policy_host("redirects", POLICY_HOST, cause="policy-redirected", step="200"),
    ),
    _policy_fault(
        "policy-behind-a-wall",
        "policy-forbidden",
        "A bot protection was put in front of mta-sts.orchard.example on 2026-03-12; it answers senders with 403.",
        _at_policy_host(POLICY_HOST, cause="policy-host-blocks", step="exempt"),
    ),
    _policy_fault(
        "policy-host-not-in-dns",
        "policy-host-no-dns",
        "The name mta-sts.orchard.example was deleted from DNS on 2026-03-12, the _mta-sts record was not.",
        _at_policy_host("not found in DNS", POLICY_HOST, cause="policy-host-not-in-dns", step="Publish", party="dns"),
    ),
    _policy_fault(
        "policy-host-times-out",
        "sts-policy-fetch-error",
        "The web server behind mta-sts.orchard.example has been overloaded since 2026-03-12 and answers nobody in time.",
        _at_policy_host(POLICY_HOST, "does not answer", cause="policy-host-unreachable", step="443"),
    ),
    Scenario(
        name="policy-fetch-noise",
        story="On 2026-03-16 Microsoft failed twice to fetch the policy of orchard.example, and never again. Nobody need "
        "act.",
        truth=told(at_policy("sts-policy-fetch-error", back(1), back(1), senders=("microsoft",), sessions=2)),
        expected=(
            Answer(
                headline=("microsoft.com", POLICY_HOST),
                place=POLICY_HOST,
                state="watch",
                party=("unknown", "network"),
                confidence=("low",),
                consequence="delivered-unverified",
                cause=("policy-host-unreachable", "policy-host-blocks", "policy-host-ipv6"),
                step="wait",
            ),
        ),
    ),
    Scenario(
        name="policy-fetch-fails-for-microsoft-only",
        story="Microsoft has been unable to fetch the policy of orchard.example since 2026-03-12, all others do: the IPv6 "
        "address of mta-sts.orchard.example is dead, or a wall keeps that sender out. Reports do not tell which.",
        truth=told(at_policy("sts-policy-fetch-error", back(5), senders=("microsoft",))),
        expected=(
            _at_policy_host(
                "microsoft.com",
                "can't be fetched",
                POLICY_HOST,
                cause="policy-host-blocks",
                step="exempt",
                confidence=("low", "medium"),
                clues=("IPv6", "google.com"),
            ),
        ),
    ),
    _policy_fault(
        "policy-with-a-syntax-fault",
        "sts-policy-invalid",
        "A key of the policy file of orchard.example was misspelt on 2026-03-12: max-age instead of max_age.",
        _at_policy_host(POLICY_HOST, "breaks the rules", cause="policy-syntax", step="version: STSv1"),
    ),
    _policy_fault(
        "policy-is-a-web-page",
        "policy-wrong-content",
        "Since a new web site on 2026-03-12 mta-sts.orchard.example answers every path with its home page.",
        _at_policy_host(POLICY_HOST, cause="policy-wrong-content", step="text/plain"),
    ),
    _policy_fault(
        "policy-host-certificate-expired",
        "sts-webpki-invalid",
        "The certificate of the web server mta-sts.orchard.example (not the MX's) expired on 2026-03-12. Stalwart calls "
        "it a fetch error, the others sts-webpki-invalid. One fault.",
        _at_policy_host(
            "certificate", "policy host", POLICY_HOST, "expired", cause="policy-certificate-expired", step="Renew"
        ),
        senders="google microsoft mailru stalwart",
    ),
    _policy_fault(
        "policy-host-certificate-for-another-name",
        "policy-certificate-name",
        "mta-sts.orchard.example moved to a shared web server on 2026-03-12 that has no certificate for its name.",
        _at_policy_host("certificate", POLICY_HOST, "another name", cause="policy-certificate-name", step="Issue"),
    ),
)

# --- DANE ------------------------------------------------------------------------------------------------------------

_TLSA_PLACE = f"_25._tcp.{MX2}"
_DANE_SITE = a_site(DOMAIN, LAST, policies="dane", daily=400)
_CA_RECORD = structs.replace(
    _DANE_SITE,
    hosts=(_DANE_SITE.hosts[0], structs.replace(_DANE_SITE.hosts[1], tlsa=(tlsa_record(MX2, "1 1 1"),))),
)
_BACKUP = "mx.backup.example"
_OTHER_ZONE = structs.replace(
    _DANE_SITE,
    hosts=(_DANE_SITE.hosts[0], structs.replace(_DANE_SITE.hosts[1], name=_BACKUP, tlsa=(tlsa_record(_BACKUP),))),
)
_BOTH = told(at_mx2("starttls-not-supported", back(4), back(1)), policies="both", senders="microsoft")
_INSISTS = a_sender("parcel", names={"dane-required": Said("dane-required")})

DANE_FAULTS = (
    Scenario(
        name="key-changed-without-a-second-tlsa-record",
        story="mx2.orchard.example got a new key on 2026-03-12; its TLSA record is still the old key's. Microsoft calls it "
        "tlsa-invalid, mox validation-failure, Postfix and Stalwart certificate-not-trusted. One fault.",
        truth=told(at_mx2("tlsa-mismatch", back(5)), policies="dane", senders=DANE, daily=400),
        expected=(
            Answer(
                headline=("no TLSA record", MX2, "fits", "refused"),
                place=_TLSA_PLACE,
                party=("dns", "mx"),
                confidence=("high",),
                cause=("tlsa-key-changed",),
                step="3 1 1",
                domains=1,
            ),
        ),
    ),
    Scenario(
        name="tlsa-record-of-an-unusable-kind",
        story="The TLSA record of mx2.orchard.example has usage 1, which means nothing for mail. So since it was published; "
        "reports have it for two weeks. Mail is delivered over TLS that nobody verified.",
        truth=told(
            Event(kind="tlsa-unusable", first=back(13), hosts=(MX2,)),
            sites=(_CA_RECORD,),
            senders="microsoft stalwart postfix mox",
        ),
        expected=(
            Answer(
                headline=("TLSA record", MX2, "can be used", "nobody verified"),
                place=_TLSA_PLACE,
                party=("dns",),
                confidence=("high",),
                consequence="delivered-unverified",
                cause=("tlsa-unusable",),
                step="3 1 1",
            ),
        ),
    ),
    Scenario(
        name="dnssec-signatures-expired",
        story="The second MX host, mx.backup.example, is in another zone, whose signer stopped: its signatures ran out on "
        "2026-03-13. Senders that do DANE keep the mail for that host and try again.",
        truth=told(
            Event(kind="dnssec-signature-expired", first=back(4), hosts=(_BACKUP,)),
            sites=(_OTHER_ZONE,),
            senders="microsoft stalwart mox",
        ),
        expected=(
            Answer(
                headline=("DNSSEC", "backup.example", "delayed"),
                place="backup.example",
                party=("dns",),
                confidence=("high",),
                consequence="delayed",
                cause=("signatures-expired",),
                step="Sign",
            ),
        ),
    ),
    Scenario(
        name="dnssec-of-the-whole-zone",
        story="The zone orchard.example, in which both MX hosts are, moved to another DNS provider on 2026-03-13, and the "
        "parent zone still has the old DS. All senders that do DANE keep the mail. One fault, in one zone.",
        truth=told(
            Event(kind="dnssec-invalid", first=back(4)), policies="dane", senders="microsoft stalwart plain", daily=400
        ),
        expected=(
            Answer(
                headline=("DNSSEC", DOMAIN, "delayed"),
                place=DOMAIN,
                party=("dns",),
                confidence=("high",),
                consequence="delayed",
                cause=("signatures-expired", "ds-left-behind"),
                step="",
            ),
        ),
    ),
    Scenario(
        name="dnssec-of-one-sender-s-resolver",
        story="The resolver of parcel.example had a wrong clock for three days up to 2026-03-17 and took good DNSSEC "
        "signatures for bogus. Microsoft and others validate the same names.",
        truth=told(
            Event(kind="dnssec-invalid", first=back(2), senders=("parcel",)),
            sites=(alone("dane"),),
            senders=(*_senders("microsoft stalwart"), a_sender("parcel")),
        ),
        expected=(
            Answer(
                headline=("parcel.example", "DNSSEC", MX2),
                place="",
                party=("sender",),
                confidence=("medium", "low"),
                consequence="delayed",
                cause=("sender-resolver",),
                step="validates",
            ),
        ),
    ),
    Scenario(
        name="sender-demands-dane",
        story="parcel.example has a rule to deliver to orchard.example only with DANE, which this domain does not offer. "
        "Nobody else is concerned; nothing is broken.",
        truth=told(
            Event(kind="dane-required", first=back(9), senders=("parcel",)),
            sites=(alone(),),
            senders=(*_senders("google microsoft"), _INSISTS),
        ),
        expected=(
            Answer(
                headline=("parcel.example", "DANE", "demands"),
                place="parcel.example",
                party=("sender",),
                confidence=("medium", "high"),
                cause=("tlsa-missing",),
                step="Ask the sender",
            ),
        ),
    ),
    Scenario(
        name="same-sessions-under-two-policies",
        story="mx2.orchard.example offered no STARTTLS from 2026-03-13 to 2026-03-16. The domain has MTA-STS and DANE, and "
        "Microsoft lists the same sessions under both (F-31): each failed once.",
        truth=_BOTH,
        expected=(
            Answer(
                headline=(MX2, "no TLS", "refused"),
                place=MX2,
                party=("mx",),
                cause=("starttls-off-on-one-host",),
                step=MX2,
                failed=met(_BOTH, back(4), back(1)),
            ),
        ),
    ),
)

# --- time ------------------------------------------------------------------------------------------------------------

_SILENCED = told(
    at_mx2("certificate-expired", back(9)),
    Event(kind="silent", first=back(6)),
    senders="google plain",
)
_LATE = (
    at_mx2("certificate-expired", back(9), back(2)),
    Event(kind="late", first=back(1), days_late=6),
)
_MENDED = at_mx2("certificate-expired", back(12), back(9))
_AGAIN = (
    at_mx2("certificate-expired", back(44), back(41)),
    at_mx2("certificate-expired", back(2)),
)
_EXPIRED = Answer(
    headline=(MX2, "expired"),
    place=MX2,
    party=("mx",),
    confidence=("high",),
    cause=("renewed-not-reloaded", "renewal-stopped", "one-node-old-certificate"),
    step="",
)

TIME = (
    Scenario(
        name="mended-but-reports-are-late",
        story="The certificate of mx2.orchard.example was expired from 2026-03-08 and was renewed on 2026-03-16. The reports "
        "on the days since then have not come yet, so nobody can tell from reports that it is over.",
        truth=told(*_LATE),
        expected=(
            structs.replace(_EXPIRED, first_seen=back(9), last_seen=back(2), clues=("a day late", "2026-03-15")),
        ),
    ),
    Scenario(
        name="mended-yesterday",
        story="The certificate of mx2.orchard.example was expired from 2026-03-08 and was renewed at the end of 2026-03-16. "
        "One reported day without failures is too little to call it over.",
        truth=told(at_mx2("certificate-expired", back(9), back(1))),
        expected=(structs.replace(_EXPIRED, last_seen=back(1)),),
    ),
    Scenario(
        name="mended-a-week-ago",
        story="The certificate of mx2.orchard.example was expired from 2026-03-05 to 2026-03-08 and was then renewed. Since "
        "then all senders verify it.",
        truth=told(_MENDED),
        expected=(
            structs.replace(
                _EXPIRED, headline=(MX2, "expired", "no longer"), state="quiet", last_seen=back(9), step="Nothing to do"
            ),
        ),
    ),
    Scenario(
        name="late-report-of-an-old-day",
        story="The certificate of mx2.orchard.example was expired from 2026-03-05 to 2026-03-08 and was then renewed. "
        "Microsoft's reports on those days came only on 2026-03-17: they tell of the old days and nothing new.",
        truth=told(_MENDED, Event(kind="late", first=back(12), last=back(9), senders=("microsoft",), days_late=8)),
        expected=(
            structs.replace(
                _EXPIRED, headline=(MX2, "expired", "no longer"), state="quiet", last_seen=back(9), step="Nothing to do"
            ),
        ),
    ),
    Scenario(
        name="senders-fell-silent",
        story="mx2.orchard.example has shown an expired certificate since 2026-03-08. Both senders that reported it have sent "
        "no report about any day since 2026-03-11. Nobody can tell whether it goes on.",
        truth=_SILENCED,
        expected=(structs.replace(_EXPIRED, state="unknown", last_seen=back(7), clues=("nobody can tell",)),),
    ),
    Scenario(
        name="recurring-fault",
        story="The certificate of mx2.orchard.example expired in the beginning of February, was renewed after four days, and "
        "again it was not replaced in time on 2026-03-15: the renewal does not work by itself.",
        truth=told(*_AGAIN, sites=(alone(),), senders="google microsoft plain"),
        days=50,
        expected=(structs.replace(_EXPIRED, earlier=1, last_seen=LAST),),
    ),
)

# --- who, how much, and nothing --------------------------------------------------------------------------------------

_SHARED = (
    Site(
        domain="strict.example",
        hosts=hosted(1, daily=1)[0].hosts,
        sts=(StsPolicy(mode="enforce", mx=("*.hosting.example",)),),
        daily=80,
    ),
    Site(
        domain="trying.example",
        hosts=hosted(1, daily=1)[0].hosts,
        sts=(StsPolicy(mode="testing", mx=("*.hosting.example",)),),
        daily=400,
    ),
)
_PROVIDER = told(
    Event(kind="certificate-host-mismatch", first=LAST, hosts=("mx2.hosting.example",)),
    sites=hosted(2000, daily=4),
    senders="google",
)
_ODD = a_sender("parcel", names={"certificate-expired": Said("chain-of-trust-broken", "code 17 in module 4")})
_TERSE = a_sender("parcel", max_details=0)
_EVIL = a_sender(
    "parcel",
    organization_name="\x1b[31mParcel\x07\r\nSubject: {mx}\u202e",
    contact_info=None,
    names={"certificate-expired": Said("certificate-expired", "\x1b]0;owned\x07{{domain}} {{ip}} `reboot`\n\n# fine")},
)
_EVIL_HOST = "mx\x1b[2J{ip}.orchard.example\n; rm -rf /"
_EVIL_SITE = Site(
    domain=DOMAIN,
    hosts=(Host(name=MX1, ipv4=("198.51.100.1",)), Host(name=_EVIL_HOST, ipv4=("\x1b[5m198.51.100.2",))),
    sts=(StsPolicy(mode="enforce", mx=(MX1, _EVIL_HOST)),),
    daily=100,
)
_TWICE = told(at_mx2("certificate-expired", back(3), back(1)), senders="plain", daily=2000)

OTHER = (
    Scenario(
        name="testing-beside-enforce",
        story="mx2.hosting.example has shown a certificate for another name since 2026-03-12. Mail to strict.example "
        "(enforce) is refused there, mail to trying.example (testing) is delivered unverified. One fault.",
        truth=told(
            Event(kind="certificate-host-mismatch", first=back(5), hosts=("mx2.hosting.example",)),
            sites=_SHARED,
            senders="google mailru plain",
        ),
        expected=(
            Answer(
                headline=("mx2.hosting.example", "another name", "refused"),
                place="mx2.hosting.example",
                party=("mx",),
                confidence=("high",),
                cause=("mx-name-not-in-certificate",),
                step="mx2.hosting.example",
                domains=2,
                effects=(("refused", ("strict.example",)), ("delivered-unverified", ("trying.example",))),
            ),
        ),
    ),
    Scenario(
        name="expired-under-testing",
        story="The certificate of mx2.orchard.example expired on 2026-03-13. The policy is in testing: mail is delivered, to "
        "a server that nobody verified.",
        truth=told(at_mx2("certificate-expired", back(4)), policies="testing", senders="google mailru plain"),
        expected=(
            structs.replace(_EXPIRED, headline=(MX2, "expired", "nobody verified"), consequence="delivered-unverified"),
        ),
    ),
    Scenario(
        name="a-provider-of-2000-domains",
        story="mx2.hosting.example, which serves 2,000 domains, has shown a certificate for another name since 2026-03-17. "
        "Google alone has reported on that day so far.",
        truth=_PROVIDER,
        days=1,
        expected=(
            Answer(
                headline=("mx2.hosting.example", "another name", "other domains", "refused"),
                place="mx2.hosting.example",
                party=("mx",),
                cause=("mx-name-not-in-certificate",),
                step="mx2.hosting.example",
                domains=hit(_PROVIDER, LAST),
                failed=met(_PROVIDER, LAST),
            ),
        ),
    ),
    Scenario(
        name="two-causes-at-one-host",
        story="Two things are wrong at mx2.orchard.example: its certificate expired on 2026-03-11, and since 2026-03-15 the "
        "machine behind its IPv6 address offers no STARTTLS.",
        truth=told(
            at_mx2("certificate-expired", back(6)),
            at_mx2("starttls-not-supported", back(2), addresses=("2001:db8:25::2",)),
            senders="google plain stalwart",
        ),
        expected=(
            structs.replace(_EXPIRED, headline=(MX2, "expired", "refused")),
            Answer(
                headline=(MX2, "no TLS", "IPv6"),
                place=MX2,
                party=("mx",),
                cause=("starttls-off-on-one-host",),
                step="address",
            ),
        ),
    ),
    Scenario(
        name="unknown-result-type",
        story="parcel.example reports a result type that is registered nowhere, chain-of-trust-broken, at "
        "mx2.orchard.example since 2026-03-13. Only parcel.example can say what it means.",
        truth=told(
            at_mx2("certificate-expired", back(4), senders=("parcel",)), senders=(*_senders("google microsoft"), _ODD)
        ),
        expected=(
            Answer(
                headline=("parcel.example", MX2, "chain-of-trust-broken"),
                place=MX2,
                party=("unknown", "sender"),
                confidence=("low", "medium"),
                cause=("unknown",),
                step="Ask the sender",
            ),
        ),
    ),
    Scenario(
        name="failures-without-details",
        story="parcel.example counts failed sessions to orchard.example since 2026-03-13 and lists no details: neither "
        "where nor why. (The certificate of mx2 is expired.) Nobody else fails.",
        truth=told(
            at_mx2("certificate-expired", back(4), senders=("parcel",)), senders=(*_senders("google mailru"), _TERSE)
        ),
        expected=(
            Answer(
                headline=("parcel.example", DOMAIN, "without saying how"),
                place=f"MX hosts of {DOMAIN}",
                party=("unknown",),
                confidence=("low",),
                cause=("unknown",),
                step="Ask the sender",
            ),
        ),
    ),
    Scenario(
        name="a-hostile-report",
        story="A sender puts terminal escapes, line ends and shell commands into every field. What it says is that some "
        "MX host of orchard.example shows an expired certificate since 2026-03-14; nobody else reports.",
        truth=told(
            Event(kind="certificate-expired", first=back(3), hosts=(_EVIL_HOST,)), sites=(_EVIL_SITE,), senders=(_EVIL,)
        ),
        form="json",
        proven=False,
        expected=(
            Answer(
                headline=("expired", "refused"),
                place="",
                party=("mx",),
                confidence=("low", "medium"),
                cause=("renewed-not-reloaded", "renewal-stopped", "one-node-old-certificate"),
                step="",
            ),
        ),
    ),
    Scenario(
        name="a-conflict-and-nothing-proven",
        story="plain.example's reports of 2026-03-14 to 2026-03-16 came twice with other figures under the same id, none "
        "signed. The first of each counts: mx2.orchard.example had an expired certificate. Another may have written any.",
        truth=_TWICE,
        more=(structs.replace(_TWICE, seed=2),),
        proven=False,
        expected=(
            structs.replace(
                _EXPIRED, confidence=("low", "medium"), failed=met(_TWICE, back(3), back(1)), last_seen=back(1)
            ),
        ),
    ),
)

NOTHING = ("Nothing is wrong", "failed")
NOTHING_WRONG = (
    Scenario(
        name="no-failures",
        story="All is well: MTA-STS in enforce, every session verified by every sender.",
        truth=told(),
        says=NOTHING,
    ),
    Scenario(
        name="no-policy-and-no-failures",
        story="The domain has neither MTA-STS nor DANE. Senders report only no-policy-found sessions, all over TLS.",
        truth=told(policies="none", senders="google plain stalwart"),
        says=NOTHING,
    ),
    Scenario(
        name="reports-about-report-mails",
        story="Two reporting servers keep each other going: the only session a day is the one that carries the report on "
        "the day before. No failure, no fault.",
        truth=told(
            Event(kind="report-loop", first=back(60)),
            policies="none",
            senders=(a_sender("parcel", like="stalwart"), a_sender("courier", like="postfix")),
        ),
        says=NOTHING,
    ),
    Scenario(
        name="dane-and-mta-sts-in-order",
        story="MTA-STS in enforce and DANE, both healthy; five senders, each in its own way.",
        truth=told(policies="both", senders=DANE),
        says=NOTHING,
    ),
    Scenario(
        name="one-sender-fell-silent-in-health",
        story="All is well. Mail.ru has sent no report since 2026-03-09, which is no failure.",
        truth=told(Event(kind="silent", first=back(8), senders=("mailru",))),
        says=NOTHING,
    ),
)

SCENARIOS: tuple[Scenario, ...] = (
    *STARTTLS,
    *CERTIFICATE,
    *VALIDATION,
    *POLICY,
    *DANE_FAULTS,
    *TIME,
    *OTHER,
    *NOTHING_WRONG,
)


# --- the texts, for eyes that do not know the stories ----------------------------------------------------------------


def fill_store(scenario: Scenario, path: Path) -> None:
    """Keep all reports of a scenario in the store at a path; it is made if there is none."""
    with open_store(str(path), create=True) as store:
        store.keep(prepared(scenario))


def says(path: Path, *args: str) -> str:
    """What `tlsrpt incidents` prints on a store, seen from TODAY."""
    result = CliRunner().invoke(cli, ["incidents", *args, "--store", str(path), "--today", str(TODAY)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def _ids(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in says(path, "--json").splitlines()]


def _dump(folder: Path) -> None:
    """A file for each scenario, without its name, and the stories apart."""
    folder.mkdir(parents=True)
    stories = []
    for number, scenario in enumerate(SCENARIOS, 1):
        path = folder / f"{number:02}.db"
        fill_store(scenario, path)
        text = f"$ tlsrpt incidents --today {TODAY}\n{says(path)}"
        for id_ in _ids(path):
            text += f"\n$ tlsrpt incidents {id_} --today {TODAY}\n{says(path, id_)}"
        (folder / f"{number:02}.txt").write_text(text)
        stories.append(f"{number:02} {scenario.name}\n   {scenario.story}\n")
        path.unlink()
    (folder / "stories.txt").write_text("\n".join(stories))


if __name__ == "__main__":
    _dump(Path(sys.argv[1]))

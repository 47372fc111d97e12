"""`record check`: what a person would ask of a domain's record, asked of a name server on the loopback."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping, Sequence

import pytest

from tests.nameserver import Habits, name_server, txt
from tlsrpt.check.https import anywhere, is_public
from tlsrpt.check.record import RecordCheck, check_record, check_record_only
from tlsrpt.check.surroundings import Surroundings
from tlsrpt.dns.exchange import Exchange, Patience, Server
from tlsrpt.dns.resolver import Resolver

NAME = "_smtp._tls.example.com"
RECORD = "v=TLSRPTv1; rua=mailto:tls@example.com"
Zone = Mapping[str, Mapping[str, Sequence[str]]]
AROUND: dict[str, dict[str, list[str]]] = {
    "example.com": {
        "SOA": ["ns1.example.com. h.example.com. 1 3600 600 86400 300"],
        "NS": ["ns1.example.com."],
        "MX": ["10 mx1.example.com."],
    },
    "ns1.example.com": {"A": ["127.0.0.1"]},
    "mx1.example.com": {"A": ["192.0.2.25"]},
    "reports.example.net": {"MX": ["10 mx.reports.example.net."], "A": ["192.0.2.1"]},
    "mx.reports.example.net": {"A": ["192.0.2.26"]},
}
QUICK = Patience(tries_s=(0.2, 0.4))


def check(zone: Zone, habits: Habits | None = None, domain: str = "example.com", *, only: bool = False) -> RecordCheck:
    whole = {**AROUND, **zone}
    with name_server(whole, habits or Habits(authoritative=True)) as server:

        async def run() -> RecordCheck:
            with Exchange() as exchange:
                resolver = Resolver(exchange, [Server("127.0.0.1", server.port)], patience=QUICK)
                if only:
                    return await check_record_only(resolver, domain)
                around = Surroundings(trust=ssl.create_default_context(), authority_port=server.port)
                return await check_record(resolver, domain, around)

        return asyncio.run(run())


def codes(result: RecordCheck, *severities: str) -> list[str]:
    wanted = severities or ("warning", "error")
    return [finding.code for finding in result.findings if finding.severity in wanted]


def at(name: str, *texts: str) -> dict[str, dict[str, list[str]]]:
    return {name: {"TXT": [txt(text) for text in texts]}}


def test_a_good_record_needs_nothing() -> None:
    """Verdict ok, found, every server asked and agreed, exit code 0."""
    result = check(at(NAME, RECORD))
    assert (result.verdict, result.found, result.input, result.corrected) == ("ok", True, (RECORD,), None)
    assert codes(result) == []
    assert result.exit_code == 0
    assert [(server.role, server.status, server.texts) for server in result.servers] == [
        ("resolver", "answer", (RECORD,)),
        ("authoritative", "answer", (RECORD,)),
    ]


@pytest.mark.parametrize(
    ("zone", "code", "place"),
    [
        pytest.param(at("_smtp_tls.example.com", RECORD), "wrong-name", "_smtp_tls.example.com", id="D-01 underscore"),
        pytest.param(at("_tls._smtp.example.com", RECORD), "wrong-name", "_tls._smtp.example.com", id="D-01 swapped"),
        pytest.param(at("_tlsrpt.example.com", RECORD), "wrong-name", "_tlsrpt.example.com", id="D-01 invented"),
        pytest.param(at("_smtp-tlsrpt.example.com", RECORD), "wrong-name", "_smtp-tlsrpt.example.com", id="D-01 draft"),
        pytest.param(
            at("_smtp._tlsrpt.example.com", RECORD), "wrong-name", "_smtp._tlsrpt.example.com", id="D-01 mixed"
        ),
        pytest.param(at("_smtp-tls.example.com", RECORD), "wrong-name", "_smtp-tls.example.com", id="D-01 hyphen"),
        pytest.param(
            at(f"{NAME}.example.com", RECORD), "zone-appended-twice", f"{NAME}.example.com", id="D-02 zone twice"
        ),
        pytest.param(at("mx1.example.com", RECORD), "wrong-name", "mx1.example.com", id="D-05 MX host"),
        pytest.param(at("_smtp._tls.mx1.example.com", RECORD), "at-mx-host", "_smtp._tls.mx1.example.com", id="D-05"),
        pytest.param(
            at("_smtp._tls.mail.example.com", RECORD), "at-mx-host", "_smtp._tls.mail.example.com", id="D-01 mail"
        ),
    ],
)
def test_a_record_at_a_wrong_name_is_found_there(zone: Zone, code: str, place: str) -> None:
    """D-01 to D-05: no sender looks there; say where it is and where it belongs."""
    result = check(zone)
    assert (result.verdict, result.found, result.corrected) == ("ignored", True, RECORD)
    finding = next(finding for finding in result.findings if finding.code == code)
    assert finding.where == place
    assert place in finding.message
    assert NAME in finding.fix
    assert "record-missing" not in codes(result)


def test_a_record_at_the_bare_domain_is_found_there() -> None:
    """D-03."""
    zone = {"example.com": {**AROUND["example.com"], "TXT": [txt("v=spf1 -all"), txt(RECORD)]}}
    result = check(zone)
    assert (result.verdict, result.input, result.corrected) == ("ignored", (RECORD,), RECORD)
    assert "at-bare-domain" in codes(result)


def test_a_broken_record_at_a_wrong_name_is_mended_too() -> None:
    result = check(at("_tlsrpt.example.com", "v=TLSRPTv1, rua=mailto:tls@example.com"))
    assert result.corrected == RECORD
    assert {"wrong-name", "comma-after-version"} <= set(codes(result))


def test_records_of_other_standards_are_not_taken_for_ours() -> None:
    zone = {
        **at("_dmarc.example.com", "v=DMARC1; p=none; rua=mailto:d@example.com"),
        **at("_mta-sts.example.com", "v=STSv1; id=1"),
    }
    assert codes(check(zone)) == ["record-missing"]


def test_never_published_is_not_published_wrongly() -> None:
    """`found` tells them apart; both are `ignored` by senders. An address is never invented."""
    result = check({})
    assert (result.verdict, result.found, result.corrected, result.exit_code) == ("ignored", False, None, 1)
    assert codes(result) == ["record-missing"]


def test_a_wildcard_is_no_record() -> None:
    """D-25: the answer is the wildcard's, often SPF."""
    result = check(at("*.example.com", "v=spf1 -all"))
    assert (result.verdict, result.found) == ("ignored", False)
    assert "wildcard-answers" in codes(result)


def test_a_cname_is_followed_and_its_owner_named() -> None:
    """D-24."""
    target = "example-com.tlsrpt.reports.example.net"
    zone = {NAME: {"CNAME": [target + "."]}, **at(target, RECORD)}
    result = check(zone)
    assert (result.verdict, result.cname, codes(result)) == ("ok", (target,), [])


def test_a_dangling_cname_is_no_record() -> None:
    """D-24: and it was published, by somebody else's default."""
    target = "gone.reports.example.net"
    result = check({NAME: {"CNAME": [target + "."]}})
    assert (result.verdict, result.found) == ("ignored", True)
    finding = next(finding for finding in result.findings if finding.code == "cname-dangling")
    assert target in finding.message


@pytest.mark.parametrize("only", [False, True])
def test_what_dns_could_not_tell_is_unknown(only: bool) -> None:
    """R3-23: SERVFAIL is not "no record"; exit code 3."""
    result = check({}, Habits(rcodes={NAME: "SERVFAIL"}), only=only)
    assert (result.verdict, result.found, result.exit_code) == ("unknown", None, 3)


def test_bogus_is_named() -> None:
    result = check(at(NAME, RECORD), Habits(bogus={NAME}))
    assert (result.verdict, result.dnssec) == ("unknown", "bogus")
    assert codes(result)[0] == "dnssec-bogus"


@pytest.mark.parametrize(
    ("mailbox", "code"),
    [
        pytest.param({"MX": ["0 ."]}, "mailbox-null-mx", id="null MX"),
        pytest.param({"TXT": ['"x"']}, "mailbox-without-mx", id="neither MX nor address"),
        pytest.param({"MX": ["10 nowhere.example.net."]}, "mailbox-mx-without-address", id="MX host is gone"),
    ],
)
def test_a_mailbox_that_can_not_take_mail_is_said_beside_the_verdict(mailbox: dict[str, list[str]], code: str) -> None:
    """D-26; the verdict speaks of the record alone."""
    zone = {**at(NAME, "v=TLSRPTv1; rua=mailto:tls@lost.example.net"), "lost.example.net": mailbox}
    result = check(zone)
    assert (result.verdict, result.exit_code) == ("ok", 1)
    assert codes(result) == [code]


def test_a_mailbox_at_no_domain_is_said() -> None:
    assert codes(check(at(NAME, "v=TLSRPTv1; rua=mailto:tls@nowhere.example.org"))) == ["mailbox-no-domain"]


def test_a_mailbox_may_be_anywhere_mail_goes() -> None:
    """D-85: another domain is fine; N-03: an address without MX, too."""
    assert codes(check(at(NAME, "v=TLSRPTv1; rua=mailto:tls@reports.example.net,mailto:tls@mx1.example.com"))) == []


def test_microsoft_serves_only_the_first() -> None:
    result = check(at(NAME, f"{RECORD},mailto:second@reports.example.net"))
    assert (result.verdict, result.exit_code) == ("ok", 0)
    assert "microsoft-first-rua-only" in codes(result, "info")


def test_an_endpoint_at_a_private_address_is_not_connected_to() -> None:
    """R7-08: whoever writes the record chooses the host."""
    zone = {**at(NAME, "v=TLSRPTv1; rua=https://inside.example.com/tlsrpt"), "inside.example.com": {"A": ["10.0.0.1"]}}
    result = check(zone)
    assert codes(result) == ["endpoint-not-public"]
    assert result.verdict == "ok"


def test_a_short_ttl_is_noted() -> None:
    """R7-06."""
    result = check(at(NAME, RECORD), Habits(authoritative=True, ttl=300))
    assert codes(result, "info") == ["ttl-short"]
    assert (result.ttl, result.exit_code) == (300, 0)


def test_a_signed_record_is_secure_by_the_resolvers_word() -> None:
    result = check(at(NAME, RECORD), Habits(authoritative=True, authentic=True, ttl=300))
    assert (result.dnssec, codes(result, "info")) == ("secure", [])


def test_a_null_mx_domain_needs_no_record() -> None:
    """N-01: nothing will ever be sent to it."""
    zone = {"example.com": {**AROUND["example.com"], "MX": ["0 ."]}}
    result = check(zone)
    assert (result.found, result.exit_code) == (False, 0)
    assert "domain-null-mx" in codes(result, "info")


def test_a_domain_that_does_not_exist_is_said() -> None:
    assert "domain-not-found" in codes(check({}, domain="exmaple.org"))


def test_there_is_no_inheritance() -> None:
    """D-04: unlike DMARC."""
    zone = {**at(NAME, RECORD), "news.example.com": {"MX": ["10 mx1.example.com."]}}
    result = check(zone, domain="news.example.com")
    assert (result.found, codes(result), codes(result, "info")) == (False, ["record-missing"], ["not-inherited"])


def test_an_empty_name_that_is_denied_is_said() -> None:
    """D-29: resolvers that minimise names stop there."""
    result = check(at(NAME, RECORD), Habits(authoritative=True, rcodes={"_tls.example.com": "NXDOMAIN"}))
    assert codes(result) == ["empty-name-denied"]


def test_an_mx_host_with_dane_and_no_record_of_its_own_is_mentioned() -> None:
    """D-05: some senders report on DANE to the MX host's name, too."""
    zone = {**at(NAME, RECORD), "_25._tcp.mx1.example.com": {"TLSA": ["3 1 1 " + "ab" * 32]}}
    signed = Habits(authoritative=True, authentic=True)
    assert codes(check(zone, signed), "info") == ["mx-host-without-record"]
    assert codes(check(zone), "info") == []  # not validated: as if there were none (T-03)
    broken = {**zone, **at("_smtp._tls.mx1.example.com", "v=TLSRPTv1")}
    assert codes(check(broken, signed)) == ["mx-host-record-broken"]


def two_servers(first: Zone, second: Zone, second_habits: Habits | None = None) -> RecordCheck:
    """A zone whose two servers hold different things; the resolver asks the first."""
    ns = {"example.com": {**AROUND["example.com"], "NS": ["ns1.example.com.", "ns2.example.com."]}}
    where = {"ns2.example.com": {"A": ["127.0.0.2"]}}
    with name_server({**AROUND, **ns, **where, **first}, Habits(authoritative=True)) as one:
        habits = second_habits or Habits(authoritative=True)
        with name_server({**AROUND, **ns, **where, **second}, habits, "127.0.0.2", one.port):

            async def run() -> RecordCheck:
                with Exchange() as exchange:
                    resolver = Resolver(exchange, [Server("127.0.0.1", one.port)], patience=QUICK)
                    return await check_record(resolver, "example.com", Surroundings(authority_port=one.port))

            return asyncio.run(run())


def test_servers_that_differ_are_named() -> None:
    """D-28: what a sender sees depends on the server that its resolver asks."""
    result = two_servers(at(NAME, RECORD), at(NAME, "v=TLSRPTv1; rua=mailto:old@example.com"))
    assert codes(result) == ["servers-differ"]
    said = result.findings[0].message
    assert "ns1.example.com (127.0.0.1)" in said
    assert "old@example.com" in said


def test_a_lame_server_is_named() -> None:
    result = two_servers(at(NAME, RECORD), {}, Habits(authoritative=False))
    assert codes(result) == ["server-lame"]


def test_a_network_that_answers_for_all_servers_is_not_taken_for_lame_ones() -> None:
    """Some networks send every DNS question to a resolver of their own: a note, no warning."""
    result = check(at(NAME, RECORD), Habits(authoritative=False))
    assert (codes(result), codes(result, "info")) == ([], ["servers-intercepted"])


def test_a_server_that_fails_is_named() -> None:
    result = two_servers(at(NAME, RECORD), {}, Habits(authoritative=True, rcodes={NAME: "REFUSED"}))
    assert codes(result) == ["server-fails"]


def test_a_server_that_can_not_be_reached_costs_a_note() -> None:
    """It may be the network here: no warning, exit code 0."""
    result = two_servers(at(NAME, RECORD), {}, Habits(drop=99))
    assert (codes(result), codes(result, "info"), result.exit_code) == ([], ["server-unreachable"], 0)


def test_a_resolver_that_is_late_is_told_from_a_missing_record() -> None:
    """D-28: negative answers are kept; the record is judged as the authoritative servers have it."""
    with (
        name_server({**AROUND, "_tls.example.com": {"TXT": ['"x"']}}) as old,
        name_server({**AROUND, **at(NAME, RECORD)}, Habits(authoritative=True)) as new,
    ):

        async def run() -> RecordCheck:
            with Exchange() as exchange:
                resolver = Resolver(exchange, [Server("127.0.0.1", old.port)], patience=QUICK)
                return await check_record(resolver, "example.com", Surroundings(authority_port=new.port))

        result = asyncio.run(run())
    assert (result.verdict, result.found, codes(result)) == ("ok", True, ["resolver-differs"])


def test_record_only_asks_one_question() -> None:
    with name_server({**AROUND, **at(NAME, RECORD)}) as server:

        async def run() -> RecordCheck:
            with Exchange() as exchange:
                resolver = Resolver(exchange, [Server("127.0.0.1", server.port)], patience=QUICK)
                return await check_record_only(resolver, "example.com")

        result = asyncio.run(run())
        assert server.asked == [(NAME, "TXT")]
    assert (result.verdict, result.input) == ("ok", (RECORD,))


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("192.168.1.1", False), ("127.0.0.1", False), ("169.254.169.254", False), ("10.1.2.3", False),
        ("0.0.0.1", False), ("100.64.0.1", False), ("224.0.0.1", False), ("::1", False), ("fe80::1", False),
        ("fc00::1", False), ("::ffff:10.0.0.1", False), ("2002:a00:1::", False), ("64:ff9b::a00:1", False), ("x", False),
        ("93.184.215.14", True), ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True),
    ],
)  # fmt: skip
def test_only_public_addresses_are_vetted(address: str, public: bool) -> None:
    """R7-08: no private, loopback or link-local target, however it is written."""
    assert is_public(address) is public
    assert anywhere(address)

"""Look-ups against a real server on the loopback: retries, TCP, CNAME chains, the cache, and what is not known."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from tests.nameserver import Habits, NameServer, name_server, txt
from tlsrpt.core.errors import ConfigError
from tlsrpt.dns.answers import Answer
from tlsrpt.dns.exchange import RESOLVER, Exchange, Patience, Server, parse_server
from tlsrpt.dns.resolver import Resolver, parse_resolv_conf

T = TypeVar("T")
QUICK = Patience(tries_s=(0.1, 0.2, 0.4))
NAME = "_smtp._tls.example.com"
RECORD = "v=TLSRPTv1; rua=mailto:tls@example.com"
SOA = {"SOA": ["ns1.example.com. h.example.com. 1 3600 600 86400 300"]}
ZONE = {"example.com": SOA, NAME: {"TXT": [txt(RECORD)]}}


def ask(server: NameServer, work: Callable[[Resolver], Awaitable[T]], *others: Server, patience: Patience = QUICK) -> T:
    async def run() -> T:
        with Exchange() as exchange:
            return await work(Resolver(exchange, [*others, Server("127.0.0.1", server.port)], patience=patience))

    return asyncio.run(run())


def lookup(server: NameServer, name: str, rtype: str) -> Answer:
    return ask(server, lambda resolver: resolver.lookup(name, rtype))


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("192.0.2.53", Server("192.0.2.53")),
        ("192.0.2.53@5353", Server("192.0.2.53", 5353)),
        ("2001:DB8::53", Server("2001:db8::53")),
        ("2001:db8::53@5353", Server("2001:db8::53", 5353)),
        ("[2001:db8::53]:5353", Server("2001:db8::53", 5353)),
        ("fe80::1%eth0", Server("fe80::1%eth0")),
    ],
)
def test_servers_are_read_as_dig_writes_them(text: str, server: Server) -> None:
    assert parse_server(text) == server


@pytest.mark.parametrize(
    "text", ["", "localhost", "192.0.2.53@", "192.0.2.53@99999", "192.0.2.53@0", "1.2.3", "::1]@53:1"]
)
def test_a_wrong_server_is_one_clear_error(text: str) -> None:
    with pytest.raises(ConfigError, match="no name server"):
        parse_server(text)


def test_resolv_conf_gives_its_first_three_servers() -> None:
    text = "# nameserver 192.0.2.1\nsearch example.com\nnameserver 192.0.2.53\nnameserver\nnameserver x\n" + "".join(
        f"nameserver 192.0.2.{i}\n" for i in (5, 6, 7)
    )
    assert [server.address for server in parse_resolv_conf(text)] == ["192.0.2.53", "192.0.2.5", "192.0.2.6"]


def test_a_record_is_found() -> None:
    with name_server(ZONE, Habits(authentic=True)) as server:
        answer = lookup(server, NAME, "TXT")
    assert (answer.status, answer.texts, answer.ttl, answer.ad) == ("answer", (RECORD.encode(),), 3600, True)


def test_not_there_and_not_known_are_told_apart() -> None:
    """R3-23: SERVFAIL, REFUSED and silence are "unknown", not "absent"."""
    habits = Habits(rcodes={"broken.example": "SERVFAIL", "shut.example": "REFUSED"})
    with name_server(ZONE, habits) as server:
        assert lookup(server, NAME, "MX").status == "nodata"
        assert lookup(server, "_tls.example.com", "TXT").status == "nodata"
        assert lookup(server, "nowhere.example.com", "TXT").status == "nxdomain"
        for name, rcode in (("broken.example", "SERVFAIL"), ("shut.example", "REFUSED")):
            answer = lookup(server, name, "TXT")
            assert (answer.unknown, answer.rcode) == (True, rcode)
    closed = lookup(server, NAME, "TXT")
    assert closed.unknown
    assert "refused" in closed.detail.lower()


def test_a_negative_answer_names_its_zone_and_its_lifetime() -> None:
    """RFC 2308: the SOA record in the answer says both (D-28: negative TTL)."""
    with name_server(ZONE) as server:
        answer = lookup(server, "nowhere.example.com", "TXT")
    assert (answer.zone, answer.ttl) == ("example.com", 300)


def test_what_is_lost_is_asked_again() -> None:
    with name_server(ZONE, Habits(drop=2)) as server:
        assert lookup(server, NAME, "TXT").found


def test_silence_is_a_failure_that_says_how_long() -> None:
    with name_server(ZONE, Habits(drop=99)) as server:
        answer = lookup(server, NAME, "TXT")
    assert answer.unknown
    assert "no answer within 0.7 s" in answer.detail


def test_the_next_server_is_asked_when_one_fails() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    with name_server(ZONE) as server:
        answer = ask(server, lambda resolver: resolver.lookup(NAME, "TXT"), Server("127.0.0.1", port))
    assert answer.found


def test_a_cut_answer_is_fetched_over_tcp() -> None:
    long = "v=TLSRPTv1; rua=" + ",".join(f"mailto:tls{i:03}@example.com" for i in range(200))
    with name_server({NAME: {"TXT": [txt(long)]}}, Habits(truncate=True)) as server:
        assert lookup(server, NAME, "TXT").texts == (long.encode(),)


def test_a_server_without_edns_is_asked_without() -> None:
    with name_server(ZONE, Habits(no_edns=True)) as server:
        assert lookup(server, NAME, "TXT").found


def test_answers_to_other_questions_and_identifiers_are_not_believed() -> None:
    """RFC 5452: a spoofed datagram must guess identifier and question; a wrong one is passed over, not taken."""

    def spoofs(answer: bytes) -> list[bytes]:
        wrong_id = bytes((answer[0] ^ 0xFF,)) + answer[1:]
        wrong_name = answer.replace(b"\x07example", b"\x07exemple")
        return [wrong_id, wrong_name, b"", answer[:11], b"\xff" * 40]

    with name_server(ZONE, Habits(before=spoofs)) as server:
        answer = lookup(server, NAME, "TXT")
    assert answer.texts == (RECORD.encode(),)


CHAIN = {
    NAME: {"CNAME": ["one.example.net."]},
    "one.example.net": {"CNAME": ["two.example.net."]},
    "two.example.net": {"TXT": [txt(RECORD)]},
    "loop.example": {"CNAME": ["pool.example."]},
    "pool.example": {"CNAME": ["loop.example."]},
    "dangling.example": {"CNAME": ["nowhere.example.net."]},
}


def test_a_cname_chain_is_followed_and_kept() -> None:
    """R3-22: CNAMEs are followed; the chain is there to name its owners (D-24)."""
    with name_server(CHAIN) as server:
        answer = lookup(server, NAME, "TXT")
        assert lookup(server, "dangling.example", "TXT").status == "nxdomain"
        assert lookup(server, "loop.example", "TXT").unknown
    assert [alias.target for alias in answer.aliases] == ["one.example.net", "two.example.net"]
    assert (answer.owner, answer.texts) == ("two.example.net", (RECORD.encode(),))


def test_a_chain_is_followed_by_hand_where_the_server_does_no_recursion() -> None:
    """`--resolver` may name an authoritative server, which gives only what it holds."""
    zone = {"a.example": {"CNAME": ["b.example."]}}

    with name_server(zone, Habits(recursion=False, authoritative=True)) as server:
        assert lookup(server, "a.example", "TXT").status == "nxdomain"
        assert ("b.example", "TXT") in server.asked


def test_records_off_the_chain_are_not_believed() -> None:
    """A server that adds records for other names gets no hearing for them."""

    class Generous(NameServer):
        def _fill(self, answer: object, name: str, rtype: str) -> None:
            super()._fill(answer, "elsewhere.example", rtype)  # type: ignore[arg-type]

    server = Generous({"elsewhere.example": {"TXT": [txt(RECORD)]}})
    server.start()
    try:
        assert lookup(server, NAME, "TXT").texts == ()
    finally:
        server.close()


def test_a_name_is_asked_once_however_many_want_it() -> None:
    """Coalesced while under way, kept afterwards."""

    async def many(resolver: Resolver) -> list[Answer]:
        first = await asyncio.gather(*(resolver.lookup(NAME, "TXT") for _ in range(50)))
        return [*first, await resolver.lookup(NAME.upper(), "TXT")]

    with name_server(ZONE) as server:
        found = ask(server, many)
        assert all(answer.found for answer in found)
        assert server.asked == [(NAME, "TXT")]


def test_one_that_is_cancelled_does_not_take_others_with_it() -> None:
    async def cancel_first(resolver: Resolver) -> Answer:
        first = asyncio.create_task(resolver.lookup(NAME, "TXT"))
        await asyncio.sleep(0)
        second = asyncio.create_task(resolver.lookup(NAME, "TXT"))
        await asyncio.sleep(0)
        first.cancel()
        return await second

    with name_server(ZONE) as server:
        assert ask(server, cancel_first).found


def test_a_thousand_names_at_once_are_all_answered() -> None:
    async def many(resolver: Resolver) -> int:
        answers = await asyncio.gather(*(resolver.lookup(f"n{i}.example.com", "TXT") for i in range(1000)))
        return sum(answer.status == "nxdomain" for answer in answers)

    with name_server(ZONE) as server:
        assert ask(server, many, patience=RESOLVER) == 1000


def test_bogus_is_told_from_broken() -> None:
    """The extended error tells it, or asking again without checking."""
    with name_server(ZONE, Habits(bogus={NAME}, rcodes={"broken.example": "SERVFAIL"})) as server:
        assert lookup(server, NAME, "TXT").bogus
        assert not lookup(server, "broken.example", "TXT").bogus
        assert ask(server, lambda resolver: resolver.fails_dnssec(NAME, "TXT"))
        assert not ask(server, lambda resolver: resolver.fails_dnssec("broken.example", "TXT"))


def test_without_a_server_there_is_one_clear_error() -> None:
    with pytest.raises(ConfigError, match="--resolver"):
        Resolver(Exchange(), [])

"""Publishing against a real Knot: TSIG, conditions, refusals, and reading back byte for byte."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from tests.lab.nameservers import NameServers, Tree, name_servers
from tlsrpt.dns.change import Change, PublishError, plan_change
from tlsrpt.dns.exchange import Exchange
from tlsrpt.dns.publish import send_update
from tlsrpt.dns.resolver import Resolver
from tlsrpt.dns.serving import Served, wait_until_served
from tlsrpt.dns.tsig import Key, parse_key
from tlsrpt.setup.publishing import publish

pytestmark = pytest.mark.lab("knotd", "keymgr", "unbound")

T = TypeVar("T")
RECORD = "v=TLSRPTv1; rua=mailto:tls@reports.example"
LONG = "v=TLSRPTv1; rua=" + ",".join(f"mailto:tls{i}@reports.example" for i in range(20))
OTHER = "google-site-verification=abc"
ZONE = "dyn.example"
NAME = f"_smtp._tls.{ZONE}"
TREE = Tree(
    zones={
        ZONE: f"@ MX 10 mx.reports.example.\n_smtp._tls.busy TXT \"{OTHER}\"\n_smtp._tls.alias CNAME {NAME}.\n",
        "still.example": "@ MX 10 mx.reports.example.\n",
    },
    signed=frozenset({ZONE}),
    updatable=frozenset({ZONE}),
)  # fmt: skip


@pytest.fixture
def servers(lab: Path) -> Iterator[NameServers]:
    with name_servers(lab, TREE) as running:
        yield running


def key(servers: NameServers) -> Key:
    return parse_key(servers.key_file.read_text(), "upd.key")


def resolving(servers: NameServers, work: Callable[[Resolver], Awaitable[T]]) -> T:
    async def run() -> T:
        with Exchange() as exchange:
            return await work(Resolver(exchange, [servers.resolver]))

    return asyncio.run(run())


def served(servers: NameServers, name: str) -> tuple[bytes, ...]:
    servers.flush()
    return resolving(servers, lambda resolver: resolver.lookup(name, "TXT")).texts


def test_a_record_is_published_changed_and_taken_back(servers: NameServers) -> None:
    """D-80: what DNS serves is what was written, byte for byte, also beyond 255 octets; undo leaves nothing."""
    first = plan_change(ZONE, NAME, (), RECORD, ttl=300)
    send_update(first, servers.primary, key(servers))
    assert served(servers, NAME) == (RECORD.encode(),)
    second = plan_change(ZONE, NAME, first.after, LONG, ttl=300, replace=True)
    send_update(second, servers.primary, key(servers))
    assert served(servers, NAME) == (LONG.encode(),)
    send_update(second.undo, servers.primary, key(servers))
    send_update(first.undo, servers.primary, key(servers))
    assert served(servers, NAME) == ()


def test_other_txt_records_at_the_name_stay(servers: NameServers) -> None:
    name = f"_smtp._tls.busy.{ZONE}"
    send_update(plan_change(ZONE, name, (OTHER.encode(),), RECORD, ttl=300), servers.primary, key(servers))
    assert sorted(served(servers, name)) == sorted([OTHER.encode(), RECORD.encode()])


@pytest.mark.parametrize(
    ("name", "before", "why"),
    [
        pytest.param(f"_smtp._tls.busy.{ZONE}", (), "published there meanwhile", id="a record came"),
        pytest.param(NAME, (b"v=TLSRPTv1; rua=mailto:gone@x.example",), "changed meanwhile", id="a record went"),
        pytest.param(f"_smtp._tls.alias.{ZONE}", (), "other records meanwhile|meanwhile", id="a CNAME is there"),
    ],
)
def test_what_changed_meanwhile_is_not_overwritten(
    servers: NameServers, name: str, before: tuple[bytes, ...], why: str
) -> None:
    """The update carries what it relies on; the server refuses it, and all is as it was."""
    held = served(servers, name)
    change = plan_change(ZONE, name, before, RECORD, ttl=300, replace=True)
    with pytest.raises(PublishError, match=why) as caught:
        send_update(change, servers.primary, key(servers))
    assert "nothing was changed" in str(caught.value)
    assert served(servers, name) == held


def test_wrong_keys_and_zones_are_told_and_change_nothing(servers: NameServers) -> None:
    """No secret is in any message."""
    right = key(servers)
    wrong = Key(name=right.name, algorithm=right.algorithm, secret=b"x" * 32)
    unknown = Key(name="other.example", algorithm=right.algorithm, secret=b"x" * 32)
    change = plan_change(ZONE, NAME, (), RECORD, ttl=300)
    shut = plan_change("still.example", "_smtp._tls.still.example", (), RECORD, ttl=300)
    for what, signed in ((change, wrong), (change, unknown), (change, None), (shut, right)):
        with pytest.raises(PublishError, match="nothing was changed") as caught:
            send_update(what, servers.primary, signed)
        assert servers.secret not in str(caught.value)
    assert served(servers, NAME) == ()


def test_waiting_ends_when_every_server_has_it(servers: NameServers) -> None:
    change = plan_change(ZONE, NAME, (), RECORD, ttl=300)

    async def publish_while_waiting(resolver: Resolver) -> tuple[Served, list[Served]]:
        rounds: list[Served] = []

        def tell(state: Served) -> None:
            rounds.append(state)

        waiting = asyncio.create_task(wait_until_served(resolver, NAME, change.after, within_s=20, tell=tell))
        await asyncio.to_thread(send_update, change, servers.primary, key(servers))
        return await waiting, rounds

    result, rounds = resolving(servers, publish_while_waiting)
    assert result.complete
    assert rounds[-1] == result
    assert str(servers.primary) in result.right[0]


def test_waiting_says_what_is_served_instead(servers: NameServers) -> None:
    """A TXT record that is not the one that was written, byte for byte, is not it."""
    change: Change = plan_change(ZONE, NAME, (), RECORD, ttl=300)
    send_update(change, servers.primary, key(servers))
    wanted = (RECORD.replace("; ", ";").encode(),)
    result = resolving(servers, lambda resolver: wait_until_served(resolver, NAME, wanted, within_s=0))
    assert not result.complete
    assert result.wrong[0][1] == (RECORD.encode(),)


class QuotingPanel:
    """A provider that keeps quotes as part of the value, as some panels do (D-09, D-80)."""

    def __init__(self, servers: NameServers) -> None:
        self._servers = servers

    def put(self, change: Change) -> None:
        add = tuple(b'"' + text + b'"' for text in change.add)
        before = served(self._servers, change.name)
        remove = tuple(text for text in before if text.strip(b'"') in change.remove)
        written = Change(zone=change.zone, name=change.name, ttl=change.ttl, before=before, remove=remove, add=add)
        send_update(written, self._servers.primary, key(self._servers))


def test_what_was_changed_on_its_way_is_taken_back(servers: NameServers) -> None:
    """D-80: the value is compared as DNS serves it; a third thing means that DNS is put back as it was."""
    change = plan_change(ZONE, NAME, (), RECORD, ttl=1)
    panel = QuotingPanel(servers)
    done = resolving(servers, lambda resolver: publish(resolver, panel, change, within_s=2))
    assert done.outcome == "taken-back"
    assert done.served.wrong[0][1] == (f'"{RECORD}"'.encode(),)
    assert served(servers, NAME) == ()

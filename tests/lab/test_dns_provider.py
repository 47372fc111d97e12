"""Publishing through dns-lexicon: its provider `localzone` writes the zone file of a real Knot."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.nameservers import NameServers, Tree, name_servers
from tests.lab.servers import run
from tlsrpt.core.errors import ConfigError
from tlsrpt.dns.change import PublishError, plan_change
from tlsrpt.dns.exchange import Exchange
from tlsrpt.dns.providers import Provider
from tlsrpt.dns.resolver import Resolver

pytest.importorskip("localzone", reason="needs dns-lexicon[localzone]")
pytestmark = pytest.mark.lab("knotd", "keymgr", "unbound")

ZONE = "dyn.example"
NAME = f"_smtp._tls.{ZONE}"
OLD = b"v=TLSRPTv1; rua=mailto:old@reports.example"
RECORD = "v=TLSRPTv1; rua=mailto:tls@reports.example"
TREE = Tree(
    zones={ZONE: f'_smtp._tls TXT "{OLD.decode()}"\n_smtp._tls.two TXT "{OLD.decode()}"\n_smtp._tls.two TXT "v=TLSRPTv1"\n'},
    updatable=frozenset({ZONE}),
)  # fmt: skip


@pytest.fixture
def servers(lab: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServers]:
    with name_servers(lab, TREE) as running:
        monkeypatch.setenv("LEXICON_LOCALZONE_FILENAME", str(lab / "zones" / f"{ZONE}.zone"))
        yield running


def served(servers: NameServers, name: str) -> list[bytes]:
    async def ask() -> tuple[bytes, ...]:
        with Exchange() as exchange:
            return (await Resolver(exchange, [servers.resolver]).lookup(name, "TXT")).texts

    run("knotc", "-c", str(servers.folder / "knot.conf"), "-b", "zone-reload", f"{ZONE}.")
    servers.flush()
    return sorted(asyncio.run(ask()))


def test_a_record_is_replaced_and_put_back(servers: NameServers) -> None:
    """Credentials come from lexicon's own environment variables."""
    provider = Provider("localzone", ZONE, 300, [servers.resolver])
    change = plan_change(ZONE, NAME, (OLD,), RECORD, ttl=300, replace=True)
    provider.put(change)
    assert served(servers, NAME) == [RECORD.encode()]
    provider.put(change.undo)
    assert served(servers, NAME) == [OLD]


def test_several_records_become_one_and_several_again(servers: NameServers) -> None:
    """D-21: two records count as none."""
    name = f"_smtp._tls.two.{ZONE}"
    provider = Provider("localzone", ZONE, 300, [servers.resolver])
    change = plan_change(ZONE, name, (OLD, b"v=TLSRPTv1"), RECORD, ttl=300, replace=True)
    provider.put(change)
    assert served(servers, name) == [RECORD.encode()]
    provider.put(change.undo)
    assert served(servers, name) == sorted([OLD, b"v=TLSRPTv1"])


def test_what_the_provider_holds_otherwise_is_not_touched(servers: NameServers) -> None:
    provider = Provider("localzone", ZONE, 300, [servers.resolver])
    with pytest.raises(PublishError, match="nothing was changed"):
        provider.put(plan_change(ZONE, NAME, (), RECORD, ttl=300))
    assert served(servers, NAME) == [OLD]


def test_what_fails_is_told_without_repeating_what_was_said(
    servers: NameServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of a provider may hold a token: its kind is told, and where credentials come from."""
    monkeypatch.setenv("LEXICON_LOCALZONE_FILENAME", "/nowhere/token-4711")
    change = plan_change(ZONE, NAME, (OLD,), RECORD, ttl=300, replace=True)
    with pytest.raises(PublishError, match="nothing was changed") as caught:
        Provider("localzone", ZONE, 300, [servers.resolver]).put(change)
    assert "LEXICON_LOCALZONE_" in str(caught.value)
    assert "4711" not in str(caught.value)
    assert served(servers, NAME) == [OLD]


def test_an_unknown_provider_is_one_clear_error(servers: NameServers) -> None:
    with pytest.raises(ConfigError, match="nobody"):
        Provider("nobody", ZONE, 300, [servers.resolver])

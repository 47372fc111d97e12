"""DKIM keys from real zones: Knot serves them, Unbound asks for them and checks DNSSEC."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.intake.signing import NOW, ed25519_key, record, rsa_key, sign
from tests.lab.nameservers import NameServers, Tree, name_servers
from tests.nameserver import txt
from tlsrpt.dns.exchange import Exchange
from tlsrpt.dns.resolver import Resolver
from tlsrpt.intake.dkim import Signature, Verifier

pytestmark = pytest.mark.lab("knotd", "keymgr", "unbound")

LONG = record(rsa_key(4096), tags="v=DKIM1; k=rsa; s=email:tlsrpt; ")
KEYS = {
    "plain": record(),
    "ed": record(ed25519_key()),
    "long": LONG,
    "mail": record(tags="v=DKIM1; s=email; "),
    "gone": b"v=DKIM1; p=",
}
ZONE = "".join(f"{selector}._domainkey TXT {txt(text)}\n" for selector, text in KEYS.items()) + (
    f"two._domainkey TXT {txt(b'v=spf1 -all')}\ntwo._domainkey TXT {txt(record())}\n"
    "hosted._domainkey CNAME k7.keys.provider.example.\n"
    "dangling._domainkey CNAME k8.keys.provider.example.\n"
    "address._domainkey A 192.0.2.1\n"
)
TREE = Tree(
    {
        "sender.example": ZONE,
        "provider.example": f"k7.keys TXT {txt(record(rsa_key(2048)))}\n",
        "bogus.example": f"plain._domainkey TXT {txt(record())}\n",
    },
    signed=frozenset({"sender.example"}),
    bogus=frozenset({"bogus.example"}),
)


@pytest.fixture(scope="module")
def servers() -> Iterator[NameServers]:
    folder = Path(tempfile.mkdtemp(prefix="tlsrpt-lab-", dir="/tmp"))
    folder.chmod(0o755)
    with name_servers(folder, TREE) as found:
        yield found
    shutil.rmtree(folder)


def verify(message: bytes, servers: NameServers) -> Signature:
    async def run() -> tuple[Signature, ...]:
        with Exchange() as exchange:
            return await Verifier(Resolver(exchange, [servers.resolver]), now=lambda: NOW).verify(message)

    [signature] = asyncio.run(run())
    return signature


@pytest.mark.parametrize(
    ("selector", "key"),
    [
        ("plain", rsa_key()),
        ("ed", ed25519_key()),
        ("long", rsa_key(4096)),  # three strings of 255 octets and less; the answer comes by TCP where UDP cuts it
        ("two", rsa_key()),
        ("hosted", rsa_key(2048)),
    ],
)
def test_keys_that_are_served(servers: NameServers, selector: str, key: object) -> None:
    assert len(LONG) > 2 * 255
    assert isinstance(key, type(rsa_key()) | type(ed25519_key()))
    signature = verify(sign(selector=selector, key=key), servers)
    assert (signature.verdict, signature.reason) == ("pass", "")


@pytest.mark.parametrize(
    ("selector", "reason"),
    [
        ("nobody", "no key at nobody._domainkey.sender.example"),
        ("address", "no key at address._domainkey.sender.example"),
        ("dangling", "no key at dangling._domainkey.sender.example"),
        ("gone", "the key was revoked (p= is empty)"),
        ("mail", "the key is for other services than tlsrpt (s=email)"),
        ("ed", "the key is for ed25519, the signature is rsa"),
        ("hosted", "signed header fields were changed on the way, or another key signed"),
    ],
)
def test_keys_that_are_not_there_or_not_good(servers: NameServers, selector: str, reason: str) -> None:
    signature = verify(sign(selector=selector), servers)
    assert (signature.verdict, signature.reason) == ("fail", reason)


def test_a_zone_whose_dnssec_fails_can_not_be_told(servers: NameServers) -> None:
    """SERVFAIL: somebody may have put that key there, and somebody may have broken the zone."""
    signature = verify(sign(domain="bogus.example", selector="plain"), servers)
    assert signature.verdict == "error"
    assert signature.domain == "bogus.example"
    assert "SERVFAIL" in signature.reason


def test_a_domain_that_does_not_exist(servers: NameServers) -> None:
    signature = verify(sign(domain="nowhere.example", selector="plain"), servers)
    assert (signature.verdict, signature.reason) == ("fail", "no key at plain._domainkey.nowhere.example")

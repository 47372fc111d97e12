"""Whose word is taken for a client's address."""

from __future__ import annotations

import re
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsrpt.core.errors import ConfigError
from tlsrpt.intake.proxies import LONGEST, Proxies, parse_address

NGINX = "192.0.2.10"
CLIENT = "198.51.100.7"
LIE = "203.0.113.66"


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        pytest.param(NGINX, CLIENT, CLIENT, id="one proxy"),
        pytest.param(NGINX, f"{LIE}, {CLIENT}", CLIENT, id="the client wrote an entry of its own"),
        pytest.param(NGINX, f"{LIE}, {CLIENT}, 10.1.2.3", CLIENT, id="two proxies, the inner one in a network"),
        pytest.param(NGINX, "10.1.2.3, 10.9.9.9", "10.1.2.3", id="proxies only: the first of them asked"),
        pytest.param("2001:db8:1::5", "2001:db8:ffff::7", "2001:db8:ffff::7", id="IPv6"),
        pytest.param(NGINX, "2001:DB8:FFFF:0::7", "2001:db8:ffff::7", id="IPv6 in another spelling"),
        pytest.param(NGINX, f"{CLIENT}:4711", CLIENT, id="with a port"),
        pytest.param(NGINX, "[2001:db8:ffff::7]:443", "2001:db8:ffff::7", id="IPv6 with a port"),
        pytest.param(NGINX, "[2001:db8:ffff::7]", "2001:db8:ffff::7", id="IPv6 in brackets"),
        pytest.param(NGINX, f"::ffff:{CLIENT}", CLIENT, id="IPv4 within IPv6"),
        pytest.param(f"::ffff:{NGINX}", CLIENT, CLIENT, id="the proxy's address within IPv6"),
        pytest.param(NGINX, f" ,, {CLIENT} ,", CLIENT, id="empty entries"),
        pytest.param(NGINX, None, NGINX, id="the proxy says nothing"),
        pytest.param(NGINX, "", NGINX, id="empty"),
        pytest.param(NGINX, "unknown", NGINX, id="unknown"),
        pytest.param(NGINX, f"{CLIENT}, unknown", NGINX, id="unknown behind a good one"),
        pytest.param(NGINX, f"{CLIENT}, fe80::1%eth0", NGINX, id="the name of a link"),
        pytest.param(NGINX, f"{CLIENT}, _secret", NGINX, id="obfuscated"),
        pytest.param(NGINX, f"{CLIENT}, {CLIENT}:port", NGINX, id="no port"),
        pytest.param(NGINX, f"[{CLIENT}]", NGINX, id="IPv4 in brackets"),
        pytest.param(NGINX, "[2001:db8::1", NGINX, id="open bracket"),
        pytest.param(NGINX, f"unknown, {CLIENT}", CLIENT, id="what stands further left does not matter"),
        pytest.param(NGINX, f"{CLIENT}," * 400, NGINX, id="a very long list"),
        pytest.param(LIE, CLIENT, LIE, id="a stranger's word is worth nothing"),
        pytest.param(None, CLIENT, CLIENT, id="a unix socket"),
        pytest.param(None, None, "unix", id="a unix socket, and nothing said"),
        pytest.param(None, "nonsense", "unix", id="a unix socket, and nonsense said"),
    ],
)
def test_the_right_most_address_that_is_no_proxy_is_the_client(
    peer: str | None, forwarded_for: str | None, client: str
) -> None:
    proxies = Proxies([NGINX, "10.0.0.0/8", "2001:db8:1::/48", "unix:"])
    assert proxies.client(peer, forwarded_for, None) == client


@pytest.mark.parametrize("peer", [NGINX, LIE, "2001:db8::1", None])
def test_without_named_proxies_the_peer_is_the_client_whatever_it_says(peer: str | None) -> None:
    proxies = Proxies([])
    assert not proxies.any
    assert proxies.client(peer, CLIENT, f"for={CLIENT}") == (peer or "unix")


def test_a_unix_socket_is_not_believed_unless_it_is_named() -> None:
    assert Proxies([NGINX]).client(None, CLIENT, None) == "unix"


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        pytest.param(f"for={CLIENT}", CLIENT, id="plain"),
        pytest.param(f"proto=https;For={CLIENT};by={NGINX}", CLIENT, id="with other parameters"),
        pytest.param(f'for={LIE}, for="{CLIENT}:4711"', CLIENT, id="quoted, with a port"),
        pytest.param('for="[2001:db8:ffff::7]:4711"', "2001:db8:ffff::7", id="IPv6"),
        pytest.param(f"for={CLIENT}, for={NGINX}", CLIENT, id="two proxies"),
        pytest.param(f"for={CLIENT}, proto=https", NGINX, id="an element that does not say"),
        pytest.param("for=unknown", NGINX, id="unknown"),
        pytest.param(f'for=1.1.1.1;x=", for={CLIENT}', NGINX, id="an open quote before what the proxy wrote"),
        pytest.param(f'for=1.1.1.1;x="\\", for="{CLIENT}"', NGINX, id="an escaped quote before it"),
        pytest.param(f"for={CLIENT} for={LIE}", NGINX, id="no list"),
        pytest.param("", NGINX, id="empty"),
        pytest.param("for=" + "1" * LONGEST, NGINX, id="very long"),
    ],
)
def test_forwarded_is_read_alike(forwarded: str, client: str) -> None:
    """RFC 7239: what a client writes in front of a proxy's element can't change that element."""
    assert Proxies([NGINX]).client(NGINX, None, forwarded) == client


def test_where_the_two_headers_differ_neither_counts() -> None:
    """A proxy that sets one passes the other on as the client wrote it."""
    proxies = Proxies([NGINX])
    assert proxies.client(NGINX, CLIENT, f"for={CLIENT}") == CLIENT
    assert proxies.client(NGINX, CLIENT, f"for={LIE}") == NGINX
    assert proxies.client(NGINX, CLIENT, "nonsense") == NGINX


@pytest.mark.parametrize(
    "entry", ["", "nginx", "192.0.2.1/33", "192.0.2.1/24", "unix", "unix:/run/x", "*", "192.0.2.1:80"]
)
def test_an_entry_that_is_no_proxy_is_refused(entry: str) -> None:
    with pytest.raises(ConfigError, match="no address and no network"):
        Proxies([entry])


_lists = st.lists(
    st.one_of(st.sampled_from([NGINX, CLIENT, LIE, "unknown", "[::1]:5", "10.1.1.1"]), st.text(max_size=12)), max_size=6
).map(", ".join)


@given(_lists)
def test_nothing_that_a_client_writes_in_front_changes_who_it_is(written: str) -> None:
    assert Proxies([NGINX, "10.0.0.0/8"]).client(NGINX, f"{written}, {CLIENT}", None) == CLIENT


@given(st.sampled_from([None, NGINX, "2001:db8::1"]), st.one_of(st.none(), st.text()), st.one_of(st.none(), st.text()))
def test_any_text_gives_an_address_or_the_peers_own_name(
    peer: str | None, forwarded_for: str | None, forwarded: str | None
) -> None:
    client = Proxies([NGINX, "unix:"]).client(peer, forwarded_for, forwarded)
    assert client == peer or re.fullmatch("[0-9a-f.:]+|unix", client)


@given(st.ip_addresses(), st.one_of(st.none(), st.integers(0, 99999)))
def test_any_address_is_read_with_and_without_port(address: object, port: int | None) -> None:
    text = str(address)
    if port is not None:
        text = f"[{text}]:{port}" if ":" in text else f"{text}:{port}"
    read = parse_address(text)
    assert read in (address, getattr(address, "ipv4_mapped", None))
    assert read is None or ip_address(str(read)) == read

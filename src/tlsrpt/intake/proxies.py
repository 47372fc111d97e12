"""Whose word is taken for a client's address: that of the proxies which the configuration names, and nobody else's.

A proxy appends the address that it was connected from to X-Forwarded-For, so the list is read from its right end: an
entry that is a named proxy vouches for the one before it, and the first that is none is the client. What stands further
left was written by that client and is worth nothing. `Forwarded` (RFC 7239) is read alike. A proxy that writes one of
the two passes the other on as its client sent it, and which is which can't be seen: where they differ, neither counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from tlsrpt.core.errors import ConfigError
from tlsrpt.core.text import printable

Address = IPv4Address | IPv6Address

UNIX = "unix:"  # in the configuration: whoever connects by the unix socket
UNIX_PEER = "unix"  # what a client there is called, when nobody says more
LONGEST = 4_000  # characters of a list that is read; a longer one is no honest proxy's
_SHORT = 200  # characters of a list whose result is remembered
_REMEMBERED = 4_096

# forwarded-pair = token "=" ( token / quoted-string ), ";" between pairs, "," between elements  (RFC 7239 section 4)
_PAIR = re.compile(r'[ \t]*([^\s",;=]+)=(?:([^\s",;=]+)|"((?:[^"\\]|\\.)*)")[ \t]*(?:([;,])|\Z)')


class Proxies:
    """The proxies of one listener.

    Raises:
        ConfigError: an entry is no address, no network and not `unix:`.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        self._unix = False
        self._networks: list[IPv4Network | IPv6Network] = []
        for entry in entries:
            if entry == UNIX:
                self._unix = True
            else:
                self._networks.append(_network(entry))
        self.any = self._unix or bool(self._networks)
        self._remembered = lru_cache(_REMEMBERED)(self._client)

    def client(self, peer: str | None, forwarded_for: str | None, forwarded: str | None) -> str:
        """The address of who sent a request: an IP address without port, or `unix`.

        Args:
            peer: the address that the connection came from; None for the unix socket.
            forwarded_for: X-Forwarded-For, its lines joined with commas; None where it is absent.
            forwarded: Forwarded, likewise.
        """
        size = len(forwarded_for or "") + len(forwarded or "")
        return (self._remembered if size <= _SHORT else self._client)(peer, forwarded_for, forwarded)

    def _client(self, peer: str | None, forwarded_for: str | None, forwarded: str | None) -> str:
        itself = parse_address(peer) if peer is not None else None
        if itself is None:
            known, own = self._unix and peer is None, UNIX_PEER if peer is None else printable(peer, 100)
        else:
            known, own = self._names(itself), str(itself)
        if not known or (forwarded_for is None and forwarded is None):
            return own
        told = set()
        if forwarded_for is not None:
            told.add(self._first_stranger(_nodes(forwarded_for)))
        if forwarded is not None:
            told.add(self._first_stranger(_forwarded_nodes(forwarded)))
        said = told.pop()
        return own if told or said is None else str(said)

    def _first_stranger(self, nodes: list[str]) -> Address | None:
        """The right-most address that is none of the proxies, else the left-most; None where one on the way is none."""
        address: Address | None = None
        for node in reversed(nodes):
            address = parse_address(node)
            if address is None or not self._names(address):
                break
        return address

    def _names(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def _network(entry: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(entry)
    except ValueError:
        raise ConfigError(
            f'"{printable(entry, 100)}" is no address and no network',
            where="proxies",
            fix='write "192.0.2.1", "192.0.2.0/24", "2001:db8::/32" or "unix:"',
        ) from None


def parse_address(node: str) -> Address | None:
    """An address, also with a port; IPv4 within IPv6 as IPv4. None for anything else: `unknown`, `_hidden`, a name."""
    host, colon, port = node.rpartition(":")
    if node.startswith("["):
        host, closed, port = node[1:].partition("]")
        if not closed or (port and not (port[0] == ":" and _is_port(port[1:]))):
            return None
    elif not colon or ":" in host:  # without a port
        host = node
    elif not _is_port(port):
        return None
    try:
        address = ip_address(host)
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return address if not node.startswith("[") else None
    if address.scope_id is not None:  # the name of a link is any text, and says nothing beyond its host
        return None
    return address.ipv4_mapped or address


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5


def _nodes(value: str) -> list[str]:
    """The entries of X-Forwarded-For; empty ones are no entries (RFC 9110 section 5.6.1)."""
    if len(value) > LONGEST:
        return [""]
    return [node for node in (piece.strip(" \t") for piece in value.split(",")) if node] or [""]


def _forwarded_nodes(value: str) -> list[str]:
    """What `for=` says in each element of Forwarded; "" where it says nothing, and alone where the list is malformed.

    Read from the left and to the end: a quote that a client left open must not swallow what the proxy appended.
    """
    nodes, node, at = list[str](), "", 0
    while at < len(value) <= LONGEST:
        pair = _PAIR.match(value, at)
        if pair is None:
            return [""]
        if pair[1].lower() == "for":
            node = re.sub(r"\\(.)", r"\1", pair[3] or "") if pair[2] is None else pair[2]
        at = pair.end()
        if pair[4] != ";":
            nodes.append(node)
            node = ""
    return nodes or [""]

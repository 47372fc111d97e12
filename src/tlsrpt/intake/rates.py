"""So many a minute from one address or submitter: a token bucket each, for a bounded number of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from tlsrpt.core.errors import OverloadError

MOST_KEYS = 20_000  # the longest unseen is forgotten: it has its full measure again


class Rates:
    """Token buckets that hold a minute's measure each.

    Args:
        per_minute: how many; 0 for no limit.
        clock: seconds, steady.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float], *, of: str) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._of = of
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # key -> (left, when)

    def count(self, key: str) -> None:
        """Count one.

        Raises:
            OverloadError: the minute's measure is spent; says after how many seconds there is one again.
        """
        most = self._per_minute
        if not most:
            return
        now = self._clock()
        left, when = self._left.pop(key, (float(most), now))
        left = min(float(most), left + (now - when) * most / 60)
        spent = left < 1
        self._left[key] = (left if spent else left - 1, now)
        if len(self._left) > MOST_KEYS:
            self._left.popitem(last=False)
        if spent:
            wait_s = int((1 - left) * 60 / most) + 1
            raise OverloadError(f"more than {most:,} a minute from one {self._of}", retry_after_s=wait_s)


def client_key(address: str) -> str:
    """Under which name a client's rate is counted: an IPv4 address, an IPv6 network of /64, which is one customer."""
    try:
        client = ip_address(address)
    except ValueError:
        return address
    if isinstance(client, IPv4Address):
        return str(client)
    if client.ipv4_mapped is not None:
        return str(client.ipv4_mapped)
    return str(IPv6Network((IPv6Address(int(client)), 64), strict=False))

"""So many a minute from one address or submitter: a token bucket each, for a bounded number of them."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from tlsrpt.core.errors import RateError

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
            RateError: the minute's measure is spent; says after how many seconds there is one again.
        """
        if self._per_minute:
            self._take({key: 1}, self._clock())

    def count_all(self, keys: Iterable[str]) -> None:
        """Count each, as often as it is there, all or none: what comes together is kept together.

        One that is left of the measure is enough for however many: what brings more than a minute's measure would
        else be refused for ever. It is owed then, up to another measure.

        Raises:
            RateError: one of the measures is spent.
        """
        if self._per_minute:
            self._take(Counter(keys), self._clock())

    def _take(self, keys: Mapping[str, int], now: float) -> None:
        most = self._per_minute
        left = {key: self._have(key, now) for key in keys}
        least = min(left.values(), default=1.0)
        spent = least < 1
        for key, many in keys.items():
            self._left[key] = (left[key] if spent else max(left[key] - many, float(-most)), now)
            self._left.move_to_end(key)
        while len(self._left) > MOST_KEYS:
            self._left.popitem(last=False)
        if spent:
            wait_s = int((1 - least) * 60 / most) + 1
            raise RateError(f"more than {most:,} a minute from one {self._of}", retry_after_s=wait_s)

    def _have(self, key: str, now: float) -> float:
        most = float(self._per_minute)
        left, when = self._left.get(key, (most, now))
        return min(most, left + (now - when) * most / 60)


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

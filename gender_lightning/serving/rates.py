"""A limit on how often each client may ask."""

from __future__ import annotations

from collections import OrderedDict
from ipaddress import IPv6Address, ip_address

_MOST_CLIENTS = 10_000
_NETWORK = 64  # bits: a household or a server has as many IPv6 addresses as it likes below one of these prefixes


class Rates:
    """A bucket of tokens per client, which a request takes one of and which time fills again.

    A client may send `rate` requests at once, and as many a second from then on. Only the clients that asked last are
    remembered, so that a crowd of addresses takes no memory.
    """

    def __init__(self, rate: float) -> None:
        """Full buckets for everybody.

        Args:
            rate: Requests per second; a bucket holds as many, but at least one.
        """
        self._rate = rate
        self._size = max(1.0, rate)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, client: str, now: float) -> float:
        """Count a request.

        Args:
            client: The address of the client.
            now: The time, s, by a clock that never goes backwards.

        Returns:
            0 if the client may ask, or else after how many seconds it may.
        """
        client = _household(client)
        tokens, then = self._buckets.pop(client, (self._size, now))
        tokens = min(self._size, tokens + (now - then) * self._rate)
        granted = tokens >= 1
        self._buckets[client] = (tokens - granted, now)
        if len(self._buckets) > _MOST_CLIENTS:
            self._buckets.popitem(last=False)
        return 0.0 if granted else (1 - tokens) / self._rate


def _household(client: str) -> str:
    try:
        address = ip_address(client)
    except ValueError:
        return client
    if not isinstance(address, IPv6Address):
        return client
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(int(address) >> (128 - _NETWORK))

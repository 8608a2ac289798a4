# SPDX-License-Identifier: Apache-2.0
"""Decides who is served next, so that a client that asks very often does not shut others out.

Whoever had a turn lately waits behind whoever had not, and gives way to him where there is no room.
So a flood from any number of addresses costs somebody else one turn of each of them, once: what it
does after that comes after him. Addresses of IPv6 are many to each network: it is the networks that
take turns, and within one its addresses.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from typing import Generic, TypeVar

MAX_WAITING = 32
MAX_WAITING_PER_CLIENT = 4
MAX_REMEMBERED = 8192  # addresses and networks that had a turn
_NETWORK_BITS = 64

Wish = TypeVar("Wish")
# Which turns a client's network and itself had last, and when it came: the least is next.
_Rank = tuple[int, int, int]


class Full(Exception):
    """There is no room for another wish of this client."""


class FairQueue(Generic[Wish]):
    """Wishes that wait, each of a client, who is known by his address."""

    def __init__(self) -> None:
        self._waiting: dict[Wish, tuple[tuple[str, str], int]] = {}
        self._had: OrderedDict[str, int] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, wish: Wish, client: str) -> Wish | None:
        """Has it wait; returns a wish that gives way to it, if one has to. Raises Full."""
        names = _names(client)
        if sum(others == names for others, _ in self._waiting.values()) >= MAX_WAITING_PER_CLIENT:
            raise Full
        self._count += 1
        self._waiting[wish] = names, self._count
        if len(self._waiting) <= MAX_WAITING:
            return None
        last = max(self._waiting, key=self._rank)
        del self._waiting[last]
        if last is wish:
            raise Full
        return last

    def next(self) -> Wish:
        """Whose turn it is."""
        wish = min(self._waiting, key=self._rank)
        names, _ = self._waiting.pop(wish)
        self._count += 1
        for name in names:
            self._had[name] = self._count
            self._had.move_to_end(name)
        while len(self._had) > MAX_REMEMBERED:
            self._had.popitem(last=False)
        return wish

    def _rank(self, wish: Wish) -> _Rank:
        (network, address), came = self._waiting[wish]
        return self._had.get(network, 0), self._had.get(address, 0), came


def _names(client: str) -> tuple[str, str]:
    """The network of an address, and itself."""
    try:
        address = ipaddress.ip_address(client.partition("%")[0])
    except ValueError:  # there is none: it has left already
        return "", client
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        network = int(address) >> (128 - _NETWORK_BITS) << (128 - _NETWORK_BITS)
        return f"{ipaddress.IPv6Address(network)}/{_NETWORK_BITS}", client
    return client, client

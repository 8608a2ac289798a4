# SPDX-License-Identifier: Apache-2.0
"""A queue in which a client that asks very often does not shut others out.

A client that had a turn lately waits behind those that had none, and gives its place to them if the
queue is full. So a flood from any number of addresses delays another client by one turn of each
address, once. An IPv6 network has more addresses than can be remembered, so networks take turns,
and within a network its addresses.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from typing import Generic, TypeVar

MAX_WAITING = 32
MAX_WAITING_PER_CLIENT = 4
MAX_REMEMBERED = 8192  # addresses and networks that had a turn; the oldest are forgotten
_NETWORK_BITS = 64

Item = TypeVar("Item")
# The last turn of a client's network, its own last turn, and when it came: the least is next.
_Rank = tuple[int, int, int]


class Full(Exception):
    """An error: the queue has no room for another item of this client."""


class FairQueue(Generic[Item]):
    """Items that wait, each of a client, which is known by its address."""

    def __init__(self) -> None:
        self._waiting: dict[Item, tuple[tuple[str, str], int]] = {}
        self._had: OrderedDict[str, int] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, item: Item, client: str) -> Item | None:
        """Add an item.

        Returns:
            An item that had to give its place to this one; None if there was room.

        Raises:
            Full: The client has MAX_WAITING_PER_CLIENT items already, or the queue is full and no
                item has to give way to this one.
        """
        names = _names(client)
        if sum(others == names for others, _ in self._waiting.values()) >= MAX_WAITING_PER_CLIENT:
            raise Full
        self._count += 1
        self._waiting[item] = names, self._count
        if len(self._waiting) <= MAX_WAITING:
            return None
        last = max(self._waiting, key=self._rank)
        del self._waiting[last]
        if last is item:
            raise Full
        return last

    def next(self) -> Item:
        """Remove and return the item whose turn it is. There has to be one."""
        item = min(self._waiting, key=self._rank)
        names, _ = self._waiting.pop(item)
        self._count += 1
        for name in names:
            self._had[name] = self._count
            self._had.move_to_end(name)
        while len(self._had) > MAX_REMEMBERED:
            self._had.popitem(last=False)
        return item

    def _rank(self, item: Item) -> _Rank:
        (network, address), came = self._waiting[item]
        return self._had.get(network, 0), self._had.get(address, 0), came


def _names(client: str) -> tuple[str, str]:
    """Return the network of an address, and the address."""
    try:
        address = ipaddress.ip_address(client.partition("%")[0])
    except ValueError:  # no address: the client has left already
        return "", client
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        network = int(address) >> (128 - _NETWORK_BITS) << (128 - _NETWORK_BITS)
        return f"{ipaddress.IPv6Address(network)}/{_NETWORK_BITS}", client
    return client, client

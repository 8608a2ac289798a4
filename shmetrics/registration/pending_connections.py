# SPDX-License-Identifier: Apache-2.0
"""Connections without a hello yet: a bounded number of them, also per user."""

from __future__ import annotations

from typing import Generic, TypeVar

MAX_PENDING = 256
MAX_PENDING_PER_UID = 64

Client = TypeVar("Client")


class PendingConnections(Generic[Client]):
    """The connections without a hello, by user, the oldest first.

    One too many replaces the oldest one: that of the same user if the user is at its limit,
    otherwise that of all. A proper process says hello as soon as it is connected, and so is never
    the oldest.
    """

    def __init__(self) -> None:
        self._all: dict[Client, int] = {}
        self._by_uid: dict[int, dict[Client, None]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def most_of_a_uid(self) -> int:
        """Return the number of connections of the user with the most of them."""
        return max(map(len, self._by_uid.values()), default=0)

    def add(self, client: Client, uid: int) -> Client | None:
        """Add a connection of a user, and return the one that it replaces, or None.

        The replaced connection is forgotten here; the caller closes it.
        """
        known = self._by_uid.setdefault(uid, {})
        leaves = None
        if len(known) >= MAX_PENDING_PER_UID:
            leaves = next(iter(known))
        elif len(self._all) >= MAX_PENDING:
            leaves = next(iter(self._all))
        if leaves is not None:
            self.discard(leaves)
        self._by_uid.setdefault(uid, {})[client] = None
        self._all[client] = uid
        return leaves

    def discard(self, client: Client) -> None:
        """Forget a connection that has said hello or has ended, if it is known."""
        uid = self._all.pop(client, None)
        if uid is not None:
            known = self._by_uid[uid]
            del known[client]
            if not known:
                del self._by_uid[uid]

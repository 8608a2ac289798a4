# SPDX-License-Identifier: Apache-2.0
"""Connections that have said nothing yet: few of them, and not all of one user's."""

from __future__ import annotations

from typing import Generic, TypeVar

MAX_PENDING = 256
MAX_PENDING_PER_UID = 64

Client = TypeVar("Client")


class PendingConnections(Generic[Client]):
    """Who is silent, by user, the longest silent first. Whoever is one too many takes the place of
    the one who has been silent for longest: of the same user's, if that user has enough.

    A process says hello as soon as it is connected: the longest silent one is never such a one.
    """

    def __init__(self) -> None:
        self._all: dict[Client, int] = {}
        self._by_uid: dict[int, dict[Client, None]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def most_of_a_uid(self) -> int:
        """How many the user with the most of them has."""
        return max(map(len, self._by_uid.values()), default=0)

    def add(self, client: Client, uid: int) -> Client | None:
        """Takes one more; who has to go for it, if anybody."""
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
        """It has spoken, or is gone."""
        uid = self._all.pop(client, None)
        if uid is not None:
            known = self._by_uid[uid]
            del known[client]
            if not known:
                del self._by_uid[uid]

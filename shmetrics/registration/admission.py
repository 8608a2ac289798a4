# SPDX-License-Identifier: Apache-2.0
"""The admission of processes: the users and groups that may register, and how often.

It is decided before the process has said anything, and knows nothing about lanes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from shmetrics.registration.decision import Refused
from shmetrics.registration.peer import Peer
from shmetrics.registration.protocol import Result
from shmetrics.token_buckets import TokenBuckets

WINDOW_SECONDS = 10.0  # the registrations of this time may come at once


class Allowed(NamedTuple):
    """The users and groups whose processes may register. One of both is enough.

    Attributes:
        uids: numbers of users; None: all users.
        gids: numbers of groups.
    """

    uids: frozenset[int] | None = None
    gids: frozenset[int] = frozenset()

    def has(self, peer: Peer) -> bool:
        """Return whether a process may register, by its user, its group or its other groups."""
        return (
            self.uids is None
            or peer.uid in self.uids
            or peer.gid in self.gids
            or not self.gids.isdisjoint(peer.groups)
        )


class Admission:
    """The decision about a process before anything is made for it."""

    def __init__(
        self,
        allowed: Allowed,
        per_second: float,
        on_too_often: Callable[[], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Set the rules.

        Args:
            allowed: the users and groups that may register.
            per_second: the most registrations of a user per second, on average.
            on_too_often: called for each process that exceeds the rate of its user.
            monotonic: the clock, in seconds.
        """
        self._allowed = allowed
        self._per_second = per_second
        self._users = TokenBuckets[int](1 / per_second, per_second * WINDOW_SECONDS)
        self._on_too_often = on_too_often
        self._monotonic = monotonic

    def refusal(self, peer: Peer) -> Refused | None:
        """Return why a process gets no lane now, or None if it may have one."""
        if not self._allowed.has(peer):
            return Refused(
                Result.UID,
                f"uid {peer.uid} may not register; see registration.allow_uids",
            )
        if not self._users.take(peer.uid, self._monotonic()):
            self._on_too_often()
            return Refused(
                Result.QUOTA,
                f"uid {peer.uid} registers more than {self._per_second:g} processes a second; "
                "see registration.max_per_second",
            )
        return None

    def per_second(self) -> float:
        """Return the rate of the busiest user, per second."""
        return self._users.most_taken(self._monotonic()) / WINDOW_SECONDS

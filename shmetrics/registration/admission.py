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

WINDOW_SECONDS = 10.0  # the registrations of this time may come at once
_MIN_USERS = 64


class Allowed(NamedTuple):
    """The users and groups whose processes may register. One of both is enough.

    Attributes:
        uids: numbers of users; None: all users.
        gids: numbers of groups.
    """

    uids: frozenset[int] | None = None
    gids: frozenset[int] = frozenset()

    def has(self, peer: Peer) -> bool:
        """Tell whether a process may register, by its user, its group or its other groups."""
        return (
            self.uids is None
            or peer.uid in self.uids
            or peer.gid in self.gids
            or not self.gids.isdisjoint(peer.groups)
        )


class Rate:
    """A token bucket for each user, which gains *per_second* and holds ten seconds of that.

    A bucket is stored as the time at which it will be full again, and is forgotten then.
    """

    def __init__(self, per_second: float) -> None:
        self.per_second = per_second
        self._full_at: dict[int, float] = {}
        self._tidy_at = _MIN_USERS

    def take(self, uid: int, now: float) -> bool:
        """Take one token of a user. Return False if none is left.

        Args:
            uid: the number of the user.
            now: the time, in seconds of the monotonic clock.
        """
        full_at = max(self._full_at.get(uid, now), now) + 1 / self.per_second
        if full_at > now + WINDOW_SECONDS:
            return False
        self._full_at[uid] = full_at
        if len(self._full_at) > self._tidy_at:
            self._full_at = {uid: at for uid, at in self._full_at.items() if at > now}
            self._tidy_at = max(_MIN_USERS, 2 * len(self._full_at))
        return True

    def most(self, now: float) -> float:
        """Return the rate of the busiest user, per second; *per_second* if its bucket is empty."""
        latest = max(self._full_at.values(), default=now)
        return max(latest - now, 0.0) / WINDOW_SECONDS * self.per_second


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
        self._rate = Rate(per_second)
        self._on_too_often = on_too_often
        self._monotonic = monotonic

    def refusal(self, peer: Peer) -> Refused | None:
        """Return why a process gets no lane now, or None if it may have one."""
        if not self._allowed.has(peer):
            return Refused(
                Result.UID,
                f"uid {peer.uid} may not register; see registration.allow_uids",
            )
        if not self._rate.take(peer.uid, self._monotonic()):
            self._on_too_often()
            return Refused(
                Result.QUOTA,
                f"uid {peer.uid} registers more than {self._rate.per_second:g} processes a second; "
                "see registration.max_per_second",
            )
        return None

    def per_second(self) -> float:
        """Return the rate of the busiest user, per second."""
        return self._rate.most(self._monotonic())

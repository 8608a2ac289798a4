# SPDX-License-Identifier: Apache-2.0
"""Who may register at all, and how often: by user, by group, by time. It knows nothing of lanes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from shmetrics.registration.decision import Refused
from shmetrics.registration.peer import Peer
from shmetrics.registration.protocol import Result

WINDOW_SECONDS = 10.0  # so much of a user's rate may come at once
_MIN_USERS = 64


class Allowed(NamedTuple):
    """Whose processes may register. uids None: everybody's. Who is in either list may."""

    uids: frozenset[int] | None = None
    gids: frozenset[int] = frozenset()

    def has(self, peer: Peer) -> bool:
        return (
            self.uids is None
            or peer.uid in self.uids
            or peer.gid in self.gids
            or not self.gids.isdisjoint(peer.groups)
        )


class Rate:
    """A bucket for every user, which gains per_second and holds ten seconds of it.

    A bucket is kept as the time at which it will be full again, and is forgotten then.
    """

    def __init__(self, per_second: float) -> None:
        self.per_second = per_second
        self._full_at: dict[int, float] = {}
        self._tidy_at = _MIN_USERS

    def take(self, uid: int, now: float) -> bool:
        """One out of the user's bucket; False if there is none left."""
        full_at = max(self._full_at.get(uid, now), now) + 1 / self.per_second
        if full_at > now + WINDOW_SECONDS:
            return False
        self._full_at[uid] = full_at
        if len(self._full_at) > self._tidy_at:
            self._full_at = {uid: at for uid, at in self._full_at.items() if at > now}
            self._tidy_at = max(_MIN_USERS, 2 * len(self._full_at))
        return True

    def most(self, now: float) -> float:
        """What the busiest user takes, per second; per_second where its bucket is empty."""
        latest = max(self._full_at.values(), default=now)
        return max(latest - now, 0.0) / WINDOW_SECONDS * self.per_second


class Admission:
    """Looks at a process before anything is made for it."""

    def __init__(
        self,
        allowed: Allowed,
        per_second: float,
        on_too_often: Callable[[], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """on_too_often is told of every process that comes too soon after others of its user."""
        self._allowed = allowed
        self._rate = Rate(per_second)
        self._on_too_often = on_too_often
        self._monotonic = monotonic

    def refusal(self, peer: Peer) -> Refused | None:
        """Why this process gets no lane now, or None."""
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
        """What the busiest user takes of its rate."""
        return self._rate.most(self._monotonic())

# SPDX-License-Identifier: Apache-2.0
"""How much of the node's room for lanes is taken, and by whom."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple


class LaneLimits(NamedTuple):
    """What there may be of lanes."""

    lanes: int = 4096
    lanes_per_uid: int = 2048
    lane_bytes: int = 1 << 40


class Excess(NamedTuple):
    """A quota that another lane would exceed, and what to say about it."""

    quota: str
    text: str


class UndrainedFiles(NamedTuple):
    """What takes room beside the lanes that are drained: files set aside, that cannot be removed or
    not be opened. size_bytes: of all. by_uid: how many of them a process still has, by user."""

    size_bytes: int = 0
    by_uid: Counter[int] = Counter()  # noqa: RUF012


class LaneQuota:
    """Counts lanes as they come and go, and what is left of others."""

    def __init__(self, limits: LaneLimits) -> None:
        self.limits = limits
        self.undrained = UndrainedFiles()
        self.lanes = 0
        self._lane_bytes = 0
        self._by_uid: Counter[int] = Counter()

    @property
    def lane_bytes(self) -> int:
        """What all of it takes."""
        return self._lane_bytes + self.undrained.size_bytes

    def add(self, uid: int, size_bytes: int) -> None:
        self.lanes += 1
        self._lane_bytes += size_bytes
        self._by_uid[uid] += 1

    def remove(self, uid: int, size_bytes: int) -> None:
        self.lanes -= 1
        self._lane_bytes -= size_bytes
        self._by_uid[uid] -= 1
        if not self._by_uid[uid]:
            del self._by_uid[uid]

    def most_of_a_uid(self) -> int:
        """How many lanes the user with the most of them has."""
        return max((self._by_uid + self.undrained.by_uid).values(), default=0)

    def _of(self, uid: int) -> int:
        return self._by_uid[uid] + self.undrained.by_uid[uid]

    def excess(self, uid: int | None, size_bytes: int) -> Excess | None:
        """Why there is no room for another lane of this user and size, or None. uid: None, and it
        is about users in general."""
        limits = self.limits
        if self.lanes >= limits.lanes:
            return Excess(
                "lanes", f"there are {self.lanes} lanes already; see registration.max_lanes"
            )
        if uid is not None and self._of(uid) >= limits.lanes_per_uid:
            return Excess(
                "lanes_per_uid",
                f"uid {uid} has {self._of(uid)} lanes already; see registration.max_lanes_per_uid",
            )
        if self.lane_bytes + size_bytes > limits.lane_bytes:
            return Excess(
                "lane_bytes",
                f"lanes have {self.lane_bytes} of {limits.lane_bytes} bytes already, "
                f"and this one needs {size_bytes}; see registration.max_lane_bytes",
            )
        return None

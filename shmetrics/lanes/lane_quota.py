# SPDX-License-Identifier: Apache-2.0
"""The quota of lanes: how much of the node's room for lanes is taken, and by which user."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple


class LaneLimits(NamedTuple):
    """The most lanes, the most lanes of one user, and the most bytes of all lanes."""

    lanes: int = 4096
    lanes_per_uid: int = 2048
    lane_bytes: int = 1 << 40


class Excess(NamedTuple):
    """The quota that another lane would exceed.

    Attributes:
        quota: its name.
        cause: why there is no room, in words.
        option: the option that sets it.
    """

    quota: str
    cause: str
    option: str

    @property
    def text(self) -> str:
        """Return one line about it for people."""
        return f"{self.cause}; see {self.option}"


class UndrainedFiles(NamedTuple):
    """The room that files take beside the lanes that are drained.

    These are lanes that were set aside, cannot be removed, or cannot be opened now.

    Attributes:
        size_bytes: the bytes of all of them.
        by_uid: the number of them that a process still holds, by user.
    """

    size_bytes: int = 0
    by_uid: Counter[int] = Counter()  # noqa: RUF012


class LaneQuota:
    """Counts lanes as they come and go, beside the undrained files, against the limits."""

    def __init__(self, limits: LaneLimits) -> None:
        """Begin without lanes."""
        self.limits = limits
        self.undrained = UndrainedFiles()
        self.lanes = 0
        self._lane_bytes = 0
        self._by_uid: Counter[int] = Counter()

    @property
    def lane_bytes(self) -> int:
        """Return the bytes of all lanes and undrained files."""
        return self._lane_bytes + self.undrained.size_bytes

    def add(self, uid: int, size_bytes: int) -> None:
        """Count a lane of a user."""
        self.lanes += 1
        self._lane_bytes += size_bytes
        self._by_uid[uid] += 1

    def remove(self, uid: int, size_bytes: int) -> None:
        """Count a lane of a user no more."""
        self.lanes -= 1
        self._lane_bytes -= size_bytes
        self._by_uid[uid] -= 1
        if not self._by_uid[uid]:
            del self._by_uid[uid]

    def most_of_a_uid(self) -> int:
        """Return the number of lanes of the user that has the most."""
        return max((self._by_uid + self.undrained.by_uid).values(), default=0)

    def _of(self, uid: int) -> int:
        """Return the number of lanes of a user."""
        return self._by_uid[uid] + self.undrained.by_uid[uid]

    def excess(
        self, uid: int | None, size_bytes: int, replaced_bytes: int | None = None
    ) -> Excess | None:
        """Return the quota that one more lane would exceed, or None if there is room for it.

        Args:
            uid: the user that asks; None checks only the limits of all users together.
            size_bytes: the size of the new lane.
            replaced_bytes: the size of the lane whose place it takes; None: of no other.
        """
        limits = self.limits
        if replaced_bytes is not None:
            return self._excess_bytes(size_bytes - replaced_bytes)
        if self.lanes >= limits.lanes:
            return Excess(
                "lanes", f"there are {self.lanes} lanes already", "registration.max_lanes"
            )
        if uid is not None and self._of(uid) >= limits.lanes_per_uid:
            return Excess(
                "lanes_per_uid",
                f"uid {uid} has {self._of(uid)} lanes already",
                "registration.max_lanes_per_uid",
            )
        return self._excess_bytes(size_bytes)

    def _excess_bytes(self, more_bytes: int) -> Excess | None:
        if self.lane_bytes + more_bytes <= self.limits.lane_bytes:
            return None
        return Excess(
            "lane_bytes",
            f"lanes have {self.lane_bytes} of {self.limits.lane_bytes} bytes already, "
            f"and this one needs {more_bytes}",
            "registration.max_lane_bytes",
        )

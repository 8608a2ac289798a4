# SPDX-License-Identifier: Apache-2.0
"""The metrics of a lane whose label sets overflow, and the quotas that leave no room for them."""

from __future__ import annotations

from collections.abc import Iterator

from shmetrics.lanes.lane_quota import Excess
from shmetrics.notices import Notice

_REST = "further ones are counted as __overflow__"
_NO_ROOM = f"no room in its lane for more label values; {_REST}"
# An earlier collector has refused the larger lane, or no lane is large enough.
_TOO_MUCH = f"its label values are too many or too long for its lane; {_REST}"


class Overflows:
    """The overflows of one lane, one for each metric and quota.

    Attributes:
        excess: the quota that refuses the process a larger lane; None: none has, as far as this
            collector knows.
    """

    def __init__(self) -> None:
        """Begin without any."""
        self.excess: Excess | None = None
        self._by_quota: dict[tuple[str, str], Notice] = {}
        self._without_room: dict[str, None] = {}  # metrics, in their order

    def __iter__(self) -> Iterator[Notice]:
        """Iterate over them as notices."""
        yield from self._by_quota.values()
        yield from map(self._of_lane, self._without_room)

    def note(self, notice: Notice) -> bool:
        """Note that a quota folds label sets of a metric; return whether that is new."""
        key = notice.metric, notice.reason
        return self._by_quota.setdefault(key, notice) is notice

    def note_without_room(self, metric: str) -> Notice:
        """Note that the lane itself has no room for label sets of a metric, and return that."""
        self._without_room[metric] = None
        return self._of_lane(metric)

    def _of_lane(self, metric: str) -> Notice:
        if self.excess is None:
            mend = "see what the process itself logs, registration.max_lane_bytes and [[labels]]"
            return Notice(metric, "lane", _TOO_MUCH, mend)
        mend = f"see {self.excess.option} and [[labels]]"
        return Notice(metric, self.excess.quota, _NO_ROOM, mend)

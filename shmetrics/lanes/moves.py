# SPDX-License-Identifier: Apache-2.0
"""The moves of processes to larger lanes.

A process that moves has two lanes for a moment, and its state, gauges and open calls, counts in one
of them.
"""

from __future__ import annotations

from collections.abc import Mapping

from shmetrics.lanes.lane import Lane, LaneState


class Moves:
    """The moves between the lanes of the node, as of the last drain."""

    def __init__(self, lanes: Mapping[int, Lane]) -> None:
        """Begin without any.

        Args:
            lanes: the lanes of the node, by id, as they come and go.
        """
        self._lanes = lanes
        self._moved: set[int] = set()  # lanes whose state was in another lane at the last drain

    def look(self) -> dict[int, int]:
        """Return where the processes of lanes have moved to, by lane.

        A drain that begins after this look finds all that a move has brought to the other lane.
        """
        lanes = list(self._lanes.values())
        return {lane.lane_id: to for lane in lanes if (to := lane.moved_to())}

    def note(self, moved_to: Mapping[int, int]) -> None:
        """Take the state of moved processes out of their new lanes from now on.

        A new lane whose definitions are not all read yet has to wait.

        Args:
            moved_to: where the processes of lanes had moved to before they were drained, by lane.
        """
        self._moved = {
            lane_id
            for lane_id, to in moved_to.items()
            if lane_id in self._moved or to not in self._lanes or not self._lanes[to].is_behind
        }

    def before(self, lane: Lane) -> Lane | None:
        """Return the lane from which a process has moved to this one, as long as it is there."""
        before = self._lanes.get(lane.predecessor)
        return before if before is not None and before.moved_to() == lane.lane_id else None

    def has_begun(self, lane: Lane) -> bool:
        """Return whether the process of a lane goes on there, so that what is in it counts.

        A process that dies in the middle of a move has never begun the new lane.
        """
        return lane.has_arrived or self.before(lane) is not None

    def has_state(self, lane: Lane) -> bool:
        """Return whether the gauges and open calls in a lane count, as of the last drain."""
        if lane.state is not LaneState.OPEN or lane.lane_id in self._moved:
            return False
        return lane.has_arrived or (
            lane.predecessor in self._moved and self.before(lane) is not None
        )

# SPDX-License-Identifier: Apache-2.0
"""The lanes, the open calls and the failed calls of a node as plain dictionaries, for JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Final

from shmetrics.lanes.halt_watch import HaltWatch, Seen
from shmetrics.lanes.lane import Lane, OpenCall
from shmetrics.lanes.lanes import Lanes
from shmetrics.tables.in_flight import InFlight, side_label
from shmetrics.tables.methods import work_of
from shmetrics.tables.unanswered import Unanswered

MOST_LISTED: Final = 20  # refusals or overflows of a lane


class Listing:
    """Lists them, as of the last drain."""

    def __init__(
        self,
        lanes: Lanes,
        in_flight: InFlight,
        halt_watch: HaltWatch,
        monotonic_ns: Callable[[], int],
    ) -> None:
        """Take what is listed, and the monotonic clock in nanoseconds."""
        self._lanes = lanes
        self._in_flight = in_flight
        self._halt_watch = halt_watch
        self._monotonic_ns = monotonic_ns

    def lanes(self) -> list[dict[str, object]]:
        """Return one dictionary per lane."""
        with_state = set(self._lanes.with_state())
        return [self._lane(lane, lane in with_state) for lane in self._lanes]

    def calls(self) -> list[dict[str, object]]:
        """Return one dictionary per open call, the oldest first."""
        now_ns = self._monotonic_ns()
        unanswered = Unanswered(
            {lane: seen.halt for lane in self._lanes if (seen := self._halt_watch.of(lane))}
        )
        calls = [(lane, call) for lane in self._lanes.with_state() for call in lane.calls()]
        calls.sort(key=lambda pair: pair[1].start_ns)
        return [self._call(lane, call, unanswered, now_ns) for lane, call in calls]

    def failed_calls(self) -> list[dict[str, object]]:
        """Return one dictionary per call that failed lately, the latest first."""
        return [
            {
                "family": call.family,
                "side": call.family.rpartition("_")[2],
                **_labels(call.labels),
                "reason": call.reason,
                "end": call.end,
                "seconds": call.seconds,
                "trace": call.trace,
                "lane": call.lane_id,
                **call.owner._asdict(),
            }
            for call in self._lanes.failed_calls
        ]

    def _lane(self, lane: Lane, has_state: bool) -> dict[str, object]:
        counts = lane.total_counts()
        seen = self._halt_watch.of(lane)
        return {
            "lane": lane.lane_id,
            **lane.owner._asdict(),
            "state": lane.state.value,
            "halt": seen and self._halt(seen),
            "stopped_parent": self._halt_watch.stopped_parent(lane),
            "events": counts["recorded"] + counts["spilled"],
            "waiting": counts["waiting"],
            "records": lane.records,
            "fill": counts["waiting"] / lane.records if lane.records else 0.0,
            "spilled": counts["spilled"],
            "overflowed": counts["overflowed"],
            "dropped": sum(counts["dropped"].values()),
            "dropped_by_cause": {cause: n for cause, n in counts["dropped"].items() if n},
            "refused": dict(lane.bindings.refusals.by_reason),
            "refusals": [each._asdict() for each in islice(lane.bindings.refusals, MOST_LISTED)],
            "overflows": [each._asdict() for each in islice(lane.bindings.overflows, MOST_LISTED)],
            "sent_twice": lane.sent_twice,
            "open_calls": len(lane.calls()) if has_state else 0,
        }

    def _halt(self, seen: Seen) -> dict[str, object]:
        seen_seconds = max(self._monotonic_ns() / 1e9 - seen.since, 0.0)
        return seen.halt._asdict() | {"seen_seconds": seen_seconds}

    def _call(
        self, lane: Lane, call: OpenCall, unanswered: Unanswered, now_ns: int
    ) -> dict[str, object]:
        return {
            "family": call.family.definition.name,
            "side": side_label(call.family),
            **_labels(call.labels),
            "age_seconds": max(now_ns - call.start_ns, 0) / 1e9,
            "timeout_seconds": self._in_flight.timeout_ms(call) / 1000 or None,
            "is_overdue": self._in_flight.is_overdue(call, now_ns),
            "lateness": self._in_flight.lateness(call, now_ns),
            "unanswered_by": unanswered.by(lane, call),
            "trace": call.trace,
            "lane": lane.lane_id,
            **lane.owner._asdict(),
        }


def _labels(labels: Mapping[str, str]) -> dict[str, object]:
    """Return what a call's labels tell in a list of calls, for JSON."""
    return {
        "topic": labels.get("topic", ""),
        "method": work_of(labels),
        "server": labels.get("server", ""),
        "labels": labels,
    }

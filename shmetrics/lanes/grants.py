# SPDX-License-Identifier: Apache-2.0
"""The answer to a process that asks for a lane, or for a larger one: a lane, or a refusal."""

from __future__ import annotations

import errno
import mmap
import os
import time
from typing import NamedTuple

from shmetrics import layout
from shmetrics.lanes.lane import Lane
from shmetrics.lanes.lane_files import Owner, Sizes
from shmetrics.lanes.lane_quota import Excess, LaneLimits
from shmetrics.lanes.lanes import Lanes
from shmetrics.lanes.pids import pid_label
from shmetrics.registration.decision import Granted, Refused
from shmetrics.registration.peer import Peer
from shmetrics.registration.protocol import WITH_EVENTFD, Hello, Result
from shmetrics.store.families import Families
from shmetrics.store.self_metrics import SelfMetrics

MIN_RECORDS = 64
# The most that a lane has for each series that it may have.
DEFINITION_BYTES = 1024
CELLS_PER_SERIES = 32
CLEAN_UP_SECONDS = 60.0  # between two lanes of a process that has all series that it may have


class LaneSettings(NamedTuple):
    """The limits of lanes, and the sizes of a new one."""

    sizes: Sizes = Sizes()
    limits: LaneLimits = LaneLimits()


class Grants:
    """The grants of lanes, within the quotas of the node."""

    def __init__(
        self, lanes: Lanes, families: Families, self_metrics: SelfMetrics, settings: LaneSettings
    ) -> None:
        """Begin to count what is refused.

        Args:
            lanes: the lanes of the node.
            families: all families of the node.
            self_metrics: the collector's own metrics.
            settings: the limits of lanes and the sizes of new ones.
        """
        self._lanes = lanes
        self._families = families
        self._self_metrics = self_metrics
        self._settings = settings
        quota = lanes.quota
        self._exceeded = {
            "lanes": self_metrics.quota("lanes", settings.limits.lanes, lambda: quota.lanes),
            "lanes_per_uid": self_metrics.quota(
                "lanes_per_uid", settings.limits.lanes_per_uid, quota.most_of_a_uid
            ),
            "lane_bytes": self_metrics.quota(
                "lane_bytes", settings.limits.lane_bytes, lambda: quota.lane_bytes
            ),
        }

    def grant(self, peer: Peer, hello: Hello) -> Granted | Refused:
        """Make a lane for a process that asks for one.

        Args:
            peer: the process, as the kernel tells it.
            hello: the request of the process.

        Returns:
            The lane's id and descriptors, or the reason for a refusal.
        """
        sizes = self._sizes(hello)
        replaced = self._lanes.get(hello.predecessor)
        if replaced is not None:
            refused = self._refuse_replacement(replaced, peer)
            if refused is not None:
                return refused
        takes_place = replaced is not None and self._successor(replaced) is None
        excess = self._lanes.quota.excess(
            peer.uid,
            layout.lane_bytes(*sizes),
            replaced.size_bytes if replaced is not None and takes_place else None,
        )
        if excess is not None:
            self._exceeded[excess.quota].inc()
            if replaced is not None:
                replaced.bindings.overflows.excess = excess
            return Refused(Result.QUOTA, excess.text)
        lane_id = self._families.store.next_lane_id()
        label = self._pid_label(lane_id, peer, hello, replaced)
        owner = Owner(hello.process or "unknown", peer.pid, peer.uid, label)
        try:
            lane_fd = self._lanes.create(lane_id, owner, sizes, replaced)
            try:
                # For kicks in protocol 1; later protocols have none.
                with_eventfd = hello.protocol == WITH_EVENTFD
                kick_fd = self._lanes.eventfd(lane_id) if with_eventfd else None
            except BaseException:
                os.close(lane_fd)  # no process holds the lane then, and it is retired
                raise
        except OSError as error:
            problem = "no room for a lane" if error.errno == errno.ENOSPC else "no lane can be made"
            where = self._lanes.files.directory
            return Refused(Result.NO_SPACE, f"{problem} in {where}: {error.strerror}")
        return Granted(lane_id, lane_fd, kick_fd)

    def _refuse_replacement(self, replaced: Lane, peer: Peer) -> Refused | None:
        """Return why a process may not replace a lane, or None if it may.

        A lane with all series that it may have is replaced from time to time: those that are not
        used any more stay behind.
        """
        owner = replaced.owner
        if (owner.pid, owner.uid) != (peer.pid, peer.uid):
            return Refused(
                Result.MALFORMED,
                f"lane {replaced.lane_id} is not of pid {peer.pid}, uid {peer.uid}",
            )
        series, most = replaced.bindings.n_series, self._families.limits.series_per_lane
        if series >= most and time.monotonic() - replaced.opened_s < CLEAN_UP_SECONDS:
            self._self_metrics.exceeded("series_per_lane").inc()
            excess = Excess(
                "series_per_lane",
                f"its lane has {series} series already, and more count as __overflow__",
                "store.max_series_per_lane",
            )
            replaced.bindings.overflows.excess = excess
            return Refused(Result.QUOTA, excess.text)
        return None

    def _successor(self, lane: Lane) -> Lane | None:
        """Return the newest lane that is there to replace a lane, or None."""
        newest_first = reversed(list(self._lanes))
        return next((each for each in newest_first if each.predecessor == lane.lane_id), None)

    def _pid_label(self, lane_id: int, peer: Peer, hello: Hello, replaced: Lane | None) -> str:
        """Return the `pid` label of a process; see pids.py. A larger lane has that of the first."""
        if replaced is not None:
            return replaced.owner.pid_label
        label = pid_label(peer.pid, lane_id, hello.pid, hello.pid_namespace)
        return label if peer.pid or not self._lanes.has_pid(label) else pid_label(0, lane_id)

    def obstacle(self) -> str:
        """Return the reason why nobody can get a lane, or "" if there is none."""
        size_bytes = layout.lane_bytes(*self._sizes(Hello(0, MIN_RECORDS, "")))
        excess = self._lanes.quota.excess(None, size_bytes)
        return excess.text if excess is not None else self._lanes.files.obstacle(size_bytes)

    def _sizes(self, hello: Hello) -> Sizes:
        """Return the sizes of a lane for a process, as far as they are allowed.

        The number of records is a power of two between `MIN_RECORDS` and the setting; 0 stands for
        the setting. Room for definitions and cells is at least that of the settings, and at most
        what the allowed number of series needs.
        """
        sizes = self._settings.sizes
        if hello.records:
            fitting = 1 << (hello.records - 1).bit_length()
            sizes = sizes._replace(records=max(MIN_RECORDS, min(fitting, sizes.records)))
        series = self._families.limits.series_per_lane
        dictionary_bytes = min(hello.dictionary_bytes, series * DEFINITION_BYTES)
        cells = min(hello.cells, series * CELLS_PER_SERIES)
        return sizes._replace(
            dictionary_bytes=max(sizes.dictionary_bytes, _rounded_up(dictionary_bytes)),
            cells=max(sizes.cells, _rounded_up(cells)),
        )


def _rounded_up(n: int) -> int:
    """Return the next multiple of a page's bytes."""
    return -(-n // mmap.PAGESIZE) * mmap.PAGESIZE

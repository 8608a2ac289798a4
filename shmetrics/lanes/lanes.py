# SPDX-License-Identifier: Apache-2.0
"""All lanes of the node: made at registration, reopened after a restart, retired at the end."""

from __future__ import annotations

import contextlib
import errno
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from shmetrics import layout
from shmetrics.errors import BrokenLane, LaneRefused
from shmetrics.lanes.deaths import Deaths
from shmetrics.lanes.kicks import Kick, Kicks
from shmetrics.lanes.lane import Lane, LaneState
from shmetrics.lanes.lane_files import LaneFile, LaneFiles, Owner, Sizes
from shmetrics.lanes.lane_quota import LaneLimits, LaneQuota
from shmetrics.lanes.spans import Spans
from shmetrics.registration.decision import Granted, Refused
from shmetrics.registration.peer import Peer
from shmetrics.registration.protocol import WITH_EVENTFD, Hello, Result
from shmetrics.store.families import Families
from shmetrics.store.gauges import Gauges
from shmetrics.store.self_metrics import SelfMetrics

MIN_RECORDS = 64
DEFINITIONS_PER_PASS = 20_000  # some 0.2 s; then every lane still gets a few
DEFINITIONS_PER_LANE = 4096
FEW_DEFINITIONS = 64
# What says nothing about a lane, and may be otherwise in a moment.
_NOT_NOW = frozenset(
    (errno.EROFS, errno.EPERM, errno.EACCES, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
)


class LaneSettings(NamedTuple):
    """How many lanes there may be, and of what size."""

    sizes: Sizes = Sizes()
    limits: LaneLimits = LaneLimits()


class Lanes:
    """The lanes by id."""

    def __init__(
        self,
        directory: Path,
        families: Families,
        gauges: Gauges,
        self_metrics: SelfMetrics,
        settings: LaneSettings,
        kicks: Kicks,
        deaths: Deaths,
        on_abandoned: Callable[[Lane], None],
        spans: Spans | None = None,
    ) -> None:
        """on_abandoned is told of a lane that is about to be retired, after its last drain. spans:
        None, and they are left out."""
        self._files = LaneFiles(directory, families.store.clock)
        self._families = families
        self._gauges = gauges
        self._self_metrics = self_metrics
        self._settings = settings
        self._kicks = kicks
        self._deaths = deaths
        self._on_abandoned = on_abandoned
        self._spans = spans
        self._lanes: dict[int, Lane] = {}
        self._pids: Counter[str] = Counter()  # how many lanes have each
        self._kick_of: dict[int, Kick] = {}
        self._quota = quota = LaneQuota(settings.limits)
        self._exceeded = {
            "lanes": self_metrics.quota("lanes", settings.limits.lanes, lambda: quota.lanes),
            "lanes_per_uid": self_metrics.quota(
                "lanes_per_uid", settings.limits.lanes_per_uid, quota.most_of_a_uid
            ),
            "lane_bytes": self_metrics.quota(
                "lane_bytes", settings.limits.lane_bytes, lambda: quota.lane_bytes
            ),
        }

    def __iter__(self) -> Iterator[Lane]:
        return iter(list(self._lanes.values()))

    def most_series(self) -> int:
        """How many series the lane with the most of them has."""
        return max((lane.bindings.n_series for lane in self), default=0)

    def most_families(self) -> int:
        """How many families the lane with the most of them has."""
        return max((lane.bindings.n_families for lane in self), default=0)

    def __len__(self) -> int:
        return len(self._lanes)

    # ---- coming -----------------------------------------------------------------------------

    def grant(self, peer: Peer, hello: Hello) -> Granted | Refused:
        """A lane for a process that asks for one, or why there is none."""
        sizes = self._sizes(hello.records)
        excess = self._quota.excess(peer.uid, layout.lane_bytes(*sizes))
        if excess is not None:
            self._exceeded[excess.quota].inc()
            return Refused(Result.QUOTA, excess.text)
        lane_id = self._families.store.next_lane_id()
        owner = Owner(hello.process or "unknown", peer.pid, peer.uid)
        try:
            lane_fd = self._create(lane_id, owner, sizes)
            try:
                kick_fd = self._eventfd(lane_id, hello)
            except BaseException:
                os.close(lane_fd)  # then the lane is nobody's, and retired
                raise
        except OSError as error:
            what = "no room for a lane" if error.errno == errno.ENOSPC else "no lane can be made"
            where = self._files.directory
            return Refused(Result.NO_SPACE, f"{what} in {where}: {error.strerror}")
        return Granted(lane_id, lane_fd, kick_fd)

    def _eventfd(self, lane_id: int, hello: Hello) -> int | None:
        return self._kick_of[lane_id].eventfd() if hello.protocol == WITH_EVENTFD else None

    def obstacle(self) -> str:
        """What keeps everybody from getting a lane; "" if nothing does."""
        size_bytes = layout.lane_bytes(*self._sizes(MIN_RECORDS))
        excess = self._quota.excess(None, size_bytes)
        return excess.text if excess is not None else self._files.obstacle(size_bytes)

    def _sizes(self, wanted_records: int) -> Sizes:
        sizes = self._settings.sizes
        if not wanted_records:
            return sizes
        fitting = 1 << (wanted_records - 1).bit_length()
        return sizes._replace(records=max(MIN_RECORDS, min(fitting, sizes.records)))

    def _create(self, lane_id: int, owner: Owner, sizes: Sizes) -> int:
        file, lane_fd = self._files.create(lane_id, owner, sizes)
        try:
            self._add(file)
        except BaseException:
            os.close(lane_fd)
            self._files.remove(file.path)
            raise
        return lane_fd

    def _add(self, file: LaneFile) -> None:
        # Not the descriptor that is handed over: whether anybody has another one is to be seen.
        fd = os.open(file.path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            lane = Lane(file, fd, self._families, self._gauges, self._self_metrics, self._spans)
        except BaseException:
            os.close(fd)
            raise
        lane_id = lane.lane_id
        self._lanes[lane_id] = lane
        self._kick_of[lane_id] = Kick(
            self._kicks, file.path, lambda: self._kicked(lane_id), lambda: self._muted(lane_id)
        )
        self._deaths.watch(lane_id, lane.owner.pid)
        self._pids[lane.pid] += 1
        self._gauges.begin(lane.pid)
        self._quota.add(lane.owner.uid, lane.size_bytes)

    def reopen(self) -> None:
        """Takes up the lanes of an earlier collector."""
        self._families.store.note_lane_id(self._files.highest_id)
        for path in self._files:
            self._reopen(path)
        self._quota.undrained = self._files.undrained()

    def _reopen(self, path: Path, is_again: bool = False) -> None:
        """Takes a lane up, or sets it aside. If the system does not let us look at it now, it
        waits."""
        try:
            self._add(self._files.read(path))
        except (OSError, ValueError, LaneRefused) as error:
            text = str(error)  # a log may keep what it is given, and an error keeps the lane
            if isinstance(error, OSError) and error.errno in _NOT_NOW:
                with contextlib.suppress(FileNotFoundError):  # removed in this moment
                    if self._files.wait(path) and not is_again:
                        self._self_metrics.rate_limited.warning(
                            path.name, f"{path} cannot be taken up, and is tried again: {text}"
                        )
                return
            if self._files.set_aside(path):
                reason = text if isinstance(error, LaneRefused) else "unreadable"
                self._self_metrics.quarantined.labels(reason).inc()
                self._self_metrics.rate_limited.warning(
                    path.name, f"{path}: not a lane that can be drained ({text}); set aside"
                )

    # ---- working ----------------------------------------------------------------------------

    def drain_all(self) -> None:
        """One pass over all lanes. A flood of definitions waits for the next one."""
        left = DEFINITIONS_PER_PASS
        for lane in self:
            left -= self._drain_lane(lane, max(FEW_DEFINITIONS, min(left, DEFINITIONS_PER_LANE)))

    def catch_up(self) -> None:
        """The first pass: as many definitions as one lane may well have."""
        for lane in self:
            self._drain_lane(lane, DEFINITIONS_PER_PASS)

    def _kicked(self, lane_id: int) -> bool:
        """Drains a lane whose emitter asks for it. Whether it had reason to: it does so at half a
        ring, of which a tick may have taken some meanwhile."""
        lane = self._lanes[lane_id]
        needed = lane.state is LaneState.OPEN and lane.counts()["waiting"] * 4 >= lane.records
        self._drain_lane(lane)
        self._self_metrics.kicks.labels("needed" if needed else "idle").inc()
        return needed

    def _muted(self, lane_id: int) -> None:
        self._self_metrics.muted.inc()
        owner = self._lanes[lane_id].owner
        self._warn(lane_id, owner, "kicks for nothing, and is drained at ticks only")

    def _drain_lane(self, lane: Lane, definitions: int = DEFINITIONS_PER_LANE) -> int:
        if lane.state is LaneState.QUARANTINED:
            return 0
        taken = 0
        try:
            taken = lane.drain(definitions)
        except BrokenLane as error:
            self._quarantine(lane, str(error))
        except Exception:
            # A fault of ours, met by this lane: its neighbours must go on.
            text = f"{lane.path}: drain failed"
            self._self_metrics.rate_limited.warning("internal", text, lane.owner.uid, exc_info=True)
            self._quarantine(lane, "internal", for_good=False)
        if self._spans is not None:
            self._spans.take(lane.lane_id, lane.bindings.spans)
        lane.report()
        return taken

    def _quarantine(self, lane: Lane, reason: str, for_good: bool = True) -> None:
        lane.quarantine(reason.partition(":")[0], for_good)
        text = f"breaks the contract ({reason}) and is read no more"
        self._warn(lane.lane_id, lane.owner, text)

    def _warn(self, lane_id: int, owner: Owner, what: str) -> None:
        whose = f"lane {lane_id} of {owner.process} (pid {owner.pid}, uid {owner.uid})"
        self._self_metrics.rate_limited.warning((lane_id, what), f"{whose} {what}", owner.uid)

    def cut_back(self) -> None:
        """Takes back what an emitter has made of its lane beyond its size."""
        for lane in self:
            try:
                has_grown = lane.cut_back()
            except OSError:  # it cannot be cut back: at the next tick, maybe
                has_grown = True
            if has_grown and lane.state is LaneState.OPEN:
                self._quarantine(lane, "grown")
        self._files.cut_back()

    # ---- going ------------------------------------------------------------------------------

    def retire_abandoned(self) -> None:
        """Retires every lane whose process is gone; and tries again what could not be done."""
        for path in self._files.take_waiting():
            self._reopen(path, is_again=True)
        for lane in self:
            if lane.is_abandoned():
                self._retire(lane)
        self._files.prune()
        self._quota.undrained = self._files.undrained()

    def ended(self, lane_id: int) -> bool:
        """A process ended: retires its lane. False if somebody has that as yet."""
        lane = self._lanes.get(lane_id)
        if lane is None:
            return True
        if not lane.is_abandoned():
            return False
        self._retire(lane)
        return lane_id not in self._lanes

    def _retire(self, lane: Lane) -> None:
        lane.finish()
        self._drain_lane(lane)
        if lane.is_behind and lane.state is LaneState.OPEN:
            return  # later
        if lane.state is LaneState.OPEN:
            self._on_abandoned(lane)
            bad_values = self._self_metrics.dropped.cell("bad_value")
            lost = self._gauges.retire(
                lane.gauge_values(), lane.add_gauge, bad_values, lane.owner.store_owner
            )
            if lost:
                self._self_metrics.dropped.labels("store_full").inc(lost)
        self._forget_pid(lane.pid)
        lane_id = lane.lane_id
        if self._spans is not None:
            self._spans.ended(lane_id)
        self._quota.remove(lane.owner.uid, lane.size_bytes)
        lane.retire()
        self._let_go(lane)
        self._files.remove(lane.path, lane.size_bytes)
        del self._lanes[lane_id]

    def _forget_pid(self, pid: str) -> None:
        """A lane is about to go. A later one of the same pid may have come before that."""
        self._pids[pid] -= 1
        if self._pids[pid]:
            self._gauges.begin(pid)
        else:
            del self._pids[pid]

    def _let_go(self, lane: Lane) -> None:
        self._deaths.forget(lane.lane_id)
        kick = self._kick_of.pop(lane.lane_id, None)
        if kick is not None:
            kick.close()
        lane.close()

    def close(self) -> None:
        """Lets go of all lanes; their files stay for the next collector."""
        for lane in self:
            self._let_go(lane)
        self._lanes.clear()

# SPDX-License-Identifier: Apache-2.0
"""All lanes of the node: made at registration, reopened after a restart, retired at the end."""

from __future__ import annotations

import contextlib
import errno
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TypeVar

from shmetrics.errors import BrokenLane, LaneRefused
from shmetrics.lanes.bindings import Bindings
from shmetrics.lanes.deaths import Deaths
from shmetrics.lanes.failed_calls import FailedCalls
from shmetrics.lanes.kicks import Kick, Kicks
from shmetrics.lanes.lane import Lane, LaneState
from shmetrics.lanes.lane_files import LaneFile, LaneFiles, Owner, Sizes
from shmetrics.lanes.lane_quota import LaneLimits, LaneQuota
from shmetrics.lanes.moves import Moves
from shmetrics.lanes.recorded import Recorded
from shmetrics.lanes.spans import Spans
from shmetrics.store.families import Families
from shmetrics.store.family import Family
from shmetrics.store.gauges import Gauges
from shmetrics.store.packing import Moved
from shmetrics.store.self_metrics import SelfMetrics

DEFINITIONS_PER_PASS = 20_000  # some 0.2 s of work; after them each lane still gets a few
DEFINITIONS_PER_LANE = 4096
FEW_DEFINITIONS = 64
# Errors of the system, which say nothing about a lane and may be over in a moment.
_NOT_NOW = frozenset(
    (errno.EROFS, errno.EPERM, errno.EACCES, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
)

Result_ = TypeVar("Result_")


class Lanes:
    """The lanes of the node, by id."""

    def __init__(
        self,
        directory: Path,
        families: Families,
        gauges: Gauges,
        self_metrics: SelfMetrics,
        limits: LaneLimits,
        kicks: Kicks,
        deaths: Deaths,
        on_abandoned: Callable[[Lane], None],
        spans: Spans | None = None,
    ) -> None:
        """Begin without lanes: see reopen().

        Args:
            directory: the directory of lanes.
            families: all families of the node.
            gauges: the gauge families of the node.
            self_metrics: the collector's own metrics.
            limits: how many lanes there may be, and how large they may be together.
            kicks: the watches on the lanes' files.
            deaths: the watches on the processes.
            on_abandoned: called with a lane that is about to be retired, after its last drain.
            spans: takes the spans out of the lanes; None leaves them out.
        """
        self.files = LaneFiles(directory, families.store.clock)
        self._families = families
        self._gauges = gauges
        self._self_metrics = self_metrics
        self._kicks = kicks
        self._deaths = deaths
        self._on_abandoned = on_abandoned
        self._spans = spans
        self._lanes: dict[int, Lane] = {}
        self._unread: set[int] = set()  # lanes of an earlier collector, not read to the end yet
        self._pids: Counter[str] = Counter()  # the number of lanes, by pid
        self._kick_of: dict[int, Kick] = {}
        self._moves = Moves(self._lanes)
        self.quota = LaneQuota(limits)
        self.recorded = Recorded()
        self.failed_calls = FailedCalls(self.get)

    def __iter__(self) -> Iterator[Lane]:
        """Iterate over a copy of the list, so that lanes may go meanwhile."""
        return iter(list(self._lanes.values()))

    def most_series(self) -> int:
        """Return the number of series of the lane that has the most."""
        return max((lane.bindings.n_series for lane in self), default=0)

    def most_families(self) -> int:
        """Return the number of families of the lane that has the most."""
        return max((len(lane.bindings.lane_families) for lane in self), default=0)

    def __len__(self) -> int:
        """Return the number of lanes."""
        return len(self._lanes)

    def are_all_read(self) -> bool:
        """Return whether the series of every lane that an earlier collector left are bound."""
        return not self._unread

    def get(self, lane_id: int) -> Lane | None:
        """Return the lane of a number, if there is one."""
        return self._lanes.get(lane_id)

    # ---- making and opening -----------------------------------------------------------------

    def create(self, lane_id: int, owner: Owner, sizes: Sizes, replaced: Lane | None) -> int:
        """Make a lane's files and add the lane.

        Args:
            lane_id: its number.
            owner: the process that it belongs to.
            sizes: its sizes.
            replaced: the lane that it replaces; None if it replaces none.

        Returns:
            The descriptor for its emitter.

        Raises:
            OSError: it cannot be made.
        """
        chain = (replaced.lane_id, replaced.first) if replaced is not None else (0, 0)
        file, lane_fd = self.files.create(lane_id, owner, sizes, *chain)
        try:
            self._add(file)
        except BaseException:
            os.close(lane_fd)
            self.files.remove(file.path)
            raise
        return lane_fd

    def _add(self, file: LaneFile) -> None:
        """Map a lane and watch it, its file and its process.

        Raises OSError, ValueError or LaneRefused.
        """
        # A descriptor beside the one that is handed over: see Lane.is_abandoned().
        fd = os.open(file.path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            lane = Lane(file, fd, self._families, self._gauges, self._self_metrics, self._spans)
        except BaseException:
            os.close(fd)
            raise
        lane.keep_failures(self.failed_calls.buffer)
        lane_id = lane.lane_id
        self._lanes[lane_id] = lane
        self.recorded.add(lane)
        self._kick_of[lane_id] = Kick(
            self._kicks, file.path, lambda: self._kicked(lane_id), lambda: self._muted(lane_id)
        )
        self._deaths.watch(lane_id, lane.owner.pid)
        if lane.predecessor:
            lane.bindings.left_behind.restore(self.files.kept(lane.path))
            lane.bindings.earlier = lambda: self._bindings_before(lane)
        if lane.has_arrived:
            lane.has_pid = True
            self._pids[lane.owner.pid_label] += 1
            self._gauges.begin(lane.owner.pid_label)
        self.quota.add(lane.owner.uid, lane.size_bytes)

    def reopen(self) -> None:
        """Open the lanes that an earlier collector left."""
        self._families.store.note_lane_id(self.files.highest_id)
        for path in self.files:
            self._reopen(path)
        # All of them, before any new entry is read: a series that one process removes stays as long
        # as another has it.
        for lane in self:
            self._read(lane, lane.rebind)
        self.quota.undrained = self.files.undrained()

    def _reopen(self, path: Path, is_again: bool = False) -> None:
        """Open a lane, or set it aside. If the system does not let us open it now, it waits.

        Args:
            path: the lane's file.
            is_again: whether the lane has been tried, and logged, before.
        """
        try:
            file = self.files.read(path)
            self._add(file)
            self._unread.add(int(file.path.stem))
        except (OSError, ValueError, LaneRefused) as error:
            text = str(error)  # a log may keep its arguments, and the error would keep the lane
            if isinstance(error, OSError) and error.errno in _NOT_NOW:
                with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                    if self.files.wait(path) and not is_again:
                        self._self_metrics.rate_limited.warning(
                            path.name, f"{path} cannot be taken up, and is tried again: {text}"
                        )
                return
            if self.files.set_aside(path):
                reason = text if isinstance(error, LaneRefused) else "unreadable"
                self._self_metrics.quarantined.labels(reason).inc()
                self._self_metrics.rate_limited.warning(
                    path.name, f"{path}: not a lane that can be drained ({text}); set aside"
                )

    def eventfd(self, lane_id: int) -> int:
        """Return the descriptor for the kicks of a lane, for an emitter that needs one."""
        return self._kick_of[lane_id].eventfd()

    def has_pid(self, label: str) -> bool:
        """Return whether a process that lives has a `pid` label."""
        if label not in self._pids:
            return False
        for lane in self:  # the process itself may have left its lane a moment ago
            if lane.owner.pid_label == label and lane.is_abandoned():
                self._retire(lane)
        return label in self._pids

    # ---- draining ---------------------------------------------------------------------------

    def drain_all(self) -> None:
        """Drain every lane once.

        What a flood of definitions has beyond the limits waits for the next call.
        """
        moved_to = self._moves.look()
        definitions_left = DEFINITIONS_PER_PASS
        for lane in self:
            most = min(definitions_left, DEFINITIONS_PER_LANE)
            definitions_left -= self._drain_lane(lane, max(FEW_DEFINITIONS, most))
        self._moves.note(moved_to)

    def catch_up(self) -> None:
        """Drain every lane once after a start, with many definitions of each lane."""
        moved_to = self._moves.look()
        for lane in self:
            self._drain_lane(lane, DEFINITIONS_PER_PASS)
        self._moves.note(moved_to)

    def with_state(self) -> list[Lane]:
        """Return the lanes whose gauges and open calls count, as of the last drain.

        A process that moves to a larger lane has two for a moment, and its state in one of them.
        """
        return [lane for lane in self if self._moves.has_state(lane)]

    def _bindings_before(self, lane: Lane) -> Bindings | None:
        """Return the bindings of the lane that a lane has replaced, as long as that is there."""
        before = self._moves.before(lane)
        return before.bindings if before is not None else None

    def _kicked(self, lane_id: int) -> bool:
        """Drain a lane whose emitter has kicked.

        Returns:
            Whether there was need for it. An emitter kicks at half a ring; a tick may have drained
            some of it meanwhile, so a quarter is enough.
        """
        lane = self._lanes[lane_id]
        needed = lane.state is LaneState.OPEN and lane.counts()["waiting"] * 4 >= lane.records
        self._drain_lane(lane)
        self._self_metrics.kicks.labels("needed" if needed else "idle").inc()
        return needed

    def _muted(self, lane_id: int) -> None:
        """Count and log a lane whose kicks are heeded no more."""
        self._self_metrics.muted.inc()
        owner = self._lanes[lane_id].owner
        self._warn(lane_id, owner, "kicks for nothing, and is drained at ticks only")

    def _drain_lane(self, lane: Lane, definitions: int = DEFINITIONS_PER_LANE) -> int:
        """Drain one lane, or quarantine it; return the number of definitions that were read.

        The lane that the process has left for it is read before, to the end: the process may have
        removed here what it has defined there.
        """
        if lane.state is LaneState.QUARANTINED or not self._moves.has_begun(lane):
            self._unread.discard(lane.lane_id)
            return 0
        before = None if lane.has_arrived else self._lanes.get(lane.predecessor)
        if before is not None:
            n_before = self._drain_lane(before, definitions)
            if before.is_behind and before.state is LaneState.OPEN:
                lane.is_behind = True
                return n_before
        n_definitions = self._read(lane, lambda: lane.drain(definitions)) or 0
        self._families.leaving.show()
        self.failed_calls.take()
        if self._spans is not None:
            self._spans.take(lane.first, lane.bindings.spans)
        lane.report()
        if not lane.is_behind:
            self._unread.discard(lane.lane_id)
        return n_definitions

    def _read(self, lane: Lane, read: Callable[[], Result_]) -> Result_ | None:
        """Read something from a lane, or quarantine it and return None."""
        if lane.state is LaneState.QUARANTINED:
            return None
        try:
            return read()
        except BrokenLane as error:
            self._quarantine(lane, str(error))
        except Exception:
            # A fault of the collector that this lane meets: the other lanes must go on.
            text = f"{lane.path}: drain failed"
            self._self_metrics.rate_limited.warning("internal", text, lane.owner.uid, exc_info=True)
            self._quarantine(lane, "internal", for_good=False)
        return None

    def _quarantine(self, lane: Lane, reason: str, for_good: bool = True) -> None:
        """Quarantine a lane, and log it."""
        lane.quarantine(reason.partition(":")[0], for_good)
        text = f"breaks the contract ({reason}) and is read no more"
        self._warn(lane.lane_id, lane.owner, text)

    def _warn(self, lane_id: int, owner: Owner, text: str) -> None:
        """Log a warning about a lane, with a limited rate."""
        lane = f"lane {lane_id} of {owner.process} (pid {owner.pid_label}, uid {owner.uid})"
        self._self_metrics.rate_limited.warning((lane_id, text), f"{lane} {text}", owner.uid)

    def cut_back(self) -> None:
        """Cut back every file that its emitter has made larger, and quarantine its lane."""
        for lane in self:
            try:
                has_grown = lane.cut_back()
            except OSError:  # it cannot be cut back now; the next tick tries again
                has_grown = True
            if has_grown and lane.state is LaneState.OPEN:
                self._quarantine(lane, "grown")
        self.files.cut_back()

    def detach(self, families: Collection[Family]) -> None:
        """Let every lane go of families that are about to be removed; heal() binds it again."""
        for lane in self:
            lane.bindings.detach(families)

    def heal(self) -> None:
        """Take definitions that were refused because of a name that is free now."""
        freed = self._families.take_freed()
        if freed:
            self._heal(freed)

    def reattach(self) -> None:
        """Bind every lane again that detach() has let go."""
        self._heal(())

    def _heal(self, freed: Collection[str]) -> None:
        """Take definitions that have waited for one of these names."""
        for lane in self:
            if lane.state is LaneState.OPEN:
                lane.bindings.heal(freed)

    def follow(self, moved: Moved) -> None:
        """Let every lane count where series are that have moved in the store."""
        for lane in self._lanes.values():
            lane.bindings.follow(moved)

    # ---- retiring ---------------------------------------------------------------------------

    def retire_abandoned(self) -> None:
        """Retire every lane whose process is gone, and try again what could not be done before."""
        for path in self.files.take_waiting():
            self._reopen(path, is_again=True)
        for lane in self:
            if lane.lane_id in self._lanes and (lane.moved_to() or lane.is_abandoned()):
                self._retire(lane)
        self.files.prune()
        self.quota.undrained = self.files.undrained()

    def retire_ended(self, lane_id: int) -> bool:
        """Retire the lane of a process that has ended.

        Returns:
            False if a process still holds the lane, or its last definitions are not read yet.
        """
        lane = self._lanes.get(lane_id)
        if lane is None:
            return True
        if not lane.is_abandoned():
            return False
        self._retire(lane)
        return lane_id not in self._lanes

    def _retire(self, lane: Lane) -> None:
        """Take everything out of a lane whose process is gone or has moved; remove its files."""
        before = self._moves.before(lane)
        if before is not None:
            self._retire(before)  # first, so that its process is known to have come here
            if lane.predecessor in self._lanes:
                return
        moved_to = lane.moved_to()
        if not moved_to:
            lane.finish()
        self._drain_lane(lane)
        if lane.is_behind and lane.state is LaneState.OPEN:
            return  # there are more definitions: the next tick goes on
        if moved_to:
            if not self._hand_over(lane, self._lanes.get(moved_to)):
                return
        elif lane.has_arrived:
            self._bury(lane)
        lane_id = lane.lane_id
        if lane.has_pid:
            self._forget_pid(lane.owner.pid_label)
        self.quota.remove(lane.owner.uid, lane.size_bytes)
        lane.retire()
        self._let_go(lane)
        self.files.remove(lane.path, lane.size_bytes)
        del self._lanes[lane_id]

    def _hand_over(self, lane: Lane, to: Lane | None) -> bool:
        """Let the lane to which a process has moved stand for it.

        Returns:
            False if the definitions of that lane are not all read yet.
        """
        if to is None or to.predecessor != lane.lane_id:
            return True  # retired already; or a number that means nothing
        self._drain_lane(to)
        if to.is_behind and to.state is LaneState.OPEN:
            return False
        to.arrive(lane.total_counts())
        to.bindings.inherit(lane.bindings)
        self.files.keep(to.path, to.bindings.left_behind.kept())
        to.bindings.notices.follow(lane.bindings.notices)
        to.has_pid, lane.has_pid = lane.has_pid, False
        return True

    def _bury(self, lane: Lane) -> None:
        """Take the state that a dead process has left."""
        if lane.state is LaneState.OPEN:
            self.failed_calls.abandon(lane)
            self._on_abandoned(lane)
            bad_values = self._self_metrics.dropped.cell("bad_value")
            lost = self._gauges.retire(
                lane.gauge_values(), lane.add_gauge, bad_values, lane.owner.store_owner
            )
            if lost:
                self._self_metrics.dropped.labels("gauge_without_row").inc(lost)
        if self._spans is not None:
            self._spans.ended(lane.first)

    def _forget_pid(self, pid: str) -> None:
        """Note that a lane of this pid is about to go.

        A later lane of the same pid may be there already: then what the earlier process left under
        that pid goes.
        """
        self._pids[pid] -= 1
        if self._pids[pid]:
            self._gauges.begin(pid)
        else:
            del self._pids[pid]

    def _let_go(self, lane: Lane) -> None:
        """Stop watching a lane, and close it."""
        self._unread.discard(lane.lane_id)
        self.recorded.remove(lane)
        self._deaths.forget(lane.lane_id)
        kick = self._kick_of.pop(lane.lane_id, None)
        if kick is not None:
            kick.close()
        lane.close()

    def close(self) -> None:
        """Close all lanes; their files stay for the next collector."""
        for lane in self:
            self._let_go(lane)
        self._lanes.clear()

# SPDX-License-Identifier: Apache-2.0
"""All lanes of the node: made at registration, reopened after a restart, retired at the end."""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

from shmetrics import layout
from shmetrics.errors import BrokenLane, LaneRefused
from shmetrics.lanes.bindings import Bindings
from shmetrics.lanes.deaths import Deaths
from shmetrics.lanes.kicks import Kick, Kicks
from shmetrics.lanes.lane import Lane, LaneState
from shmetrics.lanes.lane_files import LaneFile, LaneFiles, Owner, Sizes
from shmetrics.lanes.lane_quota import Excess, LaneLimits, LaneQuota
from shmetrics.lanes.pids import pid_label
from shmetrics.lanes.spans import Spans
from shmetrics.registration.decision import Granted, Refused
from shmetrics.registration.peer import Peer
from shmetrics.registration.protocol import WITH_EVENTFD, Hello, Result
from shmetrics.store.families import Families
from shmetrics.store.family import Family
from shmetrics.store.gauges import Gauges
from shmetrics.store.packing import Moved
from shmetrics.store.self_metrics import SelfMetrics

MIN_RECORDS = 64
DEFINITIONS_PER_PASS = 20_000  # some 0.2 s of work; after them each lane still gets a few
DEFINITIONS_PER_LANE = 4096
FEW_DEFINITIONS = 64
# The most that a lane has for each series that it may have.
DEFINITION_BYTES = 1024
CELLS_PER_SERIES = 32
CLEAN_UP_SECONDS = 60.0  # between two lanes of a process that has all series that it may have
# Errors of the system, which say nothing about a lane and may be over in a moment.
_NOT_NOW = frozenset(
    (errno.EROFS, errno.EPERM, errno.EACCES, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
)

Result_ = TypeVar("Result_")


class LaneSettings(NamedTuple):
    """The limits of lanes, and the sizes of a new one."""

    sizes: Sizes = Sizes()
    limits: LaneLimits = LaneLimits()


class Lanes:
    """The lanes of the node, by id."""

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
        """Begin without lanes: see reopen().

        Args:
            directory: the directory of lanes.
            families: all families of the node.
            gauges: the gauge families of the node.
            self_metrics: the collector's own metrics.
            settings: the limits of lanes and the sizes of new ones.
            kicks: the watches on the lanes' files.
            deaths: the watches on the processes.
            on_abandoned: called with a lane that is about to be retired, after its last drain.
            spans: takes the spans out of the lanes; None leaves them out.
        """
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
        self._unread: set[int] = set()  # lanes of an earlier collector, not read to the end yet
        self._pids: Counter[str] = Counter()  # the number of lanes, by pid
        self._kick_of: dict[int, Kick] = {}
        self._moved: set[int] = set()  # lanes whose state was in another lane at the last drain
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

    # ---- making and opening -----------------------------------------------------------------

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
        excess = self._quota.excess(
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
            lane_fd = self._create(lane_id, owner, sizes, replaced)
            try:
                kick_fd = self._eventfd(lane_id, hello)
            except BaseException:
                os.close(lane_fd)  # no process holds the lane then, and it is retired
                raise
        except OSError as error:
            problem = "no room for a lane" if error.errno == errno.ENOSPC else "no lane can be made"
            directory = self._files.directory
            return Refused(Result.NO_SPACE, f"{problem} in {directory}: {error.strerror}")
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
        return next(
            (other for other in reversed(list(self)) if other.predecessor == lane.lane_id), None
        )

    def _pid_label(self, lane_id: int, peer: Peer, hello: Hello, replaced: Lane | None) -> str:
        """Return the `pid` label of a process; see pids.py. A larger lane has that of the first."""
        if replaced is not None:
            return replaced.owner.pid_label
        label = pid_label(peer.pid, lane_id, hello.pid, hello.pid_namespace)
        if peer.pid or label not in self._pids:
            return label
        for lane in self:  # the process itself may have left its lane a moment ago
            if lane.owner.pid_label == label and lane.is_abandoned():
                self._retire(lane)
        return label if label not in self._pids else pid_label(0, lane_id)

    def _eventfd(self, lane_id: int, hello: Hello) -> int | None:
        """Return the descriptor for kicks in protocol 1; None in later protocols."""
        return self._kick_of[lane_id].eventfd() if hello.protocol == WITH_EVENTFD else None

    def obstacle(self) -> str:
        """Return the reason why nobody can get a lane, or "" if there is none."""
        size_bytes = layout.lane_bytes(*self._sizes(Hello(0, MIN_RECORDS, "")))
        excess = self._quota.excess(None, size_bytes)
        return excess.text if excess is not None else self._files.obstacle(size_bytes)

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

    def _create(self, lane_id: int, owner: Owner, sizes: Sizes, replaced: Lane | None) -> int:
        """Make a lane's files and add the lane; return the descriptor for its emitter.

        Raises OSError.
        """
        chain = (replaced.lane_id, replaced.first) if replaced is not None else (0, 0)
        file, lane_fd = self._files.create(lane_id, owner, sizes, *chain)
        try:
            self._add(file)
        except BaseException:
            os.close(lane_fd)
            self._files.remove(file.path)
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
        lane_id = lane.lane_id
        self._lanes[lane_id] = lane
        self._kick_of[lane_id] = Kick(
            self._kicks, file.path, lambda: self._kicked(lane_id), lambda: self._muted(lane_id)
        )
        self._deaths.watch(lane_id, lane.owner.pid)
        if lane.predecessor:
            lane.bindings.left_behind.restore(self._files.kept(lane.path))
            lane.bindings.earlier = lambda: self._bindings_before(lane)
        if lane.has_arrived:
            lane.has_pid = True
            self._pids[lane.owner.pid_label] += 1
            self._gauges.begin(lane.owner.pid_label)
        self._quota.add(lane.owner.uid, lane.size_bytes)

    def reopen(self) -> None:
        """Open the lanes that an earlier collector left."""
        self._families.store.note_lane_id(self._files.highest_id)
        for path in self._files:
            self._reopen(path)
        # All of them, before any new entry is read: a series that one process removes stays as long
        # as another has it.
        for lane in self:
            self._read(lane, lane.rebind)
        self._quota.undrained = self._files.undrained()

    def _reopen(self, path: Path, is_again: bool = False) -> None:
        """Open a lane, or set it aside. If the system does not let us open it now, it waits.

        Args:
            path: the lane's file.
            is_again: whether the lane has been tried, and logged, before.
        """
        try:
            file = self._files.read(path)
            self._add(file)
            self._unread.add(int(file.path.stem))
        except (OSError, ValueError, LaneRefused) as error:
            text = str(error)  # a log may keep its arguments, and the error would keep the lane
            if isinstance(error, OSError) and error.errno in _NOT_NOW:
                with contextlib.suppress(FileNotFoundError):  # removed meanwhile
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

    # ---- draining ---------------------------------------------------------------------------

    def drain_all(self) -> None:
        """Drain every lane once.

        What a flood of definitions has beyond the limits waits for the next call.
        """
        moved_to = self._look_for_moves()
        definitions_left = DEFINITIONS_PER_PASS
        for lane in self:
            most = min(definitions_left, DEFINITIONS_PER_LANE)
            definitions_left -= self._drain_lane(lane, max(FEW_DEFINITIONS, most))
        self._note_moves(moved_to)

    def catch_up(self) -> None:
        """Drain every lane once after a start, with many definitions of each lane."""
        moved_to = self._look_for_moves()
        for lane in self:
            self._drain_lane(lane, DEFINITIONS_PER_PASS)
        self._note_moves(moved_to)

    # ---- moves of a process from one lane to a larger one -----------------------------------

    def _look_for_moves(self) -> dict[int, int]:
        """Return where the processes of lanes have moved to, by lane.

        A drain that begins after this look finds all that a move has brought to the other lane.
        """
        return {lane.lane_id: to for lane in self if (to := lane.moved_to())}

    def _note_moves(self, moved_to: dict[int, int]) -> None:
        """Take the state of moved processes out of their new lanes from now on.

        A new lane whose definitions are not all read yet has to wait.
        """
        self._moved = {
            lane_id
            for lane_id, to in moved_to.items()
            if lane_id in self._moved or to not in self._lanes or not self._lanes[to].is_behind
        }

    def _has_begun(self, lane: Lane) -> bool:
        """Return whether the process of a lane goes on there, so that what is in it counts.

        A process that dies in the middle of a move has never begun the new lane.
        """
        if lane.has_arrived:
            return True
        before = self._lanes.get(lane.predecessor)
        return before is not None and before.moved_to() == lane.lane_id

    def _has_state(self, lane: Lane) -> bool:
        """Return whether the gauges and open calls in a lane count, as of the last drain."""
        if lane.state is not LaneState.OPEN or lane.lane_id in self._moved:
            return False
        if lane.has_arrived:
            return True
        before = self._lanes.get(lane.predecessor)
        return (
            before is not None
            and lane.predecessor in self._moved
            and (before.moved_to() == lane.lane_id)
        )

    def with_state(self) -> list[Lane]:
        """Return the lanes whose gauges and open calls count, as of the last drain.

        A process that moves to a larger lane has two for a moment, and its state in one of them.
        """
        return [lane for lane in self if self._has_state(lane)]

    def _bindings_before(self, lane: Lane) -> Bindings | None:
        """Return the bindings of the lane that a lane has replaced, as long as that is there."""
        before = self._lanes.get(lane.predecessor)
        return before.bindings if before is not None and before.moved_to() == lane.lane_id else None

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
        if lane.state is LaneState.QUARANTINED or not self._has_begun(lane):
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
        self._files.cut_back()

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
        for path in self._files.take_waiting():
            self._reopen(path, is_again=True)
        for lane in self:
            if lane.lane_id in self._lanes and (lane.moved_to() or lane.is_abandoned()):
                self._retire(lane)
        self._files.prune()
        self._quota.undrained = self._files.undrained()

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
        before = self._lanes.get(lane.predecessor)
        if before is not None and before.moved_to() == lane.lane_id:
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
        self._quota.remove(lane.owner.uid, lane.size_bytes)
        lane.retire()
        self._let_go(lane)
        self._files.remove(lane.path, lane.size_bytes)
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
        self._files.keep(to.path, to.bindings.left_behind.kept())
        to.bindings.notices.follow(lane.bindings.notices)
        to.has_pid, lane.has_pid = lane.has_pid, False
        return True

    def _bury(self, lane: Lane) -> None:
        """Take the state that a dead process has left."""
        if lane.state is LaneState.OPEN:
            self._on_abandoned(lane)
            bad_values = self._self_metrics.dropped.cell("bad_value")
            lost = self._gauges.retire(
                lane.gauge_values(), lane.add_gauge, bad_values, lane.owner.store_owner
            )
            if lost:
                self._self_metrics.dropped.labels("store_full").inc(lost)
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


def _rounded_up(n: int) -> int:
    """Return the next multiple of a page's bytes."""
    return -(-n // mmap.PAGESIZE) * mmap.PAGESIZE

# SPDX-License-Identifier: Apache-2.0
"""One lane as the collector holds it: its mapped file, its drain, and the bindings of its ids."""

from __future__ import annotations

import logging
import math
import mmap
import os
import time
import uuid
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from shmetrics import layout
from shmetrics.errors import LaneRefused
from shmetrics.lanes import _drain
from shmetrics.lanes.bindings import Bindings
from shmetrics.lanes.lane_files import LaneFile, cut_back
from shmetrics.lanes.spans import Spans
from shmetrics.store import boot
from shmetrics.store.families import Families
from shmetrics.store.gauges import Gauges, GaugeValue, sum_per_process
from shmetrics.store.histograms import CallFamily
from shmetrics.store.log import StoreDamaged, StoreFull
from shmetrics.store.observed import ObservedTotal
from shmetrics.store.self_metrics import SelfMetrics

if TYPE_CHECKING:
    from shmetrics.layout import Counts

    Bounds = memoryview[float]

log = logging.getLogger(__name__)


class LaneState(Enum):
    """The state of a lane: drained, or set apart because it broke the contract."""

    OPEN = "open"
    QUARANTINED = "quarantined"


class OpenCall(NamedTuple):
    """A call that has begun and not ended.

    Attributes:
        family: the family of calls.
        values: the call's label values in that family.
        start_ns: the start, by the monotonic clock of this boot.
        slot: the place in the lane's table of open calls.
        timeout_ms: how long the caller waits, as the emitter says beside the labels; 0: not known.
        trace: the id of the trace that it belongs to; None if there is none.
    """

    family: CallFamily
    values: tuple[str, ...]
    start_ns: int
    slot: int
    timeout_ms: int = 0
    trace: str | None = None

    @property
    def labels(self) -> dict[str, str]:
        """Return its label values, by name."""
        return dict(zip(self.family.definition.label_names, self.values, strict=True))


class Lane:
    """A mapped lane.

    After `BrokenLane` from drain() it can only be quarantined, retired and closed.
    """

    def __init__(
        self,
        file: LaneFile,
        fd: int,
        families: Families,
        gauges: Gauges,
        self_metrics: SelfMetrics,
        spans: Spans | None,
    ) -> None:
        """Map the lane, and undo what a kill of an earlier collector left half done.

        Args:
            file: the lane's file, and what the collector wrote down about it.
            fd: an open descriptor of it, which the lane takes over.
            families: all families of the node.
            gauges: the gauge families of the node.
            self_metrics: the counters that the lane's drain adds to.
            spans: takes the spans out of the lane; None leaves them out.

        Raises:
            LaneRefused: the file is no lane.
            StoreDamaged: the store's undo entry is damaged.
            OSError: the lane or its ledger cannot be mapped.
            ValueError: the ledger is not whole.
        """
        self.path = file.path
        self.owner = file.owner
        self.predecessor = file.predecessor
        self._self_metrics = self_metrics
        self._fd = fd
        self._made_bytes = file.size_bytes
        # The emitter may have made the file smaller: map no more than there is.
        self.size_bytes = min(file.size_bytes, os.fstat(fd).st_size)
        self._memory = mmap.mmap(fd, self.size_bytes)
        self._ledger = file.ledger()
        store = families.store
        self._drain = _drain.LaneDrain(self._memory, self._ledger, store.undo, store.cells)
        if str(self._drain.lane_id) != file.path.stem:
            raise LaneRefused("lane_id")  # the emitter can write any number there
        if not self._drain.recover():
            raise StoreDamaged(f"{store.path}: the undo entry is damaged")
        self.first = file.first or self.lane_id
        self.opened_s = time.monotonic()
        self.has_pid = False  # whether it is the lane that stands for its process's pid
        self._boot = store.boot_of(file.clock)
        self._is_of_this_boot = self._boot == store.boot
        self._drain.tally(*self_metrics.tally())
        if families.exemplars.table is not None:
            self._drain.keep_exemplars(families.exemplars.table)
        if spans is not None:
            spans.attach_to(self._drain)
        quarantined = self._drain.reported(_drain.REPORT_QUARANTINED)
        self.state = LaneState.QUARANTINED if quarantined else LaneState.OPEN
        self.bindings = Bindings(self.owner, self._drain, families, gauges, self_metrics)
        self.sent_twice = 0  # events of its process that came another way, too, and were left out
        self.is_behind = False  # there are more definitions than the last drain() read
        self._starts: dict[int, tuple[int, float]] = {}  # of observed totals, as of the last look

    @property
    def lane_id(self) -> int:
        """Return the lane's number, as its file is named."""
        return self._drain.lane_id

    @property
    def records(self) -> int:
        """Return the number of records that the lane's ring holds."""
        return self._drain.records

    def close(self) -> None:
        """Release the bindings, the mapping and the descriptor; the file stays."""
        self.bindings.forget()
        del self._drain, self.bindings
        self._memory.close()
        self._ledger.close()
        os.close(self._fd)

    def is_abandoned(self) -> bool:
        """Return whether no process but the collector holds the lane's file.

        Return False, and log it, if the kernel does not answer.
        """
        try:
            return not _drain.is_held(self._fd)
        except OSError as error:
            self._self_metrics.rate_limited.warning(
                "lease",
                f"{self.path}: whether a process has it cannot be asked ({error.strerror}), and it "
                "stays; see fs.leases-enable",
            )
            return False

    def cut_back(self) -> bool:
        """Cut the file back to its size if its emitter has made it larger; return whether it had.

        Raises:
            OSError: the file cannot be cut.
        """
        return cut_back(self._fd, self._made_bytes)

    def drain(self, definitions: int) -> int:
        """Fold everything published so far into the store.

        Args:
            definitions: the most new definitions to read. If there are more, the lane is behind
                (`is_behind`), and the next drain goes on with them.

        Returns:
            The number of definitions that were read.

        Raises:
            BrokenLane: the lane holds what no emitter writes.
        """
        n_definitions = 0
        self.is_behind = False
        while not self._drain.take_records():
            while (entry := self._drain.next_entry()) is not None:
                if n_definitions >= definitions:
                    self.is_behind = True
                self.bindings.define(*entry)
                n_definitions += 1
                if self.is_behind:
                    self.bindings.settle()
                    return n_definitions
            self.bindings.settle()
        return n_definitions

    def keep_failures(self, buffer: _drain.FailureBuffer) -> None:
        """Put calls that failed into a buffer from now on."""
        self._drain.keep_failures(buffer)

    def rebind(self) -> None:
        """Bind what earlier collectors had bound.

        Raises:
            BrokenLane: the lane holds what no emitter writes.
        """
        for _ in range(self._drain.reported(_drain.REPORT_ENTRIES)):
            entry = self._drain.next_entry()
            if entry is None:
                break
            self.bindings.define(*entry)
        self.bindings.settle()
        self.bindings.tell_what_is_over()

    def report(self) -> None:
        """Add to the store what the emitter has counted since the last report of any collector."""
        self._drain.report_counts()
        self.bindings.notices.look()

    def quarantine(self, reason: str, for_good: bool = True) -> None:
        """Tell the emitter to register again, and drain this lane no more.

        Args:
            reason: the label value under which the quarantine is counted.
            for_good: whether the next collector leaves the lane alone, too.
        """
        self.state = LaneState.QUARANTINED
        self._drain.give_up()
        if for_good:
            self._drain.report(_drain.REPORT_QUARANTINED, 1, self._cell_of(reason))
        else:
            self._self_metrics.quarantined.labels(reason).inc()

    def _cell_of(self, reason: str) -> int:
        """Return the cell that counts quarantines of a reason; -1 if the store has no room."""
        try:
            return self._self_metrics.quarantined.cell(reason)
        except StoreFull:
            return -1

    def counts(self) -> Counts:
        """Return the lane's own counters; its emitter can write any number there."""
        return self._drain.counts()

    def total_counts(self) -> Counts:
        """Return what the process has counted, in this lane and those that it has left for it."""
        counts = self._drain.counts()
        report = _drain.REPORT_BEFORE
        counts["recorded"] += self._drain.reported(report)
        counts["spilled"] += self._drain.reported(report + 1)
        counts["gauge_writes"] += self._drain.reported(report + 2)
        counts["overflowed"] += self._drain.reported(report + 3)
        for i, cause in enumerate(layout.DROP_NAMES):
            counts["dropped"][cause] += self._drain.reported(report + 4 + i)
        return counts

    # ---- moves ------------------------------------------------------------------------------

    def moved_to(self) -> int:
        """Return the id of the lane in which the process goes on; 0: it goes on here.

        The process may write any number. Then it only hides its own gauges and open calls.
        """
        return self._drain.moved_to()

    @property
    def has_arrived(self) -> bool:
        """Return whether the process has moved here, as an earlier look at the lane before said."""
        return not self.predecessor or bool(self._drain.reported(_drain.REPORT_ARRIVED))

    def arrive(self, counts: Counts) -> None:
        """Note that the process has moved here.

        All of this may be repeated after a kill.

        Args:
            counts: all that it had counted before.
        """
        before = [
            counts["recorded"],
            counts["spilled"],
            counts["gauge_writes"],
            counts["overflowed"],
        ]
        before += counts["dropped"].values()
        for i, n in enumerate(before):
            self._drain.report(_drain.REPORT_BEFORE + i, n)
        self._drain.report(_drain.REPORT_ARRIVED, 1)

    def calls(self) -> list[OpenCall]:
        """Return the calls that are open now."""
        return [
            OpenCall(
                *self.bindings.calls[series],
                start_ns,
                slot,
                timeout_ms,
                str(uuid.UUID(bytes=trace)) if any(trace) else None,
            )
            for series, start_ns, slot, timeout_ms, trace in self._drain.calls()
            if series in self.bindings.calls
        ]

    def gauge_values(self) -> list[GaugeValue]:
        """Return the lane's gauges as they are now."""
        pid = self.owner.pid_label
        values = [
            GaugeValue(*self.bindings.gauges[series], pid, value, self._moment(stamp_ns), series)
            for series, value, stamp_ns in self._drain.gauges()
            if series in self.bindings.gauges
        ]
        return sum_per_process(values) if self.bindings.gauges_may_share_labels else values

    def observed_totals(self) -> list[ObservedTotal]:
        """Return the lane's observed totals as they are now."""
        return [
            ObservedTotal(*self.bindings.observed[series], total, self._created(series, start_ns))
            for series, total, start_ns in self._drain.observed()
            if series in self.bindings.observed
        ]

    def _created(self, series: int, start_ns: int) -> float:
        """Return the Unix time of the start of a total's generation, NaN if it is not known.

        It is the same as long as the start is, although the wall clock may be set meanwhile. An
        emitter can write any start; one in the future counts as now.
        """
        if start_ns == layout.START_UNKNOWN or not self._is_of_this_boot:
            return math.nan
        known_ns, created = self._starts.get(series, (0, 0.0))
        if start_ns != known_ns:
            age_ns = max(time.monotonic_ns() - start_ns, 0)
            created = round((time.time_ns() - age_ns) / 1e9, 3)  # as exact as Prometheus takes it
            self._starts[series] = start_ns, created
        return created

    def _moment(self, stamp_ns: int) -> int:
        """Return the moment of a stamp, see boot.moment().

        An emitter can write any stamp; one in the future counts as now. A gauge that was never set
        has none, and is earlier than every other.
        """
        if not stamp_ns:
            return 0
        if self._is_of_this_boot:
            stamp_ns = min(stamp_ns, time.monotonic_ns())
        return boot.moment(self._boot, stamp_ns)

    # ---- the end: each step is done once, however often a collector is killed in it -------------

    def finish(self) -> None:
        """Finish the event that the process died in the middle of."""
        self._drain.finish()

    def abandon(self, call: OpenCall, cell: int) -> None:
        """Count a call that will never end in a cell of the store, and free its slot."""
        self._drain.abandon(call.slot, cell)

    def add_gauge(self, gauge: GaugeValue, cell: int) -> None:
        """Add a gauge's value to a cell of the store; add 1 instead if the value is not finite."""
        self._drain.take_gauge(gauge.series, cell)

    def retire(self) -> None:
        """Count the lane as retired."""
        self._drain.report(_drain.REPORT_RETIRED, 1, self._self_metrics.retired.cell())

# SPDX-License-Identifier: Apache-2.0
"""One lane, as the collector holds it: its file, its drain, and what its ids mean."""

from __future__ import annotations

import logging
import mmap
import os
import time
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from shmetrics.errors import LaneRefused
from shmetrics.lanes import _drain
from shmetrics.lanes.bindings import Bindings
from shmetrics.lanes.lane_files import LaneFile, cut_back
from shmetrics.lanes.spans import Spans
from shmetrics.store import boot
from shmetrics.store.families import Families
from shmetrics.store.gauges import Gauges, GaugeValue, pid_label, sum_per_process
from shmetrics.store.histograms import CallFamily
from shmetrics.store.log import StoreDamaged, StoreFull
from shmetrics.store.self_metrics import SelfMetrics

if TYPE_CHECKING:
    from shmetrics.layout import Counts

    Bounds = memoryview[float]

log = logging.getLogger(__name__)


class LaneState(Enum):
    """What the collector does with a lane."""

    OPEN = "open"
    QUARANTINED = "quarantined"


class OpenCall(NamedTuple):
    """A call that has begun and not ended."""

    family: CallFamily
    values: tuple[str, ...]
    start_ns: int
    slot: int


class Lane:
    """A mapped lane. drain() raises BrokenLane once it breaks the contract."""

    def __init__(
        self,
        file: LaneFile,
        fd: int,
        families: Families,
        gauges: Gauges,
        self_metrics: SelfMetrics,
        spans: Spans | None,
    ) -> None:
        """Takes the descriptor over. Raises LaneRefused if the file is no lane."""
        self.path = file.path
        self.owner = file.owner
        self._self_metrics = self_metrics
        self._fd = fd
        self._made_bytes = file.size_bytes
        # Its emitter may have made it larger, or smaller: what is not there is no lane.
        self.size_bytes = min(file.size_bytes, os.fstat(fd).st_size)
        self._memory = mmap.mmap(fd, self.size_bytes)
        self._ledger = file.ledger()
        store = families.store
        self._drain = _drain.LaneDrain(self._memory, self._ledger, store.undo, store.cells)
        if str(self._drain.lane_id) != file.path.stem:
            raise LaneRefused("lane_id")  # its emitter can write what it likes there
        if not self._drain.recover():
            raise StoreDamaged(f"{store.path}: the undo entry is damaged")
        self.pid = pid_label(self.owner.pid, self.lane_id)
        self._boot = store.boot_of(file.clock)
        self._is_of_this_boot = self._boot == store.boot
        self_metrics.tally(self._drain)
        families.exemplars.keep_from(self._drain)
        if spans is not None:
            spans.keep_from(self._drain)
        quarantined = self._drain.reported(_drain.REPORT_QUARANTINED)
        self.state = LaneState.QUARANTINED if quarantined else LaneState.OPEN
        self.bindings = Bindings(self.owner, self._drain, families, gauges, self_metrics)
        self.is_behind = False  # there are more definitions than drain() was to read

    @property
    def lane_id(self) -> int:
        return self._drain.lane_id

    @property
    def records(self) -> int:
        return self._drain.records

    def close(self) -> None:
        """Lets go of the mapping and the descriptor; the file stays."""
        self.bindings.forget()
        del self._drain, self.bindings
        self._memory.close()
        self._ledger.close()
        os.close(self._fd)

    def is_abandoned(self) -> bool:
        """True if nobody but us has the lane any more."""
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
        """Takes from the file what it is larger than it was made; whether it was."""
        return cut_back(self._fd, self._made_bytes)

    def drain(self, definitions: int) -> int:
        """Folds everything published so far into the store, unless it takes more new definitions
        than this: then the lane is behind, and goes on at the next drain. How many it took."""
        taken = 0
        self.is_behind = False
        while not self._drain.take_records():
            while (entry := self._drain.next_entry()) is not None:
                if taken >= definitions:
                    self.is_behind = True
                self.bindings.define(*entry)
                taken += 1
                if self.is_behind:
                    return taken
        return taken

    def report(self) -> None:
        """Counts what the emitter has counted since the last time, by whichever collector."""
        self._drain.report_counts()

    def quarantine(self, reason: str, for_good: bool = True) -> None:
        """Tells the emitter to register anew; this lane is read no more. for_good: not by the next
        collector either."""
        self.state = LaneState.QUARANTINED
        self._drain.give_up()
        if for_good:
            self._drain.report(_drain.REPORT_QUARANTINED, 1, self._cell_of(reason))
        else:
            self._self_metrics.quarantined.labels(reason).inc()

    def _cell_of(self, reason: str) -> int:
        """Where a quarantine counts; nowhere (-1) if there is no room for a new reason."""
        try:
            return self._self_metrics.quarantined.cell(reason)
        except StoreFull:
            return -1

    def counts(self) -> Counts:
        """What the lane says of itself."""
        return self._drain.counts()

    def calls(self) -> list[OpenCall]:
        """The calls that are open now."""
        return [
            OpenCall(*self.bindings.calls[series], start_ns, slot)
            for series, start_ns, slot in self._drain.calls()
            if series in self.bindings.calls
        ]

    def gauge_values(self) -> list[GaugeValue]:
        """What the gauges say now."""
        found = [
            GaugeValue(
                *self.bindings.gauges[series], self.pid, value, self._moment(stamp_ns), series
            )
            for series, value, stamp_ns in self._drain.gauges()
            if series in self.bindings.gauges
        ]
        return sum_per_process(found) if self.bindings.gauges_may_share_labels else found

    def _moment(self, stamp_ns: int) -> int:
        """When a stamp was made. It can say anything, but not the future."""
        if self._is_of_this_boot:
            stamp_ns = min(stamp_ns, time.monotonic_ns())
        return boot.moment(self._boot, stamp_ns)

    # ---- the end: each of these is done once, however often the collector is killed at it -------

    def finish(self) -> None:
        """The process is dead: finishes the event that it was in the middle of."""
        self._drain.finish()

    def abandon(self, call: OpenCall, cell: int) -> None:
        """Counts a call that will never end in a cell of the store, and lists it no more."""
        self._drain.abandon(call.slot, cell)

    def add_gauge(self, gauge: GaugeValue, cell: int) -> None:
        """Adds a gauge's value to a cell of the store or, if it is not finite, counts it there."""
        self._drain.take_gauge(gauge.series, cell)

    def retire(self) -> None:
        """Counts that there is nothing left of it."""
        self._drain.report(_drain.REPORT_RETIRED, 1, self._self_metrics.retired.cell())

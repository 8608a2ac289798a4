# SPDX-License-Identifier: Apache-2.0
"""One lane, as the collector holds it: its file, its drain, and what its ids mean."""

from __future__ import annotations

import logging
import mmap
import os
import struct
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from shmetrics import _ring
from shmetrics.collector.agent import Agent
from shmetrics.collector.definitions import Refusal
from shmetrics.collector.families import CallFamily, Families, Family
from shmetrics.collector.gauges import Gauges, GaugeValue
from shmetrics.collector.lane_files import LaneFile, is_held
from shmetrics.collector.store import StoreDamaged, StoreFull
from shmetrics.dictionary import decode_definition, decode_strings
from shmetrics.errors import BrokenLane, LaneRefused

if TYPE_CHECKING:
    from shmetrics._ring import Counts

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


class _Defined(NamedTuple):
    """A family of the lane: its own definition's shape, and the node's family, if it has one."""

    type: int
    bounds: Bounds
    n_labels: int
    family: Family | None


class Lane:
    """A mapped lane. drain() raises BrokenLane once it breaks the contract."""

    def __init__(
        self,
        file: LaneFile,
        fd: int,
        families: Families,
        gauges: Gauges,
        agent: Agent,
    ) -> None:
        """Takes the descriptor over. Raises LaneRefused if the file is no lane."""
        self.path = file.path
        self.owner = file.owner
        self.refused: dict[str, int] = {}  # definitions not taken, by reason
        self._families = families
        self._gauges = gauges
        self._agent = agent
        self._fd = fd
        # Its emitter may have made it larger, or smaller: what is not there is no lane.
        self.size_bytes = min(file.size_bytes, os.fstat(fd).st_size)
        self._memory = mmap.mmap(fd, self.size_bytes)
        store = families.store
        self._drain = _ring.LaneDrain(self._memory, store.undo, store.cells)
        if str(self._drain.lane_id) != file.path.stem:
            raise LaneRefused("lane_id")  # its emitter can write what it likes there
        if not self._drain.recover():
            raise StoreDamaged(f"{store.path}: the undo entry is damaged")
        agent.tally(self._drain)
        quarantined = self._drain.reported(_ring.REPORT_QUARANTINED)
        self.state = LaneState.QUARANTINED if quarantined else LaneState.OPEN
        self._entries = 0
        self._defined: list[_Defined] = []
        self._calls: dict[int, tuple[CallFamily, tuple[str, ...]]] = {}
        self._gauge_series: dict[int, tuple[Family, tuple[str, ...]]] = {}

    @property
    def lane_id(self) -> int:
        return self._drain.lane_id

    @property
    def records(self) -> int:
        return self._drain.records

    def close(self) -> None:
        """Lets go of the mapping and the descriptor; the file stays."""
        del self._drain
        self._memory.close()
        os.close(self._fd)

    def is_abandoned(self) -> bool:
        """True if no process has the lane any more."""
        return not is_held(self._fd)

    def drain(self) -> None:
        """Folds everything published so far into the store."""
        while not self._drain.drain():
            while (entry := self._drain.entry()) is not None:
                self._define(*entry)

    def report(self) -> None:
        """Counts what the emitter has counted since the last time, by whichever collector."""
        self._drain.report_counts()

    def quarantine(self, reason: str, for_good: bool = True) -> None:
        """Tells the emitter to register anew; this lane is read no more. for_good: not by the next
        collector either."""
        self.state = LaneState.QUARANTINED
        self._drain.give_up()
        if for_good:
            self._drain.report(_ring.REPORT_QUARANTINED, 1, self._agent.quarantined.cell(reason))
        else:
            self._agent.quarantined.labels(reason).inc()

    def counts(self) -> Counts:
        """What the lane says of itself."""
        return self._drain.counts()

    def calls(self) -> list[OpenCall]:
        """The calls that are open now."""
        return [
            OpenCall(*self._calls[series], start_ns, slot)
            for series, start_ns, slot in self._drain.calls()
            if series in self._calls
        ]

    def gauge_values(self) -> list[GaugeValue]:
        """What the gauges say now."""
        return [
            GaugeValue(*self._gauge_series[series], self.owner.pid, value, stamp_ns, series)
            for series, value, stamp_ns in self._drain.gauges()
            if series in self._gauge_series
        ]

    # ---- the end: each of these is done once, however often the collector is killed at it -------

    def finish(self) -> None:
        """The process is dead: finishes the event that it was in the middle of."""
        self._drain.finish()

    def abandon(self, call: OpenCall, cell: int) -> None:
        """Counts a call that will never end in a cell of the store, and lists it no more."""
        self._drain.abandon(call.slot, cell)

    def add_gauge(self, gauge: GaugeValue, cell: int) -> None:
        """Adds a gauge's last value to a cell of the store."""
        self._drain.take_gauge(gauge.series, cell)

    def retire(self) -> None:
        """Counts that there is nothing left of it."""
        self._drain.report(_ring.REPORT_RETIRED, 1, self._agent.retired.cell())

    # ---- what its ids mean ----------------------------------------------------------------------

    def _fate(self, cell: int = -1) -> None:
        """Counts what became of the entry at hand, unless an earlier collector has."""
        self._drain.report(_ring.REPORT_ENTRIES, self._entries, cell)

    def _define(self, kind: int, type: int, id: int, of: int, payload: bytes) -> None:
        self._entries += 1
        try:
            if kind == _ring.ENTRY_FAMILY:
                self._define_family(type, of, payload)
            elif kind == _ring.ENTRY_SERIES:
                self._define_series(id, self._defined[of - 1], decode_strings(payload))
            else:
                (class_name,) = decode_strings(payload)
                self._define_exception(of, class_name)
        except (ValueError, struct.error) as error:  # UnicodeDecodeError is a ValueError
            raise BrokenLane(f"text: {error}") from None
        self._fate()

    def _define_family(self, type: int, n_bounds: int, payload: bytes) -> None:
        definition = decode_definition(type, n_bounds, payload)
        found: Family | Refusal
        if type == _ring.TYPE_GAUGE:
            found = self._gauges.define(definition)
        else:
            found = self._families.define(definition)
        family = None if isinstance(found, Refusal) else found
        if isinstance(found, Refusal):
            self._refuse(found.reason)
            log.warning("%s (pid %d): refused: %s", self.owner.process, self.owner.pid, found.text)
        else:
            self._agent.foresee_overflow(found)
        bounds = memoryview(struct.pack(f"={n_bounds}d", *definition.bounds)).cast("d")
        self._defined.append(_Defined(type, bounds, len(definition.label_names), family))

    def _define_series(self, id: int, defined: _Defined, values: tuple[str, ...]) -> None:
        if len(values) != defined.n_labels:
            raise ValueError(f"{len(values)} label values where {defined.n_labels} belong")
        family = defined.family
        if defined.type == _ring.TYPE_GAUGE:
            if family is not None:
                self._gauge_series[id] = (family, values)
            family = None  # read where they are, never folded
        self._bind(defined.type, defined.bounds, family, values)
        if isinstance(family, CallFamily):
            self._calls[id] = (family, values)

    def _define_exception(self, of: int, class_name: str) -> None:
        calls = self._calls.get(of)
        family = None if calls is None else calls[0].exceptions
        values = (class_name,) if calls is None else (*calls[1], class_name)
        self._bind(_ring.TYPE_EXCEPTION, memoryview(b"").cast("d"), family, values)

    def _bind(
        self, type: int, bounds: Bounds, family: Family | None, values: tuple[str, ...]
    ) -> None:
        if family is not None:
            try:
                self._drain.bind(type, bounds, family.cell(family.row(values)))
            except StoreFull:
                self._refuse("store_full")
            else:
                if family.folds(values):
                    self._fate(self._agent.overflow.cell(family.definition.name))
                return
        self._drain.bind(type, bounds)

    def _refuse(self, reason: str) -> None:
        self.refused[reason] = self.refused.get(reason, 0) + 1
        self._fate(self._agent.refused.cell(reason))

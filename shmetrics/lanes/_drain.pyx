# SPDX-License-Identifier: Apache-2.0
# cython: freethreading_compatible=False
"""The collector's binding of csrc/: making lanes, draining them into the store, watching files.

It is apart from the emitter's binding, because the two halves share a lane's memory and nothing
else.
"""

from cpython.exc cimport PyErr_SetFromErrno
from libc.stdint cimport int32_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from shmetrics.layout cimport (
    SHM_ENTRY_MAX_BYTES,
    SHM_MAX_OPEN_CALLS,
    SHM_NOTICES_BYTES,
    SHM_TYPE_CALLS,
    SHM_TYPE_HISTOGRAM,
    check_attach,
    counts_dict,
    shm_cells_of,
    shm_counts,
    shm_entry,
    shm_lane_bytes,
    shm_lane_format_after,
    shm_lane_sizes,
)
from shmetrics.store._cells cimport ExemplarTable, Scale, shm_scale_counts, shm_undo

from shmetrics.errors import BrokenLane
from shmetrics.layout import DROP_NAMES, KIND_NAMES

LEDGER_BYTES = sizeof(shm_ledger)
REPORT_ENTRIES = SHM_REPORT_ENTRIES
REPORT_QUARANTINED = SHM_REPORT_QUARANTINED
REPORT_RETIRED = SHM_REPORT_RETIRED
REPORT_ARRIVED = SHM_REPORT_ARRIVED
REPORT_BEFORE = SHM_REPORT_BEFORE
WATCH_OVERFLOW = SHM_WATCH_OVERFLOW
# struct shm_taken_span for the module struct: kind, flags, bytes of info behind it, series, stamp,
# id, trace, parent. spans.h and layout.h assert these offsets.
TAKEN_SPAN_FORMAT = "=BBHIQ16s16s16s"

_BROKEN_REASONS = {
    SHM_BROKEN_HEAD: "head",
    SHM_BROKEN_DICTIONARY: "dictionary",
    SHM_BROKEN_ENTRY: "entry",
    SHM_BROKEN_KIND: "kind",
    SHM_BROKEN_SERIES: "series",
    SHM_BROKEN_VALUE: "value",
    SHM_BROKEN_CELLS: "cells",
    SHM_BROKEN_CUT_SHORT: "cut_short",
}


cdef int _check_drained(int code) except -1:
    if code == SHM_DRAIN_NO_MEMORY:
        raise MemoryError("no memory for a lane's table of series")
    if code != SHM_DRAINED and code != SHM_DRAIN_ENTRIES:
        raise BrokenLane(_BROKEN_REASONS[code])
    return 0


def lane_format(unsigned char[::1] memory not None, uint64_t lane_id, uint32_t records,
                uint32_t dictionary_bytes, uint32_t cells, uint32_t calls, uint64_t predecessor=0):
    """Format zeroed memory as a lane.

    Args:
        memory: at least layout.lane_bytes() bytes, all zero.
        lane_id: the number that the lane gets.
        records: slots of the ring, a power of two.
        dictionary_bytes: room for definitions.
        cells: 8-byte cells for totals.
        calls: slots for open calls.
        predecessor: the number of the lane that it replaces; 0 for none.

    Raises:
        ValueError: the memory is smaller than the lane.
    """
    cdef shm_lane_sizes sizes = shm_lane_sizes(records, dictionary_bytes, cells, calls)
    if <uint64_t>memory.shape[0] < shm_lane_bytes(&sizes):
        raise ValueError("memory is smaller than the lane")
    shm_lane_format_after(&memory[0], lane_id, predecessor, &sizes)


cdef class SpanBuffer:
    """A buffer into which drains put the spans that they meet, until take() empties it."""

    cdef shm_spans spans

    def __cinit__(self, size_t size_bytes):
        # The system zeroes the pages one by one, as they are needed.
        self.spans.bytes = <unsigned char *>calloc(size_bytes, 1)
        if self.spans.bytes == NULL:
            raise MemoryError(f"no memory for {size_bytes} bytes of spans")
        self.spans.size_bytes = size_bytes

    def __dealloc__(self):
        free(self.spans.bytes)

    @property
    def lost(self):
        """Return how many spans there was no room for."""
        return self.spans.lost

    def take(self):
        """Empty the buffer.

        Returns:
            The spans as bytes (see csrc/drain/spans.h), each with its info behind it, and their
            number.
        """
        cdef tuple taken = (self.spans.bytes[:self.spans.used_bytes], self.spans.n)
        self.spans.used_bytes = self.spans.n = 0
        return taken


cdef class FailureBuffer:
    """A buffer into which drains put the calls that failed, until take() empties it."""

    cdef shm_failures *failures

    def __cinit__(self):
        self.failures = <shm_failures *>calloc(1, sizeof(shm_failures))
        if self.failures == NULL:
            raise MemoryError("no memory for failed calls")

    def __dealloc__(self):
        free(self.failures)

    def take(self):
        """Empty the buffer.

        Returns:
            The latest calls, the oldest first, each as (lane, series, exception, stamp_ns,
            duration_ns, trace). The two ids are those of its lane, as they were checked; the times
            are whatever its emitter has written. The trace is the 16 bytes of its id, zero if the
            call belongs to none.
        """
        cdef uint64_t n = self.failures.n
        cdef uint64_t first = n - SHM_MOST_FAILURES if n > SHM_MOST_FAILURES else 0
        cdef uint64_t i
        cdef shm_failure *each
        cdef list found = []
        for i in range(first, n):
            each = &self.failures.kept[i % SHM_MOST_FAILURES]
            found.append((each.lane, each.series, each.exception, each.stamp_ns, each.duration_ns,
                          (<unsigned char *>each.trace.id)[:16]))
        self.failures.n = 0
        return found


cdef bint _said(int answer) except -1:
    if answer < 0:
        PyErr_SetFromErrno(OSError)
    return answer == 1


def is_held(int fd):
    """Return whether another descriptor of this descriptor's file is open. Raises OSError."""
    return _said(shm_file_is_held(fd))


def has_grown(int fd, uint64_t size_bytes, uint64_t slack_bytes):
    """Return whether a file is larger than size_bytes, or takes slack_bytes more on the disk.

    Raises OSError.
    """
    return _said(shm_file_has_grown(fd, size_bytes, slack_bytes))


cdef int _done(int answer) except -1:
    if answer < 0:
        PyErr_SetFromErrno(OSError)
    return answer


def watch_open():
    """Return a descriptor that can be read after a watched file is modified. Raises OSError."""
    return _done(shm_watch_open())


def watch_add(int fd, bytes path not None):
    """Watch a file; return the number of the watch, which no other watch has. Raises OSError."""
    return _done(shm_watch_add(fd, path))


def watch_remove(int fd, int watch):
    """Stop a watch, by its number. Raises OSError."""
    _done(shm_watch_remove(fd, watch))


def watch_read(int fd):
    """Return the numbers of watches whose files were modified; a number may come twice.

    WATCH_OVERFLOW among them means that the kernel has dropped reports: any file may have been
    modified. Raises OSError.
    """
    cdef int32_t found[SHM_WATCH_MOST]
    cdef int n = _done(shm_watch_read(fd, found))
    return [found[i] for i in range(n)]


cdef class LaneDrain:
    """The consumer's end of one lane, and the store into which it is drained.

    Args:
        memory: a writable mapping of the lane's file.
        ledger: LEDGER_BYTES of this lane, which only collectors have.
        undo: UNDO_BYTES of the store, the same for all lanes.
        cells: all cells of the store.

    Raises:
        LaneRefused: the mapping is no lane.
        BrokenLane: from any method, once the lane breaks the contract.
    """

    cdef shm_drain drain_
    cdef unsigned char[::1] _memory
    cdef unsigned char[::1] _ledger
    cdef unsigned char[::1] _undo
    cdef uint64_t[::1] _cells
    cdef ExemplarTable _exemplars
    cdef SpanBuffer _spans
    cdef FailureBuffer _failures
    cdef set _kept

    def __cinit__(self, unsigned char[::1] memory not None, unsigned char[::1] ledger not None,
                  unsigned char[::1] undo not None, uint64_t[::1] cells not None):
        if <size_t>ledger.shape[0] != sizeof(shm_ledger):
            raise ValueError("ledger is not LEDGER_BYTES long")
        if <size_t>undo.shape[0] != sizeof(shm_undo):
            raise ValueError("undo is not UNDO_BYTES long")
        self._memory = memory
        self._ledger = ledger
        self._undo = undo
        self._cells = cells
        self._kept = set()
        check_attach(shm_contained_open(
            &self.drain_, &memory[0], <uint64_t>memory.shape[0], <shm_ledger *>&ledger[0],
            <shm_undo *>&undo[0], &cells[0], <uint64_t>cells.shape[0]))

    def __dealloc__(self):
        shm_drain_close(&self.drain_)

    @property
    def lane_id(self):
        return self.drain_.lane.lane_id

    @property
    def records(self):
        return self.drain_.lane.records

    def keep_exemplars(self, ExemplarTable table not None):
        """Put the traces that events belong to into this table from now on."""
        self._exemplars = table
        self.drain_.exemplars = &table.exemplars

    def keep_spans(self, SpanBuffer buffer not None):
        """Put spans into this buffer from now on."""
        self._spans = buffer
        self.drain_.spans = &buffer.spans

    def keep_failures(self, FailureBuffer buffer not None):
        """Put calls that failed into this buffer from now on."""
        self._failures = buffer
        self.drain_.failures = buffer.failures

    def recover(self):
        """Undo what a kill left half done here; return False if the undo entry is damaged."""
        return shm_contained_recover(&self.drain_)

    def take_records(self):
        """Fold all records and spilled totals into the store.

        Returns:
            False if the lane has new dictionary entries: they must be read and bound first.
        """
        cdef int code = shm_contained_pass(&self.drain_)
        _check_drained(code)
        return code == SHM_DRAINED

    def next_entry(self):
        """Return the next new dictionary entry (kind, type, id, of, payload), or None."""
        cdef shm_entry entry
        cdef unsigned char buffer[SHM_ENTRY_MAX_BYTES]
        _check_drained(shm_contained_entry(&self.drain_, &entry, buffer))
        if entry.size_bytes == 0:
            return None
        return (entry.kind, entry.type, entry.id, entry.of,
                (<char *>buffer)[sizeof(shm_entry):entry.size_bytes])

    def bind(self, int type, uint32_t n_bounds, Scale scale=None, Py_ssize_t first=-1):
        """Bind the next series id to cells of the store.

        Args:
            type: the type in the lane's own definition.
            n_bounds: the number of bucket bounds in the lane's own definition.
            scale: the places of values in the row, for a family with buckets.
            first: the index of the series' first cell; -1 binds it to nothing.

        Raises:
            ValueError: the scale has other buckets, or the cells are outside the store.
        """
        if first < 0:
            _check_drained(shm_drain_bind(&self.drain_, <uint16_t>type, n_bounds, NULL, NULL))
            return
        self._check_cells(type, n_bounds, scale, first)
        _check_drained(shm_drain_bind(
            &self.drain_, <uint16_t>type, n_bounds, NULL if scale is None else &scale.scale,
            &self._cells[first]))

    def rebind(self, uint32_t series, Scale scale=None, Py_ssize_t first=-1):
        """Bind a series to other cells of the store from now on.

        Args:
            series: its id.
            scale: as in bind().
            first: as in bind().

        Raises:
            ValueError: as bind(), or there is no such series.
        """
        if not 0 < series < self.drain_.n_targets:
            raise ValueError(f"there is no series {series}")
        cdef shm_target target = self.drain_.targets[series]
        if first >= 0:
            self._check_cells(target.type, target.n_bounds, scale, first)
        shm_drain_rebind(&self.drain_, series, NULL if scale is None else &scale.scale,
                         NULL if first < 0 else &self._cells[first])

    cdef _check_cells(self, int type, uint32_t n_bounds, Scale scale, Py_ssize_t first):
        """Check the cells of a series, and keep its scale as long as the drain lives."""
        cdef Py_ssize_t width = shm_cells_of(<uint16_t>type, n_bounds)
        if type == SHM_TYPE_HISTOGRAM or type == SHM_TYPE_CALLS:
            if scale is None or scale.scale.n_classic != n_bounds:
                raise ValueError("no scale, or one of other buckets")
            width += <Py_ssize_t>shm_scale_counts(&scale.scale) - n_bounds - 1
        if first + width > self._cells.shape[0]:
            raise ValueError("cells outside the store")
        self._kept.add(scale)

    def remove(self, uint32_t series):
        """Take the last of a series that its lane has removed, and bind it to nothing.

        The exceptions of a call series are removed before it, one by one.
        """
        _check_drained(shm_contained_remove(&self.drain_, series))

    def removed_before(self):
        """Return the ids of the series that an earlier collector has removed, as a set."""
        cdef uint32_t at_bytes = 0, series
        cdef uint64_t n_entries = shm_contained_reported(&self.drain_, SHM_REPORT_ENTRIES)
        cdef set found = set()
        while True:
            series = shm_contained_next_removed(&self.drain_, &at_bytes, &n_entries)
            if series == 0:
                return found
            found.add(series)

    def calls(self):
        """Return the open calls, each as (series id, start_ns, slot, timeout_ms, trace).

        The timeout is 0 if it is not known. The trace is the 16 bytes of its id, zero if the call
        belongs to none.
        """
        cdef shm_open_call_copy found[SHM_MAX_OPEN_CALLS]
        cdef uint32_t n = shm_contained_calls(&self.drain_, found, SHM_MAX_OPEN_CALLS)
        return [
            (
                found[i].series,
                found[i].start_ns,
                found[i].slot,
                found[i].timeout_ms,
                (<unsigned char *>found[i].trace.id)[:16],
            )
            for i in range(n)
        ]

    def gauges(self):
        """Return every gauge, set or not, as (series id, value, stamp_ns)."""
        cdef shm_gauge_copy found[256]
        cdef list result = []
        cdef uint32_t n = shm_contained_gauges(&self.drain_, 1, found, 256)
        while n:
            result.extend([(found[i].series, found[i].value, found[i].stamp_ns) for i in range(n)])
            n = shm_contained_gauges(&self.drain_, found[n - 1].series + 1, found, 256)
        return result

    def observed(self):
        """Return every observed total that was set, as (series id, total, start_ns).

        start_ns is the start of its generation; START_UNKNOWN if its emitter has not said.
        """
        cdef shm_observed_copy found[256]
        cdef list result = []
        cdef uint32_t n = shm_contained_observed(&self.drain_, 1, found, 256)
        while n:
            result.extend([(found[i].series, found[i].total, found[i].start_ns) for i in range(n)])
            n = shm_contained_observed(&self.drain_, found[n - 1].series + 1, found, 256)
        return result

    def counts(self):
        """Return the lane's own counters; an emitter can write any number there."""
        cdef shm_counts counts
        shm_contained_counts(&self.drain_, &counts)
        return counts_dict(&counts)

    def tally(self, dict events not None, Py_ssize_t unbound, Py_ssize_t spilled,
              Py_ssize_t overflowed, dict dropped not None):
        """Count what becomes of this lane's events in cells of the store, from now on.

        Args:
            events: the cell for records of each kind, by the kind's name.
            unbound: the cell for events of families that were refused.
            spilled: the cell for events that were folded because the ring was full.
            overflowed: the cell for events that were counted without their labels.
            dropped: the cell for events that were lost, by the cause's name.
        """
        for kind, name in KIND_NAMES.items():
            self.drain_.tally.events[<int>kind] = &self._cells[<Py_ssize_t>events[name]]
        self.drain_.tally.unbound = &self._cells[unbound]
        self.drain_.tally.spilled = &self._cells[spilled]
        self.drain_.tally.overflowed = &self._cells[overflowed]
        for cause, name in enumerate(DROP_NAMES):
            self.drain_.tally.dropped[<int>cause] = &self._cells[<Py_ssize_t>dropped[name]]

    def report_counts(self):
        """Add to the store what the lane has counted since the last report."""
        shm_contained_report_counts(&self.drain_)

    def report(self, int report, uint64_t now, Py_ssize_t cell=-1):
        """Add to a cell of the store how much `now` is more than the ledger says, once.

        Args:
            report: the number in the ledger, `REPORT_*`.
            now: its new value.
            cell: the index of the cell; -1 adds nowhere.

        Returns:
            Whether `now` was more.
        """
        return shm_contained_report(
            &self.drain_, <uint32_t>report, now, SHM_NO_CELL if cell < 0 else <uint64_t>cell)

    def reported(self, int report):
        """Return a number of the ledger, `REPORT_*`."""
        return shm_contained_reported(&self.drain_, <uint32_t>report)

    def moved_to(self):
        """Return the number of the lane in which the emitter goes on; 0: it goes on here."""
        return shm_contained_moved_to(&self.drain_)

    def finish(self):
        """Finish the event that a dead emitter was in the middle of."""
        shm_contained_finish(&self.drain_)

    def take_gauge(self, uint32_t series, uint64_t cell):
        """Add a dead emitter's gauge to a cell of the store, once.

        It adds the gauge's value, or 1 if the value is not finite.
        """
        return shm_contained_take_gauge(&self.drain_, series, cell)

    def abandon(self, uint32_t slot, uint64_t cell):
        """Count a dead emitter's open call in a cell of the store, once."""
        return shm_contained_abandon(&self.drain_, slot, cell)

    def give_up(self):
        """Tell the emitter to register again, because this lane is read no more."""
        shm_contained_give_up(&self.drain_)

    def tell(self, bytes notice not None):
        """Append a notice for the emitter; return False if there is no room for it."""
        return shm_contained_tell(&self.drain_, <const char *>notice, <uint32_t>len(notice))

    def heard(self):
        """Return whether the emitter has heard all notices; if so, let it look no more."""
        return shm_contained_heard(&self.drain_)

    def notices(self):
        """Return all notices, as bytes that the emitter may have changed."""
        cdef unsigned char buffer[SHM_NOTICES_BYTES]
        cdef uint32_t n_bytes = shm_contained_notices(&self.drain_, buffer)
        return (<char *>buffer)[:n_bytes]

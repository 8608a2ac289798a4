# SPDX-License-Identifier: Apache-2.0
# cython: freethreading_compatible=False
"""The binding of csrc/: how to call it, and its codes as exceptions. No policy, no parsing.

One process records through one producer. Under the GIL a record is written by one C call that
never releases it, so threads, signal handlers and destructors cannot interleave. A build without
the GIL turns it on again when this module is imported.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, _PyBytes_Resize
from cpython.exc cimport PyErr_Clear
from cpython.float cimport PyFloat_AsDouble
from cpython.ref cimport Py_DECREF, Py_INCREF, Py_XDECREF, PyObject
from libc.string cimport memcpy

from shmetrics.errors import BrokenLane, LaneRefused

# ---- constants: the one source of every number that Python needs -------------------------------

LAYOUT_VERSION = SHM_LAYOUT_VERSION
HEADER_BYTES = SHM_HEADER_BYTES
RECORD_BYTES = SHM_RECORD_BYTES
CELL_BYTES = SHM_CELL_BYTES
INDEX_START = SHM_INDEX_START
ENTRY_MAX_BYTES = SHM_ENTRY_MAX_BYTES
OVERFLOW_VALUE = SHM_OVERFLOW_VALUE.decode()
LANE_MAX_BYTES = SHM_LANE_MAX_BYTES
UNDO_BYTES = sizeof(shm_undo)
MAX_OPEN_CALLS = SHM_MAX_OPEN_CALLS

TYPE_NONE = SHM_TYPE_NONE
TYPE_COUNTER = SHM_TYPE_COUNTER
TYPE_GAUGE = SHM_TYPE_GAUGE
TYPE_HISTOGRAM = SHM_TYPE_HISTOGRAM
TYPE_CALLS = SHM_TYPE_CALLS
TYPE_EXCEPTION = SHM_TYPE_EXCEPTION

ENTRY_FAMILY = SHM_ENTRY_FAMILY
ENTRY_SERIES = SHM_ENTRY_SERIES
ENTRY_EXCEPTION = SHM_ENTRY_EXCEPTION

CELL_STARTS = SHM_CELL_STARTS
CELL_ENDS = SHM_CELL_ENDS
CELL_DURATION = SHM_CELL_DURATION
CALLS_BUCKETS = SHM_CALLS_BUCKETS
CELL_SUM = SHM_CELL_SUM
HISTOGRAM_BUCKETS = SHM_HISTOGRAM_BUCKETS
CELL_VALUE = SHM_CELL_VALUE
CELL_STAMP = SHM_CELL_STAMP

DEFAULT_RECORDS = SHM_DEFAULT_RECORDS
DEFAULT_DICTIONARY_BYTES = SHM_DEFAULT_DICTIONARY_BYTES
DEFAULT_CELLS = SHM_DEFAULT_CELLS
DEFAULT_CALLS = SHM_DEFAULT_CALLS

REPORT_ENTRIES = SHM_REPORT_ENTRIES
REPORT_QUARANTINED = SHM_REPORT_QUARANTINED
REPORT_RETIRED = SHM_REPORT_RETIRED

DROP_BAD_VALUE = SHM_DROP_BAD_VALUE
DROP_BAD_LABELS = SHM_DROP_BAD_LABELS
DROP_NO_MEMORY = SHM_DROP_NO_MEMORY

LANE_CLOSED = SHM_LANE_CLOSED

KIND_NAMES = {
    0: "unknown",
    SHM_KIND_ADD: "add",
    SHM_KIND_OBSERVE: "observe",
    SHM_KIND_CALL_START: "call_start",
    SHM_KIND_CALL_END: "call_end",
}
DROP_NAMES = tuple(shm_drop_name(cause).decode() for cause in range(SHM_DROPS))
STATE_NAMES = {
    SHM_PROCESS_NONE: "none",
    SHM_PROCESS_PRIVATE: "private",
    SHM_PROCESS_REGISTERED: "registered",
}

# (name, numpy format, offset): np.dtype({...}) of one 64-byte record.
RECORD_FIELDS = (
    ("kind", "u1", SHM_AT_KIND),
    ("flags", "u1", SHM_AT_FLAGS),
    ("series", "<u4", SHM_AT_SERIES),
    ("value", "<f8", SHM_AT_VALUE),
    ("stamp_ns", "<u8", SHM_AT_STAMP_NS),
    ("duration_ns", "<u8", SHM_AT_DURATION_NS),
    ("exception", "<u4", SHM_AT_EXCEPTION),
    ("trace", "S16", SHM_AT_TRACE),
)

_ATTACH_REASONS = {
    SHM_ATTACH_NOT_READY: "not_ready",
    SHM_ATTACH_NOT_A_LANE: "not_a_lane",
    SHM_ATTACH_VERSION: "layout_version",
    SHM_ATTACH_BAD_PARTS: "bad_parts",
    SHM_ATTACH_FOREIGN: "foreign",
    SHM_ATTACH_TOO_SMALL: "too_small",
}
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


cdef int _check_attach(int code) except -1:
    if code != SHM_ATTACH_OK:
        raise LaneRefused(_ATTACH_REASONS[code])
    return 0


cdef int _check_drained(int code) except -1:
    if code == SHM_DRAIN_NO_MEMORY:
        raise MemoryError("no memory for a lane's table of series")
    if code != SHM_DRAINED and code != SHM_DRAIN_ENTRIES:
        raise BrokenLane(_BROKEN_REASONS[code])
    return 0


cdef dict _counts(const shm_counts *counts):
    return {
        "lane": counts.lane_id,
        "recorded": counts.recorded,
        "waiting": counts.waiting,
        "spilled": counts.spilled,
        "gauge_writes": counts.gauge_writes,
        "overflowed": counts.overflowed,
        "dropped": {DROP_NAMES[cause]: counts.dropped[cause] for cause in range(SHM_DROPS)},
    }


# ---- the emitting process ----------------------------------------------------------------------

cdef object _attention = None
cdef uint64_t _attention_errors = 0


def process_init(bint disabled, attention):
    """Has to be called once before anything is recorded.

    attention: called without arguments, at most once a second and only from a slow path, while
    the process has no lane of its own or the collector has closed it.
    """
    global _attention
    _attention = attention
    shm_process_init(disabled)


def process_epoch():
    """A number that changes when the process does: a forked child has another one."""
    return shm_process_producer().epoch


def process_attach(uint32_t epoch, int lane_fd, int kick_fd, int connection_fd):
    """Goes on in a granted lane; takes the three descriptors over. Raises LaneRefused.

    epoch: process_epoch() when the lane was asked for.
    """
    _check_attach(shm_process_attach(epoch, lane_fd, kick_fd, connection_fd))


def process_detach():
    """Leaves the lane. The next event starts a private one."""
    shm_process_detach()


def process_status():
    """State of this process's producer, and what its lane has counted so far."""
    cdef shm_producer *producer = shm_process_producer()
    cdef dict status = {
        "state": STATE_NAMES[shm_process.state],
        "disabled": True if producer.disabled else False,
        "closed": True if shm_is_closed(producer) else False,
        "attention_errors": _attention_errors,
    }
    cdef shm_counts counts
    if producer.lane.header != NULL:
        shm_counts_read(producer.lane.header, &counts)
        status.update(_counts(&counts))
    return status


def process_count_drop(int cause):
    """Counts an event that could not be kept. cause: one of the DROP_ constants."""
    if 0 <= cause < SHM_DROPS:
        shm_count_drop(shm_process_producer(), cause, 1)


def wait_readable(int fd, uint64_t wait_ns):
    """True once fd can be read; False when wait_ns are over. Other threads run meanwhile.

    Here and not in Python, where eventlet and gevent replace what could wait.
    """
    cdef bint readable
    with nogil:
        readable = shm_wait_readable(fd, wait_ns)
    return readable


cdef int _attend() except -1:
    """Looks after the registration. Only what the host itself raised (an interrupt) gets out."""
    global _attention_errors
    if _attention is not None:
        try:
            _attention()
        except Exception:
            _attention_errors += 1
    return 0


cdef inline bint _number(object amount, double *value):
    """A real number as a double. False, and counted, if it is not one.

    Nothing in this module returns out of an except clause: what Cython makes of that crashes if
    there is no memory for a traceback.
    """
    cdef bint found = True
    if type(amount) is float:
        value[0] = <double>amount
        return True
    try:
        value[0] = PyFloat_AsDouble(amount)
    except MemoryError:
        found = False
        shm_count_drop(shm_process_producer(), SHM_DROP_NO_MEMORY, 1)
    except Exception:
        found = False
        shm_count_drop(shm_process_producer(), SHM_DROP_BAD_VALUE, 1)
    return found


cdef class Family:
    """A metric family as this process defines it. text: the payload of its dictionary entry."""

    cdef shm_family family
    cdef object _text
    cdef const double[::1] _bounds

    def __cinit__(self, int type, const double[::1] bounds, bytes text):
        self._text = text
        self._bounds = bounds
        self.family.type = <uint16_t>type
        self.family.n_bounds = <uint32_t>(0 if bounds is None else bounds.shape[0])
        if self.family.n_bounds:
            self.family.bounds = &bounds[0]
        self.family.text = <const unsigned char *><char *>text
        self.family.text_bytes = <uint32_t>len(text)


cdef int _set_text(shm_series *series, bytes text) except -1:
    if text is not None:
        series.text = <const unsigned char *><char *>text
        series.text_bytes = <uint32_t>len(text)
    return 0


cdef class Series:
    """One series of a family. text: the payload of its dictionary entry.

    None: it has none, and what it records counts in the family's overflow series.
    """

    cdef shm_series series
    cdef Family _family
    cdef object _text

    def __cinit__(self, Family family, bytes text, *_):
        self._family = family
        self._text = text
        self.series.type = family.family.type
        self.series.n_bounds = family.family.n_bounds
        self.series.bounds = family.family.bounds
        self.series.family = &family.family
        _set_text(&self.series, text)


cdef class CounterSeries(Series):
    def inc(self, amount=1.0, exemplar=None):
        """Adds amount (>= 0). exemplar is accepted for prometheus_client's callers."""
        cdef double value
        if _number(amount, &value) and shm_emit_add(
                shm_process_producer(), &self.series, value) == SHM_ATTENTION:
            _attend()


cdef class GaugeSeries(Series):
    cdef readonly bint with_stamp

    def __init__(self, Family family, bytes text, bint with_stamp=False):
        self.with_stamp = with_stamp

    cdef int _write(self, object amount, double sign, bint add) except -1:
        cdef double value
        if _number(amount, &value) and shm_emit_gauge(
                shm_process_producer(), &self.series, sign * value, add,
                self.with_stamp) == SHM_ATTENTION:
            _attend()
        return 0

    def set(self, value):
        """The gauge is value."""
        self._write(value, 1.0, False)

    def inc(self, amount=1.0):
        """Adds amount."""
        self._write(amount, 1.0, True)

    def dec(self, amount=1.0):
        """Takes amount away."""
        self._write(amount, -1.0, True)


cdef class HistogramSeries(Series):
    def observe(self, amount, exemplar=None):
        """Takes one value. exemplar is accepted for prometheus_client's callers."""
        cdef double value
        if _number(amount, &value) and shm_emit_observe(
                shm_process_producer(), &self.series, value) == SHM_ATTENTION:
            _attend()


cdef class _ExceptionSeries:
    cdef shm_series series
    cdef CallSeries _parent
    cdef object _text

    def __cinit__(self, CallSeries parent, bytes text):
        self._parent = parent
        self._text = text
        self.series.type = SHM_TYPE_EXCEPTION
        self.series.parent = &parent.series
        _set_text(&self.series, text)


@cython.final
@cython.freelist(64)
cdef class OpenCall:
    """One call between its start and its end."""

    cdef shm_call call
    cdef CallSeries series  # None: there was no memory for a call

    def __init__(self):
        raise TypeError("a call is made by its series")

    cdef inline int _begin(self) except -1:
        if self.series is not None and shm_emit_call_start(
                shm_process_producer(), &self.series.series, &self.call) == SHM_ATTENTION:
            _attend()
        return 0

    cdef inline int _finish(self, object exception) except -1:
        if self.series is not None:
            self.series._end(self, exception)
        return 0

    def __enter__(self):
        self._begin()
        return self

    def __exit__(self, kind, value, traceback):
        if kind is not None:
            try:
                kind = kind.__name__
            except Exception:
                pass  # what is no name is counted where it is used
        self._finish(kind)


cdef OpenCall _no_call = OpenCall.__new__(OpenCall)


cdef extern from *:
    """
    static PyObject *shm_new(PyObject *type, PyObject *nothing)
    {
        return ((PyTypeObject *)type)->tp_new((PyTypeObject *)type, nothing, NULL);
    }
    """
    PyObject *shm_new(object type, object nothing) noexcept


cdef inline OpenCall _open_call(CallSeries series):
    """A call that has not begun. Without an exception on its way, which would cost every call."""
    cdef PyObject *made = shm_new(OpenCall, ())
    if made == NULL:
        PyErr_Clear()
        shm_count_drop(shm_process_producer(), SHM_DROP_NO_MEMORY, 1)
        return _no_call
    cdef OpenCall call = <OpenCall>made
    Py_DECREF(call)
    call.series = series
    return call


cdef class CallSeries(Series):
    """Calls with one set of labels.

    encode: exception class name to entry payload; None where that class is not to be told apart.
    """

    cdef dict _exceptions
    cdef object _encode

    def __init__(self, Family family, bytes text, encode):
        self._exceptions = {}
        self._encode = encode

    def __call__(self):
        """A context manager around one call."""
        return _open_call(self)

    def start(self):
        """Begins a call; the result is for end()."""
        cdef OpenCall call = _open_call(self)
        call._begin()
        return call

    def end(self, call, exception=None):
        """Ends a call of start(), on the series where it began.

        exception: the name of its class if one was raised.
        """
        if isinstance(call, OpenCall):
            (<OpenCall>call)._finish(exception)
        else:
            shm_count_drop(shm_process_producer(), SHM_DROP_BAD_VALUE, 1)

    cdef _ExceptionSeries _thrown(self, object exception):
        """The exceptions of one class. None, and counted, if that is no name of one."""
        cdef _ExceptionSeries thrown = None
        cdef bytes text
        try:
            if not isinstance(exception, str):
                raise TypeError("not the name of a class")
            thrown = self._exceptions.get(exception)
            if thrown is None:
                text = self._encode(exception)
                thrown = _ExceptionSeries(self, text)
                if text is not None:
                    self._exceptions[exception] = thrown
        except MemoryError:
            shm_count_drop(shm_process_producer(), SHM_DROP_NO_MEMORY, 1)
        except Exception:
            shm_count_drop(shm_process_producer(), SHM_DROP_BAD_LABELS, 1)
        return thrown

    cdef int _end(self, OpenCall call, object exception) except -1:
        cdef _ExceptionSeries thrown = None
        if exception is not None:
            thrown = self._thrown(exception)
        if shm_emit_call_end(
                shm_process_producer(), &call.series.series, &call.call,
                NULL if thrown is None else &thrown.series) == SHM_ATTENTION:
            _attend()
        return 0


# ---- the collector -----------------------------------------------------------------------------

def cells_of(int type, int n_bounds):
    """How many cells a series of this type has."""
    return shm_cells_of(<uint16_t>type, <uint32_t>n_bounds)


def lane_bytes(uint32_t records, uint32_t dictionary_bytes, uint32_t cells, uint32_t calls):
    """Size of a lane with parts of these sizes."""
    cdef shm_lane_sizes sizes = shm_lane_sizes(records, dictionary_bytes, cells, calls)
    return shm_lane_bytes(&sizes)


def lane_format(unsigned char[::1] memory not None, uint64_t lane_id, uint32_t records,
                uint32_t dictionary_bytes, uint32_t cells, uint32_t calls):
    """Makes zeroed memory of lane_bytes() a lane."""
    cdef shm_lane_sizes sizes = shm_lane_sizes(records, dictionary_bytes, cells, calls)
    if <uint64_t>memory.shape[0] < shm_lane_bytes(&sizes):
        raise ValueError("memory is smaller than the lane")
    shm_lane_format(&memory[0], lane_id, &sizes)


cdef class LaneDrain:
    """The consumer's end of one lane: a writable mapping of its file, and the store to drain into.

    undo: UNDO_BYTES of the store, the same for all lanes. cells: all cells of the store.

    Raises LaneRefused if the mapping is no lane, and BrokenLane from any method once the lane
    breaks the contract.
    """

    cdef shm_drain drain_
    cdef unsigned char[::1] _memory
    cdef unsigned char[::1] _undo
    cdef uint64_t[::1] _cells
    cdef list _kept

    def __cinit__(self, unsigned char[::1] memory not None, unsigned char[::1] undo not None,
                  uint64_t[::1] cells not None):
        if <size_t>undo.shape[0] != sizeof(shm_undo):
            raise ValueError("undo is not UNDO_BYTES long")
        self._memory = memory
        self._undo = undo
        self._cells = cells
        self._kept = []
        _check_attach(shm_contained_open(
            &self.drain_, &memory[0], <uint64_t>memory.shape[0], <shm_undo *>&undo[0],
            &cells[0], <uint64_t>cells.shape[0]))

    def __dealloc__(self):
        shm_drain_close(&self.drain_)

    @property
    def lane_id(self):
        return self.drain_.lane.lane_id

    @property
    def records(self):
        return self.drain_.lane.records

    def recover(self):
        """Undoes what a kill left half done in this lane. False: the undo entry is damaged."""
        return shm_contained_recover(&self.drain_)

    def drain(self):
        """Folds what is there. False: read the new entries first, and bind them."""
        cdef int code = shm_contained_pass(&self.drain_)
        _check_drained(code)
        return code == SHM_DRAINED

    def entry(self):
        """Next new dictionary entry (kind, type, id, of, payload), or None."""
        cdef shm_entry entry
        cdef unsigned char buffer[16384]
        _check_drained(shm_contained_entry(&self.drain_, &entry, buffer))
        if entry.size_bytes == 0:
            return None
        return (entry.kind, entry.type, entry.id, entry.of,
                (<char *>buffer)[sizeof(shm_entry):entry.size_bytes])

    def bind(self, int type, const double[::1] bounds, Py_ssize_t first=-1):
        """Binds the next series id to the store's cells from first on, or to nothing (-1)."""
        cdef uint32_t n_bounds = <uint32_t>(0 if bounds is None else bounds.shape[0])
        cdef const double *bounds_ = NULL
        cdef uint64_t *cells_ = NULL
        if n_bounds:
            bounds_ = &bounds[0]
        if first >= 0:
            if first + <Py_ssize_t>shm_cells_of(
                    <uint16_t>type, n_bounds) > self._cells.shape[0]:
                raise ValueError("cells outside the store")
            cells_ = &self._cells[first]
        _check_drained(shm_drain_bind(&self.drain_, <uint16_t>type, bounds_, n_bounds, cells_))
        self._kept.append(bounds)

    def calls(self):
        """Open calls as (series id, start_ns, slot)."""
        cdef shm_open_call_copy found[4096]
        cdef uint32_t n = shm_contained_calls(&self.drain_, found, 4096)
        return [(found[i].series, found[i].start_ns, found[i].slot) for i in range(n)]

    def gauges(self):
        """(series id, value, stamp_ns) of every gauge."""
        cdef shm_gauge_copy found[256]
        cdef list result = []
        cdef uint32_t n = shm_contained_gauges(&self.drain_, 1, found, 256)
        while n:
            result.extend([(found[i].series, found[i].value, found[i].stamp_ns) for i in range(n)])
            n = shm_contained_gauges(&self.drain_, found[n - 1].series + 1, found, 256)
        return result

    def counts(self):
        """What the lane says of itself; an emitter can write anything there."""
        cdef shm_counts counts
        shm_contained_counts(&self.drain_, &counts)
        return _counts(&counts)

    def tally(self, dict events not None, Py_ssize_t unbound, Py_ssize_t spilled,
              Py_ssize_t overflowed, dict dropped not None):
        """Cells of the store that count what becomes of events: by name of their kind, by name of
        the cause."""
        for kind, name in KIND_NAMES.items():
            self.drain_.tally.events[<int>kind] = &self._cells[<Py_ssize_t>events[name]]
        self.drain_.tally.unbound = &self._cells[unbound]
        self.drain_.tally.spilled = &self._cells[spilled]
        self.drain_.tally.overflowed = &self._cells[overflowed]
        for cause, name in enumerate(DROP_NAMES):
            self.drain_.tally.dropped[<int>cause] = &self._cells[<Py_ssize_t>dropped[name]]

    def report_counts(self):
        """Counts in the store what the lane has counted since the last time."""
        shm_contained_report_counts(&self.drain_)

    def report(self, int report, uint64_t now, Py_ssize_t cell=-1):
        """Adds to a cell of the store what `now` is more than the report says, once."""
        return shm_contained_report(
            &self.drain_, <uint32_t>report, now, SHM_NO_CELL if cell < 0 else <uint64_t>cell)

    def reported(self, int report):
        """What the report says; an emitter can write anything there."""
        return shm_contained_reported(&self.drain_, <uint32_t>report)

    def finish(self):
        """The emitter is dead: finishes the event that it was in the middle of."""
        shm_contained_finish(&self.drain_)

    def take_gauge(self, uint32_t series, uint64_t cell):
        """Adds a dead emitter's gauge to a cell of the store, once."""
        return shm_contained_take_gauge(&self.drain_, series, cell)

    def abandon(self, uint32_t slot, uint64_t cell):
        """Counts a dead emitter's open call in a cell of the store, once."""
        return shm_contained_abandon(&self.drain_, slot, cell)

    def give_up(self):
        """Tells the emitter to register anew: this lane is read no more."""
        shm_contained_give_up(&self.drain_)


# ---- text --------------------------------------------------------------------------------------

def text_number(double value):
    """A number as the exposition formats write it."""
    cdef char[64] text
    return text[:shm_text_number(text, value) - text]


def text_count(uint64_t value):
    """A count as the exposition formats write it: text_number(float(value))."""
    cdef char[64] text
    return text[:shm_text_count(text, value) - text]


def text_escape(str value not None):
    """A label value between its quotes, as UTF-8."""
    cdef bytes raw = value.encode("utf-8", "replace")
    cdef bytes escaped = PyBytes_FromStringAndSize(NULL, 2 * len(raw))
    cdef char *text = escaped
    return text[:shm_text_escape(text, raw, <size_t>len(raw)) - text]


cdef const char *_chars(const unsigned char[::1] text) noexcept:
    cdef const char *nothing = ""
    return <const char *>&text[0] if text.shape[0] else nothing


cdef shm_text_column _column(numbers, size_t n_rows) except *:
    cdef shm_text_column column = shm_text_column(NULL, 0, False)
    cdef const uint64_t[:] counts
    cdef const double[:] doubles
    if numbers is None or n_rows == 0:
        return column
    if <size_t>len(numbers) != n_rows:
        raise ValueError("a column of another length than the table's")
    if numbers.dtype.kind == "u":
        counts = numbers
        return shm_text_column(<const char *>&counts[0], counts.strides[0], True)
    doubles = numbers
    return shm_text_column(<const char *>&doubles[0], doubles.strides[0], False)


cdef class TextWriter:
    """Puts an exposition together. labels, parts, les, offsets: see csrc/text.h.

    Raises ValueError where arrays do not fit each other.
    """

    cdef PyObject *_text  # bytes that nobody else has seen yet
    cdef Py_ssize_t _capacity
    cdef Py_ssize_t _used

    def __cinit__(self):
        self._capacity = 4096
        cdef bytes text = PyBytes_FromStringAndSize(NULL, self._capacity)
        Py_INCREF(text)
        self._text = <PyObject *>text

    def __dealloc__(self):
        Py_XDECREF(self._text)

    cdef char *_room(self, size_t n_bytes) except NULL:
        """Where the next n_bytes go."""
        cdef Py_ssize_t wanted = self._used + <Py_ssize_t>n_bytes
        if self._text == NULL:
            raise ValueError("the text is finished")
        if wanted > self._capacity:
            self._capacity = max(wanted, 2 * self._capacity)
            _PyBytes_Resize(&self._text, self._capacity)
        return PyBytes_AS_STRING(<object>self._text) + self._used

    cdef int _wrote(self, const char *end) except -1:
        self._used = end - PyBytes_AS_STRING(<object>self._text)
        return 0

    cdef shm_text_family _family(self, bytes name, const unsigned char[::1] labels,
                                 const uint64_t[::1] parts, Py_ssize_t n_rows) except *:
        if 2 * n_rows >= parts.shape[0] or parts[2 * n_rows] > <uint64_t>labels.shape[0]:
            raise ValueError("fewer label texts than rows")
        return shm_text_family(name, <size_t>len(name), _chars(labels), &parts[0], <size_t>n_rows)

    def raw(self, bytes text not None):
        """Takes text as it is."""
        cdef char *out = self._room(<size_t>len(text))
        memcpy(out, <const char *>text, <size_t>len(text))
        self._used += len(text)

    def scalars(self, bytes name not None, bytes suffix not None,
                const unsigned char[::1] labels not None, const uint64_t[::1] parts not None,
                values not None, created=None):
        """A sample per row, and a _created one."""
        cdef shm_text_family family = self._family(name, labels, parts, len(values))
        cdef shm_text_column column = _column(values, family.n_rows)
        cdef shm_text_column created_ = _column(created, family.n_rows)
        if len(suffix) > <Py_ssize_t>SHM_TEXT_SUFFIX_BYTES:
            raise ValueError("the suffix is too long")
        cdef char *out = self._room(shm_text_bound(&family, 2, NULL))
        self._wrote(shm_text_scalars(out, &family, suffix, column, created_))

    def histograms(self, bytes name not None, const unsigned char[::1] labels not None,
                   const uint64_t[::1] parts not None, const unsigned char[::1] les not None,
                   const uint64_t[::1] offsets not None, const uint64_t[:, :] buckets not None,
                   sums=None, created=None):
        """Per row its _bucket samples, _count, _sum and _created."""
        cdef shm_text_family family = self._family(name, labels, parts, buckets.shape[0])
        cdef shm_text_les les_ = shm_text_les(
            _chars(les), &offsets[0], <size_t>(offsets.shape[0] - 1))
        cdef shm_text_column sums_ = _column(sums, family.n_rows)
        cdef shm_text_column created_ = _column(created, family.n_rows)
        if buckets.shape[1] != offsets.shape[0] - 1 or buckets.shape[1] < 1:
            raise ValueError("another number of buckets than of le labels")
        if family.n_rows == 0:
            return
        cdef shm_text_buckets buckets_ = shm_text_buckets(
            <const char *>&buckets[0, 0], buckets.strides[0], buckets.strides[1])
        cdef char *out = self._room(shm_text_bound(&family, les_.n + 3, &les_))
        self._wrote(shm_text_histograms(out, &family, &les_, buckets_, sums_, created_))

    def finish(self):
        """The text as bytes. Nothing can be added after it."""
        self._room(0)
        _PyBytes_Resize(&self._text, self._used)
        cdef object text = <object>self._text
        Py_DECREF(text)
        self._text = NULL
        return text

# SPDX-License-Identifier: Apache-2.0
# cython: freethreading_compatible=False
"""The binding of csrc/ for a process that records: how to call it, and its codes as exceptions.
No policy, no parsing. The collector's ends of csrc/ are bound in _drain.pyx and _text.pyx.

One process records through one producer. Under the GIL a record is written by one C call that
never releases it, so threads, signal handlers and destructors cannot interleave. A build without
the GIL turns it on again when this module is imported.
"""

cimport cython
from cpython.exc cimport PyErr_Clear
from cpython.float cimport PyFloat_AsDouble
from cpython.ref cimport Py_DECREF, PyObject
from cpython.unicode cimport PyUnicode_AsUTF8AndSize

from shmetrics.errors import LaneRefused

# ---- constants: the one source of every number of a lane that Python needs ----------------------

LAYOUT_VERSION = SHM_LAYOUT_VERSION
HEADER_BYTES = SHM_HEADER_BYTES
RECORD_BYTES = SHM_RECORD_BYTES
CELL_BYTES = SHM_CELL_BYTES
INDEX_START = SHM_INDEX_START
ENTRY_MAX_BYTES = SHM_ENTRY_MAX_BYTES
OVERFLOW_VALUE = SHM_OVERFLOW_VALUE.decode()
LANE_MAX_BYTES = SHM_LANE_MAX_BYTES
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
    ("trace", "V16", SHM_AT_TRACE),
    ("span", "V8", SHM_AT_SPAN),
)

_ATTACH_REASONS = {
    SHM_ATTACH_NOT_READY: "not_ready",
    SHM_ATTACH_NOT_A_LANE: "not_a_lane",
    SHM_ATTACH_VERSION: "layout_version",
    SHM_ATTACH_BAD_PARTS: "bad_parts",
    SHM_ATTACH_FOREIGN: "foreign",
    SHM_ATTACH_TOO_SMALL: "too_small",
}


cdef int check_attach(int code) except -1:
    if code != SHM_ATTACH_OK:
        raise LaneRefused(_ATTACH_REASONS[code])
    return 0


cdef dict counts_dict(const shm_counts *counts):
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
    check_attach(shm_process_attach(epoch, lane_fd, kick_fd, connection_fd))


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
        status.update(counts_dict(&counts))
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


cdef bint _converted(object amount, double *value):
    """A number that is no float as a double. False, and counted, if it is not one.

    Nothing in this module returns out of an except clause: what Cython makes of that crashes if
    there is no memory for a traceback.
    """
    cdef bint found = True
    try:
        value[0] = PyFloat_AsDouble(amount)
    except MemoryError:
        found = False
        shm_count_drop(shm_process_producer(), SHM_DROP_NO_MEMORY, 1)
    except Exception:
        found = False
        shm_count_drop(shm_process_producer(), SHM_DROP_BAD_VALUE, 1)
    return found


cdef inline bint _number(object amount, double *value):
    """The same of any number, in the caller's own code if it is a float: nearly all are."""
    if type(amount) is float:
        value[0] = <double>amount
        return True
    return _converted(amount, value)


cdef bint _trace(object exemplar, shm_trace *trace):
    """The trace that an exemplar names, as prometheus_client takes one: {"trace_id": 32 digits or a
    UUID, "span_id": 16 digits}. False if it names none. What was given and cannot be kept, it or
    another label, is counted.
    """
    cdef bint found = False
    cdef Py_ssize_t length, kept = 0, given = 0
    cdef const char *text
    try:
        given = len(exemplar)
        if given:
            text = PyUnicode_AsUTF8AndSize(exemplar["trace_id"], &length)
            found = shm_trace_read(trace, text, <size_t>length)
            kept = found
        if found and given > 1 and "span_id" in exemplar:
            text = PyUnicode_AsUTF8AndSize(exemplar["span_id"], &length)
            kept += shm_span_read(trace, text, <size_t>length)
    except MemoryError:
        kept = given
        shm_count_drop(shm_process_producer(), SHM_DROP_NO_MEMORY, 1)
    except Exception:
        kept = -1
    if kept != given:
        shm_count_drop(shm_process_producer(), SHM_DROP_BAD_EXEMPLAR, 1)
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


def texts(tuple values, str none):
    """Label values as texts: str() of each, and none for None. The same tuple if they are texts.

    Here because it is on the way of every labels().
    """
    for value in values:
        if type(value) is not str:
            return tuple([none if value is None else str(value) for value in values])
    return values


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
        """Adds amount (>= 0). exemplar: the trace that this one event belongs to."""
        cdef double value
        if exemplar is not None:
            self._inc_traced(amount, exemplar)
        elif _number(amount, &value) and shm_emit_add(
                shm_process_producer(), &self.series, value) == SHM_ATTENTION:
            _attend()

    cdef int _inc_traced(self, object amount, object exemplar) except -1:
        cdef double value
        cdef shm_trace trace
        cdef const shm_trace *given = &trace if _trace(exemplar, &trace) else NULL
        if _number(amount, &value) and shm_emit_add_traced(
                shm_process_producer(), &self.series, value, given) == SHM_ATTENTION:
            _attend()
        return 0


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
        """Takes one value. exemplar: the trace that it belongs to."""
        cdef double value
        if exemplar is not None:
            self._observe_traced(amount, exemplar)
        elif _number(amount, &value) and shm_emit_observe(
                shm_process_producer(), &self.series, value) == SHM_ATTENTION:
            _attend()

    cdef int _observe_traced(self, object amount, object exemplar) except -1:
        cdef double value
        cdef shm_trace trace
        cdef const shm_trace *given = &trace if _trace(exemplar, &trace) else NULL
        if _number(amount, &value) and shm_emit_observe_traced(
                shm_process_producer(), &self.series, value, given) == SHM_ATTENTION:
            _attend()
        return 0


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


cdef class _Itself:
    """What an open call has for __enter__ and __exit__: itself, and it knows which one is meant.

    `with` looks both up at once and then calls them. If they were methods it would make two objects
    to bind them, which takes longer than all that is recorded.
    """

    def __get__(self, instance, owner):
        return self if instance is None else instance

    def __call__(self, OpenCall call, *args):
        return call(*args)


cdef extern from *:
    """
    /* Has instances of a type called through the vectorcallfunc at offset in each of them: with
     * their arguments where they are, and no tuple made of them (PEP 590). */
    static void shm_call_through(PyObject *type, Py_ssize_t offset)
    {
        ((PyTypeObject *)type)->tp_call = PyVectorcall_Call;
        ((PyTypeObject *)type)->tp_vectorcall_offset = offset;
        ((PyTypeObject *)type)->tp_flags |= Py_TPFLAGS_HAVE_VECTORCALL;
    }
    """
    void shm_call_through(object type, Py_ssize_t offset) noexcept
    Py_ssize_t PyVectorcall_NARGS(size_t n_args_f) noexcept

ctypedef object (*vectorcall)(PyObject *, PyObject *const *, size_t, PyObject *)


@cython.final
@cython.no_gc  # its series knows of no open call: there is no cycle
@cython.freelist(64)
cdef class OpenCall:
    """One call between its start and its end."""

    cdef vectorcall called
    cdef shm_call call
    cdef bint traced  # known before it begins; from then on the call itself says so
    cdef CallSeries series  # None: there was no memory for a call

    __enter__ = _Itself()
    __exit__ = _Itself()

    def __init__(self):
        raise TypeError("a call is made by its series")


cdef inline int _begin(OpenCall call) except -1:
    if call.series is not None and shm_emit_call_start(
            shm_process_producer(), &call.series.series, &call.call) == SHM_ATTENTION:
        _attend()
    call.call.traced = call.traced
    return 0


cdef inline int _finish(OpenCall call, shm_series *thrown) except -1:
    if call.series is not None and shm_emit_call_end(
            shm_process_producer(), &call.series.series, &call.call, thrown) == SHM_ATTENTION:
        _attend()
    return 0


cdef int _finish_raised(OpenCall call, object exception) except -1:
    """exception: the name of its class."""
    cdef _ExceptionSeries thrown = None
    if call.series is not None:
        thrown = call.series._thrown(exception)
    return _finish(call, NULL if thrown is None else &thrown.series)


cdef object _entered_or_left(PyObject *call, PyObject *const *args, size_t n_args_f,
                             PyObject *names):
    """An open call's __enter__ if there are no arguments, its __exit__ if there are three."""
    cdef Py_ssize_t n_args = PyVectorcall_NARGS(n_args_f)
    if n_args == 0 and names == NULL:
        _begin(<OpenCall>call)
        return <OpenCall>call
    if n_args != 3 or names != NULL:
        raise TypeError("an open call is entered and left, not called")
    if <object>args[0] is None:
        _finish(<OpenCall>call, NULL)
    else:
        _finish_raised(<OpenCall>call, _name(<object>args[0]))
    return None


cdef object _name(object kind):
    """The name of a class of exceptions; what has no name is counted where it is used."""
    try:
        kind = kind.__name__
    except Exception:
        pass
    return kind


cdef OpenCall _no_call = OpenCall.__new__(OpenCall)
_no_call.called = _entered_or_left
shm_call_through(OpenCall, <char *>&_no_call.called - <char *><PyObject *>_no_call)


cdef OpenCall _new_call(CallSeries series):
    cdef OpenCall call = OpenCall.__new__(OpenCall)
    call.called = _entered_or_left
    call.series = series
    return call


ctypedef PyObject *(*may_fail)(CallSeries) noexcept


cdef inline OpenCall _open_call(CallSeries series):
    """A call that has not begun. Without an exception on its way, which would cost every call."""
    cdef PyObject *made = (<may_fail>_new_call)(series)
    if made == NULL:
        PyErr_Clear()
        shm_count_drop(shm_process_producer(), SHM_DROP_NO_MEMORY, 1)
        return _no_call
    cdef OpenCall call = <OpenCall>made
    Py_DECREF(call)
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

    def traced(self, exemplar):
        """The same around a call that belongs to this trace."""
        cdef OpenCall call = _open_call(self)
        if exemplar is not None:
            call.traced = _trace(exemplar, &call.call.trace)
        return call

    def start(self, exemplar=None):
        """Begins a call; the result is for end(). exemplar: the trace that it belongs to."""
        cdef OpenCall call = _open_call(self) if exemplar is None else self.traced(exemplar)
        _begin(call)
        return call

    def end(self, call, exception=None):
        """Ends a call of start(), on the series where it began.

        exception: the name of its class if one was raised.
        """
        if isinstance(call, OpenCall):
            if exception is None:
                _finish(<OpenCall>call, NULL)
            else:
                _finish_raised(<OpenCall>call, exception)
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

# SPDX-License-Identifier: Apache-2.0
# Families, and the series of counters, gauges and histograms. Part of _ring.pyx.

cdef bint _converted(shm_series *series, object amount, double *value):
    """Convert an object that is not a float to a double. Return false, and count, if it fails.

    No function of this module returns from an except clause: the code that Cython makes for that
    crashes if there is no memory for a traceback.
    """
    cdef bint found = True
    cdef int result = SHM_EMITTED
    try:
        value[0] = PyFloat_AsDouble(amount)
    except MemoryError:
        found = False
        shm_count_drop(shm_process_producer(), SHM_DROP_NO_MEMORY, 1)
    except Exception:
        found = False
        result = shm_drop_of(shm_process_producer(), series.family, SHM_DROP_BAD_VALUE)
    if result == SHM_ATTENTION:
        _attend()
    return found


cdef inline bint _number(shm_series *series, object amount, double *value):
    """Convert any number to a double. Inlined, as nearly all numbers are floats."""
    if type(amount) is float:
        value[0] = <double>amount
        return True
    return _converted(series, amount, value)


cdef bint _trace(Series series, object exemplar, shm_trace *trace) except -1:
    """Read the trace of an exemplar, in prometheus_client's form.

    Labels that cannot be kept are counted as a bad exemplar.

    Args:
        series: the series whose event has it.
        exemplar: {"trace_id": 32 hexadecimal digits or a UUID, "span_id": 16 digits}.
        trace: is filled in.

    Returns:
        False if the exemplar names no trace.
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
    if kept != given and shm_drop_of(
            shm_process_producer(), series.series.family, SHM_DROP_BAD_EXEMPLAR) == SHM_ATTENTION:
        _attend()
    return found


cdef class Family:
    """A metric family as this process defines it.

    Its arguments are the type, the finite bounds of its buckets (doubles), and the payload of its
    dictionary entry.
    """

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

    def __dealloc__(self):
        shm_process_forget_family(&self.family)

    def causes(self):
        """Return why events of the family were dropped or overflow: a bit for each DROP_ cause."""
        return shm_causes_of(shm_process_producer(), &self.family)

    def forget_cause(self, int cause):
        """Forget one of them that is over, so that it is noted anew when it comes again."""
        shm_forget_cause(&self.family, <uint32_t>cause)


def texts(tuple values, str none):
    """Return label values as texts, or the same tuple if all are texts.

    It is compiled because every labels() calls it.

    Args:
        values: the label values; str() converts each.
        none: the text for None.
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


cdef object _refuse_labels = None


def refuse_labels_by(refuse_labels):
    """Set what counts label values that a child or a block cannot take.

    Args:
        refuse_labels: takes the Family, or None; returns a child that records nothing.
    """
    global _refuse_labels
    _refuse_labels = refuse_labels


cdef class Series:
    """One series of a family.

    Its arguments are the family and the payload of its dictionary entry. Without a payload (None)
    its events count in the family's overflow series.
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

    def labels(self, *_, **__):
        """Count wrong labels: a child has its labels. Returns a child that records nothing."""
        return _refuse_labels(self._family) if _refuse_labels is not None else None

    def __dealloc__(self):
        shm_process_forget_series(&self.series)


cdef enum:
    _MOST_DECLARED = 1000  # at once, in about half a millisecond

# Series that are not in the lane of the process yet; the last comes first. All that there were when
# it got its lane are a list, which is made fast; what is removed of it is passed over.
cdef dict _undeclared = {}
cdef list _all_undeclared = []


def declare(Series series not None):
    """Have a series shown as 0 before its first event, if the process has a lane.

    If a larger lane is wanted, this waits for it: the room that is left is for events, and spans
    cannot wait.
    """
    if not shm_process_producer().wants_larger:
        shm_declare(shm_process_producer(), &series.series)
    else:
        _undeclared[series] = None
    _declare_some()


def declare_all(list series not None):
    """Have series shown as 0 before their first event, from the last to the first.

    What takes too long is put off to the next event; what has to wait for a larger lane, until the
    process has it.

    Args:
        series: all series that the process has.
    """
    global _all_undeclared
    _all_undeclared = series
    _declare_some()


cdef int _declare_some() except -1:
    """Declare some series of the process, until a larger lane is wanted, or there is no room."""
    cdef shm_producer *producer = shm_process_producer()
    cdef Series series
    cdef int n = 0
    while (_undeclared or _all_undeclared) and not producer.wants_larger:
        if n == _MOST_DECLARED:
            shm_be_told(producer)  # the next event goes on
            break
        series = _undeclared.popitem()[0] if _undeclared else _all_undeclared.pop()
        n += 1
        if not shm_declare(producer, &series.series):
            _undeclared[series] = None  # it is not the time yet to ask for a larger lane
            break
    if not _undeclared:
        _undeclared.clear()  # its memory goes too
    return 0


def _forget_undeclared():
    """Declare no series that waits for it. Each shows itself at its first event."""
    _undeclared.clear()
    _all_undeclared.clear()


def remove_series(Series series not None):
    """Remove a series for good: what is recorded in it after that is recorded nowhere.

    The collector shows it no more.

    No method of it, because it is a child that its family has to forget as well.
    """
    _undeclared.pop(series, None)
    shm_series_remove(shm_process_producer(), &series.series)


cdef class CounterSeries(Series):
    """One series of a counter."""

    def inc(self, amount=1.0, exemplar=None):
        """Add *amount* (>= 0). exemplar: the trace of this event, or None."""
        cdef double value
        if exemplar is not None:
            self._inc_traced(amount, exemplar)
        elif _number(&self.series, amount, &value) and shm_emit_add(
                shm_process_producer(), &self.series, value) == SHM_ATTENTION:
            _attend()

    cdef int _inc_traced(self, object amount, object exemplar) except -1:
        cdef double value
        cdef shm_trace trace
        cdef const shm_trace *given = &trace if _trace(self, exemplar, &trace) else NULL
        if _number(&self.series, amount, &value) and shm_emit_add_traced(
                shm_process_producer(), &self.series, value, given) == SHM_ATTENTION:
            _attend()
        return 0

    @cython.binding(True)  # a default that is no literal shows in the signature of no other
    def count_exceptions(self, exception=Exception):
        """Count the exceptions that leave a block; also a decorator.

        Args:
            exception: the class, or a tuple of classes, to count.
        """
        return _block(self, _counted, exception)


cdef class GaugeSeries(Series):
    """One series of a gauge."""

    cdef readonly bint with_stamp

    def __init__(self, Family family, bytes text, bint with_stamp=False):
        self.with_stamp = with_stamp

    cdef inline int _put(self, double value, bint add) except -1:
        if shm_emit_gauge(shm_process_producer(), &self.series, value, add,
                          self.with_stamp) == SHM_ATTENTION:
            _attend()
        return 0

    cdef int _set(self, double value) except -1:
        return self._put(value, False)

    cdef int _add(self, double value) except -1:
        return self._put(value, True)

    cdef int _write(self, object amount, double sign, bint add) except -1:
        cdef double value
        if _number(&self.series, amount, &value):
            self._put(sign * value, add)
        return 0

    def set(self, value):
        """Set the gauge to *value*."""
        self._write(value, 1.0, False)

    def inc(self, amount=1.0):
        """Add *amount*."""
        self._write(amount, 1.0, True)

    def dec(self, amount=1.0):
        """Subtract *amount*."""
        self._write(amount, -1.0, True)

    def set_to_current_time(self):
        """Set the gauge to the Unix time, in seconds."""
        self._set(_seconds(shm_clock_unix_ns()))

    def track_inprogress(self):
        """Add one while a block runs; also a decorator."""
        return _block(self, _tracked, None)

    def time(self):
        """Set the gauge to the seconds that a block took; also a decorator."""
        return _block(self, _timed_last, None)


cdef class HistogramSeries(Series):
    """One series of a histogram."""

    def observe(self, amount, exemplar=None):
        """Observe *amount*. exemplar: the trace of this event, or None."""
        cdef double value
        if exemplar is not None:
            self._observe_traced(amount, exemplar)
        elif _number(&self.series, amount, &value) and shm_emit_observe(
                shm_process_producer(), &self.series, value) == SHM_ATTENTION:
            _attend()

    cdef int _observe_traced(self, object amount, object exemplar) except -1:
        cdef double value
        cdef shm_trace trace
        cdef const shm_trace *given = &trace if _trace(self, exemplar, &trace) else NULL
        if _number(&self.series, amount, &value) and shm_emit_observe_traced(
                shm_process_producer(), &self.series, value, given) == SHM_ATTENTION:
            _attend()
        return 0

    def time(self):
        """Observe the seconds that a block takes; also a decorator."""
        return _block(self, _timed, None)

# SPDX-License-Identifier: Apache-2.0
# Series of calls, open calls, and series of the exceptions that calls raise. Part of _ring.pyx.

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

    def __dealloc__(self):
        shm_process_forget_series(&self.series)


@cython.final
@cython.no_gc  # its series knows of no open call: there is no cycle
@cython.freelist(64)
cdef class OpenCall:
    """One call between its start and its end."""

    cdef vectorcall called
    cdef shm_call call
    cdef bint traced  # known before it begins; from then on the call itself says so
    cdef uint32_t timeout_ms  # how long its caller waits; 0: not known
    cdef CallSeries series  # None: there was no memory for a call

    __enter__ = _Itself()
    __exit__ = _Itself()

    def __init__(self):
        raise TypeError("a call is made by its series")

    def anew(self):
        """Return a call of the same series and trace that has not begun."""
        return _call_like(self)

    def around(self, function):
        """Return what runs a function, each time in a call like this one."""
        return _runs(self, function)


cdef bint (*_current)(shm_trace *trace) noexcept
_current = NULL


cdef int calls_belong_to(bint (*current)(shm_trace *trace) noexcept) except -1:
    """Set where a call without a given trace gets its trace from.

    Args:
        current: called when a call begins; fills in the current trace and returns true, or returns
            false if there is none. NULL: such calls belong to no trace.
    """
    global _current
    _current = current
    return 0


cdef int _has_begun(OpenCall call, bint traced, int result) except -1:
    """Describe a call that has begun, and attend to what its start has found."""
    call.call.traced = traced
    if traced or call.timeout_ms:
        shm_describe_call(shm_process_producer(), &call.call, call.timeout_ms,
                          &call.call.trace if traced else NULL)
    if result == SHM_ATTENTION:
        _attend()
    return 0


cdef inline int _begin(OpenCall call) except -1:
    cdef bint traced = call.traced or (_current != NULL and _current(&call.call.trace))
    cdef int result
    if call.series is not None:
        result = shm_emit_call_start(shm_process_producer(), &call.series.series, &call.call)
        if result | traced | call.timeout_ms:  # one branch, not three
            return _has_begun(call, traced, result)
    return 0


cdef inline int _finish(OpenCall call, shm_series *thrown) except -1:
    if call.series is not None and shm_emit_call_end(
            shm_process_producer(), &call.series.series, &call.call, thrown) == SHM_ATTENTION:
        _attend()
    return 0


cdef int _finish_raised(OpenCall call, object exception) except -1:
    """End a call with an exception, given by the name of its class."""
    cdef _ExceptionSeries thrown = None
    if call.series is not None:
        thrown = call.series._thrown(exception)
    return _finish(call, NULL if thrown is None else &thrown.series)


cdef object _entered_or_left(PyObject *call, PyObject *const *args, size_t n_args_f,
                             PyObject *names):
    """Enter an open call, leave it, or have each run of a function be a call: see _blocks.pxi."""
    if _enters(n_args_f, names):
        _begin(<OpenCall>call)
        return <OpenCall>call
    if not _leaves(n_args_f, names):
        return _decorated(<object>call, args, n_args_f, names)
    if <object>args[0] is None:
        _finish(<OpenCall>call, NULL)
    else:
        _finish_raised(<OpenCall>call, _name(<object>args[0]))
    return None


cdef object _name(object kind):
    """Return the name of a class of exceptions, or the object itself if it has no name.

    The caller counts an object without a name as an error.
    """
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
    """Return a call that has not begun. Never raises, as checking for that would cost every call.

    Without memory for it, the result is a call that records nothing, and is counted.
    """
    cdef PyObject *made = (<may_fail>_new_call)(series)
    if made == NULL:
        PyErr_Clear()
        shm_count_drop(shm_process_producer(), SHM_DROP_NO_MEMORY, 1)
        return _no_call
    cdef OpenCall call = <OpenCall>made
    Py_DECREF(call)
    return call


cdef OpenCall _call_like(OpenCall call):
    cdef OpenCall other = _open_call(call.series)
    if call.traced and other is not _no_call:
        other.traced = True
        other.call.trace = call.call.trace
    return other


cdef uint32_t _milliseconds(object seconds) except? 0:
    """Return a timeout in milliseconds; 0 for what is no timeout, or too long for 32 bits."""
    cdef double ms = 0.0
    try:
        ms = <double>seconds * 1000.0
    except MemoryError:
        shm_count_drop(shm_process_producer(), SHM_DROP_NO_MEMORY, 1)
    except Exception:
        shm_count_drop(shm_process_producer(), SHM_DROP_BAD_VALUE, 1)
    return <uint32_t>ms if 0.0 < ms < 4294967296.0 else 0


cdef class CallSeries(Series):
    """One series of calls."""

    cdef dict _exceptions
    cdef object _encode

    def __init__(self, Family family, bytes text, encode):
        """Make a series of calls.

        Args:
            family: its family.
            text: the payload of its dictionary entry, or None for overflow.
            encode: makes the payload of an exception's entry from the name of its class, or None if
                that class does not get an entry of its own.
        """
        self._exceptions = {}
        self._encode = encode

    def __call__(self):
        """Return a context manager around one call."""
        return _open_call(self)

    def traced(self, exemplar):
        """Return a context manager around one call of a trace, given as an exemplar or None."""
        cdef OpenCall call = _open_call(self)
        if exemplar is not None:
            call.traced = _trace(self, exemplar, &call.call.trace)
        return call

    def start(self, exemplar=None, timeout_seconds=None):
        """Begin a call, and return it for end().

        Args:
            exemplar: the trace of the call, or None.
            timeout_seconds: how long the caller waits for its end; None if that is not known. The
                list of open calls shows it, and says which calls are overdue.
        """
        cdef OpenCall call = _open_call(self) if exemplar is None else self.traced(exemplar)
        if timeout_seconds is not None and call is not _no_call:
            call.timeout_ms = _milliseconds(timeout_seconds)
        _begin(call)
        return call

    def end(self, call, exception=None):
        """End a call of start(), on the series where it began.

        Args:
            call: the result of start(); anything else is counted as a bad value.
            exception: the name of the class of the exception that the call raised, or None.
        """
        if isinstance(call, OpenCall):
            if exception is None:
                _finish(<OpenCall>call, NULL)
            else:
                _finish_raised(<OpenCall>call, exception)
        else:
            shm_count_drop(shm_process_producer(), SHM_DROP_BAD_VALUE, 1)

    cdef _ExceptionSeries _thrown(self, object exception):
        """Return the series of one exception class, or None, counted, if that is not a name."""
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


def exceptions_of(Series series not None):
    """Return the names of the exceptions of a series that have entries of their own."""
    return tuple((<CallSeries>series)._exceptions) if isinstance(series, CallSeries) else ()
